"""One Lease decides which replica reconciles and writes.

Rules:

- The holder renews every :data:`RENEW_SECONDS`. Others take over only after they saw the Lease
  unchanged for its whole duration, by their own monotonic clock: no clock of another machine is
  believed.
- Every write of the Lease names the resourceVersion that it was decided from, so that of two
  candidates one wins.
- The holder considers itself deposed :data:`MARGIN_SECONDS` before anyone else may take over:
  :attr:`Election.holds` is asked before every write that extends trust. What was not done for that
  is done when the Lease is won again: a renewal that came too late counts as a loss and a win.
- The holder releases the Lease when it stops, so that another takes over at once.

kubernetes' own ``leaderelection`` does the same without the release, without the margin, and with
the generated models (docs/dependencies.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bilateral.engine.api import AlreadyExists, APIError, Conflict, KubernetesAPI, NotFound, path_of
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.log import Log
from bilateral.resources.labels import FIELD_MANAGER

LEASE_SECONDS = 15
RENEW_SECONDS = 4.0
RETRY_SECONDS = 1.0
MARGIN_SECONDS = 3.0

log = Log("election")


class Election:
    """Runs for the Lease until it is stopped; ``on_change`` hears of every win and loss."""

    def __init__(
        self,
        api: KubernetesAPI,
        clock: Clock,
        guard: ClockGuard,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_change: Callable[[bool], None],
    ) -> None:
        self._api = api
        self._clock = clock
        self._guard = guard
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_change = on_change
        self._held_until = 0.0
        self._leading = False
        self._seen: tuple[str, float] | None = None  # resourceVersion, and when we first saw it
        self._lease: dict[str, Any] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def holds(self) -> bool:
        """Whether this replica is sure to hold the Lease now."""
        return self._leading and self._clock.monotonic() < self._held_until

    def start(self) -> None:
        """Begin to run for the Lease."""
        self._task = asyncio.create_task(self._run(), name="election")

    async def stop(self) -> None:
        """Stop running, and release the Lease if it is ours."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._leading and self._lease is not None:
            self._lead(leading=False)
            with suppress(APIError):  # then it runs out by itself
                await self._write(self._lease, holder="")

    async def _run(self) -> None:
        while True:
            started = self._clock.monotonic()
            try:
                await self._round(started)
            except APIError as error:
                log.warning("Lease could not be read or written", status=error.status)
            if self._leading and not self.holds:
                self._lead(leading=False)
            pause = RENEW_SECONDS if self._leading else RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _round(self, started: float) -> None:
        """Read the Lease, and take or renew it if that is ours to do."""
        lease = await self._read()
        spec = lease.get("spec") or {}
        self._witness(spec)
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, started)
        holder = spec.get("holderIdentity") or ""
        duration = float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
        if holder not in ("", self._identity) and started < self._seen[1] + duration:
            if self._leading:
                self._lead(leading=False)
            return
        try:
            self._lease = await self._write(lease, holder=self._identity)
        except Conflict:
            return  # somebody else was faster; look again
        self._seen = (self._lease["metadata"]["resourceVersion"], started)
        if self._leading and not self.holds:
            # It ran out while this round waited for an answer. What was to be done meanwhile was left
            # undone: leading begins anew.
            self._lead(leading=False)
        self._held_until = started + LEASE_SECONDS - MARGIN_SECONDS
        if not self._leading:
            self._lead(leading=True)

    async def _read(self) -> dict[str, Any]:
        try:
            return await self._api.get(self._path(self._name))
        except NotFound:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": {},
            }
            try:
                return await self._api.create(self._path(None), body, manager=FIELD_MANAGER)
            except AlreadyExists:
                return await self._api.get(self._path(self._name))

    async def _write(self, lease: dict[str, Any], *, holder: str) -> dict[str, Any]:
        spec = lease.get("spec") or {}
        now = _micro_time(self._guard.now())
        changed = (spec.get("holderIdentity") or "") != holder
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "resourceVersion": lease["metadata"]["resourceVersion"],
            },
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": LEASE_SECONDS if holder else 1,
                "renewTime": now,
                "acquireTime": now if changed else spec.get("acquireTime", now),
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (1 if changed and holder else 0),
            },
        }
        return await self._api.replace(self._path(self._name), body, manager=FIELD_MANAGER)

    def _witness(self, spec: dict[str, Any]) -> None:
        """A Lease tells at what time it was renewed: a clock that reads less went backwards (R-H5)."""
        renewed = spec.get("renewTime")
        if isinstance(renewed, str):
            with suppress(ValueError):
                self._guard.witness(datetime.fromisoformat(renewed).timestamp())

    def _lead(self, *, leading: bool) -> None:
        self._leading = leading
        log.info("leading" if leading else "not leading", identity=self._identity)
        self._on_change(leading)

    def _path(self, name: str | None) -> str:
        return path_of("leases", self._namespace, name, group="coordination.k8s.io", version="v1")


def _micro_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
