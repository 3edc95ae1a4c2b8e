"""The objects of ``bilateral status`` as a tree: each below what it follows from, what needs a person first.

Rules: an object whose parent is not shown stands at the top, so nothing is lost. What follows from a partner
whose deadline has passed is not ready, whatever its own condition still says. Where there are many objects of a
kind in one place, the ready ones beyond a few are summed up, with all that is below them; one that is not ready
is never counted among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from bilateral.cli.advice import advise
from bilateral.cli.overview import OVERDUE, OVERDUE_STEP, Line, Verdict
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.kinds import KINDS

MAX_READY = 10
MAX_NOT_READY = 40
_ORDER = {kind.SINGULAR: place for place, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Node:
    """An object with what stands below it."""

    line: Line
    children: tuple[Node, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether it and all below it may be relied on."""
        return self.line.is_ready and all(child.is_ready for child in self.children)

    def lines(self) -> Iterator[Line]:
        """It and all below it, from the top."""
        yield self.line
        for child in self.children:
            yield from child.lines()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: an object at its depth, or (``line`` is None) several of a ``kind`` summed up."""

    depth: int
    line: Line | None
    kind: str = ""
    namespace: str = ""
    count: int = 0
    are_ready: bool = True


@dataclass(slots=True)
class _Families:
    children: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    roots: list[Line] = field(default_factory=list)


def follow(lines: Sequence[Line]) -> list[Line]:
    """Judge again what follows from a partner whose deadline has passed."""
    ended = {(line.namespace, line.reference) for line in lines if line.has_ended}
    return [
        replace(line, verdict=_stale(line)) if (line.namespace, line.parent) in ended else line
        for line in lines
    ]


def _stale(line: Line) -> Verdict:
    if not (line.follows and line.is_ready):
        return line.verdict
    sentence = f"{line.parent}: {OVERDUE}"
    return Verdict(ConditionStatus.FALSE.value, Reason.PEER_STALE.value, sentence, OVERDUE_STEP)


def arrange(lines: Iterable[Line]) -> tuple[Node, ...]:
    """Put each object below its parent: what is not ready first, then by kind and name."""
    listed = list(lines)
    there = {(line.namespace, line.reference) for line in listed}
    families = _Families()
    for line in listed:
        place = (line.namespace, line.parent or "")
        if place in there:
            families.children.setdefault(place, []).append(line)
        else:
            families.roots.append(line)
    return _sorted(families.roots, families)


def _sorted(lines: Iterable[Line], families: _Families) -> tuple[Node, ...]:
    nodes = (
        Node(line, _sorted(families.children.get((line.namespace, line.reference), ()), families))
        for line in lines
    )
    return tuple(sorted(nodes, key=_place))


def _place(node: Node) -> tuple[int, str, bool, str]:
    line = node.line
    return _ORDER[line.kind], line.namespace, node.is_ready, line.name


def entries(nodes: Sequence[Node], *, whole: bool, depth: int = 0) -> Iterator[Entry]:
    """The rows to be shown: all with ``whole``, otherwise with many of a kind summed up."""
    for (namespace, kind), found in groupby(nodes, key=lambda node: (node.line.namespace, node.line.kind)):
        family = list(found)
        good = [node for node in family if node.is_ready]
        bad = [node for node in family if not node.is_ready]
        for several, limit, are_ready in ((bad, MAX_NOT_READY, False), (good, MAX_READY, True)):
            shown = several if whole else several[:limit]
            for node in shown:
                yield Entry(depth, node.line)
                yield from entries(node.children, whole=whole, depth=depth + 1)
            if len(shown) < len(several):
                yield Entry(depth, None, kind, namespace, len(several) - len(shown), are_ready)


def follows_plainly(line: Line, parent: Line | None) -> bool:
    """Whether an object is not ready for no other reason than its parent's, which is told there."""
    return (
        parent is not None
        and line.follows
        and not parent.is_ready
        and line.verdict.reason == parent.verdict.reason
        and advise(line.verdict.reason).step is not None
    )
