"""An envelope counts once: at once or later, at this replica or another, before a restart or after.

Proves R-H2 and R-H3 (replay), R-K8 (two writers), R-C5 (reflection).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from bilateral.protocol.handshake import Envelope
from bilateral.resources.times import parse_time
from cluster.scene import PEERS, Object, Scene, open_scene
from support.caller import Answer, Caller
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

PARTNERS = (
    "once", "later", "order", "copies", "replicas", "restarted", "killed", "busy",
    "same-second", "anew",
)  # fmt: skip
REPLAYED = (409, "replayed-envelope")


@dataclass(frozen=True)
class Stage:
    scene: Scene
    leader: OperatorProcess
    replica: OperatorProcess

    @property
    def us(self) -> str:
        return self.scene.kernel("org-a")

    def sign(self, name: str, *, ahead: int = 0) -> Envelope:
        return self.scene.partner(name).sign(self.us, ahead=ahead)

    def post(self, envelope: Envelope | bytes) -> Answer:
        return Caller(self.leader.port).post(envelope)

    def pin(self, name: str) -> Object:
        pin: Object = self.scene.get(PEERS, name)["status"]["pin"]
        return pin


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_scene(cluster, tmp_path_factory.mktemp("replay")) as scene:
        leader = scene.operator()
        replica = scene.operator()
        scene.add_domain(url=leader.url)
        for name in PARTNERS:
            scene.add_peer(name, passive=True)
        for name in PARTNERS:
            scene.wait(PEERS, name, "AwaitingEnvelope", status="Unknown")
        yield Stage(scene, leader, replica)


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.reason


def test_an_envelope_sent_again_at_once_changes_nothing(stage: Stage) -> None:
    envelope = stage.sign("once")
    assert stage.post(envelope).status == 200
    pin = stage.pin("once")
    made = parse_time(str(pin["establishedAt"]))
    wait_for(lambda: time.time() >= made + 1, "the next second, in which another pin would look another")
    assert told(stage.post(envelope)) == REPLAYED
    assert stage.pin("once") == pin


def test_an_envelope_sent_again_in_another_spelling_is_the_same_envelope(stage: Stage) -> None:
    envelope = stage.sign("later")
    assert stage.post(envelope).status == 200
    again = envelope.to_json().replace(b'"signature":"', b'"signature":"0x').replace(b",", b" , ")
    assert told(stage.post(again)) == REPLAYED


def test_an_envelope_held_back_counts_for_nothing_once_a_newer_one_came(stage: Stage) -> None:
    held_back = stage.sign("order", ahead=-2)
    assert stage.post(stage.sign("order")).status == 200
    due = stage.pin("order")["rotationDue"]
    assert told(stage.post(held_back)) == REPLAYED
    assert stage.pin("order")["rotationDue"] == due


def test_two_envelopes_of_one_second_both_count_once(stage: Stage) -> None:
    first, second = stage.sign("same-second", ahead=5), stage.sign("same-second", ahead=5)
    if first.challenge.timestamp != second.challenge.timestamp:  # the second ended in between
        first = stage.sign("same-second", ahead=5)
    assert [stage.post(each).status for each in (first, second)] == [200, 200]
    assert len(stage.pin("same-second")["envelopeNonces"]) == 2
    assert [told(stage.post(each)) for each in (first, second, first)] == [REPLAYED] * 3


def test_of_a_hundred_copies_at_once_exactly_one_is_accepted(stage: Stage) -> None:
    before = stage.scene.cluster.audit_position()
    answers = Caller(stage.leader.port, source="127.0.2.1").post_all([stage.sign("copies")] * 100)
    assert Counter(map(told, answers)) == {(200, ""): 1, REPLAYED: 99}
    writes = [each for each in stage.scene.writes(before) if each.name == "copies"]
    assert [(each.resource, each.subresource, each.code) for each in writes] == [(PEERS, "status", 200)]


def test_of_two_copies_at_two_replicas_at_once_exactly_one_is_accepted(stage: Stage) -> None:
    callers = (Caller(stage.leader.port), Caller(stage.replica.port))
    for _ in range(3):
        envelope = stage.sign("replicas")
        with ThreadPoolExecutor(len(callers)) as threads:
            answers = list(threads.map(lambda caller, sent=envelope: caller.post(sent), callers))
        assert Counter(map(told, answers)) == {(200, ""): 1, REPLAYED: 1}


def test_a_replica_that_does_not_lead_accepts_and_remembers_too(stage: Stage) -> None:
    envelope = stage.sign("busy")
    assert Caller(stage.replica.port).post(envelope).status == 200
    assert told(stage.post(envelope)) == REPLAYED
    stage.scene.wait(PEERS, "busy", "Fresh", status="True")


def test_a_peer_deleted_and_made_anew_starts_from_nothing(stage: Stage) -> None:
    assert stage.post(stage.sign("anew")).status == 200
    first = stage.scene.get(PEERS, "anew")
    stage.scene.delete(PEERS, "anew")
    stage.scene.add_peer("anew", passive=True)
    anew = stage.scene.wait(PEERS, "anew", "AwaitingEnvelope", status="Unknown")
    assert "pin" not in anew["status"]
    assert stage.post(stage.sign("anew", ahead=1)).status == 200
    second = stage.scene.wait(PEERS, "anew", "Fresh", status="True")
    assert second["status"]["pin"]["seal"] != first["status"]["pin"]["seal"]


def test_what_was_accepted_is_remembered_across_stops_and_kills(stage: Stage) -> None:
    before = {name: stage.sign(name) for name in ("restarted", "killed")}
    assert stage.post(before["restarted"]).status == 200
    stage.leader.stop()
    stage.leader.start()
    assert told(stage.post(before["restarted"])) == REPLAYED
    assert stage.post(before["killed"]).status == 200
    stage.leader.kill()
    stage.leader.start()
    assert [told(stage.post(envelope)) for envelope in before.values()] == [REPLAYED] * 2
    for name in before:
        assert stage.post(stage.sign(name, ahead=1)).status == 200
