"""Writing what decisions want: statuses by server-side apply, on difference only.

Every status is written with the resourceVersion that it was decided from. A conflict means that
somebody else wrote first: the object is read again and the decision is made anew.

An apply leaves in place what another manager owns: a member that somebody put into the status by
hand would stay there, or make the rest invalid and keep a wrong status up. Nothing in a status is
anybody's but ours (R-K9), so where an apply did not end in what was wanted, the status is
overwritten as a whole.
"""

from __future__ import annotations

from typing import Any

from bilateral.engine.api import APIError, Conflict, Invalid, KubernetesAPI, Object, path_of
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.metrics import Metrics
from bilateral.engine.terms import KIND_NAMES
from bilateral.resources.labels import API_VERSION, FIELD_MANAGER, GROUP, VERSION


class Decided(Exception):
    """The object changed after the decision: decide again from what the cache holds now."""


class StatusWriter:
    """Writes statuses of our kinds."""

    def __init__(self, api: KubernetesAPI, cache: Cache, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics

    async def write(self, key: Key, observed: dict[str, Any], status: dict[str, Any]) -> bool:
        """Make the status of an object what it should be; false where it already was.

        ``observed`` is the object that the decision looked at. Raises Decided when the object is
        not that any more (the cache then holds the newer one), APIError otherwise. That it is not
        found removes nothing: an API server that starts does not serve our kinds yet, and what is
        gone the watch tells.
        """
        if (observed.get("status") or {}) == status:
            return False
        kind = Kind(key.kind)
        try:
            stored = await self._apply(key, status, observed["metadata"]["resourceVersion"])
        except Conflict:
            await self.read(key)
            raise Decided from None
        except APIError as error:
            self._metrics.write_failures.labels(kind.value, str(error.status)).inc()
            raise
        self._metrics.writes.labels(kind.value).inc()
        self._cache.written(kind, stored)
        return True

    async def _apply(self, key: Key, status: dict[str, Any], version: str) -> Object:
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND_NAMES[Kind(key.kind)],
            "metadata": {"name": key.name, "namespace": key.namespace, "resourceVersion": version},
            "status": status,
        }
        path = path_of(key.kind, key.namespace, key.name, group=GROUP, version=VERSION, subresource="status")
        try:
            stored = await self._api.apply(path, body, manager=FIELD_MANAGER)
        except Invalid:
            pass  # with what somebody else owns it may make no sense
        else:
            if stored.get("status") == status:
                return stored
            version = stored["metadata"]["resourceVersion"]
        return await self._api.overwrite(path, {"status": status}, version, manager=FIELD_MANAGER)

    async def read(self, key: Key) -> None:
        """Bring the cache up to date about one object."""
        obj = await self._api.get(path_of(key.kind, key.namespace, key.name, group=GROUP, version=VERSION))
        self._cache.put(Kind(key.kind), obj)
