"""Era-B witnesses: what newer chio signs to bind a child to its parent's scope.

Both are camelCase, inside otherwise snake_case tokens and links::

    attenuation_proof  {parentScopeHash, childScopeHash, normalizedSubsetProof}
    child_binding      {capabilityId, issuedAt, expiresAt, budgetShareBps?, attenuationProof}

Rules kept here: members are exactly these; the two scopes that a witness quotes are quoted in their
canonical form, so that their hashes are those that it names. Markers of families of capabilities,
which share a budget or an approval beyond one chain, are refused: nothing here could enforce them.

The witness is not believed: ``chains`` compares it with the capabilities themselves, and judges for
itself whether one lies within the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bilateral.protocol.canonical import canonical_bytes, sha256_hex
from bilateral.protocol.capabilities.errors import UnsupportedCapability
from bilateral.protocol.capabilities.grants import MAX_GRANTS, Scope
from bilateral.protocol.capabilities.members import (
    read_hash,
    read_id,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import JSON

FULL_SHARE_BPS: Final = 10_000
"""The whole of a parent's budget, in basis points; what an absent share means."""

_MAX_PREDICATES = 1024
_MAX_QUOTED_SCOPE = 64 * 1024


@dataclass(frozen=True, slots=True)
class SubsetRelation:
    """That one grant of the child lies within one of the parent, both by their place."""

    grant_kind: str
    child_index: int
    parent_index: int

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {
            "grantKind": self.grant_kind,
            "childIndex": self.child_index,
            "parentIndex": self.parent_index,
            "subset": True,
        }


@dataclass(frozen=True, slots=True)
class AttenuationProof:
    """The hashes of both scopes, and both scopes quoted; whether they are true is not judged here."""

    parent_scope_hash: str
    child_scope_hash: str
    parent_scope: str
    child_scope: str
    subset_relations: tuple[SubsetRelation, ...] = ()
    restricted_predicates: tuple[str, ...] = ()

    def is_of(self, parent_hash: str, child_hash: str) -> bool:
        """Whether hashes and quotations are those of the scopes that have these hashes."""
        quoted = sha256_hex(self.parent_scope.encode()), sha256_hex(self.child_scope.encode())
        return (self.parent_scope_hash, self.child_scope_hash) == (parent_hash, child_hash) == quoted

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        witness: dict[str, JSON] = {
            "normalizedParentScope": self.parent_scope,
            "normalizedChildScope": self.child_scope,
        }
        if self.subset_relations:
            witness["subsetRelations"] = [each.to_wire() for each in self.subset_relations]
        if self.restricted_predicates:
            witness["restrictedPredicates"] = list(self.restricted_predicates)
        return {
            "parentScopeHash": self.parent_scope_hash,
            "childScopeHash": self.child_scope_hash,
            "normalizedSubsetProof": witness,
        }


@dataclass(frozen=True, slots=True)
class ChildBinding:
    """The exact child that a delegation is for."""

    capability_id: str
    issued_at: int
    expires_at: int
    attenuation_proof: AttenuationProof
    budget_share_bps: int | None = None

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        members: dict[str, JSON] = {
            "capabilityId": self.capability_id,
            "issuedAt": self.issued_at,
            "expiresAt": self.expires_at,
            "attenuationProof": self.attenuation_proof.to_wire(),
        }
        if self.budget_share_bps is not None:
            members["budgetShareBps"] = self.budget_share_bps
        return members


def build_proof(parent: Scope, child: Scope) -> AttenuationProof:
    """Quote and hash two scopes, without the optional relations."""
    return AttenuationProof(
        parent_scope_hash=parent.sha256,
        child_scope_hash=child.sha256,
        parent_scope=canonical_bytes(parent.to_wire()).decode(),
        child_scope=canonical_bytes(child.to_wire()).decode(),
    )


def parse_proof(value: JSON) -> AttenuationProof:
    """Read an attenuation proof; MalformedDocument or UnsupportedCapability."""
    members = read_object(value, "attenuation-proof", _PROOF)
    quoted = members["normalizedSubsetProof"]
    if isinstance(quoted, dict):
        for name in _FAMILY_MARKERS & quoted.keys():
            raise UnsupportedCapability(field=f"attenuation_proof.{name}")
    witness = read_object(quoted, "attenuation-proof", _WITNESS, _WITNESS_OPTIONAL)
    return AttenuationProof(
        parent_scope_hash=read_hash(members["parentScopeHash"], "scope-hash"),
        child_scope_hash=read_hash(members["childScopeHash"], "scope-hash"),
        parent_scope=_quoted_scope(witness["normalizedParentScope"]),
        child_scope=_quoted_scope(witness["normalizedChildScope"]),
        subset_relations=read_list(
            witness.get("subsetRelations", []), "subset-relations", 3 * MAX_GRANTS, _parse_relation
        ),
        restricted_predicates=read_list(
            witness.get("restrictedPredicates", []),
            "restricted-predicates",
            _MAX_PREDICATES,
            _parse_predicate,
        ),
    )


def parse_binding(value: JSON) -> ChildBinding:
    """Read a child binding; MalformedDocument or UnsupportedCapability."""
    members = read_object(value, "child-binding", _BINDING, frozenset({"budgetShareBps"}))
    share: int | None = None
    if "budgetShareBps" in members:
        share = read_integer(members["budgetShareBps"], "budget-share", FULL_SHARE_BPS)
    return ChildBinding(
        capability_id=read_id(members["capabilityId"], "capability-id"),
        issued_at=read_integer(members["issuedAt"], "issued-at"),
        expires_at=read_integer(members["expiresAt"], "expires-at"),
        attenuation_proof=parse_proof(members["attenuationProof"]),
        budget_share_bps=share,
    )


_PROOF = frozenset({"parentScopeHash", "childScopeHash", "normalizedSubsetProof"})
_WITNESS = frozenset({"normalizedParentScope", "normalizedChildScope"})
_WITNESS_OPTIONAL = frozenset({"subsetRelations", "restrictedPredicates"})
_FAMILY_MARKERS = frozenset({"aggregateBudget", "cumulativeApproval"})
_RELATION = frozenset({"grantKind", "childIndex", "parentIndex", "subset"})
_BINDING = frozenset({"capabilityId", "issuedAt", "expiresAt", "attenuationProof"})
_GRANT_KINDS = frozenset({"tool", "resource", "prompt"})


def _quoted_scope(value: JSON) -> str:
    if type(value) is not str or len(value) > _MAX_QUOTED_SCOPE:
        raise MalformedDocument("quoted-scope")
    return value


def _parse_relation(value: JSON) -> SubsetRelation:
    members = read_object(value, "subset-relations", _RELATION)
    kind = members["grantKind"]
    if type(kind) is not str or kind not in _GRANT_KINDS or members["subset"] is not True:
        raise MalformedDocument("subset-relations")
    return SubsetRelation(
        grant_kind=kind,
        child_index=read_integer(members["childIndex"], "subset-relations", MAX_GRANTS),
        parent_index=read_integer(members["parentIndex"], "subset-relations", MAX_GRANTS),
    )


def _parse_predicate(value: JSON) -> str:
    return read_text(value, "restricted-predicates")
