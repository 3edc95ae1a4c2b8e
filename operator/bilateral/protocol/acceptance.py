"""Whether an envelope is accepted, and the pin that follows: trust grows here and nowhere else.

The order is the contract's (chio, ``accept_envelope``; ``exchange.md``): schema, signature,
addressee, sender, clock skew, expected key, same key, and then our own rule against replays:

- an envelope must be newer than the last accepted one of the same peer, or of the same second
  with a nonce not seen in that second, of which at most eight are kept. Both are part of the pin,
  which is stored under optimistic concurrency: so a replay changes nothing, also at another
  replica or after a restart (R-H2, R-H3).

More rules of ours: we are never our own peer, neither by id nor by key (R-C5); a key other than
an anchor, or without anchors the pinned one, never replaces or extends a pin (R-H7).

One ``now`` for one decision, in Unix seconds. Nothing is stored here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.envelope import HANDSHAKE_SCHEMA, Envelope
from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    KernelIdMismatch,
    MissingTrustAnchor,
    PeerNotPinned,
    PeerStale,
    ReplayedEnvelope,
    UnexpectedPeerKey,
    UnsupportedSchema,
)
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import verify_signature

DEFAULT_ROTATION_WINDOW_SECONDS: Final = 12 * 60 * 60
DEFAULT_MAX_CLOCK_SKEW_SECONDS: Final = 5 * 60
MAX_NONCES_OF_A_SECOND: Final = 8


@dataclass(frozen=True, slots=True)
class Pin:
    """A peer's key and until when it may be relied on; times in Unix seconds.

    ``established_at`` and ``rotation_due`` are of our clock, ``envelope_timestamp`` of the peer's.
    ``envelope_nonces`` are those accepted in that second, each as the first 32 hex digits of its
    SHA-256, so that no remote text is stored.
    """

    public_key: PublicKey
    established_at: int
    rotation_due: int
    envelope_timestamp: int
    envelope_nonces: tuple[str, ...]

    def is_fresh(self, now: int) -> bool:
        """Whether the deadline lies ahead; at exactly ``rotation_due`` the pin is stale."""
        return now < self.rotation_due


@dataclass(frozen=True, slots=True)
class Terms:
    """What one trust domain demands of one peer; ``anchors`` are all keys a person vouched for."""

    local_kernel_id: str
    local_public_key: PublicKey
    remote_kernel_id: str
    anchors: tuple[PublicKey, ...]
    rotation_window_seconds: int = DEFAULT_ROTATION_WINDOW_SECONDS
    max_clock_skew_seconds: int = DEFAULT_MAX_CLOCK_SKEW_SECONDS


def accept_envelope(envelope: Envelope, terms: Terms, pin: Pin | None, now: int) -> Pin:
    """Judge ``envelope`` and return the pin that it earns; ``pin`` is the one held so far.

    Raises, in this order: :class:`UnsupportedSchema`, :class:`InvalidSignature`,
    :class:`AddressMismatch`, :class:`KernelIdMismatch`, :class:`ClockSkewExceeded`,
    :class:`MissingTrustAnchor`, :class:`UnexpectedPeerKey`, :class:`ReplayedEnvelope`.
    """
    challenge = envelope.challenge
    declared_key = envelope.declared_public_key
    # 1. schema
    if challenge.schema != HANDSHAKE_SCHEMA:
        raise UnsupportedSchema(HANDSHAKE_SCHEMA)
    # 2. signature under the declared key
    verify_signature(declared_key, challenge.canonical_bytes(), envelope.signature)
    # 3. addressee
    if challenge.remote_kernel_id != terms.local_kernel_id:
        raise AddressMismatch(challenge.remote_kernel_id, terms.local_kernel_id)
    # 4. sender; never ourselves, even if a peer of our own name was configured
    if challenge.local_kernel_id != terms.remote_kernel_id or terms.remote_kernel_id == terms.local_kernel_id:
        raise KernelIdMismatch(challenge.local_kernel_id, terms.remote_kernel_id)
    # 5. clock skew; exactly the limit still passes
    skew = terms.max_clock_skew_seconds
    if abs(challenge.timestamp - now) > skew:
        raise ClockSkewExceeded(challenge.timestamp, now, skew)
    # 6. and 7. the anchors, else the pinned key
    _require_expected_key(declared_key, terms, pin)
    # 8. not a replay
    nonces = _require_newer(envelope, terms, pin)
    # 9. the pin
    return Pin(
        public_key=declared_key,
        established_at=now,
        rotation_due=min(now + terms.rotation_window_seconds, SAFE_INTEGER_MAX),
        envelope_timestamp=challenge.timestamp,
        envelope_nonces=nonces,
    )


def resolve_pin(kernel_id: str, pin: Pin | None, now: int) -> Pin:
    """Return the pin of ``kernel_id`` if it may be relied on at ``now``.

    Raises :class:`PeerNotPinned` or :class:`PeerStale` (chio, ``resolve``).
    """
    if pin is None:
        raise PeerNotPinned(kernel_id)
    if not pin.is_fresh(now):
        raise PeerStale(kernel_id)
    return pin


def digest_nonce(nonce: str) -> str:
    """Shorten a nonce to what a pin keeps: the first 32 hex digits of its SHA-256."""
    return hashlib.sha256(nonce.encode()).hexdigest()[:32]


def _require_expected_key(declared_key: PublicKey, terms: Terms, pin: Pin | None) -> None:
    expected: tuple[PublicKey, ...]
    if terms.anchors:
        expected = terms.anchors
    elif pin is not None:
        expected = (pin.public_key,)
    else:
        raise MissingTrustAnchor(terms.remote_kernel_id)
    if declared_key not in expected or declared_key == terms.local_public_key:
        raise UnexpectedPeerKey(terms.remote_kernel_id, expected[0].hex, declared_key.hex)


def _require_newer(envelope: Envelope, terms: Terms, pin: Pin | None) -> tuple[str, ...]:
    """Return the nonces to keep for the envelope's second."""
    timestamp = envelope.challenge.timestamp
    digest = digest_nonce(envelope.challenge.nonce)
    if pin is None or timestamp > pin.envelope_timestamp:
        return (digest,)
    # A full second refuses: what would be forgotten could be replayed.
    if (
        timestamp < pin.envelope_timestamp
        or digest in pin.envelope_nonces
        or len(pin.envelope_nonces) >= MAX_NONCES_OF_A_SECOND
    ):
        raise ReplayedEnvelope(terms.remote_kernel_id)
    return (*pin.envelope_nonces, digest)
