"""Reading PEM with limits, and the checks that certificates and keys of every purpose share.

Rules:

* A certificate is read whole at the door. The library reads names, keys and extensions only when they are
  asked for, and raises then: in the middle of a decision, an error that nobody there expects.
* At most :data:`MAX_PEM_BYTES` and :data:`MAX_CHAIN` blocks are looked at: a chain is presented by whoever
  may write a Secret, so its size is bounded before it is parsed.
* Keys are unencrypted PKCS#8, SEC1 or PKCS#1. A parser's own exception never leaves this package.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bilateral.pki.errors import PkiError

MAX_PEM_BYTES = 64 * 1024
MAX_CHAIN = 10
MIN_RSA_BITS = 2048
BACKDATE = timedelta(minutes=5)
"""How far before ``now`` a certificate begins, so that a partner whose clock is behind accepts it."""

UNREADABLE = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for certificates, requests and lists that it cannot read, now or later."""

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def parse_certificates(pem: bytes, error: type[PkiError]) -> list[x509.Certificate]:
    """Parse one to :data:`MAX_CHAIN` PEM certificates; raise ``error`` otherwise."""
    if len(pem) > MAX_PEM_BYTES:
        raise error("too-large", f"expected at most {MAX_PEM_BYTES} bytes of PEM, found {len(pem)}")
    if pem.count(b"-----BEGIN CERTIFICATE-----") > MAX_CHAIN:
        raise error("too-many-certificates", f"expected at most {MAX_CHAIN} certificates")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            read_whole(certificate)
    except UnsupportedAlgorithm:
        raise error("unsupported-key", "a certificate has a key of a kind that is not known here") from None
    except UNREADABLE:
        raise error("malformed-certificate", "expected PEM certificates, found something else") from None
    return certificates


def parse_der_certificate(der: bytes, error: type[PkiError]) -> x509.Certificate:
    """Parse one certificate from DER; raise ``error`` (malformed-certificate, unsupported-key) otherwise."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        read_whole(certificate)
    except UnsupportedAlgorithm:
        raise error("unsupported-key", "the certificate has a key of a kind that is not known here") from None
    except UNREADABLE:
        raise error("malformed-certificate", "expected a certificate in DER, found something else") from None
    return certificate


def read_whole(certificate: x509.Certificate) -> None:
    """Read all parts of a certificate that anybody here asks for; raises UnsupportedAlgorithm or UNREADABLE."""
    for name in (certificate.subject, certificate.issuer):
        list(name)
    list(certificate.extensions)
    certificate.public_key()
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if certificate.serial_number <= 0:
        # RFC 5280 section 4.1.2.2; a later version of the library refuses it by itself.
        raise ValueError("the serial number is not positive")


def parse_private_key(pem: bytes, error: type[PkiError]) -> PrivateKey:
    """Parse an unencrypted PEM private key of an admitted type; raise ``error`` otherwise."""
    if len(pem) > MAX_PEM_BYTES:
        raise error("too-large", f"expected at most {MAX_PEM_BYTES} bytes of PEM, found {len(pem)}")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise error("encrypted-key", "expected an unencrypted private key, found an encrypted one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise error("malformed-key", "expected a PEM private key, found something else") from None
    if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        verify_key_strength(key.public_key(), error)
        return key
    raise error("unsupported-key", "expected an ECDSA P-256 or P-384, Ed25519 or RSA key")


def verify_key_strength(key: object, error: type[PkiError]) -> PublicKey:
    """Return ``key`` when it is ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits and more; else ``error``."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= MIN_RSA_BITS:
            return key
        raise error("weak-key", f"expected RSA of {MIN_RSA_BITS} bits or more, found {key.key_size}")
    raise error("unsupported-key", "expected an ECDSA P-256 or P-384, Ed25519 or RSA key")


def verify_key_matches(certificate: x509.Certificate, key: PrivateKey, error: type[PkiError]) -> None:
    """Raise ``error`` unless ``certificate`` certifies the public half of ``key``."""
    verify_key_strength(certificate.public_key(), error)
    held = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certified = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if held != certified:
        raise error("key-mismatch", "the certificate is for another key than the private key beside it")


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """Return the hash that ``key`` signs with: none for Ed25519, SHA-384 for P-384, else SHA-256."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    return hashes.SHA256()


def private_key_pem(key: PrivateKey) -> bytes:
    """Write ``key`` as unencrypted PKCS#8 PEM, the form that ``certified`` reads."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def whole_second(now: datetime) -> datetime:
    """Drop the fraction of a second, which X.509 cannot write. Raises ValueError for a naive time."""
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone")
    return now.replace(microsecond=0)
