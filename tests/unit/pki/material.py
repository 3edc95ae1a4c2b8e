"""Throw-away authorities and certificates for the tests of ``bilateral.pki``."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.identities import HeldIdentity
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


def request(
    key: AnyKey,
    *,
    subject: str | None = "client1",
    names: Sequence[str] = (),
    ca: bool = False,
    tampered: bool = False,
) -> bytes:
    """A signing request as PEM; ``tampered``: signed for another name than it holds."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    der = builder.sign(key, digest).public_bytes(Encoding.DER)
    if tampered and subject:
        der = der.replace(subject.encode(), subject[::-1].encode())
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)


def machine_now() -> datetime:
    """The time by the clock that OpenSSL reads."""
    return datetime.now(UTC)


def shake_hands(
    *, server: tuple[HeldIdentity, bytes], client: tuple[HeldIdentity, bytes], host: str
) -> str | None:
    """One mutual TLS handshake in memory, both sides as strict as OpenSSL can be; returns the version.

    Each side is (what it presents, PEM of what it trusts, with revocation lists if there are any).
    OpenSSL reads the machine's clock, so the certificates must be made with :func:`machine_now`.
    """
    contexts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for protocol, (held, anchors) in (
            (ssl.PROTOCOL_TLS_SERVER, server),
            (ssl.PROTOCOL_TLS_CLIENT, client),
        ):
            context = ssl.SSLContext(protocol)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.verify_mode = ssl.CERT_REQUIRED
            context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
            if b"X509 CRL" in anchors:
                context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
            (folder / "tls.pem").write_bytes(held.identity.certificate_pem + held.key_pem)
            context.load_cert_chain(folder / "tls.pem")
            (folder / "trust.pem").write_bytes(anchors)
            context.load_verify_locations(folder / "trust.pem")
            contexts.append(context)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    answering = contexts[0].wrap_bio(to_server, to_client, server_side=True)
    asking = contexts[1].wrap_bio(to_client, to_server, server_hostname=host)
    for side in (asking, answering, asking, answering):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return answering.version() if answering.getpeercert() else None
