"""Reading the members of a chio value: each reader gives back what it was asked for, or refuses.

Rules kept here: members are those of the type and no others; an optional member is left out, not
``null``; integers are whole, not negative and exact in every JSON implementation; lists and texts are
bounded. A refusal names the member in a word of ours (``cause``) and holds nothing of the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from bilateral.protocol.capabilities.errors import UnsupportedKeyAlgorithm
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey, parse_wire_key
from bilateral.protocol.signatures import parse_signature
from bilateral.protocol.strictjson import JSON

UINT32_MAX: Final = 2**32 - 1
MAX_TEXT: Final = 4096
"""The longest text in a grant, in characters; patterns and prefixes need far less."""
MAX_ID: Final = 256

_Value = TypeVar("_Value")
_HASH = re.compile(r"[0-9a-f]{64}")
_OTHER_ALGORITHMS = ("p256:", "p384:", "hybrid:")


def read_object(
    value: JSON, cause: str, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, JSON]:
    """Read an object that has all of ``required`` and nothing beside it but ``optional``."""
    if not isinstance(value, dict):
        raise MalformedDocument(cause)
    names = value.keys()
    if names != required:
        if not names >= required:
            raise MalformedDocument("missing-member")
        for name in names:
            if name not in required and name not in optional:
                raise MalformedDocument("unknown-member")
    return value


def read_list(
    value: JSON, cause: str, maximum: int, read: Callable[[JSON], _Value], minimum: int = 0
) -> tuple[_Value, ...]:
    """Read a list of ``minimum`` to ``maximum`` entries, each with ``read``."""
    if not isinstance(value, list) or not minimum <= len(value) <= maximum:
        raise MalformedDocument(cause)
    return tuple(map(read, value))


def read_text(value: JSON, cause: str, minimum: int = 1) -> str:
    """Read a text of ``minimum`` to MAX_TEXT characters."""
    if type(value) is not str or not minimum <= len(value) <= MAX_TEXT:
        raise MalformedDocument(cause)
    return value


def read_id(value: JSON, cause: str) -> str:
    """Read the id of a capability: 1 to 256 visible ASCII characters, compared as they stand."""
    if type(value) is not str or not 1 <= len(value) <= MAX_ID or not is_visible_ascii(value):
        raise MalformedDocument(cause)
    return value


def is_visible_ascii(text: str) -> bool:
    """Whether a text has visible ASCII characters only: no space, no control character."""
    return text.isascii() and text.isprintable() and " " not in text


def read_integer(value: JSON, cause: str, maximum: int = SAFE_INTEGER_MAX) -> int:
    """Read a whole number from 0 to ``maximum``."""
    if type(value) is not int or not 0 <= value <= maximum:
        raise MalformedDocument(cause)
    return value


def read_boolean(value: JSON, cause: str) -> bool:
    """Read ``true`` or ``false``."""
    if type(value) is not bool:
        raise MalformedDocument(cause)
    return value


def read_hash(value: JSON, cause: str) -> str:
    """Read a SHA-256 as 64 lower-case hex digits."""
    if type(value) is not str or _HASH.fullmatch(value) is None:
        raise MalformedDocument(cause)
    return value


def read_key(value: JSON, cause: str) -> PublicKey:
    """Read an Ed25519 key; it is not admitted.

    Raises :class:`UnsupportedKeyAlgorithm` for chio's other algorithms, MalformedDocument for the rest.
    """
    if type(value) is not str:
        raise MalformedDocument(cause)
    if value.startswith(_OTHER_ALGORITHMS):
        raise UnsupportedKeyAlgorithm(field=cause, found=value.partition(":")[0])
    return parse_wire_key(value)


def read_signature(value: JSON) -> bytes:
    """Read an Ed25519 signature; the same refusals as :func:`read_key`."""
    if type(value) is not str:
        raise MalformedDocument("signature")
    if value.startswith(_OTHER_ALGORITHMS):
        raise UnsupportedKeyAlgorithm(field="signature", found=value.partition(":")[0])
    return parse_signature(value)
