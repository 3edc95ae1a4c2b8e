"""Looks at TrustDomains: makes their Secrets one after another, then writes what there is."""

from __future__ import annotations

from collections.abc import Callable

from bilateral.engine.cache import Key
from bilateral.engine.lookers.tools import Tools
from bilateral.reconcile.trustdomain import reconcile_trust_domain
from bilateral.resources.trustdomain import TrustDomain

MAX_ROUNDS = 6
"""How many Secrets in a row may follow from one another: key, seal, authority, certificate."""


class TrustDomainLooker:
    """Looks at TrustDomains; ``on_change`` is told of each that was looked at."""

    def __init__(self, tools: Tools, on_change: Callable[[Key], None]) -> None:
        self._tools = tools
        self._on_change = on_change

    async def look(self, key: Key) -> None:
        """Look at a TrustDomain."""
        tools = self._tools
        for _ in range(MAX_ROUNDS):
            found = await tools.read(TrustDomain, key)
            if found is None:
                return
            raw, domain = found
            now = tools.now()
            outcome = reconcile_trust_domain(domain, tools.views.trust_domain(domain), now)
            foreign = tools.secrets.foreign(key.namespace)
            made = [
                await tools.secrets.generate(domain, each, now) for each in outcome.generate if tools.holds()
            ]
            if any(made) or tools.secrets.foreign(key.namespace) != foreign:
                continue  # what was made, or found taken, is in view now, and more may follow from it
            await tools.write_status(key, raw, outcome.status.to_wire())
            self._on_change(key)
            if outcome.next_at is not None:
                tools.schedule(key, outcome.next_at)
            return
        tools.queue.add(key)
