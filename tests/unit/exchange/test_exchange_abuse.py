"""R-D1: slow senders, floods, and what they may cost; over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import dataclass

import pytest

from bilateral.exchange.connection import ConnectionSettings
from bilateral.exchange.limits import LimitSettings
from bilateral.exchange.requests import BodySettings
from bilateral.exchange.settings import EndpointSettings
from bilateral.protocol.reasons import Reason
from bilateral.protocol.signatures import SigningKey

from .conftest import Credentials
from .running import NOW, THEM, Running, envelope_of, running
from .wire import HEAD, JSON_HEAD, Caller, post, until

KEY = SigningKey.generate()
SLOW = EndpointSettings(
    tls_handshake_seconds=0.1,
    connection=ConnectionSettings(head_seconds=0.1, idle_seconds=0.3, write_seconds=0.1, linger_seconds=0.1),
    body=BodySettings(body_seconds=0.1),
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


async def drip(caller: Caller, data: bytes) -> None:
    """Send a byte at a time until the other side ends it."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        for index in range(len(data)):
            if caller.writer.is_closing():
                return
            caller.writer.write(data[index : index + 1])
            await caller.writer.drain()
            await asyncio.sleep(0.01)


# Slow senders


async def test_a_connection_that_says_nothing_is_ended(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        assert await caller.is_ended()
        assert run.counts.reasons == {Reason.REQUEST_TIMEOUT: 1}
        await until(lambda: run.endpoint.connections == 0)


@pytest.mark.parametrize("data", [b"P", HEAD, HEAD + b"X: y\r\n"])
async def test_half_a_head_is_not_waited_for(data: bytes, credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        await caller.send(data)
        assert await caller.is_ended()
        assert run.counts.reasons == {Reason.REQUEST_TIMEOUT: 1}


async def test_a_head_that_drips_is_cut_off(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        dripping = asyncio.create_task(drip(caller, HEAD + b"X: " + b"y" * 1000))
        assert await caller.is_ended()
        await dripping
        assert run.counts.reasons == {Reason.REQUEST_TIMEOUT: 1}


async def test_a_second_head_that_drips_is_cut_off_too(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(post(envelope_of(KEY)))).status == 200
        dripping = asyncio.create_task(drip(caller, HEAD + b"X: " + b"y" * 1000))
        assert await caller.is_ended()
        await dripping
        assert run.counts.reasons == {Reason.REQUEST_TIMEOUT: 1}


async def test_half_a_body_is_a_timeout(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        reply = await caller.ask(post(envelope_of(KEY))[:-1])
        assert reply.status == 408
        assert reply["Connection"] == "close"
        assert run.counts.reasons == {Reason.REQUEST_TIMEOUT: 1}


async def test_a_body_that_drips_is_a_timeout(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        await caller.send(JSON_HEAD + b"Content-Length: 1000\r\n\r\n")
        dripping = asyncio.create_task(drip(caller, b" " * 1000))
        assert (await caller.receive()).status == 408
        dripping.cancel()


async def test_an_idle_connection_is_ended(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(post(envelope_of(KEY)))).status == 200
        assert await caller.is_ended()
        assert not run.counts.reasons
        await until(lambda: run.endpoint.connections == 0)


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_connection_without_tls_is_ended(data: bytes, credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run:
        reader, writer = await asyncio.open_connection("127.0.0.1", run.port)
        writer.write(data)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.transport.abort()
        await until(lambda: run.endpoint.connections == 0)


async def test_an_answer_that_is_not_read_is_not_kept(credentials: Credentials) -> None:
    """slowhttptest -X: requests sent ahead, whose answers nobody takes."""
    async with running(credentials, SLOW) as run:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", run.port))
        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=run.trust, server_hostname="trust.example", limit=1
        )
        assert reader is not None
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                writer.write(post(b"{}") * 50)
                await asyncio.sleep(0)
        await until(lambda: run.endpoint.connections == 0)
        writer.transport.abort()


# A process that was not run for a while must not take that out on its callers


def stall() -> None:
    """Hold the loop up for longer than any limit of SLOW."""
    time.sleep(0.5)


async def is_reading_a_body(run: Running) -> None:
    """Wait until the endpoint has read a head and its handler was begun."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert run.endpoint.connections == 1


@pytest.mark.parametrize("sent", ["before", "after"])
async def test_a_body_that_waited_for_us_is_read(sent: str, credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        request = post(envelope_of(KEY))
        await caller.send(request[:-1])
        await is_reading_a_body(run)
        if sent == "before":
            caller.writer.write(request[-1:])  # it lies in the kernel meanwhile
        stall()
        if sent == "after":
            caller.writer.write(request[-1:])
        assert (await caller.receive()).status == 200


@pytest.mark.parametrize("sent", ["before", "after"])
async def test_a_head_that_waited_for_us_is_read(sent: str, credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        request = post(envelope_of(KEY))
        if sent == "before":
            caller.writer.write(request)
        stall()
        if sent == "after":
            caller.writer.write(request)
        assert (await caller.receive()).status == 200


@pytest.mark.parametrize("sent", ["before", "after"])
async def test_a_second_request_that_waited_for_us_is_answered(sent: str, credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(post(envelope_of(KEY)))).status == 200
        second = post(envelope_of(KEY, timestamp=NOW + 1))
        if sent == "before":
            caller.writer.write(second)
        stall()
        if sent == "after":
            caller.writer.write(second)
        assert (await caller.receive()).status == 200


async def test_a_tls_handshake_that_waited_for_us_is_ended_well(credentials: Credentials) -> None:
    async with running(credentials, SLOW) as run:
        calling = asyncio.ensure_future(
            asyncio.open_connection("127.0.0.1", run.port, ssl=run.trust, server_hostname="trust.example")
        )
        await until(lambda: run.endpoint.connections == 1)
        stall()
        _, writer = await calling
        writer.transport.abort()


# Sizes


async def test_a_head_of_many_short_fields_is_too_large(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        fields = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 300) for number in range(30))
        await caller.send(HEAD + fields + b"\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert (await caller.receive()).status == 413
        assert run.counts.reasons == {Reason.DOCUMENT_TOO_LARGE: 1}


async def test_a_head_without_end_is_cut_off(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        await caller.send(HEAD + b"".join(b"X: %d\r\n" % number for number in range(3000)))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert (await caller.receive()).status in {400, 413}
        assert await caller.is_ended()
        assert sum(run.counts.reasons.values()) == 1
        await until(lambda: run.endpoint.connections == 0)


async def test_a_large_head_behind_another_request_is_too_large(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        fields = tuple(b"X-%d: %b" % (number, b"y" * 300) for number in range(30))
        await caller.send(post(envelope_of(KEY)) + post(envelope_of(KEY, timestamp=NOW + 1), *fields))
        assert [(await caller.receive()).status for _ in range(2)] == [200, 413]


async def test_eight_kibibytes_are_enough_for_the_longest_token(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        token = b"x" * 4096
        assert (await caller.ask(post(envelope_of(KEY), b"Authorization: Bearer " + token))).status == 200
        assert run.judge.seen[0][1] == token.decode()


async def test_the_largest_body_is_read(credentials: Credentials) -> None:
    async with running(credentials) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        data = envelope_of(KEY)
        assert (await caller.ask(post(data + b" " * (16384 - len(data))))).status == 200


# Rates and places


async def test_a_source_that_asks_too_often_is_told_to_wait(credentials: Credentials) -> None:
    clock = Clock()
    limits = LimitSettings(requests_per_second=0.5, requests_burst=2)
    async with running(credentials, EndpointSettings(limits=limits), clock) as run, run.call() as caller:
        run.judge.anchors[THEM] = KEY.public_key
        assert [(await caller.ask(post(b"{}"))).status for _ in range(3)] == [400, 400, 429]
        reply = await caller.ask(post(b"{}"))
        assert (reply.status, reply["Retry-After"]) == (429, "2")
        clock.now += 2
        async with run.call() as again:
            assert (await again.ask(post(envelope_of(KEY)))).status == 200


async def test_places_are_bounded_and_given_back(credentials: Credentials) -> None:
    limits = LimitSettings(max_connections_per_source=2)
    async with running(credentials, EndpointSettings(limits=limits)) as run:
        run.judge.anchors[THEM] = KEY.public_key
        async with run.call(), run.call():
            assert run.endpoint.connections == 2
            with pytest.raises(OSError):  # noqa: PT011 - a reset, however the kernel names it
                async with run.call():
                    pass
            assert run.counts.reasons == {Reason.TOO_MANY_REQUESTS: 1}
        await until(lambda: run.endpoint.connections == 0)
        async with run.call() as caller:
            assert (await caller.ask(post(envelope_of(KEY)))).status == 200


async def test_a_place_is_given_back_after_a_failed_handshake(credentials: Credentials) -> None:
    limits = LimitSettings(max_connections=1)
    async with running(credentials, EndpointSettings(limits=limits)) as run:
        for _ in range(5):
            with pytest.raises(ssl.SSLError):
                async with run.call("unknown.example"):
                    pass
            await until(lambda: run.endpoint.connections == 0)
        async with run.call() as caller:
            assert (await caller.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status == 404


async def test_connections_begun_too_fast_are_reset(credentials: Credentials) -> None:
    clock = Clock()
    limits = LimitSettings(connections_per_second=1.0, connections_burst=3)
    async with running(credentials, EndpointSettings(limits=limits), clock) as run:
        for _ in range(3):
            async with run.call():
                pass
        with pytest.raises(OSError):  # noqa: PT011 - a reset, however the kernel names it
            async with run.call():
                pass
        clock.now += 1
        async with run.call():
            pass


async def test_a_flood_leaves_room(credentials: Credentials) -> None:
    """300 strangers at once, three for every place; a known partner, connected before, is served."""
    limits = LimitSettings(max_connections_per_source=100)
    async with running(credentials, EndpointSettings(limits=limits)) as run, run.call() as known:
        run.judge.anchors[THEM] = KEY.public_key
        most = 0
        some_were_turned_away = asyncio.Event()

        async def stranger(number: int) -> None:
            nonlocal most
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with run.call() as caller:
                    most = max(most, run.endpoint.connections)
                    # Whoever got a place keeps it until there were more than places.
                    await some_were_turned_away.wait()
                    await caller.ask(post(b"[" * number))

        flood = [asyncio.create_task(stranger(number)) for number in range(300)]
        for number in range(10):
            assert (await known.ask(post(envelope_of(KEY, timestamp=NOW + number)))).status == 200
        await until(lambda: run.counts.reasons[Reason.TOO_MANY_REQUESTS] > 0)
        some_were_turned_away.set()
        await asyncio.gather(*flood)
        assert most <= 100
        assert run.counts.accepts == 10
        await until(lambda: run.endpoint.connections == 1)


async def test_many_strangers_leave_a_known_partner_its_rate(credentials: Credentials) -> None:
    """From an address where nobody proved himself yet, the total rate is shared with every stranger."""
    clock = Clock()
    limits = LimitSettings(total_requests_per_second=1.0, total_requests_burst=3)
    async with running(credentials, EndpointSettings(limits=limits), clock) as run:
        run.judge.anchors[THEM] = KEY.public_key
        async with run.call() as known:
            assert (await known.ask(post(envelope_of(KEY)))).status == 200
            for number in range(4):
                async with run.call(source=f"127.0.3.{number + 1}") as stranger:
                    assert (await stranger.ask(post(b"{}"))).status == (400 if number < 2 else 429)
            assert (await known.ask(post(envelope_of(KEY, timestamp=NOW + 1)))).status == 200


async def test_a_refused_envelope_makes_nobody_known(credentials: Credentials) -> None:
    limits = LimitSettings(max_connections=1, known_connections=1)
    async with running(credentials, EndpointSettings(limits=limits)) as run, run.call() as caller:
        assert (await caller.ask(post(envelope_of(KEY)))).status == 412
        with pytest.raises(OSError):  # noqa: PT011 - a reset, however the kernel names it
            async with run.call():
                pass
        run.judge.anchors[THEM] = KEY.public_key
        assert (await caller.ask(post(envelope_of(KEY)))).status == 200
        async with run.call():
            pass


async def test_of_a_hundred_copies_one_is_accepted(credentials: Credentials) -> None:
    async with running(credentials) as run:
        run.judge.anchors[THEM] = KEY.public_key
        data = post(envelope_of(KEY))

        async def ask() -> int:
            async with run.call() as caller:
                return (await caller.ask(data)).status

        answers = await asyncio.gather(*(ask() for _ in range(100)))
        assert sorted(answers) == [200] + [409] * 99
