"""Canonical JSON: one value, one sequence of bytes, and it reads back as the same value."""

from __future__ import annotations

import math
from enum import IntEnum

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol import canonical
from bilateral.protocol.canonical import JSON, canonical_bytes, parse_json, require_signable, sha256_hex
from bilateral.protocol.errors import MalformedDocument

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EXACT = st.integers(-(2**63), 2**64 - 1)
# An integral double from 2^53 to 2^64 is written with digits that are read as another, exact integer.
READ_BACK = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not (number.is_integer() and 2**53 <= abs(number) <= 2**64)
)


def values(leaves: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=12,
    )


ANY = values(st.none() | st.booleans() | EXACT | st.floats(allow_nan=False, allow_infinity=False) | TEXT)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(
            {"z": 1, "a": {"y": 2, "b": 3}}, '{"a":{"b":3,"y":2},"z":1}', id="members sorted at every level"
        ),
        pytest.param(
            {"\ue000": 1, "\U00010000": 2}, '{"\U00010000":2,"\ue000":1}', id="UTF-16 order, not code points"
        ),
        pytest.param({"b": 1, "B": 2, "_": 3, "": 4}, '{"":4,"B":2,"_":3,"b":1}', id="empty name and case"),
        pytest.param([3, 1, 2], "[3,1,2]", id="arrays keep their order"),
        pytest.param({"a": [], "b": {}}, '{"a":[],"b":{}}', id="empty containers"),
        pytest.param(
            {"a": [1.5, {}], "b": {}}, '{"a":[1.5,{}],"b":{}}', id="empty containers beside a double"
        ),
        pytest.param([True, False, None], "[true,false,null]", id="literals"),
        pytest.param([1.0, -0.0, 1e21, 1e-7], "[1,0,1e+21,1e-7]", id="doubles"),
        pytest.param(
            [2**53 + 1, 2**64 - 1, -(2**63)],
            "[9007199254740993,18446744073709551615,-9223372036854775808]",
            id="exact integers",
        ),
        pytest.param('\b\t\n\f\r"\\/', '"\\b\\t\\n\\f\\r\\"\\\\/"', id="short escapes"),
        pytest.param("\0\x1f", '"\\u0000\\u001f"', id="other controls"),
        pytest.param("\x7f\x9f\u2028\u20ac", '"\x7f\x9f\u2028\u20ac"', id="all else literally"),
        pytest.param({"\u20ac": "\r"}, '{"\u20ac":"\\r"}', id="escapes beside a name that is not ASCII"),
    ],
)
def test_the_form(value: JSON, text: str) -> None:
    assert canonical_bytes(value) == text.encode()


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda value: value, id="alone"),
        pytest.param(lambda value: {"a": [value]}, id="inside"),
        pytest.param(lambda value: {"a": [value], "\u20ac": 1.5}, id="beside what takes the complete path"),
    ],
)
@pytest.mark.parametrize(
    ("value", "cause"),
    [
        pytest.param(2**64, "integer-out-of-range", id="2^64"),
        pytest.param(-(2**63) - 1, "integer-out-of-range", id="-2^63 - 1"),
        pytest.param(math.nan, "number", id="NaN"),
        pytest.param(math.inf, "number", id="infinity"),
        pytest.param("\ud800", "lone-surrogate", id="lone surrogate"),
        pytest.param({"\ud800": 1}, "lone-surrogate", id="lone surrogate in a name"),
        pytest.param({1: "a"}, "type", id="a name that is a number"),
        pytest.param({None: "a"}, "type", id="a name that is null"),
        pytest.param(b"bytes", "type", id="bytes"),
        pytest.param((1, 2), "type", id="tuple"),
        pytest.param({1}, "type", id="set"),
        pytest.param(1 + 2j, "type", id="complex number"),
    ],
)
def test_what_json_cannot_say_is_refused(value: object, cause: str, wrap: object) -> None:
    assert callable(wrap)
    with pytest.raises(MalformedDocument) as refusal:
        canonical_bytes(wrap(value))
    assert refusal.value.cause == cause


def test_a_subclass_is_written_as_its_value() -> None:
    assert canonical_bytes([Colour.RED]) == b"[1]"


def test_a_circle_is_refused() -> None:
    circle: list[JSON] = []
    circle.append(circle)
    with pytest.raises(MalformedDocument, match="too-deep"):
        canonical_bytes(circle)
    with pytest.raises(MalformedDocument, match="too-deep"):
        require_signable(circle)


@given(values(st.none() | st.booleans() | EXACT | READ_BACK | TEXT))
def test_reading_the_canonical_form_gives_the_value_back(value: JSON) -> None:
    assert parse_json(canonical_bytes(value)) == value


@given(ANY)
def test_the_canonical_form_of_the_canonical_form_is_itself(value: JSON) -> None:
    once = canonical_bytes(value)
    assert canonical_bytes(parse_json(once)) == once


@given(
    values(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT
    )
)
def test_another_implementation_writes_the_same_bytes(value: JSON) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(ANY)
def test_both_paths_write_the_same_bytes(value: JSON) -> None:
    parts: list[str] = []
    canonical._write(value, parts.append)
    assert "".join(parts).encode() == canonical_bytes(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(
            {"a": 2**53 - 1, "b": [-(2**53) + 1, True, None, "caf\u00e9\u00a0"]}, id="all that may be signed"
        ),
        pytest.param("\x7e", id="last before the controls"),
    ],
)
def test_what_every_implementation_reads_alike_may_be_signed(value: JSON) -> None:
    require_signable(value)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        pytest.param({"a": 2**53}, "number-not-signable", id="2^53"),
        pytest.param([-(2**53)], "number-not-signable", id="-2^53"),
        pytest.param({"a": [1.5]}, "number-not-signable", id="double"),
        pytest.param(1.0, "number-not-signable", id="integral double"),
        pytest.param({"a": "\x7f"}, "control-character", id="U+007F"),
        pytest.param(["\x80"], "control-character", id="U+0080"),
        pytest.param({"\x9f": 1}, "control-character", id="U+009F in a name"),
    ],
)
def test_what_implementations_read_differently_is_not_signed(value: JSON, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        require_signable(value)
    assert refusal.value.cause == cause


def test_the_hash_is_sha_256_in_lower_case() -> None:
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
