"""How the demo speaks: chapters, checked lines with their time, and what was found when a check fails.

Rules: a line gets its tick only after what it says was checked; on a terminal a running line is redrawn in
place, elsewhere only finished lines are written; colour only on a terminal, and never with NO_COLOR.
It knows nothing of clusters: a stream, a clock and texts.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

WIDTH = 100
POLL_SECONDS = 0.1

_GREEN, _RED, _BOLD, _DIM, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_ERASE = "\r\x1b[K"

Value = TypeVar("Value")


class Unexpected(Exception):
    """A check that does not hold: what was looked at, what was expected and what was found."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        super().__init__(f"{what}: expected {expected}, found {found}")


def expect(what: str, found: object, expected: object) -> None:
    """Raise Unexpected unless `found` equals `expected`."""
    if found != expected:
        raise Unexpected(what, expected, found)


def require(what: str, holds: bool, expected: object, found: object) -> None:
    """Raise Unexpected unless the condition holds."""
    if not holds:
        raise Unexpected(what, expected, found)


class Line:
    """A line while it is being checked; `add` puts what was found behind its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def add(self, found: str) -> None:
        """Say more, once it is known."""
        self.text = f"{self.text}{found}"


class Teller:
    """Writes the story to a stream; `now` is a monotonic clock in seconds."""

    def __init__(
        self, stream: TextIO, *, live: bool | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.now = now
        self.doing = "getting ready"
        self._stream = stream
        self._live = stream.isatty() if live is None else live
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._started = now()
        self._chapters = 0
        self._checks = 0

    @property
    def seconds(self) -> float:
        """How long the story has taken so far."""
        return self.now() - self._started

    @property
    def checks(self) -> int:
        """How many lines have been checked."""
        return self._checks

    def say(self, text: str = "") -> None:
        """Write a line that claims nothing."""
        self._write(f"{text}\n")

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._chapters += 1
        self._write(f"\n{self._dress(_BOLD, f'{self._chapters}  {title}')}\n")

    def command(self, text: str) -> None:
        """Show a command as a person would type it."""
        self._write(self._dress(_DIM, f"   $ {text}") + "\n")

    def quote(self, text: str, *, blank_lines: bool = True) -> None:
        """Show what a program or a server answered, indented; long lines are wrapped."""
        for line in text.strip("\n").splitlines():
            if not (line or blank_lines):
                continue
            wrapped = textwrap.wrap(line, WIDTH + 10, break_on_hyphens=False, subsequent_indent="  ")
            for part in wrapped or [""]:
                self._write(f"     {part}".rstrip() + "\n")

    @contextmanager
    def check(self, text: str) -> Iterator[Line]:
        """Check something: the line gets a tick and its time when the body ends without an exception."""
        line = Line(text)
        self.doing = text
        started = self.now()
        self.show_running(text)
        try:
            yield line
        except BaseException:
            self._write(f"{self._clean()}{self._dress(_RED, ' ✗')} {line.text}\n")
            raise
        self._checks += 1
        taken = f"{self.now() - started:.1f} s"
        padded = line.text.ljust(WIDTH - 9) if len(line.text) < WIDTH - 8 else line.text
        self._write(
            f"{self._clean()}{self._dress(_GREEN, ' ✓')} {padded} {self._dress(_DIM, taken.rjust(6))}\n"
        )

    def wait(
        self,
        what: str,
        look: Callable[[], Value],
        enough: Callable[[Value], bool],
        *,
        expected: object,
        seconds: float,
    ) -> Value:
        """Look again and again until it is enough; raises Unexpected with the last look after `seconds`."""
        started = self.now()
        while not enough(seen := look()):
            passed = self.now() - started
            if passed > seconds:
                raise Unexpected(what, f"{expected} within {seconds:.0f} s", seen)
            self.show_running(f"{self.doing} … {passed:.0f} s")
            time.sleep(POLL_SECONDS)
        return seen

    def show_running(self, text: str) -> None:
        """Redraw the running line, on a terminal only."""
        if self._live:
            self._write(f"{_ERASE} · {text[: WIDTH - 4]}")

    def _clean(self) -> str:
        return _ERASE if self._live else ""

    def _dress(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._coloured else text

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
