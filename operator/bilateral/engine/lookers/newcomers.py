"""New peers of a new trust domain: their first look is a moment put off, so that one write does.

A person applies both at once. Where a peer is looked at first, its status says that the trust domain
is not ready, and is written again when it is. Rules: only peers without any status wait, only for a
trust domain that is there and was not looked at yet, and for at most :data:`LONGEST_SECONDS` since
the first of them did; the first look at the trust domain ends it (``Intake.domain_changed``).
"""

from __future__ import annotations

from bilateral.engine.cache import Key, Kind
from bilateral.engine.lookers.tools import Tools
from bilateral.resources.federationpeer import FederationPeer

LONGEST_SECONDS = 2.0


class Newcomers:
    """The new trust domains that peers wait for, and since when."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._since: dict[Key, float] = {}

    def wait(self, key: Key, peer: FederationPeer) -> bool:
        """Whether a peer's first look is put off; if so, it is queued."""
        if peer.status.observed_generation:
            return False
        tools = self._tools
        domain = Key(Kind.TRUST_DOMAIN, key.namespace, peer.spec.trust_domain)
        raw = tools.raw(domain)
        if raw is None or (raw.get("status") or {}).get("observedGeneration"):
            self._since.pop(domain, None)
            return False
        now = tools.clock.monotonic()
        left = self._since.setdefault(domain, now) + LONGEST_SECONDS - now
        if left <= 0:
            return False
        tools.look_after(key, left)
        return True
