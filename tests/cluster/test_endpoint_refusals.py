"""Every refusal of the endpoint, as partners and strangers see it on the running operator.

Proves R-H1 (one answer for all strangers when so set), R-C1 (small order), R-C5 (reflection, wrong addressee),
R-H9 (no trust on first use), R-J2's tokens, R-D2 (what is refused writes nothing).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from bilateral.protocol.handshake import HANDSHAKE_SCHEMA, Envelope
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.protocol.problems import PROBLEM_TYPE_PREFIX
from cluster.scene import DOMAINS, PEERS, SECRETS, Scene, condition_of, open_scene
from support.caller import Answer, Caller
from support.edwards import BASE, SMALL_ORDER, TORSION, add, encode
from support.partner import Partner
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

TOKEN = "token-of-the-partner-0123456789"


@dataclass(frozen=True)
class Stage:
    """One operator that says why, a second replica that does not, and peers of every sort."""

    scene: Scene
    documented: OperatorProcess
    uniform: OperatorProcess

    def partner(self, name: str) -> Partner:
        return self.scene.partner(name)

    @property
    def us(self) -> str:
        return self.scene.kernel("org-a")


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_scene(cluster, tmp_path_factory.mktemp("refusals")) as scene:
        documented = scene.operator()
        uniform = scene.operator("--refusals=Uniform")
        scene.add_domain(url=documented.url)
        # A trust domain whose key is nobody's: a Secret of that name is there, and is not ours.
        scene.create(SECRETS, {"metadata": {"name": "foreign"}, "data": {}})
        scene.add_domain("mute", signingKey={"secretName": "foreign"})
        for name in ("anchored", "pinned", "other"):
            scene.add_peer(name, passive=True)
        scene.add_peer("unanchored", passive=True, trustAnchors=[])
        scene.add_peer("suspended", passive=True, state="Suspended")
        token_hash = f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"
        scene.add_peer("tokened", passive=True, authTokenHash=token_hash)
        scene.wait(DOMAINS, "org-a", "Ready", status="True")
        scene.wait(DOMAINS, "mute", "SecretConflict", status="False")
        for name in ("anchored", "pinned", "other", "tokened"):
            scene.wait(PEERS, name, "AwaitingEnvelope", status="Unknown")
        stage = Stage(scene, documented, uniform)
        caller = Caller(documented.port)
        assert caller.post(stage.partner("pinned").sign(stage.us)).status == 200
        yield stage


def signed(name: str, **changes: int | str) -> Callable[[Stage], Envelope]:
    """An envelope of that partner to us, which only differs by ``changes`` from a good one."""
    return lambda stage: stage.partner(name).sign(stage.us, **changes)  # type: ignore[arg-type]  # of the table


def stranger(stage: Stage) -> Envelope:
    return Partner("a-stranger").sign(stage.us)


def with_other_key(name: str) -> Callable[[Stage], Envelope]:
    return lambda stage: replace(stage.partner(name), key=SigningKey.generate()).sign(stage.us)


def with_key_of(name: str, other: str) -> Callable[[Stage], Envelope]:
    """An envelope in the name of one partner, signed by another one whom we trust as well."""
    return lambda stage: replace(stage.partner(name), key=stage.partner(other).key).sign(stage.us)


def tampered(name: str) -> Callable[[Stage], Envelope]:
    def make(stage: Stage) -> Envelope:
        envelope = stage.partner(name).sign(stage.us)
        return replace(envelope, challenge=replace(envelope.challenge, nonce="another"))

    return make


def of_small_order(name: str, order: int) -> Callable[[Stage], Envelope]:
    """A key of small order, with R the neutral point and S zero: lax verifiers take it for any message."""

    def make(stage: Stage) -> Envelope:
        envelope = stage.partner(name).sign(stage.us)
        return replace(
            envelope,
            declared_public_key=PublicKey(encode(SMALL_ORDER[order])),
            signature=encode(SMALL_ORDER[0]) + bytes(32),
        )

    return make


def small_order_signature(stage: Stage) -> Envelope:
    envelope = stage.partner("anchored").sign(stage.us)
    return replace(envelope, signature=encode(SMALL_ORDER[0]) + bytes(32))


def to_somebody_else(stage: Stage) -> Envelope:
    return stage.partner("anchored").sign("somebody-else")


def as_ourselves(stage: Stage) -> Envelope:
    return replace(stage.partner("anchored"), kernel_id=stage.us).sign(stage.us)


def our_own(stage: Stage) -> bytes:
    """What we answered to a partner, sent back to us."""
    answer = Caller(stage.documented.port).post(stage.partner("other").sign(stage.us))
    assert answer.status == 200
    return answer.body


def schema(text: str) -> Callable[[Stage], bytes]:
    """An envelope of another schema, correctly signed."""

    def make(stage: Stage) -> bytes:
        envelope = stage.partner("anchored").sign(stage.us)
        challenge = replace(envelope.challenge, schema=text)
        key = stage.partner("anchored").key
        return replace(
            envelope, challenge=challenge, signature=key.sign(challenge.canonical_bytes())
        ).to_json()

    return make


def to_the_mute(stage: Stage) -> Envelope:
    return stage.partner("anchored").sign(stage.scene.kernel("mute"))


@dataclass(frozen=True)
class Refused:
    """A row: what is sent, and what comes back; ``members`` are those beside the four of every problem."""

    send: Callable[[Stage], Envelope | bytes]
    status: int
    reason: str
    members: dict[str, Callable[[Stage], object]] = field(default_factory=dict)
    bearer: str | None = None


def kernel(name: str) -> Callable[[Stage], object]:
    return lambda stage: stage.scene.kernel(name)


def now(_stage: Stage) -> object:
    return pytest.approx(time.time(), abs=3)


def ahead_by(seconds: int) -> Refused:
    members: dict[str, Callable[[Stage], object]] = {
        "envelope": lambda _: pytest.approx(time.time() + seconds, abs=3),
        "local": now,
        "skew": lambda _: 300,
    }
    return Refused(signed("anchored", ahead=seconds), 422, "clock-skew-exceeded", members)


MISSING = (412, "missing-trust-anchor")
OURS: dict[str, Callable[[Stage], object]] = {"schema": lambda _: HANDSHAKE_SCHEMA}
TABLE = {
    "a stranger": Refused(stranger, *MISSING, {"kernelId": lambda _: "a-stranger"}),
    "a partner without anchors": Refused(signed("unanchored"), *MISSING, {"kernelId": kernel("unanchored")}),
    "a suspended partner": Refused(signed("suspended"), *MISSING, {"kernelId": kernel("suspended")}),
    "a clock ahead": ahead_by(305),
    "a clock behind": ahead_by(-301),
    "an envelope of last year": ahead_by(-31_536_000),
    "a later schema": Refused(schema(HANDSHAKE_SCHEMA[:-1] + "2"), 422, "unsupported-schema", OURS),
    "a schema of another document": Refused(
        schema("chio.federation-policy.v1"), 422, "unsupported-schema", OURS
    ),
    "a tampered envelope": Refused(tampered("anchored"), 401, "invalid-signature"),
    "a tampered envelope of a stranger": Refused(
        lambda stage: replace(stranger(stage), signature=bytes(64)), 401, "invalid-signature"
    ),
    "a signature of small order": Refused(small_order_signature, 401, "invalid-signature"),
    "the neutral point as key": Refused(of_small_order("anchored", 0), 401, "invalid-signature"),
    "a key of order 8": Refused(of_small_order("anchored", 1), 401, "invalid-signature"),
    "a key of order 4": Refused(of_small_order("anchored", 2), 401, "invalid-signature"),
    "a key of order 2": Refused(of_small_order("anchored", 4), 401, "invalid-signature"),
    "an envelope for somebody else": Refused(to_somebody_else, 421, "address-mismatch"),
    "our own answer": Refused(our_own, 421, "address-mismatch"),
    "an envelope in our own name": Refused(as_ourselves, 403, "kernel-id-mismatch"),
    "another key of an anchored partner": Refused(
        with_other_key("anchored"), 403, "unexpected-peer-key", {"kernelId": kernel("anchored")}
    ),
    "another key of a pinned partner": Refused(
        with_other_key("pinned"), 403, "unexpected-peer-key", {"kernelId": kernel("pinned")}
    ),
    "another partner's key": Refused(
        with_key_of("anchored", "pinned"), 403, "unexpected-peer-key", {"kernelId": kernel("anchored")}
    ),
    "another key of a partner without anchors": Refused(
        with_other_key("unanchored"), *MISSING, {"kernelId": kernel("unanchored")}
    ),
    "an older envelope": Refused(signed("pinned", ahead=-100), 409, "replayed-envelope"),
    "no token": Refused(signed("tokened"), 401, "unauthorized-bearer"),
    "another token": Refused(signed("tokened"), 401, "unauthorized-bearer", bearer=TOKEN + "x"),
    "the token's beginning": Refused(signed("tokened"), 401, "unauthorized-bearer", bearer=TOKEN[:-1]),
    "the token's hash": Refused(
        signed("tokened"), 401, "unauthorized-bearer", bearer=hashlib.sha256(TOKEN.encode()).hexdigest()
    ),
    "a token of two words": Refused(signed("tokened"), 401, "unauthorized-bearer", bearer=f"{TOKEN} {TOKEN}"),
    "a trust domain that may not sign": Refused(to_the_mute, 503, "not-ready"),
}

PUBLISHED = {
    "missing-trust-anchor": (
        "Missing trust anchor",
        "peer {kernelId} is not trusted for first contact; configure a trust anchor before accepting handshakes",
    ),
    "clock-skew-exceeded": (
        "Clock skew exceeded",
        "remote envelope timestamp {envelope} drifts from local clock {local} beyond {skew}s",
    ),
}
"""Title and detail as the contract publishes them."""


def assert_problem(answer: Answer, status: int, reason: str) -> dict[str, object]:
    """Every refusal is a problem document (RFC 9457) without a word too many; return the other members."""
    document = answer.document
    assert (answer.status, document["type"]) == (status, PROBLEM_TYPE_PREFIX + reason)
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Server"] is None
    assert (answer["WWW-Authenticate"] == "Bearer") == (status == 401)
    return {
        name: value for name, value in document.items() if name not in {"type", "title", "status", "detail"}
    }


@pytest.mark.parametrize("row", TABLE)
def test_what_is_refused_is_told_why_and_changes_nothing(stage: Stage, row: str) -> None:
    case = TABLE[row]
    body = case.send(stage)
    before = stage.scene.cluster.audit_position()
    answer = Caller(stage.documented.port).post(body, bearer=case.bearer)
    members = assert_problem(answer, case.status, case.reason)
    assert members == {name: expected(stage) for name, expected in case.members.items()}
    if case.reason in PUBLISHED:
        title, detail = PUBLISHED[case.reason]
        assert (answer.document["title"], answer.document["detail"]) == (title, detail.format(**members))
    # The lists of peers are written within ten seconds of an acceptance, whoever is refused meanwhile.
    assert [each for each in stage.scene.writes(before) if each.resource != SECRETS] == []


def test_a_key_that_is_not_told_apart_from_a_stranger_stays_out(stage: Stage) -> None:
    assert stage.scene.listed_peers().keys() <= {stage.scene.kernel(name) for name in ("pinned", "other")}
    for name in ("anchored", "unanchored", "suspended", "tokened"):
        assert "pin" not in stage.scene.get(PEERS, name)["status"]


ALIKE = [
    "a stranger",
    "a partner without anchors",
    "a suspended partner",
    "a tampered envelope",
    "a tampered envelope of a stranger",
    "a signature of small order",
    "a key of order 8",
    "an envelope for somebody else",
    "an envelope in our own name",
    "another key of an anchored partner",
    "another key of a pinned partner",
    "no token",
    "another token",
    "a token of two words",
]


def test_uniform_refusals_are_one_answer_byte_for_byte(stage: Stage) -> None:
    caller = Caller(stage.uniform.port)
    answers = {row: caller.post(TABLE[row].send(stage), bearer=TABLE[row].bearer) for row in ALIKE}
    assert assert_problem(answers["a stranger"], 403, "refused") == {}
    assert len({answer.undated for answer in answers.values()}) == 1


@pytest.mark.parametrize("row", ["a clock ahead", "a later schema", "a trust domain that may not sign"])
def test_what_tells_nothing_of_partners_is_still_said_under_uniform_refusals(stage: Stage, row: str) -> None:
    answer = Caller(stage.uniform.port).post(TABLE[row].send(stage))
    assert_problem(answer, TABLE[row].status, TABLE[row].reason)


def test_uniform_refusals_leave_the_cause_in_our_own_metrics(stage: Stage) -> None:
    name, reason = "bilateral_handshakes_inbound_total", "UnexpectedPeerKey"
    before = stage.uniform.metrics().total(name, reason=reason)
    Caller(stage.uniform.port).post(TABLE["another key of a pinned partner"].send(stage))
    assert stage.uniform.metrics().total(name, reason=reason) == before + 1


WAYS = {
    "another path": (404, "not-found", {"path": "/v1/federation/handshake/"}),
    "a path with a query": (404, "not-found", {"path": "/v1/federation/handshake?x=1"}),
    "a path that climbs": (404, "not-found", {"path": "/v1/../v1/federation/handshake"}),
    "the root": (404, "not-found", {"path": "/"}),
    "the metrics, which are elsewhere": (404, "not-found", {"path": "/metrics"}),
    "GET": (405, "method-not-allowed", {"method": "GET"}),
    "PUT": (405, "method-not-allowed", {"method": "PUT"}),
    "no media type": (415, "unsupported-media-type", {"media_type": None}),
    "a form": (415, "unsupported-media-type", {"media_type": "application/x-www-form-urlencoded"}),
    "problem+json": (415, "unsupported-media-type", {"media_type": "application/problem+json"}),
    "another charset": (415, "unsupported-media-type", {"media_type": "application/json; charset=utf-16"}),
    "a compressed body": (415, "unsupported-media-type", {"Content_Encoding": "gzip"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_another_way_of_asking_is_refused_before_the_envelope_is_read(stage: Stage, way: str) -> None:
    status, reason, changes = WAYS[way]
    envelope = stage.partner("anchored").sign(stage.us)
    answer = Caller(stage.documented.port).post(envelope, **changes)  # type: ignore[arg-type]  # of the table
    assert assert_problem(answer, status, reason) == {}
    assert answer["Allow"] == ("POST" if status == 405 else None)


WEAK = {
    # Spelt so that the API server's own list of such points does not know them.
    "the neutral point": PublicKey(encode(SMALL_ORDER[0])).did_key,
    "order 2": PublicKey(encode(SMALL_ORDER[4])).did_key,
    "order 8": PublicKey(encode(SMALL_ORDER[1])).did_key,
    "mixed order": PublicKey(encode(add(BASE, TORSION))).canonical,
    "not on the curve": PublicKey((2).to_bytes(32, "little")).canonical,
}


def test_a_weak_anchor_is_refused_by_the_operator_and_trusts_nobody(stage: Stage) -> None:
    """The API server cannot tell such a point from a good one; R-C1 asks the operator to."""
    scene = stage.scene
    names = {case: f"weak-{number}" for number, case in enumerate(WEAK)}
    for case, name in names.items():
        scene.add_peer(name, passive=True, trustAnchors=[{"publicKey": WEAK[case]}])
    for case, name in names.items():
        peer = scene.wait(PEERS, name, "WeakKey", status="False")
        assert condition_of(peer, "Stalled")["status"] == "True", case
        # Nobody gets in by way of such a spec, with whatever key.
        assert Caller(stage.documented.port).post(scene.partner(name).sign(stage.us)).status == 412


def test_at_300_seconds_the_clock_is_still_in_sync(stage: Stage) -> None:
    stage.scene.add_peer("brink", passive=True)
    stage.scene.wait(PEERS, "brink", "AwaitingEnvelope")
    answer = Caller(stage.documented.port).post(stage.partner("brink").sign(stage.us, ahead=300))
    assert answer.status == 200
    peer = stage.scene.wait(PEERS, "brink", "Fresh", status="True")
    assert condition_of(peer, "ClockInSync")["status"] == "True"
    assert peer["status"]["observedSkewSeconds"] in (299, 300)


def test_the_right_token_is_accepted_and_an_answer_is_an_envelope(stage: Stage) -> None:
    stage.scene.add_peer(
        "bearer", passive=True, authTokenHash=f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"
    )
    stage.scene.wait(PEERS, "bearer", "AwaitingEnvelope")
    answer = Caller(stage.documented.port).post(stage.partner("bearer").sign(stage.us), bearer=TOKEN)
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json"
    challenge = json.loads(answer.body)["challenge"]
    assert challenge["localKernelId"] == stage.us
    assert challenge["remoteKernelId"] == stage.scene.kernel("bearer")
    assert challenge["timestamp"] == pytest.approx(time.time(), abs=3)
    stage.scene.wait(PEERS, "bearer", "Fresh", status="True")
