"""Small buffers carry as much as large ones."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from asyncio import sslproto
from datetime import UTC, datetime
from typing import Any

import pytest

from bilateral.engine.memory import SWEEP_TICKS, TLS_READ_BYTES, Broom, keep_small
from bilateral.exchange.tls import build_server_context
from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate

MUCH = 3 * 2**20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol: Any = sslproto.SSLProtocol
    monkeypatch.setattr(protocol, "max_size", protocol.max_size)  # put back after the test
    keep_small()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    now = datetime.now(UTC)
    authority = generate_authority(
        Subject(common_name="CA"), algorithm="ECDSAP256", validity_seconds=7200, now=now
    )
    issued = issue_server_certificate(authority, ["localhost"], validity_seconds=3600, now=now)
    server = build_server_context(issued.cert_pem, issued.key_pem)
    return server, ssl.create_default_context(cadata=authority.certificate_pem.decode())


@pytest.mark.usefixtures("small")
async def test_much_goes_through_in_both_directions() -> None:
    """A page of a list has some megabytes."""
    buffers: set[int] = set()

    def look(writer: asyncio.StreamWriter) -> None:
        transport: Any = writer.transport
        buffers.add(len(transport._ssl_protocol._ssl_buffer))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(MUCH))
        await writer.drain()
        look(writer)
        writer.close()

    ours, theirs = contexts()
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=ours)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=theirs, server_hostname="localhost"
        )
        data = bytes(range(256)) * (MUCH // 256)
        writer.write(data)
        async with asyncio.timeout(20):
            assert await reader.readexactly(MUCH) == data
        look(writer)
        writer.transport.abort()
    assert buffers == {TLS_READ_BYTES}


def test_a_python_without_that_buffer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol: Any = sslproto.SSLProtocol
    monkeypatch.delattr(protocol, "max_size")
    keep_small()
    assert not hasattr(protocol, "max_size")


class Knot:
    """An object that holds itself: only a search for cycles finds it."""

    def __init__(self) -> None:
        self.self = self


def test_old_cycles_go_once_in_a_while() -> None:
    gc.collect()
    gc.disable()
    try:
        kept = Knot()
        knot = weakref.ref(kept)
        broom = Broom()
        gc.collect(1)  # it has aged: a search among the young does not find it any more
        del kept
        for _ in range(SWEEP_TICKS - 1):
            broom.tick()
        assert knot() is not None
        broom.tick()
        assert knot() is None
    finally:
        gc.enable()


def test_where_nothing_happened_nothing_is_swept() -> None:
    gc.disable()
    try:
        gc.collect()
        assert not Broom().sweep()
    finally:
        gc.enable()


def test_what_is_held_at_the_start_is_not_searched_again() -> None:
    before = gc.get_freeze_count()
    try:
        Broom().settle()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
