"""Runs `bilateral` with a wall clock that a test sets: clocked_operator.py FILE operator …

FILE holds how many seconds the clock is ahead of the machine's (negative: behind), and is read at every look
at the clock. The monotonic clock is the machine's: a machine whose date is set back does not run backwards.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import bilateral.operator as module
from bilateral.cli.main import main
from bilateral.engine.clock import SystemClock


class FileClock(SystemClock):
    """The machine's clocks, with the wall clock off by what a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def time(self) -> float:
        """Wall-clock time, Unix seconds."""
        return time.time() + float(self._file.read_text())


if __name__ == "__main__":
    clock = FileClock(Path(sys.argv.pop(1)))
    run = module.main

    def run_with_clock(settings: Any) -> int:
        """What the command calls, with the clock."""
        return run(settings, clock)

    module.main = run_with_clock  # type: ignore[assignment]  # the purpose
    main()
