"""A policy: what its hash covers, and which values are none."""

from dataclasses import replace
from typing import Any

import pytest

from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.errors import MalformedDocument, WeakKey
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.policies.policy import (
    Bound,
    FeedSource,
    FeedTerms,
    IntroductionApproval,
    IntroductionTerms,
    MaxScope,
    Policy,
    SharingPosture,
    ToolBound,
    TrustedIssuer,
    policy_body,
    policy_hash,
)
from bilateral.protocol.policies.tiers import AutonomyTier, parse_tier
from unit.protocol.policy_world import BILLING, ISSUER, NOW, POLICY, PREVIOUS, REPORTS, STRANGER

FEED = FeedTerms("https://a.example/feed")
SCOPE = POLICY.max_scope
WEAK = PublicKey(bytes(32))

OTHERS: dict[str, dict[str, Any]] = {
    "partner": {"partner_id": "org-c"},
    "one issuer less": {"trusted_issuers": POLICY.trusted_issuers[:1]},
    "an issuer's end": {
        "trusted_issuers": (POLICY.trusted_issuers[0], TrustedIssuer(PREVIOUS.public_key, NOW + 1))
    },
    "no end": {"trusted_issuers": (POLICY.trusted_issuers[0], TrustedIssuer(PREVIOUS.public_key))},
    "servers": {"max_scope": replace(SCOPE, tool_servers=(BILLING,))},
    "tools": {"max_scope": replace(SCOPE, tools=SCOPE.tools[:1])},
    "a tool's server": {
        "max_scope": replace(SCOPE, tools=(ToolBound("billing.read", REPORTS), *SCOPE.tools[1:]))
    },
    "a bound": {
        "max_scope": replace(
            SCOPE, tools=(ToolBound("billing.read", None, {"row_limit": 1}), *SCOPE.tools[1:])
        )
    },
    "budget": {"max_scope": replace(SCOPE, budget=Money(4999, "USD"))},
    "currency": {"max_scope": replace(SCOPE, budget=Money(5000, "EUR"))},
    "no budget": {"max_scope": replace(SCOPE, budget=None)},
    "tier": {"max_autonomy_tier": AutonomyTier.DIRECT},
    "age": {"max_evidence_age_seconds": 1},
    "no feed": {"revocation_feed": None},
    "feed": {"revocation_feed": FEED},
    "a signer": {"revocation_feed": replace(FEED, signers=(STRANGER.public_key,))},
    "poll": {"revocation_feed": replace(FEED, poll_seconds=5)},
    "staleness": {"revocation_feed": replace(FEED, max_staleness_seconds=5)},
    "source": {"revocation_feed": replace(FEED, source=FeedSource.CHIO_SERVICE)},
    "posture": {"sharing_posture": SharingPosture.REEXPORT_ALLOWED},
    "introductions": {"introductions": IntroductionTerms(max_validity_seconds=600)},
    "subjects": {"introductions": IntroductionTerms(allowed_subjects=("CN=a",))},
    "names": {"introductions": IntroductionTerms(dns_names=("a.example",))},
    "approval": {"introductions": IntroductionTerms(IntroductionApproval.AUTOMATIC, 600, ("CN=a",))},
}


def test_every_field_is_in_the_hash() -> None:
    hashes = [policy_hash(POLICY), *(policy_hash(replace(POLICY, **changes)) for changes in OTHERS.values())]
    assert len(set(hashes)) == len(hashes)
    assert all(len(each) == 64 for each in hashes)


def test_the_order_in_which_a_list_was_written_is_not() -> None:
    bounds: dict[str, Bound] = {"pages": 20, "format": ("json", "csv")}
    tools = (ToolBound("reports.export", REPORTS, bounds), *SCOPE.tools[1::-1])
    scope = MaxScope(SCOPE.tool_servers[::-1], tools, SCOPE.budget)
    turned = replace(POLICY, trusted_issuers=POLICY.trusted_issuers[::-1], max_scope=scope)
    assert turned != POLICY
    assert policy_hash(turned) == policy_hash(POLICY)


def test_the_hash_is_of_a_body_that_names_its_kind() -> None:
    minimal = Policy(
        "org-b", (TrustedIssuer(PublicKey(bytes.fromhex(_KEY))),), MaxScope(), AutonomyTier.DIRECT, 60
    )
    assert policy_body(minimal) == {
        "schema": "bilateral.federation-policy.v1",
        "partnerId": "org-b",
        "trustedIssuers": [{"publicKey": _KEY}],
        "maxScope": {"toolServers": [], "tools": []},
        "maxAutonomyTier": "direct",
        "maxEvidenceAgeSeconds": 60,
        "sharingPosture": "PairScoped",
        "introductions": {
            "approval": "Manual",
            "maxValiditySeconds": 2_592_000,
            "allowedSubjects": [],
            "dnsNames": [],
        },
    }


_KEY = "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6"


def _scope(*tools: ToolBound, servers: tuple[str, ...] = (BILLING,)) -> dict[str, Any]:
    return {"max_scope": MaxScope(servers, tools)}


@pytest.mark.parametrize(
    "changes",
    [
        {"trusted_issuers": ()},
        {"trusted_issuers": (TrustedIssuer(ISSUER.public_key), TrustedIssuer(ISSUER.public_key, NOW))},
        {"trusted_issuers": tuple(TrustedIssuer(PublicKey(bytes([n]) * 32)) for n in range(17))},
        _scope(servers=(BILLING, BILLING)),
        _scope(servers=("*",)),
        _scope(servers=("*.org-b.internal",)),
        _scope(ToolBound("*")),
        _scope(ToolBound("a"), ToolBound("a")),
        _scope(*(ToolBound(f"t{n}") for n in range(129))),
        _scope(ToolBound("a", None, {"row_limit": -1})),
        _scope(ToolBound("a", None, {"row_limit": True})),
        _scope(ToolBound("a", None, {"format": ()})),
        _scope(ToolBound("a", None, {"format": ("csv", "csv")})),
        _scope(ToolBound("a", None, {f"p{n}": 1 for n in range(33)})),
        {"revocation_feed": replace(FEED, signers=(STRANGER.public_key,) * 2)},
        {"introductions": IntroductionTerms(IntroductionApproval.AUTOMATIC)},
    ],
    ids=[
        "no issuer",
        "an issuer twice",
        "17 issuers",
        "a server twice",
        "any server",
        "a wildcard in a server",
        "any tool",
        "a tool twice",
        "129 tools",
        "a bound below zero",
        "a truth for a bound",
        "no allowed value",
        "an allowed value twice",
        "33 bounds",
        "a signer twice",
        "automatic approval of anybody",
    ],
)
def test_what_is_no_policy_cannot_be_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"policy|approval|bound"):
        replace(POLICY, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"trusted_issuers": (TrustedIssuer(WEAK),)},
        {"revocation_feed": replace(FEED, signers=(WEAK,))},
    ],
    ids=["as an issuer", "as a feed's signer"],
)
def test_a_key_that_anybody_can_sign_with_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WeakKey):
        replace(POLICY, **changes)


def test_names_that_implementations_write_differently_are_refused() -> None:
    with pytest.raises(MalformedDocument):
        replace(POLICY, introductions=IntroductionTerms(allowed_subjects=("CN=\x85",)))


@pytest.mark.parametrize("tier", list(AutonomyTier))
def test_a_tier_is_read_in_each_of_its_spellings(tier: AutonomyTier) -> None:
    for spelling in (tier.value, tier.camel_case, tier.published):
        assert parse_tier(spelling) is tier


@pytest.mark.parametrize(
    "text", ["", "DIRECT", "TIER_2_DIRECT", "TIER_4_AUTONOMOUS", "TIER_2_DELEGATED\n", "delegated ", "2"]
)
def test_a_word_that_is_no_tier_is_refused(text: str) -> None:
    with pytest.raises(MalformedDocument):
        parse_tier(text)


def test_tiers_have_an_order() -> None:
    assert [tier.rank for tier in AutonomyTier] == [1, 2, 3]
