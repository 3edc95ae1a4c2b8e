"""An Introduction that is asked for over the network: when to ask, what of the answer counts, what it says.

Rules (exchange.md, Other endpoints; resources.md, Introduction):

- Asked is a fresh partner with known authorities and an endpoint, for an identity whose key can sign; of
  anybody else, an answer could not be judged.
- An answer goes into the status when it was accepted for the identity's key and a pinned authority of that
  partner, and not before. What was accepted stays there while it holds: a failed renewal takes nothing away.
- While somebody at the partner must approve, the question is repeated after 30 seconds, growing to five
  minutes; a partner who denied is asked again every hour, for people change their minds. What was granted
  before a denial leaves at once.
- A new one is asked for when two thirds of the life are over, a little later by the object's UID, so that
  the partner has signed it by then; until it differs from the old one, it is not there yet.
- Every plan is in the status: a restart, or another replica, goes on from there. A request may be made
  twice, for it means the same (:mod:`bilateral.protocol.introduction_request`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.pem import PublicKey
from bilateral.protocol.introduction_request import Granted, RequestState, Waiting
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Accepted, Refused, judge
from bilateral.reconcile.introduction_status import explain, find
from bilateral.reconcile.outcome import Finding
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.request_schedule import after_answer, after_failure, after_renewal, renewal_time
from bilateral.reconcile.request_status import (
    DENIED_BY_PARTNER,
    Found,
    build_request_status,
    recall_failure,
    recall_state,
)
from bilateral.resources.introduction import Introduction, IntroductionStatus

DENIED_AGAIN_SECONDS = 3600
_FOR_GOOD = frozenset(
    {Reason.INTRODUCTION_INVALID, Reason.IDENTITY_KEY_MISMATCH, Reason.INTRODUCTION_EXPIRED}
)
"""Why an introduction that was held is forgotten; for anything else it may yet count again."""
_RARELY = frozenset({Reason.DENIED, Reason.SUBJECT_REFUSED})
"""Answers that only a person at the partner, or another request, can change."""


class Question(StrEnum):
    """What to ask the partner."""

    REQUEST = "request"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class AskFailed:
    """Why asking led to no answer, or to a refusal."""

    reason: Reason
    retry_after_seconds: int = 0


@dataclass(frozen=True, slots=True)
class RequestView:
    """What a look depends on.

    ``public_key`` is the identity's, None while there is none; ``can_ask`` is whether a signing request of
    it can be had; ``speechless`` is whether our trust domain may not sign now. ``happened`` is what came of
    asking in this look.
    """

    public_key: PublicKey | None
    can_ask: bool
    partner: Partner | None
    speechless: bool = False
    happened: Waiting | Granted | AskFailed | None = None


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """What should be true; ``ask`` is what to ask now, before the status is written."""

    status: IntroductionStatus
    ask: Question | None = None
    next_at: int | None = None


def reconcile_request(resource: Introduction, view: RequestView, now: int) -> RequestOutcome:
    """Judge an Introduction of the form ``request`` at ``now`` (Unix seconds), and what came of asking."""
    found = _look(resource, view, now)
    if view.happened is not None:
        found = _take(resource, view, found, now)
    ask = None
    if view.happened is None and found.next_request is not None and found.next_request <= now:
        ask = Question.REQUEST if found.request_id is None else Question.STATUS
    return RequestOutcome(build_request_status(resource, found, now), ask, _next_look(found, view, now))


def _look(resource: Introduction, view: RequestView, now: int) -> Found:
    """What the status tells, judged at ``now``."""
    status = resource.status
    blocked = _blocked(view)
    judged = _judge(status.introduction, view, now)
    held = judged if isinstance(judged, Accepted) else None
    kept = status.introduction
    if isinstance(judged, Refused) and judged.reason in _FOR_GOOD:
        kept = None
    # Another key: the partner would answer with what it has for the old one.
    new_key = isinstance(judged, Refused) and judged.reason is Reason.IDENTITY_KEY_MISMATCH
    found = Found(
        held=held,
        kept=kept,
        problem=blocked or (explain(judged) if isinstance(judged, Refused) else None),
        state=Reason.APPROVED if held is not None else recall_state(resource),
        failure=recall_failure(resource),
        failures=status.consecutive_failures,
        request_id=None if new_key else status.request_id,
        last_request=status.last_request_time,
        next_request=None,
    )
    if blocked is not None:
        return found
    lost = kept is None and status.introduction is not None
    return replace(found, next_request=_plan(resource, found, now, lost=lost))


def _plan(resource: Introduction, found: Found, now: int, *, lost: bool) -> int:
    """When to ask next."""
    status = resource.status
    asked_now = resource.metadata.reconcile_now
    if (asked_now is not None and asked_now != status.reconciled_now) or lost:
        return now
    due = status.next_request_time
    if found.held is not None:
        renewal = renewal_time(resource.metadata.uid, found.held.introduction)
        if due is None or now < renewal:
            return renewal if due is None else min(due, renewal)
    # A date written by hand puts nothing off for long.
    return now if due is None else min(due, now + DENIED_AGAIN_SECONDS)


def _blocked(view: RequestView) -> Finding | None:
    """Why nothing can be asked, or nothing of an answer could be judged."""
    partner = view.partner
    if partner is None:
        return find(Reason.PEER_NOT_FOUND)
    if not partner.fresh:
        return find(partner.withheld or Reason.PEER_STALE)
    if view.public_key is None:
        return find(Reason.AWAITING_IDENTITY)
    if not view.can_ask:
        return find(Reason.AWAITING_IDENTITY, NO_REQUEST)
    if partner.endpoint is None:
        return find(Reason.NO_ENDPOINT)
    if view.speechless:
        return find(Reason.TRUST_DOMAIN_NOT_READY)
    if not partner.authorities:
        return find(Reason.AUTHORITY_UNKNOWN, NO_AUTHORITY)
    return None


NO_REQUEST = (
    "The identity's key is provided as a certificate, which proves nothing. Put a signing request (tls.csr) "
    "beside it, or exchange the introduction by file."
)
NO_AUTHORITY = "The partner has announced no authority yet, so no answer could be verified."


def _judge(text: str | None, view: RequestView, now: int) -> Accepted | Refused | None:
    if text is None or view.public_key is None or view.partner is None:
        return None
    pinned = frozenset(certificate_fingerprint(each) for each in view.partner.authorities)
    return judge(text, view.public_key, pinned, now, view.partner.revocations)


# What came of asking


def _take(resource: Introduction, view: RequestView, found: Found, now: int) -> Found:
    uid, gap = resource.metadata.uid, _last_gap(found)
    found = replace(found, last_request=now)
    if _blocked(view) is not None:
        return found  # it was asked before that: the answer cannot be judged any more
    match view.happened:
        case Waiting(id=request_id, state=state):
            pending = state is RequestState.PENDING
            following = after_answer(uid, gap, now)
            if found.held is not None:  # asked for again, and still under way
                following = after_renewal(following, found.held.ends_at, now)
            return replace(
                found,
                state=Reason.REQUEST_PENDING if pending and found.held is None else Reason.APPROVED,
                problem=None,
                failure=None,
                failures=0,
                request_id=request_id,
                next_request=following,
            )
        case Granted() as granted:
            return _take_introduction(resource, view, found, granted, gap, now)
        case AskFailed() as failed:
            return _take_failure(resource, found, failed, now)
        case _:
            return found


def _take_introduction(
    resource: Introduction, view: RequestView, found: Found, granted: Granted, gap: int, now: int
) -> Found:
    uid = resource.metadata.uid
    judged = _judge(granted.introduction, view, now)
    if not isinstance(judged, Accepted):
        finding = find(Reason.INTRODUCTION_INVALID) if judged is None else explain(judged)
        mismatch = judged is not None and judged.reason is Reason.IDENTITY_KEY_MISMATCH
        failed = replace(found, request_id=None if mismatch else granted.id, state=Reason.APPROVED)
        return _fail(uid, failed, finding, now)
    known = found.held is not None and judged.introduction.serial == found.held.introduction.serial
    renewal = renewal_time(uid, judged.introduction)
    following = renewal
    if renewal <= now:
        # It is the old one, or one that is nearly over: the partner has not signed the next yet.
        following = after_renewal(after_answer(uid, gap if known else 0, now), judged.ends_at, now)
    return replace(
        found,
        held=judged,
        kept=granted.introduction,
        problem=None,
        state=Reason.APPROVED,
        failure=None,
        failures=0,
        request_id=granted.id,
        next_request=following,
    )


def _take_failure(resource: Introduction, found: Found, failed: AskFailed, now: int) -> Found:
    uid = resource.metadata.uid
    if failed.reason is Reason.UNKNOWN_REQUEST and found.request_id is not None:
        return replace(found, request_id=None, next_request=now)  # asked anew in the next look
    if failed.reason in _RARELY:
        denied = failed.reason is Reason.DENIED
        return replace(
            _fail(uid, found, find(failed.reason, DENIED_BY_PARTNER if denied else None), now),
            held=None if denied else found.held,
            kept=None if denied else found.kept,
            state=Reason.DENIED if denied else found.state,
            next_request=now + DENIED_AGAIN_SECONDS,
        )
    waiting = _fail(uid, found, find(failed.reason), now)
    at_least = now + failed.retry_after_seconds
    return replace(waiting, next_request=max(waiting.next_request or now, at_least))


def _fail(uid: str, found: Found, failure: Finding, now: int) -> Found:
    failures = found.failures + 1
    following = after_failure(uid, failures, now)
    if found.held is not None:
        following = after_renewal(following, found.held.ends_at, now)
    return replace(found, failure=failure, failures=failures, next_request=following)


def _last_gap(found: Found) -> int:
    """The last wait between two questions, in seconds; 0 where it was none of those that grow."""
    if found.failures or found.last_request is None or found.next_request is None:
        return 0
    return max(0, found.next_request - found.last_request)


def _next_look(found: Found, view: RequestView, now: int) -> int | None:
    moments = [found.next_request] if found.next_request is not None else []
    if found.held is not None:
        moments.append(found.held.ends_at)
    if view.partner is not None and view.partner.rotation_due is not None:
        moments.append(view.partner.rotation_due)
    return max(min(moments), now) if moments else None
