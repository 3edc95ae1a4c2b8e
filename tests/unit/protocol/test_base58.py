"""Base58 reads back, in exactly one spelling for each length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.base58 import decode_base58, encode_base58


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"\0", "1", id="a zero byte"),
        pytest.param(b"\0\0\x01", "112", id="leading zero bytes"),
        pytest.param(b"Hello World!", "2NEpo7TZRRrLZSi2U", id="published example"),
        pytest.param(bytes.fromhex("0000287fb4cd"), "11233QC4", id="published example with zeros"),
    ],
)
def test_known_pairs(data: bytes, text: str) -> None:
    assert encode_base58(data) == text
    assert decode_base58(text, len(data)) == data


@given(st.binary(max_size=48))
def test_reads_back(data: bytes) -> None:
    assert decode_base58(encode_base58(data), len(data)) == data


@pytest.mark.parametrize(
    "text", ["0", "O", "I", "l", " 2", "2\n", "\N{CYRILLIC SMALL LETTER A}", "", "11", "zz", "2" * 3]
)
def test_what_is_not_one_byte_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base58|long|length"):
        decode_base58(text, 1)
