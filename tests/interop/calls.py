"""Calls of the stock program to a server of ours, and that server."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from certified.cert import Certified

from bilateral.client import peer_identity
from support.waiting import wait_for
from unit.client.applications import serving_asyncio

REFUSED = (httpx.ReadError, httpx.RemoteProtocolError)
SECONDS = 20.0


def call_httpx(directory: Path) -> str:
    with Certified(directory).Client("https://org-b-api") as http:
        return str(http.get("/").text)


def call_httpx_asynchronously(directory: Path) -> str:
    async def call() -> str:
        async with Certified(directory).AsyncClient("https://org-b-api") as http:
            return str((await http.get("/")).text)

    return asyncio.run(call())


def call_aiohttp(directory: Path) -> str:
    async def call() -> str:
        async with Certified(directory).ClientSession("https://org-b-api") as http, http.get("/") as answer:
            return str(await answer.text())

    return asyncio.run(call())


CALLS = [
    pytest.param(call_httpx, id="Client"),
    pytest.param(call_httpx_asynchronously, id="AsyncClient"),
    pytest.param(call_aiohttp, id="ClientSession"),
]


@contextmanager
def in_thread(context: ssl.SSLContext) -> Iterator[int]:
    """Serve "authority subject" of each caller from an asyncio server in a thread of its own."""
    ports: list[int] = []
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with serving_asyncio(context, _who) as port:
            ports.append(port)
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        wait_for(lambda: ports, "the server listens")
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(SECONDS)
        loop.close()


def _who(connection: object) -> str:
    caller = peer_identity(connection)
    return f"{caller.authority} {caller.subject}"
