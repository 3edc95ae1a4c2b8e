"""The scope of a FederationPolicy: which tools a partner's capabilities may reach, within which bounds.

An empty list allows nothing, and there are no wildcards. What a bound of a parameter means for a call
is decided in `bilateral.protocol.policies.calls`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict

from bilateral.protocol.capabilities.money import Money
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.policies.policy import MAX_TOOL_SERVERS, MAX_TOOLS, Bound, MaxScope, ToolBound
from bilateral.resources.model import ATOMIC, SET, Rule, SpecModel
from bilateral.resources.policy_fields import Currency, ParameterBounds, ParameterValues, ReachedName


class ToolSpec(SpecModel):
    """A tool that the partner may reach, and the bounds of its parameters."""

    tool: ReachedName = Field(description="The tool's name.")
    tool_server: ReachedName | None = Field(
        default=None, description="The one server on which; absent: on every one of toolServers."
    )
    parameter_bounds: ParameterBounds = Field(
        default_factory=dict,
        description="Numbers that parameters must not exceed, such as row_limit: 10000. A bounded parameter must "
        "be given; only row_limit may be left out, since the kernel keeps it on the answer.",
    )
    parameter_values: ParameterValues = Field(
        default_factory=dict,
        description="The values that parameters may have, as they are written; such a parameter must be given.",
    )


_BOUND_ONCE = Rule[ToolSpec](
    "!has(self.parameterBounds) || !has(self.parameterValues) || "
    "self.parameterBounds.all(name, !(name in self.parameterValues))",
    "must bound a parameter once: in parameterBounds or in parameterValues",
    lambda tool: not tool.parameter_bounds.keys() & tool.parameter_values.keys(),
)


_TOOLS_DIFFER = Rule[tuple[ToolSpec, ...]](
    "self.all(a, self.exists_one(b, a.tool == b.tool && has(a.toolServer) == has(b.toolServer) && "
    "(!has(a.toolServer) || a.toolServer == b.toolServer)))",
    "must not list a tool twice for the same server",
    lambda tools: len({(each.tool, each.tool_server) for each in tools}) == len(tools),
)


class BudgetSpec(SpecModel):
    """An amount of money in the currency's smallest unit."""

    units: Annotated[int, Strict(), Field(ge=0, le=SAFE_INTEGER_MAX)] = Field(
        description="How much, in minor units: cents for USD."
    )
    currency: Currency = Field(description="The currency as ISO 4217 spells it, such as USD.")


class MaxScopeSpec(SpecModel):
    """The upper bound on what a capability of the partner may reach."""

    tool_servers: Annotated[tuple[ReachedName, ...], SET] = Field(
        default=(), max_length=MAX_TOOL_SERVERS, description="The servers that may be reached; none: nothing."
    )
    tools: Annotated[tuple[Annotated[ToolSpec, _BOUND_ONCE], ...], ATOMIC, _TOOLS_DIFFER] = Field(
        default=(),
        max_length=MAX_TOOLS,
        description="The tools that may be reached; none: nothing. Of several entries for a tool all hold.",
    )
    budget: BudgetSpec | None = Field(
        default=None,
        description="What a capability may cost at most, in total and at once. Absent: what the capability itself "
        "says.",
    )


def to_max_scope(spec: MaxScopeSpec) -> MaxScope:
    """Build what the spec means."""
    budget = None if spec.budget is None else Money(spec.budget.units, spec.budget.currency)
    tools = []
    for each in spec.tools:
        bounds: dict[str, Bound] = {**each.parameter_bounds, **each.parameter_values}
        tools.append(ToolBound(each.tool, each.tool_server, bounds))
    return MaxScope(spec.tool_servers, tuple(tools), budget)
