"""R-S3 and R-S4: answers and refusals of partners that misbehave, over real TLS."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from bilateral.exchange.client import (
    CertificateAuthority,
    Target,
)
from bilateral.protocol.reasons import Reason

from .asking import (
    CANARY,
    ENVELOPE,
    GOOD,
    QUICK,
    ask,
    good,
    outbound,
    refused,
    served_by,
)
from .conftest import Credentials
from .wire import Partner, http, partner, until


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


BIG = b" " * (1024 * 1024 + 1)

ANSWERS = {
    "another media type": (http(200, CANARY.encode(), media_type="text/html"), Reason.ANSWER_INVALID),
    "a media type that begins alike": (
        http(200, b"{}", media_type="application/jsonp"),
        Reason.ANSWER_INVALID,
    ),
    "no media type": (http(200, b"{}", media_type=None), Reason.ANSWER_INVALID),
    "two media types": (http(200, b"{}", "Content-Type: text/html"), Reason.ANSWER_INVALID),
    "gzip": (http(200, b"\x1f\x8b", "Content-Encoding: gzip"), Reason.ANSWER_INVALID),
    "unknown coding": (http(200, b"{}", f"Content-Encoding: {CANARY}"), Reason.ANSWER_INVALID),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Reason.ANSWER_INVALID),
    "201": (http(201, b"{}"), Reason.ANSWER_INVALID),
    "206": (http(206, b"{}"), Reason.ANSWER_INVALID),
    "404": (http(404, CANARY.encode(), media_type="text/html"), Reason.ANSWER_INVALID),
    "500": (http(500, CANARY.encode(), media_type="text/html"), Reason.ANSWER_INVALID),
    "401 of any kind": (http(401, CANARY.encode(), media_type="text/html"), Reason.REFUSED_BY_PARTNER),
    "403 of any kind": (http(403, b""), Reason.REFUSED_BY_PARTNER),
    "too large, declared": (http(200, BIG), Reason.ANSWER_TOO_LARGE),
    "too large, in chunks": (chunked(*[b" " * 65536] * 17), Reason.ANSWER_TOO_LARGE),
    "no HTTP": (CANARY.encode() + b"\r\n\r\n", Reason.ANSWER_INVALID),
    "HTTP/3.0": (b"HTTP/3.0 200 OK\r\n\r\n", Reason.ANSWER_INVALID),
    "nothing": (b"", Reason.ANSWER_INVALID),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Ty", Reason.ANSWER_INVALID),
    "half a body": (http(200, b"{}" * 9)[:-3], Reason.ANSWER_INVALID),
    "head without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000, Reason.ANSWER_INVALID),
    "two lengths": (http(200, b"{}", "Content-Length: 3"), Reason.ANSWER_INVALID),
    "negative length": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n{}",
        Reason.ANSWER_INVALID,
    ),
    "protocol switch": (
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        Reason.ANSWER_INVALID,
    ),
    "429": (http(429, b"{}"), Reason.TOO_MANY_REQUESTS),
    "503": (http(503, b"{}"), Reason.TOO_MANY_REQUESTS),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none(
    answer: bytes, reason: Reason, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = await ask(credentials, answer)
    assert error.reason is reason
    assert CANARY not in caplog.text
    assert "t0ken" not in caplog.text


async def test_exactly_the_limit_is_not_too_large(credentials: Credentials) -> None:
    body = b"1" * 1024 * 1024
    async with partner(http(200, body), served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        assert await outbound().post_handshake(target, ENVELOPE) == body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, credentials: Credentials) -> None:
    """R-T6: neither the request nor the token goes to where the partner points."""
    issued = good(credentials)
    async with partner(GOOD, served_by(issued)) as elsewhere:
        location = f"Location: https://partner.example:{elsewhere.port}/v1/federation/handshake"
        error = await ask(credentials, http(status, b"{}", location))
        assert error.reason is Reason.ANSWER_INVALID
        assert elsewhere.connections == 0


async def drip(transport: asyncio.Transport) -> None:
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    while not transport.is_closing():
        transport.write(b" ")
        await asyncio.sleep(0.02)


async def drip_head(transport: asyncio.Transport) -> None:
    transport.write(b"HTTP/1.1 200 OK\r\n")
    while not transport.is_closing():
        transport.write(b"X: y\r\n")
        await asyncio.sleep(0.02)


async def inform(transport: asyncio.Transport) -> None:
    while not transport.is_closing():
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.02)


async def silence(_: asyncio.Transport) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("answer", [drip, drip_head, inform, silence])
async def test_an_answer_that_does_not_end(
    answer: Callable[[asyncio.Transport], Awaitable[None]], credentials: Credentials
) -> None:
    error = await ask(credentials, answer, replace(QUICK, total_seconds=0.3))
    assert error.reason is Reason.ANSWER_TIMEOUT


async def test_a_tls_handshake_that_does_not_end_is_a_failed_connection(credentials: Credentials) -> None:
    async with partner(silence, None) as other:
        target = Target(f"https://127.0.0.1:{other.port}", CertificateAuthority(credentials.pem))
        error = await refused(outbound(replace(QUICK, connect_seconds=0.1)), target)
        assert error.reason is Reason.CONNECTION_FAILED


async def test_a_request_that_is_cancelled_leaves_no_connection(credentials: Credentials) -> None:
    async with partner(silence, served_by(good(credentials))) as other:
        target = Target(f"https://partner.example:{other.port}", CertificateAuthority(credentials.pem))
        task = asyncio.create_task(outbound().post_handshake(target, ENVELOPE))
        await until(lambda: bool(other.received))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Refusals


def problem(suffix: str, status: int, **members: object) -> bytes:
    document = {
        "type": f"https://chio.dev/errors/federation/{suffix}",
        "title": CANARY,
        "status": status,
        "detail": CANARY,
        **members,
    }
    return http(status, json.dumps(document).encode(), media_type="application/problem+json")


REFUSALS = {
    "missing-trust-anchor": (412, Reason.AWAITING_PARTNER),
    "replayed-envelope": (409, Reason.REPLAYED_ENVELOPE),
    "unexpected-peer-key": (403, Reason.REFUSED_BY_PARTNER),
    "invalid-signature": (401, Reason.REFUSED_BY_PARTNER),
    "kernel-id-mismatch": (403, Reason.REFUSED_BY_PARTNER),
    "address-mismatch": (421, Reason.REFUSED_BY_PARTNER),
    "unsupported-schema": (422, Reason.REFUSED_BY_PARTNER),
    "peer-stale": (409, Reason.REFUSED_BY_PARTNER),
    "unauthorized-bearer": (401, Reason.REFUSED_BY_PARTNER),
    "refused": (403, Reason.REFUSED_BY_PARTNER),
    "malformed-document": (400, Reason.REFUSED_BY_PARTNER),
    "too-many-requests": (429, Reason.TOO_MANY_REQUESTS),
    "not-ready": (503, Reason.TOO_MANY_REQUESTS),
    CANARY: (400, Reason.ANSWER_INVALID),
    "ready": (400, Reason.ANSWER_INVALID),
}


@pytest.mark.parametrize("suffix", REFUSALS)
async def test_a_partners_refusal_becomes_a_word_of_ours(suffix: str, credentials: Credentials) -> None:
    status, reason = REFUSALS[suffix]
    assert (await ask(credentials, problem(suffix, status))).reason is reason


@pytest.mark.parametrize(
    ("members", "skew"),
    [
        ({"envelope": 1714290000, "local": 1714291205, "skew": 300}, 1205),
        ({"envelope": 1714291205, "local": 1714290000, "skew": 300}, -1205),
        ({"envelope": 0, "local": 2**62}, None),
        ({"envelope": 2**63, "local": 5}, None),
        ({"envelope": "1714290000", "local": 1714291205}, None),
        ({"envelope": 1714290000.0, "local": 1714291205}, None),
        ({"envelope": True, "local": False}, None),
        ({"envelope": 1714290000}, None),
        ({}, None),
    ],
)
async def test_a_skew_is_computed_and_bounded(
    members: dict[str, object], skew: int | None, credentials: Credentials
) -> None:
    error = await ask(credentials, problem("clock-skew-exceeded", 422, **members))
    assert error.reason is Reason.CLOCK_SKEW_EXCEEDED
    assert error.skew_seconds == skew


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("Retry-After: 7", 7),
        ("Retry-After: 0", 1),
        ("Retry-After: 99999999", 3600),
        ("Retry-After: 99999999999999999999", None),
        ("Retry-After: -1", None),
        ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Retry-After: \N{SUPERSCRIPT TWO}", None),
        ("X-Nothing: 1", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_partner_that_asks_for_patience(
    status: int, field: str, seconds: int | None, credentials: Credentials
) -> None:
    error = await ask(credentials, http(status, CANARY.encode(), field))
    assert error.reason is Reason.TOO_MANY_REQUESTS
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"type":7}',
        b'{"type":"https://chio.dev/errors/federation/missing-trust-anchor","type":"x"}',
        b'{"type":"https://evil.example/missing-trust-anchor"}',
        b'{"type":"https://chio.dev/errors/federation/missing-trust-anchor","a":'
        + b"[" * 64
        + b"]" * 64
        + b"}",
        b'{"type":"https://chio.dev/errors/federation/missing-trust-anchor","a":"' + b"x" * 20000 + b'"}',
    ],
)
async def test_a_problem_that_is_none_is_no_refusal(body: bytes, credentials: Credentials) -> None:
    answer = http(412, body, media_type="application/problem+json")
    assert (await ask(credentials, answer)).reason is Reason.ANSWER_INVALID


async def test_a_hundred_at_once_do_not_disturb_each_other(credentials: Credentials) -> None:
    async with AsyncExitStack() as stack:
        issued = good(credentials)
        partners: list[Partner] = [
            await stack.enter_async_context(partner(http(200, b"%d" % number), served_by(issued)))
            for number in range(10)
        ]
        client = outbound()
        authority = CertificateAuthority(credentials.pem)
        answers = await asyncio.gather(
            *(
                client.post_handshake(Target(f"https://partner.example:{each.port}", authority), ENVELOPE)
                for each in partners
                for _ in range(10)
            )
        )
        assert answers == [b"%d" % number for number in range(10) for _ in range(10)]
