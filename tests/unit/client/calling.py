"""A pod that calls a server of another pod, and that server on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import httpx

from bilateral.client import (
    Client,
    peer_identity,
    server_ssl_context,
)
from unit.client.applications import serving_asyncio
from unit.client.pod import Organisation, Pod
from unit.client.serving import SECONDS


@contextlib.contextmanager
def calling(
    pod: Pod, port: int, org_b: Organisation, auths: list[Organisation] | None = None
) -> Iterator[Client]:
    pod.know("api", f"https://localhost:{port}", org_b, auths=[org_b] if auths is None else auths)
    with Client("https://api", config=pod.root, timeout=SECONDS) as http:
        yield http


def asynchronously(
    pod: Pod, asked: Callable[[object], str] = lambda connection: peer_identity(connection).authority
) -> AbstractAsyncContextManager[int]:
    return serving_asyncio(server_ssl_context(pod.root), asked)


async def ask(http: Client) -> httpx.Response:
    """Ask with the synchronous client: the server runs in this thread's loop."""
    return await asyncio.to_thread(http.get, "/")
