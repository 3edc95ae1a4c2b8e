"""Signed documents: chio's SignedExportEnvelope, ``{body, signerKey, signature}``.

The signature covers the canonical JSON of ``body`` (chio, ``chio-federation/src/lib.rs``).

Rules kept here:

- a body names its ``schema``, and whoever opens it says which one is expected: a document of one
  kind is never taken for another (R-C3);
- a body holds no doubles, no integers beyond ±(2^53-1) and no U+007F to U+009F, neither when we
  sign nor when we verify (R-J1);
- what is returned is the value that was parsed, canonicalised and verified (R-C4).

That a signature is good says only that ``signerKey`` signed. Binding that key to a partner is the
caller's business: it passes the ``signer`` it expects. The members of a body are checked by its
own module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bilateral.protocol.canonical import canonical_bytes, require_signable
from bilateral.protocol.errors import (
    MalformedDocument,
    UnexpectedSigner,
    UnsupportedSchema,
    WeakKey,
)
from bilateral.protocol.publickey import PublicKey, parse_wire_key
from bilateral.protocol.signatures import SigningKey, parse_signature, verify_signature
from bilateral.protocol.strictjson import DOCUMENT_LIMITS, JSON, Limits, parse_json

_MEMBERS = {"body", "signerKey", "signature"}


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A verified document: its body and the key that signed it."""

    body: dict[str, JSON]
    signer: PublicKey


def sign_document(body: Mapping[str, JSON], key: SigningKey) -> dict[str, JSON]:
    """Sign ``body`` and return the whole document.

    Raises :class:`MalformedDocument` for a body without a ``schema`` or with a value that must not
    be signed.
    """
    content = dict(body)
    _require_schema(content)
    require_signable(content)
    signature = key.sign(canonical_bytes(content))
    return {"body": content, "signerKey": key.public_key.hex, "signature": signature.hex()}


def open_document(
    document: bytes | JSON, *, schema: str, signer: PublicKey | None, limits: Limits = DOCUMENT_LIMITS
) -> dict[str, JSON]:
    """Verify a signed document and return its body; see :func:`read_document`."""
    return read_document(document, schema=schema, signer=signer, limits=limits).body


def read_document(
    document: bytes | JSON, *, schema: str, signer: PublicKey | None, limits: Limits = DOCUMENT_LIMITS
) -> SignedDocument:
    """Verify a signed document of kind ``schema``, signed by ``signer`` or, if ``None``, by anybody.

    Raises :class:`MalformedDocument`, :class:`UnsupportedSchema`, :class:`UnexpectedSigner`,
    :class:`WeakKey` (a signer nobody admitted that is not a prime-order point),
    :class:`InvalidSignature`.
    """
    value = parse_json(document, limits) if isinstance(document, bytes) else document
    if not isinstance(value, dict):
        raise MalformedDocument("not-an-object")
    if value.keys() != _MEMBERS:
        raise MalformedDocument("missing-member" if _MEMBERS - value.keys() else "unknown-member")
    body, signer_text, signature_text = value["body"], value["signerKey"], value["signature"]
    if not isinstance(body, dict):
        raise MalformedDocument("body")
    if _require_schema(body) != schema:
        raise UnsupportedSchema(schema)
    require_signable(body)
    if not isinstance(signer_text, str):
        raise MalformedDocument("public-key")
    if not isinstance(signature_text, str):
        raise MalformedDocument("signature")
    declared = parse_wire_key(signer_text)
    signature = parse_signature(signature_text)
    if signer is None:
        if not declared.is_prime_order:
            raise WeakKey
    elif declared != signer:
        raise UnexpectedSigner(signer.hex, declared.hex)
    verify_signature(declared, canonical_bytes(body), signature)
    return SignedDocument(body, declared)


def _require_schema(body: dict[str, JSON]) -> str:
    schema = body.get("schema")
    if not isinstance(schema, str) or not schema:
        raise MalformedDocument("schema")
    return schema
