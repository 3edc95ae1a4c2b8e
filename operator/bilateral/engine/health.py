"""``/healthz``, ``/readyz`` and ``/metrics``, on a port of their own.

Rules: alive means that the event loop turns and every watch has carried something lately: what only
a restart can mend. Ready means that the caches were filled and the endpoint listens: what this
replica needs to answer partners. Neither asks whether it leads. Both say in a word what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from bilateral.engine.clock import Clock
from bilateral.engine.metrics import Metrics
from bilateral.engine.session import QUIET_SECONDS, Watches

TICK_SECONDS = 1.0
MAX_LAG_SECONDS = 10.0
MAX_FILL_SECONDS = 300.0


class LoopMonitor:
    """Measures how late the event loop runs what is due."""

    def __init__(self, clock: Clock, on_tick: Callable[[float], None]) -> None:
        self._clock = clock
        self._on_tick = on_tick
        self._ticked = clock.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._task = asyncio.create_task(self._run(), name="loop monitor")

    async def stop(self) -> None:
        """Stop measuring."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def lag(self) -> float:
        """How late the loop is now, seconds."""
        return max(0.0, self._clock.monotonic() - self._ticked - TICK_SECONDS)

    async def _run(self) -> None:
        while True:
            before = self._clock.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            self._ticked = self._clock.monotonic()
            self._on_tick(max(0.0, self._ticked - before - TICK_SECONDS))


class HealthServer:
    """Serves the probes and the metrics over plain HTTP."""

    def __init__(
        self,
        clock: Clock,
        watches: Watches,
        monitor: LoopMonitor,
        metrics: Metrics,
        is_listening: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._watches = watches
        self._monitor = monitor
        self._metrics = metrics
        self._is_listening = is_listening
        self._started = clock.monotonic()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._render)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def unhealthy(self) -> list[str]:
        """What only a restart mends, in words."""
        found = []
        if self._monitor.lag > MAX_LAG_SECONDS:
            found.append("loop-lag")
        if self._watches.quiet_seconds > QUIET_SECONDS:
            found.append("watch-quiet")
        if not self._watches.filled and self._clock.monotonic() - self._started > MAX_FILL_SECONDS:
            found.append("caches-not-filled")
        return found

    def unready(self) -> list[str]:
        """What is missing to answer partners, in words."""
        found = self.unhealthy()
        if not self._watches.filled:
            found.append("caches-not-filled")
        if not self._is_listening():
            found.append("endpoint-not-listening")
        return found

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _verdict(self.unhealthy())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self.unready())

    async def _render(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), content_type="text/plain", charset="utf-8")


def _verdict(missing: list[str]) -> web.Response:
    return web.Response(status=503 if missing else 200, text="\n".join(missing or ["ok"]) + "\n")
