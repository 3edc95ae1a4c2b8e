"""Attenuations: what a delegation says it took away, tagged by ``type``.

A declaration gives nothing and takes nothing: it is a claim about the child. ``is_applied`` says
whether the child bears it out. A declaration speaks of a child's grant when server and tool are equal
or ``*`` on either side, as in newer chio: a grant for everything cannot hide the tool that is said to
be removed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from bilateral.protocol.capabilities.constraints import Constraint, parse_constraint
from bilateral.protocol.capabilities.grants import ANY, Operation, Scope, ToolGrant, parse_operation
from bilateral.protocol.capabilities.members import UINT32_MAX, read_integer, read_object, read_text
from bilateral.protocol.capabilities.money import Money, parse_money
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import JSON


class Narrowed(Protocol):
    """What a declaration is about: a capability, by its scope and its end."""

    @property
    def scope(self) -> Scope:
        """What it allows."""

    @property
    def expires_at(self) -> int:
        """When it ends, in Unix seconds."""


class Attenuation(ABC):
    """A declared narrowing."""

    __slots__ = ()

    @abstractmethod
    def is_applied(self, child: Narrowed) -> bool:
        """Whether the child is as declared."""

    @abstractmethod
    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""


@dataclass(frozen=True, slots=True)
class _OfTool(Attenuation):
    """An attenuation of the grants for one tool."""

    server_id: str
    tool_name: str

    def _concerned(self, scope: Scope) -> Iterator[ToolGrant]:
        for grant in scope.grants:
            if _meets(self.server_id, grant.server_id) and _meets(self.tool_name, grant.tool_name):
                yield grant

    def _target(self, kind: str) -> dict[str, JSON]:
        return {"type": kind, "server_id": self.server_id, "tool_name": self.tool_name}


def _meets(target: str, granted: str) -> bool:
    return target == granted or ANY in {target, granted}


@dataclass(frozen=True, slots=True)
class RemoveTool(_OfTool):
    """No grant for the tool is left."""

    def is_applied(self, child: Narrowed) -> bool:
        """Whether no grant covers the tool."""
        return not any(True for _ in self._concerned(child.scope))

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return self._target("remove_tool")


@dataclass(frozen=True, slots=True)
class RemoveOperation(_OfTool):
    """No grant for the tool has the operation any more."""

    operation: Operation

    def is_applied(self, child: Narrowed) -> bool:
        """Whether no grant for the tool has the operation."""
        return all(self.operation not in grant.operations for grant in self._concerned(child.scope))

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {**self._target("remove_operation"), "operation": self.operation.value}


@dataclass(frozen=True, slots=True)
class AddConstraint(_OfTool):
    """Every grant for the tool has the constraint."""

    constraint: Constraint

    def is_applied(self, child: Narrowed) -> bool:
        """Whether every grant for the tool has the constraint."""
        return all(self.constraint in grant.constraints for grant in self._concerned(child.scope))

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {**self._target("add_constraint"), "constraint": self.constraint.to_wire()}


@dataclass(frozen=True, slots=True)
class ReduceBudget(_OfTool):
    """Every grant for the tool is limited to so many invocations, or fewer."""

    max_invocations: int

    def is_applied(self, child: Narrowed) -> bool:
        """Whether every grant for the tool has a limit at or below the declared one."""
        return all(
            grant.max_invocations is not None and grant.max_invocations <= self.max_invocations
            for grant in self._concerned(child.scope)
        )

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {**self._target("reduce_budget"), "max_invocations": self.max_invocations}


@dataclass(frozen=True, slots=True)
class ShortenExpiry(Attenuation):
    """The child ends at this time, or earlier."""

    new_expires_at: int

    def is_applied(self, child: Narrowed) -> bool:
        """Whether the child ends by then."""
        return child.expires_at <= self.new_expires_at

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {"type": "shorten_expiry", "new_expires_at": self.new_expires_at}


@dataclass(frozen=True, slots=True)
class ReduceCostPerInvocation(_OfTool):
    """Every grant for the tool is limited to this cost of one invocation, or less."""

    max_cost_per_invocation: Money

    def is_applied(self, child: Narrowed) -> bool:
        """Whether every grant for the tool has a limit within the declared one."""
        return all(
            grant.max_cost_per_invocation is not None
            and grant.max_cost_per_invocation.is_within(self.max_cost_per_invocation)
            for grant in self._concerned(child.scope)
        )

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {
            **self._target("reduce_cost_per_invocation"),
            "max_cost_per_invocation": self.max_cost_per_invocation.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class ReduceTotalCost(_OfTool):
    """Every grant for the tool is limited to this cost in total, or less."""

    max_total_cost: Money

    def is_applied(self, child: Narrowed) -> bool:
        """Whether every grant for the tool has a limit within the declared one."""
        return all(
            grant.max_total_cost is not None and grant.max_total_cost.is_within(self.max_total_cost)
            for grant in self._concerned(child.scope)
        )

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {**self._target("reduce_total_cost"), "max_total_cost": self.max_total_cost.to_wire()}


def parse_attenuation(value: JSON) -> Attenuation:
    """Read one attenuation; MalformedDocument for an unknown type or other members."""
    if not isinstance(value, dict):
        raise MalformedDocument("attenuation")
    kind = value.get("type")
    if kind == "shorten_expiry":
        members = read_object(value, "attenuation", frozenset({"type", "new_expires_at"}))
        return ShortenExpiry(read_integer(members["new_expires_at"], "attenuation"))
    row = _OF_TOOLS.get(kind) if type(kind) is str else None
    if row is None:
        raise MalformedDocument("attenuation-type")
    member, build = row
    read_object(value, "attenuation", _TARGET | {member} if member else _TARGET)
    server_id, tool_name = (read_text(value[name], "attenuation") for name in ("server_id", "tool_name"))
    return build(server_id, tool_name, value.get(member))


_TARGET = frozenset({"type", "server_id", "tool_name"})
_Builder = Callable[[str, str, JSON], Attenuation]


def _money(value: JSON) -> Money:
    return parse_money(value, "attenuation")


_OF_TOOLS: Final[Mapping[str, tuple[str, _Builder]]] = {
    "remove_tool": ("", lambda server, tool, _: RemoveTool(server, tool)),
    "remove_operation": (
        "operation",
        lambda server, tool, value: RemoveOperation(server, tool, parse_operation(value)),
    ),
    "add_constraint": (
        "constraint",
        lambda server, tool, value: AddConstraint(server, tool, parse_constraint(value)),
    ),
    "reduce_budget": (
        "max_invocations",
        lambda server, tool, value: ReduceBudget(
            server, tool, read_integer(value, "attenuation", UINT32_MAX)
        ),
    ),
    "reduce_cost_per_invocation": (
        "max_cost_per_invocation",
        lambda server, tool, value: ReduceCostPerInvocation(server, tool, _money(value)),
    ),
    "reduce_total_cost": (
        "max_total_cost",
        lambda server, tool, value: ReduceTotalCost(server, tool, _money(value)),
    ),
}
