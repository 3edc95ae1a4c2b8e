"""What the chart renders where policies decide: the ledger, the control endpoint, and who reaches them.

Proves that nothing of it is there unless asked for, that exactly one ledger is taken and its file has one writer, that
a password is in no argument, and that nobody calls the control endpoint who is not named. The rights are in
test_chart_rights.py; that the API server takes all of it, in test_chart.py.
"""

from pathlib import Path
from typing import Any

import pytest

from bilateral.cli.run import operator
from bilateral.ledger.urls import SQLiteLocation, parse_ledger_url
from bilateral.settings import DEFAULT_CONTROL_PORT
from cluster.policies_values import FROM_KERNELS, ON_A_FILE, ON_A_SERVER, TO_THE_SERVER
from cluster.rights import Manifest, by_kind, only
from testbed.chart import render_chart, run_helm
from testbed.cluster import Cluster
from testbed.errors import CommandError
from testbed.locations import CHART

SERVER = {"type": "PostgreSQL", "postgresql": {"urlSecretRef": {"name": "ledger"}}}


@pytest.fixture(scope="module")
def on_a_file() -> list[Manifest]:
    """The chart with as little set as a ledger in a file needs."""
    return render_chart("trust", {"replicas": 1, "policies": {"enabled": True}})


@pytest.fixture(scope="module")
def on_a_server() -> list[Manifest]:
    """The chart with as little set as a ledger on a server needs."""
    return render_chart("trust", {"policies": {"enabled": True, "ledger": SERVER}})


def pod(documents: list[Manifest]) -> Any:
    return only(documents, "Deployment")["spec"]["template"]["spec"]


def flag(documents: list[Manifest], name: str) -> list[str]:
    """What the operator is given under a flag."""
    (container,) = pod(documents)["containers"]
    return [word.partition("=")[2] for word in container["args"] if word.startswith(f"{name}=")]


def named(documents: list[Manifest], kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in by_kind(documents, kind)}


def test_unless_asked_for_nothing_of_it_is_there() -> None:
    plain = render_chart("trust")
    staged = render_chart("trust", {"policies": ON_A_SERVER | {"enabled": False}})
    assert staged == plain
    (container,) = pod(plain)["containers"]
    assert "env" not in container
    assert [port["name"] for port in container["ports"]] == ["endpoint", "metrics"]
    assert not [word for word in container["args"] if word.startswith(("--ledger", "--control"))]
    assert named(plain, "Service") == {"bilateral", "bilateral-metrics"}
    assert by_kind(plain, "PersistentVolumeClaim") == []


# The ledger


def test_a_file_has_one_writer_and_a_claim_that_outlives_the_release(on_a_file: list[Manifest]) -> None:
    deployment = only(on_a_file, "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    claim = only(on_a_file, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }  # fmt: skip
    volume = pod(on_a_file)["volumes"][-1]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


def test_the_file_is_on_the_volume_and_nothing_else_becomes_writable(on_a_file: list[Manifest]) -> None:
    (container,) = pod(on_a_file)["containers"]
    (url,) = flag(on_a_file, "--ledger")
    location = parse_ledger_url(url)
    assert isinstance(location, SQLiteLocation)
    writable = {
        mount["name"]: mount["mountPath"] for mount in container["volumeMounts"] if "readOnly" not in mount
    }
    assert writable == {"tmp": "/tmp", "ledger": str(location.path.parent)}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod(on_a_file)["securityContext"]["fsGroup"] == 65532


def test_a_claim_is_made_as_the_values_say() -> None:
    documents = render_chart("trust", {"replicas": 1, "policies": ON_A_FILE})
    assert only(documents, "PersistentVolumeClaim")["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    }


def test_a_claim_of_somebody_elses_is_used_as_it_is() -> None:
    ledger = {"sqlite": {"existingClaim": "my-claim"}}
    documents = render_chart("trust", {"replicas": 1, "policies": {"enabled": True, "ledger": ledger}})
    assert by_kind(documents, "PersistentVolumeClaim") == []
    assert pod(documents)["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "my-claim"}


def test_a_single_replica_does_not_keep_a_node_from_being_drained(on_a_file: list[Manifest]) -> None:
    budget = only(on_a_file, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


def test_a_server_serves_several_replicas_without_a_gap(on_a_server: list[Manifest]) -> None:
    deployment = only(on_a_server, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert by_kind(on_a_server, "PersistentVolumeClaim") == []
    assert [volume["name"] for volume in pod(on_a_server)["volumes"]] == ["token", "tmp"]


def test_the_servers_url_comes_from_a_secret_and_is_in_no_argument(on_a_server: list[Manifest]) -> None:
    (container,) = pod(on_a_server)["containers"]
    assert flag(on_a_server, "--ledger") == []
    assert container["env"] == [
        {"name": "BILATERAL_LEDGER", "valueFrom": {"secretKeyRef": {"name": "ledger", "key": "url"}}}
    ]


def test_of_the_authoritys_secret_only_the_certificate_is_mounted() -> None:
    documents = render_chart("trust", {"policies": ON_A_SERVER})
    (container,) = pod(documents)["containers"]
    url, authority = container["env"]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "ledger.url", "key": "uri"}
    mount = container["volumeMounts"][-1]
    assert mount["readOnly"] is True
    volume = pod(documents)["volumes"][-1]
    assert volume["name"] == mount["name"]
    assert volume["secret"]["secretName"] == "ledger-ca"
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert authority == {"name": "PGSSLROOTCERT", "value": f"{mount['mountPath']}/ca.crt"}


# The control endpoint


@pytest.mark.parametrize("ledger", ["on_a_file", "on_a_server"])
def test_the_control_endpoint_has_a_service_and_its_names(
    ledger: str, request: pytest.FixtureRequest
) -> None:
    documents: list[Manifest] = request.getfixturevalue(ledger)
    (container,) = pod(documents)["containers"]
    assert flag(documents, "--control-listen") == [f"0.0.0.0:{DEFAULT_CONTROL_PORT}"]
    assert {"name": "control", "containerPort": DEFAULT_CONTROL_PORT} in container["ports"]
    (service,) = [d for d in by_kind(documents, "Service") if d["metadata"]["name"] == "bilateral-control"]
    assert service["spec"] == {
        "type": "ClusterIP",
        "selector": only(documents, "Deployment")["spec"]["selector"]["matchLabels"],
        "ports": [
            {"name": "control", "port": DEFAULT_CONTROL_PORT, "targetPort": "control", "protocol": "TCP"}
        ],
    }
    name = "bilateral-control.trust.svc"
    assert flag(documents, "--control-host") == [name, f"{name}.cluster.local"]


def test_the_clusters_domain_may_be_another_or_left_out() -> None:
    name = "bilateral-control.trust.svc"
    for domain, expected in (("k8s.example", [name, f"{name}.k8s.example"]), ("", [name])):
        values = {"enabled": True, "control": {"clusterDomain": domain}}
        documents = render_chart("trust", {"replicas": 1, "policies": values})
        assert flag(documents, "--control-host") == expected


def test_the_operator_knows_every_flag_and_variable_that_it_is_given(on_a_file: list[Manifest]) -> None:
    flags = {option for parameter in operator.params for option in parameter.opts}
    variables = {getattr(parameter, "envvar", None) for parameter in operator.params}
    (container,) = pod(on_a_file)["containers"]
    assert {word.partition("=")[0] for word in container["args"]} <= flags
    (container,) = pod(render_chart("trust", {"policies": ON_A_SERVER}))["containers"]
    assert {word.partition("=")[0] for word in container["args"]} <= flags
    assert {each["name"] for each in container["env"]} - {"PGSSLROOTCERT"} <= variables


def test_nobody_calls_the_control_endpoint_who_is_not_named(on_a_file: list[Manifest]) -> None:
    (endpoint,) = only(on_a_file, "NetworkPolicy")["spec"]["ingress"]
    assert endpoint["ports"] == [{"port": "endpoint", "protocol": "TCP"}]
    documents = render_chart("trust", {"replicas": 1, "policies": ON_A_FILE})
    policy = only(documents, "NetworkPolicy")["spec"]
    assert policy["ingress"][1:] == [
        {"ports": [{"port": "control", "protocol": "TCP"}], "from": [FROM_KERNELS]}
    ]


def test_the_way_out_to_the_server_is_the_one_that_is_named(on_a_server: list[Manifest]) -> None:
    plain = only(render_chart("trust"), "NetworkPolicy")["spec"]["egress"]
    assert only(on_a_server, "NetworkPolicy")["spec"]["egress"] == plain
    egress = only(render_chart("trust", {"policies": ON_A_SERVER}), "NetworkPolicy")["spec"]["egress"]
    assert [rule for rule in egress if rule not in plain] == [
        {
            "ports": [{"port": 5432, "protocol": "TCP"}, {"port": 6432, "protocol": "TCP"}],
            "to": [TO_THE_SERVER, {"ipBlock": {"cidr": "10.9.0.1/32"}}],
        }
    ]


# Values


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        pytest.param({"policies": {"enabled": True}}, "set replicas to 1", id="a file and two replicas"),
        pytest.param(
            {"replicas": 1, "policies": {"enabled": True, "ledger": {"postgresql": SERVER["postgresql"]}}},
            "set policies.ledger.type to PostgreSQL",
            id="a file, and a server",
        ),
        pytest.param(
            {"policies": {"enabled": True, "ledger": {"type": "PostgreSQL"}}},
            "policies.ledger.postgresql.urlSecretRef.name",
            id="a server without its address",
        ),
        pytest.param(
            {"policies": {"enabled": True, "ledger": SERVER | {"sqlite": {"existingClaim": "mine"}}}},
            "set policies.ledger.type to SQLite",
            id="a server, and a claim",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_what_to_do(
    values: dict[str, object], advice: str
) -> None:
    with pytest.raises(CommandError) as refused:
        render_chart("trust", values)
    assert "these values have" in refused.value.stderr
    assert advice in refused.value.stderr


@pytest.mark.parametrize(
    "policies",
    [
        pytest.param({"enable": True}, id="an unknown member"),
        pytest.param({"enabled": "yes"}, id="a word for a truth value"),
        pytest.param({"ledger": None}, id="no ledger at all"),
        pytest.param({"ledger": {"type": "MySQL"}}, id="another database"),
        pytest.param({"ledger": {"url": "postgresql://a:b@c/d"}}, id="a password among the values"),
        pytest.param({"ledger": {"sqlite": {"size": "1"}}}, id="a volume of one byte"),
        pytest.param({"ledger": {"sqlite": {"accessMode": "ReadWriteMany"}}}, id="a volume for many writers"),
        pytest.param({"ledger": {"sqlite": {"existingClaim": "A claim"}}}, id="no claim's name"),
        pytest.param({"ledger": {"postgresql": {"urlSecretRef": {"name": "a", "key": "../x"}}}}, id="a path"),
        pytest.param({"ledger": {"postgresql": {"caSecretRef": {"name": "a", "key": ".."}}}}, id="a folder"),
        pytest.param({"ledger": {"postgresql": {"ports": []}}}, id="a server without a port"),
        pytest.param({"control": {"port": 0}}, id="no port"),
        pytest.param({"control": {"callersFrom": [{}]}}, id="a peer that is everybody"),
        pytest.param({"control": {"clusterDomain": "cluster.local --x"}}, id="a flag smuggled in"),
    ],
)
def test_a_wrong_value_is_refused(policies: dict[str, object]) -> None:
    with pytest.raises(CommandError) as refused:
        render_chart("trust", {"policies": policies})
    assert "policies" in refused.value.stderr


# At the API server


@pytest.mark.parametrize("values", [{"replicas": 1, "policies": ON_A_FILE}, {"policies": ON_A_SERVER}])
def test_with_a_ledger_the_pod_still_meets_the_restricted_level(
    cluster: Cluster, namespace: str, values: dict[str, object]
) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "--overwrite", "namespace", namespace, label)
    spec = pod(render_chart(namespace, values))
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/pods"
    answer = cluster.request("POST", path, body, query={"dryRun": "All"})
    assert answer.status == 201, answer.message


def test_the_ledger_outlives_the_release_and_is_found_again(tmp_path: Path) -> None:
    with Cluster.start(tmp_path / "fresh", audit=False) as fresh:
        options = "--namespace", "trust", "--create-namespace"
        enabled = "--set", "policies.enabled=true", "--set", "replicas=1"
        claims = "get", "persistentvolumeclaim", "--namespace", "trust", "--output=jsonpath={..metadata.uid}"

        def helm(*arguments: str | Path) -> str:
            return run_helm(*arguments, *options[:2], kubeconfig=fresh.kubeconfig)

        helm("install", "bilateral", CHART, options[2])
        notes = helm("upgrade", "bilateral", CHART, *enabled).partition("NOTES:")[2]
        assert "https://bilateral-control.trust.svc:8942" in notes
        assert "policies.control.callersFrom" in notes
        made = fresh.kubectl(*claims)
        assert made
        helm("upgrade", "bilateral", CHART)
        helm("uninstall", "bilateral")
        assert fresh.kubectl(*claims) == made
        helm("install", "bilateral", CHART, *enabled)
        assert fresh.kubectl(*claims) == made
