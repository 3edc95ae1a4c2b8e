"""Acceptance: the contract's order, no replay, never ourselves, no key that nobody vouched for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    InvalidSignature,
    KernelIdMismatch,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    ProtocolError,
    ReplayedEnvelope,
    UnexpectedPeerKey,
    UnsupportedSchema,
)
from bilateral.protocol.handshake import (
    HANDSHAKE_SCHEMA,
    MAX_NONCES_OF_A_SECOND,
    Challenge,
    Envelope,
    Pin,
    Terms,
    accept_envelope,
    digest_nonce,
    parse_envelope,
    resolve_pin,
)
from bilateral.protocol.keys import PublicKey
from support import edwards
from support.kernels import (
    KEY_A,
    KEY_B,
    NOW,
    OTHER_KEY,
    TERMS,
    A,
    B,
    envelope_of_a,
    pin_of_a,
    sign_challenge,
)

NO_ANCHORS = replace(TERMS, anchors=())


def test_a_good_envelope_earns_a_pin_for_the_window() -> None:
    assert accept_envelope(envelope_of_a(), TERMS, None, NOW + 7) == Pin(
        public_key=KEY_A.public_key,
        established_at=NOW + 7,
        rotation_due=NOW + 7 + 43_200,
        envelope_timestamp=NOW,
        envelope_nonces=(digest_nonce("nonce-1"),),
    )


def test_a_nonce_is_kept_as_32_digits_of_its_hash() -> None:
    assert digest_nonce("abc") == "ba7816bf8f01cfea414140de5dae2223"


# Each envelope breaks its own rule and every later one too: so the error tells the order.
OTHER_SCHEMA = Challenge("chio.federation-kernel-handshake.v2", "x", "y", "n", 0)
ALL_WRONG = Challenge(HANDSHAKE_SCHEMA, "stranger", "somebody-else", "n", 0)
ORDER = [
    pytest.param(
        Envelope(OTHER_SCHEMA, OTHER_KEY.public_key, bytes(64)), NO_ANCHORS, UnsupportedSchema, id="1 schema"
    ),
    pytest.param(
        Envelope(ALL_WRONG, OTHER_KEY.public_key, bytes(64)), NO_ANCHORS, InvalidSignature, id="2 signature"
    ),
    pytest.param(sign_challenge(ALL_WRONG, OTHER_KEY), NO_ANCHORS, AddressMismatch, id="3 addressee"),
    pytest.param(
        sign_challenge(replace(ALL_WRONG, remote_kernel_id=B), OTHER_KEY),
        NO_ANCHORS,
        KernelIdMismatch,
        id="4 sender",
    ),
    pytest.param(envelope_of_a(key=OTHER_KEY, timestamp=0), NO_ANCHORS, ClockSkewExceeded, id="5 clock skew"),
    pytest.param(envelope_of_a(key=OTHER_KEY), NO_ANCHORS, MissingTrustAnchor, id="6 anchor"),
    pytest.param(envelope_of_a(key=OTHER_KEY), TERMS, UnexpectedPeerKey, id="7 same key"),
]


@pytest.mark.parametrize(("envelope", "terms", "error"), ORDER)
def test_the_order_is_the_contracts(envelope: Envelope, terms: Terms, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        accept_envelope(envelope, terms, None, NOW)


def test_the_replay_rule_comes_after_the_key() -> None:
    newer = pin_of_a(envelope_timestamp=NOW + 1)
    with pytest.raises(UnexpectedPeerKey):
        accept_envelope(envelope_of_a(key=OTHER_KEY), TERMS, newer, NOW)
    with pytest.raises(ReplayedEnvelope):
        accept_envelope(envelope_of_a(), TERMS, newer, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"local_kernel_id": "other"}, id="sender"),
        pytest.param({"remote_kernel_id": "other"}, id="addressee"),
        pytest.param({"nonce": "nonce-2"}, id="nonce"),
        pytest.param({"timestamp": NOW + 1}, id="timestamp"),
    ],
)
def test_a_change_after_signing_is_an_invalid_signature(changes: dict[str, str | int]) -> None:
    envelope = envelope_of_a()
    tampered = replace(envelope, challenge=replace(envelope.challenge, **changes))  # type: ignore[arg-type]  # of the table
    with pytest.raises(InvalidSignature):
        accept_envelope(tampered, TERMS, None, NOW)


def test_swapping_the_declared_key_is_an_invalid_signature() -> None:
    with pytest.raises(InvalidSignature):
        accept_envelope(replace(envelope_of_a(), declared_public_key=OTHER_KEY.public_key), TERMS, None, NOW)


@pytest.mark.parametrize("point", edwards.SMALL_ORDER, ids=lambda point: edwards.encode(point).hex()[:8])
def test_a_small_order_key_signs_nothing_even_if_it_were_an_anchor(point: edwards.Point) -> None:
    weak = PublicKey(edwards.encode(point))
    envelope = replace(
        envelope_of_a(), declared_public_key=weak, signature=edwards.encode(edwards.NEUTRAL) + bytes(32)
    )
    with pytest.raises(InvalidSignature):
        accept_envelope(envelope, replace(TERMS, anchors=(weak,)), None, NOW)


@pytest.mark.parametrize("drift", [-300, -1, 0, 1, 300])
def test_a_drift_up_to_the_limit_passes(drift: int) -> None:
    assert accept_envelope(envelope_of_a(timestamp=NOW + drift), TERMS, None, NOW).established_at == NOW


@pytest.mark.parametrize("drift", [-301, 301, -NOW, 2**52])
def test_a_drift_beyond_the_limit_is_refused_with_its_numbers(drift: int) -> None:
    with pytest.raises(ClockSkewExceeded) as refusal:
        accept_envelope(envelope_of_a(timestamp=NOW + drift), TERMS, None, NOW)
    error = refusal.value
    assert (error.envelope, error.local, error.skew) == (NOW + drift, NOW, 300)


def test_no_drift_at_all_can_be_demanded() -> None:
    strict = replace(TERMS, max_clock_skew_seconds=0)
    accept_envelope(envelope_of_a(), strict, None, NOW)
    with pytest.raises(ClockSkewExceeded):
        accept_envelope(envelope_of_a(), strict, None, NOW + 1)


def test_the_deadline_is_never_beyond_what_json_can_say() -> None:
    terms = replace(TERMS, rotation_window_seconds=2**60)
    assert accept_envelope(envelope_of_a(), terms, None, NOW).rotation_due == 2**53 - 1


class TestKeys:
    def test_an_anchor_or_the_next_one_is_accepted(self) -> None:
        both = replace(TERMS, anchors=(OTHER_KEY.public_key, KEY_A.public_key))
        assert accept_envelope(envelope_of_a(), both, None, NOW).public_key == KEY_A.public_key
        assert (
            accept_envelope(envelope_of_a(key=OTHER_KEY), both, None, NOW).public_key == OTHER_KEY.public_key
        )

    def test_without_anchors_the_pinned_key_goes_on_even_when_stale(self) -> None:
        stale = pin_of_a(rotation_due=NOW - 50)
        assert accept_envelope(envelope_of_a(), NO_ANCHORS, stale, NOW).rotation_due == NOW + 43_200

    def test_without_anchors_another_key_than_the_pinned_one_is_refused(self) -> None:
        with pytest.raises(UnexpectedPeerKey) as refusal:
            accept_envelope(envelope_of_a(key=OTHER_KEY), NO_ANCHORS, pin_of_a(), NOW)
        error = refusal.value
        assert (error.kernel_id, error.expected, error.actual) == (
            A,
            KEY_A.public_key.hex,
            OTHER_KEY.public_key.hex,
        )

    def test_anchors_override_the_pinned_key(self) -> None:
        pin = pin_of_a(public_key=OTHER_KEY.public_key)
        assert accept_envelope(envelope_of_a(), TERMS, pin, NOW).public_key == KEY_A.public_key
        with pytest.raises(UnexpectedPeerKey):
            accept_envelope(envelope_of_a(key=OTHER_KEY), TERMS, pin, NOW)

    def test_first_contact_needs_an_anchor(self) -> None:
        with pytest.raises(MissingTrustAnchor) as refusal:
            accept_envelope(envelope_of_a(), NO_ANCHORS, None, NOW)
        assert refusal.value.kernel_id == A


class TestNeverOurselves:
    """R-C5."""

    def test_our_own_envelope_sent_back_is_not_for_us(self) -> None:
        ours = envelope_of_a(local_kernel_id=B, remote_kernel_id=A, key=KEY_B)
        with pytest.raises(AddressMismatch):
            accept_envelope(ours, TERMS, None, NOW)

    def test_a_peer_of_our_own_name_is_refused(self) -> None:
        mirror = replace(TERMS, remote_kernel_id=B)
        with pytest.raises(KernelIdMismatch):
            accept_envelope(envelope_of_a(local_kernel_id=B), mirror, None, NOW)

    @pytest.mark.parametrize("pin", [None, pin_of_a(public_key=KEY_B.public_key)], ids=["anchored", "pinned"])
    def test_our_own_key_is_refused_even_as_an_anchor(self, pin: Pin | None) -> None:
        terms = replace(TERMS, anchors=(KEY_B.public_key,) if pin is None else ())
        with pytest.raises(UnexpectedPeerKey):
            accept_envelope(envelope_of_a(key=KEY_B), terms, pin, NOW)


class TestReplay:
    """R-H2, R-H3."""

    def test_the_same_envelope_is_accepted_once(self) -> None:
        pin = accept_envelope(envelope_of_a(), TERMS, None, NOW)
        with pytest.raises(ReplayedEnvelope) as refusal:
            accept_envelope(envelope_of_a(), TERMS, pin, NOW + 60)
        assert refusal.value.kernel_id == A

    def test_an_older_envelope_is_refused(self) -> None:
        pin = accept_envelope(envelope_of_a(), TERMS, None, NOW)
        with pytest.raises(ReplayedEnvelope):
            accept_envelope(envelope_of_a(timestamp=NOW - 1, nonce="fresh"), TERMS, pin, NOW)

    def test_a_newer_envelope_may_repeat_a_nonce_and_starts_a_new_second(self) -> None:
        pin = accept_envelope(envelope_of_a(), TERMS, None, NOW)
        renewed = accept_envelope(envelope_of_a(timestamp=NOW + 1), TERMS, pin, NOW + 1)
        assert renewed.envelope_timestamp == NOW + 1
        assert renewed.envelope_nonces == (digest_nonce("nonce-1"),)

    def test_eight_nonces_of_one_second_and_no_ninth(self) -> None:
        pin: Pin | None = None
        for n in range(MAX_NONCES_OF_A_SECOND):
            pin = accept_envelope(envelope_of_a(nonce=f"n{n}"), TERMS, pin, NOW)
        assert pin is not None
        assert pin.envelope_nonces == tuple(digest_nonce(f"n{n}") for n in range(8))
        for nonce in ("n0", "n7", "ninth"):
            with pytest.raises(ReplayedEnvelope):
                accept_envelope(envelope_of_a(nonce=nonce), TERMS, pin, NOW)
        assert len(accept_envelope(envelope_of_a(timestamp=NOW + 1), TERMS, pin, NOW).envelope_nonces) == 1

    def test_a_replaced_key_does_not_open_the_past_again(self) -> None:
        both = replace(TERMS, anchors=(KEY_A.public_key, OTHER_KEY.public_key))
        pin = accept_envelope(envelope_of_a(key=OTHER_KEY, timestamp=NOW + 5), both, None, NOW)
        with pytest.raises(ReplayedEnvelope):
            accept_envelope(envelope_of_a(), both, pin, NOW)

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40))
    def test_no_order_of_copies_accepts_one_twice(self, deliveries: list[tuple[int, int]]) -> None:
        pin: Pin | None = None
        accepted: list[tuple[int, int]] = []
        for second, nonce in deliveries:
            envelope = envelope_of_a(timestamp=NOW + second, nonce=f"n{nonce}")
            try:
                pin = accept_envelope(envelope, TERMS, pin, NOW)
            except ReplayedEnvelope:
                continue
            accepted.append((second, nonce))
        assert len(set(accepted)) == len(accepted)
        assert [second for second, _ in accepted] == sorted(second for second, _ in accepted)


class TestPins:
    def test_a_pin_is_fresh_until_the_second_of_its_deadline(self) -> None:
        pin = pin_of_a(rotation_due=NOW)
        assert pin.is_fresh(NOW - 1)
        assert not pin.is_fresh(NOW)
        assert not pin.is_fresh(NOW + 1)

    def test_only_a_fresh_pin_resolves(self) -> None:
        pin = pin_of_a(rotation_due=NOW)
        assert resolve_pin(A, pin, NOW - 1) is pin
        with pytest.raises(PeerStale) as stale:
            resolve_pin(A, pin, NOW)
        with pytest.raises(PeerNotPinned) as unknown:
            resolve_pin(A, None, NOW)
        assert stale.value.kernel_id == unknown.value.kernel_id == A

    def test_both_sides_pin_one_another(self) -> None:
        reply = envelope_of_a(local_kernel_id=B, remote_kernel_id=A, key=KEY_B, nonce="nonce-2")
        terms_of_a = Terms(A, KEY_A.public_key, B, (KEY_B.public_key,))
        there = accept_envelope(parse_envelope(envelope_of_a().to_json()), TERMS, None, NOW)
        back = accept_envelope(parse_envelope(reply.to_json()), terms_of_a, None, NOW)
        assert (there.public_key, back.public_key) == (KEY_A.public_key, KEY_B.public_key)
        assert back.rotation_due == NOW + 43_200
