"""A proxy in front of an API server that lets calls fail as a test says; TLS on both sides.

What is to happen to a call is decided by `fault`, a function that may be replaced at any time. Nothing of a
call is changed: the caller's credentials go through, and so does a watch, piece by piece.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import aiohttp
import yaml
from aiohttp import web

from bilateral.exchange.tls import build_server_context
from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from testbed.kubeconfig import write_kubeconfig

HOST = "127.0.0.1"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOP = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `path` without the query."""

    method: str
    path: str
    is_watch: bool

    @property
    def is_read_of_many(self) -> bool:
        """Whether it is a list or a watch."""
        return self.is_watch or (self.method == "GET" and "/namespaces/" in self.path and not self._names_one)

    @property
    def _names_one(self) -> bool:
        return len(self.path.partition("/namespaces/")[2].split("/")) > 2


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens instead: an answer with `status`, or (0) a connection that is reset.

    With `forward` the API server is asked first, and does it: only its answer is lost.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    forward: bool = False


RESET = Fault()
LOST_ANSWER = Fault(forward=True)


def no_fault(_call: Call) -> Fault | None:
    """Let everything through."""
    return None


class FaultProxy:
    """The proxy, in a thread of its own; a context manager."""

    def __init__(self, upstream: str, authority: Path) -> None:
        self.fault: Callable[[Call], Fault | None] = no_fault
        self.failed: list[Call] = []
        self._upstream = upstream
        self._client_context = ssl.create_default_context(cafile=str(authority))
        now = datetime.datetime.now(datetime.UTC)
        own = generate_authority(
            Subject(common_name="Proxy CA"), algorithm="ECDSAP256", validity_seconds=86_400, now=now
        )
        issued = issue_server_certificate(own, [HOST], validity_seconds=43_200, now=now)
        self._authority_pem = own.certificate_pem
        self._server_context = build_server_context(issued.cert_pem, issued.key_pem)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._ended = asyncio.Event()
        self._watches: dict[int, web.BaseRequest] = {}
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)
        self.port = 0

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def cut_watches(self) -> None:
        """Reset the connection of every open watch."""
        self._loop.call_soon_threadsafe(self._cut)

    def rewrite(self, kubeconfig: Path, target: Path) -> Path:
        """Write a kubeconfig that goes through the proxy, with the credentials of another one."""
        content = yaml.safe_load(kubeconfig.read_text())
        authority = target.with_suffix(".crt")
        authority.write_bytes(self._authority_pem)
        return write_kubeconfig(
            target,
            server=f"https://{HOST}:{self.port}",
            authority=authority,
            token=content["users"][0]["user"]["token"],
            user=content["users"][0]["name"],
            namespace=content["contexts"][0]["context"]["namespace"],
        )

    def _run(self) -> None:
        # The runner ends what is still being passed on before it closes the loop.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._client_context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            self._upstream, connector=connector, timeout=timeout, auto_decompress=False
        ) as self._session:
            runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, HOST, 0, ssl_context=self._server_context)
            await site.start()
            self.port = runner.addresses[0][1]
            self._started.set()
            await self._ended.wait()
            self._cut()
            await runner.cleanup()

    def _cut(self) -> None:
        for request in self._watches.values():
            _reset(request)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(request.method, request.path, request.query.get("watch") == "true")
        fault = self.fault(call)
        if fault is not None:
            self.failed.append(call)
            if not fault.forward:
                return _fail(request, fault)
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        try:
            async with self._session.request(
                request.method,
                request.raw_path,
                data=body or None,
                headers=headers,
                skip_auto_headers=("Content-Type", "User-Agent"),
                allow_redirects=False,
            ) as answer:
                if fault is not None:
                    await answer.read()
                    return _fail(request, fault)
                return await self._pass_on(request, answer, call)
        except (aiohttp.ClientError, OSError):
            return _fail(request, RESET)  # as the API server did to us

    async def _pass_on(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, call: Call
    ) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        response = web.StreamResponse(status=answer.status, headers=headers)
        if call.is_watch:
            self._watches[id(request)] = request
        try:
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        finally:
            self._watches.pop(id(request), None)
        return response


def _fail(request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
    if fault.status:
        text = '{"kind":"Status","apiVersion":"v1","status":"Failure"}'
        return web.Response(
            status=fault.status, headers=fault.headers, text=text, content_type="application/json"
        )
    _reset(request)
    return web.Response(status=500)


def _reset(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
