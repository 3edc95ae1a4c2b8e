"""What a look at an Introduction says: the status of every form, its conditions, and what to sign.

Rules: the conditions are ``Ready``, then those of the form (``Approved``, ``Issued``, ``Installed``), then
``Reconciling`` and ``Stalled``. Messages are sentences of ours that do not change while nothing happens. A
subject in a status is a stranger's words: it is shown as RFC 4514 text in which nothing is invisible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from bilateral.pki.authority import Authority
from bilateral.pki.errors import PkiError
from bilateral.pki.introductions import Introduction
from bilateral.pki.names import shown_name
from bilateral.pki.services import Service
from bilateral.pki.subjects import Candidate
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Refused
from bilateral.reconcile.outcome import Finding
from bilateral.reconcile.progress import progress
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.introduction import Introduction as IntroductionResource
from bilateral.resources.introduction import IntroductionStatus
from bilateral.resources.labels import ORIGIN_LABEL, ORIGIN_ONLINE

READY = "Ready"
APPROVED = "Approved"
ISSUED = "Issued"
INSTALLED = "Installed"

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

WAITING = frozenset(
    {
        Reason.TRUST_DOMAIN_NOT_READY,
        Reason.AUTHORITY_PENDING,
        Reason.AWAITING_IDENTITY,
        Reason.OUTPUTS_PENDING,
        Reason.RECORD_PENDING,
        Reason.PEER_NOT_PINNED,
        Reason.PROGRESSING,
        Reason.AWAITING_APPROVAL,
        Reason.AWAITING_PARTNER,
        Reason.REQUEST_PENDING,
        Reason.UNKNOWN_REQUEST,
        Reason.NOT_OBSERVED,
    }
)
"""Reasons for which Ready is Unknown: a decision, a partner or the operator is awaited."""

RECOVERS = WAITING - {Reason.AWAITING_APPROVAL} | {
    Reason.PEER_STALE,
    Reason.CLOCK_REGRESSED,
    Reason.CLOCK_SKEW_EXCEEDED,
    Reason.NAME_NOT_RESOLVED,
    Reason.CONNECTION_FAILED,
    Reason.ANSWER_TIMEOUT,
    Reason.ANSWER_INVALID,
    Reason.TOO_MANY_REQUESTS,
}
"""Reasons that no person has to remove here."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What is to be signed now: recorded first, then shown to the decision again as ``signed``."""

    authority: Authority
    candidate: Candidate
    services: tuple[Service, ...]
    validity_seconds: int
    dns_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IntroductionOutcome:
    """What should be true of an Introduction; with ``sign``, the status is right once that was done or failed."""

    status: IntroductionStatus
    sign: Signing | None = None
    next_at: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The members of the status that tell of a certificate; all None where there is none."""

    introduction: str | None = None
    serial: str | None = None
    subject: str | None = None
    authority: str | None = None
    authority_fingerprint: str | None = None
    not_after: int | None = None
    renewal_time: int | None = None


def show(introduction: Introduction, text: str | None, renewal_time: int | None = None) -> Shown:
    """What the status says of an introduction; ``text`` is its JSON where it is to be handed over or kept."""
    return Shown(
        introduction=text,
        serial=introduction.serial,
        subject=shown_name(introduction.certificate.subject),
        authority=shown_name(introduction.authority.subject),
        authority_fingerprint=introduction.authority_fingerprint,
        not_after=int(introduction.not_after.timestamp()),
        renewal_time=renewal_time,
    )


def show_subject(name: x509.Name) -> Shown:
    """Who would be introduced, while nothing is signed."""
    return Shown(subject=shown_name(name))


def keep(resource: IntroductionResource) -> Shown:
    """What the status says already, unjudged."""
    status = resource.status
    return Shown(
        introduction=status.introduction,
        serial=status.serial,
        subject=status.subject,
        authority=status.authority,
        authority_fingerprint=status.authority_fingerprint,
        not_after=status.not_after,
        renewal_time=status.renewal_time,
    )


def is_online(resource: IntroductionResource) -> bool:
    """Whether a partner's operator asked for it, and fetches it again when it is renewed."""
    return resource.metadata.labels.get(ORIGIN_LABEL) == ORIGIN_ONLINE


NOT_APPLICABLE = Wanted(_UNKNOWN, Reason.NOT_APPLICABLE, sentence(Reason.NOT_APPLICABLE))
"""A condition that this form of the object does not have."""


def find(reason: Reason, message: str | None = None) -> Finding:
    """A finding with the reason's own sentence, unless a better one is given."""
    return Finding(reason, message or sentence(reason))


def explain(refused: PkiError | Refused) -> Finding:
    """A finding that begins with the sentence of the check that failed."""
    text = refused.sentence if isinstance(refused, Refused) else str(refused)
    return Finding(refused.reason, f"{text[:1].upper()}{text[1:]}. {sentence(refused.reason)}")


def holds(reason: Reason, message: str | None = None) -> Wanted:
    """A condition that is True."""
    return Wanted(_TRUE, reason, message or sentence(reason))


def fails(problem: Finding) -> Wanted:
    """A condition that is False, or Unknown while it may come right by itself."""
    return Wanted(_UNKNOWN if problem.reason in WAITING else _FALSE, problem.reason, problem.message)


def build_introduction_status(
    resource: IntroductionResource,
    ready: Wanted,
    form: Mapping[str, Wanted],
    shown: Shown,
    now: int,
) -> IntroductionStatus:
    """Put the status together; ``form`` are the conditions that this form has between Ready and Reconciling."""
    good = ready.status is _TRUE
    stalled = not good and ready.reason not in RECOVERS
    wanted = {
        READY: ready,
        **form,
        **progress(reconciling=not good and not stalled, stalled=stalled),
    }
    metadata = resource.metadata
    return IntroductionStatus(
        observed_generation=metadata.generation,
        reconciled_now=metadata.reconcile_now,
        conditions=tuple(build_conditions(resource.status.conditions, wanted, metadata.generation, now)),
        introduction=shown.introduction,
        serial=shown.serial,
        subject=shown.subject,
        authority=shown.authority,
        authority_fingerprint=shown.authority_fingerprint,
        not_after=shown.not_after,
        renewal_time=shown.renewal_time,
    )
