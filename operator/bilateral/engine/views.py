"""What decisions look at, put together from the cache.

A TrustDomain and its Secrets are parsed once per version: ten thousand peers share one view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bilateral.engine.cache import Cache, Index, Key, Kind
from bilateral.engine.clock import ClockGuard
from bilateral.engine.secrets import SecretWriter, view_of
from bilateral.pki.authority import Authority
from bilateral.pki.servers import ServerCertificate
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.seal import verify_seal
from bilateral.reconcile.outcome import SecretView
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.peer import DomainView, Failed, PeerView, Received
from bilateral.reconcile.peer_status import recall
from bilateral.reconcile.trustdomain import TrustDomainOutcome, TrustDomainView, reconcile_trust_domain
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.verifiers import SecretKeyReference

_Version: TypeAlias = tuple[int, bool, tuple[tuple[str, str | None], ...]]


@dataclass(frozen=True, slots=True)
class Domain:
    """A TrustDomain as it speaks: with its key while it may sign."""

    view: DomainView
    signing_key: SigningKey | None
    host: str | None
    certificate: ServerCertificate | None
    authority: Authority | None
    """Our authority with its key, while it may sign."""


class Views:
    """Builds views from the cache, and remembers those of TrustDomains by version."""

    def __init__(self, cache: Cache, guard: ClockGuard, secrets: SecretWriter) -> None:
        self._cache = cache
        self._guard = guard
        self._secrets = secrets
        self._domains: dict[Key, tuple[_Version, Domain | None]] = {}

    def trust_domain(self, domain: TrustDomain) -> TrustDomainView:
        """The view of a TrustDomain: the Secrets that it names, its rivals, whether anybody is pinned."""
        namespace = domain.metadata.namespace
        key = Key(Kind.TRUST_DOMAIN, namespace, domain.metadata.name)
        return TrustDomainView(
            secrets=self._secrets_of(domain),
            foreign_secrets=self._secrets.foreign(namespace) | self._taken_from(domain),
            kernel_id_taken=self._is_taken(key, Index.DOMAIN_BY_KERNEL_ID, domain.spec.kernel_id),
            pins_exist=bool(self._cache.find(Index.PINNED_IN_DOMAIN, namespace, domain.metadata.name)),
            clock_regressed=self._guard.regressed,
            latest_time=int(self._guard.latest),
        )

    def _taken_from(self, domain: TrustDomain) -> frozenset[str]:
        """Which names of what it writes as it comes are taken, by another object of ours too."""
        names = (domain.peers_secret_name, domain.issued_secret_name, domain.statement_secret_name)
        return self._secrets.taken(domain.metadata.namespace) & set(names)

    def domain(self, namespace: str, name: str) -> Domain | None:
        """How a TrustDomain speaks now, or None when there is none that can be read."""
        key = Key(Kind.TRUST_DOMAIN, namespace, name)
        version = self._version(key)
        known = self._domains.get(key)
        if known is None or known[0] != version:
            known = self._domains[key] = (version, self._read(key))
        return known[1]

    def secret(self, namespace: str, name: str) -> SecretView | None:
        """A Secret that carries our label, or None."""
        raw = self._cache.raw(Key(Kind.SECRET, namespace, name))
        return None if raw is None else view_of(raw)

    def domain_by_kernel_id(self, kernel_id: str) -> tuple[Key, Domain] | None:
        """The TrustDomain that partners address by a kernel id: the oldest that claims it."""
        keys = self._cache.find(Index.DOMAIN_BY_KERNEL_ID, kernel_id)
        for key in keys:
            if self._cache.is_first(key, keys):
                found = self.domain(key.namespace, key.name)
                return None if found is None else (key, found)
        return None

    def kernel_ids(self) -> list[str]:
        """The kernel ids of all our trust domains."""
        keys = self._cache.keys(Kind.TRUST_DOMAIN)
        return sorted({term[0] for key in keys for term in self._cache.terms(key, Index.DOMAIN_BY_KERNEL_ID)})

    def peer(
        self,
        peer: FederationPeer,
        happened: Received | Failed | Fetched | None = None,
        *,
        asking_planned: int | None = None,
    ) -> PeerView:
        """The view of a FederationPeer, with what just happened to it."""
        metadata, spec = peer.metadata, peer.spec
        authorities = self.secret(metadata.namespace, peer.authorities_secret_name)
        ours = authorities is not None and authorities.owner_uid == metadata.uid
        key = Key(Kind.FEDERATION_PEER, metadata.namespace, metadata.name)
        domain = self.domain(metadata.namespace, spec.trust_domain)
        return PeerView(
            domain=None if domain is None else domain.view,
            kernel_id_taken=self._is_taken(
                key, Index.PEER_BY_KERNEL_ID, metadata.namespace, spec.trust_domain, spec.kernel_id
            ),
            shared_fingerprint=any(
                len(
                    self._cache.find(
                        Index.PEER_BY_FINGERPRINT, metadata.namespace, spec.trust_domain, fingerprint
                    )
                )
                > 1
                for fingerprint in spec.fingerprints
            ),
            bearer_token_missing=spec.endpoint is not None
            and spec.endpoint.bearer_token_secret_ref is not None
            and self.bearer_token(peer) is None,
            clock_regressed=self._guard.regressed,
            authorities=authorities.data if authorities is not None and ours else None,
            authorities_taken=(authorities is not None and not ours)
            or peer.authorities_secret_name in self._secrets.foreign(metadata.namespace),
            asking_planned=asking_planned,
            happened=happened,
        )

    def witnessed_time(self, peer: FederationPeer) -> int | None:
        """When the peer's pin was made (Unix seconds), if its seal is right: a time that was."""
        told = recall(peer)
        domain = self.domain(peer.metadata.namespace, peer.spec.trust_domain)
        if told.pin is None or domain is None or domain.view.seal_key is None:
            return None
        sealed = verify_seal(
            domain.view.seal_key, peer.metadata.uid, peer.spec.kernel_id, told.pin, told.seal or ""
        )
        return told.pin.established_at if sealed else None

    def bearer_token(self, peer: FederationPeer) -> str | None:
        """The token that we send to a peer, or None: there is none, or it cannot be read."""
        endpoint = peer.spec.endpoint
        if endpoint is None or endpoint.bearer_token_secret_ref is None:
            return None
        return self.token(peer.metadata.namespace, endpoint.bearer_token_secret_ref)

    def token(self, namespace: str, reference: SecretKeyReference) -> str | None:
        """The token that a reference names, or None: there is none, or it cannot be read."""
        raw = self._cache.raw(Key(Kind.SECRET, namespace, reference.name))
        if raw is None:
            return None
        secret = view_of(raw)
        value = secret.data.get(reference.key) if secret.referenced else None
        if not value:
            return None
        try:
            return value.decode("ascii").removesuffix("\n")
        except UnicodeDecodeError:
            return None

    def _build(self, domain: TrustDomain) -> Domain:
        outcome: TrustDomainOutcome = reconcile_trust_domain(
            domain, self.trust_domain(domain), self._guard.now()
        )
        published = domain.status.public_key
        key = outcome.signing_key
        # Nothing is signed with a key that is not the published one: status first, signature after.
        usable = key is not None and key.public_key.canonical == published
        return Domain(
            view=DomainView(
                trust_domain=domain,
                public_key=key.public_key if key is not None and usable else None,
                seal_key=outcome.seal_key,
            ),
            signing_key=key if usable else None,
            host=outcome.endpoint_host,
            certificate=outcome.endpoint_certificate,
            authority=outcome.authority,
        )

    def _version(self, key: Key) -> _Version:
        """What a TrustDomain's view is made of: its own version, its Secrets', and what rivals claim."""
        secrets = self._cache.find(Index.OWNED, key.namespace, key.kind, key.name)
        named = (Key(Kind.SECRET, *term) for term in self._cache.terms(key, Index.REFERS_TO_SECRET))
        kept_beside = (f"{key.name}-peers", f"{key.name}-issued")  # written often, and no part of the view
        owned = (each for each in secrets if not each.name.startswith(kept_beside))
        versions = sorted(
            (each.name, self._cache.resource_version(each))
            for each in {*owned, *named}
            if each in self._cache
        )
        return (self._cache.epochs[Kind.TRUST_DOMAIN], self._guard.regressed, tuple(versions))

    def _read(self, key: Key) -> Domain | None:
        raw = self._cache.raw(key)
        if raw is None:
            return None
        try:
            return self._build(TrustDomain.parse(raw))
        except InvalidResource:
            return None

    def _secrets_of(self, domain: TrustDomain) -> dict[str, SecretView]:
        names = (
            domain.signing_key_secret_name,
            domain.next_signing_key_secret_name,
            domain.seal_secret_name,
            domain.authority_secret_name,
            domain.endpoint_secret_name,
        )
        found = {}
        for name in names:
            raw = None if name is None else self._cache.raw(Key(Kind.SECRET, domain.metadata.namespace, name))
            if name is not None and raw is not None:
                found[name] = view_of(raw)
        return found

    def _is_taken(self, key: Key, index: Index, *term: str) -> bool:
        """Whether an older object claims what this one claims."""
        rivals = self._cache.find(index, *term)
        return len(rivals) > 1 and key in rivals and not self._cache.is_first(key, rivals)
