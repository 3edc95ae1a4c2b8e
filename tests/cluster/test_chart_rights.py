"""What the chart allows, judged from its manifests and by the real API server.

Proves R-K3: the operator's rights are one table, nothing beyond it, no wildcard, nothing cluster-wide unless asked.
"""

from functools import partial

import pytest

from cluster.rights import Manifest, Rights, by_kind, collect_rights, is_allowed
from support.waiting import wait_for
from testbed.chart import render_chart
from testbed.cluster import Cluster

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "approve")

# (namespace or "" for the whole cluster, API group, resource, names) → verbs. The whole of it.
KINDS = (
    "trustdomains",
    "federationpeers",
    "workloadidentities",
    "trustedservices",
    "introductions",
    "federationpolicies",
)
OBJECTS: Rights = {
    **{("trust", "bilateral.dev", kind, ()): {"get", "list", "watch"} for kind in KINDS},
    **{("trust", "bilateral.dev", f"{kind}/status", ()): {"patch"} for kind in KINDS},
    ("trust", "bilateral.dev", "introductions", ()): {"get", "list", "watch", "create"},
    ("trust", "", "secrets", ()): {"list", "watch", "create", "patch"},
    ("trust", "", "services", ()): {"get"},
    ("trust", "events.k8s.io", "events", ()): {"create"},
}
ROLLOUTS: Rights = {
    ("trust", "apps", kind, ()): {"patch"} for kind in ("deployments", "statefulsets", "daemonsets")
}
ELECTION: Rights = {
    ("trust", "coordination.k8s.io", "leases", ()): {"create"},
    ("trust", "coordination.k8s.io", "leases", ("bilateral",)): {"get", "update"},
}


@pytest.fixture(scope="module")
def plain() -> list[Manifest]:
    """The chart with nothing set."""
    return render_chart("trust")


def test_the_operators_rights_are_these_and_no_others(plain: list[Manifest]) -> None:
    assert collect_rights(plain, ("trust", "bilateral")) == OBJECTS | ELECTION


def test_workloads_may_be_rolled_out_only_when_asked_for() -> None:
    documents = render_chart("trust", {"rollouts": {"enabled": True}})
    assert collect_rights(documents, ("trust", "bilateral")) == OBJECTS | ELECTION | ROLLOUTS


def test_in_listed_namespaces_the_rights_are_the_same_and_nothing_is_cluster_wide() -> None:
    documents = render_chart("trust", {"watchNamespaces": ["a", "b"]})
    expected = {(name, *rest): verbs for (_, *rest), verbs in OBJECTS.items() for name in ("a", "b")}
    assert collect_rights(documents, ("trust", "bilateral")) == expected | ELECTION
    assert by_kind(documents, "ClusterRoleBinding") == []


def test_only_the_star_gives_rights_in_all_namespaces() -> None:
    documents = render_chart("trust", {"watchNamespaces": ["*"]})
    expected = {("", *rest): verbs for (_, *rest), verbs in OBJECTS.items()}
    assert collect_rights(documents, ("trust", "bilateral")) == expected | ELECTION


@pytest.mark.parametrize("watched", [[], ["a", "b"], ["*"]], ids=["own", "listed", "all"])
def test_no_rule_has_a_wildcard_or_lends_rights(watched: list[str]) -> None:
    documents = render_chart("trust", {"watchNamespaces": watched})
    for role in by_kind(documents, "Role") + by_kind(documents, "ClusterRole"):
        for rule in role["rules"]:
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not any("*" in word for word in words)
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
            assert not {"pods", "pods/exec", "serviceaccounts/token"} & set(rule["resources"])


def test_two_releases_of_one_name_share_no_cluster_wide_name() -> None:
    names: list[str] = []
    for namespace in ("one", "two"):
        documents = render_chart(namespace, {"watchNamespaces": ["*"], "crds": {"install": False}})
        names += [
            f"{d['kind']} {d['metadata']['name']}" for d in documents if "namespace" not in d["metadata"]
        ]
    assert len(names) == len(set(names)) == 14


def test_the_api_server_lets_the_account_do_just_that(cluster: Cluster, namespace: str) -> None:
    user = f"system:serviceaccount:{namespace}:bilateral"
    resources = (
        "secrets",
        "configmaps",
        "pods",
        "federationpeers.bilateral.dev",
        "federationpeers.bilateral.dev/status",
        "introductions.bilateral.dev",
        "services",
        "deployments.apps",
    )
    allowed = {(r, v) for r in resources for v in VERBS if is_allowed(cluster, user, v, r, namespace)}
    assert allowed == {
        ("secrets", "list"), ("secrets", "watch"), ("secrets", "create"), ("secrets", "patch"),
        ("federationpeers.bilateral.dev", "get"), ("federationpeers.bilateral.dev", "list"),
        ("federationpeers.bilateral.dev", "watch"), ("federationpeers.bilateral.dev/status", "patch"),
        ("introductions.bilateral.dev", "get"), ("introductions.bilateral.dev", "list"),
        ("introductions.bilateral.dev", "watch"), ("introductions.bilateral.dev", "create"),
        ("services", "get"),
    }  # fmt: skip
    assert not any(is_allowed(cluster, user, v, r, "default") for r in resources for v in VERBS)


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("view", {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch", "create", "update", "patch", "delete"}),
        ("admin", {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}),
    ],
)
def test_the_clusters_own_roles_learn_our_kinds_but_never_status(
    cluster: Cluster, namespace: str, role: str, verbs: set[str]
) -> None:
    user = f"somebody-{role}"
    binding = f"--clusterrole={role}", f"--user={user}"
    cluster.kubectl("create", "rolebinding", f"as-{role}", *binding, "-n", namespace)

    def allowed(resource: str) -> set[str]:
        return {verb for verb in VERBS if is_allowed(cluster, user, verb, resource, namespace)}

    def has_learnt(resource: str) -> bool:
        return allowed(resource) >= verbs

    for kind in KINDS:
        resource = f"{kind}.bilateral.dev"
        # The controller adds up the roles a moment after they were made.
        wait_for(partial(has_learnt, resource), f"{role} of {resource}")
        approves = {"approve"} if (role, kind) == ("admin", "introductions") else set()
        assert allowed(resource) == verbs | approves
        assert not {"update", "patch"} & allowed(f"{resource}/status")
