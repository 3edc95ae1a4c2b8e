"""Keys and signatures, in one place to import from.

``publickey`` reads and spells keys; ``signatures`` signs and verifies.
"""

from bilateral.protocol.publickey import PUBLIC_KEY_BYTES, PublicKey, parse_public_key, parse_wire_key
from bilateral.protocol.signatures import (
    SIGNATURE_BYTES,
    SigningKey,
    parse_signature,
    verify_canonical,
    verify_signature,
)

__all__ = [
    "PUBLIC_KEY_BYTES",
    "SIGNATURE_BYTES",
    "PublicKey",
    "SigningKey",
    "parse_public_key",
    "parse_signature",
    "parse_wire_key",
    "verify_canonical",
    "verify_signature",
]
