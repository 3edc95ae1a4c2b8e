"""The endpoint's answers to envelopes: every row of the refusal table (``exchange.md``), over real TLS."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import pytest

from bilateral.exchange.client import CertificateAuthority, Outbound, OutboundSettings, Target
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.errors import OutboundError, Refusal
from bilateral.exchange.settings import EndpointSettings
from bilateral.protocol.errors import (
    PeerNotPinned,
    PeerStale,
)
from bilateral.protocol.handshake import Envelope, parse_envelope
from bilateral.protocol.reasons import Reason

from .conftest import Credentials
from .refusals import (
    CANARY,
    KEY,
    OTHER,
    expect_problem,
    tampered,
)
from .running import NOW, THEM, US, Judge, envelope_of, running
from .wire import post


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
