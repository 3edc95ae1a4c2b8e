"""Chains of capabilities: a token together with every ancestor that its delegations name.

:func:`parse_chain` reads one token, or a list of tokens from the root to the leaf. Ancestors come in
the list, because a foreign token can be judged here only with them (chio keeps them as snapshots).

Rules kept here, in the order in which they are checked (chio, kernel admission steps 2 and 4 to 9):

1. each token has one delegation for every ancestor, in order, the same ones that its parent has; each
   names an ancestor in the list; there are at most ``max_depth``;
2. a delegation's delegator is its ancestor's subject, its delegatee the child's subject;
3. a child is issued by its parent's subject (the documents' form) or by the authority that issued the
   root (the code's form), of whose other keys in force the caller may tell;
4. every token's signature and every delegation's signature holds;
5. now lies in every token's time; a delegation lies in its ancestor's, a child begins no earlier and
   ends no later;
6. no grant stands twice; each grant of a child lies within a grant of its parent that includes
   ``delegate``; attenuations that are declared are there;
7. era-B hashes, proofs and bindings are those of these very scopes.

Everything cheap comes before the first signature, and the depth bounds how many there are. Whether the
root's issuer is trusted, what is revoked and what a policy allows is for others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.capabilities.bindings import check_bindings
from bilateral.protocol.capabilities.bodies import write_link
from bilateral.protocol.capabilities.errors import (
    AncestorMissing,
    AttenuationNotApplied,
    CapabilityExpired,
    CapabilityNotYetValid,
    CapabilityWidened,
    ChainDefect,
    DelegationBroken,
    DelegationMissing,
    DelegationNotPermitted,
    DelegationOutOfOrder,
    DelegationTimeInvalid,
    DelegationTooDeep,
    DuplicateGrant,
    ForeignIssuer,
    MalformedCapability,
)
from bilateral.protocol.capabilities.links import DEFAULT_MAX_DEPTH, DelegationLink, check_links, verify_link
from bilateral.protocol.capabilities.subsets import delegable_part, find_widening
from bilateral.protocol.capabilities.tokens import (
    MAX_LINKS,
    CapabilityToken,
    parse_token,
    verify_token,
    write_body,
)
from bilateral.protocol.errors import InvalidSignature, MalformedDocument
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import verify_signature
from bilateral.protocol.strictjson import JSON, Limits, parse_json

MAX_CHAIN_TOKENS: Final = MAX_LINKS + 1
CHAIN_LIMITS: Final = Limits(max_bytes=512 * 1024, max_depth=17, max_members=32_768, max_values=65_536)
"""A whole chain; a chain of three has about five kilobytes."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Tokens from the root to the leaf, at least one, unverified."""

    tokens: tuple[CapabilityToken, ...]

    @property
    def root(self) -> CapabilityToken:
        """The first token."""
        return self.tokens[0]

    @property
    def leaf(self) -> CapabilityToken:
        """The token that is presented; the root itself where nothing was delegated."""
        return self.tokens[-1]

    @property
    def capability_ids(self) -> tuple[str, ...]:
        """The ids from the root to the leaf; any of them may be revoked."""
        return tuple(each.id for each in self.tokens)


@dataclass(frozen=True, slots=True)
class VerifiedChain(Chain):
    """A chain in which everything holds at one time.

    ``issuers`` are the keys that issued a token without holding its parent: the root's, and others only
    where the caller named them. All of them have to be trusted.
    """

    issuers: tuple[PublicKey, ...]

    @property
    def issuer(self) -> PublicKey:
        """The root's issuer."""
        return self.root.issuer

    @property
    def subject(self) -> PublicKey:
        """Who may use the leaf."""
        return self.leaf.subject

    @property
    def depth(self) -> int:
        """How many delegations there are."""
        return len(self.tokens) - 1

    @property
    def ancestors(self) -> Mapping[str, CapabilityToken]:
        """All but the leaf, by id."""
        return {each.id: each for each in self.tokens[:-1]}

    @property
    def expires_at(self) -> int:
        """The first second at which the chain no longer holds."""
        return self.leaf.expires_at  # No ancestor ends earlier.


def parse_chain(data: bytes | JSON) -> Chain:
    """Read one token, or a list of 1 to MAX_CHAIN_TOKENS from the root to the leaf.

    Raises MalformedCapability, UnsupportedKeyAlgorithm, UnsupportedCapability, each with the token's index.
    """
    try:
        value = parse_json(data, CHAIN_LIMITS) if isinstance(data, bytes) else data
    except MalformedDocument as refusal:
        raise MalformedCapability(found=refusal.cause) from None
    entries = value if isinstance(value, list) else [value]
    if not 1 <= len(entries) <= MAX_CHAIN_TOKENS:
        raise MalformedCapability(expected=f"1 to {MAX_CHAIN_TOKENS} capabilities", found=str(len(entries)))
    return Chain(tuple(_parse_entry(entry, index) for index, entry in enumerate(entries)))


def verify_chain(
    chain: Chain,
    *,
    now: int,
    max_depth: int = DEFAULT_MAX_DEPTH,
    authorities: Collection[PublicKey] = (),
) -> VerifiedChain:
    """Verify a whole chain at ``now``, in Unix seconds.

    ``authorities`` are further keys in force of whoever issued the root, for example from before and
    after a rotation. Raises a :class:`~bilateral.protocol.capabilities.errors.ChainDefect`.
    """
    _check_ancestry(chain, max_depth)
    issuers = _check_parties(chain, authorities)
    _check_signatures(chain)
    for index, token in enumerate(chain.tokens):
        _check_time(token, index, now)
        _check_grants(token, index)
    for index, link in enumerate(chain.leaf.delegation_chain):
        parent, child = chain.tokens[index], chain.tokens[index + 1]
        _check_delegation_times(link, parent, child, index)
        _check_scope(parent, child, index)
        for place, attenuation in enumerate(link.attenuations):
            if not attenuation.is_applied(child):
                raise AttenuationNotApplied(index=index + 1, link=index, field=f"attenuations[{place}]")
    check_bindings(chain.tokens)
    return VerifiedChain(chain.tokens, issuers)


def _parse_entry(entry: JSON, index: int) -> CapabilityToken:
    try:
        return parse_token(entry)
    except MalformedDocument as refusal:
        raise MalformedCapability(index=index, found=refusal.cause) from None
    except ChainDefect as defect:
        defect.index = index
        raise


def _check_ancestry(chain: Chain, max_depth: int) -> None:
    tokens = chain.tokens
    places: dict[str, int] = {}
    for index, token in enumerate(tokens):
        depth = max(index, len(token.delegation_chain))
        if depth > max_depth:
            raise DelegationTooDeep(
                index=index, field="delegation_chain", expected=f"at most {max_depth}", found=str(depth)
            )
        if places.setdefault(token.id, index) != index:
            raise DelegationOutOfOrder(
                index=index, field="id", expected="each capability once", found=f"that of {places[token.id]}"
            )
    for index, token in enumerate(tokens):
        links = token.delegation_chain
        for place, link in enumerate(links):
            named = places.get(link.capability_id)
            if named is None:
                raise AncestorMissing(index=index, link=place, field="capability_id")
            if named != place or named >= index:
                raise DelegationOutOfOrder(
                    index=index, link=place, field="capability_id", expected=str(place), found=str(named)
                )
        if len(links) != index:
            raise DelegationMissing(
                index=index, field="delegation_chain", expected=str(index), found=str(len(links))
            )
        if index and links[:-1] != tokens[index - 1].delegation_chain:
            raise DelegationBroken(
                index=index, field="delegation_chain", expected="its parent's and one more", found="others"
            )


def _check_parties(chain: Chain, authorities: Collection[PublicKey]) -> tuple[PublicKey, ...]:
    """Check who delegated to whom and who issued what; return who issued as an authority."""
    issuers = [chain.root.issuer]
    check_links(chain.leaf.delegation_chain, max_depth=len(chain.tokens))
    for index, link in enumerate(chain.leaf.delegation_chain):
        parent, child = chain.tokens[index], chain.tokens[index + 1]
        if link.delegator != parent.subject:
            raise DelegationBroken(
                link=index,
                field="delegator",
                expected=parent.subject.canonical,
                found=link.delegator.canonical,
            )
        if link.delegatee != child.subject:
            raise DelegationBroken(
                link=index,
                field="delegatee",
                expected=child.subject.canonical,
                found=link.delegatee.canonical,
            )
        if child.issuer == parent.subject or child.issuer in issuers:
            continue
        if child.issuer not in authorities:
            raise ForeignIssuer(
                index=index + 1,
                field="issuer",
                expected=f"{parent.subject.canonical} or {chain.root.issuer.canonical}",
                found=child.issuer.canonical,
            )
        issuers.append(child.issuer)
    return tuple(issuers)


def _check_signatures(chain: Chain) -> None:
    """Verify all signatures: one after another over the bodies that are to be expected, without a pause between.

    If one of them does not hold, each is verified in every form that it may have, which finds the place.
    """
    links = chain.leaf.delegation_chain
    signed = [(each.issuer, write_body(each, each.schema), each.signature) for each in chain.tokens]
    signed += [(each.delegator, write_link(each), each.signature) for each in links]
    try:
        for key, body, signature in signed:
            verify_signature(key, body, signature)
    except InvalidSignature:
        for index, token in enumerate(chain.tokens):
            verify_token(token, index=index)
        for index, link in enumerate(links):
            verify_link(link, index=index)


def _check_time(token: CapabilityToken, index: int, now: int) -> None:
    if now < token.issued_at:
        raise CapabilityNotYetValid(
            index=index, field="issued_at", expected=f"at most {now}", found=str(token.issued_at)
        )
    if now >= token.expires_at:
        raise CapabilityExpired(
            index=index, field="expires_at", expected=f"more than {now}", found=str(token.expires_at)
        )


def _check_grants(token: CapabilityToken, index: int) -> None:
    scope = token.scope
    if len(scope.grants) + len(scope.resource_grants) + len(scope.prompt_grants) < 2:
        return
    for name, grants in (
        ("grants", scope.grants),
        ("resource_grants", scope.resource_grants),
        ("prompt_grants", scope.prompt_grants),
    ):
        if len(grants) > 1 and len(set(grants)) != len(grants):
            raise DuplicateGrant(index=index, field=f"scope.{name}")


def _check_delegation_times(
    link: DelegationLink, parent: CapabilityToken, child: CapabilityToken, index: int
) -> None:
    if not parent.issued_at <= link.timestamp < parent.expires_at:
        raise DelegationTimeInvalid(
            link=index,
            field="timestamp",
            expected=f"{parent.issued_at} to before {parent.expires_at}",
            found=str(link.timestamp),
        )
    if child.issued_at < link.timestamp:  # The link itself is no earlier than the parent.
        raise DelegationTimeInvalid(
            index=index + 1,
            field="issued_at",
            expected=f"at least {link.timestamp}",
            found=str(child.issued_at),
        )
    if child.expires_at > parent.expires_at:
        raise CapabilityWidened(
            index=index + 1,
            field="expires_at",
            expected=f"at most {parent.expires_at}",
            found=str(child.expires_at),
        )


def _check_scope(parent: CapabilityToken, child: CapabilityToken, index: int) -> None:
    if parent.max_aggregate_invocations is not None:
        raise DelegationNotPermitted(index=index + 1, field="aggregate_invocation_budget")
    missing = find_widening(child.scope, delegable_part(parent.scope))
    if missing is None:
        return
    widening = find_widening(child.scope, parent.scope)
    if widening is None:
        raise DelegationNotPermitted(
            index=index + 1, field=f"scope.{missing.grant}", expected="delegate among the parent's operations"
        )
    raise CapabilityWidened(
        index=index + 1,
        field=f"scope.{widening.field}",
        expected=widening.ceiling,
        found=widening.presented,
    )
