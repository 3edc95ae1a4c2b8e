"""What every kind has: metadata, names, a status with conditions, and how an object is parsed.

A new kind is one module with a subclass of `Resource`: its names, columns, conditions, ``spec``
and ``status``; it is then listed in ``kinds.py``, and CRD, reference and tests follow from there.

Parsing refuses a ``spec`` that breaks any rule, and never fails for a ``status``: a member that
cannot be read counts as absent and is named in ``status.unreadable``, so that nobody who may write
a status can stop the operator from looking at the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails

from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import Condition, Conditions, ConditionType
from bilateral.resources.errors import InvalidResource, MalformedTime
from bilateral.resources.fields import Echo, Generation
from bilateral.resources.labels import API_VERSION, GROUP, RECONCILE_NOW, RECONCILE_NOW_MAX_LENGTH, VERSION
from bilateral.resources.model import Rule, SpecModel, StatusModel
from bilateral.resources.times import parse_time

__all__ = ["GROUP", "VERSION", "Column", "ObjectMeta", "Resource", "Status"]

NAME_MAX_LENGTH: Final = 200
"""Names of Secrets are made from an object's name and a suffix, and end at 253."""

_PATH_MAX_LENGTH: Final = 256
_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this kind",
    "string_pattern_mismatch": "is not written as this field must be; kubectl explain shows how",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters long",
    "too_long": "must have at most {max_length} items",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "enum": "must be one of {expected}",
    "string_type": "must be a text",
    "int_type": "must be an integer",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
}
"""Our words for pydantic's findings; its own sentences, for rare others, name no value either."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; a ``wide`` one is shown with ``-o wide`` only."""

    name: str
    json_path: str
    description: str
    type: str = "string"
    wide: bool = False


READY_COLUMNS: Final = (
    Column(
        "Ready",
        '.status.conditions[?(@.type=="Ready")].status',
        "Whether the object may be relied on.",
    ),
    Column(
        "Reason",
        '.status.conditions[?(@.type=="Ready")].reason',
        "Why, as one word.",
    ),
)
AGE_COLUMN: Final = Column("Age", ".metadata.creationTimestamp", "Time since creation.", type="date")


class ObjectMeta(BaseModel):
    """The metadata that the operator reads. Times stay texts: they are shown, not computed with."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    name: Annotated[str, Field(max_length=NAME_MAX_LENGTH)]
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def created_at(self) -> int:
        """When the object was created (Unix seconds); 0 where nobody says."""
        try:
            return parse_time(self.creation_timestamp)
        except MalformedTime:
            return 0

    @property
    def reconcile_now(self) -> str | None:
        """What ``status.reconciledNow`` must say once the request in the annotation is served."""
        value = self.annotations.get(RECONCILE_NOW)
        return None if value is None else value[:RECONCILE_NOW_MAX_LENGTH]


class Status(StatusModel):
    """What the status of every kind has."""

    observed_generation: Generation = Field(
        default=0, description="The metadata.generation that this status was decided from."
    )
    reconciled_now: Echo | None = Field(
        default=None,
        description="The value of the annotation bilateral.dev/reconcile-now that was last served.",
    )
    conditions: Conditions = Field(
        default=(), description="What the operator found; Ready sums it up, the others say why."
    )
    unreadable: Annotated[tuple[str, ...], SkipJsonSchema()] = Field(
        default=(), exclude=True, repr=False, description="Members that could not be read."
    )

    def condition(self, name: str) -> Condition | None:
        """Find the condition of that type, if there is one."""
        return next((condition for condition in self.conditions if condition.type == name), None)


class Resource(BaseModel):
    """An object of one of our kinds, as it was read from the API server or a file."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    KIND: ClassVar[str]
    PLURAL: ClassVar[str]
    SINGULAR: ClassVar[str]
    SHORT_NAMES: ClassVar[tuple[str, ...]]
    DESCRIPTION: ClassVar[str]
    COLUMNS: ClassVar[tuple[Column, ...]]
    CONDITIONS: ClassVar[tuple[ConditionType, ...]]
    NAME_RULES: ClassVar[tuple[Rule[Any], ...]] = ()
    """What ``metadata.name`` must be beyond a name; the rules are on the whole object."""

    metadata: ObjectMeta

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Parse the object that a manifest or a watch event holds.

        Raises InvalidResource for the first rule that ``apiVersion``, ``kind``, ``metadata`` or
        ``spec`` breaks. What cannot be read in ``status`` is left out (``status.unreadable``).
        """
        if obj.get("apiVersion", API_VERSION) != API_VERSION:
            raise InvalidResource("apiVersion", f"must be {API_VERSION}")
        if obj.get("kind", cls.KIND) != cls.KIND:
            raise InvalidResource("kind", f"must be {cls.KIND}")
        try:
            return cls._named(cls.model_validate(obj, by_alias=True, by_name=False))
        except ValidationError as error:
            findings = error.errors(include_url=False, include_input=False)
        refused = [finding for finding in findings if finding["loc"][:1] != ("status",)]
        if refused:
            raise _invalid(refused[0])
        return cls._named(cls._parse_without(obj, findings))

    @classmethod
    def _named(cls, parsed: Self) -> Self:
        for rule in cls.NAME_RULES:
            if rule.holds is not None and not rule.holds(parsed):
                raise InvalidResource("metadata.name", rule.message)
        return parsed

    @classmethod
    def _parse_without(cls, obj: Mapping[str, Any], findings: list[ErrorDetails]) -> Self:
        """Parse again without the members of ``status`` that the findings are about."""
        members = sorted({str(finding["loc"][1]) for finding in findings if len(finding["loc"]) > 1})
        status = obj["status"] if members else {}
        readable = {name: value for name, value in status.items() if name not in members}
        readable["unreadable"] = tuple(members)
        return cls.model_validate({**obj, "status": readable}, by_alias=True, by_name=False)

    def to_manifest(self) -> dict[str, Any]:
        """Write the object as a person would: names, labels and what the spec says, no status."""
        metadata: dict[str, Any] = {"name": self.metadata.name}
        if self.metadata.namespace:
            metadata["namespace"] = self.metadata.namespace
        if self.metadata.labels:
            metadata["labels"] = dict(self.metadata.labels)
        if self.metadata.annotations:
            metadata["annotations"] = dict(self.metadata.annotations)
        spec: SpecModel = self.__dict__["spec"]
        return {
            "apiVersion": API_VERSION,
            "kind": self.KIND,
            "metadata": metadata,
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True),
        }


def _invalid(finding: ErrorDetails) -> InvalidResource:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in finding["loc"])
    kind = finding["type"]
    ours = _SENTENCES.get(kind)
    message = finding["msg"] if ours is None else ours.format_map(finding.get("ctx", {}))
    reason = Reason(kind) if kind in (Reason.MALFORMED_KEY, Reason.WEAK_KEY) else Reason.INVALID_SPEC
    return InvalidResource(path.lstrip(".")[:_PATH_MAX_LENGTH] or "metadata", message, reason)
