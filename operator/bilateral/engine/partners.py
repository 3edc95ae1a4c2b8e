"""Partners from the cache: each is judged at most once a second, and whenever what it depends on changed.

Rules: a partner is judged from the cached object, the seal key and the clock, as its own look does
(:mod:`bilateral.reconcile.peer`), so nobody waits for that look, and nothing here writes. A peer that is
gone or on its way out is None; one whose spec breaks a rule is there, and nobody.
"""

from __future__ import annotations

from typing import TypeAlias

from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import ClockGuard
from bilateral.engine.views import Domain, Views
from bilateral.reconcile.partners import (
    Partner,
    build_partner,
    build_unreadable_partner,
)
from bilateral.reconcile.peer import reconcile_peer
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer

_Version: TypeAlias = tuple[int, int, bool, str | None]


class Partners:
    """Judges partners, and remembers each judgement for as long as it is right."""

    def __init__(self, cache: Cache, views: Views, guard: ClockGuard) -> None:
        self._cache = cache
        self._views = views
        self._guard = guard
        self._judged: dict[Key, tuple[_Version, Domain | None, Partner | None]] = {}

    def find(self, namespace: str, name: str) -> Partner | None:
        """The FederationPeer of that name as it counts now; None: there is none."""
        key = Key(Kind.FEDERATION_PEER, namespace, name)
        raw_version = self._cache.resource_version(key)
        if raw_version is None:
            self._judged.pop(key, None)
            return None
        authorities = Key(Kind.SECRET, namespace, f"{name}-ca")
        version = (
            self._guard.now(),
            self._cache.epochs[Kind.FEDERATION_PEER],  # its own, and whoever claims what it claims
            self._guard.regressed,
            self._cache.resource_version(authorities),
        )
        known = self._judged.get(key)
        if known is not None and known[0] == version and known[1] is self._domain_of(namespace, known[2]):
            return known[2]
        partner = self._judge(key)
        self._judged[key] = (version, self._domain_of(namespace, partner), partner)
        return partner

    def _domain_of(self, namespace: str, partner: Partner | None) -> Domain | None:
        """The trust domain that speaks with it: another object whenever anything about it changed."""
        return None if partner is None else self._views.domain(namespace, partner.trust_domain)

    def _judge(self, key: Key) -> Partner | None:
        raw = self._cache.raw(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return None
        try:
            peer = FederationPeer.parse(raw)
        except InvalidResource as error:
            return build_unreadable_partner(key.name, str(raw["metadata"]["uid"]), error.reason)
        found = reconcile_peer(peer, self._views.peer(peer), self._guard.now()).findings
        return build_partner(peer, found, found.authorities.authorities, found.authorities.revocations)
