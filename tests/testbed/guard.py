"""Ends a tied cluster when the program that started it is gone, however it went.

The guard is a small process that reads from a pipe. Its other end is held by the starter alone; when that one
dies the pipe closes, and the guard ends what the folder's state file lists.
"""

import os
import subprocess
import sys
from pathlib import Path

from testbed.locations import TESTS


class Guard:
    """The starter's side: keep it as long as the cluster is to live."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testbed", "guard", str(directory)], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(TESTS)}, cwd=TESTS,
        )  # fmt: skip

    def dismiss(self) -> None:
        """End the guard; the cluster has been ended already."""
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def keep_watch(directory: Path) -> None:
    """Wait until standard input closes, then end the cluster in `directory`: the guard's own side."""
    sys.stdin.buffer.read()
    # Imported only now: a guard that is dismissed has cost next to nothing.
    from testbed.cluster import stop_processes

    stop_processes(directory)
