"""Where trust in a partner grows and ends: decisions, one by one (R-H3, R-H5, R-H6, R-H7, R-H9, R-K9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilateral.protocol.errors import (
    ClockSkewExceeded,
    MissingTrustAnchor,
    ReplayedEnvelope,
    UnexpectedPeerKey,
)
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.peer import Direction, DomainView, Failed, NotReady, Received
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.times import format_time, parse_time

from .conftest import NEXT, NOW, OURS, SEAL, STRANGER, THEIRS, WINDOW, World, envelope, trust_domain

INBOUND, ANSWER, FILE = Direction.INBOUND, Direction.ANSWER, Direction.FILE


def pinned(world: World, direction: Direction = ANSWER, **changes: Any) -> World:
    world.look(Received(envelope(timestamp=world.now, **changes), direction))
    assert world.status["pin"]["publicKey"]
    return world


def anchors(*keys: Any) -> list[dict[str, str]]:
    return [{"publicKey": key.public_key.canonical} for key in keys]


def test_a_new_peer_asks_for_a_handshake_at_once(world: World) -> None:
    outcome = world.look()
    assert outcome.handshake_due
    assert world.condition() == ("Unknown", "AwaitingHandshake")


def test_without_an_anchor_nobody_is_asked_and_a_person_is(world: World) -> None:
    world.edit(trustAnchors=[])
    outcome = world.look()
    assert not outcome.handshake_due
    assert world.condition() == ("False", "MissingTrustAnchor")
    assert world.condition("Stalled")[0] == "True"


@pytest.mark.parametrize("direction", [INBOUND, ANSWER])
def test_an_accepted_envelope_pins_until_the_window_ends(world: World, direction: Direction) -> None:
    pinned(world, direction)
    assert world.condition() == ("True", "Fresh")
    assert world.status["pin"]["rotationDue"] == format_time(NOW + WINDOW)
    assert world.status["pin"]["establishedAt"] == format_time(NOW)


def test_renewal_starts_at_65_to_75_percent_of_the_window(world: World) -> None:
    pinned(world)
    share = (parse_time(world.status["nextHandshakeTime"]) - NOW) / WINDOW
    assert 0.65 <= share <= 0.75
    world.now = parse_time(world.status["nextHandshakeTime"]) - 1
    assert not world.look().handshake_due
    world.now += 1
    assert world.look().handshake_due


def test_renewal_is_one_write(world: World) -> None:
    pinned(world)
    world.now = parse_time(world.status["nextHandshakeTime"])
    before = world.writes
    assert world.look().handshake_due
    pinned(world, nonce="nonce-2")
    assert world.writes == before + 1


def test_after_their_envelope_we_show_soon_that_we_reach_them(world: World) -> None:
    pinned(world, INBOUND)
    assert world.condition("AcknowledgedByPeer") == ("Unknown", "NotObserved")
    assert NOW < parse_time(world.status["nextHandshakeTime"]) <= NOW + 4
    pinned(world, ANSWER, nonce="nonce-2")
    assert world.condition("AcknowledgedByPeer") == ("True", "Acknowledged")


def test_stale_from_the_very_second_of_the_deadline(world: World) -> None:
    pinned(world)
    world.now = NOW + WINDOW - 1
    world.look()
    assert world.condition() == ("True", "Fresh")
    world.now += 1
    outcome = world.look()
    assert world.condition() == ("False", "PeerStale")
    assert not outcome.handshake_due, "the end of trust is written before anything is asked"
    assert world.look().handshake_due


def test_a_look_is_planned_for_the_second_of_the_deadline(world: World) -> None:
    pinned(world)
    world.now = NOW + WINDOW - 20
    outcome = world.look(Failed(Reason.CONNECTION_FAILED))
    assert outcome.next_at is not None
    assert outcome.next_at <= NOW + WINDOW


def test_a_stale_pin_is_renewed_by_the_same_key(world: World) -> None:
    pinned(world)
    world.now = NOW + WINDOW + 5
    world.look()
    pinned(world, nonce="nonce-2")
    assert world.condition() == ("True", "Fresh")


def test_failed_renewal_keeps_the_pin_until_its_deadline(world: World) -> None:
    pinned(world)
    world.now = NOW + WINDOW - 60
    due = world.status["pin"]["rotationDue"]
    for _ in range(5):
        world.look(Failed(Reason.CONNECTION_FAILED))
    assert world.condition() == ("True", "Fresh")
    assert world.status["pin"]["rotationDue"] == due
    assert world.status["consecutiveFailures"] == 5
    assert parse_time(world.status["nextHandshakeTime"]) <= world.now + 15, "a quarter of what is left"


@pytest.mark.parametrize(
    ("reason", "ready"),
    [
        (Reason.AWAITING_PARTNER, "Unknown"),
        (Reason.CONNECTION_FAILED, "Unknown"),
        (Reason.ANSWER_TIMEOUT, "Unknown"),
        (Reason.NAME_NOT_RESOLVED, "Unknown"),
        (Reason.TOO_MANY_REQUESTS, "Unknown"),
        (Reason.TLS_VERIFICATION_FAILED, "False"),
        (Reason.DESTINATION_REFUSED, "False"),
        (Reason.REFUSED_BY_PARTNER, "False"),
        (Reason.CLOCK_SKEW_EXCEEDED, "False"),
        (Reason.ANSWER_INVALID, "False"),
        (Reason.ANSWER_TOO_LARGE, "False"),
    ],
    ids=str,
)
def test_the_reason_of_a_failed_first_contact_is_shown(world: World, reason: Reason, ready: str) -> None:
    world.look(Failed(reason))
    assert world.condition() == (ready, reason.value)
    assert world.condition("AcknowledgedByPeer")[1] == reason.value
    world.now += 1
    world.look()
    assert world.condition() == (ready, reason.value), "and is remembered"


def test_their_clock_is_shown_with_the_number(world: World) -> None:
    world.look(Failed(Reason.CLOCK_SKEW_EXCEEDED, skew_seconds=-421))
    assert world.condition("ClockInSync") == ("False", "ClockSkewExceeded")
    assert world.status["observedSkewSeconds"] == -421


def test_their_wish_to_wait_is_respected(world: World) -> None:
    world.look(Failed(Reason.TOO_MANY_REQUESTS, retry_after_seconds=120))
    assert parse_time(world.status["nextHandshakeTime"]) >= NOW + 120


def test_a_different_key_never_replaces_or_extends_a_pin(world: World) -> None:
    pinned(world)
    pin = world.status["pin"]
    world.now += 100
    outcome = world.look(Received(envelope(STRANGER, timestamp=world.now), ANSWER))
    assert isinstance(outcome.refusal, UnexpectedPeerKey)
    assert world.status["pin"] == pin
    assert world.condition() == ("True", "Fresh")
    assert world.status["unexpectedPublicKey"] == STRANGER.public_key.canonical
    assert world.condition("AcknowledgedByPeer") == ("False", "UnexpectedPeerKey")


def test_a_different_key_at_first_contact_shows_both_keys(world: World) -> None:
    world.look(Received(envelope(STRANGER), ANSWER))
    assert world.condition() == ("False", "UnexpectedPeerKey")
    message = world.status["conditions"][0]["message"]
    assert STRANGER.public_key.canonical in message
    assert THEIRS.public_key.canonical in message


def test_current_and_next_anchor_let_a_partner_change_its_key(world: World) -> None:
    pinned(world)
    world.edit(trustAnchors=anchors(THEIRS, NEXT))
    pinned(world, ANSWER, nonce="nonce-2")
    world.now += 10
    pinned(world, INBOUND, key=NEXT)
    assert world.status["pin"]["publicKey"] == NEXT.public_key.canonical
    assert world.condition() == ("True", "Fresh")


def test_a_pinned_key_that_is_no_longer_anchored_counts_no_more(world: World) -> None:
    pinned(world)
    world.edit(trustAnchors=anchors(NEXT))
    outcome = world.look()
    assert world.condition() == ("False", "PinNotAnchored")
    assert not outcome.handshake_due, "told first"
    pinned(world, INBOUND, key=NEXT, nonce="nonce-2")
    assert world.condition() == ("True", "Fresh")


def test_without_anchors_the_pinned_key_still_renews(world: World) -> None:
    pinned(world)
    world.edit(trustAnchors=[])
    world.now += 10
    pinned(world, INBOUND, nonce="nonce-2")
    assert world.condition() == ("True", "Fresh")
    assert world.condition("Anchored") == ("False", "MissingTrustAnchor")


def test_our_own_key_is_no_anchor(world: World) -> None:
    world.edit(trustAnchors=anchors(OURS))
    outcome = world.look()
    assert world.condition() == ("False", "OwnKeyAsAnchor")
    assert not outcome.handshake_due


# Replays (R-H3)


@pytest.mark.parametrize(("later", "nonce"), [(0, "nonce-1"), (-1, "nonce-2")], ids=["same", "older"])
def test_a_replay_changes_nothing(world: World, later: int, nonce: str) -> None:
    pinned(world, INBOUND)
    before = world.status
    world.now += 20
    outcome = world.look(Received(envelope(timestamp=NOW + later, nonce=nonce), INBOUND))
    assert isinstance(outcome.refusal, ReplayedEnvelope)
    assert world.status == before


def test_two_envelopes_of_one_second_are_no_replay(world: World) -> None:
    pinned(world, INBOUND)
    outcome = world.look(Received(envelope(nonce="nonce-2"), INBOUND))
    assert outcome.refusal is None
    assert len(world.status["pin"]["envelopeNonces"]) == 2


def test_an_answer_that_is_not_newer_is_no_failure_while_the_pin_is_fresh(world: World) -> None:
    pinned(world, INBOUND)
    world.look(Received(envelope(timestamp=NOW - 1, nonce="nonce-2"), ANSWER))
    assert world.condition() == ("True", "Fresh")
    assert world.status["consecutiveFailures"] == 0
    assert NOW < parse_time(world.status["nextHandshakeTime"]) <= NOW + 8


# Strangers and refusals


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(envelope(STRANGER), id="another key"),
        pytest.param(envelope(timestamp=NOW - 301), id="clock skew"),
        pytest.param(envelope(sender="org-c-kernel"), id="another sender"),
        pytest.param(envelope(addressee="org-c-kernel"), id="another addressee"),
    ],
)
def test_a_refused_envelope_from_outside_changes_nothing(world: World, received: Any) -> None:
    world.look(Failed(Reason.CONNECTION_FAILED))
    before = world.status
    assert world.look(Received(received, INBOUND)).refusal is not None
    assert world.status == before


def test_exactly_the_allowed_skew_passes(world: World) -> None:
    assert world.look(Received(envelope(timestamp=NOW - 300), INBOUND)).refusal is None
    assert world.status["observedSkewSeconds"] == -300


def test_a_suspended_partner_hears_what_a_stranger_hears(world: World) -> None:
    pinned(world)
    world.edit(state="Suspended")
    world.now += 1
    outcome = world.look(Received(envelope(timestamp=world.now), INBOUND))
    assert isinstance(outcome.refusal, MissingTrustAnchor)
    assert world.condition() == ("False", "Suspended")
    assert "nextHandshakeTime" not in world.status
    world.edit(state="Active")
    outcome = world.look()
    assert outcome.handshake_due
    assert world.condition() == ("True", "Fresh")


# The seal (R-K9)


@pytest.mark.parametrize(
    "tampered",
    [
        {"publicKey": STRANGER.public_key.canonical},
        {"rotationDue": format_time(NOW + 10 * WINDOW)},
        {"establishedAt": format_time(NOW - 1)},
        {"envelopeTimestamp": format_time(NOW - 1)},
        {"envelopeNonces": ["0" * 32]},
        {"seal": "0" * 64},
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_pin_edited_by_hand_counts_as_absent(world: World, tampered: dict[str, Any]) -> None:
    pinned(world)
    world.status = {**world.status, "pin": {**world.status["pin"], **tampered}}
    outcome = world.look()
    assert world.condition() == ("False", "PinTampered")
    assert "pin" not in world.status
    assert not outcome.handshake_due, "told first"
    assert world.look().handshake_due
    assert world.condition() == ("False", "PinTampered"), "and remembered until another key is proven"
    pinned(world, nonce="nonce-2")
    assert world.condition() == ("True", "Fresh")


def test_a_pin_copied_to_another_object_is_tampered_with(world: World) -> None:
    pinned(world)
    world.uid = "another-uid"
    world.look()
    assert world.condition() == ("False", "PinTampered")


def test_a_pin_from_the_future_is_not_very_fresh(world: World) -> None:
    pinned(world)
    world.now = NOW - 301
    world.look()
    assert world.condition()[0] == "False"


# What stands in the way


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"domain": None}, ("False", "TrustDomainNotFound")),
        ({"domain": DomainView(trust_domain(), OURS.public_key, None)}, ("Unknown", "TrustDomainNotReady")),
        ({"kernel_id_taken": True}, ("False", "KernelIdConflict")),
        ({"shared_fingerprint": True}, ("False", "CredentialConflict")),
        ({"clock_regressed": True}, ("False", "ClockRegressed")),
    ],
    ids=["no domain", "no seal", "kernel id", "fingerprint", "clock"],
)
def test_nothing_is_relied_on_or_asked_meanwhile_and_all_is_well_after(
    world: World, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    pinned(world)
    good = world.view
    pin = world.status["pin"]
    world.view = replace(good, **change)
    world.now += 1
    outcome = world.look(Received(envelope(timestamp=world.now), INBOUND))
    assert isinstance(outcome.refusal, NotReady | MissingTrustAnchor)
    assert world.condition() == expected
    assert not outcome.handshake_due
    assert world.status["pin"] == pin, "the last proven state is kept"
    world.view = good
    world.look()
    assert world.condition() == ("True", "Fresh")


def test_a_key_of_ours_that_may_not_sign_stops_asking_but_not_trusting(world: World) -> None:
    world.view = replace(world.view, domain=DomainView(trust_domain(), None, SEAL))
    assert not world.look().handshake_due
    assert world.condition() == ("Unknown", "TrustDomainNotReady")
    world.view = World().view
    pinned(world)
    world.view = replace(world.view, domain=DomainView(trust_domain(), None, SEAL))
    outcome = world.look(Received(envelope(timestamp=world.now + 1), INBOUND))
    assert isinstance(outcome.refusal, NotReady)
    assert world.condition() == ("True", "Fresh"), "what was proven stays until its deadline"
    world.now = NOW + WINDOW
    world.look()
    assert world.condition() == ("False", "PeerStale")


def test_a_missing_token_stops_asking_but_not_trusting(world: World) -> None:
    world.view = replace(world.view, bearer_token_missing=True)
    outcome = world.look()
    assert world.condition() == ("False", "SecretNotFound")
    assert not outcome.handshake_due
    pinned(world, INBOUND)
    assert world.condition() == ("True", "Fresh")


def test_a_peer_that_has_our_own_name_is_refused(world: World) -> None:
    world.edit(kernelId="org-a-kernel")
    world.look()
    assert world.condition() == ("False", "KernelIdMismatch")


# Passive peers and files


def test_a_passive_peer_waits_for_an_envelope(world: World) -> None:
    world.edit(endpoint=None)
    outcome = world.look()
    assert world.condition() == ("Unknown", "AwaitingEnvelope")
    assert outcome.next_at is None
    pinned(world, INBOUND)
    assert world.condition() == ("True", "Fresh")
    assert "nextHandshakeTime" not in world.status
    assert world.condition("AcknowledgedByPeer") == ("Unknown", "NotObserved")


def test_an_envelope_by_file_is_judged_like_any_other(world: World) -> None:
    outcome = world.look(Received(envelope(), FILE, "a" * 64))
    assert outcome.refusal is None
    assert world.status["offeredEnvelope"] == {"digest": "a" * 64, "reason": "EnvelopeAccepted"}
    assert world.condition() == ("True", "Fresh")


def test_a_refused_file_says_why(world: World) -> None:
    outcome = world.look(Received(envelope(timestamp=NOW - 4000), FILE, "b" * 64))
    assert isinstance(outcome.refusal, ClockSkewExceeded)
    assert world.status["offeredEnvelope"] == {"digest": "b" * 64, "reason": "ClockSkewExceeded"}
    world.look(Failed(Reason.MALFORMED_DOCUMENT, digest="c" * 64))
    assert world.status["offeredEnvelope"] == {"digest": "c" * 64, "reason": "MalformedDocument"}
    assert world.status["consecutiveFailures"] == 0


def test_files_may_be_a_day_old_where_the_peer_says_so(world: World) -> None:
    world.edit(handshake={"maxClockSkewSeconds": 86_400})
    assert world.look(Received(envelope(timestamp=NOW - 86_400), FILE, "d" * 64)).refusal is None


# Asking for a look


def test_reconcile_now_asks_the_partner_and_is_echoed(world: World) -> None:
    pinned(world)
    world.annotations["bilateral.dev/reconcile-now"] = "please"
    assert world.look().handshake_due
    assert world.status["reconciledNow"] == "please"


def test_an_edit_resets_the_back_off(world: World) -> None:
    for _ in range(6):
        world.look(Failed(Reason.CONNECTION_FAILED))
    assert not world.look().handshake_due
    world.edit(displayName="Org B")
    assert world.look().handshake_due


# Every look, in any order


HAPPENINGS = st.sampled_from(
    [
        None,
        Failed(Reason.CONNECTION_FAILED),
        Failed(Reason.AWAITING_PARTNER),
        Failed(Reason.CLOCK_SKEW_EXCEEDED, skew_seconds=400),
        Failed(Reason.REPLAYED_ENVELOPE),
        (THEIRS, INBOUND),
        (THEIRS, ANSWER),
        (STRANGER, INBOUND),
        (STRANGER, ANSWER),
        "suspend",
        "resume",
        "tamper",
        "clock",
    ]
)


def apply(world: World, happening: Any) -> None:
    match happening:
        case (key, direction):
            world.look(Received(envelope(key, timestamp=world.now, nonce=f"n-{world.writes}"), direction))
        case "suspend":
            world.edit(state="Suspended")
        case "resume":
            world.edit(state=None)
        case "tamper":
            if "pin" in world.status:
                world.status = {**world.status, "pin": {**world.status["pin"], "seal": "f" * 64}}
        case "clock":
            world.view = replace(world.view, clock_regressed=not world.view.clock_regressed)
        case _:
            world.look(happening)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(HAPPENINGS, st.integers(0, WINDOW)), max_size=12))
def test_looking_again_writes_nothing_and_trust_needs_a_proof(steps: list[tuple[Any, int]]) -> None:
    world = World()
    allowed = {each.name: set(each.reasons) for each in FederationPeer.CONDITIONS}
    for happening, seconds in steps:
        world.now += seconds
        apply(world, happening)
        world.look()
        world.look()
        settled = world.writes
        world.look()
        assert world.writes == settled, "a look that changes nothing writes nothing"
        status, _ = world.condition()
        pin = world.status.get("pin")
        if status == "True":
            assert pin is not None
            assert pin["publicKey"] == THEIRS.public_key.canonical
            assert world.now < parse_time(pin["rotationDue"])
            assert world.spec.get("state") != "Suspended"
            assert not world.view.clock_regressed
        for condition in world.status["conditions"]:
            assert Reason(condition["reason"]) in allowed[condition["type"]], condition
