"""Takes in what the watches say, and queues whatever depends on it.

Nothing here waits, reads or writes: an event costs an entry in the cache and a few keys in the
queue. Every replica takes in everything; only the holder of the Lease works the queue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.lists import PeerLists
from bilateral.engine.metrics import Metrics
from bilateral.engine.queue import Lane, WorkQueue
from bilateral.engine.views import Domain, Views

DELETED = "DELETED"


class Intake:
    """Events in, keys out."""

    def __init__(
        self,
        cache: Cache,
        queue: WorkQueue[Key],
        views: Views,
        lists: PeerLists,
        metrics: Metrics,
        refresh_endpoint: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._views = views
        self._lists = lists
        self._metrics = metrics
        self._refresh_endpoint = refresh_endpoint
        self._facts: dict[Key, str] = {}

    def event(self, kind: Kind, event: str | None, obj: dict[str, Any]) -> None:
        """Take in one event of a watch (``event`` is None for an object of a list)."""
        self._metrics.watch_events.labels(kind.value).inc()
        metadata = obj["metadata"]
        key = Key(kind, metadata["namespace"], metadata["name"])
        if event == DELETED:
            self._remove(key, metadata["uid"])
            return
        before = self._rivals(key)
        if self._cache.put(kind, obj):
            self._follow(key, before | self._rivals(key))

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], version: str) -> None:
        """A list was read to its end: what is held, older than it, and was not in it is gone."""
        for key in self._cache.missing_from(kind, namespace, uids, version):
            self._remove(key, None)
        self._metrics.objects.labels(kind.value).set(self._cache.count(kind))

    def everything(self) -> None:
        """Queue all there is: this replica begins to lead."""
        for key in self._cache.keys(Kind.TRUST_DOMAIN):
            self._queue.add(key, lane=Lane.FAST)
            self._lists.ask(key.namespace, key.name)
        for key in self._cache.keys(Kind.FEDERATION_PEER):
            self._queue.add(key)

    def domain_changed(self, key: Key) -> None:
        """Queue the peers of a TrustDomain, if what they can see of it is another than before."""
        self._refresh_endpoint()
        facts = _facts_of(self._views.domain(key.namespace, key.name))
        if self._facts.get(key) == facts:
            return
        self._facts[key] = facts
        self._lists.ask(key.namespace, key.name)
        for peer in self._cache.find(Index.PEERS_OF_DOMAIN, key.namespace, key.name):
            self._queue.add(peer)

    def _remove(self, key: Key, uid: str | None) -> None:
        rivals = self._rivals(key)
        if not self._cache.remove(key, uid):
            return
        self._queue.discard(key)
        if key.kind == Kind.FEDERATION_PEER:
            self._lists.drop(key)
            self._metrics.peer_is(key, None)
        self._follow(key, rivals)

    def _follow(self, key: Key, rivals: Iterable[Key]) -> None:
        """Queue an object that changed or went, and those that can see it."""
        if key.kind == Kind.SECRET:
            self._follow_secret(key)
            return
        if key in self._cache:
            self._queue.add(key, lane=Lane.FAST)
        for rival in rivals:
            if rival != key and rival in self._cache:
                self._queue.add(rival)
        if key.kind == Kind.TRUST_DOMAIN:
            self.domain_changed(key)

    def _follow_secret(self, key: Key) -> None:
        for domain in self._cache.keys(Kind.TRUST_DOMAIN):
            if domain.namespace == key.namespace:
                self._queue.add(domain, lane=Lane.FAST)
                self.domain_changed(domain)
                self._lists.ask(domain.namespace, domain.name)
        for peer in self._cache.find(Index.REFERS_TO_SECRET, key.namespace, key.name):
            self._queue.add(peer)

    def _rivals(self, key: Key) -> frozenset[Key]:
        """Other objects that claim something that this one claims, as the cache has it now."""
        return self._cache.sharers(
            key, (Index.PEER_BY_KERNEL_ID, Index.PEER_BY_FINGERPRINT, Index.DOMAIN_BY_KERNEL_ID)
        )


def _facts_of(domain: Domain | None) -> str:
    """What the peers of a TrustDomain can see of it, as a digest."""
    if domain is None:
        return ""
    view = domain.view
    parts = (
        view.trust_domain.metadata.uid,
        view.trust_domain.spec.model_dump_json(include={"kernel_id", "handshake"}),
        "" if view.public_key is None else view.public_key.canonical,
        "" if view.seal_key is None else hashlib.sha256(view.seal_key).hexdigest(),
    )
    return "\n".join(parts)
