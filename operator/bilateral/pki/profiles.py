"""The one profile of every leaf certificate that an authority of ours signs.

Rules:

* Version 3, a random serial of 159 bits, SKI and AKI, BasicConstraints critical CA:FALSE, KeyUsage
  critical digitalSignature and nothing else (TLS 1.3 signs; it never encrypts with a certificate's key),
  and the extended usages that the caller names: OpenSSL's ``VERIFY_X509_STRICT`` accepts the chain.
* It begins five minutes in the past, never before its CA, and never outlives its CA.
* Nobody is signed under the CA's own name, with the CA's own key, or with a weak key.

What a certificate is *for* is decided by whoever calls: :mod:`bilateral.pki.servers`,
:mod:`bilateral.pki.identities` and :mod:`bilateral.pki.introductions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bilateral.pki.authority import Authority, verify_authority_dates
from bilateral.pki.errors import PkiError
from bilateral.pki.pem import BACKDATE, PublicKey, signature_hash, verify_key_strength, whole_second


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a leaf certificate says: who, with which key and names, and for which extended usages."""

    subject: x509.Name
    public_key: PublicKey
    alternative_names: Sequence[x509.GeneralName]
    usages: Sequence[x509.ObjectIdentifier]


def sign_leaf(
    authority: Authority, leaf: Leaf, *, validity_seconds: int, now: datetime, error: type[PkiError]
) -> x509.Certificate:
    """Sign ``leaf``, valid until ``now`` + ``validity_seconds`` or the CA's end, whichever is earlier.

    Raises AuthorityExpired or InvalidAuthority (not-yet-valid); ``error`` with ``cause`` weak-key,
    unsupported-key, same-subject or own-key; ValueError for a validity that is not positive.
    """
    if validity_seconds <= 0:
        raise ValueError("validity_seconds must be positive")
    verify_authority_dates(authority, now)
    verify_leaf(authority.certificate, leaf.subject, leaf.public_key, error)
    issuer = authority.certificate
    start = whole_second(now)
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(issuer.subject)
        .public_key(leaf.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(start - BACKDATE, authority.not_before))
        .not_valid_after(min(start + timedelta(seconds=validity_seconds), authority.not_after))
    )
    if leaf.alternative_names:
        # Without a subject the names are all that identifies the holder (RFC 5280 section 4.1.2.6).
        names = x509.SubjectAlternativeName(leaf.alternative_names)
        builder = builder.add_extension(names, critical=not list(leaf.subject))
    builder = (
        builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf.public_key), critical=False)
        .add_extension(authority_key_identifier(issuer), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
    )
    return builder.sign(authority.key, signature_hash(authority.key))


def verify_leaf(issuer: x509.Certificate, subject: x509.Name, key: PublicKey, error: type[PkiError]) -> None:
    """Raise ``error`` (weak-key, unsupported-key, same-subject, own-key) where ``issuer`` must not sign this."""
    verify_key_strength(key, error)
    if is_same_name(subject, issuer.subject):
        # Such a certificate reads as self-issued: path building may stop at it or go round in a circle.
        raise error("same-subject", "the subject is the authority's own name")
    certified = verify_key_strength(issuer.public_key(), error)
    if spki_der(key) == spki_der(certified):
        raise error("own-key", "the key is the authority's own")


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The AKI that names ``issuer``: a copy of its SKI, whatever that was computed from."""
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def serial_text(serial: int) -> str:
    """Write a serial number as 40 lower-case hex digits, as ``certified`` and Python's ``ssl`` do."""
    return f"{serial:040x}"


def spki_der(key: PublicKey) -> bytes:
    """The DER SubjectPublicKeyInfo: two keys are one key exactly when these bytes are equal."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_fingerprint(key: PublicKey) -> str:
    """``SHA256:`` + hex over the SubjectPublicKeyInfo in DER: what people compare keys by."""
    return f"SHA256:{hashlib.sha256(spki_der(key)).hexdigest()}"


def is_same_name(one: x509.Name, other: x509.Name) -> bool:
    """Say whether a path builder may take one name for the other (RFC 5280 section 7.1, in outline).

    Case, repeated spaces, string types and how attributes are grouped do not tell two names apart here.
    """
    return _folded(one) == _folded(other)


def _folded(name: x509.Name) -> list[tuple[str, str | bytes]]:
    return [
        (
            attribute.oid.dotted_string,
            " ".join(attribute.value.split()).casefold()
            if isinstance(attribute.value, str)
            else attribute.value,
        )
        for attribute in name
    ]


_KEY_USAGE = x509.KeyUsage(
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
