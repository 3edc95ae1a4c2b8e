"""Two organisations with an operator each: first contact, renewal, staleness, suspension, rotation.

Windows are as short as they may be, 60 seconds; all that has to wait for them is begun at once and watched in the
background, and the tests that read it come last. Proves R-H3, R-H7, R-H9, R-K9 (the seal) and R-D3 (no needless write).
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bilateral.protocol.handshake import Pin
from bilateral.protocol.keys import SigningKey, parse_public_key
from bilateral.protocol.seal import verify_seal
from bilateral.resources.times import parse_time
from cluster.organisations import Pair, Side, due, echo_of, established, open_side, pin_of
from cluster.scene import DOMAINS, PEERS, Object, condition_of
from support.caller import Caller
from support.partner import PartnerServer, with_key
from support.timeline import Seen
from support.waiting import wait_for
from testbed.cluster import Cluster

WINDOW = 60
SHORT: dict[str, Any] = {"handshake": {"rotationWindowSeconds": WINDOW}}
IMPOSTOR = SigningKey.generate()
RENEWERS = tuple(f"renewer-{number}" for number in range(5))


@pytest.fixture(scope="module")
def pair(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(*(open_side(stack, cluster, tmp_path_factory.mktemp(name)) for name in "ab"))


@dataclass(frozen=True)
class Windows:
    """What was begun at the start: one pair of operators that renews, and partners of side a of every sort."""

    pair: Pair
    renewing: str
    position: int


@pytest.fixture(scope="module", autouse=True)
def windows(pair: Pair) -> Windows:
    scene = pair.a.scene
    renewing = begin_renewing(pair)
    pair.a.add_domain("short", **SHORT)
    with PartnerServer() as leaving:
        endpoint = {
            "url": leaving.url,
            "verifier": {"certificateAuthority": {"pem": leaving.authority.certificate_pem.decode()}},
        }
        for name in ("leaver", "retained"):
            partner = leaving.play(kernel_id=scene.kernel(name))
            spec: dict[str, Any] = {"onStale": "Retain"} if name == "retained" else {}
            anchors = [{"publicKey": partner.anchor}]
            scene.add_peer(name, "short", endpoint=endpoint, trustAnchors=anchors, **spec)
        for name in ("impostor", *RENEWERS):
            scene.add_peer(name, "short")
        scene.add_peer("quiet", "short", passive=True)
        for name in ("leaver", "retained", "impostor", *RENEWERS):
            pair.a.ready(name)
        pair.a.peers.wait(
            "quiet", lambda peer: condition_of(peer).get("reason") == "AwaitingEnvelope", "looked at"
        )
        answer = Caller(pair.a.operator.port).post(scene.partner("quiet").sign(scene.kernel("short")))
        assert answer.status == 200
        scene.behave("impostor", with_key(IMPOSTOR))
    # Leaving the block ended that server: from here on nobody listens there.
    return Windows(pair, renewing, scene.cluster.audit_position())


def begin_renewing(pair: Pair) -> str:
    """Two operators that know each other; one of them asks first, by more than a second.

    When each side renews is drawn from its object's UID. If both do at once, each may write twice.
    """
    for number in range(10):
        name = f"renewing-{number}"
        pair.domains(name, **SHORT)
        pair.peers(name)
        first, second = sorted(
            parse_time(side.scene.get(PEERS, name)["status"]["nextHandshakeTime"])
            for side in (pair.a, pair.b)
        )
        if second - first > 1:
            return name
    raise AssertionError("ten pairs that all renew at once")


# First contact


def test_first_contact_needs_an_anchor_on_both_sides(pair: Pair) -> None:
    pair.domains("first")
    for side, other in ((pair.a, pair.b), (pair.b, pair.a)):
        side.add_peer("first", other, anchored=False)
        peer = side.scene.wait(PEERS, "first", "MissingTrustAnchor", status="False")
        assert condition_of(peer, "Stalled")["status"] == "True"
        assert condition_of(peer, "Anchored")["status"] == "False"
    untouched = pair.b.scene.get(PEERS, "first")

    pair.a.scene.patch(PEERS, "first", {"spec": {"trustAnchors": [{"publicKey": pair.b.anchor("first")}]}})
    waiting = pair.a.scene.wait(PEERS, "first", "AwaitingPartner", status="Unknown")
    assert condition_of(waiting, "Stalled")["status"] == "False"
    assert condition_of(waiting, "Reconciling")["status"] == "True"
    assert condition_of(waiting, "AcknowledgedByPeer")["status"] == "False"
    assert "pin" not in waiting["status"]
    # Being asked wrote nothing on the other side.
    assert pair.b.scene.get(PEERS, "first") == untouched

    pair.b.scene.patch(PEERS, "first", {"spec": {"trustAnchors": [{"publicKey": pair.a.anchor("first")}]}})
    for side in (pair.a, pair.b):
        peer = side.ready("first").obj
        assert condition_of(peer)["reason"] == "Fresh"
        side.acknowledged("first")


def test_a_pin_says_which_key_until_when_and_carries_a_seal(pair: Pair) -> None:
    pair.domains("sealed")
    pair.peers("sealed")
    for side, other in ((pair.a, pair.b), (pair.b, pair.a)):
        peer = side.scene.get(PEERS, "sealed")
        status = peer["status"]["pin"]
        assert status["publicKey"] == other.anchor("sealed")
        assert parse_time(status["rotationDue"]) - parse_time(status["establishedAt"]) == 43_200
        pin = Pin(
            public_key=parse_public_key(status["publicKey"]),
            established_at=parse_time(status["establishedAt"]),
            rotation_due=parse_time(status["rotationDue"]),
            envelope_timestamp=parse_time(status["envelopeTimestamp"]),
            envelope_nonces=tuple(status["envelopeNonces"]),
        )
        key = (side.scene.secret("sealed-seal") or {})["seal.key"]
        uid, kernel_id = peer["metadata"]["uid"], peer["spec"]["kernelId"]
        assert verify_seal(key, uid, kernel_id, pin, status["seal"])
        later = replace(pin, rotation_due=pin.rotation_due + 1)
        assert not verify_seal(key, uid, kernel_id, later, status["seal"])


def test_both_sides_may_begin_at_once(pair: Pair) -> None:
    names = [f"at-once-{number}" for number in range(4)]
    for name in names:
        pair.domains(name)
    sides = ((pair.a, pair.b), (pair.b, pair.a))
    with ThreadPoolExecutor(len(names) * 2) as threads:
        jobs = [threads.submit(side.add_peer, name, other) for name in names for side, other in sides]
        for job in jobs:
            job.result()
    for name in names:
        for side, _ in sides:
            ready = side.ready(name)
            side.acknowledged(name)
            since = [seen.obj for seen in side.peers.versions(name) if seen.at >= ready.at]
            assert {condition_of(peer)["status"] for peer in since} == {"True"}
            assert since[-1]["status"]["consecutiveFailures"] == 0


def test_a_partner_deleted_and_made_anew_starts_from_nothing(pair: Pair) -> None:
    pair.domains("anew")
    pair.peers("anew")
    before = pair.a.scene.get(PEERS, "anew")
    other = pair.b.scene.kernel("anew")
    wait_for(lambda: pair.a.trusts("anew", other), "the list")
    pair.a.scene.delete(PEERS, "anew")
    wait_for(lambda: not pair.a.trusts("anew", other), "withdrawal", 2)
    pair.a.add_peer("anew", pair.b, anchored=False)
    anew = pair.a.scene.wait(PEERS, "anew", "MissingTrustAnchor", status="False")
    assert "pin" not in anew["status"]
    pair.a.scene.patch(PEERS, "anew", {"spec": {"trustAnchors": [{"publicKey": pair.b.anchor("anew")}]}})
    after = pair.a.scene.wait(PEERS, "anew", "Fresh", status="True")
    assert after["status"]["pin"]["seal"] != before["status"]["pin"]["seal"]


# What a person does in between


def test_a_suspended_partner_is_nobody_until_it_is_resumed(pair: Pair) -> None:
    pair.domains("paused")
    pair.peers("paused")
    a, b = pair.a, pair.b
    wait_for(lambda: a.trusts("paused", b.scene.kernel("paused")), "the list")
    a.scene.patch(PEERS, "paused", {"spec": {"state": "Suspended"}})
    suspended = a.scene.wait(PEERS, "paused", "Suspended", status="False")
    assert condition_of(suspended, "Stalled")["status"] == "True"
    wait_for(lambda: not a.trusts("paused", b.scene.kernel("paused")), "withdrawal", 2)
    (entry,) = json.loads((a.scene.secret("paused-peers") or {})["peer-entries.json"])
    assert entry["enabled"] is False
    # The partner hears what a stranger hears, and keeps what it has proven.
    b.scene.ask(PEERS, "paused", "while suspended")
    held = b.peers.wait("paused", lambda peer: echo_of(peer) == "while suspended", "an echo").obj
    assert condition_of(held, "AcknowledgedByPeer")["reason"] == "AwaitingPartner"
    assert condition_of(held)["status"] == "True"
    a.scene.patch(PEERS, "paused", {"spec": {"state": "Active"}})
    a.scene.wait(PEERS, "paused", "Fresh", status="True")
    wait_for(
        lambda: condition_of(b.scene.get(PEERS, "paused"), "AcknowledgedByPeer")["status"] == "True",
        "the partner's",
    )


def test_a_key_is_replaced_without_a_gap(pair: Pair) -> None:
    """The partner announces its next key, we anchor both, it switches: Ready never leaves True."""
    pair.domains("rotating")
    pair.peers("rotating")
    a, b = pair.a, pair.b
    old = b.anchor("rotating")
    b.scene.patch(DOMAINS, "rotating", {"spec": {"signingKey": {"nextSecretName": "rotating-key-2"}}})
    announced: str = wait_for(
        lambda: b.scene.get(DOMAINS, "rotating")["status"].get("nextPublicKey"), "the announced key"
    )
    assert announced != old
    anchors = [{"publicKey": old}, {"publicKey": announced}]
    a.scene.patch(PEERS, "rotating", {"spec": {"trustAnchors": anchors}})
    switch = {"secretName": "rotating-key-2", "nextSecretName": None}
    b.scene.patch(DOMAINS, "rotating", {"spec": {"signingKey": switch}})
    wait_for(lambda: b.anchor("rotating") == announced, "the switch")
    assert condition_of(b.scene.get(DOMAINS, "rotating"))["status"] == "True"
    a.scene.ask(PEERS, "rotating", "after the switch")
    a.peers.wait("rotating", lambda peer: pin_of(peer).get("publicKey") == announced, "the new key")
    a.scene.patch(PEERS, "rotating", {"spec": {"trustAnchors": anchors[1:]}})
    generation = a.scene.get(PEERS, "rotating")["metadata"]["generation"]
    a.peers.wait(
        "rotating", lambda peer: peer.get("status", {}).get("observedGeneration") == generation, "a look"
    )
    for side in (a, b):
        since = side.ready("rotating").at
        states = {condition_of(s.obj)["status"] for s in side.peers.versions("rotating") if s.at >= since}
        assert states == {"True"}


# What had to wait for its window; begun with the first test


def first_renewal(side: Side, name: str) -> tuple[Object, Seen]:
    """The object before its first renewal after everything was begun, and the version that brought it."""
    before = side.acknowledged(name).obj
    # Until it settled, each side may have asked once: the last of these pins is the one to be renewed.
    for _ in range(3):
        made = established(before)

        def is_newer(peer: Object, made: int = made) -> bool:
            return bool(pin_of(peer)) and established(peer) > made

        renewed = side.peers.wait(name, is_newer, "renewal", WINDOW + 5)
        if established(renewed.obj) - made > 15:
            return before, renewed
        before = renewed.obj
    raise AssertionError("it never settled")


@pytest.mark.parametrize("name", RENEWERS)
def test_a_pin_is_renewed_at_65_to_75_percent_of_its_window(windows: Windows, name: str) -> None:
    before, renewed = first_renewal(windows.pair.a, name)
    waited = established(renewed.obj) - established(before)
    assert 0.65 * WINDOW <= waited <= 0.75 * WINDOW + 1
    assert due(renewed.obj) == established(renewed.obj) + WINDOW
    assert parse_time(before["status"]["nextHandshakeTime"]) <= established(renewed.obj)
    # One write: no version in between, and none after it until the next one.
    versions = [seen for seen in windows.pair.a.peers.versions(name) if seen.at <= renewed.at]
    assert versions[-2].obj["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_renewals_are_spread(windows: Windows) -> None:
    shares = set()
    for name in RENEWERS:
        before, renewed = first_renewal(windows.pair.a, name)
        shares.add(established(renewed.obj) - established(before))
    assert len(shares) > 1


def test_a_renewal_is_one_write_on_each_side(windows: Windows) -> None:
    sides = (windows.pair.a, windows.pair.b)
    renewals = [first_renewal(side, windows.renewing) for side in sides]
    # Until well after it: nothing but that one status.
    quiet = max(renewed.at for _, renewed in renewals) + 3
    wait_for(lambda: time.time() > quiet, "some quiet")
    for side, (before, renewed) in zip(sides, renewals, strict=True):
        assert 0.65 * WINDOW <= established(renewed.obj) - established(before) <= 0.75 * WINDOW + 1
        writes = [each for each in side.scene.writes(windows.position) if each.name == windows.renewing]
        assert [(each.verb, each.subresource, each.code) for each in writes] == [("patch", "status", 200)]
        assert condition_of(renewed.obj)["status"] == "True"
        assert pin_of(renewed.obj)["publicKey"] == pin_of(before)["publicKey"]


def stale(side: Side, name: str) -> tuple[Object, Seen]:
    """The last version that counted, and the one that says that it does not any more."""
    gone = side.peers.wait(
        name, lambda peer: condition_of(peer).get("reason") == "PeerStale", "stale", WINDOW + 10
    )
    versions = [seen.obj for seen in side.peers.versions(name) if seen.at < gone.at]
    return versions[-1], gone


FALLEN = ("leaver", "retained", "impostor", "quiet")


@pytest.mark.parametrize("name", FALLEN)
def test_a_partner_that_is_not_renewed_is_stale_in_the_second_of_its_deadline(
    windows: Windows, name: str
) -> None:
    side = windows.pair.a
    before, gone = stale(side, name)
    deadline = due(before)
    assert deadline <= gone.at <= deadline + 1.5
    ready = condition_of(gone.obj)
    assert (ready["status"], parse_time(ready["lastTransitionTime"])) == ("False", deadline)
    assert condition_of(gone.obj, "Fresh")["reason"] == "PeerStale"
    # Who mounts the list is told within a second.
    listed = side.secrets.wait(
        "short-peers",
        lambda secret: (
            side.scene.kernel(name)
            not in {p["kernelId"] for p in json.loads(b64decode(secret["data"]["peers.json"]))}
        ),
        "withdrawal",
        since=gone.at - 1,
    )
    assert listed.at <= gone.at + 1
    entries = json.loads(b64decode(listed.obj["data"]["peer-entries.json"]))
    assert [entry["enabled"] for entry in entries if entry["peer_id"] == side.scene.kernel(name)] == [False]


@pytest.mark.parametrize("name", ["leaver", "retained", "impostor"])
def test_a_failed_renewal_keeps_the_pin_until_its_deadline(windows: Windows, name: str) -> None:
    before, gone = stale(windows.pair.a, name)
    since = windows.pair.a.ready(name).at
    held = [seen.obj for seen in windows.pair.a.peers.versions(name) if since <= seen.at < gone.at]
    assert {condition_of(peer)["status"] for peer in held} == {"True"}
    assert {json.dumps(pin_of(peer)) for peer in held} == {json.dumps(pin_of(before))}
    # It was tried more than once, ever closer to the deadline, and said so.
    assert before["status"]["consecutiveFailures"] >= 2
    assert "Renewal fails" in condition_of(before)["message"]
    # Being stale does not take the pin away: what was seen still counts against a replay.
    assert pin_of(gone.obj) == pin_of(before)


def test_another_key_at_renewal_is_shown_and_never_pinned(windows: Windows) -> None:
    before, gone = stale(windows.pair.a, "impostor")
    for peer in (before, gone.obj):
        assert peer["status"]["unexpectedPublicKey"] == IMPOSTOR.public_key.canonical
        assert pin_of(peer)["publicKey"] == windows.pair.a.scene.partner("impostor").anchor


def test_what_is_retained_is_said_so(windows: Windows) -> None:
    messages = {
        name: condition_of(stale(windows.pair.a, name)[1].obj)["message"] for name in ("leaver", "retained")
    }
    assert "Retain" in messages["retained"]
    assert "Retain" not in messages["leaver"]


def test_the_stale_are_back_with_their_next_handshake(windows: Windows) -> None:
    side = windows.pair.a
    stale(side, "impostor")
    side.scene.wake("impostor")
    side.scene.ask(PEERS, "impostor", "it is us again")
    side.scene.wait(PEERS, "impostor", "Fresh", status="True")
    stale(side, "quiet")
    sent = side.scene.partner("quiet").sign(side.scene.kernel("short"))
    assert Caller(side.operator.port).post(sent).status == 200
    side.scene.wait(PEERS, "quiet", "Fresh", status="True")
