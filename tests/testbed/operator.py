"""Runs the operator under test as a process, with a kubeconfig of its own, and watches it from outside.

The ports are chosen here and held until the operator is gone. The log is one JSON object a line in a file of
each start's own; whatever the process prints besides is in there too.
"""

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import StartError
from testbed.metrics import Samples, parse_metrics
from testbed.ports import Port, lease_port
from testbed.processes import ProcessRecord, is_running, send_signal, spawn, wait_ended

READY_TIMEOUT = 30.0
_POLL = 0.02
_LOG_TAIL = 3000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """The operator's flags; see `bilateral operator --help`."""

    kubeconfig: Path
    namespaces: Sequence[str]
    lease_namespace: str
    allow_destinations: Sequence[str] = ("127.0.0.1",)
    refusals: str = "Documented"
    log_level: str = "info"
    extra: Sequence[str] = ()

    def arguments(self, listen: int, metrics: int) -> list[str]:
        """Return the flags, in the spelling that the chart uses too."""
        return [
            f"--kubeconfig={self.kubeconfig}",
            *(f"--namespace={name}" for name in self.namespaces),
            f"--lease-namespace={self.lease_namespace}",
            f"--listen=127.0.0.1:{listen}",
            f"--metrics-listen=127.0.0.1:{metrics}",
            *(f"--allow-destinations={pattern}" for pattern in self.allow_destinations),
            f"--refusals={self.refusals}",
            f"--log-level={self.log_level}",
            *self.extra,
        ]


class OperatorProcess:
    """One operator; `start` it, and start it again after `stop` or `kill`: the ports stay the same."""

    program: Sequence[str | Path] = (Path(sys.executable).parent / "bilateral",)
    """What is run, before the word `operator` and its flags."""

    def __init__(self, settings: OperatorSettings, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self._listen: Port = lease_port()
        self._metrics: Port = lease_port()
        self._record: ProcessRecord | None = None
        self._starts = 0

    # Life

    def start(self, *, wait: bool = True, timeout: float = READY_TIMEOUT) -> "OperatorProcess":
        """Start the process and (with `wait`) return when `/readyz` says ok. Raises StartError."""
        self._starts += 1
        self.directory.mkdir(parents=True, exist_ok=True)
        arguments = self.settings.arguments(self._listen.number, self._metrics.number)
        self._record = spawn(
            [*self.program, "operator", *arguments], log=self.log_file, folder=self.directory,
            descriptors=(self._listen.lock, self._metrics.lock),
            environment=os.environ | {"PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait until `/readyz` says ok. Raises StartError when the process ends or takes too long."""
        deadline = time.monotonic() + timeout
        while self.probe("/readyz") != http.HTTPStatus.OK:
            if not self.is_running():
                raise StartError(f"the operator has ended; its log says:\n{self._log_tail()}")
            if time.monotonic() >= deadline:
                raise StartError(f"the operator is not ready after {timeout:.0f} s:\n{self._log_tail()}")
            time.sleep(_POLL)

    def stop(self, timeout: float = 15) -> float:
        """Ask it to end (SIGTERM) and return how many seconds it took. Raises StartError if it does not."""
        started = time.monotonic()
        send_signal(self.record, signal.SIGTERM)
        if not wait_ended(self.record, timeout):
            self.kill()
            raise StartError(f"the operator did not end within {timeout:.0f} s:\n{self._log_tail()}")
        return time.monotonic() - started

    def kill(self) -> None:
        """End it at once (SIGKILL): no chance to say goodbye."""
        send_signal(self.record, signal.SIGKILL)
        wait_ended(self.record, 10)

    def close(self) -> None:
        """End it if it still runs, and give the ports back: for fixtures."""
        if self._record is not None and self.is_running():
            self.kill()
        self._listen.release()
        self._metrics.release()

    def pause(self) -> None:
        """Freeze it (SIGSTOP), as a machine does that is too busy."""
        send_signal(self.record, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        send_signal(self.record, signal.SIGCONT)

    def is_running(self) -> bool:
        """Tell whether the process runs (frozen counts as running)."""
        return self._record is not None and is_running(self._record)

    # What can be seen from outside

    @property
    def record(self) -> ProcessRecord:
        """The process that was started last."""
        if self._record is None:
            raise StartError("the operator has not been started")
        return self._record

    @property
    def port(self) -> int:
        """The federation endpoint's port on 127.0.0.1."""
        return self._listen.number

    @property
    def metrics_port(self) -> int:
        """The port of `/healthz`, `/readyz` and `/metrics`."""
        return self._metrics.number

    @property
    def url(self) -> str:
        """The federation endpoint's base URL."""
        return f"https://127.0.0.1:{self.port}"

    def probe(self, path: str, timeout: float = 2) -> int | None:
        """Return the status code of a path on the metrics port, or None without an answer."""
        try:
            return self._get(path, timeout)[0]
        except (OSError, http.client.HTTPException):
            return None

    def metrics(self) -> Samples:
        """Return what `/metrics` says now. Raises OSError when nobody answers."""
        return parse_metrics(self._get("/metrics", 10)[1].decode())

    @property
    def log_file(self) -> Path:
        """The log of the last start."""
        return self.directory / f"operator-{self._starts}.log"

    def log_text(self) -> str:
        """Return the last start's whole log."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_entries(self) -> list[dict[str, Any]]:
        """Return the log's JSON lines; other lines (a traceback, say) are left out."""
        lines = (line for line in self.log_text().splitlines() if line.startswith("{"))
        return [json.loads(line) for line in lines]

    def resident_bytes(self) -> int:
        """Return the resident memory (Linux)."""
        fields = Path(f"/proc/{self.record.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, user and system (Linux)."""
        fields = Path(f"/proc/{self.record.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _get(self, path: str, timeout: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _log_tail(self) -> str:
        return f"({self.log_file})\n{self.log_text()[-_LOG_TAIL:]}"
