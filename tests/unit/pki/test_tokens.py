"""Token hashes: one spelling, printable ASCII tokens, comparison of digests."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.errors import InvalidTokenHash
from bilateral.pki.tokens import format_token_hash, hash_token, is_token_of, parse_token_hash

TOKEN = "alk_0123456789abcdef"
HASH = "sha256:" + hashlib.sha256(TOKEN.encode()).hexdigest()


def test_the_hash_is_over_the_tokens_bytes() -> None:
    assert hash_token(TOKEN) == HASH
    assert format_token_hash(parse_token_hash(HASH)) == HASH


@given(st.binary(min_size=32, max_size=32))
def test_every_hash_is_read_back(digest: bytes) -> None:
    assert parse_token_hash(format_token_hash(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HASH.upper(), id="upper case"),
        pytest.param("SHA256:" + HASH[7:], id="upper-case prefix (that is a certificate)"),
        pytest.param(HASH + "\n", id="newline"),
        pytest.param(HASH[:-1], id="63 digits"),
        pytest.param(HASH[7:], id="no prefix"),
        pytest.param("", id="nothing"),
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(InvalidTokenHash):
        parse_token_hash(text)
    assert not is_token_of(TOKEN, text)


@pytest.mark.parametrize("token", ["", "a b", "tökén", "a\n", "\ud800", "x" * 4097])
def test_a_token_that_has_two_byte_forms_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(InvalidTokenHash) as caught:
        hash_token(token)
    assert not token or token not in str(caught.value)
    assert not is_token_of(token, HASH)


def test_a_token_is_known_by_its_hash() -> None:
    assert is_token_of(TOKEN, HASH)
    assert not is_token_of(TOKEN + "x", HASH)


def test_a_digest_of_another_length_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        format_token_hash(b"short")
