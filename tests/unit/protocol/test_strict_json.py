"""Strict JSON (R-J1): what is ambiguous is refused, with a stable word, and nothing else ever escapes."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.canonical import DOCUMENT_LIMITS, HANDSHAKE_LIMITS, Limits, parse_json
from bilateral.protocol.errors import DocumentTooLarge, MalformedDocument
from bilateral.protocol.reasons import Reason

REFUSED = [
    pytest.param(b"", "syntax", id="nothing"),
    pytest.param(b" \n", "syntax", id="white space only"),
    pytest.param(b'{"a":1,"a":1}', "duplicate-member", id="member twice"),
    pytest.param(b'{"a":1,"\\u0061":1}', "duplicate-member", id="member twice after unescaping"),
    pytest.param(b'[{"x":{"a":1,"b":2,"a":3}}]', "duplicate-member", id="member twice further in"),
    pytest.param(b'{"":1,"":2}', "duplicate-member", id="empty name twice"),
    pytest.param(b'{"a":NaN}', "number", id="NaN"),
    pytest.param(b"[Infinity]", "number", id="infinity"),
    pytest.param(b"-Infinity", "number", id="minus infinity"),
    pytest.param(b"1e400", "number", id="beyond a double"),
    pytest.param(b"-1e400", "number", id="below a double"),
    pytest.param(b"18446744073709551616", "integer-out-of-range", id="2^64"),
    pytest.param(b"-9223372036854775809", "integer-out-of-range", id="-2^63 - 1"),
    pytest.param(b"100000000000000000001", "integer-out-of-range", id="integer that a double would round"),
    pytest.param(b"1" * 22, "integer-out-of-range", id="22 digits"),
    pytest.param(b"1" * 23, "integer-out-of-range", id="23 digits"),
    pytest.param(b"9" * 5000, "integer-out-of-range", id="more digits than Python converts"),
    pytest.param(b'"\\ud800"', "lone-surrogate", id="lone high surrogate"),
    pytest.param(b'"\\uDC00"', "lone-surrogate", id="lone low surrogate"),
    pytest.param(b'{"\\udc00\\ud800":1}', "lone-surrogate", id="surrogates in the wrong order in a name"),
    pytest.param(b'"\xed\xa0\x80"', "encoding", id="surrogate in UTF-8"),
    pytest.param(b'"\xc0\x80"', "encoding", id="overlong UTF-8"),
    pytest.param(b'"\xff"', "encoding", id="not UTF-8"),
    pytest.param('{"a":1}'.encode("utf-16"), "encoding", id="UTF-16"),
    pytest.param(b"\xef\xbb\xbf{}", "byte-order-mark", id="byte order mark"),
    pytest.param(b"{} {}", "syntax", id="two documents"),
    pytest.param(b"{}\0", "syntax", id="a NUL behind"),
    pytest.param(b"{'a':1}", "syntax", id="single quotes"),
    pytest.param(b"[1,]", "syntax", id="comma at the end"),
    pytest.param(b"[01]", "syntax", id="leading zero"),
    pytest.param(b"[+1]", "syntax", id="plus sign"),
    pytest.param(b"[1.]", "syntax", id="point without digits"),
    pytest.param(b"[0x10]", "syntax", id="hex number"),
    pytest.param("[\N{FULLWIDTH DIGIT ONE}]".encode(), "syntax", id="full-width digit"),
    pytest.param(b'"a\nb"', "syntax", id="raw line break in a string"),
    pytest.param(b"// no\n{}", "syntax", id="comment"),
    pytest.param(b"True", "syntax", id="capital letter"),
    pytest.param(b"\x0c{}", "syntax", id="form feed before"),
    pytest.param("\N{NO-BREAK SPACE}{}".encode(), "syntax", id="Unicode white space before"),
    pytest.param(b"[" * 65 + b"]" * 65, "too-deep", id="65 arrays deep"),
    pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "too-deep", id="65 objects deep"),
    pytest.param(b"[" * 100_000, "too-deep", id="100,000 open arrays"),
    pytest.param(b'[{"a":' * 50_000, "too-deep", id="50,000 open objects in arrays"),
    pytest.param(b'["' + b"]" * 99 + b'",' + b"[" * 65, "too-deep", id="closed in a string only"),
    pytest.param(b'["\\"' + b"]" * 99 + b'",' + b"[" * 65, "too-deep", id="closed behind an escaped quote"),
    pytest.param(b'["\\\\",' + b"[" * 65 + b'"]', "too-deep", id="opened behind an escaped backslash"),
    pytest.param(b"[" * 65 + b'\\"' + b"]" * 65, "too-deep", id="a backslash outside a string"),
    pytest.param(b"[" + b"0," * 262_144 + b"0]", "too-many-values", id="too many values"),
    pytest.param(b"[" + b"[]," * 200_000 + b"[]]", "too-many-values", id="too many empty arrays"),
    pytest.param(
        b"{" + b",".join(b'"%d":0' % n for n in range(65_537)) + b"}",
        "too-many-members",
        id="too many members",
    ),
]


@pytest.mark.parametrize(("data", "cause"), REFUSED)
def test_what_is_ambiguous_or_too_much_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        parse_json(data)
    assert refusal.value.cause == cause
    assert refusal.value.reason is Reason.MALFORMED_DOCUMENT


ACCEPTED = [
    pytest.param(b" \t\r\n{ } ", {}, id="white space around"),
    pytest.param(b"null", None, id="bare null"),
    pytest.param(b'"\\u0041\\n\\/"', "A\n/", id="escapes"),
    pytest.param(b'"\\ud83d\\ude00"', "\N{GRINNING FACE}", id="surrogate pair"),
    pytest.param(b'"\\\\ud800"', "\\ud800", id="backslash before what looks like a surrogate"),
    pytest.param(b'{"a":1,"A":2,"a ":3}', {"a": 1, "A": 2, "a ": 3}, id="names that differ"),
    pytest.param(b"9007199254740993", 2**53 + 1, id="2^53 + 1"),
    pytest.param(b"12345678901234567", 12345678901234567, id="17 digits"),
    pytest.param(b"18446744073709551615", 2**64 - 1, id="2^64 - 1"),
    pytest.param(b"-9223372036854775808", -(2**63), id="-2^63"),
    pytest.param(b"-0", 0, id="negative zero"),
    pytest.param(b"100000000000000000000", 1e20, id="1e20 as RFC 8785 writes it"),
    pytest.param(b"[" * 64 + b"]" * 64, None, id="64 arrays deep"),
    pytest.param(b'["\\\\",' + b"[" * 63 + b"]" * 64, None, id="a string that ends in a backslash"),
    pytest.param(b'["' + b"[" * 1000 + b'","\\"' + b"[" * 1000 + b'"]', None, id="brackets in strings"),
    pytest.param(json.dumps(["," * 300_000]).encode(), None, id="commas in a string"),
    pytest.param(json.dumps([":" * 70_000]).encode(), None, id="colons in a string"),
]


@pytest.mark.parametrize(("data", "value"), ACCEPTED)
def test_what_is_clear_is_read(data: bytes, value: object) -> None:
    parsed = parse_json(data)
    assert parsed == (json.loads(data) if value is None else value)


def test_an_integer_stays_an_integer_and_true_stays_true() -> None:
    parsed = parse_json(b"[1,1.0,true]")
    assert isinstance(parsed, list)
    assert [type(item) for item in parsed] == [int, float, bool]


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        pytest.param(HANDSHAKE_LIMITS, 16 * 1024, id="handshake"),
        pytest.param(DOCUMENT_LIMITS, 1024 * 1024, id="document"),
    ],
)
def test_the_size_is_bounded_to_the_byte(limits: Limits, size: int) -> None:
    fits = b'"' + b"x" * (size - 2) + b'"'
    assert parse_json(fits, limits) == "x" * (size - 2)
    with pytest.raises(DocumentTooLarge) as refusal:
        parse_json(fits + b" ", limits)
    assert refusal.value.reason is Reason.DOCUMENT_TOO_LARGE
    assert refusal.value.limit == size


@pytest.mark.parametrize(
    ("fits", "exceeds", "cause"),
    [
        pytest.param(b"[" * 16 + b"]" * 16, b"[" * 17 + b"]" * 17, "too-deep", id="depth 16"),
        pytest.param(
            b"[" + b"[]," * 20 + b"[" * 15 + b"]" * 16,
            b"[" + b"[]," * 20 + b"[" * 16 + b"]" * 17,
            "too-deep",
            id="depth 16 beside many shallow ones",
        ),
        pytest.param(
            b"{" + b",".join(b'"%d":0' % n for n in range(256)) + b"}",
            b"{" + b",".join(b'"%d":0' % n for n in range(257)) + b"}",
            "too-many-members",
            id="256 members",
        ),
        pytest.param(
            b"[" + b",".join([b'{"a":0}'] * 256) + b"]",
            b"[" + b",".join([b'{"a":0}'] * 257) + b"]",
            "too-many-members",
            id="256 members in all objects together",
        ),
        pytest.param(
            b"[" + b"0," * 1022 + b"0]", b"[" + b"0," * 1023 + b"0]", "too-many-values", id="values"
        ),
    ],
)
def test_a_handshake_has_tighter_limits(fits: bytes, exceeds: bytes, cause: str) -> None:
    parse_json(fits, HANDSHAKE_LIMITS)
    with pytest.raises(MalformedDocument) as refusal:
        parse_json(exceeds, HANDSHAKE_LIMITS)
    assert refusal.value.cause == cause


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'"\\' * 500_000, id="quote and backslash"),
        pytest.param(b'\\"' * 500_000, id="backslash and quote"),
        pytest.param(b'"' * 1_000_000, id="quotes"),
        pytest.param(b'["' + b"[\\\\" * 300_000, id="a string that never ends"),
    ],
)
@pytest.mark.timeout(10)
def test_hostile_quotes_take_linear_time(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_json(data, Limits(max_bytes=2**20, max_depth=0, max_members=0, max_values=0))


def test_a_nearly_full_stack_refuses_instead_of_failing() -> None:
    data = b"[" * 60 + b"]" * 60

    def descend() -> None:
        parse_json(data)
        descend()

    with pytest.raises((MalformedDocument, RecursionError)) as refusal:
        descend()
    # Whichever came first: our own frame ran out of stack, or the scanner did and was refused.
    assert not isinstance(refusal.value, MalformedDocument) or refusal.value.cause == "too-deep"


def test_the_refusal_holds_nothing_of_the_document() -> None:
    with pytest.raises(MalformedDocument) as refusal:
        parse_json(b'{"secret-canary": tru}')
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__
    assert "canary" not in f"{refusal.value!r}{refusal.value}{vars(refusal.value)}"


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(MalformedDocument):
        parse_json(data)


@given(st.text(alphabet='{}[]":,\\/ud8cD0123456789.eE+-truefalsn \n', max_size=80))
def test_no_near_json_raises_anything_else(text: str) -> None:
    try:
        mine = parse_json(text.encode())
    except MalformedDocument:
        return
    # What we accept, the standard library reads in the same way.
    assert mine == json.loads(text)
