"""A FederationPolicy: whether calls are decided by it, and what its status says.

Pure: the same policy and view at the same time have one outcome. Rules:

- One policy for a peer and for a partner id: of two neither counts, in whatever order they came.
- The partner id is the peer's operator id, so that decisions and evidence name one party by one name.
- A policy with a peer or with news that may not be relied on stays what it is, and every call is
  refused: each decision judges both again. ``Ready`` tells a person so, and nothing rests on it.
- A condition changes when something is over, not before: ``next_at`` says when that is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bilateral.protocol.key_history import KeyHistory
from bilateral.protocol.policies.policy import Policy, policy_hash
from bilateral.protocol.policies.questions import PeerStanding, Revocations
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.sentences import sentence
from bilateral.resources.condition_types_policies import FEED_FAILURES, LAST_READING_FAILED
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.federationpolicy import (
    FederationPolicy,
    FederationPolicyStatus,
    KeyStatus,
    RevocationsStatus,
)

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

WAITING = frozenset({Reason.PEER_NOT_PINNED, Reason.TRUST_DOMAIN_NOT_READY, Reason.AWAITING_FEED})
"""Reasons for which a condition is Unknown: nobody needs to touch the policy for it to come right."""

PASSING = frozenset(
    {
        *WAITING,
        Reason.PEER_STALE,
        Reason.PIN_TAMPERED,
        Reason.PIN_NOT_ANCHORED,
        Reason.CLOCK_REGRESSED,
        Reason.REVOCATION_FEED_STALE,
    }
)
"""Reasons that may go without anybody editing something here; for any other the policy is Stalled."""


@dataclass(frozen=True, slots=True)
class FeedView:
    """What is known of the partner's revocations; ``failure`` is how the last reading failed, if it did."""

    news: Revocations
    status: RevocationsStatus | None = None
    failure: Reason | None = None


@dataclass(frozen=True, slots=True)
class PolicyView:
    """What a look at a FederationPolicy depends on.

    ``partner`` is the peer that it names and ``operator_id`` that peer's, both None where there is
    none; ``rivals`` is how many other policies of the namespace are for the same peer or partner id;
    ``keys`` are those that spoke for the partner up to now.
    """

    partner: Partner | None
    operator_id: str | None = None
    rivals: int = 0
    feed: FeedView | None = None
    keys: KeyHistory = field(default_factory=KeyHistory)


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """What the status should say, and when to look again (Unix seconds)."""

    status: FederationPolicyStatus
    next_at: int | None


def standing_of(partner: Partner | None) -> PeerStanding:
    """What a decision is told of a partner that was judged at this moment."""
    if partner is None:
        return PeerStanding(known=False)
    if partner.withheld is Reason.SUSPENDED:
        return PeerStanding(known=True, suspended=True)
    if partner.withheld is None and not partner.fresh:
        return PeerStanding(known=True, withheld=Reason.PEER_STALE)  # kept by onStale: Retain
    return PeerStanding(known=True, fresh_until=partner.rotation_due, withheld=partner.withheld)


def withheld_policy(policy: FederationPolicy, operator_id: str | None, rivals: int) -> Reason | None:
    """Why nothing is decided by a policy, whatever else holds; None where it counts.

    A policy for a peer that is not there is one that counts: the decision says that nobody is known.
    """
    if rivals:
        return Reason.POLICY_CONFLICT
    if operator_id is not None and operator_id != policy.spec.partner_id:
        return Reason.PARTNER_ID_MISMATCH
    return None


def reconcile_policy(policy: FederationPolicy, view: PolicyView, now: int) -> PolicyOutcome:
    """Decide what the status of a policy says at ``now`` (Unix seconds)."""
    meaning = policy.to_policy()
    status = FederationPolicyStatus(
        observed_generation=policy.metadata.generation,
        reconciled_now=policy.metadata.reconcile_now,
        conditions=tuple(
            build_conditions(
                policy.status.conditions,
                wanted_conditions(policy, meaning, view, now),
                policy.metadata.generation,
                now,
            )
        ),
        policy_hash=policy_hash(meaning),
        revocations=None if view.feed is None or meaning.revocation_feed is None else view.feed.status,
        key_history=tuple(
            KeyStatus(public_key=each.key.canonical, source=each.source, since=each.since, until=each.until)
            for each in view.keys.intervals
        ),
    )
    return PolicyOutcome(status, _next_end(meaning, view, now))


def wanted_conditions(
    policy: FederationPolicy, meaning: Policy, view: PolicyView, now: int
) -> dict[str, Wanted]:
    """Every condition of a FederationPolicy, in the order in which they are shown."""
    peer, revocation = _peer_fresh(view.partner, now), _revocation_fresh(meaning, view.feed, now)
    withheld = withheld_policy(policy, view.operator_id, view.rivals)
    if withheld is not None:
        ready = _refused(withheld)
    elif peer.status is not _TRUE:
        ready = peer
    elif _issuers_over(meaning, now):
        ready = _refused(Reason.ISSUER_EXPIRED)
    elif revocation.status is not _TRUE:
        ready = _refused(_sum_up(revocation.reason))
    else:
        ready = Wanted(_TRUE, Reason.READY, "Calls of the partner are decided by it.")
    stalled = ready.status is not _TRUE and ready.reason not in PASSING
    reconciling = ready.status is not _TRUE and not stalled
    return {
        "Ready": ready,
        "PeerFresh": peer,
        "RevocationFresh": revocation,
        "Reconciling": _flag(reconciling, Reason.PROGRESSING),
        "Stalled": _flag(stalled, Reason.NEEDS_ATTENTION),
    }


def _peer_fresh(partner: Partner | None, now: int) -> Wanted:
    standing = standing_of(partner)
    if not standing.known:
        return _refused(Reason.PEER_NOT_FOUND)
    if standing.suspended:
        return _refused(Reason.SUSPENDED)
    if standing.withheld is not None:
        return _refused(standing.withheld)
    if standing.fresh_until is None:
        return _refused(Reason.PEER_NOT_PINNED)
    if now >= standing.fresh_until:
        return _refused(Reason.PEER_STALE)
    return Wanted(_TRUE, Reason.FRESH, sentence(Reason.FRESH))


def _revocation_fresh(policy: Policy, feed: FeedView | None, now: int) -> Wanted:
    """Whether the news counts; while it does not, the last failure is the reason."""
    if feed is not None and feed.news.equivocated:
        return _refused(Reason.EQUIVOCATION)
    if policy.revocation_feed is None:
        return Wanted(_TRUE, Reason.NOT_APPLICABLE, "The policy names no feed.")
    if feed is None:
        return _refused(Reason.AWAITING_FEED)
    failure = _failure(feed)
    until = feed.news.fresh_until
    if until is None:
        return _refused(Reason.AWAITING_FEED if failure is None else failure)
    if now >= until:
        return _refused(Reason.REVOCATION_FEED_STALE if failure is None else failure)
    if feed.news.lesser and not policy.takes_unsigned_news:
        return _refused(Reason.REVOCATIONS_UNSIGNED)
    text = "The news of the partner's revocations is fresh."
    if feed.news.lesser:
        text = f"{text} Nobody signs it."
    if failure is not None:
        text = f"{text} {LAST_READING_FAILED} ({failure.value}): {sentence(failure)}"
    return Wanted(_TRUE, Reason.FRESH, text)


def _failure(feed: FeedView) -> Reason | None:
    """The last failure, as one of those that the condition knows."""
    known = feed.failure is None or feed.failure in FEED_FAILURES
    return feed.failure if known else Reason.INTERNAL_ERROR


def _sum_up(reason: Reason) -> Reason:
    """What Ready says of the news: that it is missing, whatever the last failure was."""
    kept = (Reason.EQUIVOCATION, Reason.REVOCATIONS_UNSIGNED, Reason.AWAITING_FEED)
    return reason if reason in kept else Reason.REVOCATION_FEED_STALE


def _issuers_over(policy: Policy, now: int) -> bool:
    return all(each.not_after is not None and now >= each.not_after for each in policy.trusted_issuers)


def _next_end(policy: Policy, view: PolicyView, now: int) -> int | None:
    """The first moment after ``now`` at which something that a condition says is over."""
    ends = [each.not_after for each in policy.trusted_issuers]
    if view.partner is not None:
        ends.append(standing_of(view.partner).fresh_until)
    if view.feed is not None and policy.revocation_feed is not None:
        ends.append(view.feed.news.fresh_until)
    return min((end for end in ends if end is not None and end > now), default=None)


def _refused(reason: Reason) -> Wanted:
    return Wanted(_UNKNOWN if reason in WAITING else _FALSE, reason, sentence(reason))


def _flag(holds: bool, yes: Reason) -> Wanted:
    reason = yes if holds else Reason.SETTLED
    return Wanted(_TRUE if holds else _FALSE, reason, sentence(reason))
