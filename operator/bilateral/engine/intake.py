"""Takes in what the watches say, and queues whatever depends on it.

Nothing here waits, reads or writes: an event costs an entry in the cache and a few keys in the
queue. Every replica takes in everything; only the holder of the Lease works the queue.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.dependants import find_dependants, find_owner
from bilateral.engine.lists import PeerLists
from bilateral.engine.metrics import Metrics
from bilateral.engine.queue import Lane, WorkQueue
from bilateral.engine.terms import AUDIENCES, AUTHORITIES
from bilateral.engine.views import Domain, Views

DELETED = "DELETED"
_STATUS_OF_ITS_OWN = (
    Kind.TRUSTED_SERVICE,
    Kind.WORKLOAD_IDENTITY,
    Kind.INTRODUCTION,
    Kind.FEDERATION_POLICY,
)
"""What others depend on in these is the spec, or a Secret; of an Introduction that asks a partner it is the answer."""


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
        cache.on_written = self._written

    def event(self, kind: Kind, event: str | None, obj: dict[str, Any]) -> None:
        """Take in one event of a watch (``event`` is None for an object of a list)."""
        self._metrics.watch_events.labels(kind.value).inc()
        metadata = obj["metadata"]
        key = Key(kind, sys.intern(metadata["namespace"]), metadata["name"])
        if event == DELETED:
            self._remove(key, metadata["uid"])
            return
        before = find_dependants(self._cache, key)
        if self._cache.put(kind, obj):
            self._follow(key, before | find_dependants(self._cache, key))

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], version: str) -> None:
        """A list was read to its end: what is held, older than it, and was not in it is gone."""
        for key in self._cache.missing_from(kind, namespace, uids, version):
            self._remove(key, None)
        self._metrics.objects.labels(kind.value).set(self._cache.count(kind))

    def everything(self) -> None:
        """Queue all there is: this replica begins to lead, or its clock was set."""
        for kind in Kind:
            if kind is Kind.SECRET:
                continue
            for key in self._cache.keys(kind):
                self._queue.add(key, lane=Lane.FAST if kind is Kind.TRUST_DOMAIN else Lane.SLOW)
        for key in self._cache.keys(Kind.TRUST_DOMAIN):
            self._lists.ask(key.namespace, key.name)
            self._queue.add(Key(AUTHORITIES, key.namespace, key.name))

    def again(self, kind: Kind) -> None:
        """Queue every object of a kind: what they all depend on is another."""
        for key in self._cache.keys(kind):
            self._queue.add(key)

    def domain_changed(self, key: Key) -> None:
        """Queue the peers and authorities of a TrustDomain, if what they can see of it is another than before."""
        self._refresh_endpoint()
        facts = _facts_of(self._views.domain(key.namespace, key.name))
        if self._facts.get(key) == facts:
            return
        self._facts[key] = facts
        self._lists.ask(key.namespace, key.name)
        self._queue.add(Key(AUTHORITIES, key.namespace, key.name))
        for peer in self._cache.find(Index.PEERS_OF_DOMAIN, key.namespace, key.name):
            self._queue.add(peer)

    def _written(self, kind: Kind, obj: dict[str, Any]) -> None:
        """Take in what we wrote ourselves: whoever wrote it has looked, the others look now."""
        metadata = obj["metadata"]
        key = Key(kind, metadata["namespace"], metadata["name"])
        if kind in _STATUS_OF_ITS_OWN and "request" not in obj["spec"]:
            # A status only, and those who look at the object do not look at that.
            if self._cache.put(kind, obj):
                self._ask_for_audience(key)
            return
        before = find_dependants(self._cache, key)
        if self._cache.put(kind, obj):
            self._queue_all((before | find_dependants(self._cache, key)) - {find_owner(self._cache, key)})
            self._ask_for_audience(key)

    def _remove(self, key: Key, uid: str | None) -> None:
        dependants = find_dependants(self._cache, key)
        authorities = self._authorities(key)
        if not self._cache.remove(key, uid):
            return
        self._queue.discard(key)
        if key.kind == Kind.FEDERATION_PEER:
            self._lists.drop(key)
            self._metrics.peer_is(key, None)
        for each in authorities:
            self._queue.add(each, lane=Lane.FAST)
        self._follow(key, dependants)

    def _follow(self, key: Key, dependants: Iterable[Key]) -> None:
        """Queue an object that changed or went, and those that can see it."""
        self._ask_for_audience(key)
        if key.kind != Kind.SECRET and key in self._cache:
            self._queue.add(key, lane=Lane.FAST)
            for each in self._authorities(key):
                self._queue.add(each)
        self._queue_all(dependants)
        if key.kind == Kind.TRUST_DOMAIN:
            self.domain_changed(key)

    def _queue_all(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key not in self._cache:
                continue
            domain = key.kind == Kind.TRUST_DOMAIN
            self._queue.add(key, lane=Lane.FAST if domain else Lane.SLOW)
            if domain:
                self.domain_changed(key)
                self._lists.ask(key.namespace, key.name)
                self._queue.add(Key(AUTHORITIES, key.namespace, key.name))

    def _ask_for_audience(self, key: Key) -> None:
        """Have it counted anew who may see the services, when an identity changed."""
        if key.kind == Kind.WORKLOAD_IDENTITY:
            self._queue.add(Key(AUDIENCES, key.namespace, ""))

    def _authorities(self, key: Key) -> set[Key]:
        """The authorities that may have signed something for an object, or for a partner's parties."""
        if key.kind == Kind.FEDERATION_PEER:
            introductions = self._cache.find(Index.INTRODUCTIONS_OF_PEER, key.namespace, key.name)
            return {each for introduction in introductions for each in self._authorities(introduction)}
        indexes = {
            Kind.TRUST_DOMAIN.value: None,
            Kind.WORKLOAD_IDENTITY.value: Index.IDENTITIES_OF_DOMAIN,
            Kind.INTRODUCTION.value: Index.INTRODUCTIONS_OF_DOMAIN,
        }
        if key.kind not in indexes:
            return set()
        index = indexes[key.kind]
        if index is None:
            return {Key(AUTHORITIES, key.namespace, key.name)}
        return {Key(AUTHORITIES, *term) for term in self._cache.terms(key, index)}


def _facts_of(domain: Domain | None) -> str:
    """What the peers of a TrustDomain can see of it, as a digest."""
    if domain is None:
        return ""
    view = domain.view
    parts = (
        view.trust_domain.metadata.uid,
        "" if view.trust_domain.status.observed_generation else "new",
        view.trust_domain.spec.model_dump_json(include={"kernel_id", "handshake"}),
        "" if view.public_key is None else view.public_key.canonical,
        "" if view.seal_key is None else hashlib.sha256(view.seal_key).hexdigest(),
        "" if domain.authority is None else domain.authority.fingerprint,
    )
    return "\n".join(parts)
