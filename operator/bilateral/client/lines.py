"""Connections to services, kept apart by the trust they were made under.

Rules: one pool of connections for each service and each TLS context; when the context is another, or the
service may not be used any more, the pool takes no new request, and is closed when its last one is over. So
what was withdrawn is never used again, and what is under way ends well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from bilateral.client.handshakes import PreparedContext

Pool = TypeVar("Pool")


@dataclass(slots=True, eq=False)
class Line(Generic[Pool]):
    """The connections to one service that were made under one trust."""

    context: PreparedContext
    pool: Pool
    in_use: int = 0
    is_retired: bool = False


class Lines(Generic[Pool]):
    """The lines in use; an old one is let go of when its last request is over."""

    def __init__(self, build: Callable[[PreparedContext], Pool]) -> None:
        self._build: Callable[[PreparedContext], Pool] = build
        self._lines: dict[str, Line[Pool]] = {}
        self._lock = Lock()

    def enter(self, alias: str, context: PreparedContext) -> tuple[Line[Pool], Pool | None]:
        """Take part in the line of this trust; also returns a pool that is to be closed now."""
        idle: Pool | None = None
        with self._lock:
            line = self._lines.get(alias)
            if line is None or line.context is not context:
                idle = self._retire(line)
                line = self._lines[alias] = Line(context, self._build(context))
            line.in_use += 1
        return line, idle

    def leave(self, line: Line[Pool]) -> Pool | None:
        """End a request; returns the pool if it is to be closed now."""
        with self._lock:
            line.in_use -= 1
            return line.pool if line.is_retired and not line.in_use else None

    def retire(self, alias: str) -> Pool | None:
        """Take a service's line away, since it may not be used; returns its pool if that is idle."""
        with self._lock:
            return self._retire(self._lines.pop(alias, None))

    def clear(self) -> list[Pool]:
        """Take all lines away, in use or not."""
        with self._lock:
            pools = [line.pool for line in self._lines.values()]
            self._lines.clear()
        return pools

    @staticmethod
    def _retire(line: Line[Pool] | None) -> Pool | None:
        if line is None:
            return None
        line.is_retired = True
        return None if line.in_use else line.pool
