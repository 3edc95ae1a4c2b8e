"""Whether the hashes, proofs and bindings that newer chio signs are those of the capabilities at hand.

Rules kept here (chio, ``validate_chain_binding`` and ``validate_child_binding``):

- a link's ``scope_hash`` is that of its ancestor's scope;
- an attenuated token has a proof, and its last link a ``scope_hash``; the proof quotes and hashes the
  parent's scope and the child's;
- of more than one link, each has a ``scope_hash`` and a ``child_binding`` where the leaf is attenuated;
- a ``child_binding`` names the child as it is: id, times, share and proof;
- the share of a child is no greater than its parent's; attenuations that the token declares are there;
- a root has nothing of the kind: it would have to be compared with a scope that only its issuer knows.

Whether a child lies within its parent is judged by ``chains``, whatever a proof says. Signatures too.
"""

from __future__ import annotations

from collections.abc import Sequence

from bilateral.protocol.capabilities.errors import (
    AttenuationNotApplied,
    CapabilityWidened,
    ScopeBindingInvalid,
    UnsupportedCapability,
)
from bilateral.protocol.capabilities.links import DelegationLink
from bilateral.protocol.capabilities.proofs import FULL_SHARE_BPS, ChildBinding
from bilateral.protocol.capabilities.tokens import CapabilityToken


def check_bindings(tokens: Sequence[CapabilityToken]) -> None:
    """Check all era-B members of a chain, root first, whose links are known to be in order.

    Raises UnsupportedCapability, ScopeBindingInvalid, CapabilityWidened, AttenuationNotApplied.
    """
    if tokens[0].is_attenuated:
        raise UnsupportedCapability(index=0, field="attenuation_proof")
    links = tokens[-1].delegation_chain
    if not any(link.scope_hash or link.child_binding for link in links) and not any(
        token.is_attenuated for token in tokens
    ):
        return  # Era A: there is nothing to compute a hash for.
    hashes = [token.scope.sha256 for token in tokens]
    bound_throughout = tokens[-1].is_attenuated and len(links) > 1
    for index, link in enumerate(links):
        if bound_throughout and link.child_binding is None:
            raise ScopeBindingInvalid(link=index, field="child_binding", found="absent")
        if link.scope_hash is not None and link.scope_hash != hashes[index]:
            raise ScopeBindingInvalid(
                link=index, field="scope_hash", expected=hashes[index], found=link.scope_hash
            )
        child = tokens[index + 1]
        if link.scope_hash is None and (child.is_attenuated or link.child_binding is not None):
            raise ScopeBindingInvalid(link=index, field="scope_hash", found="absent")
        if child.is_attenuated:
            _check_proof(child, hashes[index], hashes[index + 1], index)
            _check_narrowing(tokens[index], child, index)
        if link.child_binding is not None:
            _check_binding(link, link.child_binding, child, index)


def _check_proof(child: CapabilityToken, parent_hash: str, child_hash: str, index: int) -> None:
    proof = child.attenuation_proof
    if proof is None:
        raise ScopeBindingInvalid(index=index + 1, field="attenuation_proof", found="absent")
    if not proof.is_of(parent_hash, child_hash):
        raise ScopeBindingInvalid(
            index=index + 1, field="attenuation_proof", expected="these scopes", found="others"
        )


def _check_narrowing(parent: CapabilityToken, child: CapabilityToken, index: int) -> None:
    share, ceiling = _share(child), _share(parent)
    if share > ceiling:
        raise CapabilityWidened(
            index=index + 1, field="budget_share_bps", expected=f"at most {ceiling}", found=str(share)
        )
    for place, attenuation in enumerate(child.scope_attenuations):
        if not attenuation.is_applied(child):
            raise AttenuationNotApplied(index=index + 1, field=f"scope_attenuations[{place}]")


def _check_binding(link: DelegationLink, binding: ChildBinding, child: CapabilityToken, index: int) -> None:
    for field, is_right in (
        ("capabilityId", binding.capability_id == child.id),
        ("issuedAt", binding.issued_at == child.issued_at == link.timestamp),
        ("expiresAt", binding.expires_at == child.expires_at),
        ("budgetShareBps", binding.budget_share_bps == child.budget_share_bps),
        ("attenuationProof", binding.attenuation_proof == child.attenuation_proof),
    ):
        if not is_right:
            raise ScopeBindingInvalid(link=index, field=f"child_binding.{field}", expected="the child's")


def _share(token: CapabilityToken) -> int:
    return FULL_SHARE_BPS if token.budget_share_bps is None else token.budget_share_bps
