"""Signing requests (PKCS#10) of our own parties: a name and a key, and the proof that we hold the key.

Rules:

* A request says a name and a key and nothing else. Host names, usages and dates are the signer's to say,
  and what is not asked for cannot be copied by mistake.
* A request that came from outside is passed on as its own PEM block, written anew, without whatever text
  stood around it.

Reading a request, and what is refused of one, is :func:`bilateral.pki.subjects.parse_request`.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.errors import SubjectRefused
from bilateral.pki.names import Subject, build_name
from bilateral.pki.pem import UNREADABLE, PrivateKey, signature_hash
from bilateral.pki.subjects import Candidate, parse_request


def build_request(subject: Subject, key: PrivateKey) -> str:
    """Build the PEM signing request of ``key`` under the name ``subject``.

    Raises InvalidName for a subject that cannot be written.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(build_name(subject))
    return builder.sign(key, signature_hash(key)).public_bytes(Encoding.PEM).decode("ascii")


def normalise_request(pem: str) -> tuple[str, Candidate]:
    """Return a request from outside, verified, as one PEM block of our writing, and what it says.

    Raises SubjectRefused with a ``cause`` of :func:`~bilateral.pki.subjects.parse_request`.
    """
    data = pem.encode("utf-8", "surrogatepass")
    candidate = parse_request(data)
    try:
        written = x509.load_pem_x509_csr(data).public_bytes(Encoding.PEM)
    except (*UNREADABLE, UnsupportedAlgorithm):
        raise SubjectRefused(
            "malformed-request", "expected a PEM certificate signing request, found something else"
        ) from None
    return written.decode("ascii"), candidate
