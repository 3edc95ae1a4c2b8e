"""Introductions while time passes and operators end: what is over leaves, and nothing signed is unknown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from bilateral.pki.introductions import parse_introduction
from bilateral.pki.slugs import build_slug
from cluster.clocked import ClockedOperator
from cluster.introductions import (
    HOUR,
    ORG_B,
    accept,
    chains,
    document,
    furnish,
    introduce,
    issue,
    recorded,
    withdrawn,
)
from cluster.mortal import MortalOperator
from cluster.scene import (
    DOMAINS,
    INTRODUCTIONS,
    PEERS,
    Scene,
    condition_of,
    open_scene,
)
from support.partner import hanging_up, honest
from support.waiting import wait_for
from testbed.cluster import Cluster


@pytest.fixture
def own_scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene of one test's own: time that was once seen does not come back."""
    with open_scene(cluster, tmp_path_factory.mktemp("introductions-clock")) as scene:
        yield scene


def test_at_the_second_of_the_end_it_leaves_the_pod(own_scene: Scene) -> None:
    scene = own_scene
    furnish(scene)
    operator = scene.started[0]
    assert isinstance(operator, ClockedOperator)
    text = introduce(scene, seconds=2 * HOUR)
    accept(scene, "ends", text)
    issue(scene, "issued-ends", validitySeconds=2 * HOUR)
    scene.wait(INTRODUCTIONS, "ends", "Ready", status="True")
    scene.wait(INTRODUCTIONS, "issued-ends", "Ready", status="True")
    name = f"{build_slug(ORG_B.certificate)}.crt"
    wait_for(lambda: name in chains(scene), "the chain in the Secret")
    ends = max(
        int(parse_introduction(text).not_after.timestamp()),
        int(document(scene, "issued-ends").not_after.timestamp()),
    )
    (entry,) = recorded(scene, "issued-ends")
    serial = document(scene, "issued-ends").certificate.serial_number
    assert entry.serial == serial
    operator.set_clock(ends - 2 - time.time())
    obj = scene.wait(INTRODUCTIONS, "ends", "IntroductionExpired", status="False")
    wait_for(lambda: name not in chains(scene), "the chain out of the Secret")
    over = datetime.fromisoformat(condition_of(obj, "Installed")["lastTransitionTime"])
    assert over == parse_introduction(text).not_after + timedelta(seconds=1)
    issued = scene.wait(INTRODUCTIONS, "issued-ends", "IntroductionExpired", status="False")
    over = datetime.fromisoformat(condition_of(issued, "Issued")["lastTransitionTime"])
    assert over == document(scene, "issued-ends").not_after + timedelta(seconds=1)
    # What ended by itself is not withdrawn: no list grows for it, and its entry may leave the record.
    assert [each for each in recorded(scene, "issued-ends") if each.withdrawn_at is not None] == []
    assert serial not in withdrawn(scene)


def test_a_stale_peer_gets_nothing_new_and_keeps_what_is_out(own_scene: Scene) -> None:
    scene = own_scene
    furnish(scene)
    operator = scene.started[0]
    assert isinstance(operator, ClockedOperator)
    issue(scene, "before", peer="org-b")
    accept(scene, "of-b", introduce(scene))
    scene.wait(INTRODUCTIONS, "before", "Ready", status="True")
    scene.wait(INTRODUCTIONS, "of-b", "Ready", status="True")
    serial = document(scene, "before").certificate.serial_number
    scene.behave("org-b", hanging_up)
    operator.set_clock(13 * HOUR)
    scene.wait(PEERS, "org-b", "PeerStale", status="False")
    obj = scene.wait(INTRODUCTIONS, "before", "PeerStale", status="False")
    assert condition_of(obj, "Issued")["status"] == "True"
    assert document(scene, "before").certificate.serial_number == serial
    scene.wait(INTRODUCTIONS, "of-b", "PeerStale", status="False")
    wait_for(
        lambda: f"{build_slug(ORG_B.certificate)}.crt" not in chains(scene), "the chain out of the Secret"
    )
    issue(scene, "after", peer="org-b")
    scene.wait(INTRODUCTIONS, "after", "PeerStale", status="False")
    assert recorded(scene, "after") == []
    assert serial not in withdrawn(scene)
    scene.behave("org-b", honest)


def _wait_for_the_end(scene: Scene, operator: MortalOperator, name: str) -> None:
    def is_over() -> bool:
        status = scene.get(INTRODUCTIONS, name).get("status") or {}
        return not operator.is_running() or "introduction" in status

    wait_for(is_over, "the end of the operator, or of its work", seconds=30)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_every_write_nothing_that_was_signed_is_unknown(own_scene: Scene, when: str) -> None:
    """Killed at each write of an issuance in turn: what is shown is recorded, whatever else was lost."""
    scene = own_scene
    operator = scene.operator("--identity=replica-0", make=MortalOperator)
    assert isinstance(operator, MortalOperator)
    scene.add_domain(url=operator.url)
    scene.wait(DOMAINS, "org-a", "Ready", status="True")
    wait_for(lambda: "self.crl" in (scene.secret("org-a-authority") or {}), "the first list")
    operator.stop()
    for count in (1, 2, 3):
        issue(scene, f"issued-{count}")
        operator.die_at(count, when)
        operator.start(wait=False)
        _wait_for_the_end(scene, operator, f"issued-{count}")
        operator.kill() if operator.is_running() else None
    operator.die_at(10**9, when)
    operator.start()
    serials = set()
    for count in (1, 2, 3):
        scene.wait(INTRODUCTIONS, f"issued-{count}", "Ready", status="True")
        serial = document(scene, f"issued-{count}").certificate.serial_number
        assert serial in {each.serial for each in recorded(scene, f"issued-{count}")}
        serials |= {each.serial for each in recorded(scene, f"issued-{count}")}
    assert len(serials) > 3, "no kill fell between the record and the status"
    for count in (1, 2, 3):
        scene.delete(INTRODUCTIONS, f"issued-{count}")
    wait_for(lambda: serials <= withdrawn(scene), "every number in the list, the lost ones too", seconds=20)
