"""Certificates of our own parties: a workload's identity, signed by our own authority.

Rules:

* clientAuth always; serverAuth only when there are DNS names, which are then the SAN. Upstream
  ``certified`` gives every leaf serverAuth and codeSigning; an identity of ours cannot pose as a server.
* The subject and the names come from the record that was approved, never from a signing request: of a
  request only the key is taken, and only when its own signature proves that the asker holds it.
* A renewal keeps its key: introductions by other authorities certify that key, and outlive the renewal.
* Dates, serial, SKI, AKI and KeyUsage are those of :mod:`bilateral.pki.profiles`.

Certificates that other authorities make of an identity are introductions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.authority import Algorithm, Authority
from bilateral.pki.errors import InvalidCertificate, InvalidHost, SubjectRefused
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.hosts import build_alternative_names, parse_host
from bilateral.pki.leaves import find_extension, is_ca, is_signed_by, verify_usage
from bilateral.pki.names import Subject, build_name, rfc4514_name
from bilateral.pki.pem import (
    PrivateKey,
    PublicKey,
    parse_certificates,
    parse_private_key,
    private_key_pem,
    verify_key_matches,
)
from bilateral.pki.profiles import Leaf, serial_text, sign_leaf
from bilateral.pki.subjects import parse_request

IdentityKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

MAX_DNS_NAMES = 64
_RENEWAL_SHARE = (2, 3)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate that an authority made of a party's key, with what status shows of it."""

    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        """One PEM block with a final newline: ``id.crt`` of a certified directory."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 text, spelled as ``certified`` spells it."""
        return rfc4514_name(self.certificate.subject)

    @property
    def serial(self) -> str:
        """The serial number as 40 lower-case hex digits."""
        return serial_text(self.certificate.serial_number)

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` + hex over the whole DER certificate."""
        return certificate_fingerprint(self.certificate)

    @property
    def not_after(self) -> datetime:
        """The last second of validity, UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def renewal_due(self) -> datetime:
        """When two thirds of the validity are over: the moment to issue the next one."""
        begins = self.certificate.not_valid_before_utc
        share, of = _RENEWAL_SHARE
        return begins + (self.not_after - begins) * share / of


@dataclass(frozen=True, slots=True)
class HeldIdentity:
    """An identity together with its private key, which never shows in a repr."""

    identity: Identity
    key: PrivateKey = field(repr=False)

    @property
    def key_pem(self) -> bytes:
        """The key as unencrypted PKCS#8 PEM: ``id.key``; for the identity's Secret, nothing else."""
        return private_key_pem(self.key)


def generate_identity_key(algorithm: Algorithm | str) -> IdentityKey:
    """Make a key of ``ECDSAP256`` or ``Ed25519``. Raises ValueError for another algorithm."""
    match Algorithm(algorithm):
        case Algorithm.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()


def issue_identity(
    authority: Authority,
    subject: Subject,
    public_key: PublicKey,
    *,
    dns_names: Sequence[str] = (),
    validity_seconds: int,
    now: datetime,
) -> Identity:
    """Certify ``public_key`` as ``subject``; ``dns_names`` make it a server's certificate too.

    Raises InvalidName, InvalidHost (also for an address, or more than 64 names), AuthorityExpired,
    InvalidAuthority (not-yet-valid), SubjectRefused (same-subject, own-key, weak-key, unsupported-key),
    ValueError for a validity that is not positive.
    """
    leaf = Leaf(
        subject=build_name(subject),
        public_key=public_key,
        alternative_names=build_dns_names(dns_names),
        usages=_usages(dns_names),
    )
    return Identity(
        sign_leaf(authority, leaf, validity_seconds=validity_seconds, now=now, error=SubjectRefused)
    )


def issue_requested_identity(
    authority: Authority,
    subject: Subject,
    request_pem: bytes,
    *,
    dns_names: Sequence[str] = (),
    validity_seconds: int,
    now: datetime,
) -> Identity:
    """Certify the key of a PEM signing request whose signature is right; raises as issue_identity does.

    The request's own subject and names are not looked at. Raises SubjectRefused also with ``cause``
    too-large, malformed-request, bad-signature.
    """
    return issue_identity(
        authority,
        subject,
        parse_request(request_pem).public_key,
        dns_names=dns_names,
        validity_seconds=validity_seconds,
        now=now,
    )


def load_identity(cert_pem: bytes, key_pem: bytes) -> HeldIdentity:
    """Load ``tls.crt`` (leaf first) and ``tls.key`` of a Secret and check that a client may present them.

    Dates are not looked at: a caller that decides about renewal wants to see an expired one too. Raises
    InvalidCertificate with ``cause``: too-large, too-many-certificates, malformed-certificate,
    malformed-key, encrypted-key, unsupported-key, weak-key, key-mismatch, ca, not-for-clients.
    """
    leaf = parse_certificates(cert_pem, InvalidCertificate)[0]
    key = parse_private_key(key_pem, InvalidCertificate)
    verify_key_matches(leaf, key, InvalidCertificate)
    if is_ca(leaf, InvalidCertificate):
        raise InvalidCertificate("ca", "expected a party's certificate, found an authority's")
    verify_usage(leaf, ExtendedKeyUsageOID.CLIENT_AUTH, InvalidCertificate)
    return HeldIdentity(identity=Identity(leaf), key=key)


def is_current(
    identity: Identity, issuer: x509.Certificate, subject: Subject, *, dns_names: Sequence[str] = ()
) -> bool:
    """Say whether ``identity`` is what :func:`issue_identity` would make now, but for serial and dates.

    Raises InvalidName or InvalidHost when it could not be made at all.
    """
    certificate = identity.certificate
    names = find_extension(certificate, x509.SubjectAlternativeName, InvalidCertificate)
    usages = find_extension(certificate, x509.ExtendedKeyUsage, InvalidCertificate)
    return (
        certificate.subject == build_name(subject)
        and list(names or ()) == build_dns_names(dns_names)
        and list(usages or ()) == _usages(dns_names)
        and is_signed_by(certificate, issuer)
    )


def build_dns_names(dns_names: Sequence[str]) -> list[x509.GeneralName]:
    """Build SAN entries of DNS names only, each once. Raises InvalidHost (too-many, address, or its own)."""
    if len(dns_names) > MAX_DNS_NAMES:
        raise InvalidHost("too-many", f"expected at most {MAX_DNS_NAMES} DNS names, found {len(dns_names)}")
    for name in dns_names:
        if not isinstance(parse_host(name), str):
            raise InvalidHost("address", "expected a DNS name, found an IP address")
    return build_alternative_names(dns_names) if dns_names else []


def _usages(dns_names: Sequence[str]) -> list[x509.ObjectIdentifier]:
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    return [client, server] if dns_names else [client]
