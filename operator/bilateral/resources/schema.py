"""From the types to the structural OpenAPI v3 schemas that a CRD holds.

pydantic describes a type as JSON Schema 2020-12. A CRD takes less: no references, no ``null``
alternatives, no titles, no ``const``; unknown members are pruned instead of forbidden. What is
left after this translation is only what the API server enforces, and a sentence for each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from bilateral.resources.meta import NAME_MAX_LENGTH, Resource
from bilateral.resources.model import CEL_KEY

Schema = dict[str, Any]

_DROPPED: Final = frozenset({"title", "$defs", "additionalProperties"})
_ORDER: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    CEL_KEY,
)
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    "recognized schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this "
    "from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


def build_schema(kind: type[Resource]) -> Schema:
    """Build the whole ``openAPIV3Schema`` of a kind."""
    described = TypeAdapter(kind).json_schema(by_alias=True, mode="validation")
    members: Schema = described["properties"]
    return {
        "description": kind.DESCRIPTION,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "kind": {"description": _KIND, "type": "string"},
            "metadata": {"type": "object"},
            "spec": _structural(members["spec"], described["$defs"]),
            "status": _without_default(_structural(members["status"], described["$defs"])),
        },
        CEL_KEY: [
            {
                "rule": f"self.metadata.name.size() <= {NAME_MAX_LENGTH}",
                "message": f"metadata.name must be at most {NAME_MAX_LENGTH} characters long: "
                "names of Secrets are made from it",
            },
            *({"rule": rule.cel, "message": f"metadata.name {rule.message}"} for rule in kind.NAME_RULES),
        ],
    }


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """One node of the schema, with everything that it refers to written out."""
    node = _resolved(node, definitions)
    built: Schema = {name: value for name, value in node.items() if name not in _DROPPED}
    if not built.get("properties", ...):
        del built["properties"]
    if built.get("default", ...) is None:
        del built["default"]
    if "const" in built:
        built["enum"] = [built.pop("const")]
    if "properties" in built:
        built["properties"] = {
            name: _structural(member, definitions) for name, member in built["properties"].items()
        }
        _tidy_default(built)
    if "items" in built:
        built["items"] = _structural(built["items"], definitions)
        _tidy_default(built)
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        built["additionalProperties"] = _structural(values, definitions)
        _tidy_default(built)
    return {name: built.pop(name) for name in _ORDER if name in built} | built


def _resolved(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Write the node without ``$ref`` and without a ``null`` alternative; what stands beside them wins."""
    while True:
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
        elif "anyOf" in node:
            (target,) = (choice for choice in node["anyOf"] if choice.get("type") != "null")
        else:
            return node
        beside = {name: value for name, value in node.items() if name not in ("$ref", "anyOf")}
        rules = [*target.get(CEL_KEY, ()), *beside.get(CEL_KEY, ())]
        node = {**target, **beside} | ({CEL_KEY: rules} if rules else {})


def _tidy_default(built: Schema) -> None:
    """Let an object default to ``{}``, so that its members' own defaults are filled in, or to nothing."""
    if "default" not in built:
        return
    members: Schema = built.get("properties", {})
    if any("default" in member for member in members.values()):
        built["default"] = {}
    else:
        del built["default"]


def _without_default(schema: Schema) -> Schema:
    """Leave out defaults: a status is written whole, and the API server fills nothing in."""
    cleaned = {name: value for name, value in schema.items() if name != "default"}
    if "properties" in cleaned:
        cleaned["properties"] = {
            name: _without_default(member) for name, member in cleaned["properties"].items()
        }
    if "items" in cleaned:
        cleaned["items"] = _without_default(cleaned["items"])
    return cleaned
