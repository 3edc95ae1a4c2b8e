"""Server certificates: issued by an authority of ours, or provided by somebody and checked.

Rules:

* What we issue: a fresh ECDSA P-256 key, SAN (DNS names and IP addresses), serverAuth only, KeyUsage
  digitalSignature, SKI and AKI, so that OpenSSL with ``VERIFY_X509_STRICT`` accepts the chain. It begins
  five minutes in the past and never outlives its CA.
* What is provided is judged before it is presented: it matches its key, covers the host by SAN, is in
  date, may be used by a server, and each certificate of the chain was signed by the next one.

Whether the chain ends at a root that a partner trusts is the partner's decision, not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bilateral.pki.authority import Authority, verify_authority_dates
from bilateral.pki.errors import InvalidAuthority, InvalidCertificate
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.hosts import build_alternative_names, is_covered, parse_host
from bilateral.pki.pem import (
    BACKDATE,
    parse_certificates,
    parse_private_key,
    private_key_pem,
    signature_hash,
    verify_key_matches,
    whole_second,
)

MAX_COMMON_NAME = 64

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A leaf certificate with its key, both PEM, as a ``kubernetes.io/tls`` Secret holds them."""

    cert_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate chain that may be presented: leaf first, with what status shows of the leaf."""

    leaf: x509.Certificate
    chain_pem: bytes
    key_pem: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` + hex over the leaf's DER: what a partner pins with verifier ``fingerprint``."""
        return certificate_fingerprint(self.leaf)

    @property
    def not_before(self) -> datetime:
        """The first second of validity, UTC."""
        return self.leaf.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """The last second of validity, UTC."""
        return self.leaf.not_valid_after_utc

    @property
    def renewal_due(self) -> datetime:
        """When two thirds of the validity are over: the moment to issue the next one."""
        return self.not_before + (self.not_after - self.not_before) * 2 / 3


def issue_server_certificate(
    authority: Authority, hosts: Sequence[str], *, validity_seconds: int, now: datetime
) -> IssuedCertificate:
    """Issue a serverAuth certificate for ``hosts`` (DNS names or IP addresses), with a key of its own.

    ``notAfter`` is ``now`` + ``validity_seconds``, or the CA's when that is earlier. Raises InvalidHost,
    AuthorityExpired or InvalidAuthority (not-yet-valid), ValueError for a validity that is not positive.
    """
    if validity_seconds <= 0:
        raise ValueError("validity_seconds must be positive")
    verify_authority_dates(authority, now)
    names = build_alternative_names(hosts)
    start = whole_second(now)
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name ends at 64 characters; a longer host has only its SAN, which is then critical
    # (RFC 5280 section 4.1.2.6).
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])] if len(hosts[0]) <= MAX_COMMON_NAME else []
    )
    if subject == authority.certificate.subject:
        raise InvalidAuthority("same-subject", "the CA's subject is the name of the host it should sign for")
    issuer_id = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(start - BACKDATE, authority.not_before))
        .not_valid_after(min(start + timedelta(seconds=validity_seconds), authority.not_after))
        .add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SERVER_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(authority.key, signature_hash(authority.key))
    return IssuedCertificate(cert_pem=certificate.public_bytes(Encoding.PEM), key_pem=private_key_pem(key))


def load_server_certificate(
    chain_pem: bytes, key_pem: bytes, *, host: str, now: datetime
) -> ServerCertificate:
    """Load a certificate chain (leaf first) and its key, and check that a server on ``host`` may present it.

    Raises InvalidCertificate with ``cause``: too-large, too-many-certificates, malformed-certificate,
    malformed-key, encrypted-key, unsupported-key, weak-key, key-mismatch, host-not-covered,
    not-for-servers, broken-chain, expired, not-yet-valid; and InvalidHost.
    """
    chain = parse_certificates(chain_pem, InvalidCertificate)
    leaf = chain[0]
    verify_key_matches(leaf, parse_private_key(key_pem, InvalidCertificate), InvalidCertificate)
    verify_covers(leaf, host)
    _verify_usage(leaf)
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise InvalidCertificate(
                "broken-chain", "expected each certificate of the chain to be signed by the next one"
            ) from None
    for certificate in chain:
        _verify_dates(certificate, now)
    return ServerCertificate(leaf=leaf, chain_pem=chain_pem, key_pem=key_pem)


def verify_covers(certificate: x509.Certificate, host: str) -> None:
    """Raise InvalidCertificate (host-not-covered) unless a SAN covers ``host``; InvalidHost for no host."""
    wanted = parse_host(host)
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None or not is_covered(wanted, names):
        raise InvalidCertificate("host-not-covered", f"no subjectAltName of the certificate covers {host}")


def is_issued_by(certificate: x509.Certificate, authority: Authority) -> bool:
    """Say whether the key of ``authority`` signed ``certificate``, under the name it has now."""
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _verify_usage(certificate: x509.Certificate) -> None:
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    if usages is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usages:
        raise InvalidCertificate("not-for-servers", "the certificate's extended key usage lacks serverAuth")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        # TLS 1.3 signs in every handshake, whatever the key.
        raise InvalidCertificate("not-for-servers", "the certificate's key usage lacks digitalSignature")


def _verify_dates(certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        ended = certificate.not_valid_after_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise InvalidCertificate("expired", f"a certificate of the chain expired at {ended}")
    if now < certificate.not_valid_before_utc:
        begins = certificate.not_valid_before_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise InvalidCertificate("not-yet-valid", f"a certificate of the chain is not valid before {begins}")


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:
        raise InvalidCertificate(
            "malformed-certificate", "the certificate's extensions cannot be read"
        ) from None


_SERVER_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
