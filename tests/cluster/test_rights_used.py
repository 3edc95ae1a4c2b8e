"""The operator's rights against what it does with them, from the API server's audit log.

Proves R-K3's other half: whatever the operator asks for is granted, and whatever is granted is used.
"""

import itertools
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bilateral.resources.kinds import KINDS
from cluster.organisations import Pair, open_side
from cluster.rights import Rights, collect_rights
from cluster.scene import API, IDENTITIES, INTRODUCTIONS, PEERS, SERVICES, Scene
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


def test_what_the_operator_uses_is_what_it_is_granted(cluster: Cluster, tmp_path: Path) -> None:
    numbers = itertools.count()
    with ExitStack() as stack:
        pair = Pair(*(open_side(stack, cluster, tmp_path / name) for name in "ab"))
        asker, scene = pair.a.scene, pair.b.scene
        granted = collect_rights(render_chart(scene.namespace), (scene.namespace, "bilateral"))
        pair.domains("ours")
        for side, other in ((pair.a, pair.b), (pair.b, pair.a)):
            side.scene.add_peer(
                "partner",
                "ours",
                kernelId=other.scene.kernel("ours"),
                endpoint=other.endpoint,
                trustAnchors=[{"publicKey": other.anchor("ours")}],
            )
        for each in (asker, scene):
            each.wait(PEERS, "partner", "AuthoritiesAnnounced", kind="AuthoritiesKnown")
            each.add_identity("client", "ours")
            each.wait(IDENTITIES, "client", "Ready", status="True")
        scene.add(SERVICES, "one", url="https://api.example")
        asker.add(INTRODUCTIONS, "one", request={"identity": "client", "peer": "partner"})
        asker.wait(INTRODUCTIONS, "one", "RequestPending", status="Unknown")
        for plural in (kind.PLURAL for kind in KINDS):
            name = scene.objects(plural)[0]["metadata"]["name"]
            meets = partial(has_met_a_conflict, scene, granted, plural, name, numbers)
            wait_for(meets, f"a conflict on one of the {plural}")
        pair.b.operator.stop()  # a watch is logged as answered once it has ended
        expected = {(right, verb) for right, verbs in granted.items() for verb in verbs}
        assert used(scene, granted) == expected
        assert [event for event in calls(scene) if event.code in (401, 403)] == []


def manifest(kind: str, spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": "one"}, "spec": spec}
