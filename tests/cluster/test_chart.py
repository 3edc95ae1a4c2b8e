"""The chart, rendered by Helm and judged by the real API server.

Proves R-S5 (no egress but what is listed), the restricted Pod Security level (R-G2), that a value the chart does
not know is refused, and that every combination of values renders what the API server takes. The rights are in
test_chart_rights.py, what policies add in test_chart_policies.py.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.policies_values import ON_A_FILE, ON_A_SERVER
from cluster.rights import Manifest, by_kind, only
from support.waiting import wait_for
from testbed.chart import lint_chart, render_chart, run_helm
from testbed.cluster import Cluster
from testbed.errors import CommandError
from testbed.locations import CHART, CRDS, REPOSITORY

# Every value that changes which manifests there are or what shape they have, each with its alternatives.
CHOICES: dict[str, list[dict[str, object]]] = {
    "namespaces": [
        {},
        {"watchNamespaces": ["default", "kube-public"]},
        {"watchNamespaces": ["*"]},
    ],
    "service": [
        {},
        {"service": {"type": "NodePort", "port": 443, "nodePort": 30940, "externalTrafficPolicy": "Local"}},
        {"service": {"type": "LoadBalancer", "annotations": {"example.org/class": "internal"}}},
    ],
    "network": [
        {},
        {"networkPolicy": {"enabled": False}},
        {
            "networkPolicy": {
                "endpointFrom": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}}],
                "metricsFrom": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
                "apiServer": {"to": [{"ipBlock": {"cidr": "198.51.100.1/32"}}], "ports": [6443]},
                "partnerPorts": [8940],
            },
            "allowDestinations": ["10.1.2.3", "10.2.0.0/16", "fd00::7", "trust.org-b.svc", "*.corp.example"],
        },
    ],
    "rest": [
        {},
        {
            "image": {"digest": f"sha256:{'0a' * 32}", "pullPolicy": "Never"},
            "imagePullSecrets": [{"name": "registry"}],
            "replicas": 1,
            "refusals": "Uniform",
            "tlsMinimum": "1.2",
            "logLevel": "debug",
            "podDisruptionBudget": {"enabled": False},
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": 2, "memory": "1Gi"}},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [
                {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
            ],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 2}],
            "priorityClassName": "system-cluster-critical",
            "podAnnotations": {"example.org/scrape": "no"},
            "serviceAccount": {"create": False, "name": "somebody"},
            "rbac": {"create": False, "aggregate": False},
            "approvals": {"guarded": False},
            "rollouts": {"enabled": True},
            "crds": {"install": False},
        },
        {"policies": ON_A_FILE, "replicas": 1},
        {"policies": ON_A_SERVER},
    ],
}


def combinations() -> Iterator[object]:
    """Every combination of the choices, merged; the id says which alternative of each was taken."""
    for numbers in itertools.product(*(range(len(choices)) for choices in CHOICES.values())):
        taken = list(zip(CHOICES, numbers, strict=True))
        values: dict[str, object] = {}
        for name, number in taken:
            values |= CHOICES[name][number]
        # The CRDs are the largest part by far and the same in every combination.
        crds = {} if not any(numbers) else {"crds": {"install": False}}
        yield pytest.param(values | crds, id=", ".join(f"{name} {number}" for name, number in taken))


@pytest.fixture(scope="module")
def plain() -> list[Manifest]:
    """The chart with nothing set."""
    return render_chart("trust")


@pytest.fixture(scope="module")
def trust(cluster: Cluster) -> Cluster:
    """The cluster, with the namespace that the chart is rendered for."""
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": "trust"}})
    return cluster


# The pod


def test_the_pod_asks_for_nothing_that_the_restricted_level_forbids(
    trust: Cluster, plain: list[Manifest]
) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    trust.kubectl("label", "--overwrite", "namespace", "trust", label)
    template = only(plain, "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": template["spec"]}
    trust.request("POST", "/api/v1/namespaces/trust/serviceaccounts", {"metadata": {"name": "bilateral"}})
    answer = trust.request("POST", "/api/v1/namespaces/trust/pods", pod, query={"dryRun": "All"})
    assert answer.status == 201, answer.message
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    answer = trust.request("POST", "/api/v1/namespaces/trust/pods", pod, query={"dryRun": "All"})
    assert answer.status == 403
    assert "restricted" in answer.message


def test_the_pods_own_fields_are_the_tight_ones() -> None:
    pod = only(render_chart("trust"), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] == 10
    token, tmp = pod["volumes"]
    assert token["projected"]["sources"][0] == {
        "serviceAccountToken": {"path": "token", "expirationSeconds": 3600}
    }
    assert tmp["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys()
    probes = {
        name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz",
    }  # fmt: skip
    assert {probe["port"] for probe in probes.values()} == {"metrics"}


def test_the_account_gives_its_token_to_no_other_pod(plain: list[Manifest]) -> None:
    assert only(plain, "ServiceAccount")["automountServiceAccountToken"] is False


def test_the_flags_say_what_the_values_say() -> None:
    values = {
        "watchNamespaces": ["a", "b"], "allowDestinations": ["10.0.0.0/8", "*.corp.example"],
        "refusals": "Uniform", "logLevel": "warning", "tlsMinimum": "1.2",
        "endpointLimits": {"maxConnections": 1000, "requestsPerSecond": 200},
    }  # fmt: skip
    documents = render_chart("trust", values)
    assert only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "--namespace=a", "--namespace=b", "--lease-namespace=trust", "--lease-name=bilateral",
        "--listen=0.0.0.0:8940", "--metrics-listen=0.0.0.0:8941",
        "--allow-destinations=10.0.0.0/8", "--allow-destinations=*.corp.example",
        "--refusals=Uniform", "--tls-minimum=1.2",
        "--max-connections=1000", "--max-connections-per-source=128", "--requests-per-second=200",
        "--log-level=warning",
    ]  # fmt: skip


def test_watching_everything_is_saying_no_namespace() -> None:
    documents = render_chart("trust", {"watchNamespaces": ["*"]})
    arguments = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert not [word for word in arguments if word.startswith("--namespace")]


def test_the_operator_knows_every_flag_that_the_chart_gives() -> None:
    from bilateral.cli.run import operator

    known = {option for parameter in operator.params for option in parameter.opts}
    values = {"allowDestinations": ["a.example"]}
    arguments = only(render_chart("trust", values), "Deployment")["spec"]["template"]["spec"]["containers"][
        0
    ]["args"]
    assert {word.partition("=")[0] for word in arguments} <= known


def test_a_digest_wins_over_a_tag() -> None:
    def image(**members: str) -> str:
        documents = render_chart("trust", {"image": members})
        found: str = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
        return found

    assert image() == "bilateral:0.1.0"
    assert image(repository="example.org/b", tag="1") == "example.org/b:1"
    assert image(tag="1", digest=f"sha256:{'0a' * 32}") == f"bilateral@sha256:{'0a' * 32}"


# The network


def test_whatever_is_not_listed_is_denied_both_ways(plain: list[Manifest]) -> None:
    policy = only(plain, "NetworkPolicy")["spec"]
    selector = only(plain, "Deployment")["spec"]["selector"]
    assert policy["podSelector"] == selector
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"port": "endpoint", "protocol": "TCP"}]}]
    dns, api_server, partners = policy["egress"]
    assert [port["port"] for port in dns["ports"]] == [53, 53]
    assert dns["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    ]
    assert [port["port"] for port in api_server["ports"]] == [443, 6443]
    assert [port["port"] for port in partners["ports"]] == [443, 8940]
    assert [block["ipBlock"]["cidr"] for block in partners["to"]] == ["0.0.0.0/0", "::/0"]
    assert {"10.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8"} <= set(partners["to"][0]["ipBlock"]["except"])


def test_allowed_addresses_are_let_through_and_names_are_not_guessed() -> None:
    allowed = ["10.1.2.3", "10.2.0.0/16", "fd00::7", "fd01::/64", "trust.org-b.svc", "*.corp.example"]
    policy = only(render_chart("trust", {"allowDestinations": allowed}), "NetworkPolicy")["spec"]
    blocks = [block["ipBlock"]["cidr"] for block in policy["egress"][-1]["to"]]
    assert blocks == ["0.0.0.0/0", "::/0", "10.1.2.3/32", "10.2.0.0/16", "fd00::7/128", "fd01::/64"]


def test_metrics_are_read_only_by_whom_the_values_name(plain: list[Manifest]) -> None:
    reader = {"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}
    policy = only(render_chart("trust", {"networkPolicy": {"metricsFrom": [reader]}}), "NetworkPolicy")[
        "spec"
    ]
    assert policy["ingress"][1] == {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [reader]}


# Values


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"replica": 2}, id="an unknown value"),
        pytest.param({"image": {"name": "x"}}, id="an unknown member"),
        pytest.param(
            {"networkPolicy": {"apiServer": {"to": [], "ports": [1], "x": 1}}}, id="a deep unknown member"
        ),
        pytest.param({"replicas": 0}, id="no replica"),
        pytest.param({"replicas": "2"}, id="a number as text"),
        pytest.param({"watchNamespaces": ["*", "a"]}, id="all namespaces and one"),
        pytest.param({"watchNamespaces": ["A"]}, id="no namespace's name"),
        pytest.param({"watchNamespaces": "trust"}, id="not a list"),
        pytest.param({"refusals": "None"}, id="an unknown kind of refusal"),
        pytest.param({"tlsMinimum": "1.1"}, id="an old TLS"),
        pytest.param({"endpointLimits": {"maxConnections": 0}}, id="no connection"),
        pytest.param({"endpointLimits": {"perSecond": 1}}, id="an unknown limit"),
        pytest.param({"logLevel": "trace"}, id="an unknown level"),
        pytest.param({"allowDestinations": ["https://a.example"]}, id="a URL as a destination"),
        pytest.param({"allowDestinations": ["a.example --x"]}, id="a flag smuggled in"),
        pytest.param({"image": {"digest": "sha256:0a"}}, id="half a digest"),
        pytest.param({"image": {"tag": "a b"}}, id="a tag with a space"),
        pytest.param({"service": {"type": "ExternalName"}}, id="a service of another type"),
        pytest.param({"service": {"port": 70000}}, id="no port"),
        pytest.param({"serviceAccount": {"create": False, "name": ""}}, id="no account at all"),
        pytest.param({"approvals": {"guarded": None}}, id="approvals that nobody decides on"),
        pytest.param({"rollouts": {"enabled": True, "kinds": ["Job"]}}, id="rollouts of another kind"),
        pytest.param({"metrics": {"serviceMonitor": {"enabled": "yes"}}}, id="a word for a truth value"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(CommandError) as refused:
        render_chart("trust", values)
    assert "values" in refused.value.stderr or "serviceAccount" in refused.value.stderr


# Kubernetes' own types, too wide to repeat; the API server checks them.
OPEN = {"nodeAffinity", "podAffinity", "podAntiAffinity"}


def test_the_schema_is_closed_everywhere() -> None:
    def check(schema: object, path: tuple[str, ...]) -> None:
        if isinstance(schema, list):
            for item in schema:
                check(item, path)
        if not isinstance(schema, dict):
            return
        if schema.get("type") == "object" and path[-1] not in OPEN:
            rest = schema.get("additionalProperties")
            assert rest is False or isinstance(rest, dict), path
        for name, member in schema.items():
            check(member, (*path, name))

    check(json.loads((CHART / "values.schema.json").read_text()), ("",))


def test_every_value_is_in_the_schema_and_every_schema_member_has_a_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)


def test_every_value_is_documented() -> None:
    text = (REPOSITORY / "docs" / "install.md").read_text()
    names = set(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert {name for name in names if f"`{name}" not in text} == set()


# As a whole


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "0 chart(s) failed" in lint_chart()


@pytest.mark.parametrize("values", list(combinations()))
def test_the_api_server_accepts_every_manifest(trust: Cluster, values: dict[str, object]) -> None:
    documents = render_chart("trust", values)
    text = yaml.safe_dump_all(documents)
    answer = trust.run_kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        input=text,
    )
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == len(documents)
    assert "Warning" not in answer.stderr


def test_the_crds_are_the_checked_in_ones_and_outlive_the_release(plain: list[Manifest]) -> None:
    expected = {path.name: yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")}
    rendered = by_kind(plain, "CustomResourceDefinition")
    assert sorted(rendered, key=str) == sorted(expected.values(), key=str)
    assert all(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for crd in rendered)


def test_a_package_carries_the_crds_themselves(tmp_path: Path) -> None:
    run_helm("package", CHART, "--destination", tmp_path)
    (package,) = tmp_path.glob("bilateral-*.tgz")
    documents = render_chart("trust", chart=package)
    assert len(by_kind(documents, "CustomResourceDefinition")) == len(list(CRDS.glob("*.yaml")))


def test_a_service_monitor_is_made_where_it_is_asked_for(plain: list[Manifest]) -> None:
    assert by_kind(plain, "ServiceMonitor") == []
    values = {
        "metrics": {"serviceMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prom"}}}
    }
    documents = render_chart("trust", values)
    monitor = only(documents, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "1m"}]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    selected = [
        d["metadata"]["name"]
        for d in by_kind(documents, "Service")
        if wanted <= d["metadata"]["labels"].items()
    ]
    assert selected == ["bilateral-metrics"]


def test_a_real_install_and_removal_leave_the_crds_and_nothing_else(tmp_path: Path) -> None:
    with Cluster.start(tmp_path / "fresh", audit=False) as fresh:
        options = "--namespace", "trust", "--create-namespace"
        answer = run_helm("install", "bilateral", CHART, *options, kubeconfig=fresh.kubeconfig)
        notes = answer.partition("NOTES:")[2]
        assert "It watches: trust." in notes
        assert "kubectl bilateral export TRUSTDOMAIN --for THEIR-TRUSTDOMAIN -n NAMESPACE" in notes
        ours = "--selector=app.kubernetes.io/name=bilateral", "--namespace=trust", "--output=name"
        kinds = "all,networkpolicy,pdb,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding"
        assert "deployment.apps/bilateral" in fresh.kubectl("get", kinds, *ours)
        run_helm("uninstall", "bilateral", "--namespace", "trust", kubeconfig=fresh.kubeconfig)
        wait_for(lambda: fresh.kubectl("get", kinds, *ours) == "", "everything is removed")
        crds = fresh.kubectl("get", "crd", "--output=name").split()
        assert len(crds) == len(list(CRDS.glob("*.yaml")))
