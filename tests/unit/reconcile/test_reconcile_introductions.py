"""Introductions that issue, look by look: statuses are fed back, as the API server would."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.directory import TrustedAuthority
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_view import OwnTrust
from bilateral.reconcile.introduction_issue import IssueView, reconcile_issue
from bilateral.reconcile.outcome import Finding
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.introduction import Introduction
from bilateral.resources.labels import ORIGIN_LABEL, ORIGIN_ONLINE
from unit.pki.material import certificate, request

from .introduction_world import (
    CSR,
    DAY,
    HOUR,
    KEY,
    NOW,
    OTHER,
    OURS,
    START,
    World,
    authority,
    partner,
    trust,
)


def issuing(*, online: bool = False, **issue: Any) -> World:
    spec = {"trustDomain": "org-b", "subject": CSR, "approval": "Approved", **issue}
    return World({"issue": spec}, labels={ORIGIN_LABEL: ORIGIN_ONLINE} if online else {})


def test_an_approved_one_is_signed_once_and_shown() -> None:
    world = issuing(services=[{"alias": "org2-api", "url": "https://api.org2.example:9443"}])
    world.issue(IssueView(trust()))
    document = parse_introduction(world.status["introduction"])
    assert [document] == world.signed
    assert document.to_json() == world.status["introduction"]
    assert document.services[0].alias == "org2-api"
    assert world.status["serial"] == document.serial
    assert world.status["subject"] == "CN=client1"
    assert world.status["authority"] == "CN=Org B CA,O=Org B"
    assert world.status["authorityFingerprint"] == OURS.fingerprint
    assert "renewalTime" not in world.status
    assert world.condition("Ready") == ("True", "Ready")
    assert world.condition("Approved") == ("True", "Approved")
    assert world.condition("Issued") == ("True", "Issued")
    assert world.condition("Installed") == ("Unknown", "NotApplicable")
    assert world.condition("Stalled") == ("False", "Settled")
    for world.now in (NOW + 1, NOW + DAY, NOW + 20 * DAY):
        world.issue(IssueView(trust()))
    assert len(world.signed) == 1
    assert world.writes == 1


def test_every_condition_type_is_there_at_the_first_look() -> None:
    world = issuing(approval="Pending")
    world.issue(IssueView(None))
    assert [each["type"] for each in world.status["conditions"]] == [
        each.name for each in Introduction.CONDITIONS
    ]


def test_nothing_is_signed_before_a_person_approves() -> None:
    world = issuing(approval="Pending")
    outcome = world.issue(IssueView(trust()))
    assert outcome.next_at is None
    assert world.signed == []
    assert world.status["subject"] == "CN=client1"
    assert "introduction" not in world.status
    assert world.condition("Approved")[1] == "AwaitingApproval"
    assert world.condition("Ready")[1] == "AwaitingApproval"
    assert world.condition("Stalled")[0] == "True"
    world.spec["issue"]["approval"] = "Approved"
    world.issue(IssueView(trust()))
    assert len(world.signed) == 1


def test_approval_is_not_given_by_leaving_it_out() -> None:
    world = issuing()
    del world.spec["issue"]["approval"]
    world.issue(IssueView(trust()))
    assert world.signed == []


def test_denied_is_never_signed_and_takes_what_was_signed_out_of_the_status() -> None:
    world = issuing(approval="Denied")
    world.issue(IssueView(trust()))
    assert world.signed == []
    world.spec["issue"]["approval"] = "Approved"
    world.issue(IssueView(trust()))
    assert "introduction" in world.status
    world.spec["issue"]["approval"] = "Denied"
    world.issue(IssueView(trust()))
    assert not {"introduction", "serial", "notAfter"} & world.status.keys()
    for kind in ("Ready", "Approved", "Issued"):
        assert world.condition(kind) == ("False", "Denied")
    # Approved again, it is signed again: the first serial number stays withdrawn.
    world.spec["issue"]["approval"] = "Approved"
    world.issue(IssueView(trust()))
    assert len({each.serial for each in world.signed}) == 2


def test_an_approval_that_was_taken_back_keeps_what_is_out_and_renews_nothing() -> None:
    world = issuing(online=True)
    world.issue(IssueView(trust()))
    world.spec["issue"]["approval"] = "Pending"
    world.now += 29 * DAY
    world.issue(IssueView(trust()))
    assert len(world.signed) == 1
    assert world.condition("Issued")[0] == "True"
    assert world.condition("Ready")[1] == "AwaitingApproval"


SUBJECTS = {
    "RSA-1024": (request(rsa.generate_private_key(public_exponent=65537, key_size=1024)).decode(), "2048"),
    "CA": (certificate(subject="Some CA")[0].decode(), "authority"),
    "CSR for a CA": (request(KEY, ca=True).decode(), "authority"),
    "empty": (request(KEY, subject=None).decode(), "empty"),
    "own key": (request(OURS.key).decode(), "authority's own"),
    "tampered": (request(KEY, subject="clientA", tampered=True).decode(), "not signed by its own key"),
    "curve": (request(ec.generate_private_key(ec.SECP521R1())).decode(), "P-256"),
    "no certificate": ("AAAA", "expected a PEM certificate"),
}


@pytest.mark.parametrize("name", list(SUBJECTS))
def test_subjects_that_no_authority_signs(name: str) -> None:
    subject, words = SUBJECTS[name]
    world = issuing(subject=subject)
    world.issue(IssueView(trust()))
    assert world.signed == []
    assert world.condition("Ready") == ("False", "SubjectRefused")
    assert world.condition("Issued") == ("False", "SubjectRefused")
    assert words.lower() in world.message().lower()
    assert world.condition("Stalled")[0] == "True"


def test_the_authoritys_own_name_is_refused_in_any_case() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ORG  b"),
            x509.NameAttribute(NameOID.COMMON_NAME, "org b ca"),
        ]
    )
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())
    world = issuing(subject=asked.public_bytes(Encoding.PEM).decode())
    world.issue(IssueView(trust()))
    assert world.signed == []
    assert "own name" in world.message()


def test_a_name_of_thousands_of_attributes_is_refused_and_shown_nowhere() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"u{n}") for n in range(400)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())
    world = issuing(subject=asked.public_bytes(Encoding.PEM).decode())
    world.issue(IssueView(trust()))
    assert world.condition("Ready") == ("False", "SubjectRefused")
    assert "u399" not in json.dumps(world.status)


def test_a_name_with_invisible_characters_is_shown_with_them_spelt_out() -> None:
    world = issuing(subject=request(KEY, subject="client\u202e1\n\x1b[2J").decode(), approval="Pending")
    world.issue(IssueView(trust()))
    assert world.status["subject"] == r"CN=client\e2\80\ae1\0a\1b[2J"


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        pytest.param(None, Reason.PEER_NOT_FOUND, id="gone"),
        pytest.param(partner(trust_domain="org-x"), Reason.PEER_NOT_FOUND, id="other-domain"),
        pytest.param(partner(fresh=False, withheld=Reason.PEER_STALE), Reason.PEER_STALE, id="stale"),
        pytest.param(partner(fresh=False), Reason.PEER_STALE, id="retained"),
        pytest.param(partner(fresh=False, withheld=Reason.SUSPENDED), Reason.SUSPENDED, id="suspended"),
        pytest.param(partner(fresh=False, withheld=Reason.PIN_TAMPERED), Reason.PIN_TAMPERED, id="tampered"),
        pytest.param(
            partner(fresh=False, withheld=Reason.PEER_NOT_PINNED), Reason.PEER_NOT_PINNED, id="unpinned"
        ),
    ],
)
def test_without_a_fresh_peer_nothing_is_signed(peer: Partner | None, reason: Reason) -> None:
    world = issuing(peer="org-a")
    world.issue(IssueView(trust(), peer))
    assert world.signed == []
    assert world.condition("Issued")[1] == reason
    assert world.condition("Approved") == ("True", "Approved")
    world.issue(IssueView(trust(), partner()))
    assert len(world.signed) == 1


@pytest.mark.parametrize("withdrawn", [True, False])
def test_a_suspended_peer_withdraws_and_a_stale_one_only_stops_new_ones(withdrawn: bool) -> None:
    world = issuing(peer="org-a")
    world.issue(IssueView(trust(), partner()))
    reason = Reason.SUSPENDED if withdrawn else Reason.PEER_STALE
    world.issue(IssueView(trust(), partner(fresh=False, withheld=reason, rotation_due=None)))
    assert ("introduction" in world.status) is not withdrawn
    assert world.condition("Ready") == ("False", reason.value)
    assert world.condition("Issued")[0] == ("False" if withdrawn else "True")
    world.issue(IssueView(trust(), partner()))
    assert len(world.signed) == (2 if withdrawn else 1)


def test_the_next_look_is_at_the_peers_deadline() -> None:
    world = issuing(peer="org-a")
    assert world.issue(IssueView(trust(), partner())).next_at == NOW + 12 * HOUR


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        pytest.param(None, "TrustDomainNotFound", id="no-domain"),
        pytest.param(trust(None), "TrustDomainNotReady", id="no-authority"),
        pytest.param(trust(problem=Reason.AUTHORITY_EXPIRED), "AuthorityExpired", id="expired"),
        pytest.param(trust(problem=Reason.CLOCK_REGRESSED), "ClockRegressed", id="clock"),
    ],
)
def test_while_our_authority_may_not_sign_what_is_out_stays_in_the_status(
    own: OwnTrust | None, reason: str
) -> None:
    world = issuing()
    world.issue(IssueView(own))
    assert world.signed == []
    assert world.condition("Ready")[1] == reason
    world.issue(IssueView(trust()))
    before = world.status["introduction"]
    world.issue(IssueView(own))
    assert world.condition("Ready")[1] == reason
    assert world.status["introduction"] == before
    world.issue(IssueView(trust()))
    assert world.condition("Ready") == ("True", "Ready")
    assert len(world.signed) == 1


def test_it_ends_after_its_last_second_and_is_not_signed_again() -> None:
    world = issuing(validitySeconds=HOUR)
    assert world.issue(IssueView(trust())).next_at == NOW + HOUR + 1
    world.now = NOW + HOUR
    world.issue(IssueView(trust()))
    assert world.condition("Ready")[0] == "True"
    world.now += 1
    assert world.issue(IssueView(trust())).next_at is None
    assert world.condition("Ready") == ("False", "IntroductionExpired")
    assert world.condition("Issued") == ("False", "IntroductionExpired")
    # Nor when the authority that signed it is gone, and only the dates in the status tell of it.
    for world.now in (NOW + DAY, NOW + 2 * DAY):
        world.issue(IssueView(trust(OTHER)))
        assert world.condition("Ready") == ("False", "IntroductionExpired")
    assert len(world.signed) == 1


def test_one_that_is_fetched_is_signed_again_at_two_thirds_and_not_before() -> None:
    world = issuing(online=True, validitySeconds=3 * DAY, peer="org-a")
    lasting = partner(rotation_due=None)
    assert world.issue(IssueView(trust(), lasting)).next_at == NOW + 2 * DAY
    world.now = NOW + 2 * DAY - 1
    world.issue(IssueView(trust(), lasting))
    assert len(world.signed) == 1
    world.now += 1
    world.issue(IssueView(trust(), partner(fresh=False, withheld=Reason.PEER_STALE)))
    assert len(world.signed) == 1
    assert world.issue(IssueView(trust(), lasting)).next_at == NOW + 4 * DAY
    assert len(world.signed) == 2
    world.now = NOW + 30 * DAY
    world.issue(IssueView(trust(), lasting))
    assert len(world.signed) == 3
    assert world.condition("Ready")[0] == "True"


def test_one_that_is_fetched_is_not_signed_again_for_an_end_that_is_no_later() -> None:
    short = authority("Short CA", seconds=2 * DAY)
    world = issuing(online=True, validitySeconds=30 * DAY)
    world.issue(IssueView(trust(short)))
    for world.now in range(NOW + DAY, NOW + 2 * DAY, HOUR):
        world.issue(IssueView(trust(short)))
    assert len(world.signed) == 1


@pytest.mark.parametrize("holding", ["lost", "foreign", "tampered", "other-key", "other-services"])
def test_a_status_that_does_not_hold_what_we_signed_is_replaced(holding: str) -> None:
    world = issuing()
    world.issue(IssueView(trust()))
    original = json.loads(world.status["introduction"])
    foreign = issue_introduction(OTHER, CSR, (), DAY, START).to_json()
    other_key = request(ec.generate_private_key(ec.SECP256R1()))
    written = {
        "lost": None,
        "foreign": foreign,
        "tampered": json.dumps({**original, "signed_cert": json.loads(foreign)["signed_cert"]}),
        "other-key": issue_introduction(OURS, other_key, (), DAY, START).to_json(),
        "other-services": json.dumps({**original, "services": {"evil": "https://evil.example"}}),
    }[holding]
    world.status["introduction"] = written
    world.issue(IssueView(trust()))
    assert len(world.signed) == 2
    assert world.status["introduction"] == world.signed[1].to_json()


def test_what_the_list_names_does_not_count() -> None:
    world = issuing()
    world.issue(IssueView(trust()))
    entry = Revocation(world.signed[0].certificate.serial_number, START)
    listed = renew_revocation_list(OURS, [entry], None, lifetime_seconds=DAY, now=START)
    world.issue(IssueView(OwnTrust(None, OURS, (TrustedAuthority(OURS.certificate, listed),))))
    assert world.status["serial"] == world.signed[1].serial != world.signed[0].serial


def test_one_by_an_older_generation_stays_until_its_end() -> None:
    world = issuing()
    world.issue(IssueView(trust()))
    world.issue(IssueView(trust(OTHER, OURS)))
    assert len(world.signed) == 1
    assert world.condition("Ready")[0] == "True"


def test_what_could_not_be_recorded_is_not_shown() -> None:
    world = issuing()
    resource = world.resource
    assert resource.spec.issue is not None
    problem = Finding(Reason.RECORD_PENDING, sentence(Reason.RECORD_PENDING))
    outcome = reconcile_issue(resource, resource.spec.issue, IssueView(trust(), problem=problem), NOW)
    assert outcome.sign is None
    assert outcome.status.introduction is None
    ready = outcome.status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == (ConditionStatus.UNKNOWN, Reason.RECORD_PENDING)


@given(st.data())
def test_any_order_of_events_signs_for_an_approval_only(data: st.DataObject) -> None:
    """Whatever comes: nothing is signed unless it is approved, the peer fresh, the authority able."""
    world = issuing(peer="org-a", online=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 8))):
        world.spec["issue"]["approval"] = data.draw(st.sampled_from(["Pending", "Approved", "Denied"]))
        world.now += data.draw(st.sampled_from([0, 1, HOUR, 10 * DAY, 40 * DAY]))
        fresh = data.draw(st.booleans())
        peer = partner(fresh=fresh, withheld=None if fresh else Reason.PEER_STALE)
        own = data.draw(st.sampled_from([trust(), trust(None), None]))
        before = len(world.signed)
        world.issue(IssueView(own, peer))
        may_sign = fresh and world.spec["issue"]["approval"] == "Approved" and own == trust()
        assert len(world.signed) - before <= may_sign
        if world.condition("Ready")[0] == "True":
            assert may_sign
        writes = world.writes
        world.issue(IssueView(own, peer))
        assert world.writes == writes
