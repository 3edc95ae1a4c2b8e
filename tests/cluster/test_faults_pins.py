"""Pins that this operator did not write for this object count for nothing, and are proven anew by themselves.

Proves R-K9 (authenticated status), R-B1 (a restore cannot resurrect trust) and R-H6 (a pin of the future).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bilateral.resources.times import parse_time
from cluster.scene import DOMAINS, PEERS, SECRETS, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster

OTHER_KEY = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, test 1

EDITS = {
    "another key": {"publicKey": OTHER_KEY},
    "a later deadline": {"rotationDue": "2099-01-01T00:00:00Z"},
    "made earlier": {"establishedAt": "2020-01-01T00:00:00Z"},
    "made in the future": {"establishedAt": "2098-12-31T00:00:00Z"},
    "an older envelope, so that it could be replayed": {"envelopeTimestamp": "2020-01-01T00:00:00Z"},
    "no nonces, so that one could be replayed": {"envelopeNonces": []},
    "another nonce": {"envelopeNonces": ["0" * 32]},
    "a made-up seal": {"seal": "0" * 64},
}


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator, a trust domain, and a proven peer for each case."""
    with open_scene(cluster, tmp_path_factory.mktemp("pins")) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        for name in [*map(peer_of, EDITS), "source", "target", "restored"]:
            scene.add_peer(name)
        scene.wait_ready(*map(peer_of, EDITS), "source", "target", "restored")
        yield scene


def peer_of(case: str) -> str:
    return f"peer-{list(EDITS).index(case)}"


def assert_recovers(scene: Scene, name: str) -> None:
    """With the partner back, a handshake proves the key again: nobody has to help."""
    scene.wake(name)
    (peer,) = scene.wait_ready(name)
    assert peer["status"]["pin"]["publicKey"] == peer["spec"]["trustAnchors"][0]["publicKey"]
    assert condition_of(peer, "Pinned")["reason"] == "Pinned"


def assert_tampered(scene: Scene, name: str) -> None:
    """The pin counts as absent, and the object says so, while the partner cannot be asked."""
    scene.wait(PEERS, name, "PinTampered", status="False")
    wait_for(lambda: "pin" not in scene.get(PEERS, name)["status"], "no pin")
    wait_for(lambda: "PinTampered" in scene.event_reasons(name), "an event")
    wait_for(lambda: scene.kernel(name) not in scene.listed_peers(), "withdrawal from the list")


@pytest.mark.parametrize("case", EDITS)
def test_a_pin_edited_by_hand_is_nothing(scene: Scene, case: str) -> None:
    name = peer_of(case)
    scene.silence(name)
    scene.patch(PEERS, name, {"status": {"pin": EDITS[case]}}, "status")
    assert_tampered(scene, name)
    assert_recovers(scene, name)


def test_a_pin_copied_to_another_object_is_nothing(scene: Scene) -> None:
    scene.silence("target")
    pin = scene.get(PEERS, "source")["status"]["pin"]
    scene.patch(PEERS, "target", {"status": {"pin": pin}}, "status")
    assert_tampered(scene, "target")
    scene.wait_ready("source")
    assert_recovers(scene, "target")


def test_a_status_restored_from_a_backup_is_nothing_for_the_new_object(scene: Scene) -> None:
    scene.silence("restored")
    backup = scene.get(PEERS, "restored")
    scene.delete(PEERS, "restored")
    wait_for(lambda: scene.kernel("restored") not in scene.listed_peers(), "withdrawal")
    kept = {key: backup[key] for key in ("apiVersion", "kind", "spec")}
    scene.create(PEERS, kept | {"metadata": {"name": "restored"}})
    scene.patch(PEERS, "restored", {"status": backup["status"]}, "status")
    assert_tampered(scene, "restored")
    assert_recovers(scene, "restored")


def test_a_date_that_never_comes_puts_no_handshake_off(scene: Scene) -> None:
    """Whoever may write a status may not silence a partner for longer than a pause of ours."""
    never = {"nextHandshakeTime": "2099-01-01T00:00:00Z"}

    def planned(name: str, latest: int) -> bool:
        found = scene.get(PEERS, name)["status"].get("nextHandshakeTime")
        return found is not None and parse_time(found) <= latest

    due = parse_time(scene.get(PEERS, "source")["status"]["pin"]["rotationDue"])
    scene.patch(PEERS, "source", {"status": never}, "status")
    wait_for(lambda: planned("source", due), "a plan before the deadline")
    scene.silence("target")
    scene.patch(PEERS, "target", {"status": never | {"pin": None, "consecutiveFailures": 9}}, "status")
    wait_for(lambda: planned("target", int(time.time()) + 3600), "a plan within the hour")
    scene.wake("target")  # before the look that is asked for: after ten failures the next is far away
    scene.ask(PEERS, "target", "now")
    assert_recovers(scene, "target")


def test_a_condition_written_by_hand_is_put_right(scene: Scene) -> None:
    scene.add_peer("passive", passive=True)
    right = scene.wait(PEERS, "passive", "AwaitingEnvelope", status="Unknown")
    forged = [
        each | {"status": "True", "reason": "Fresh", "message": "Trust it."}
        for each in right["status"]["conditions"]
    ]
    scene.patch(PEERS, "passive", {"status": {"conditions": forged}}, "status")
    peer = scene.wait(PEERS, "passive", "AwaitingEnvelope", status="Unknown")
    for kind in ("Ready", "Anchored", "Pinned", "Fresh"):
        ignored = {"lastTransitionTime": "", "message": ""}
        assert condition_of(peer, kind) | ignored == condition_of(right, kind) | ignored


def test_pins_without_the_seal_that_made_them_are_nothing(scene: Scene) -> None:
    """The Secret of the seal is gone: a new one is made, and every partner proves its key again."""
    before = {
        each["metadata"]["name"]: each["status"]["pin"]
        for each in scene.objects(PEERS)
        if "endpoint" in each["spec"]
    }
    asked = scene.asked(*before)
    scene.delete(SECRETS, "org-a-seal")
    wait_for(lambda: scene.secret("org-a-seal"), "a new seal")

    def resealed() -> bool:
        pins = {each["metadata"]["name"]: each["status"].get("pin") for each in scene.objects(PEERS)}
        found = {name: pins[name] for name in before}
        return all(pin is not None and pin["seal"] != before[name]["seal"] for name, pin in found.items())

    wait_for(resealed, "every pin made anew")
    scene.wait_ready(*before)
    assert scene.asked(*before) >= asked + len(before)
    assert scene.wait(DOMAINS, "org-a", "Ready")["status"]["publicKey"]
