"""Activation exchanges: one operator tells another what it may see of a listing (chio, section 5.3).

The signed artifact is chio's SignedExportEnvelope around ``chio.federation-activation-exchange.v1``::

    {schema, exchangeId, issuedAt, expiresAt, sourceOperatorId, targetOperatorId, listingId, activationRef,
     listingRef, governingCharterRef?, scope, delegationControl, importControl, note?}

Rules kept here, each named with the member that breaks it:

- ids say something; source and target differ; it ends after it was issued;
- the references are a trust activation, a listing and, if there is one, a governance charter;
- the delegator is the source, the delegate the target; at least one hop; attenuation is required;
- the scope's lists are not empty and hold nothing twice;
- all five switches of the import control are on.

**An exchange admits nothing.** It widens what can be seen; what a partner may do is for a policy that a
person installed. Nothing that decides about traffic reads this module. That ``signerKey`` is the source
operator's is for the caller to say, who passes the key that it expects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.artifacts import (
    ArtifactKind,
    ArtifactReference,
    DelegationControl,
    Fault,
    ImportControl,
    TrustScope,
    find_blanks,
    find_delegation_faults,
    find_import_faults,
    find_reference_faults,
    find_scope_faults,
    parse_delegation_control,
    parse_import_control,
    parse_reference,
    parse_scope,
    read_optional_text,
)
from bilateral.protocol.capabilities.members import read_integer, read_object, read_text
from bilateral.protocol.documents import read_document, sign_document
from bilateral.protocol.errors import ActivationExpired, ActivationInvalid, MalformedDocument
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey
from bilateral.protocol.strictjson import JSON, Limits

ACTIVATION_SCHEMA: Final = "chio.federation-activation-exchange.v1"
ACTIVATION_LIMITS: Final = Limits(max_bytes=64 * 1024, max_depth=8, max_members=256, max_values=1_024)

_REQUIRED: Final = frozenset(
    {
        "schema",
        "exchangeId",
        "issuedAt",
        "expiresAt",
        "sourceOperatorId",
        "targetOperatorId",
        "listingId",
        "activationRef",
        "listingRef",
        "scope",
        "delegationControl",
        "importControl",
    }
)
_OPTIONAL: Final = frozenset({"governingCharterRef", "note"})
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class ActivationExchange:
    """The body of an activation exchange; times are Unix seconds."""

    exchange_id: str
    issued_at: int
    expires_at: int
    source_operator_id: str
    target_operator_id: str
    listing_id: str
    activation_ref: ArtifactReference
    listing_ref: ArtifactReference
    scope: TrustScope
    delegation_control: DelegationControl
    import_control: ImportControl
    governing_charter_ref: ArtifactReference | None = None
    note: str | None = None

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        members: dict[str, JSON] = {
            "schema": ACTIVATION_SCHEMA,
            "exchangeId": self.exchange_id,
            "issuedAt": self.issued_at,
            "expiresAt": self.expires_at,
            "sourceOperatorId": self.source_operator_id,
            "targetOperatorId": self.target_operator_id,
            "listingId": self.listing_id,
            "activationRef": self.activation_ref.to_members(),
            "listingRef": self.listing_ref.to_members(),
            "scope": self.scope.to_members(),
            "delegationControl": self.delegation_control.to_members(),
            "importControl": self.import_control.to_members(),
        }
        if self.governing_charter_ref is not None:
            members["governingCharterRef"] = self.governing_charter_ref.to_members()
        if self.note is not None:
            members["note"] = self.note
        return members


@dataclass(frozen=True, slots=True)
class SignedActivation:
    """An exchange whose signature verified, and the key that made it."""

    exchange: ActivationExchange
    signer: PublicKey


def sign_activation(exchange: ActivationExchange, key: SigningKey) -> bytes:
    """Sign an exchange and write the whole document as JSON.

    Raises :class:`ActivationInvalid` for one that breaks a rule, MalformedDocument for one that has more
    in it than is read.
    """
    require_valid(exchange)
    document = _COMPACT.encode(sign_document(exchange.to_members(), key)).encode()
    read_activation(document, signer=key.public_key)
    return document


def read_activation(document: bytes | JSON, *, signer: PublicKey | None) -> SignedActivation:
    """Read an exchange and verify its signature, by ``signer`` or, if ``None``, by anybody.

    Its rules are not judged. Raises what :func:`~bilateral.protocol.documents.read_document` raises, and
    MalformedDocument for a body that is none.
    """
    found = read_document(document, schema=ACTIVATION_SCHEMA, signer=signer, limits=ACTIVATION_LIMITS)
    return SignedActivation(parse_exchange(found.body), found.signer)


def verify_activation(document: bytes | JSON, *, signer: PublicKey | None, now: int) -> SignedActivation:
    """Read an exchange, and verify signature, rules and time, in this order.

    Raises also :class:`ActivationInvalid` with every broken rule, :class:`ActivationExpired`.
    """
    found = read_activation(document, signer=signer)
    require_valid(found.exchange)
    if not found.exchange.issued_at <= now < found.exchange.expires_at:
        raise ActivationExpired(found.exchange.issued_at, found.exchange.expires_at, now)
    return found


def parse_exchange(value: JSON) -> ActivationExchange:
    """Read the body of an exchange; MalformedDocument for what is none."""
    members = read_object(value, "exchange", _REQUIRED, _OPTIONAL)
    if members["schema"] != ACTIVATION_SCHEMA:
        raise MalformedDocument("schema")
    charter = members.get("governingCharterRef")
    return ActivationExchange(
        exchange_id=read_text(members["exchangeId"], "exchange-id", minimum=0),
        issued_at=read_integer(members["issuedAt"], "issued-at"),
        expires_at=read_integer(members["expiresAt"], "expires-at"),
        source_operator_id=read_text(members["sourceOperatorId"], "source", minimum=0),
        target_operator_id=read_text(members["targetOperatorId"], "target", minimum=0),
        listing_id=read_text(members["listingId"], "listing-id", minimum=0),
        activation_ref=parse_reference(members["activationRef"]),
        listing_ref=parse_reference(members["listingRef"]),
        scope=parse_scope(members["scope"]),
        delegation_control=parse_delegation_control(members["delegationControl"]),
        import_control=parse_import_control(members["importControl"]),
        governing_charter_ref=parse_reference(charter) if "governingCharterRef" in members else None,
        note=read_optional_text(members, "note"),
    )


def require_valid(exchange: ActivationExchange) -> None:
    """Raise :class:`ActivationInvalid` with every rule that the exchange breaks."""
    faults = tuple(find_faults(exchange))
    if faults:
        raise ActivationInvalid(faults)


def find_faults(exchange: ActivationExchange) -> Iterator[Fault]:
    """The rules that an exchange breaks, in the order of its members; time is not among them."""
    yield from find_blanks(
        "",
        {
            "exchangeId": exchange.exchange_id,
            "sourceOperatorId": exchange.source_operator_id,
            "targetOperatorId": exchange.target_operator_id,
            "listingId": exchange.listing_id,
        },
    )
    if exchange.source_operator_id == exchange.target_operator_id:
        yield "targetOperatorId", "must differ from sourceOperatorId"
    if exchange.expires_at <= exchange.issued_at:
        yield "expiresAt", "must be after issuedAt"
    references = (
        ("activationRef", exchange.activation_ref, ArtifactKind.TRUST_ACTIVATION),
        ("listingRef", exchange.listing_ref, ArtifactKind.LISTING),
        ("governingCharterRef", exchange.governing_charter_ref, ArtifactKind.GOVERNANCE_CHARTER),
    )
    for name, reference, kind in references:
        if reference is not None:
            yield from find_reference_faults(name, reference, kind)
    yield from find_scope_faults("scope", exchange.scope)
    control = exchange.delegation_control
    yield from find_delegation_faults("delegationControl", control)
    if control.delegator_operator_id != exchange.source_operator_id:
        yield "delegationControl.delegatorOperatorId", "must be sourceOperatorId"
    if control.delegate_operator_id != exchange.target_operator_id:
        yield "delegationControl.delegateOperatorId", "must be targetOperatorId"
    yield from find_import_faults("importControl", exchange.import_control)
