"""What is watched, and the terms by which the cache finds it.

An object is read here as the API server admitted it, unparsed: an object that breaks a rule is
found as well as any other, so that whoever depends on it hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from bilateral.resources.labels import APPROVED_BY_LABEL, APPROVED_BY_POLICY, REQUEST_LABEL, REQUESTER_LABEL

Object: TypeAlias = dict[str, Any]


class Kind(StrEnum):
    """What is watched, by its plural: kopf, paths and logs use the same word."""

    TRUST_DOMAIN = "trustdomains"
    FEDERATION_PEER = "federationpeers"
    WORKLOAD_IDENTITY = "workloadidentities"
    TRUSTED_SERVICE = "trustedservices"
    INTRODUCTION = "introductions"
    FEDERATION_POLICY = "federationpolicies"
    SECRET = "secrets"  # noqa: S105 - a plural


KIND_NAMES: Mapping[Kind, str] = {
    Kind.TRUST_DOMAIN: "TrustDomain",
    Kind.FEDERATION_PEER: "FederationPeer",
    Kind.WORKLOAD_IDENTITY: "WorkloadIdentity",
    Kind.TRUSTED_SERVICE: "TrustedService",
    Kind.INTRODUCTION: "Introduction",
    Kind.FEDERATION_POLICY: "FederationPolicy",
}
"""The kinds of ours that are watched, as manifests name them."""

AUTHORITIES = "authorities"
"""The kind of the queue's keys for what a TrustDomain's authorities have signed and withdrawn."""

AUDIENCES = "audiences"
"""The kind of the queue's keys for who may see the services of a namespace; such a key has no name."""


class Key(NamedTuple):
    """One object."""

    kind: str
    namespace: str
    name: str


class Index(StrEnum):
    """The relations that are looked up; the term is a tuple that starts with the namespace."""

    OWNED = "owned"  # (namespace, plural, name): the Secrets that an object of ours owns
    PEERS_OF_DOMAIN = "peers-of-domain"  # (namespace, trust domain)
    PINNED_IN_DOMAIN = "pinned-in-domain"  # (namespace, trust domain): peers with a pin, fresh or not
    PEER_BY_KERNEL_ID = "peer-by-kernel-id"  # (namespace, trust domain, kernel id)
    PEER_BY_FINGERPRINT = "peer-by-fingerprint"  # (namespace, trust domain, fingerprint)
    DOMAIN_BY_KERNEL_ID = "domain-by-kernel-id"  # (kernel id,): kernel ids are unique in the cluster
    REFERS_TO_SECRET = "refers-to-secret"  # noqa: S105 - (namespace, Secret): who reads it
    IDENTITIES_OF_DOMAIN = "identities-of-domain"  # (namespace, trust domain)
    HAS_OUTPUTS = "has-outputs"  # (namespace,): identities whose Secrets are written
    HAS_CHAIN = "has-chain"  # (namespace, slug): identities that an authority has signed
    SEES_SERVICE = "sees-service"  # (namespace, TrustedService or EVERY): identities that may see it
    ADMITS_PEER = "admits-peer"  # (namespace, peer): identities that a partner's parties may connect to
    SERVICES_OF_PEER = "services-of-peer"  # (namespace, peer): run by it, or shown its chain
    SERVICE_BY_ALIAS = "service-by-alias"  # (namespace, alias)
    INTRODUCTIONS_OF_IDENTITY = "introductions-of-identity"  # (namespace, identity)
    INTRODUCTIONS_OF_PEER = "introductions-of-peer"  # (namespace, peer)
    INTRODUCTIONS_OF_DOMAIN = "introductions-of-domain"  # (namespace, trust domain): those that it issues
    INTRODUCTION_BY_REQUEST = "introduction-by-request"  # (namespace, UID of the peer, id): asked for online
    REQUESTS_PENDING = "requests-pending"  # (namespace, UID of the peer): asked for online, not yet decided
    APPROVED_BY_POLICY = "approved-by-policy"  # (namespace, UID of the peer): asked for online
    POLICIES_OF_PEER = "policies-of-peer"  # (namespace, peer)
    POLICY_BY_PARTNER = "policy-by-partner"  # (namespace, partner id)


EVERY = "*"
"""Stands in a term for all TrustedServices of the namespace; no object can be called so."""

Term: TypeAlias = tuple[str, ...]
IndexTerm: TypeAlias = tuple[Index, Term]


def terms_of(kind: Kind, key: Key, obj: Object) -> Iterator[IndexTerm]:
    """Everything that an object is found by."""
    yield from _TERMS[kind](key, obj)


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _secret_name(value: object) -> str | None:
    """The name in a reference such as ``{name, key}``."""
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _trust_domain(key: Key, obj: Object) -> Iterator[IndexTerm]:
    spec, name = _spec(obj), key.name
    yield Index.DOMAIN_BY_KERNEL_ID, (str(spec.get("kernelId", "")),)
    signing_key = spec.get("signingKey") or {}
    authority = spec.get("certificateAuthority") or {}
    certificate = (spec.get("endpoint") or {}).get("certificate") or {}
    for secret in (
        f"{name}-seal",
        f"{name}-peers",
        signing_key.get("secretName") or f"{name}-signing-key",
        signing_key.get("nextSecretName"),
        authority.get("secretName") or f"{name}-ca",
        certificate.get("secretName") or f"{name}-endpoint-tls",
    ):
        if secret is not None:
            yield Index.REFERS_TO_SECRET, (key.namespace, str(secret))


def _federation_peer(key: Key, obj: Object) -> Iterator[IndexTerm]:
    spec = _spec(obj)
    domain = str(spec.get("trustDomain", ""))
    yield Index.PEERS_OF_DOMAIN, (key.namespace, domain)
    yield Index.PEER_BY_KERNEL_ID, (key.namespace, domain, str(spec.get("kernelId", "")))
    if (obj.get("status") or {}).get("pin"):
        yield Index.PINNED_IN_DOMAIN, (key.namespace, domain)
    for fingerprint in spec.get("fingerprints") or ():
        yield Index.PEER_BY_FINGERPRINT, (key.namespace, domain, str(fingerprint))
    secret = _secret_name((spec.get("endpoint") or {}).get("bearerTokenSecretRef"))
    if secret is not None:
        yield Index.REFERS_TO_SECRET, (key.namespace, secret)


def _workload_identity(key: Key, obj: Object) -> Iterator[IndexTerm]:
    spec = _spec(obj)
    yield Index.IDENTITIES_OF_DOMAIN, (key.namespace, str(spec.get("trustDomain", "")))
    services = spec.get("services") or {}
    listed = services.get("mode") == "Listed"
    for service in services.get("names") or () if listed else (EVERY,):
        yield Index.SEES_SERVICE, (key.namespace, str(service))
    status = obj.get("status") or {}
    if status.get("contentHash"):
        yield Index.HAS_OUTPUTS, (key.namespace,)
    for chain in status.get("chains") or ():
        yield Index.HAS_CHAIN, (key.namespace, str(chain.get("slug")))
    for peer in spec.get("clients") or ():
        yield Index.ADMITS_PEER, (key.namespace, str(peer))
    secret = (spec.get("key") or {}).get("secretName")
    if secret is not None:
        yield Index.REFERS_TO_SECRET, (key.namespace, str(secret))


def _trusted_service(key: Key, obj: Object) -> Iterator[IndexTerm]:
    spec = _spec(obj)
    yield Index.SERVICE_BY_ALIAS, (key.namespace, str(spec.get("alias") or key.name))
    for peer in {spec.get("peer"), *(spec.get("authorities") or ())} - {None}:
        yield Index.SERVICES_OF_PEER, (key.namespace, str(peer))
    secret = _secret_name(spec.get("bearerTokenSecretRef"))
    if secret is not None:
        yield Index.REFERS_TO_SECRET, (key.namespace, secret)


def _introduction(key: Key, obj: Object) -> Iterator[IndexTerm]:
    spec = _spec(obj)
    issue, accept, request = (spec.get(form) or {} for form in ("issue", "accept", "request"))
    if "trustDomain" in issue:
        yield Index.INTRODUCTIONS_OF_DOMAIN, (key.namespace, str(issue["trustDomain"]))
    for identity in {accept.get("identity"), request.get("identity")} - {None}:
        yield Index.INTRODUCTIONS_OF_IDENTITY, (key.namespace, str(identity))
    for peer in {form.get("peer") for form in (issue, accept, request)} - {None}:
        yield Index.INTRODUCTIONS_OF_PEER, (key.namespace, str(peer))
    labels = obj["metadata"].get("labels") or {}
    if "peer" in issue and REQUEST_LABEL in labels and REQUESTER_LABEL in labels:
        requester = str(labels[REQUESTER_LABEL])
        yield Index.INTRODUCTION_BY_REQUEST, (key.namespace, requester, str(labels[REQUEST_LABEL]))
        if issue.get("approval", "Pending") == "Pending":
            yield Index.REQUESTS_PENDING, (key.namespace, requester)
        elif labels.get(APPROVED_BY_LABEL) == APPROVED_BY_POLICY:
            yield Index.APPROVED_BY_POLICY, (key.namespace, requester)
    secret = _secret_name(accept.get("introductionSecretRef"))
    if secret is not None:
        yield Index.REFERS_TO_SECRET, (key.namespace, secret)


def _federation_policy(key: Key, obj: Object) -> Iterator[IndexTerm]:
    spec = _spec(obj)
    yield Index.POLICIES_OF_PEER, (key.namespace, str(spec.get("peer", "")))
    yield Index.POLICY_BY_PARTNER, (key.namespace, str(spec.get("partnerId", "")))
    secret = _secret_name((spec.get("revocationFeed") or {}).get("bearerTokenSecretRef"))
    if secret is not None:
        yield Index.REFERS_TO_SECRET, (key.namespace, secret)


def _secret(key: Key, obj: Object) -> Iterator[IndexTerm]:
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") in _OWNERS:
            yield Index.OWNED, (key.namespace, _OWNERS[owner["kind"]].value, str(owner["name"]))


_OWNERS: Mapping[str, Kind] = {name: kind for kind, name in KIND_NAMES.items()}

_TERMS: Mapping[Kind, Callable[[Key, Object], Iterator[IndexTerm]]] = {
    Kind.TRUST_DOMAIN: _trust_domain,
    Kind.FEDERATION_PEER: _federation_peer,
    Kind.WORKLOAD_IDENTITY: _workload_identity,
    Kind.TRUSTED_SERVICE: _trusted_service,
    Kind.INTRODUCTION: _introduction,
    Kind.FEDERATION_POLICY: _federation_policy,
    Kind.SECRET: _secret,
}
