"""A context for somebody else's client: judged like our own, whatever the library does with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import aiohttp
import pytest

from bilateral.client import (
    ClientError,
    HandshakeRefused,
    PartnerStale,
    PeerNotVerified,
    ServiceNotFound,
    service_url,
    ssl_context,
)
from bilateral.pki.identities import HeldIdentity
from unit.client.pod import Organisation, Pod, peers_json, pin
from unit.client.serving import Loopback, server_context, serving

NOW = int(time.time())
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def api(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> Iterator[Loopback]:
    with serving(server_context(api_b)) as seen:
        introduced.know("api", seen.url, org_b, auths=[org_b], peer="org-b-kernel")
        yield seen


@contextlib.contextmanager
def connected(api: Loopback) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as raw:
        yield raw


def test_the_service_itself_is_verified_whatever_name_is_asked_for(introduced: Pod, api: Loopback) -> None:
    context = ssl_context("api", introduced.root)
    assert service_url("api", introduced.root) == api.url
    for name in ("localhost", "api", "elsewhere.example", None):
        with connected(api) as raw, context.wrap_socket(raw, server_hostname=name) as connection:
            connection.sendall(REQUEST)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_context_lives_as_long_as_the_program(
    introduced: Pod, api: Loopback, org_b: Organisation, stranger: Organisation
) -> None:
    context = ssl_context("api", introduced.root)
    introduced.know("api", api.url, stranger, auths=[org_b])
    with connected(api) as raw, pytest.raises(HandshakeRefused) as caught:
        context.wrap_socket(raw)
    assert isinstance(caught.value.error, PeerNotVerified)
    introduced.know("api", api.url, org_b, auths=[org_b])
    with connected(api) as raw, context.wrap_socket(raw):
        pass


def test_what_must_not_begin_says_nothing_at_all(introduced: Pod, api: Loopback) -> None:
    context = ssl_context("api", introduced.root)
    introduced.servers.remove("api.yaml")
    with connected(api) as raw, pytest.raises(HandshakeRefused) as caught:
        context.wrap_socket(raw)
    assert isinstance(caught.value.error, ServiceNotFound)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing)
    with pytest.raises(HandshakeRefused):
        connection.do_handshake()
    assert outgoing.read() == b""
    assert api.handshakes == 0


def test_a_service_that_cannot_be_used_has_no_context(introduced: Pod) -> None:
    with pytest.raises(ServiceNotFound):
        ssl_context("api", introduced.root)


def test_a_context_asks_for_the_deadline_at_each_connection(introduced: Pod, api: Loopback) -> None:
    peers = introduced.mount_peers(org_b_kernel=NOW + 100)
    now = float(NOW)
    context = ssl_context("api", introduced.root, now=lambda: now)
    with connected(api) as raw, context.wrap_socket(raw):
        pass
    now = NOW + 100
    with connected(api) as raw, pytest.raises(HandshakeRefused) as caught:
        context.wrap_socket(raw)
    assert isinstance(caught.value.error, PartnerStale)
    peers.replace({"peers.json": peers_json(org_b_kernel=NOW + 200)})
    with connected(api) as raw, context.wrap_socket(raw):
        pass


@pytest.mark.parametrize("way", ["send", "sendall", "write"])
def test_on_an_open_connection_nothing_is_sent_past_the_deadline(
    way: str, introduced: Pod, api: Loopback
) -> None:
    peers = introduced.mount_peers(org_b_kernel=NOW + 100)
    now = float(NOW)
    context = ssl_context("api", introduced.root, now=lambda: now)
    with connected(api) as raw, context.wrap_socket(raw) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        now = NOW + 100
        with pytest.raises(HandshakeRefused) as caught:
            getattr(connection, way)(REQUEST)
        assert isinstance(caught.value.error, PartnerStale)
        # Whoever is fresh again may go on.
        peers.replace({"peers.json": peers_json(org_b_kernel=NOW + 200)})
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        introduced.servers.remove("api.yaml")
        with pytest.raises(HandshakeRefused) as caught:
            connection.sendall(REQUEST)
        assert isinstance(caught.value.error, ServiceNotFound)
    assert len(api.requests) == 2


async def test_aiohttp_uses_no_open_connection_past_the_deadline(introduced: Pod, api: Loopback) -> None:
    introduced.mount_peers(org_b_kernel=NOW + 100)
    now = float(NOW)
    connector = aiohttp.TCPConnector(ssl=ssl_context("api", introduced.root, now=lambda: now))
    async with aiohttp.ClientSession(api.url, connector=connector) as http:
        for _ in range(2):
            async with http.get("/") as answer:
                assert await answer.text() == "ok"
        assert api.connections == 1
        now = NOW + 100
        with pytest.raises(aiohttp.ClientError):
            await http.get("/")
    assert len(api.requests) == 2


@pytest.mark.parametrize("way", ["send", "sendall", "write", "recv", "do_handshake"])
def test_nothing_is_said_before_the_pin_has_matched_even_without_a_handshake_of_the_callers(
    way: str, introduced: Pod, org_b: Organisation, api: Loopback
) -> None:
    """OpenSSL does a handshake by itself on the first write: the judge must come first all the same."""
    introduced.know("api", api.url, pin(org_b.certificate))
    context = ssl_context("api", introduced.root)
    with (
        connected(api) as raw,
        context.wrap_socket(raw, do_handshake_on_connect=False) as connection,
    ):
        action = getattr(connection, way)
        for _ in range(2):
            with pytest.raises(HandshakeRefused):
                action(REQUEST) if way in {"send", "sendall", "write"} else action()
    assert api.received == b""


def test_the_same_holds_in_memory(introduced: Pod, org_b: Organisation, api: Loopback) -> None:
    introduced.know("api", api.url, pin(org_b.certificate))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = ssl_context("api", introduced.root).wrap_bio(incoming, outgoing)
    with connected(api) as raw:
        refused: ClientError | None = None
        while refused is None:
            try:
                connection.write(REQUEST)
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
            except HandshakeRefused as error:
                refused = error.error
        for action in (lambda: connection.write(REQUEST), connection.read, connection.do_handshake):
            with pytest.raises(HandshakeRefused):
                action()
        raw.sendall(outgoing.read())
    assert refused.cause == "pin-mismatch"
    assert api.received == b""


@pytest.mark.parametrize("pinned", [True, False])
async def test_asyncio_ends_a_refused_handshake_with_its_reason(
    pinned: bool, introduced: Pod, org_b: Organisation, stranger: Organisation, api: Loopback
) -> None:
    introduced.know("api", api.url, pin(org_b.certificate) if pinned else stranger)
    with pytest.raises(HandshakeRefused) as caught:
        await asyncio.open_connection("127.0.0.1", api.port, ssl=ssl_context("api", introduced.root))
    assert caught.value.error.cause == ("pin-mismatch" if pinned else "other-authority")
    assert str(caught.value) == str(caught.value.error)
    assert api.received == b""


async def test_asyncio_connects(introduced: Pod, api: Loopback) -> None:
    context = ssl_context("api", introduced.root)
    context.set_alpn_protocols(["http/1.1"])
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=context)
    writer.write(REQUEST)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


def test_the_context_itself_trusts_nobody(introduced: Pod, api: Loopback) -> None:
    """Should a library reach around the wrapping methods, there is nothing there to trust with."""
    context = ssl_context("api", introduced.root)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []
    with connected(api) as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.SSLContext.wrap_socket(context, raw, server_hostname="localhost")
