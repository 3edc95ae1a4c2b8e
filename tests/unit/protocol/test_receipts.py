"""Receipts: chio's own form, verified as chio verifies it, and signed so that it reads in one way."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.canonical import JSON, canonical_bytes
from bilateral.protocol.capabilities.errors import UnsupportedKeyAlgorithm
from bilateral.protocol.documents import open_document, sign_document
from bilateral.protocol.errors import (
    DocumentTooLarge,
    InvalidSignature,
    MalformedDocument,
    ParameterHashMismatch,
    ProtocolError,
    UnexpectedSigner,
    WeakKey,
)
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.protocol.receipts import (
    GuardEvidence,
    ReceiptBody,
    ReceiptDecision,
    TrustLevel,
    Verdict,
    hash_parameters,
    open_receipt,
    parse_receipt,
    require_recordable,
    sign_receipt,
    verify_receipt,
)
from support import edwards
from support.kernels import KEY_A, KEY_B
from support.vectors import as_cases, load_set

BODY = ReceiptBody(
    id="rcpt-1",
    timestamp=1_710_000_200,
    capability_id="cap-1",
    tool_server="srv-files",
    tool_name="file_read",
    parameters={"path": "/docs", "ratio": 0.5},
    parameter_hash=hash_parameters({"path": "/docs", "ratio": 0.5}),
    decision=ReceiptDecision(Verdict.DENY, "no", "guard"),
    content_hash="00",
    policy_hash="policy-1",
    kernel_key=KEY_A.public_key,
    evidence=(GuardEvidence("guard", verdict=False, details="why"), GuardEvidence("other", verdict=True)),
    metadata={"n": 1},
    trust_level=TrustLevel.VERIFIED,
    tenant_id="acme",
)


def document(**changes: Any) -> dict[str, JSON]:
    """The members of a receipt as signed by A, with raw changes that nobody signed."""
    return {**sign_receipt(BODY, KEY_A).to_members(), **changes}


def signed(members: dict[str, Any], key: SigningKey = KEY_A) -> bytes:
    """Members signed as they stand, whether or not chio would have made them."""
    body = {name: value for name, value in members.items() if name not in {"signature", "algorithm"}}
    return json.dumps({**members, "signature": key.sign(canonical_bytes(body)).hex()}).encode()


CASES = [(case["id"], case) for case in load_set("chio/receipt/v1.json").get("cases", [])]


@pytest.mark.parametrize("case", as_cases(CASES, "chio/receipt"))
def test_chio_receipt(case: dict[str, Any]) -> None:
    receipt = parse_receipt(case["receipt"])
    assert canonical_bytes(receipt.body.to_members()).decode() == case["receipt_body_canonical_json"]
    assert receipt.to_members() == case["receipt"]
    expected = case["expected"]
    assert receipt.body.decision.verdict == expected["decision"]
    hash_holds = receipt.body.parameter_hash == hash_parameters(receipt.body.parameters)
    assert hash_holds is expected["parameter_hash_valid"]
    if not expected["signature_valid"]:
        with pytest.raises(InvalidSignature):
            verify_receipt(receipt, kernel_key=receipt.body.kernel_key)
    elif not expected["parameter_hash_valid"]:
        with pytest.raises(ParameterHashMismatch):
            verify_receipt(receipt, kernel_key=receipt.body.kernel_key)
    else:
        verify_receipt(receipt, kernel_key=receipt.body.kernel_key)
        verify_receipt(receipt, kernel_key=None)


def test_chio_seed_signs_the_same_bytes() -> None:
    vectors = load_set("chio/receipt/v1.json")
    if not vectors:
        pytest.skip("test vectors chio/receipt are absent")
    key = SigningKey.from_seed(bytes.fromhex(vectors["signing_key_seed_hex"]))
    again = [
        case["id"]
        for _, case in CASES
        if case["expected"]["signature_valid"]
        and case["expected"]["parameter_hash_valid"]
        and case["receipt"]["kernel_key"] == key.public_key.hex
    ]
    assert again
    for _, case in CASES:
        if case["id"] in again:
            assert sign_receipt(parse_receipt(case["receipt"]).body, key).to_members() == case["receipt"]


def test_what_was_signed_is_read_again() -> None:
    receipt = sign_receipt(BODY, KEY_A)
    assert open_receipt(receipt.to_json(), kernel_key=KEY_A.public_key) == receipt


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"id": "rcpt-2"}, InvalidSignature),
        ({"timestamp": 1}, InvalidSignature),
        ({"capability_id": "cap-2"}, InvalidSignature),
        ({"tool_server": "x"}, InvalidSignature),
        ({"tool_name": "x"}, InvalidSignature),
        ({"decision": {"verdict": "allow"}}, InvalidSignature),
        ({"content_hash": "01"}, InvalidSignature),
        ({"policy_hash": "policy-2"}, InvalidSignature),
        ({"evidence": []}, InvalidSignature),
        ({"metadata": {"n": 2}}, InvalidSignature),
        ({"trust_level": "advisory"}, InvalidSignature),
        ({"tenant_id": "other"}, InvalidSignature),
        ({"kernel_key": KEY_B.public_key.hex}, UnexpectedSigner),
        ({"signature": "00" * 64}, InvalidSignature),
        ({"extra": 1}, MalformedDocument),
        ({"receipt_kind": "mediated_decision"}, MalformedDocument),
        ({"algorithm": "p256"}, MalformedDocument),
        ({"kernel_key": "p256:04" + "00" * 64}, UnsupportedKeyAlgorithm),
        ({"signature": "p256:3000"}, UnsupportedKeyAlgorithm),
        ({"metadata": None}, MalformedDocument),
        ({"tenant_id": None}, MalformedDocument),
        ({"evidence": None}, MalformedDocument),
        ({"evidence": [{"guard_name": "g", "verdict": 1}]}, MalformedDocument),
        ({"evidence": [{"guard_name": "g", "verdict": True, "details": None}]}, MalformedDocument),
        ({"trust_level": "certain"}, MalformedDocument),
        ({"decision": {"verdict": "allow", "reason": "x"}}, MalformedDocument),
        ({"decision": {"verdict": "deny", "reason": "x"}}, MalformedDocument),
        ({"decision": {"verdict": "deny", "reason": None, "guard": "g"}}, MalformedDocument),
        ({"decision": {"verdict": "maybe"}}, MalformedDocument),
        ({"decision": "allow"}, MalformedDocument),
        ({"action": {"parameters": {}}}, MalformedDocument),
        ({"action": {"parameters": {}, "parameter_hash": hash_parameters({})}}, InvalidSignature),
        ({"timestamp": True}, MalformedDocument),
        ({"timestamp": -1}, MalformedDocument),
        ({"timestamp": 1.0}, MalformedDocument),
        ({"id": ""}, MalformedDocument),
        ({"tool_name": "x" * 5000}, MalformedDocument),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else value.__name__,
)
def test_a_change_is_refused(change: dict[str, Any], error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        open_receipt(json.dumps(document(**change)).encode(), kernel_key=KEY_A.public_key)


@pytest.mark.parametrize("member", sorted(document().keys()))
def test_a_member_that_is_taken_away_is_missed(member: str) -> None:
    members = document()
    del members[member]
    with pytest.raises((MalformedDocument, InvalidSignature)):
        open_receipt(members, kernel_key=KEY_A.public_key)


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    written = sign_receipt(BODY, KEY_A).to_json()
    place = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != written[place]))
    changed = written[:place] + bytes([byte]) + written[place + 1 :]
    try:
        found = open_receipt(changed, kernel_key=KEY_A.public_key)
    except ProtocolError:
        return
    # Another spelling of the same value (white space, the case of hex digits), never another value.
    assert found == open_receipt(written, kernel_key=KEY_A.public_key)


@pytest.mark.parametrize(
    "add",
    [
        {"evidence": []},
        {"trust_level": "mediated"},
        {"algorithm": "ed25519"},
        {"kernel_key": "0x" + KEY_A.public_key.hex.upper()},
        {"kernel_key": KEY_A.public_key.canonical},
    ],
    ids=["empty evidence", "default trust level", "algorithm", "0x and upper case", "ed25519: prefix"],
)
def test_the_typed_form_is_verified(add: dict[str, JSON]) -> None:
    plain = dataclasses.replace(BODY, evidence=(), trust_level=TrustLevel.MEDIATED)
    receipt = sign_receipt(plain, KEY_A)
    assert "evidence" not in receipt.to_members()
    assert "trust_level" not in receipt.to_members()
    assert open_receipt({**receipt.to_members(), **add}, kernel_key=KEY_A.public_key) == receipt


def test_what_chio_would_not_have_signed_fails_as_it_does_there() -> None:
    members = {**document(), "evidence": [], "trust_level": "mediated"}
    with pytest.raises(InvalidSignature):
        open_receipt(signed(members), kernel_key=KEY_A.public_key)


def test_both_styles_of_escapes_are_verified() -> None:
    parameters: JSON = {"text": "a\x7fb\x9f"}
    members = {
        **document(),
        "action": {"parameters": parameters, "parameter_hash": hash_parameters(parameters)},
    }
    open_receipt(signed(members), kernel_key=KEY_A.public_key)
    body = {name: value for name, value in members.items() if name != "signature"}
    older = canonical_bytes(body).decode().replace("\x7f", "\\u007f").replace("\x9f", "\\u009f")
    receipt = {**body, "signature": KEY_A.sign(older.encode()).hex()}
    open_receipt(receipt, kernel_key=KEY_A.public_key)
    other = {**receipt, "signature": KEY_A.sign(older.upper().encode()).hex()}
    with pytest.raises(InvalidSignature):
        open_receipt(other, kernel_key=KEY_A.public_key)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kernel_key": KEY_B.public_key}, UnexpectedSigner),
        ({"parameter_hash": "00"}, ParameterHashMismatch),
        ({"id": ""}, MalformedDocument),
        ({"id": "a\x7f"}, MalformedDocument),
        ({"timestamp": 2**53}, MalformedDocument),
        ({"metadata": {"ratio": 0.5}}, MalformedDocument),
        ({"metadata": {"large": 2**53}}, MalformedDocument),
        ({"decision": ReceiptDecision(Verdict.DENY, "no guard")}, MalformedDocument),
        ({"decision": ReceiptDecision(Verdict.ALLOW, "reason")}, MalformedDocument),
        ({"parameters": {"n": 2**53}, "parameter_hash": hash_parameters({"n": 2**53})}, MalformedDocument),
        ({"parameters": "\x80", "parameter_hash": hash_parameters("\x80")}, MalformedDocument),
        ({"tool_name": "x" * 5000}, MalformedDocument),
        ({"metadata": "x" * 300_000}, DocumentTooLarge),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else value.__name__,
)
def test_what_could_be_read_in_two_ways_or_not_at_all_is_not_signed(
    change: dict[str, Any], error: type[ProtocolError]
) -> None:
    with pytest.raises(error):
        sign_receipt(dataclasses.replace(BODY, **change), KEY_A)


def deeply(levels: int) -> JSON:
    value: JSON = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("parameters", "cause"),
    [
        ({"a\x80": 1}, "control-character"),
        ([2**53], "number-not-signable"),
        (deeply(100_000), "too-deep"),
        (deeply(25), "too-deep"),
        ("x" * 131_072, "too-large"),
        ([float("nan")], "number"),
        ([0] * 20_000, "too-many-values"),
    ],
    ids=[
        "control character in a name",
        "large integer",
        "endless nesting",
        "more nesting than is read",
        "long text",
        "not a number",
        "many values",
    ],
)
def test_a_call_that_cannot_be_recorded_is_refused_before(parameters: JSON, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refused:
        require_recordable(parameters)
    assert refused.value.cause == cause


def test_doubles_in_a_call_can_be_recorded() -> None:
    require_recordable({"temperature": 0.7, "list": [1.5, None, True]})


@pytest.mark.parametrize("point", edwards.SMALL_ORDER, ids=lambda point: edwards.encode(point).hex()[:8])
def test_no_small_order_key_signs_a_receipt(point: edwards.Point) -> None:
    raw = edwards.encode(point)
    # R is the neutral element and S is 0: without the strict rules, good for every eighth message and more.
    forged = (edwards.encode(edwards.SMALL_ORDER[0]) + bytes(32)).hex()
    members = {**document(), "kernel_key": raw.hex(), "signature": forged}
    with pytest.raises(InvalidSignature):
        open_receipt(members, kernel_key=PublicKey(raw))
    with pytest.raises(WeakKey):
        open_receipt(members, kernel_key=None)


def test_a_signed_document_is_no_receipt_and_a_receipt_no_document() -> None:
    plain = dataclasses.replace(BODY, parameters={}, parameter_hash=hash_parameters({}))
    receipt = sign_receipt(plain, KEY_A).to_members()
    signed_document = sign_document({"schema": "bilateral.authority-statement.v1", **receipt}, KEY_A)
    with pytest.raises(MalformedDocument):
        open_receipt(signed_document, kernel_key=KEY_A.public_key)
    # Nor with its members and its signature where a receipt has them.
    body = signed_document["body"]
    assert isinstance(body, dict)
    with pytest.raises(MalformedDocument):
        open_receipt({**body, "signature": signed_document["signature"]}, kernel_key=KEY_A.public_key)
    reshaped: dict[str, JSON] = {
        "body": {name: value for name, value in receipt.items() if name != "signature"},
        "signerKey": receipt["kernel_key"],
        "signature": receipt["signature"],
    }
    with pytest.raises(MalformedDocument):
        open_document(reshaped, schema="bilateral.authority-statement.v1", signer=KEY_A.public_key)


def test_a_key_that_anybody_can_sign_for_is_no_signer() -> None:
    weak = {**document(), "kernel_key": "01" + "00" * 31}
    with pytest.raises(WeakKey):
        open_receipt(weak, kernel_key=None)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{}", b'{"id":"a","id":"b"}', b"\xff", b"[" * 100],
    ids=["empty", "list", "null", "no members", "duplicate member", "no UTF-8", "deep"],
)
def test_what_is_no_receipt_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_receipt(data)


def test_a_receipt_is_not_taken_for_another_ones() -> None:
    with pytest.raises(UnexpectedSigner):
        open_receipt(document(), kernel_key=KEY_B.public_key)
