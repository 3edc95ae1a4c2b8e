"""A policy of Org A's at Org B, chains of Org A's that fit it, and how a test changes one thing of either."""

from dataclasses import dataclass, field, replace
from typing import Any

from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.capabilities.links import DelegationLink, sign_link
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.capabilities.tokens import CapabilityToken, sign_token
from bilateral.protocol.key_history import KeyHistory
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.policies.policy import FeedTerms, MaxScope, Policy, ToolBound, TrustedIssuer
from bilateral.protocol.policies.questions import Call, PeerStanding, Question, Situation
from bilateral.protocol.policies.tiers import AutonomyTier
from bilateral.protocol.reasons import Reason

NOW = 1_800_000_000
HOUR = 3600
BILLING, REPORTS = "billing.org-b.internal", "reports.org-b.internal"
ISSUER, PREVIOUS, AGENT, WORKER, HELPER, STRANGER = (
    SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3, 4, 5, 6)
)
INVOKE, DELEGATE = Operation.INVOKE, Operation.DELEGATE

POLICY = Policy(
    partner_id="org-a",
    trusted_issuers=(TrustedIssuer(ISSUER.public_key), TrustedIssuer(PREVIOUS.public_key, NOW + HOUR)),
    max_scope=MaxScope(
        tool_servers=(BILLING, REPORTS),
        tools=(
            ToolBound("billing.read"),
            ToolBound("reports.read", parameter_bounds={"row_limit": 10_000}),
            ToolBound("reports.export", REPORTS, {"format": ("csv", "json"), "pages": 20}),
        ),
        budget=Money(5000, "USD"),
    ),
    max_autonomy_tier=AutonomyTier.DELEGATED,
    max_evidence_age_seconds=HOUR,
    revocation_feed=FeedTerms("https://trust.org-a.example/v1/revocations/feed"),
)


@dataclass
class Revoked:
    """Revocations that a test writes down."""

    ids: set[str] = field(default_factory=set)
    fresh_until: int | None = NOW + 600
    lesser: bool = False
    equivocated: bool = False

    def is_revoked(self, capability_id: str) -> bool:
        return capability_id in self.ids


def grant(server: str = BILLING, tool: str = "billing.read", **changes: Any) -> ToolGrant:
    return replace(ToolGrant(server, tool, (INVOKE, DELEGATE)), **changes)


def token(scope: Scope, **changes: Any) -> CapabilityToken:
    """Org A's capability for its agent, signed by the current issuer unless a test says otherwise."""
    key = changes.pop("key", ISSUER)
    unsigned = CapabilityToken("cap-root", key.public_key, AGENT.public_key, scope, NOW - 60, NOW + 7200)
    return sign_token(replace(unsigned, **changes), key)


def delegate(chain: Chain, holder: SigningKey, to: SigningKey, **changes: Any) -> Chain:
    """The chain with one more capability: ``holder`` hands its own on."""
    parent = chain.leaf
    link = sign_link(DelegationLink(parent.id, holder.public_key, to.public_key, NOW - 30), holder)
    child = replace(
        parent,
        id=f"cap-{len(chain.tokens)}",
        subject=to.public_key,
        issued_at=NOW - 30,
        delegation_chain=(*parent.delegation_chain, link),
    )
    return Chain((*chain.tokens, sign_token(replace(child, **changes), holder)))


def chain_of(*grants: ToolGrant, **changes: Any) -> Chain:
    scope = changes.pop("scope", Scope(grants=grants or (grant(),)))
    return Chain((token(scope, **changes),))


def chain_of_three(*grants: ToolGrant) -> Chain:
    return delegate(delegate(chain_of(*grants), AGENT, WORKER), WORKER, HELPER)


def call(server: str = BILLING, tool: str = "billing.read", **changes: Any) -> Call:
    return replace(Call(server, tool, INVOKE), **changes)


def question(chain: Any = None, **changes: Any) -> Question:
    return replace(Question("org-a", chain_of() if chain is None else chain), **changes)


def known_peer(fresh_until: int | None = None, **changes: Any) -> PeerStanding:
    return replace(PeerStanding(known=True, fresh_until=fresh_until), **changes)


def situation(**changes: Any) -> Situation:
    built = Situation(POLICY, PeerStanding(known=True, fresh_until=NOW + 1000), KeyHistory(), Revoked())
    if changes.get("policy", POLICY) is None:
        changes.setdefault("no_policy", Reason.NO_POLICY)
    return replace(built, **changes)
