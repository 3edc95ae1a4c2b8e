"""Constraints: what a call under a grant must satisfy, tagged ``{type, value}``.

Rules kept here:

- the types are a closed list (chio, ``capability.rs``): a constraint that is not known cannot be
  enforced, so a token that has one is refused;
- each type has one shape of value;
- two constraints are the same when their canonical JSON is, and that is also their order: lists
  inside a constraint are compared as they stand, as upstream does.

Whether a call satisfies a constraint is not judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.capabilities.members import (
    read_boolean,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import JSON

MAX_ENTRIES: Final = 256
"""The longest list inside a constraint."""


class ConstraintType(StrEnum):
    """Every type of constraint."""

    PATH_PREFIX = "path_prefix"
    DOMAIN_EXACT = "domain_exact"
    DOMAIN_GLOB = "domain_glob"
    REGEX_MATCH = "regex_match"
    MAX_LENGTH = "max_length"
    MAX_ARGS_SIZE = "max_args_size"
    GOVERNED_INTENT_REQUIRED = "governed_intent_required"
    REQUIRE_APPROVAL_ABOVE = "require_approval_above"
    SELLER_EXACT = "seller_exact"
    MINIMUM_RUNTIME_ASSURANCE = "minimum_runtime_assurance"
    MINIMUM_AUTONOMY_TIER = "minimum_autonomy_tier"
    CUSTOM = "custom"
    TABLE_ALLOWLIST = "table_allowlist"
    COLUMN_DENYLIST = "column_denylist"
    MAX_ROWS_RETURNED = "max_rows_returned"
    OPERATION_CLASS = "operation_class"
    AUDIENCE_ALLOWLIST = "audience_allowlist"
    CONTENT_REVIEW_TIER = "content_review_tier"
    MAX_TRANSACTION_AMOUNT_USD = "max_transaction_amount_usd"
    REQUIRE_DUAL_APPROVAL = "require_dual_approval"
    MODEL_CONSTRAINT = "model_constraint"
    MEMORY_STORE_ALLOWLIST = "memory_store_allowlist"
    MEMORY_WRITE_DENY_PATTERNS = "memory_write_deny_patterns"


@dataclass(frozen=True, slots=True)
class ModelBounds:
    """The value of ``model_constraint``; an empty list of models means any."""

    allowed_model_ids: tuple[str, ...]
    min_safety_tier: str | None


ConstraintValue: TypeAlias = str | int | bool | tuple[str, ...] | ModelBounds | None
"""A text, number, truth, list of texts, ModelBounds; None for a type without a value.

``require_approval_above`` is its threshold in minor units, ``custom`` a pair of texts.
"""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint; the shape of ``value`` follows from ``type``."""

    type: ConstraintType
    value: ConstraintValue = None

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        value = self.value
        if value is None:
            return {"type": self.type.value}
        wire: JSON
        if self.type is ConstraintType.REQUIRE_APPROVAL_ABOVE and isinstance(value, int):
            wire = {"threshold_units": value}
        elif isinstance(value, ModelBounds):
            # Upstream writes the absent tier as null here, and only here.
            wire = {
                "allowed_model_ids": list(value.allowed_model_ids),
                "min_safety_tier": value.min_safety_tier,
            }
        elif isinstance(value, tuple):
            wire = list(value)
        else:
            wire = value
        return {"type": self.type.value, "value": wire}

    @property
    def canonical(self) -> bytes:
        """The canonical JSON by which constraints are ordered."""
        return canonical_bytes(self.to_wire())

    def __lt__(self, other: Constraint) -> bool:
        return self.canonical < other.canonical


def parse_constraint(value: JSON) -> Constraint:
    """Read ``{type, value}``; MalformedDocument for an unknown type or another shape of value."""
    if not isinstance(value, dict):
        raise MalformedDocument("constraint")
    name = value.get("type")
    kind = _TYPES.get(name) if type(name) is str else None
    if kind is None:
        raise MalformedDocument("constraint-type")
    read = _READERS.get(kind)
    if read is None:
        read_object(value, "constraint", _TYPE_ALONE)
        return Constraint(kind)
    return Constraint(kind, read(read_object(value, "constraint", _TYPE_AND_VALUE)["value"]))


_TYPE_ALONE = frozenset({"type"})
_TYPE_AND_VALUE = frozenset({"type", "value"})
_TYPES: Final[Mapping[str, ConstraintType]] = {kind.value: kind for kind in ConstraintType}
_CAUSE = "constraint-value"


def _text(value: JSON) -> str:
    return read_text(value, _CAUSE, minimum=0)


def _integer(value: JSON) -> int:
    return read_integer(value, _CAUSE)


def _texts(value: JSON) -> tuple[str, ...]:
    return read_list(value, _CAUSE, MAX_ENTRIES, _text)


def _pair(value: JSON) -> tuple[str, ...]:
    return read_list(value, _CAUSE, 2, _text, minimum=2)


def _threshold(value: JSON) -> int:
    members = read_object(value, _CAUSE, frozenset({"threshold_units"}))
    return read_integer(members["threshold_units"], _CAUSE)


def _model(value: JSON) -> ModelBounds:
    members = read_object(value, _CAUSE, frozenset({"allowed_model_ids"}), frozenset({"min_safety_tier"}))
    tier = members.get("min_safety_tier")
    if tier is not None:
        tier = _SAFETY_TIER(tier)
    return ModelBounds(_texts(members["allowed_model_ids"]), tier)


def _one_of(*words: str) -> Callable[[JSON], str]:
    def read(value: JSON) -> str:
        if type(value) is not str or value not in words:
            raise MalformedDocument(_CAUSE)
        return value

    return read


_SAFETY_TIER = _one_of("low", "standard", "high", "restricted")

_READERS: Final[Mapping[ConstraintType, Callable[[JSON], ConstraintValue]]] = {
    ConstraintType.PATH_PREFIX: _text,
    ConstraintType.DOMAIN_EXACT: _text,
    ConstraintType.DOMAIN_GLOB: _text,
    ConstraintType.REGEX_MATCH: _text,
    ConstraintType.MAX_LENGTH: _integer,
    ConstraintType.MAX_ARGS_SIZE: _integer,
    ConstraintType.REQUIRE_APPROVAL_ABOVE: _threshold,
    ConstraintType.SELLER_EXACT: _text,
    ConstraintType.MINIMUM_RUNTIME_ASSURANCE: _one_of("none", "basic", "attested", "verified"),
    ConstraintType.MINIMUM_AUTONOMY_TIER: _one_of("direct", "delegated", "autonomous"),
    ConstraintType.CUSTOM: _pair,
    ConstraintType.TABLE_ALLOWLIST: _texts,
    ConstraintType.COLUMN_DENYLIST: _texts,
    ConstraintType.MAX_ROWS_RETURNED: _integer,
    ConstraintType.OPERATION_CLASS: _one_of("read_only", "read_write", "admin"),
    ConstraintType.AUDIENCE_ALLOWLIST: _texts,
    ConstraintType.CONTENT_REVIEW_TIER: _one_of("none", "basic", "strict"),
    ConstraintType.MAX_TRANSACTION_AMOUNT_USD: _text,
    ConstraintType.REQUIRE_DUAL_APPROVAL: lambda value: read_boolean(value, _CAUSE),
    ConstraintType.MODEL_CONSTRAINT: _model,
    ConstraintType.MEMORY_STORE_ALLOWLIST: _texts,
    ConstraintType.MEMORY_WRITE_DENY_PATTERNS: _texts,
}
"""Every type but ``governed_intent_required``, which has no value."""
