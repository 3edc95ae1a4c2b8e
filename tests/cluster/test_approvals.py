"""Who decides what our authority signs: the chart's admission policy on the real API server.

Proves R-K14's admission half: without the verb approve nobody sets approval Approved, at creation or later, or takes
Denied back, the operator included, or has a policy approve in advance; whoever may edit may still ask, deny and delete.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from cluster.rights import by_kind, is_allowed
from support.waiting import wait_for
from testbed.api import MERGE, Answer
from testbed.chart import render_chart
from testbed.cluster import Cluster
from unit.resources.manifests import FEDERATION_POLICY, INTRODUCTION, changed

NAMESPACE = "approvals"
EDITOR, APPROVER = "editor", "approver"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:bilateral"
MESSAGE = "need the verb approve on introductions.bilateral.dev"
BASE = f"/apis/bilateral.dev/v1alpha1/namespaces/{NAMESPACE}"
PATH, POLICIES = f"{BASE}/introductions", f"{BASE}/federationpolicies"
AUTOMATIC = {"approval": "Automatic", "allowedSubjects": ["CN=client1"]}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace with the chart, an editor and an administrator of it."""
    assert cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).status == 201
    cluster.install_chart(NAMESPACE)
    for user, role in ((EDITOR, "edit"), (APPROVER, "admin")):
        cluster.kubectl(
            "create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", NAMESPACE
        )
    allowed = partial(is_allowed, cluster, resource="introductions.bilateral.dev", namespace=NAMESPACE)
    wait_for(lambda: allowed(EDITOR, "create") and allowed(APPROVER, "approve"), "the aggregated roles")
    # The policy holds a moment after it was made.
    wait_for(lambda: create(cluster, EDITOR, "Approved").status == 403, "the policy")
    wait_for(lambda: write_policy(cluster, EDITOR, AUTOMATIC).status == 403, "the policy about policies")
    yield cluster
    cluster.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def create(cluster: Cluster, user: str, approval: str | None, name: str | None = None) -> Answer:
    """Create an Introduction, as a dry run where it has no name."""
    spec = {"spec.issue.approval": approval} if approval is not None else {}
    metadata = {"generateName": "asked-"} if name is None else {"name": name}
    manifest = changed(INTRODUCTION, {"metadata": metadata, **spec})
    path = PATH if name is not None else f"{PATH}?dryRun=All"
    return cluster.request("POST", path, manifest, user=user)


def write_policy(cluster: Cluster, user: str, terms: object, name: str | None = None) -> Answer:
    """Create a FederationPolicy, as a dry run where it has no name."""
    metadata = {"generateName": "policy-"} if name is None else {"name": name}
    manifest = changed(FEDERATION_POLICY, {"metadata": metadata, "spec.introductions": terms})
    return cluster.request(
        "POST", POLICIES if name is not None else f"{POLICIES}?dryRun=All", manifest, user=user
    )


def decide(cluster: Cluster, user: str, name: str, approval: str) -> Answer:
    body = {"spec": {"issue": {"approval": approval}}}
    return cluster.request("PATCH", f"{PATH}/{name}", body, content_type=MERGE, user=user)


@pytest.mark.parametrize(
    ("user", "approval", "status"),
    [
        (EDITOR, None, 201),
        (EDITOR, "Pending", 201),
        (EDITOR, "Denied", 201),
        (EDITOR, "Approved", 403),
        (OPERATOR, "Pending", 201),
        (OPERATOR, "Approved", 403),
        (APPROVER, "Approved", 201),
    ],
)
def test_who_may_create_with_which_approval(
    api: Cluster, user: str, approval: str | None, status: int
) -> None:
    answer = create(api, user, approval)
    assert answer.status == status, answer.message
    if status == 403:
        assert MESSAGE in answer.message


@pytest.mark.parametrize(
    ("user", "before", "wanted", "status"),
    [
        (EDITOR, "Pending", "Approved", 403),
        (EDITOR, "Pending", "Denied", 200),
        (EDITOR, "Approved", "Denied", 200),
        (EDITOR, "Approved", "Pending", 200),
        (EDITOR, "Denied", "Approved", 403),
        (EDITOR, "Denied", "Pending", 403),
        (APPROVER, "Pending", "Approved", 200),
        (APPROVER, "Denied", "Pending", 200),
        (APPROVER, "Denied", "Approved", 200),
    ],
)
def test_who_may_change_which_approval(
    api: Cluster, user: str, before: str, wanted: str, status: int
) -> None:
    name = f"{user}-{before}-{wanted}".lower()
    assert create(api, APPROVER, before, name).status == 201
    answer = decide(api, user, name, wanted)
    assert answer.status == status, answer.message
    if status == 403:
        assert MESSAGE in answer.message


def test_an_approved_one_may_still_be_labelled_and_deleted(api: Cluster) -> None:
    assert create(api, APPROVER, "Approved", "labelled").status == 201
    label = {"metadata": {"labels": {"team": "a"}}}
    path = f"{PATH}/labelled"
    assert api.request("PATCH", path, label, content_type=MERGE, user=EDITOR).status == 200
    assert api.request("DELETE", path, user=EDITOR).status == 200


def test_whoever_may_not_approve_makes_no_approval_last(api: Cluster) -> None:
    """With the label of what a partner fetches, the operator would sign it again before its end, for good."""
    label = {"metadata": {"labels": {"bilateral.dev/origin": "online"}}}
    for name, approval in (("for-good", "Approved"), ("asked-for", "Pending")):
        assert create(api, APPROVER, approval, name).status == 201
    patch = partial(api.request, "PATCH", body=label, content_type=MERGE)
    answer = patch(f"{PATH}/for-good", user=EDITOR)
    assert answer.status == 403
    assert MESSAGE.removeprefix("need ") in answer.message
    assert patch(f"{PATH}/asked-for", user=EDITOR).status == 200
    assert patch(f"{PATH}/for-good", user=APPROVER).status == 200
    away = {"metadata": {"labels": {"team": "a"}}}
    assert patch(f"{PATH}/for-good", body=away, user=EDITOR).status == 200


def test_whoever_may_not_approve_makes_no_policys_approval_a_persons(api: Cluster) -> None:
    mark = {"metadata": {"labels": {"bilateral.dev/approved-by": "policy"}}}
    none = {"metadata": {"labels": {"bilateral.dev/approved-by": None}}}
    assert create(api, APPROVER, "Approved", "by-policy").status == 201
    patch = partial(api.request, "PATCH", f"{PATH}/by-policy", content_type=MERGE)
    assert patch(body=mark, user=EDITOR).status == 403
    assert patch(body=mark, user=APPROVER).status == 200
    answer = patch(body=none, user=EDITOR)
    assert answer.status == 403
    assert "label bilateral.dev/approved-by" in answer.message
    assert patch(body=none, user=APPROVER).status == 200


@pytest.mark.parametrize(
    ("user", "terms", "status"),
    [
        (EDITOR, {}, 201),
        (EDITOR, {"approval": "Manual", "allowedSubjects": ["CN=client1"], "maxValiditySeconds": 600}, 201),
        (EDITOR, AUTOMATIC, 403),
        (EDITOR, {"dnsNames": ["client1.example"]}, 403),
        (APPROVER, AUTOMATIC, 201),
        (APPROVER, {"dnsNames": ["client1.example"]}, 201),
    ],
)
def test_who_may_have_a_policy_approve(api: Cluster, user: str, terms: object, status: int) -> None:
    answer = write_policy(api, user, terms)
    assert answer.status == status, answer.message
    if status == 403:
        assert "needs the verb approve on introductions.bilateral.dev" in answer.message


def test_a_policy_that_approves_may_be_changed_elsewhere_and_made_to_ask_by_an_editor(api: Cluster) -> None:
    assert write_policy(api, APPROVER, AUTOMATIC, "approving").status == 201
    path = f"{POLICIES}/approving"

    def change(spec: object, user: str = EDITOR) -> int:
        return api.request("PATCH", path, {"spec": spec}, content_type=MERGE, user=user).status

    assert change({"maxEvidenceAgeSeconds": 61}) == 200
    assert change({"introductions": {"allowedSubjects": ["CN=client1", "CN=client2"]}}) == 403
    assert change({"introductions": {"maxValiditySeconds": 31_536_000}}) == 403
    assert change({"introductions": {"allowedSubjects": ["CN=client2"]}}, APPROVER) == 200
    assert change({"introductions": {"approval": "Manual"}}) == 200
    assert change({"introductions": {"approval": "Automatic"}}) == 403
    assert api.request("DELETE", path, user=EDITOR).status == 200


def test_the_right_to_approve_may_be_given_for_one_object(api: Cluster) -> None:
    role = ("create", "role", "one", "--verb=approve", "--resource=introductions.bilateral.dev")
    api.kubectl(*role, "--resource-name=mine", "-n", NAMESPACE)
    api.kubectl("create", "rolebinding", "one", "--role=one", f"--user={EDITOR}", "-n", NAMESPACE)
    try:
        for name in ("mine", "others"):
            assert create(api, APPROVER, "Pending", name).status == 201
        wait_for(lambda: decide(api, EDITOR, "mine", "Approved").status == 200, "the one that is named")
        assert decide(api, EDITOR, "others", "Approved").status == 403
    finally:
        api.kubectl("delete", "rolebinding", "one", "-n", NAMESPACE)


def test_the_other_forms_need_no_approval(api: Cluster) -> None:
    for form in (
        {"request": {"identity": "client1", "peer": "org-b"}},
        {"accept": {"identity": "client1", "peer": "org-b", "introduction": "{}"}},
    ):
        manifest = INTRODUCTION | {"metadata": {"name": "form"}, "spec": form}
        answer = api.request("POST", f"{PATH}?dryRun=All", manifest, user=EDITOR)
        assert answer.status == 201, answer.message


def test_the_policy_is_for_the_watched_namespaces(api: Cluster) -> None:
    def selected(values: dict[str, object]) -> object:
        policies = by_kind(render_chart("trust", values), "ValidatingAdmissionPolicy")
        assert [each["spec"]["failurePolicy"] for each in policies] == ["Fail", "Fail"]
        one, other = (
            each["spec"]["matchConstraints"].get("namespaceSelector", {}).get("matchExpressions")
            for each in policies
        )
        assert one == other
        return one

    named = {"key": "kubernetes.io/metadata.name", "operator": "In"}
    assert selected({}) == [named | {"values": ["trust"]}]
    assert selected({"watchNamespaces": ["a", "b"]}) == [named | {"values": ["a", "b"]}]
    assert selected({"watchNamespaces": ["*"]}) is None
    unguarded = render_chart("trust", {"approvals": {"guarded": False}})
    assert by_kind(unguarded, "ValidatingAdmissionPolicy") == []
    assert by_kind(unguarded, "ValidatingAdmissionPolicyBinding") == []


@pytest.mark.parametrize("about", ["approvals", "terms"])
def test_the_api_server_finds_nothing_wrong_with_the_policy(api: Cluster, about: str) -> None:
    name = f"{NAMESPACE}.bilateral.{about}"
    path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{name}"

    def status() -> dict[str, Any]:
        found: dict[str, Any] = api.request("GET", path).json().get("status", {})
        return found

    wait_for(lambda: "typeChecking" in status(), "the type check")
    assert status()["typeChecking"] == {}
