"""Looks at objects when it is their time, and makes true what the decisions say.

Rules:

- Events only put objects into the cache and keys into the queue. They are hints: lost, doubled or
  in any order, they lead to the same state, for every look starts from the cache.
- Only the holder of the Lease looks and writes. It asks whether it still holds before every write
  that extends trust; the end of trust is written without asking, for it harms nobody.
- An object that depends on another is queued when the other changed in a way that it can see.
- A failure delays one key, with back-off, and nothing else.

This module knows how to run decisions; which keys follow from which change is in
:mod:`~bilateral.engine.dependants`, the peer lists are written by :mod:`~bilateral.engine.lists`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bilateral.engine.api import APIError
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.events import EventRecorder
from bilateral.engine.handshakes import Initiator
from bilateral.engine.lists import LISTS, PeerLists
from bilateral.engine.log import Log
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import Decided, StatusWriter
from bilateral.engine.queue import Lane, WorkQueue
from bilateral.engine.secrets import SecretWriter
from bilateral.engine.views import Views
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.handshake import parse_envelope
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.invalid import build_invalid_status
from bilateral.reconcile.peer import Direction, Failed, PeerOutcome, Received, reconcile_peer
from bilateral.reconcile.peer_conditions import build_status, ready_reason
from bilateral.reconcile.peer_lists import build_line
from bilateral.reconcile.peer_status import Standing
from bilateral.reconcile.trustdomain import reconcile_trust_domain
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.labels import ENVELOPE_ANNOTATION
from bilateral.resources.trustdomain import TrustDomain

MAX_BACKOFF_SECONDS = 60.0
FIRST_BACKOFF_SECONDS = 0.25
MAX_ROUNDS = 6
"""How many Secrets in a row may follow from one another: key, seal, authority, certificate."""
STOP_SECONDS = 3.0

log = Log("controller")


class Controller:
    """The workers of the holder of the Lease."""

    def __init__(
        self,
        *,
        cache: Cache,
        queue: WorkQueue[Key],
        views: Views,
        statuses: StatusWriter,
        secrets: SecretWriter,
        lists: PeerLists,
        initiator: Initiator,
        events: EventRecorder,
        clock: Clock,
        guard: ClockGuard,
        metrics: Metrics,
        holds: Callable[[], bool],
        on_domain: Callable[[Key], None],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._views = views
        self._statuses = statuses
        self._secrets = secrets
        self._lists = lists
        self._initiator = initiator
        self._events = events
        self._clock = clock
        self._guard = guard
        self._metrics = metrics
        self._holds = holds
        self._on_domain = on_domain
        self._failures: dict[Key, int] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self, workers: int) -> None:
        """Begin to work."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"worker-{number}") for number in range(workers)
        ]

    async def stop(self) -> None:
        """Take no more keys, let what is in flight end for a while, and stop."""
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._queue.join_in_flight()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def accepted(self, key: Key, peer: FederationPeer, outcome: PeerOutcome) -> None:
        """A partner's envelope was accepted and written at our endpoint: plan from there."""
        if self._holds():
            self._settle(key, peer, outcome)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if not self._stopping and self._holds():
                    await self._look(key)
                    self._failures.pop(key, None)
                    self._metrics.reconciles.labels(key.kind, "done").inc()
            except Decided:
                self._queue.add(key)
            except APIError as error:
                self._back_off(key, error.retry_after_seconds)
                log.warning("the API server did not do it", kind=key.kind, name=key.name, status=error.status)
            except Exception as error:  # noqa: BLE001 - a fault with one object must not end the worker
                self._back_off(key)
                log.fault(
                    "a look failed",
                    error,
                    kind=key.kind,
                    namespace=key.namespace,
                    name=key.name,
                    reason=Reason.INTERNAL_ERROR.value,
                )
            finally:
                self._queue.done(key)

    def _back_off(self, key: Key, at_least: float = 0.0) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**failures)
        delay = max(at_least, random.uniform(longest / 2, longest))  # noqa: S311 - jitter, not a secret
        self._queue.add(key, due=self._clock.monotonic() + delay)
        self._metrics.reconciles.labels(key.kind, "failed").inc()

    async def _look(self, key: Key) -> None:
        if key.kind == LISTS:
            await self._lists.write(key)
        elif key.kind == Kind.TRUST_DOMAIN:
            await self._look_at_domain(key)
        elif key.kind == Kind.FEDERATION_PEER:
            await self._look_at_peer(key)

    # TrustDomains

    async def _look_at_domain(self, key: Key) -> None:
        for _ in range(MAX_ROUNDS):
            raw = self._cache.raw(key)
            if raw is None or "deletionTimestamp" in raw["metadata"]:
                return
            try:
                domain = TrustDomain.parse(raw)
            except InvalidResource as error:
                await self._write_invalid(key, raw, TrustDomain, error)
                return
            now = self._guard.now()
            outcome = reconcile_trust_domain(domain, self._views.trust_domain(domain), now)
            foreign = self._secrets.foreign(key.namespace)
            made = [
                await self._secrets.generate(domain, each, now) for each in outcome.generate if self._holds()
            ]
            if any(made) or self._secrets.foreign(key.namespace) != foreign:
                continue  # what was made, or found taken, is in view now, and more may follow from it
            await self._write(key, raw, outcome.status.to_wire())
            self._on_domain(key)
            if outcome.next_at is not None:
                self._schedule(key, outcome.next_at, Lane.SLOW)
            return
        self._queue.add(key)

    # FederationPeers

    async def _look_at_peer(self, key: Key) -> None:
        raw = self._cache.raw(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._lists.drop(key)
            self._metrics.peer_is(key, None)
            return
        try:
            peer = FederationPeer.parse(raw)
        except InvalidResource as error:
            self._lists.drop(key)
            self._metrics.peer_is(key, error.reason.value)
            await self._write_invalid(key, raw, FederationPeer, error)
            return
        offered = _offered(peer)
        outcome = reconcile_peer(peer, self._views.peer(peer, offered), self._guard.now())
        if offered is None and outcome.handshake_due:
            happened = await self._initiator.perform(peer)
            raw = self._cache.raw(key)
            if raw is None:
                return
            # What was proven is judged against the object as it is after the wait.
            peer = FederationPeer.parse(raw)
            outcome = reconcile_peer(peer, self._views.peer(peer, happened), self._guard.now())
        if not self._holds():
            return
        domain = self._views.domain(key.namespace, peer.spec.trust_domain)
        seal_key = None if domain is None else domain.view.seal_key
        await self._write(key, raw, build_status(peer, outcome.findings, seal_key).to_wire())
        self._settle(key, peer, outcome)

    def _settle(self, key: Key, peer: FederationPeer, outcome: PeerOutcome) -> None:
        """Hand the result to the peer lists, and plan the next look."""
        if outcome.findings.blocked is Reason.KERNEL_ID_CONFLICT:
            self._lists.drop(key)  # one line a kernel id: that of the one who keeps it
        else:
            self._lists.put(key, peer.spec.trust_domain, build_line(peer, outcome.findings))
        self._metrics.peer_is(key, ready_reason(peer, outcome.findings).value)
        if outcome.next_at is not None:
            found = outcome.findings
            urgent = found.standing is not Standing.FRESH and found.failures == 0
            self._schedule(key, outcome.next_at, Lane.FAST if urgent else Lane.SLOW)

    # Both

    async def _write(self, key: Key, raw: dict[str, Any], status: dict[str, Any]) -> None:
        if await self._statuses.write(key, raw, status):
            self._events.ready_changed(key, raw, status)

    async def _write_invalid(
        self, key: Key, raw: dict[str, Any], kind: type[TrustDomain | FederationPeer], error: InvalidResource
    ) -> None:
        await self._write(key, raw, build_invalid_status(kind, raw, error, self._guard.now()))

    def _schedule(self, key: Key, at: int, lane: Lane) -> None:
        """Look again at ``at`` (Unix seconds): the first instant of that second, not before."""
        wait = max(0.0, at - self._clock.time())
        self._queue.schedule(key, due=self._clock.monotonic() + wait + 0.001, lane=lane)


def _offered(peer: FederationPeer) -> Received | Failed | None:
    """The envelope that somebody handed over as an annotation, unless it was judged already."""
    text = peer.metadata.annotations.get(ENVELOPE_ANNOTATION)
    if text is None:
        return None
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    judged = peer.status.offered_envelope
    if judged is not None and judged.digest == digest:
        return None
    try:
        return Received(parse_envelope(data), Direction.FILE, digest)
    except ProtocolError as error:
        return Failed(error.reason, digest=digest)
