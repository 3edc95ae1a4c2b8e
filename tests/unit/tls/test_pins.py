"""A pin: this very certificate, in date; everything else is refused, each with its cause."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import generate_authority
from bilateral.pki.errors import InvalidCertificate
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.tls.pins import verify_pinned

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AUTHORITY = generate_authority(
    Subject(common_name="CA"), algorithm="Ed25519", validity_seconds=86_400, now=NOW
)


def leaf() -> bytes:
    pem = issue_server_certificate(AUTHORITY, ["api.example"], validity_seconds=3600, now=NOW).cert_pem
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


LEAF, OTHER = leaf(), leaf()
PIN = certificate_fingerprint(LEAF)
KEY = "ed25519:" + "ab" * 32


@pytest.mark.parametrize("pins", [[PIN], [KEY, PIN], [certificate_fingerprint(OTHER), PIN]])
def test_the_certificate_that_is_pinned_passes(pins: Sequence[str]) -> None:
    verify_pinned(LEAF, pins, NOW)


@pytest.mark.parametrize(
    ("presented", "pins", "moment", "cause"),
    [
        (None, [PIN], NOW, "no-certificate"),
        (b"", [PIN], NOW, "no-certificate"),
        (OTHER, [PIN], NOW, "pin-mismatch"),
        (LEAF, [], NOW, "pin-mismatch"),
        (LEAF, [KEY], NOW, "pin-mismatch"),
        (LEAF, [PIN.replace("SHA256:", "ed25519:")], NOW, "pin-mismatch"),
        (LEAF, [PIN.upper()], NOW, "pin-mismatch"),
        (LEAF, [PIN + "\n"], NOW, "pin-mismatch"),
        (LEAF + b"\0", [PIN], NOW, "pin-mismatch"),
        (b"nothing", [f"SHA256:{hashlib.sha256(b'nothing').hexdigest()}"], NOW, "malformed-certificate"),
        (LEAF, [PIN], NOW + timedelta(hours=2), "expired"),
        (LEAF, [PIN], NOW - timedelta(hours=2), "not-yet-valid"),
    ],
)
def test_everything_else_is_refused(
    presented: bytes | None, pins: Sequence[str], moment: datetime, cause: str
) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        verify_pinned(presented, pins, moment)
    assert caught.value.cause == cause
