"""One outbound connection: to an address that was vetted, and mute until its peer is verified.

Rules (R-S2, R-T6): the address comes from ``destinations``, never from the URL; the name is only
used for SNI and for verification; the plain stream can neither read nor write, so nothing can be
said before TLS; after the handshake the verifier has its say before the stream is handed on, so
that a peer of another certificate receives not one byte of a request.

It is httpcore's network interface, and speaks no HTTP.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import httpcore

from bilateral.exchange.addresses import Address
from bilateral.exchange.errors import OutboundError
from bilateral.exchange.verifiers import Verifier, verify_presented
from bilateral.protocol.reasons import Reason

_MAX_ATTEMPTS = 4
_READ_LIMIT = 64 * 1024


class VettedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the given addresses, whatever it is asked for."""

    def __init__(
        self,
        addresses: Sequence[Address],
        verifier: Verifier,
        now: Callable[[], float],
        connect_seconds: float,
    ) -> None:
        self._addresses = addresses
        self._verifier = verifier
        self._now = now
        self._connect_seconds = connect_seconds

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the name was resolved and vetted before
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - one deadline covers all attempts and TLS
        local_address: str | None = None,  # noqa: ARG002 - the signature is httpcore's
        socket_options: Iterable[object] | None = None,  # noqa: ARG002 - as above
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first vetted address that answers, none taking more than its share of time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._connect_seconds
        addresses = self._addresses[:_MAX_ATTEMPTS]
        for number, address in enumerate(addresses):
            share = (deadline - loop.time()) / (len(addresses) - number)
            connection = await _connect(address, port, share)
            if connection is not None:
                return _Unverified(connection, self._verifier, self._now, deadline)
        raise OutboundError(Reason.CONNECTION_FAILED)


async def _connect(address: Address, port: int, seconds: float) -> socket.socket | None:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
    except OSError:
        # TimeoutError is one, too.
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


class _Unverified(httpcore.AsyncNetworkStream):
    """A TCP connection, on which only a TLS handshake can be made."""

    def __init__(
        self, connection: socket.socket, verifier: Verifier, now: Callable[[], float], deadline: float
    ) -> None:
        self._connection = connection
        self._verifier = verifier
        self._now = now
        self._deadline = deadline

    async def aclose(self) -> None:
        self._connection.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - see connect_tcp
    ) -> httpcore.AsyncNetworkStream:
        """Do the handshake and ask the verifier; only then is there a stream to write to."""
        try:
            async with asyncio.timeout_at(self._deadline):
                reader, writer = await asyncio.open_connection(
                    sock=self._connection,
                    ssl=ssl_context,
                    server_hostname=server_hostname or "",
                    ssl_shutdown_timeout=1.0,
                    limit=_READ_LIMIT,
                )
        except ssl.SSLCertVerificationError:
            # asyncio has closed the socket, here and below.
            raise OutboundError(Reason.TLS_VERIFICATION_FAILED) from None
        except OSError:
            # Including TimeoutError, and ssl.SSLError: an alert, or no TLS at all.
            raise OutboundError(Reason.CONNECTION_FAILED) from None
        stream = _Verified(reader, writer)
        try:
            verify_presented(self._verifier, stream.presented, self._now())
        except BaseException:
            await stream.aclose()
            raise
        return stream


class _Verified(httpcore.AsyncNetworkStream):
    """A TLS connection whose peer is the one we meant."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def presented(self) -> bytes | None:
        """The leaf that the peer proved to hold the key of, as DER."""
        connection = self._writer.get_extra_info("ssl_object")
        der: bytes | None = connection.getpeercert(binary_form=True)
        return der

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - see connect_tcp
        try:
            return await self._reader.read(max_bytes)
        except OSError:
            raise httpcore.ReadError from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - see connect_tcp
        try:
            self._writer.write(buffer)
            await self._writer.drain()
        except OSError:
            # httpcore then looks for an answer all the same: a server may refuse before it has read.
            raise httpcore.WriteError from None

    async def aclose(self) -> None:
        # The answer is complete or not wanted: nothing is gained by waiting for the peer's goodbye.
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    def get_extra_info(self, info: str) -> object:
        return self._writer.get_extra_info(info)
