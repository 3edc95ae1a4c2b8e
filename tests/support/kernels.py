"""Two kernels with fixed keys, and the terms on which the second judges the first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bilateral.protocol.handshake import Challenge, Envelope, Pin, Terms, build_envelope
from bilateral.protocol.keys import SigningKey

NOW = 1_714_291_200
A = "org-a-kernel"
B = "org-b-kernel"
KEY_A = SigningKey.from_seed(b"\x0b" * 32)
KEY_B = SigningKey.from_seed(b"\x09" * 32)
OTHER_KEY = SigningKey.from_seed(b"\x0c" * 32)

TERMS = Terms(
    local_kernel_id=B,
    local_public_key=KEY_B.public_key,
    remote_kernel_id=A,
    anchors=(KEY_A.public_key,),
    rotation_window_seconds=43_200,
    max_clock_skew_seconds=300,
)


def envelope_of_a(*, key: SigningKey = KEY_A, **changes: Any) -> Envelope:
    """Build what A sends to B now, with changes to the arguments of build_envelope."""
    arguments = {"local_kernel_id": A, "remote_kernel_id": B, "nonce": "nonce-1", "timestamp": NOW}
    return build_envelope(**{**arguments, **changes}, key=key)


def sign_challenge(challenge: Challenge, key: SigningKey = KEY_A) -> Envelope:
    """Sign any challenge, also one that build_envelope refuses."""
    return Envelope(challenge, key.public_key, key.sign(challenge.canonical_bytes()))


def pin_of_a(**changes: Any) -> Pin:
    """Build a pin of A's key, made 100 seconds ago."""
    pin = Pin(
        public_key=KEY_A.public_key,
        established_at=NOW - 100,
        rotation_due=NOW + 43_100,
        envelope_timestamp=NOW - 100,
        envelope_nonces=("0" * 32,),
    )
    return replace(pin, **changes)
