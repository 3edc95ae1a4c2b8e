"""Issuing a capability, and passing it on: builders that make only chains which verify.

``issue`` makes a root; ``delegate`` adds a child to a chain, with the delegation that leads to it. The
holder of the leaf signs the delegation, and the child too, unless the authority's key is given
(``issuer``): the documents and the code of chio differ here, and both forms are accepted.

In era B (``newer=True``) the token has a schema, and the delegation and the child carry the hashes and
proofs that bind them to the parent's scope.

Rule kept here: what is returned was verified, as of the child's first second. Keys are used, not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bilateral.protocol.capabilities.attenuations import Attenuation
from bilateral.protocol.capabilities.chains import MAX_CHAIN_TOKENS, Chain, verify_chain
from bilateral.protocol.capabilities.errors import DelegationBroken
from bilateral.protocol.capabilities.grants import Scope
from bilateral.protocol.capabilities.links import DelegationLink, sign_link
from bilateral.protocol.capabilities.proofs import ChildBinding, build_proof
from bilateral.protocol.capabilities.tokens import CAPABILITY_SCHEMA, CapabilityToken, sign_token
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey


def issue(
    issuer: SigningKey,
    *,
    capability_id: str,
    subject: PublicKey,
    scope: Scope,
    issued_at: int,
    expires_at: int,
    newer: bool = False,
) -> Chain:
    """Sign a root capability; times are Unix seconds.

    Raises MalformedDocument for values that no token can have, ChainDefect for a token that nobody accepts.
    """
    token = CapabilityToken(
        id=capability_id,
        issuer=issuer.public_key,
        subject=subject,
        scope=scope,
        issued_at=issued_at,
        expires_at=expires_at,
        schema=CAPABILITY_SCHEMA if newer else None,
    )
    return _verified(Chain((sign_token(token, issuer),)))


def delegate(
    chain: Chain,
    holder: SigningKey,
    *,
    capability_id: str,
    subject: PublicKey,
    scope: Scope,
    issued_at: int,
    expires_at: int,
    attenuations: Sequence[Attenuation] = (),
    issuer: SigningKey | None = None,
    newer: bool = False,
) -> Chain:
    """Pass the leaf of ``chain`` on to ``subject``; ``holder`` is the leaf's subject.

    Raises DelegationBroken for another holder, and what :func:`issue` raises.
    """
    parent = chain.leaf
    if holder.public_key != parent.subject:
        raise DelegationBroken(
            field="delegator", expected=parent.subject.canonical, found=holder.public_key.canonical
        )
    proof = build_proof(parent.scope, scope) if newer else None
    link = DelegationLink(
        capability_id=parent.id,
        delegator=holder.public_key,
        delegatee=subject,
        timestamp=issued_at,
        attenuations=tuple(attenuations),
    )
    if proof is not None:
        link = replace(
            link,
            scope_hash=proof.parent_scope_hash,
            child_binding=ChildBinding(capability_id, issued_at, expires_at, proof, parent.budget_share_bps),
        )
    key = issuer or holder
    child = CapabilityToken(
        id=capability_id,
        issuer=key.public_key,
        subject=subject,
        scope=scope,
        issued_at=issued_at,
        expires_at=expires_at,
        delegation_chain=(*parent.delegation_chain, sign_link(link, holder)),
        schema=CAPABILITY_SCHEMA if newer else None,
        attenuation_proof=proof,
        budget_share_bps=parent.budget_share_bps if newer else None,
    )
    return _verified(Chain((*chain.tokens, sign_token(child, key))))


def _verified(chain: Chain) -> Chain:
    """Give back a chain that holds when its leaf begins; its depth is the reader's to limit."""
    verify_chain(chain, now=chain.leaf.issued_at, max_depth=MAX_CHAIN_TOKENS)
    return chain
