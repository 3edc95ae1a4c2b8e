"""What should be true of a FederationPeer: the one place where trust in a partner grows or ends.

Rules (exchange.md, The handshake; resources.md, FederationPeer; security.md R-H*, R-K9):

- First contact needs an anchor. A pin comes from :func:`accept_envelope` and from nowhere else.
- A pin counts only with its seal, and only while its key is one that a person still anchors. A pin
  that fails either is as good as none; a pin past ``rotationDue`` is stale from that second on.
- A different key never replaces, extends or removes a pin.
- Nothing is accepted while the clock is behind what was already seen, while the partner is
  suspended, or while two peers claim one kernel id or one credential.
- A failed renewal keeps the proven state until its deadline, and so does a trust domain of ours that
  may not sign for now: what a partner proved is not undone by a trouble of ours.
- The status is a function of the old status, the view and now: any number of looks, in any order,
  end in the same state, and a look that changes nothing writes nothing.
- A refused envelope from outside changes nothing at all, so that strangers cause no write (R-D2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bilateral.protocol.errors import (
    ClockSkewExceeded,
    ProtocolError,
    ReplayedEnvelope,
    UnexpectedPeerKey,
)
from bilateral.protocol.handshake import Pin, Terms, accept_envelope
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.protocol.seal import verify_seal
from bilateral.reconcile import schedule
from bilateral.reconcile.partner_authorities import AuthoritiesFound, Fetched
from bilateral.reconcile.peer_authorities import OUR_TROUBLES, find_authorities
from bilateral.reconcile.peer_status import (
    Findings,
    Recalled,
    Standing,
    is_asked_to_reconcile,
    is_edited,
    recall,
)
from bilateral.reconcile.peer_view import Direction, DomainView, Failed, NotReady, PeerView, Received
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain

__all__ = [
    "REFUSED_BY_THEM",
    "Direction",
    "DomainView",
    "Failed",
    "NotReady",
    "PeerOutcome",
    "PeerView",
    "Received",
    "reconcile_peer",
    "terms_of",
]


@dataclass(frozen=True, slots=True)
class PeerOutcome:
    """What should be true, and what to do about it."""

    findings: Findings
    refusal: ProtocolError | None  # why the received envelope was not accepted
    handshake_due: bool  # ask the partner now
    statement_due: bool  # ask for its authority statement now, by itself
    next_at: int | None  # look again (Unix seconds)


def reconcile_peer(peer: FederationPeer, view: PeerView, now: int) -> PeerOutcome:
    """Judge a peer, and what happened with it where something did, at ``now`` (Unix seconds)."""
    told = recall(peer)
    found = _look(peer, view, told, now)
    refusal: ProtocolError | None = None
    fetched: Fetched | None = None
    if isinstance(view.happened, Received):
        found, refusal = _judge(peer, view, found, view.happened)
        fetched = view.happened.statement if refusal is None else None
    elif isinstance(view.happened, Fetched):
        fetched = view.happened
    elif view.happened is not None and view.happened.digest is not None:
        found = replace(found, offer=(view.happened.digest, view.happened.reason))
    elif view.happened is not None:
        found = _after_failure(peer, view, found, view.happened)
    found = replace(found, authorities=_authorities(peer, view, found, told, fetched))
    asked_by = found.authorities.ask_at
    due = found.next_handshake is not None and found.next_handshake <= now
    return PeerOutcome(
        findings=found,
        refusal=refusal,
        handshake_due=due and not _must_tell_first(told, found),
        statement_due=asked_by is not None and asked_by <= now and not due,
        next_at=_next_look(found, now),
    )


def terms_of(peer: FederationPeer, domain: TrustDomain, own_key: PublicKey) -> Terms:
    """The terms under which an envelope of this peer is accepted."""
    return Terms(
        local_kernel_id=domain.spec.kernel_id,
        local_public_key=own_key,
        remote_kernel_id=peer.spec.kernel_id,
        anchors=peer.anchors,
        rotation_window_seconds=peer.handshake_window(domain),
        max_clock_skew_seconds=peer.max_skew(domain),
    )


def _authorities(
    peer: FederationPeer, view: PeerView, found: Findings, told: Recalled, fetched: Fetched | None
) -> AuthoritiesFound:
    """What is known of the partner's authorities, with everything else of this look decided."""
    return find_authorities(
        peer,
        found,
        held=view.authorities,
        taken=view.authorities_taken,
        told=told.authorities,
        fetched=fetched,
        planned=view.asking_planned,
        max_skew_seconds=0 if view.domain is None else peer.max_skew(view.domain.trust_domain),
    )


def _must_tell_first(told: Recalled, found: Findings) -> bool:
    """Whether the end of trust is still to be written: no handshake may hold that up."""
    ended = told.was_ready and found.standing is not Standing.FRESH
    return ended or (told.pin is not None and found.standing is Standing.TAMPERED)


def _look(peer: FederationPeer, view: PeerView, told: Recalled, now: int) -> Findings:
    """What the status tells, with the pin judged at ``now`` and the next handshake decided."""
    found = Findings(
        now=now,
        blocked=_blocked(peer, view),
        speechless=view.domain is None or view.domain.public_key is None,
        bearer_token_missing=view.bearer_token_missing,
        anchors=peer.anchors,
        pin=told.pin,
        seal=told.seal,
        standing=_standing_of(peer, view, told, now),
        failures=told.failures,
        failure=told.failure,
        acknowledged=told.acknowledged,
        skew_seconds=told.skew_seconds,
        skew_exceeded=told.skew_exceeded,
        last_attempt=told.last_attempt,
        next_handshake=told.next_handshake,
        unexpected_key=told.unexpected_key,
        offer=told.offer,
    )
    return replace(found, next_handshake=_next_handshake(peer, found))


def _blocked(peer: FederationPeer, view: PeerView) -> Reason | None:
    """Why nothing may be accepted from, or asked of, this peer whatever it proves."""
    if view.domain is None:
        return Reason.TRUST_DOMAIN_NOT_FOUND
    if peer.is_suspended:
        return Reason.SUSPENDED
    if view.clock_regressed:
        return Reason.CLOCK_REGRESSED
    if peer.spec.kernel_id == view.domain.trust_domain.spec.kernel_id:
        return Reason.KERNEL_ID_MISMATCH
    if view.domain.public_key is not None and view.domain.public_key in peer.anchors:
        return Reason.OWN_KEY_AS_ANCHOR
    if view.kernel_id_taken:
        return Reason.KERNEL_ID_CONFLICT
    if view.shared_fingerprint:
        return Reason.CREDENTIAL_CONFLICT
    if view.domain.seal_key is None:
        return Reason.TRUST_DOMAIN_NOT_READY  # no pin can be told from a forged one
    return None


def _standing_of(peer: FederationPeer, view: PeerView, told: Recalled, now: int) -> Standing:
    """Where the pin stands at ``now``; without a way to check its seal it is not believed."""
    pin = told.pin
    if pin is None:
        # That a pin was tampered with stays true until another one was proven.
        return Standing.TAMPERED if told.was_tampered else Standing.NONE
    if view.domain is None or view.domain.seal_key is None:
        return Standing.UNCHECKED
    if not verify_seal(view.domain.seal_key, peer.metadata.uid, peer.spec.kernel_id, pin, told.seal or ""):
        return Standing.TAMPERED
    if peer.anchors and pin.public_key not in peer.anchors:
        return Standing.UNANCHORED
    if pin.established_at > now + peer.max_skew(view.domain.trust_domain):
        return Standing.FUTURE
    return Standing.FRESH if pin.is_fresh(now) else Standing.STALE


def _next_handshake(peer: FederationPeer, found: Findings) -> int | None:
    """When to ask the partner next; None: not until something changes."""
    if (
        peer.spec.endpoint is None
        or found.blocked is not None
        or found.speechless
        or found.bearer_token_missing
    ):
        return None
    if not found.anchors and found.standing not in (Standing.FRESH, Standing.STALE):
        return None
    if found.next_handshake is None or is_edited(peer) or is_asked_to_reconcile(peer):
        return found.now
    if found.standing is not Standing.FRESH and found.failures == 0:
        return found.now  # it was fresh when this was planned
    # Anybody who may write a status can write a date into it that never comes: no plan of ours lies
    # past the deadline, or is longer than the longest pause.
    if found.standing is Standing.FRESH and found.pin is not None:
        return min(found.next_handshake, found.pin.rotation_due)
    return min(found.next_handshake, found.now + schedule.MAX_PAUSE_SECONDS)


def _judge(
    peer: FederationPeer, view: PeerView, found: Findings, received: Received
) -> tuple[Findings, ProtocolError | None]:
    """Accept or refuse an envelope."""
    domain = view.domain
    if domain is None or domain.public_key is None or found.blocked in OUR_TROUBLES:
        return _after_refusal(peer, view, found, received, NotReady()), NotReady()
    terms = terms_of(peer, domain.trust_domain, domain.public_key)
    if found.blocked is not None:
        # Known, but nobody: such a partner hears what a stranger hears, after the same checks.
        terms = replace(terms, anchors=())
    try:
        renewed = accept_envelope(received.envelope, terms, _pin_for_judging(found), found.now)
    except ProtocolError as error:
        return _after_refusal(peer, view, found, received, error), error
    return _after_acceptance(peer, found, received, renewed), None


def _pin_for_judging(found: Findings) -> Pin | None:
    """The pin that an envelope is compared with.

    One whose key is no longer anchored vouches for no key, for anchors come first; that its
    envelope was seen still counts against a replay. One without its seal says nothing at all, and
    neither does that of a partner who is nobody now.
    """
    nothing = found.blocked is not None or found.standing in (Standing.NONE, Standing.TAMPERED)
    return None if nothing else found.pin


def _after_acceptance(peer: FederationPeer, found: Findings, received: Received, pin: Pin) -> Findings:
    answered = received.direction is Direction.ANSWER
    acknowledged = True if answered else found.acknowledged
    following: int | None = None
    if peer.spec.endpoint is not None and not found.bearer_token_missing:
        following = schedule.renewal_time(peer.metadata.uid, pin.established_at, pin.rotation_due)
        if not answered and (acknowledged is not True or is_edited(peer) or is_asked_to_reconcile(peer)):
            # They reached us; whether we reach them is still to be shown, soon but not in one breath.
            following = schedule.soon(peer.metadata.uid, found.now, schedule.AFTER_INBOUND_SECONDS)
    return replace(
        found,
        pin=pin,
        seal=None,
        standing=Standing.FRESH,
        failures=0,
        failure=None,
        acknowledged=acknowledged,
        skew_seconds=received.envelope.challenge.timestamp - found.now,
        skew_exceeded=False,
        last_attempt=found.now if answered else found.last_attempt,
        next_handshake=following,
        unexpected_key=None,
        offer=found.offer if received.digest is None else (received.digest, Reason.ENVELOPE_ACCEPTED),
    )


def _after_refusal(
    peer: FederationPeer, view: PeerView, found: Findings, received: Received, error: ProtocolError
) -> Findings:
    if received.direction is Direction.INBOUND:
        return found  # strangers and partners alike cause no write by what is refused
    if received.direction is Direction.FILE and received.digest is not None:
        return replace(found, offer=(received.digest, error.reason))
    failed = _after_failure(
        peer,
        view,
        found,
        Failed(
            error.reason,
            skew_seconds=received.envelope.challenge.timestamp - found.now
            if isinstance(error, ClockSkewExceeded)
            else None,
        ),
    )
    if isinstance(error, UnexpectedPeerKey):
        return replace(failed, unexpected_key=received.envelope.declared_public_key)
    return failed


def _after_failure(peer: FederationPeer, view: PeerView, found: Findings, failed: Failed) -> Findings:
    """A handshake of ours failed: keep what is proven, say why, and try again later."""
    if found.blocked is not None or found.speechless:
        return found  # it was asked before that: how it ended says nothing about the partner
    uid = peer.metadata.uid
    fresh = found.standing is Standing.FRESH
    if failed.reason is ReplayedEnvelope.reason and fresh and found.pin is not None:
        # Both asked in one second, or their replicas' clocks differ: no failure, only a retry
        # (exchange.md). If their own envelope renewed the pin meanwhile, not even that.
        renewal = schedule.renewal_time(uid, found.pin.established_at, found.pin.rotation_due)
        retry = schedule.soon(uid, found.now, schedule.AFTER_REPLAY_SECONDS)
        return replace(
            found,
            last_attempt=found.now,
            next_handshake=max(renewal, retry) if found.acknowledged else retry,
        )
    failures = found.failures + 1
    window = 0 if view.domain is None else peer.handshake_window(view.domain.trust_domain)
    deadline = found.pin.rotation_due if fresh and found.pin is not None else None
    following = schedule.retry_time(uid, failures, found.now, window, deadline)
    if failed.retry_after_seconds:
        following = max(following, found.now + failed.retry_after_seconds)
    refused = failed.reason in REFUSED_BY_THEM
    return replace(
        found,
        failures=failures,
        failure=failed.reason,
        acknowledged=False if refused else None,
        skew_seconds=found.skew_seconds if failed.skew_seconds is None else failed.skew_seconds,
        skew_exceeded=failed.reason is Reason.CLOCK_SKEW_EXCEEDED,
        last_attempt=found.now,
        next_handshake=following,
        unexpected_key=None,
    )


REFUSED_BY_THEM = frozenset(
    {
        Reason.AWAITING_PARTNER,
        Reason.REFUSED_BY_PARTNER,
        Reason.CLOCK_SKEW_EXCEEDED,
        Reason.REPLAYED_ENVELOPE,
        Reason.UNEXPECTED_PEER_KEY,
    }
)
"""Failures that tell that our envelope, or theirs, was seen and not accepted."""


def _next_look(found: Findings, now: int) -> int | None:
    """The earliest moment at which this look's result changes by itself."""
    moments = [found.next_handshake, found.authorities.ask_at, found.authorities.changes_at]
    if found.pin is not None and found.standing is Standing.FRESH:
        moments.append(found.pin.rotation_due)
    if found.standing is Standing.FUTURE:
        moments.append(now + 60)
    known = [moment for moment in moments if moment is not None]
    return max(min(known), now) if known else None
