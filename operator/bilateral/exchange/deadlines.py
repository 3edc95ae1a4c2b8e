"""Time limits for callers that do not punish them for our own lateness.

A process that was not run for seconds (a busy machine, a frozen container, a paused virtual machine)
finds every timer due at once, and behind them, unread, what its callers sent in time. Rules:

- A limit is counted in a few ticks, and a tick that comes late counts once: a stall costs a caller
  one tick of his time, however long it was.
- What has arrived is read before a limit expires: a tick comes after the reads of its turn of the
  loop, and :func:`limit` gives the reader another turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

TICKS = 5


class Deadline:
    """Calls ``expired`` once, when the loop has turned for ``seconds`` since :meth:`start`."""

    __slots__ = ("_expired", "_left", "_seconds", "_timer")

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor expired."""
        return self._timer is not None

    def start(self) -> None:
        """Begin to count, from the beginning."""
        self.stop()
        self._left = TICKS
        self._wait()

    def stop(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds / TICKS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self._expired()


@asynccontextmanager
async def limit(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout`` by a Deadline; raises TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        # The past is the loop's next turn: whoever was woken in this one goes first.
        deadline = Deadline(seconds, lambda: timeout.reschedule(loop.time()))
        deadline.start()
        try:
            yield
        finally:
            deadline.stop()
