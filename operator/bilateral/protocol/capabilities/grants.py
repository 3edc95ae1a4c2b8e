"""What a capability allows: grants for tools, resources and prompts, together its scope.

Rules kept here: members are those of chio's types (``grants``, ``resource_grants``,
``prompt_grants``); what upstream leaves out when it is empty is left out by :meth:`to_wire`, so that
what is signed and hashed is the typed form; a grant has at least one operation.

Whether one scope lies within another is the business of ``subsets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bilateral.protocol.canonical import plain_canonical_bytes, sha256_hex
from bilateral.protocol.capabilities.constraints import Constraint, parse_constraint
from bilateral.protocol.capabilities.members import (
    UINT32_MAX,
    read_boolean,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from bilateral.protocol.capabilities.money import Money, parse_money
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import JSON

MAX_GRANTS: Final = 64
MAX_OPERATIONS: Final = 16
MAX_CONSTRAINTS: Final = 64

ANY: Final = "*"
"""Any server, any tool; at the end of a pattern, anything that begins so."""


class Operation(StrEnum):
    """What may be done under a grant."""

    INVOKE = "invoke"
    READ_RESULT = "read_result"
    READ = "read"
    SUBSCRIBE = "subscribe"
    GET = "get"
    DELEGATE = "delegate"


@dataclass(frozen=True, slots=True)
class ToolGrant:
    """A tool on a server (``*``: any), what may be done with it, and how often and for how much.

    ``dpop_required`` distinguishes an absent member from ``false``, because it is signed.
    """

    server_id: str
    tool_name: str
    operations: tuple[Operation, ...]
    constraints: tuple[Constraint, ...] = ()
    max_invocations: int | None = None
    max_cost_per_invocation: Money | None = None
    max_total_cost: Money | None = None
    dpop_required: bool | None = None

    def covers(self, server_id: str, tool_name: str) -> bool:
        """Whether the grant is for this tool, or for any."""
        return self.server_id in {ANY, server_id} and self.tool_name in {ANY, tool_name}

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        members: dict[str, JSON] = {
            "server_id": self.server_id,
            "tool_name": self.tool_name,
            "operations": list(map(str, self.operations)),
        }
        if self.constraints:
            members["constraints"] = [each.to_wire() for each in self.constraints]
        if self.max_invocations is not None:
            members["max_invocations"] = self.max_invocations
        if self.max_cost_per_invocation is not None:
            members["max_cost_per_invocation"] = self.max_cost_per_invocation.to_wire()
        if self.max_total_cost is not None:
            members["max_total_cost"] = self.max_total_cost.to_wire()
        if self.dpop_required is not None:
            members["dpop_required"] = self.dpop_required
        return members


@dataclass(frozen=True, slots=True)
class ResourceGrant:
    """Resources whose address fits ``uri_pattern``: equal, ``*``, or a prefix before a last ``*``."""

    uri_pattern: str
    operations: tuple[Operation, ...]

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {"uri_pattern": self.uri_pattern, "operations": list(map(str, self.operations))}


@dataclass(frozen=True, slots=True)
class PromptGrant:
    """Prompts whose name fits ``prompt_name``, a pattern as that of a ResourceGrant."""

    prompt_name: str
    operations: tuple[Operation, ...]

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {"prompt_name": self.prompt_name, "operations": list(map(str, self.operations))}


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that one capability allows, in the document's order."""

    grants: tuple[ToolGrant, ...] = ()
    resource_grants: tuple[ResourceGrant, ...] = ()
    prompt_grants: tuple[PromptGrant, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is allowed."""
        return not (self.grants or self.resource_grants or self.prompt_grants)

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it; kinds of grants that are not there are left out."""
        members: dict[str, JSON] = {}
        if self.grants:
            members["grants"] = [each.to_wire() for each in self.grants]
        if self.resource_grants:
            members["resource_grants"] = [each.to_wire() for each in self.resource_grants]
        if self.prompt_grants:
            members["prompt_grants"] = [each.to_wire() for each in self.prompt_grants]
        return members

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the scope's canonical JSON: chio's scope hash."""
        return sha256_hex(plain_canonical_bytes(self.to_wire()))


def parse_scope(value: JSON) -> Scope:
    """Read a scope; MalformedDocument for anything else."""
    members = read_object(value, "scope", _NOTHING_REQUIRED, _SCOPE_MEMBERS)
    tools: tuple[ToolGrant, ...] = ()
    resources: tuple[ResourceGrant, ...] = ()
    prompts: tuple[PromptGrant, ...] = ()
    if "grants" in members:
        tools = read_list(members["grants"], "grants", MAX_GRANTS, parse_tool_grant)
    if "resource_grants" in members:
        resources = read_list(members["resource_grants"], "resource-grants", MAX_GRANTS, parse_resource_grant)
    if "prompt_grants" in members:
        prompts = read_list(members["prompt_grants"], "prompt-grants", MAX_GRANTS, parse_prompt_grant)
    return Scope(tools, resources, prompts)


def parse_tool_grant(value: JSON) -> ToolGrant:
    """Read one grant for a tool; MalformedDocument for anything else."""
    members = read_object(value, "tool-grant", _TOOL_REQUIRED, _TOOL_OPTIONAL)
    constraints: tuple[Constraint, ...] = ()
    invocations: int | None = None
    per_invocation: Money | None = None
    total: Money | None = None
    dpop: bool | None = None
    if "constraints" in members:
        constraints = read_list(members["constraints"], "constraints", MAX_CONSTRAINTS, parse_constraint)
    if "max_invocations" in members:
        invocations = read_integer(members["max_invocations"], "max-invocations", UINT32_MAX)
    if "max_cost_per_invocation" in members:
        per_invocation = parse_money(members["max_cost_per_invocation"], "max-cost-per-invocation")
    if "max_total_cost" in members:
        total = parse_money(members["max_total_cost"], "max-total-cost")
    if "dpop_required" in members:
        dpop = read_boolean(members["dpop_required"], "dpop-required")
    return ToolGrant(
        server_id=read_text(members["server_id"], "server-id"),
        tool_name=read_text(members["tool_name"], "tool-name"),
        operations=_operations(members["operations"]),
        constraints=constraints,
        max_invocations=invocations,
        max_cost_per_invocation=per_invocation,
        max_total_cost=total,
        dpop_required=dpop,
    )


def parse_resource_grant(value: JSON) -> ResourceGrant:
    """Read one grant for resources; MalformedDocument for anything else."""
    members = read_object(value, "resource-grant", _RESOURCE_MEMBERS)
    return ResourceGrant(read_text(members["uri_pattern"], "uri-pattern"), _operations(members["operations"]))


def parse_prompt_grant(value: JSON) -> PromptGrant:
    """Read one grant for prompts; MalformedDocument for anything else."""
    members = read_object(value, "prompt-grant", _PROMPT_MEMBERS)
    return PromptGrant(read_text(members["prompt_name"], "prompt-name"), _operations(members["operations"]))


def parse_operation(value: JSON) -> Operation:
    """Read one operation; MalformedDocument for a word that is none."""
    operation = _OPERATIONS.get(value) if type(value) is str else None
    if operation is None:
        raise MalformedDocument("operation")
    return operation


def _operations(value: JSON) -> tuple[Operation, ...]:
    return read_list(value, "operations", MAX_OPERATIONS, parse_operation, minimum=1)


_OPERATIONS: Final = {each.value: each for each in Operation}
_NOTHING_REQUIRED: Final[frozenset[str]] = frozenset()
_SCOPE_MEMBERS = frozenset({"grants", "resource_grants", "prompt_grants"})
_TOOL_REQUIRED = frozenset({"server_id", "tool_name", "operations"})
_TOOL_OPTIONAL = frozenset(
    {"constraints", "max_invocations", "max_cost_per_invocation", "max_total_cost", "dpop_required"}
)
_RESOURCE_MEMBERS = frozenset({"uri_pattern", "operations"})
_PROMPT_MEMBERS = frozenset({"prompt_name", "operations"})
