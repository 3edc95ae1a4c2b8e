"""The authority statement: which certificate authorities a kernel has, and what they withdrew.

``bilateral.authority-statement.v1`` is the body of a signed document::

    {schema, kernelId, sequence, issuedAt, expiresAt, certificates, crl, previousCrls}

``certificates`` are the authorities' certificates (base64 of DER), the newest first; ``crl`` is the
revocation list of the first one, ``previousCrls`` are those of the others. Times are Unix seconds.

Rules kept here:

- members are exactly these; at most eight authorities; everything together is bounded so that the
  statement and what is derived from it fit one Secret;
- base64 is standard, padded, on one line, and canonical: one value has one text;
- a statement ends after it was issued, and lives for a month at most;
- the caller says who must have signed it and for whom it must speak: a statement of one kernel is
  never taken for another's.

What the certificates and lists say, whether it is in date, and whether an older one comes back, is
for others to judge: here they are bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.canonical import JSON, Limits
from bilateral.protocol.documents import open_document, sign_document
from bilateral.protocol.errors import DocumentTooLarge, KernelIdMismatch, MalformedDocument
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey

AUTHORITY_STATEMENT_SCHEMA: Final = "bilateral.authority-statement.v1"
MAX_STATEMENT_BYTES: Final = 448 * 1024
"""A Secret holds the statement and, as PEM, what is in it: together they stay below a million bytes."""
MAX_AUTHORITIES: Final = 8
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
MAX_LIFETIME_SECONDS: Final = 31 * 86_400

STATEMENT_LIMITS = Limits(max_bytes=MAX_STATEMENT_BYTES, max_depth=4, max_members=16, max_values=64)

_MEMBERS = frozenset(
    {"schema", "kernelId", "sequence", "issuedAt", "expiresAt", "certificates", "crl", "previousCrls"}
)
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class AuthorityStatement:
    """A kernel's authorities; certificates (newest first) and revocation lists are DER.

    ``revocation_list`` is the first certificate's, ``previous_lists`` are those of the others.
    ``sequence`` grows with every statement. Times are Unix seconds.
    """

    kernel_id: str
    sequence: int
    issued_at: int
    expires_at: int
    certificates: tuple[bytes, ...]
    revocation_list: bytes
    previous_lists: tuple[bytes, ...] = ()


def sign_statement(statement: AuthorityStatement, key: SigningKey) -> bytes:
    """Sign a statement and write the whole document as JSON.

    Raises MalformedDocument for a statement that :func:`open_statement` would refuse, and
    DocumentTooLarge where it is more than MAX_STATEMENT_BYTES.
    """
    body: dict[str, JSON] = {
        "schema": AUTHORITY_STATEMENT_SCHEMA,
        "kernelId": statement.kernel_id,
        "sequence": statement.sequence,
        "issuedAt": statement.issued_at,
        "expiresAt": statement.expires_at,
        "certificates": [_encode(each) for each in statement.certificates],
        "crl": _encode(statement.revocation_list),
        "previousCrls": [_encode(each) for each in statement.previous_lists],
    }
    _parse(body)
    document = _COMPACT.encode(sign_document(body, key)).encode()
    if len(document) > MAX_STATEMENT_BYTES:
        raise DocumentTooLarge(MAX_STATEMENT_BYTES)
    return document


def open_statement(document: bytes, *, signer: PublicKey | None, kernel_id: str) -> AuthorityStatement:
    """Verify a statement that ``signer`` must have signed for kernel ``kernel_id``.

    Raises what :func:`~bilateral.protocol.documents.open_document` raises, MalformedDocument for a body
    that is not a statement's, KernelIdMismatch for one of another kernel. Without a ``signer`` it is
    only shown that whoever it names signed it.
    """
    body = open_document(document, schema=AUTHORITY_STATEMENT_SCHEMA, signer=signer, limits=STATEMENT_LIMITS)
    statement = _parse(body)
    if statement.kernel_id != kernel_id:
        raise KernelIdMismatch(statement.kernel_id, kernel_id)
    return statement


def _parse(body: dict[str, JSON]) -> AuthorityStatement:
    if body.keys() != _MEMBERS:
        raise MalformedDocument("missing-member" if _MEMBERS - body.keys() else "unknown-member")
    kernel_id = body["kernelId"]
    if type(kernel_id) is not str or not is_kernel_id(kernel_id):
        raise MalformedDocument("kernel-id")
    issued_at, expires_at = _integer(body["issuedAt"], "issued-at"), _integer(body["expiresAt"], "expires-at")
    if not issued_at < expires_at <= issued_at + MAX_LIFETIME_SECONDS:
        raise MalformedDocument("lifetime")
    certificates = _list(body["certificates"], "certificates", MAX_CERTIFICATE_BYTES)
    if not certificates:
        raise MalformedDocument("certificates")
    if len(set(certificates)) != len(certificates):
        raise MalformedDocument("duplicate-certificate")
    previous = _list(body["previousCrls"], "previous-crls", MAX_STATEMENT_BYTES)
    if len(previous) >= len(certificates):
        raise MalformedDocument("previous-crls")
    return AuthorityStatement(
        kernel_id=kernel_id,
        sequence=_integer(body["sequence"], "sequence"),
        issued_at=issued_at,
        expires_at=expires_at,
        certificates=certificates,
        revocation_list=_decode(body["crl"], "crl", MAX_STATEMENT_BYTES),
        previous_lists=previous,
    )


def _integer(value: JSON, cause: str) -> int:
    if type(value) is not int or not 0 <= value <= SAFE_INTEGER_MAX:
        raise MalformedDocument(cause)
    return value


def _list(value: JSON, cause: str, limit: int) -> tuple[bytes, ...]:
    if type(value) is not list or len(value) > MAX_AUTHORITIES:
        raise MalformedDocument(cause)
    return tuple(_decode(each, cause, limit) for each in value)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(value: JSON, cause: str, limit: int) -> bytes:
    if type(value) is not str or not value or not value.isascii():
        raise MalformedDocument(cause)
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise MalformedDocument(cause) from None
    if _encode(data) != value or len(data) > limit:
        raise MalformedDocument(cause)
    return data
