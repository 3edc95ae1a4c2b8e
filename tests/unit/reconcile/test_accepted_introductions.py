"""Introductions that accept, look by look: statuses are fed back, as the API server would."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.introduction_accept import AcceptView

from .introduction_world import (
    CSR,
    DAY,
    HOUR,
    NOW,
    OTHER,
    OURS,
    PUBLIC,
    START,
    World,
    partner,
)

TEXT = issue_introduction(OURS, CSR, (), DAY, START).to_json()


def accepting(text: str = TEXT, **accept: Any) -> World:
    spec = {"identity": "client1", "introduction": text, **(accept or {"peer": "org-b"})}
    return World({"accept": spec})


def view(text: str | bytes | None = TEXT, **changes: Any) -> AcceptView:
    held: dict[str, Any] = {"identity_domain": "org-b", "public_key": PUBLIC, "partner": partner()}
    return AcceptView(text, **{**held, **changes})


def test_what_a_peers_authority_signed_is_installed() -> None:
    world = accepting()
    outcome = world.accept(view())
    assert outcome.next_at == NOW + 12 * HOUR
    assert world.condition("Ready") == ("True", "Ready")
    assert world.condition("Installed") == ("True", "Installed")
    assert world.condition("Approved") == world.condition("Issued") == ("Unknown", "NotApplicable")
    assert world.status["serial"] == parse_introduction(TEXT).serial
    assert world.status["authority"] == "CN=Org B CA,O=Org B"
    assert "introduction" not in world.status
    world.now += HOUR
    world.accept(view())
    assert world.writes == 1


def test_by_a_persons_fingerprint_no_peer_is_asked() -> None:
    world = accepting(authorityFingerprint=OURS.fingerprint)
    outcome = world.accept(view(partner=None))
    assert world.condition("Installed") == ("True", "Installed")
    assert outcome.next_at == NOW + DAY + 1
    other = accepting(authorityFingerprint=OTHER.fingerprint)
    other.accept(view(partner=None))
    assert other.condition("Installed") == ("False", "AuthorityNotPinned")


def test_it_ends_after_its_last_second() -> None:
    world = accepting()
    lasting = view(partner=partner(rotation_due=None))
    assert world.accept(lasting).next_at == NOW + DAY + 1
    world.now = NOW + DAY
    world.accept(lasting)
    assert world.condition("Ready")[0] == "True"
    world.now += 1
    assert world.accept(lasting).next_at is None
    assert world.condition("Ready") == ("False", "IntroductionExpired")
    assert not {"serial", "subject", "authority", "notAfter"} & world.status.keys()


def test_one_that_begins_later_is_looked_at_again_then() -> None:
    text = issue_introduction(OURS, CSR, (), DAY, START + timedelta(hours=2)).to_json()
    world = accepting(text)
    assert world.accept(view(text)).next_at == NOW + 2 * HOUR - 300
    assert world.condition("Installed") == ("False", "IntroductionInvalid")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"identity_domain": None}, "AwaitingIdentity", id="no-identity"),
        pytest.param({"public_key": None}, "AwaitingIdentity", id="no-key"),
        pytest.param({"partner": None}, "PeerNotFound", id="no-peer"),
        pytest.param({"partner": partner(trust_domain="x")}, "PeerNotFound", id="of-another-domain"),
        pytest.param({"identity_domain": "x"}, "PeerNotFound", id="identity-of-another-domain"),
        pytest.param({"partner": partner(withheld=Reason.PEER_STALE)}, "PeerStale", id="stale"),
        pytest.param({"partner": partner(withheld=Reason.SUSPENDED)}, "Suspended", id="suspended"),
        pytest.param({"partner": partner(authorities=())}, "AuthorityUnknown", id="no-authority"),
        pytest.param(
            {"partner": partner(authorities=(OTHER.certificate,))}, "AuthorityNotPinned", id="other-authority"
        ),
        pytest.param({"text": None}, "SecretNotFound", id="no-secret"),
        pytest.param({"clock_regressed": True}, "ClockRegressed", id="clock"),
        pytest.param({"public_key": OTHER.key.public_key()}, "IdentityKeyMismatch", id="other-key"),
        pytest.param({"text": "{}"}, "IntroductionInvalid", id="empty"),
    ],
)
def test_what_is_not_accepted_says_why_and_nothing_of_the_document(
    changes: dict[str, Any], reason: str
) -> None:
    world = accepting()
    world.accept(view(**changes))
    status, found = world.condition("Installed")
    assert status != "True"
    assert found == reason == world.condition("Ready")[1]
    assert "client1" not in json.dumps(world.status)


def test_the_end_of_the_peer_takes_it_away_at_once_and_its_return_brings_it_back() -> None:
    world = accepting()
    world.accept(view())
    world.accept(view(partner=partner(withheld=Reason.PEER_STALE, fresh=False)))
    assert world.condition("Installed") == ("False", "PeerStale")
    world.accept(view())
    assert world.condition("Installed") == ("True", "Installed")


def test_the_peers_list_withdraws_it() -> None:
    document = parse_introduction(TEXT)
    entry = Revocation(document.certificate.serial_number, START)
    listed = renew_revocation_list(OURS, [entry], None, lifetime_seconds=DAY, now=START)
    world = accepting()
    world.accept(view(partner=partner(revocations={document.slug: listed})))
    assert world.condition("Installed") == ("False", "IntroductionInvalid")
    assert "withdrew" in world.message()


def test_a_clock_that_went_back_makes_nothing_younger() -> None:
    world = accepting()
    world.accept(view(latest_time=NOW + DAY + 1))
    assert world.condition("Installed") == ("False", "IntroductionExpired")
