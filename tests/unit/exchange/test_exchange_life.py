"""Starting, stopping and replacing certificates while the endpoint runs."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bilateral.exchange.client import CertificateAuthority, Outbound, Target
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.handshake import Envelope, parse_envelope

from .conftest import Credentials
from .refusals import (
    KEY,
    expect_problem,
)
from .running import THEM, Counts, Judge, envelope_of, running
from .wire import post, until


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
        second = Endpoint({}, run.store, EndpointSettings(), run.counts)
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
    settings = EndpointSettings()
    endpoint = Endpoint(build_partner_routes(judge, settings), store, settings, counts)
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
