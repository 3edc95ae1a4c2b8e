"""WorkloadIdentity: one of our parties, its certificate and the Secrets that its pods mount.

Every name of an output is computed here and nowhere else. A renewal keeps the key, because other
authorities' introductions certify that key: so what the key is made from cannot be changed.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from bilateral.pki.authority import Algorithm
from bilateral.pki.names import Subject
from bilateral.resources.certificate_fields import (
    ContentHash,
    DistinguishedName,
    DnsName,
    LifeSeconds,
    SerialNumber,
    Slug,
)
from bilateral.resources.condition_types_parties import WORKLOAD_IDENTITY_CONDITIONS
from bilateral.resources.fields import CertificateFingerprint, Count, CountryCode, NamePart, ObjectName
from bilateral.resources.meta import AGE_COLUMN, READY_COLUMNS, Column, Resource, Status
from bilateral.resources.model import ATOMIC, SET, ListType, Rule, SpecModel, StatusModel, immutable
from bilateral.resources.times import Time
from bilateral.resources.trustdomain import Source

OWN_AUTHORITY: Final = "self"
"""In ``clients``: our own trust domain's authority."""

MAX_CHAINS: Final = 64
MAX_ROLLOUTS: Final = 16
_DEFAULT_LIFE_SECONDS: Final = 2_592_000
_NAME_MAX_LENGTH: Final = 253
_DIGEST_LENGTH: Final = 10


class ServicesMode(StrEnum):
    """Which TrustedServices an identity may see."""

    ALL = "All"
    LISTED = "Listed"


class PerServiceTLS(StrEnum):
    """Whether there is a Secret for each service."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class RolloutKind(StrEnum):
    """What can be rolled out anew."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"


class SubjectSpec(SpecModel):
    """The subject of the identity's certificate."""

    common_name: NamePart | None = Field(default=None, description="Common name (CN).")
    organization: NamePart | None = Field(default=None, description="Organisation (O).")
    organizational_unit: NamePart | None = Field(default=None, description="Unit of the organisation (OU).")
    country: CountryCode | None = Field(default=None, description="Country as two upper-case letters (C).")
    state_or_province: NamePart | None = Field(default=None, description="State or province (ST).")
    locality: NamePart | None = Field(default=None, description="Town (L).")
    user_id: NamePart | None = Field(default=None, description="User id (UID).")
    pseudonym: NamePart | None = Field(default=None, description="Pseudonym (P).")

    def to_subject(self) -> Subject:
        """The subject as certificates are made with."""
        return Subject(
            organization=self.organization,
            organizational_unit=self.organizational_unit,
            country=self.country,
            state_or_province=self.state_or_province,
            locality=self.locality,
            common_name=self.common_name,
            user_id=self.user_id,
            pseudonym=self.pseudonym,
        )


_SOME_NAME = Rule[SubjectSpec](
    "[has(self.commonName), has(self.organization), has(self.organizationalUnit), has(self.country), "
    "has(self.stateOrProvince), has(self.locality), has(self.userId), has(self.pseudonym)].exists(set, set)",
    "must have at least one member",
    lambda subject: any(value is not None for value in subject.model_dump().values()),
)


class KeySpec(SpecModel):
    """Where the identity's key comes from."""

    source: Annotated[Source, immutable("source")] = Field(
        default=Source.GENERATED,
        description="Generated: made by the operator, in the identity's Secret and nowhere else. Provided: its "
        "owner keeps it (for example with cert-manager) and shows a request or a certificate. Immutable.",
    )
    secret_name: ObjectName | None = Field(
        default=None,
        description="For Provided: the Secret, labelled bilateral.dev/secret: referenced, with a signing request "
        "under tls.csr or a certificate under tls.crt. Only the public key in it is used.",
    )


_SECRET_FOR_PROVIDED = Rule[KeySpec](
    "(has(self.source) && self.source == 'Provided') == has(self.secretName)",
    "must give secretName for source Provided, and only then",
    lambda key: (key.source is Source.PROVIDED) == (key.secret_name is not None),
)


class ServiceSelection(SpecModel):
    """Which TrustedServices of the namespace the identity may see."""

    mode: ServicesMode = Field(
        default=ServicesMode.ALL,
        description="All: every one of the namespace. Listed: those in names, and none when there are none.",
    )
    names: Annotated[tuple[ObjectName, ...], SET] = Field(
        default=(), max_length=256, description="Names of TrustedServices; for mode Listed."
    )


_NAMES_FOR_LISTED = Rule[ServiceSelection](
    "(has(self.mode) && self.mode == 'Listed') || !has(self.names) || self.names.size() == 0",
    "must give names for mode Listed only",
    lambda selection: selection.mode is ServicesMode.LISTED or not selection.names,
)


class RolloutTarget(SpecModel):
    """A workload of the namespace that is rolled out anew when the files change."""

    kind: RolloutKind = Field(description="Deployment, StatefulSet or DaemonSet.")
    name: ObjectName = Field(description="Its name.")


_TARGETS_DIFFER = Rule[tuple[RolloutTarget, ...]](
    "self.all(a, self.exists_one(b, a.kind == b.kind && a.name == b.name))",
    "must not list the same workload twice",
    lambda targets: len({(target.kind, target.name) for target in targets}) == len(targets),
)


class WorkloadIdentitySpec(SpecModel):
    """What a person says about a party of ours."""

    trust_domain: Annotated[ObjectName, immutable("trustDomain")] = Field(
        description="The TrustDomain of this namespace whose authority signs the identity. Immutable."
    )
    subject: Annotated[SubjectSpec, _SOME_NAME, immutable("subject")] = Field(
        description="The subject of the certificate: at least one member. Immutable, since introductions by "
        "partners hold it too."
    )
    dns_names: Annotated[tuple[DnsName, ...], SET] = Field(
        default=(),
        max_length=64,
        description="Names under which the party is reached as a server. None: it is only a client.",
    )
    algorithm: Annotated[Algorithm, immutable("algorithm")] = Field(
        default=Algorithm.ECDSA_P256, description="The type of the key when it is made. Immutable."
    )
    validity_seconds: LifeSeconds = Field(
        default=_DEFAULT_LIFE_SECONDS,
        description="How long a certificate is valid, in seconds; never past the authority's own end. It is "
        "renewed when two thirds are over.",
    )
    key: Annotated[KeySpec, _SECRET_FOR_PROVIDED] = Field(
        default=KeySpec(), description="Where the identity's key comes from."
    )
    services: Annotated[ServiceSelection, _NAMES_FOR_LISTED] = Field(
        default=ServiceSelection(), description="Which TrustedServices the identity may see."
    )
    clients: Annotated[tuple[ObjectName, ...], SET] = Field(
        default=(OWN_AUTHORITY,),
        max_length=64,
        description="Whose identities may connect to it: self is our own authority, any other a FederationPeer "
        "of this namespace. None: nobody's.",
    )
    per_service_tls: PerServiceTLS = Field(
        default=PerServiceTLS.DISABLED,
        alias="perServiceTLS",
        description='Enabled: beside the directory one kubernetes.io/tls Secret for each service, "<name>-to-<alias>".',
    )
    rollouts: Annotated[tuple[RolloutTarget, ...], ATOMIC, _TARGETS_DIFFER] = Field(
        default=(),
        max_length=MAX_ROLLOUTS,
        description="Workloads that are rolled out anew when the files change, for programs that read them only "
        "once. The chart's value rollouts.enabled gives the operator the right.",
    )


class ChainStatus(StatusModel):
    """The identity, signed by one authority."""

    authority: DistinguishedName = Field(description="The authority's subject as RFC 4514 text.")
    slug: Slug = Field(description="The name of its file, without .crt.")
    not_after: Time = Field(description="When the certificate by this authority ends.")
    introduction: ObjectName | None = Field(
        default=None, description="The Introduction that it came with; none for our own authority."
    )


class RolloutStatus(StatusModel):
    """What a workload was last rolled out with."""

    kind: RolloutKind = Field(description="Deployment, StatefulSet or DaemonSet.")
    name: ObjectName = Field(description="Its name.")
    content_hash: ContentHash = Field(description="The content hash that its pods were made with.")


class WorkloadIdentityStatus(Status):
    """What the operator made of it."""

    subject: DistinguishedName | None = Field(
        default=None, description="The certificate's subject as RFC 4514 text."
    )
    fingerprint: CertificateFingerprint | None = Field(
        default=None, description="SHA-256 over the certificate's DER."
    )
    serial: SerialNumber | None = Field(
        default=None, description="The certificate's serial number as 40 hex digits."
    )
    not_after: Time | None = Field(default=None, description="When the certificate ends.")
    renewal_time: Time | None = Field(default=None, description="When the next one is made.")
    public_key_fingerprint: CertificateFingerprint | None = Field(
        default=None, description="SHA-256 over the public key (DER SubjectPublicKeyInfo)."
    )
    content_hash: ContentHash | None = Field(
        default=None, description="SHA-256 over everything that the pods mount; another one, other content."
    )
    chains: Annotated[tuple[ChainStatus, ...], ListType("map", key="slug", attribute="slug")] = Field(
        default=(), max_length=MAX_CHAINS, description="The authorities that have signed the identity."
    )
    bound_services: Count = Field(default=0, description="How many services its pods know by alias.")
    rollouts: Annotated[tuple[RolloutStatus, ...], ATOMIC] = Field(
        default=(), max_length=MAX_ROLLOUTS, description="What the workloads were last rolled out with."
    )


class WorkloadIdentity(Resource):
    """One of our parties."""

    KIND: ClassVar = "WorkloadIdentity"
    PLURAL: ClassVar = "workloadidentities"
    SINGULAR: ClassVar = "workloadidentity"
    SHORT_NAMES: ClassVar = ("wid",)
    DESCRIPTION: ClassVar = (
        "WorkloadIdentity is one of our parties: a key, and the certificates that our authority and partners' "
        "authorities made of it. Pods mount four Secrets to call services and be called: <name>-identity (the "
        "certificate and the key), <name>-id-chains (as each authority signed it), <name>-known-servers (what may be "
        "called) and <name>-known-clients (who may connect)."
    )
    COLUMNS: ClassVar = (
        *READY_COLUMNS,
        Column("Trust domain", ".spec.trustDomain", "The TrustDomain whose authority signs."),
        Column("Until", ".status.notAfter", "When the certificate ends."),
        AGE_COLUMN,
        Column("Subject", ".status.subject", "The certificate's subject.", wide=True),
        Column(
            "Services",
            ".status.boundServices",
            "How many services its pods know by alias.",
            "integer",
            wide=True,
        ),
        Column("Renewal", ".status.renewalTime", "When the next certificate is made.", wide=True),
    )
    CONDITIONS: ClassVar = WORKLOAD_IDENTITY_CONDITIONS

    spec: WorkloadIdentitySpec = Field(description="What a person says about the party.")
    status: WorkloadIdentityStatus = Field(
        default=WorkloadIdentityStatus(), description="What the operator made of it."
    )

    @property
    def identity_secret_name(self) -> str:
        """The Secret of the certificate and, unless it is provided, the key."""
        return f"{self.metadata.name}-identity"

    @property
    def chains_secret_name(self) -> str:
        """The Secret of the identity as every authority signed it."""
        return f"{self.metadata.name}-id-chains"

    @property
    def servers_secret_name(self) -> str:
        """The Secret of the services that may be called, and by what they are verified."""
        return f"{self.metadata.name}-known-servers"

    @property
    def clients_secret_name(self) -> str:
        """The Secret of the authorities whose identities may connect."""
        return f"{self.metadata.name}-known-clients"

    def service_secret_name(self, alias: str) -> str:
        """The Secret for one service; a name that would be too long is cut and ends in a digest."""
        name = f"{self.metadata.name}-to-{alias}"
        if len(name) <= _NAME_MAX_LENGTH:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
        return f"{name[: _NAME_MAX_LENGTH - _DIGEST_LENGTH - 1].rstrip('-.')}-{digest}"

    def is_output(self, name: str) -> bool:
        """Whether a Secret of that name would be one of this identity's."""
        fixed = (
            self.identity_secret_name,
            self.chains_secret_name,
            self.servers_secret_name,
            self.clients_secret_name,
        )
        return name in fixed or name.startswith(self.service_secret_name(""))

    @property
    def has_provided_key(self) -> bool:
        """Whether the key is its owner's, so that we never see it."""
        return self.spec.key.source is Source.PROVIDED
