"""Requests for introductions under the terms of a partner's policy, on an API server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bilateral.engine import introductions
from bilateral.engine.api import APIError, Forbidden
from bilateral.engine.cache import Key, Kind
from bilateral.engine.introduction_terms import find_terms
from bilateral.engine.introductions import IntroductionDesk
from bilateral.exchange.errors import Refusal
from bilateral.pki.introductions import parse_introduction
from bilateral.pki.names import Subject
from bilateral.pki.requests import build_request
from bilateral.protocol.introduction_request import Granted, RequestState, Waiting
from bilateral.protocol.policies.policy import IntroductionApproval, IntroductionTerms
from bilateral.protocol.reasons import Reason
from bilateral.reconcile import introduction_terms

from .conftest import FakeClock
from .memory import Replica, counted
from .test_engine_desk import KEY, asking, desk, question, replica
from .test_engine_desk import introductions as made_introductions
from .test_engine_replica import THEIRS

__all__ = ["desk", "replica"]  # fixtures

SUBJECT = "CN=client1"


def policy(
    name: str = "org-b", *, peer: str = "org-b", partner_id: str = "org-b", **terms: Any
) -> dict[str, Any]:
    spec = {
        "peer": peer,
        "partnerId": partner_id,
        "trustedIssuers": [{"publicKey": THEIRS.public_key.canonical}],
        "maxScope": {},
        "maxAutonomyTier": "Direct",
        "introductions": terms,
    }
    return {"metadata": {"name": name}, "spec": spec}


def automatic(**terms: Any) -> dict[str, Any]:
    return policy(
        **{"approval": "Automatic", "allowedSubjects": [SUBJECT], "maxValiditySeconds": 3600, **terms}
    )


def say(replica: Replica, *policies: dict[str, Any]) -> None:
    for each in policies:
        replica.api.add("federationpolicies", each)
    replica.catch_up()


def terms(replica: Replica, peer: str = "org-b") -> IntroductionTerms | Reason | None:
    return find_terms(replica.judge.policies, "trust", peer)


@asynccontextmanager
async def working(replica: Replica) -> AsyncIterator[None]:
    """The workers and the watch go on while somebody waits for an answer."""

    async def work() -> None:
        while True:
            await replica.settle()
            await asyncio.sleep(0)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody signs, so nobody is waited for."""
    monkeypatch.setattr(introductions, "SIGNING_SECONDS", 0.01)
    monkeypatch.setattr(introductions, "POLL_SECONDS", 0.001)


def only(replica: Replica) -> dict[str, Any]:
    (found,) = made_introductions(replica.api)
    return found


async def test_what_the_policy_approves_is_signed_and_answered_at_once(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    say(replica, automatic(dnsNames=["client1.org-b.example"]))
    async with working(replica):
        granted = await desk.request(asking(clock), None)
    assert isinstance(granted, Granted)
    document = parse_introduction(granted.introduction)
    assert document.subject == SUBJECT
    assert "client1.org-b.example" in str(document.certificate.extensions)
    made = only(replica)
    assert made["spec"]["issue"]["approval"] == "Approved"
    assert made["metadata"]["labels"]["bilateral.dev/approved-by"] == "policy"
    with counted(replica.api) as writes:
        assert await desk.request(asking(clock, nonce="again"), None) == granted
        await replica.settle()
    assert writes == []


@pytest.mark.usefixtures("impatient")
async def test_while_nobody_signs_it_is_approved(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    say(replica, automatic())
    waiting = await desk.request(asking(clock), None)
    assert waiting == Waiting(waiting.id, RequestState.APPROVED)
    assert await desk.request(asking(clock), None) == waiting
    await replica.settle()
    assert isinstance(await desk.status(question(clock, waiting.id), None), Granted)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "policies",
    [
        pytest.param([], id="none"),
        pytest.param([policy(allowedSubjects=[SUBJECT])], id="manual"),
        pytest.param([policy()], id="defaults"),
        pytest.param([automatic(maxValiditySeconds=3599)], id="asks for a second too long"),
        pytest.param([automatic(), policy("twin", partner_id="org-c")], id="two for the peer"),
        pytest.param([automatic(), policy("twin", peer="org-c")], id="two for the partner"),
        pytest.param([automatic(partner_id="org-c")], id="for another partner"),
        pytest.param([automatic(peer="org-c")], id="for another peer"),
    ],
)
async def test_everything_else_waits_for_a_person(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, policies: list[dict[str, Any]]
) -> None:
    say(replica, *policies)
    waiting = await desk.request(asking(clock), None)
    assert waiting == Waiting(waiting.id, RequestState.PENDING)
    assert "approval" not in only(replica)["spec"]["issue"]
    assert "bilateral.dev/approved-by" not in only(replica)["metadata"]["labels"]


@pytest.mark.parametrize("approval", ["Manual", "Automatic"])
async def test_a_subject_that_is_not_listed_is_refused_and_nothing_is_kept(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, approval: str
) -> None:
    say(replica, policy(approval=approval, allowedSubjects=["CN=client2"]))
    with pytest.raises(Refusal) as caught:
        await desk.request(asking(clock), None)
    assert caught.value.reason is Reason.SUBJECT_REFUSED
    assert made_introductions(replica.api) == []


def refusing_approvals(
    create: Callable[..., Awaitable[dict[str, Any]]], error: APIError
) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def refuse(path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if body["spec"]["issue"].get("approval") == "Approved":
            raise error
        return await create(path, body, manager=manager)

    return refuse


async def test_an_operator_that_may_not_approve_leaves_it_to_a_person(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(replica, automatic())
    monkeypatch.setattr(replica.api, "create", refusing_approvals(replica.api.create, Forbidden(403)))
    waiting = await desk.request(asking(clock), None)
    assert waiting == Waiting(waiting.id, RequestState.PENDING)
    assert "bilateral.dev/approved-by" not in only(replica)["metadata"]["labels"]


async def test_an_api_server_that_does_not_answer_approves_nothing(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(replica, automatic())
    monkeypatch.setattr(replica.api, "create", refusing_approvals(replica.api.create, APIError(500)))
    with pytest.raises(Refusal) as caught:
        await desk.request(asking(clock), None)
    assert caught.value.reason is Reason.NOT_READY
    assert made_introductions(replica.api) == []


@pytest.mark.usefixtures("impatient")
async def test_a_partner_gets_so_many_by_itself_and_more_by_a_person(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introduction_terms, "MAX_AUTOMATIC", 2)
    subjects = [f"CN=client{number}" for number in range(3)]
    say(replica, automatic(allowedSubjects=subjects))
    states = []
    for number in range(3):
        csr = build_request(Subject(common_name=f"client{number}"), KEY)
        answer = await desk.request(asking(clock, csr), None)
        assert isinstance(answer, Waiting)
        states.append(answer.state.value)
    assert states == ["Approved", "Approved", "Pending"]


@pytest.mark.usefixtures("impatient")
async def test_a_policy_that_goes_before_the_signature_takes_its_approval_along(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    say(replica, automatic())
    waiting = await desk.request(asking(clock), None)
    del replica.api.objects["federationpolicies", "org-b"]
    await replica.settle()
    assert replica.ready("introductions", only(replica)["metadata"]["name"])[1] == "AwaitingApproval"
    assert await desk.status(question(clock, waiting.id), None) == Waiting(waiting.id, RequestState.PENDING)
    say(replica, automatic())
    await replica.work()
    assert isinstance(await desk.status(question(clock, waiting.id), None), Granted)


@pytest.mark.usefixtures("impatient")
async def test_a_second_policy_is_seen_by_what_the_first_approved(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    say(replica, automatic(), policy("twin", peer="org-c", partner_id="org-b"))
    waiting = await desk.request(asking(clock), None)
    made = only(replica)
    made["spec"]["issue"]["approval"] = "Approved"
    replica.api.add("introductions", made)
    await replica.settle()
    assert replica.ready("introductions", made["metadata"]["name"]) == ("False", "PolicyConflict")
    del replica.api.objects["federationpolicies", "twin"]
    await replica.settle()
    assert isinstance(await desk.status(question(clock, waiting.id), None), Granted)


@pytest.mark.usefixtures("impatient")
async def test_what_was_recorded_under_other_terms_and_not_shown_is_signed_anew(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(replica, automatic())
    waiting = await desk.request(asking(clock), None)
    apply = replica.api.apply

    async def fail(path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if "/introductions/" in path:
            raise APIError(503)
        return await apply(path, body, manager=manager)

    monkeypatch.setattr(replica.api, "apply", fail)
    with pytest.raises(APIError):
        await replica.settle()
    monkeypatch.setattr(replica.api, "apply", apply)
    say(replica, automatic(maxValiditySeconds=1800))
    replica.queue.add(Key(Kind.INTRODUCTION, "trust", only(replica)["metadata"]["name"]))
    await replica.settle()
    granted = await desk.status(question(clock, waiting.id), None)
    assert isinstance(granted, Granted)
    assert int(parse_introduction(granted.introduction).not_after.timestamp()) == int(clock.wall) + 1800


def test_the_terms_of_a_peer(replica: Replica) -> None:
    assert terms(replica) is None
    say(replica, automatic())
    found = terms(replica)
    assert isinstance(found, IntroductionTerms)
    assert (found.approval, found.allowed_subjects) == (IntroductionApproval.AUTOMATIC, (SUBJECT,))
    assert terms(replica, "org-c") is None
    say(replica, policy("twin"))
    assert terms(replica) is Reason.POLICY_CONFLICT
    del replica.api.objects["federationpolicies", "twin"]
    replica.catch_up()
    assert isinstance(terms(replica), IntroductionTerms)
    broken = automatic()
    broken["spec"]["maxAutonomyTier"] = "Nobody"
    say(replica, broken)
    assert terms(replica) is Reason.INVALID_SPEC
    say(replica, policy("twin"))
    assert terms(replica) is Reason.POLICY_CONFLICT
    del replica.api.objects["federationpolicies", "twin"]
    going = automatic()
    going["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
    say(replica, going)
    assert terms(replica) is None
