"""Builds the test bed's programs once and keeps them.

- Each Go module here becomes one program in `<cache>/testbed/<key>/`, where the key is a SHA-256 over the
  module's files and the compiler's version line: a changed checksum or another Go is another build.
- A build appears under its final name complete or not at all; concurrent builders wait for one another.
- Nothing is built when the program is there already: that costs one `go version`.
"""

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from testbed.errors import BuildError
from testbed.locations import TESTBED, find_cache
from testbed.locking import hold_lock
from testbed.progress import Progress
from testbed.toolchain import Go, build_environment, find_go, parse_go_line

KUBERNETES_VERSION = "v1.36.3"

_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
_TAIL = 30  # lines of compiler output that an error shows


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module: its folder, what is built from it, and the names the result is called by."""

    folder: str
    package: str
    names: tuple[str, ...]
    ldflags: str

    def files(self) -> list[Path]:
        """Return the files that decide what is built."""
        folder = TESTBED / self.folder
        return [path for name in ("go.mod", "go.sum", "main.go") if (path := folder / name).exists()]


KUBE = Module(
    folder="kube",
    package=".",
    names=("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"),
    ldflags="-s -w "
    + " ".join(
        f"-X {package}.git{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in (("Version", KUBERNETES_VERSION), ("Major", _MAJOR), ("Minor", _MINOR))
    ),
)
HELM = Module(folder="helm", package="helm.sh/helm/v3/cmd/helm", names=("helm",), ldflags="-s -w")


@dataclass(frozen=True, slots=True)
class Programs:
    """The built programs."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    kubectl: Path


def build_kubernetes() -> Programs:
    """Return etcd, API server, controllers and kubectl, building them if need be. Raises BuildError."""
    folder = _build(KUBE)
    etcd, apiserver, controller_manager, kubectl = (folder / name for name in KUBE.names)
    return Programs(etcd, apiserver, controller_manager, kubectl)


def build_helm() -> Path:
    """Return helm, building it if need be. Raises BuildError."""
    return _build(HELM) / "helm"


def compute_key(module: Module, version_line: str) -> str:
    """Return the name of a build's folder: module's name and 32 hex digits over what decides the result."""
    digest = hashlib.sha256()
    for part in (version_line.encode(), module.ldflags.encode(), *(p.read_bytes() for p in module.files())):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"{module.folder}-{digest.hexdigest()[:32]}"


def _build(module: Module) -> Path:
    cache = find_cache()
    go = find_go(parse_go_line((TESTBED / module.folder / "go.mod").read_text()), cache)
    folder = cache / "testbed" / compute_key(module, go.version_line)
    if (folder / module.names[-1]).exists():
        return folder
    with hold_lock(folder.with_suffix(".lock")):
        # Another builder may have made it while we waited.
        if not (folder / module.names[-1]).exists():
            _compile(module, go, folder)
    return folder


def _compile(module: Module, go: Go, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    program, part = folder / module.folder, folder / f"{module.folder}.part"
    command = [str(go.program), "build", "-v", "-buildvcs=false", "-ldflags", module.ldflags, "-o", str(part)]
    estimate = "about six minutes on two free cores" if module is KUBE else "about two minutes"
    title = f"building {module.folder} (once; {estimate})"
    _run_with_progress([*command, module.package], TESTBED / module.folder, title, sys.stderr)
    part.replace(program)
    for name in module.names:
        if name != module.folder:
            link = folder / f"{name}.part"
            link.unlink(missing_ok=True)
            link.symlink_to(program.name)
            link.replace(folder / name)


def _run_with_progress(command: list[str], folder: Path, title: str, stream: TextIO) -> None:
    progress = Progress(title, stream)
    lines: list[str] = []
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=build_environment(dict(os.environ)), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error}") from error

    def read() -> None:
        for line in process.stderr or ():
            progress.record(line)
            lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            progress.tick()
            try:
                process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
    except BaseException:
        process.kill()  # Ctrl-C: leave no compiler running behind
        process.wait()
        raise
    reader.join()
    if process.stderr is not None:
        process.stderr.close()
    progress.finish("done" if process.returncode == 0 else "FAILED")
    if process.returncode != 0:
        raise BuildError(f"`{' '.join(command)}` failed in {folder}:\n{''.join(lines[-_TAIL:])}")
