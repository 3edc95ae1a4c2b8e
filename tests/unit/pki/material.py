"""Throw-away authorities and certificates for the tests of ``bilateral.pki``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.pem import private_key_pem

NOW = datetime(2026, 11, 21, 14, 31, 7, 250_000, tzinfo=UTC)
YEAR = 31_536_000
SUBJECT = Subject(organization="Org A", organizational_unit="Trust", common_name="Org A CA")

P256_AUTHORITY = generate_authority(SUBJECT, algorithm=Algorithm.ECDSA_P256, validity_seconds=YEAR, now=NOW)
ED25519_AUTHORITY = generate_authority(SUBJECT, algorithm=Algorithm.ED25519, validity_seconds=YEAR, now=NOW)

AnyKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

ALL_EXTENSIONS = frozenset({"constraints", "usage", "identifier"})


def certificate(
    *,
    subject: str | None = "Org B CA",
    key: AnyKey | None = None,
    issuer: Authority | None = None,
    extensions: frozenset[str] = ALL_EXTENSIONS,
    ca: bool = True,
    constraints_critical: bool = True,
    cert_sign: bool = True,
    names: tuple[x509.GeneralName, ...] = (),
    extended: tuple[x509.ObjectIdentifier, ...] = (),
    extra: x509.ExtensionType | None = None,
    not_before: datetime = NOW - timedelta(minutes=5),
    not_after: datetime = NOW + timedelta(days=1),
) -> tuple[bytes, bytes]:
    """Build a certificate with one thing or another wrong; returns (certificate PEM, key PEM)."""
    held = key or ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(issuer.certificate.subject if issuer else own)
        .public_key(held.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if "constraints" in extensions:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=None), critical=constraints_critical
        )
    if "usage" in extensions:
        builder = builder.add_extension(key_usage(cert_sign=cert_sign), critical=True)
    if "identifier" in extensions:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(held.public_key()), critical=False
        )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if extra is not None:
        builder = builder.add_extension(extra, critical=True)
    signer = issuer.key if issuer else held
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    built = builder.sign(signer, digest)
    return built.public_bytes(Encoding.PEM), private_key_pem(held)


def key_usage(*, cert_sign: bool, digital_signature: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
