"""An alknet peer file with mixed fingerprints resolves as ADR-034, section 3, says: every row, both answers.

The file is what alknet reads (``peers`` with its seven fields). Its verifier is chosen by two questions
alone, whether there is an enabled entry for the remote and what the remote presents; the second rule here
compares what was presented with what was pinned, as whole text.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bilateral.pki.authority import generate_authority
from bilateral.pki.errors import VerifierRefused
from bilateral.pki.fingerprints import parse_fingerprint, presented_fingerprint
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.pki.verifiers import (
    KnownPeer,
    PinnedFingerprint,
    PinnedRawKey,
    Situation,
    Transport,
    WebPKI,
    select_verifier,
)
from bilateral.protocol.reasons import Reason

pytestmark = pytest.mark.interop

NOW = datetime.now(UTC)
AUTHORITY = generate_authority(Subject(common_name="CA"), algorithm="Ed25519", validity_seconds=60, now=NOW)


def leaf() -> bytes:
    from cryptography import x509

    pem = issue_server_certificate(AUTHORITY, ["hub.example"], validity_seconds=60, now=NOW).cert_pem
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def raw_key() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


HUB_LEAF, HUB_KEY, NODE_KEY, OTHER_LEAF, OTHER_KEY = leaf(), raw_key(), raw_key(), leaf(), raw_key()


def entry(peer_id: str, *presented: bytes, enabled: bool = True) -> dict[str, object]:
    return {
        "peer_id": peer_id,
        "fingerprints": [presented_fingerprint(each) for each in presented],
        "auth_token_hash": None,
        "scopes": ["relay:connect"],
        "resources": {"service": ["gitea"]},
        "display_name": peer_id,
        "enabled": enabled,
    }


FILE = json.dumps(
    {
        "peers": [
            entry("hub", HUB_KEY, HUB_LEAF),
            entry("node", NODE_KEY),
            entry("gone", HUB_LEAF, enabled=False),
        ]
    }
)


def find_peer(peer_id: str) -> KnownPeer | None:
    for listed in json.loads(FILE)["peers"]:
        if listed["peer_id"] == peer_id:
            return KnownPeer(
                withheld=None if listed["enabled"] else Reason.SUSPENDED,
                fingerprints=tuple(parse_fingerprint(text) for text in listed["fingerprints"]),
            )
    return None


@pytest.mark.parametrize(
    ("peer_id", "transport", "good", "bad"),
    [
        pytest.param(
            "hub", Transport.RAW_KEY, HUB_KEY, OTHER_KEY, id="known, raw key: its ed25519: is pinned"
        ),
        pytest.param("hub", Transport.X509, HUB_LEAF, OTHER_LEAF, id="known, X509: its SHA256: is pinned"),
        pytest.param("node", Transport.RAW_KEY, NODE_KEY, HUB_KEY, id="another peer's key is not its own"),
    ],
)
def test_a_known_peer_is_pinned(peer_id: str, transport: Transport, good: bytes, bad: bytes) -> None:
    verifier = select_verifier(Situation(find_peer(peer_id), transport))
    assert isinstance(verifier, PinnedRawKey if transport is Transport.RAW_KEY else PinnedFingerprint)
    pinned = {str(each) for each in verifier.fingerprints}
    assert presented_fingerprint(good) in pinned
    assert presented_fingerprint(bad) not in pinned


def test_an_unknown_remote_with_a_certificate_is_public() -> None:
    assert select_verifier(Situation(find_peer("api.example"))) == WebPKI()


@pytest.mark.parametrize(
    ("peer_id", "transport", "reason"),
    [
        pytest.param(
            "nobody", Transport.RAW_KEY, Reason.UNKNOWN_RAW_KEY_PEER, id="unknown, raw key: fails closed"
        ),
        pytest.param(
            "node", Transport.X509, Reason.NOTHING_PINNED, id="known, and no fingerprint of that kind"
        ),
        pytest.param("gone", Transport.X509, Reason.SUSPENDED, id="disabled, X509"),
        pytest.param("gone", Transport.RAW_KEY, Reason.SUSPENDED, id="disabled, raw key"),
    ],
)
def test_nothing_falls_back(peer_id: str, transport: Transport, reason: Reason) -> None:
    with pytest.raises(VerifierRefused) as caught:
        select_verifier(Situation(find_peer(peer_id), transport))
    assert caught.value.reason is reason


def test_one_key_in_a_certificate_is_not_the_raw_key() -> None:
    """The shape of what is presented decides: a certificate that carries an Ed25519 key is a certificate."""
    assert presented_fingerprint(HUB_KEY).startswith("ed25519:")
    assert presented_fingerprint(HUB_LEAF).startswith("SHA256:")
    assert presented_fingerprint(HUB_KEY + b"\0").startswith("SHA256:")
