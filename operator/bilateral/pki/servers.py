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
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bilateral.pki.authority import Authority
from bilateral.pki.errors import InvalidAuthority, InvalidCertificate
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.hosts import build_alternative_names, is_covered, parse_host
from bilateral.pki.leaves import find_extension, is_signed_by, verify_dates, verify_usage
from bilateral.pki.pem import parse_certificates, parse_private_key, private_key_pem, verify_key_matches
from bilateral.pki.profiles import Leaf, sign_leaf

MAX_COMMON_NAME = 64


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
    names = build_alternative_names(hosts)
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name ends at 64 characters; a longer host has only its SAN, which is then critical.
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])] if len(hosts[0]) <= MAX_COMMON_NAME else []
    )
    leaf = Leaf(
        subject=subject,
        public_key=key.public_key(),
        alternative_names=names,
        usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
    )
    certificate = sign_leaf(
        authority, leaf, validity_seconds=validity_seconds, now=now, error=InvalidAuthority
    )
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
    verify_usage(leaf, ExtendedKeyUsageOID.SERVER_AUTH, InvalidCertificate)
    for issued, issuer in pairwise(chain):
        if not is_signed_by(issued, issuer):
            raise InvalidCertificate(
                "broken-chain", "expected each certificate of the chain to be signed by the next one"
            )
    for certificate in chain:
        verify_dates(certificate, now, InvalidCertificate, what="a certificate of the chain")
    return ServerCertificate(leaf=leaf, chain_pem=chain_pem, key_pem=key_pem)


def verify_covers(certificate: x509.Certificate, host: str) -> None:
    """Raise InvalidCertificate (host-not-covered) unless a SAN covers ``host``; InvalidHost for no host."""
    wanted = parse_host(host)
    names = find_extension(certificate, x509.SubjectAlternativeName, InvalidCertificate)
    if names is None or not is_covered(wanted, names):
        raise InvalidCertificate("host-not-covered", f"no subjectAltName of the certificate covers {host}")


def is_issued_by(certificate: x509.Certificate, authority: Authority) -> bool:
    """Say whether the key of ``authority`` signed ``certificate``, under the name it has now."""
    return is_signed_by(certificate, authority.certificate)
