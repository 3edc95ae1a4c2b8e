"""A FederationPeer's conditions and status, built from what a look found out.

Rules: all condition types are there from the first look. Messages are whole sentences that do not
change while nothing happens (no "in five seconds"), so that a look that changes nothing writes
nothing. They hold our own words, keys in our spelling, and numbers that we computed: no text of
the partner's.
"""

from __future__ import annotations

from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.names import shown_name
from bilateral.protocol.reasons import Reason
from bilateral.protocol.seal import compute_seal
from bilateral.reconcile.peer_status import (
    ACKNOWLEDGED,
    ANCHORED,
    AUTHORITIES_KNOWN,
    CLOCK_IN_SYNC,
    FRESH,
    PINNED,
    READY,
    Findings,
    Standing,
)
from bilateral.reconcile.progress import progress
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.federationpeer import (
    FederationPeer,
    FederationPeerStatus,
    OfferedEnvelope,
    OnStale,
    PeerAuthorityStatus,
    PinStatus,
)
from bilateral.resources.times import format_time

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

STALLED_BY = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.MALFORMED_KEY,
        Reason.WEAK_KEY,
        Reason.TRUST_DOMAIN_NOT_FOUND,
        Reason.SUSPENDED,
        Reason.MISSING_TRUST_ANCHOR,
        Reason.OWN_KEY_AS_ANCHOR,
        Reason.KERNEL_ID_MISMATCH,
        Reason.KERNEL_ID_CONFLICT,
        Reason.CREDENTIAL_CONFLICT,
        Reason.SECRET_NOT_FOUND,
        Reason.UNEXPECTED_PEER_KEY,
        Reason.DESTINATION_REFUSED,
    }
)
"""Reasons that only a person can remove: retrying alone will not."""

WAITING = frozenset(
    {
        Reason.TRUST_DOMAIN_NOT_READY,
        Reason.AWAITING_HANDSHAKE,
        Reason.AWAITING_PARTNER,
        Reason.AWAITING_ENVELOPE,
        Reason.CONNECTION_FAILED,
        Reason.NAME_NOT_RESOLVED,
        Reason.ANSWER_TIMEOUT,
        Reason.TOO_MANY_REQUESTS,
        Reason.REPLAYED_ENVELOPE,
    }
)
"""Reasons for which Ready is Unknown: it may yet come right by itself."""

_AUTHORITIES_PENDING = frozenset({*WAITING, Reason.NOT_OBSERVED, Reason.NOT_ANNOUNCED})
_MAX_SUBJECT = 1024
_MAX_AUTHORITIES = 8

_UNUSABLE = {
    Standing.TAMPERED: Reason.PIN_TAMPERED,
    Standing.UNANCHORED: Reason.PIN_NOT_ANCHORED,
    Standing.FUTURE: Reason.CLOCK_REGRESSED,
    Standing.STALE: Reason.PEER_STALE,
    Standing.UNCHECKED: Reason.TRUST_DOMAIN_NOT_READY,
}


def wanted_conditions(peer: FederationPeer, found: Findings) -> dict[str, Wanted]:
    """Every condition of a FederationPeer, in the order in which they are shown."""
    ready = _ready(peer, found)
    stalled = ready.status is not _TRUE and ready.reason in STALLED_BY
    reconciling = ready.status is not _TRUE and not stalled
    return {
        READY: ready,
        ANCHORED: _anchored(found),
        PINNED: _pinned(found),
        FRESH: _fresh(found),
        CLOCK_IN_SYNC: _clock(found),
        ACKNOWLEDGED: _acknowledged(peer, found),
        AUTHORITIES_KNOWN: _authorities(peer, found),
        **progress(reconciling=reconciling, stalled=stalled),
    }


def _ready(peer: FederationPeer, found: Findings) -> Wanted:
    reason = _not_ready(peer, found)
    if reason is None:
        failing = "" if found.failure is None else f" Renewal fails: {sentence(found.failure)}"
        if found.speechless:
            failing = f" No renewal: {sentence(Reason.TRUST_DOMAIN_NOT_READY)}"
        due = format_time(found.pin.rotation_due) if found.pin is not None else ""
        return Wanted(_TRUE, Reason.FRESH, f"Pinned until {due}.{failing}")
    text = sentence(reason)
    if found.failure not in (None, reason):
        text = f"{text} The last handshake failed: {sentence(found.failure)}"
    if reason is Reason.UNEXPECTED_PEER_KEY and found.unexpected_key is not None:
        expected = ", ".join(anchor.canonical for anchor in found.anchors)
        text = f"{text} Expected {expected}; found {found.unexpected_key.canonical}."
    if reason is Reason.PEER_STALE and peer.spec.on_stale is OnStale.RETAIN:
        text = f"{text} What was derived from the pin is retained (onStale: Retain)."
    return Wanted(_UNKNOWN if reason in WAITING else _FALSE, reason, text)


def ready_reason(peer: FederationPeer, found: Findings) -> Reason:
    """The reason of the Ready condition."""
    return _not_ready(peer, found) or Reason.FRESH


def _not_ready(peer: FederationPeer, found: Findings) -> Reason | None:
    """Why the partner may not be relied on, or None."""
    if found.blocked is not None:
        return found.blocked
    if found.standing is Standing.FRESH:
        return None
    if found.standing in _UNUSABLE:
        return _UNUSABLE[found.standing]
    if not found.anchors:
        return Reason.MISSING_TRUST_ANCHOR
    if found.speechless:
        return Reason.TRUST_DOMAIN_NOT_READY
    if peer.spec.endpoint is None:
        return Reason.AWAITING_ENVELOPE
    if found.bearer_token_missing:
        return Reason.SECRET_NOT_FOUND
    return found.failure or Reason.AWAITING_HANDSHAKE


def _anchored(found: Findings) -> Wanted:
    if found.blocked is Reason.OWN_KEY_AS_ANCHOR:
        return Wanted(_FALSE, found.blocked, sentence(found.blocked))
    reason = Reason.ANCHORED if found.anchors else Reason.MISSING_TRUST_ANCHOR
    return Wanted(_TRUE if found.anchors else _FALSE, reason, sentence(reason))


def _pinned(found: Findings) -> Wanted:
    if found.standing in (Standing.FRESH, Standing.STALE) and found.pin is not None:
        return Wanted(_TRUE, Reason.PINNED, f"The partner proved {found.pin.public_key.canonical}.")
    reason = _UNUSABLE.get(found.standing, Reason.PEER_NOT_PINNED)
    return Wanted(_UNKNOWN if found.standing is Standing.UNCHECKED else _FALSE, reason, sentence(reason))


def _fresh(found: Findings) -> Wanted:
    if (
        found.standing is Standing.FRESH
        and found.blocked is not Reason.CLOCK_REGRESSED
        and found.pin is not None
    ):
        return Wanted(_TRUE, Reason.FRESH, f"Until {format_time(found.pin.rotation_due)}.")
    if found.blocked is Reason.CLOCK_REGRESSED:
        return Wanted(_FALSE, found.blocked, sentence(found.blocked))
    reason = Reason.PEER_STALE if found.standing is Standing.STALE else Reason.PEER_NOT_PINNED
    return Wanted(_FALSE, reason, sentence(reason))


def _clock(found: Findings) -> Wanted:
    skew = found.skew_seconds
    if skew is None:
        return Wanted(_UNKNOWN, Reason.NOT_OBSERVED, sentence(Reason.NOT_OBSERVED))
    where = f"{abs(skew)} s {'ahead of' if skew > 0 else 'behind'} ours" if skew else "equal to ours"
    if found.skew_exceeded:
        return Wanted(
            _FALSE,
            Reason.CLOCK_SKEW_EXCEEDED,
            f"Their clock is {where}. {sentence(Reason.CLOCK_SKEW_EXCEEDED)}",
        )
    return Wanted(_TRUE, Reason.CLOCK_IN_SYNC, f"Their clock is {where}.")


def _acknowledged(peer: FederationPeer, found: Findings) -> Wanted:
    if found.acknowledged:
        return Wanted(_TRUE, Reason.ACKNOWLEDGED, sentence(Reason.ACKNOWLEDGED))
    if found.failure is not None:
        return Wanted(
            _FALSE if found.acknowledged is False else _UNKNOWN, found.failure, sentence(found.failure)
        )
    if peer.spec.endpoint is None:
        return Wanted(_UNKNOWN, Reason.NOT_OBSERVED, "No endpoint of theirs is known: we only answer.")
    return Wanted(_UNKNOWN, Reason.NOT_OBSERVED, sentence(Reason.NOT_OBSERVED))


def _authorities(peer: FederationPeer, found: Findings) -> Wanted:
    reason = found.authorities.reason
    said = sentence(reason, (peer.authorities_secret_name,))
    unknown = _UNKNOWN if reason in _AUTHORITIES_PENDING else _FALSE
    return Wanted(_TRUE if found.authorities.authorities else unknown, reason, said)


def build_status(peer: FederationPeer, found: Findings, seal_key: bytes | None) -> FederationPeerStatus:
    """The whole status that follows from what a look found out.

    A pin that was made or renewed in this look (its ``seal`` is None) is sealed with ``seal_key``.
    """
    return FederationPeerStatus(
        observed_generation=peer.metadata.generation,
        reconciled_now=peer.metadata.reconcile_now,
        conditions=tuple(
            build_conditions(
                peer.status.conditions, wanted_conditions(peer, found), peer.metadata.generation, found.now
            )
        ),
        peer_kernel_id=None if found.pin is None else peer.spec.kernel_id,
        pin=_pin_status(peer, found, seal_key),
        unexpected_public_key=None if found.unexpected_key is None else found.unexpected_key.canonical,
        next_handshake_time=found.next_handshake,
        last_attempt_time=found.last_attempt,
        consecutive_failures=found.failures,
        observed_skew_seconds=found.skew_seconds,
        offered_envelope=None
        if found.offer is None
        else OfferedEnvelope(digest=found.offer[0], reason=found.offer[1].value),
        certificate_authorities=tuple(
            PeerAuthorityStatus(
                subject=shown_name(each.subject)[:_MAX_SUBJECT],
                fingerprint=certificate_fingerprint(each),
                not_after=int(each.not_valid_after_utc.timestamp()),
            )
            for each in found.authorities.authorities[:_MAX_AUTHORITIES]
        ),
    )


def _pin_status(peer: FederationPeer, found: Findings, seal_key: bytes | None) -> PinStatus | None:
    pin = found.pin
    if pin is None or found.standing is Standing.TAMPERED:
        return None
    seal = found.seal
    if seal is None and seal_key is not None:
        seal = compute_seal(seal_key, peer.metadata.uid, peer.spec.kernel_id, pin)
    if seal is None:
        return None
    return PinStatus(
        public_key=pin.public_key.canonical,
        established_at=pin.established_at,
        rotation_due=pin.rotation_due,
        envelope_timestamp=pin.envelope_timestamp,
        envelope_nonces=pin.envelope_nonces,
        seal=seal,
    )
