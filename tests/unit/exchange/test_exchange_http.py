"""What the endpoint refuses before an envelope is judged, and how it keeps HTTP/1.1; over real TLS."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from .conftest import Credentials
from .refusals import (
    BODY,
    BRIEF,
    CANARY,
    JSON,
    KEY,
    LENGTH,
    count_verifications,
    expect_problem,
)
from .running import NOW, THEM, envelope_of, running
from .wire import HEAD, post


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


HTTP: dict[str, tuple[bytes, int, str]] = {
    "unknown path": (
        b"POST /v1/c4n4ry HTTP/1.1\r\nHost: x\r\n" + JSON + LENGTH + b"\r\n" + BODY,
        404,
        "not-found",
    ),
    "root": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "trailing slash": (b"POST /v1/federation/handshake/ HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "query": (b"POST /v1/federation/handshake?c4n4ry HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "encoded path": (b"POST /v1/federation/%68andshake HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "another case": (b"POST /V1/federation/handshake HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "double slash": (b"POST //v1/federation/handshake HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "dot segment": (b"POST /v1/./federation/handshake HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "absolute form": (
        b"POST https://trust.example/v1/federation/handshake HTTP/1.1\r\nHost: x\r\n\r\n",
        404,
        "not-found",
    ),
    "metrics": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"),
    "GET": (b"GET" + HEAD[4:] + b"\r\n", 405, "method-not-allowed"),
    "PUT": (b"PUT" + HEAD[4:] + LENGTH + b"\r\n" + BODY, 405, "method-not-allowed"),
    "OPTIONS": (b"OPTIONS" + HEAD[4:] + b"\r\n", 405, "method-not-allowed"),
    "no media type": (HEAD + LENGTH + b"\r\n" + BODY, 415, "unsupported-media-type"),
    "text": (
        HEAD + b"Content-Type: text/plain\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "unsupported-media-type",
    ),
    "a media type that begins alike": (
        HEAD + b"Content-Type: application/json-patch+json\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "unsupported-media-type",
    ),
    "another charset": (
        HEAD + b"Content-Type: application/json; charset=utf-16\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "unsupported-media-type",
    ),
    "another parameter": (
        HEAD + b"Content-Type: application/json; profile=c4n4ry\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "unsupported-media-type",
    ),
    "two media types": (HEAD + JSON + JSON + LENGTH + b"\r\n" + BODY, 400, "malformed-document"),
    "gzip": (
        HEAD + JSON + b"Content-Encoding: gzip\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "unsupported-media-type",
    ),
    "identity": (
        HEAD + JSON + b"Content-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "unsupported-media-type",
    ),
    "too large, declared": (
        HEAD + JSON + b"Content-Length: 16385\r\n\r\n",
        413,
        "document-too-large",
    ),
    "much too large, declared": (
        HEAD + JSON + b"Content-Length: 1048576\r\n\r\n",
        413,
        "document-too-large",
    ),
    "too large, in chunks": (
        HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(*[b" " * 4096] * 5),
        413,
        "document-too-large",
    ),
    "too large, and sent": (
        HEAD + JSON + b"Content-Length: 1048576\r\n\r\n" + b" " * 1048576,
        413,
        "document-too-large",
    ),
    "no body": (HEAD + JSON + b"\r\n", 400, "malformed-document"),
    "no JSON": (post(b"c4n4ry"), 400, "malformed-document"),
    "an array": (post(b"[]"), 400, "malformed-document"),
    "unknown member": (post(BODY[:-1] + b',"c4n4ry":1}'), 400, "malformed-document"),
    "duplicate member": (post(BODY[:-1] + b',"signature":"00"}'), 400, "malformed-document"),
    "NaN": (post(BODY.replace(b"%d" % NOW, b"NaN")), 400, "malformed-document"),
    "2^64": (post(BODY.replace(b"%d" % NOW, b"18446744073709551616")), 400, "malformed-document"),
    "17 digits": (post(BODY.replace(b"%d" % NOW, b"18000000000000000")), 400, "malformed-document"),
    "float": (post(BODY.replace(b"%d" % NOW, b"1.8e9")), 400, "malformed-document"),
    "lone surrogate": (post(BODY.replace(THEM.encode(), b"\\ud800")), 400, "malformed-document"),
    "deep nesting": (post(b"[" * 8000 + b"]" * 8000), 400, "malformed-document"),
    "byte order mark": (post(b"\xef\xbb\xbf" + BODY), 400, "malformed-document"),
    "not UTF-8": (post(BODY.replace(THEM.encode(), b"\xff")), 400, "malformed-document"),
    "UTF-16": (post(BODY.decode().encode("utf-16")), 400, "malformed-document"),
    "no HTTP": (b"c4n4ry\r\n\r\n", 400, "malformed-document"),
    "unknown version": (b"POST / HTTP/9.9\r\nHost: x\r\n\r\n", 400, "malformed-document"),
    "HTTP/0.9": (post(BODY).replace(b"HTTP/1.1", b"HTTP/0.9"), 400, "malformed-document"),
    "HTTP/2.0": (post(BODY).replace(b"HTTP/1.1", b"HTTP/2.0"), 400, "malformed-document"),
    "negative length": (HEAD + JSON + b"Content-Length: -1\r\n\r\n", 400, "malformed-document"),
    "two lengths": (
        HEAD + JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        400,
        "malformed-document",
    ),
    "length and chunks": (
        HEAD + JSON + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"{}"),
        400,
        "malformed-document",
    ),
    "broken chunk": (
        HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\nc4n4ry\r\n",
        400,
        "malformed-document",
    ),
    "NUL in a field": (HEAD + b"X: c4n4ry\x00\r\n\r\n", 400, "malformed-document"),
    "long request line": (b"GET /" + b"c4n4ry" * 400 + b" HTTP/1.1\r\n\r\n", 413, "document-too-large"),
    "long field": (HEAD + b"X: " + b"c4n4ry" * 1000 + b"\r\n\r\n", 413, "document-too-large"),
    "basic authentication": (
        post(BODY, b"Authorization: Basic YzRuNHJ5"),
        401,
        "unauthorized-bearer",
    ),
    "two tokens": (
        post(BODY, b"Authorization: Bearer c4n4ry", b"Authorization: Bearer x"),
        401,
        "unauthorized-bearer",
    ),
}


@pytest.mark.parametrize(("data", "status", "suffix"), HTTP.values(), ids=HTTP)
async def test_a_request_that_is_refused_before_it_is_judged(
    data: bytes,
    status: int,
    suffix: str,
    credentials: Credentials,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(credentials, BRIEF) as run, run.call() as caller:
        reply = await caller.ask(data)
        expect_problem(reply, status, suffix)
        assert reply["Allow"] == ("POST" if status == 405 else None)
        assert run.judge.seen == []
        assert [reason.kebab for reason in run.counts.reasons] == [suffix]
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Type: application/json",
        b"Content-Type: application/json; charset=utf-8",
        b"Content-Type: Application/JSON;charset=UTF-8",
        b'Content-Type: application/json; charset="utf-8"',
    ],
)
async def test_json_may_name_its_charset(field: bytes, credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(HEAD + field + b"\r\n" + LENGTH + b"\r\n" + BODY)).status == 200


async def test_a_body_may_come_in_chunks(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        head = HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
        assert (await caller.ask(head + chunks(BODY[:100], BODY[100:]))).status == 200


async def test_a_caller_may_ask_whether_to_send_its_body(credentials: Credentials) -> None:
    async with running(credentials, BRIEF) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(HEAD + JSON + LENGTH + b"Expect: 100-continue\r\n\r\n")).status == 100
        assert (await caller.ask(BODY)).status == 200
        reply = await caller.ask(HEAD + JSON + b"Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n")
        expect_problem(reply, 413, "document-too-large")


async def test_head_is_answered_without_a_body(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        await caller.send(b"HEAD" + HEAD[4:] + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await caller.reader.read()
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert answer.endswith(b"\r\n\r\n")


async def test_connections_are_kept_for_further_requests(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        for number in range(5):
            data = envelope_of(KEY, nonce=f"nonce-number-{number:032d}")
            assert (await caller.ask(post(data))).status == 200
        assert run.endpoint.connections == 1


async def test_requests_may_be_sent_ahead(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        await caller.send(b"".join(post(envelope_of(KEY, timestamp=NOW + number)) for number in range(5)))
        assert [(await caller.receive()).status for _ in range(5)] == [200] * 5


async def test_a_body_that_was_not_read_ends_the_connection(credentials: Credentials) -> None:
    """R-D1: what is left of it must never be taken for a request."""
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        smuggled = post(envelope_of(KEY))
        head = HEAD + b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
        reply = await caller.ask(head + smuggled)
        assert reply.status == 415
        if reply["Connection"] == "close":
            assert await caller.is_ended()
        assert run.judge.seen == []


async def test_an_upgrade_is_not_made(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        fields = (b"Connection: Upgrade", b"Upgrade: websocket")
        assert (await caller.ask(post(envelope_of(KEY), *fields))).status in {200, 400}


@pytest.mark.parametrize("refusals", ["Documented", "Uniform"])
async def test_what_is_refused_before_it_is_judged_costs_no_verification(
    refusals: str, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = count_verifications(monkeypatch)
    settings = replace(BRIEF, refusals="Uniform" if refusals == "Uniform" else "Documented")
    async with running(credentials, settings) as run:
        for data, _, suffix in HTTP.values():
            if suffix != "unauthorized-bearer":
                async with run.call() as caller:
                    await caller.ask(data)
    assert verified == []
