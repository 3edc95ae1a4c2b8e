"""Fingerprints of TLS credentials, in the spelling of alknet's peer records.

Rules:

* A certificate is ``SHA256:`` + 64 lower-case hex, over the **whole DER** of the leaf: not over its key,
  not base64. A raw Ed25519 key is ``ed25519:`` + 64 lower-case hex: the key itself, not a hash.
* Comparison is equality of that text. So only that text is accepted: no upper-case hex, no colons, no
  ``0x``, nothing around it (``fullmatch``; ``$`` would let a newline pass).
* Which kind a credential has is decided by the shape of the presented bytes: a certificate that carries
  an Ed25519 key has a ``SHA256:`` fingerprint.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.errors import InvalidFingerprint
from bilateral.pki.pem import UNREADABLE, parse_certificates

ED25519_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
ED25519_KEY_BYTES = 32

_FINGERPRINT = re.compile(r"(?P<kind>ed25519|SHA256):(?P<hex>[0-9a-f]{64})")
_OPENSSH = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_NEARLY = re.compile(r"(?i:ed25519|sha-?256)[:=](0x)?([0-9a-fA-F]{2}:?){32}")


class FingerprintKind(StrEnum):
    """What a fingerprint is of; the value is its prefix."""

    RAW_KEY = "ed25519"
    CERTIFICATE = "SHA256"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A parsed fingerprint: its kind and the 32 bytes; ``str()`` is the one spelling."""

    kind: FingerprintKind
    digest: bytes

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.digest.hex()}"


def parse_fingerprint(text: str) -> Fingerprint:
    """Parse ``ed25519:`` or ``SHA256:`` + 64 lower-case hex.

    Raises InvalidFingerprint with ``cause``: openssh (base64, as ``ssh-keygen -l`` prints it), spelling
    (right bytes, wrong case or separators), malformed. A key's bytes are not checked to be a point: that
    is :func:`bilateral.protocol.keys.parse_public_key`.
    """
    match = _FINGERPRINT.fullmatch(text)
    if match:
        return Fingerprint(FingerprintKind(match["kind"]), bytes.fromhex(match["hex"]))
    if _OPENSSH.fullmatch(text):
        raise InvalidFingerprint(
            "openssh",
            "this is OpenSSH's base64 fingerprint of an SSH key; expected SHA256: and 64 lower-case hex "
            "digits, the SHA-256 of the whole certificate (openssl x509 -noout -fingerprint -sha256, without colons)",
        )
    if _NEARLY.fullmatch(text):
        raise InvalidFingerprint(
            "spelling",
            "expected ed25519: or SHA256: exactly so, and 64 lower-case hex digits without separators",
        )
    raise InvalidFingerprint(
        "malformed", "expected a fingerprint: ed25519: or SHA256: and 64 lower-case hex digits"
    )


def certificate_fingerprint(certificate: x509.Certificate | bytes) -> str:
    """Return the ``SHA256:`` fingerprint of a certificate, of its DER, or of the first PEM block.

    Raises InvalidFingerprint (malformed-certificate) for bytes that are no certificate.
    """
    if isinstance(certificate, bytes):
        if b"-----BEGIN" in certificate:
            certificate = parse_certificates(certificate, InvalidFingerprint)[0]
        else:
            try:
                certificate = x509.load_der_x509_certificate(certificate)
            except UNREADABLE:
                raise InvalidFingerprint(
                    "malformed-certificate", "expected a certificate, found something else"
                ) from None
    return f"SHA256:{hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()}"


def presented_fingerprint(presented: bytes) -> str:
    """Return the fingerprint of the bytes that a TLS peer presented: a leaf certificate or a raw key.

    Exactly the 44 bytes of an Ed25519 SubjectPublicKeyInfo are a raw key; anything else is hashed whole.
    """
    if len(presented) == len(ED25519_SPKI_PREFIX) + ED25519_KEY_BYTES and presented.startswith(
        ED25519_SPKI_PREFIX
    ):
        return f"ed25519:{presented[len(ED25519_SPKI_PREFIX) :].hex()}"
    return f"SHA256:{hashlib.sha256(presented).hexdigest()}"
