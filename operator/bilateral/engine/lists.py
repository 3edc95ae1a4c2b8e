"""Keeps the peer lists of every TrustDomain, and writes them when they changed.

Rules (resources.md, FederationPeer): written at most every ten seconds, for ten thousand renewals
must not be ten thousand writes; but a change that withdraws trust does not wait for that. Nothing
is written before every peer of the domain was looked at, so that a restart never shows a list that
lacks somebody.
"""

from __future__ import annotations

from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.clock import Clock
from bilateral.engine.queue import WorkQueue
from bilateral.engine.secrets import SecretWriter
from bilateral.reconcile.outcome import WrittenSecret
from bilateral.reconcile.peer_lists import PeerLine, build_parts
from bilateral.resources.errors import InvalidResource
from bilateral.resources.trustdomain import TrustDomain

LISTS = "peer-lists"
"""The kind of the queue's keys for a TrustDomain's lists."""
WRITE_SECONDS = 10.0
WITHDRAW_SECONDS = 0.05
WAIT_SECONDS = 1.0


class PeerLists:
    """The lines of every TrustDomain's lists, by peer."""

    def __init__(self, cache: Cache, queue: WorkQueue[Key], secrets: SecretWriter, clock: Clock) -> None:
        self._cache = cache
        self._queue = queue
        self._secrets = secrets
        self._clock = clock
        self._lines: dict[Key, dict[str, PeerLine]] = {}
        self._domains: dict[Key, Key] = {}  # one object for all its peers
        self._domain_of: dict[Key, Key] = {}
        self._looked_at: set[Key] = set()
        self._written_at: dict[Key, float] = {}

    def put(self, peer: Key, trust_domain: str, line: PeerLine) -> None:
        """Take what a look at a peer says into the lists of its TrustDomain."""
        domain = Key(LISTS, peer.namespace, trust_domain)
        domain = self._domains.setdefault(domain, domain)
        lines = self._lines.setdefault(domain, {})
        before = lines.get(peer.name)
        self._domain_of[peer] = domain
        self._looked_at.add(peer)
        if before == line:
            return
        lines[peer.name] = line
        self._plan(domain, at_once=line.withdraws(before))

    def drop(self, peer: Key) -> None:
        """Take a peer out that is gone or cannot be read."""
        if peer in self._cache:
            self._looked_at.add(peer)
        else:
            self._looked_at.discard(peer)
        domain = self._domain_of.pop(peer, None)
        if domain is not None and self._lines.get(domain, {}).pop(peer.name, None) is not None:
            self._plan(domain, at_once=True)

    def ask(self, namespace: str, trust_domain: str) -> None:
        """Compare the lists with what is written, soon."""
        self._plan(Key(LISTS, namespace, trust_domain), at_once=False)

    def clear(self) -> None:
        """Forget everything: another replica keeps the lists now."""
        self._lines.clear()
        self._domains.clear()
        self._domain_of.clear()
        self._looked_at.clear()
        self._written_at.clear()

    async def look(self, key: Key) -> None:
        """Write the parts that differ; come back while peers are still to be looked at."""
        raw = self._cache.raw(Key(Kind.TRUST_DOMAIN, key.namespace, key.name))
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return
        peers = self._cache.find(Index.PEERS_OF_DOMAIN, key.namespace, key.name)
        if not peers <= self._looked_at:
            self._queue.add(key, due=self._clock.monotonic() + WAIT_SECONDS)
            return
        try:
            domain = TrustDomain.parse(raw)
        except InvalidResource:
            return
        parts = build_parts(self._lines.get(key, {}).values(), self._parts_there(domain))
        for number, data in enumerate(parts):
            name = domain.peers_secret_name if number == 0 else f"{domain.peers_secret_name}-{number}"
            place = Key(Kind.SECRET, key.namespace, name)
            version = self._cache.resource_version(place)
            written = await self._secrets.write(domain, WrittenSecret(name, data))
            if self._cache.resource_version(place) != version:
                self._written_at[key] = self._clock.monotonic()
            if not written:
                self._queue.add(key, due=self._clock.monotonic() + WRITE_SECONDS)

    def _parts_there(self, domain: TrustDomain) -> int:
        """How many parts there are by now: those that are not needed any more are emptied."""
        number = 1
        while (
            Key(Kind.SECRET, domain.metadata.namespace, f"{domain.peers_secret_name}-{number}") in self._cache
        ):
            number += 1
        return number

    def _plan(self, domain: Key, *, at_once: bool) -> None:
        now = self._clock.monotonic()
        earliest = self._written_at.get(domain, now - WRITE_SECONDS) + WRITE_SECONDS
        self._queue.add(
            domain, due=now + WITHDRAW_SECONDS if at_once else max(now + WITHDRAW_SECONDS, earliest)
        )
