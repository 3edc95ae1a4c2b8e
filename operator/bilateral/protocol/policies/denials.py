"""Every reason that a denial can have: one closed list, which ``docs/decisions.md`` explains.

A chain's defects are a list of their own, the classes of ``capabilities.errors``. What can be wrong
with a peer is what withholds one. A decision that the ledger cannot record is a denial as well.
"""

from __future__ import annotations

from typing import Final

from bilateral.protocol.capabilities.errors import ChainDefect
from bilateral.protocol.reasons import Reason


def _reasons_below(kind: type[ChainDefect]) -> frozenset[Reason]:
    return frozenset(
        reason for each in kind.__subclasses__() for reason in (each.reason, *_reasons_below(each))
    )


OF_THE_POLICY: Final = frozenset({Reason.NO_POLICY, Reason.POLICY_CONFLICT, Reason.PARTNER_ID_MISMATCH})
OF_THE_SPEC: Final = frozenset({Reason.INVALID_SPEC, Reason.MALFORMED_KEY, Reason.WEAK_KEY})
OF_THE_PEER: Final = frozenset(
    {
        Reason.PEER_NOT_FOUND,
        Reason.PEER_STALE,
        Reason.PEER_NOT_PINNED,
        Reason.PIN_TAMPERED,
        Reason.PIN_NOT_ANCHORED,
        Reason.OWN_KEY_AS_ANCHOR,
        Reason.SUSPENDED,
        Reason.KERNEL_ID_MISMATCH,
        Reason.TRUST_DOMAIN_NOT_FOUND,
        Reason.TRUST_DOMAIN_NOT_READY,
        Reason.KERNEL_ID_CONFLICT,
        Reason.CREDENTIAL_CONFLICT,
        Reason.CLOCK_REGRESSED,
    }
)
OF_THE_CHAIN: Final = _reasons_below(ChainDefect)
OF_THE_ISSUER: Final = frozenset({Reason.ISSUER_NOT_TRUSTED, Reason.ISSUER_EXPIRED, Reason.ISSUER_RETIRED})
OF_THE_CALL: Final = frozenset(
    {
        Reason.AUTONOMY_TIER_EXCEEDED,
        Reason.NOTHING_ALLOWED,
        Reason.TOOL_SERVER_NOT_ALLOWED,
        Reason.TOOL_NOT_ALLOWED,
        Reason.TOOL_NOT_GRANTED,
        Reason.OPERATION_NOT_GRANTED,
        Reason.SCOPE_TOO_LARGE,
        Reason.PARAMETER_EXCEEDED,
        Reason.PARAMETER_MISSING,
        Reason.PARAMETER_NOT_ALLOWED,
        Reason.BUDGET_EXCEEDED,
        Reason.CURRENCY_MISMATCH,
        Reason.EVIDENCE_TOO_OLD,
        Reason.EVIDENCE_NOT_YET_VALID,
    }
)
OF_REVOCATION: Final = frozenset(
    {
        Reason.CAPABILITY_REVOKED,
        Reason.EQUIVOCATION,
        Reason.REVOCATION_FEED_STALE,
        Reason.REVOCATIONS_UNSIGNED,
    }
)
OF_THE_LEDGER: Final = frozenset(
    {
        Reason.LEDGER_MISCONFIGURED,
        Reason.LEDGER_UNAVAILABLE,
        Reason.LEDGER_LOCKED,
        Reason.LEDGER_FULL,
        Reason.LEDGER_READ_ONLY,
        Reason.LEDGER_DAMAGED,
        Reason.LEDGER_INCOMPATIBLE,
        Reason.LEDGER_CONFLICT,
    }
)

DENIALS: Final = frozenset().union(
    OF_THE_POLICY,
    OF_THE_SPEC,
    OF_THE_PEER,
    OF_THE_CHAIN,
    OF_THE_ISSUER,
    OF_THE_CALL,
    OF_REVOCATION,
    OF_THE_LEDGER,
)
"""Every reason with which a question is denied, whoever finds it."""
