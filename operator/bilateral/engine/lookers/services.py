"""Looks at TrustedServices: says how each is reached, and how many identities can call it.

Rules:

- An identity's change concerns every service that it may see, and a thousand identities change together:
  who sees a service is counted anew two seconds after the first of many changes, and only a service for which
  the count became another is looked at. So there is at most one write a service for any number of changes.
- An identity counts once its Secrets are written.
"""

from __future__ import annotations

from bilateral.engine.cache import Cache, Index, Key
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.services import Services
from bilateral.engine.terms import EVERY
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.service_status import Audience, build_outcome, presentable_slugs
from bilateral.reconcile.services import Resolution, ResolvedService, ServiceRefused
from bilateral.resources.trustedservice import TrustedService

AUDIENCE_SECONDS = 2.0
SHADOWED_AGAIN_SECONDS = 60.0
"""A Service of the cluster is not watched: that it went is found out by asking."""


class TrustedServiceLooker:
    """Looks at TrustedServices."""

    def __init__(self, tools: Tools, services: Services) -> None:
        self._tools = tools
        self._services = services
        self.told: dict[Key, tuple[Resolution, Audience]] = {}

    async def look(self, key: Key) -> None:
        """Look at a TrustedService."""
        tools = self._tools
        found = await tools.read(TrustedService, key)
        resolved = None if found is None else await self._services.resolve(key)
        if found is None or resolved is None:
            self.told.pop(key, None)
            return
        if not tools.holds():
            return
        raw, service = found
        audience = count_audience(tools.cache, key, resolved)
        outcome = build_outcome(service, resolved, audience, tools.now())
        await tools.write_status(key, raw, outcome.status.to_wire())
        self.told[key] = (resolved, audience)
        if isinstance(resolved, ServiceRefused) and resolved.reason is Reason.ALIAS_SHADOWS_SERVICE:
            tools.look_after(key, SHADOWED_AGAIN_SECONDS)
        if outcome.next_at is not None:
            tools.schedule(key, outcome.next_at)


class AudienceLooker:
    """Looks at the identities of a namespace, for the services that they may see."""

    def __init__(self, tools: Tools, services: Services, looker: TrustedServiceLooker) -> None:
        self._tools = tools
        self._services = services
        self._looker = looker
        self._due: dict[str, float] = {}

    async def look(self, key: Key) -> None:
        """Count who sees the services of a namespace, a little after the first change."""
        tools, now = self._tools, self._tools.clock.monotonic()
        due = self._due.setdefault(key.namespace, now + AUDIENCE_SECONDS)
        if now < due:
            tools.look_after(key, due - now)
            return
        del self._due[key.namespace]
        for service in self._services.keys(key.namespace):
            told = self._looker.told.get(service)
            if told is not None and told[1] != count_audience(tools.cache, service, told[0]):
                tools.queue.add(service)


def count_audience(cache: Cache, key: Key, resolved: Resolution) -> Audience:
    """Count the identities that may see a service, and those of them that lack a chain for it."""
    everybody = cache.find(Index.SEES_SERVICE, key.namespace, EVERY)
    readers = (everybody | cache.find(Index.SEES_SERVICE, key.namespace, key.name)) & cache.find(
        Index.HAS_OUTPUTS, key.namespace
    )
    slugs = presentable_slugs(resolved) if isinstance(resolved, ResolvedService) else None
    if slugs is None:
        return Audience(seeing=len(readers))
    held = frozenset[Key]().union(*(cache.find(Index.HAS_CHAIN, key.namespace, slug) for slug in slugs))
    return Audience(seeing=len(readers), lacking=len(readers - held))
