"""The condition types of WorkloadIdentity, TrustedService and Introduction, and the reasons of each.

Closed lists, as in `bilateral.resources.condition_types`. ``Ready`` may have any reason of the
others of its kind, since it sums them up.
"""

from __future__ import annotations

from typing import Final

from bilateral.protocol.reasons import Reason
from bilateral.resources.condition_types import HANDSHAKE_FAILURES, PEER_WITHHELD, PROGRESS, REFUSED_SPEC
from bilateral.resources.conditions import ConditionType


def _each_once(*reasons: Reason) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reasons))


_PEER_REFUSED: Final = (Reason.PEER_NOT_FOUND, Reason.KERNEL_ID_MISMATCH, *PEER_WITHHELD)
"""Why nothing may be derived from the peer that is named."""

_AUTHORITY: Final = (
    Reason.TRUST_DOMAIN_NOT_FOUND,
    Reason.TRUST_DOMAIN_NOT_READY,
    Reason.KERNEL_ID_CONFLICT,
    Reason.AUTHORITY_PENDING,
    Reason.AUTHORITY_INVALID,
    Reason.AUTHORITY_EXPIRED,
    Reason.AUTHORITY_DRIFT,
    Reason.CLOCK_REGRESSED,
    Reason.RECORD_PENDING,
)
"""Why our authority signs nothing."""

_IDENTITY_ISSUED: Final = _each_once(
    Reason.ISSUED,
    Reason.IDENTITY_PENDING,
    Reason.SUBJECT_REFUSED,
    Reason.KEY_INVALID,
    Reason.SECRET_NOT_FOUND,
    Reason.SECRET_CONFLICT,
    Reason.INTERNAL_ERROR,
    *_AUTHORITY,
    *REFUSED_SPEC,
)
_IDENTITY_OUTPUTS: Final = _each_once(
    Reason.OUTPUTS_WRITTEN,
    Reason.OUTPUTS_PENDING,
    Reason.OUTPUT_TOO_LARGE,
    Reason.SECRET_CONFLICT,
    Reason.ROLLOUT_REFUSED,
    Reason.ROLLOUT_TARGET_NOT_FOUND,
    Reason.IDENTITY_PENDING,
    Reason.NOT_OBSERVED,
    *REFUSED_SPEC,
)

WORKLOAD_IDENTITY_CONDITIONS: Final = (
    ConditionType(
        "Ready",
        "True: pods may use what it made. False: they must not, or a part is missing. Unknown: the operator is "
        "working.",
        _each_once(Reason.READY, *_IDENTITY_ISSUED[1:], *_IDENTITY_OUTPUTS[1:]),
    ),
    ConditionType("IdentityIssued", "Our authority has signed it, and it is in date.", _IDENTITY_ISSUED),
    ConditionType(
        "OutputsWritten",
        "Its Secrets hold what follows from it, and the workloads in spec.rollouts are told.",
        _IDENTITY_OUTPUTS,
    ),
    *PROGRESS,
)

_VERIFIER_RESOLVED: Final = _each_once(
    Reason.VERIFIER_RESOLVED,
    Reason.UNKNOWN_RAW_KEY_PEER,
    Reason.NOTHING_PINNED,
    Reason.VERIFIER_CONTRADICTS_PEER,
    Reason.ALIAS_CONFLICT,
    Reason.ALIAS_SHADOWS_SERVICE,
    Reason.CERTIFICATE_INVALID,
    Reason.AUTHORITY_INVALID,
    Reason.AUTHORITY_EXPIRED,
    Reason.INTERNAL_ERROR,
    *_PEER_REFUSED,
    *REFUSED_SPEC,
)
_CHAIN_AVAILABLE: Final = _each_once(
    Reason.CHAIN_AVAILABLE,
    Reason.CHAIN_NOT_NEEDED,
    Reason.NO_CHAIN,
    Reason.NOT_BOUND,
    Reason.AUTHORITY_UNKNOWN,
    Reason.NOT_OBSERVED,
    *_PEER_REFUSED,
    *REFUSED_SPEC,
)

TRUSTED_SERVICE_CONDITIONS: Final = (
    ConditionType(
        "Ready",
        "True: pods may call it by its alias. False: nobody may. Unknown: the operator, the partner or an "
        "introduction is awaited.",
        _each_once(
            Reason.READY,
            *_VERIFIER_RESOLVED[1:],
            *_CHAIN_AVAILABLE[1:],
            Reason.SECRET_NOT_FOUND,
            Reason.TOKEN_INVALID,
            Reason.TOKEN_NOT_FOR_HOST,
        ),
    ),
    ConditionType(
        "VerifierResolved",
        "It is decided by what the server is verified; status.verifier and status.pinned say by what.",
        _VERIFIER_RESOLVED,
    ),
    ConditionType(
        "ChainAvailable",
        "The identities that may see the service are signed by an authority that it accepts.",
        _CHAIN_AVAILABLE,
    ),
    *PROGRESS,
)

_APPROVED: Final = _each_once(
    Reason.APPROVED,
    Reason.AWAITING_APPROVAL,
    Reason.REQUEST_PENDING,
    Reason.DENIED,
    Reason.NOT_APPLICABLE,
    Reason.NOT_OBSERVED,
    *REFUSED_SPEC,
)
_POLICY: Final = (Reason.POLICY_CONFLICT, Reason.PARTNER_ID_MISMATCH)
"""Why the policy for the peer does not count, so that nobody knows its terms."""

_NOT_ACCEPTED: Final = (
    Reason.INTRODUCTION_INVALID,
    Reason.INTRODUCTION_EXPIRED,
    Reason.AUTHORITY_NOT_PINNED,
    Reason.AUTHORITY_UNKNOWN,
    Reason.IDENTITY_KEY_MISMATCH,
    Reason.SECRET_NOT_FOUND,
    Reason.NO_ENDPOINT,
)
"""Why what another authority signed does not count, or cannot be asked for."""

_SIGNED: Final = _each_once(
    Reason.ISSUED,
    Reason.AWAITING_APPROVAL,
    Reason.REQUEST_PENDING,
    Reason.DENIED,
    Reason.SUBJECT_REFUSED,
    Reason.INTRODUCTION_EXPIRED,
    Reason.TOO_MANY_PENDING,
    Reason.UNKNOWN_REQUEST,
    Reason.AWAITING_IDENTITY,
    Reason.NOT_APPLICABLE,
    Reason.NOT_OBSERVED,
    Reason.INTERNAL_ERROR,
    *_NOT_ACCEPTED,
    *_POLICY,
    *_AUTHORITY,
    *_PEER_REFUSED,
    *HANDSHAKE_FAILURES,
    *REFUSED_SPEC,
)
_INSTALLED: Final = _each_once(
    Reason.INSTALLED,
    Reason.AWAITING_APPROVAL,
    Reason.REQUEST_PENDING,
    Reason.DENIED,
    *_NOT_ACCEPTED,
    Reason.AUTHORITY_EXPIRED,
    Reason.SUBJECT_REFUSED,
    Reason.UNKNOWN_REQUEST,
    Reason.AWAITING_IDENTITY,
    Reason.NOT_APPLICABLE,
    Reason.NOT_OBSERVED,
    Reason.INTERNAL_ERROR,
    *_PEER_REFUSED,
    *HANDSHAKE_FAILURES,
    *REFUSED_SPEC,
)

INTRODUCTION_CONDITIONS: Final = (
    ConditionType(
        "Ready",
        "True: the introduction is signed or installed, and in date. False: it must not be used. Unknown: a "
        "decision, the partner or the operator is awaited.",
        _each_once(Reason.READY, *_APPROVED[1:], *_SIGNED[1:], *_INSTALLED[1:]),
    ),
    ConditionType(
        "Approved",
        "Somebody decided that it is signed: here for an issue, at the partner for a request.",
        _APPROVED,
    ),
    ConditionType(
        "Issued",
        "The authority has signed: ours for an issue, the partner's for a request.",
        _SIGNED,
    ),
    ConditionType(
        "Installed",
        "The chain is in the Secret of the identity that it is for; not for an issue.",
        _INSTALLED,
    ),
    *PROGRESS,
)
