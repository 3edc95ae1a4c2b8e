"""Chio's capability cases, through the public functions: bytes in, verified or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.capabilities.errors import CapabilitySignatureInvalid, ChainDefect
from bilateral.protocol.capabilities.links import verify_links
from bilateral.protocol.capabilities.tokens import CapabilityToken, parse_token, sign_token, verify_token
from bilateral.protocol.keys import SigningKey
from support.vectors import as_cases, load_set

SET = load_set("chio/capability/v1.json")
UNLIMITED = 16


def cases() -> list[Any]:
    return as_cases([(case["id"], case) for case in SET.get("cases", [])], "chio/capability")


def parsed(case: dict[str, Any]) -> CapabilityToken:
    return parse_token(json.dumps(case["capability"]).encode())


def holds(token: CapabilityToken) -> bool:
    try:
        verify_token(token)
    except CapabilitySignatureInvalid:
        return False
    return True


def links_hold(token: CapabilityToken, max_depth: int) -> bool:
    try:
        verify_links(token.delegation_chain, max_depth=max_depth)
    except ChainDefect:
        return False
    return True


def time_status(token: CapabilityToken, now: int) -> str:
    if now < token.issued_at:
        return "not_yet_valid"
    return "valid" if now < token.expires_at else "expired"


@pytest.mark.parametrize("case", cases())
def test_the_canonical_body_is_chios(case: dict[str, Any]) -> None:
    assert canonical_bytes(parsed(case).plain_body()).decode() == case["capability_body_canonical_json"]


@pytest.mark.parametrize("case", cases())
def test_what_is_read_is_written_back_member_for_member(case: dict[str, Any]) -> None:
    assert parsed(case).to_wire() == case["capability"]
    assert json.loads(parsed(case).to_json()) == case["capability"]


@pytest.mark.parametrize("case", cases())
def test_signature_links_and_times_are_judged_as_chio_does(case: dict[str, Any]) -> None:
    token = parsed(case)
    expected = case["expected"]
    assert holds(token) is expected["signature_valid"]
    assert links_hold(token, UNLIMITED) is expected["delegation_chain_valid"]
    assert time_status(token, case["verify_at"]) == expected["time_status"]
    if "max_delegation_depth" in case:
        limited = case["expected_with_max_delegation_depth"]
        assert links_hold(token, case["max_delegation_depth"]) is limited["delegation_chain_valid"]


@pytest.mark.parametrize("case", cases())
def test_signing_the_same_body_gives_the_same_signature(case: dict[str, Any]) -> None:
    if not case["expected"]["signature_valid"]:
        return
    token = parsed(case)
    key = SigningKey.from_seed(bytes.fromhex(SET["issuer_seed_hex"]))
    assert sign_token(token, key).to_wire() == case["capability"]
