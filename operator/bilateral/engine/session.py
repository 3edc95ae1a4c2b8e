"""The HTTP session that kopf lists and watches with, and what can be learned from its traffic.

kopf neither says when its first lists are done, nor that a watch has gone quiet, nor what vanished
while a watch was down. It does let an operator bring its own aiohttp session. Ours notes, for each
watched resource:

- the objects of a list, page by page, which it takes in by itself, so that kopf hears of changes
  only; a list that was read to its end is reported with the UIDs in it, and readiness is that every
  resource was listed and its watch opened;
- when its watch last carried anything: an event, or one of the bookmarks that the API server sends
  about every minute. Silence beyond :data:`QUIET_SECONDS` means that the watch is dead.

Echoes of our own writes are left out of what kopf reads (:mod:`bilateral.engine.echoes`).

A kind that is not found counts as one that is not served yet. The session sends the Authorization
header anew with each request, for tokens rotate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from bilateral.engine.api import authorization
from bilateral.engine.cache import Kind
from bilateral.engine.clock import Clock
from bilateral.engine.echoes import Echoes, Lines

QUIET_SECONDS = 150.0


@dataclass(slots=True)
class _Stream:
    """What is known of one resource's list and watch."""

    uids: set[str] = field(default_factory=set)
    listed: bool = False
    watched_at: float | None = None


class Watches:
    """What the session saw of every list and watch."""

    def __init__(
        self,
        clock: Clock,
        expected: tuple[tuple[Kind, str | None], ...],
        on_objects: Callable[[Kind, list[dict[str, Any]]], None],
        on_listed: Callable[[Kind, str | None, set[str], str], None],
        on_opened: Callable[[], None] = lambda: None,
        echoes: Echoes | None = None,
    ) -> None:
        self.echoes = echoes or Echoes()
        self._clock = clock
        self._streams = {resource: _Stream() for resource in expected}
        self._on_objects = on_objects
        self._on_listed = on_listed
        self._on_opened = on_opened
        self._all_filled = asyncio.Event()

    async def wait_filled(self) -> None:
        """Wait until :attr:`filled`."""
        await self._all_filled.wait()

    @property
    def filled(self) -> bool:
        """Whether every resource was listed to its end once and is being watched."""
        return all(stream.listed and stream.watched_at is not None for stream in self._streams.values())

    @property
    def quiet_seconds(self) -> float:
        """How long the quietest watch has carried nothing, or 0 before all were opened."""
        if not self.filled:
            return 0.0
        now = self._clock.monotonic()
        return max(now - (stream.watched_at or now) for stream in self._streams.values())

    def page(self, resource: tuple[Kind, str | None], page: dict[str, Any], *, first: bool) -> bool:
        """A page of a list was read; whether it was taken in."""
        stream = self._streams.get(resource)
        if stream is None:
            return False
        if first:
            stream.uids = set()
        items = page.get("items") or []
        stream.uids.update(item["metadata"]["uid"] for item in items)
        self._on_objects(resource[0], items)
        metadata = page.get("metadata") or {}
        if not metadata.get("continue"):
            stream.listed = True
            uids, stream.uids = stream.uids, set()
            self._on_listed(*resource, uids, metadata.get("resourceVersion", ""))
        return True

    def opened(self, resource: tuple[Kind, str | None]) -> None:
        """A watch was opened, for the first time or again: the API server answers."""
        self.heard(resource)
        self._on_opened()

    def heard(self, resource: tuple[Kind, str | None]) -> None:
        """A watch was opened, or carried something."""
        stream = self._streams.get(resource)
        if stream is not None:
            stream.watched_at = self._clock.monotonic()
            if not self._all_filled.is_set() and self.filled:
                self._all_filled.set()


def resource_of(path: str) -> tuple[Kind, str | None] | None:
    """The kind and namespace that a list's or watch's path names, if it is one of ours."""
    parts = path.strip("/").split("/")
    if not parts or parts[-1] not in set(Kind):
        return None
    namespace = parts[-2] if len(parts) > 2 and parts[-3] == "namespaces" else None
    return Kind(parts[-1]), namespace


class _ObservedContent:
    """The body of a watch; each chunk is a sign of life, and echoes are left out. The rest is the body's own."""

    def __init__(self, content: aiohttp.StreamReader, echoes: Echoes, heard: Callable[[], None]) -> None:
        self._content = content
        self._lines = Lines(echoes)
        self._heard = heard

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the body has
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The chunks of the body, as kopf reads them."""
        async for chunk in self._content.iter_chunked(size):
            self._heard()
            yield self._lines.feed(chunk)
        yield self._lines.rest()


def _response_class(watches: Watches) -> type[aiohttp.ClientResponse]:
    class ObservedResponse(aiohttp.ClientResponse):
        """An answer of the API server to kopf."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - aiohttp's own type
            started = await super().start(connection)
            resource = resource_of(self.url.path)
            if resource is not None and self.status == 404:
                # An API server that starts does not serve our kinds yet. kopf would end for that;
                # what is unavailable it asks for again.
                self.status = 503
            if resource is not None and self.status == 200 and self.url.query.get("watch") == "true":
                watches.opened(resource)
                self.content = _ObservedContent(  # type: ignore[assignment]  # kopf reads it through iter_chunked alone
                    self.content, watches.echoes, lambda: watches.heard(resource)
                )
            return started

        async def json(self, **options: Any) -> Any:  # noqa: ANN401 - a list, as the API server says it
            parsed = await super().json(**options)
            resource = resource_of(self.url.path)
            if (
                resource is not None
                and self.method == "GET"
                and isinstance(parsed, dict)
                and self.status == 200
            ):
                taken = watches.page(resource, parsed, first="continue" not in self.url.query)
                if taken:
                    # What was taken in is not handed over a second time, one by one: kopf would spend
                    # a task and a kilobyte on each object.
                    return parsed | {"items": []}
            return parsed

    return ObservedResponse


def open_session(configuration: Configuration, watches: Watches) -> aiohttp.ClientSession:
    """A session for kopf, with the certificates and credentials of the official client."""

    async def authorize(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, request: aiohttp.TraceRequestStartParams
    ) -> None:
        token = await authorization(configuration)
        if token is not None:
            request.headers["Authorization"] = token

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(authorize)
    context = RESTClientObject(configuration).ssl_context
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),
        response_class=_response_class(watches),
        trace_configs=[trace],
        trust_env=False,
    )
