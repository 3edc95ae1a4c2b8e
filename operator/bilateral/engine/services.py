"""How services are reached, from the cache: one answer for their own status and for all who call them.

Rules:

- A service is resolved from its object, its partners, its token's Secret and its rivals as they are now;
  nobody waits for the service's own look, and nothing here writes. An answer is kept while all of that is
  the same and its time has not come.
- Whether a Service of the cluster has the alias is asked of the API server, one name at a time, and
  remembered for a minute; while that cannot be told, the question is raised (APIError) and not guessed.
- A token counts only from a Secret that its owner opened to us by label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bilateral.engine.api import KubernetesAPI, NotFound, path_of
from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.partners import Partners
from bilateral.engine.secrets import view_of
from bilateral.reconcile.services import (
    Resolution,
    ResolvedService,
    ServiceRefused,
    ServiceView,
    Token,
    read_token,
    resolve_service,
)
from bilateral.resources.errors import InvalidResource
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import ServicesMode, WorkloadIdentity

SHADOW_SECONDS = 60.0
"""How long the answer about a cluster's Service is believed."""
MAX_REMEMBERED = 10_000


@dataclass(slots=True)
class _Known:
    """What is remembered of one service: its parsed object by version, and its resolution by view."""

    version: str
    service: TrustedService | None
    refused: ServiceRefused | None = None
    view: ServiceView | None = field(default=None, repr=False)
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True)
class _Namespace:
    """The TrustedServices of a namespace, and their aliases."""

    keys: tuple[Key, ...]
    aliases: frozenset[str]


class Services:
    """Resolves services, and remembers each answer for as long as it is right."""

    def __init__(
        self, api: KubernetesAPI, cache: Cache, partners: Partners, guard: ClockGuard, clock: Clock
    ) -> None:
        self._api = api
        self._cache = cache
        self._partners = partners
        self._guard = guard
        self._clock = clock
        self._known: dict[Key, _Known] = {}
        self._shadows: dict[tuple[str, str], tuple[float, bool]] = {}
        self._epoch = -1
        self._namespaces: dict[str, list[Key]] = {}
        self._listed: dict[str, _Namespace] = {}

    async def resolve(self, key: Key) -> Resolution | None:
        """How a TrustedService is reached now; None when it is gone. Raises APIError."""
        known = self._read(key)
        if known is None or known.service is None:
            return None if known is None else known.refused
        view = await self.view(known.service)
        now = self._guard.now()
        if known.view != view or known.resolution is None or _has_ended(known.resolution, now):
            known.view, known.resolution = view, resolve_service(known.service, view, now)
        return known.resolution

    async def seen_by(self, identity: WorkloadIdentity) -> tuple[Resolution, ...]:
        """The TrustedServices that an identity may see, as they are reached now. Raises APIError."""
        namespace, selection = identity.metadata.namespace, identity.spec.services
        keys: Iterable[Key] = (Key(Kind.TRUSTED_SERVICE, namespace, name) for name in selection.names)
        if selection.mode is ServicesMode.ALL:
            keys = self._of(namespace).keys
        found = [await self.resolve(key) for key in sorted(keys)]
        return tuple(each for each in found if each is not None)

    def aliases(self, namespace: str) -> frozenset[str]:
        """The aliases of all TrustedServices of a namespace."""
        return self._of(namespace).aliases

    def keys(self, namespace: str) -> tuple[Key, ...]:
        """All TrustedServices of a namespace."""
        return self._of(namespace).keys

    async def view(self, service: TrustedService) -> ServiceView:
        """What a TrustedService depends on. Raises APIError."""
        namespace, spec = service.metadata.namespace, service.spec
        key = Key(Kind.TRUSTED_SERVICE, namespace, service.metadata.name)
        rivals = self._cache.find(Index.SERVICE_BY_ALIAS, namespace, service.alias)
        signers = {name: self._partners.find(namespace, name) for name in spec.authorities}
        return ServiceView(
            partner=None if spec.peer is None else self._partners.find(namespace, spec.peer),
            signers={name: partner for name, partner in signers.items() if partner is not None},
            alias_taken=key in rivals and not self._cache.is_first(key, rivals),
            shadows_service=await self.shadows(namespace, service.alias),
            token=self._token(service),
        )

    async def shadows(self, namespace: str, alias: str) -> bool:
        """Whether pods would mean a Service of the cluster by this alias. Raises APIError."""
        if "." in alias:
            return False
        now = self._clock.monotonic()
        known = self._shadows.get((namespace, alias))
        if known is not None and now < known[0] + SHADOW_SECONDS:
            return known[1]
        try:
            await self._api.get(path_of("services", namespace, alias, group="", version="v1"))
            there = True
        except NotFound:
            there = False
        if len(self._shadows) >= MAX_REMEMBERED:
            self._shadows.clear()
        self._shadows[namespace, alias] = (now, there)
        return there

    def _of(self, namespace: str) -> _Namespace:
        epoch = self._cache.epochs[Kind.TRUSTED_SERVICE]
        if epoch != self._epoch:
            self._epoch = epoch
            self._namespaces.clear()
            for key in self._cache.keys(Kind.TRUSTED_SERVICE):
                self._namespaces.setdefault(key.namespace, []).append(key)
            self._listed.clear()
        known = self._listed.get(namespace)
        if known is None:
            keys = tuple(sorted(self._namespaces.get(namespace, ())))
            terms = (term for key in keys for term in self._cache.terms(key, Index.SERVICE_BY_ALIAS))
            known = self._listed[namespace] = _Namespace(keys, frozenset(alias for _, alias in terms))
        return known

    def _read(self, key: Key) -> _Known | None:
        version = self._cache.resource_version(key)
        known = self._known.get(key)
        if version is None:
            self._known.pop(key, None)
            return None
        if known is not None and known.version == version:
            return known
        raw = self._cache.raw(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._known.pop(key, None)
            return None
        try:
            known = _Known(version, TrustedService.parse(raw))
        except InvalidResource as error:
            spec = raw.get("spec") or {}
            known = _Known(version, None, ServiceRefused(str(spec.get("alias") or key.name), error.reason))
        self._known[key] = known
        return known

    def _token(self, service: TrustedService) -> Token:
        reference = service.spec.bearer_token_secret_ref
        if reference is None:
            return Token(None)
        raw = self._cache.raw(Key(Kind.SECRET, service.metadata.namespace, reference.name))
        return read_token(None if raw is None else view_of(raw), reference.key, service.spec.url)


def _has_ended(resolution: Resolution, now: int) -> bool:
    return (
        isinstance(resolution, ResolvedService) and resolution.until is not None and now >= resolution.until
    )
