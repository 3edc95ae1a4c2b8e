"""Everything of ours in a namespace as a plan looks at it, and what would be taken away from it.

Pure. :class:`World` answers whose a thing is, now and after a :class:`Removal`; nothing here decides anew what
the operator decides: what counts now is in statuses and Secrets, and a plan only takes away from that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bilateral.cli.cluster import OwnedSecret
from bilateral.cli.explanation import may_see
from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.errors import InvalidDirectory
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.pem import parse_certificates
from bilateral.pki.slugs import build_slug
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.introduction import Introduction
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import OWN_AUTHORITY, WorkloadIdentity


@dataclass(frozen=True, slots=True)
class Removal:
    """What is taken away: one object by name, and the partners that then count for nothing, with the reason."""

    uid: str
    partners: Mapping[str, Reason] = field(default_factory=dict)
    domain: str | None = None
    identity: str | None = None
    service: str | None = None
    introduction: str | None = None
    policy: str | None = None
    deletes: bool = True


NOTHING = Removal("", deletes=False)
"""The world as it is."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who decides what an identity finds under an alias; ``sure`` where it is known that it may be called."""

    reference: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Objects:
    """What was read: objects by name, documents of introductions by the object's name, Secrets (None: unseen)."""

    domains: Mapping[str, TrustDomain] = field(default_factory=dict)
    partners: Mapping[str, FederationPeer] = field(default_factory=dict)
    identities: Mapping[str, WorkloadIdentity] = field(default_factory=dict)
    services: Mapping[str, TrustedService] = field(default_factory=dict)
    introductions: Mapping[str, Introduction] = field(default_factory=dict)
    policies: Mapping[str, FederationPolicy] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)
    secrets: Mapping[str, OwnedSecret] | None = None
    unseen: tuple[str, ...] = ()


class World:
    """Answers about what was read."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._claims: dict[str, list[TrustedService]] = {}
        for service in sorted(objects.services.values(), key=_age):
            self._claims.setdefault(service.alias, []).append(service)
        self._introductions: dict[str, list[Introduction]] = {}
        for introduction in sorted(objects.introductions.values(), key=_age):
            form = introduction.spec.ours
            if form is not None:
                self._introductions.setdefault(form.identity, []).append(introduction)
        chains = (chain for each in objects.identities.values() for chain in each.status.chains)
        self._slugs = {chain.introduction: chain.slug for chain in chains if chain.introduction is not None}

    def loss_of(self, service: TrustedService, removal: Removal) -> Reason | None:
        """Why nobody could call a service that may be called now; None: it stays. Deleted: ServiceNotFound."""
        spec = service.spec
        if service.metadata.name == removal.service:
            return Reason.SERVICE_NOT_FOUND
        if spec.peer is not None and spec.peer in removal.partners:
            return removal.partners[spec.peer]
        taken = any(name in removal.partners for name in spec.authorities)
        if taken and not any(self._presents(name, removal) for name in spec.authorities):
            return Reason.AUTHORITY_UNKNOWN
        return None

    def _presents(self, name: str, removal: Removal) -> bool:
        """Whether an entry of ``authorities`` still stands for somebody's authority."""
        if name == OWN_AUTHORITY:
            return True
        partner = self.objects.partners.get(name)
        return (
            name not in removal.partners
            and partner is not None
            and bool(partner.status.certificate_authorities)
        )

    def is_installed(self, introduction: Introduction, removal: Removal) -> bool:
        """Whether what another authority signed is installed for an identity of ours, and stays so."""
        form = introduction.spec.ours
        ready = introduction.status.condition("Ready")
        return (
            form is not None
            and ready is not None
            and ready.status is ConditionStatus.TRUE
            and introduction.metadata.name != removal.introduction
            and form.identity != removal.identity
            and form.peer not in removal.partners
        )

    def installed(self, identity: str, removal: Removal) -> list[Introduction]:
        """What is installed for an identity, oldest first."""
        return [each for each in self._introductions.get(identity, ()) if self.is_installed(each, removal)]

    def slug_of(self, introduction: Introduction) -> str | None:
        """The name of the authority's files: from the document, or from the identity that has the chain."""
        document = self.objects.documents.get(introduction.metadata.name)
        return self._slugs.get(introduction.metadata.name) if document is None else document.slug

    def chains(self, identity: str, removal: Removal) -> dict[str, str]:
        """The authorities that have signed an identity, by slug, with the introduction of each."""
        found: dict[str, str] = {}
        for each in self.installed(identity, removal):
            slug = self.slug_of(each)
            if slug is not None:
                found.setdefault(slug, each.metadata.name)
        return found

    def carried(self, introduction: Introduction) -> dict[str, str]:
        """The services that an introduction tells of, by alias."""
        document = self.objects.documents.get(introduction.metadata.name)
        return {} if document is None else {each.alias: each.url for each in document.services}

    def holder(self, alias: str, identity: WorkloadIdentity, removal: Removal) -> Holder | None:
        """Who decides what an identity finds under an alias; None: nobody, it finds nothing."""
        claims = [each for each in self._claims.get(alias, ()) if each.metadata.name != removal.service]
        if claims:  # the oldest keeps an alias, and no introduction decides over it
            service = claims[0]
            if not may_see(identity, service) or self.loss_of(service, removal) is not None:
                return None
            is_called = service.status.verifier is not None
            if not is_called and len(claims) == len(self._claims[alias]):
                return None  # it is refused, and not because an older one has the alias
            return Holder(f"{TrustedService.SINGULAR}/{service.metadata.name}", is_called)
        for each in self.installed(identity.metadata.name, removal):
            if alias in self.carried(each):
                return Holder(f"{Introduction.SINGULAR}/{each.metadata.name}", sure=True)
        return None

    def is_same(self, one: Holder, other: Holder, alias: str) -> bool:
        """Whether two holders of an alias say the same of it: one, or introductions that differ in nothing."""
        if one == other:
            return True
        found = [
            self.objects.introductions.get(each.reference.removeprefix(f"{Introduction.SINGULAR}/"))
            for each in (one, other)
        ]
        said = [
            None if each is None else (self.slug_of(each), self.carried(each).get(alias), each.spec.ours)
            for each in found
        ]
        first, second = said
        if first is None or second is None or first[2] is None or second[2] is None:
            return False
        return (*first[:2], first[2].peer) == (*second[:2], second[2].peer)

    def presented(self, reference: str, removal: Removal) -> tuple[str, ...]:
        """The authorities whose chain the holder of an alias accepts, by slug, in its order; ``self`` is our own."""
        kind, _, name = reference.partition("/")
        if kind == TrustedService.SINGULAR:
            spec = self.objects.services[name].spec
            named: Iterable[str] = spec.authorities or ((spec.peer,) if spec.peer is not None else ())
            found = (
                slug
                for each in named
                for slug in ((each,) if each == OWN_AUTHORITY else self.authorities_of(each, removal))
            )
            return tuple(dict.fromkeys(found))
        introduction = self.objects.introductions[name]
        form = introduction.spec.ours
        signer = self.slug_of(introduction)
        theirs = self.authorities_of(form.peer, removal) if form is not None and form.peer is not None else ()
        return tuple(dict.fromkeys((*theirs, *(() if signer is None else (signer,)))))

    def authorities_of(self, partner: str, removal: Removal) -> tuple[str, ...]:
        """The slugs of a partner's authorities, as its Secret has them: newest first."""
        objects = self.objects
        if partner in removal.partners or partner not in objects.partners or objects.secrets is None:
            return ()
        secret = objects.secrets.get(objects.partners[partner].authorities_secret_name)
        return () if secret is None else read_slugs(secret.data.get("ca.crt", b""))


@functools.lru_cache(maxsize=4096)
def read_slugs(pem: bytes) -> tuple[str, ...]:
    """The slugs of the authorities in a file; none where it cannot be read."""
    if pem == NOBODY_PEM:
        return ()
    try:
        return tuple(map(build_slug, parse_certificates(pem, InvalidDirectory)))
    except InvalidDirectory:
        return ()


def _age(resource: TrustedService | Introduction) -> tuple[str, str]:
    return resource.metadata.creation_timestamp, resource.metadata.uid
