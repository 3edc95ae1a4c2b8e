"""Requests for introductions over real TLS: the table of answers, and what our client makes of each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bilateral.exchange.client import CertificateAuthority, Outbound, Target
from bilateral.exchange.errors import OutboundError, Refusal
from bilateral.exchange.paths import INTRODUCTION_STATUS_PATH, INTRODUCTIONS_PATH
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    UnexpectedSigner,
)
from bilateral.protocol.introduction_request import (
    Answered,
    Claims,
    Granted,
    IntroductionRequest,
    RequestState,
    StatusRequest,
    Waiting,
    build_introduction_request,
    build_status_request,
    parse_answer_body,
)
from bilateral.protocol.reasons import Reason

from .asking import outbound
from .conftest import Credentials
from .refusals import CANARY, KEY, expect_problem
from .running import NOW, THEM, US, Counts, Judge, envelope_of
from .wire import Caller, calling

ID = "0123456789abcdef0123456789abcdef"
CLAIMS = Claims(THEM, US, NOW, "nonce-1")
REQUEST = build_introduction_request(
    CLAIMS, csr=f"-----BEGIN {CANARY}-----", services=("api",), validity_seconds=3600, key=KEY
)
STATUS = build_status_request(CLAIMS, ID, KEY)
PENDING = Waiting(ID, RequestState.PENDING)
GRANTED = Granted(ID, '{\n  "signed_cert": "x"\n}\n')


@dataclass
class Desk:
    """A handler that answers, or refuses, as it is told."""

    answer: Answered | Exception = PENDING
    seen: list[tuple[IntroductionRequest | StatusRequest, str | None]] = field(default_factory=list)

    async def request(self, request: IntroductionRequest, bearer: str | None) -> Answered:
        return self._take(request, bearer)

    async def status(self, question: StatusRequest, bearer: str | None) -> Answered:
        return self._take(question, bearer)

    def _take(self, asked: IntroductionRequest | StatusRequest, bearer: str | None) -> Answered:
        self.seen.append((asked, bearer))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Open:
    desk: Desk
    target: Target
    client: Outbound
    counts: Counts
    port: int
    credentials: Credentials

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Caller]:
        async with calling(self.port, self.credentials.trust()) as caller:
            yield caller


@asynccontextmanager
async def open_desk(
    credentials: Credentials, settings: EndpointSettings | None = None, *, serving: bool = True
) -> AsyncIterator[Open]:
    store = CertificateStore()
    store.replace({"trust.example": credentials.pair("trust.example")})
    desk, counts = Desk(), Counts()
    settings = settings or EndpointSettings()
    routes = build_partner_routes(Judge(), settings, introductions=desk if serving else None)
    endpoint = Endpoint(routes, store, settings, counts)
    port = await endpoint.start("127.0.0.1", 0)
    target = Target(f"https://trust.example:{port}", CertificateAuthority(credentials.pem), "t0ken")
    try:
        yield Open(desk, target, outbound(), counts, port, credentials)
    finally:
        await endpoint.stop()


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: trust.example\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("answer", "status"), [(PENDING, 202), (Waiting(ID, RequestState.APPROVED), 202), (GRANTED, 200)]
)
async def test_both_questions_are_answered(answer: Answered, status: int, credentials: Credentials) -> None:
    async with open_desk(credentials) as run:
        run.desk.answer = answer
        assert parse_answer_body(await run.client.post_introduction_request(run.target, REQUEST)) == answer
        assert parse_answer_body(await run.client.post_introduction_status(run.target, STATUS)) == answer
        for path, body in ((INTRODUCTIONS_PATH, REQUEST), (INTRODUCTION_STATUS_PATH, STATUS)):
            async with run.call() as caller:
                reply = await caller.ask(post(path, body))
                assert (reply.status, parse_answer_body(reply.body)) == (status, answer)
        assert run.counts.accepts == 4
        asked, bearer = run.desk.seen[0]
        assert isinstance(asked, IntroductionRequest)
        assert (asked.claims, asked.signer, asked.services, bearer) == (
            CLAIMS,
            KEY.public_key,
            ("api",),
            "t0ken",
        )
        assert isinstance(run.desk.seen[1][0], StatusRequest)


REFUSED: dict[str, tuple[Exception, int, str, Reason]] = {
    "denied": (Refusal(Reason.DENIED), 403, "denied", Reason.DENIED),
    "no such request": (Refusal(Reason.UNKNOWN_REQUEST), 404, "unknown-request", Reason.UNKNOWN_REQUEST),
    "a subject nobody signs": (
        Refusal(Reason.SUBJECT_REFUSED),
        422,
        "subject-refused",
        Reason.SUBJECT_REFUSED,
    ),
    "too many wait": (
        Refusal(Reason.TOO_MANY_PENDING, retry_after=60),
        429,
        "too-many-pending",
        Reason.TOO_MANY_REQUESTS,
    ),
    "no pin": (PeerNotPinned(THEM), 409, "peer-not-pinned", Reason.AWAITING_PARTNER),
    "stale": (PeerStale(THEM), 409, "peer-stale", Reason.AWAITING_PARTNER),
    "a stranger": (MissingTrustAnchor(THEM), 412, "missing-trust-anchor", Reason.AWAITING_PARTNER),
    "another key": (UnexpectedSigner("a", "b"), 403, "unexpected-peer-key", Reason.REFUSED_BY_PARTNER),
    "another addressee": (AddressMismatch("a", "b"), 421, "address-mismatch", Reason.REFUSED_BY_PARTNER),
    "skew": (
        ClockSkewExceeded(NOW - 999, NOW, 300),
        422,
        "clock-skew-exceeded",
        Reason.CLOCK_SKEW_EXCEEDED,
    ),
    "token": (Refusal(Reason.UNAUTHORIZED_BEARER), 401, "unauthorized-bearer", Reason.REFUSED_BY_PARTNER),
    "not ready": (Refusal(Reason.NOT_READY, retry_after=5), 503, "not-ready", Reason.TOO_MANY_REQUESTS),
    "a fault of ours": (RuntimeError(CANARY), 500, "internal-error", Reason.ANSWER_INVALID),
}


@pytest.mark.parametrize(("error", "status", "suffix", "meaning"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_and_what_our_client_makes_of_it(
    error: Exception, status: int, suffix: str, meaning: Reason, credentials: Credentials
) -> None:
    async with open_desk(credentials) as run:
        run.desk.answer = error
        async with run.call() as caller:
            expect_problem(await caller.ask(post(INTRODUCTIONS_PATH, REQUEST)), status, suffix)
        with pytest.raises(OutboundError) as caught:
            await run.client.post_introduction_status(run.target, STATUS)
        assert caught.value.reason is meaning


async def test_one_kind_at_the_others_path_is_refused(credentials: Credentials) -> None:
    async with open_desk(credentials) as run, run.call() as caller:
        for path, body in ((INTRODUCTIONS_PATH, STATUS), (INTRODUCTION_STATUS_PATH, REQUEST)):
            expect_problem(await caller.ask(post(path, body)), 422, "unsupported-schema")
        expect_problem(
            await caller.ask(post(INTRODUCTIONS_PATH, envelope_of(KEY))), 400, "malformed-document"
        )
        assert not run.desk.seen


async def test_what_is_not_signed_never_reaches_the_handler(credentials: Credentials) -> None:
    document = json.loads(REQUEST)
    document["body"]["services"] = ["admin"]
    async with open_desk(credentials) as run, run.call() as caller:
        reply = await caller.ask(post(INTRODUCTIONS_PATH, json.dumps(document).encode()))
        expect_problem(reply, 401, "invalid-signature")
        assert not run.desk.seen


async def test_uniform_refusals_hide_who_our_partners_are(credentials: Credentials) -> None:
    tampered = json.dumps({**json.loads(REQUEST), "signature": "0" * 128}).encode()
    async with open_desk(credentials, EndpointSettings(refusals="Uniform")) as run:
        answers = set()
        for error in (
            MissingTrustAnchor(THEM),
            PeerNotPinned(THEM),
            UnexpectedSigner("a", "b"),
            AddressMismatch("a", "b"),
            Refusal(Reason.UNAUTHORIZED_BEARER),
        ):
            run.desk.answer = error
            async with run.call() as caller:
                answers.add(repr((await caller.ask(post(INTRODUCTIONS_PATH, REQUEST))).undated))
        async with run.call() as caller:
            answers.add(repr((await caller.ask(post(INTRODUCTIONS_PATH, tampered))).undated))
        assert len(answers) == 1


async def test_where_no_introductions_are_served_the_answer_says_so(credentials: Credentials) -> None:
    async with open_desk(credentials, serving=False) as run:
        with pytest.raises(OutboundError) as caught:
            await run.client.post_introduction_request(run.target, REQUEST)
        assert caught.value.reason is Reason.REFUSED_BY_PARTNER
