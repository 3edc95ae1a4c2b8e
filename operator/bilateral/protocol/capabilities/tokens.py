"""Capability tokens of both eras of chio, signed by their issuer.

``{id, issuer, subject, scope, issued_at, expires_at, delegation_chain?, algorithm?, signature}``;
newer chio adds ``schema`` and, optionally, ``aggregate_invocation_budget``, ``scope_attenuations``,
``attenuation_proof`` and ``budget_share_bps``.

Rules kept here:

- two bodies can be signed: the plain one of era A, and the schema-aware one of era B, which has
  ``schema`` and the newer members. A token without newer members may be signed either way; one with
  any of them only in the schema-aware way;
- ``algorithm`` and ``signature`` are in no signed body; the algorithm comes from the key;
- it is the typed form that is signed: lists and members that upstream leaves out are left out;
- caveats and budgets of whole families of capabilities refuse the token: they cannot be enforced here;
- what is signed here has its newer members only where they are given, and no character or number that
  implementations write differently.

That a signature is good says only that ``issuer`` signed. Times, ancestors and trust are not judged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from bilateral.protocol.canonical import plain_canonical_bytes
from bilateral.protocol.capabilities.attenuations import Attenuation, parse_attenuation
from bilateral.protocol.capabilities.bodies import write_token
from bilateral.protocol.capabilities.errors import (
    CapabilitySignatureInvalid,
    UnsupportedCapability,
    UnsupportedKeyAlgorithm,
)
from bilateral.protocol.capabilities.grants import Scope, parse_scope
from bilateral.protocol.capabilities.links import MAX_ATTENUATIONS, DelegationLink, parse_link
from bilateral.protocol.capabilities.members import (
    UINT32_MAX,
    read_id,
    read_integer,
    read_key,
    read_list,
    read_object,
    read_signature,
)
from bilateral.protocol.capabilities.proofs import FULL_SHARE_BPS, AttenuationProof, parse_proof
from bilateral.protocol.capabilities.signing import sign_body, verify_body
from bilateral.protocol.errors import InvalidSignature, MalformedDocument
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey
from bilateral.protocol.strictjson import JSON, Limits, parse_json

CAPABILITY_SCHEMA: Final = "chio.capability.v1"
MAX_LINKS: Final = 16

TOKEN_LIMITS: Final = Limits(max_bytes=256 * 1024, max_depth=16, max_members=8192, max_values=16_384)
"""One token; those in use have about one kilobyte a link."""

_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class CapabilityToken:
    """A capability; times are Unix seconds, ``schema`` is None where the document has none.

    ``max_aggregate_invocations`` is the number of ``aggregate_invocation_budget``, of which only the form
    that concerns this one capability is read.
    """

    id: str
    issuer: PublicKey
    subject: PublicKey
    scope: Scope
    issued_at: int
    expires_at: int
    delegation_chain: tuple[DelegationLink, ...] = ()
    signature: bytes = b""
    algorithm: str | None = None
    schema: str | None = None
    max_aggregate_invocations: int | None = None
    scope_attenuations: tuple[Attenuation, ...] = ()
    attenuation_proof: AttenuationProof | None = None
    budget_share_bps: int | None = None

    @property
    def is_attenuated(self) -> bool:
        """Whether the token has a member that binds it to its parent's scope."""
        return bool(self.scope_attenuations) or not (
            self.attenuation_proof is None and self.budget_share_bps is None
        )

    @property
    def has_newer_members(self) -> bool:
        """Whether only the schema-aware body can be the signed one."""
        return self.is_attenuated or self.max_aggregate_invocations is not None

    def plain_body(self) -> dict[str, JSON]:
        """Return the members that era A signs."""
        members: dict[str, JSON] = {
            "id": self.id,
            "issuer": self.issuer.hex,
            "subject": self.subject.hex,
            "scope": self.scope.to_wire(),
            "issued_at": self.issued_at,
            "expires_at": self.expires_at,
        }
        if self.delegation_chain:
            members["delegation_chain"] = [each.to_wire() for each in self.delegation_chain]
        return members

    def schema_body(self) -> dict[str, JSON]:
        """Return the members that era B signs."""
        members = self.plain_body()
        members["schema"] = CAPABILITY_SCHEMA
        members.update(self._newer_members())
        return members

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        members = self.plain_body()
        if self.schema is not None:
            members["schema"] = self.schema
        members.update(self._newer_members())
        if self.algorithm is not None:
            members["algorithm"] = self.algorithm
        members["signature"] = self.signature.hex()
        return members

    def to_json(self) -> bytes:
        """Write it as compact JSON."""
        return _COMPACT.encode(self.to_wire()).encode()

    def _newer_members(self) -> dict[str, JSON]:
        members: dict[str, JSON] = {}
        if self.max_aggregate_invocations is not None:
            members["aggregate_invocation_budget"] = {
                "scope": "capability",
                "max_invocations": self.max_aggregate_invocations,
            }
        if self.scope_attenuations:
            members["scope_attenuations"] = [each.to_wire() for each in self.scope_attenuations]
        if self.attenuation_proof is not None:
            members["attenuation_proof"] = self.attenuation_proof.to_wire()
        if self.budget_share_bps is not None:
            members["budget_share_bps"] = self.budget_share_bps
        return members


def parse_token(data: bytes | JSON) -> CapabilityToken:
    """Read one token, unverified.

    Raises MalformedDocument, UnsupportedKeyAlgorithm, UnsupportedCapability.
    """
    value = parse_json(data, TOKEN_LIMITS) if isinstance(data, bytes) else data
    members = read_object(value, "capability", _REQUIRED, _OPTIONAL)
    schema, algorithm = _schema(members), _algorithm(members)
    _refuse_caveats(members)
    links: tuple[DelegationLink, ...] = ()
    attenuations: tuple[Attenuation, ...] = ()
    proof: AttenuationProof | None = None
    if "delegation_chain" in members:
        links = read_list(members["delegation_chain"], "delegation-chain", MAX_LINKS, parse_link)
    if "scope_attenuations" in members:
        attenuations = read_list(
            members["scope_attenuations"], "scope-attenuations", MAX_ATTENUATIONS, parse_attenuation
        )
    if "attenuation_proof" in members:
        proof = parse_proof(members["attenuation_proof"])
    share: int | None = None
    if "budget_share_bps" in members:
        share = read_integer(members["budget_share_bps"], "budget-share", FULL_SHARE_BPS)
    return CapabilityToken(
        id=read_id(members["id"], "capability-id"),
        issuer=read_key(members["issuer"], "issuer"),
        subject=read_key(members["subject"], "subject"),
        scope=parse_scope(members["scope"]),
        issued_at=read_integer(members["issued_at"], "issued-at"),
        expires_at=read_integer(members["expires_at"], "expires-at"),
        delegation_chain=links,
        signature=read_signature(members["signature"]),
        algorithm=algorithm,
        schema=schema,
        max_aggregate_invocations=_aggregate_invocations(members),
        scope_attenuations=attenuations,
        attenuation_proof=proof,
        budget_share_bps=share,
    )


def sign_token(token: CapabilityToken, key: SigningKey) -> CapabilityToken:
    """Sign a token; ``key`` becomes its issuer. One with a ``schema`` or newer members is era B's.

    Raises MalformedDocument for a value that must not be signed or that :func:`parse_token` refuses.
    """
    schema = CAPABILITY_SCHEMA if token.has_newer_members else token.schema
    unsigned = replace(token, issuer=key.public_key, schema=schema, algorithm=None, signature=b"")
    body = unsigned.plain_body() if schema is None else unsigned.schema_body()
    return parse_token(replace(unsigned, signature=sign_body(body, key)).to_wire())


def write_body(token: CapabilityToken, schema: str | None) -> bytes:
    """The bytes of a token's body: with a schema that of era B, else the plain one, if it can be signed."""
    if token.has_newer_members:
        return plain_canonical_bytes(token.schema_body())
    return write_token(token, schema)


def verify_token(token: CapabilityToken, *, index: int = 0) -> None:
    """Verify a token's signature over either body that it may have been signed with.

    Upstream tries the schema-aware body first; here the body that the document looks like is first,
    because both orders accept the same tokens. CapabilitySignatureInvalid names the token by ``index``.
    """
    for schema in (CAPABILITY_SCHEMA,) if token.has_newer_members else _BODIES[token.schema]:
        try:
            verify_body(token.issuer, write_body(token, schema), token.signature)
        except InvalidSignature:
            continue
        return
    raise CapabilitySignatureInvalid(index=index, field="signature", found=token.issuer.canonical)


_BODIES: Final = {None: (None, CAPABILITY_SCHEMA), CAPABILITY_SCHEMA: (CAPABILITY_SCHEMA, None)}
"""The schemas of the bodies that a token may have been signed with, by the schema that it shows."""
_REQUIRED = frozenset({"id", "issuer", "subject", "scope", "issued_at", "expires_at", "signature"})
_OPTIONAL = frozenset(
    {
        "delegation_chain",
        "algorithm",
        "schema",
        "caveats",
        "aggregate_invocation_budget",
        "scope_attenuations",
        "attenuation_proof",
        "budget_share_bps",
    }
)
_ALGORITHMS = frozenset({"ed25519", "p256", "p384", "hybrid"})


def _schema(members: dict[str, JSON]) -> str | None:
    if "schema" not in members:
        return None
    if members["schema"] != CAPABILITY_SCHEMA:
        raise UnsupportedCapability(field="schema", expected=CAPABILITY_SCHEMA)
    return CAPABILITY_SCHEMA


def _algorithm(members: dict[str, JSON]) -> str | None:
    if "algorithm" not in members:
        return None
    name = members["algorithm"]
    if type(name) is not str or name not in _ALGORITHMS:
        raise MalformedDocument("algorithm")
    if name != "ed25519":
        raise UnsupportedKeyAlgorithm(field="algorithm", found=name)
    return name


def _refuse_caveats(members: dict[str, JSON]) -> None:
    if "caveats" not in members:
        return
    caveats = members["caveats"]
    if not isinstance(caveats, list):
        raise MalformedDocument("caveats")
    if caveats:
        raise UnsupportedCapability(field="caveats")


def _aggregate_invocations(members: dict[str, JSON]) -> int | None:
    if "aggregate_invocation_budget" not in members:
        return None
    cause = "aggregate-invocation-budget"
    budget = members["aggregate_invocation_budget"]
    if isinstance(budget, dict) and (budget.get("scope") == "delegation_family" or "root_binding" in budget):
        raise UnsupportedCapability(field="aggregate_invocation_budget")
    limits = read_object(budget, cause, frozenset({"scope", "max_invocations"}))
    if limits["scope"] != "capability":
        raise MalformedDocument(cause)
    return read_integer(limits["max_invocations"], cause, UINT32_MAX)
