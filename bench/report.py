"""How every benchmark reports: one table for people and, on the last line, one JSON object for programs.

A row states what was measured, the figure with its unit, and, where there is one, the target and
whether it was met. A ratio is always to something that was measured in the same run.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Comparison = Literal["at most", "at least", "exactly"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``key`` is its name in the JSON line; ``target`` is in the same unit."""

    key: str
    what: str
    value: float
    unit: str = ""
    target: float | None = None
    comparison: Comparison = "at most"

    @property
    def met(self) -> bool | None:
        """Whether the target was reached, or None without one."""
        if self.target is None:
            return None
        if self.comparison == "at most":
            return self.value <= self.target
        return self.value >= self.target if self.comparison == "at least" else self.value == self.target

    def cells(self) -> tuple[str, str, str]:
        """The row as text: what, figure, target and verdict."""
        figure = f"{_number(self.value)} {self.unit}".strip()
        if self.target is None:
            return self.what, figure, ""
        verdict = "met" if self.met else "MISSED"
        return (
            self.what,
            figure,
            f"{self.comparison} {_number(self.target)} {self.unit}".strip() + f": {verdict}",
        )


def print_report(
    name: str, what: str, rows: Iterable[Row], facts: Mapping[str, object] | None = None
) -> bool:
    """Print the table and the JSON line; say whether every target was met."""
    rows = list(rows)
    print(f"\n{name}: {what}")
    print(f"on {machine()}\n")
    cells = [row.cells() for row in rows]
    first, second = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    for left, middle, right in cells:
        print(f"  {left:<{first}}  {middle:>{second}}  {right}".rstrip())
    met = all(row.met is not False for row in rows)
    line = {
        "benchmark": name,
        "machine": machine(),
        **(facts or {}),
        **{row.key: round(row.value, 4) for row in rows},
        "missed": [row.key for row in rows if row.met is False],
    }
    print(f"\n{json.dumps(line)}", flush=True)
    return met


def machine() -> str:
    """The machine and the interpreter, in a few words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}"


def progress(text: str) -> None:
    """Tell a person who waits what goes on; not part of the report."""
    print(f"... {text}", file=sys.stderr, flush=True)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
