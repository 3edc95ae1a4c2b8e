"""Whether what a child allows lies within what its parent allows, and if not, in which dimension.

The rule is chio's (``ToolGrant::is_subset_of`` and its siblings): the same server and tool or the
parent's ``*``; operations are a subset; where the parent has a limit the child has one that is not
greater, in the same currency; every constraint of the parent stands in the child; a demand for proof
of possession stays; patterns are equal, ``*``, or a prefix before a last ``*``.

One rule more, because budgets must not multiply: the limits of all grants of the child that lie in
one grant of the parent add up to no more than that grant's ``max_invocations`` and
``max_total_cost``. A grant of the child is counted at the first grant of the parent that has room.

Nothing that a Widening says is text of a document: numbers, currencies, operations, constraint types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from bilateral.protocol.capabilities.constraints import Constraint
from bilateral.protocol.capabilities.grants import (
    ANY,
    Operation,
    PromptGrant,
    ResourceGrant,
    Scope,
    ToolGrant,
)
from bilateral.protocol.capabilities.money import Money

_Grant = TypeVar("_Grant", ToolGrant, ResourceGrant, PromptGrant)


class Dimension(StrEnum):
    """In what a grant can be wider than another; the members' own names, in the order of the checks."""

    SERVER = "server_id"
    TOOL = "tool_name"
    URI = "uri_pattern"
    PROMPT = "prompt_name"
    OPERATIONS = "operations"
    MAX_INVOCATIONS = "max_invocations"
    CONSTRAINTS = "constraints"
    MAX_COST_PER_INVOCATION = "max_cost_per_invocation"
    MAX_TOTAL_COST = "max_total_cost"
    DPOP_REQUIRED = "dpop_required"


@dataclass(frozen=True, slots=True)
class Widening:
    """One dimension in which a child is wider; ``grant`` is the child's, for example ``grants[0]``."""

    dimension: Dimension
    ceiling: str
    presented: str
    grant: str = ""

    @property
    def field(self) -> str:
        """The member's path in the child's scope."""
        return f"{self.grant}.{self.dimension}" if self.grant else self.dimension.value


def find_widening(child: Scope, parent: Scope) -> Widening | None:
    """Return the first dimension in which ``child`` allows more than ``parent``, or None.

    Where no grant of the parent covers one of the child, the closest is told: the one whose checks went
    furthest.
    """
    return (
        _find_tool_scope_widening(child.grants, parent.grants)
        or _find_among(
            child.resource_grants, parent.resource_grants, find_resource_widening, "resource_grants"
        )
        or _find_among(child.prompt_grants, parent.prompt_grants, find_prompt_widening, "prompt_grants")
    )


def delegable_part(scope: Scope) -> Scope:
    """Return the grants of ``scope`` that include the operation ``delegate``."""
    operations = [
        *(each.operations for each in scope.grants),
        *(each.operations for each in scope.resource_grants),
        *(each.operations for each in scope.prompt_grants),
    ]
    if all(Operation.DELEGATE in each for each in operations):
        return scope
    return Scope(
        grants=tuple(each for each in scope.grants if Operation.DELEGATE in each.operations),
        resource_grants=tuple(
            each for each in scope.resource_grants if Operation.DELEGATE in each.operations
        ),
        prompt_grants=tuple(each for each in scope.prompt_grants if Operation.DELEGATE in each.operations),
    )


def find_tool_widening(child: ToolGrant, parent: ToolGrant) -> Widening | None:
    """Return the first dimension in which one tool grant allows more than the other, or None."""
    if parent.server_id not in (ANY, child.server_id):
        return Widening(Dimension.SERVER, "the parent's", "any" if child.server_id == ANY else "another")
    if parent.tool_name not in (ANY, child.tool_name):
        return Widening(Dimension.TOOL, "the parent's", "any" if child.tool_name == ANY else "another")
    return (
        _operations(child.operations, parent.operations)
        or _invocations(child.max_invocations, parent.max_invocations)
        or _constraints(child.constraints, parent.constraints)
        or _cost(
            Dimension.MAX_COST_PER_INVOCATION,
            child.max_cost_per_invocation,
            parent.max_cost_per_invocation,
        )
        or _cost(Dimension.MAX_TOTAL_COST, child.max_total_cost, parent.max_total_cost)
        or _dpop(child.dpop_required, parent.dpop_required)
    )


def find_resource_widening(child: ResourceGrant, parent: ResourceGrant) -> Widening | None:
    """Return the first dimension in which one resource grant allows more than the other, or None."""
    if not is_pattern_within(child.uri_pattern, parent.uri_pattern):
        return Widening(Dimension.URI, "the parent's", "another")
    return _operations(child.operations, parent.operations)


def find_prompt_widening(child: PromptGrant, parent: PromptGrant) -> Widening | None:
    """Return the first dimension in which one prompt grant allows more than the other, or None."""
    if not is_pattern_within(child.prompt_name, parent.prompt_name):
        return Widening(Dimension.PROMPT, "the parent's", "another")
    return _operations(child.operations, parent.operations)


def is_pattern_within(child: str, parent: str) -> bool:
    """Whether a pattern, or a plain text, lies within the pattern ``parent``."""
    if parent.endswith(ANY):
        return child.startswith(parent[:-1])
    return child == parent


_RANK: Final = {dimension: rank for rank, dimension in enumerate(Dimension)}


def _closest(one: Widening | None, other: Widening) -> Widening:
    return other if one is None or _RANK[other.dimension] > _RANK[one.dimension] else one


def _find_among(
    children: Sequence[_Grant],
    parents: Sequence[_Grant],
    find: Callable[[_Grant, _Grant], Widening | None],
    name: str,
) -> Widening | None:
    for index, child in enumerate(children):
        closest: Widening | None = None
        for parent in parents:
            widening = find(child, parent)
            if widening is None:
                break
            closest = _closest(closest, widening)
        else:
            return _of_grant(closest, f"{name}[{index}]")
    return None


@dataclass(slots=True)
class _Room:
    """What is left of one grant of the parent."""

    invocations: int | None
    units: int | None

    @classmethod
    def of(cls, grant: ToolGrant) -> _Room:
        total = grant.max_total_cost
        return cls(grant.max_invocations, None if total is None else total.units)

    def take(self, child: ToolGrant, parent: ToolGrant) -> Widening | None:
        """Count ``child``, which lies within ``parent``; return the limit that it would break, if any."""
        invocations, units = self.invocations, self.units
        if invocations is not None and child.max_invocations is not None:
            invocations -= child.max_invocations
            if invocations < 0:
                limit = parent.max_invocations or 0
                return Widening(Dimension.MAX_INVOCATIONS, str(limit), f"{limit - invocations} together")
        if units is not None and child.max_total_cost is not None and parent.max_total_cost is not None:
            units -= child.max_total_cost.units
            if units < 0:
                limit = parent.max_total_cost.units
                return Widening(
                    Dimension.MAX_TOTAL_COST, str(parent.max_total_cost), f"{limit - units} together"
                )
        self.invocations, self.units = invocations, units
        return None


def _find_tool_scope_widening(children: Sequence[ToolGrant], parents: Sequence[ToolGrant]) -> Widening | None:
    if len(children) <= 1:
        return _find_among(children, parents, find_tool_widening, "grants")
    rooms = [_Room.of(parent) for parent in parents]
    for index, child in enumerate(children):
        closest: Widening | None = None
        for parent, room in zip(parents, rooms, strict=True):
            widening = find_tool_widening(child, parent) or room.take(child, parent)
            if widening is None:
                break
            closest = _closest(closest, widening)
        else:
            return _of_grant(closest, f"grants[{index}]")
    return None


def _of_grant(closest: Widening | None, grant: str) -> Widening:
    if closest is not None:
        return replace(closest, grant=grant)
    kind = {"grants": Dimension.SERVER, "resource_grants": Dimension.URI, "prompt_grants": Dimension.PROMPT}
    return Widening(kind[grant.partition("[")[0]], "no grant", "a grant", grant)


def _operations(child: tuple[Operation, ...], parent: tuple[Operation, ...]) -> Widening | None:
    for operation in child:
        if operation not in parent:
            return Widening(Dimension.OPERATIONS, ", ".join(sorted(set(parent))), operation.value)
    return None


def _invocations(child: int | None, parent: int | None) -> Widening | None:
    if parent is None or (child is not None and child <= parent):
        return None
    return Widening(Dimension.MAX_INVOCATIONS, str(parent), "no limit" if child is None else str(child))


def _constraints(child: tuple[Constraint, ...], parent: tuple[Constraint, ...]) -> Widening | None:
    for constraint in parent:
        if constraint not in child:
            has_type = any(each.type is constraint.type for each in child)
            return Widening(
                Dimension.CONSTRAINTS,
                constraint.type.value,
                "another value" if has_type else "no such constraint",
            )
    return None


def _cost(dimension: Dimension, child: Money | None, parent: Money | None) -> Widening | None:
    if parent is None or (child is not None and child.is_within(parent)):
        return None
    return Widening(dimension, str(parent), "no limit" if child is None else str(child))


def _dpop(child: bool | None, parent: bool | None) -> Widening | None:
    if parent is True and child is not True:
        return Widening(Dimension.DPOP_REQUIRED, "true", "false" if child is False else "absent")
    return None
