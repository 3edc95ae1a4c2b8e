"""Hashes of bearer tokens: what a partner must send is known here only by its hash.

Rules: ``sha256:`` (lower case) + 64 lower-case hex, SHA-256 over the token's bytes, unsalted, as alknet
stores it. A token is printable ASCII without spaces: other text can be decoded in more than one way.
Hashes are compared in constant time. A token never appears in an error.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from bilateral.pki.errors import InvalidTokenHash

MAX_TOKEN_LENGTH = 4096

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_TOKEN = re.compile(rf"[!-~]{{1,{MAX_TOKEN_LENGTH}}}")


def parse_token_hash(text: str) -> bytes:
    """Parse ``sha256:`` + 64 lower-case hex into 32 bytes. Raises InvalidTokenHash (malformed)."""
    match = _HASH.fullmatch(text)
    if match is None:
        raise InvalidTokenHash(
            "malformed",
            "expected sha256: (lower case) and 64 lower-case hex digits, the SHA-256 of the token",
        )
    return bytes.fromhex(match[1])


def format_token_hash(digest: bytes) -> str:
    """Write a 32-byte digest as ``sha256:<hex>``. Raises ValueError for another length."""
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a token hash has 32 bytes")
    return f"sha256:{digest.hex()}"


def hash_token(token: str) -> str:
    """Return the hash of ``token`` as text. Raises InvalidTokenHash (token) unless printable ASCII."""
    if _TOKEN.fullmatch(token) is None:
        raise InvalidTokenHash(
            "token", f"expected a token of 1 to {MAX_TOKEN_LENGTH} printable ASCII characters without spaces"
        )
    return format_token_hash(hashlib.sha256(token.encode("ascii")).digest())


def is_token_of(token: str, expected: str) -> bool:
    """Say whether ``token`` hashes to the text ``expected``; in constant time, never raises."""
    presented = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    try:
        return (
            hmac.compare_digest(presented, parse_token_hash(expected)) and _TOKEN.fullmatch(token) is not None
        )
    except InvalidTokenHash:
        return False
