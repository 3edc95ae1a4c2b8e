"""A certificate authority of ours: made, loaded and checked.

Rules:

* The profile is that of upstream ``certified``, which accepts ours as its own: version 3, self-signed,
  a random serial, SKI, BasicConstraints critical with path length 0, KeyUsage critical with
  digitalSignature, keyCertSign and cRLSign; no AKI, SAN or EKU. Only ``notBefore`` differs: five
  minutes in the past, for partners whose clock is behind.
* A certificate that somebody provides must be a self-signed CA with a subject, SKI and keyCertSign, and
  match its key. Only roots: a partner pins this one certificate, and ``certified`` cannot anchor a
  verification at an intermediate.
* A loaded authority may be expired: its dates are still wanted in status. Nothing can be signed with it:
  whatever signs calls :func:`verify_authority_dates` first.

It does not sign other people's identities and keeps no record of what was signed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.errors import AuthorityExpired, InvalidAuthority
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.leaves import is_signed_by
from bilateral.pki.names import Subject, build_name, rfc4514_name
from bilateral.pki.pem import (
    BACKDATE,
    UNREADABLE,
    PrivateKey,
    parse_certificates,
    parse_private_key,
    private_key_pem,
    signature_hash,
    verify_key_matches,
    verify_key_strength,
    whole_second,
)


class Algorithm(StrEnum):
    """Key types that an authority of ours is made with; the values are those of the API."""

    ECDSA_P256 = "ECDSAP256"
    ED25519 = "Ed25519"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate with its private key; the key never shows in a repr."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 text, spelled as ``certified`` spells it."""
        return rfc4514_name(self.certificate.subject)

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` + hex over the whole DER certificate."""
        return certificate_fingerprint(self.certificate)

    @property
    def not_before(self) -> datetime:
        """The first second of validity, UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """The last second of validity, UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as one PEM block with a final newline."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM; for a Secret, nothing else."""
        return private_key_pem(self.key)


def generate_authority(
    subject: Subject, *, algorithm: Algorithm | str, validity_seconds: int, now: datetime
) -> Authority:
    """Make a new key and its self-signed CA certificate, valid until ``now`` + ``validity_seconds``.

    Raises InvalidName for a subject that cannot be written, ValueError for an unknown algorithm or a
    validity that is not positive.
    """
    if validity_seconds <= 0:
        raise ValueError("validity_seconds must be positive")
    key: PrivateKey
    match Algorithm(algorithm):
        case Algorithm.ECDSA_P256:
            key = ec.generate_private_key(ec.SECP256R1())
        case Algorithm.ED25519:
            key = ed25519.Ed25519PrivateKey.generate()
    name = build_name(subject)
    start = whole_second(now)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATE)
        .not_valid_after(start + timedelta(seconds=validity_seconds))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_KEY_USAGE, critical=True)
    )
    return Authority(certificate=builder.sign(key, signature_hash(key)), key=key)


def load_authority(cert_pem: bytes, key_pem: bytes) -> Authority:
    """Load a CA from the two values of a ``kubernetes.io/tls`` Secret and check that it may sign.

    Dates are not looked at here (see :func:`verify_authority_dates`). Raises InvalidAuthority with
    ``cause``: too-large, too-many-certificates, malformed-certificate, several-certificates,
    malformed-key, encrypted-key, unsupported-key, weak-key, key-mismatch, empty-subject, not-a-ca,
    cannot-sign, no-key-identifier, unknown-critical-extension or not-self-signed.
    """
    certificates = parse_certificates(cert_pem, InvalidAuthority)
    if len(certificates) > 1:
        raise InvalidAuthority(
            "several-certificates", f"expected one self-signed CA certificate, found {len(certificates)}"
        )
    certificate = certificates[0]
    key = parse_private_key(key_pem, InvalidAuthority)
    verify_key_matches(certificate, key, InvalidAuthority)
    verify_authority_certificate(certificate)
    return Authority(certificate=certificate, key=key)


def load_authority_certificate(cert_pem: bytes) -> x509.Certificate:
    """Load a CA certificate without a key, as a partner hands it over; raises as load_authority does."""
    certificates = parse_certificates(cert_pem, InvalidAuthority)
    if len(certificates) > 1:
        raise InvalidAuthority(
            "several-certificates", f"expected one self-signed CA certificate, found {len(certificates)}"
        )
    verify_authority_certificate(certificates[0])
    return certificates[0]


def verify_authority_certificate(certificate: x509.Certificate) -> None:
    """Raise InvalidAuthority unless ``certificate`` is a self-signed CA that OpenSSL accepts strictly."""
    if not list(certificate.subject):
        raise InvalidAuthority("empty-subject", "expected a CA with a subject, found an empty one")
    try:
        extensions = certificate.extensions
    except UNREADABLE:
        raise InvalidAuthority(
            "malformed-certificate", "the certificate's extensions cannot be read"
        ) from None
    for extension in extensions:
        if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            raise InvalidAuthority(
                "unknown-critical-extension", f"critical extension {extension.oid.dotted_string} is not known"
            )
    _verify_ca_extensions(extensions)
    verify_key_strength(certificate.public_key(), InvalidAuthority)
    if not is_signed_by(certificate, certificate):
        # A partner pins this certificate and nothing above it, so there must be nothing above it.
        raise InvalidAuthority("not-self-signed", "expected a self-signed CA certificate (a root)")


def verify_authority_dates(authority: Authority, now: datetime) -> None:
    """Raise AuthorityExpired after ``notAfter``, InvalidAuthority (not-yet-valid) before ``notBefore``."""
    if now > authority.not_after:
        raise AuthorityExpired(authority.not_after)
    if now < authority.not_before:
        begins = authority.not_before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise InvalidAuthority("not-yet-valid", f"the CA certificate is not valid before {begins}")


def _verify_ca_extensions(extensions: x509.Extensions) -> None:
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        raise InvalidAuthority(
            "not-a-ca", "expected a CA certificate, found BasicConstraints missing"
        ) from None
    if not (constraints.value.ca and constraints.critical):
        raise InvalidAuthority("not-a-ca", "expected a CA certificate with critical BasicConstraints CA:TRUE")
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise InvalidAuthority("cannot-sign", "expected KeyUsage with keyCertSign, found none") from None
    if not usage.key_cert_sign:
        raise InvalidAuthority("cannot-sign", "expected KeyUsage with keyCertSign")
    try:
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        raise InvalidAuthority(
            "no-key-identifier", "expected a SubjectKeyIdentifier, without which no chain can name this CA"
        ) from None


_CA_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
