"""Who is queued when something changed: one table, read from the changed object to those that see it."""

from __future__ import annotations

from typing import Any

import pytest

from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.dependants import find_dependants
from bilateral.engine.terms import KIND_NAMES

NAMESPACE = "trust"


def build(
    kind: Kind, name: str, spec: dict[str, Any] | None = None, owner: Key | None = None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": name,
        "uid": f"{kind}-{name}",
        "resourceVersion": "1",
    }
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "kind": KIND_NAMES[Kind(owner.kind)],
                "name": owner.name,
                "uid": f"{owner.kind}-{owner.name}",
                "controller": True,
            }
        ]
    return {"metadata": metadata, "spec": spec or {}}


def key(kind: Kind, name: str) -> Key:
    return Key(kind, NAMESPACE, name)


DOMAIN = key(Kind.TRUST_DOMAIN, "org-a")
PEER = key(Kind.FEDERATION_PEER, "org-b")
CLIENT = key(Kind.WORKLOAD_IDENTITY, "client1")
LISTED = key(Kind.WORKLOAD_IDENTITY, "listed")
SERVER = key(Kind.WORKLOAD_IDENTITY, "server")
SERVICE = key(Kind.TRUSTED_SERVICE, "api")
OTHER_SERVICE = key(Kind.TRUSTED_SERVICE, "web")
ISSUED = key(Kind.INTRODUCTION, "issued")
ACCEPTED = key(Kind.INTRODUCTION, "accepted")
POLICY = key(Kind.FEDERATION_POLICY, "policy")

SPECS: dict[Key, dict[str, Any]] = {
    DOMAIN: {"kernelId": "a"},
    PEER: {
        "trustDomain": "org-a",
        "kernelId": "b",
        "endpoint": {"bearerTokenSecretRef": {"name": "token", "key": "token"}},
    },
    CLIENT: {"trustDomain": "org-a"},
    LISTED: {"trustDomain": "elsewhere", "services": {"mode": "Listed", "names": ["web"]}},
    SERVER: {"trustDomain": "elsewhere", "services": {"mode": "Listed", "names": []}, "clients": ["org-b"]},
    SERVICE: {"peer": "org-b"},
    OTHER_SERVICE: {"url": "https://web.example"},
    ISSUED: {"issue": {"trustDomain": "org-a", "peer": "org-b"}},
    POLICY: {"peer": "org-b", "partnerId": "org-b"},
    ACCEPTED: {"accept": {"identity": "client1", "introductionSecretRef": {"name": "letter", "key": "json"}}},
}
SECRETS: dict[str, Key | None] = {
    "org-a-ca": DOMAIN,
    "org-a-peers": DOMAIN,
    "org-a-peers-1": DOMAIN,
    "org-a-issued-3": DOMAIN,
    "org-b-ca": PEER,
    "client1-identity": CLIENT,
    "client1-id-chains": CLIENT,
    "token": None,
    "letter": None,
}


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    for each, spec in SPECS.items():
        cache.put(Kind(each.kind), build(Kind(each.kind), each.name, spec))
    for name, owner in SECRETS.items():
        cache.put(Kind.SECRET, build(Kind.SECRET, name, owner=owner))
    return cache


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param(DOMAIN, {CLIENT, ISSUED}, id="a trust domain: its identities and what it issues"),
        pytest.param(
            PEER, {SERVICE, CLIENT, ISSUED, SERVER, POLICY}, id="a peer: services, who sees them, clients"
        ),
        pytest.param(POLICY, {ISSUED}, id="a policy: the introductions of its peer's parties"),
        pytest.param(SERVICE, {CLIENT}, id="a service: who may see every service"),
        pytest.param(OTHER_SERVICE, {CLIENT, LISTED}, id="a service that somebody lists"),
        pytest.param(ISSUED, set(), id="an introduction that we issue"),
        pytest.param(ACCEPTED, {CLIENT}, id="an accepted introduction: its identity"),
        pytest.param(CLIENT, {ACCEPTED}, id="an identity: its introductions"),
        pytest.param(key(Kind.SECRET, "org-a-ca"), {DOMAIN, CLIENT, ISSUED}, id="the authority's key"),
        pytest.param(key(Kind.SECRET, "org-a-peers"), {DOMAIN}, id="the list of peers"),
        pytest.param(key(Kind.SECRET, "org-a-peers-1"), {DOMAIN}, id="its second part"),
        pytest.param(key(Kind.SECRET, "org-a-issued-3"), {DOMAIN}, id="what was signed"),
        pytest.param(
            key(Kind.SECRET, "org-b-ca"),
            {PEER, SERVICE, CLIENT, ISSUED, SERVER, POLICY},
            id="a peer's authorities",
        ),
        pytest.param(key(Kind.SECRET, "client1-identity"), {CLIENT, ACCEPTED}, id="an identity's key"),
        pytest.param(key(Kind.SECRET, "client1-id-chains"), {CLIENT}, id="an identity's chains"),
        pytest.param(key(Kind.SECRET, "token"), {PEER}, id="a Secret that a peer refers to"),
        pytest.param(
            key(Kind.SECRET, "letter"), {ACCEPTED, CLIENT}, id="a Secret that an introduction refers to"
        ),
    ],
)
def test_who_sees_a_change(cache: Cache, changed: Key, expected: set[Key]) -> None:
    assert find_dependants(cache, changed) == expected


def test_who_claims_the_same_is_a_rival(cache: Cache) -> None:
    """Two services with one alias, two peers with one kernel id: each sees the other."""
    cache.put(Kind.TRUSTED_SERVICE, build(Kind.TRUSTED_SERVICE, "copy", {"alias": "api"}))
    cache.put(
        Kind.FEDERATION_PEER, build(Kind.FEDERATION_PEER, "twin", {"trustDomain": "org-a", "kernelId": "b"})
    )
    assert SERVICE in find_dependants(cache, key(Kind.TRUSTED_SERVICE, "copy"))
    assert PEER in find_dependants(cache, key(Kind.FEDERATION_PEER, "twin"))


def test_what_is_gone_is_nobodys_dependant(cache: Cache) -> None:
    cache.remove(CLIENT)
    assert CLIENT not in find_dependants(cache, PEER)
    assert find_dependants(cache, ACCEPTED) == set()
