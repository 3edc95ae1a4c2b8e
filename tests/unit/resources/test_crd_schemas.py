"""What every CRD must hold, checked on the generated schemas; that files are as generated, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.resources.crds import build_crd, build_crds, main
from bilateral.resources.kinds import KINDS
from bilateral.resources.meta import Resource

CRDS = Path(__file__).parents[3] / "crds"

IDENTITY_FIELDS = {
    "TrustDomain": ["kernelId"],
    "FederationPeer": ["kernelId", "trustDomain"],
    "WorkloadIdentity": ["trustDomain", "subject", "algorithm"],
    "TrustedService": [],  # the alias has a default: its rule is on the whole spec
    "Introduction": [],  # all of it, in parts
    "FederationPolicy": ["peer", "partnerId"],
}

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)


def _schema(kind: type[Resource]) -> dict[str, Any]:
    schema: dict[str, Any] = build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _fields(kind: type[Resource]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node below spec and status, with its path."""
    members = _schema(kind)["properties"]
    pending = [("spec", members["spec"]), ("status", members["status"])]
    while pending:
        path, node = pending.pop()
        yield path, node
        pending += [(f"{path}.{name}", member) for name, member in node.get("properties", {}).items()]
        for part in ("items", "additionalProperties"):
            if part in node:
                pending.append((f"{path}[]", node[part]))


def test_the_checked_in_files_are_the_generated_ones() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in CRDS.iterdir()} == build_crds()


def test_check_tells_a_changed_a_missing_and_a_foreign_file(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    first = min(tmp_path.iterdir())
    text = first.read_text(encoding="utf-8")
    first.write_text(text + "# changed\n", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    first.unlink()
    assert main(["--check", str(tmp_path)]) == 1
    first.write_text(text, encoding="utf-8")
    (tmp_path / "foreign.yaml").write_text("", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1


@kinds
def test_the_names_of_the_kind(kind: type[Resource]) -> None:
    (text,) = (text for name, text in build_crds().items() if kind.PLURAL in name)
    crd = yaml.safe_load(text)
    assert crd["metadata"]["name"] == f"{kind.PLURAL}.bilateral.dev"
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert crd["spec"]["scope"] == "Namespaced"
    assert crd["spec"]["names"]["categories"] == ["trust"]
    version = crd["spec"]["versions"][0]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns[:2] == ["Ready", "Reason"]
    assert "Age" in columns


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("FederationPeer", ["Partner", "Fresh until"]),
        ("WorkloadIdentity", ["Trust domain", "Until"]),
        ("TrustedService", ["Verifier", "Peer"]),
        ("Introduction", ["Subject", "Until"]),
        ("FederationPolicy", ["Partner", "Tier"]),
    ],
)
def test_the_columns_of_a_kind(name: str, columns: list[str]) -> None:
    kind = {kind.KIND: kind for kind in KINDS}[name]
    shown = [column.name for column in kind.COLUMNS if not column.wide]
    assert shown == ["Ready", "Reason", *columns, "Age"]


@kinds
def test_every_field_has_a_sentence(kind: type[Resource]) -> None:
    silent = [path for path, node in _fields(kind) if not path.endswith("[]") and not node.get("description")]
    assert silent == []
    assert _schema(kind)["description"]


@kinds
def test_every_text_list_and_map_has_a_maximum(kind: type[Resource]) -> None:
    unbounded = []
    for path, node in _fields(kind):
        if (
            (node["type"] == "string" and not {"maxLength", "enum"} & node.keys())
            or (node["type"] == "array" and not {"maxItems", "x-kubernetes-list-type"} <= node.keys())
            or ("additionalProperties" in node and "maxProperties" not in node)
            or (node["type"] == "integer" and "minimum" not in node)
        ):
            unbounded.append(path)
    assert unbounded == []


@kinds
def test_every_pattern_is_anchored(kind: type[Resource]) -> None:
    patterns = [node["pattern"] for _, node in _fields(kind) if "pattern" in node]
    assert [pattern for pattern in patterns if not (pattern.startswith("^") and pattern.endswith("$"))] == []


@kinds
def test_the_schema_is_structural(kind: type[Resource]) -> None:
    foreign = {
        "$ref",
        "$defs",
        "anyOf",
        "oneOf",
        "allOf",
        "title",
        "const",
        "prefixItems",
        "x-kubernetes-preserve-unknown-fields",
    }
    for path, node in _fields(kind):
        assert not foreign & node.keys(), path
        assert isinstance(node["type"], str), path
        assert node.get("additionalProperties") is not False, path


@kinds
def test_there_are_no_booleans_and_durations_say_seconds(kind: type[Resource]) -> None:
    for path, node in _fields(kind):
        assert node["type"] != "boolean", path
        assert not path.endswith(("Duration", "Timeout", "Interval")), path


@kinds
def test_every_rule_says_what_is_wrong(kind: type[Resource]) -> None:
    rules = [rule for _, node in _fields(kind) for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    assert all(rule["rule"] and rule["message"] for rule in rules)


@kinds
def test_nothing_in_a_status_is_filled_in_by_the_api_server(kind: type[Resource]) -> None:
    assert [path for path, node in _fields(kind) if path.startswith("status") and "default" in node] == []


@kinds
def test_identity_fields_are_immutable_and_required(kind: type[Resource]) -> None:
    fields = dict(_fields(kind))
    for name in IDENTITY_FIELDS[kind.KIND]:
        assert name in fields["spec"]["required"] or "default" in fields[f"spec.{name}"]
        rules = [rule["rule"] for rule in fields[f"spec.{name}"]["x-kubernetes-validations"]]
        assert "self == oldSelf" in rules


@kinds
def test_no_field_switches_verification_off(kind: type[Resource]) -> None:
    suspicious = ("insecure", "skip", "disable", "allow", "novalid", "trustonfirst")
    narrowing = {"spec.introductions.allowedSubjects", "spec.introductions.allowedSubjects[]"}
    paths = {path for path, _ in _fields(kind)} - narrowing
    assert [path for path in paths if any(word in path.lower() for word in suspicious)] == []
