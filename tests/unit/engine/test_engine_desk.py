"""Requests for introductions on an API server in memory: whom the desk hears, and what it makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.engine.api import APIError, Invalid
from bilateral.engine.introductions import IntroductionDesk
from bilateral.exchange.errors import Refusal
from bilateral.pki.introductions import parse_introduction
from bilateral.pki.names import Subject
from bilateral.pki.requests import build_request
from bilateral.pki.tokens import hash_token
from bilateral.protocol.errors import (
    AddressMismatch,
    MalformedDocument,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    UnexpectedSigner,
)
from bilateral.protocol.introduction_request import (
    Claims,
    Granted,
    IntroductionRequest,
    RequestState,
    StatusRequest,
    Waiting,
)
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.requested_introductions import MAX_PENDING

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted
from .test_engine_replica import THEIRS, domain, envelope, peer

KEY = ec.generate_private_key(ec.SECP256R1())
CSR = build_request(Subject(common_name="client1"), KEY)
WINDOW = 43_200


@pytest.fixture
async def replica(clock: FakeClock) -> Replica:
    api = MemoryAPI()
    api.add("trustdomains", domain())
    api.add("federationpeers", peer())
    replica = Replica(api, clock)
    await replica.settle()
    clock.advance(1)
    await replica.settle()
    await replica.responder.handle(envelope(clock), None)
    await replica.settle()
    assert replica.ready("federationpeers", "org-b") == ("True", "Fresh")
    return replica


@pytest.fixture
def desk(replica: Replica) -> IntroductionDesk:
    desk = IntroductionDesk(
        replica.api, replica.cache, replica.views, replica.judge.policies, replica.guard, replica.intake.event
    )
    desk.ready = True
    return desk


def claims(clock: FakeClock, **changes: Any) -> Claims:
    told = {"sender": "org-b-kernel", "addressee": "org-a-kernel", "timestamp": int(clock.wall), "nonce": "n"}
    return Claims(**{**told, **changes})


def asking(
    clock: FakeClock, csr: str = CSR, *services: str, key: SigningKey = THEIRS, **changes: Any
) -> IntroductionRequest:
    return IntroductionRequest(claims(clock, **changes), key.public_key, csr, services, 3600)


def question(clock: FakeClock, request_id: str, **changes: Any) -> StatusRequest:
    return StatusRequest(claims(clock, **changes), THEIRS.public_key, request_id)


def introductions(api: MemoryAPI) -> list[dict[str, Any]]:
    return [obj for (plural, _), obj in api.objects.items() if plural == "introductions"]


async def approve(replica: Replica, approval: str = "Approved") -> None:
    (made,) = introductions(replica.api)
    made["spec"]["issue"]["approval"] = approval
    made["metadata"]["generation"] += 1
    replica.api.add("introductions", made)
    await replica.settle()


def slow_down(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have others get a turn before something is created, as on a network."""
    create = replica.api.create

    async def create_later(path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return await create(path, body, manager=manager)

    monkeypatch.setattr(replica.api, "create", create_later)


async def test_a_request_is_one_pending_introduction_however_often_it_comes(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(replica, monkeypatch)
    answers = await asyncio.gather(*(desk.request(asking(clock), None) for _ in range(20)))
    assert set(answers) == {Waiting(answers[0].id, RequestState.PENDING)}
    (made,) = introductions(replica.api)
    assert "approval" not in made["spec"]["issue"]  # the default is Pending: none is ever said here
    with counted(replica.api) as writes:
        assert await desk.request(asking(clock, nonce="another"), None) == answers[0]
        assert await desk.status(question(clock, answers[0].id), None) == answers[0]
    assert writes == []


async def test_another_replica_finds_the_same_one(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    first = await desk.request(asking(clock), None)
    other = Replica(replica.api, clock, leads=False)
    other.catch_up()
    there = IntroductionDesk(
        other.api, other.cache, other.views, other.judge.policies, other.guard, other.intake.event
    )
    there.ready = True
    assert await there.request(asking(clock), None) == first
    assert len(introductions(replica.api)) == 1


async def test_a_replica_that_did_not_hear_of_it_yet_asks_to_come_back(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    other = Replica(replica.api, clock, leads=False)
    other.catch_up()
    there = IntroductionDesk(
        other.api, other.cache, other.views, other.judge.policies, other.guard, other.intake.event
    )
    there.ready = True
    await desk.request(asking(clock), None)
    with pytest.raises(Refusal) as caught:
        await there.request(asking(clock), None)
    assert (caught.value.reason, caught.value.retry_after) == (Reason.NOT_READY, 5)


async def test_what_is_approved_and_signed_is_handed_out(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    waiting = await desk.request(asking(clock), None)
    await replica.settle()
    assert replica.ready("introductions", introductions(replica.api)[0]["metadata"]["name"]) == (
        "Unknown",
        "AwaitingApproval",
    )
    await approve(replica)
    granted = await desk.status(question(clock, waiting.id), None)
    assert isinstance(granted, Granted)
    assert parse_introduction(granted.introduction).subject == "CN=client1"
    assert await desk.request(asking(clock), None) == granted


async def test_approved_and_not_yet_signed_is_said(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    waiting = await desk.request(asking(clock), None)
    replica.leads = False
    await approve(replica)
    assert await desk.status(question(clock, waiting.id), None) == Waiting(waiting.id, RequestState.APPROVED)


async def test_a_denial_is_a_refusal_also_after_it_was_signed(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    waiting = await desk.request(asking(clock), None)
    await approve(replica)
    await approve(replica, "Denied")
    for answer in (desk.status(question(clock, waiting.id), None), desk.request(asking(clock), None)):
        with pytest.raises(Refusal) as caught:
            await answer
        assert caught.value.reason is Reason.DENIED


async def test_a_stale_partner_is_refused_whatever_it_was_granted(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    waiting = await desk.request(asking(clock), None)
    await approve(replica)
    clock.advance(WINDOW - 2)
    await desk.request(asking(clock), None)
    clock.advance(2)
    with pytest.raises(PeerStale):
        await desk.request(asking(clock), None)
    with pytest.raises(PeerStale):
        await desk.status(question(clock, waiting.id), None)
    # Who does not hold the key learns nothing of that.
    with pytest.raises(UnexpectedSigner):
        await desk.request(asking(clock, key=SigningKey.generate()), None)


async def test_a_stranger_and_a_suspended_partner_are_refused(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    with pytest.raises(AddressMismatch):
        await desk.request(asking(clock, addressee="org-z-kernel"), None)
    with pytest.raises(MissingTrustAnchor):
        await desk.request(asking(clock, sender="org-z-kernel"), None)
    suspended = replica.api.objects["federationpeers", "org-b"]
    suspended["spec"]["state"] = "Suspended"
    replica.api.add("federationpeers", suspended)
    replica.catch_up()
    with pytest.raises(PeerNotPinned):
        await desk.request(asking(clock), None)
    assert introductions(replica.api) == []


async def test_a_bearer_token_is_demanded_where_one_is_set(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    obj = replica.api.objects["federationpeers", "org-b"]
    obj["spec"]["authTokenHash"] = hash_token("t0ken")
    replica.api.add("federationpeers", obj)
    replica.catch_up()
    for bearer in (None, "another"):
        with pytest.raises(Refusal) as caught:
            await desk.request(asking(clock), bearer)
        assert caught.value.reason is Reason.UNAUTHORIZED_BEARER
    assert isinstance(await desk.request(asking(clock), "t0ken"), Waiting)


async def test_the_65th_request_that_waits_is_refused_and_a_decision_makes_room(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    requests = [
        asking(clock, build_request(Subject(common_name=f"client{n}"), KEY)) for n in range(MAX_PENDING + 1)
    ]
    results = await asyncio.gather(*(desk.request(each, None) for each in requests), return_exceptions=True)
    refused = [each for each in results if isinstance(each, Refusal)]
    assert [each.reason for each in refused] == [Reason.TOO_MANY_PENDING]
    assert len(introductions(replica.api)) == MAX_PENDING
    decided = introductions(replica.api)[0]
    decided["spec"]["issue"]["approval"] = "Denied"
    replica.api.add("introductions", decided)
    replica.catch_up()
    assert isinstance(await desk.request(requests[-1], None), Waiting)


async def test_only_services_of_ours_are_offered(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    for name, spec in (
        ("ours", {"url": "https://api.org-a.example"}),
        ("theirs", {"url": "https://api.org-b.example", "peer": "org-b"}),
    ):
        replica.api.add("trustedservices", {"metadata": {"name": name}, "spec": spec})
    replica.catch_up()
    await desk.request(asking(clock, CSR, "theirs", "ours", "unknown"), None)
    (made,) = introductions(replica.api)
    assert made["spec"]["issue"]["services"] == [{"alias": "ours", "url": "https://api.org-a.example"}]


async def test_what_our_authority_would_never_sign_is_refused(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    own = build_request(Subject(common_name="ORG-A ca"), KEY)  # our authority's name in another spelling
    for csr in (own, "no request", CSR.replace("A", "B")):
        with pytest.raises(Refusal) as caught:
            await desk.request(asking(clock, csr), None)
        assert caught.value.reason is Reason.SUBJECT_REFUSED
    with pytest.raises(MalformedDocument):
        await desk.request(asking(clock, CSR, "-a"), None)
    assert introductions(replica.api) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (APIError(500), Reason.NOT_READY),
        (APIError(403), Reason.NOT_READY),
        (Invalid(422), Reason.SUBJECT_REFUSED),
    ],
)
async def test_what_cannot_be_kept_is_not_promised(
    error: APIError,
    reason: Reason,
    desk: IntroductionDesk,
    replica: Replica,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object, **__: object) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(replica.api, "create", fail)
    with pytest.raises(Refusal) as caught:
        await desk.request(asking(clock), None)
    assert caught.value.reason is reason
    with pytest.raises(Refusal) as caught:
        await desk.status(question(clock, "0" * 32), None)
    assert caught.value.reason is Reason.UNKNOWN_REQUEST


async def test_an_introduction_with_labels_written_by_hand_is_nobodys_request(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    """Labels find an object; whose it is, its spec says."""
    waiting = await desk.request(asking(clock), None)
    (made,) = introductions(replica.api)
    made["spec"]["issue"]["peer"] = "org-c"
    replica.api.add("introductions", made)
    replica.catch_up()
    with pytest.raises(Refusal) as caught:
        await desk.status(question(clock, waiting.id), None)
    assert caught.value.reason is Reason.UNKNOWN_REQUEST


async def test_a_document_in_the_status_is_not_handed_out_before_a_person_approved(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    waiting = await desk.request(asking(clock), None)
    await approve(replica)
    await approve(replica, "Pending")
    (made,) = introductions(replica.api)
    made["status"] = {"introduction": '{"signed_cert": ""}', "notAfter": "2999-01-01T00:00:00Z"}
    replica.api.add("introductions", made)
    replica.catch_up()
    assert await desk.status(question(clock, waiting.id), None) == Waiting(waiting.id, RequestState.PENDING)


async def test_a_partner_that_was_deleted_and_made_anew_asks_anew(
    desk: IntroductionDesk, replica: Replica, clock: FakeClock
) -> None:
    first = await desk.request(asking(clock), None)
    del replica.api.objects["federationpeers", "org-b"]
    replica.api.add("federationpeers", peer() | {"metadata": {"name": "org-b", "uid": "another-uid"}})
    await replica.settle()
    clock.advance(1)
    await replica.responder.handle(envelope(clock, nonce="m"), None)
    await replica.settle()
    with pytest.raises(Refusal) as caught:
        await desk.status(question(clock, first.id), None)
    assert caught.value.reason is Reason.UNKNOWN_REQUEST
    second = await desk.request(asking(clock), None)
    assert second.id != first.id
    assert len(introductions(replica.api)) == 2


async def test_before_the_caches_are_filled_nobody_is_answered(
    desk: IntroductionDesk, clock: FakeClock
) -> None:
    desk.ready = False
    with pytest.raises(Refusal) as caught:
        await desk.request(asking(clock), None)
    assert caught.value.reason is Reason.NOT_READY
