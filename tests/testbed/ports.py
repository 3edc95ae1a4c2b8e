"""Ports on loopback that no other run on this machine takes.

A port is held by an advisory lock on a file named after it. The lock is handed down to the processes that use
the port, so it lasts exactly as long as one of them lives, whatever becomes of the driver. The range lies
below the kernel's own ephemeral ports, so no outgoing connection takes a port between its choice and its use.
"""

import fcntl
import os
import random
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import StartError

FIRST, LAST = 20000, 29999
_ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Port:
    """A port of ours; `lock` is the open file that holds it (pass it on with `pass_fds`)."""

    number: int
    lock: int

    def release(self) -> None:
        """Close our copy of the lock; the port is free once no process has one."""
        os.close(self.lock)


def lease_port() -> Port:
    """Return a free port of 127.0.0.1, held until every copy of its lock is closed. Raises StartError."""
    folder = Path(tempfile.gettempdir()) / f"bilateral-testbed-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    choose = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        number = choose.randint(FIRST, LAST)
        lock = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if _is_free(number):
            return Port(number, lock)
        os.close(lock)
    raise StartError(f"no free port of 127.0.0.1 between {FIRST} and {LAST}")


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
