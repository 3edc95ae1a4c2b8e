"""Two replicas: one writes at a time, another takes over, and one that was deposed writes nothing any more.

Proves R-K8. Both act as the chart's one ServiceAccount; the audit log tells them apart by their tokens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.scene import LEASES, PEERS, Scene, open_scene
from support.partner import Asked, Partner, Reply, honest
from support.waiting import wait_for
from testbed.audit import AuditEvent
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

TAKE_OVER_SECONDS = 20
HAND_OVER_SECONDS = 3


@pytest.fixture
def scene(cluster: Cluster, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path) as scene:
        yield scene


def start_replica(scene: Scene, name: str) -> OperatorProcess:
    """Start a replica with a token of its own."""
    made = scene.cluster.service_account_kubeconfig(scene.namespace, "bilateral")
    own = scene.directory / f"{name}.kubeconfig"
    own.write_text(made.read_text())
    return scene.operator(f"--identity={name}", kubeconfig=own)


def holder_of(scene: Scene) -> str:
    lease = scene.find(LEASES, "bilateral") or {}
    return str((lease.get("spec") or {}).get("holderIdentity", ""))


@pytest.fixture
def replicas(scene: Scene) -> tuple[OperatorProcess, OperatorProcess]:
    """The leader, and one that waits; with a proven peer."""
    first = start_replica(scene, "first")
    wait_for(lambda: holder_of(scene) == "first", "the first to lead")
    second = start_replica(scene, "second")
    scene.add_domain(url=first.url)
    scene.add_peer("peer")
    scene.wait_ready("peer")
    return first, second


def writers(scene: Scene, since: int) -> dict[str, list[AuditEvent]]:
    """What was written, by who led or not: the credential of each replica is that of its Lease reads."""
    found: dict[str, list[AuditEvent]] = {}
    for event in scene.writes(since):
        found.setdefault(event.credential, []).append(event)
    return found


def wait_taken_over(scene: Scene, since: float, within: float) -> None:
    """Wait until the second leads and works: a partner added meanwhile is proven."""
    wait_for(lambda: holder_of(scene) == "second", "the second to lead", seconds=within)
    scene.wait_ready("late", seconds=within)
    assert time.monotonic() - since < within


def test_one_of_two_writes_and_a_killed_one_is_succeeded(
    scene: Scene, replicas: tuple[OperatorProcess, OperatorProcess]
) -> None:
    first, second = replicas
    assert len(writers(scene, 0)) == 1, "the one that waits has written"
    for replica in replicas:
        assert replica.probe("/readyz") == 200
    assert [each.metrics().total("bilateral_leading") for each in replicas] == [1, 0]
    started = time.monotonic()
    first.kill()
    scene.add_peer("late")
    wait_taken_over(scene, started, TAKE_OVER_SECONDS)
    assert second.metrics().total("bilateral_leading") == 1
    scene.wait_ready("peer")


def test_one_that_stops_hands_over(scene: Scene, replicas: tuple[OperatorProcess, OperatorProcess]) -> None:
    first, _ = replicas
    assert first.stop() < 5
    stopped = time.monotonic()
    scene.add_peer("late")
    wait_taken_over(scene, stopped, HAND_OVER_SECONDS)


def test_one_that_was_frozen_writes_nothing_when_it_wakes(
    scene: Scene, replicas: tuple[OperatorProcess, OperatorProcess]
) -> None:
    """It wakes with a partner's answer in its hands, and with looks that are long due."""
    first, second = replicas
    slow = [f"slow-{number}" for number in range(5)]

    def hesitate(partner: Partner, asked: Asked) -> Reply:
        return replace(honest_reply(partner, asked), after=2.0)

    for name in slow:
        scene.behave(name, hesitate)
        scene.add_peer(name)
    wait_for(lambda: scene.asked(*slow) == len(slow), "handshakes under way")
    first.pause()
    before = scene.cluster.audit_position()
    scene.wake(*slow)
    scene.add_peer("late")
    wait_taken_over(scene, time.monotonic(), TAKE_OVER_SECONDS)
    scene.wait_ready(*slow)
    pins = {name: scene.get(PEERS, name)["status"]["pin"] for name in slow}
    assert len(writers(scene, before)) == 1
    (successor,) = writers(scene, before)

    woken = scene.cluster.audit_position()
    first.resume()
    wait_for(lambda: first.probe("/readyz") == 200, "the first to wake")
    wait_for(
        lambda: any(entry["message"] == "not leading" for entry in first.log_entries()), "the first to know"
    )
    scene.add_peer("last")
    scene.wait_ready("last")
    # An answer may be seen before its line in the audit log.
    wait_for(lambda: writers(scene, woken), "the successor's writes in the audit log")
    assert set(writers(scene, woken)) == {successor}
    assert {name: scene.get(PEERS, name)["status"]["pin"] for name in slow} == pins
    assert holder_of(scene) == "second"
    assert [each.metrics().total("bilateral_leading") for each in (first, second)] == [0, 1]


def honest_reply(partner: Partner, asked: Asked) -> Reply:
    reply = honest(partner, asked)
    assert reply is not None
    return reply


def test_the_one_that_waits_accepts_envelopes_and_nothing_twice(
    scene: Scene, replicas: tuple[OperatorProcess, OperatorProcess]
) -> None:
    first, second = replicas
    leader = next(iter(writers(scene, 0)))
    scene.add_peer("caller", passive=True)
    scene.wait(PEERS, "caller", "AwaitingEnvelope")
    since = scene.cluster.audit_position()
    envelope = scene.partner("caller").sign(scene.kernel("org-a"))
    assert scene.post(second, envelope).status == 200
    scene.wait_ready("caller")
    for replica in (first, second):
        answer = scene.post(replica, envelope)
        assert (answer.status, answer.reason) == (409, "replayed-envelope")

    def pinned() -> list[AuditEvent]:
        return [each for each in scene.writes(since) if each.resource == PEERS and each.code == 200]

    wait_for(pinned, "the write in the audit log")
    assert [each.credential == leader for each in pinned()] == [False], "one write, and not the leader's"
