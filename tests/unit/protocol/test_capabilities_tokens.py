"""Tokens and links as they are written: both eras, the typed form, and what is not read at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.capabilities import errors
from bilateral.protocol.capabilities.chains import Chain, parse_chain, verify_chain
from bilateral.protocol.capabilities.constraints import (
    Constraint,
    ConstraintType,
    ModelBounds,
    parse_constraint,
)
from bilateral.protocol.capabilities.grants import (
    Operation,
    PromptGrant,
    ResourceGrant,
    Scope,
    ToolGrant,
    parse_scope,
)
from bilateral.protocol.capabilities.links import parse_link, sign_link, verify_link, verify_links
from bilateral.protocol.capabilities.money import Money, parse_money
from bilateral.protocol.capabilities.tokens import (
    CAPABILITY_SCHEMA,
    CapabilityToken,
    parse_token,
    sign_token,
    verify_token,
)
from bilateral.protocol.errors import MalformedDocument, ProtocolError
from support.chains import (
    AGENT,
    AUTHORITY,
    EXPIRES,
    GRANT,
    ISSUED,
    NOW,
    SCOPE,
    WORKER,
    chain_of_one,
    chain_of_three,
    chain_of_two,
)

HYBRID = f"hybrid:{AUTHORITY.public_key.hex}:{'ab' * 1952}:ed25519+mldsa65"


def token_json(**changes: Any) -> dict[str, Any]:
    """The root's wire form; a member that is changed to ``...`` is left out."""
    members: dict[str, Any] = json.loads(chain_of_one().root.to_json())
    members.update(changes)
    return {name: value for name, value in members.items() if value is not ...}


def link_json(**changes: Any) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(chain_of_two().leaf.to_json())["delegation_chain"][0]
    members.update(changes)
    return {name: value for name, value in members.items() if value is not ...}


def grant_json(**changes: Any) -> dict[str, Any]:
    members: dict[str, Any] = {**GRANT.to_wire(), **changes}
    return {name: value for name, value in members.items() if value is not ...}


def sign_literally(body: dict[str, Any]) -> bytes:
    """Sign exactly these members, as somebody would who does not know the types."""
    return json.dumps({**body, "signature": AUTHORITY.sign(canonical_bytes(body)).hex()}).encode()


def unsigned(**changes: Any) -> dict[str, Any]:
    return token_json(signature=..., **changes)


# Both bodies, and the typed form.


def test_a_token_of_era_a_has_none_of_the_newer_members() -> None:
    assert set(token_json()) == {"id", "issuer", "subject", "scope", "issued_at", "expires_at", "signature"}


def test_a_token_of_era_b_signs_its_schema() -> None:
    token = chain_of_one(newer=True).root
    assert token.schema == CAPABILITY_SCHEMA
    assert token.signature == AUTHORITY.sign(canonical_bytes(token.schema_body()))
    verify_token(token)


@pytest.mark.parametrize("signed", ["plain", "schema-aware"])
@pytest.mark.parametrize("written", ["without schema", "with schema"])
def test_either_body_may_be_the_signed_one(signed: str, written: str) -> None:
    body = unsigned() if signed == "plain" else unsigned(schema=CAPABILITY_SCHEMA)
    members = json.loads(sign_literally(body))
    if written == "with schema":
        members["schema"] = CAPABILITY_SCHEMA
    else:
        members.pop("schema", None)
    verify_token(parse_token(members))


def test_newer_members_are_never_covered_by_the_plain_body() -> None:
    budget: dict[str, Any] = {"scope": "capability", "max_invocations": 3}
    members = json.loads(sign_literally(unsigned()))
    with pytest.raises(errors.CapabilitySignatureInvalid):
        verify_token(parse_token({**members, "aggregate_invocation_budget": budget}))
    signed = sign_literally(unsigned(schema=CAPABILITY_SCHEMA, aggregate_invocation_budget=budget))
    token = parse_token(signed)
    verify_token(token)
    assert token.max_aggregate_invocations == 3
    assert token.to_wire() == json.loads(signed)


@pytest.mark.parametrize(
    "empty",
    [
        {"delegation_chain": []},
        {"scope": {**SCOPE.to_wire(), "resource_grants": []}},
        {"scope": {"grants": [grant_json(constraints=[])]}},
    ],
    ids=["links", "resource grants", "constraints"],
)
def test_an_empty_list_that_upstream_leaves_out_is_in_no_signed_form(empty: dict[str, Any]) -> None:
    with pytest.raises(errors.CapabilitySignatureInvalid):
        verify_token(parse_token(sign_literally(unsigned(**empty))))
    typed = parse_token({**unsigned(**empty), "signature": "0" * 128}).plain_body()
    signature = AUTHORITY.sign(canonical_bytes(typed)).hex()
    token = parse_token({**unsigned(**empty), "signature": signature})
    verify_token(token)
    assert "[]" not in token.to_json().decode()


def test_caveats_that_are_empty_are_left_out_too() -> None:
    token = parse_token(token_json(caveats=[], scope_attenuations=[]))
    verify_token(token)
    assert token == chain_of_one().root


def test_keys_in_other_spellings_are_the_same_token() -> None:
    members = token_json()
    members["issuer"] = "0x" + members["issuer"].upper()
    members["subject"] = "ed25519:" + members["subject"]
    members["signature"] = members["signature"].upper()
    assert parse_token(members) == chain_of_one().root


def test_both_styles_of_escapes_verify() -> None:
    grant = replace(GRANT, constraints=(Constraint(ConstraintType.PATH_PREFIX, "a\x7fb\x85"),))
    body = unsigned(scope={"grants": [grant.to_wire()]})
    verify_token(parse_token(sign_literally(body)))
    older = canonical_bytes(body).decode().replace("\x7f", "\\u007f").replace("\x85", "\\u0085").encode()
    verify_token(parse_token({**body, "signature": AUTHORITY.sign(older).hex()}))


def test_what_is_written_differently_elsewhere_is_not_signed() -> None:
    grant = replace(GRANT, tool_name="a\x7fb")
    with pytest.raises(MalformedDocument) as refusal:
        sign_token(replace(chain_of_one().root, scope=Scope((grant,))), AUTHORITY)
    assert refusal.value.cause == "control-character"
    link = chain_of_two().leaf.delegation_chain[0]
    with pytest.raises(MalformedDocument):
        sign_link(replace(link, capability_id="a b"), AGENT)


def test_the_algorithm_is_informational_and_not_signed() -> None:
    token = parse_token(token_json(algorithm="ed25519"))
    verify_token(token)
    assert token.to_wire() == token_json(algorithm="ed25519")


# What is not read.


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ([], "capability"),
        (token_json(extra=1), "unknown-member"),
        (token_json(id=...), "missing-member"),
        (token_json(signature=...), "missing-member"),
        (token_json(id=""), "capability-id"),
        (token_json(id="a" * 257), "capability-id"),
        (token_json(id="a b"), "capability-id"),
        (token_json(id="caf\xe9"), "capability-id"),
        (token_json(id=7), "capability-id"),
        (token_json(issuer=None), "issuer"),
        (token_json(issuer="abc"), "public-key"),
        (token_json(subject="did:chio:" + "0" * 64), "public-key"),
        (token_json(signature="00"), "signature"),
        (token_json(signature=None), "signature"),
        (token_json(issued_at=-1), "issued-at"),
        (token_json(issued_at=1.0), "issued-at"),
        (token_json(issued_at=True), "issued-at"),
        (token_json(expires_at="1"), "expires-at"),
        (token_json(expires_at=2**53), "expires-at"),
        (token_json(delegation_chain=None), "delegation-chain"),
        (token_json(delegation_chain=[link_json()] * 17), "delegation-chain"),
        (token_json(algorithm="none"), "algorithm"),
        (token_json(algorithm=None), "algorithm"),
        (token_json(caveats=None), "caveats"),
        (token_json(budget_share_bps=10_001), "budget-share"),
        (token_json(attenuation_proof={}), "missing-member"),
        (token_json(aggregate_invocation_budget={"scope": "all", "max_invocations": 1}),
         "aggregate-invocation-budget"),
        (token_json(aggregate_invocation_budget={"scope": "capability"}), "missing-member"),
        (token_json(scope=None), "scope"),
        (token_json(scope={"tools": []}), "unknown-member"),
        (token_json(scope={"grants": [GRANT.to_wire()] * 65}), "grants"),
        (token_json(scope={"grants": [grant_json(server_id="")]}), "server-id"),
        (token_json(scope={"grants": [grant_json(server_id="a" * 4097)]}), "server-id"),
        (token_json(scope={"grants": [grant_json(tool_name=...)]}), "missing-member"),
        (token_json(scope={"grants": [grant_json(operations=[])]}), "operations"),
        (token_json(scope={"grants": [grant_json(operations=["write"])]}), "operation"),
        (token_json(scope={"grants": [grant_json(operations=[["invoke"]])]}), "operation"),
        (token_json(scope={"grants": [grant_json(constraints=None)]}), "constraints"),
        (token_json(scope={"grants": [grant_json(max_invocations=None)]}), "max-invocations"),
        (token_json(scope={"grants": [grant_json(max_invocations=2**32)]}), "max-invocations"),
        (token_json(scope={"grants": [grant_json(dpop_required=None)]}), "dpop-required"),
        (token_json(scope={"grants": [grant_json(dpop_required=0)]}), "dpop-required"),
        (token_json(scope={"grants": [grant_json(max_total_cost={"units": 1})]}), "missing-member"),
        (token_json(scope={"resource_grants": [{"uri_pattern": "a"}]}), "missing-member"),
        (token_json(scope={"prompt_grants": [{"prompt_name": 1, "operations": ["get"]}]}), "prompt-name"),
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_with_a_word_of_ours(members: Any, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        parse_token(members)
    assert refusal.value.cause == cause


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        (link_json(extra=1), "unknown-member"),
        (link_json(timestamp=...), "missing-member"),
        (link_json(timestamp=-1), "timestamp"),
        (link_json(capability_id=None), "capability-id"),
        (link_json(attenuations=None), "attenuations"),
        (link_json(attenuations=[{"type": "widen"}]), "attenuation-type"),
        (link_json(attenuations=["remove_tool"]), "attenuation"),
        (link_json(attenuations=[{"type": "remove_tool", "server_id": "a"}]), "missing-member"),
        (
            link_json(attenuations=[{"type": "remove_tool", "server_id": "a", "tool_name": "b", "c": 1}]),
            "unknown-member",
        ),
        (link_json(attenuations=[{"type": "shorten_expiry", "new_expires_at": "x"}]), "attenuation"),
        (link_json(scope_hash="AB" * 32), "scope-hash"),
        (link_json(scope_hash=None), "scope-hash"),
        (link_json(child_binding=None), "child-binding"),
    ],
)
def test_what_is_no_link_is_refused_with_a_word_of_ours(members: Any, cause: str) -> None:
    with pytest.raises(MalformedDocument) as refusal:
        parse_link(members)
    assert refusal.value.cause == cause


@pytest.mark.parametrize(
    ("members", "algorithm", "field"),
    [
        (token_json(issuer="p256:04" + "ab" * 64), "p256", "issuer"),
        (token_json(subject="p384:04" + "ab" * 96), "p384", "subject"),
        (token_json(issuer=HYBRID), "hybrid", "issuer"),
        (token_json(issuer="hybrid:"), "hybrid", "issuer"),
        (token_json(signature="p256:3045"), "p256", "signature"),
        (token_json(algorithm="hybrid"), "hybrid", "algorithm"),
        (token_json(delegation_chain=[link_json(delegator=HYBRID)]), "hybrid", "delegator"),
        (token_json(delegation_chain=[link_json(delegatee="p256:")]), "p256", "delegatee"),
        (token_json(delegation_chain=[link_json(signature="p384:00")]), "p384", "signature"),
    ],
)
def test_other_algorithms_are_refused_by_name(members: Any, algorithm: str, field: str) -> None:
    with pytest.raises(errors.UnsupportedKeyAlgorithm) as refusal:
        parse_chain([chain_of_one().root.to_wire(), members])
    assert (refusal.value.index, refusal.value.found, refusal.value.field) == (1, algorithm, field)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        (token_json(schema="chio.capability.v2"), "schema"),
        (token_json(schema=None), "schema"),
        (token_json(caveats=[{"kind": "bind_session", "predicate": "x"}]), "caveats"),
        (
            token_json(aggregate_invocation_budget={"scope": "delegation_family", "max_invocations": 1}),
            "aggregate_invocation_budget",
        ),
        (
            token_json(delegation_chain=[link_json(aggregate_budget={})]),
            "delegation_chain.aggregate_budget",
        ),
        (
            token_json(delegation_chain=[link_json(cumulative_approval={})]),
            "delegation_chain.cumulative_approval",
        ),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(members: Any, field: str) -> None:
    with pytest.raises(errors.UnsupportedCapability) as refusal:
        parse_chain(members)
    assert (refusal.value.index, refusal.value.field) == (0, field)


# Constraints and money.

EXAMPLES: dict[ConstraintType, Any] = {
    ConstraintType.PATH_PREFIX: "/workspace/",
    ConstraintType.DOMAIN_EXACT: "a.example",
    ConstraintType.DOMAIN_GLOB: "*.example",
    ConstraintType.REGEX_MATCH: "^a$",
    ConstraintType.MAX_LENGTH: 8,
    ConstraintType.MAX_ARGS_SIZE: 8,
    ConstraintType.GOVERNED_INTENT_REQUIRED: ...,
    ConstraintType.REQUIRE_APPROVAL_ABOVE: {"threshold_units": 100},
    ConstraintType.SELLER_EXACT: "s",
    ConstraintType.MINIMUM_RUNTIME_ASSURANCE: "attested",
    ConstraintType.MINIMUM_AUTONOMY_TIER: "delegated",
    ConstraintType.CUSTOM: ["rate_limit", "10/min"],
    ConstraintType.TABLE_ALLOWLIST: ["b", "a"],
    ConstraintType.COLUMN_DENYLIST: ["t.c"],
    ConstraintType.MAX_ROWS_RETURNED: 10_000,
    ConstraintType.OPERATION_CLASS: "read_only",
    ConstraintType.AUDIENCE_ALLOWLIST: [],
    ConstraintType.CONTENT_REVIEW_TIER: "strict",
    ConstraintType.MAX_TRANSACTION_AMOUNT_USD: "100.00",
    ConstraintType.REQUIRE_DUAL_APPROVAL: True,
    ConstraintType.MODEL_CONSTRAINT: {"allowed_model_ids": ["m"], "min_safety_tier": None},
    ConstraintType.MEMORY_STORE_ALLOWLIST: ["s"],
    ConstraintType.MEMORY_WRITE_DENY_PATTERNS: ["p"],
}


def constraint_json(kind: ConstraintType) -> dict[str, Any]:
    value = EXAMPLES[kind]
    return {"type": kind.value} if value is ... else {"type": kind.value, "value": value}


@pytest.mark.parametrize("kind", ConstraintType)
def test_every_constraint_is_read_and_written(kind: ConstraintType) -> None:
    constraint = parse_constraint(constraint_json(kind))
    assert constraint.type is kind
    assert constraint.to_wire() == constraint_json(kind)
    assert constraint == parse_constraint(constraint.to_wire())
    assert hash(constraint) == hash(parse_constraint(constraint.to_wire()))


@pytest.mark.parametrize("kind", ConstraintType)
@pytest.mark.parametrize("value", [None, -1, 1.5, {"a": 1}, [1], "x" * 4097, ...], ids=repr)
def test_a_constraint_with_another_shape_of_value_is_refused(kind: ConstraintType, value: Any) -> None:
    members: dict[str, Any] = {"type": kind.value}
    if value is not ...:
        members["value"] = value
    if members == constraint_json(kind):
        return
    with pytest.raises(MalformedDocument):
        parse_constraint(members)


@pytest.mark.parametrize(
    "members",
    [
        None,
        {},
        {"type": "unheard_of", "value": 1},
        {"type": "unheard_of"},
        {"type": ["path_prefix"], "value": "a"},
        {"type": "path_prefix", "value": "a", "note": 1},
        {"type": "governed_intent_required", "value": None},
        {"type": "custom", "value": ["a"]},
        {"type": "operation_class", "value": "none"},
        {"type": "model_constraint", "value": {"allowed_model_ids": [], "min_safety_tier": "top"}},
    ],
)
def test_an_unknown_constraint_is_refused(members: Any) -> None:
    with pytest.raises(MalformedDocument):
        parse_constraint(members)


def test_the_safety_tier_of_models_is_written_as_null_as_upstream_does() -> None:
    constraint = parse_constraint({"type": "model_constraint", "value": {"allowed_model_ids": []}})
    assert constraint.value == ModelBounds((), None)
    assert canonical_bytes(constraint.to_wire()) == (
        b'{"type":"model_constraint","value":{"allowed_model_ids":[],"min_safety_tier":null}}'
    )


def test_constraints_are_ordered_and_equal_by_their_canonical_form() -> None:
    constraints = [parse_constraint(constraint_json(kind)) for kind in ConstraintType]
    assert [each.canonical for each in sorted(constraints)] == sorted(each.canonical for each in constraints)
    lists = [Constraint(ConstraintType.TABLE_ALLOWLIST, value) for value in (("a", "b"), ("b", "a"))]
    assert lists[0] != lists[1]


@pytest.mark.parametrize(
    "value",
    [None, {}, {"units": 1}, {"units": -1, "currency": "USD"}, {"units": 1, "currency": "usd"},
     {"units": 1, "currency": "US"}, {"units": 1, "currency": "USD", "rate": 1}, {"units": 1.0, "currency": "USD"}],
)  # fmt: skip
def test_what_is_no_money_is_refused(value: Any) -> None:
    with pytest.raises(MalformedDocument):
        parse_money(value)


def test_money_is_compared_in_its_own_currency() -> None:
    assert Money(5, "USD").is_within(Money(5, "USD"))
    assert not Money(6, "USD").is_within(Money(5, "USD"))
    assert not Money(1, "EUR").is_within(Money(5, "USD"))
    assert str(parse_money({"units": 5000, "currency": "USD"})) == "5000 USD"


def test_a_scope_is_hashed_in_its_typed_form() -> None:
    scope = Scope(
        grants=(ToolGrant("s", "t", (Operation.INVOKE,)),),
        resource_grants=(ResourceGrant("*", (Operation.READ,)),),
    )
    assert parse_scope({**scope.to_wire(), "prompt_grants": []}).sha256 == scope.sha256
    assert Scope().to_wire() == {}
    assert Scope().is_empty
    assert not scope.is_empty
    assert not Scope(grants=scope.grants).is_empty
    assert not Scope(resource_grants=scope.resource_grants).is_empty
    assert not Scope(prompt_grants=(PromptGrant("*", (Operation.GET,)),)).is_empty


@pytest.mark.parametrize(
    ("server", "tool", "covered"),
    [("s", "t", True), ("s", "*", True), ("*", "*", True), ("s", "u", False), ("r", "t", False)],
)
def test_a_grant_covers_its_tool_or_any(server: str, tool: str, covered: bool) -> None:
    assert ToolGrant(server, tool, (Operation.INVOKE,)).covers("s", "t") is covered


# Era B: hashes, proofs and bindings.


def changed_link(chain: Chain, place: int = -1, **changes: Any) -> Chain:
    """Change one link of the leaf, and sign it and the leaf anew."""
    links = list(chain.leaf.delegation_chain)
    holder = WORKER if len(links) == 2 else AGENT
    links[place] = sign_link(replace(links[place], **changes), holder)
    return Chain((*chain.tokens[:-1], sign_token(replace(chain.leaf, delegation_chain=tuple(links)), holder)))


def changed_leaf(chain: Chain, **changes: Any) -> Chain:
    holder = WORKER if len(chain.tokens) == 3 else AGENT
    return Chain((*chain.tokens[:-1], sign_token(replace(chain.leaf, **changes), holder)))


def binding(chain: Chain) -> Any:
    found = chain.leaf.delegation_chain[-1].child_binding
    assert found is not None
    return found


def proof(chain: Chain) -> Any:
    assert chain.leaf.attenuation_proof is not None
    return chain.leaf.attenuation_proof


TWO: Callable[[], Chain] = lambda: chain_of_two(newer=True)  # noqa: E731 - a name for the table
THREE: Callable[[], Chain] = lambda: chain_of_three(newer=True)  # noqa: E731 - a name for the table

BINDINGS: dict[str, tuple[Callable[[], Chain], type[errors.ChainDefect], str]] = {
    "scope hash of another scope": (
        lambda: changed_link(TWO(), scope_hash="0" * 64),
        errors.ScopeBindingInvalid,
        "scope_hash",
    ),
    "scope hash absent": (
        lambda: changed_link(TWO(), scope_hash=None),
        errors.ScopeBindingInvalid,
        "scope_hash",
    ),
    "scope hash alone, of another scope": (
        lambda: changed_link(chain_of_two(), scope_hash="0" * 64),
        errors.ScopeBindingInvalid,
        "scope_hash",
    ),
    "binding without a scope hash": (
        lambda: changed_link(chain_of_two(), child_binding=binding(TWO())),
        errors.ScopeBindingInvalid,
        "scope_hash",
    ),
    "proof absent": (
        lambda: changed_leaf(TWO(), attenuation_proof=None, budget_share_bps=5),
        errors.ScopeBindingInvalid,
        "attenuation_proof",
    ),
    "proof of another parent": (
        lambda: changed_leaf(TWO(), attenuation_proof=replace(proof(TWO()), parent_scope_hash="0" * 64)),
        errors.ScopeBindingInvalid,
        "attenuation_proof",
    ),
    "proof that quotes another child": (
        lambda: changed_leaf(TWO(), attenuation_proof=replace(proof(TWO()), child_scope="{}")),
        errors.ScopeBindingInvalid,
        "attenuation_proof",
    ),
    "a link of three without its binding": (
        lambda: changed_link(THREE(), child_binding=None),
        errors.ScopeBindingInvalid,
        "child_binding",
    ),
    "binding of another child": (
        lambda: changed_link(TWO(), child_binding=replace(binding(TWO()), capability_id="cap-other")),
        errors.ScopeBindingInvalid,
        "child_binding.capabilityId",
    ),
    "binding that begins at another time": (
        lambda: changed_link(TWO(), child_binding=replace(binding(TWO()), issued_at=ISSUED)),
        errors.ScopeBindingInvalid,
        "child_binding.issuedAt",
    ),
    "binding that ends at another time": (
        lambda: changed_link(TWO(), child_binding=replace(binding(TWO()), expires_at=EXPIRES - 1)),
        errors.ScopeBindingInvalid,
        "child_binding.expiresAt",
    ),
    "binding of another share": (
        lambda: changed_link(TWO(), child_binding=replace(binding(TWO()), budget_share_bps=1)),
        errors.ScopeBindingInvalid,
        "child_binding.budgetShareBps",
    ),
    "binding with another proof": (
        lambda: changed_link(
            TWO(),
            child_binding=replace(
                binding(TWO()), attenuation_proof=replace(proof(TWO()), restricted_predicates=("x",))
            ),
        ),
        errors.ScopeBindingInvalid,
        "child_binding.attenuationProof",
    ),
    "a root that claims to be attenuated": (
        lambda: Chain((sign_token(replace(chain_of_one().root, budget_share_bps=1), AUTHORITY),)),
        errors.UnsupportedCapability,
        "attenuation_proof",
    ),
    "a declared attenuation of the token": (
        lambda: changed_leaf(
            TWO(),
            scope_attenuations=parse_link(
                link_json(attenuations=[{"type": "shorten_expiry", "new_expires_at": 1}])
            ).attenuations,
        ),
        errors.AttenuationNotApplied,
        "scope_attenuations[0]",
    ),
}


@pytest.mark.parametrize("name", BINDINGS)
def test_a_binding_that_does_not_fit_is_refused(name: str) -> None:
    build, kind, field = BINDINGS[name]
    chain = parse_chain(json.loads(json.dumps([token.to_wire() for token in build().tokens])))
    with pytest.raises(errors.ChainDefect) as refusal:
        verify_chain(chain, now=NOW)
    assert type(refusal.value) is kind
    assert refusal.value.field == field


def with_shares(first: int | None, second: int | None) -> Chain:
    """A chain of three whose children have shares of the budget, bound as era B binds them."""
    chain = chain_of_three(newer=True)
    middle = chain.tokens[1]
    first_link = sign_link(
        replace(
            middle.delegation_chain[0],
            child_binding=replace(binding(Chain(chain.tokens[:2])), budget_share_bps=first),
        ),
        AGENT,
    )
    middle = sign_token(replace(middle, delegation_chain=(first_link,), budget_share_bps=first), AGENT)
    second_link = sign_link(
        replace(
            chain.leaf.delegation_chain[1],
            child_binding=replace(binding(chain), budget_share_bps=second),
        ),
        WORKER,
    )
    leaf = replace(chain.leaf, delegation_chain=(first_link, second_link), budget_share_bps=second)
    return Chain((chain.root, middle, sign_token(leaf, WORKER)))


@pytest.mark.parametrize(("first", "second"), [(None, None), (5000, 5000), (5000, 0), (None, 10_000)])
def test_a_share_may_shrink(first: int | None, second: int | None) -> None:
    verify_chain(with_shares(first, second), now=NOW)


@pytest.mark.parametrize(("first", "second"), [(5000, 5001), (5000, None), (0, 1)])
def test_a_share_never_grows(first: int | None, second: int | None) -> None:
    with pytest.raises(errors.CapabilityWidened) as refusal:
        verify_chain(with_shares(first, second), now=NOW)
    assert (refusal.value.index, refusal.value.field) == (2, "budget_share_bps")


@pytest.mark.parametrize(
    "witness",
    [
        {"normalizedParentScope": "{}", "normalizedChildScope": "{}", "unheardOf": 1},
        {"normalizedParentScope": "{}"},
        {"normalizedParentScope": "{}", "normalizedChildScope": {}},
        {"normalizedParentScope": "{}", "normalizedChildScope": "{}", "subsetRelations": [1]},
        {"normalizedParentScope": "{}", "normalizedChildScope": "{}", "restrictedPredicates": [1]},
        {
            "normalizedParentScope": "{}",
            "normalizedChildScope": "{}",
            "subsetRelations": [{"grantKind": "tool", "childIndex": 0, "parentIndex": 0, "subset": False}],
        },
        {
            "normalizedParentScope": "{}",
            "normalizedChildScope": "{}",
            "subsetRelations": [{"grantKind": "other", "childIndex": 0, "parentIndex": 0, "subset": True}],
        },
        {"normalizedParentScope": "{}", "normalizedChildScope": " " * (64 * 1024 + 1)},
    ],
)
def test_what_is_no_witness_is_refused(witness: dict[str, Any]) -> None:
    value = {"parentScopeHash": "0" * 64, "childScopeHash": "0" * 64, "normalizedSubsetProof": witness}
    with pytest.raises(MalformedDocument):
        parse_token(token_json(attenuation_proof=value))


def test_a_witness_with_relations_is_written_back() -> None:
    value = proof(TWO()).to_wire()
    value["normalizedSubsetProof"]["subsetRelations"] = [
        {"grantKind": "tool", "childIndex": 0, "parentIndex": 0, "subset": True}
    ]
    value["normalizedSubsetProof"]["restrictedPredicates"] = ["tool:a:b:constraint"]
    assert parse_token(token_json(attenuation_proof=value)).to_wire()["attenuation_proof"] == value


@pytest.mark.parametrize("marker", ["aggregateBudget", "cumulativeApproval"])
def test_markers_of_families_are_refused_by_name(marker: str) -> None:
    value = proof(TWO()).to_wire()
    value["normalizedSubsetProof"][marker] = {}
    with pytest.raises(errors.UnsupportedCapability) as refusal:
        parse_token(token_json(attenuation_proof=value))
    assert refusal.value.field == f"attenuation_proof.{marker}"


def test_a_proof_that_is_not_needed_is_not_asked_for() -> None:
    link = changed_link(chain_of_two(), scope_hash=SCOPE.sha256)
    verify_chain(link, now=NOW)


LINKS = chain_of_three().leaf.delegation_chain


def test_links_verify_by_themselves_up_to_the_depth() -> None:
    verify_links(LINKS, max_depth=2)
    verify_links((), max_depth=0)
    again = sign_link(replace(LINKS[1], timestamp=LINKS[0].timestamp), WORKER)
    verify_links((LINKS[0], again))


@pytest.mark.parametrize(
    ("links", "kind"),
    [
        (LINKS * 3, errors.DelegationTooDeep),
        (LINKS[::-1], errors.DelegationBroken),
        (
            (LINKS[0], sign_link(replace(LINKS[1], timestamp=LINKS[0].timestamp - 1), WORKER)),
            errors.DelegationTimeInvalid,
        ),
        ((LINKS[0], replace(LINKS[1], signature=LINKS[0].signature)), errors.LinkSignatureInvalid),
    ],
    ids=["too many", "not joined", "back in time", "signature"],
)
def test_links_that_do_not_hold_by_themselves(links: Any, kind: type[errors.ChainDefect]) -> None:
    with pytest.raises(kind):
        verify_links(links)


def test_a_link_verifies_by_itself() -> None:
    link = chain_of_two().leaf.delegation_chain[0]
    verify_link(parse_link(link.to_wire()))
    with pytest.raises(errors.LinkSignatureInvalid) as refusal:
        verify_link(replace(link, timestamp=link.timestamp + 1), index=3)
    assert refusal.value.link == 3


def test_a_token_that_is_signed_has_been_read_back() -> None:
    token = CapabilityToken(
        id="not printable \n",
        issuer=AUTHORITY.public_key,
        subject=AGENT.public_key,
        scope=Scope(),
        issued_at=ISSUED,
        expires_at=EXPIRES,
    )
    with pytest.raises(ProtocolError):
        sign_token(token, AUTHORITY)
