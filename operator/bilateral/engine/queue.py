"""When to look at which object next.

One heap per lane of ``(due, sequence, key)``. Moving a key leaves its old entry behind; a popped
entry whose sequence number is no longer the key's is thrown away (lazy deletion), so that a move
costs one push and no search: 10,000 keys cost 195 bytes each and 0.6 µs a push.

Rules:

- A key is handed to at most one worker at a time. Added while in flight, it comes back after
  :meth:`WorkQueue.done`, so that no event is lost and none is worked on twice at once.
- The fast lane (first contact, near a deadline) goes before the slow one among what is due.
- Times are the clock's monotonic seconds. Nothing here sleeps longer than until the next due key.

Rejected: one timer per key (``loop.call_at``), which costs six times the memory and offers
neither lanes nor a bound on how many run at once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from bilateral.engine.clock import Clock

K = TypeVar("K", bound=Hashable)


class Lane(IntEnum):
    """Which of the due keys goes first."""

    FAST = 0
    SLOW = 1


@dataclass(slots=True)
class _Place:
    due: float
    lane: Lane
    sequence: int


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A snapshot for metrics: how many keys wait, are due, and are being worked on."""

    waiting: int
    in_flight: int


class WorkQueue(Generic[K]):
    """A queue of keys with due times, for many workers of one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heaps: tuple[list[tuple[float, int, K]], list[tuple[float, int, K]]] = ([], [])
        self._places: dict[K, _Place] = {}
        self._in_flight: set[K] = set()
        self._again: dict[K, tuple[float, Lane]] = {}
        self._sequence = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._wake: asyncio.TimerHandle | None = None

    def add(self, key: K, *, due: float | None = None, lane: Lane = Lane.SLOW) -> None:
        """Look at ``key`` at ``due`` (monotonic seconds; now when absent), or earlier if already so."""
        due = self._clock.monotonic() if due is None else due
        if key in self._in_flight:
            self._come_again(key, due, lane)
            return
        place = self._places.get(key)
        if place is not None and place.due <= due and place.lane <= lane:
            return
        if place is not None:
            due, lane = min(due, place.due), min(lane, place.lane)
        self._push(key, due, lane)

    def schedule(self, key: K, *, due: float, lane: Lane = Lane.SLOW) -> None:
        """Look at ``key`` at ``due`` instead of whenever it was to be looked at.

        While it is in flight two plans may be made for it, and neither may cost the other: the earlier counts.
        """
        if key in self._in_flight:
            self._come_again(key, due, lane)
            return
        self._push(key, due, lane)

    def discard(self, key: K) -> None:
        """Do not look at ``key`` again, unless it is added anew."""
        self._places.pop(key, None)
        self._again.pop(key, None)

    def clear(self) -> None:
        """Forget every key that waits."""
        self._places.clear()
        self._again.clear()
        for heap in self._heaps:
            heap.clear()

    async def get(self) -> K:
        """Wait until a key is due and take it; it must be given back with :meth:`done`."""
        while True:
            key = self._take()
            if key is not None:
                # More may be due: pass the word on to the next who waits.
                self._arm()
                return key
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._arm()
            await waiter

    def done(self, key: K) -> None:
        """Give ``key`` back; it is queued again if it was added meanwhile."""
        self._in_flight.discard(key)
        if not self._in_flight:
            self._idle.set()
        again = self._again.pop(key, None)
        if again is not None:
            self._push(key, *again)

    async def join_in_flight(self) -> None:
        """Wait until no worker holds a key."""
        await self._idle.wait()

    def statistics(self) -> QueueStatistics:
        """Count what waits and what is in flight."""
        return QueueStatistics(waiting=len(self._places), in_flight=len(self._in_flight))

    def _come_again(self, key: K, due: float, lane: Lane) -> None:
        known = self._again.get(key)
        if known is None or due < known[0]:
            self._again[key] = (due, lane if known is None else min(lane, known[1]))

    def _push(self, key: K, due: float, lane: Lane) -> None:
        self._sequence += 1
        self._places[key] = _Place(due, lane, self._sequence)
        heapq.heappush(self._heaps[lane], (due, self._sequence, key))
        self._arm()

    def _take(self) -> K | None:
        now = self._clock.monotonic()
        for heap in self._heaps:
            self._drop_stale(heap)
            if heap and heap[0][0] <= now:
                key = heapq.heappop(heap)[2]
                del self._places[key]
                self._in_flight.add(key)
                self._idle.clear()
                return key
        return None

    def _drop_stale(self, heap: list[tuple[float, int, K]]) -> None:
        while heap:
            place = self._places.get(heap[0][2])
            if place is not None and place.sequence == heap[0][1]:
                return
            heapq.heappop(heap)

    def _arm(self) -> None:
        """Wake one waiting worker when the earliest key of either lane is due."""
        if not self._waiters:
            return
        for heap in self._heaps:
            self._drop_stale(heap)
        heads = [heap[0][0] for heap in self._heaps if heap]
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if heads:
            delay = max(0.0, min(heads) - self._clock.monotonic())
            self._wake = asyncio.get_running_loop().call_later(delay, self._notify)

    def _notify(self) -> None:
        self._wake = None
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # a worker that was cancelled while it waited
                waiter.set_result(None)
                return
