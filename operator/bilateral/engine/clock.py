"""The one clock, and the guard against its going backwards.

Rules:

- Nothing in the operator reads the time but through a :class:`Clock` that was handed to it.
- Freshness is judged in whole Unix seconds, rounded down: a pin whose ``rotationDue`` is second
  *d* is stale from the first instant of *d* on.
- Time that was once seen is never un-seen (R-H5). The guard remembers the highest wall-clock time
  that this process saw, or that a Lease or a sealed pin bears witness of; when the clock reads
  less than that by more than the tolerance, every extension of trust stops until it caught up.
"""

from __future__ import annotations

import time
from typing import Protocol

CLOCK_TOLERANCE_SECONDS = 30
"""How far the clock may step back unnoticed: more than NTP's corrections, less than any window."""


class Clock(Protocol):
    """What the operator knows of time."""

    def time(self) -> float:
        """Wall-clock time, Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Time that never steps, in seconds; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def time(self) -> float:
        """Wall-clock time, Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps."""
        return time.monotonic()


class ClockGuard:
    """Tells whether the wall clock regressed behind a time that was already seen."""

    def __init__(self, clock: Clock, tolerance_seconds: int = CLOCK_TOLERANCE_SECONDS) -> None:
        self._clock = clock
        self._tolerance = tolerance_seconds
        self._high_water = 0.0

    def witness(self, seen: float) -> None:
        """Remember a wall-clock time (Unix seconds) that something trustworthy bears."""
        self._high_water = max(self._high_water, seen)

    def now(self) -> int:
        """Read the wall clock in whole Unix seconds, and remember it."""
        now = self._clock.time()
        self._high_water = max(self._high_water, now)
        return int(now)

    @property
    def latest(self) -> float:
        """The latest wall-clock time that was seen, Unix seconds."""
        return self._high_water

    @property
    def regressed(self) -> bool:
        """True while the wall clock is behind what was already seen by more than the tolerance."""
        return self._clock.time() < self._high_water - self._tolerance
