"""Bearer tokens in the Authorization header, and the one comparison of them.

Rules: a token is 1 to 4096 printable ASCII characters without a space; what we keep of a partner's
token is its SHA-256 (``pki.tokens``); every comparison goes through :func:`verify_token`, in
constant time over digests of fixed length. A token is never part of an error or a log line.
"""

from __future__ import annotations

import re

from bilateral.pki.tokens import MAX_TOKEN_LENGTH, is_token_of

_TOKEN = re.compile(rf"[!-~]{{1,{MAX_TOKEN_LENGTH}}}")
_AUTHORIZATION = re.compile(r"(?i:bearer) +(\S+)")


class MalformedAuthorizationError(ValueError):
    """An Authorization header that is not one well-formed Bearer token."""


def is_token(text: str) -> bool:
    """Whether ``text`` can be sent as a bearer token."""
    return _TOKEN.fullmatch(text) is not None


def parse_authorization(values: list[str]) -> str | None:
    """Read the token from the values of the Authorization header (RFC 6750, section 2.1).

    None when there is no such header; MalformedAuthorizationError for several, for another scheme
    and for anything that is not a token.
    """
    if not values:
        return None
    match = _AUTHORIZATION.fullmatch(values[0].strip(" \t"))
    if len(values) > 1 or match is None or not is_token(match[1]):
        raise MalformedAuthorizationError
    return match[1]


def verify_token(token: str, expected: str) -> bool:
    """Whether ``token`` is the one whose hash is ``expected`` (``sha256:`` + 64 lower-case hex).

    A hash in another form matches nothing. The time taken does not depend on how much is equal.
    """
    return is_token_of(token, expected)
