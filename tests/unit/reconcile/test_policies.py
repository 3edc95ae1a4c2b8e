"""What a FederationPolicy's status says, of every peer and all the news that there can be; and when to look again."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bilateral.protocol.policies.policy import policy_hash
from bilateral.protocol.policies.questions import PeerStanding
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.policies import (
    FeedView,
    PolicyOutcome,
    PolicyView,
    reconcile_policy,
    standing_of,
    wanted_conditions,
    withheld_policy,
)
from bilateral.resources.condition_types import PEER_WITHHELD
from bilateral.resources.condition_types_policies import FEED_FAILURES
from bilateral.resources.federationpolicy import FederationPolicy, RevocationsStatus
from bilateral.resources.times import format_time

from .conftest import NOW, THEIRS

FEED = {"url": "https://trust.org-b.example/v1/revocations/feed"}
PARTNER = Partner("org-b", "uid", "org-b-kernel", "org-a", withheld=None, fresh=True, rotation_due=NOW + 500)


@dataclass
class News:
    fresh_until: int | None = NOW + 300
    lesser: bool = False
    equivocated: bool = False

    def is_revoked(self, capability_id: str) -> bool:
        return capability_id == "cap-revoked"


NUMBERS = RevocationsStatus(
    source="SignedFeed",
    tree_size=7,
    root_hash="5a" * 32,
    entries=6,
    published_at=NOW - 5,
    received_at=NOW - 4,
)
GOOD = FeedView(News(), NUMBERS)
FINE = PolicyView(PARTNER, "org-b", feed=GOOD)


def policy(status: dict[str, Any] | None = None, **spec: Any) -> FederationPolicy:
    base = {
        "peer": "org-b",
        "partnerId": "org-b",
        "trustedIssuers": [{"publicKey": THEIRS.public_key.canonical}],
        "maxScope": {"toolServers": ["billing.org-b.internal"], "tools": [{"tool": "billing.read"}]},
        "maxAutonomyTier": "Delegated",
        "revocationFeed": FEED,
    }
    merged = {name: value for name, value in {**base, **spec}.items() if value is not None}
    metadata = {"name": "org-b", "namespace": "trust", "uid": "policy-uid", "generation": 3}
    return FederationPolicy.parse({"metadata": metadata, "spec": merged, "status": status or {}})


def look(view: PolicyView = FINE, *, now: int = NOW, **spec: Any) -> PolicyOutcome:
    return reconcile_policy(policy(**spec), view, now)


def told(outcome: PolicyOutcome) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status.value, each.reason) for each in outcome.status.conditions}


def with_feed(**changes: Any) -> PolicyView:
    return replace(FINE, feed=FeedView(News(**changes), NUMBERS))


def test_a_policy_by_which_calls_are_decided() -> None:
    outcome = look()
    assert told(outcome) == {
        "Ready": ("True", "Ready"),
        "PeerFresh": ("True", "Fresh"),
        "RevocationFresh": ("True", "Fresh"),
        "Reconciling": ("False", "Settled"),
        "Stalled": ("False", "Settled"),
    }
    assert outcome.status.policy_hash == policy_hash(policy().to_policy())
    assert outcome.status.revocations == NUMBERS
    assert outcome.status.observed_generation == 3
    assert outcome.next_at == NOW + 300


def test_nothing_is_written_while_nothing_happens() -> None:
    first = look().status
    again = reconcile_policy(policy(status=first.to_wire()), FINE, NOW + 60).status
    assert again.to_wire() == first.to_wire()


@pytest.mark.parametrize(
    ("view", "spec", "ready", "peer", "revocation", "moves"),
    [
        pytest.param(
            replace(FINE, rivals=1),
            {},
            "False PolicyConflict",
            "True Fresh",
            "True Fresh",
            "person",
            id="two",
        ),
        pytest.param(
            replace(FINE, operator_id="org-c"),
            {},
            "False PartnerIdMismatch",
            "True Fresh",
            "True Fresh",
            "person",
            id="another partner id",
        ),
        pytest.param(
            replace(FINE, partner=None, operator_id=None),
            {},
            "False PeerNotFound",
            "False PeerNotFound",
            "True Fresh",
            "person",
            id="no peer",
        ),
        pytest.param(
            replace(FINE, partner=replace(PARTNER, withheld=Reason.SUSPENDED, fresh=False)),
            {},
            "False Suspended",
            "False Suspended",
            "True Fresh",
            "person",
            id="suspended",
        ),
        pytest.param(
            replace(FINE, partner=replace(PARTNER, withheld=Reason.PEER_NOT_PINNED, fresh=False)),
            {},
            "Unknown PeerNotPinned",
            "Unknown PeerNotPinned",
            "True Fresh",
            "waits",
            id="not pinned",
        ),
        pytest.param(
            replace(FINE, partner=replace(PARTNER, fresh=False, retained=True, rotation_due=None)),
            {},
            "False PeerStale",
            "False PeerStale",
            "True Fresh",
            "waits",
            id="stale and retained",
        ),
        pytest.param(
            replace(FINE, partner=replace(PARTNER, rotation_due=NOW)),
            {},
            "False PeerStale",
            "False PeerStale",
            "True Fresh",
            "waits",
            id="stale at its second",
        ),
        pytest.param(
            FINE,
            {"trustedIssuers": [{"publicKey": THEIRS.public_key.canonical, "notAfter": format_time(NOW)}]},
            "False IssuerExpired",
            "True Fresh",
            "True Fresh",
            "person",
            id="the last issuer over",
        ),
        pytest.param(
            replace(FINE, feed=None),
            {"revocationFeed": None},
            "True Ready",
            "True Fresh",
            "True NotApplicable",
            "",
            id="no feed",
        ),
        pytest.param(
            replace(FINE, feed=None),
            {},
            "Unknown AwaitingFeed",
            "True Fresh",
            "Unknown AwaitingFeed",
            "waits",
            id="a feed not yet read",
        ),
        pytest.param(
            with_feed(fresh_until=None),
            {},
            "Unknown AwaitingFeed",
            "True Fresh",
            "Unknown AwaitingFeed",
            "waits",
            id="a feed of which nothing came",
        ),
        pytest.param(
            replace(FINE, feed=FeedView(News(fresh_until=None), None, Reason.CONNECTION_FAILED)),
            {},
            "False RevocationFeedStale",
            "True Fresh",
            "False ConnectionFailed",
            "waits",
            id="a feed that was never reached",
        ),
        pytest.param(
            with_feed(fresh_until=NOW),
            {},
            "False RevocationFeedStale",
            "True Fresh",
            "False RevocationFeedStale",
            "waits",
            id="news at its ceiling",
        ),
        pytest.param(
            replace(FINE, feed=FeedView(News(fresh_until=NOW), NUMBERS, Reason.INVALID_PROOF)),
            {},
            "False RevocationFeedStale",
            "True Fresh",
            "False InvalidProof",
            "waits",
            id="old news and a bad proof",
        ),
        pytest.param(
            with_feed(lesser=True),
            {},
            "False RevocationsUnsigned",
            "True Fresh",
            "False RevocationsUnsigned",
            "person",
            id="unsigned news",
        ),
        pytest.param(
            with_feed(lesser=True),
            {"revocationFeed": FEED | {"source": "ChioService"}},
            "True Ready",
            "True Fresh",
            "True Fresh",
            "",
            id="unsigned news that the policy takes",
        ),
        pytest.param(
            with_feed(equivocated=True),
            {},
            "False Equivocation",
            "True Fresh",
            "False Equivocation",
            "person",
            id="two histories",
        ),
        pytest.param(
            with_feed(equivocated=True),
            {"revocationFeed": None},
            "False Equivocation",
            "True Fresh",
            "False Equivocation",
            "person",
            id="two histories of a feed that is no longer named",
        ),
    ],
)
def test_every_condition_says_what_was_found(
    view: PolicyView, spec: dict[str, Any], ready: str, peer: str, revocation: str, moves: str
) -> None:
    found = {name: " ".join(words) for name, words in told(look(view, **spec)).items()}
    assert found["Ready"] == ready
    assert found["PeerFresh"] == peer
    assert found["RevocationFresh"] == revocation
    assert (found["Stalled"] == "True NeedsAttention") == (moves == "person")
    assert (found["Reconciling"] == "True Progressing") == (moves == "waits")


def test_a_failure_is_said_while_the_last_news_still_counts() -> None:
    outcome = look(replace(FINE, feed=FeedView(News(), NUMBERS, Reason.ANSWER_TIMEOUT)))
    found = outcome.status.condition("RevocationFresh")
    assert found is not None
    assert (found.status.value, found.reason) == ("True", "Fresh")
    assert "AnswerTimeout" in found.message
    assert told(outcome)["Ready"] == ("True", "Ready")


def test_unsigned_news_is_said_to_be() -> None:
    found = look(with_feed(lesser=True), revocationFeed=FEED | {"source": "ChioService"})
    condition = found.status.condition("RevocationFresh")
    assert condition is not None
    assert condition.message.endswith("Nobody signs it.")


@pytest.mark.parametrize(
    ("view", "spec", "next_at"),
    [
        (FINE, {}, NOW + 300),
        (with_feed(fresh_until=NOW + 900), {}, NOW + 500),
        (
            FINE,
            {
                "trustedIssuers": [
                    {"publicKey": THEIRS.public_key.canonical, "notAfter": format_time(NOW + 7)}
                ]
            },
            NOW + 7,
        ),
        (with_feed(fresh_until=NOW), {}, NOW + 500),
        (FINE, {"revocationFeed": None}, NOW + 500),
        (PolicyView(None), {}, None),
    ],
    ids=["the news", "the pin", "an issuer", "not what is over", "no feed, no end of it", "nothing ends"],
)
def test_the_next_look_is_when_something_is_over(
    view: PolicyView, spec: dict[str, Any], next_at: int | None
) -> None:
    assert look(view, **spec).next_at == next_at


def test_what_a_decision_is_told_of_a_partner() -> None:
    assert standing_of(None) == PeerStanding(known=False)
    assert standing_of(PARTNER) == PeerStanding(known=True, fresh_until=NOW + 500)
    for withheld in (Reason.PIN_TAMPERED, Reason.PEER_STALE):
        left = replace(PARTNER, withheld=withheld, fresh=False, rotation_due=None)
        assert standing_of(left) == PeerStanding(known=True, withheld=withheld)


def test_of_two_policies_none_counts_whatever_else_is_wrong() -> None:
    assert withheld_policy(policy(), "org-c", 1) is Reason.POLICY_CONFLICT
    assert withheld_policy(policy(), None, 0) is None


def test_conditions_carry_only_the_listed_reasons_in_the_listed_order() -> None:
    listed = {condition.name: condition.reasons for condition in FederationPolicy.CONDITIONS}
    kinds = (
        policy(),
        policy(revocationFeed=None),
        policy(revocationFeed=FEED | {"source": "ChioService"}),
        policy(trustedIssuers=[{"publicKey": THEIRS.public_key.hex, "notAfter": format_time(5)}]),
    )
    partners = [
        None,
        PARTNER,
        replace(PARTNER, fresh=False),
        replace(PARTNER, rotation_due=NOW),
        *(replace(PARTNER, withheld=reason, fresh=False) for reason in PEER_WITHHELD),
    ]
    feeds = [
        None,
        *(
            FeedView(News(until, lesser, equivocated), None, failure)
            for until, lesser, equivocated, failure in itertools.product(
                (None, NOW, NOW + 1),
                (False, True),
                (False, True),
                (None, *FEED_FAILURES, Reason.LEDGER_FULL),
            )
        ),
    ]
    for kind, partner, feed, rivals in itertools.product(kinds, partners, feeds, (0, 1)):
        wanted = wanted_conditions(kind, kind.to_policy(), PolicyView(partner, "org-b", rivals, feed), NOW)
        assert list(wanted) == list(listed)
        for name, condition in wanted.items():
            assert condition.reason in listed[name], (name, condition.reason)
            assert condition.message
