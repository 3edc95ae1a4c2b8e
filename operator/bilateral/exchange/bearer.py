"""Bearer tokens: their one spelling, and the one comparison.

Rules: a token is 1 to 4096 printable ASCII characters without a space; what we keep of a partner's
token is its SHA-256; every comparison goes through :func:`verify_token`, in constant time over
digests of fixed length. A token is never part of an error or a log line.
"""

from __future__ import annotations

import hashlib
import hmac
import re

MAX_TOKEN_CHARACTERS = 4096
"""Longer than any token in use, shorter than the header limit."""

_TOKEN = re.compile(rf"[\x21-\x7e]{{1,{MAX_TOKEN_CHARACTERS}}}")
_AUTHORIZATION = re.compile(r"(?i:bearer) +(\S+)")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_NO_DIGEST = bytes(32)


class MalformedAuthorizationError(ValueError):
    """An Authorization header that is not one well-formed Bearer token."""


def is_token(text: str) -> bool:
    """Whether ``text`` can be sent as a bearer token."""
    return _TOKEN.fullmatch(text) is not None


def parse_authorization(values: list[str]) -> str | None:
    """Read the token from the values of the Authorization header (RFC 6750, section 2.1).

    None when there is no such header; MalformedAuthorizationError for several, for another scheme and
    for anything that is not a token.
    """
    if not values:
        return None
    match = _AUTHORIZATION.fullmatch(values[0].strip(" \t"))
    if len(values) > 1 or match is None or not is_token(match[1]):
        raise MalformedAuthorizationError
    return match[1]


def hash_token(token: str) -> str:
    """Turn a token into the form in which it is kept: ``sha256:`` and 64 lower-case hex digits."""
    return "sha256:" + hashlib.sha256(token.encode("ascii")).hexdigest()


def verify_token(token: str, expected: str) -> bool:
    """Whether ``token`` is the one whose hash is ``expected`` (``sha256:`` + 64 lower-case hex).

    A hash in another form matches nothing. The time taken does not depend on either value.
    """
    match = _HASH.fullmatch(expected)
    digest = bytes.fromhex(match[1]) if match else _NO_DIGEST
    same = hmac.compare_digest(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), digest)
    return same and match is not None
