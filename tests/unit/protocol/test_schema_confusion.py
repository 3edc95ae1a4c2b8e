"""No artefact of one kind is accepted as another (R-C3): every kind against every verifier."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bilateral.protocol.canonical import JSON
from bilateral.protocol.documents import open_document, sign_document
from bilateral.protocol.errors import MalformedDocument, ProtocolError, UnsupportedSchema
from bilateral.protocol.handshake import HANDSHAKE_SCHEMA, accept_envelope, parse_envelope
from bilateral.protocol.seal import SEAL_SCHEMA
from support.kernels import KEY_A, NOW, TERMS, envelope_of_a

DOCUMENT_SCHEMAS = [
    "bilateral.authority-statement.v1",
    "bilateral.authority-statement.v2",
    "bilateral.feed-evidence.v1",
    "bilateral.introduction-request.v1",
    "bilateral.introduction-status-request.v1",
    "bilateral.revocation-feed.v1",
    "bilateral.revocation.v1",
    "chio.federation-activation-exchange.v1",
    "chio.federation-open-admission-policy.v1",
    "chio.federation-reputation-clearing.v1",
    "chio.portable-reputation-summary.v1",
    SEAL_SCHEMA,
]
KINDS = [HANDSHAKE_SCHEMA, *DOCUMENT_SCHEMAS]

# The members of a challenge, so that nothing but the schema tells the bodies apart.
CHALLENGE = envelope_of_a().challenge.to_members()


def build(kind: str) -> bytes:
    if kind == HANDSHAKE_SCHEMA:
        return envelope_of_a().to_json()
    return json.dumps(sign_document({**CHALLENGE, "schema": kind}, KEY_A)).encode()


def as_envelope(data: bytes) -> bytes:
    """Put body, key and signature of a signed document where an envelope has them."""
    document = json.loads(data)
    return json.dumps(
        {
            "challenge": document.get("body", document.get("challenge")),
            "declaredPublicKey": document.get("signerKey", document.get("declaredPublicKey")),
            "signature": document["signature"],
        }
    ).encode()


def as_document(data: bytes) -> bytes:
    """Put challenge, key and signature of an envelope where a signed document has them."""
    document = json.loads(as_envelope(data))
    return json.dumps(
        {
            "body": document["challenge"],
            "signerKey": document["declaredPublicKey"],
            "signature": document["signature"],
        }
    ).encode()


def verifier(kind: str) -> Callable[[bytes], object]:
    if kind == HANDSHAKE_SCHEMA:
        return lambda data: accept_envelope(parse_envelope(data), TERMS, None, NOW)

    def read(data: bytes) -> dict[str, JSON]:
        return open_document(data, schema=kind, signer=KEY_A.public_key)

    return read


@pytest.mark.parametrize("presented_to", KINDS)
@pytest.mark.parametrize("made_as", KINDS)
def test_a_kind_is_accepted_as_itself_only(made_as: str, presented_to: str) -> None:
    data, verify = build(made_as), verifier(presented_to)
    if made_as == presented_to:
        verify(data)
        return
    with pytest.raises((UnsupportedSchema, MalformedDocument)):
        verify(data)
    # Nor after it was given the outer form that the verifier reads: there the schema alone decides.
    reshaped = as_envelope(data) if presented_to == HANDSHAKE_SCHEMA else as_document(data)
    with pytest.raises(UnsupportedSchema):
        verify(reshaped)


@pytest.mark.parametrize("presented_to", KINDS)
@pytest.mark.parametrize("made_as", KINDS)
def test_relabelling_breaks_the_signature(made_as: str, presented_to: str) -> None:
    if made_as == presented_to:
        return
    document = json.loads(as_envelope(build(made_as)))
    document["challenge"]["schema"] = presented_to
    data = json.dumps(document).encode()
    with pytest.raises(ProtocolError, match="signature is invalid"):
        verifier(presented_to)(data if presented_to == HANDSHAKE_SCHEMA else as_document(data))
