"""The federation endpoint: a TLS listener, limits before any cryptography, and a table of routes.

Rules (``exchange.md``, R-D1, R-H1): a connection passes the gate before its TLS handshake, a
request passes the rate limit before it is looked at; every answer that is not a document is a
problem document without a word from the caller; what goes wrong in a handler is a 500 that says
nothing, and one log line with the error's class. Sockets are accepted here rather than by asyncio's
server, which begins the TLS handshake before anybody can object.

What can be asked is a table (:mod:`bilateral.exchange.routes`); the listener knows none of it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import struct
import time
from typing import Protocol

from aiohttp import HttpVersion10, HttpVersion11, web

from bilateral.exchange.answers import Answer, build_problem, build_refusal
from bilateral.exchange.connection import Connection, count_head_bytes
from bilateral.exchange.deadlines import limit
from bilateral.exchange.errors import ExchangeError, Refusal
from bilateral.exchange.handshakes import UNIFORM_REASONS
from bilateral.exchange.limits import Clock, Gate, Lease, parse_source
from bilateral.exchange.paths import HANDSHAKE_PATH
from bilateral.exchange.routes import WITH_QUERY, Routes
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.problems import UNIFORM_REFUSAL, problem_of
from bilateral.protocol.reasons import Reason

_log = logging.getLogger(__name__)

_MAX_RETRY_AFTER_SECONDS = 3600
_GOODBYE_SECONDS = 1.0
_NEVER = 3600.0
"""asyncio's own limit of a TLS handshake; ours counts otherwise."""
_VERSIONS = frozenset({HttpVersion10, HttpVersion11})
_OUT_OF_SOCKETS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Observer(Protocol):
    """Who counts. Called on the event loop; must not raise."""

    def refused(self, reason: Reason) -> None:
        """Count a connection or request that was refused."""

    def accepted(self) -> None:
        """Count a request that was answered with a document."""

    def request_seconds(self, seconds: float) -> None:
        """Observe how long an answer took, from the end of the head."""


class Endpoint:
    """The listener of one process, for all its trust domains."""

    def __init__(
        self,
        routes: Routes,
        certificates: CertificateStore,
        settings: EndpointSettings,
        observer: Observer,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._gate = Gate(settings.limits, clock)
        self._context = certificates.build_listener(settings.minimum_tls)
        self._routes = routes
        self._http: web.Server | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()

    @property
    def connections(self) -> int:
        """How many connections are open, TLS handshakes under way included."""
        return self._gate.connections

    async def start(self, host: str, port: int) -> int:
        """Listen on an IP address (``::`` is every address of both families); return the port.

        Port 0 takes a free one. Raises OSError when the address cannot be had.
        """
        if self._accepting is not None:
            raise RuntimeError("the endpoint was started already")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server(
            (host, port),
            family=family,
            backlog=256,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
        self._listener.settimeout(0)
        self._http = web.Server(self._dispatch)
        self._accepting = asyncio.create_task(self._accept(self._listener), name="federation endpoint")
        return int(self._listener.getsockname()[1])

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """Take no more connections, let requests under way finish for a while, and close."""
        accepting, self._accepting = self._accepting, None
        if accepting is None or self._listener is None or self._http is None:
            return
        tasks = [accepting, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()
        self._http.pre_shutdown()  # idle connections go at once, without it they wait for the grace
        await self._http.shutdown(grace_seconds)
        if self._open:
            # Answers are on their way out; the TLS shutdown has its own, shorter, limit.
            await asyncio.wait([connection.lost for connection in self._open], timeout=_GOODBYE_SECONDS + 0.5)

    # Connections

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                # An aborted connection is the caller's; a lack of sockets passes when some are closed.
                await asyncio.sleep(0.2 if error.errno in _OUT_OF_SOCKETS else 0)
                continue
            lease = self._gate.admit(address[0])
            if lease is None:
                self._observer.refused(Reason.TOO_MANY_REQUESTS)
                # With a reset, nothing of a refused connection stays behind in the kernel.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.close()
            else:
                task = asyncio.create_task(self._begin(connection, lease))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
            # sock_accept does not yield while connections are waiting; others have work to do.
            await asyncio.sleep(0)

    async def _begin(self, connection: socket.socket, lease: Lease) -> None:
        """Do the TLS handshake and hand the connection to HTTP."""
        if self._http is None:
            raise RuntimeError("the endpoint is not started")
        protocol = Connection(self._http, lease, self._settings.connection, self._observer.refused)
        try:
            async with limit(self._settings.tls_handshake_seconds):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=self._context,
                    ssl_handshake_timeout=_NEVER,
                    ssl_shutdown_timeout=_GOODBYE_SECONDS,
                )
        except OSError:
            # ssl.SSLError and a timeout are OSErrors: a caller that cannot or will not speak TLS
            # is no news, and what its library says is not ours to log.
            pass
        finally:
            # From connection_made on, connection_lost gives the place back.
            if protocol.was_made:
                self._open.add(protocol)
                protocol.lost.add_done_callback(lambda _: self._open.discard(protocol))
            else:
                lease.release()
                connection.close()

    # Requests

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        started = self._clock()
        try:
            answer = await self._answer(request)
            self._observer.accepted()
            if request.raw_path == HANDSHAKE_PATH:
                self._gate.welcome(parse_source(request.remote or ""))
        except (ProtocolError, ExchangeError) as error:
            self._observer.refused(error.reason)
            answer = self._build_refusal(error)
        except Exception as error:  # noqa: BLE001 - the last line: a fault of ours must not reach the caller
            _log.error(  # without the traceback: its values may be the caller's, or secret
                "a request failed", extra={"reason": Reason.INTERNAL_ERROR, "error": type(error).__name__}
            )
            self._observer.refused(Reason.INTERNAL_ERROR)
            answer = build_refusal(Reason.INTERNAL_ERROR)
        if not request.content.is_eof():
            # What is left of the body would be read as the next request's head.
            answer.force_close()
        self._observer.request_seconds(self._clock() - started)
        return answer

    async def _answer(self, request: web.BaseRequest) -> Answer:
        wait = self._gate.retry_after(parse_source(request.remote or ""))
        if wait > 0:
            seconds = min(_MAX_RETRY_AFTER_SECONDS, max(1, math.ceil(min(wait, _MAX_RETRY_AFTER_SECONDS))))
            raise Refusal(Reason.TOO_MANY_REQUESTS, retry_after=seconds)
        if request.version not in _VERSIONS:
            raise Refusal(Reason.MALFORMED_DOCUMENT)
        if count_head_bytes(request) > self._settings.connection.max_head_bytes:
            raise Refusal(Reason.DOCUMENT_TOO_LARGE)
        path, asked, _ = request.raw_path.partition("?")
        methods = self._routes.get(path if path in WITH_QUERY or not asked else request.raw_path)
        if methods is None:
            raise Refusal(Reason.NOT_FOUND)
        route = methods.get(request.method)
        if route is None:
            raise Refusal(Reason.METHOD_NOT_ALLOWED, allow=", ".join(sorted(methods)))
        return await route(request)

    def _build_refusal(self, error: ProtocolError | ExchangeError) -> Answer:
        if self._settings.refusals == "Uniform" and error.reason in UNIFORM_REASONS:
            return build_problem(UNIFORM_REFUSAL)
        if isinstance(error, ProtocolError):
            return build_problem(problem_of(error))
        if isinstance(error, Refusal):
            return build_refusal(error.reason, retry_after=error.retry_after, allow=error.allow)
        return build_refusal(error.reason)
