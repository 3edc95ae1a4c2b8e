"""FederationPeer: a partner, what a person knows about it and what was proven.

The anchors are keys that a person installed; the pin in ``status`` is a key that the partner
proved, with a deadline. Limits that the peer does not set are those of its TrustDomain.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field, Strict

from bilateral.protocol.keys import PublicKey
from bilateral.resources.certificate_fields import DistinguishedName
from bilateral.resources.condition_types import FEDERATION_PEER_CONDITIONS
from bilateral.resources.fields import (
    AuthorityPem,
    CanonicalKey,
    CertificateFingerprint,
    Count,
    EndpointUrl,
    Fingerprint,
    Hex64,
    KernelId,
    NonceDigest,
    ObjectName,
    OperatorId,
    PublicKeyText,
    ReasonWord,
    ShownName,
    TokenHash,
    WindowSeconds,
    Word,
    admitted_key,
    cel_key_of,
)
from bilateral.resources.meta import AGE_COLUMN, READY_COLUMNS, Column, Resource, Status
from bilateral.resources.model import ATOMIC, SET, ListType, Rule, SpecModel, StatusModel, immutable
from bilateral.resources.times import Time
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.verifiers import ONE_VERIFIER, SecretKeyReference, Verifier

__all__ = [
    "AuthoritiesMode",
    "FederationPeer",
    "FederationPeerSpec",
    "FederationPeerStatus",
    "OfferedEnvelope",
    "OnStale",
    "PeerAuthorities",
    "PeerAuthorityStatus",
    "PeerEndpoint",
    "PeerHandshake",
    "PeerState",
    "PinStatus",
    "TrustAnchor",
    "Verifier",
]

MAX_ANCHORS: Final = 4
MAX_NONCES: Final = 8
_LARGEST_INTEGER: Final = 2**53 - 1


class PeerState(StrEnum):
    """Whether a partner counts."""

    ACTIVE = "Active"
    SUSPENDED = "Suspended"


class OnStale(StrEnum):
    """What happens to what was derived from a pin when the pin is stale."""

    WITHDRAW = "Withdraw"
    RETAIN = "Retain"


class AuthoritiesMode(StrEnum):
    """Where a partner's certificate authorities come from."""

    ANNOUNCED = "Announced"
    PINNED = "Pinned"


class TrustAnchor(SpecModel):
    """A partner's key that a person installed."""

    public_key: PublicKeyText = Field(
        description="An Ed25519 public key in any spelling: ed25519:<hex>, bare hex, 0x<hex>, "
        "did:chio:<hex>, did:key:z6Mk…, or a PEM public key."
    )


class PeerEndpoint(SpecModel):
    """Where and how the partner is reached."""

    url: EndpointUrl = Field(
        description="The partner's endpoint: https, a host in lower case and an optional port, "
        "such as https://trust.org-b.example:8940."
    )
    verifier: Annotated[Verifier, ONE_VERIFIER] = Field(
        description="How the partner's server is verified: exactly one of webPKI, certificateAuthority and "
        "fingerprint."
    )
    bearer_token_secret_ref: SecretKeyReference | None = Field(
        default=None,
        description="The bearer token that is sent, after the server was verified and to no other host.",
    )


class PeerAuthorities(SpecModel):
    """Where the partner's certificate authorities come from."""

    mode: AuthoritiesMode = Field(
        default=AuthoritiesMode.ANNOUNCED,
        description="Announced: those of the statement that the partner's pinned key signed. "
        "Pinned: those in pems only.",
    )
    pems: Annotated[tuple[AuthorityPem, ...], ATOMIC] = Field(
        default=(), max_length=8, description="The authorities in PEM; for mode Pinned, and required there."
    )


_PEMS_FOR_PINNED = Rule[PeerAuthorities](
    "(has(self.mode) && self.mode == 'Pinned') == (has(self.pems) && self.pems.size() > 0)",
    "must give pems for mode Pinned, and only then",
    lambda authorities: (authorities.mode is AuthoritiesMode.PINNED) == bool(authorities.pems),
)


class PeerHandshake(SpecModel):
    """Limits of the handshake with this partner; what is absent is as the TrustDomain says."""

    rotation_window_seconds: WindowSeconds | None = Field(
        default=None, description="How long the pin is fresh after a handshake, in seconds."
    )
    max_clock_skew_seconds: Annotated[int, Strict(), Field(ge=0, le=86_400)] | None = Field(
        default=None,
        description="How far the partner's clock may be from ours, in seconds; up to a day, for partners who "
        "exchange files.",
    )


def _anchors_differ(anchors: tuple[TrustAnchor, ...]) -> bool:
    return len({admitted_key(anchor.public_key) for anchor in anchors}) == len(anchors)


_ANCHORS_DIFFER = Rule[tuple[TrustAnchor, ...]](
    f"self.all(a, self.exists_one(b, {cel_key_of('a.publicKey')} == {cel_key_of('b.publicKey')}))",
    "must not list the same key twice, in any spelling",
    _anchors_differ,
)
_WORD_KEYS = Rule[dict[str, tuple[str, ...]]](
    "self.all(name, name.size() <= 63 && name.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))",
    "must name kinds with 1 to 63 letters, digits, '-', '_' or '.', alphanumeric at both ends",
    lambda resources: all(_is_resource_kind(name) for name in resources),
)


def _is_resource_kind(name: str) -> bool:
    inner = name.replace("-", "").replace("_", "").replace(".", "")
    ends = name[:1] + name[-1:]
    return 1 <= len(name) <= 63 and (inner + ends).isascii() and (inner + "a").isalnum() and ends.isalnum()


class FederationPeerSpec(SpecModel):
    """What a person says about a partner."""

    trust_domain: Annotated[ObjectName, immutable("trustDomain")] = Field(
        description="The TrustDomain of this namespace that speaks with the partner. Immutable."
    )
    kernel_id: Annotated[KernelId, immutable("kernelId")] = Field(
        description="The partner's name on the wire. Immutable, and unique for the trust domain."
    )
    operator_id: OperatorId | None = Field(
        default=None,
        description="The partner's name in policies and evidence; by default the object's name.",
    )
    display_name: ShownName | None = Field(default=None, description="The partner's name for people.")
    trust_anchors: Annotated[
        tuple[TrustAnchor, ...], ListType("map", key="publicKey", attribute="public_key"), _ANCHORS_DIFFER
    ] = Field(
        default=(),
        max_length=MAX_ANCHORS,
        description="The partner's keys that a person installed; several are the current and the next. None: "
        "first contact is refused (MissingTrustAnchor).",
    )
    endpoint: PeerEndpoint | None = Field(
        default=None, description="Where and how the partner is reached. Absent: we only answer."
    )
    fingerprints: Annotated[tuple[Fingerprint, ...], SET] = Field(
        default=(),
        max_length=16,
        description="TLS credentials of the partner: ed25519:<hex> for a raw key, SHA256:<hex> over a leaf "
        "certificate's DER. Unique within the trust domain; of two peers with one, neither is used.",
    )
    auth_token_hash: TokenHash | None = Field(
        default=None,
        description="SHA-256 of the bearer token that the partner must send: sha256:<hex>.",
    )
    scopes: Annotated[tuple[Word, ...], SET] = Field(
        default=(), max_length=64, description="What the partner may do at nodes, such as relay:connect."
    )
    resources: Annotated[
        dict[str, Annotated[tuple[Word, ...], Field(max_length=64), SET]], Field(max_length=32), _WORD_KEYS
    ] = Field(
        default_factory=dict,
        description="What the partner may use at nodes: a list of names for each kind of resource.",
    )
    certificate_authorities: Annotated[PeerAuthorities, _PEMS_FOR_PINNED] = Field(
        default=PeerAuthorities(), description="Where the partner's certificate authorities come from."
    )
    state: PeerState = Field(default=PeerState.ACTIVE, description="Active, or Suspended: known, but nobody.")
    handshake: PeerHandshake = Field(
        default=PeerHandshake(),
        description="Limits of the handshake with this partner; what is absent is as the TrustDomain says.",
    )
    on_stale: OnStale = Field(
        default=OnStale.WITHDRAW,
        description="Withdraw: what was derived from the pin goes when the pin is stale. Retain: it stays "
        "until somebody acts, and a warning is shown.",
    )


_FINGERPRINT_GIVEN = Rule[FederationPeerSpec](
    "!has(self.endpoint) || !has(self.endpoint.verifier.fingerprint) || "
    "(has(self.fingerprints) && self.fingerprints.exists(f, f.startsWith('SHA256:')))",
    "must list a SHA256: entry in fingerprints for the verifier fingerprint",
    lambda spec: (
        spec.endpoint is None
        or spec.endpoint.verifier.fingerprint is None
        or any(fingerprint.startswith("SHA256:") for fingerprint in spec.fingerprints)
    ),
)


class PinStatus(StatusModel):
    """A key that the partner proved, with its deadline."""

    public_key: CanonicalKey = Field(description="The key that the partner proved.")
    established_at: Time = Field(description="When it was proven.")
    rotation_due: Time = Field(description="From this second on it is stale.")
    envelope_timestamp: Time = Field(description="The time in the last envelope that was accepted.")
    envelope_nonces: Annotated[tuple[NonceDigest, ...], SET] = Field(
        default=(),
        max_length=MAX_NONCES,
        description="Digests of the nonces that were accepted with that time.",
    )
    seal: Hex64 = Field(
        description="HMAC over the object's UID and every member of the pin; a pin without it is PinTampered."
    )


class OfferedEnvelope(StatusModel):
    """What became of the envelope in the annotation."""

    digest: Hex64 = Field(description="SHA-256 of the annotation's value.")
    reason: ReasonWord = Field(description="EnvelopeAccepted, or why it was refused.")


class PeerAuthorityStatus(StatusModel):
    """One of the partner's certificate authorities."""

    subject: DistinguishedName = Field(description="Its subject as RFC 4514 text.")
    fingerprint: CertificateFingerprint = Field(description="SHA-256 over its certificate's DER.")
    not_after: Time = Field(description="When its certificate ends.")


class FederationPeerStatus(Status):
    """What the operator found about the partner."""

    peer_kernel_id: KernelId | None = Field(
        default=None, description="The kernel id under which the partner proved its key."
    )
    pin: PinStatus | None = Field(default=None, description="The key that the partner proved.")
    unexpected_public_key: CanonicalKey | None = Field(
        default=None, description="Another key that came under the partner's name (UnexpectedPeerKey)."
    )
    next_handshake_time: Time | None = Field(default=None, description="When we next ask the partner.")
    last_attempt_time: Time | None = Field(default=None, description="When we last asked the partner.")
    consecutive_failures: Count = Field(
        default=0, description="How many attempts have failed since the last success."
    )
    observed_skew_seconds: (
        Annotated[int, Strict(), Field(ge=-_LARGEST_INTEGER, le=_LARGEST_INTEGER)] | None
    ) = Field(default=None, description="How far the partner's clock was ahead of ours; negative: behind.")
    offered_envelope: OfferedEnvelope | None = Field(
        default=None,
        description="What became of the envelope in the annotation bilateral.dev/handshake-envelope.",
    )
    certificate_authorities: Annotated[tuple[PeerAuthorityStatus, ...], ATOMIC] = Field(
        default=(), max_length=8, description="The partner's certificate authorities in use."
    )


class FederationPeer(Resource):
    """A partner of one of our trust domains."""

    KIND: ClassVar = "FederationPeer"
    PLURAL: ClassVar = "federationpeers"
    SINGULAR: ClassVar = "federationpeer"
    SHORT_NAMES: ClassVar = ("fpeer",)
    DESCRIPTION: ClassVar = (
        "FederationPeer is a partner of a TrustDomain: the keys that a person installed for it, how it is "
        "reached and verified, and the key that it proved, with the deadline until which it is trusted."
    )
    COLUMNS: ClassVar = (
        *READY_COLUMNS,
        Column("Partner", ".spec.kernelId", "The partner's name on the wire."),
        Column("Fresh until", ".status.pin.rotationDue", "From this second on the pin is stale."),
        AGE_COLUMN,
        Column("Trust domain", ".spec.trustDomain", "The TrustDomain that speaks.", wide=True),
        Column("State", ".spec.state", "Active or Suspended.", wide=True),
        Column("Next handshake", ".status.nextHandshakeTime", "When we next ask.", wide=True),
    )
    CONDITIONS: ClassVar = FEDERATION_PEER_CONDITIONS

    spec: Annotated[FederationPeerSpec, _FINGERPRINT_GIVEN] = Field(
        description="What a person says about the partner."
    )
    status: FederationPeerStatus = Field(
        default=FederationPeerStatus(), description="What the operator found about the partner."
    )

    @property
    def operator_id(self) -> str:
        """The partner's name in policies and evidence."""
        return self.spec.operator_id or self.metadata.name

    @property
    def anchors(self) -> tuple[PublicKey, ...]:
        """The keys that a person installed, in the order of the list."""
        return tuple(admitted_key(anchor.public_key) for anchor in self.spec.trust_anchors)

    @property
    def certificate_fingerprints(self) -> tuple[str, ...]:
        """The ``SHA256:`` entries of the fingerprints, which a server's certificate may have."""
        return tuple(entry for entry in self.spec.fingerprints if entry.startswith("SHA256:"))

    @property
    def authorities_secret_name(self) -> str:
        """The Secret of the partner's certificate authorities."""
        return f"{self.metadata.name}-ca"

    @property
    def is_suspended(self) -> bool:
        """Whether a person has suspended the partner."""
        return self.spec.state is PeerState.SUSPENDED

    def handshake_window(self, trust_domain: TrustDomain) -> int:
        """How long a pin is fresh after a handshake, in seconds."""
        own = self.spec.handshake.rotation_window_seconds
        return trust_domain.spec.handshake.rotation_window_seconds if own is None else own

    def max_skew(self, trust_domain: TrustDomain) -> int:
        """How far the partner's clock may be from ours, in seconds."""
        own = self.spec.handshake.max_clock_skew_seconds
        return trust_domain.spec.handshake.max_clock_skew_seconds if own is None else own
