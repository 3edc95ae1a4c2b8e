"""Delegation links: the signed record that one holder passed a capability on to another.

``{capability_id, delegator, delegatee, attenuations?, timestamp, signature}``; newer chio adds
``scope_hash`` and ``child_binding``. ``capability_id`` is the *ancestor* that is delegated; the
delegator signs the canonical JSON of all but the signature.

Rules kept here: members are those of chio's type; lists that are empty are left out of what is signed;
a member of newer chio that cannot be enforced here refuses the link. :func:`verify_links` checks what
can be seen in the links alone: every signature, that each delegatee is the next delegator, that times
do not go back, and how many there are. Whether they fit the capabilities is the business of ``chains``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bilateral.protocol.capabilities.attenuations import Attenuation, parse_attenuation
from bilateral.protocol.capabilities.bodies import write_link
from bilateral.protocol.capabilities.errors import (
    DelegationBroken,
    DelegationTimeInvalid,
    DelegationTooDeep,
    LinkSignatureInvalid,
    UnsupportedCapability,
)
from bilateral.protocol.capabilities.members import (
    read_hash,
    read_id,
    read_integer,
    read_key,
    read_list,
    read_object,
    read_signature,
)
from bilateral.protocol.capabilities.proofs import ChildBinding, parse_binding
from bilateral.protocol.capabilities.signing import sign_body, verify_body
from bilateral.protocol.errors import InvalidSignature
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey
from bilateral.protocol.strictjson import JSON

MAX_ATTENUATIONS: Final = 64
DEFAULT_MAX_DEPTH: Final = 4
"""How many delegations a chain may have, as in chio's own cases."""


@dataclass(frozen=True, slots=True)
class DelegationLink:
    """One delegation; ``timestamp`` is in Unix seconds, ``scope_hash`` the delegated scope's SHA-256."""

    capability_id: str
    delegator: PublicKey
    delegatee: PublicKey
    timestamp: int
    attenuations: tuple[Attenuation, ...] = ()
    scope_hash: str | None = None
    child_binding: ChildBinding | None = None
    signature: bytes = b""

    def body(self) -> dict[str, JSON]:
        """Return the members that the delegator signs."""
        members: dict[str, JSON] = {
            "capability_id": self.capability_id,
            "delegator": self.delegator.hex,
            "delegatee": self.delegatee.hex,
            "timestamp": self.timestamp,
        }
        if self.attenuations:
            members["attenuations"] = [each.to_wire() for each in self.attenuations]
        if self.scope_hash is not None:
            members["scope_hash"] = self.scope_hash
        if self.child_binding is not None:
            members["child_binding"] = self.child_binding.to_wire()
        return members

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {**self.body(), "signature": self.signature.hex()}


def parse_link(value: JSON) -> DelegationLink:
    """Read one link, unverified.

    Raises MalformedDocument, UnsupportedKeyAlgorithm, UnsupportedCapability.
    """
    if isinstance(value, dict):
        for name in _UNENFORCED:
            if name in value:
                raise UnsupportedCapability(field=f"delegation_chain.{name}")
    members = read_object(value, "delegation-link", _REQUIRED, _OPTIONAL)
    attenuations: tuple[Attenuation, ...] = ()
    scope_hash: str | None = None
    binding: ChildBinding | None = None
    if "attenuations" in members:
        attenuations = read_list(members["attenuations"], "attenuations", MAX_ATTENUATIONS, parse_attenuation)
    if "scope_hash" in members:
        scope_hash = read_hash(members["scope_hash"], "scope-hash")
    if "child_binding" in members:
        binding = parse_binding(members["child_binding"])
    return DelegationLink(
        capability_id=read_id(members["capability_id"], "capability-id"),
        delegator=read_key(members["delegator"], "delegator"),
        delegatee=read_key(members["delegatee"], "delegatee"),
        timestamp=read_integer(members["timestamp"], "timestamp"),
        attenuations=attenuations,
        scope_hash=scope_hash,
        child_binding=binding,
        signature=read_signature(members["signature"]),
    )


def sign_link(link: DelegationLink, key: SigningKey) -> DelegationLink:
    """Sign a link; ``key`` becomes its delegator.

    Raises MalformedDocument for a value that must not be signed.
    """
    unsigned = replace(link, delegator=key.public_key, signature=b"")
    return parse_link(replace(unsigned, signature=sign_body(unsigned.body(), key)).to_wire())


def verify_link(link: DelegationLink, *, index: int = 0) -> None:
    """Verify a link's signature; LinkSignatureInvalid names the link by ``index``."""
    try:
        verify_body(link.delegator, write_link(link), link.signature)
    except InvalidSignature:
        raise LinkSignatureInvalid(link=index, field="signature", found=link.delegator.canonical) from None


def verify_links(links: Sequence[DelegationLink], *, max_depth: int = DEFAULT_MAX_DEPTH) -> None:
    """Verify what the links show by themselves; their capabilities are not looked at.

    Raises DelegationTooDeep, DelegationBroken, DelegationTimeInvalid, LinkSignatureInvalid.
    """
    check_links(links, max_depth=max_depth)
    for index, link in enumerate(links):
        verify_link(link, index=index)


def check_links(links: Sequence[DelegationLink], *, max_depth: int = DEFAULT_MAX_DEPTH) -> None:
    """Check number, connection and times, without any signature; see :func:`verify_links`."""
    if len(links) > max_depth:
        raise DelegationTooDeep(
            field="delegation_chain", expected=f"at most {max_depth}", found=str(len(links))
        )
    for index in range(1, len(links)):
        before, link = links[index - 1], links[index]
        if link.delegator != before.delegatee:
            raise DelegationBroken(
                link=index,
                field="delegator",
                expected=before.delegatee.canonical,
                found=link.delegator.canonical,
            )
        if link.timestamp < before.timestamp:
            raise DelegationTimeInvalid(
                link=index,
                field="timestamp",
                expected=f"at least {before.timestamp}",
                found=str(link.timestamp),
            )


_REQUIRED = frozenset({"capability_id", "delegator", "delegatee", "timestamp", "signature"})
_OPTIONAL = frozenset({"attenuations", "scope_hash", "child_binding"})
_UNENFORCED = ("aggregate_budget", "cumulative_approval")
