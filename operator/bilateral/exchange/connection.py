"""One accepted connection: the parts of HTTP/1.1 that aiohttp leaves unbounded, bounded.

Rules (R-D1): a request's head arrives within ``head_seconds`` of the connection or of its first
byte, and has at most ``max_head_bytes`` altogether (aiohttp bounds each line, not their sum, and
has no time limit for them); a connection on which nothing happens for ``idle_seconds`` is ended; a
request that cannot be parsed is answered with a problem document, and what it said is neither
answered nor logged; the place at the gate is given back when the connection is lost. Time is
counted as in :mod:`~bilateral.exchange.deadlines`.

It answers no request: that is the dispatcher's, which the base class calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from bilateral.exchange.answers import build_refusal
from bilateral.exchange.deadlines import Deadline, limit
from bilateral.exchange.limits import Lease
from bilateral.protocol.reasons import Reason

_log = logging.getLogger(__name__)

# Lines of a head. Authorization with the longest token is the longest field that is of use to us.
_MAX_REQUEST_LINE = 2048
_MAX_FIELD = 4608
_MAX_FIELDS = 48
_NEVER = 86_400.0


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Bounds of one connection, in bytes and seconds."""

    max_head_bytes: int = 8192
    head_seconds: float = 5.0
    idle_seconds: float = 15.0
    write_seconds: float = 5.0
    linger_seconds: float = 2.0
    """How long an unread body is thrown away, so that its sender gets to read the refusal, not a reset."""


class Connection(web.RequestHandler):
    """A connection that was admitted at the gate, after its TLS handshake."""

    __slots__ = (
        "_answered", "_head_bytes", "_head_deadline", "_idle_deadline", "_last", "_lease", "_limits", "_refused",
        "lost", "was_made",
    )  # fmt: skip

    def __init__(
        self,
        manager: web.Server,
        lease: Lease,
        settings: ConnectionSettings,
        refused: Callable[[Reason], None],
    ) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_NEVER,  # see _idle_deadline
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp is told to keep no access log
            max_line_size=_MAX_REQUEST_LINE,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
            lingering_time=settings.linger_seconds,
            auto_decompress=False,
        )
        self._lease = lease
        self.was_made = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._limits = settings
        self._refused = refused
        self._answered = 0
        self._last = False
        self._head_bytes = 0
        self._head_deadline = Deadline(settings.head_seconds, self._expire)
        self._idle_deadline = Deadline(settings.idle_seconds, self.force_close)

    @property
    def _in_head(self) -> bool:
        """Whether what comes next is (the rest of) a head: every head so far has its answer."""
        return not self._last and self._request_count == self._answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the first head's time runs from here."""
        self.was_made = True
        super().connection_made(transport)
        self._head_deadline.start()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End, whoever ended it."""
        self._head_deadline.stop()
        self._idle_deadline.stop()
        super().connection_lost(exc)
        self._lease.release()
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, then let aiohttp parse it."""
        if data:
            self._idle_deadline.stop()
        if self._in_head and data:
            if not self._head_deadline.is_running:
                self._head_deadline.start()
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_deadline.stop()
            self._head_bytes = 0
        elif self._head_bytes > self._limits.max_head_bytes:
            self._refused(Reason.DOCUMENT_TOO_LARGE)
            self._drop()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the next head may come. A caller that does not read it is dropped."""
        try:
            async with limit(self._limits.write_seconds):
                outcome = await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self._drop()
            raise ConnectionResetError("the answer was not read") from None
        self._answered += 1
        self._last = not outcome[0].keep_alive
        if self._in_head and not self._head_deadline.is_running:
            self._idle_deadline.start()
        return outcome

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text; see below
    ) -> web.StreamResponse:
        """Answer what could not be parsed, without aiohttp's text, which quotes the caller."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun")
        reason = Reason.INTERNAL_ERROR if status >= 500 else Reason.MALFORMED_DOCUMENT
        if isinstance(exc, LineTooLong):
            reason = Reason.DOCUMENT_TOO_LARGE
        self._refused(reason)
        answer = build_refusal(reason)
        answer.force_close()
        return answer

    def log_exception(self, *args: object, **kw: object) -> None:  # noqa: ARG002 - aiohttp's text
        """Log the class of an error that aiohttp caught; its text and traceback may quote the caller."""
        error = kw.get("exc_info")
        _log.error(
            "a connection failed",
            extra={"reason": Reason.INTERNAL_ERROR, "error": type(error).__name__},
        )

    def _expire(self) -> None:
        self._refused(Reason.REQUEST_TIMEOUT)
        self._drop()

    def _drop(self) -> None:
        """End the connection at once: whoever is this slow or this long waits for no answer."""
        self._last = True
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()


def count_head_bytes(request: web.BaseRequest) -> int:
    """Count the bytes of a parsed head, for heads that arrived behind another request."""
    fields = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    return len(request.method) + len(request.raw_path) + 12 + fields
