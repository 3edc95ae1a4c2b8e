"""The handshake, in one place to import from.

``envelope`` reads and builds what goes over the wire; ``acceptance`` decides and pins.
"""

from bilateral.protocol.acceptance import (
    DEFAULT_MAX_CLOCK_SKEW_SECONDS,
    DEFAULT_ROTATION_WINDOW_SECONDS,
    MAX_NONCES_OF_A_SECOND,
    Pin,
    Terms,
    accept_envelope,
    digest_nonce,
    resolve_pin,
)
from bilateral.protocol.envelope import HANDSHAKE_SCHEMA, Challenge, Envelope, build_envelope, parse_envelope

__all__ = [
    "DEFAULT_MAX_CLOCK_SKEW_SECONDS",
    "DEFAULT_ROTATION_WINDOW_SECONDS",
    "HANDSHAKE_SCHEMA",
    "MAX_NONCES_OF_A_SECOND",
    "Challenge",
    "Envelope",
    "Pin",
    "Terms",
    "accept_envelope",
    "build_envelope",
    "digest_nonce",
    "parse_envelope",
    "resolve_pin",
]
