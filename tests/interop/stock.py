"""The real ``certified`` program in a directory of its own, and its server on loopback.

Commands go through the program's own command line, in this process, because a new one needs a second to
start; the server is a process, as is the one command that proves the installed script to be the same.
Nothing of the program is changed: what it prints and writes is what is looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from certified.certified import app
from typer.testing import CliRunner, Result

from bilateral.pki.directory import File

CERTIFIED = Path(sys.executable).with_name("certified")
TESTS = Path(__file__).resolve().parent.parent

_RUNNING = re.compile(r"running on https://127\.0\.0\.1:(\d+)")
_START_SECONDS = 30.0
_COMMAND_SECONDS = 60.0


class Stock:
    """A certified directory, and the program that works on it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def init(self, *arguments: str) -> Stock:
        """``certified init``: make the directory."""
        self.run("init", *arguments)
        return self

    def run(self, *arguments: str) -> str:
        """Run one command that must succeed; returns what it printed."""
        done = self._invoke(*arguments)
        if done.exception is not None:
            raise done.exception
        return done.stdout

    def refuses(self, *arguments: str) -> BaseException:
        """Run one command that must fail; returns the error that it ended with."""
        done = self._invoke(*arguments)
        assert done.exception is not None, f"certified {arguments[0]} did not fail"
        return done.exception

    def run_installed(self, *arguments: str) -> str:
        """Run one command by the installed script, in a process; returns what it printed."""
        done = subprocess.run(
            [CERTIFIED, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=True,
        )
        return done.stdout

    def introduce(self, subject: bytes) -> str:
        """``certified introduce``: sign a subject; returns the JSON."""
        given = self.path.with_name(self.path.name + "-subject")
        given.write_bytes(subject)
        return self.run("introduce", str(given))

    def add_introduction(self, text: str) -> None:
        """``certified add-intro``: install the JSON."""
        given = self.path.with_name(self.path.name + "-intro.json")
        given.write_text(text)
        self.run("add-intro", str(given))

    def files(self) -> dict[str, bytes]:
        """Everything in the directory, by path."""
        return {
            str(file.relative_to(self.path)): file.read_bytes()
            for file in self.path.rglob("*")
            if file.is_file()
        }

    @contextmanager
    def serving(self) -> Iterator[int]:
        """``certified serve`` an application that says who called; yields the port."""
        log = self.path.with_name(self.path.name + "-log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [CERTIFIED, "serve", "interop.whoami:app", "https://127.0.0.1:0", "-v"],
                env=self._environment(),
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _wait_for_port(process, log)
        finally:
            process.terminate()
            process.wait(_START_SECONDS)

    def _invoke(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env={"CERTIFIED_CONFIG": str(self.path)})

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {**kept, "CERTIFIED_CONFIG": str(self.path), "PYTHONPATH": str(TESTS)}


def write_directory(path: Path, files: Mapping[str, File]) -> Stock:
    """Write a directory that we built, with its modes."""
    for name, file in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    return Stock(path)


def caller_of(answer: str) -> dict[str, str]:
    """The subject and issuer that the server saw, as one flat mapping."""
    seen: dict[str, str] = json.loads(answer)
    return seen


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        match = _RUNNING.search(log.read_text())
        if match:
            return int(match[1])
        time.sleep(0.02)
    raise AssertionError(f"certified serve did not start:\n{log.read_text()}")
