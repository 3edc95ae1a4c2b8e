"""FederationPolicy: what its spec means, and its statuses as they are written."""

from typing import Any

import pytest

from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.policies import policy as meaning
from bilateral.protocol.policies.tiers import AutonomyTier
from bilateral.protocol.reasons import Reason
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.times import parse_time
from unit.resources.manifests import KEY, OTHER_KEY, Row
from unit.resources.policy_tables import ACCEPTED, FULL

TIME = "2026-11-21T14:31:07Z"


def _policy(changes: dict[str, object] | None = None) -> FederationPolicy:
    return FederationPolicy.parse(Row("", "FederationPolicy", changes or {}).manifest)


def test_what_a_full_spec_means() -> None:
    assert _policy({"spec": FULL}).to_policy() == meaning.Policy(
        partner_id="org-b",
        trusted_issuers=(
            meaning.TrustedIssuer(parse_public_key(KEY)),
            meaning.TrustedIssuer(parse_public_key(OTHER_KEY), parse_time("2027-01-01T00:00:00Z")),
        ),
        max_scope=meaning.MaxScope(
            ("billing.org-b.internal", "reports.org-b.internal"),
            (
                meaning.ToolBound("reports.read", None, {"row_limit": 10_000}),
                meaning.ToolBound(
                    "reports.export",
                    "reports.org-b.internal",
                    {"pages": 20, "format": ("csv", "New York")},
                ),
            ),
            Money(5000, "USD"),
        ),
        max_autonomy_tier=AutonomyTier.DELEGATED,
        max_evidence_age_seconds=1800,
        revocation_feed=meaning.FeedTerms(
            "https://trust.org-b.example:8940/v1/revocations/feed",
            (parse_public_key(OTHER_KEY), parse_public_key(KEY)),
            30,
            900,
        ),
        sharing_posture=meaning.SharingPosture.REEXPORT_ALLOWED,
        introductions=meaning.IntroductionTerms(
            meaning.IntroductionApproval.AUTOMATIC,
            86_400,
            ("CN=client1,O=Org B",),
            ("client1.org-b.example",),
        ),
    )


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.id)
def test_whatever_is_accepted_means_something(row: Row) -> None:
    policy = FederationPolicy.parse(row.manifest)
    assert meaning.policy_hash(policy.to_policy()) == meaning.policy_hash(policy.to_policy())


def test_defaults_are_the_careful_ones() -> None:
    policy = _policy({"spec.maxScope": {}}).to_policy()
    assert policy.max_scope == meaning.MaxScope()
    assert policy.max_evidence_age_seconds == 3600
    assert policy.sharing_posture is meaning.SharingPosture.PAIR_SCOPED
    assert policy.introductions.approval is meaning.IntroductionApproval.MANUAL
    assert policy.revocation_feed is None


def test_the_published_keys_are_weak_and_such_a_policy_is_refused_by_its_reason() -> None:
    weak = "ed25519:9a4f1c3b2e7d8a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b"
    with pytest.raises(InvalidResource) as refusal:
        _policy({"spec.trustedIssuers": [{"publicKey": weak}]})
    assert refusal.value.reason is Reason.WEAK_KEY
    assert refusal.value.field == "spec.trustedIssuers[0].publicKey"


def test_a_status_is_written_as_it_was_read() -> None:
    status: dict[str, Any] = {
        "observedGeneration": 2,
        "policyHash": "5a" * 32,
        "revocations": {
            "source": "SignedFeed",
            "treeSize": 7,
            "rootHash": "5b" * 32,
            "entries": 6,
            "publishedAt": TIME,
            "receivedAt": TIME,
        },
    }
    assert _policy({"status": status}).status.to_wire() == status
    broken = _policy({"status": {**status, "revocations": {"treeSize": -1}}}).status
    assert (broken.unreadable, broken.policy_hash) == (("revocations",), "5a" * 32)
