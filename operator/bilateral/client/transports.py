"""Requests by alias: where they really go, and what they carry, decided at each one.

Rules (R-T6):

* The host of a URL is an alias; the request goes to the service's address, and its ``Host`` says so. The
  alias never leaves the pod. Any other scheme or host is an error, not a look-up in DNS.
* The service is bound anew for each request: a stale partner is refused even on an open connection.
  Connections made under trust that has changed since serve the requests they have, and no more.
* The service's bearer token is added here, after its server was verified; never to a redirect, and never
  over an ``Authorization`` that the caller set.
* No proxy, no environment; HTTP/1.1. An error of trust inside a handshake surfaces as itself.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Final, Generic, TypeVar, cast

import httpx

from bilateral.client.errors import ClientError, HandshakeRefused, InvalidAddress, RefusedByServer
from bilateral.client.handshakes import PreparedContext
from bilateral.client.trust import Binding, Trust

FIRST: Final = "bilateral.first"
"""The request extension that holds the request which a caller made; a redirect's is another one."""
_ALERT: Final = "ALERT_"
_CERTIFICATE_ALERTS: Final = frozenset(
    {
        "bad_certificate",
        "unsupported_certificate",
        "certificate_revoked",
        "certificate_expired",
        "certificate_unknown",
        "unknown_ca",
        "access_denied",
        "certificate_required",
    }
)
_CLOSED: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_MAX_CAUSES: Final = 12
_Pool = TypeVar("_Pool", httpx.HTTPTransport, httpx.AsyncHTTPTransport)


@dataclass(slots=True, eq=False)
class _Line(Generic[_Pool]):
    """The connections to one service that were made under one trust."""

    context: PreparedContext
    pool: _Pool
    in_use: int = 0
    is_retired: bool = False


class _Lines(Generic[_Pool]):
    """The lines in use; an old one is let go of when its last request is over."""

    def __init__(self, build: Callable[[PreparedContext], _Pool]) -> None:
        self._build: Callable[[PreparedContext], _Pool] = build
        self._lines: dict[str, _Line[_Pool]] = {}
        self._lock = Lock()

    def enter(self, alias: str, context: PreparedContext) -> tuple[_Line[_Pool], _Pool | None]:
        """Take part in the line of this trust; also returns a pool that is to be closed now."""
        idle: _Pool | None = None
        with self._lock:
            line = self._lines.get(alias)
            if line is None or line.context is not context:
                idle = self._retire(line)
                line = self._lines[alias] = _Line(context, self._build(context))
            line.in_use += 1
        return line, idle

    def leave(self, line: _Line[_Pool]) -> _Pool | None:
        """End a request; returns the pool if it is to be closed now."""
        with self._lock:
            line.in_use -= 1
            return line.pool if line.is_retired and not line.in_use else None

    def retire(self, alias: str) -> _Pool | None:
        """Take a service's line away, since it may not be used; returns its pool if that is idle."""
        with self._lock:
            return self._retire(self._lines.pop(alias, None))

    def clear(self) -> list[_Pool]:
        """Take all lines away, in use or not."""
        with self._lock:
            pools = [line.pool for line in self._lines.values()]
            self._lines.clear()
        return pools

    @staticmethod
    def _retire(line: _Line[_Pool] | None) -> _Pool | None:
        if line is None:
            return None
        line.is_retired = True
        return None if line.in_use else line.pool


def find_alias(request: httpx.Request) -> str:
    """Read the alias from a request's URL. Raises InvalidAddress."""
    url = request.url
    if url.scheme != "https" or not url.host or url.userinfo:
        raise InvalidAddress("url", "expected a URL of the form https://ALIAS/path")
    return url.raw_host.decode("ascii")


def translate(error: Exception, binding: Binding) -> ClientError | None:
    """Find what an error of httpx means for trust; None: it is about the network.

    In TLS 1.3 a server refuses a certificate when the handshake is over for us, and its alert may be lost
    on the way: an error that may mean this gets a note.
    """
    alias = binding.service.alias
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if isinstance(cause, HandshakeRefused):
            return cause.error
        if isinstance(cause, ssl.SSLError):
            _, found, alert = (getattr(cause, "reason", None) or "").partition(_ALERT)
            if found and alert.lower() in _CERTIFICATE_ALERTS:
                return RefusedByServer(alias, alert.lower())
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    if binding.expected.credentials is not None and isinstance(error, _CLOSED):
        error.add_note(
            f"{alias}: the server closed the connection without an answer. One that does not accept our "
            f"certificate ({binding.expected.credentials.file}) does this, too"
        )
    return None


def rewrite(request: httpx.Request, binding: Binding) -> httpx.Request:
    """Build the request that leaves: to the service's address, with its Host and token."""
    service = binding.service
    asked = request.url.port
    if asked is not None and service.port is not None:
        raise InvalidAddress(
            "two-ports", f"{service.alias}: the service has a port of its own, so the URL must not name one"
        )
    url = request.url.copy_with(host=service.host, port=service.port or asked)
    if service.path:
        url = url.copy_with(raw_path=service.path.encode("ascii") + url.raw_path)
    headers = request.headers.copy()
    headers["Host"] = url.netloc.decode("ascii")
    if (
        service.bearer_token is not None
        and "Authorization" not in headers
        and request.extensions.get(FIRST) is request
    ):
        headers["Authorization"] = f"Bearer {service.bearer_token}"
    return httpx.Request(
        request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
    )


class AliasTransport(httpx.BaseTransport):
    """Sends each request to the service that its URL's host is the alias of."""

    def __init__(self, trust: Trust, limits: httpx.Limits) -> None:
        """Send by ``trust``, with ``limits`` for each service."""
        self._trust = trust
        self._lines: _Lines[httpx.HTTPTransport] = _Lines(
            lambda context: httpx.HTTPTransport(verify=context, trust_env=False, limits=limits)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises ClientError, or httpx's own errors."""
        alias = find_alias(request)
        try:
            binding = self._trust.bind(alias)
        except ClientError:
            _close(self._lines.retire(alias))
            raise
        sent = rewrite(request, binding)
        line, idle = self._lines.enter(alias, binding.context)
        _close(idle)
        try:
            response = line.pool.handle_request(sent)
        except BaseException as error:
            _close(self._lines.leave(line))
            if isinstance(error, httpx.TransportError | ssl.SSLError):
                found = translate(error, binding)
                if found is not None:
                    raise found from None
            raise
        stream = cast(httpx.SyncByteStream, response.stream)
        response.stream = _Stream(stream, lambda: _close(self._lines.leave(line)))
        return response

    def close(self) -> None:
        """Close every connection."""
        for pool in self._lines.clear():
            pool.close()


class AsyncAliasTransport(httpx.AsyncBaseTransport):
    """The same for asyncio and trio. Files are read in the loop's thread: they are small, and in memory."""

    def __init__(self, trust: Trust, limits: httpx.Limits) -> None:
        """Send by ``trust``, with ``limits`` for each service."""
        self._trust = trust
        self._lines: _Lines[httpx.AsyncHTTPTransport] = _Lines(
            lambda context: httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises ClientError, or httpx's own errors."""
        alias = find_alias(request)
        try:
            binding = self._trust.bind(alias)
        except ClientError:
            await _aclose(self._lines.retire(alias))
            raise
        sent = rewrite(request, binding)
        line, idle = self._lines.enter(alias, binding.context)
        await _aclose(idle)
        try:
            response = await line.pool.handle_async_request(sent)
        except BaseException as error:
            await _aclose(self._lines.leave(line))
            if isinstance(error, httpx.TransportError | ssl.SSLError):
                found = translate(error, binding)
                if found is not None:
                    raise found from None
            raise
        stream = cast(httpx.AsyncByteStream, response.stream)

        async def leave() -> None:
            await _aclose(self._lines.leave(line))

        response.stream = _AsyncStream(stream, leave)
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._lines.clear():
            await pool.aclose()


def _close(pool: httpx.HTTPTransport | None) -> None:
    if pool is not None:
        pool.close()


async def _aclose(pool: httpx.AsyncHTTPTransport | None) -> None:
    if pool is not None:
        await pool.aclose()


class _Stream(httpx.SyncByteStream):
    """A body whose end is the end of its request."""

    def __init__(self, body: httpx.SyncByteStream, leave: Callable[[], None]) -> None:
        self._body = body
        self._leave: Callable[[], None] | None = leave

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        leave, self._leave = self._leave, None
        try:
            self._body.close()
        finally:
            if leave is not None:
                leave()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream, leave: Callable[[], Awaitable[None]]) -> None:
        self._body = body
        self._leave: Callable[[], Awaitable[None]] | None = leave

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        leave, self._leave = self._leave, None
        try:
            await self._body.aclose()
        finally:
            if leave is not None:
                await leave()
