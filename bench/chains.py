"""Partners with a policy of ours each, and the requests in which kernels present their chains of three.

A chain of three is three capabilities: Org A's for its agent, which the agent delegated to a worker, and
the worker to a helper: three signatures of capabilities and two of delegations. The call reads a report,
within a bound of the policy, a budget, a tier, and with one piece of evidence; the policy clamps the
grant's rows. Every partner has keys, ids and names of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bilateral.protocol.canonical import JSON, canonical_bytes
from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.delegation import delegate, issue
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.key_history import KeyHistory, KeyInterval, KeySource
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.protocol.policies.evaluations import build_evaluation
from bilateral.protocol.policies.policy import FeedTerms, MaxScope, Policy, ToolBound, TrustedIssuer
from bilateral.protocol.policies.questions import (
    Call,
    Evidence,
    EvidenceKind,
    PeerStanding,
    Question,
    Situation,
)
from bilateral.protocol.policies.tiers import AutonomyTier
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet

SERVER: Final = "reports.org-b.internal"
TOOL: Final = "reports.read"
HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature of a chain, as bare as it can be verified."""

    raw_key: bytes
    message: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Presented:
    """One partner's request, what it is judged by, and its signatures."""

    data: bytes
    situation: Situation
    signatures: tuple[Signed, ...]


def partner_name(number: int) -> str:
    """The name of a partner."""
    return f"partner-{number:05d}"


def issuer_key(number: int) -> SigningKey:
    """The key with which a partner issues, the same in every process."""
    return SigningKey.from_seed(number.to_bytes(32, "big"))


def build_policy(partner_id: str, issuer: PublicKey) -> Policy:
    """What the partner may do here."""
    return Policy(
        partner_id=partner_id,
        trusted_issuers=(TrustedIssuer(issuer),),
        max_scope=MaxScope(
            tool_servers=("billing.org-b.internal", SERVER),
            tools=(
                ToolBound("billing.read"),
                ToolBound(TOOL, parameter_bounds={"row_limit": 10_000, "format": ("csv", "json")}),
            ),
            budget=Money(5000, "USD"),
        ),
        max_autonomy_tier=AutonomyTier.DELEGATED,
        max_evidence_age_seconds=HOUR,
        revocation_feed=FeedTerms("https://trust.org-a.example/v1/revocations/feed"),
    )


def build_chain(
    partner_id: str, issuer: SigningKey, now: int, serial: int = 0, *, newer: bool = False
) -> Chain:
    """A chain of three; one with another ``serial`` has other ids, keys and signatures."""
    agent, worker, helper = (SigningKey.generate() for _ in range(3))
    scope = Scope(
        grants=(
            ToolGrant(
                SERVER,
                TOOL,
                (Operation.INVOKE, Operation.DELEGATE),
                constraints=(Constraint(ConstraintType.MAX_ROWS_RETURNED, 50_000),),
                max_invocations=1000,
                max_total_cost=Money(4000, "USD"),
            ),
        )
    )
    ids = [f"cap-{partner_id}-{serial:06d}-{level}" for level in range(3)]
    begins, ends = now - 60, now + 2 * HOUR
    chain = issue(
        issuer,
        capability_id=ids[0],
        subject=agent.public_key,
        scope=scope,
        newer=newer,
        issued_at=begins,
        expires_at=ends,
    )
    for level, (holder, subject) in enumerate([(agent, worker), (worker, helper)], start=1):
        chain = delegate(
            chain,
            holder,
            capability_id=ids[level],
            subject=subject.public_key,
            scope=scope,
            newer=newer,
            issued_at=begins,
            expires_at=ends,
        )
    return chain


def build_request(partner_id: str, chain: Chain, now: int) -> bytes:
    """What a kernel sends to have the chain judged for one call."""
    question = Question(
        partner_id,
        chain,
        Call(SERVER, TOOL, Operation.INVOKE, {"row_limit": 500, "format": "json"}, Money(100, "USD")),
        AutonomyTier.DELEGATED,
        (Evidence(EvidenceKind.PASSPORT, now - 600),),
    )
    capability: JSON = [each.to_wire() for each in chain.tokens]
    return build_evaluation(question, capability)


def list_signatures(chain: Chain) -> tuple[Signed, ...]:
    """Every signature that the chain has to be verified for, once."""
    tokens = [
        Signed(
            each.issuer.raw,
            canonical_bytes(each.plain_body() if each.schema is None else each.schema_body()),
            each.signature,
        )
        for each in chain.tokens
    ]
    links = [
        Signed(each.delegator.raw, canonical_bytes(each.body()), each.signature)
        for each in chain.leaf.delegation_chain
    ]
    return (*tokens, *links)


def build_presented(number: int, revocations: RevocationSet, now: int, *, newer: bool = False) -> Presented:
    """A partner that nobody else resembles, and what it presents."""
    partner_id, issuer = partner_name(number), issuer_key(number + 1)
    chain = build_chain(partner_id, issuer, now, newer=newer)
    keys = KeyHistory((KeyInterval(issuer.public_key, KeySource.ISSUER, now - HOUR),))
    situation = Situation(
        build_policy(partner_id, issuer.public_key),
        PeerStanding(known=True, fresh_until=now + HOUR),
        keys,
        PartnerRevocations(revocations, partner_id, now + 600),
    )
    return Presented(build_request(partner_id, chain, now), situation, list_signatures(chain))
