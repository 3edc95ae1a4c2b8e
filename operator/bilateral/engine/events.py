"""Kubernetes events: one when the reason of an object's Ready condition changes.

Events help people; nothing depends on them. So they are few: a token bucket over all objects, and
what it leaves out is counted. Warnings go before normal ones when the bucket runs low. They hold a
reason and a sentence of ours, as the condition does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bilateral.engine.api import APIError, KubernetesAPI, path_of
from bilateral.engine.cache import Key, Kind
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.metrics import Metrics
from bilateral.engine.terms import KIND_NAMES
from bilateral.resources.labels import API_VERSION, FIELD_MANAGER
from bilateral.resources.times import format_time

BURST = 30.0
REFILL_PER_SECOND = 1.0
RESERVED_FOR_WARNINGS = 10.0


class EventRecorder:
    """Sends events in the background."""

    def __init__(
        self, api: KubernetesAPI, clock: Clock, guard: ClockGuard, metrics: Metrics, instance: str
    ) -> None:
        self._api = api
        self._clock = clock
        self._guard = guard
        self._metrics = metrics
        self._instance = instance
        self._tokens = BURST
        self._at = clock.monotonic()
        self._sending: set[asyncio.Task[None]] = set()

    def ready_changed(self, key: Key, observed: dict[str, Any], status: dict[str, Any]) -> None:
        """Tell that the reason of ``Ready`` is another one now; nothing where it is not."""
        before, after = _ready(observed.get("status") or {}), _ready(status)
        if after is None or (before is not None and before["reason"] == after["reason"]):
            return
        warning = after["status"] == "False"
        if not self._spend(0.0 if warning else RESERVED_FOR_WARNINGS):
            self._metrics.events_dropped.inc()
            return
        task = asyncio.create_task(self._send(key, observed["metadata"], after, warning=warning))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def drain(self) -> None:
        """Wait for the events under way."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=1.0)

    def _spend(self, reserve: float) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._at) * REFILL_PER_SECOND)
        self._at = now
        if self._tokens < 1.0 + reserve:
            return False
        self._tokens -= 1.0
        return True

    async def _send(
        self, key: Key, metadata: dict[str, Any], ready: dict[str, str], *, warning: bool
    ) -> None:
        now = self._guard.now()
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{key.name[:200].rstrip('-.')}-", "namespace": key.namespace},
            "eventTime": format_time(now).removesuffix("Z") + ".000000Z",
            "reportingController": "bilateral.dev/operator",
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "type": "Warning" if warning else "Normal",
            "reason": ready["reason"],
            "note": ready["message"][:1024],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND_NAMES[Kind(key.kind)],
                "namespace": key.namespace,
                "name": key.name,
                "uid": metadata["uid"],
            },
        }
        path = path_of("events", key.namespace, group="events.k8s.io", version="v1")
        try:
            await self._api.create(path, body, manager=FIELD_MANAGER)
        except APIError:
            self._metrics.events_dropped.inc()


def _ready(status: dict[str, Any]) -> dict[str, str] | None:
    return next((each for each in status.get("conditions") or () if each["type"] == "Ready"), None)
