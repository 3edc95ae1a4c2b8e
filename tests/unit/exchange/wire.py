"""Talking to an endpoint byte by byte, and being one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import cast

DEADLINE_SECONDS = 10.0
HEAD = b"POST /v1/federation/handshake HTTP/1.1\r\nHost: trust.example\r\n"
JSON_HEAD = HEAD + b"Content-Type: application/json\r\n"


def post(body: bytes, *fields: bytes) -> bytes:
    """A whole request for a handshake."""
    lines = b"".join(line + b"\r\n" for line in fields)
    return JSON_HEAD + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


@dataclass
class Reply:
    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, name
        return values[0] if values else None

    @property
    def undated(self) -> tuple[int, list[tuple[str, str]], bytes]:
        return self.status, [item for item in self.fields if item[0] != "Date"], self.body


class Caller:
    """A client that sends what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        # The endpoint may have ended the connection already: then the answer says why.
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def receive(self) -> Reply:
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")[:-2]
            fields = [(line.partition(": ")[0], line.partition(": ")[2]) for line in head[1:]]
            reply = Reply(int(head[0].split(" ")[1]), fields, b"")
            if reply.status != 100:
                reply.body = await self.reader.readexactly(int(reply["Content-Length"] or "0"))
            return reply

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.receive()

    async def is_ended(self) -> bool:
        """Wait for the end of the connection; what arrives before it is an error."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(1) == b""
            return True


@contextlib.asynccontextmanager
async def calling(
    port: int, context: ssl.SSLContext, name: str = "trust.example", source: str = "127.0.0.1"
) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name, ssl_shutdown_timeout=0.5, local_addr=(source, 0)
    )
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, by giving way to the loop."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.001)


Answer = bytes | Callable[[asyncio.Transport], Awaitable[None]]


@dataclass
class Partner:
    """A server that answers every request with the same bytes, and keeps what it was sent."""

    port: int = 0
    connections: int = 0  # TCP connections, before any TLS
    handshakes: int = 0  # completed TLS handshakes
    received: bytes = b""  # application data


class _Serving(asyncio.Protocol):
    def __init__(self, partner: Partner, answer: Answer) -> None:
        self.partner = partner
        self.answer = answer
        self.data = b""
        self.task: asyncio.Task[None] | None = None
        partner.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.partner.handshakes += 1
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.partner.received += data
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        match = re.search(rb"(?i)content-length: ([0-9]+)", head)
        if end and self.task is None and len(body) >= int(match[1] if match else 0):
            self.task = asyncio.create_task(self.serve())

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    async def serve(self) -> None:
        if isinstance(self.answer, bytes):
            self.transport.write(self.answer)
        else:
            await self.answer(self.transport)
        self.transport.close()


@contextlib.asynccontextmanager
async def partner(answer: Answer, context: ssl.SSLContext | None) -> AsyncIterator[Partner]:
    served = Partner()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Serving(served, answer),
        "127.0.0.1",
        0,
        ssl=context,
        ssl_shutdown_timeout=0.5 if context else None,
    )
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


def http(status: int, body: bytes, *fields: str, media_type: str | None = "application/json") -> bytes:
    """An answer with its length."""
    lines = [f"HTTP/1.1 {status} Whatever", *fields, f"Content-Length: {len(body)}"]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    return "\r\n".join([*lines, "", ""]).encode() + body
