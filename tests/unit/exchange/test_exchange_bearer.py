"""Bearer tokens: one spelling of the header, one comparison (R-J2)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import bilateral.exchange
from bilateral.exchange.bearer import MalformedAuthorizationError, is_token, parse_authorization, verify_token

HASH = "sha256:" + hashlib.sha256(b"s3cret").hexdigest()


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([], None),
        (["Bearer s3cret"], "s3cret"),
        (["bearer s3cret"], "s3cret"),
        (["BEARER   s3cret "], "s3cret"),
        (["Bearer a.b-c_d~e+f/g=="], "a.b-c_d~e+f/g=="),
        (["Bearer " + "x" * 4096], "x" * 4096),
    ],
)
def test_a_token_is_read(values: list[str], token: str | None) -> None:
    assert parse_authorization(values) == token


@pytest.mark.parametrize(
    "values",
    [
        [""],
        ["Bearer"],
        ["Bearer "],
        ["s3cret"],
        ["Basic dTpw"],
        ["Bearer a b"],
        ["Bearer a,b c"],
        ["Bearer sécret"],
        ["Bearer a\x00b"],
        ["Bearer\ts3cret"],
        ["Bearer " + "x" * 4097],
        ["Bearer s3cret", "Bearer s3cret"],
        ["Bearer s3cret", "Basic dTpw"],
    ],
)
def test_anything_else_is_refused_without_its_text(values: list[str]) -> None:
    with pytest.raises(MalformedAuthorizationError) as caught:
        parse_authorization(values)
    assert str(caught.value) == ""


@pytest.mark.parametrize(
    ("token", "expected", "same"),
    [
        ("s3cret", HASH, True),
        ("s3cret", HASH.upper(), False),
        ("s3cret", HASH.removeprefix("sha256:"), False),
        ("s3cret", HASH[:-1], False),
        ("s3cret", HASH + "\n", False),
        ("s3cret", "", False),
        ("s3cre", HASH, False),
        ("s3cret ", HASH, False),
        ("", HASH, False),
        ("", "sha256:" + hashlib.sha256(b"").hexdigest(), False),
        ("é", HASH, False),
        ("\ud800", HASH, False),
    ],
)
def test_a_token_is_the_one_of_its_hash(token: str, expected: str, same: bool) -> None:
    assert verify_token(token, expected) is same


@pytest.mark.parametrize(
    ("text", "expected"), [("a", True), ("", False), ("a b", False), ("a\r\nb", False), ("ü", False)]
)
def test_what_can_be_sent(text: str, expected: bool) -> None:
    assert is_token(text) is expected


def test_secrets_are_compared_in_one_place_only() -> None:
    """R-J2: a digest or token is compared by compare_digest, never by ``==``."""
    for path in Path(bilateral.exchange.__path__[0]).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(token|bearer|digest|fingerprint|presented)\w* ==", text), path.name
