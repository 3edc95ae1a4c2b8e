"""Requests by alias, for httpx: each is bound, sent, and its failure put into words.

Rules: the service is bound anew for each request, so a stale partner is refused even on an open connection;
connections made under trust that has changed serve the requests they have, and no more (``lines``); where
a request goes and what it carries is ``wire``. No proxy, no environment; HTTP/1.1.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import cast

import httpcore
import httpx

from bilateral.client.errors import ClientError
from bilateral.client.lines import Line, Lines
from bilateral.client.trust import Binding, Trust
from bilateral.client.wire import FAILURES, build_request, fail, find_alias


class AliasTransport(httpx.BaseTransport):
    """Sends each request to the service that its URL's host is the alias of."""

    def __init__(self, trust: Trust, limits: httpx.Limits) -> None:
        """Send by ``trust``, with ``limits`` for each service."""
        self._trust = trust
        self._lines = Lines(
            lambda context: httpcore.ConnectionPool(
                ssl_context=context,
                max_connections=limits.max_connections,
                max_keepalive_connections=limits.max_keepalive_connections,
                keepalive_expiry=limits.keepalive_expiry,
            )
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises ClientError, or httpx's own errors."""
        alias = find_alias(request)
        try:
            binding = self._trust.bind(alias)
        except ClientError:
            _close(self._lines.retire(alias))
            raise
        sent = build_request(request, binding)
        line, idle = self._lines.enter(alias, binding.context)
        _close(idle)
        try:
            response = line.pool.handle_request(sent)
        except FAILURES as failure:
            self._leave(line)
            fail(failure, binding)
        except BaseException:
            self._leave(line)
            raise
        body = cast(Iterable[bytes], response.stream)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(body, binding, lambda: self._leave(line)),
            extensions=response.extensions,
        )

    def _leave(self, line: Line[httpcore.ConnectionPool]) -> None:
        _close(self._lines.leave(line))

    def close(self) -> None:
        """Close every connection."""
        for pool in self._lines.clear():
            pool.close()


class AsyncAliasTransport(httpx.AsyncBaseTransport):
    """The same for asyncio. Files are read in the loop's thread: they are small, and in memory."""

    def __init__(self, trust: Trust, limits: httpx.Limits) -> None:
        """Send by ``trust``, with ``limits`` for each service."""
        self._trust = trust
        self._lines = Lines(
            lambda context: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=limits.max_connections,
                max_keepalive_connections=limits.max_keepalive_connections,
                keepalive_expiry=limits.keepalive_expiry,
            )
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises ClientError, or httpx's own errors."""
        alias = find_alias(request)
        try:
            binding = self._trust.bind(alias)
        except ClientError:
            await _aclose(self._lines.retire(alias))
            raise
        sent = build_request(request, binding)
        line, idle = self._lines.enter(alias, binding.context)
        await _aclose(idle)
        try:
            response = await line.pool.handle_async_request(sent)
        except FAILURES as failure:
            await self._leave(line)
            fail(failure, binding)
        except BaseException:
            await self._leave(line)
            raise
        body = cast(AsyncIterable[bytes], response.stream)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_AsyncBody(body, binding, lambda: self._leave(line)),
            extensions=response.extensions,
        )

    async def _leave(self, line: Line[httpcore.AsyncConnectionPool]) -> None:
        await _aclose(self._lines.leave(line))

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._lines.clear():
            await pool.aclose()


def _close(pool: httpcore.ConnectionPool | None) -> None:
    if pool is not None:
        pool.close()


async def _aclose(pool: httpcore.AsyncConnectionPool | None) -> None:
    if pool is not None:
        await pool.aclose()


class _Body(httpx.SyncByteStream):
    """A body whose end is the end of its request."""

    def __init__(self, body: Iterable[bytes], binding: Binding, leave: Callable[[], None]) -> None:
        self._body = body
        self._binding = binding
        self._leave: Callable[[], None] | None = leave

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except FAILURES as failure:
            fail(failure, self._binding)

    def close(self) -> None:
        leave, self._leave = self._leave, None
        try:
            self._body.close()  # type: ignore[attr-defined]  # httpcore's bodies have it, its types do not say so
        finally:
            if leave is not None:
                leave()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(
        self, body: AsyncIterable[bytes], binding: Binding, leave: Callable[[], Awaitable[None]]
    ) -> None:
        self._body = body
        self._binding = binding
        self._leave: Callable[[], Awaitable[None]] | None = leave

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except FAILURES as failure:
            fail(failure, self._binding)

    async def aclose(self) -> None:
        leave, self._leave = self._leave, None
        try:
            await self._body.aclose()  # type: ignore[attr-defined]  # as above
        finally:
            if leave is not None:
                await leave()
