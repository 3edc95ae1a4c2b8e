"""The condition types of TrustDomain and FederationPeer, and the reasons that each may carry.

Closed lists: a decision that names another reason is caught by a test, and the reference shows what is here.
Here are those of the kinds by which two parties know each other; the others have a module of their own.
"""

from __future__ import annotations

from typing import Final

from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionType

PROGRESS: Final = (
    ConditionType(
        "Reconciling",
        "The operator is working towards what the spec says.",
        (Reason.PROGRESSING, Reason.SETTLED),
    ),
    ConditionType(
        "Stalled",
        "Only a person can help; Ready and its message say how.",
        (Reason.NEEDS_ATTENTION, Reason.SETTLED),
    ),
)
"""What tools read of every kind."""

REFUSED_SPEC: Final = (Reason.INVALID_SPEC, Reason.MALFORMED_KEY, Reason.WEAK_KEY)
"""Any condition may say that the spec breaks a rule, which was not judged then."""

HANDSHAKE_FAILURES: Final = (
    Reason.AWAITING_PARTNER,
    Reason.REFUSED_BY_PARTNER,
    Reason.MISSING_TRUST_ANCHOR,
    Reason.CLOCK_SKEW_EXCEEDED,
    Reason.UNEXPECTED_PEER_KEY,
    Reason.UNSUPPORTED_SCHEMA,
    Reason.INVALID_SIGNATURE,
    Reason.ADDRESS_MISMATCH,
    Reason.KERNEL_ID_MISMATCH,
    Reason.REPLAYED_ENVELOPE,
    Reason.DESTINATION_REFUSED,
    Reason.NAME_NOT_RESOLVED,
    Reason.CONNECTION_FAILED,
    Reason.TLS_VERIFICATION_FAILED,
    Reason.ANSWER_TIMEOUT,
    Reason.ANSWER_INVALID,
    Reason.ANSWER_TOO_LARGE,
    Reason.TOO_MANY_REQUESTS,
    Reason.INTERNAL_ERROR,
)
"""How a handshake of ours may end without a pin."""

PEER_WITHHELD: Final = (
    Reason.PEER_STALE,
    Reason.PEER_NOT_PINNED,
    Reason.PIN_TAMPERED,
    Reason.PIN_NOT_ANCHORED,
    Reason.OWN_KEY_AS_ANCHOR,
    Reason.SUSPENDED,
    Reason.TRUST_DOMAIN_NOT_FOUND,
    Reason.TRUST_DOMAIN_NOT_READY,
    Reason.KERNEL_ID_CONFLICT,
    Reason.CREDENTIAL_CONFLICT,
    Reason.CLOCK_REGRESSED,
)
"""Why nothing may be derived from a peer; beside these, the ways in which a handshake fails."""

TRUST_DOMAIN_CONDITIONS: Final = (
    ConditionType(
        "Ready",
        "True: it may speak and be relied on. False: it must not. Unknown: the operator is working.",
        (
            Reason.READY,
            Reason.KERNEL_ID_CONFLICT,
            Reason.CLOCK_REGRESSED,
            Reason.KEY_PENDING,
            Reason.KEY_INVALID,
            Reason.KEY_DRIFT,
            Reason.AUTHORITY_PENDING,
            Reason.AUTHORITY_INVALID,
            Reason.AUTHORITY_EXPIRED,
            Reason.AUTHORITY_DRIFT,
            Reason.CERTIFICATE_INVALID,
            Reason.SECRET_NOT_FOUND,
            Reason.SECRET_CONFLICT,
            Reason.OUTPUTS_PENDING,
            Reason.INVALID_SPEC,
        ),
    ),
    ConditionType(
        "KeyReady",
        "The signing key is there, is the one that was published, and can sign.",
        (
            Reason.READY,
            Reason.KEY_PENDING,
            Reason.KEY_INVALID,
            Reason.KEY_DRIFT,
            Reason.SECRET_CONFLICT,
            Reason.INVALID_SPEC,
        ),
    ),
    ConditionType(
        "AuthorityReady",
        "The certificate authority is there, in date, and its key belongs to its certificate.",
        (
            Reason.READY,
            Reason.AUTHORITY_PENDING,
            Reason.AUTHORITY_INVALID,
            Reason.AUTHORITY_EXPIRED,
            Reason.AUTHORITY_DRIFT,
            Reason.SECRET_NOT_FOUND,
            Reason.SECRET_CONFLICT,
            Reason.INVALID_SPEC,
        ),
    ),
    ConditionType(
        "Unique",
        "No older TrustDomain of the cluster has this kernel id.",
        (Reason.UNIQUE, Reason.KERNEL_ID_CONFLICT, Reason.INVALID_SPEC),
    ),
    *PROGRESS,
)

FEDERATION_PEER_CONDITIONS: Final = (
    ConditionType(
        "Ready",
        "True: the partner may be relied on. False: it must not. Unknown: the operator or the partner is "
        "working.",
        (
            Reason.FRESH,
            Reason.PEER_STALE,
            Reason.PIN_TAMPERED,
            Reason.PIN_NOT_ANCHORED,
            Reason.OWN_KEY_AS_ANCHOR,
            Reason.AWAITING_HANDSHAKE,
            Reason.AWAITING_ENVELOPE,
            Reason.SUSPENDED,
            Reason.TRUST_DOMAIN_NOT_FOUND,
            Reason.TRUST_DOMAIN_NOT_READY,
            Reason.KERNEL_ID_CONFLICT,
            Reason.CREDENTIAL_CONFLICT,
            Reason.SECRET_NOT_FOUND,
            Reason.CLOCK_REGRESSED,
            *HANDSHAKE_FAILURES,
            *REFUSED_SPEC,
        ),
    ),
    ConditionType(
        "Anchored",
        "A person has installed at least one usable key of the partner.",
        (Reason.ANCHORED, Reason.MISSING_TRUST_ANCHOR, Reason.OWN_KEY_AS_ANCHOR, *REFUSED_SPEC),
    ),
    ConditionType(
        "Pinned",
        "The partner has proven a key that is anchored.",
        (
            Reason.PINNED,
            Reason.PEER_NOT_PINNED,
            Reason.PIN_TAMPERED,
            Reason.PIN_NOT_ANCHORED,
            Reason.CLOCK_REGRESSED,
            Reason.TRUST_DOMAIN_NOT_READY,
            *REFUSED_SPEC,
        ),
    ),
    ConditionType(
        "Fresh",
        "The pin is before its deadline.",
        (
            Reason.FRESH,
            Reason.PEER_STALE,
            Reason.PEER_NOT_PINNED,
            Reason.CLOCK_REGRESSED,
            *REFUSED_SPEC,
        ),
    ),
    ConditionType(
        "ClockInSync",
        "The partner's clock is within the allowed distance of ours.",
        (Reason.CLOCK_IN_SYNC, Reason.CLOCK_SKEW_EXCEEDED, Reason.NOT_OBSERVED, *REFUSED_SPEC),
    ),
    ConditionType(
        "AcknowledgedByPeer",
        "The partner has accepted our envelope. Unknown while it was not asked, and when we only answer.",
        (Reason.ACKNOWLEDGED, Reason.NOT_OBSERVED, *HANDSHAKE_FAILURES, *REFUSED_SPEC),
    ),
    ConditionType(
        "AuthoritiesKnown",
        "The partner's certificate authorities are known and count. Unknown while they were not asked for, and "
        "when the partner announces none.",
        (
            Reason.AUTHORITIES_PINNED,
            Reason.AUTHORITIES_ANNOUNCED,
            Reason.NOT_ANNOUNCED,
            Reason.STATEMENT_INVALID,
            Reason.STATEMENT_REGRESSED,
            Reason.STATEMENT_EXPIRED,
            Reason.AUTHORITY_INVALID,
            Reason.AUTHORITY_EXPIRED,
            Reason.SECRET_CONFLICT,
            Reason.NOT_OBSERVED,
            *PEER_WITHHELD,
            *HANDSHAKE_FAILURES,
            *REFUSED_SPEC,
        ),
    ),
    *PROGRESS,
)
