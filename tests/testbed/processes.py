"""Processes that outlive the program that started them, known by pid **and** start time.

- A signal goes only to a process whose start time is the recorded one: a recycled pid is never hit.
- A zombie counts as ended. Children of this very process are reaped when they are asked about.
- Every process starts in a session of its own: Ctrl-C at the terminal reaches the driver, not the cluster.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Popen objects of our own children. They are kept until reaped: a Popen that is dropped earlier warns.
_children: dict[int, subprocess.Popen[bytes]] = {}

_POLL = 0.01


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process: `started` is the system's own word for when (ticks since boot, or a date)."""

    pid: int
    started: str


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> ProcessRecord:
    """Start a process that writes both its streams to the end of `log`, and return its record."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, pass_fds=tuple(descriptors), env=environment, cwd=folder,
        )  # fmt: skip
    _children[child.pid] = child
    # A child that has ended already has no start time; it cannot be recycled before we reap it.
    return ProcessRecord(child.pid, find_start_time(child.pid) or "ended")


def find_start_time(pid: int) -> str | None:
    """Return when the process with this pid started, or None when there is none (or only a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _ask_ps(pid)
    except ProcessLookupError:
        return None
    # After the name, which is in brackets and may itself hold any character: state is field 3, start time 22.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def is_running(record: ProcessRecord) -> bool:
    """Tell whether that very process still runs."""
    started = find_start_time(record.pid)
    if started is None and (child := _children.pop(record.pid, None)) is not None:
        child.wait()  # a child of ours stays a zombie until it is reaped
    return started == record.started


def send_signal(record: ProcessRecord, number: signal.Signals) -> bool:
    """Send a signal to that very process; return False when it no longer runs."""
    if not hasattr(os, "pidfd_open"):
        if is_running(record):
            os.kill(record.pid, number)
            return True
        return False
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle names one process for good: what is checked here is what is hit below.
        if not is_running(record):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def wait_ended(record: ProcessRecord, timeout: float) -> bool:
    """Wait until the process has ended; return False when it has not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while is_running(record):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def end_process(record: ProcessRecord, grace: float = 0) -> None:
    """End the process: SIGTERM with `grace` seconds to act on it, then SIGKILL; without grace at once."""
    if grace > 0 and send_signal(record, signal.SIGTERM) and wait_ended(record, grace):
        return
    send_signal(record, signal.SIGKILL)
    wait_ended(record, 10)


def _ask_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
