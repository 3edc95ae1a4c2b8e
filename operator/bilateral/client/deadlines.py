"""The partners' deadlines, as ``<trustDomain>-peers`` lists them: who may be relied on, until when.

Rules:

* ``peers.json`` holds the partners that were fresh when it was written: one that is not listed may not
  be relied on. Nor one whose ``rotationDue`` has come, whether or not an operator is there to say so, nor
  one that was established in the future (further than clocks may differ).
* Where no such Secret is mounted no deadline is asked for; where one is mounted and cannot be read,
  every partner's service is refused.
* A list goes on in further Secrets, mounted as ``peers-1``, ``peers-2``, …; of two entries for one
  partner (it moved while we read) the later established one counts.

``now`` is passed, in POSIX seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bilateral.client.errors import LayoutInvalid, PartnerStale
from bilateral.client.volumes import Reading, read_volume
from bilateral.protocol.acceptance import DEFAULT_MAX_CLOCK_SKEW_SECONDS
from bilateral.protocol.canonical import DOCUMENT_LIMITS, parse_json
from bilateral.protocol.errors import MalformedDocument

PEERS_FILE: Final = "peers.json"


@dataclass(frozen=True, slots=True)
class _Span:
    established_at: int
    rotation_due: int


class Deadlines:
    """Who is fresh, of one reading of the lists."""

    __slots__ = ("_spans",)

    def __init__(self, lists: Iterable[tuple[str, bytes | None]]) -> None:
        """Read the lists: (directory, content), None where it has no list. Raises LayoutInvalid (malformed)."""
        self._spans: dict[str, _Span] = {}
        for directory, content in lists:
            for kernel_id, span in _parse(directory, content):
                known = self._spans.get(kernel_id)
                if known is None or known.established_at <= span.established_at:
                    self._spans[kernel_id] = span

    def verify_fresh(self, kernel_id: str, now: float) -> None:
        """Raise PartnerStale unless the partner may be relied on at ``now``; at ``rotationDue`` it may not."""
        span = self._spans.get(kernel_id)
        if span is None:
            raise PartnerStale(kernel_id, "it is not among the partners that are fresh")
        if now >= span.rotation_due:
            due = datetime.fromtimestamp(span.rotation_due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise PartnerStale(kernel_id, f"its deadline was {due}")
        if now < span.established_at - DEFAULT_MAX_CLOCK_SKEW_SECONDS:
            raise PartnerStale(kernel_id, "it was established in the future, so a clock is wrong")


class MountedDeadlines:
    """The lists as they are mounted now; where none is mounted nobody's deadline is asked for."""

    def __init__(self, places: Sequence[Path]) -> None:
        """Watch these directories."""
        self._places = tuple(places)
        self._held: tuple[tuple[Reading, ...], Deadlines] | None = None

    def verify_fresh(self, kernel_id: str, now: float) -> None:
        """Raise PartnerStale unless the partner may be relied on at ``now``; LayoutInvalid."""
        if not self._places:
            return
        held = self._held
        if held is None or not all(reading.is_current() for reading in held[0]):
            readings = tuple(read_volume(path, PEERS_FILE.__eq__) for path in self._places)
            lists = ((reading.path.name, reading.files.get(PEERS_FILE)) for reading in readings)
            held = self._held = (readings, Deadlines(lists))
        held[1].verify_fresh(kernel_id, now)


def _parse(directory: str, content: bytes | None) -> Iterable[tuple[str, _Span]]:
    file = f"{directory}/{PEERS_FILE}"
    if content is None:
        return
    try:
        listed = parse_json(content, DOCUMENT_LIMITS)
    except MalformedDocument as error:
        raise LayoutInvalid("malformed", file, f"expected a JSON list ({error.cause})") from None
    if not isinstance(listed, list):
        raise LayoutInvalid("malformed", file, "expected a JSON list")
    for entry in listed:
        match entry:
            case {"kernelId": str(kernel_id), "establishedAt": int(established), "rotationDue": int(due)} if (
                due >= 0
            ):
                yield kernel_id, _Span(established, due)
            case _:
                raise LayoutInvalid(
                    "malformed", file, "expected entries with kernelId, establishedAt and rotationDue"
                )
