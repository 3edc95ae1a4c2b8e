"""Authority statements: for everybody, by one exact question; and asked for behind a handshake."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bilateral.exchange.client import CertificateAuthority, Outbound, Target
from bilateral.exchange.errors import OutboundError, Refusal
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.authority_statement import MAX_STATEMENT_BYTES
from bilateral.protocol.reasons import Reason
from bilateral.settings import Refusals

from .asking import ENVELOPE, GOOD, QUICK, good, outbound, served_by
from .conftest import Credentials
from .refusals import KEY, expect_problem
from .running import US, Counts, Judge, Running, envelope_of
from .wire import http, partner

STATEMENT = b'{"body":{}}'


class Shelf:
    """A handler with statements by kernel id."""

    def __init__(self) -> None:
        self.statements = {US: STATEMENT}
        self.asked: Counter[str] = Counter()
        self.error: Exception | None = None

    def statement(self, kernel_id: str) -> bytes:
        self.asked[kernel_id] += 1
        if self.error is not None:
            raise self.error
        if kernel_id not in self.statements:
            raise Refusal(Reason.NOT_FOUND)
        return self.statements[kernel_id]


@dataclasses.dataclass
class Serving(Running):
    shelf: Shelf = dataclasses.field(default_factory=Shelf)


@contextlib.asynccontextmanager
async def serving(
    credentials: Credentials, settings: EndpointSettings | None = None
) -> AsyncIterator[Serving]:
    store, judge, counts, shelf = CertificateStore(), Judge(), Counts(), Shelf()
    store.replace({"trust.example": credentials.pair("trust.example")})
    settings = settings or EndpointSettings()
    endpoint = Endpoint(build_partner_routes(judge, settings, statements=shelf), store, settings, counts)
    port = await endpoint.start("127.0.0.1", 0)
    try:
        yield Serving(endpoint, port, judge, counts, store, credentials.trust(), shelf)
    finally:
        await endpoint.stop()


def get(query: str, method: str = "GET") -> bytes:
    return f"{method} /v1/federation/authority{query} HTTP/1.1\r\nHost: trust.example\r\n\r\n".encode()


@pytest.mark.parametrize("query", [f"?kernelId={US}", "?kernelId=org%2Da-kernel"])
async def test_everybody_gets_the_statement(credentials: Credentials, query: str) -> None:
    async with serving(credentials) as run, run.call() as caller:
        reply = await caller.ask(get(query))
        assert (reply.status, reply.body) == (200, STATEMENT)
        assert reply["Content-Type"] == "application/json"
        assert run.counts.accepts == 1


@pytest.mark.parametrize("refusals", ["Documented", "Uniform"])
async def test_a_kernel_id_that_is_not_ours_is_not_found(
    credentials: Credentials, refusals: Refusals
) -> None:
    settings = EndpointSettings(refusals=refusals)
    async with serving(credentials, settings) as run, run.call() as caller:
        expect_problem(await caller.ask(get("?kernelId=somebody")), 404, "not-found")


async def test_a_statement_that_is_still_to_be_signed_is_asked_for_again(credentials: Credentials) -> None:
    async with serving(credentials) as run, run.call() as caller:
        run.shelf.error = Refusal(Reason.NOT_READY, retry_after=5)
        reply = await caller.ask(get(f"?kernelId={US}"))
        assert (reply.status, reply["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?kernelId=",
        "?kernelid=a",
        "?kernelId=a&x=1",
        "?x=1&kernelId=a",
        "?kernelId=a&kernelId=a",
        "?kernelId=a?",
        "?kernelId=a/b",
        "?kernelId=a%2Fb",
        "?kernelId=a%00",
        "?kernelId=%ff",
        "?kernelId=%zz",
        "?kernelId=a+b",
        "?kernelId=" + "a" * 254,
    ],
)
async def test_any_other_question_is_malformed(credentials: Credentials, query: str) -> None:
    async with serving(credentials) as run, run.call() as caller:
        expect_problem(await caller.ask(get(query)), 400, "malformed-document")
        assert not run.shelf.asked


async def test_it_is_for_reading_only(credentials: Credentials) -> None:
    async with serving(credentials) as run, run.call() as caller:
        reply = await caller.ask(get(f"?kernelId={US}", "DELETE"))
        assert (reply.status, reply["Allow"]) == (405, "GET")


async def test_a_query_elsewhere_is_another_path(credentials: Credentials) -> None:
    async with serving(credentials) as run, run.call() as caller:
        request = b"POST /v1/federation/handshake?kernelId=a HTTP/1.1\r\nHost: trust.example\r\n\r\n"
        expect_problem(await caller.ask(request), 404, "not-found")


async def test_the_rate_limit_counts_these_requests_too(credentials: Credentials) -> None:
    limits = dataclasses.replace(EndpointSettings().limits, requests_per_second=0.001, requests_burst=1)
    async with serving(credentials, EndpointSettings(limits=limits)) as run, run.call() as caller:
        assert (await caller.ask(get(f"?kernelId={US}"))).status == 200
        assert (await caller.ask(get(f"?kernelId={US}"))).status == 429
        assert run.shelf.asked[US] == 1


# Our client


def client_of(run: Running, credentials: Credentials) -> tuple[Outbound, Target]:
    url = f"https://trust.example:{run.port}"
    return outbound(), Target(url, CertificateAuthority(credentials.pem), "t0ken")


async def test_our_client_reads_what_our_endpoint_says(credentials: Credentials) -> None:
    async with serving(credentials) as run:
        client, target = client_of(run, credentials)
        assert await client.get_statement(target, US) == STATEMENT
        with pytest.raises(OutboundError) as caught:
            await client.get_statement(target, "somebody")
        assert caught.value.reason is Reason.NOT_ANNOUNCED
        run.shelf.error = Refusal(Reason.NOT_READY, retry_after=5)
        with pytest.raises(OutboundError) as caught:
            await client.get_statement(target, US)
        assert (caught.value.reason, caught.value.retry_after) == (Reason.TOO_MANY_REQUESTS, 5)


async def test_both_are_asked_on_one_connection(credentials: Credentials) -> None:
    async with serving(credentials) as run:
        client, target = client_of(run, credentials)
        run.judge.anchors["org-b-kernel"] = KEY.public_key
        before = run.endpoint.connections
        answer, statement = await client.post_handshake_and_get_statement(target, envelope_of(KEY), US)
        assert answer.startswith(b'{"challenge"')
        assert statement == STATEMENT
        assert run.counts.accepts == 2
        assert before == 0


async def test_a_refused_handshake_is_not_followed_by_a_question(credentials: Credentials) -> None:
    async with serving(credentials) as run:
        client, target = client_of(run, credentials)
        with pytest.raises(OutboundError) as caught:
            await client.post_handshake_and_get_statement(target, envelope_of(KEY), US)
        assert caught.value.reason is Reason.AWAITING_PARTNER
        assert not run.shelf.asked


async def test_what_goes_wrong_with_the_statement_leaves_the_answer(credentials: Credentials) -> None:
    async with serving(credentials) as run:
        client, target = client_of(run, credentials)
        run.judge.anchors["org-b-kernel"] = KEY.public_key
        run.shelf.statements.clear()
        answer, statement = await client.post_handshake_and_get_statement(target, envelope_of(KEY), US)
        assert answer.startswith(b'{"challenge"')
        assert isinstance(statement, OutboundError)
        assert statement.reason is Reason.NOT_ANNOUNCED


CLOSING = http(200, b'{"answer":1}', "Connection: close")


@pytest.mark.parametrize("first", [GOOD, CLOSING], ids=["ends without a word", "says so"])
async def test_a_partner_that_ends_the_connection_keeps_its_answer(
    credentials: Credentials, first: bytes
) -> None:
    async with partner(first, served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        answer, statement = await outbound().post_handshake_and_get_statement(target, ENVELOPE, US)
    assert answer == b'{"answer":1}'
    assert isinstance(statement, OutboundError)
    assert statement.reason in (Reason.CONNECTION_FAILED, Reason.ANSWER_INVALID)
    assert other.connections == 1


async def test_a_partner_that_never_answers_the_second_question_keeps_its_answer(
    credentials: Credentials,
) -> None:
    async def slow(transport: asyncio.Transport) -> None:
        transport.write(GOOD)
        await asyncio.Event().wait()

    async with partner(slow, served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        quick = outbound(dataclasses.replace(QUICK, total_seconds=0.5))
        answer, statement = await quick.post_handshake_and_get_statement(target, ENVELOPE, US)
    assert answer == b'{"answer":1}'
    assert isinstance(statement, OutboundError)
    assert statement.reason is Reason.ANSWER_TIMEOUT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(404, b"nothing here", media_type="text/plain"), Reason.NOT_ANNOUNCED),
        (http(405, b"", media_type=None), Reason.NOT_ANNOUNCED),
        (http(501, b"", media_type=None), Reason.NOT_ANNOUNCED),
        (http(200, b"{}", media_type="text/html"), Reason.ANSWER_INVALID),
        (http(200, b" " * (MAX_STATEMENT_BYTES + 1)), Reason.ANSWER_TOO_LARGE),
        (http(302, b"", "Location: https://elsewhere.example/"), Reason.ANSWER_INVALID),
        (http(500, b""), Reason.ANSWER_INVALID),
        (http(403, b""), Reason.REFUSED_BY_PARTNER),
    ],
)
async def test_what_other_servers_say(credentials: Credentials, answer: bytes, reason: Reason) -> None:
    async with partner(answer, served_by(good(credentials))) as other:
        target = Target(
            f"https://partner.example:{other.port}/base", CertificateAuthority(credentials.pem), "t0ken"
        )
        with pytest.raises(OutboundError) as caught:
            await outbound().get_statement(target, US)
    assert caught.value.reason is reason
    head, _, body = other.received.partition(b"\r\n\r\n")
    assert head.startswith(f"GET /base/v1/federation/authority?kernelId={US} HTTP/1.1\r\n".encode())
    assert body == b""
    assert b"Authorization" not in head
    assert b"Content-Type" not in head
