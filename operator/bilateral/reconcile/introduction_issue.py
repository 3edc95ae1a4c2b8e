"""An Introduction that issues: whether our authority signs the subject, and whether what it signed counts.

Rules (resources.md, Introduction):

- Nothing is signed before ``approval: Approved``, beyond the terms of the policy for the peer
  (:mod:`~bilateral.reconcile.introduction_terms`), without a fresh peer where one is named, or
  while our authority may not sign. One approval, one signature: a document that is out is never replaced
  by another, but for those that a partner's operator fetches: these are signed again when two thirds of
  their life are over.
- What the status holds is believed only when an authority of ours signed it for this subject and has not
  withdrawn it. A document that was lost is signed again; one past its end is not.
- Denied, or its peer suspended or gone: the document leaves the status, and the record withdraws the
  serial number. A peer that is merely stale gets nothing new, and keeps what is out until its end.
- Only the subject's name and key count. What cannot be signed is refused with the sentence of the check.

Recording the serial number, and signing, are the engine's: it shows what it signed and recorded to this
decision again, as ``IssueView.signed``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm

from bilateral.pki.authority import Authority
from bilateral.pki.errors import PkiError, SubjectRefused
from bilateral.pki.introductions import Introduction, parse_introduction
from bilateral.pki.leaves import is_signed_by
from bilateral.pki.pem import BACKDATE, UNREADABLE, verify_key_strength
from bilateral.pki.profiles import spki_der, verify_leaf
from bilateral.pki.revocations import is_revoked
from bilateral.pki.services import Service, parse_services
from bilateral.pki.subjects import Candidate, parse_subject
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_view import OwnTrust
from bilateral.reconcile.introduction_status import (
    APPROVED,
    INSTALLED,
    ISSUED,
    NOT_APPLICABLE,
    IntroductionOutcome,
    Shown,
    Signing,
    build_introduction_status,
    explain,
    fails,
    find,
    holds,
    is_online,
    keep,
    show,
    show_subject,
)
from bilateral.reconcile.introduction_terms import (
    PeerTerms,
    clamp_validity,
    dns_names_of,
    has_lapsed,
    is_by_policy,
    refuse_subject,
)
from bilateral.reconcile.outcome import Finding, next_after
from bilateral.reconcile.partners import Partner
from bilateral.resources.conditions import Wanted
from bilateral.resources.introduction import Approval, IssueSpec
from bilateral.resources.introduction import Introduction as IntroductionResource
from bilateral.resources.times import format_time

_LAPSED = find(
    Reason.AWAITING_APPROVAL,
    "A policy approved it, and none does so any more. Compare the subject, then approve or deny it.",
)
_WITHDRAWN_BY = frozenset({Reason.DENIED, Reason.SUSPENDED, Reason.PEER_NOT_FOUND})
"""What withdraws a document that is out; anything else only keeps a new one from being signed."""


@dataclass(frozen=True, slots=True)
class IssueView:
    """What a look depends on: our authority, and the peer that is named, if one is.

    ``own`` is None where there is no such TrustDomain; ``terms`` is what the policy for the peer says.
    ``signed`` is what was signed and recorded in this look; ``problem`` is why that could not be done.
    """

    own: OwnTrust | None
    partner: Partner | None = None
    terms: PeerTerms = None
    signed: Introduction | None = None
    problem: Finding | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an object asks for, as far as it can be read."""

    candidate: Candidate | None
    services: tuple[Service, ...]
    problem: Finding | None


def reconcile_issue(
    resource: IntroductionResource, issue: IssueSpec, view: IssueView, now: int
) -> IntroductionOutcome:
    """Judge an Introduction of the form ``issue`` at ``now`` (Unix seconds)."""
    asked = _read(issue, view.own)
    lapsed = has_lapsed(resource, view.terms)
    blocked = _blocked(issue, view, asked, lapsed=lapsed)
    held = None if blocked is not None and blocked.reason in _WITHDRAWN_BY else _held(resource, view, asked)
    renewal = None if held is None else _renewal_time(resource, held, _validity(issue, view))
    over = _is_over(resource, held, now)
    due = (held is None and not over) or (renewal is not None and now >= renewal)
    sign = None
    if blocked is None and view.problem is None and view.signed is None and due:
        sign = _signing(issue, view, asked, held, now)
    problem = blocked or view.problem
    masked = over and not _tells_of_an_end(resource, problem)
    ready = _ready(problem, held, over=masked, signing=sign is not None)
    status = build_introduction_status(
        resource,
        ready,
        {
            APPROVED: _approved(resource, issue.approval, lapsed=lapsed),
            ISSUED: _issued(ready, held, over=over),
            INSTALLED: NOT_APPLICABLE,
        },
        _shown(resource, held, asked, renewal, blocked, over=over),
        now,
    )
    return IntroductionOutcome(status, sign, _next_look(view, held, renewal, now))


def _read(issue: IssueSpec, own: OwnTrust | None) -> _Asked:
    candidate = None
    try:
        candidate = parse_subject(issue.subject)
        services = parse_services({service.alias: service.url for service in issue.services})
        if own is not None and own.authority is not None:
            verify_leaf(own.authority.certificate, candidate.name, candidate.public_key, SubjectRefused)
    except PkiError as error:
        return _Asked(candidate, (), explain(error))
    return _Asked(candidate, services, None)


def _blocked(issue: IssueSpec, view: IssueView, asked: _Asked, *, lapsed: bool) -> Finding | None:
    """Why nothing is signed now, or None; a person's decision comes first."""
    if issue.approval is Approval.DENIED:
        return find(Reason.DENIED)
    if asked.problem is not None:
        return asked.problem
    if issue.peer is not None:
        partner = view.partner
        if partner is None or partner.trust_domain != issue.trust_domain:
            return find(Reason.PEER_NOT_FOUND)
        if not partner.fresh:
            return find(partner.withheld or Reason.PEER_STALE)
    if view.own is None:
        return find(Reason.TRUST_DOMAIN_NOT_FOUND)
    if view.own.problem is not None or view.own.authority is None:
        return find(view.own.problem or Reason.TRUST_DOMAIN_NOT_READY)
    refused = None if asked.candidate is None else refuse_subject(view.terms, asked.candidate.subject)
    if refused is not None:
        return refused
    if issue.approval is not Approval.APPROVED:
        return find(Reason.AWAITING_APPROVAL)
    return _LAPSED if lapsed else None


def _held(resource: IntroductionResource, view: IssueView, asked: _Asked) -> Introduction | None:
    """The document that is out, if it is ours, for this subject, and not withdrawn."""
    if view.signed is not None:
        return view.signed
    text = resource.status.introduction
    if text is None or asked.candidate is None or view.own is None:
        return None
    try:
        found = parse_introduction(text)
        key = verify_key_strength(found.certificate.public_key(), SubjectRefused)
        same = (
            found.certificate.subject == asked.candidate.name
            and spki_der(key) == spki_der(asked.candidate.public_key)
            and (asked.problem is not None or found.services == asked.services)
        )
        return found if same and _is_ours(found, view.own) else None
    except (PkiError, *UNREADABLE, UnsupportedAlgorithm):
        return None


def _is_ours(found: Introduction, own: OwnTrust) -> bool:
    for each in own.generations:
        if each.certificate == found.authority and is_signed_by(found.certificate, each.certificate):
            return each.revocations is None or not is_revoked(each.revocations, found.certificate)
    current = own.authority
    return (
        current is not None
        and current.certificate == found.authority
        and is_signed_by(found.certificate, current.certificate)
    )


def _is_over(resource: IntroductionResource, held: Introduction | None, now: int) -> bool:
    """Whether what was signed is past its end, also where only its dates are left of it."""
    if held is not None:
        return now > int(held.not_after.timestamp())
    status = resource.status
    if is_online(resource) or status.serial is None or status.not_after is None:
        return False
    return now > status.not_after


def _renewal_time(resource: IntroductionResource, held: Introduction, validity_seconds: int) -> int | None:
    """Two thirds of the life; later where a new one would end before the one that is out."""
    if not is_online(resource):
        return None
    start, end = int((held.not_before + BACKDATE).timestamp()), int(held.not_after.timestamp())
    return max(start + max(0, end - start) * 2 // 3, end - validity_seconds + 1)


def _validity(issue: IssueSpec, view: IssueView) -> int:
    return clamp_validity(view.terms, issue.validity_seconds)


def _signing(
    issue: IssueSpec, view: IssueView, asked: _Asked, held: Introduction | None, now: int
) -> Signing | None:
    authority = None if view.own is None else view.own.authority
    if authority is None or asked.candidate is None:
        return None
    validity = _validity(issue, view)
    if held is not None and _end(authority, validity, now) <= int(held.not_after.timestamp()):
        return None  # it would not live longer: the authority itself ends
    return Signing(authority, asked.candidate, asked.services, validity, dns_names_of(view.terms))


def _end(authority: Authority, validity_seconds: int, now: int) -> int:
    return min(now + validity_seconds, int(authority.not_after.timestamp()))


def _tells_of_an_end(resource: IntroductionResource, problem: Finding | None) -> bool:
    """Whether a problem says more of something that is past its end than that."""
    if problem is None:
        return False
    refused = problem.reason is Reason.SUBJECT_REFUSED and is_online(resource)
    return refused or problem.reason in _WITHDRAWN_BY


def _ready(problem: Finding | None, held: Introduction | None, *, over: bool, signing: bool) -> Wanted:
    if over:
        return fails(find(Reason.INTRODUCTION_EXPIRED))
    if problem is not None:
        return fails(problem)
    if held is None:
        return fails(find(Reason.PROGRESSING if signing else Reason.OUTPUTS_PENDING))
    return holds(Reason.READY, f"Introduced until {format_time(int(held.not_after.timestamp()))}.")


def _approved(resource: IntroductionResource, approval: Approval, *, lapsed: bool) -> Wanted:
    match approval:
        case Approval.APPROVED if lapsed:
            return fails(_LAPSED)
        case Approval.APPROVED if is_by_policy(resource):
            return holds(Reason.APPROVED, "The policy for the peer approves it.")
        case Approval.APPROVED:
            return holds(Reason.APPROVED)
        case Approval.DENIED:
            return fails(find(Reason.DENIED))
        case Approval.PENDING:
            return fails(find(Reason.AWAITING_APPROVAL))


def _issued(ready: Wanted, held: Introduction | None, *, over: bool) -> Wanted:
    if held is not None and not over:
        return holds(Reason.ISSUED)
    return ready


def _shown(
    resource: IntroductionResource,
    held: Introduction | None,
    asked: _Asked,
    renewal: int | None,
    blocked: Finding | None,
    *,
    over: bool,
) -> Shown:
    if held is not None:
        return show(held, held.to_json(), renewal)
    undecided = blocked is not None and blocked.reason not in _WITHDRAWN_BY
    if resource.status.serial is not None and (over or undecided):
        return keep(resource)  # it cannot be judged now, or is remembered so that it is not signed again
    return show_subject(asked.candidate.name) if asked.candidate is not None else Shown()


def _next_look(view: IssueView, held: Introduction | None, renewal: int | None, now: int) -> int | None:
    end = None if held is None else int(held.not_after.timestamp()) + 1
    return next_after(now, (renewal, end, None if view.partner is None else view.partner.rotation_due))
