"""Strict JSON: bytes in, one unambiguous value out, or :class:`MalformedDocument`.

Rules (requirement R-J1), each with the word that its refusal carries as ``cause``:

- at most ``max_bytes`` (``too-large``), UTF-8 (``encoding``), no byte order mark (``byte-order-mark``);
- bounded depth, members and values (``too-deep``, ``too-many-members``, ``too-many-values``),
  counted before anything is built;
- RFC 8259 syntax (``syntax``), no NaN or Infinity (``number``), no number beyond a double (``number``);
- no member twice in one object, compared after unescaping (``duplicate-member``);
- no lone surrogate (``lone-surrogate``);
- integers are exact: signed or unsigned 64-bit as in chio, else only the digits that RFC 8785
  itself writes for a double below 1e21 (``integer-out-of-range``), so that no digit is ever lost.

The standard library's scanner does the work; counting first keeps it from recursing too deep.
This module knows no schema: what members a document may have is its own module's business.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from bilateral.protocol.errors import DocumentTooLarge, MalformedDocument
from bilateral.protocol.numbers import INT64_MIN, UINT64_MAX, format_double

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one document may hold.

    ``max_depth`` counts nested arrays and objects; ``max_members`` all members of all objects;
    ``max_values`` all values including empty containers.
    """

    max_bytes: int
    max_depth: int
    max_members: int
    max_values: int


DOCUMENT_LIMITS = Limits(max_bytes=1024 * 1024, max_depth=64, max_members=65_536, max_values=262_144)
"""Any document: 1 MiB, what the outbound client reads at most."""

HANDSHAKE_LIMITS = Limits(max_bytes=16 * 1024, max_depth=16, max_members=256, max_values=1024)
"""A handshake envelope, which strangers send: about 460 bytes are needed."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}:,"'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_OPEN = ord("[")
_ALWAYS_EXACT = 18  # so many characters are within 64 bits, whatever they are
_LONGEST_INTEGER = 22  # a sign and the 21 digits below 1e21


def parse_json(data: bytes, limits: Limits = DOCUMENT_LIMITS) -> JSON:
    """Parse one JSON document under the rules of this module.

    Raises :class:`MalformedDocument` (its subclass :class:`DocumentTooLarge` for too many bytes)
    and nothing else, whatever the bytes are.
    """
    if len(data) > limits.max_bytes:
        raise DocumentTooLarge(limits.max_bytes)
    if data.startswith(_BYTE_ORDER_MARK):
        raise MalformedDocument("byte-order-mark")
    _check_shape(data, limits)
    try:
        text = data.decode()
        value: JSON = _DECODER.decode(text)
        if "\\u" in text and _SURROGATE_ESCAPE.search(text) is not None:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise MalformedDocument("encoding") from None
    except UnicodeEncodeError:
        raise MalformedDocument("lone-surrogate") from None
    except json.JSONDecodeError:
        # "from None": the decoder's error holds the document.
        raise MalformedDocument("syntax") from None
    except RecursionError:
        # The limit on depth is far below the interpreter's: the caller's stack was nearly full.
        raise MalformedDocument("too-deep") from None
    return value


def _check_shape(data: bytes, limits: Limits) -> None:
    """Refuse what is too deep or has too much in it, without building any of it."""
    opened = data.count(b"{") + data.count(b"[")
    if (
        opened <= limits.max_depth
        and data.count(b":") <= limits.max_members
        and data.count(b",") + opened + 1 <= limits.max_values
    ):
        return  # Upper bounds: what stands inside strings was counted too.
    structure = _keep_structure(data)
    if structure.count(b":") > limits.max_members:
        raise MalformedDocument("too-many-members")
    brackets = structure.translate(_ONE_KIND, b":,")
    if structure.count(b",") + brackets.count(b"[") + 1 > limits.max_values:
        raise MalformedDocument("too-many-values")
    if _is_paired(brackets, limits.max_depth):
        return
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket == _OPEN else -1
        if depth > limits.max_depth:
            raise MalformedDocument("too-deep")


def _is_paired(brackets: bytes, max_depth: int) -> bool:
    """Whether all brackets have a partner, no deeper than that: each round takes away what is innermost."""
    for _ in range(max_depth):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    return not brackets


def _keep_structure(data: bytes) -> bytes:
    """Brackets, colons and commas outside strings, up to the first thing that is no JSON.

    A string without an end has the rest.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes in a row, be they of one string or of two, leave what is around them where it was: in or out.
    data = data.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    return b"".join(data.split(b'"')[::2])


def _build_object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedDocument("duplicate-member")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise MalformedDocument("number")


def _parse_integer(digits: str) -> int | float:
    if len(digits) <= _ALWAYS_EXACT:
        return int(digits)
    if len(digits) > _LONGEST_INTEGER:
        raise MalformedDocument("integer-out-of-range")
    number = int(digits)
    if INT64_MIN <= number <= UINT64_MAX:
        return number
    if format_double(float(number)) == digits:
        return float(number)
    raise MalformedDocument("integer-out-of-range")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise MalformedDocument("number")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_constant=_refuse_constant,
    parse_int=_parse_integer,
    parse_float=_parse_float,
)
