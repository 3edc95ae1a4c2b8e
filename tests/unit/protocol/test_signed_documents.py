"""Signed documents: what is opened is of the kind asked for, by the signer asked for, and unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.canonical import JSON, canonical_bytes
from bilateral.protocol.documents import open_document, read_document, sign_document
from bilateral.protocol.errors import (
    DocumentTooLarge,
    InvalidSignature,
    MalformedDocument,
    ProtocolError,
    UnexpectedSigner,
    UnsupportedSchema,
    WeakKey,
)
from bilateral.protocol.problems import problem_of
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import Limits
from support import edwards
from support.kernels import KEY_A, KEY_B

SCHEMA = "bilateral.test-statement.v1"
BODY: dict[str, JSON] = {"schema": SCHEMA, "kernelId": "org-a-kernel", "sequence": 7, "list": ["b", "a"]}
DOCUMENT = sign_document(BODY, KEY_A)
SIGNER = KEY_A.public_key


def wire(document: object = DOCUMENT) -> bytes:
    return json.dumps(document).encode()


def test_a_document_opens_for_its_signer_and_kind() -> None:
    assert open_document(wire(), schema=SCHEMA, signer=SIGNER) == BODY
    assert open_document(DOCUMENT, schema=SCHEMA, signer=SIGNER) == BODY


def test_a_document_says_who_signed_it() -> None:
    assert read_document(wire(), schema=SCHEMA, signer=None).signer == SIGNER


def test_it_is_written_as_upstream_reads_it() -> None:
    assert list(DOCUMENT) == ["body", "signerKey", "signature"]
    assert DOCUMENT["signerKey"] == SIGNER.hex
    assert DOCUMENT["signature"] == KEY_A.sign(canonical_bytes(BODY)).hex()


@pytest.mark.parametrize("prefix", ["0x", "ed25519:"])
def test_documented_spellings_of_key_and_signature_are_read(prefix: str) -> None:
    spelled = {
        **DOCUMENT,
        "signerKey": f"{prefix}{SIGNER.hex}",
        "signature": f"{prefix}{DOCUMENT['signature']}",
    }
    assert open_document(wire(spelled), schema=SCHEMA, signer=SIGNER) == BODY


def test_another_kind_is_refused_before_the_signature_is_looked_at() -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        open_document(wire({**DOCUMENT, "signature": "00" * 64}), schema="bilateral.other.v1", signer=SIGNER)
    assert refusal.value.expected == "bilateral.other.v1"


def test_another_signer_is_refused() -> None:
    with pytest.raises(UnexpectedSigner) as refusal:
        open_document(wire(), schema=SCHEMA, signer=KEY_B.public_key)
    error = refusal.value
    assert (error.expected, error.actual) == (KEY_B.public_key.hex, SIGNER.hex)
    assert error.reason is Reason.UNEXPECTED_PEER_KEY
    assert problem_of(error).members == {}


def test_claiming_the_expected_signer_does_not_help() -> None:
    with pytest.raises(InvalidSignature):
        open_document(
            wire({**DOCUMENT, "signerKey": KEY_B.public_key.hex}), schema=SCHEMA, signer=KEY_B.public_key
        )


@pytest.mark.parametrize("torsion", range(8))
def test_a_signer_that_nobody_admitted_must_be_a_prime_order_point(torsion: int) -> None:
    weak = edwards.encode(edwards.SMALL_ORDER[torsion])
    forged = {
        **DOCUMENT,
        "signerKey": weak.hex(),
        "signature": edwards.encode(edwards.NEUTRAL).hex() + "00" * 32,
    }
    with pytest.raises(WeakKey):
        open_document(wire(forged), schema=SCHEMA, signer=None)


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        pytest.param([], "not-an-object", id="array"),
        pytest.param({**DOCUMENT, "extra": 1}, "unknown-member", id="a fourth member"),
        pytest.param({"body": BODY, "signature": "x"}, "missing-member", id="no signer"),
        pytest.param({**DOCUMENT, "body": []}, "body", id="body is an array"),
        pytest.param({**DOCUMENT, "body": {}}, "schema", id="no schema"),
        pytest.param({**DOCUMENT, "body": {**BODY, "schema": ""}}, "schema", id="empty schema"),
        pytest.param({**DOCUMENT, "body": {**BODY, "schema": 1}}, "schema", id="schema is a number"),
        pytest.param({**DOCUMENT, "body": {**BODY, "x": 1.5}}, "number-not-signable", id="a double"),
        pytest.param({**DOCUMENT, "body": {**BODY, "x": 2**53}}, "number-not-signable", id="2^53"),
        pytest.param({**DOCUMENT, "body": {**BODY, "x": "\x80"}}, "control-character", id="U+0080"),
        pytest.param({**DOCUMENT, "signerKey": 1}, "public-key", id="signer is a number"),
        pytest.param({**DOCUMENT, "signerKey": SIGNER.did}, "public-key", id="signer as a DID"),
        pytest.param({**DOCUMENT, "signature": None}, "signature", id="signature is null"),
        pytest.param({**DOCUMENT, "signature": "p256:00"}, "signature", id="another algorithm"),
    ],
)
def test_what_is_malformed_is_refused(document: object, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        open_document(wire(document), schema=SCHEMA, signer=SIGNER)
    assert refusal.value.cause == cause


def test_the_limits_are_the_callers() -> None:
    with pytest.raises(DocumentTooLarge):
        open_document(wire(), schema=SCHEMA, signer=SIGNER, limits=Limits(64, 8, 8, 8))


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        pytest.param({}, "schema", id="no schema"),
        pytest.param({"schema": SCHEMA, "x": 0.5}, "number-not-signable", id="a double"),
        pytest.param({"schema": SCHEMA, "x": [-(2**53)]}, "number-not-signable", id="-2^53"),
        pytest.param({"schema": SCHEMA, "x\x7f": 1}, "control-character", id="U+007F in a name"),
        pytest.param({"schema": SCHEMA, "x": "\ud800"}, "lone-surrogate", id="lone surrogate"),
    ],
)
def test_what_must_not_be_signed_is_not_signed(body: dict[str, Any], cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        sign_document(body, KEY_A)
    assert refusal.value.cause == cause


WIRE = wire()


@given(at=st.integers(0, len(WIRE) - 1), byte=st.integers(0, 255))
def test_no_changed_byte_goes_unnoticed(at: int, byte: int) -> None:
    data = WIRE[:at] + bytes([byte]) + WIRE[at + 1 :]
    try:
        body = open_document(data, schema=SCHEMA, signer=SIGNER)
    except ProtocolError:
        return
    assert body == BODY


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"sequence": 8}, id="another value"),
        pytest.param({"added": []}, id="an explicit default"),
        pytest.param({"list": ["a", "b"]}, id="another order"),
    ],
)
def test_a_changed_body_is_an_invalid_signature(change: dict[str, JSON]) -> None:
    with pytest.raises(InvalidSignature):
        open_document({**DOCUMENT, "body": {**BODY, **change}}, schema=SCHEMA, signer=SIGNER)
