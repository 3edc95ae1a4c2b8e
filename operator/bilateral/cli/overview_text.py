"""How ``bilateral status`` reads: a table, a paragraph for each finding, the sum.

Rules: the second line of a paragraph begins with whose move it is. One finding about many objects is one
paragraph. What is not ready only because its partner is not is told once, with the partner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bilateral.cli.output import distance, table
from bilateral.cli.overview import Line
from bilateral.cli.overview_tree import Entry, Node, entries, follows_plainly
from bilateral.resources.kinds import KINDS
from bilateral.resources.times import format_time

MAX_NAMES = 3
MAX_FINDINGS = 40
_DAY = 86_400
_PLURALS = {kind.SINGULAR: kind.PLURAL for kind in KINDS}


@dataclass(slots=True)
class _Finding:
    """What is wrong with several objects of a kind, in the same words."""

    kind: str
    namespace: str
    sentence: str
    step: str | None
    step_for_any: str | None
    names: list[str] = field(default_factory=list)


def write_text(nodes: Sequence[Node], now: int, *, namespaces: bool, whole: bool) -> list[str]:
    """Write the table, then one paragraph for each finding, then the sum."""
    lines = [line for node in nodes for line in node.lines()]
    if not lines:
        return ["No trust domains and no partners here."]
    head = ["NAME", "READY", "REASON", "WHO", "UNTIL"]
    rows = [(entry, _row(entry, now)) for entry in entries(nodes, whole=whole)]
    if namespaces:
        head = ["NAMESPACE", *head]
    cells = [[_namespace(entry), *row] if namespaces else row for entry, row in rows]
    text = table(head, cells)
    found = list(_findings(lines))
    shown = found if whole else found[:MAX_FINDINGS]
    for finding in shown:
        text += _paragraph(finding, namespaces=namespaces)
    unready = sum(not line.is_ready for line in lines)
    total = f"{len(lines)} object" + ("s" if len(lines) > 1 else "")
    text += ["", f"{total}, all ready." if not unready else f"{total}, {unready} not ready."]
    if len(shown) < len(found):
        text.append(f"{len(found) - len(shown)} more findings: --all shows them.")
    elif any(entry.line is None for entry, _ in rows):
        text.append("--all shows every one.")
    return text


def _namespace(entry: Entry) -> str:
    return entry.namespace if entry.line is None else entry.line.namespace


def _row(entry: Entry, now: int) -> list[str]:
    branch = "  " * (entry.depth - 1) + "└ " if entry.depth else ""
    line = entry.line
    if line is None:
        state = "ready" if entry.are_ready else "not ready"
        return [f"{branch}… {entry.count} more {_PLURALS[entry.kind]}, {state}", "", "", "", ""]
    until = "-"
    if line.until is not None:
        until = f"{format_time(line.until)} ({_left(line.until - now)})"
    who = line.who.removeprefix("https://")
    return [branch + line.reference, line.verdict.ready, line.verdict.reason, who, until]


def _left(seconds: int) -> str:
    """How far away a moment is: in days where it is days away, since the moment itself stands beside it."""
    days = abs(seconds) // _DAY
    return f"{f'{days} d' if days else distance(seconds)} {'left' if seconds > 0 else 'ago'}"


def _findings(lines: Iterable[Line]) -> Iterator[_Finding]:
    """Everything that somebody should look at, each once; what is not ready before what is remarked upon."""
    listed = list(lines)
    by_reference = {(line.namespace, line.reference): line for line in listed}
    unready: dict[tuple[str, str, str, str | None], _Finding] = {}
    remarks: dict[tuple[str, str, str, str | None], _Finding] = {}
    for line in listed:
        verdict = line.verdict
        parent = by_reference.get((line.namespace, line.parent or ""))
        if not line.is_ready and not follows_plainly(line, parent):
            _add(unready, line, verdict.sentence, verdict.step, verdict.step_for_any)
        for remark in line.remarks:
            step = None if remark.step == verdict.step else remark.step
            _add(remarks, line, f"{remark.about}: {remark.sentence}", step, None)
    yield from unready.values()
    yield from remarks.values()


def _add(
    found: dict[tuple[str, str, str, str | None], _Finding],
    line: Line,
    sentence: str,
    step: str | None,
    step_for_any: str | None,
) -> None:
    key = (line.namespace, line.kind, sentence, step_for_any or step)
    finding = found.setdefault(key, _Finding(line.kind, line.namespace, sentence, step, step_for_any))
    finding.names.append(line.name)


def _paragraph(finding: _Finding, *, namespaces: bool) -> list[str]:
    names = ", ".join(finding.names[:MAX_NAMES])
    if len(finding.names) > MAX_NAMES:
        names += f" and {len(finding.names) - MAX_NAMES} more"
    where = f" in {finding.namespace}" if namespaces else ""
    text = f"{finding.kind}/{names}{where}: {finding.sentence}"
    text = text if text.endswith((".", "!", "?")) else f"{text}."
    step = finding.step if len(finding.names) == 1 else finding.step_for_any or finding.step
    return ["", text, *([f"  {step}"] if step is not None else [])]
