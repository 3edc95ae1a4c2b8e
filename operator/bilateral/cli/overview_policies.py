"""What ``bilateral status`` says of policies: for whom, up to which tier, and until when the news is fresh.

The rules are those of :mod:`bilateral.cli.overview`. A policy stands below its partner and counts only while that
does. What a status says of the news is what the operator found some time ago; the news may be newer, never older.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Object
from bilateral.cli.output import Data
from bilateral.cli.overview import (
    OVERDUE,
    OVERDUE_STEP,
    Line,
    Remark,
    Verdict,
    invalid,
    judge,
    members_of,
    remark_on,
    time_or_null,
)
from bilateral.protocol.policies.policy import FeedSource, Policy
from bilateral.protocol.reasons import Reason
from bilateral.resources.condition_types_policies import LAST_READING_FAILED
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy

_OVERDUE = "the news of revocations is too old and the operator has not said so: it is probably not running"
_OVERDUE_STEP = "Yours: start the operator. Until then every call of this partner is refused."
_FAILED = re.compile(re.escape(LAST_READING_FAILED) + r" \(([A-Za-z]+)\)")


def describe_policy(obj: Object, now: int, deadlines: Mapping[tuple[str, str], int | None]) -> Line:
    """Describe a FederationPolicy object at ``now``; ``deadlines`` are those of peers' pins, by namespace and name.

    A peer that is kept although it is stale (onStale: Retain) is kept for the rest, never for decisions.
    """
    try:
        policy = FederationPolicy.parse(obj)
        meaning = policy.to_policy()
    except InvalidResource as error:
        return _broken(obj, error)
    spec = policy.spec
    verdict = _explain(policy, judge(policy))
    until = _news_end(policy, meaning)
    if verdict.is_good and until is not None and now >= until:
        verdict = Verdict(
            ConditionStatus.FALSE.value, Reason.REVOCATION_FEED_STALE.value, _OVERDUE, _OVERDUE_STEP
        )
    deadline = deadlines.get((policy.metadata.namespace, spec.peer))
    if verdict.is_good and deadline is not None and now >= deadline:
        sentence = f"{FederationPeer.SINGULAR}/{spec.peer}: {OVERDUE}"
        verdict = Verdict(ConditionStatus.FALSE.value, Reason.PEER_STALE.value, sentence, OVERDUE_STEP)
    return Line(
        kind=FederationPolicy.SINGULAR,
        namespace=policy.metadata.namespace,
        name=policy.metadata.name,
        parent=f"{FederationPeer.SINGULAR}/{spec.peer}",
        verdict=verdict,
        who=f"{spec.partner_id}, up to {spec.max_autonomy_tier.value}",
        until=until,
        follows=True,
        facts={
            "peer": spec.peer,
            "partnerId": spec.partner_id,
            "maxAutonomyTier": spec.max_autonomy_tier.value,
            "trustedIssuers": len(spec.trusted_issuers),
            "policyHash": policy.status.policy_hash,
            "revocations": _news(policy, until),
        },
        remarks=(*remark_on(policy, verdict, ("RevocationFresh",)), *_failed_reading(policy, verdict)),
    )


def _broken(obj: Object, error: InvalidResource) -> Line:
    """A policy that breaks a rule: as far as it can be read it stands below its partner too."""
    spec = members_of(obj, "spec")
    peer = spec.get("peer")
    return replace(
        invalid(FederationPolicy, obj, error),
        parent=f"{FederationPeer.SINGULAR}/{peer}" if isinstance(peer, str) else None,
        who=str(spec.get("partnerId", "-")),
    )


def _news_end(policy: FederationPolicy, meaning: Policy) -> int | None:
    """When the news that the status tells of is too old; None: no feed is named, or it was never read."""
    told, ceiling = policy.status.revocations, meaning.max_staleness_seconds
    if told is None or ceiling is None:
        return None
    known = [each for each in (told.published_at, told.received_at) if each is not None]
    return min(known) + ceiling if known else None


def _news(policy: FederationPolicy, until: int | None) -> Data:
    feed, told = policy.spec.revocation_feed, policy.status.revocations
    if feed is None:
        return None
    return {
        "url": feed.url,
        "source": feed.source.value,
        "signed": feed.source is FeedSource.SIGNED_FEED,
        "entries": None if told is None else told.entries,
        "freshUntil": time_or_null(until),
    }


def _explain(policy: FederationPolicy, verdict: Verdict) -> Verdict:
    """Name the objects; the operator's sentence names none."""
    spec = policy.spec
    named = f"{FederationPeer.SINGULAR}/{spec.peer}"
    if verdict.is_good or verdict.step != advise(verdict.reason).step:
        return verdict
    if verdict.reason == Reason.PEER_NOT_FOUND:
        return replace(
            verdict,
            sentence=f"{named} is not in this namespace",
            step=f"Yours: create {named}, or delete the policy and make it for another peer.",
        )
    if verdict.reason == Reason.PARTNER_ID_MISMATCH:
        return replace(
            verdict,
            sentence=f"{named} has another operatorId than {spec.partner_id}, so every call is refused",
            step=f"Yours: correct spec.operatorId of {named}, or delete the policy and make it with that name.",
        )
    return verdict


def _failed_reading(policy: FederationPolicy, verdict: Verdict) -> tuple[Remark, ...]:
    """Warn of a feed that cannot be read, while the news is still fresh."""
    condition = policy.status.condition("RevocationFresh")
    if condition is None or not verdict.is_good or condition.status is not ConditionStatus.TRUE:
        return ()
    found = _FAILED.search(condition.message)
    if found is None:
        return ()
    return (Remark("RevocationFresh", found[1], condition.message, advise(found[1]).step),)
