"""The decision: what is allowed, what is clamped, and every way to be refused, each with its reason.

Every row is a good question in a good situation with one thing changed.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.errors import MalformedCapability
from bilateral.protocol.capabilities.grants import Operation, PromptGrant, ResourceGrant, Scope
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.capabilities.tokens import sign_token
from bilateral.protocol.key_history import KeyHistory, KeyInterval, KeySource
from bilateral.protocol.policies.decisions import decide
from bilateral.protocol.policies.denials import DENIALS, OF_THE_CHAIN, OF_THE_LEDGER, OF_THE_PEER, OF_THE_SPEC
from bilateral.protocol.policies.policy import (
    FeedSource,
    FeedTerms,
    MaxScope,
    Policy,
    ToolBound,
    TrustedIssuer,
    policy_hash,
)
from bilateral.protocol.policies.questions import (
    CheckName,
    Clamp,
    Evidence,
    EvidenceKind,
    Outcome,
    PeerStanding,
)
from bilateral.protocol.policies.tiers import AutonomyTier
from bilateral.protocol.reasons import Reason
from unit.protocol.policy_world import (
    AGENT,
    BILLING,
    HOUR,
    INVOKE,
    ISSUER,
    NOW,
    POLICY,
    PREVIOUS,
    REPORTS,
    STRANGER,
    WORKER,
    Revoked,
    call,
    chain_of,
    chain_of_three,
    delegate,
    grant,
    known_peer,
    question,
    situation,
    token,
)

ROWS_100 = Constraint(ConstraintType.MAX_ROWS_RETURNED, 100)
AUTONOMOUS_ONLY = Constraint(ConstraintType.MINIMUM_AUTONOMY_TIER, "autonomous")
REPORT = call(REPORTS, "reports.read")
EXPORT = call(REPORTS, "reports.export", parameters={"format": "csv", "pages": 3})
EXPORTS = chain_of(grant(REPORTS, "reports.export"))
FEED = POLICY.revocation_feed
assert FEED is not None


def _usd(units: int) -> Money:
    return Money(units, "USD")


def _retired(until: int) -> KeyHistory:
    return KeyHistory((KeyInterval(ISSUER.public_key, KeySource.ISSUER, NOW - HOUR, until),))


def _without_feed() -> Policy:
    return replace(POLICY, revocation_feed=None)


ALLOWED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a capability, no call": ({}, {}),
    "a call of a granted tool": ({"call": call()}, {}),
    "a chain of three": ({"chain": chain_of_three(), "call": call()}, {}),
    "the previous generation, before its end": ({"chain": chain_of(key=PREVIOUS)}, {}),
    "the tier at the ceiling": ({"autonomy_tier": AutonomyTier.DELEGATED}, {}),
    "the amount at the budget": ({"call": call(amount=_usd(5000))}, {}),
    "evidence at its greatest age": ({"evidence": (Evidence(EvidenceKind.PASSPORT, NOW - HOUR),)}, {}),
    "evidence of this second": ({"evidence": (Evidence(EvidenceKind.RECEIPTS, NOW),)}, {}),
    "the pin's last second": ({}, {"peer": known_peer(NOW + 1)}),
    "the feed's last second": ({}, {"revocations": Revoked(fresh_until=NOW + 1)}),
    "no feed in the policy, no news": (
        {},
        {"policy": _without_feed(), "revocations": Revoked(fresh_until=None)},
    ),
    "another's capability revoked": ({}, {"revocations": Revoked({"cap-other"})}),
    "an unsigned source that the policy names": (
        {},
        {
            "policy": replace(POLICY, revocation_feed=replace(FEED, source=FeedSource.CHIO_SERVICE)),
            "revocations": Revoked(lesser=True),
        },
    ),
    "a key that was retired after it issued": ({}, {"keys": _retired(NOW - 59)}),
    "any server and any tool": ({"chain": chain_of(grant("*", "*")), "call": call()}, {}),
    "rows at the bound": (
        {
            "chain": chain_of(grant(REPORTS, "reports.read")),
            "call": replace(REPORT, parameters={"row_limit": 10_000}),
        },
        {},
    ),
    "rows not given": ({"chain": chain_of(grant(REPORTS, "reports.read")), "call": REPORT}, {}),
    "a grant that demands the tier of the ceiling": (
        {
            "chain": chain_of(
                grant(constraints=(Constraint(ConstraintType.MINIMUM_AUTONOMY_TIER, "delegated"),))
            )
        },
        {},
    ),
    "every bounded parameter given": ({"chain": EXPORTS, "call": EXPORT}, {}),
    "a list of allowed values": (
        {
            "chain": EXPORTS,
            "call": replace(EXPORT, parameters={"format": ["csv", "json"], "pages": 20, "title": "x"}),
        },
        {},
    ),
}

DENIED: dict[str, tuple[Reason, CheckName, dict[str, Any], dict[str, Any]]] = {
    "no policy": (Reason.NO_POLICY, CheckName.POLICY, {}, {"policy": None}),
    "two policies": (
        Reason.POLICY_CONFLICT,
        CheckName.POLICY,
        {},
        {"policy": None, "no_policy": Reason.POLICY_CONFLICT},
    ),
    "a policy for another": (Reason.NO_POLICY, CheckName.POLICY, {"partner_id": "org-c"}, {}),
    "an unknown peer": (Reason.PEER_NOT_FOUND, CheckName.PEER, {}, {"peer": PeerStanding(known=False)}),
    "a suspended peer": (
        Reason.SUSPENDED,
        CheckName.PEER,
        {},
        {"peer": known_peer(NOW + 9, suspended=True)},
    ),
    "a peer whose pin was tampered with": (
        Reason.PIN_TAMPERED,
        CheckName.PEER,
        {},
        {"peer": known_peer(withheld=Reason.PIN_TAMPERED)},
    ),
    "a peer without a pin": (Reason.PEER_NOT_PINNED, CheckName.PEER, {}, {"peer": known_peer()}),
    "the second of the pin's deadline": (
        Reason.PEER_STALE,
        CheckName.PEER,
        {},
        {"peer": known_peer(NOW)},
    ),
    "a chain that could not be read": (
        Reason.MALFORMED_CAPABILITY,
        CheckName.CHAIN,
        {"chain": MalformedCapability(index=0, found="syntax")},
        {},
    ),
    "an expired capability": (
        Reason.CAPABILITY_EXPIRED,
        CheckName.CHAIN,
        {"chain": chain_of(expires_at=NOW)},
        {},
    ),
    "a grant that may not be delegated": (
        Reason.DELEGATION_NOT_PERMITTED,
        CheckName.CHAIN,
        {"chain": delegate(chain_of(grant(operations=(INVOKE,))), AGENT, WORKER)},
        {},
    ),
    "an unknown issuer": (
        Reason.ISSUER_NOT_TRUSTED,
        CheckName.ISSUER,
        {"chain": chain_of(key=STRANGER)},
        {},
    ),
    "an issuer that left the list": (
        Reason.ISSUER_NOT_TRUSTED,
        CheckName.ISSUER,
        {},
        {"policy": replace(POLICY, trusted_issuers=(TrustedIssuer(PREVIOUS.public_key),))},
    ),
    "an issuer at its end": (
        Reason.ISSUER_EXPIRED,
        CheckName.ISSUER,
        {},
        {"policy": replace(POLICY, trusted_issuers=(TrustedIssuer(ISSUER.public_key, NOW),))},
    ),
    "issued at the second in which the key was retired": (
        Reason.ISSUER_RETIRED,
        CheckName.ISSUER,
        {},
        {"keys": _retired(NOW - 60)},
    ),
    "a tier above the ceiling": (
        Reason.AUTONOMY_TIER_EXCEEDED,
        CheckName.TIER,
        {"autonomy_tier": AutonomyTier.AUTONOMOUS},
        {},
    ),
    "a grant that demands a tier above the ceiling": (
        Reason.AUTONOMY_TIER_EXCEEDED,
        CheckName.SCOPE,
        {"chain": chain_of(grant(constraints=(AUTONOMOUS_ONLY,))), "call": call()},
        {},
    ),
    "nothing that the policy names": (
        Reason.NOTHING_ALLOWED,
        CheckName.SCOPE,
        {"chain": chain_of(grant("mail.org-b.internal"))},
        {},
    ),
    "resources and prompts alone": (
        Reason.NOTHING_ALLOWED,
        CheckName.SCOPE,
        {
            "chain": chain_of(
                scope=Scope(
                    (), (ResourceGrant("*", (Operation.READ,)),), (PromptGrant("*", (Operation.GET,)),)
                )
            )
        },
        {},
    ),
    "a policy without tools": (
        Reason.NOTHING_ALLOWED,
        CheckName.SCOPE,
        {},
        {"policy": replace(POLICY, max_scope=MaxScope((BILLING,)))},
    ),
    "a server that is not in the policy": (
        Reason.TOOL_SERVER_NOT_ALLOWED,
        CheckName.SCOPE,
        {"chain": chain_of(grant("*", "*")), "call": call("mail.org-b.internal")},
        {},
    ),
    "a tool that is not in the policy": (
        Reason.TOOL_NOT_ALLOWED,
        CheckName.SCOPE,
        {"chain": chain_of(grant("*", "*")), "call": call(tool="billing.write")},
        {},
    ),
    "a tool on another server than the policy says": (
        Reason.TOOL_NOT_ALLOWED,
        CheckName.SCOPE,
        {"chain": chain_of(grant("*", "*")), "call": call(BILLING, "reports.export")},
        {},
    ),
    "a tool that was not granted": (Reason.TOOL_NOT_GRANTED, CheckName.SCOPE, {"call": REPORT}, {}),
    "an operation that was not granted": (
        Reason.OPERATION_NOT_GRANTED,
        CheckName.SCOPE,
        {"call": call(operation=Operation.READ_RESULT)},
        {},
    ),
    "more grants than can be shown": (
        Reason.SCOPE_TOO_LARGE,
        CheckName.SCOPE,
        {"chain": chain_of(grant("*", "*"))},
        {
            "policy": replace(
                POLICY,
                max_scope=MaxScope(
                    tuple(f"s{n}" for n in range(64)), tuple(ToolBound(f"t{n}") for n in range(65))
                ),
            )
        },
    ),
    "a parameter above its bound": (
        Reason.PARAMETER_EXCEEDED,
        CheckName.PARAMETERS,
        {
            "chain": chain_of(grant(REPORTS, "reports.read")),
            "call": replace(REPORT, parameters={"row_limit": 10_001}),
        },
        {},
    ),
    "a parameter above the capability's own limit": (
        Reason.PARAMETER_EXCEEDED,
        CheckName.PARAMETERS,
        {
            "chain": chain_of(grant(REPORTS, "reports.read", constraints=(ROWS_100,))),
            "call": replace(REPORT, parameters={"row_limit": 101}),
        },
        {},
    ),
    "a number below zero": (
        Reason.PARAMETER_EXCEEDED,
        CheckName.PARAMETERS,
        {
            "chain": chain_of(grant(REPORTS, "reports.read")),
            "call": replace(REPORT, parameters={"row_limit": -1}),
        },
        {},
    ),
    "a truth for a number": (
        Reason.PARAMETER_NOT_ALLOWED,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": "csv", "pages": True})},
        {},
    ),
    "a text for a number": (
        Reason.PARAMETER_NOT_ALLOWED,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": "csv", "pages": "3"})},
        {},
    ),
    "a value that is not allowed": (
        Reason.PARAMETER_NOT_ALLOWED,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": "xml", "pages": 3})},
        {},
    ),
    "one value of a list that is not allowed": (
        Reason.PARAMETER_NOT_ALLOWED,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": ["csv", "xml"], "pages": 3})},
        {},
    ),
    "an empty list": (
        Reason.PARAMETER_NOT_ALLOWED,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": [], "pages": 3})},
        {},
    ),
    "an object for a value": (
        Reason.PARAMETER_NOT_ALLOWED,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": {"a": "csv"}, "pages": 3})},
        {},
    ),
    "a bounded parameter that is not given": (
        Reason.PARAMETER_MISSING,
        CheckName.PARAMETERS,
        {"chain": EXPORTS, "call": replace(EXPORT, parameters={"format": "csv"})},
        {},
    ),
    "an amount above the budget": (
        Reason.BUDGET_EXCEEDED,
        CheckName.BUDGET,
        {"call": call(amount=_usd(5001))},
        {},
    ),
    "an amount above the capability's own limit": (
        Reason.BUDGET_EXCEEDED,
        CheckName.BUDGET,
        {"chain": chain_of(grant(max_cost_per_invocation=_usd(10))), "call": call(amount=_usd(11))},
        {},
    ),
    "an amount in another currency": (
        Reason.CURRENCY_MISMATCH,
        CheckName.BUDGET,
        {"call": call(amount=Money(1, "EUR"))},
        {},
    ),
    "a grant in another currency": (
        Reason.CURRENCY_MISMATCH,
        CheckName.SCOPE,
        {"chain": chain_of(grant(max_total_cost=Money(1, "EUR"))), "call": call()},
        {},
    ),
    "evidence that is too old": (
        Reason.EVIDENCE_TOO_OLD,
        CheckName.EVIDENCE,
        {"evidence": (Evidence(EvidenceKind.REPUTATION, NOW - HOUR - 1),)},
        {},
    ),
    "evidence from the future": (
        Reason.EVIDENCE_NOT_YET_VALID,
        CheckName.EVIDENCE,
        {"evidence": (Evidence(EvidenceKind.PASSPORT, NOW + 1),)},
        {},
    ),
    "the capability revoked": (
        Reason.CAPABILITY_REVOKED,
        CheckName.REVOCATION,
        {},
        {"revocations": Revoked({"cap-root"})},
    ),
    "an ancestor revoked": (
        Reason.CAPABILITY_REVOKED,
        CheckName.REVOCATION,
        {"chain": chain_of_three()},
        {"revocations": Revoked({"cap-1"})},
    ),
    "two histories": (
        Reason.EQUIVOCATION,
        CheckName.REVOCATION,
        {},
        {"revocations": Revoked(equivocated=True)},
    ),
    "the second of the feed's ceiling": (
        Reason.REVOCATION_FEED_STALE,
        CheckName.FEED,
        {},
        {"revocations": Revoked(fresh_until=NOW)},
    ),
    "a feed that was never read": (
        Reason.REVOCATION_FEED_STALE,
        CheckName.FEED,
        {},
        {"revocations": Revoked(fresh_until=None)},
    ),
    "an unsigned source for a signed feed": (
        Reason.REVOCATIONS_UNSIGNED,
        CheckName.FEED,
        {},
        {"revocations": Revoked(lesser=True)},
    ),
}


@pytest.mark.parametrize("row", ALLOWED)
def test_it_is_allowed(row: str) -> None:
    asked, known = ALLOWED[row]
    decision = decide(question(**asked), situation(**known), NOW)
    assert (decision.allowed, decision.reason, decision.failed) == (True, None, None)
    assert [check.name for check in decision.checks] == list(CheckName)
    assert all(check.passed and check.expected and check.found for check in decision.checks)
    assert decision.effective is not None
    assert not decision.effective.is_empty
    assert decision.valid_until is not None
    assert decision.valid_until > NOW


@pytest.mark.parametrize("row", DENIED)
def test_it_is_denied_and_says_why(row: str) -> None:
    reason, name, asked, known = DENIED[row]
    decision = decide(question(**asked), situation(**known), NOW)
    assert (decision.allowed, decision.reason) == (False, reason)
    assert reason in DENIALS
    failed = decision.failed
    assert failed is not None
    assert (failed.name, failed.reason) == (name, reason)
    assert failed.expected
    assert failed.found
    assert (decision.effective, decision.valid_until) == (None, None)
    assert [check.name for check in decision.checks] == list(CheckName)


def test_every_reason_of_a_denial_is_one_of_the_table_or_of_what_others_judge() -> None:
    elsewhere = OF_THE_CHAIN | OF_THE_PEER | OF_THE_SPEC | OF_THE_LEDGER | {Reason.PARTNER_ID_MISMATCH}
    assert {row[0] for row in DENIED.values()} | elsewhere == DENIALS


def test_all_that_can_be_judged_is_judged_after_a_failure() -> None:
    asked = question(chain_of(key=STRANGER), call=REPORT, autonomy_tier=AutonomyTier.AUTONOMOUS)
    known = situation(peer=known_peer(NOW), revocations=Revoked({"cap-root"}, fresh_until=NOW))
    decision = decide(asked, known, NOW)
    assert decision.reason is Reason.PEER_STALE
    assert {check.name: check.reason for check in decision.checks if check.reason is not None} == {
        CheckName.PEER: Reason.PEER_STALE,
        CheckName.ISSUER: Reason.ISSUER_NOT_TRUSTED,
        CheckName.TIER: Reason.AUTONOMY_TIER_EXCEEDED,
        CheckName.SCOPE: Reason.TOOL_NOT_GRANTED,
        CheckName.REVOCATION: Reason.CAPABILITY_REVOKED,
        CheckName.FEED: Reason.REVOCATION_FEED_STALE,
    }
    skipped = [check.name for check in decision.checks if check.outcome is Outcome.SKIPPED]
    assert skipped == [CheckName.PARAMETERS, CheckName.BUDGET]


def test_without_a_sound_chain_what_depends_on_it_is_skipped() -> None:
    decision = decide(question(MalformedCapability(found="syntax")), situation(), NOW)
    assert {check.name for check in decision.checks if check.outcome is Outcome.SKIPPED} == {
        CheckName.ISSUER,
        CheckName.SCOPE,
        CheckName.PARAMETERS,
        CheckName.BUDGET,
        CheckName.REVOCATION,
    }
    assert (decision.capability_ids, decision.subject, decision.issuer) == ((), None, None)


def test_what_a_decision_was_made_from() -> None:
    decision = decide(question(chain_of_three(), call=call()), situation(), NOW)
    assert decision.policy_hash == policy_hash(POLICY)
    assert decision.capability_ids == ("cap-root", "cap-1", "cap-2")
    assert decision.issuer == ISSUER.public_key
    assert decision.decided_at == NOW
    assert decision.valid_until == NOW + 600  # the feed's: the pin's, the issuer's and the token's are later


@pytest.mark.parametrize(
    ("asked", "known", "until"),
    [
        ({}, {"peer": known_peer(NOW + 5)}, NOW + 5),
        ({"chain": chain_of(expires_at=NOW + 6)}, {}, NOW + 6),
        ({"evidence": (Evidence(EvidenceKind.PASSPORT, NOW - HOUR + 6),)}, {}, NOW + 7),
        (
            {},
            {"policy": replace(POLICY, trusted_issuers=(TrustedIssuer(ISSUER.public_key, NOW + 8),))},
            NOW + 8,
        ),
        ({}, {"revocations": Revoked(fresh_until=NOW + 9)}, NOW + 9),
    ],
    ids=["the pin", "the capability", "the evidence", "the issuer", "the feed"],
)
def test_an_allowance_ends_with_the_first_thing_that_it_rests_on(
    asked: dict[str, Any], known: dict[str, Any], until: int
) -> None:
    assert decide(question(**asked), situation(**known), NOW).valid_until == until
    assert decide(question(**asked), situation(**known), until - 1).allowed
    assert not decide(question(**asked), situation(**known), until).allowed


def test_the_effective_grant_is_the_intersection_field_by_field() -> None:
    wide = grant("*", "*", max_total_cost=_usd(9000), max_cost_per_invocation=_usd(6000))
    narrow = grant(REPORTS, "reports.read", constraints=(ROWS_100,), max_total_cost=_usd(100))
    scope = Scope((wide, narrow, grant("mail")), (ResourceGrant("*", (Operation.READ,)),))
    decision = decide(question(chain_of(scope=scope)), situation(), NOW)
    assert decision.effective is not None
    reached = [(each.server_id, each.tool_name) for each in decision.effective.grants]
    assert reached == [
        (BILLING, "billing.read"),
        (BILLING, "reports.read"),
        (REPORTS, "billing.read"),
        (REPORTS, "reports.read"),
        (REPORTS, "reports.export"),
        (REPORTS, "reports.read"),
    ]
    assert all(each.max_cost_per_invocation in (_usd(5000), None) for each in decision.effective.grants)
    exports, last = decision.effective.grants[4:]
    assert exports.max_total_cost == _usd(5000)
    assert {(each.type, each.value) for each in exports.constraints} == {
        (ConstraintType.CUSTOM, ("format", "one of csv, json")),
        (ConstraintType.CUSTOM, ("pages", "<= 20")),
    }
    assert (last.max_total_cost, last.constraints) == (_usd(100), (ROWS_100,))
    assert set(decision.clamps) == {
        Clamp("grants[0].server_id", "*", f"{BILLING}, {REPORTS}", f"{BILLING}, {REPORTS}"),
        Clamp(
            "grants[0].tool_name",
            "*",
            "billing.read, reports.read, reports.export",
            "billing.read, reports.read, reports.export",
        ),
        Clamp("grants[0].max_total_cost", "9000 USD", "5000 USD", "5000 USD"),
        Clamp("grants[0].max_cost_per_invocation", "6000 USD", "5000 USD", "5000 USD"),
        Clamp("grants[0].max_rows_returned", "none", "10000", "10000"),
        Clamp("grants[0].parameters.format", "none", "one of csv, json", "one of csv, json"),
        Clamp("grants[0].parameters.pages", "none", "<= 20", "<= 20"),
        Clamp("grants[2]", "mail/billing.read", "maxScope", "none"),
        Clamp("resource_grants", "1", "0", "0"),
    }


@pytest.mark.parametrize(
    ("presented", "effective"),
    [(20_000, 10_000), (10_000, 10_000), (100, 100)],
    ids=["more", "equal", "less"],
)
def test_the_row_limit_is_the_smaller_of_the_two(presented: int, effective: int) -> None:
    rows = Constraint(ConstraintType.MAX_ROWS_RETURNED, presented)
    decision = decide(
        question(chain_of(grant(REPORTS, "reports.read", constraints=(rows,)))), situation(), NOW
    )
    assert decision.effective is not None
    (left,) = decision.effective.grants
    assert left.constraints == (Constraint(ConstraintType.MAX_ROWS_RETURNED, effective),)
    clamps = [each for each in decision.clamps if each.field.endswith("max_rows_returned")]
    assert bool(clamps) == (presented > effective)


def test_a_call_is_answered_with_its_own_grant_only() -> None:
    decision = decide(question(chain_of(grant("*", "*")), call=call()), situation(), NOW)
    assert decision.effective is not None
    (effective,) = decision.effective.grants
    assert (effective.server_id, effective.tool_name) == (BILLING, "billing.read")


def test_one_of_two_grants_is_enough_and_only_that_one_is_effective() -> None:
    dear, cheap = grant(max_cost_per_invocation=_usd(50)), grant(max_cost_per_invocation=_usd(5))
    decision = decide(question(chain_of(cheap, dear), call=call(amount=_usd(20))), situation(), NOW)
    assert decision.effective is not None
    assert [each.max_cost_per_invocation for each in decision.effective.grants] == [_usd(50)]


def test_every_entry_for_a_tool_holds_at_once() -> None:
    loose, strict = ToolBound("reports.read"), ToolBound("reports.read", REPORTS, {"row_limit": 10})
    policy = replace(POLICY, max_scope=MaxScope((BILLING, REPORTS), (loose, strict)))
    asked = question(chain_of(grant("*", "*")), call=replace(REPORT, parameters={"row_limit": 11}))
    assert decide(asked, situation(policy=policy), NOW).reason is Reason.PARAMETER_EXCEEDED
    elsewhere = replace(asked, call=call(BILLING, "reports.read", parameters={"row_limit": 11}))
    assert decide(elsewhere, situation(policy=policy), NOW).allowed


def test_a_limit_on_the_whole_capability_is_on_each_grant() -> None:
    chain = chain_of(grant(max_invocations=9), max_aggregate_invocations=5)
    decision = decide(question(chain), situation(), NOW)
    assert decision.effective is not None
    assert [each.max_invocations for each in decision.effective.grants] == [5]


def test_a_child_by_another_generation_needs_that_generation_to_be_trusted() -> None:
    chain = delegate(chain_of(), AGENT, WORKER)
    child = replace(chain.leaf, issuer=PREVIOUS.public_key)
    mixed = replace(chain, tokens=(chain.root, sign_token(child, PREVIOUS)))
    assert decide(question(mixed), situation(), NOW).allowed
    ended = decide(question(mixed), situation(peer=known_peer(NOW + 9999)), NOW + HOUR)
    assert ended.reason is Reason.ISSUER_EXPIRED
    only_current = replace(POLICY, trusted_issuers=(TrustedIssuer(ISSUER.public_key),))
    assert decide(question(mixed), situation(policy=only_current), NOW).reason is Reason.FOREIGN_ISSUER


def test_names_of_others_are_shown_only_as_printable_words() -> None:
    asked = question(chain_of(grant("*", "*")), call=call("evil\x1b[31m server"))
    failed = decide(asked, situation(), NOW).failed
    assert failed is not None
    assert failed.found == "(a name that is not shown)"


def test_the_feeds_ceiling_is_never_longer_than_that_of_evidence() -> None:
    assert replace(POLICY, max_evidence_age_seconds=90).max_staleness_seconds == 90
    assert replace(POLICY, max_evidence_age_seconds=90).poll_seconds == 30
    assert (POLICY.max_staleness_seconds, POLICY.poll_seconds) == (3600, 60)
    assert _without_feed().max_staleness_seconds is None
    assert _without_feed().poll_seconds is None


def test_a_decision_on_the_wire() -> None:
    allowed = decide(question(call=call()), situation(), NOW).to_wire()
    assert allowed["schema"] == "bilateral.decision.v1"
    assert (allowed["allowed"], allowed["decidedAt"], allowed["validUntil"]) == (True, NOW, NOW + 600)
    assert allowed["subject"] == AGENT.public_key.hex
    assert allowed["effective"] == {
        "grants": [
            {
                "server_id": BILLING,
                "tool_name": "billing.read",
                "operations": ["invoke", "delegate"],
                "max_total_cost": {"units": 5000, "currency": "USD"},
            }
        ]
    }
    denied = decide(question(call=REPORT), situation(), NOW).to_wire()
    assert (denied["allowed"], denied["reason"], denied["failedCheck"]) == (False, "ToolNotGranted", "scope")
    assert "effective" not in denied


_GRANTS = st.builds(
    grant,
    server=st.sampled_from(["*", BILLING, REPORTS, "mail"]),
    tool=st.sampled_from(["*", "billing.read", "reports.read", "reports.export", "mail.send"]),
    constraints=st.sampled_from([(), (ROWS_100,), (AUTONOMOUS_ONLY,)]),
    max_total_cost=st.sampled_from([None, _usd(1), _usd(9999), Money(1, "EUR")]),
)


@given(st.lists(_GRANTS, min_size=1, max_size=4, unique=True))
def test_nothing_effective_is_outside_the_policy_or_the_capability(grants: list[Any]) -> None:
    scope = Scope(tuple(grants))
    decision = decide(question(chain_of(scope=scope)), situation(), NOW)
    for each in () if decision.effective is None else decision.effective.grants:
        assert POLICY.max_scope.bounds_of(each.server_id, each.tool_name)
        assert any(wider.covers(each.server_id, each.tool_name) for wider in grants)
        assert each.max_total_cost is not None
        assert each.max_total_cost.is_within(_usd(5000))
        if each.tool_name == "reports.read":
            assert any(rule.type is ConstraintType.MAX_ROWS_RETURNED for rule in each.constraints)
    reachable = any(
        wider.covers(server, tool)
        and AUTONOMOUS_ONLY not in wider.constraints
        and (wider.max_total_cost is None or wider.max_total_cost.currency == "USD")
        for wider in grants
        for server, tool in ((BILLING, "billing.read"), (REPORTS, "reports.export"))
    )
    assert decision.allowed or not reachable


def test_two_partners_with_one_capability_id_do_not_disturb_each_other() -> None:
    theirs = token(Scope((grant(),)), key=PREVIOUS)
    assert theirs.id == chain_of().leaf.id
    assert decide(question(chain_of()), situation(revocations=Revoked()), NOW).allowed
    assert not decide(question(chain_of()), situation(revocations=Revoked({theirs.id})), NOW).allowed


def test_a_feed_of_its_own_ceiling() -> None:
    feed = FeedTerms("https://a.example/f", poll_seconds=600, max_staleness_seconds=900)
    policy = replace(POLICY, revocation_feed=feed)
    assert (policy.max_staleness_seconds, policy.poll_seconds) == (900, 300)
