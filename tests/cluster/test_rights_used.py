"""The operator's rights against what it does with them, from the API server's audit log.

Proves R-K3's other half: whatever the operator asks for is granted, and whatever is granted is used.
"""

import base64
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from cluster.rights import Rights, collect_rights
from support.waiting import wait_for
from testbed.audit import AuditEvent
from testbed.chart import render_chart
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

GROUP_PATH = "/apis/bilateral.dev/v1alpha1/namespaces"
MERGE = "application/merge-patch+json"


def used_right(event: AuditEvent, granted: Rights) -> tuple[tuple[str, str, str, tuple[str, ...]], str]:
    """The right that a call needs; with the object's name where only that name is granted."""
    resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
    named = (event.namespace, event.group, resource, (event.name,))
    key = named if event.verb in granted.get(named, ()) else (event.namespace, event.group, resource, ())
    return key, event.verb


def test_what_the_operator_uses_is_what_it_is_granted(
    cluster: Cluster, namespace: str, operator: Callable[..., OperatorProcess]
) -> None:
    user = f"system:serviceaccount:{namespace}:bilateral"
    granted = collect_rights(render_chart(namespace), (namespace, "bilateral"))

    def calls() -> list[AuditEvent]:
        return [event for event in cluster.audit_events(user=user) if event.resource]

    def used() -> set[tuple[object, str]]:
        return {used_right(event, granted) for event in calls()}

    def create(plural: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        body = {
            "apiVersion": "bilateral.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        answer = cluster.request("POST", f"{GROUP_PATH}/{namespace}/{plural}", body)
        assert answer.status == 201, answer.message

    numbers = itertools.count()

    def has_met_a_conflict(plural: str, name: str) -> bool:
        """Change an object faster than the operator looks at it: some write of its status comes too late."""
        asking = {"metadata": {"annotations": {"bilateral.dev/reconcile-now": str(next(numbers))}}}
        path = f"{GROUP_PATH}/{namespace}/{plural}/{name}"
        for _ in range(20):
            assert cluster.request("PATCH", path, asking, content_type=MERGE).status == 200
            asking["metadata"]["annotations"]["bilateral.dev/reconcile-now"] = str(next(numbers))
        return ((namespace, "bilateral.dev", plural, ()), "get") in used()

    running = operator()
    create("trustdomains", "TrustDomain", "org-a", {"kernelId": f"{namespace}-a"})
    for name in ("org-b", "org-c"):
        kernel_id = f"{namespace}-{name}"
        create("federationpeers", "FederationPeer", name, {"trustDomain": "org-a", "kernelId": kernel_id})
        wait_for(partial(is_listed, cluster, namespace, name), f"{name} in org-a-peers")
    wait_for(lambda: has_met_a_conflict("trustdomains", "org-a"), "a conflict on the TrustDomain")
    wait_for(lambda: has_met_a_conflict("federationpeers", "org-b"), "a conflict on the FederationPeer")
    expected = {(right, verb) for right, verbs in granted.items() for verb in verbs}
    running.stop()  # a watch is logged as answered once it has ended
    assert used() == expected
    assert [event for event in calls() if event.code in (401, 403)] == []


def is_listed(cluster: Cluster, namespace: str, peer: str) -> bool:
    """Whether the trust domain's list of peers has this one."""
    secret = cluster.get("secrets", "org-a-peers", namespace)
    return secret is not None and peer in base64.b64decode(secret["data"]["peer-entries.json"]).decode()
