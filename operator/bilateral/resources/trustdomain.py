"""TrustDomain: who we are. One party with its own key, authority and endpoint.

Every default that depends on the object's name is computed here and nowhere else: the names of
its Secrets, the operator id, the authority's subject.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field, Strict

from bilateral.pki.names import Subject
from bilateral.resources.condition_types import TRUST_DOMAIN_CONDITIONS
from bilateral.resources.fields import (
    AuthorityPem,
    CanonicalKey,
    CertificateFingerprint,
    CountryCode,
    EndpointUrl,
    KernelId,
    NamePart,
    ObjectName,
    OperatorId,
    PathUrl,
    ShortText,
    WindowSeconds,
)
from bilateral.resources.meta import AGE_COLUMN, READY_COLUMNS, Column, Resource, Status
from bilateral.resources.model import SET, Rule, SpecModel, StatusModel, immutable
from bilateral.resources.times import Time

DEFAULT_WINDOW_SECONDS: Final = 43_200
DEFAULT_SKEW_SECONDS: Final = 300
DEFAULT_AUTHORITY_SECONDS: Final = 31_536_000
MAX_DID_SERVICES: Final = 8
_COMMON_NAME_BYTES: Final = 64


class Source(StrEnum):
    """Where a certificate and its key come from."""

    GENERATED = "Generated"
    PROVIDED = "Provided"


class AuthorityAlgorithm(StrEnum):
    """The type of an authority's key."""

    ECDSA_P256 = "ECDSAP256"
    ED25519 = "Ed25519"


class EndpointCertificate(SpecModel):
    """The TLS certificate that the endpoint presents."""

    source: Source = Field(
        default=Source.GENERATED,
        description="Generated: issued by this trust domain's authority and renewed. "
        "Provided: yours (for example from cert-manager), in the Secret that secretName names.",
    )
    secret_name: ObjectName | None = Field(
        default=None,
        description='The Secret (kubernetes.io/tls) that holds it; by default "<name>-endpoint-tls".',
    )


class TrustDomainEndpoint(SpecModel):
    """Where partners reach this trust domain."""

    url: EndpointUrl = Field(
        description="What partners are told: https, a host in lower case and an optional port, "
        "such as https://trust.org-a.example:8940."
    )
    certificate: EndpointCertificate = Field(
        default=EndpointCertificate(), description="The TLS certificate that the endpoint presents."
    )


class SigningKey(SpecModel):
    """Where the key that speaks for this trust domain is kept."""

    secret_name: ObjectName | None = Field(
        default=None,
        description="The Secret that holds the Ed25519 key as PKCS#8 PEM under private.pem; made when "
        'absent; by default "<name>-signing-key". To rotate, set it to the announced next Secret.',
    )
    next_secret_name: ObjectName | None = Field(
        default=None,
        description="The Secret of the next key: made when absent and told to partners beside the "
        "current one. Absent: no rotation is being prepared.",
    )


class AuthoritySubject(SpecModel):
    """The subject of the authority's certificate."""

    organization: NamePart | None = Field(default=None, description="Organisation (O).")
    organizational_unit: NamePart | None = Field(default=None, description="Unit of the organisation (OU).")
    country: CountryCode | None = Field(default=None, description="Country as two upper-case letters (C).")
    state_or_province: NamePart | None = Field(default=None, description="State or province (ST).")
    locality: NamePart | None = Field(default=None, description="Town (L).")
    common_name: NamePart | None = Field(
        default=None, description='Common name (CN); by default the operator id and "CA".'
    )


class CertificateAuthority(SpecModel):
    """The authority that signs identities of ours and introductions."""

    algorithm: AuthorityAlgorithm = Field(
        default=AuthorityAlgorithm.ECDSA_P256, description="The type of the authority's key when it is made."
    )
    subject: AuthoritySubject = Field(
        default=AuthoritySubject(), description="The subject of the certificate when it is made."
    )
    validity_seconds: Annotated[int, Strict(), Field(ge=3_600, le=315_360_000)] = Field(
        default=DEFAULT_AUTHORITY_SECONDS,
        description="How long the certificate is valid when it is made, in seconds.",
    )
    secret_name: ObjectName | None = Field(
        default=None,
        description="The Secret (kubernetes.io/tls) with tls.crt and tls.key; made when absent; "
        'by default "<name>-ca".',
    )
    source: Source = Field(
        default=Source.GENERATED,
        description="Generated: made when absent. Provided: yours (for example from cert-manager).",
    )


class TrustDomainHandshake(SpecModel):
    """Limits of the handshake for all partners; a FederationPeer may override them."""

    rotation_window_seconds: WindowSeconds = Field(
        default=DEFAULT_WINDOW_SECONDS,
        description="How long a partner's pin is fresh after a handshake, in seconds.",
    )
    max_clock_skew_seconds: Annotated[int, Strict(), Field(ge=0, le=900)] = Field(
        default=DEFAULT_SKEW_SECONDS,
        description="How far a partner's clock may be from ours, in seconds, either way.",
    )


class DidServices(SpecModel):
    """What the DID document tells beside the key."""

    receipt_log_urls: Annotated[tuple[PathUrl, ...], SET] = Field(
        default=(),
        max_length=MAX_DID_SERVICES,
        description="Where partners may query receipts (ChioReceiptLogService), in this order.",
    )
    passport_status_urls: Annotated[tuple[PathUrl, ...], SET] = Field(
        default=(),
        max_length=MAX_DID_SERVICES,
        description="Where partners may ask for the state of passports (ChioPassportStatusService), in this order.",
    )


class TrustDomainSpec(SpecModel):
    """What a person says about this trust domain."""

    kernel_id: Annotated[KernelId, immutable("kernelId")] = Field(
        description="This party's name on the wire: 1 to 253 of A-Z a-z 0-9 . _ : -. Immutable, and unique "
        "in the cluster: the older object keeps it."
    )
    operator_id: OperatorId | None = Field(
        default=None,
        description="The organisation's name in policies and evidence; by default the object's name.",
    )
    endpoint: TrustDomainEndpoint | None = Field(
        default=None,
        description="Where partners reach this trust domain. Absent: it only asks, or exchanges files.",
    )
    signing_key: SigningKey = Field(
        default=SigningKey(), description="The key that speaks for this trust domain."
    )
    certificate_authority: CertificateAuthority = Field(
        default=CertificateAuthority(),
        description="The authority that signs identities of this trust domain and introductions.",
    )
    handshake: TrustDomainHandshake = Field(
        default=TrustDomainHandshake(), description="Limits of the handshake, for all partners."
    )
    did: DidServices = Field(
        default=DidServices(), description="What the DID document at the endpoint tells beside the key."
    )


class AuthorityStatus(StatusModel):
    """The authority's certificate, as it was found or made."""

    subject: Annotated[str, Field(max_length=1024)] = Field(
        description="Its subject as RFC 4514 text with certified's short names."
    )
    fingerprint: CertificateFingerprint = Field(description="SHA-256 over the certificate's DER.")
    not_after: Time = Field(description="When it ends.")
    certificate: AuthorityPem = Field(description="The certificate in PEM, to hand to partners.")
    secret_name: ObjectName | None = Field(
        default=None, description="The Secret that it was found in: another one is a person's decision."
    )


class TrustDomainStatus(Status):
    """What the operator found about this trust domain."""

    kernel_id: KernelId | None = Field(default=None, description="The kernel id that is in use.")
    public_key: CanonicalKey | None = Field(
        default=None, description="The public key that speaks for it: ed25519: and 64 hex digits."
    )
    did: Annotated[str, Field(max_length=73, pattern=r"^did:chio:[0-9a-f]{64}$")] | None = Field(
        default=None, description="The same key as a did:chio identifier."
    )
    fingerprint: ShortText | None = Field(
        default=None,
        description="A short fingerprint of the kernel id and the public key, for people to compare.",
    )
    next_public_key: CanonicalKey | None = Field(
        default=None, description="The public key that is announced as the next one."
    )
    endpoint_fingerprint: CertificateFingerprint | None = Field(
        default=None, description="SHA-256 over the DER of the certificate that the endpoint presents."
    )
    certificate_authority: AuthorityStatus | None = Field(
        default=None, description="The authority's certificate."
    )


def _secrets_differ(spec: TrustDomainSpec) -> bool:
    names = [spec.signing_key.secret_name, spec.signing_key.next_secret_name]
    names += [spec.certificate_authority.secret_name]
    names += [spec.endpoint.certificate.secret_name] if spec.endpoint is not None else []
    given = [name for name in names if name is not None]
    return len(set(given)) == len(given)


_SECRET_PATHS: Final = (
    "signingKey.?secretName",
    "signingKey.?nextSecretName",
    "certificateAuthority.?secretName",
    "endpoint.?certificate.?secretName",
)
_SECRETS_DIFFER = Rule[TrustDomainSpec](
    "[" + ", ".join(f"self.?{path}" for path in _SECRET_PATHS) + "].filter(name, name.hasValue())"
    ".map(name, name.value()).all(name, ["
    + ", ".join(f"self.?{path}" for path in _SECRET_PATHS)
    + "].exists_one(other, other.hasValue() && other.value() == name))",
    "must name different Secrets for the signing keys, the authority and the endpoint",
    _secrets_differ,
)


class TrustDomain(Resource):
    """One of our trust domains."""

    KIND: ClassVar = "TrustDomain"
    PLURAL: ClassVar = "trustdomains"
    SINGULAR: ClassVar = "trustdomain"
    SHORT_NAMES: ClassVar = ("tdom",)
    DESCRIPTION: ClassVar = (
        "TrustDomain is who we are: one party with its own name on the wire, signing key, certificate "
        "authority and endpoint. The operator makes what is missing and never overwrites what is there."
    )
    COLUMNS: ClassVar = (
        *READY_COLUMNS,
        Column("Kernel ID", ".spec.kernelId", "This party's name on the wire."),
        Column(
            "Authority until",
            ".status.certificateAuthority.notAfter",
            "When the authority's certificate ends.",
        ),
        AGE_COLUMN,
        Column("Public key", ".status.publicKey", "The key that speaks for it.", wide=True),
        Column("Endpoint", ".spec.endpoint.url", "Where partners reach it.", wide=True),
    )
    CONDITIONS: ClassVar = TRUST_DOMAIN_CONDITIONS

    spec: Annotated[TrustDomainSpec, _SECRETS_DIFFER] = Field(
        description="What a person says about this trust domain."
    )
    status: TrustDomainStatus = Field(
        default=TrustDomainStatus(), description="What the operator found about this trust domain."
    )

    @property
    def operator_id(self) -> str:
        """The organisation's name in policies and evidence."""
        return self.spec.operator_id or self.metadata.name

    @property
    def signing_key_secret_name(self) -> str:
        """The Secret of the current signing key."""
        return self.spec.signing_key.secret_name or f"{self.metadata.name}-signing-key"

    @property
    def next_signing_key_secret_name(self) -> str | None:
        """The Secret of the next signing key, or None when no rotation is being prepared."""
        return self.spec.signing_key.next_secret_name

    @property
    def authority_secret_name(self) -> str:
        """The Secret of the certificate authority."""
        return self.spec.certificate_authority.secret_name or f"{self.metadata.name}-ca"

    @property
    def endpoint_secret_name(self) -> str:
        """The Secret of the endpoint's TLS certificate."""
        given = self.spec.endpoint.certificate.secret_name if self.spec.endpoint is not None else None
        return given or f"{self.metadata.name}-endpoint-tls"

    @property
    def seal_secret_name(self) -> str:
        """The Secret of the key that seals pins."""
        return f"{self.metadata.name}-seal"

    @property
    def peers_secret_name(self) -> str:
        """The Secret of the peer lists; when it is split, the others end in ``-1``, ``-2``, …."""
        return f"{self.metadata.name}-peers"

    @property
    def issued_secret_name(self) -> str:
        """The Secret of the issued record; when it is split, the others end in ``-1``, ``-2``, …."""
        return f"{self.metadata.name}-issued"

    @property
    def statement_secret_name(self) -> str:
        """The Secret of the authority statement and the revocation lists."""
        return f"{self.metadata.name}-authority"

    @property
    def authority_subject(self) -> Subject:
        """The subject with which an authority is made."""
        given = self.spec.certificate_authority.subject
        return Subject(
            organization=given.organization,
            organizational_unit=given.organizational_unit,
            country=given.country,
            state_or_province=given.state_or_province,
            locality=given.locality,
            common_name=given.common_name or f"{self.operator_id[: _COMMON_NAME_BYTES - 3]} CA",
        )
