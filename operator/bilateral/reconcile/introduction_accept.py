"""An Introduction that accepts: whether another authority's document is installed for an identity of ours.

Rules (resources.md, Introduction; docs/pki.md):

- The authority is one of the fresh peer's that is named, or the one certificate whose fingerprint a person
  gave: nothing in the document says who may be believed.
- The verdict is that of :func:`~bilateral.reconcile.acceptances.judge`, from the same
  :class:`~bilateral.reconcile.identity_view.Offer` that the identity gets: what is said here to be installed
  is what is installed there.
- It ends at the exact second of the certificate's or the authority's end, and at once when the peer does
  not count any more.
- While it is not accepted, the status tells nothing of what the document holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.pem import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Accepted, Refused, judge
from bilateral.reconcile.identity_view import Offer
from bilateral.reconcile.introduction_status import (
    APPROVED,
    INSTALLED,
    ISSUED,
    NOT_APPLICABLE,
    IntroductionOutcome,
    Shown,
    build_introduction_status,
    explain,
    fails,
    find,
    holds,
    show,
)
from bilateral.reconcile.outcome import Finding, next_after
from bilateral.reconcile.partners import Partner
from bilateral.resources.conditions import Wanted
from bilateral.resources.introduction import AcceptSpec
from bilateral.resources.introduction import Introduction as IntroductionResource
from bilateral.resources.times import format_time

_NO_AUTHORITY = "No authority of the peer is known yet: its statement is awaited, or a person pins one."


@dataclass(frozen=True, slots=True)
class AcceptView:
    """What a look depends on.

    ``document`` is the JSON, from the spec or the Secret, or None where there is none to be read;
    ``identity_domain`` the trust domain of the identity, None where there is no such identity;
    ``public_key`` the identity's, once it has one; ``partner`` the peer that is named, if it is there.
    """

    document: str | bytes | None = field(repr=False)
    identity_domain: str | None
    public_key: PublicKey | None
    partner: Partner | None = None
    clock_regressed: bool = False
    latest_time: int = 0  # the latest that was ever seen (Unix seconds)


def reconcile_accept(
    resource: IntroductionResource, accept: AcceptSpec, view: AcceptView, now: int
) -> IntroductionOutcome:
    """Judge an Introduction of the form ``accept`` at ``now`` (Unix seconds)."""
    if view.identity_domain is None:
        return _refused(resource, find(Reason.AWAITING_IDENTITY), now)
    offer = build_offer(resource, accept, view.document, view.partner, view.identity_domain)
    if isinstance(offer, Finding):
        return _refused(resource, offer, now)
    return reconcile_offer(resource, offer, view, now)


def build_offer(
    resource: IntroductionResource,
    accept: AcceptSpec,
    document: str | bytes | None,
    partner: Partner | None,
    identity_domain: str,
) -> Offer | Finding:
    """What an Introduction offers to its identity, whose trust domain is ``identity_domain``; or why nothing."""
    if accept.peer is not None:
        if partner is None or partner.trust_domain != identity_domain:
            return find(Reason.PEER_NOT_FOUND)
        if partner.withheld is not None:
            return find(partner.withheld)
        if not partner.authorities:
            return find(Reason.AUTHORITY_UNKNOWN, _NO_AUTHORITY)
    if document is None:
        return find(Reason.SECRET_NOT_FOUND)
    named = partner if accept.peer is not None else None
    return Offer(
        name=resource.metadata.name,
        document=document,
        pinned=_pinned(accept, named),
        partner=named,
        peer_is_named=accept.peer is not None,
        revocations={} if named is None else named.revocations,
    )


def _pinned(accept: AcceptSpec, partner: Partner | None) -> frozenset[str]:
    if accept.authority_fingerprint is not None:
        return frozenset({accept.authority_fingerprint})
    authorities = () if partner is None else partner.authorities
    return frozenset(certificate_fingerprint(authority) for authority in authorities)


def reconcile_offer(
    resource: IntroductionResource, offer: Offer, view: AcceptView, now: int
) -> IntroductionOutcome:
    """Judge what is offered to an identity, whichever way it came."""
    if view.clock_regressed:
        return _refused(resource, find(Reason.CLOCK_REGRESSED), now)
    if view.public_key is None:
        return _refused(resource, find(Reason.AWAITING_IDENTITY), now)
    moment = max(now, view.latest_time)
    verdict = judge(offer.document, view.public_key, offer.pinned, moment, offer.revocations)
    if isinstance(verdict, Refused):
        return _refused(resource, explain(verdict), now, verdict.begins_at)
    return _installed(resource, offer, verdict, now)


def _installed(
    resource: IntroductionResource, offer: Offer, verdict: Accepted, now: int
) -> IntroductionOutcome:
    until = format_time(verdict.ends_at - 1)
    status = build_introduction_status(
        resource,
        holds(Reason.READY, f"Installed until {until}."),
        _conditions(holds(Reason.INSTALLED)),
        show(verdict.introduction, None),
        now,
    )
    due = None if offer.partner is None else offer.partner.rotation_due
    return IntroductionOutcome(status, next_at=next_after(now, (verdict.ends_at, due)))


def _refused(
    resource: IntroductionResource, problem: Finding, now: int, next_at: int | None = None
) -> IntroductionOutcome:
    failed = fails(problem)
    status = build_introduction_status(resource, failed, _conditions(failed), Shown(), now)
    return IntroductionOutcome(status, next_at=next_at)


def _conditions(installed: Wanted) -> dict[str, Wanted]:
    return {APPROVED: NOT_APPLICABLE, ISSUED: NOT_APPLICABLE, INSTALLED: installed}
