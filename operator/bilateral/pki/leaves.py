"""Reading a leaf certificate that somebody else made: extensions, dates, usage, signature.

Rules: what cannot be read is refused, never taken as absent. A usage that the certificate does not
mention is allowed (RFC 5280 section 4.2.1.12: no extension, no restriction); a critical extension that is
not known here is not. The caller names the error, so that the refusal carries its own reason.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.errors import PkiError
from bilateral.pki.pem import UNREADABLE

ExtensionValue = TypeVar("ExtensionValue", bound=x509.ExtensionType)

_USAGE_NAMES = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}
_USAGE_CAUSES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "not-for-servers",
    ExtendedKeyUsageOID.CLIENT_AUTH: "not-for-clients",
}


def find_extension(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
    kind: type[ExtensionValue],
    error: type[PkiError],
) -> ExtensionValue | None:
    """Return the extension of that kind, or None; raise ``error`` (malformed-certificate) if unreadable."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE:
        raise error("malformed-certificate", "the certificate's extensions cannot be read") from None


def is_ca(certificate: x509.Certificate | x509.CertificateSigningRequest, error: type[PkiError]) -> bool:
    """Say whether the certificate is, or the request asks to be, a certificate authority."""
    constraints = find_extension(certificate, x509.BasicConstraints, error)
    return constraints is not None and constraints.ca


def verify_known_extensions(certificate: x509.Certificate, error: type[PkiError]) -> None:
    """Raise ``error`` (unknown-critical-extension) for a critical extension that nobody here knows."""
    find_extension(certificate, x509.BasicConstraints, error)
    for extension in certificate.extensions:
        if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            raise error(
                "unknown-critical-extension", f"critical extension {extension.oid.dotted_string} is not known"
            )


def verify_usage(certificate: x509.Certificate, usage: x509.ObjectIdentifier, error: type[PkiError]) -> None:
    """Raise ``error`` (not-for-servers, not-for-clients) unless a TLS endpoint may use it so."""
    cause, name = _USAGE_CAUSES[usage], _USAGE_NAMES[usage]
    extended = find_extension(certificate, x509.ExtendedKeyUsage, error)
    if extended is not None and usage not in extended:
        raise error(cause, f"the certificate's extended key usage lacks {name}")
    key_usage = find_extension(certificate, x509.KeyUsage, error)
    if key_usage is not None and not key_usage.digital_signature:
        # TLS 1.3 signs in every handshake, whatever the key.
        raise error(cause, "the certificate's key usage lacks digitalSignature")


def verify_dates(certificate: x509.Certificate, now: datetime, error: type[PkiError], *, what: str) -> None:
    """Raise ``error`` (expired, not-yet-valid) unless ``now`` lies within the validity, ends included."""
    if now > certificate.not_valid_after_utc:
        raise error("expired", f"{what} expired at {format_moment(certificate.not_valid_after_utc)}")
    if now < certificate.not_valid_before_utc:
        begins = format_moment(certificate.not_valid_before_utc)
        raise error("not-yet-valid", f"{what} is not valid before {begins}")


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether ``issuer``'s key signed ``certificate`` under ``issuer``'s name, byte for byte.

    The signature is the one part that is not signed itself: a count of unused bits in it (X.690 section 8.6)
    could be another, and the certificate the same to everybody but its fingerprint. Signatures are whole octets.
    """
    if not certificate.public_bytes(Encoding.DER).endswith(b"\0" + certificate.signature):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def format_moment(moment: datetime) -> str:
    """Write a time as RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
