"""The condition types of FederationPolicy, and the reasons of each.

Closed lists, as in `bilateral.resources.condition_types`. Why a single call was refused is in no
condition: that is the answer to the call.
"""

from __future__ import annotations

from typing import Final

from bilateral.protocol.reasons import Reason
from bilateral.resources.condition_types import PEER_WITHHELD, PROGRESS, REFUSED_SPEC
from bilateral.resources.conditions import ConditionType

LAST_READING_FAILED: Final = "The last reading failed"
"""How the message of RevocationFresh begins to tell a failure while the news is still fresh; the reason follows."""

FEED_FAILURES: Final = (
    Reason.SECRET_NOT_FOUND,
    Reason.TOKEN_INVALID,
    Reason.FEED_OF_ANOTHER,
    Reason.FEED_SIGNER_UNKNOWN,
    Reason.FEED_ENTRY_INVALID,
    Reason.FEED_TOO_LARGE,
    Reason.FEED_INCOMPLETE,
    Reason.INVALID_PROOF,
    Reason.INVALID_SIGNATURE,
    Reason.CLOCK_SKEW_EXCEEDED,
    Reason.MALFORMED_DOCUMENT,
    Reason.UNSUPPORTED_SCHEMA,
    Reason.REFUSED_BY_PARTNER,
    Reason.DESTINATION_REFUSED,
    Reason.NAME_NOT_RESOLVED,
    Reason.CONNECTION_FAILED,
    Reason.TLS_VERIFICATION_FAILED,
    Reason.ANSWER_TIMEOUT,
    Reason.ANSWER_INVALID,
    Reason.ANSWER_TOO_LARGE,
    Reason.TOO_MANY_REQUESTS,
    Reason.LEDGER_MISCONFIGURED,
    Reason.LEDGER_UNAVAILABLE,
    Reason.LEDGER_LOCKED,
    Reason.LEDGER_FULL,
    Reason.LEDGER_READ_ONLY,
    Reason.LEDGER_DAMAGED,
    Reason.LEDGER_INCOMPATIBLE,
    Reason.LEDGER_CONFLICT,
    Reason.INTERNAL_ERROR,
)
"""How reading a partner's feed may fail."""

_OF_THE_PEER: Final = (
    Reason.PEER_NOT_FOUND,
    Reason.KERNEL_ID_MISMATCH,
    *PEER_WITHHELD,
)
_OF_THE_FEED: Final = (
    Reason.REVOCATION_FEED_STALE,
    Reason.REVOCATIONS_UNSIGNED,
    Reason.EQUIVOCATION,
    Reason.AWAITING_FEED,
)

FEDERATION_POLICY_CONDITIONS: Final = (
    ConditionType(
        "Ready",
        "True: calls of the partner are decided by it. False: every call is refused. Unknown: the operator or "
        "the partner is awaited, and every call is refused until then.",
        (
            Reason.READY,
            Reason.POLICY_CONFLICT,
            Reason.PARTNER_ID_MISMATCH,
            Reason.ISSUER_EXPIRED,
            *_OF_THE_PEER,
            *_OF_THE_FEED,
            *REFUSED_SPEC,
        ),
    ),
    ConditionType(
        "PeerFresh",
        "The partner's kernel has proven its key, and the pin is before its deadline.",
        (Reason.FRESH, *_OF_THE_PEER, *REFUSED_SPEC),
    ),
    ConditionType(
        "RevocationFresh",
        "The news of the partner's revocations is not too old; also True while the policy names no feed. The "
        "message names the last failure.",
        (
            Reason.FRESH,
            Reason.NOT_APPLICABLE,
            *_OF_THE_FEED,
            *FEED_FAILURES,
            *REFUSED_SPEC,
        ),
    ),
    *PROGRESS,
)
