"""TrustedService: an alias that pods call, where it leads and how the server there is verified.

A person may narrow what follows from the peer and never widen it; which verifier follows is decided
by the one table of `bilateral.pki.verifiers`. Nothing here switches verification off.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from bilateral.pki.verifiers import Transport
from bilateral.resources.certificate_fields import (
    ALIAS_PATTERN,
    NUMBER_AT_THE_END,
    Alias,
    PinnedFingerprint,
    ServiceUrl,
    is_alias,
)
from bilateral.resources.condition_types_parties import TRUSTED_SERVICE_CONDITIONS
from bilateral.resources.fields import Count, Fingerprint, ObjectName
from bilateral.resources.meta import AGE_COLUMN, READY_COLUMNS, Column, Resource, Status
from bilateral.resources.model import ATOMIC, SET, Rule, SpecModel, immutable
from bilateral.resources.verifiers import CertificateAuthorityVerifier, SecretKeyReference, WebPKIVerifier


class ResolvedVerifier(StrEnum):
    """How a service's server is verified."""

    WEB_PKI = "WebPKI"
    CONFIGURED_CA = "ConfiguredCA"
    PEER_CA = "PeerCA"
    PINNED_FINGERPRINT = "PinnedFingerprint"
    PINNED_RAW_KEY = "PinnedRawKey"


class ChosenFingerprints(SpecModel):
    """Verify the server by fingerprints that the peer lists."""

    values: Annotated[tuple[Fingerprint, ...], SET] = Field(
        default=(),
        max_length=16,
        description="Those of the peer's fingerprints that count for this service; none: all of the transport.",
    )


class VerifierSpec(SpecModel):
    """How the server is verified, where it is not as follows from the peer: exactly one member."""

    web_pki: WebPKIVerifier | None = Field(
        default=None,
        alias="webPKI",
        description="By public authorities, or by a bundle of yours; for a service without a peer.",
    )
    certificate_authority: CertificateAuthorityVerifier | None = Field(
        default=None,
        description="By these authorities; beside a peer they must be among the peer's.",
    )
    fingerprint: ChosenFingerprints | None = Field(
        default=None, description="By fingerprints that the peer lists; for a service with a peer."
    )


_ONE_VERIFIER = Rule[VerifierSpec](
    "[has(self.webPKI), has(self.certificateAuthority), has(self.fingerprint)].exists_one(set, set)",
    "must set exactly one of webPKI, certificateAuthority and fingerprint",
    lambda verifier: (
        [verifier.web_pki, verifier.certificate_authority, verifier.fingerprint].count(None) == 2
    ),
)


class TrustedServiceSpec(SpecModel):
    """What a person says about a service."""

    alias: Annotated[Alias, immutable("alias")] | None = Field(
        default=None,
        description="The name that pods call: lower-case DNS labels, without a port; by default the object's name. "
        "Immutable, and unique in the namespace: the older object keeps it.",
    )
    url: ServiceUrl = Field(
        description="Where the service is: https, a host in lower case and an optional port, such as "
        "https://api.org-b.example:9443."
    )
    peer: ObjectName | None = Field(
        default=None,
        description="The FederationPeer of this namespace that runs the service. Absent: nobody whom we know, and "
        "the server is verified by public authorities or by those in verifier.",
    )
    verifier: Annotated[VerifierSpec, _ONE_VERIFIER] | None = Field(
        default=None,
        description="How the server is verified, where it is not as follows from the peer. Beside a peer it may only "
        "narrow that.",
    )
    transport: Transport = Field(
        default=Transport.X509,
        description="What the server presents: X509, a certificate; RawKey, an Ed25519 key that the peer lists.",
    )
    authorities: Annotated[tuple[ObjectName, ...], SET] = Field(
        default=(),
        max_length=16,
        description="Whose signature on our identity is presented: self is our own authority, any other a "
        "FederationPeer of this namespace. None: the peer's, or our own without a peer.",
    )
    bearer_token_secret_ref: SecretKeyReference | None = Field(
        default=None,
        description="A bearer token for the service, sent after the server was verified and to no other host.",
    )


_ALIAS_STAYS = Rule[TrustedServiceSpec](
    "has(self.alias) == has(oldSelf.alias)",
    "alias cannot be set or taken away later: delete the object and create another",
)


class TrustedServiceStatus(Status):
    """What the operator found about the service."""

    verifier: ResolvedVerifier | None = Field(
        default=None, description="How the server is verified; absent while nothing may call it."
    )
    pinned: Annotated[tuple[PinnedFingerprint, ...], ATOMIC] = Field(
        default=(),
        max_length=64,
        description="Fingerprints of the certificates, authorities or keys that are accepted.",
    )
    bound_secrets: Count = Field(default=0, description="How many identities' Secrets hold the service.")


class TrustedService(Resource):
    """A service that pods call by its alias."""

    KIND: ClassVar = "TrustedService"
    PLURAL: ClassVar = "trustedservices"
    SINGULAR: ClassVar = "trustedservice"
    SHORT_NAMES: ClassVar = ("tsvc",)
    DESCRIPTION: ClassVar = (
        "TrustedService is an alias that pods call, as in https://org2-api/: where it leads, by what the server "
        "there is verified, and which authority's signature on our identity is presented to it."
    )
    COLUMNS: ClassVar = (
        *READY_COLUMNS,
        Column("Verifier", ".status.verifier", "How the server is verified."),
        Column("Peer", ".spec.peer", "The FederationPeer that runs it."),
        AGE_COLUMN,
        Column("Alias", ".spec.alias", "The name that pods call, where it is not the object's.", wide=True),
        Column("URL", ".spec.url", "Where it is.", wide=True),
        Column(
            "Bound", ".status.boundSecrets", "How many identities know it by its alias.", "integer", wide=True
        ),
    )
    CONDITIONS: ClassVar = TRUSTED_SERVICE_CONDITIONS
    NAME_RULES: ClassVar = (
        Rule["TrustedService"](
            f"has(self.spec.alias) || (self.metadata.name.matches('{ALIAS_PATTERN}') && "
            f"!self.metadata.name.matches('{NUMBER_AT_THE_END}'))",
            "cannot be the alias, which is made of DNS labels and does not end in a number: set spec.alias",
            lambda service: service.spec.alias is not None or is_alias(service.metadata.name),
        ),
    )

    spec: Annotated[TrustedServiceSpec, _ALIAS_STAYS] = Field(
        description="What a person says about the service."
    )
    status: TrustedServiceStatus = Field(
        default=TrustedServiceStatus(), description="What the operator found about the service."
    )

    @property
    def alias(self) -> str:
        """The name that pods call."""
        return self.spec.alias or self.metadata.name
