"""The activation exchange as chio's documentation shows it: read to be shown, and for nothing else.

The documentation's shape (``chio.federation.activation-exchange.v1``) and the code's differ in most
members, and no program is known that makes it. So it is never written here, it cannot be verified as an
exchange (``activation``), and it is never turned into one. What is read keeps the documentation's members:
references without a kind, ``scope.namespaces`` and ``scope.tools``, a tier and a depth to delegate.

Rules kept here: members are exactly the published ones; texts are bounded. Keys, hashes and the signature
are texts, as the published example shortens them; :meth:`DocumentedExchange.judge_signature` says whether
they are more than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bilateral.protocol.activation import ACTIVATION_LIMITS
from bilateral.protocol.artifacts import MAX_LIST, ImportControl, parse_import_control, read_optional_text
from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.capabilities.members import read_integer, read_list, read_object, read_text
from bilateral.protocol.errors import InvalidSignature, ProtocolError, UnsupportedSchema
from bilateral.protocol.publickey import parse_public_key
from bilateral.protocol.signatures import parse_signature, verify_signature
from bilateral.protocol.strictjson import JSON, parse_json

DOCUMENTED_SCHEMA: Final = "chio.federation.activation-exchange.v1"

_ENVELOPE: Final = frozenset({"body", "signerOperatorId", "signerPublicKey", "signature"})
_REQUIRED: Final = frozenset(
    {
        "schema",
        "exchangeId",
        "issuedAt",
        "expiresAt",
        "sourceOperatorId",
        "targetOperatorId",
        "listingId",
        "activationRef",
        "listingRef",
        "scope",
        "delegationControl",
        "importControl",
    }
)
_OPTIONAL: Final = frozenset({"governingCharterRef", "note"})
_REFERENCE: Final = frozenset({"artifactId", "operatorId", "sha256"})


class SignatureState(StrEnum):
    """What can be said of a signature in the documentation's shape."""

    VERIFIED = "verified"
    INVALID = "invalid"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class DocumentedReference:
    """A reference to another artifact, as documented."""

    artifact_id: str
    operator_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DocumentedExchange:
    """An exchange in the documentation's shape. It is no exchange that anything may rely on."""

    exchange_id: str
    issued_at: int
    expires_at: int
    source_operator_id: str
    target_operator_id: str
    listing_id: str
    activation_ref: DocumentedReference
    listing_ref: DocumentedReference
    namespaces: tuple[str, ...]
    tools: tuple[str, ...]
    max_autonomy_tier: str
    max_redelegation_depth: int
    import_control: ImportControl
    governing_charter_ref: DocumentedReference | None
    note: str | None
    signer_operator_id: str
    signer_public_key: str
    signature: str
    signed_bytes: bytes

    def judge_signature(self) -> SignatureState:
        """Whether the declared key signed the canonical JSON of the body."""
        try:
            key, signature = parse_public_key(self.signer_public_key), parse_signature(self.signature)
        except ProtocolError:
            return SignatureState.UNREADABLE
        try:
            verify_signature(key, self.signed_bytes, signature)
        except InvalidSignature:
            return SignatureState.INVALID
        return SignatureState.VERIFIED


def is_documented(value: JSON) -> bool:
    """Whether a document names the documentation's schema; such a one can only be shown."""
    body = value.get("body") if isinstance(value, dict) else None
    return isinstance(body, dict) and body.get("schema") == DOCUMENTED_SCHEMA


def read_documented(document: bytes | JSON) -> DocumentedExchange:
    """Read an exchange in the documentation's shape; nothing is verified.

    Raises UnsupportedSchema for another schema, MalformedDocument for what has not its members.
    """
    value = parse_json(document, ACTIVATION_LIMITS) if isinstance(document, bytes) else document
    envelope = read_object(value, "not-an-object", _ENVELOPE)
    body = read_object(envelope["body"], "body", _REQUIRED, _OPTIONAL)
    if body["schema"] != DOCUMENTED_SCHEMA:
        raise UnsupportedSchema(DOCUMENTED_SCHEMA)
    scope = read_object(body["scope"], "scope", frozenset({"namespaces", "tools"}))
    control = read_object(
        body["delegationControl"],
        "delegation-control",
        frozenset({"maxAutonomyTier", "maxRedelegationDepth"}),
    )
    charter = body.get("governingCharterRef")
    return DocumentedExchange(
        exchange_id=read_text(body["exchangeId"], "exchange-id"),
        issued_at=read_integer(body["issuedAt"], "issued-at"),
        expires_at=read_integer(body["expiresAt"], "expires-at"),
        source_operator_id=read_text(body["sourceOperatorId"], "source"),
        target_operator_id=read_text(body["targetOperatorId"], "target"),
        listing_id=read_text(body["listingId"], "listing-id"),
        activation_ref=_parse_reference(body["activationRef"]),
        listing_ref=_parse_reference(body["listingRef"]),
        namespaces=read_list(scope["namespaces"], "scope", MAX_LIST, lambda each: read_text(each, "scope")),
        tools=read_list(scope["tools"], "scope", MAX_LIST, _parse_tool),
        max_autonomy_tier=read_text(control["maxAutonomyTier"], "delegation-control"),
        max_redelegation_depth=read_integer(control["maxRedelegationDepth"], "delegation-control"),
        import_control=parse_import_control(body["importControl"]),
        governing_charter_ref=_parse_reference(charter) if "governingCharterRef" in body else None,
        note=read_optional_text(body, "note"),
        signer_operator_id=read_text(envelope["signerOperatorId"], "signer"),
        signer_public_key=read_text(envelope["signerPublicKey"], "public-key"),
        signature=read_text(envelope["signature"], "signature"),
        signed_bytes=canonical_bytes(body),
    )


def _parse_reference(value: JSON) -> DocumentedReference:
    members = read_object(value, "reference", _REFERENCE)
    return DocumentedReference(
        read_text(members["artifactId"], "reference"),
        read_text(members["operatorId"], "reference"),
        read_text(members["sha256"], "reference"),
    )


def _parse_tool(value: JSON) -> str:
    return read_text(read_object(value, "scope", frozenset({"tool"}))["tool"], "scope")
