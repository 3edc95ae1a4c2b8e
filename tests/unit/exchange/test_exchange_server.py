"""The endpoint's answers: every row of the refusal table, over real TLS (``exchange.md``)."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from bilateral.exchange.client import CertificateAuthority, Outbound, OutboundSettings, Target
from bilateral.exchange.connection import ConnectionSettings
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.errors import OutboundError, Refusal
from bilateral.exchange.handshakes import UNIFORM_REASONS
from bilateral.exchange.server import Endpoint, EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    InvalidSignature,
    KernelIdMismatch,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    ReplayedEnvelope,
    UnexpectedPeerKey,
)
from bilateral.protocol.handshake import Envelope, parse_envelope
from bilateral.protocol.reasons import Reason
from bilateral.protocol.signatures import SigningKey

from .conftest import Credentials
from .running import NOW, THEM, US, Counts, Judge, envelope_of, running
from .wire import HEAD, Reply, post, until

TYPE = "https://chio.dev/errors/federation/"
CANARY = "c4n4ry"
KEY = SigningKey.generate()
BRIEF = EndpointSettings(connection=ConnectionSettings(linger_seconds=0.1))
OTHER = SigningKey.generate()


def expect_problem(reply: Reply, status: int, suffix: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(reply.body)
    assert (reply.status, document["type"]) == (status, TYPE + suffix)
    assert document["status"] == status
    assert document["title"]
    assert reply["Content-Type"] == "application/problem+json"
    assert reply["Server"] is None
    assert reply["Cache-Control"] == "no-store"
    assert CANARY not in reply.body.decode()
    assert CANARY not in str(reply.fields)
    return document


async def test_an_accepted_envelope_is_answered_with_ours(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        reply = await caller.ask(post(envelope_of(KEY), b"Authorization: Bearer t0ken"))
        assert reply.status == 200
        assert sorted(name for name, _ in reply.fields) == [
            "Cache-Control",
            "Content-Length",
            "Content-Type",
            "Date",
        ]
        assert reply["Content-Type"] == "application/json"
        answer = parse_envelope(reply.body)
        assert (answer.challenge.local_kernel_id, answer.challenge.remote_kernel_id) == (US, THEM)
        assert answer.declared_public_key == run.judge.key.public_key
        assert run.judge.seen[0][1] == "t0ken"
        assert run.counts.accepts == 1
        assert not run.counts.reasons
        assert len(run.counts.seconds) == 1


async def test_our_client_and_our_endpoint_understand_each_other(credentials: Credentials) -> None:
    async def resolve(_: str) -> list[str]:
        return ["127.0.0.1"]

    async with running(credentials) as run:
        client = Outbound(Destinations.parse(["127.0.0.0/8"]), OutboundSettings(), resolver=resolve)
        target = Target(f"https://trust.example:{run.port}", CertificateAuthority(credentials.pem), "t0ken")
        with pytest.raises(OutboundError) as caught:
            await client.post_handshake(target, envelope_of(KEY))
        assert caught.value.reason is Reason.AWAITING_PARTNER
        run.judge.anchors[THEM] = KEY.public_key
        with pytest.raises(OutboundError) as caught:
            await client.post_handshake(target, envelope_of(KEY, timestamp=NOW - 1205))
        assert (caught.value.reason, caught.value.skew_seconds) == (Reason.CLOCK_SKEW_EXCEEDED, 1205)
        answer = parse_envelope(await client.post_handshake(target, envelope_of(KEY)))
        assert answer.challenge.local_kernel_id == US
        with pytest.raises(OutboundError) as caught:
            await client.post_handshake(target, envelope_of(KEY))
        assert caught.value.reason is Reason.REPLAYED_ENVELOPE


# The refusals of the contract


def tampered(data: bytes) -> bytes:
    document = json.loads(data)
    document["challenge"]["nonce"] = "0" * 32
    return json.dumps(document).encode()


def with_schema(data: bytes) -> bytes:
    document = json.loads(data)
    document["challenge"]["schema"] = f"chio.{CANARY}.v1"
    return json.dumps(document).encode()


JUDGED: dict[str, tuple[Callable[[], bytes], int, str, dict[str, object]]] = {
    "no anchor": (
        lambda: envelope_of(KEY, sender="org-c-kernel"),
        412,
        "missing-trust-anchor",
        {"kernelId": "org-c-kernel"},
    ),
    "skew": (
        lambda: envelope_of(KEY, timestamp=NOW - 301),
        422,
        "clock-skew-exceeded",
        {"envelope": NOW - 301, "local": NOW, "skew": 300},
    ),
    "schema": (
        lambda: with_schema(envelope_of(KEY)),
        422,
        "unsupported-schema",
        {"schema": "chio.federation-kernel-handshake.v1"},
    ),
    "signature": (lambda: tampered(envelope_of(KEY)), 401, "invalid-signature", {}),
    "addressee": (lambda: envelope_of(KEY, addressee="org-c-kernel"), 421, "address-mismatch", {}),
    "ourselves": (lambda: envelope_of(KEY, sender=US), 403, "kernel-id-mismatch", {}),
    "another key": (lambda: envelope_of(OTHER), 403, "unexpected-peer-key", {"kernelId": THEM}),
}


@pytest.mark.parametrize(("data", "status", "suffix", "members"), JUDGED.values(), ids=JUDGED)
async def test_a_judged_refusal(
    data: Callable[[], bytes],
    status: int,
    suffix: str,
    members: dict[str, object],
    credentials: Credentials,
) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        document = expect_problem(await caller.ask(post(data())), status, suffix)
        known = {"type", "title", "status", "detail"}
        assert {name: value for name, value in document.items() if name not in known} == members
        assert not run.judge.pins
        assert [reason.kebab for reason in run.counts.reasons] == [suffix]
        # The refusal was about the envelope: the connection is good for another.
        assert (await caller.ask(post(envelope_of(KEY)))).status == 200


async def test_a_replay_is_refused(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(post(envelope_of(KEY)))).status == 200
        expect_problem(await caller.ask(post(envelope_of(KEY))), 409, "replayed-envelope")


RAISED: dict[str, tuple[Exception, int, str]] = {
    "stale": (PeerStale(THEM), 409, "peer-stale"),
    "not pinned": (PeerNotPinned(THEM), 409, "peer-not-pinned"),
    "wrong token": (Refusal(Reason.UNAUTHORIZED_BEARER), 401, "unauthorized-bearer"),
    "not ready": (Refusal(Reason.NOT_READY, retry_after=5), 503, "not-ready"),
    "too many": (Refusal(Reason.TOO_MANY_REQUESTS, retry_after=7), 429, "too-many-requests"),
    "a fault": (ValueError(CANARY), 500, "internal-error"),
    "an internal error group": (ExceptionGroup(CANARY, [ValueError(CANARY)]), 500, "internal-error"),
    "an error without a reason": (OSError(CANARY), 500, "internal-error"),
}


@pytest.mark.parametrize(("error", "status", "suffix"), RAISED.values(), ids=RAISED)
async def test_a_raised_refusal(
    error: Exception, status: int, suffix: str, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(credentials) as run, run.call() as caller:
        run.judge.error = error
        reply = await caller.ask(post(envelope_of(KEY)))
        expect_problem(reply, status, suffix)
        assert reply["Retry-After"] == {503: "5", 429: "7"}.get(status)
        assert reply["WWW-Authenticate"] == ("Bearer" if status == 401 else None)
        assert [reason.kebab for reason in run.counts.reasons] == [suffix]
    assert CANARY not in caplog.text
    faults = [record for record in caplog.records if record.name == "bilateral.exchange.server"]
    assert len(faults) == (status == 500)
    assert all(not record.exc_info and record.__dict__["error"] == type(error).__name__ for record in faults)


async def test_a_reason_that_is_for_our_side_is_not_told(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.error = Refusal(Reason.SUSPENDED)
        expect_problem(await caller.ask(post(envelope_of(KEY))), 500, "internal-error")
        assert run.counts.reasons == {Reason.SUSPENDED: 1}


async def test_a_handler_that_takes_too_long_is_not_waited_for(credentials: Credentials) -> None:
    class Slow(Judge):
        async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:
            await asyncio.Event().wait()
            raise AssertionError

    settings = EndpointSettings(handler_seconds=0.05)
    async with running(credentials, settings, judge=Slow()) as run, run.call() as caller:
        reply = await caller.ask(post(envelope_of(KEY)))
        expect_problem(reply, 503, "not-ready")
        assert reply["Retry-After"] == "5"


# The refusals of HTTP

JSON = b"Content-Type: application/json\r\n"
BODY = envelope_of(KEY)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


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


# Uniform refusals (R-H1)

UNIFORM: dict[str, Callable[[], bytes]] = {
    "unknown peer": lambda: envelope_of(KEY, sender="org-c-kernel"),
    "wrong key": lambda: envelope_of(OTHER),
    "bad signature": lambda: tampered(envelope_of(KEY)),
    "unknown addressee": lambda: envelope_of(KEY, addressee="org-z-kernel"),
    "ourselves": lambda: envelope_of(KEY, sender=US),
}


async def test_uniform_refusals_are_the_same_to_the_byte(credentials: Credentials) -> None:
    async with running(credentials, EndpointSettings(refusals="Uniform")) as run:
        run.judge.anchors[THEM] = KEY.public_key
        answers = []
        for name, data in UNIFORM.items():
            async with run.call() as caller:
                reply = await caller.ask(post(data()))
                expect_problem(reply, 403, "refused")
                answers.append((name, reply.undated))
        async with run.call() as caller:
            answers.append(("bad token", (await caller.ask(post(BODY, b"Authorization: Basic x"))).undated))
        for error in (
            Refusal(Reason.UNAUTHORIZED_BEARER),
            MissingTrustAnchor(THEM),
            UnexpectedPeerKey(THEM, "a", "b"),
            InvalidSignature(),
            KernelIdMismatch("a", "b"),
            AddressMismatch("a", "b"),
        ):
            async with run.call() as caller:
                run.judge.error = error
                answers.append((type(error).__name__, (await caller.ask(post(BODY))).undated))
        assert {repr(answer) for _, answer in answers} == {repr(answers[0][1])}
        # Our own side still knows why.
        assert set(run.counts.reasons) == UNIFORM_REASONS


@pytest.mark.parametrize(
    ("error", "status"),
    [(ClockSkewExceeded(NOW - 999, NOW, 300), 422), (ReplayedEnvelope(THEM), 409), (PeerStale(THEM), 409)],
)
async def test_other_refusals_stay_as_documented(
    error: Exception, status: int, credentials: Credentials
) -> None:
    async with running(credentials, EndpointSettings(refusals="Uniform")) as run, run.call() as caller:
        run.judge.error = error
        assert (await caller.ask(post(BODY))).status == status


@pytest.mark.parametrize("error", [Refusal(Reason.UNAUTHORIZED_BEARER), None], ids=["bad token", "no anchor"])
async def test_a_uniform_refusal_costs_one_verification_whatever_its_cause(
    error: Exception | None, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = count_verifications(monkeypatch)
    async with running(credentials, EndpointSettings(refusals="Uniform")) as run, run.call() as caller:
        run.judge.error = error
        assert (await caller.ask(post(BODY))).status == 403
    assert verified == [True]


def count_verifications(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    import bilateral.exchange.handshakes as exchange
    import bilateral.protocol.acceptance as acceptance
    from bilateral.protocol.signatures import verify_signature

    verified: list[bool] = []

    def count(*arguments: object) -> None:
        verified.append(True)
        verify_signature(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(acceptance, "verify_signature", count)
    monkeypatch.setattr(exchange, "verify_signature", count)
    return verified


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


# Life


async def test_stopping_lets_a_request_finish(credentials: Credentials) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    class Waiting(Judge):
        async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:
            entered.set()
            await leave.wait()
            return await super().handle(envelope, bearer)

    async with running(credentials, judge=Waiting()) as run:
        run.judge.anchors[THEM] = KEY.public_key
        async with run.call() as caller, run.call() as idle:
            await caller.send(post(envelope_of(KEY)))
            await entered.wait()
            stopping = asyncio.create_task(run.endpoint.stop())
            assert await idle.is_ended()
            with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the kernel has it
                async with run.call():
                    pass
            leave.set()
            assert (await caller.receive()).status == 200
            await stopping
            assert run.endpoint.connections == 0


async def test_stopping_does_not_wait_for_ever(credentials: Credentials) -> None:
    class Stuck(Judge):
        async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:
            self.seen.append((envelope, bearer))
            await asyncio.Event().wait()
            raise AssertionError

    async with running(credentials, judge=Stuck()) as run, run.call() as caller:
        await caller.send(post(envelope_of(KEY)))
        await until(lambda: bool(run.judge.seen))
        async with asyncio.timeout(5):
            await run.endpoint.stop(grace_seconds=0.05)
        assert await caller.is_ended()


async def test_an_endpoint_is_started_once(credentials: Credentials) -> None:
    async with running(credentials) as run:
        with pytest.raises(RuntimeError):
            await run.endpoint.start("127.0.0.1", 0)
        await run.endpoint.stop()
        await run.endpoint.stop()


async def test_a_taken_address_is_an_error(credentials: Credentials) -> None:
    async with running(credentials) as run:
        second = Endpoint(run.judge, run.store, EndpointSettings(), run.counts)
        with pytest.raises(OSError):  # noqa: PT011 - the kernel's words
            await second.start("127.0.0.1", run.port)
        await second.stop()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("listen", ["::1", "::"])
async def test_ipv6_is_served_and_asked(listen: str, credentials: Credentials) -> None:
    judge, counts, store = Judge(anchors={THEM: KEY.public_key}), Counts(), CertificateStore()
    store.replace({"[::1]": credentials.pair("::1")})
    endpoint = Endpoint(judge, store, EndpointSettings(), counts)
    port = await endpoint.start(listen, 0)
    try:
        client = Outbound(Destinations.parse(["::1"]))
        target = Target(f"https://[::1]:{port}", CertificateAuthority(credentials.pem))
        assert parse_envelope(await client.post_handshake(target, envelope_of(KEY))).challenge.nonce
        client.close()
    finally:
        await endpoint.stop()


async def test_the_certificate_is_replaced_while_running(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as kept:
        run.store.replace({"new.example": credentials.pair("new.example")})
        run.judge.anchors[THEM] = KEY.public_key
        async with run.call("new.example") as caller:
            assert (await caller.ask(post(envelope_of(KEY)))).status == 200
        expect_problem(await kept.ask(post(envelope_of(KEY))), 409, "replayed-envelope")
