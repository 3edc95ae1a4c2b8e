"""The pods of the story: what is mounted, the programs that serve, and what a client finds.

A cluster without a node has no kubelet: the test bed's plays its part, and this machine's processes are the
pods. One side of every connection is stock ``certified``, the other is ``bilateral.client``.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from certified.cert import Certified
from demo.organisation import NAMESPACE, Organisation
from demo.telling import Unexpected

from bilateral.client import Client, ClientError
from testbed.kubelet import Pod, identity_volumes
from testbed.ports import lease_port

FOLDER = Path(__file__).resolve().parent
TESTS = FOLDER.parent / "tests"
START_SECONDS = 30
_STOCK_RUNNING = re.compile(r"running on https://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: ``subject`` is whom the server says to have seen, or None when it was refused."""

    subject: str | None
    told: str

    @property
    def is_refused(self) -> bool:
        """Whether no request was answered."""
        return self.subject is None


class Workload:
    """A WorkloadIdentity with its Secrets mounted, and laid out for stock certified beside that."""

    def __init__(self, organisation: Organisation, identity: str, stack: ExitStack) -> None:
        self.identity = identity
        folder = organisation.directory / "pods" / identity
        self.mounts = folder / "mounts"
        self.directory = folder / "certified"
        self._organisation = organisation
        self._stack = stack
        self.pod = stack.enter_context(
            Pod(organisation.cluster, NAMESPACE, self.mounts, identity_volumes(identity, organisation.name))
        )

    def lay_out(self) -> None:
        """Make the directory of stock certified, as its init container does."""
        self._organisation.bilateral_plain("layout", str(self.mounts), str(self.directory))

    def read(self, folder: str, name: str) -> bytes:
        """Return a mounted file's content; empty when there is none."""
        file = self.mounts / folder / name
        return file.read_bytes() if file.is_file() else b""

    def names(self, folder: str) -> set[str]:
        """Return the names of the files in a mounted folder."""
        return {entry.name for entry in (self.mounts / folder).iterdir() if not entry.name.startswith("..")}

    def call(self, alias: str) -> Answer:
        """Call a service by its alias with our client."""
        try:
            with Client(f"https://{alias}", config=self.mounts) as http:
                return _answered(http.get("/"))
        except ClientError as error:
            return Answer(None, error.reason.value)
        except httpx.TransportError as error:
            return Answer(None, type(error).__name__)

    def call_stock(self, alias: str) -> Answer:
        """Call a service by its alias with stock certified."""
        try:
            with Certified(self.directory).Client(f"https://{alias}") as http:
                return _answered(http.get("/"))
        except (httpx.TransportError, OSError) as error:
            return Answer(None, type(error).__name__)

    def serve(self) -> int:
        """Start the server with bilateral.client; return its port."""
        port = lease_port()
        self._stack.callback(port.release)
        words = (sys.executable, str(FOLDER / "programs" / "ours.py"), str(self.mounts), str(port.number))
        log = self._start(words, "ours.log", {})
        _wait_until(lambda: _listens(port.number), log)
        return port.number

    def serve_stock(self) -> int:
        """Start stock certified's server; return its port."""
        words = (
            str(Path(sys.executable).with_name("certified")),
            "serve",
            "interop.whoami:app",
            "https://127.0.0.1:0",
            "-v",
        )
        log = self._start(
            words,
            "stock.log",
            {"CERTIFIED_CONFIG": str(self.directory), "PYTHONPATH": str(TESTS)},
        )
        _wait_until(lambda: _STOCK_RUNNING.search(log.read_text()), log)
        found = _STOCK_RUNNING.search(log.read_text())
        return int(found[1]) if found else 0

    def _start(self, words: tuple[str, ...], log_name: str, variables: dict[str, str]) -> Path:
        log = self.mounts.parent / log_name
        with log.open("wb") as sink:
            process = self._stack.enter_context(
                _ending(subprocess.Popen(words, env=os.environ | variables, stdout=sink, stderr=sink))
            )
        if process.poll() is not None:
            raise Unexpected(f"the server {words[0]}", "running", log.read_text())
        return log


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _answered(answer: httpx.Response) -> Answer:
    body: dict[str, Any] = json.loads(answer.text) if answer.status_code == httpx.codes.OK else {}
    return Answer(body.get("subject"), str(answer.status_code))


def _wait_until(look: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise Unexpected("a server", f"running within {START_SECONDS} s", log.read_text())
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
