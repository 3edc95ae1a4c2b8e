"""ADR-034's rows on real connections: an alknet peer file chooses the verifier, and our client keeps to it.

The rows of the table that end in a certificate are connected; the others are refused, each before a byte is
sent. (The same rows as pure decisions: ``test_alknet_peers``.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bilateral.client import Client, ClientError, LayoutInvalid, PeerNotVerified
from bilateral.pki.errors import VerifierRefused
from bilateral.pki.fingerprints import parse_fingerprint, presented_fingerprint
from bilateral.pki.identities import HeldIdentity
from bilateral.pki.verifiers import KnownPeer, Situation, Transport, Verifier, select_verifier
from bilateral.protocol.reasons import Reason
from unit.client.pod import Organisation, Pod, make_organisation
from unit.client.serving import Loopback, server_context, serving

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def org() -> Organisation:
    return make_organisation("Hub")


@pytest.fixture(scope="module")
def hub(org: Organisation) -> HeldIdentity:
    return org.identity("hub", "localhost")


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    home = make_organisation("Node")
    return Pod(tmp_path / "mounted", home, home.identity("node"))


@pytest.fixture
def server(hub: HeldIdentity) -> Iterator[Loopback]:
    with serving(server_context(hub)) as seen:
        yield seen


def leaf(held: HeldIdentity) -> bytes:
    return held.identity.certificate.public_bytes(Encoding.DER)


def raw_key() -> bytes:
    return (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def peer_file(*fingerprints: str, enabled: bool = True) -> str:
    """One hub with fingerprints of both kinds, as alknet's PeerEntry has them."""
    entry: dict[str, object] = {
        "peer_id": "hub",
        "fingerprints": fingerprints,
        "auth_token_hash": None,
        "scopes": ["relay:connect"],
        "resources": {},
        "display_name": "Hub",
        "enabled": enabled,
    }
    return json.dumps({"peers": [entry]})


def resolve(file: str, remote: str, transport: Transport) -> Verifier:
    known = None
    for entry in json.loads(file)["peers"]:
        if entry["peer_id"] == remote:
            known = KnownPeer(
                withheld=None if entry["enabled"] else Reason.SUSPENDED,
                fingerprints=tuple(map(parse_fingerprint, entry["fingerprints"])),
            )
    return select_verifier(Situation(known, transport))


def call(pod: Pod, server: Loopback, verifier: Verifier) -> str:
    pod.know("hub", server.url, verifier)
    with Client("https://hub", config=pod.root) as http:
        return http.get("/").text


def test_known_and_a_certificate_is_pinned(
    pod: Pod, server: Loopback, hub: HeldIdentity, org: Organisation
) -> None:
    key = presented_fingerprint(raw_key())
    mixed = peer_file(key, presented_fingerprint(leaf(hub)))
    assert call(pod, server, resolve(mixed, "hub", Transport.X509)) == "ok"
    # Another certificate of the same name, by the same authority: the pin is the certificate.
    another = peer_file(key, presented_fingerprint(leaf(org.identity("hub", "localhost"))))
    with pytest.raises(PeerNotVerified) as caught:
        call(pod, server, resolve(another, "hub", Transport.X509))
    assert caught.value.cause == "pin-mismatch"
    assert len(server.requests) == 1


def test_not_known_and_a_certificate_is_for_public_authorities(pod: Pod, server: Loopback) -> None:
    """A private authority is none: no row ends in "whoever answers"."""
    with pytest.raises(PeerNotVerified) as caught:
        call(pod, server, resolve(peer_file(), "api.example", Transport.X509))
    assert caught.value.cause == "other-authority"
    assert server.received == b""


def test_known_and_a_raw_key_is_for_a_client_that_can(pod: Pod, server: Loopback, hub: HeldIdentity) -> None:
    """Python's TLS has no raw keys: the pin is kept, and refused here rather than read as another kind."""
    mixed = peer_file(presented_fingerprint(raw_key()), presented_fingerprint(leaf(hub)))
    with pytest.raises(LayoutInvalid) as caught:
        call(pod, server, resolve(mixed, "hub", Transport.RAW_KEY))
    assert caught.value.cause == "raw-key"
    assert server.connections == 0


@pytest.mark.parametrize(
    ("remote", "transport", "enabled", "reason"),
    [
        pytest.param(
            "api.example", Transport.RAW_KEY, True, Reason.UNKNOWN_RAW_KEY_PEER, id="not known, raw key"
        ),
        pytest.param("hub", Transport.X509, False, Reason.SUSPENDED, id="disabled, certificate"),
        pytest.param("hub", Transport.RAW_KEY, False, Reason.SUSPENDED, id="disabled, raw key"),
    ],
)
def test_the_other_rows_have_no_verifier_at_all(
    remote: str, transport: Transport, enabled: bool, reason: Reason, hub: HeldIdentity
) -> None:
    file = peer_file(presented_fingerprint(leaf(hub)), presented_fingerprint(raw_key()), enabled=enabled)
    with pytest.raises(VerifierRefused) as caught:
        resolve(file, remote, transport)
    assert caught.value.reason is reason


@pytest.mark.parametrize("kind", [Transport.X509, Transport.RAW_KEY])
def test_a_fingerprint_of_the_one_kind_is_none_of_the_other(
    kind: Transport, pod: Pod, server: Loopback, hub: HeldIdentity
) -> None:
    only = presented_fingerprint(raw_key() if kind is Transport.X509 else leaf(hub))
    with pytest.raises((VerifierRefused, ClientError)):
        call(pod, server, resolve(peer_file(only), "hub", kind))
    assert server.connections == 0
