"""Chains of capabilities: what holds, and the whole table of what does not, with the defect it is told as."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bilateral.protocol.capabilities import attenuations as att
from bilateral.protocol.capabilities import errors
from bilateral.protocol.capabilities.chains import MAX_CHAIN_TOKENS, Chain, parse_chain, verify_chain
from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.delegation import delegate, issue
from bilateral.protocol.capabilities.errors import ChainDefect
from bilateral.protocol.capabilities.grants import Operation, PromptGrant, ResourceGrant, Scope
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.capabilities.tokens import sign_token
from bilateral.protocol.reasons import Reason
from support.chains import (
    AGENT,
    AUTHORITY,
    EXPIRES,
    GRANT,
    ISSUED,
    LAST,
    NOW,
    SCOPE,
    STRANGER,
    WORKER,
    chain_of_one,
    chain_of_three,
    chain_of_two,
    resign,
)


def wire(chain: Chain) -> bytes:
    return json.dumps([token.to_wire() for token in chain.tokens]).encode()


@pytest.mark.parametrize("newer", [False, True], ids=["era A", "era B"])
def test_a_chain_of_three_holds_and_says_who_is_in_it(newer: bool) -> None:
    verified = verify_chain(parse_chain(wire(chain_of_three(newer=newer))), now=NOW)
    assert verified.capability_ids == ("cap-root", "cap-child", "cap-leaf")
    assert verified.depth == 2
    assert verified.issuers == (AUTHORITY.public_key,)
    assert verified.issuer == AUTHORITY.public_key
    assert verified.subject == LAST.public_key
    assert set(verified.ancestors) == {"cap-root", "cap-child"}
    assert verified.expires_at == EXPIRES


def test_one_token_is_a_chain_of_one() -> None:
    data = json.dumps(chain_of_one().root.to_wire()).encode()
    verified = verify_chain(parse_chain(data), now=NOW)
    assert verified.depth == 0
    assert verified.root is verified.leaf


def test_the_authority_may_issue_the_child_as_chios_code_does() -> None:
    chain = chain_of_two(issuer=AUTHORITY)
    assert chain.leaf.issuer == AUTHORITY.public_key
    assert verify_chain(chain, now=NOW).issuers == (AUTHORITY.public_key,)


def test_another_key_of_the_authority_counts_where_the_caller_says_so() -> None:
    chain = resign(chain_of_two(), key=STRANGER)
    with pytest.raises(errors.ForeignIssuer):
        verify_chain(chain, now=NOW)
    verified = verify_chain(chain, now=NOW, authorities=[STRANGER.public_key])
    assert verified.issuers == (AUTHORITY.public_key, STRANGER.public_key)


def test_the_times_are_chios_half_open_interval() -> None:
    chain = chain_of_one()
    verify_chain(chain, now=ISSUED)
    verify_chain(chain, now=EXPIRES - 1)
    with pytest.raises(errors.CapabilityExpired):
        verify_chain(chain, now=EXPIRES)
    with pytest.raises(errors.CapabilityNotYetValid):
        verify_chain(chain, now=ISSUED - 1)


def narrow(**changes: Any) -> Scope:
    return Scope(grants=(replace(GRANT, **changes),))


def without_delegate() -> Chain:
    root = narrow(operations=(Operation.INVOKE,))
    chain = Chain((sign_token(replace(chain_of_two().root, scope=root), AUTHORITY), chain_of_two().leaf))
    return resign(chain, scope=root)


def flipped(signature: bytes) -> bytes:
    return signature[:-33] + bytes([signature[-33] ^ 1]) + signature[-32:]


def with_link_signature(chain: Chain, signature: bytes) -> Chain:
    link = replace(chain.leaf.delegation_chain[-1], signature=signature)
    leaf = replace(chain.leaf, delegation_chain=(*chain.leaf.delegation_chain[:-1], link))
    return Chain((*chain.tokens[:-1], sign_token(leaf, AGENT)))


def with_token(chain: Chain, index: int, **changes: Any) -> Chain:
    tokens = list(chain.tokens)
    tokens[index] = replace(tokens[index], **changes)
    return Chain(tuple(tokens))


def of_another_chain() -> Chain:
    """The links of the middle token are not those of the leaf, though each would do."""
    chain = chain_of_three()
    other = delegate(
        chain_of_one(),
        AGENT,
        capability_id="cap-child",
        subject=WORKER.public_key,
        scope=SCOPE,
        issued_at=ISSUED + 101,
        expires_at=EXPIRES,
    )
    return Chain((chain.root, other.leaf, chain.leaf))


def deep() -> Chain:
    chain, holder = chain_of_one(), AGENT
    for index in range(5):
        chain = delegate(
            chain,
            holder,
            capability_id=f"cap-{index}",
            subject=AGENT.public_key,
            scope=SCOPE,
            issued_at=ISSUED + index,
            expires_at=EXPIRES,
        )
    return chain


PARENT_ENDS_EARLY = EXPIRES - 1000


def early_parent(now_past_it: bool) -> Chain:
    chain = chain_of_two()
    root = sign_token(replace(chain.root, expires_at=PARENT_ENDS_EARLY), AUTHORITY)
    chain = Chain((root, chain.leaf))
    return resign(chain, expires_at=EXPIRES if now_past_it else PARENT_ENDS_EARLY + 1)


def attenuated(attenuation: att.Attenuation, scope: Scope = SCOPE) -> Chain:
    return resign(chain_of_two(), link={"attenuations": (attenuation,)}, scope=scope)


SERVER, TOOL = GRANT.server_id, GRANT.tool_name
RESOURCE = ResourceGrant("file:///workspace/*", (Operation.READ, Operation.DELEGATE))
PROMPT = PromptGrant("review-*", (Operation.GET, Operation.DELEGATE))


def of_scopes(parent: Scope, child: Scope) -> Chain:
    root = sign_token(replace(chain_of_two().root, scope=parent), AUTHORITY)
    return resign(Chain((root, chain_of_two().leaf)), scope=child)


# id: the chain, the defect, and the facts that it is told with.
DEFECTS: dict[str, tuple[Callable[[], Chain], type[ChainDefect], dict[str, Any]]] = {
    # Each signature.
    "root's signature": (
        lambda: with_token(chain_of_three(), 0, signature=flipped(chain_of_three().root.signature)),
        errors.CapabilitySignatureInvalid,
        {"index": 0},
    ),
    "middle token's signature": (
        lambda: with_token(chain_of_three(), 1, signature=flipped(chain_of_three().tokens[1].signature)),
        errors.CapabilitySignatureInvalid,
        {"index": 1},
    ),
    "leaf's signature": (
        lambda: with_token(chain_of_three(), 2, signature=flipped(chain_of_three().leaf.signature)),
        errors.CapabilitySignatureInvalid,
        {"index": 2},
    ),
    "link's signature": (
        lambda: with_link_signature(chain_of_two(), bytes(64)),
        errors.LinkSignatureInvalid,
        {"link": 0},
    ),
    "link signed by another": (
        lambda: with_link_signature(
            chain_of_two(), resign(chain_of_two(), link={"timestamp": ISSUED + 99}).leaf.signature
        ),
        errors.LinkSignatureInvalid,
        {"link": 0},
    ),
    "token changed after signing": (
        lambda: with_token(chain_of_one(), 0, subject=STRANGER.public_key),
        errors.CapabilitySignatureInvalid,
        {"index": 0},
    ),
    # Each link, and the order.
    "leaf without its ancestors": (
        lambda: Chain((chain_of_two().leaf,)),
        errors.AncestorMissing,
        {"index": 0, "link": 0},
    ),
    "one ancestor left out": (
        lambda: Chain((chain_of_three().root, chain_of_three().leaf)),
        errors.AncestorMissing,
        {"index": 1, "link": 1},
    ),
    "leaf first": (
        lambda: Chain(tuple(reversed(chain_of_three().tokens))),
        errors.DelegationOutOfOrder,
        {"index": 0},
    ),
    "ancestors exchanged": (
        lambda: Chain((chain_of_three().tokens[1], chain_of_three().root, chain_of_three().leaf)),
        errors.DelegationOutOfOrder,
        {"index": 0},
    ),
    "one capability twice": (
        lambda: Chain((chain_of_one().root, chain_of_one().root)),
        errors.DelegationOutOfOrder,
        {"index": 1, "field": "id"},
    ),
    "link names its own capability": (
        lambda: Chain((resign(chain_of_two(), link={"capability_id": "cap-child"}).leaf,)),
        errors.DelegationOutOfOrder,
        {"index": 0, "link": 0},
    ),
    "link reused": (
        lambda: Chain(
            (
                *chain_of_three().tokens[:2],
                sign_token(
                    replace(
                        chain_of_three().leaf,
                        delegation_chain=chain_of_three().leaf.delegation_chain[:1] * 2,
                    ),
                    WORKER,
                ),
            )
        ),
        errors.DelegationOutOfOrder,
        {"index": 2, "link": 1},
    ),
    "child without a link": (
        lambda: resign(chain_of_two(), delegation_chain=()),
        errors.DelegationMissing,
        {"index": 1},
    ),
    "a stranger's capability in the list": (
        lambda: Chain(
            (
                chain_of_one().root,
                issue(
                    STRANGER,
                    capability_id="cap-strange",
                    subject=STRANGER.public_key,
                    scope=SCOPE,
                    issued_at=ISSUED,
                    expires_at=EXPIRES,
                ).root,
            )
        ),
        errors.DelegationMissing,
        {"index": 1},
    ),
    "link of another chain": (of_another_chain, errors.DelegationBroken, {"index": 2}),
    "delegator is not the parent's subject": (
        lambda: resign(chain_of_two(), link={"delegator_key": STRANGER}),
        errors.DelegationBroken,
        {"link": 0, "field": "delegator"},
    ),
    "delegatee is not the child's subject": (
        lambda: resign(chain_of_two(), link={"delegatee": STRANGER.public_key}),
        errors.DelegationBroken,
        {"link": 0, "field": "delegatee"},
    ),
    "foreign subject": (
        lambda: resign(chain_of_two(), subject=STRANGER.public_key),
        errors.DelegationBroken,
        {"link": 0, "field": "delegatee"},
    ),
    "foreign issuer": (
        lambda: resign(chain_of_two(), key=STRANGER),
        errors.ForeignIssuer,
        {"index": 1, "field": "issuer"},
    ),
    "issued by the child's own subject": (
        lambda: resign(chain_of_two(), key=WORKER),
        errors.ForeignIssuer,
        {"index": 1},
    ),
    "five delegations": (deep, errors.DelegationTooDeep, {"index": 5, "found": "5"}),
    # Times.
    "expired parent": (lambda: early_parent(now_past_it=True), errors.CapabilityWidened, {"index": 1}),
    "child outlives its parent by a second": (
        lambda: early_parent(now_past_it=False),
        errors.CapabilityWidened,
        {"index": 1, "field": "expires_at", "expected": f"at most {PARENT_ENDS_EARLY}"},
    ),
    "delegated before the parent began": (
        lambda: resign(chain_of_two(), link={"timestamp": ISSUED - 1}),
        errors.DelegationTimeInvalid,
        {"link": 0, "field": "timestamp"},
    ),
    "delegated when the parent had ended": (
        lambda: resign(chain_of_two(), link={"timestamp": EXPIRES}),
        errors.DelegationTimeInvalid,
        {"link": 0},
    ),
    "issued before it was delegated": (
        lambda: resign(chain_of_two(), link={"timestamp": ISSUED + 101}),
        errors.DelegationTimeInvalid,
        {"index": 1, "field": "issued_at"},
    ),
    "child not yet valid": (
        lambda: resign(chain_of_two(), issued_at=NOW + 1),
        errors.CapabilityNotYetValid,
        {"index": 1},
    ),
    # Scope, in every dimension.
    "another server": (
        lambda: resign(chain_of_two(), scope=narrow(server_id="elsewhere")),
        errors.CapabilityWidened,
        {"index": 1, "field": "scope.grants[0].server_id"},
    ),
    "any server": (
        lambda: resign(chain_of_two(), scope=narrow(server_id="*")),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].server_id", "found": "any"},
    ),
    "another tool": (
        lambda: resign(chain_of_two(), scope=narrow(tool_name="reports.write")),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].tool_name", "found": "another"},
    ),
    "any tool": (
        lambda: resign(chain_of_two(), scope=narrow(tool_name="*")),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].tool_name", "found": "any"},
    ),
    "one operation more": (
        lambda: resign(chain_of_two(), scope=narrow(operations=(Operation.INVOKE, Operation.GET))),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].operations", "found": "get"},
    ),
    "one invocation more": (
        lambda: resign(chain_of_two(), scope=narrow(max_invocations=11)),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].max_invocations", "expected": "10", "found": "11"},
    ),
    "no limit of invocations": (
        lambda: resign(chain_of_two(), scope=narrow(max_invocations=None)),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].max_invocations", "found": "no limit"},
    ),
    "a constraint left out": (
        lambda: resign(chain_of_two(), scope=narrow(constraints=())),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].constraints", "expected": "max_rows_returned"},
    ),
    "a constraint's value raised": (
        lambda: resign(
            chain_of_two(),
            scope=narrow(constraints=(Constraint(ConstraintType.MAX_ROWS_RETURNED, 10_001),)),
        ),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].constraints", "found": "another value"},
    ),
    "a cent more for one invocation": (
        lambda: resign(chain_of_two(), scope=narrow(max_cost_per_invocation=Money(501, "USD"))),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].max_cost_per_invocation", "expected": "500 USD", "found": "501 USD"},
    ),
    "another currency": (
        lambda: resign(chain_of_two(), scope=narrow(max_cost_per_invocation=Money(1, "JPY"))),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].max_cost_per_invocation", "found": "1 JPY"},
    ),
    "a cent more in total": (
        lambda: resign(chain_of_two(), scope=narrow(max_total_cost=Money(5001, "USD"))),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].max_total_cost"},
    ),
    "no limit in total": (
        lambda: resign(chain_of_two(), scope=narrow(max_total_cost=None)),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].max_total_cost", "found": "no limit"},
    ),
    "no proof of possession": (
        lambda: resign(chain_of_two(), scope=narrow(dpop_required=False)),
        errors.CapabilityWidened,
        {"field": "scope.grants[0].dpop_required"},
    ),
    "a second grant that the parent has not": (
        lambda: resign(chain_of_two(), scope=Scope((GRANT, replace(GRANT, tool_name="b")))),
        errors.CapabilityWidened,
        {"field": "scope.grants[1].tool_name"},
    ),
    "invocations multiplied over two grants": (
        lambda: resign(
            chain_of_two(),
            scope=Scope(
                (
                    replace(GRANT, max_invocations=6, max_total_cost=Money(1, "USD")),
                    replace(GRANT, max_invocations=5, max_total_cost=Money(1, "USD")),
                )
            ),
        ),
        errors.CapabilityWidened,
        {"field": "scope.grants[1].max_invocations", "expected": "10", "found": "11 together"},
    ),
    "cost multiplied over two grants": (
        lambda: resign(
            chain_of_two(),
            scope=Scope(
                (
                    replace(GRANT, max_invocations=5, max_total_cost=Money(2501, "USD")),
                    replace(GRANT, max_invocations=5, max_total_cost=Money(2500, "USD")),
                )
            ),
        ),
        errors.CapabilityWidened,
        {"field": "scope.grants[1].max_total_cost", "expected": "5000 USD", "found": "5001 together"},
    ),
    "another resource": (
        lambda: of_scopes(
            Scope(resource_grants=(RESOURCE,)),
            Scope(resource_grants=(replace(RESOURCE, uri_pattern="file:///etc/*"),)),
        ),
        errors.CapabilityWidened,
        {"field": "scope.resource_grants[0].uri_pattern"},
    ),
    "one operation more on a resource": (
        lambda: of_scopes(
            Scope(resource_grants=(RESOURCE,)),
            Scope(resource_grants=(replace(RESOURCE, operations=(Operation.SUBSCRIBE,)),)),
        ),
        errors.CapabilityWidened,
        {"field": "scope.resource_grants[0].operations"},
    ),
    "another prompt": (
        lambda: of_scopes(
            Scope(prompt_grants=(PROMPT,)), Scope(prompt_grants=(replace(PROMPT, prompt_name="*"),))
        ),
        errors.CapabilityWidened,
        {"field": "scope.prompt_grants[0].prompt_name"},
    ),
    "prompts where the parent has tools": (
        lambda: resign(chain_of_two(), scope=Scope(prompt_grants=(PROMPT,))),
        errors.CapabilityWidened,
        {"field": "scope.prompt_grants[0].prompt_name", "expected": "no grant"},
    ),
    "parent may not be delegated": (
        without_delegate,
        errors.DelegationNotPermitted,
        {"index": 1, "field": "scope.grants[0]"},
    ),
    "parent has a budget of its own": (
        lambda: Chain(
            (
                sign_token(replace(chain_of_two().root, max_aggregate_invocations=5), AUTHORITY),
                chain_of_two().leaf,
            )
        ),
        errors.DelegationNotPermitted,
        {"index": 1, "field": "aggregate_invocation_budget"},
    ),
    "the same grant twice": (
        lambda: resign(chain_of_two(), scope=Scope((GRANT, GRANT))),
        errors.DuplicateGrant,
        {"index": 1, "field": "scope.grants"},
    ),
    # Attenuations that are declared and not there.
    "tool said to be removed": (
        lambda: attenuated(att.RemoveTool(SERVER, TOOL)),
        errors.AttenuationNotApplied,
        {"index": 1, "link": 0, "field": "attenuations[0]"},
    ),
    "every tool said to be removed": (
        lambda: attenuated(att.RemoveTool("*", "*")),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
    "operation said to be removed": (
        lambda: attenuated(att.RemoveOperation(SERVER, TOOL, Operation.DELEGATE)),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
    "constraint said to be added": (
        lambda: attenuated(att.AddConstraint(SERVER, TOOL, Constraint(ConstraintType.MAX_LENGTH, 8))),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
    "invocations said to be reduced": (
        lambda: attenuated(att.ReduceBudget(SERVER, TOOL, 9)),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
    "expiry said to be shortened": (
        lambda: attenuated(att.ShortenExpiry(EXPIRES - 1)),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
    "cost said to be reduced": (
        lambda: attenuated(att.ReduceCostPerInvocation(SERVER, TOOL, Money(499, "USD"))),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
    "total said to be reduced, in another currency": (
        lambda: attenuated(att.ReduceTotalCost(SERVER, TOOL, Money(9999, "JPY"))),
        errors.AttenuationNotApplied,
        {"link": 0},
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_refused_and_told_with_its_facts(name: str) -> None:
    build, kind, facts = DEFECTS[name]
    with pytest.raises(ChainDefect) as refusal:
        verify_chain(parse_chain(wire(build())), now=NOW)
    assert type(refusal.value) is kind
    assert {fact: getattr(refusal.value, fact) for fact in facts} == facts


def test_an_expired_parent_is_told_as_that_whoever_made_the_child() -> None:
    with pytest.raises(errors.CapabilityExpired) as refusal:
        verify_chain(early_parent(now_past_it=True), now=PARENT_ENDS_EARLY)
    assert refusal.value.index == 0


@pytest.mark.parametrize(
    "attenuation",
    [
        att.RemoveTool(SERVER, "reports.write"),
        att.RemoveOperation(SERVER, TOOL, Operation.GET),
        att.AddConstraint(SERVER, TOOL, GRANT.constraints[0]),
        att.ReduceBudget(SERVER, TOOL, 10),
        att.ShortenExpiry(EXPIRES),
        att.ReduceCostPerInvocation(SERVER, TOOL, Money(500, "USD")),
        att.ReduceTotalCost("*", TOOL, Money(5000, "USD")),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_attenuation_that_is_there_is_accepted(attenuation: att.Attenuation) -> None:
    verify_chain(parse_chain(wire(attenuated(attenuation))), now=NOW)


def test_a_narrower_child_is_accepted() -> None:
    scope = narrow(
        operations=(Operation.INVOKE,),
        constraints=(Constraint(ConstraintType.PATH_PREFIX, "/a"), *GRANT.constraints),
        max_invocations=1,
        max_cost_per_invocation=Money(1, "USD"),
        max_total_cost=Money(1, "USD"),
    )
    verify_chain(chain_of_two(scope=scope, expires_at=EXPIRES - 1), now=NOW)
    verify_chain(chain_of_two(scope=Scope()), now=NOW)


def test_two_grants_may_share_what_the_parent_has() -> None:
    halves = Scope(
        (
            replace(GRANT, max_invocations=6, max_total_cost=Money(2500, "USD")),
            replace(GRANT, max_invocations=4, max_total_cost=Money(2500, "USD")),
        )
    )
    verify_chain(chain_of_two(scope=halves), now=NOW)


def test_grants_share_no_limit_that_the_parent_has_not() -> None:
    parent = narrow(max_invocations=None, max_total_cost=None)
    child = Scope((GRANT, replace(GRANT, max_invocations=9, max_total_cost=None)))
    verify_chain(of_scopes(parent, child), now=NOW)


def test_a_resource_below_the_parents_prefix_is_accepted() -> None:
    below = replace(RESOURCE, uri_pattern="file:///workspace/reports/*")
    verify_chain(of_scopes(Scope(resource_grants=(RESOURCE,)), Scope(resource_grants=(below,))), now=NOW)


def test_a_second_grant_of_the_parent_makes_room() -> None:
    parent = Scope((GRANT, replace(GRANT, max_invocations=9)))
    child = Scope((replace(GRANT, max_invocations=9), replace(GRANT, max_invocations=8)))
    verify_chain(of_scopes(parent, child), now=NOW)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_depth_is_the_callers(depth: int) -> None:
    chain = deep()
    part = Chain(chain.tokens[: depth + 1])
    verify_chain(part, now=NOW, max_depth=depth)
    with pytest.raises(errors.DelegationTooDeep):
        verify_chain(part, now=NOW, max_depth=depth - 1)


def test_a_chain_that_is_too_deep_costs_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = deep()
    verified: list[bytes] = []
    monkeypatch.setattr(
        "bilateral.protocol.capabilities.chains.verify_signature",
        lambda _key, _body, signature: verified.append(signature),
    )
    with pytest.raises(errors.DelegationTooDeep):
        verify_chain(chain, now=NOW)
    assert verified == []
    verify_chain(chain, now=NOW, max_depth=5)
    assert len(set(verified)) == len(verified) == 6 + 5


@pytest.mark.parametrize(
    ("data", "kind", "facts"),
    [
        (b"[]", errors.MalformedCapability, {"found": "0"}),
        (b"{}", errors.MalformedCapability, {"index": 0, "found": "missing-member"}),
        (b"[1]", errors.MalformedCapability, {"index": 0, "found": "capability"}),
        (b"nonsense", errors.MalformedCapability, {"index": None, "found": "syntax"}),
        (b'{"a": 1, "a": 1}', errors.MalformedCapability, {"found": "duplicate-member"}),
        (b"[" * 64, errors.MalformedCapability, {"found": "too-deep"}),
        (b" " * (512 * 1024 + 1), errors.MalformedCapability, {"found": "too-large"}),
        (
            b"[" + b"{}," * MAX_CHAIN_TOKENS + b"{}]",
            errors.MalformedCapability,
            {"index": None, "found": str(MAX_CHAIN_TOKENS + 1)},
        ),
    ],
    ids=["empty list", "empty object", "number", "no JSON", "member twice", "deep", "large", "many"],
)
def test_what_is_no_chain_is_refused(data: bytes, kind: type[ChainDefect], facts: dict[str, Any]) -> None:
    with pytest.raises(kind) as refusal:
        parse_chain(data)
    assert {fact: getattr(refusal.value, fact) for fact in facts} == facts


def test_every_defect_has_a_reason_and_a_sentence_of_its_own() -> None:
    kinds = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ChainDefect)
    ]
    kinds.remove(ChainDefect)
    assert len({kind.reason for kind in kinds}) == len(kinds)
    assert len({kind.sentence for kind in kinds}) == len(kinds)
    assert all(kind.reason in Reason for kind in kinds)


def test_a_defect_says_where_and_what() -> None:
    defect = errors.CapabilityWidened(index=1, field="expires_at", expected="at most 5", found="6")
    assert str(defect) == (
        "the capability allows more than its parent: capability 1, expires_at, expected at most 5, found 6"
    )
    assert str(errors.LinkSignatureInvalid(link=0)) == "a delegation's signature is invalid: link 0"
    assert str(errors.ForeignIssuer()) == errors.ForeignIssuer.sentence


def test_only_the_holder_delegates() -> None:
    with pytest.raises(errors.DelegationBroken):
        delegate(
            chain_of_one(),
            STRANGER,
            capability_id="cap-child",
            subject=WORKER.public_key,
            scope=SCOPE,
            issued_at=ISSUED,
            expires_at=EXPIRES,
        )
