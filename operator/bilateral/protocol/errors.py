"""What the protocol refuses, and why: one tree of errors.

::

    ProtocolError
    ├── MalformedDocument        not the JSON we accept, or not the members of its schema
    │   └── DocumentTooLarge     more bytes than its kind of document may have
    ├── MalformedKey             not a spelling of an Ed25519 key
    ├── WeakKey                  an Ed25519 key that is not a prime-order point
    ├── UnsupportedSchema        a document of another kind or version
    ├── InvalidSignature         the signature does not verify
    ├── AddressMismatch          the envelope is for somebody else
    ├── KernelIdMismatch         the envelope is from somebody else
    ├── ClockSkewExceeded        its clock and ours differ too much
    ├── MissingTrustAnchor       first contact, and no person has vouched for the key
    ├── UnexpectedPeerKey        a key other than the anchored or pinned one
    ├── UnexpectedSigner         a signed document by another key than the one asked for
    ├── ParameterHashMismatch    a receipt whose parameters are not the ones that it names
    ├── ActivationInvalid        an activation exchange that breaks rules of its kind
    ├── ActivationExpired        an activation exchange that is not, or no longer, in force
    ├── ReplayedEnvelope         seen before, or older than one seen before
    ├── PeerStale                pinned once, but past its deadline
    └── PeerNotPinned            never pinned

Rules kept here: each class is one thing that a caller reacts to, its facts are fields, and
``reason`` is its word from the closed list. ``str()`` is the sentence that the contract's Rust
error prints, where there is one (chio, ``trust_establishment.rs`` lines 160 to 208).

Some sentences name identifiers that the other side chose (charset and length checked). They may
be answered to that side; what goes into a status, an event or a log is ``reason``, not the text.
Nothing of a document that could not be parsed is kept in its error.
"""

from __future__ import annotations

from typing import ClassVar

from bilateral.protocol.reasons import Reason


class ProtocolError(Exception):
    """A refusal by the protocol; ``reason`` says which."""

    reason: ClassVar[Reason]


class MalformedDocument(ProtocolError):
    """Bytes that are not an acceptable document; ``cause`` is a stable kebab-case word of ours."""

    reason = Reason.MALFORMED_DOCUMENT

    def __init__(self, cause: str) -> None:
        super().__init__(f"document is malformed: {cause}")
        self.cause = cause


class DocumentTooLarge(MalformedDocument):
    """More bytes than this kind of document may have; ``limit`` is in bytes."""

    reason = Reason.DOCUMENT_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__("too-large")
        self.limit = limit


class MalformedKey(ProtocolError):
    """Text that is no spelling of an Ed25519 key; ``cause`` is a stable kebab-case word of ours."""

    reason = Reason.MALFORMED_KEY

    def __init__(self, cause: str) -> None:
        super().__init__(f"not an Ed25519 key: {cause}")
        self.cause = cause


class WeakKey(ProtocolError):
    """32 bytes that are not a canonical, prime-order point: such a key can sign for anybody."""

    reason = Reason.WEAK_KEY

    def __init__(self) -> None:
        super().__init__("the Ed25519 key is not a prime-order point")


class UnsupportedSchema(ProtocolError):
    """A document that names another schema than ``expected``."""

    reason = Reason.UNSUPPORTED_SCHEMA

    def __init__(self, expected: str) -> None:
        # The contract prints the foreign schema here. It is remote text of any length: not repeated.
        super().__init__(f"unsupported schema: expected {expected}")
        self.expected = expected


class InvalidSignature(ProtocolError):
    """A signature that does not verify strictly under the key it was checked with."""

    reason = Reason.INVALID_SIGNATURE

    def __init__(self) -> None:
        super().__init__("remote handshake signature is invalid")


class AddressMismatch(ProtocolError):
    """An envelope for kernel ``addressed_to`` that reached kernel ``actual``."""

    reason = Reason.ADDRESS_MISMATCH

    def __init__(self, addressed_to: str, actual: str) -> None:
        super().__init__(f"remote envelope is addressed to kernel_id {addressed_to} but we are {actual}")
        self.addressed_to = addressed_to
        self.actual = actual


class KernelIdMismatch(ProtocolError):
    """An envelope of kernel ``declared`` where one of ``expected`` was wanted."""

    reason = Reason.KERNEL_ID_MISMATCH

    def __init__(self, declared: str, expected: str) -> None:
        super().__init__(f"remote envelope declares self as kernel_id {declared} but we expected {expected}")
        self.declared = declared
        self.expected = expected


class ClockSkewExceeded(ProtocolError):
    """An envelope whose time is too far from ours; ``envelope`` and ``local`` are Unix seconds."""

    reason = Reason.CLOCK_SKEW_EXCEEDED

    def __init__(self, envelope: int, local: int, skew: int) -> None:
        super().__init__(
            f"remote envelope timestamp {envelope} drifts from local clock {local} beyond {skew}s"
        )
        self.envelope = envelope
        self.local = local
        self.skew = skew


class MissingTrustAnchor(ProtocolError):
    """First contact with ``kernel_id``, for which neither an anchor nor a pin exists."""

    reason = Reason.MISSING_TRUST_ANCHOR

    def __init__(self, kernel_id: str) -> None:
        super().__init__(
            f"peer {kernel_id} is not trusted for first contact; "
            "configure a trust anchor before accepting handshakes"
        )
        self.kernel_id = kernel_id


class UnexpectedPeerKey(ProtocolError):
    """``kernel_id`` proved a key other than the one we hold for it; both as bare hex."""

    reason = Reason.UNEXPECTED_PEER_KEY

    def __init__(self, kernel_id: str, expected: str, actual: str) -> None:
        super().__init__(
            f"peer {kernel_id} declared unexpected public key; expected {expected}, got {actual}"
        )
        self.kernel_id = kernel_id
        self.expected = expected
        self.actual = actual


class UnexpectedSigner(ProtocolError):
    """A signed document names another signer than the one asked for; both as bare hex."""

    reason = Reason.UNEXPECTED_PEER_KEY

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"document is signed by an unexpected key; expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class ParameterHashMismatch(ProtocolError):
    """A receipt whose ``parameter_hash`` is not that of its parameters."""

    reason = Reason.PARAMETER_HASH_MISMATCH

    def __init__(self) -> None:
        super().__init__("the receipt's parameter hash is not that of its parameters")


class ActivationInvalid(ProtocolError):
    """An activation exchange that breaks rules: ``faults`` are all of them, as member and rule (ours)."""

    reason = Reason.ACTIVATION_INVALID

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{member} {rule}" for member, rule in faults))
        self.faults = faults


class ActivationExpired(ProtocolError):
    """An activation exchange outside ``issued_at <= now < expires_at``; all are Unix seconds."""

    reason = Reason.ACTIVATION_EXPIRED

    def __init__(self, issued_at: int, expires_at: int, now: int) -> None:
        word = "not yet in force" if now < issued_at else "past its end"
        super().__init__(f"the activation exchange is {word}")
        self.issued_at = issued_at
        self.expires_at = expires_at
        self.now = now


class ReplayedEnvelope(ProtocolError):
    """An envelope of ``kernel_id`` that is not newer than what was accepted from it before."""

    reason = Reason.REPLAYED_ENVELOPE

    def __init__(self, kernel_id: str) -> None:
        super().__init__(f"peer {kernel_id} sent an envelope that is not newer than the last accepted one")
        self.kernel_id = kernel_id


class PeerStale(ProtocolError):
    """``kernel_id`` is pinned, but its deadline has passed."""

    reason = Reason.PEER_STALE

    def __init__(self, kernel_id: str) -> None:
        super().__init__(f"peer {kernel_id} is stale and must be re-handshaked before use")
        self.kernel_id = kernel_id


class PeerNotPinned(ProtocolError):
    """``kernel_id`` has no pin."""

    reason = Reason.PEER_NOT_PINNED

    def __init__(self, kernel_id: str) -> None:
        super().__init__(f"peer {kernel_id} is not pinned; run a handshake before resolving")
        self.kernel_id = kernel_id
