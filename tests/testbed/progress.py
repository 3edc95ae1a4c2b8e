"""One line that says a long build is alive: what is built, for how long, how many packages so far.

On a terminal the line is redrawn twice a second; elsewhere (CI logs) a new line is written every 15 s.
"""

import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_PERIOD = 0.5
LOG_PERIOD = 15.0


class Progress:
    """Counts `go build -v` lines and shows them; `now` is a monotonic clock in seconds."""

    def __init__(self, title: str, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._stream = stream
        self._now = now
        self._terminal = stream.isatty()
        self._started = now()
        self._shown = self._started
        self._packages = 0
        self._downloads = 0
        self._write(f"{title} ...")

    def record(self, line: str) -> None:
        """Take one line of the compiler's: a package that it built, or a module that it fetches."""
        if line.startswith("go: downloading "):
            self._downloads += 1
        elif line.strip():
            self._packages += 1

    def tick(self) -> None:
        """Show where we are, when it is time to; call this a few times a second."""
        period = TERMINAL_PERIOD if self._terminal else LOG_PERIOD
        if self._now() - self._shown >= period:
            self._shown = self._now()
            self._write(f"{self._title} ... {self._figures()}")

    def finish(self, outcome: str) -> None:
        """Write the closing line."""
        self._write(f"{self._title}: {outcome}, {self._figures()}")
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def _figures(self) -> str:
        modules = f"{self._downloads} modules fetched, " if self._downloads else ""
        return f"{self._now() - self._started:.0f} s, {modules}{self._packages} packages compiled"

    def _write(self, text: str) -> None:
        # \r and "erase to the end of the line" redraw in place; a log gets whole lines.
        self._stream.write(f"\r{text}\x1b[K" if self._terminal else f"{text}\n")
        self._stream.flush()
