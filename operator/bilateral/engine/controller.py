"""Looks at objects when it is their time: the workers, and what becomes of a look that failed.

Rules:

- Events only put objects into the cache and keys into the queue. They are hints: lost, doubled or
  in any order, they lead to the same state, for every look starts from the cache.
- Only the holder of the Lease looks and writes. It asks whether it still holds before every write
  that extends trust; the end of trust is written without asking, for it harms nobody.
- A failure delays one key, with back-off, and nothing else. What failed because the API server
  gave no answer is done as soon as it is heard of again.

How a kind is looked at is in :mod:`bilateral.engine.lookers`; which keys follow from which change
in :mod:`~bilateral.engine.dependants`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from bilateral.engine.api import APIError, Unreachable
from bilateral.engine.backoff import Backoff
from bilateral.engine.cache import Key
from bilateral.engine.clock import Clock
from bilateral.engine.log import Log
from bilateral.engine.lookers.tools import Looker
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import Decided
from bilateral.engine.queue import WorkQueue
from bilateral.protocol.reasons import Reason

STOP_SECONDS = 3.0

log = Log("controller")


class Controller:
    """The workers of the holder of the Lease; ``lookers`` by the kind of the queue's keys."""

    def __init__(
        self,
        *,
        queue: WorkQueue[Key],
        lookers: Mapping[str, Looker],
        clock: Clock,
        metrics: Metrics,
        holds: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._lookers = lookers
        self._clock = clock
        self._metrics = metrics
        self._holds = holds
        self._backoff: Backoff[Key] = Backoff()
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

    def begin_anew(self) -> None:
        """This replica begins to lead: what failed before does not delay anything."""
        self._backoff.clear()

    def api_answers(self) -> None:
        """The API server was heard of: what it gave no answer to is tried again now."""
        if self._holds():
            for key in self._backoff.take_unanswered():
                self._queue.add(key)

    async def look(self, key: Key) -> None:
        """Look at one key now, in the way of its kind."""
        await self._lookers[key.kind].look(key)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if not self._stopping and self._holds():
                    await self.look(key)
                    self._backoff.succeeded(key)
                    self._metrics.reconciles.labels(key.kind, "done").inc()
            except Decided:
                self._queue.add(key)
            except APIError as error:
                self._back_off(
                    key, at_least=error.retry_after_seconds, answered=not isinstance(error, Unreachable)
                )
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

    def _back_off(self, key: Key, *, at_least: float = 0.0, answered: bool = True) -> None:
        delay = self._backoff.failed(key, at_least=at_least, answered=answered)
        self._queue.add(key, due=self._clock.monotonic() + delay)
        self._metrics.reconciles.labels(key.kind, "failed").inc()
