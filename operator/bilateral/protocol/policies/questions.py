"""What is asked, what is known when it is asked, and what the answer says. Values only.

A :class:`Question` is the kernel's: whose capability, for which call. A :class:`Situation` is ours:
the policy, the peer, its keys and the revocations as they are at this moment. A :class:`Decision`
names every check that was made, in order, and what may be done.

Texts in a check and in a clamp are ours: numbers, keys, words of closed lists, and names only where
they are short printable words (:func:`shown`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.errors import ChainDefect
from bilateral.protocol.capabilities.grants import Operation, Scope
from bilateral.protocol.capabilities.members import is_visible_ascii
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.key_history import KeyHistory
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.policies.policy import Policy
from bilateral.protocol.policies.tiers import AutonomyTier
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import JSON

DECISION_SCHEMA: Final = "bilateral.decision.v1"
NOTHING: Final = "none"
_LONGEST_SHOWN: Final = 253


def shown(text: str) -> str:
    """A name of somebody else's as it may be shown: a printable word, or that it is none."""
    return (
        text if 1 <= len(text) <= _LONGEST_SHOWN and is_visible_ascii(text) else "(a name that is not shown)"
    )


class EvidenceKind(StrEnum):
    """What a kernel brings beside the capability."""

    PASSPORT = "passport"
    REPUTATION = "reputation"
    RECEIPTS = "receipts"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A piece of evidence and when it was issued (Unix seconds)."""

    kind: EvidenceKind
    issued_at: int


@dataclass(frozen=True, slots=True)
class Call:
    """The call that the capability is presented for; ``amount`` is what it costs, where it costs."""

    tool_server: str
    tool: str
    operation: Operation
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a capability may be honoured: for a call, or without one at all."""

    partner_id: str
    chain: Chain | ChainDefect
    call: Call | None = None
    autonomy_tier: AutonomyTier | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerStanding:
    """What is known of the partner's kernel.

    ``fresh_until`` (Unix seconds) is the deadline of its pin, None without one. ``withheld`` is why
    nothing may be derived from it though it is known: its pin was tampered with, say.
    """

    known: bool
    fresh_until: int | None = None
    suspended: bool = False
    withheld: Reason | None = None


class Revocations(Protocol):
    """What the partner has revoked, as far as it is known here."""

    def is_revoked(self, capability_id: str) -> bool:
        """Whether the capability was revoked."""

    @property
    def fresh_until(self) -> int | None:
        """The first second at which the news is too old; None where there is none."""

    @property
    def lesser(self) -> bool:
        """Whether the news was not signed."""

    @property
    def equivocated(self) -> bool:
        """Whether the partner was caught showing two histories."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at the moment of a decision; ``no_policy`` is why ``policy`` is None."""

    policy: Policy | None
    peer: PeerStanding
    keys: KeyHistory
    revocations: Revocations
    no_policy: Reason = Reason.NO_POLICY


class CheckName(StrEnum):
    """What is checked, in this order."""

    POLICY = "policy"
    PEER = "peer"
    CHAIN = "chain"
    ISSUER = "issuer"
    TIER = "autonomyTier"
    SCOPE = "scope"
    PARAMETERS = "parameters"
    BUDGET = "budget"
    EVIDENCE = "evidenceAge"
    REVOCATION = "revocation"
    FEED = "revocationFeed"


class Outcome(StrEnum):
    """How a check ended; ``skipped``: it could not be judged after another one failed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was expected, what was found, and the reason if it failed."""

    name: CheckName
    outcome: Outcome
    expected: str = ""
    found: str = ""
    reason: Reason | None = None

    @property
    def passed(self) -> bool:
        """Whether it was judged and held."""
        return self.outcome is Outcome.PASSED


@dataclass(frozen=True, slots=True)
class Clamp:
    """A field of the presented capability that the policy narrowed."""

    field: str
    presented: str
    ceiling: str
    effective: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, with all that it was made from.

    ``effective`` is what may be done, None where nothing may. ``capability_ids`` go from the root to
    the one presented. ``valid_until`` (Unix seconds) is the first second at which something that an
    allowance rests on has ended; a denial has none.
    """

    allowed: bool
    reason: Reason | None
    checks: tuple[Check, ...]
    decided_at: int
    effective: Scope | None = None
    clamps: tuple[Clamp, ...] = ()
    policy_hash: str | None = None
    capability_ids: tuple[str, ...] = ()
    subject: PublicKey | None = None
    issuer: PublicKey | None = None
    valid_until: int | None = None

    @property
    def failed(self) -> Check | None:
        """The first check that failed, which decided."""
        return next((check for check in self.checks if check.outcome is Outcome.FAILED), None)

    def to_wire(self) -> Members:
        """Write the decision as JSON, without what is not set."""
        failed = self.failed
        written: Members = {
            "schema": DECISION_SCHEMA,
            "allowed": self.allowed,
            "checks": [_check(each) for each in self.checks],
            "clamps": [
                {
                    "field": each.field,
                    "presented": each.presented,
                    "ceiling": each.ceiling,
                    "effective": each.effective,
                }
                for each in self.clamps
            ],
            "capabilityIds": list[JSON](self.capability_ids),
            "decidedAt": self.decided_at,
        }
        optional: dict[str, JSON] = {
            "reason": None if self.reason is None else self.reason.value,
            "failedCheck": None if failed is None else failed.name.value,
            "effective": None if self.effective is None else self.effective.to_wire(),
            "policyHash": self.policy_hash,
            "subject": None if self.subject is None else self.subject.hex,
            "issuer": None if self.issuer is None else self.issuer.hex,
            "validUntil": self.valid_until,
        }
        return written | {name: value for name, value in optional.items() if value is not None}


Members: TypeAlias = dict[str, JSON]


def _check(check: Check) -> Members:
    written: Members = {
        "name": check.name.value,
        "outcome": check.outcome.value,
        "expected": check.expected,
        "found": check.found,
    }
    return written if check.reason is None else {**written, "reason": check.reason.value}
