"""Policy documents of the contract: into a spec and back, nothing lost, nothing unknown taken."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.policies.documents import is_document_of, read_document, write_document
from bilateral.protocol.policies.policy import policy_hash
from bilateral.resources.federationpolicy import FederationPolicy
from unit.protocol.published_policies import FULL, KEYS, OVERVIEW, PUBLISHED

REMOVE = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The full document with one member set or taken away."""
    built = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    at: Any = built
    for parent in parents:
        at = at[int(parent)] if parent.isdigit() else at[parent]
    if value is REMOVE:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return built


def manifest(spec: Any) -> FederationPolicy:
    return FederationPolicy.parse({"metadata": {"name": "org-b"}, "spec": {"peer": "org-b", **spec}})


@pytest.mark.parametrize("text", PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_policy_comes_back_member_for_member(text: str) -> None:
    document = yaml.safe_load(text)
    read = read_document(document)
    assert read.name == "org-a-to-org-b"
    assert write_document(read.name, read.spec) == document
    assert is_document_of(document, read.spec)


def test_what_a_published_policy_means() -> None:
    assert read_document(yaml.safe_load(OVERVIEW)).spec == {
        "partnerId": "org-b",
        "trustedIssuers": [
            {"publicKey": "ed25519:9a4f1c3b2e7d8a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b"},
            {"publicKey": "ed25519:7f3b9c1e4d6a8b0c2d4e6f8a0b2c4d6e8f0a2b4c6d8e0f2a4b6c8d0e2f4a6b8c"},
        ],
        "maxScope": {
            "toolServers": ["billing.org-b.internal", "reports.org-b.internal"],
            "tools": [{"tool": "reports.read", "parameterBounds": {"row_limit": 10_000}}],
        },
        "maxAutonomyTier": "Delegated",
        "maxEvidenceAgeSeconds": 3600,
        "revocationFeed": {"url": "https://trust.org-b.example/v1/revocations/feed"},
        "sharingPosture": "PairScoped",
    }


def test_every_member_there_is_comes_back() -> None:
    read = read_document(FULL)
    assert write_document(read.name, read.spec) == FULL


def test_a_document_is_a_spec_of_the_kind() -> None:
    policy = manifest(read_document(FULL).spec)
    assert policy.to_policy().max_scope.tools[1].parameter_bounds == {"format": ("csv", "json"), "pages": 20}
    through_the_cluster = manifest({**policy.to_manifest()["spec"], "peer": "org-b"})
    assert policy_hash(through_the_cluster.to_policy()) == policy_hash(policy.to_policy())


def test_defaults_that_the_api_server_fills_in_change_nothing() -> None:
    read = read_document(yaml.safe_load(OVERVIEW))
    filled: dict[str, Any] = {
        **read.spec,
        "peer": "org-b",
        "revocationFeed": {
            "url": "https://trust.org-b.example/v1/revocations/feed",
            "source": "SignedFeed",
            "pollSeconds": 60,
            "maxStalenessSeconds": 3600,
        },
        "introductions": {"approval": "Manual", "maxValiditySeconds": 2_592_000},
    }
    assert write_document(read.name, filled) == yaml.safe_load(OVERVIEW)
    assert is_document_of(yaml.safe_load(OVERVIEW), filled)


@pytest.mark.parametrize("member", ["maxAutonomyTier", "partnerId", "maxEvidenceAgeSeconds"])
def test_a_document_of_a_spec_that_was_changed_is_none(member: str) -> None:
    read = read_document(yaml.safe_load(OVERVIEW))
    value: Any = {"maxAutonomyTier": "Direct", "partnerId": "org-c", "maxEvidenceAgeSeconds": 60}[member]
    assert not is_document_of(yaml.safe_load(OVERVIEW), {**read.spec, member: value})
    assert not is_document_of({"kind": "Secret"}, read.spec)


def test_how_the_feed_is_reached_from_here_is_in_no_document() -> None:
    spec: dict[str, Any] = dict(read_document(FULL).spec)
    feed = spec["revocationFeed"]
    assert isinstance(feed, dict)
    here: dict[str, Any] = {
        **spec,
        "revocationFeed": {**feed, "verifier": {"webPKI": {}}, "bearerTokenSecretRef": {"name": "t"}},
    }
    assert write_document("org-b", here) == FULL


@pytest.mark.parametrize(
    ("tier", "camel"),
    [
        ("direct", "Direct"),
        ("Delegated", "Delegated"),
        ("autonomous", "Autonomous"),
        ("TIER_1_DIRECT", "Direct"),
        ("TIER_3_AUTONOMOUS", "Autonomous"),
    ],
)
def test_every_spelling_of_a_tier_is_read(tier: str, camel: str) -> None:
    assert read_document(changed("spec.max_autonomy_tier", tier)).spec["maxAutonomyTier"] == camel


@pytest.mark.parametrize(
    ("posture", "means"),
    [("reexport_allowed", "ReexportAllowed"), ("pair_scoped", "PairScoped"), ("anybody", "PairScoped")],
)
def test_an_unknown_posture_is_pair_scoped(posture: str, means: str) -> None:
    assert read_document(changed("spec.sharing_posture", posture)).spec["sharingPosture"] == means


def test_scalars_of_parameter_bounds_are_allowed_values() -> None:
    document = changed(
        "spec.max_scope.tools.0", {"tool": "a", "parameter_bounds": {"x": True, "y": "b", "z": [1]}}
    )
    (tool, _) = manifest(read_document(document).spec).to_policy().max_scope.tools
    assert tool.parameter_bounds == {"x": ("true",), "y": ("b",), "z": ("1",)}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("apiVersion", "chio.dev/v2", "api-version"),
        ("kind", "Policy", "kind"),
        ("metadata", {}, "missing-member"),
        ("metadata", {"name": "a", "namespace": "b"}, "unknown-member"),
        ("metadata.name", "", "name"),
        ("spec", [], "spec"),
        ("spec.partner_id", REMOVE, "missing-member"),
        ("spec.partner_id", 7, "partner-id"),
        ("spec.trusted_issuers", "key", "trusted-issuers"),
        ("spec.trusted_issuers.0", 7, "trusted-issuers"),
        ("spec.trusted_issuers.0", {"not_after": "2027-01-01T00:00:00Z"}, "missing-member"),
        ("spec.max_scope", REMOVE, "missing-member"),
        ("spec.max_scope", {"prompts": []}, "unknown-member"),
        ("spec.max_scope.tools.0", "billing.read", "tools"),
        ("spec.max_scope.tools.0", {"tool": "a", "max_rows": 5}, "unknown-member"),
        ("spec.max_scope.tools.0", {"tool": "a", "parameter_bounds": {"x": 1.5}}, "parameter-bounds"),
        ("spec.max_scope.tools.0", {"tool": "a", "parameter_bounds": {"x": None}}, "parameter-bounds"),
        ("spec.max_scope.tools.0", {"tool": "a", "parameter_bounds": {"x": [[1]]}}, "parameter-bounds"),
        ("spec.max_scope.budget", {"units": 50.0, "currency": "USD"}, "budget"),
        ("spec.max_autonomy_tier", "TIER_3_DELEGATED", "autonomy-tier"),
        ("spec.max_autonomy_tier", 2, "max-autonomy-tier"),
        ("spec.max_evidence_age_secs", True, "max-evidence-age-secs"),
        ("spec.max_evidence_age_secs", "3600", "max-evidence-age-secs"),
        ("spec.revocation_feed", 7, "revocation-feed"),
        ("spec.revocation_feed", {"url": "https://a.example", "insecure": "yes"}, "unknown-member"),
        ("spec.sharing_posture", 7, "sharing-posture"),
        ("spec.introductions", {"approve": "Automatic"}, "unknown-member"),
        ("signature", "ab" * 64, "unknown-member"),
    ],
)
def test_anything_else_is_refused(path: str, value: Any, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        read_document(changed(path, value))
    assert refusal.value.cause == cause


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["chio.dev/v1", *KEYS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(FULL["spec"])), _JSON)
def test_whatever_stands_in_a_member_it_is_read_or_refused(member: str, value: Any) -> None:
    document = changed(f"spec.{member}", value)
    try:
        read = read_document(document)
    except MalformedDocument:
        return
    again = write_document(read.name, read.spec)
    assert write_document(read.name, read_document(again).spec) == again
    assert is_document_of(document, read_document(again).spec)


@given(_JSON)
def test_no_spec_of_anybody_makes_the_writer_fail_otherwise(value: Any) -> None:
    spec: dict[str, Any] = dict(read_document(FULL).spec)
    for member in list(spec):
        try:
            write_document("org-b", {**spec, member: value})
        except MalformedDocument:
            continue
