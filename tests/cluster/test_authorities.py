"""Certificate authorities of partners: announced, taken from a pinned key alone, replaced with an overlap.

Two operators on one API server, each with its own namespace.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.revocations import parse_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.protocol.authority_statement import open_statement
from bilateral.protocol.keys import parse_public_key
from cluster.organisations import Side
from cluster.scene import DOMAINS, IDENTITIES, PEERS, SECRETS, Object, open_scene
from support.caller import Caller
from support.timeline import Timeline
from support.waiting import wait_for
from testbed.cluster import Cluster

PEER = "partner"
_words = itertools.count(1)


def open_side(stack: ExitStack, cluster: Cluster, factory: pytest.TempPathFactory, name: str) -> Side:
    scene = stack.enter_context(open_scene(cluster, factory.mktemp(name)))
    operator = scene.operator("--identity=replica-0")
    timelines = [stack.enter_context(Timeline(cluster, scene.path(plural))) for plural in (PEERS, SECRETS)]
    scene.add_domain("front", url=operator.url)
    scene.wait(DOMAINS, "front", "Ready", status="True")
    return Side(scene, operator, *timelines)


@pytest.fixture(scope="module")
def sides(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    with ExitStack() as stack:
        a, b = (open_side(stack, cluster, tmp_path_factory, name) for name in "ab")
        yield a, b


@pytest.fixture
def pair(sides: tuple[Side, Side]) -> tuple[Side, Side, str]:
    """A trust domain of one name on each side, and each the other's partner."""
    name = f"org-{next(_words)}"
    for side in sides:
        side.add_domain(name)
        wait_for(partial(side.scene.secret, f"{name}-authority"), "the statement")
    for side, other in (sides, sides[::-1]):
        meet(side, other, name)
    for side in sides:
        side.scene.wait(PEERS, f"{name}-{PEER}", "AuthoritiesAnnounced", kind="AuthoritiesKnown")
    return *sides, name


def meet(side: Side, other: Side, name: str) -> None:
    side.scene.add_peer(
        f"{name}-{PEER}",
        name,
        kernelId=other.scene.kernel(name),
        endpoint=other.endpoint,
        trustAnchors=[{"publicKey": other.anchor(name)}],
    )


def authority(side: Side, name: str) -> bytes:
    return (
        side.scene.secret(
            side.scene.get(DOMAINS, name)["spec"]
            .get("certificateAuthority", {})
            .get("secretName", f"{name}-ca")
        )
        or {}
    )["tls.crt"]


def known(side: Side, name: str) -> dict[str, bytes]:
    return side.scene.secret(f"{name}-{PEER}-ca") or {}


def refresh(side: Side, name: str) -> Object:
    """Have the partner be asked now, and wait until it was."""
    word = f"refresh-{next(_words)}"
    side.scene.ask(PEERS, f"{name}-{PEER}", word)

    def served() -> Object | None:
        peer = side.scene.get(PEERS, f"{name}-{PEER}")
        return peer if peer["status"].get("reconciledNow") == word else None

    return wait_for(served, "the annotation's echo")


def identity(side: Side, name: str, identity: str) -> str:
    """Make an identity; its serial number."""
    side.scene.add_identity(identity, name)
    return str(side.scene.wait(IDENTITIES, identity, "Ready", status="True")["status"]["serial"])


def withdrawn(side: Side, name: str, file: str = "self.crl", pem: bytes | None = None) -> set[int]:
    data = side.scene.secret(f"{name}-authority") or {}
    issuer = x509.load_pem_x509_certificate(pem or authority(side, name))
    return set(parse_revocation_list(data[file], issuer).entries)


def test_two_operators_announce_to_each_other(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    for side, other in ((a, b), (b, a)):
        held = wait_for(partial(known, side, name), "the Secret")
        assert set(held) == {"ca.crt", "ca.crl", "statement.json", "sequence"}
        assert held["ca.crt"] == authority(other, name)
        issuer = x509.load_pem_x509_certificate(held["ca.crt"])
        assert parse_revocation_list(held["ca.crl"], issuer).entries == {}
        statement = open_statement(
            held["statement.json"],
            signer=parse_public_key(other.anchor(name)),
            kernel_id=other.scene.kernel(name),
        )
        assert held["sequence"] == str(statement.sequence).encode()
        assert statement.certificates == (issuer.public_bytes(Encoding.DER),)
        assert held["statement.json"] == (other.scene.secret(f"{name}-authority") or {})["statement.json"]
        peer = side.scene.get(PEERS, f"{name}-{PEER}")
        (told,) = peer["status"]["certificateAuthorities"]
        assert (
            told["fingerprint"]
            == other.scene.get(DOMAINS, name)["status"]["certificateAuthority"]["fingerprint"]
        )
        owner = side.scene.get(SECRETS, f"{name}-{PEER}-ca")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"]) == ("FederationPeer", peer["metadata"]["uid"])


def test_everybody_may_read_the_statement(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    path = "/v1/federation/authority?kernelId="
    caller = Caller(a.operator.port)
    answer = caller.post(b"", path=path + a.scene.kernel(name), method="GET", media_type=None)
    assert (answer.status, answer.body) == (
        200,
        (a.scene.secret(f"{name}-authority") or {})["statement.json"],
    )
    assert caller.post(b"", path=f"{path}somebody", method="GET", media_type=None).status == 404


def test_everybody_may_read_the_did_document(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    log = "https://log.org-a.example/v1/receipts"
    a.scene.patch(DOMAINS, name, {"spec": {"did": {"receiptLogUrls": [log]}}})
    path = "/v1/federation/did?kernelId="
    caller = Caller(a.operator.port)

    def served() -> dict[str, Any] | None:
        answer = caller.post(b"", path=path + a.scene.kernel(name), method="GET", media_type=None)
        assert answer.status == 200
        document: dict[str, Any] = json.loads(answer.body)
        return document if "service" in document else None

    document = wait_for(served, "the services")
    did = a.scene.get(DOMAINS, name)["status"]["did"]
    assert document["id"] == did
    assert document["service"] == [
        {"id": f"{did}#receipt-log", "type": "ChioReceiptLogService", "serviceEndpoint": log}
    ]
    assert caller.post(b"", path=f"{path}somebody", method="GET", media_type=None).status == 404


def test_what_was_withdrawn_reaches_the_partner(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    serial = int(identity(a, name, f"{name}-gone"), 16)
    a.scene.delete(IDENTITIES, f"{name}-gone")
    wait_for(lambda: withdrawn(a, name) == {serial}, "the list")
    refresh(b, name)
    held = wait_for(
        lambda: data if (data := known(b, name)).get("ca.crl") != b"" and serial in listed(data) else None,
        "the partner's list",
    )
    assert held["ca.crt"] == authority(a, name)


def listed(held: dict[str, bytes]) -> set[int]:
    """What the lists of a partner's Secret name, each verified by one of its authorities."""
    issuers = x509.load_pem_x509_certificates(held["ca.crt"])
    end = b"-----END X509 CRL-----\n"
    found: set[int] = set()
    for text in held["ca.crl"].split(end)[:-1]:
        crl = x509.load_pem_x509_crl(text + end)
        (issuer,) = (each for each in issuers if crl.is_signature_valid(each.public_key()))  # type: ignore[arg-type]  # an EC key
        found |= set(parse_revocation_list(text + end, issuer).entries)
    return found


def test_an_authority_is_replaced_with_an_overlap(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    old = authority(a, name)
    slug = build_slug(x509.load_pem_x509_certificate(old))
    serial = int(identity(a, name, f"{name}-holder"), 16)
    a.scene.patch(DOMAINS, name, {"spec": {"certificateAuthority": {"secretName": f"{name}-ca-2"}}})
    new = wait_for(lambda: (a.scene.secret(f"{name}-ca-2") or {}).get("tls.crt"), "the new authority")
    wait_for(
        lambda: f"{slug}.crl" in (a.scene.secret(f"{name}-authority") or {}), "two generations side by side"
    )
    refresh(b, name)
    wait_for(lambda: known(b, name).get("ca.crt") == new + old, "both at the partner")
    assert len(b.scene.get(PEERS, f"{name}-{PEER}")["status"]["certificateAuthorities"]) == 2
    # Nothing valid chains to the old one any more: it leaves, here and there.
    a.scene.delete(IDENTITIES, f"{name}-holder")
    wait_for(
        lambda: f"{slug}.crl" not in (a.scene.secret(f"{name}-authority") or {"x": b""}), "the old one's end"
    )
    refresh(b, name)
    wait_for(lambda: known(b, name).get("ca.crt") == new, "the new one alone")
    assert serial not in withdrawn(a, name, pem=new)


def test_the_old_authority_still_withdraws(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    old = authority(a, name)
    slug = build_slug(x509.load_pem_x509_certificate(old))
    first = int(identity(a, name, f"{name}-first"), 16)
    identity(a, name, f"{name}-second")
    a.scene.patch(DOMAINS, name, {"spec": {"certificateAuthority": {"secretName": f"{name}-ca-2"}}})
    wait_for(lambda: f"{slug}.crl" in (a.scene.secret(f"{name}-authority") or {}), "two generations")
    a.scene.delete(IDENTITIES, f"{name}-first")
    wait_for(lambda: withdrawn(a, name, f"{slug}.crl", old) == {first}, "the old one's list")
    refresh(b, name)
    wait_for(lambda: first in listed(known(b, name)), "at the partner")


def test_what_is_deleted_while_the_operator_is_away_is_withdrawn(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    serial = int(identity(a, name, f"{name}-away"), 16)
    a.operator.stop()
    a.scene.delete(IDENTITIES, f"{name}-away")
    assert withdrawn(a, name) == set()
    a.operator.start()
    wait_for(lambda: withdrawn(a, name) == {serial}, "the list", 30)


def test_a_suspended_partners_authorities_are_withdrawn_at_once(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    before = wait_for(lambda: known(a, name), "the Secret")
    a.scene.patch(PEERS, f"{name}-{PEER}", {"spec": {"state": "Suspended"}})
    wait_for(lambda: known(a, name) == {"ca.crt": NOBODY_PEM, "sequence": before["sequence"]}, "nobody", 5)
    a.scene.patch(PEERS, f"{name}-{PEER}", {"spec": {"state": "Active"}})
    wait_for(lambda: known(a, name).get("ca.crt") == before["ca.crt"], "all again")
