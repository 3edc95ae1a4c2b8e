"""Introduction: an authority signs an identity; in three forms, of which an object has one.

``issue`` signs a stranger's certificate or request with our authority, ``accept`` installs what
another authority signed, ``request`` asks a partner's operator. What was signed cannot be changed,
so neither can the spec: only the approval of an ``issue`` can.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from bilateral.resources.certificate_fields import (
    Alias,
    DistinguishedName,
    IntroductionText,
    LifeSeconds,
    RequestId,
    SerialNumber,
    ServiceUrl,
    SubjectText,
)
from bilateral.resources.condition_types_parties import INTRODUCTION_CONDITIONS
from bilateral.resources.fields import CertificateFingerprint, Count, ObjectName, SecretKey
from bilateral.resources.meta import AGE_COLUMN, READY_COLUMNS, Column, Resource, Status
from bilateral.resources.model import SET, ListType, Rule, SpecModel, immutable
from bilateral.resources.times import Time

MAX_SERVICES: Final = 64
_DEFAULT_LIFE_SECONDS: Final = 2_592_000


class Approval(StrEnum):
    """What a person decided about a request to sign."""

    PENDING = "Pending"
    APPROVED = "Approved"
    DENIED = "Denied"


class ServiceRef(SpecModel):
    """A service of ours that the introduced party may call."""

    alias: Alias = Field(
        description="The name under which it is offered: lower-case DNS labels, without a port."
    )
    url: ServiceUrl = Field(
        description="Where it is: https, a host in lower case and an optional port, such as "
        "https://api.org-b.example:9443."
    )


class IssueSpec(SpecModel):
    """Our authority signs a party of somebody else's."""

    trust_domain: Annotated[ObjectName, immutable("trustDomain")] = Field(
        description="The TrustDomain of this namespace whose authority signs. Immutable."
    )
    subject: Annotated[SubjectText, immutable("subject")] = Field(
        description="Who is introduced: a PEM certificate, a PEM signing request, or a certificate as one line of "
        "base64 DER. Only the name and the public key count. Immutable."
    )
    peer: Annotated[ObjectName, immutable("peer")] | None = Field(
        default=None,
        description="The FederationPeer of this namespace whose party it is: it must be fresh, and the introduction "
        "is withdrawn when it is suspended or deleted. Immutable.",
    )
    services: Annotated[
        tuple[ServiceRef, ...], ListType("map", key="alias", attribute="alias"), immutable("services")
    ] = Field(
        default=(),
        max_length=MAX_SERVICES,
        description="Services that the introduction tells the party of. Immutable.",
    )
    validity_seconds: Annotated[LifeSeconds, immutable("validitySeconds")] = Field(
        default=_DEFAULT_LIFE_SECONDS,
        description="How long the certificate is valid, in seconds; never past the authority's own end. Immutable.",
    )
    approval: Approval = Field(
        default=Approval.PENDING,
        description="Pending: nothing is signed yet. Approved: signed; setting it needs the verb approve on "
        "introductions. Denied: not signed, and what was signed is withdrawn.",
    )


_NOTHING_COMES_OR_GOES = Rule[IssueSpec](
    "has(self.peer) == has(oldSelf.peer) && has(self.services) == has(oldSelf.services)",
    "peer and services cannot be set or taken away later: delete the object and create another",
)


class IntroductionSecretReference(SpecModel):
    """A key of a Secret in the same namespace that holds an introduction."""

    name: ObjectName = Field(
        description="The Secret's name; the Secret needs the label bilateral.dev/secret: referenced."
    )
    key: SecretKey = Field(default="introduction.json", description="The key in the Secret's data.")


class AcceptSpec(SpecModel):
    """An introduction that another authority made is installed for an identity of ours."""

    identity: ObjectName = Field(
        description="The WorkloadIdentity of this namespace that was introduced. Immutable."
    )
    introduction: IntroductionText | None = Field(
        default=None,
        description="The JSON of the introduction, as certified introduce or the status of an issuing Introduction "
        "has it. Immutable.",
    )
    introduction_secret_ref: IntroductionSecretReference | None = Field(
        default=None, description="The Secret that holds that JSON. Immutable."
    )
    peer: ObjectName | None = Field(
        default=None,
        description="The FederationPeer of this namespace whose authority made the introduction. Immutable.",
    )
    authority_fingerprint: CertificateFingerprint | None = Field(
        default=None,
        description="SHA-256 over the DER of the authority's certificate, which you compared: SHA256: and 64 hex "
        "digits. Immutable.",
    )


_ONE_DOCUMENT = Rule[AcceptSpec](
    "has(self.introduction) != has(self.introductionSecretRef)",
    "must set exactly one of introduction and introductionSecretRef",
    lambda accept: (accept.introduction is None) != (accept.introduction_secret_ref is None),
)
_ONE_AUTHORITY = Rule[AcceptSpec](
    "has(self.peer) != has(self.authorityFingerprint)",
    "must set exactly one of peer and authorityFingerprint",
    lambda accept: (accept.peer is None) != (accept.authority_fingerprint is None),
)


class RequestSpec(SpecModel):
    """A partner's operator is asked to introduce an identity of ours."""

    identity: ObjectName = Field(
        description="The WorkloadIdentity of this namespace that is to be introduced. Immutable."
    )
    peer: ObjectName = Field(description="The FederationPeer of this namespace that is asked. Immutable.")
    services: Annotated[tuple[Alias, ...], SET] = Field(
        default=(),
        max_length=MAX_SERVICES,
        description="Aliases of the partner's services that are asked for. Immutable.",
    )
    validity_seconds: LifeSeconds = Field(
        default=_DEFAULT_LIFE_SECONDS,
        description="How long the certificate is asked to be valid, in seconds. Immutable.",
    )


class IntroductionSpec(SpecModel):
    """Which authority signs which identity: exactly one of three forms."""

    issue: Annotated[IssueSpec, _NOTHING_COMES_OR_GOES] | None = Field(
        default=None, description="Our authority signs a party of somebody else's."
    )
    accept: Annotated[AcceptSpec, _ONE_DOCUMENT, _ONE_AUTHORITY, immutable("accept")] | None = Field(
        default=None, description="What another authority signed is installed for an identity of ours."
    )
    request: Annotated[RequestSpec, immutable("request")] | None = Field(
        default=None, description="A partner's operator is asked, and what it answers is installed."
    )

    @property
    def ours(self) -> AcceptSpec | RequestSpec | None:
        """The form by which an identity of ours is introduced; None where we sign for somebody else."""
        return self.accept or self.request


_ONE_FORM = Rule[IntroductionSpec](
    "[has(self.issue), has(self.accept), has(self.request)].exists_one(set, set)",
    "must set exactly one of issue, accept and request",
    lambda spec: [spec.issue, spec.accept, spec.request].count(None) == 2,
)
_FORM_STAYS = Rule[IntroductionSpec](
    "has(self.issue) == has(oldSelf.issue) && has(self.accept) == has(oldSelf.accept)",
    "the form cannot be changed: delete the object and create another",
)


class IntroductionStatus(Status):
    """What became of the introduction."""

    introduction: IntroductionText | None = Field(
        default=None,
        description="The JSON of the introduction: public, ready to be handed over or installed.",
    )
    serial: SerialNumber | None = Field(
        default=None, description="The serial number of the certificate as 40 hex digits."
    )
    subject: DistinguishedName | None = Field(
        default=None, description="Who is introduced, as RFC 4514 text."
    )
    authority: DistinguishedName | None = Field(
        default=None, description="The subject of the authority that signed, as RFC 4514 text."
    )
    authority_fingerprint: CertificateFingerprint | None = Field(
        default=None, description="SHA-256 over the DER of that authority's certificate."
    )
    not_after: Time | None = Field(default=None, description="When the certificate ends.")
    renewal_time: Time | None = Field(default=None, description="When a new one is asked for or signed.")
    request_id: RequestId | None = Field(
        default=None, description="The name that the partner's operator gave to our request."
    )
    last_request_time: Time | None = Field(default=None, description="When we last asked the partner.")
    next_request_time: Time | None = Field(default=None, description="When we next ask the partner.")
    consecutive_failures: Count = Field(
        default=0, description="How many attempts have failed since the last success."
    )


class Introduction(Resource):
    """An authority signs an identity."""

    KIND: ClassVar = "Introduction"
    PLURAL: ClassVar = "introductions"
    SINGULAR: ClassVar = "introduction"
    SHORT_NAMES: ClassVar = ("intro",)
    DESCRIPTION: ClassVar = (
        "Introduction is one authority's signature on one party's key: ours for a party of a partner (issue), or a "
        "partner's for an identity of ours, by file (accept) or over the network (request). Deleting it withdraws it."
    )
    COLUMNS: ClassVar = (
        *READY_COLUMNS,
        Column("Subject", ".status.subject", "Who is introduced."),
        Column("Until", ".status.notAfter", "When the certificate ends."),
        AGE_COLUMN,
        Column("Authority", ".status.authority", "Who signed.", wide=True),
        Column("Approval", ".spec.issue.approval", "Pending, Approved or Denied.", wide=True),
        Column("Serial", ".status.serial", "The serial number of the certificate.", wide=True),
    )
    CONDITIONS: ClassVar = INTRODUCTION_CONDITIONS

    spec: Annotated[IntroductionSpec, _ONE_FORM, _FORM_STAYS] = Field(
        description="Which authority signs which identity: exactly one of issue, accept and request."
    )
    status: IntroductionStatus = Field(
        default=IntroductionStatus(), description="What became of the introduction."
    )
