"""What somebody hands over to be introduced: a certificate or a signing request, read with limits.

Rules:

* Three forms, those of ``certified introduce``: a PEM certificate, a PEM signing request, or a
  certificate as one line of base64 DER, in the standard or the URL-safe alphabet, padded.
* Of all that is in it only the name and the key count. Names of hosts, usages and dates are ours to say.
* A request proves that the asker holds the key; a certificate proves nothing, since it is public. So
  :attr:`Candidate.is_proven` says which it was, and a person or a policy decides whether that matters.
* Refused: a CA, a request for one, no subject, a subject beyond :data:`MAX_NAME_BYTES` or
  :data:`MAX_ATTRIBUTES`, a weak key or an unknown curve, several certificates, a wrong self-signature.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from bilateral.pki.encoding import decode_certificate
from bilateral.pki.errors import SubjectRefused
from bilateral.pki.leaves import is_ca
from bilateral.pki.names import rfc4514_name
from bilateral.pki.pem import UNREADABLE, PublicKey, parse_certificates, verify_key_strength

MAX_SUBJECT_BYTES = 32 * 1024
"""A certificate with a large RSA key and many names has 8 KiB; more is not a party's certificate."""
MAX_NAME_BYTES = 4096
MAX_ATTRIBUTES = 32


@dataclass(frozen=True, slots=True)
class Candidate:
    """A name and a key that somebody wants certified; ``is_proven``: its holder signed the request."""

    name: x509.Name
    public_key: PublicKey
    is_proven: bool

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 text, spelled as ``certified`` spells it."""
        return rfc4514_name(self.name)


def parse_subject(text: str | bytes) -> Candidate:
    """Parse one of the three forms.

    Raises SubjectRefused with ``cause``: too-large, malformed-subject, malformed-certificate,
    several-certificates, malformed-request, bad-signature, ca, empty-subject, name-too-long, weak-key,
    unsupported-key.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    _verify_size(data)
    if b"-----BEGIN CERTIFICATE-----" in data:
        certificates = parse_certificates(data, SubjectRefused)
        if len(certificates) > 1:
            raise SubjectRefused(
                "several-certificates", f"expected one certificate, found {len(certificates)}"
            )
        return _candidate(certificates[0], is_proven=False)
    if b"-----BEGIN" in data:
        return parse_request(data)
    try:
        certificate = decode_certificate(data.decode("ascii").strip())
    except ValueError:
        raise SubjectRefused(
            "malformed-subject",
            "expected a PEM certificate, a PEM signing request or one line of base64 DER certificate",
        ) from None
    return _candidate(certificate, is_proven=False)


def parse_request(pem: bytes) -> Candidate:
    """Parse a PEM signing request and check that its own key signed it; raises as parse_subject does."""
    _verify_size(pem)
    try:
        request = x509.load_pem_x509_csr(pem)
        is_signed = request.is_signature_valid
    except (*UNREADABLE, UnsupportedAlgorithm):
        raise SubjectRefused(
            "malformed-request", "expected a PEM certificate signing request, found something else"
        ) from None
    candidate = _candidate(request, is_proven=True)
    if not is_signed:
        raise SubjectRefused("bad-signature", "the signing request is not signed by its own key")
    return candidate


def _verify_size(data: bytes) -> None:
    if len(data) > MAX_SUBJECT_BYTES:
        raise SubjectRefused("too-large", f"expected at most {MAX_SUBJECT_BYTES} bytes, found {len(data)}")


def _candidate(source: x509.Certificate | x509.CertificateSigningRequest, *, is_proven: bool) -> Candidate:
    try:
        key = source.public_key()
        name = source.subject
        attributes = list(name)
    except (*UNREADABLE, UnsupportedAlgorithm):
        raise SubjectRefused("unsupported-key", "the name or the key cannot be read") from None
    public_key = verify_key_strength(key, SubjectRefused)
    if is_ca(source, SubjectRefused):
        raise SubjectRefused("ca", "expected a party, found a certificate authority")
    if not attributes:
        raise SubjectRefused("empty-subject", "expected a subject, found an empty one")
    if len(attributes) > MAX_ATTRIBUTES or len(name.public_bytes()) > MAX_NAME_BYTES:
        raise SubjectRefused(
            "name-too-long",
            f"expected a subject of at most {MAX_ATTRIBUTES} attributes, {MAX_NAME_BYTES} bytes",
        )
    return Candidate(name=name, public_key=public_key, is_proven=is_proven)
