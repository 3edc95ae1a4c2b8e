"""What a policy says about introducing a partner's parties: by whose word, whom, for how long, with which names.

Pure. Rules:

- Without a policy a person decides, and nothing limits what was approved. With several, or with one that
  does not count, nobody knows what the limits are: nothing new is signed.
- ``Automatic`` approves a request whose whole subject is listed and that asks for no longer than the policy
  grants; up to :data:`MAX_AUTOMATIC` of them for one partner. Anything else waits for a person.
- Whoever approved: a subject that is not in a list of subjects is refused, no certificate lives longer than
  the policy says, and its DNS names are the policy's.
- What was approved by a policy is renewed while the policy says ``Automatic``; after that a person decides.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from bilateral.protocol.policies.policy import IntroductionApproval, IntroductionTerms
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.outcome import Finding
from bilateral.reconcile.sentences import sentence
from bilateral.resources.introduction import Approval, Introduction
from bilateral.resources.labels import APPROVED_BY_LABEL, APPROVED_BY_POLICY

MAX_AUTOMATIC: Final = 256
"""How many approvals by a policy there may be for one partner: each key and each wish is one."""

PeerTerms: TypeAlias = IntroductionTerms | Reason | None
"""What the policy for a peer says; a reason is why it does not count, and None: there is no policy."""

UNSETTLED: Final = frozenset(
    {
        Reason.POLICY_CONFLICT,
        Reason.PARTNER_ID_MISMATCH,
        Reason.INVALID_SPEC,
        Reason.MALFORMED_KEY,
        Reason.WEAK_KEY,
    }
)
"""Why the policy for a peer may not count."""


def decide_request(
    terms: PeerTerms, subject: str, validity_seconds: int, *, approved: int
) -> Approval | Reason:
    """Decide about a partner's request: approved at once, or left to a person; a reason refuses it.

    ``subject`` is RFC 4514 text, ``approved`` how many of the partner's requests a policy has approved.
    """
    if not isinstance(terms, IntroductionTerms):
        return Approval.PENDING
    if not _is_allowed(terms, subject):
        return Reason.SUBJECT_REFUSED
    within = validity_seconds <= terms.max_validity_seconds and approved < MAX_AUTOMATIC
    return Approval.APPROVED if _is_automatic(terms) and within else Approval.PENDING


def refuse_subject(terms: PeerTerms, subject: str) -> Finding | None:
    """Why nothing is signed for a subject under these terms, whoever approved it; None where it may be."""
    if isinstance(terms, Reason):
        return Finding(terms, f"The policy for the peer does not count. {sentence(terms)}")
    if terms is not None and not _is_allowed(terms, subject):
        return Finding(
            Reason.SUBJECT_REFUSED,
            "The policy for the peer lists the subjects that are signed, and not this one.",
        )
    return None


def is_by_policy(resource: Introduction) -> bool:
    """Whether a policy approved it, and no person."""
    return resource.metadata.labels.get(APPROVED_BY_LABEL) == APPROVED_BY_POLICY


def has_lapsed(resource: Introduction, terms: PeerTerms) -> bool:
    """Whether a policy approved it, and no policy does so now."""
    if not is_by_policy(resource) or isinstance(terms, Reason):
        return False
    return terms is None or not _is_automatic(terms)


def clamp_validity(terms: PeerTerms, wanted_seconds: int) -> int:
    """How long a certificate may live of what was asked for."""
    if not isinstance(terms, IntroductionTerms):
        return wanted_seconds
    return min(wanted_seconds, terms.max_validity_seconds)


def dns_names_of(terms: PeerTerms) -> tuple[str, ...]:
    """The names that a certificate gets."""
    return terms.dns_names if isinstance(terms, IntroductionTerms) else ()


def _is_allowed(terms: IntroductionTerms, subject: str) -> bool:
    return not terms.allowed_subjects or subject in terms.allowed_subjects


def _is_automatic(terms: IntroductionTerms) -> bool:
    return terms.approval is IntroductionApproval.AUTOMATIC
