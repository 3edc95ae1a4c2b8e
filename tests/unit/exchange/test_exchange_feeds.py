"""Revocation feeds over TLS: ours by one exact question, and a partner's, whatever the partner does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bilateral.exchange.client import CertificateAuthority, Outbound, Target
from bilateral.exchange.errors import ExchangeError, OutboundError, Refusal
from bilateral.exchange.feeds import FeedSource, is_plain_service, read_feed, read_plain_revocations
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.errors import MalformedDocument, ProtocolError
from bilateral.protocol.feed_reader import Equivocation, FeedOfAnother, FeedReader, FeedState
from bilateral.protocol.reasons import Reason
from support.feeds import FEED_KEY, KERNEL, NOW, Feed, feed_of

from .asking import QUICK, good, outbound, served_by
from .conftest import Credentials
from .refusals import expect_problem
from .running import Counts, Judge, Running
from .wire import http, partner

READER = FeedReader(KERNEL, (FEED_KEY.public_key,))
PAGE = feed_of(3).page(0).to_json()


class Source:
    """A source with one feed, told in small pages."""

    def __init__(self, feed: Feed, limit: int = 3) -> None:
        self.feed = feed
        self.limit = limit
        self.asked: list[tuple[str | None, int]] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def feed_page(self, kernel_id: str | None, start: int) -> bytes:
        self.asked.append((kernel_id, start))
        if self.before is not None:
            await self.before()
        if kernel_id not in (None, self.feed.kernel_id):
            raise Refusal(Reason.NOT_FOUND)
        return self.feed.page(start, limit=self.limit).to_json()


@dataclasses.dataclass
class Serving(Running):
    source: Source = dataclasses.field(default_factory=lambda: Source(feed_of(0)))

    def target(self, credentials: Credentials) -> Target:
        url = f"https://trust.example:{self.port}/v1/revocations/feed"
        return Target(url, CertificateAuthority(credentials.pem), "t0ken")


@contextlib.asynccontextmanager
async def serving(
    credentials: Credentials,
    feed: Feed | None = None,
    settings: EndpointSettings | None = None,
    source: FeedSource | None = None,
) -> AsyncIterator[Serving]:
    store, judge, counts = CertificateStore(), Judge(), Counts()
    store.replace({"trust.example": credentials.pair("trust.example")})
    ours = Source(feed or feed_of(3))
    chosen = settings or EndpointSettings()
    routes = build_partner_routes(judge, chosen, feeds=source or ours)
    endpoint = Endpoint(routes, store, chosen, counts)
    port = await endpoint.start("127.0.0.1", 0)
    try:
        yield Serving(endpoint, port, judge, counts, store, credentials.trust(), ours)
    finally:
        await endpoint.stop()


def get(query: str, method: str = "GET") -> bytes:
    return f"{method} /v1/revocations/feed{query} HTTP/1.1\r\nHost: trust.example\r\n\r\n".encode()


# Ours


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (None, 0)),
        ("?from=0", (None, 0)),
        ("?from=2", (None, 2)),
        ("?from=9007199254740991", (None, 2**53 - 1)),
        (f"?kernelId={KERNEL}", (KERNEL, 0)),
        (f"?from=1&kernelId={KERNEL}", (KERNEL, 1)),
        (f"?kernelId={KERNEL}&from=1", (KERNEL, 1)),
        ("?kernelId=org%2Db-kernel&from=1", (KERNEL, 1)),
    ],
)
async def test_everybody_gets_the_page_that_was_asked_for(
    credentials: Credentials, query: str, asked: tuple[str | None, int]
) -> None:
    async with serving(credentials) as run, run.call() as caller:
        reply = await caller.ask(get(query))
        assert (reply.status, reply["Content-Type"]) == (200, "application/json")
        assert json.loads(reply.body)["from"] == asked[1]
        assert run.source.asked == [asked]


@pytest.mark.parametrize(
    "query",
    [
        "?",
        "?from=",
        "?from=-1",
        "?from=01",
        "?from=1.0",
        "?from=1e3",
        "?from=+1",
        "?from=%31",
        "?from=12345678901234567",
        "?from=1&from=2",
        "?from=1&",
        "?&from=1",
        "?from=1&x=1",
        "?From=1",
        "?kernelId=",
        "?kernelId=a/b",
        "?kernelId=a%00",
        "?kernelId=%ff",
        "?kernelId=a&kernelId=a",
        "?kernelId=" + "a" * 254,
    ],
)
async def test_any_other_question_is_malformed(credentials: Credentials, query: str) -> None:
    async with serving(credentials) as run, run.call() as caller:
        reply = await caller.ask(get(query))
        if query == "?":
            assert reply.status == 200, "nothing is asked"
            return
        expect_problem(reply, 400, "malformed-document")
        assert not run.source.asked


async def test_a_feed_that_is_not_ours_is_not_found(credentials: Credentials) -> None:
    async with serving(credentials) as run, run.call() as caller:
        expect_problem(await caller.ask(get("?kernelId=somebody")), 404, "not-found")


async def test_it_is_for_reading_only(credentials: Credentials) -> None:
    async with serving(credentials) as run, run.call() as caller:
        reply = await caller.ask(get("", "DELETE"))
        assert (reply.status, reply["Allow"]) == (405, "GET")


async def test_a_source_that_takes_too_long_is_asked_again_later(credentials: Credentials) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    settings = EndpointSettings(handler_seconds=0.05)
    async with serving(credentials, settings=settings) as run, run.call() as caller:
        run.source.before = wait
        reply = await caller.ask(get(""))
        assert (reply.status, reply["Retry-After"]) == (503, "5")


# Partners'


async def read(
    client: Outbound, target: Target, state: FeedState | None = None, max_pages: int = 100
) -> tuple[FeedState, list[str]]:
    found, ids = state or FeedState(), list[str]()
    async for step in read_feed(client, target, READER, found, now=lambda: NOW, max_pages=max_pages):
        found = step.state
        ids += [each.capability_id for each in step.entries]
    return found, ids


async def test_our_client_reads_what_our_endpoint_says_to_its_end(credentials: Credentials) -> None:
    async with serving(credentials, feed_of(8)) as run:
        client, target = outbound(), run.target(credentials)
        state, ids = await read(client, target)
        assert ids == [f"cap-{number}" for number in range(8)]
        assert state.is_complete
        assert run.source.asked == [(KERNEL, 0), (KERNEL, 3), (KERNEL, 6)]
        run.source.feed.revoke("later")
        assert (await read(client, target, state))[1] == ["later"]


async def test_only_so_many_pages_are_read_in_one_go(credentials: Credentials) -> None:
    async with serving(credentials, feed_of(8)) as run:
        client, target = outbound(), run.target(credentials)
        state, ids = await read(client, target, max_pages=2)
        assert (len(ids), state.is_complete) == (6, False)
        assert (await read(client, target, state))[1] == ["cap-6", "cap-7"]


async def test_what_was_read_before_a_contradiction_stays_read(credentials: Credentials) -> None:
    async with serving(credentials, feed_of(8)) as run:
        client, target = outbound(), run.target(credentials)

        async def fork() -> None:
            if len(run.source.asked) == 2:
                run.source.feed = feed_of(2).revoke(*(f"other-{number}" for number in range(7)))

        run.source.before = fork
        ids: list[str] = []

        async def follow() -> None:
            async for step in read_feed(client, target, READER, FeedState(), now=lambda: NOW):
                ids.extend(each.capability_id for each in step.entries)

        with pytest.raises(Equivocation):
            await follow()
        assert ids == ["cap-0", "cap-1", "cap-2"]


async def test_a_feed_of_another_kernel_at_the_same_place_is_refused(credentials: Credentials) -> None:
    class Confused(Source):
        async def feed_page(self, kernel_id: str | None, start: int) -> bytes:
            return await super().feed_page(None, start)

    other = Confused(Feed("org-c-kernel").revoke("cap"))
    async with serving(credentials, source=other) as run:
        with pytest.raises(FeedOfAnother):
            await read(outbound(), run.target(credentials))


async def ask(
    credentials: Credentials, answer: object, path: str = "/v1/revocations/feed"
) -> tuple[str, bytes]:
    """The word for what a server's answer leads to, and what the server was sent."""
    quick = outbound(dataclasses.replace(QUICK, total_seconds=1.0))
    async with partner(answer, served_by(good(credentials))) as other:  # type: ignore[arg-type]
        target = Target(
            f"https://partner.example:{other.port}{path}", CertificateAuthority(credentials.pem), "t0ken"
        )
        try:
            await read(quick, target)
        except (ProtocolError, ExchangeError) as error:
            return error.reason, other.received
    return "", other.received


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(http(200, PAGE), "", id="a page"),
        pytest.param(http(404, b"", media_type="text/plain"), Reason.ANSWER_INVALID, id="nothing there"),
        pytest.param(http(403, b""), Reason.REFUSED_BY_PARTNER, id="no"),
        pytest.param(http(429, b"", "Retry-After: 7"), Reason.TOO_MANY_REQUESTS, id="later"),
        pytest.param(
            http(302, b"", "Location: https://elsewhere.example/"), Reason.ANSWER_INVALID, id="elsewhere"
        ),
        pytest.param(http(500, b""), Reason.ANSWER_INVALID, id="broken"),
        pytest.param(http(200, PAGE, media_type="text/html"), Reason.ANSWER_INVALID, id="another type"),
        pytest.param(http(200, PAGE, "Content-Encoding: gzip"), Reason.ANSWER_INVALID, id="packed"),
        pytest.param(http(200, b"{}"), Reason.UNSUPPORTED_SCHEMA, id="another document"),
        pytest.param(http(200, b" " * (1024 * 1024 + 1)), Reason.ANSWER_TOO_LARGE, id="huge"),
        pytest.param(http(200, PAGE[:-9]), Reason.MALFORMED_DOCUMENT, id="cut off"),
    ],
)
async def test_what_servers_say(credentials: Credentials, answer: bytes, reason: str) -> None:
    assert (await ask(credentials, answer))[0] == reason


async def test_a_server_that_stalls_in_the_middle_of_a_page_is_not_waited_for(
    credentials: Credentials,
) -> None:
    async def stall(transport: asyncio.Transport) -> None:
        transport.write(http(200, PAGE)[:-100])
        await asyncio.Event().wait()

    assert (await ask(credentials, stall))[0] == Reason.ANSWER_TIMEOUT


async def test_a_server_that_drips_is_not_waited_for(credentials: Credentials) -> None:
    async def drip(transport: asyncio.Transport) -> None:
        for byte in http(200, PAGE):
            transport.write(bytes([byte]))
            await asyncio.sleep(0.02)

    assert (await ask(credentials, drip))[0] == Reason.ANSWER_TIMEOUT


async def test_a_server_that_hangs_up_in_the_middle_of_a_page(credentials: Credentials) -> None:
    async def hang_up(transport: asyncio.Transport) -> None:
        transport.write(http(200, PAGE)[:-100])

    assert (await ask(credentials, hang_up))[0] in (Reason.ANSWER_INVALID, Reason.CONNECTION_FAILED)


@pytest.mark.parametrize(("path", "asked"), [("/v1/revocations/feed", "/v1/revocations/feed"), ("", "/")])
async def test_the_question_is_the_url_and_shows_no_token(
    credentials: Credentials, path: str, asked: str
) -> None:
    _, received = await ask(credentials, http(200, PAGE), path)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"GET {asked}?from=0&kernelId={KERNEL} HTTP/1.1\r\n".encode())
    assert b"uthorization" not in head
    assert body == b""


# A chio service's own list


@pytest.mark.parametrize(
    ("url", "is_plain"),
    [
        ("https://a.example/v1/revocations", True),
        ("https://a.example/base/v1/revocations/", True),
        ("https://a.example/v1/revocations/feed", False),
        ("https://a.example", False),
    ],
)
def test_the_url_says_whether_it_is_a_feed(url: str, is_plain: bool) -> None:
    assert is_plain_service(url) == is_plain


async def test_a_list_is_asked_for_with_the_token(credentials: Credentials) -> None:
    listed = {
        "configured": True,
        "backend": "sqlite",
        "count": 1,
        "revocations": [{"capabilityId": "cap-1", "revokedAt": 5}],
    }
    async with partner(http(200, json.dumps(listed).encode()), served_by(good(credentials))) as other:
        target = Target(
            f"https://partner.example:{other.port}/v1/revocations",
            CertificateAuthority(credentials.pem),
            "t0ken",
        )
        found = await read_plain_revocations(outbound(), target)
    assert (found.capability_ids, found.is_complete) == (("cap-1",), True)
    head = other.received.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("GET /v1/revocations?limit=200 HTTP/1.1\r\n")
    assert "Authorization: Bearer t0ken" in head.split("\r\n")


@pytest.mark.parametrize(
    ("answer", "error"), [(http(200, b"[]"), MalformedDocument), (http(401, b""), OutboundError)]
)
async def test_what_is_no_list_is_refused(
    credentials: Credentials, answer: bytes, error: type[Exception]
) -> None:
    async with partner(answer, served_by(good(credentials))) as other:
        target = Target(
            f"https://partner.example:{other.port}/v1/revocations", CertificateAuthority(credentials.pem)
        )
        with pytest.raises(error):
            await read_plain_revocations(outbound(), target)
        assert b"uthorization" not in other.received
