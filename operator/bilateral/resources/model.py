"""How a part of a resource is declared: base classes, and rules that hold twice.

- A rule is written once (`Rule`) with its two forms side by side: the CEL expression for the API
  server and the Python check for the operator, which repeats everything that admission checked
  (an old object, a restored backup or a disabled admission may have let it pass).
- ``spec`` is closed: an unknown member is an error. ``status`` is read tolerantly: what a newer
  version wrote is ignored.
- Models are frozen; attributes are snake_case, the wire is camelCase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

T = TypeVar("T")

CEL_KEY: Final = "x-kubernetes-validations"
BROKEN_RULE: Final = "broken_rule"
"""The error type of a rule of ours inside pydantic's findings."""


@dataclass(frozen=True)  # no slots: a generic class's instances remember their parameter
class Rule(Generic[T]):
    """A check on a field or an object, as CEL for the API server and as Python for the operator.

    Used inside ``Annotated``. ``holds`` is None for a transition rule (one that names ``oldSelf``:
    only the API server sees both generations) and where another check of the field already says
    it to the operator, a pattern or the parsing of a key. ``field_path`` points the API
    server's error at a member, for rules on objects.
    """

    cel: str
    message: str
    holds: Callable[[T], bool] | None = None
    field_path: str | None = None

    def _check(self, value: T) -> T:
        if self.holds is not None and not self.holds(value):
            raise PydanticCustomError(BROKEN_RULE, "{message}", {"message": self.message})
        return value

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema = handler(source)
        if self.holds is None:
            return schema
        return core_schema.no_info_after_validator_function(self._check, schema)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        rule = {"rule": self.cel, "message": self.message}
        if self.field_path is not None:
            rule["fieldPath"] = self.field_path
        return {**described, CEL_KEY: [*described.get(CEL_KEY, ()), rule]}


def immutable(field: str) -> Rule[Any]:
    """Build the transition rule of an identity field, which must be a required one."""
    return Rule("self == oldSelf", f"{field} cannot be changed: delete the object and create another")


@dataclass(frozen=True, slots=True)
class ListType:
    """How server-side apply merges a list: ``set`` and ``map`` also forbid equal items.

    ``key`` is the member that tells the items of a ``map`` apart, one word in any spelling.
    """

    kind: str
    key: str | None = None
    attribute: str | None = None

    def _check(self, items: Sequence[Any]) -> Sequence[Any]:
        seen = items if self.attribute is None else [getattr(item, self.attribute) for item in items]
        if len(set(seen)) != len(seen):
            raise PydanticCustomError(BROKEN_RULE, "must not list the same item twice")
        return items

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema = handler(source)
        if self.kind == "atomic":
            return schema
        return core_schema.no_info_after_validator_function(self._check, schema)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = {**handler(schema), "x-kubernetes-list-type": self.kind}
        if self.key is not None:
            described["x-kubernetes-list-map-keys"] = [self.key]
        return described


ATOMIC: Final = ListType("atomic")
SET: Final = ListType("set")

_SHARED: Final = ConfigDict(
    frozen=True,
    alias_generator=to_camel,
    validate_by_name=True,
    validate_by_alias=True,
    hide_input_in_errors=True,
)


class SpecModel(BaseModel):
    """A part of a ``spec``: closed and frozen."""

    model_config = ConfigDict(**_SHARED, extra="forbid")

    def to_wire(self) -> dict[str, Any]:
        """Write this part as it stands in a manifest, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(BaseModel):
    """A part of a ``status``: frozen; members that this version does not know are ignored."""

    model_config = ConfigDict(**_SHARED, extra="ignore")

    def to_wire(self) -> dict[str, Any]:
        """Write this part without None and without empty lists."""
        wire = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: value for name, value in wire.items() if value != []}
