"""What every looker works with.

Rules: a status is written on difference only, at the version that the decision looked at, and the
event of a changed ``Ready`` follows from it; the next look is planned by the wall clock and waited
for by the monotonic one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bilateral.engine.api import KubernetesAPI
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.events import EventRecorder
from bilateral.engine.issued import IssuedRecords
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import StatusWriter
from bilateral.engine.queue import Lane, WorkQueue
from bilateral.engine.secrets import SecretWriter
from bilateral.engine.terms import KIND_NAMES
from bilateral.engine.views import Views
from bilateral.reconcile.invalid import build_invalid_status
from bilateral.resources.errors import InvalidResource
from bilateral.resources.meta import Resource

R = TypeVar("R", bound=Resource)


class Looker(Protocol):
    """Makes one kind of key true."""

    async def look(self, key: Key) -> None:
        """Look at ``key`` now. Raises APIError or Decided; the controller comes back then."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The engine as a looker sees it; ``holds`` says whether this replica still leads."""

    api: KubernetesAPI
    cache: Cache
    queue: WorkQueue[Key]
    views: Views
    statuses: StatusWriter
    secrets: SecretWriter
    issued: IssuedRecords
    events: EventRecorder
    clock: Clock
    guard: ClockGuard
    metrics: Metrics
    holds: Callable[[], bool]

    def now(self) -> int:
        """Unix seconds, as decisions are to see them."""
        return self.guard.now()

    def raw(self, key: Key) -> dict[str, Any] | None:
        """The object as it is held, or None when it is gone or on its way out."""
        raw = self.cache.raw(key)
        return None if raw is None or "deletionTimestamp" in raw["metadata"] else raw

    def parse(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Another object that a decision depends on; None when it is gone, going, or breaks a rule."""
        raw = self.raw(Key(_PLURALS[kind.KIND], namespace, name))
        try:
            return None if raw is None else kind.parse(raw)
        except InvalidResource:
            return None

    async def read(self, kind: type[R], key: Key) -> tuple[dict[str, Any], R] | None:
        """The object of a look, raw and parsed.

        None when it is gone, or when its spec breaks a rule, which its status then says.
        """
        raw = self.raw(key)
        if raw is None:
            return None
        try:
            return raw, kind.parse(raw)
        except InvalidResource as error:
            await self.write_invalid(key, raw, kind, error)
            return None

    async def write_status(self, key: Key, raw: dict[str, Any], status: dict[str, Any]) -> None:
        """Make the status what it should be; ``raw`` is the object that was decided from."""
        if await self.statuses.write(key, raw, status):
            self.events.ready_changed(key, raw, status)

    async def write_invalid(
        self, key: Key, raw: dict[str, Any], kind: type[Resource], error: InvalidResource
    ) -> None:
        """Say in the status which rule the spec breaks."""
        await self.write_status(key, raw, build_invalid_status(kind, raw, error, self.now()))

    def schedule(self, key: Key, at: int, lane: Lane = Lane.SLOW) -> None:
        """Look again at ``at`` (Unix seconds): the first instant of that second, not before."""
        wait = max(0.0, at - self.clock.time())
        self.queue.schedule(key, due=self.clock.monotonic() + wait + 0.001, lane=lane)

    def look_after(self, key: Key, seconds: float, lane: Lane = Lane.SLOW) -> None:
        """Look at a key in so many seconds, or earlier if that was the plan."""
        self.queue.add(key, due=self.clock.monotonic() + seconds, lane=lane)


_PLURALS = {name: kind.value for kind, name in KIND_NAMES.items()}


def key_of(resource: Resource) -> Key:
    """The key of an object of ours."""
    kind: Kind = Kind(_PLURALS[resource.KIND])
    return Key(kind, resource.metadata.namespace, resource.metadata.name)
