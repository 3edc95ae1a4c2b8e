"""What the demo's chapter on policies is made of: documents, capabilities, and what is read from a decision."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from demo.capabilities import DOCUMENTS, Holders, load_document, with_feed, with_issuers, write_chain
from demo.decisions import CEILING_SECONDS, CLAMPS, POLL_SECONDS, PUBLISHED
from demo.kernel import Attempt, Decided
from demo.telling import Unexpected

from bilateral.protocol.capabilities.chains import parse_chain, verify_chain
from bilateral.protocol.policies.documents import read_document
from bilateral.protocol.policies.scopes import clamp_scope
from bilateral.protocol.receipts import Receipt
from bilateral.resources.federationpolicy import FederationPolicy
from unit.protocol.published_policies import BILATERAL, OVERVIEW


def decided(**members: object) -> Decided:
    return Decided({"checks": [], "clamps": [], **members}, Receipt.__new__(Receipt), "1:00")


def test_the_published_documents_are_those_that_chio_publishes() -> None:
    texts = [(DOCUMENTS / name).read_text(encoding="utf-8") for name in PUBLISHED]
    assert texts == [OVERVIEW, BILATERAL]


def test_the_policy_of_the_story_says_what_the_story_claims() -> None:
    holders = Holders()
    document = with_issuers(load_document("org-a.yaml"), (holders.authority, holders.previous))
    spec = read_document(with_feed(document, "https://127.0.0.1:1")).spec
    manifest = {"metadata": {"name": "org-a"}, "spec": {"peer": "org-a", **spec}}
    policy = FederationPolicy.parse(
        {"apiVersion": "bilateral.dev/v1alpha1", "kind": "FederationPolicy", **manifest}
    ).to_policy()
    feed = policy.revocation_feed
    assert feed is not None
    assert feed.url == "https://127.0.0.1:1/v1/revocations/feed"
    assert (policy.poll_seconds, policy.max_staleness_seconds) == (POLL_SECONDS, CEILING_SECONDS)
    chain = holders.hand_on("cap", holders.authority)
    clamps = clamp_scope(policy, chain.leaf.scope).clamps
    assert {each.field: (each.presented, each.effective) for each in clamps} == CLAMPS


def test_only_the_named_members_of_the_document_change() -> None:
    document = load_document("org-a.yaml")
    changed = with_issuers(with_feed(document, "https://127.0.0.1:1"), (Holders().authority,))
    for each in (changed, document):
        del each["spec"]["trusted_issuers"], each["spec"]["revocation_feed"]["url"]
    assert changed == document


def test_a_chain_that_was_written_is_one_that_holds(tmp_path: Path) -> None:
    holders = Holders()
    file = write_chain(holders.hand_on("cap", holders.previous), tmp_path / "chain.json")
    verified = verify_chain(parse_chain(file.read_bytes()), now=int(time.time()))
    assert verified.capability_ids == ("cap-agent", "cap-worker")
    assert verified.subject == holders.worker.public_key
    assert verified.issuer == holders.previous.public_key


def test_a_call_is_written_as_options() -> None:
    words = Attempt(rows=7, evidence_age_seconds=10).words(100)
    assert "--parameter=row_limit=7" in words
    assert "--evidence=reputation=90" in words


def test_of_a_denial_the_first_failed_check_is_told() -> None:
    checks = [
        {"name": "policy", "outcome": "passed", "expected": "one", "found": "one"},
        {"name": "autonomyTier", "outcome": "failed", "expected": "at most delegated", "found": "autonomous"},
        {"name": "budget", "outcome": "failed", "expected": "5", "found": "6"},
    ]
    assert decided(checks=checks, reason="X").failed == ("at most delegated", "autonomous")
    assert decided(reason="X").reason == "X"
    assert decided().reason == "allowed"
    with pytest.raises(Unexpected):
        _ = decided().failed


def test_every_document_is_one_of_yaml() -> None:
    for file in DOCUMENTS.iterdir():
        found = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        assert all(json.dumps(each) for each in found)
