"""Echoes of our own writes: what a watch tells of them is known already.

Every write of ours comes back on a watch. The answer to the write was taken in, so the echo says nothing new;
but kopf would parse it, make a task and a dozen objects for it, and hand it over to be passed by: as much
work as the write itself. So those lines of a watch are left out before kopf sees them.

Rules:

- A line is left out only when it tells that an object came or changed, at exactly the resourceVersion with
  which the API server answered a write of ours; a version is one write of one object. Whatever else it may be
  (somebody's write, a deletion, a bookmark, an error, an echo that overtook its answer) passes unchanged.
- Only whole lines are judged. What is left out moves no state: a watch that is opened again goes on from
  an earlier version, and tells once more what is known.
"""

from __future__ import annotations

import re
from collections import OrderedDict

REMEMBERED = 4096
"""How many writes may be waiting for their echo, which comes within milliseconds."""

# The API server writes type first and metadata before anything that a person may fill; quotes in texts are escaped.
_CHANGE = re.compile(rb'\{"type":"(?:ADDED|MODIFIED)","object":\{')
_VERSION = re.compile(rb'"resourceVersion":"([0-9]+)"')


class Echoes:
    """The versions of our latest writes."""

    def __init__(self) -> None:
        self._versions: OrderedDict[bytes, None] = OrderedDict()

    def expect(self, version: str) -> None:
        """The API server answered a write of ours with this resourceVersion."""
        self._versions[version.encode()] = None
        if len(self._versions) > REMEMBERED:
            self._versions.popitem(last=False)

    def is_echo(self, line: bytes) -> bool:
        """Whether a line of a watch tells nothing but a write of ours."""
        if not self._versions or _CHANGE.match(line) is None:
            return False
        found = _VERSION.search(line)
        return found is not None and found[1] in self._versions


class Lines:
    """A watch's body: chunks in, whole lines out, without the echoes."""

    def __init__(self, echoes: Echoes) -> None:
        self._echoes = echoes
        self._begun: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """The lines that end in ``chunk``, less the echoes; may be empty."""
        if b"\n" not in chunk:
            self._begun.append(chunk)
            return b""
        *lines, rest = b"".join([*self._begun, chunk]).split(b"\n")
        self._begun = [rest] if rest else []
        return b"".join(line + b"\n" for line in lines if not self._echoes.is_echo(line))

    def rest(self) -> bytes:
        """What came after the last line when the body ended."""
        rest, self._begun = b"".join(self._begun), []
        return rest
