"""Canonical JSON: one sequence of bytes for one value, so that it can be signed.

RFC 8785 (JCS), with one deviation that chio makes too: an integer that fits 64 bits, signed or
unsigned, is written exactly, also beyond 2^53.

- Members are sorted by the UTF-16 code units of their names, not by code points.
- Strings escape only the quote, the backslash and the C0 controls; all else stands as UTF-8.
- Other numbers are doubles as ECMAScript writes them (``numbers``).

Values without doubles and with ASCII names, which is everything that we sign, go through one
cached encoder of the standard library, which agrees with RFC 8785 there and is several times
faster; everything else takes the complete path. Both give the same bytes where both apply.

What may be *signed* is narrower than what can be written: see :func:`require_signable`.
"""

from __future__ import annotations

import hashlib
import re
from _json import make_encoder
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import NoReturn

from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.numbers import INT64_MIN, SAFE_INTEGER_MAX, UINT64_MAX, format_double
from bilateral.protocol.strictjson import DOCUMENT_LIMITS, HANDSHAKE_LIMITS, JSON, Limits, parse_json

__all__ = [
    "DOCUMENT_LIMITS",
    "HANDSHAKE_LIMITS",
    "JSON",
    "Limits",
    "canonical_bytes",
    "canonical_string",
    "encode_text",
    "older_canonical_bytes",
    "older_style",
    "parse_json",
    "plain_canonical_bytes",
    "plain_canonical_text",
    "require_signable",
    "sha256_hex",
]


def _refuse(_value: object) -> NoReturn:
    raise MalformedDocument("type")


# The C encoder that json.JSONEncoder(sort_keys=True, ensure_ascii=False) makes anew for each text.
_PLAIN_ENCODER = make_encoder(
    markers=None,
    default=_refuse,
    encoder=encode_basestring,
    indent=None,
    key_separator=":",
    item_separator=",",
    sort_keys=True,
    skipkeys=False,
    allow_nan=False,
)
_PLAIN_ATOMS = frozenset({str, bool, type(None)})

# Written literally by RFC 8785 and escaped by older chio: two forms, hence in nothing that we sign.
_AMBIGUOUS_CONTROL = re.compile("[\x7f-\x9f]")


def canonical_bytes(value: JSON) -> bytes:
    """Write ``value`` as canonical JSON in UTF-8.

    Raises :class:`MalformedDocument` for what JSON cannot say: an integer outside 64 bits, NaN, an
    infinity, a lone surrogate, a name that is not text, another Python type, endless nesting.
    """
    try:
        if _is_plain(value):
            return plain_canonical_text(value).encode()
        parts: list[str] = []
        _write(value, parts.append)
        return "".join(parts).encode()
    except UnicodeEncodeError:
        raise MalformedDocument("lone-surrogate") from None
    except RecursionError:
        raise MalformedDocument("too-deep") from None


def plain_canonical_bytes(value: JSON) -> bytes:
    """Write what is known to be plain: as :func:`canonical_bytes`, without looking at every value first.

    Plain is a value that was built from typed fields: ASCII names, no doubles, integers of 64 bits. For
    anything else the bytes are wrong. Raises :class:`MalformedDocument` for a lone surrogate.
    """
    return encode_text(plain_canonical_text(value))


def plain_canonical_text(value: JSON) -> str:
    """The same as text, for what is put together from several pieces: see :func:`encode_text`."""
    return "".join(_PLAIN_ENCODER(value, 0))


def encode_text(text: str) -> bytes:
    """The bytes of a canonical text; raises :class:`MalformedDocument` for a lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MalformedDocument("lone-surrogate") from None


def older_canonical_bytes(value: JSON) -> bytes | None:
    """The bytes that older chio signs for ``value``, where they are others; else ``None``.

    It escapes U+007F to U+009F, which RFC 8785 leaves as they are. They stand in strings only, and the
    order of members is that of the names unescaped: so replacing them is all that is to be done.
    """
    return older_style(canonical_bytes(value))


def older_style(canonical: bytes) -> bytes | None:
    """The bytes that older chio signs for the value with these canonical bytes, where they are others."""
    text = canonical.decode()
    escaped = _AMBIGUOUS_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return None if escaped == text else escaped.encode()


def canonical_string(text: str) -> str:
    """Write one string as it stands in canonical JSON, quotes included."""
    return encode_basestring(text)


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hex digits, the hash that chio uses everywhere."""
    return hashlib.sha256(data).hexdigest()


def require_signable(value: JSON) -> None:
    """Refuse what implementations read or write differently (R-J1).

    In a signed body there are no doubles, no integers beyond ±(2^53-1) and no U+007F to U+009F.
    Raises :class:`MalformedDocument` (``number-not-signable``, ``control-character``, ``too-deep``).
    """
    try:
        _require_signable(value)
    except RecursionError:
        raise MalformedDocument("too-deep") from None


def _require_signable(value: JSON) -> None:
    if isinstance(value, str):
        if _AMBIGUOUS_CONTROL.search(value) is not None:
            raise MalformedDocument("control-character")
    elif isinstance(value, dict):
        for name, member in value.items():
            _require_signable(name)
            _require_signable(member)
    elif isinstance(value, list):
        for item in value:
            _require_signable(item)
    elif isinstance(value, float) or (
        isinstance(value, int) and not -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX
    ):
        raise MalformedDocument("number-not-signable")


def _is_plain(value: JSON) -> bool:
    """Say whether the cached encoder is exact for ``value``; what is odd in any way is not plain."""
    kind = type(value)
    if kind in _PLAIN_ATOMS:
        return True
    if type(value) is int:
        return INT64_MIN <= value <= UINT64_MAX
    members: Iterable[JSON]
    if type(value) is dict:
        try:
            if not "".join(value).isascii():
                return False
        except TypeError:
            return False  # a name that is no text
        members = value.values()
    elif type(value) is list:
        members = value
    else:
        return False
    # Half of all members are texts: asking here saves them the call.
    return all(type(member) in _PLAIN_ATOMS or _is_plain(member) for member in members)


def _write(value: JSON, emit: Callable[[str], None]) -> None:
    """Append the canonical form of any value, piece by piece."""
    if isinstance(value, str):
        emit(canonical_string(value))
    elif value is None:
        emit("null")
    elif isinstance(value, bool):
        emit("true" if value else "false")
    elif isinstance(value, int):
        emit(_exact_integer(value))
    elif isinstance(value, float):
        emit(_double(value))
    elif isinstance(value, dict):
        _write_object(value, emit)
    elif isinstance(value, list):
        separator = "["
        for item in value:
            emit(separator)
            _write(item, emit)
            separator = ","
        emit("]" if value else "[]")
    else:
        raise MalformedDocument("type")


def _write_object(members: dict[str, JSON], emit: Callable[[str], None]) -> None:
    if not all(isinstance(name, str) for name in members):
        raise MalformedDocument("type")
    separator = "{"
    for name in sorted(members, key=_utf16_units):
        emit(separator)
        emit(canonical_string(name))
        emit(":")
        _write(members[name], emit)
        separator = ","
    emit("}" if members else "{}")


def _utf16_units(name: str) -> bytes:
    # Big-endian bytes compare as the code units do.
    return name.encode("utf-16-be")


def _exact_integer(number: int) -> str:
    if not INT64_MIN <= number <= UINT64_MAX:
        raise MalformedDocument("integer-out-of-range")
    return int.__repr__(number)  # an IntEnum too is written as its number


def _double(number: float) -> str:
    try:
        return format_double(number)
    except ValueError:
        raise MalformedDocument("number") from None
