"""A FederationPeer's status, read into facts.

``recall`` is the inverse of :func:`~bilateral.reconcile.peer_conditions.build_status` as far as
decisions go: what a look
found out and a later one needs, after a restart or at another replica, is in the status or nowhere.
The reason why the last handshake of ours failed is kept as the reason of ``AcknowledgedByPeer``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bilateral.protocol.handshake import Pin
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import AuthoritiesFound
from bilateral.resources.conditions import Condition, ConditionStatus
from bilateral.resources.federationpeer import FederationPeer

READY = "Ready"
ANCHORED = "Anchored"
AUTHORITIES_KNOWN = "AuthoritiesKnown"
PINNED = "Pinned"
FRESH = "Fresh"
CLOCK_IN_SYNC = "ClockInSync"
ACKNOWLEDGED = "AcknowledgedByPeer"


class Standing(StrEnum):
    """Where a pin stands."""

    NONE = "none"
    TAMPERED = "tampered"
    UNCHECKED = "unchecked"
    UNANCHORED = "unanchored"
    FUTURE = "future"
    STALE = "stale"
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a look found out; conditions, status and outputs follow from it alone.

    Times are Unix seconds. ``speechless`` is whether our own trust domain may not sign; ``failure``
    is why our last attempt failed, or None; ``acknowledged`` whether they accepted an envelope of
    ours, or None where nothing is known.
    """

    now: int
    blocked: Reason | None
    speechless: bool
    bearer_token_missing: bool
    anchors: tuple[PublicKey, ...]
    pin: Pin | None
    seal: str | None
    standing: Standing
    failures: int
    failure: Reason | None
    acknowledged: bool | None
    skew_seconds: int | None
    skew_exceeded: bool
    last_attempt: int | None
    next_handshake: int | None
    unexpected_key: PublicKey | None
    offer: tuple[str, Reason] | None
    authorities: AuthoritiesFound = field(default_factory=AuthoritiesFound)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the status says, before anything of it is believed."""

    pin: Pin | None
    seal: str | None
    was_ready: bool
    was_tampered: bool
    failures: int
    failure: Reason | None
    acknowledged: bool | None
    skew_seconds: int | None
    skew_exceeded: bool
    last_attempt: int | None
    next_handshake: int | None
    unexpected_key: PublicKey | None
    offer: tuple[str, Reason] | None
    authorities: Reason | None


def recall(peer: FederationPeer) -> Recalled:
    """Read the status. Whatever in it does not parse is as good as absent: a seal guards the pin."""
    status = peer.status
    pin = seal = None
    if status.pin is not None:
        seal = status.pin.seal
        pin = Pin(
            public_key=_key_of(status.pin.public_key),
            established_at=status.pin.established_at,
            rotation_due=status.pin.rotation_due,
            envelope_timestamp=status.pin.envelope_timestamp,
            envelope_nonces=status.pin.envelope_nonces,
        )
    acknowledged, failure = _acknowledgement(status.condition(ACKNOWLEDGED))
    clock = status.condition(CLOCK_IN_SYNC)
    ready = status.condition(READY)
    pinned = status.condition(PINNED)
    offered = status.offered_envelope
    return Recalled(
        pin=pin,
        seal=seal,
        was_ready=ready is not None and ready.status is ConditionStatus.TRUE,
        was_tampered=pinned is not None and pinned.reason == Reason.PIN_TAMPERED,
        failures=status.consecutive_failures,
        failure=failure,
        acknowledged=acknowledged,
        skew_seconds=status.observed_skew_seconds,
        skew_exceeded=clock is not None and clock.status == ConditionStatus.FALSE,
        last_attempt=status.last_attempt_time,
        next_handshake=status.next_handshake_time,
        unexpected_key=None
        if status.unexpected_public_key is None
        else _key_of(status.unexpected_public_key),
        offer=None if offered is None else (offered.digest, Reason(offered.reason)),
        authorities=_reason_of(status.condition(AUTHORITIES_KNOWN)),
    )


_WORDS = frozenset(each.value for each in Reason)


def _reason_of(condition: Condition | None) -> Reason | None:
    return None if condition is None or condition.reason not in _WORDS else Reason(condition.reason)


def _key_of(canonical: str) -> PublicKey:
    """The key of ``ed25519:<hex>`` as a status shows it; admitted before, or else without a seal."""
    return PublicKey(bytes.fromhex(canonical.removeprefix("ed25519:")))


_NO_FAILURES = frozenset(
    {
        Reason.ACKNOWLEDGED,
        Reason.NOT_OBSERVED,
        # Of a spec that could not be read, every condition says so: no handshake failed by it.
        Reason.INVALID_SPEC,
        Reason.MALFORMED_KEY,
        Reason.WEAK_KEY,
    }
)


def _acknowledgement(condition: Condition | None) -> tuple[bool | None, Reason | None]:
    if condition is None or condition.reason not in set(Reason):
        return None, None
    reason = Reason(condition.reason)
    failure = None if reason in _NO_FAILURES else reason
    acknowledged = {ConditionStatus.TRUE: True, ConditionStatus.FALSE: False}.get(
        ConditionStatus(condition.status)
    )
    return acknowledged, failure


def is_edited(peer: FederationPeer) -> bool:
    """Whether the spec changed since it was last looked at."""
    return peer.metadata.generation != peer.status.observed_generation


def is_asked_to_reconcile(peer: FederationPeer) -> bool:
    """Whether somebody asks for a look now, by an annotation that was not served yet."""
    asked = peer.metadata.reconcile_now
    return asked is not None and asked != peer.status.reconciled_now
