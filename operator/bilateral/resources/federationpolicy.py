"""FederationPolicy: what a partner may do here.

The members are those of the contract's policy (chio federation overview) in the style of our API, and
what it needs beside them. Everything in it is a limit that a decision keeps; what a spec means is a
:class:`~bilateral.protocol.policies.policy.Policy`, built by :meth:`FederationPolicy.to_policy`.
Without a policy a partner may do nothing, and an empty list allows nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field, Strict

from bilateral.protocol.key_history import MAX_INTERVALS, KeyHistory, KeyInterval, KeySource
from bilateral.protocol.policies.policy import (
    DEFAULT_INTRODUCTION_SECONDS,
    DEFAULT_MAX_STALENESS_SECONDS,
    DEFAULT_POLL_SECONDS,
    MAX_ISSUERS,
    MAX_SIGNERS,
    FeedSource,
    FeedTerms,
    IntroductionApproval,
    IntroductionTerms,
    Policy,
    SharingPosture,
    TrustedIssuer,
)
from bilateral.protocol.policies.tiers import parse_tier
from bilateral.resources.certificate_fields import DnsName, LifeSeconds
from bilateral.resources.condition_types_policies import FEDERATION_POLICY_CONDITIONS
from bilateral.resources.fields import Hex64, ObjectName, OperatorId, PublicKeyText, admitted_key, cel_key_of
from bilateral.resources.meta import AGE_COLUMN, READY_COLUMNS, Column, Resource, Status
from bilateral.resources.model import ATOMIC, SET, ListType, Rule, SpecModel, StatusModel, immutable
from bilateral.resources.policy_fields import (
    FeedUrl,
    SubjectName,
)
from bilateral.resources.policy_scope import MaxScopeSpec, to_max_scope
from bilateral.resources.times import Time
from bilateral.resources.verifiers import ONE_VERIFIER, SecretKeyReference, Verifier

DEFAULT_MAX_EVIDENCE_AGE_SECONDS: Final = 3600
_LONGEST_AGE: Final = 31_536_000

Seconds = Annotated[int, Strict(), Field(ge=1, le=_LONGEST_AGE)]
"""A duration: a second to a year."""


class MaxAutonomyTier(StrEnum):
    """The highest autonomy tier that is accepted."""

    DIRECT = "Direct"
    DELEGATED = "Delegated"
    AUTONOMOUS = "Autonomous"


class IssuerSpec(SpecModel):
    """A key that the partner may issue capabilities with."""

    public_key: PublicKeyText = Field(
        description="An Ed25519 public key in any spelling: ed25519:<hex>, bare hex, 0x<hex>, "
        "did:chio:<hex>, did:key:z6Mk…, or a PEM public key."
    )
    not_after: Time | None = Field(
        default=None,
        description="From this second on nothing that the key issued counts. Absent: until it leaves the list.",
    )


def _issuers_differ(issuers: tuple[IssuerSpec, ...]) -> bool:
    return len({admitted_key(each.public_key) for each in issuers}) == len(issuers)


def _signers_differ(signers: tuple[str, ...]) -> bool:
    return len({admitted_key(each) for each in signers}) == len(signers)


_ISSUERS_DIFFER = Rule[tuple[IssuerSpec, ...]](
    f"self.all(a, self.exists_one(b, {cel_key_of('a.publicKey')} == {cel_key_of('b.publicKey')}))",
    "must not list the same key twice, in any spelling",
    _issuers_differ,
)
_SIGNERS_DIFFER = Rule[tuple[str, ...]](
    f"self.all(a, self.exists_one(b, {cel_key_of('a')} == {cel_key_of('b')}))",
    "must not list the same key twice, in any spelling",
    _signers_differ,
)


class RevocationFeedSpec(SpecModel):
    """Where the partner publishes revocations."""

    url: FeedUrl = Field(
        description="The feed's URL, such as https://trust.org-b.example:8940/v1/revocations/feed."
    )
    source: FeedSource = Field(
        default=FeedSource.SIGNED_FEED,
        description="SignedFeed: a signed log that cannot take anything back. ChioService: GET /v1/revocations of "
        "a chio service, which nobody signs; it is a lesser source, and decisions say so.",
    )
    signers: Annotated[tuple[PublicKeyText, ...], SET, _SIGNERS_DIFFER] = Field(
        default=(),
        max_length=MAX_SIGNERS,
        description="Ed25519 keys that may sign the feed, in any spelling; none: the key that the peer has pinned.",
    )
    poll_seconds: Annotated[int, Strict(), Field(ge=5, le=86_400)] = Field(
        default=DEFAULT_POLL_SECONDS,
        description="How often the feed is read, in seconds; more often where a third of the ceiling is less.",
    )
    max_staleness_seconds: Seconds = Field(
        default=DEFAULT_MAX_STALENESS_SECONDS,
        description="How old the news may be, in seconds, and never older than maxEvidenceAgeSeconds; at this age "
        "every call is refused.",
    )
    verifier: Annotated[Verifier, ONE_VERIFIER] | None = Field(
        default=None,
        description="How the feed's server is verified: exactly one of webPKI, certificateAuthority and fingerprint "
        "(one of the peer's). Absent: as the peer's endpoint.",
    )
    bearer_token_secret_ref: SecretKeyReference | None = Field(
        default=None,
        description="The bearer token that is sent, after the server was verified and to no other host.",
    )


_NO_SIGNERS_OF_A_SERVICE = Rule[RevocationFeedSpec](
    "!has(self.source) || self.source != 'ChioService' || !has(self.signers) || self.signers.size() == 0",
    "must not give signers for source ChioService, which signs nothing",
    lambda feed: feed.source is FeedSource.SIGNED_FEED or not feed.signers,
)


class IntroductionsSpec(SpecModel):
    """Under which terms our authority introduces parties of the partner."""

    approval: IntroductionApproval = Field(
        default=IntroductionApproval.MANUAL,
        description="Manual: a person approves each. Automatic: what the partner's operator asks for within these "
        "terms is approved; needs allowedSubjects. Setting it, or dnsNames, needs the verb approve on introductions.",
    )
    max_validity_seconds: LifeSeconds = Field(
        default=DEFAULT_INTRODUCTION_SECONDS,
        description="How long a certificate may be valid, in seconds; whoever approves it, it is cut to this.",
    )
    allowed_subjects: Annotated[tuple[SubjectName, ...], SET] = Field(
        default=(),
        max_length=64,
        description="Whole subjects, as RFC 4514 text, that may be introduced; none: any, if a person approves.",
    )
    dns_names: Annotated[tuple[DnsName, ...], SET] = Field(
        default=(),
        max_length=64,
        description="The names that the certificate gets; none unless they are listed here.",
    )


_SUBJECTS_FOR_AUTOMATIC = Rule[IntroductionsSpec](
    "!has(self.approval) || self.approval != 'Automatic' || "
    "(has(self.allowedSubjects) && self.allowedSubjects.size() > 0)",
    "must list allowedSubjects for approval Automatic",
    lambda terms: terms.approval is IntroductionApproval.MANUAL or bool(terms.allowed_subjects),
)


class FederationPolicySpec(SpecModel):
    """What a person lets a partner do."""

    peer: Annotated[ObjectName, immutable("peer")] = Field(
        description="The FederationPeer of this namespace that it is for. Immutable, and one policy for each: of "
        "two neither is Ready."
    )
    partner_id: Annotated[OperatorId, immutable("partnerId")] = Field(
        description="The partner's name in decisions and evidence: the operatorId of the peer. Immutable."
    )
    trusted_issuers: Annotated[
        tuple[IssuerSpec, ...], ListType("map", key="publicKey", attribute="public_key"), _ISSUERS_DIFFER
    ] = Field(
        min_length=1,
        max_length=MAX_ISSUERS,
        description="Keys that the partner may issue with: the current generation and, while they overlap, the "
        "previous. A key that leaves the list stops working at the next decision.",
    )
    max_scope: MaxScopeSpec = Field(
        description="The upper bound on what a capability of the partner may reach; it is clamped to this."
    )
    max_autonomy_tier: MaxAutonomyTier = Field(
        description="The highest autonomy tier that is accepted: Direct, Delegated or Autonomous."
    )
    max_evidence_age_seconds: Seconds = Field(
        default=DEFAULT_MAX_EVIDENCE_AGE_SECONDS,
        description="How old evidence may be, in seconds; also a ceiling on how old the news of revocations may be.",
    )
    revocation_feed: Annotated[RevocationFeedSpec, _NO_SIGNERS_OF_A_SERVICE] | None = Field(
        default=None,
        description="Where the partner publishes revocations. Given, every call is refused while there is no fresh "
        "news.",
    )
    sharing_posture: SharingPosture = Field(
        default=SharingPosture.PAIR_SCOPED,
        description="PairScoped: evidence of the partner stays between the two. ReexportAllowed: it may be shown to "
        "a third organisation.",
    )
    introductions: Annotated[IntroductionsSpec, _SUBJECTS_FOR_AUTOMATIC] = Field(
        default=IntroductionsSpec(),
        description="Under which terms our authority introduces parties of the partner.",
    )


class RevocationsStatus(StatusModel):
    """What is known of the partner's revocations."""

    source: FeedSource = Field(description="SignedFeed, or ChioService: a source that nobody signs.")
    tree_size: Annotated[int, Strict(), Field(ge=0)] = Field(
        default=0, description="How many entries the last head of the feed commits to."
    )
    root_hash: Hex64 | None = Field(default=None, description="The root of the tree of that head.")
    entries: Annotated[int, Strict(), Field(ge=0)] = Field(
        default=0, description="How many capabilities of the partner are known to be revoked."
    )
    published_at: Time | None = Field(default=None, description="The time in the last head.")
    received_at: Time | None = Field(default=None, description="When we received it.")


class KeyStatus(StatusModel):
    """A key that spoke for the partner for a while."""

    public_key: PublicKeyText = Field(description="The key, as ed25519:<hex>.")
    source: KeySource = Field(
        description="anchor: a person installed it; pin: the partner proved it; issuer: the policy trusts it."
    )
    since: Time | None = Field(default=None, description="When it was first seen; absent: not known.")
    until: Time | None = Field(default=None, description="From when on it did not count; absent: it counts.")


class FederationPolicyStatus(Status):
    """What the operator found about the policy."""

    policy_hash: Hex64 | None = Field(
        default=None,
        description="SHA-256 over the policy's canonical form, as decisions and receipts name it.",
    )
    revocations: RevocationsStatus | None = Field(
        default=None, description="What is known of the partner's revocations."
    )
    key_history: Annotated[tuple[KeyStatus, ...], ATOMIC] = Field(
        default=(),
        max_length=MAX_INTERVALS,
        description="Which keys spoke for the partner, and when: what its older documents are verified against.",
    )

    @property
    def keys(self) -> KeyHistory:
        """The key history as a decision asks it."""
        return KeyHistory(
            tuple(
                KeyInterval(admitted_key(each.public_key), each.source, each.since, each.until)
                for each in self.key_history
            )
        )


class FederationPolicy(Resource):
    """What a partner may do here."""

    KIND: ClassVar = "FederationPolicy"
    PLURAL: ClassVar = "federationpolicies"
    SINGULAR: ClassVar = "federationpolicy"
    SHORT_NAMES: ClassVar = ("fpol",)
    DESCRIPTION: ClassVar = (
        "FederationPolicy is what one partner may do here: whose capabilities count, what they may reach, at which "
        "autonomy, how old evidence and the news of revocations may be. Without one a partner may do nothing."
    )
    COLUMNS: ClassVar = (
        *READY_COLUMNS,
        Column("Partner", ".spec.partnerId", "The partner's name in decisions and evidence."),
        Column("Tier", ".spec.maxAutonomyTier", "The highest autonomy tier that is accepted."),
        AGE_COLUMN,
        Column("Peer", ".spec.peer", "The FederationPeer that it is for.", wide=True),
        Column("Revoked", ".status.revocations.entries", "How many are known revoked.", "integer", wide=True),
        Column("News of", ".status.revocations.publishedAt", "The time in the feed's last head.", wide=True),
        Column("Hash", ".status.policyHash", "The policy's hash, as decisions name it.", wide=True),
    )
    CONDITIONS: ClassVar = FEDERATION_POLICY_CONDITIONS

    spec: FederationPolicySpec = Field(description="What a person lets the partner do.")
    status: FederationPolicyStatus = Field(
        default=FederationPolicyStatus(), description="What the operator found about the policy."
    )

    def to_policy(self) -> Policy:
        """Build what the spec means."""
        spec = self.spec
        return Policy(
            partner_id=spec.partner_id,
            trusted_issuers=tuple(
                TrustedIssuer(admitted_key(each.public_key), each.not_after) for each in spec.trusted_issuers
            ),
            max_scope=to_max_scope(spec.max_scope),
            max_autonomy_tier=parse_tier(spec.max_autonomy_tier.value),
            max_evidence_age_seconds=spec.max_evidence_age_seconds,
            revocation_feed=None if spec.revocation_feed is None else _to_feed(spec.revocation_feed),
            sharing_posture=spec.sharing_posture,
            introductions=IntroductionTerms(
                spec.introductions.approval,
                spec.introductions.max_validity_seconds,
                spec.introductions.allowed_subjects,
                spec.introductions.dns_names,
            ),
        )


def _to_feed(spec: RevocationFeedSpec) -> FeedTerms:
    return FeedTerms(
        url=spec.url,
        signers=tuple(admitted_key(each) for each in spec.signers),
        poll_seconds=spec.poll_seconds,
        max_staleness_seconds=spec.max_staleness_seconds,
        source=spec.source,
    )
