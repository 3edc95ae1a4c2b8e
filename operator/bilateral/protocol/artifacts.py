"""The parts that chio's federation artifacts share: references, scope, delegation and import control.

Rules kept here: members are exactly those of chio's types, in camel case; an absent optional is left
out; reading says only that the form is right. What a part must say beside its form is a *fault* of its
``find_*_faults``: a member's path and a rule, both texts of ours. The artifacts themselves, their
signatures and their times are in their own modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

from bilateral.protocol.capabilities.members import (
    read_boolean,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import JSON

Fault: TypeAlias = tuple[str, str]
"""A member's path and the rule that it breaks."""

MAX_LIST: Final = 64

_REFERENCE: Final = frozenset({"kind", "schema", "artifactId", "operatorId", "sha256"})
_SCOPE: Final = frozenset({"namespace", "subjectOperatorId", "allowedActorKinds", "allowedAdmissionClasses"})

_SHA256 = re.compile(r"[0-9a-f]{64}")
_Value = TypeVar("_Value", bound=StrEnum)


class ArtifactKind(StrEnum):
    """What a reference points to."""

    TRUST_ACTIVATION = "trust_activation"
    LISTING = "listing"
    LISTING_REPORT = "listing_report"
    GOVERNANCE_CHARTER = "governance_charter"
    GOVERNANCE_CASE = "governance_case"
    OPEN_MARKET_FEE_SCHEDULE = "open_market_fee_schedule"
    OPEN_MARKET_PENALTY = "open_market_penalty"
    PORTABLE_REPUTATION_SUMMARY = "portable_reputation_summary"
    PORTABLE_NEGATIVE_EVENT = "portable_negative_event"
    CROSS_ISSUER_TRUST_PACK = "cross_issuer_trust_pack"


class ActorKind(StrEnum):
    """Who may act under a scope."""

    TOOL_SERVER = "tool_server"
    CREDENTIAL_ISSUER = "credential_issuer"
    CREDENTIAL_VERIFIER = "credential_verifier"
    LIABILITY_PROVIDER = "liability_provider"


class AdmissionClass(StrEnum):
    """On what grounds somebody may be admitted under a scope."""

    PUBLIC_UNTRUSTED = "public_untrusted"
    REVIEWABLE = "reviewable"
    BOND_BACKED = "bond_backed"
    ROLE_GATED = "role_gated"


@dataclass(frozen=True, slots=True)
class ArtifactReference:
    """Another artifact, by its operator, id and SHA-256 (64 hex digits)."""

    kind: ArtifactKind
    schema: str
    artifact_id: str
    operator_id: str
    sha256: str
    uri: str | None = None

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        members: dict[str, JSON] = {
            "kind": self.kind.value,
            "schema": self.schema,
            "artifactId": self.artifact_id,
            "operatorId": self.operator_id,
            "sha256": self.sha256,
        }
        if self.uri is not None:
            members["uri"] = self.uri
        return members


@dataclass(frozen=True, slots=True)
class TrustScope:
    """What an activation is about."""

    namespace: str
    subject_operator_id: str
    actor_kinds: tuple[ActorKind, ...]
    admission_classes: tuple[AdmissionClass, ...]
    policy_reference: str | None = None

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        members: dict[str, JSON] = {
            "namespace": self.namespace,
            "subjectOperatorId": self.subject_operator_id,
            "allowedActorKinds": [each.value for each in self.actor_kinds],
            "allowedAdmissionClasses": [each.value for each in self.admission_classes],
        }
        if self.policy_reference is not None:
            members["policyReference"] = self.policy_reference
        return members


@dataclass(frozen=True, slots=True)
class DelegationControl:
    """Who may delegate to whom, and how far."""

    delegator_operator_id: str
    delegate_operator_id: str
    max_hops: int
    attenuation_required: bool = True
    visibility_only_until_local_activation: bool = True

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        return {
            "delegatorOperatorId": self.delegator_operator_id,
            "delegateOperatorId": self.delegate_operator_id,
            "maxHops": self.max_hops,
            "attenuationRequired": self.attenuation_required,
            "visibilityOnlyUntilLocalActivation": self.visibility_only_until_local_activation,
        }


@dataclass(frozen=True, slots=True)
class ImportControl:
    """What an import may do by itself; chio's defaults, and nothing else is valid."""

    explicit_local_activation_required: bool = True
    manual_review_required: bool = True
    reject_stale_inputs: bool = True
    allow_visibility_without_runtime_trust: bool = True
    prohibit_ambient_runtime_admission: bool = True

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        return {
            "explicitLocalActivationRequired": self.explicit_local_activation_required,
            "manualReviewRequired": self.manual_review_required,
            "rejectStaleInputs": self.reject_stale_inputs,
            "allowVisibilityWithoutRuntimeTrust": self.allow_visibility_without_runtime_trust,
            "prohibitAmbientRuntimeAdmission": self.prohibit_ambient_runtime_admission,
        }


_DELEGATION: Final = frozenset(DelegationControl("", "", 0).to_members())
_IMPORT: Final = tuple(ImportControl().to_members())
"""The five members, in the order of the class's fields."""


def parse_reference(value: JSON) -> ArtifactReference:
    """Read a reference; MalformedDocument for what is none."""
    members = read_object(value, "reference", _REFERENCE, frozenset({"uri"}))
    return ArtifactReference(
        kind=_word(members["kind"], ArtifactKind, "reference"),
        schema=read_text(members["schema"], "reference", minimum=0),
        artifact_id=read_text(members["artifactId"], "reference", minimum=0),
        operator_id=read_text(members["operatorId"], "reference", minimum=0),
        sha256=read_text(members["sha256"], "reference", minimum=0),
        uri=read_optional_text(members, "uri"),
    )


def parse_scope(value: JSON) -> TrustScope:
    """Read a scope; MalformedDocument for what is none."""
    members = read_object(value, "scope", _SCOPE, frozenset({"policyReference"}))
    return TrustScope(
        namespace=read_text(members["namespace"], "scope", minimum=0),
        subject_operator_id=read_text(members["subjectOperatorId"], "scope", minimum=0),
        actor_kinds=read_list(
            members["allowedActorKinds"], "scope", MAX_LIST, lambda each: _word(each, ActorKind, "scope")
        ),
        admission_classes=read_list(
            members["allowedAdmissionClasses"],
            "scope",
            MAX_LIST,
            lambda each: _word(each, AdmissionClass, "scope"),
        ),
        policy_reference=read_optional_text(members, "policyReference"),
    )


def parse_delegation_control(value: JSON) -> DelegationControl:
    """Read a delegation control; MalformedDocument for what is none."""
    cause = "delegation-control"
    members = read_object(value, cause, _DELEGATION)
    return DelegationControl(
        delegator_operator_id=read_text(members["delegatorOperatorId"], cause, minimum=0),
        delegate_operator_id=read_text(members["delegateOperatorId"], cause, minimum=0),
        max_hops=read_integer(members["maxHops"], cause),
        attenuation_required=read_boolean(members["attenuationRequired"], cause),
        visibility_only_until_local_activation=read_boolean(
            members["visibilityOnlyUntilLocalActivation"], cause
        ),
    )


def parse_import_control(value: JSON) -> ImportControl:
    """Read an import control; MalformedDocument for what is none."""
    cause = "import-control"
    members = read_object(value, cause, frozenset(_IMPORT))
    return ImportControl(*(read_boolean(members[name], cause) for name in _IMPORT))


def find_reference_faults(path: str, reference: ArtifactReference, kind: ArtifactKind) -> Iterator[Fault]:
    """What is wrong with a reference that must be of one kind."""
    if reference.kind is not kind:
        yield f"{path}.kind", f"must be {kind.value}"
    yield from find_blanks(
        path,
        {
            "schema": reference.schema,
            "artifactId": reference.artifact_id,
            "operatorId": reference.operator_id,
            "uri": reference.uri,
        },
    )
    if _SHA256.fullmatch(reference.sha256) is None:
        yield f"{path}.sha256", "must be 64 lower-case hex digits"


def find_scope_faults(path: str, scope: TrustScope) -> Iterator[Fault]:
    """What is wrong with a scope."""
    yield from find_blanks(
        path,
        {
            "namespace": scope.namespace,
            "subjectOperatorId": scope.subject_operator_id,
            "policyReference": scope.policy_reference,
        },
    )
    lists: dict[str, tuple[StrEnum, ...]] = {
        "allowedActorKinds": scope.actor_kinds,
        "allowedAdmissionClasses": scope.admission_classes,
    }
    for name, values in lists.items():
        if not values:
            yield f"{path}.{name}", "must not be empty"
        if len(set(values)) != len(values):
            yield f"{path}.{name}", "must not list anything twice"


def find_delegation_faults(path: str, control: DelegationControl) -> Iterator[Fault]:
    """What is wrong with a delegation control."""
    delegator, delegate = control.delegator_operator_id, control.delegate_operator_id
    yield from find_blanks(path, {"delegatorOperatorId": delegator, "delegateOperatorId": delegate})
    if delegator == delegate:
        yield f"{path}.delegateOperatorId", "must differ from the delegator's"
    if control.max_hops <= 0:
        yield f"{path}.maxHops", "must be greater than 0"
    if not control.attenuation_required:
        yield f"{path}.attenuationRequired", "must be true"
    if not control.visibility_only_until_local_activation:
        yield f"{path}.visibilityOnlyUntilLocalActivation", "must be true"


def find_import_faults(path: str, control: ImportControl) -> Iterator[Fault]:
    """What is wrong with an import control: all five must be true."""
    for name, value in control.to_members().items():
        if value is not True:
            yield f"{path}.{name}", "must be true"


def find_blanks(path: str, texts: dict[str, str | None]) -> Iterator[Fault]:
    """The members that are there and say nothing."""
    for name, text in texts.items():
        if text is not None and not text.strip():
            yield f"{path}.{name}".removeprefix("."), "must not be empty"


def read_optional_text(members: dict[str, JSON], name: str) -> str | None:
    """Read a text that may be left out, but not null."""
    return read_text(members[name], name.lower(), minimum=0) if name in members else None


def _word(value: JSON, words: type[_Value], cause: str) -> _Value:
    if type(value) is not str or value not in tuple(words):
        raise MalformedDocument(cause)
    return words(value)
