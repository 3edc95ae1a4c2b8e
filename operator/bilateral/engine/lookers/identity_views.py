"""What a decision about a WorkloadIdentity looks at, put together from the cache.

An introduction, its partner and its services are judged by the identity itself, from the same offer as in the
Introduction's own status; neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bilateral.engine.cache import Index, Key, Kind
from bilateral.engine.lookers.introductions import read_document
from bilateral.engine.lookers.own_trust import OwnTrusts
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.partners import Partners
from bilateral.engine.secrets import view_of
from bilateral.engine.services import Services
from bilateral.pki.errors import PkiError
from bilateral.pki.introductions import parse_introduction
from bilateral.reconcile.identity_view import IdentityView, Offer
from bilateral.reconcile.introduction_accept import build_offer
from bilateral.reconcile.outcome import SecretView
from bilateral.reconcile.partners import Partner
from bilateral.resources.introduction import AcceptSpec, Introduction
from bilateral.resources.workloadidentity import WorkloadIdentity

SLACK = 1000
"""How many Introductions that are gone may be remembered."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An Introduction as it was read at one version, with its age; None where its spec breaks a rule."""

    version: str
    age: tuple[str, str]
    resource: Introduction | None


class IdentityViews:
    """Builds the views of WorkloadIdentities."""

    def __init__(self, tools: Tools, partners: Partners, services: Services) -> None:
        self._tools = tools
        self._partners = partners
        self._services = services
        self._own = OwnTrusts(tools)
        self._known: dict[Key, _Known] = {}
        self._aliases: dict[tuple[str, str], tuple[str | bytes, tuple[str, ...]]] = {}

    async def build(self, identity: WorkloadIdentity) -> IdentityView:
        """The view of an identity. Raises APIError."""
        tools, namespace = self._tools, identity.metadata.namespace
        services = await self._services.seen_by(identity)
        offers = self._offers(identity)
        shadowing = await self._shadowing(namespace, offers)
        return IdentityView(
            own=self._own.find(namespace, identity.spec.trust_domain),
            secrets=self._secrets(identity),
            foreign_secrets=tools.secrets.foreign(namespace),
            offers=offers,
            services=services,
            aliases=self._services.aliases(namespace) | shadowing,
            clients=self._clients(identity),
            clock_regressed=tools.guard.regressed,
            latest_time=int(tools.guard.latest),
        )

    def _secrets(self, identity: WorkloadIdentity) -> dict[str, SecretView]:
        """Those that it owns, those that have the names of its own, and the one that it refers to."""
        cache, namespace = self._tools.cache, identity.metadata.namespace
        names = {
            identity.identity_secret_name,
            identity.chains_secret_name,
            identity.servers_secret_name,
            identity.clients_secret_name,
            identity.spec.key.secret_name,
            *filter(identity.is_output, self._tools.secrets.taken(namespace)),
        }
        owned = cache.find(Index.OWNED, namespace, Kind.WORKLOAD_IDENTITY, identity.metadata.name)
        keys = {Key(Kind.SECRET, namespace, name) for name in names if name is not None} | owned
        found = ((key.name, cache.raw(key)) for key in keys)
        return {name: view_of(raw) for name, raw in found if raw is not None}

    def _clients(self, identity: WorkloadIdentity) -> tuple[Partner, ...]:
        """The partners of its own trust domain whose parties may connect to it."""
        spec = identity.spec
        found = (self._partners.find(identity.metadata.namespace, name) for name in sorted(spec.clients))
        return tuple(
            partner for partner in found if partner is not None and partner.trust_domain == spec.trust_domain
        )

    def _offers(self, identity: WorkloadIdentity) -> tuple[Offer, ...]:
        """What Introductions offer to it, oldest first."""
        metadata = identity.metadata
        keys = self._tools.cache.find(Index.INTRODUCTIONS_OF_IDENTITY, metadata.namespace, metadata.name)
        known = [each for each in map(self._read, keys) if each is not None]
        found = (self._offer(identity, each.resource) for each in sorted(known, key=lambda each: each.age))
        return tuple(offer for offer in found if offer is not None)

    def _offer(self, identity: WorkloadIdentity, resource: Introduction | None) -> Offer | None:
        if resource is None:
            return None
        tools, namespace, domain = self._tools, identity.metadata.namespace, identity.spec.trust_domain
        accept, request = resource.spec.accept, resource.spec.request
        if accept is not None:
            document = read_document(tools, namespace, accept)
        elif request is not None:
            # What the partner answered was checked before it was put into the status, and is judged anew.
            accept = AcceptSpec(identity=request.identity, peer=request.peer)
            document = resource.status.introduction
        else:
            return None
        partner = None if accept.peer is None else self._partners.find(namespace, accept.peer)
        offer = build_offer(resource, accept, document, partner, domain)
        return offer if isinstance(offer, Offer) else None

    def _read(self, key: Key) -> _Known | None:
        version = self._tools.cache.resource_version(key)
        if len(self._known) > self._tools.cache.count(Kind.INTRODUCTION) + SLACK:
            self._known.clear()  # most of them are gone
            self._aliases.clear()
        known = self._known.get(key)
        if known is None or known.version != version:
            raw = self._tools.raw(key)
            if raw is None or version is None:
                self._known.pop(key, None)
                return None
            age = (str(raw["metadata"].get("creationTimestamp", "")), str(raw["metadata"]["uid"]))
            resource = self._tools.parse(Introduction, key.namespace, key.name)
            known = self._known[key] = _Known(version, age, resource)
        return known

    async def _shadowing(self, namespace: str, offers: Sequence[Offer]) -> frozenset[str]:
        """The aliases by which pods would mean a Service of the cluster: no introduction may take one."""
        named = {alias for offer in offers for alias in self._aliases_of(namespace, offer)}
        return frozenset({alias for alias in named if await self._services.shadows(namespace, alias)})

    def _aliases_of(self, namespace: str, offer: Offer) -> tuple[str, ...]:
        known = self._aliases.get((namespace, offer.name))
        if known is None or known[0] != offer.document:
            try:
                services = parse_introduction(offer.document).services
            except PkiError:
                services = ()
            known = (offer.document, tuple(service.alias for service in services))
            self._aliases[namespace, offer.name] = known
        return known[1]
