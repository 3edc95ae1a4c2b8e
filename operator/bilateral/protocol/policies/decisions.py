"""The decision: whether a capability of a partner is honoured here, for this call, now.

:func:`decide` is pure: the same question in the same situation at the same time has one answer, whose
cost does not depend on how many partners or revocations there are. The checks, in order; the first
one that fails gives the reason:

1. There is a policy for the partner.
2. Its kernel is known, not suspended, and its pin is fresh.
3. The chain is sound: signatures, links, attenuation, times (``capabilities.chains``).
4. Whoever issued as an authority, the root's issuer first, is trusted by the policy, now, and was the
   partner's key when it issued.
5. The presented autonomy tier is not above the ceiling.
6. Something is left of the scope after clamping, and it covers the call.
7. The call's parameters are within the bounds.
8. Its amount is within the budget.
9. No evidence is older than the policy allows, or from the future.
10. Neither the capability nor an ancestor is revoked, and the partner's feed has one history.
11. The news of revocations is fresh, if the policy names a feed, and signed, if it must be.

Every check that can be judged is judged after another one failed, so that a reader sees all that is
wrong; the others are skipped. Time ends are exclusive, as everywhere: at the second of a deadline it
is over. The one inclusive bound is the age of evidence: a maximum of 3600 seconds is an age of 3600.

What a decision does not do: count calls or costs, remember nonces, or know who holds the connection.
That is the kernel's, which is told the effective grant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bilateral.protocol.capabilities.chains import VerifiedChain, verify_chain
from bilateral.protocol.capabilities.errors import ChainDefect
from bilateral.protocol.capabilities.grants import Scope, ToolGrant
from bilateral.protocol.policies.calls import Refused, judge_amount, judge_parameters
from bilateral.protocol.policies.policy import Policy, policy_hash
from bilateral.protocol.policies.questions import (
    Call,
    Check,
    CheckName,
    Clamp,
    Decision,
    Outcome,
    PeerStanding,
    Question,
    Revocations,
    Situation,
    shown,
)
from bilateral.protocol.policies.scopes import MAX_EFFECTIVE_GRANTS, Clamped, clamp_scope
from bilateral.protocol.reasons import Reason

MAX_DEPTH = 4
"""How many delegations a chain may have, as chio's kernels are configured."""


@dataclass(slots=True)
class _Looked:
    """The checks so far, the reason of the first that failed, and the ends (Unix seconds) of what they rest on."""

    checks: list[Check] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    all_passed: bool = True
    reason: Reason | None = None

    def passed(self, name: CheckName, expected: str, found: str, *ends: int | None) -> None:
        self.checks.append(Check(name, Outcome.PASSED, expected, found))
        if ends:
            self.ends += [end for end in ends if end is not None]

    def failed(self, name: CheckName, reason: Reason, expected: str, found: str) -> None:
        self.checks.append(Check(name, Outcome.FAILED, expected, found, reason))
        self.all_passed = False
        self.reason = self.reason or reason

    def skipped(self, name: CheckName) -> None:
        self.checks.append(Check(name, Outcome.SKIPPED))
        self.all_passed = False


def decide(question: Question, situation: Situation, now: int) -> Decision:
    """Decide a question in a situation at ``now`` (Unix seconds)."""
    looked = _Looked()
    policy = _look_at_policy(question, situation, looked)
    _look_at_peer(situation.peer, now, looked)
    chain = _look_at_chain(question, policy, now, looked)
    _look_at_issuer(policy, chain, situation, now, looked)
    _look_at_tier(policy, question, looked)
    scope, clamps = _look_at_scope(policy, chain, question.call, looked)
    _look_at_evidence(policy, question, now, looked)
    _look_at_revocation(chain, situation.revocations, looked)
    _look_at_feed(policy, situation.revocations, now, looked)
    reason = looked.reason
    allowed = reason is None and looked.all_passed and scope is not None
    return Decision(
        allowed=allowed,
        reason=reason,
        checks=tuple(looked.checks),
        decided_at=now,
        effective=scope if allowed else None,
        clamps=clamps,
        policy_hash=None if policy is None else policy_hash(policy),
        capability_ids=() if chain is None else chain.capability_ids,
        subject=None if chain is None else chain.subject,
        issuer=None if chain is None else chain.issuer,
        valid_until=min(looked.ends) if allowed else None,
    )


def _look_at_policy(question: Question, situation: Situation, looked: _Looked) -> Policy | None:
    policy = situation.policy
    expected = "one policy for the partner"
    if policy is None:
        looked.failed(CheckName.POLICY, situation.no_policy, expected, "none that counts")
        return None
    if policy.partner_id != question.partner_id:
        looked.failed(CheckName.POLICY, Reason.NO_POLICY, expected, "a policy for another partner")
        return None
    looked.passed(CheckName.POLICY, expected, policy_hash(policy))
    return policy


def _look_at_peer(peer: PeerStanding, now: int, looked: _Looked) -> None:
    expected = "a known peer with a fresh pin"
    if not peer.known:
        looked.failed(CheckName.PEER, Reason.PEER_NOT_FOUND, expected, "not known")
    elif peer.suspended:
        looked.failed(CheckName.PEER, Reason.SUSPENDED, expected, "suspended")
    elif peer.withheld is not None:
        looked.failed(CheckName.PEER, peer.withheld, expected, "withheld")
    elif peer.fresh_until is None:
        looked.failed(CheckName.PEER, Reason.PEER_NOT_PINNED, expected, "not pinned")
    elif now >= peer.fresh_until:
        looked.failed(CheckName.PEER, Reason.PEER_STALE, expected, f"stale since {peer.fresh_until}")
    else:
        looked.passed(CheckName.PEER, expected, f"fresh until {peer.fresh_until}", peer.fresh_until)


def _look_at_chain(
    question: Question, policy: Policy | None, now: int, looked: _Looked
) -> VerifiedChain | None:
    try:
        if isinstance(question.chain, ChainDefect):
            raise question.chain
        authorities = () if policy is None else tuple(each.public_key for each in policy.trusted_issuers)
        chain = verify_chain(question.chain, now=now, max_depth=MAX_DEPTH, authorities=authorities)
    except ChainDefect as defect:
        looked.failed(CheckName.CHAIN, defect.reason, defect.expected or "a sound chain", _found(defect))
        return None
    found = f"sound, delegations: {chain.depth}"
    looked.passed(CheckName.CHAIN, f"at most {MAX_DEPTH} delegations", found, chain.expires_at)
    return chain


def _found(defect: ChainDefect) -> str:
    """Where the defect is and what was there, or in general what it stands for."""
    places = [
        f"{name} {place}"
        for name, place in (("capability", defect.index), ("link", defect.link))
        if place is not None
    ]
    return ", ".join([*places, *filter(None, (defect.field, defect.found or defect.sentence))])


def _look_at_issuer(
    policy: Policy | None, chain: VerifiedChain | None, situation: Situation, now: int, looked: _Looked
) -> None:
    if policy is None or chain is None:
        looked.skipped(CheckName.ISSUER)
        return
    expected = "an issuer that the policy trusts"
    ends: list[int | None] = []
    for token in chain.tokens:
        key = token.issuer
        if key not in chain.issuers:
            continue
        issuer, interval = policy.issuer(key), situation.keys.interval_of(key)
        if issuer is None:
            looked.failed(CheckName.ISSUER, Reason.ISSUER_NOT_TRUSTED, expected, key.canonical)
            return
        if issuer.not_after is not None and now >= issuer.not_after:
            found = f"{key.canonical}, trusted until {issuer.not_after}"
            looked.failed(CheckName.ISSUER, Reason.ISSUER_EXPIRED, expected, found)
            return
        if interval is not None and interval.until is not None and token.issued_at >= interval.until:
            found = f"{key.canonical}, the partner's until {interval.until}, issued at {token.issued_at}"
            looked.failed(CheckName.ISSUER, Reason.ISSUER_RETIRED, expected, found)
            return
        ends.append(issuer.not_after)
    looked.passed(CheckName.ISSUER, expected, chain.issuer.canonical, *ends)


def _look_at_tier(policy: Policy | None, question: Question, looked: _Looked) -> None:
    if policy is None:
        looked.skipped(CheckName.TIER)
        return
    ceiling, tier = policy.max_autonomy_tier, question.autonomy_tier
    expected, found = f"at most {ceiling.value}", "not presented" if tier is None else tier.value
    if tier is not None and tier.rank > ceiling.rank:
        looked.failed(CheckName.TIER, Reason.AUTONOMY_TIER_EXCEEDED, expected, found)
    else:
        looked.passed(CheckName.TIER, expected, found)


def _look_at_scope(
    policy: Policy | None, chain: VerifiedChain | None, call: Call | None, looked: _Looked
) -> tuple[Scope | None, tuple[Clamp, ...]]:
    """Clamp, and judge the call: the scope, the parameters, the amount."""
    if policy is None or chain is None:
        for name in (CheckName.SCOPE, CheckName.PARAMETERS, CheckName.BUDGET):
            looked.skipped(name)
        return None, ()
    clamped = clamp_scope(policy, chain.leaf.scope, call, chain.leaf.max_aggregate_invocations)
    grants = _granted(policy, clamped, call, looked)
    if call is None:
        for name in (CheckName.PARAMETERS, CheckName.BUDGET):
            _pass_or_skip(looked, name, grants, "no call to judge")
        return (clamped.scope if grants else None), clamped.clamps
    bounds = policy.max_scope.bounds_of(call.tool_server, call.tool)
    within = _narrowed(
        looked, CheckName.PARAMETERS, grants, [judge_parameters(call, each, bounds) for each in grants]
    )
    paid = _narrowed(looked, CheckName.BUDGET, within, [judge_amount(call, each) for each in within])
    return (Scope(grants=tuple(paid)) if paid else None), clamped.clamps


def _granted(policy: Policy, clamped: Clamped, call: Call | None, looked: _Looked) -> Sequence[ToolGrant]:
    """What is left of the scope, for the operation of the call."""
    grants = clamped.scope.grants
    if clamped.too_large:
        expected = f"at most {MAX_EFFECTIVE_GRANTS} effective grants"
        looked.failed(CheckName.SCOPE, Reason.SCOPE_TOO_LARGE, expected, "more")
        return ()
    if call is None:
        if grants:
            looked.passed(CheckName.SCOPE, "something within maxScope", f"{len(grants)} effective grants")
        else:
            looked.failed(CheckName.SCOPE, Reason.NOTHING_ALLOWED, "something within maxScope", "nothing")
        return grants
    asked = f"{shown(call.tool_server)}/{shown(call.tool)}"
    covering = tuple(each for each in grants if call.operation in each.operations)
    if covering:
        looked.passed(CheckName.SCOPE, f"{call.operation.value} on {asked}", "granted")
    elif not policy.max_scope.allows_server(call.tool_server):
        expected = "a server of maxScope.toolServers"
        looked.failed(CheckName.SCOPE, Reason.TOOL_SERVER_NOT_ALLOWED, expected, shown(call.tool_server))
    elif not policy.max_scope.bounds_of(call.tool_server, call.tool):
        looked.failed(CheckName.SCOPE, Reason.TOOL_NOT_ALLOWED, "a tool of maxScope.tools", asked)
    elif grants:
        held = ", ".join(dict.fromkeys(operation.value for each in grants for operation in each.operations))
        looked.failed(CheckName.SCOPE, Reason.OPERATION_NOT_GRANTED, call.operation.value, held)
    elif clamped.dropped:
        looked.failed(CheckName.SCOPE, clamped.dropped[0], "a grant within maxScope", "none that can be used")
    else:
        looked.failed(CheckName.SCOPE, Reason.TOOL_NOT_GRANTED, f"a grant for {asked}", "none")
    return covering


def _narrowed(
    looked: _Looked, name: CheckName, grants: Sequence[ToolGrant], refusals: Sequence[Refused | None]
) -> Sequence[ToolGrant]:
    """The grants that were not refused; the check fails when there is none."""
    left = [grant for grant, refused in zip(grants, refusals, strict=True) if refused is None]
    refusal = next((refused for refused in refusals if refused is not None), None)
    if left or refusal is None:
        _pass_or_skip(looked, name, grants, "within")
    else:
        looked.failed(name, refusal.reason, refusal.expected, refusal.found)
    return left


def _pass_or_skip(looked: _Looked, name: CheckName, grants: Sequence[ToolGrant], found: str) -> None:
    if grants:
        looked.passed(name, "within the effective grant", found)
    else:
        looked.skipped(name)


def _look_at_evidence(policy: Policy | None, question: Question, now: int, looked: _Looked) -> None:
    if policy is None:
        looked.skipped(CheckName.EVIDENCE)
        return
    ceiling = policy.max_evidence_age_seconds
    expected = f"at most {ceiling} seconds old"
    for each in question.evidence:
        age = now - each.issued_at
        if age < 0:
            found = f"{each.kind.value} from {-age} seconds ahead"
            looked.failed(CheckName.EVIDENCE, Reason.EVIDENCE_NOT_YET_VALID, expected, found)
            return
        if age > ceiling:
            found = f"{each.kind.value} of {age} seconds"
            looked.failed(CheckName.EVIDENCE, Reason.EVIDENCE_TOO_OLD, expected, found)
            return
    ends = (each.issued_at + ceiling + 1 for each in question.evidence)
    looked.passed(CheckName.EVIDENCE, expected, f"none older, of {len(question.evidence)}", *ends)


def _look_at_revocation(chain: VerifiedChain | None, revocations: Revocations, looked: _Looked) -> None:
    expected = "neither it nor an ancestor revoked"
    if revocations.equivocated:
        found = "the partner's feed has shown two histories"
        looked.failed(CheckName.REVOCATION, Reason.EQUIVOCATION, expected, found)
        return
    if chain is None:
        looked.skipped(CheckName.REVOCATION)
        return
    for index, token in enumerate(chain.tokens):
        if revocations.is_revoked(token.id):
            found = f"capability {index} of {len(chain.tokens)} is revoked"
            looked.failed(CheckName.REVOCATION, Reason.CAPABILITY_REVOKED, expected, found)
            return
    looked.passed(CheckName.REVOCATION, expected, f"none revoked, of {len(chain.tokens)}")


def _look_at_feed(policy: Policy | None, revocations: Revocations, now: int, looked: _Looked) -> None:
    if policy is None:
        looked.skipped(CheckName.FEED)
        return
    if policy.revocation_feed is None:
        looked.passed(CheckName.FEED, "no feed", "the policy names none")
        return
    until = revocations.fresh_until
    expected = f"news younger than {policy.max_staleness_seconds} seconds"
    if until is None or now >= until:
        found = "never read" if until is None else f"stale since {until}"
        looked.failed(CheckName.FEED, Reason.REVOCATION_FEED_STALE, expected, found)
    elif revocations.lesser and not policy.takes_unsigned_news:
        looked.failed(
            CheckName.FEED, Reason.REVOCATIONS_UNSIGNED, "a signed feed", "a source that signs nothing"
        )
    else:
        source = ", from a source that signs nothing" if revocations.lesser else ""
        looked.passed(CheckName.FEED, expected, f"fresh until {until}{source}", until)
