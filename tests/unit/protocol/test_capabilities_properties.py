"""Properties of chains: no change of a byte and no widening is accepted, and narrowing always is."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bilateral.protocol.canonical import canonical_bytes, plain_canonical_bytes
from bilateral.protocol.capabilities.attenuations import RemoveTool, ShortenExpiry
from bilateral.protocol.capabilities.bodies import write_link, write_token
from bilateral.protocol.capabilities.chains import Chain, parse_chain, verify_chain
from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.errors import CapabilityWidened, ChainDefect
from bilateral.protocol.capabilities.grants import Operation, PromptGrant, ResourceGrant, Scope, ToolGrant
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.capabilities.subsets import (
    delegable_part,
    find_tool_widening,
    find_widening,
    is_pattern_within,
)
from bilateral.protocol.capabilities.tokens import CAPABILITY_SCHEMA
from support.chains import EXPIRES, GRANT, ISSUED, NOW, SCOPE, chain_of_three, chain_of_two, resign

CHAINS = {newer: chain_of_three(newer=newer) for newer in (False, True)}
WIRES = {
    newer: json.dumps([token.to_wire() for token in chain.tokens], separators=(",", ":")).encode()
    for newer, chain in CHAINS.items()
}


def accepted(data: bytes) -> Chain | None:
    try:
        return verify_chain(parse_chain(data), now=NOW)
    except ChainDefect:
        return None


@settings(deadline=None, max_examples=300)
@given(newer=st.booleans(), data=st.data())
def test_no_changed_byte_gives_another_chain(newer: bool, data: st.DataObject) -> None:
    wire = WIRES[newer]
    place = data.draw(st.integers(0, len(wire) - 1))
    changed = bytearray(wire)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != wire[place]))
    chain = accepted(bytes(changed))
    # Another spelling of the same value (a key's digits in upper case) is the same chain.
    assert chain is None or chain.tokens == CHAINS[newer].tokens


@settings(deadline=None, max_examples=100)
@given(newer=st.booleans(), data=st.data())
def test_no_added_member_is_accepted(newer: bool, data: st.DataObject) -> None:
    tokens = json.loads(WIRES[newer])
    members = tokens[data.draw(st.integers(0, 2))]
    if "delegation_chain" in members and data.draw(st.booleans()):
        members = members["delegation_chain"][-1]
    elif data.draw(st.booleans()):
        members = members["scope"]["grants"][0]
    name = data.draw(st.sampled_from(["x", "schema2", "Scope", "max_invocations ", "note"]))
    members[name] = data.draw(st.sampled_from([None, 0, "", [], {}]))
    assert accepted(json.dumps(tokens).encode()) is None


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=400))
def test_nothing_but_a_defect_comes_of_any_bytes(data: bytes) -> None:
    assert accepted(data) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(value=json_values, data=st.data())
def test_any_value_in_any_place_is_refused_or_the_same(value: object, data: st.DataObject) -> None:
    tokens = json.loads(WIRES[True])
    holder, key = tokens, data.draw(st.integers(0, 2))
    while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
        holder = holder[key]
        keys = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
    holder[key] = value
    chain = accepted(json.dumps(tokens).encode())
    assert chain is None or chain.tokens == CHAINS[True].tokens


words = st.sampled_from(["a", "b", "*"])
operations = st.lists(st.sampled_from(Operation), min_size=1, max_size=4, unique=True).map(tuple)
limits = st.none() | st.integers(0, 20)
money = st.none() | st.builds(Money, st.integers(0, 20), st.sampled_from(["USD", "EUR"]))
constraints = st.lists(
    st.builds(Constraint, st.just(ConstraintType.MAX_LENGTH), st.integers(0, 3)), max_size=2, unique=True
).map(tuple)
tool_grants = st.builds(
    ToolGrant,
    server_id=words,
    tool_name=words,
    operations=operations,
    constraints=constraints,
    max_invocations=limits,
    max_cost_per_invocation=money,
    max_total_cost=money,
    dpop_required=st.sampled_from([None, False, True]),
)


@st.composite
def narrowed(draw: st.DrawFn, parent: ToolGrant) -> ToolGrant:
    """A grant within ``parent``, made member by member; at times one member is any that there is."""
    kept = draw(st.lists(st.sampled_from(parent.operations), min_size=1, unique=True))
    times, cost, total = parent.max_invocations, parent.max_cost_per_invocation, parent.max_total_cost
    grant = ToolGrant(
        server_id=draw(words) if parent.server_id == "*" else parent.server_id,
        tool_name=draw(words) if parent.tool_name == "*" else parent.tool_name,
        operations=tuple(kept),
        constraints=tuple(dict.fromkeys((*draw(constraints), *parent.constraints))),
        max_invocations=draw(limits if times is None else st.integers(0, times)),
        max_cost_per_invocation=draw(less(cost)),
        max_total_cost=draw(less(total)),
        dpop_required=parent.dpop_required or draw(st.sampled_from([None, False, True])),
    )
    if draw(st.integers(0, 3)) == 0:
        other = draw(tool_grants)
        name = draw(st.sampled_from([field.name for field in fields(ToolGrant)]))
        grant = replace(grant, **{name: getattr(other, name)})
    return grant


def less(parent: Money | None) -> st.SearchStrategy[Money | None]:
    if parent is None:
        return money
    return st.builds(Money, st.integers(0, parent.units), st.just(parent.currency))


patterns = st.sampled_from(["*", "a", "a*", "ab*", "abc", "b*"])
scopes = st.builds(
    Scope,
    grants=st.lists(tool_grants, max_size=3).map(tuple),
    resource_grants=st.lists(st.builds(ResourceGrant, patterns, operations), max_size=2).map(tuple),
    prompt_grants=st.lists(st.builds(PromptGrant, patterns, operations), max_size=2).map(tuple),
)


def may(grant: ToolGrant, server: str, tool: str, operation: Operation, times: int, cost: Money) -> bool:
    """Whether a call is allowed by one grant, said without comparing grants."""
    return (
        grant.server_id in {"*", server}
        and grant.tool_name in {"*", tool}
        and operation in grant.operations
        and (grant.max_invocations is None or times <= grant.max_invocations)
        and (grant.max_cost_per_invocation is None or cost.is_within(grant.max_cost_per_invocation))
        and (grant.max_total_cost is None or cost.is_within(grant.max_total_cost))
    )


@settings(deadline=None, max_examples=500)
@given(
    pair=tool_grants.flatmap(lambda parent: st.tuples(narrowed(parent), st.just(parent))),
    server=st.sampled_from(["a", "b", "c"]),
    tool=st.sampled_from(["a", "b", "c"]),
    operation=st.sampled_from(Operation),
    times=st.integers(0, 25),
    cost=st.builds(Money, st.integers(0, 25), st.sampled_from(["USD", "EUR"])),
)
def test_a_call_that_the_child_allows_the_parent_allows(
    pair: tuple[ToolGrant, ToolGrant],
    server: str,
    tool: str,
    operation: Operation,
    times: int,
    cost: Money,
) -> None:
    child, parent = pair
    assume(find_tool_widening(child, parent) is None)
    assert not may(child, server, tool, operation, times, cost) or may(
        parent, server, tool, operation, times, cost
    )
    assert set(parent.constraints) <= set(child.constraints)
    assert parent.dpop_required is not True or child.dpop_required is True


@given(scope=scopes, server=st.text(min_size=1, max_size=8))
def test_the_short_way_to_canonical_bytes_is_exact_for_typed_values(scope: Scope, server: str) -> None:
    named = replace(scope, grants=(*scope.grants, replace(GRANT, server_id=server)))
    assert plain_canonical_bytes(named.to_wire()) == canonical_bytes(named.to_wire())
    for token in (*CHAINS[False].tokens, *CHAINS[True].tokens):
        assert plain_canonical_bytes(token.schema_body()) == canonical_bytes(token.schema_body())


@given(scope=scopes, name=st.text(min_size=1, max_size=8), newer=st.booleans())
def test_what_is_verified_are_the_canonical_bytes_of_the_body(scope: Scope, name: str, newer: bool) -> None:
    named = replace(scope, grants=(*scope.grants, replace(GRANT, server_id=name)))
    for token in CHAINS[newer].tokens:
        plain = replace(token, id='a"b\\c', scope=named, attenuation_proof=None, budget_share_bps=None)
        assert write_token(plain, None) == canonical_bytes(plain.plain_body())
        assert write_token(plain, CAPABILITY_SCHEMA) == canonical_bytes(plain.schema_body())
    for link in CHAINS[newer].leaf.delegation_chain:
        for attenuations in ((), (RemoveTool(name, "*"), ShortenExpiry(7))):
            told = replace(link, attenuations=attenuations)
            assert write_link(told) == canonical_bytes(told.body())


@given(scope=scopes)
def test_a_scope_lies_within_itself_and_its_delegable_part_within_it(scope: Scope) -> None:
    # A grant that stands twice is refused elsewhere; its budget would be needed twice.
    assume(len(set(scope.grants)) == len(scope.grants))
    assert find_widening(scope, scope) is None or len(scope.grants) > 1
    single = replace(scope, grants=scope.grants[:1])
    assert find_widening(single, single) is None
    assert find_widening(delegable_part(single), single) is None
    assert find_widening(Scope(), scope) is None


@settings(deadline=None, max_examples=500)
@given(parent=tool_grants, data=st.data())
def test_lying_within_is_transitive(parent: ToolGrant, data: st.DataObject) -> None:
    middle = data.draw(narrowed(parent))
    child = data.draw(narrowed(middle))
    assume(find_tool_widening(child, middle) is None and find_tool_widening(middle, parent) is None)
    assert find_tool_widening(child, parent) is None


@given(child=patterns, parent=patterns, text=st.text(alphabet="abc", max_size=4))
def test_a_text_in_the_child_pattern_is_in_the_parents(child: str, parent: str, text: str) -> None:
    if is_pattern_within(child, parent) and is_pattern_within(text, child):
        assert is_pattern_within(text, parent)


@settings(deadline=None, max_examples=300)
@given(parent=tool_grants, data=st.data())
def test_budgets_never_multiply(parent: ToolGrant, data: st.DataObject) -> None:
    children = data.draw(st.lists(narrowed(parent), max_size=4))
    assume(find_widening(Scope(tuple(children)), Scope((parent,))) is None)
    if parent.max_invocations is not None:
        assert sum(each.max_invocations or 0 for each in children) <= parent.max_invocations
    if parent.max_total_cost is not None:
        totals = [each.max_total_cost for each in children]
        assert sum(0 if each is None else each.units for each in totals) <= parent.max_total_cost.units


# What may be signed: no control characters that implementations write differently.
names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8) | st.just("*")


def widened(grant: ToolGrant, draw: st.DrawFn) -> ToolGrant:
    """Widen one dimension of a grant that has a limit in every one."""
    assert grant.max_invocations is not None
    more = draw(st.integers(1, 2**31))
    match draw(st.sampled_from(["server", "tool", "ops", "times", "cost", "total", "constraint", "dpop"])):
        case "server":
            return replace(grant, server_id=draw(names.filter(lambda name: name != grant.server_id)))
        case "tool":
            return replace(grant, tool_name=draw(names.filter(lambda name: name != grant.tool_name)))
        case "ops":
            extra = draw(st.sampled_from([each for each in Operation if each not in grant.operations]))
            return replace(grant, operations=(*grant.operations, extra))
        case "times":
            times = draw(st.sampled_from([None, grant.max_invocations + more]))
            return replace(grant, max_invocations=times)
        case "cost":
            return replace(
                grant,
                max_cost_per_invocation=draw(
                    st.sampled_from([None, Money(500 + more, "USD"), Money(1, "EUR")])
                ),
            )
        case "total":
            return replace(
                grant,
                max_total_cost=draw(st.sampled_from([None, Money(5000 + more, "USD"), Money(1, "EUR")])),
            )
        case "constraint":
            return replace(grant, constraints=(Constraint(ConstraintType.MAX_ROWS_RETURNED, 10_000 + more),))
        case _:
            return replace(grant, dpop_required=draw(st.sampled_from([None, False])))


@st.composite
def wider_grants(draw: st.DrawFn) -> ToolGrant:
    return widened(GRANT, draw)


@settings(deadline=None, max_examples=200)
@given(grant=wider_grants())
def test_widening_in_any_dimension_is_refused_although_every_signature_holds(grant: ToolGrant) -> None:
    chain = resign(chain_of_two(), scope=Scope((grant,)))
    with pytest.raises(CapabilityWidened):
        verify_chain(chain, now=NOW)


@settings(deadline=None, max_examples=100)
@given(issued=st.integers(-500, 500), expires=st.integers(-500, 500), stamp=st.integers(-500, 500))
def test_the_times_of_a_child_are_inside_its_parents_or_refused(
    issued: int, expires: int, stamp: int
) -> None:
    chain = resign(
        chain_of_two(),
        link={"timestamp": ISSUED + stamp},
        issued_at=ISSUED + issued,
        expires_at=EXPIRES + expires,
        scope=SCOPE,
    )
    is_right = 0 <= stamp <= issued and expires <= 0
    try:
        verify_chain(chain, now=NOW)
    except ChainDefect:
        assert not is_right
    else:
        assert is_right
