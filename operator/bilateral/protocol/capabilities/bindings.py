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
from bilateral.protocol.capabilities.proofs import FULL_SHARE_BPS
from bilateral.protocol.capabilities.tokens import CapabilityToken


def check_bindings(tokens: Sequence[CapabilityToken]) -> None:
    """Check all era-B members of a chain, root first, whose links are known to be in order.

    Raises UnsupportedCapability, ScopeBindingInvalid, CapabilityWidened, AttenuationNotApplied.
    """
    if tokens[0].is_attenuated:
        raise UnsupportedCapability(index=0, field="attenuation_proof")
    links = tokens[-1].delegation_chain
    bound_throughout = tokens[-1].is_attenuated and len(links) > 1
    for index, link in enumerate(links):
        parent, child = tokens[index], tokens[index + 1]
        if bound_throughout and (link.scope_hash is None or link.child_binding is None):
            raise ScopeBindingInvalid(link=index, field="child_binding", found="absent")
        if link.scope_hash is not None and link.scope_hash != parent.scope.sha256:
            raise ScopeBindingInvalid(
                link=index, field="scope_hash", expected=parent.scope.sha256, found=link.scope_hash
            )
        if child.is_attenuated:
            _check_attenuated(link, parent, child, index)
        _check_binding(link, parent, child, index)


def _check_attenuated(
    link: DelegationLink, parent: CapabilityToken, child: CapabilityToken, index: int
) -> None:
    proof = child.attenuation_proof
    if proof is None or link.scope_hash is None:
        field = "attenuation_proof" if proof is None else "delegation_chain.scope_hash"
        raise ScopeBindingInvalid(index=index + 1, field=field, found="absent")
    if not proof.is_of(parent.scope, child.scope):
        raise ScopeBindingInvalid(
            index=index + 1, field="attenuation_proof", expected="these scopes", found="others"
        )
    share, ceiling = _share(child), _share(parent)
    if share > ceiling:
        raise CapabilityWidened(
            index=index + 1, field="budget_share_bps", expected=f"at most {ceiling}", found=str(share)
        )
    for place, attenuation in enumerate(child.scope_attenuations):
        if not attenuation.is_applied(child):
            raise AttenuationNotApplied(index=index + 1, field=f"scope_attenuations[{place}]")


def _check_binding(link: DelegationLink, parent: CapabilityToken, child: CapabilityToken, index: int) -> None:
    binding = link.child_binding
    if binding is None:
        return
    for field, is_right in (
        ("capabilityId", binding.capability_id == child.id),
        ("issuedAt", binding.issued_at == child.issued_at == link.timestamp),
        ("expiresAt", binding.expires_at == child.expires_at),
        ("budgetShareBps", binding.budget_share_bps == child.budget_share_bps),
        ("attenuationProof", binding.attenuation_proof == child.attenuation_proof),
    ):
        if not is_right:
            raise ScopeBindingInvalid(link=index, field=f"child_binding.{field}", expected="the child's")
    if link.scope_hash != parent.scope.sha256:
        raise ScopeBindingInvalid(link=index, field="scope_hash", found="absent")


def _share(token: CapabilityToken) -> int:
    return FULL_SHARE_BPS if token.budget_share_bps is None else token.budget_share_bps
