"""Programs' own servers on loopback, for as long as a block runs: asyncio's, aiohttp's and uvicorn's."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from aiohttp import web

from support.waiting import wait_for
from unit.client.serving import SECONDS


@asynccontextmanager
async def serving_asyncio(context: ssl.SSLContext, asked: Callable[[object], str]) -> AsyncIterator[int]:
    """Answer each request with what ``asked`` says of its connection; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                body = asked(writer.get_extra_info("ssl_object")).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def serving_aiohttp(app: web.Application, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Yields the port."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextmanager
def serving_uvicorn(config: uvicorn.Config) -> Iterator[int]:
    """In a thread; yields the port. Where it listens is set here."""
    config.host, config.port = "127.0.0.1", 0
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        wait_for(lambda: running.started, "uvicorn has started")
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(SECONDS)
