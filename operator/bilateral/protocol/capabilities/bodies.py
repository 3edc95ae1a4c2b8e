"""The bytes that are signed of a token and of a delegation, written without a dictionary in between.

A chain has a body for every signature, and the longer it is the more often each delegation is written: this
is most of what a verification costs beside the signatures themselves. The members of both types are known,
so their names stand here in the order of RFC 8785, and only what is inside a scope goes through the encoder.
What only newer chio writes is rare, and takes the common way.

Rule kept here: the bytes are those of ``canonical_bytes`` of the same body, which tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bilateral.protocol.canonical import canonical_string, encode_text, plain_canonical_text

if TYPE_CHECKING:
    from bilateral.protocol.capabilities.links import DelegationLink
    from bilateral.protocol.capabilities.tokens import CapabilityToken


def write_link(link: DelegationLink) -> bytes:
    """The bytes that the delegator signs."""
    return encode_text(_link(link, ""))


def write_token(token: CapabilityToken, schema: str | None) -> bytes:
    """The bytes that the issuer signs of a token without newer members; without ``schema``, era A's."""
    chain = schema_member = ""
    if token.delegation_chain:
        links = [_link(each, f'"signature":"{each.signature.hex()}",') for each in token.delegation_chain]
        chain = f'"delegation_chain":[{",".join(links)}],'
    if schema is not None:
        schema_member = f'"schema":"{schema}",'
    return encode_text(
        f'{{{chain}"expires_at":{token.expires_at},"id":{canonical_string(token.id)},'
        f'"issued_at":{token.issued_at},"issuer":"{token.issuer.hex}",{schema_member}'
        f'"scope":{plain_canonical_text(token.scope.to_wire())},"subject":"{token.subject.hex}"}}'
    )


def _link(link: DelegationLink, signature: str) -> str:
    before = binding = scope_hash = ""
    if link.attenuations:
        before = f'"attenuations":{plain_canonical_text([each.to_wire() for each in link.attenuations])},'
    if link.child_binding is not None:
        binding = f'"child_binding":{plain_canonical_text(link.child_binding.to_wire())},'
    if link.scope_hash is not None:
        scope_hash = f'"scope_hash":"{link.scope_hash}",'
    return (
        f'{{{before}"capability_id":{canonical_string(link.capability_id)},{binding}'
        f'"delegatee":"{link.delegatee.hex}","delegator":"{link.delegator.hex}",'
        f'{scope_hash}{signature}"timestamp":{link.timestamp}}}'
    )
