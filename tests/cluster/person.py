"""Somebody who types the command line's commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed.cluster import Cluster

BIN = Path(sys.executable).parent
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Person:
    """Somebody with a kubeconfig, a namespace and a shell."""

    cluster: Cluster
    namespace: str
    kubeconfig: Path

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [BIN / "bilateral", *arguments, "--kubeconfig", self.kubeconfig, "-n", self.namespace]
        done = subprocess.run(
            [str(part) for part in command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )
        assert "Traceback" not in done.stderr
        return done

    def ok(self, *arguments: str | Path, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self, name: str) -> dict[str, Any]:
        (item,) = json.loads(self.ok("status", name, "-o", "json"))["items"]
        found: dict[str, Any] = item
        return found

    def wait_until_ready(self, *names: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (done := self.run("status", "--exit-code", *names)).returncode:
            assert done.returncode == 1, done.stderr
            assert time.monotonic() < deadline, done.stdout

    def apply(self, *manifests: object) -> None:
        text = yaml.safe_dump_all(manifests)
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", input=text)
