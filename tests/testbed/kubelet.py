"""A kubelet's part in a cluster that has no node: Secrets as files, kept in step with the API server.

Each volume is written as the kubelet's atomic writer does it: a folder a generation, ``..data`` swapped
by one rename, links of the names beside it. Secrets are asked for again and again, since a kubelet's
time from change to file (a minute) would only make whoever waits wait longer.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from testbed.cluster import Cluster
from testbed.errors import TestBedError

POLL_SECONDS = 0.2
MODE = 0o440
DATA = "..data"
_generations = itertools.count(1)


class Volume:
    """A directory that holds one Secret, a generation at a time; empty until the first is written."""

    def __init__(self, path: Path, mode: int = MODE) -> None:
        self.path = path
        self.mode = mode
        self.files: dict[str, bytes] = {}
        path.mkdir(parents=True)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Make the files those; nothing is touched when they are."""
        if self.files != files or not (self.path / DATA).is_symlink():
            self.replace(files)

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Write a new generation, swap ``..data``, then mend the links of names and drop the old one."""
        self.files = dict(files)
        generation = self.path / f"..2026_01_01_00_00_{next(_generations):012}"
        generation.mkdir()
        for name, content in files.items():
            (generation / name).write_bytes(content)
            (generation / name).chmod(self.mode)
        data = self.path / DATA
        old = data.readlink() if data.is_symlink() else None
        (self.path / "..data_tmp").symlink_to(generation.name)
        (self.path / "..data_tmp").replace(data)
        for name in files:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"{DATA}/{name}")
        for entry in list(self.path.iterdir()):
            if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in files:
                entry.unlink()
        if old is not None:
            shutil.rmtree(self.path / old)


class Pod:
    """The mounts of one pod below ``root``: volumes by the name of their folder, each with its Secret's name.

    A Secret that is not there yet is waited for, as a pod's start is; one that went keeps its files, as
    mounted ones do. Use it as a context manager, or :meth:`close` it.
    """

    def __init__(self, cluster: Cluster, namespace: str, root: Path, volumes: Mapping[str, str]) -> None:
        self.root = root
        self._cluster = cluster
        self._namespace = namespace
        self._volumes = {secret: Volume(root / folder) for folder, secret in volumes.items()}
        self._ended = threading.Event()
        self.sync()
        self._thread = threading.Thread(target=self._run, name=f"kubelet {root.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop keeping the files in step; they stay."""
        self._ended.set()
        self._thread.join()

    def sync(self) -> None:
        """Bring every volume up to date once."""
        for secret, volume in self._volumes.items():
            found = self._cluster.get("secrets", secret, self._namespace)
            if found is not None:
                data = found.get("data") or {}
                volume.write({name: base64.b64decode(value) for name, value in data.items()})

    def _run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            try:
                self.sync()
            except (OSError, http.client.HTTPException, TestBedError):
                continue  # the API server is away: the files stay


def identity_volumes(identity: str, trust_domain: str) -> dict[str, str]:
    """The volumes that a pod of a WorkloadIdentity mounts (docs/pods.md), by folder."""
    return {
        "identity": f"{identity}-identity",
        "id-chains": f"{identity}-id-chains",
        "known-servers": f"{identity}-known-servers",
        "known-clients": f"{identity}-known-clients",
        "peers": f"{trust_domain}-peers",
    }
