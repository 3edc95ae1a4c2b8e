"""What commands print: JSON and YAML for programs, tables and sentences for people.

Rules: data goes to stdout, remarks to stderr; JSON is one document with sorted members and a final
newline; times are RFC 3339 in UTC, with the distance from now beside them for people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias

import click
import yaml

from bilateral.cli.errors import printable
from bilateral.protocol.canonical import JSON

Data: TypeAlias = JSON
"""What can be printed as a document."""


class Format(StrEnum):
    """Output formats; not every command has every one."""

    TABLE = "table"
    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def format_option(*formats: Format) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command ``-o/--output`` with these formats, the first being the default."""
    return click.option(
        "-o",
        "--output",
        "output",
        type=click.Choice([item.value for item in formats]),
        default=formats[0].value,
        show_default=True,
        help="What to print.",
    )


def render(data: Data, output: str) -> str:
    """Render ``data`` as JSON or YAML text with a final newline."""
    if output == Format.JSON:
        return json.dumps(data, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    return to_yaml(data)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines (PEM) as blocks, and lists indented as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(data: Data) -> str:
    """Render ``data`` as YAML, members in the order that they were put in."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows below a head, columns separated by three spaces, as kubectl does."""
    lines = [list(head), *[[printable(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def distance(seconds: int) -> str:
    """Say how long a number of seconds is, in its two largest units: ``11 h 42 min``."""
    seconds = abs(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    for index, (name, size) in enumerate(units):
        if seconds >= size or size == 1:
            text = f"{seconds // size} {name}"
            if index + 1 < len(units) and size > 1:
                small_name, small = units[index + 1]
                rest = seconds % size // small
                text += f" {rest} {small_name}" if rest else ""
            return text
    raise AssertionError("the last unit always fits")
