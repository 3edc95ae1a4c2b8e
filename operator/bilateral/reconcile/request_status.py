"""What an Introduction says that was asked for over the network, from what a look found out.

Rules: while one is held that counts, it is Ready, also while its renewal fails; that the renewal is overdue
is said by ``Issued``. The partner's decision, and why the last attempt failed, are read back from the
conditions, so that the next look knows them.
"""

from __future__ import annotations

from dataclasses import dataclass

from bilateral.pki.errors import PkiError
from bilateral.pki.introductions import parse_introduction
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Accepted
from bilateral.reconcile.introduction_status import (
    APPROVED,
    INSTALLED,
    ISSUED,
    Shown,
    build_introduction_status,
    fails,
    find,
    holds,
    show,
)
from bilateral.reconcile.outcome import Finding
from bilateral.reconcile.request_schedule import renewal_time
from bilateral.resources.conditions import Wanted
from bilateral.resources.introduction import Introduction, IntroductionStatus
from bilateral.resources.times import format_time

DENIED_BY_PARTNER = "A person at the partner denied it. They are asked again every hour."
_ASKING = "The partner is being asked."


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that a look found out. Times are Unix seconds.

    ``held`` is the introduction that counts now, ``kept`` its text or that of one which may count again;
    ``state`` is how the partner's decision stands as far as is known (Approved, RequestPending, Denied, or
    NotObserved); ``failure`` is why the last attempt failed.
    """

    held: Accepted | None
    kept: str | None
    problem: Finding | None
    state: Reason
    failure: Finding | None
    failures: int
    request_id: str | None
    last_request: int | None
    next_request: int | None


def recall_state(resource: Introduction) -> Reason:
    """How the partner's decision stood at the last look."""
    told = resource.status.condition(APPROVED)
    known = (Reason.APPROVED, Reason.REQUEST_PENDING, Reason.DENIED)
    return next((each for each in known if told is not None and told.reason == each), Reason.NOT_OBSERVED)


def recall_failure(resource: Introduction) -> Finding | None:
    """Why the last attempt failed, if it did."""
    told = resource.status.condition(ISSUED)
    if not resource.status.consecutive_failures or told is None or told.reason not in set(Reason):
        return None
    reason = Reason(told.reason)
    return None if reason in (Reason.ISSUED, Reason.NOT_OBSERVED) else Finding(reason, told.message)


def build_request_status(resource: Introduction, found: Found, now: int) -> IntroductionStatus:
    """Put the status together."""
    ready = _ready(found)
    installed = found.held is not None
    overdue = installed and found.failure is not None and _is_overdue(resource, found, now)
    issued = holds(Reason.ISSUED) if installed else ready
    if overdue and found.failure is not None:
        issued = fails(found.failure)
    form = {
        APPROVED: _approved(found),
        ISSUED: issued,
        INSTALLED: holds(Reason.INSTALLED) if installed else ready,
    }
    status = build_introduction_status(resource, ready, form, _shown(resource, found), now)
    return status.model_copy(
        update={
            "request_id": found.request_id,
            "last_request_time": found.last_request,
            "next_request_time": found.next_request,
            "consecutive_failures": found.failures,
        }
    )


def _ready(found: Found) -> Wanted:
    if found.held is not None:
        end = int(found.held.introduction.not_after.timestamp())
        return holds(Reason.READY, f"Introduced until {format_time(end)}.")
    finding = found.problem or found.failure
    if finding is not None:
        return fails(finding)
    if found.state is Reason.DENIED:
        return fails(find(Reason.DENIED, DENIED_BY_PARTNER))
    return fails(find(Reason.REQUEST_PENDING, None if found.state is Reason.REQUEST_PENDING else _ASKING))


def _approved(found: Found) -> Wanted:
    match found.state:
        case Reason.APPROVED:
            return holds(Reason.APPROVED, "The partner approved it.")
        case Reason.DENIED:
            return fails(find(Reason.DENIED, DENIED_BY_PARTNER))
        case Reason.REQUEST_PENDING:
            return fails(find(Reason.REQUEST_PENDING))
        case _:
            return fails(find(Reason.NOT_OBSERVED))


def _shown(resource: Introduction, found: Found) -> Shown:
    if found.kept is None:
        return Shown()
    if found.held is not None:
        introduction = found.held.introduction
    else:
        try:
            introduction = parse_introduction(found.kept)
        except PkiError:
            return Shown()
    return show(introduction, found.kept, renewal_time(resource.metadata.uid, introduction))


def _is_overdue(resource: Introduction, found: Found, now: int) -> bool:
    held = found.held
    return held is not None and renewal_time(resource.metadata.uid, held.introduction) <= now
