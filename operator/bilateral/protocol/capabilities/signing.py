"""Signing and verifying the bodies of tokens and links.

A body here is built from typed fields: its names are ASCII, its numbers whole and within what every
implementation reads exactly. So it is written without looking at each value, which is what keeps the
cost of a chain near that of its signatures. Texts are other people's: both styles of escapes verify.
"""

from __future__ import annotations

from bilateral.protocol.canonical import older_style, plain_canonical_bytes, require_signable
from bilateral.protocol.errors import InvalidSignature
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey, verify_signature
from bilateral.protocol.strictjson import JSON


def sign_body(body: dict[str, JSON], key: SigningKey) -> bytes:
    """Sign a body; MalformedDocument for a value that implementations write differently."""
    require_signable(body)
    return key.sign(plain_canonical_bytes(body))


def verify_body(key: PublicKey, body: bytes, signature: bytes) -> None:
    """Verify the signature of a body's canonical bytes in either style of escapes; raises InvalidSignature."""
    try:
        verify_signature(key, body, signature)
    except InvalidSignature:
        older = older_style(body)
        if older is None:
            raise
        verify_signature(key, older, signature)
