"""The seal of a pin: proof that it was this operator that wrote it, for this object.

A pin lives in a status, which others may be allowed to edit, and which a backup may bring back.
The seal is an HMAC-SHA256 over the object's UID, the peer's kernel id and every field of the pin,
under a key of its own. A pin whose seal does not hold is treated as absent (R-K9).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from bilateral.protocol.acceptance import Pin
from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.errors import MalformedDocument

SEAL_SCHEMA: Final = "bilateral.pin-seal.v1"
SEAL_KEY_BYTES: Final = 32
"""How long a new key shall be; a shorter one is refused."""


def compute_seal(key: bytes, uid: str, kernel_id: str, pin: Pin) -> str:
    """Compute the seal of ``pin`` as 64 lower-case hex digits.

    ``uid`` is the UID of the object that holds the pin. Raises ``ValueError`` for a key below 32
    bytes, and :class:`MalformedDocument` for a pin that no handshake makes (times beyond 64 bits).
    """
    if len(key) < SEAL_KEY_BYTES:
        raise ValueError("a seal key has at least 32 bytes")
    message = canonical_bytes(
        {
            "schema": SEAL_SCHEMA,
            "uid": uid,
            "kernelId": kernel_id,
            "publicKey": pin.public_key.canonical,
            "establishedAt": pin.established_at,
            "rotationDue": pin.rotation_due,
            "envelopeTimestamp": pin.envelope_timestamp,
            "envelopeNonces": list(pin.envelope_nonces),
        }
    )
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def verify_seal(key: bytes, uid: str, kernel_id: str, pin: Pin, seal: str) -> bool:
    """Say whether ``seal`` is the seal of ``pin``, in time that does not depend on where they differ."""
    try:
        expected = compute_seal(key, uid, kernel_id, pin)
        return hmac.compare_digest(expected.encode(), seal.encode())
    except (MalformedDocument, UnicodeEncodeError):
        return False  # nothing that we ever sealed
