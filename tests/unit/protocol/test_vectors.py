"""The vectors that nobody of ours wrote, through our public functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bilateral.protocol.canonical import canonical_bytes, parse_json, sha256_hex
from bilateral.protocol.errors import InvalidSignature, MalformedDocument
from bilateral.protocol.keys import PublicKey, parse_public_key, parse_signature, verify_signature
from support.vectors import SETS, VARIABLE, as_cases, find_set, list_set, load_set, vectors_folder

# Our choice where RFC 8259 leaves one: what we accept is listed, all else of `i_` is refused.
ACCEPTED_BY_CHOICE = {
    "i_number_double_huge_neg_exp.json",  # rounds to zero, as in every double
    "i_number_real_underflow.json",
    "i_number_too_big_pos_int.json",  # 1e20 with all its digits: exactly what RFC 8785 writes for it
}
REFUSED_BY_CHOICE = {
    "i_number_huge_exp.json": "number",
    "i_number_neg_int_huge_exp.json": "number",
    "i_number_pos_double_huge_exp.json": "number",
    "i_number_real_neg_overflow.json": "number",
    "i_number_real_pos_overflow.json": "number",
    "i_number_too_big_neg_int.json": "integer-out-of-range",
    "i_number_very_big_negative_int.json": "integer-out-of-range",
    "i_object_key_lone_2nd_surrogate.json": "lone-surrogate",
    "i_string_1st_surrogate_but_2nd_missing.json": "lone-surrogate",
    "i_string_1st_valid_surrogate_2nd_invalid.json": "lone-surrogate",
    "i_string_UTF-16LE_with_BOM.json": "encoding",
    "i_string_UTF-8_invalid_sequence.json": "encoding",
    "i_string_UTF8_surrogate_U+D800.json": "encoding",
    "i_string_incomplete_surrogate_and_escape_valid.json": "lone-surrogate",
    "i_string_incomplete_surrogate_pair.json": "lone-surrogate",
    "i_string_incomplete_surrogates_escape_valid.json": "lone-surrogate",
    "i_string_invalid_lonely_surrogate.json": "lone-surrogate",
    "i_string_invalid_surrogate.json": "lone-surrogate",
    "i_string_invalid_utf-8.json": "encoding",
    "i_string_inverted_surrogates_U+1D11E.json": "lone-surrogate",
    "i_string_iso_latin_1.json": "encoding",
    "i_string_lone_second_surrogate.json": "lone-surrogate",
    "i_string_lone_utf8_continuation_byte.json": "encoding",
    "i_string_not_in_unicode_range.json": "encoding",
    "i_string_overlong_sequence_2_bytes.json": "encoding",
    "i_string_overlong_sequence_6_bytes.json": "encoding",
    "i_string_overlong_sequence_6_bytes_null.json": "encoding",
    "i_string_truncated-utf-8.json": "encoding",
    "i_string_utf16BE_no_BOM.json": "encoding",
    "i_string_utf16LE_no_BOM.json": "encoding",
    "i_structure_500_nested_arrays.json": "too-deep",
    "i_structure_UTF-8_BOM_empty_object.json": "byte-order-mark",
}
# Valid by RFC 8259 and refused by our stricter rule: all the deviations there are.
STRICTER_THAN_THE_SUITE = {
    "y_object_duplicated_key.json": "duplicate-member",
    "y_object_duplicated_key_and_value.json": "duplicate-member",
}


def test_every_set_is_there() -> None:
    if vectors_folder() is None:
        pytest.skip(f"there are no test vectors: set {VARIABLE} to the folder that holds them")
    assert [name for name in SETS if find_set(name) is None] == []


def by_id(cases: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(case["id"], case) for case in cases]


def by_name(paths: list[Path]) -> list[tuple[str, Any]]:
    return [(path.name, path) for path in paths]


CHIO_SIGNING = load_set("chio/signing/v1.json")
PARSING = list_set("json-test-suite/test_parsing")


@pytest.mark.parametrize(
    "case", as_cases(by_id(load_set("chio/canonical/v1.json").get("cases", [])), "chio/canonical")
)
def test_chio_canonical_form(case: dict[str, str]) -> None:
    value = parse_json(case["input_json"].encode())
    assert canonical_bytes(value).decode() == case["canonical_json"]


@pytest.mark.parametrize(
    "case", as_cases(by_id(load_set("chio/hashing/v1.json").get("cases", [])), "chio/hashing")
)
def test_chio_hash(case: dict[str, str]) -> None:
    assert sha256_hex(case["input_utf8"].encode()) == case["sha256_hex"]


@pytest.mark.parametrize("case", as_cases(by_id(CHIO_SIGNING.get("utf8_cases", [])), "chio/signing"))
def test_chio_signature_over_text(case: dict[str, Any]) -> None:
    assert _verifies(case, case["input_utf8"].encode()) is case["expected_verify"]


@pytest.mark.parametrize("case", as_cases(by_id(CHIO_SIGNING.get("json_cases", [])), "chio/signing"))
def test_chio_signature_over_json(case: dict[str, Any]) -> None:
    message = canonical_bytes(parse_json(case["input_json"].encode()))
    assert message.decode() == case["canonical_json"]
    assert _verifies(case, message) is case["expected_verify"]


def _verifies(case: dict[str, Any], message: bytes) -> bool:
    key = parse_public_key(case["public_key_hex"])
    try:
        verify_signature(key, message, parse_signature(case["signature_hex"]))
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("path", as_cases(by_name(list_set("jcs/testdata/input")), "jcs"))
def test_rfc_8785_example(path: Path) -> None:
    folder = path.parent.parent
    expected = bytes.fromhex((folder / "outhex" / f"{path.stem}.txt").read_text())
    written = canonical_bytes(parse_json(path.read_bytes()))
    assert written == expected
    assert written == (folder / "output" / path.name).read_bytes().rstrip(b"\n")
    assert canonical_bytes(parse_json(written)) == written


def read_or_refuse(path: Path) -> str:
    """Return the cause of the refusal, or "accepted" after the round trip."""
    try:
        value = parse_json(path.read_bytes())
    except MalformedDocument as refusal:
        return refusal.cause
    assert parse_json(canonical_bytes(value)) == value
    return "accepted"


@pytest.mark.parametrize("path", as_cases(by_name(PARSING), "json-test-suite"))
def test_json_test_suite(path: Path) -> None:
    outcome = read_or_refuse(path)
    if path.name.startswith("y_"):
        assert outcome == STRICTER_THAN_THE_SUITE.get(path.name, "accepted")
    elif path.name.startswith("n_"):
        assert outcome != "accepted"
    elif path.name in ACCEPTED_BY_CHOICE:
        assert outcome == "accepted"
    else:
        assert outcome == REFUSED_BY_CHOICE[path.name]


@pytest.mark.skipif(not PARSING, reason=f"json-test-suite is absent: set {VARIABLE}")
def test_every_choice_of_ours_is_in_the_suite() -> None:
    names = {path.name for path in PARSING}
    assert names >= ACCEPTED_BY_CHOICE | REFUSED_BY_CHOICE.keys() | STRICTER_THAN_THE_SUITE.keys()


@pytest.mark.parametrize(
    "path", as_cases(by_name(list_set("json-test-suite/test_transform")), "json-test-suite")
)
def test_json_transform_case_is_read_exactly_or_refused(path: Path) -> None:
    outcomes = {"accepted", "duplicate-member", "encoding", "integer-out-of-range", "lone-surrogate"}
    assert read_or_refuse(path) in outcomes


def _wycheproof() -> list[tuple[str, Any]]:
    groups = load_set("wycheproof/testvectors_v1/ed25519_test.json").get("testGroups", [])
    return [
        (f"{test['tcId']} {test['comment'] or 'signature'}", (group, test))
        for group in groups
        for test in group["tests"]
    ]


@pytest.mark.parametrize("case", as_cases(_wycheproof(), "wycheproof"))
def test_wycheproof_ed25519(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    group, test = case
    key = PublicKey(bytes.fromhex(group["publicKey"]["pk"]))
    message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
    if test["result"] == "valid":
        verify_signature(key, message, signature)
    else:
        assert test["result"] == "invalid"
        with pytest.raises(InvalidSignature):
            verify_signature(key, message, signature)


@pytest.mark.parametrize("case", as_cases(_wycheproof(), "wycheproof"))
def test_wycheproof_keys_in_their_spellings(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    group, _ = case
    key = parse_public_key(group["publicKey"]["pk"])
    assert parse_public_key(group["publicKeyPem"]) == key
    assert key.spki_der.hex() == group["publicKeyDer"]
