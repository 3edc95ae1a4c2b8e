"""The operator's rights against what it does with them, from the API server's audit log.

Proves R-K3's other half: whatever the operator asks for is granted, and whatever is granted is used.
"""

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from bilateral.protocol.keys import SigningKey
from bilateral.protocol.policies.documents import write_document
from bilateral.resources.kinds import KINDS
from cluster.deciding import VALUES, Organisation, open_organisation
from cluster.organisations import Side, open_side
from cluster.rights import Rights, collect_rights
from cluster.scene import DOMAINS, IDENTITIES, INTRODUCTIONS, PEERS, POLICIES, SERVICES, Object, Scene
from support.waiting import wait_for
from testbed.audit import AuditEvent
from testbed.chart import render_chart
from testbed.cluster import Cluster

Right = tuple[tuple[str, str, str, tuple[str, ...]], str]


def used_right(event: AuditEvent, granted: Rights) -> Right:
    """The right that a call needs; with the object's name where only that name is granted."""
    resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
    named = (event.namespace, event.group, resource, (event.name,))
    key = named if event.verb in granted.get(named, ()) else (event.namespace, event.group, resource, ())
    return key, event.verb


def calls(scene: Scene) -> list[AuditEvent]:
    """What the operator of a scene asked for so far."""
    return [event for event in scene.cluster.audit_events(user=scene.account) if event.resource]


def used(scene: Scene, granted: Rights) -> set[Right]:
    return {used_right(event, granted) for event in calls(scene)}


def has_met_a_conflict(
    scene: Scene, granted: Rights, plural: str, name: str, numbers: "itertools.count[int]"
) -> bool:
    """Change an object faster than the operator looks at it: some write of its status comes too late."""
    for _ in range(20):
        scene.ask(plural, name, str(next(numbers)))
    return ((scene.namespace, "bilateral.dev", plural, ()), "get") in used(scene, granted)


def open_sides(
    stack: ExitStack, cluster: Cluster, folder: Path, *, deciding: bool
) -> Sequence[Side | Organisation]:
    """Two sides with a trust domain "ours" each."""
    if deciding:
        return [open_organisation(stack, cluster, folder / name) for name in "ab"]
    sides = [open_side(stack, cluster, folder / name) for name in "ab"]
    for each in sides:
        each.add_domain("ours")
    return sides


def policy_for(partner: str) -> Object:
    """The spec of a policy that allows nothing."""
    return {
        "peer": partner,
        "partnerId": partner,
        "trustedIssuers": [{"publicKey": SigningKey.generate().public_key.canonical}],
        "maxScope": {},
        "maxAutonomyTier": "Direct",
        "maxEvidenceAgeSeconds": 60,
    }


@pytest.mark.parametrize("deciding", [False, True], ids=["as it is installed", "where policies decide"])
def test_what_the_operator_uses_is_what_it_is_granted(
    cluster: Cluster, tmp_path: Path, *, deciding: bool
) -> None:
    numbers = itertools.count()
    with ExitStack() as stack:
        sides = open_sides(stack, cluster, tmp_path, deciding=deciding)
        asker, scene = (each.scene for each in sides)
        chart = render_chart(scene.namespace, VALUES if deciding else None)
        granted = collect_rights(chart, (scene.namespace, "bilateral"))
        for side, other in (sides, sides[::-1]):
            side.scene.add_peer(
                "partner",
                "ours",
                kernelId=other.scene.kernel("ours"),
                endpoint=other.endpoint,
                trustAnchors=[{"publicKey": other.scene.get(DOMAINS, "ours")["status"]["publicKey"]}],
            )
        for each in (asker, scene):
            each.wait(PEERS, "partner", "AuthoritiesAnnounced", kind="AuthoritiesKnown")
            each.add_identity("client", "ours")
            each.wait(IDENTITIES, "client", "Ready", status="True")
        scene.add(SERVICES, "one", url="https://api.example")
        asker.add(INTRODUCTIONS, "one", request={"identity": "client", "peer": "partner"})
        asker.wait(INTRODUCTIONS, "one", "RequestPending", status="Unknown")
        scene.add(POLICIES, "one", **policy_for("partner"))
        for plural in (kind.PLURAL for kind in KINDS):
            name = scene.objects(plural)[0]["metadata"]["name"]
            meets = partial(has_met_a_conflict, scene, granted, plural, name, numbers)
            wait_for(meets, f"a conflict on one of the {plural}")
        if isinstance(sides[1], Organisation):
            make_and_delete_a_policy(sides[1])
        sides[1].operator.stop()  # a watch is logged as answered once it has ended
        expected = {(right, verb) for right, verbs in granted.items() for verb in verbs}
        assert used(scene, granted) == expected
        assert [event for event in calls(scene) if event.code in (401, 403)] == []


def make_and_delete_a_policy(home: Organisation) -> None:
    """What the control endpoint does with the operator's own rights."""
    home.scene.delete(POLICIES, "one")
    spec = policy_for("partner")
    document = write_document("another", {name: value for name, value in spec.items() if name != "peer"})
    path = "/v1/federation/policies"
    made = home.call("POST", path, document, account="officer")
    assert made.status == 200, made.body
    gone = f"{path}?partnerId=partner"
    wait_for(lambda: home.call("DELETE", gone, account="officer").status == 200, "the policy in the cache")
