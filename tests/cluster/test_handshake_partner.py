"""What the operator makes of partners that misbehave, and of those that do not: keys, clocks, answers.

Proves R-H3 and R-H4 (a reply of yesterday), R-H6, R-H7 (another key), R-S1 and R-S3 (outbound rules), R-T1, R-T4
and R-T6 (verifiers; no token to the wrong host), R-C5 (reflection).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.reasons import Reason
from bilateral.resources.times import parse_time
from cluster.scene import DOMAINS, PEERS, Object, condition_of
from cluster.stage import Stage, open_stage
from support.caller import Caller
from support.partner import (
    Behaviour,
    addressed_to,
    forged,
    hanging_up,
    honest,
    other_schema,
    reflecting,
    refusing,
    repeating,
    saying,
    sent_by,
    silent,
    skewed,
    with_key,
)
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.ports import lease_port

OTHER_KEY = SigningKey.generate()


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(cluster, tmp_path_factory.mktemp("partner")) as stage:
        yield stage


@dataclass(frozen=True)
class Row:
    """What a partner does, and what our FederationPeer says of it."""

    reason: str
    status: str
    behaviour: Behaviour = honest
    stalled: bool = False
    acknowledged: str = "Unknown"
    spec: Callable[[Stage], Object] = field(default=lambda _: {})


def at(url: str) -> Callable[[Stage], Object]:
    return lambda stage: {"endpoint": stage.endpoint(url=url)}


def nobody_listens(stage: Stage) -> Object:
    port = lease_port()
    port.release()
    return {"endpoint": stage.endpoint(url=f"https://127.0.0.1:{port.number}")}


def by_another_authority(stage: Stage) -> Object:
    pem = stage.scene.get(DOMAINS, "org-a")["status"]["certificateAuthority"]["certificate"]
    return {"endpoint": stage.endpoint(certificateAuthority={"pem": pem})}


def by_public_authorities(stage: Stage) -> Object:
    return {"endpoint": stage.endpoint(webPKI={})}


def by_fingerprint(stage: Stage) -> Object:
    fingerprint = certificate_fingerprint(stage.scene.partners.certificate_pem)
    return {"endpoint": stage.endpoint(fingerprint={}), "fingerprints": [fingerprint]}


def by_another_fingerprint(stage: Stage) -> Object:
    return {"endpoint": stage.endpoint(fingerprint={}), "fingerprints": ["SHA256:" + "5" * 64]}


def by_another_bundle(stage: Stage) -> Object:
    pem = stage.scene.get(DOMAINS, "org-a")["status"]["certificateAuthority"]["certificate"]
    return {"endpoint": stage.endpoint(webPKI={"caBundle": pem})}


def own_name(stage: Stage) -> Object:
    return {"kernelId": stage.us}


def own_key(stage: Stage) -> Object:
    return {"trustAnchors": [{"publicKey": stage.scene.get(DOMAINS, "org-a")["status"]["publicKey"]}]}


REFUSED = "RefusedByPartner"
INVALID = "AnswerInvalid"
ROWS = {
    "honest": Row("Fresh", "True", acknowledged="True"),
    "known by fingerprint": Row("Fresh", "True", acknowledged="True", spec=by_fingerprint),
    "a clock 200 s behind": Row("Fresh", "True", skewed(-200), acknowledged="True"),
    # What it proves
    "another key": Row("UnexpectedPeerKey", "False", with_key(OTHER_KEY), stalled=True, acknowledged="False"),
    "a clock ahead": Row("ClockSkewExceeded", "False", skewed(400), acknowledged="False"),
    "a clock behind": Row("ClockSkewExceeded", "False", skewed(-400), acknowledged="False"),
    "an answer to somebody else": Row("AddressMismatch", "False", addressed_to("somebody-else")),
    "an answer by somebody else": Row("KernelIdMismatch", "False", sent_by("somebody-else"), stalled=True),
    "our own envelope": Row("AddressMismatch", "False", reflecting),
    "a forged signature": Row("InvalidSignature", "False", forged),
    "another schema": Row("UnsupportedSchema", "False", other_schema),
    # How it answers
    "no JSON": Row(INVALID, "False", saying(b"hello")),
    "a page": Row(INVALID, "False", saying(b"<html>", media_type="text/html")),
    "nothing": Row(INVALID, "False", saying(b"")),
    "another media type": Row(INVALID, "False", saying(b"{}", media_type="text/plain")),
    "an envelope too large for one": Row(INVALID, "False", saying(b"{" + b" " * 20_000 + b"}")),
    "2 MiB": Row("AnswerTooLarge", "False", saying(bytes(2 * 2**20))),
    "a compressed answer": Row(INVALID, "False", saying(b"{}", Content_Encoding="gzip")),
    "a redirect": Row(INVALID, "False", saying(b"", status=307, Location="https://127.0.0.1:1/")),
    "an error": Row(INVALID, "False", saying(b"oh", status=500, media_type="text/plain")),
    "no such page": Row(INVALID, "False", saying(b"no", status=404, media_type="text/html")),
    "no answer": Row("AnswerTimeout", "Unknown", silent),
    "hanging up": Row(INVALID, "False", hanging_up),
    # How it refuses
    "412": Row("AwaitingPartner", "Unknown", refusing(Reason.MISSING_TRUST_ANCHOR), acknowledged="False"),
    "422": Row(
        "ClockSkewExceeded", "False",
        refusing(Reason.CLOCK_SKEW_EXCEEDED, {"envelope": 1000, "local": 1777, "skew": 300}),
        acknowledged="False",
    ),
    "409": Row("ReplayedEnvelope", "Unknown", refusing(Reason.REPLAYED_ENVELOPE), acknowledged="False"),
    "401": Row(REFUSED, "False", refusing(Reason.INVALID_SIGNATURE), acknowledged="False"),
    "401 for the token": Row(REFUSED, "False", refusing(Reason.UNAUTHORIZED_BEARER), acknowledged="False"),
    "403": Row(REFUSED, "False", refusing(Reason.UNEXPECTED_PEER_KEY), acknowledged="False"),
    "403 in other words": Row(REFUSED, "False", saying(b"no", status=403), acknowledged="False"),
    "uniform": Row(REFUSED, "False", refusing(Reason.REFUSED), acknowledged="False"),
    "421": Row(REFUSED, "False", refusing(Reason.ADDRESS_MISMATCH), acknowledged="False"),
    "429": Row("TooManyRequests", "Unknown", refusing(Reason.TOO_MANY_REQUESTS, Retry_After="40")),
    "503": Row("TooManyRequests", "Unknown", refusing(Reason.NOT_READY, Retry_After="40")),
    # Whether it is reached, and is who it should be
    "nobody listens": Row("ConnectionFailed", "Unknown", spec=nobody_listens),
    "a private address": Row("DestinationRefused", "False", stalled=True, spec=at("https://10.0.0.1:8940")),
    "a name of the inside": Row("DestinationRefused", "False", stalled=True, spec=at("https://trust.svc:8940")),
    "the metadata service": Row("DestinationRefused", "False", stalled=True, spec=at("https://169.254.169.254")),
    "another authority": Row("TLSVerificationFailed", "False", spec=by_another_authority),
    "public authorities": Row("TLSVerificationFailed", "False", spec=by_public_authorities),
    "another bundle": Row("TLSVerificationFailed", "False", spec=by_another_bundle),
    "another fingerprint": Row("TLSVerificationFailed", "False", spec=by_another_fingerprint),
    # What the spec says of it
    "our own name": Row("KernelIdMismatch", "False", stalled=True, spec=own_name),
    "our own key": Row("OwnKeyAsAnchor", "False", stalled=True, spec=own_key),
    "no trust domain": Row(
        "TrustDomainNotFound", "False", stalled=True, spec=lambda _: {"trustDomain": "missing"}
    ),
    "no anchor": Row("MissingTrustAnchor", "False", stalled=True, spec=lambda _: {"trustAnchors": []}),
}  # fmt: skip


def name_of(row: str) -> str:
    return f"row-{list(ROWS).index(row)}"


@pytest.fixture(scope="module")
def rows(stage: Stage) -> Stage:
    """All of them at once, so that the slow ones hold up nobody."""
    for row, case in ROWS.items():
        stage.scene.behave(name_of(row), case.behaviour)
        stage.scene.add_peer(name_of(row), **case.spec(stage))
    return stage


@pytest.mark.parametrize("row", ROWS)
def test_what_a_partner_does_is_what_its_object_says(rows: Stage, row: str) -> None:
    case = ROWS[row]
    peer = rows.scene.wait(PEERS, name_of(row), case.reason, status=case.status)
    assert condition_of(peer, "AcknowledgedByPeer")["status"] == case.acknowledged
    assert condition_of(peer, "Stalled")["status"] == str(case.stalled)
    assert condition_of(peer, "Reconciling")["status"] == str(not case.stalled and case.status != "True")
    assert ("pin" in peer["status"]) == (case.status == "True")


@pytest.mark.parametrize("row", [row for row in ROWS if ROWS[row].reason == "TLSVerificationFailed"])
def test_a_server_that_does_not_pass_hears_not_a_word(rows: Stage, row: str) -> None:
    rows.scene.wait(PEERS, name_of(row), "TLSVerificationFailed")
    assert rows.scene.asked(name_of(row)) == 0


def test_a_partner_that_asks_for_time_is_given_it(rows: Stage) -> None:
    for row in ("429", "503"):
        status = rows.scene.wait(PEERS, name_of(row), "TooManyRequests")["status"]
        assert parse_time(status["nextHandshakeTime"]) >= parse_time(status["lastAttemptTime"]) + 40


def test_the_distance_of_clocks_is_told_as_measured(rows: Stage) -> None:
    measured = {
        row: rows.scene.wait(PEERS, name_of(row), ROWS[row].reason)["status"]["observedSkewSeconds"]
        for row in ("a clock ahead", "a clock behind", "a clock 200 s behind", "422")
    }
    near = {"a clock ahead": 400, "a clock behind": -400, "a clock 200 s behind": -200, "422": 777}
    assert measured == {row: pytest.approx(seconds, abs=3) for row, seconds in near.items()}


def test_an_unexpected_key_is_shown_beside_the_expected_one(rows: Stage) -> None:
    peer = rows.scene.wait(PEERS, name_of("another key"), "UnexpectedPeerKey")
    assert peer["status"]["unexpectedPublicKey"] == OTHER_KEY.public_key.canonical
    message = condition_of(peer)["message"]
    assert OTHER_KEY.public_key.canonical in message
    assert rows.scene.partner(name_of("another key")).anchor in message


def test_a_different_key_never_replaces_or_extends_a_pin(stage: Stage) -> None:
    before = stage.ready("steady")
    made = parse_time(before["status"]["pin"]["establishedAt"])
    wait_for(lambda: time.time() >= made + 1, "the next second, in which another pin would look another")
    stage.scene.behave("steady", with_key(OTHER_KEY))
    peer = stage.ask("steady", "as an answer")
    assert peer["status"]["pin"] == before["status"]["pin"]
    assert peer["status"]["unexpectedPublicKey"] == OTHER_KEY.public_key.canonical
    assert condition_of(peer)["status"] == "True"
    assert condition_of(peer, "AcknowledgedByPeer")["reason"] == "UnexpectedPeerKey"
    impostor = replace(stage.scene.partner("steady"), key=OTHER_KEY)
    assert Caller(stage.operator.port).post(impostor.sign(stage.us)).reason == "unexpected-peer-key"
    assert stage.scene.get(PEERS, "steady")["status"]["pin"] == before["status"]["pin"]
    # The right key again, and nothing is left of it.
    stage.scene.wake("steady")
    peer = stage.ask("steady", "again")
    assert "unexpectedPublicKey" not in peer["status"]
    assert peer["status"]["consecutiveFailures"] == 0


def test_a_person_changes_the_anchors_and_the_next_handshake_pins(stage: Stage) -> None:
    stage.ready("moved")
    stage.scene.behave("moved", with_key(OTHER_KEY))
    new = OTHER_KEY.public_key.canonical
    stage.scene.patch(PEERS, "moved", {"spec": {"trustAnchors": [{"publicKey": new}]}})
    wait_for(
        lambda: stage.scene.get(PEERS, "moved")["status"].get("pin", {}).get("publicKey") == new,
        "the new pin",
    )
    assert condition_of(stage.scene.get(PEERS, "moved"))["status"] == "True"


def test_without_its_key_among_the_anchors_a_pin_is_withdrawn(stage: Stage) -> None:
    stage.ready("dropped")
    wait_for(lambda: stage.scene.kernel("dropped") in stage.scene.listed_peers(), "the list of peers")
    old = stage.scene.partner("dropped").anchor
    other = [{"publicKey": SigningKey.generate().public_key.canonical}]
    stage.scene.patch(PEERS, "dropped", {"spec": {"trustAnchors": other}})
    stage.scene.wait(PEERS, "dropped", "PinNotAnchored", status="False")
    wait_for(lambda: stage.scene.kernel("dropped") not in stage.scene.listed_peers(), "withdrawal", 2)
    stage.scene.patch(PEERS, "dropped", {"spec": {"trustAnchors": [{"publicKey": old}]}})
    stage.scene.wait(PEERS, "dropped", "Fresh", status="True")


def test_an_answer_of_yesterday_renews_nothing(stage: Stage) -> None:
    stage.scene.behave("yesterday", repeating())
    before = stage.ready("yesterday")
    # A pin made in the same second would look the same.
    made = parse_time(before["status"]["pin"]["establishedAt"])
    wait_for(lambda: time.time() >= made + 1, "the next second")
    peer = stage.ask("yesterday", "once more")
    assert stage.scene.asked("yesterday") == 2
    assert peer["status"]["pin"] == before["status"]["pin"]
    assert condition_of(peer)["status"] == "True"


def test_a_passive_partner_is_pinned_by_what_it_sends(stage: Stage) -> None:
    stage.scene.add_peer("passive", passive=True)
    waiting = stage.scene.wait(PEERS, "passive", "AwaitingEnvelope", status="Unknown")
    assert condition_of(waiting, "Stalled")["status"] == "False"
    assert Caller(stage.operator.port).post(stage.scene.partner("passive").sign(stage.us)).status == 200
    peer = stage.scene.wait(PEERS, "passive", "Fresh", status="True")
    assert condition_of(peer, "AcknowledgedByPeer")["status"] == "Unknown"
    assert "nextHandshakeTime" not in peer["status"]
    assert stage.scene.asked("passive") == 0


def test_asking_for_a_look_is_answered_for_both_kinds(stage: Stage) -> None:
    before = stage.ready("asked")
    peer = stage.ask("asked", "now please")
    assert stage.scene.asked("asked") == 2
    assert peer["status"]["pin"]["envelopeNonces"] != before["status"]["pin"]["envelopeNonces"]
    stage.scene.ask(DOMAINS, "org-a", "and you")
    wait_for(lambda: stage.scene.get(DOMAINS, "org-a")["status"].get("reconciledNow") == "and you", "an echo")
