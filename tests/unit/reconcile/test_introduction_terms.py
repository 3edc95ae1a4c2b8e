"""What a policy says about introducing a partner's parties: tables of who is approved, refused, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import parse_introduction
from bilateral.protocol.introduction_request import Granted, RequestState, Waiting
from bilateral.protocol.policies.policy import IntroductionApproval, IntroductionTerms
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.introduction_issue import IssueView
from bilateral.reconcile.introduction_terms import (
    MAX_AUTOMATIC,
    UNSETTLED,
    PeerTerms,
    clamp_validity,
    decide_request,
    dns_names_of,
    refuse_subject,
)
from bilateral.reconcile.requested_introductions import answer_request
from bilateral.reconcile.sentences import sentence
from bilateral.resources.introduction import Approval, Introduction
from bilateral.resources.labels import (
    APPROVED_BY_LABEL,
    APPROVED_BY_POLICY,
    ORIGIN_LABEL,
    ORIGIN_ONLINE,
)

from .introduction_world import CSR, DAY, NOW, World, partner, trust

SUBJECT = "CN=client1"
LIFE = 30 * DAY
ID = "0" * 32
AUTOMATIC = IntroductionTerms(IntroductionApproval.AUTOMATIC, LIFE, (SUBJECT, "CN=client2,O=Org A"))
MANUAL = replace(AUTOMATIC, approval=IntroductionApproval.MANUAL)
ANYBODY = replace(MANUAL, allowed_subjects=())
ELSE = replace(AUTOMATIC, allowed_subjects=("CN=client2",))

APPROVED, PENDING, REFUSED = Approval.APPROVED, Approval.PENDING, Reason.SUBJECT_REFUSED


@pytest.mark.parametrize(
    ("terms", "subject", "seconds", "approved", "expected"),
    [
        pytest.param(None, SUBJECT, LIFE, 0, PENDING, id="no policy"),
        *(pytest.param(reason, SUBJECT, LIFE, 0, PENDING, id=reason.value) for reason in sorted(UNSETTLED)),
        pytest.param(AUTOMATIC, SUBJECT, LIFE, 0, APPROVED, id="listed, exactly as long as granted"),
        pytest.param(AUTOMATIC, "CN=client2,O=Org A", 600, 0, APPROVED, id="listed with an organisation"),
        pytest.param(AUTOMATIC, SUBJECT, LIFE + 1, 0, PENDING, id="a second too long"),
        pytest.param(AUTOMATIC, SUBJECT, LIFE, MAX_AUTOMATIC - 1, APPROVED, id="the last one"),
        pytest.param(AUTOMATIC, SUBJECT, LIFE, MAX_AUTOMATIC, PENDING, id="one too many"),
        pytest.param(AUTOMATIC, "CN=client2", LIFE, 0, REFUSED, id="a part of a subject"),
        pytest.param(AUTOMATIC, "CN=client1,O=Org A", LIFE, 0, REFUSED, id="more than a subject"),
        pytest.param(AUTOMATIC, "CN=Client1", LIFE, 0, REFUSED, id="another case"),
        pytest.param(AUTOMATIC, "CN=client1 ", LIFE, 0, REFUSED, id="a space"),
        pytest.param(AUTOMATIC, "O=Org A,CN=client2", LIFE, 0, REFUSED, id="another order"),
        pytest.param(MANUAL, SUBJECT, LIFE, 0, PENDING, id="a person decides"),
        pytest.param(MANUAL, "CN=client3", LIFE, 0, REFUSED, id="a person could not approve it either"),
        pytest.param(ANYBODY, "CN=client3", LIFE, 0, PENDING, id="no list: a person decides"),
    ],
)
def test_who_is_approved_at_once(
    terms: PeerTerms, subject: str, seconds: int, approved: int, expected: Approval | Reason
) -> None:
    assert decide_request(terms, subject, seconds, approved=approved) is expected


@pytest.mark.parametrize(
    ("terms", "subject", "reason"),
    [
        (None, SUBJECT, None),
        (AUTOMATIC, SUBJECT, None),
        (MANUAL, SUBJECT, None),
        (ANYBODY, "CN=anybody", None),
        (MANUAL, "CN=client3", REFUSED),
        (AUTOMATIC, "", REFUSED),
        *((reason, SUBJECT, reason) for reason in sorted(UNSETTLED)),
    ],
)
def test_what_is_signed_for_nobody(terms: PeerTerms, subject: str, reason: Reason | None) -> None:
    found = refuse_subject(terms, subject)
    assert (None if found is None else found.reason) is reason
    if found is not None and reason is not REFUSED:
        assert sentence(found.reason) in found.message


@given(
    wanted=st.integers(600, 31_536_000),
    ceiling=st.integers(600, 31_536_000),
    approval=st.sampled_from(IntroductionApproval),
)
def test_nothing_lives_longer_than_the_policy_says(
    wanted: int, ceiling: int, approval: IntroductionApproval
) -> None:
    terms = IntroductionTerms(approval, ceiling, (SUBJECT,), ("client1.example",))
    assert clamp_validity(terms, wanted) == min(wanted, ceiling)
    assert clamp_validity(None, wanted) == wanted
    automatic = decide_request(terms, SUBJECT, wanted, approved=0) is APPROVED
    assert automatic == (approval is IntroductionApproval.AUTOMATIC and wanted <= ceiling)


def test_names_are_the_policys() -> None:
    assert dns_names_of(None) == dns_names_of(Reason.POLICY_CONFLICT) == dns_names_of(MANUAL) == ()
    assert dns_names_of(replace(MANUAL, dns_names=("a.example",))) == ("a.example",)


# What is signed under which terms.


def asked(*, by_policy: bool = False, **issue: Any) -> World:
    spec = {"trustDomain": "org-b", "subject": CSR, "peer": "org-a", "approval": "Approved", **issue}
    labels = {ORIGIN_LABEL: ORIGIN_ONLINE}
    if by_policy:
        labels[APPROVED_BY_LABEL] = APPROVED_BY_POLICY
    return World({"issue": spec}, labels=labels)


def under(terms: PeerTerms) -> IssueView:
    return IssueView(trust(), partner(rotation_due=NOW + 1000 * DAY), terms)


def life(document: Document, since: int) -> int:
    return int(document.not_after.timestamp()) - since


def names(document: Document) -> list[str]:
    found = [
        each.value
        for each in document.certificate.extensions
        if isinstance(each.value, x509.SubjectAlternativeName)
    ]
    return [name for each in found for name in each.get_values_for_type(x509.DNSName)]


def answer(world: World) -> Granted | Waiting | Reason:
    return answer_request(ID, world.resource, world.now)


@pytest.mark.parametrize("by_policy", [True, False])
def test_whoever_approved_the_life_and_the_names_are_the_policys(by_policy: bool) -> None:
    world = asked(by_policy=by_policy)
    world.issue(
        under(replace(AUTOMATIC, max_validity_seconds=DAY, dns_names=("b.example", "client1.example")))
    )
    (document,) = world.signed
    assert life(document, NOW) == DAY
    assert names(document) == ["b.example", "client1.example"]
    assert world.condition("Approved") == ("True", "Approved")
    assert world.message("Approved").startswith("The policy" if by_policy else "A person")


def test_without_a_policy_what_was_approved_is_signed_without_names() -> None:
    world = asked()
    world.issue(under(None))
    assert (life(world.signed[0], NOW), names(world.signed[0])) == (LIFE, [])


@pytest.mark.parametrize("approval", ["Pending", "Approved"])
def test_a_subject_that_is_not_listed_is_refused_whoever_approves(approval: str) -> None:
    world = asked(approval=approval)
    world.issue(under(replace(ELSE, approval=IntroductionApproval.MANUAL)))
    assert world.signed == []
    assert world.condition("Ready") == ("False", "SubjectRefused")
    assert world.message() == "The policy for the peer lists the subjects that are signed, and not this one."
    assert answer(world) is REFUSED
    world.issue(under(MANUAL))
    assert len(world.signed) == (approval == "Approved")


@pytest.mark.parametrize("reason", [Reason.POLICY_CONFLICT, Reason.PARTNER_ID_MISMATCH, Reason.INVALID_SPEC])
def test_while_no_policy_counts_nothing_new_is_signed_and_what_is_out_stays(reason: Reason) -> None:
    world = asked(by_policy=True)
    world.issue(under(reason))
    assert world.signed == []
    assert world.condition("Ready") == ("False", reason.value)
    assert world.condition("Approved") == ("True", "Approved")
    world.issue(under(AUTOMATIC))
    world.issue(under(reason))
    assert len(world.signed) == 1
    assert world.condition("Issued") == ("True", "Issued")
    assert isinstance(answer(world), Granted)


def test_a_denial_comes_before_the_policy() -> None:
    world = asked(approval="Denied", by_policy=True)
    world.issue(under(AUTOMATIC))
    assert world.signed == []
    assert world.condition("Approved") == ("False", "Denied")


def renewed(
    terms: PeerTerms, *, by_policy: bool, before: PeerTerms = AUTOMATIC, after_days: float = 21
) -> World:
    """One that was signed under other terms, when two thirds of its life are over."""
    world = asked(by_policy=by_policy)
    world.issue(under(before))
    assert len(world.signed) == 1
    world.now += int(after_days * DAY)
    world.issue(under(terms))
    return world


@pytest.mark.parametrize("by_policy", [True, False])
def test_a_renewal_has_the_names_of_then(by_policy: bool) -> None:
    world = renewed(replace(AUTOMATIC, dns_names=("new.example",)), by_policy=by_policy)
    assert [names(each) for each in world.signed] == [[], ["new.example"]]


def test_terms_that_change_sign_nothing_before_it_is_time() -> None:
    world = renewed(replace(AUTOMATIC, dns_names=("new.example",)), by_policy=True, after_days=19)
    assert len(world.signed) == 1


@pytest.mark.parametrize("by_policy", [True, False])
def test_a_renewal_for_a_subject_that_left_the_list_is_refused(by_policy: bool) -> None:
    world = renewed(ELSE, by_policy=by_policy)
    assert len(world.signed) == 1
    assert world.condition("Ready") == ("False", "SubjectRefused")
    assert world.condition("Issued") == ("True", "Issued")
    assert isinstance(answer(world), Granted), "what is out counts until its end"
    world.now = NOW + LIFE + 1
    world.issue(under(ELSE))
    assert len(world.signed) == 1
    assert answer(world) is REFUSED


@pytest.mark.parametrize("terms", [None, MANUAL], ids=["gone", "manual"])
def test_what_a_policy_approved_and_none_does_any_more_waits_for_a_person(terms: PeerTerms) -> None:
    world = renewed(terms, by_policy=True)
    assert len(world.signed) == 1
    assert world.condition("Ready")[1] == world.condition("Approved")[1] == "AwaitingApproval"
    assert world.message().startswith("A policy approved it")
    assert isinstance(answer(world), Granted)
    world.now = NOW + LIFE + 1
    world.issue(under(terms))
    assert answer(world) == Waiting(ID, RequestState.PENDING)
    del world.labels[APPROVED_BY_LABEL]  # as bilateral approve does
    world.issue(under(terms))
    assert len(world.signed) == 2
    assert world.condition("Ready") == ("True", "Ready")


@pytest.mark.parametrize("terms", [None, MANUAL], ids=["gone", "manual"])
def test_what_a_person_approved_needs_no_policy(terms: PeerTerms) -> None:
    assert len(renewed(terms, by_policy=False).signed) == 2


def test_an_approval_that_lapses_before_the_signature_signs_nothing() -> None:
    world = asked(by_policy=True)
    world.issue(under(MANUAL))
    assert world.signed == []
    assert answer(world) == Waiting(ID, RequestState.PENDING)


def test_a_shorter_life_applies_from_the_renewal_on_and_leaves_no_gap() -> None:
    """Two thirds of thirty days are over; a new one of a day is signed when it outlives the old one, not before."""
    shorter = replace(AUTOMATIC, max_validity_seconds=DAY)
    world = renewed(shorter, by_policy=True)
    assert len(world.signed) == 1
    outcome = world.issue(under(shorter))
    assert outcome.next_at == NOW + LIFE - DAY + 1
    world.now = outcome.next_at
    world.issue(under(shorter))
    first, second = world.signed
    assert life(second, world.now) == DAY
    assert second.not_after == first.not_after + timedelta(seconds=1)
    assert parse_introduction(world.status["introduction"]) == second


def test_every_reason_why_a_policy_does_not_count_may_be_said() -> None:
    for kind in Introduction.CONDITIONS:
        if kind.name in ("Ready", "Issued"):
            assert set(kind.reasons) >= UNSETTLED
