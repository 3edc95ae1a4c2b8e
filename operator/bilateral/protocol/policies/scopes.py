"""Clamping: what is left of a capability's scope under a policy, and what was taken, field by field.

The effective scope is the intersection. Rules:

- A server or tool that the policy does not name is dropped; ``*`` becomes what the policy names.
- The bound of ``row_limit`` becomes the constraint ``max_rows_returned``, the smaller of the two
  numbers; every other bound becomes a ``custom`` constraint of the parameter's name and its bound.
- With a budget, no grant may cost more in total or at once; an amount in another currency cannot be
  compared, so the grant is dropped.
- A grant that demands more autonomy than the policy's ceiling could never be used, and is dropped.
- A policy says nothing of resources and prompts, so none are left.
- A limit on the invocations of the whole capability is one on each of its grants.
- Constraints that the policy does not speak of stay as they were: the kernel enforces them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from bilateral.protocol.capabilities.constraints import Constraint, ConstraintType
from bilateral.protocol.capabilities.grants import ANY, Scope, ToolGrant
from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.policies.policy import ROW_LIMIT, Bound, MaxScope, Policy, ToolBound
from bilateral.protocol.policies.questions import NOTHING, Call, Clamp, shown
from bilateral.protocol.policies.tiers import parse_tier
from bilateral.protocol.reasons import Reason

MAX_EFFECTIVE_GRANTS: Final = 4096
"""More than this many grants cannot be shown; a capability for everything against a long policy."""


@dataclass(frozen=True, slots=True)
class Clamped:
    """What is left, what was taken, and why nothing is left of each grant that was dropped."""

    scope: Scope
    clamps: tuple[Clamp, ...]
    dropped: tuple[Reason, ...]
    too_large: bool = False


def clamp_scope(
    policy: Policy, scope: Scope, call: Call | None = None, max_invocations: int | None = None
) -> Clamped:
    """Intersect a scope with a policy; with a ``call``, only for its server and tool.

    ``max_invocations`` is the capability's own limit on all its grants together.
    """
    kept: list[ToolGrant] = []
    clamps: list[Clamp] = []
    dropped: list[Reason] = []
    for index, grant in enumerate(scope.grants):
        place = f"grants[{index}]"
        if call is not None and not grant.covers(call.tool_server, call.tool):
            continue
        targets = _targets(policy.max_scope, grant, call)
        if len(kept) + len(targets) > MAX_EFFECTIVE_GRANTS:
            return Clamped(Scope(), (), (), too_large=True)
        if not targets:
            reason = _unreachable(policy.max_scope, grant)
            dropped.append(reason)
            clamps.append(Clamp(place, _target(grant), "maxScope", NOTHING))
            continue
        refusal = _unusable(policy, grant)
        if refusal is not None:
            dropped.append(refusal[0])
            clamps.append(Clamp(place, *refusal[1:], NOTHING))
            continue
        clamps += _wildcards(place, grant, targets)
        paid = _within_budget(policy.max_scope.budget, _within_invocations(max_invocations, grant))
        clamps += _money_clamps(place, grant, paid)
        narrowed: list[Clamp] = []
        for server, tool in targets:
            bounds = policy.max_scope.bounds_of(server, tool)
            constraints, by_bounds = _bounded(place, grant.constraints, bounds)
            narrowed += by_bounds
            kept.append(_narrowed(paid, server, tool, constraints))
        clamps += dict.fromkeys(narrowed) if len(targets) > 1 else narrowed
    if call is None:
        for name, count in (
            ("resource_grants", len(scope.resource_grants)),
            ("prompt_grants", len(scope.prompt_grants)),
        ):
            if count:
                clamps.append(Clamp(name, str(count), "0", "0"))
    return Clamped(Scope(grants=tuple(kept)), tuple(clamps), tuple(dropped))


def row_limit(grant: ToolGrant) -> int | None:
    """How many rows a grant lets be returned, if it says so."""
    return min(_row_limits(grant.constraints), default=None)


def _targets(scope: MaxScope, grant: ToolGrant, call: Call | None) -> list[tuple[str, str]]:
    """The servers and tools that a grant reaches and the policy names, in the order of the policy."""
    if call is not None:
        servers: Sequence[str] = (call.tool_server,)
        tools: Sequence[str] = (call.tool,)
    else:
        servers = scope.tool_servers if grant.server_id == ANY else (grant.server_id,)
        tools = scope.tool_names if grant.tool_name == ANY else (grant.tool_name,)
    return [(server, tool) for server in servers for tool in tools if scope.bounds_of(server, tool)]


def _unreachable(scope: MaxScope, grant: ToolGrant) -> Reason:
    if grant.server_id != ANY and not scope.allows_server(grant.server_id):
        return Reason.TOOL_SERVER_NOT_ALLOWED
    return Reason.TOOL_NOT_ALLOWED


def _unusable(policy: Policy, grant: ToolGrant) -> tuple[Reason, str, str] | None:
    """Why a grant cannot be used at all: the reason, what was presented, the ceiling."""
    for constraint in grant.constraints:
        if constraint.type is ConstraintType.MINIMUM_AUTONOMY_TIER:
            tier = parse_tier(str(constraint.value))
            if tier.rank > policy.max_autonomy_tier.rank:
                return Reason.AUTONOMY_TIER_EXCEEDED, tier.value, policy.max_autonomy_tier.value
    budget = policy.max_scope.budget
    if budget is not None:
        for amount in (grant.max_total_cost, grant.max_cost_per_invocation):
            if amount is not None and amount.currency != budget.currency:
                return Reason.CURRENCY_MISMATCH, amount.currency, budget.currency
    return None


def _narrowed(
    grant: ToolGrant, server_id: str, tool_name: str, constraints: tuple[Constraint, ...]
) -> ToolGrant:
    """The grant for one tool; written out, because ``replace`` takes three times as long."""
    return ToolGrant(
        server_id,
        tool_name,
        grant.operations,
        constraints,
        grant.max_invocations,
        grant.max_cost_per_invocation,
        grant.max_total_cost,
        grant.dpop_required,
    )


def _within_invocations(limit: int | None, grant: ToolGrant) -> ToolGrant:
    if limit is None or (grant.max_invocations is not None and grant.max_invocations <= limit):
        return grant
    return replace(grant, max_invocations=limit)


def _within_budget(budget: Money | None, grant: ToolGrant) -> ToolGrant:
    """The grant with no amount above the budget; one without a total gets the budget as its total."""
    if budget is None:
        return grant
    total, each = grant.max_total_cost, grant.max_cost_per_invocation
    if total is None or not total.is_within(budget):
        total = budget
    if each is not None and not each.is_within(budget):
        each = budget
    if (total, each) == (grant.max_total_cost, grant.max_cost_per_invocation):
        return grant
    return replace(grant, max_total_cost=total, max_cost_per_invocation=each)


def _money_clamps(place: str, grant: ToolGrant, paid: ToolGrant) -> Iterator[Clamp]:
    for field, before, after in (
        ("max_total_cost", grant.max_total_cost, paid.max_total_cost),
        ("max_cost_per_invocation", grant.max_cost_per_invocation, paid.max_cost_per_invocation),
    ):
        if before != after:
            presented = NOTHING if before is None else str(before)
            yield Clamp(f"{place}.{field}", presented, str(after), str(after))


def _wildcards(place: str, grant: ToolGrant, targets: Sequence[tuple[str, str]]) -> Iterator[Clamp]:
    for field, presented, column in (("server_id", grant.server_id, 0), ("tool_name", grant.tool_name, 1)):
        if presented == ANY:
            names = ", ".join(dict.fromkeys(target[column] for target in targets))
            yield Clamp(f"{place}.{field}", ANY, names, names)


def _bounded(
    place: str, constraints: tuple[Constraint, ...], bounds: Sequence[ToolBound]
) -> tuple[tuple[Constraint, ...], list[Clamp]]:
    """The constraints with the policy's bounds among them, and the clamps that this makes."""
    built, clamps = list(constraints), list[Clamp]()
    for bound in bounds:
        for name, ceiling in bound.parameter_bounds.items():
            if name == ROW_LIMIT and isinstance(ceiling, int):
                presented = min(_row_limits(built), default=None)
                if presented is None or presented > ceiling:
                    built = [each for each in built if each.type is not ConstraintType.MAX_ROWS_RETURNED]
                    built.append(Constraint(ConstraintType.MAX_ROWS_RETURNED, ceiling))
                    shown_as = NOTHING if presented is None else str(presented)
                    clamps.append(Clamp(f"{place}.max_rows_returned", shown_as, str(ceiling), str(ceiling)))
                continue
            spelt = spell_bound(ceiling)
            added = Constraint(ConstraintType.CUSTOM, (name, spelt))
            if added not in built:
                built.append(added)
                clamps.append(Clamp(f"{place}.parameters.{shown(name)}", NOTHING, spelt, spelt))
    return tuple(built), clamps


@lru_cache(maxsize=1024)
def spell_bound(bound: Bound) -> str:
    """A bound as it is shown and as a ``custom`` constraint carries it: ``<= 5`` or ``one of a, b``."""
    return f"<= {bound}" if isinstance(bound, int) else f"one of {', '.join(map(shown, bound))}"


def _row_limits(constraints: Sequence[Constraint]) -> Iterator[int]:
    for each in constraints:
        if each.type is ConstraintType.MAX_ROWS_RETURNED and isinstance(each.value, int):
            yield each.value


def _target(grant: ToolGrant) -> str:
    return f"{shown(grant.server_id)}/{shown(grant.tool_name)}"
