"""What a set of manifests allows one ServiceAccount to do, as one flat table; and what the API server says."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from testbed.cluster import Cluster

Manifest: TypeAlias = dict[str, Any]
Rights: TypeAlias = dict[tuple[str, str, str, tuple[str, ...]], set[str]]


def by_kind(documents: Sequence[Manifest], kind: str) -> list[Manifest]:
    """Return the manifests of one kind."""
    return [document for document in documents if document["kind"] == kind]


def only(documents: Sequence[Manifest], kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    (document,) = by_kind(documents, kind)
    return document


def collect_rights(documents: Sequence[Manifest], account: tuple[str, str]) -> Rights:
    """Follow every binding of `account` (namespace, name) to its role, and add up the rules.

    A key is (namespace or "" for the whole cluster, API group, resource, resource names).
    """
    roles = {
        (document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]): document
        for document in documents
        if document["kind"] in ("Role", "ClusterRole")
    }
    namespace, name = account
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    rights: Rights = {}
    for binding in documents:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding") or subject not in binding["subjects"]:
            continue
        place = binding["metadata"].get("namespace", "")
        reference = binding["roleRef"]
        role = roles[reference["kind"], place if reference["kind"] == "Role" else "", reference["name"]]
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    key = (place, group, resource, tuple(rule.get("resourceNames", ())))
                    rights.setdefault(key, set()).update(rule["verbs"])
    return rights


def is_allowed(cluster: Cluster, user: str, verb: str, resource: str, namespace: str) -> bool:
    """Ask the API server; `resource` is e.g. `secrets` or `federationpeers.bilateral.dev/status`."""
    plural, _, subresource = resource.partition("/")
    name, _, group = plural.partition(".")
    attributes = {
        "group": group,
        "resource": name,
        "subresource": subresource,
        "verb": verb,
        "namespace": namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer.status == 201, answer.message
    return bool(answer.json()["status"]["allowed"])
