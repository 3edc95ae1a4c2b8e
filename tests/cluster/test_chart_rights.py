"""What the chart allows, judged from its manifests and by the real API server.

Proves R-K3: the operator's rights are one table, nothing beyond it, no wildcard, nothing cluster-wide unless asked.
"""

from functools import partial

import pytest

from cluster.rights import Manifest, Rights, by_kind, collect_rights, is_allowed
from support.waiting import wait_for
from testbed.chart import render_chart
from testbed.cluster import Cluster
from testbed.locations import REPOSITORY

KERNEL = REPOSITORY / "examples" / "policies" / "kernel.yaml"
OURS = ("approve", "evaluate", "revoke")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", *OURS)

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
POLICIES: Rights = {
    ("trust", "bilateral.dev", "federationpolicies", ()): {"get", "list", "watch", "create", "delete"},
}
# The API server answers these questions cluster-wide only; nothing is read or changed with them.
CALLERS: Rights = {
    ("", "authentication.k8s.io", "tokenreviews", ()): {"create"},
    ("", "authorization.k8s.io", "subjectaccessreviews", ()): {"create"},
}
DECIDING: dict[str, object] = {"replicas": 1, "policies": {"enabled": True}}
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


def test_the_operator_may_approve_only_when_policies_are_to(plain: list[Manifest]) -> None:
    key = ("trust", "bilateral.dev", "introductions", ())
    documents = render_chart("trust", {"approvals": {"automatic": True}})
    rights = collect_rights(documents, ("trust", "bilateral"))
    assert rights == OBJECTS | ELECTION | {key: OBJECTS[key] | {"approve"}}
    assert "approve" not in collect_rights(plain, ("trust", "bilateral"))[key]


def test_in_listed_namespaces_the_rights_are_the_same_and_nothing_is_cluster_wide() -> None:
    documents = render_chart("trust", {"watchNamespaces": ["a", "b"]})
    expected = {(name, *rest): verbs for (_, *rest), verbs in OBJECTS.items() for name in ("a", "b")}
    assert collect_rights(documents, ("trust", "bilateral")) == expected | ELECTION
    assert by_kind(documents, "ClusterRoleBinding") == []


def test_policies_add_their_making_and_two_questions_only_when_they_decide() -> None:
    documents = render_chart("trust", DECIDING)
    assert collect_rights(documents, ("trust", "bilateral")) == OBJECTS | POLICIES | CALLERS | ELECTION
    unbound = render_chart("trust", DECIDING | {"rbac": {"create": False}})
    assert collect_rights(unbound, ("trust", "bilateral")) == {}


@pytest.mark.parametrize("watched", [("a", "b"), ("",)], ids=["listed", "all"])
def test_policies_are_made_and_deleted_in_the_watched_namespaces_only(watched: tuple[str, ...]) -> None:
    values = DECIDING | {"watchNamespaces": [name or "*" for name in watched]}
    objects = {(name, *rest): v for (_, *rest), v in (OBJECTS | POLICIES).items() for name in watched}
    assert collect_rights(render_chart("trust", values), ("trust", "bilateral")) == (
        objects | CALLERS | ELECTION
    )


def test_only_the_star_gives_rights_in_all_namespaces() -> None:
    documents = render_chart("trust", {"watchNamespaces": ["*"]})
    expected = {("", *rest): verbs for (_, *rest), verbs in OBJECTS.items()}
    assert collect_rights(documents, ("trust", "bilateral")) == expected | ELECTION


@pytest.mark.parametrize("others", [{}, DECIDING], ids=["plain", "policies"])
@pytest.mark.parametrize("watched", [[], ["a", "b"], ["*"]], ids=["own", "listed", "all"])
def test_no_rule_has_a_wildcard_or_lends_rights(watched: list[str], others: dict[str, object]) -> None:
    documents = render_chart("trust", {"watchNamespaces": watched, **others})
    for role in by_kind(documents, "Role") + by_kind(documents, "ClusterRole"):
        for rule in role["rules"]:
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not any("*" in word for word in words)
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
            assert not {"pods", "pods/exec", "serviceaccounts/token"} & set(rule["resources"])


def test_two_releases_of_one_name_share_no_cluster_wide_name() -> None:
    names: list[str] = []
    for namespace in ("one", "two"):
        values = {"watchNamespaces": ["*"], "crds": {"install": False}, **DECIDING}
        documents = render_chart(namespace, values)
        names += [
            f"{d['kind']} {d['metadata']['name']}" for d in documents if "namespace" not in d["metadata"]
        ]
    assert len(names) == len(set(names)) == 22


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


def test_where_policies_decide_admins_may_ask_and_revoke_and_nobody_else(plain: list[Manifest]) -> None:
    before = aggregated(plain)
    deciding = aggregated(render_chart("trust", DECIDING))
    assert {role: rights - before[role] for role, rights in deciding.items()} == {
        "view": set(),
        "edit": set(),
        "admin": {("federationpolicies", "evaluate"), ("trustdomains", "revoke")},
    }


def aggregated(documents: list[Manifest]) -> dict[str, set[tuple[str, str]]]:
    """What the cluster's own roles learn: for each, (resource, verb)."""
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    learnt: dict[str, set[tuple[str, str]]] = {role: set() for role in ("view", "edit", "admin")}
    for document in by_kind(documents, "ClusterRole"):
        rights = {(r, v) for rule in document["rules"] for r in rule["resources"] for v in rule["verbs"]}
        for label in document["metadata"]["labels"]:
            if label.startswith(prefix):
                learnt[label.removeprefix(prefix)] |= rights
    return learnt


def test_the_example_lets_a_kernel_ask_and_do_nothing_else(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", KERNEL)
    user = f"system:serviceaccount:{namespace}:kernel"
    resources = [f"{kind}.bilateral.dev" for kind in KINDS] + ["secrets"]
    allowed = {(r, v) for r in resources for v in VERBS if is_allowed(cluster, user, v, r, namespace)}
    assert allowed == {("federationpolicies.bilateral.dev", "evaluate")}
    assert not is_allowed(cluster, user, "evaluate", "federationpolicies.bilateral.dev", "default")
