"""The CustomResourceDefinitions, generated from the types.

``python -m bilateral.resources.crds crds/`` writes them; with ``--check`` it compares, and exits 1 when a
file differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from bilateral.resources.kinds import KINDS
from bilateral.resources.labels import GROUP, VERSION
from bilateral.resources.meta import Column, Resource
from bilateral.resources.schema import build_schema

CATEGORY: Final = "trust"
_HEADER: Final = (
    "# Generated from operator/bilateral/resources by `python -m bilateral.resources.crds crds/`.\n"
)


def build_crd(kind: type[Resource]) -> dict[str, Any]:
    """Build the CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.PLURAL}.{GROUP}",
            # Removing the chart must not remove every organisation's trust.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.KIND,
                "listKind": f"{kind.KIND}List",
                "plural": kind.PLURAL,
                "singular": kind.SINGULAR,
                "shortNames": list(kind.SHORT_NAMES),
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.COLUMNS],
                    "schema": {"openAPIV3Schema": build_schema(kind)},
                }
            ],
        },
    }


def build_crds() -> dict[str, str]:
    """File name → YAML text, for every kind."""
    return {
        f"{GROUP}_{kind.PLURAL}.yaml": _HEADER
        + yaml.dump(build_crd(kind), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        for kind in KINDS
    }


def _column(column: Column) -> dict[str, Any]:
    built: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.json_path,
    }
    return built | ({"priority": 1} if column.wide else {})


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: no anchors, lists indented below their key."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's
        super().increase_indent(flow, indentless=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or compare them; the exit code says whether they are as generated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when a file differs")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    wanted = build_crds()
    if options.check:
        found = {path.name: path.read_text(encoding="utf-8") for path in options.folder.glob("*.yaml")}
        different = sorted(
            name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
        )
        for name in different:
            sys.stderr.write(f"{options.folder / name} is not as generated\n")
        return 1 if different else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (options.folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
