"""Who can see a change: the keys to queue when an object came, changed or went.

Read downwards, each kind with those that look at it:

    Secret            its owner, those that refer to it, and those that see the owner through it
    TrustDomain       its peers, identities and introductions; whoever claims the same kernel id
    FederationPeer    its services, introductions, policy, the identities that admit it; rivals
    TrustedService    the identities that may see it; whoever claims the same alias
    Introduction      its identity
    WorkloadIdentity  its introductions
    FederationPolicy  its peer's introductions; whoever claims the same peer or partner

It only finds keys, through the cache's indexes; what is queued, and when, is the intake's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bilateral.engine.cache import Cache
from bilateral.engine.terms import EVERY, Index, Key, Kind

RIVALRIES = (
    Index.PEER_BY_KERNEL_ID,
    Index.PEER_BY_FINGERPRINT,
    Index.DOMAIN_BY_KERNEL_ID,
    Index.SERVICE_BY_ALIAS,
    Index.POLICIES_OF_PEER,
    Index.POLICY_BY_PARTNER,
)
"""What only one object may claim: a change of one is seen by the others."""


_UNSEEN = ("{}-peers", "{}-issued")
"""Secrets of a TrustDomain that nobody else of our kinds looks at."""


_READ_THROUGH = (Kind.TRUSTED_SERVICE, Kind.INTRODUCTION, Kind.WORKLOAD_IDENTITY)
"""Whose referenced Secret others read too: a service's token, an introduction's JSON, an identity's key."""


def find_rivals(cache: Cache, key: Key) -> frozenset[Key]:
    """Everybody who claims something that ``key`` claims, as the cache has it now."""
    return cache.sharers(key, RIVALRIES)


def find_owner(cache: Cache, secret: Key) -> Key | None:
    """The object of ours that a Secret says to be owned by, if there is one of that name."""
    owners = (Key(kind, namespace, name) for namespace, kind, name in cache.terms(secret, Index.OWNED))
    return next((owner for owner in owners if owner in cache), None)


def find_dependants(cache: Cache, key: Key) -> set[Key]:
    """Everybody of our kinds who looks at ``key``, as the cache has it now; not ``key`` itself."""
    finder = _FINDERS.get(Kind(key.kind))
    found = set() if finder is None else set(finder(cache, key))
    for rival in find_rivals(cache, key):
        found.add(rival)
        if rival.kind == Kind.TRUSTED_SERVICE:  # whose alias it is now, those hear that may see it
            found.update(_of_service(cache, rival))
        elif rival.kind == Kind.FEDERATION_POLICY:  # which may count now, or not any more
            found.update(_of_policy(cache, rival))
    found.discard(key)
    return found


def _of_secret(cache: Cache, key: Key) -> Iterator[Key]:
    for reader in cache.find(Index.REFERS_TO_SECRET, key.namespace, key.name):
        yield reader
        if reader.kind in _READ_THROUGH:
            yield from _FINDERS[Kind(reader.kind)](cache, reader)
    owner = find_owner(cache, key)
    if owner is None:
        return
    yield owner
    if owner.kind == Kind.FEDERATION_PEER:  # its certificate authorities
        yield from _of_peer(cache, owner)
    elif owner.kind == Kind.TRUST_DOMAIN:
        if not key.name.startswith(
            tuple(name.format(owner.name) for name in _UNSEEN)
        ):  # its key, its authorities, their lists
            yield from _of_domain(cache, owner)
    elif key.name == f"{owner.name}-identity":
        yield from _of_identity(cache, owner)


def _of_domain(cache: Cache, key: Key) -> Iterator[Key]:
    yield from cache.find(Index.IDENTITIES_OF_DOMAIN, key.namespace, key.name)
    yield from cache.find(Index.INTRODUCTIONS_OF_DOMAIN, key.namespace, key.name)


def _of_peer(cache: Cache, key: Key) -> Iterator[Key]:
    for service in cache.find(Index.SERVICES_OF_PEER, key.namespace, key.name):
        yield service
        yield from _of_service(cache, service)
    for introduction in cache.find(Index.INTRODUCTIONS_OF_PEER, key.namespace, key.name):
        yield introduction
        yield from _of_introduction(cache, introduction)
    yield from cache.find(Index.ADMITS_PEER, key.namespace, key.name)
    yield from cache.find(Index.POLICIES_OF_PEER, key.namespace, key.name)


def _of_service(cache: Cache, key: Key) -> Iterator[Key]:
    yield from cache.find(Index.SEES_SERVICE, key.namespace, key.name)
    yield from cache.find(Index.SEES_SERVICE, key.namespace, EVERY)


def _of_introduction(cache: Cache, key: Key) -> Iterator[Key]:
    for term in cache.terms(key, Index.INTRODUCTIONS_OF_IDENTITY):
        identity = Key(Kind.WORKLOAD_IDENTITY, *term)
        if identity in cache:
            yield identity


def _of_identity(cache: Cache, key: Key) -> Iterator[Key]:
    yield from cache.find(Index.INTRODUCTIONS_OF_IDENTITY, key.namespace, key.name)


def _of_policy(cache: Cache, key: Key) -> Iterator[Key]:
    for term in cache.terms(key, Index.POLICIES_OF_PEER):
        yield from cache.find(Index.INTRODUCTIONS_OF_PEER, *term)


_FINDERS: Mapping[Kind, Callable[[Cache, Key], Iterator[Key]]] = {
    Kind.SECRET: _of_secret,
    Kind.TRUST_DOMAIN: _of_domain,
    Kind.FEDERATION_PEER: _of_peer,
    Kind.TRUSTED_SERVICE: _of_service,
    Kind.INTRODUCTION: _of_introduction,
    Kind.WORKLOAD_IDENTITY: _of_identity,
    Kind.FEDERATION_POLICY: _of_policy,
}
