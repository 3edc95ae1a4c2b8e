"""One operator with one trust domain, and simulated partners that it asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.scene import DOMAINS, PEERS, Object, Scene, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess


@dataclass(frozen=True)
class Stage:
    scene: Scene
    operator: OperatorProcess

    @property
    def us(self) -> str:
        return self.scene.kernel("org-a")

    def endpoint(self, *, url: str | None = None, **verifier: object) -> Object:
        """The endpoint of the simulated partners, verified by their authority or as given."""
        pem = self.scene.partners.authority.certificate_pem.decode()
        return {
            "url": url or self.scene.partners.url,
            "verifier": verifier or {"certificateAuthority": {"pem": pem}},
        }

    def ready(self, name: str, **spec: Any) -> Object:
        """A partner whom we asked and whose key is pinned."""
        self.scene.add_peer(name, **spec)
        return self.scene.wait(PEERS, name, "Fresh", status="True")

    def ask(self, name: str, word: str) -> Object:
        """Have the operator shake hands now; return the peer when it has."""
        self.scene.ask(PEERS, name, word)

        def served() -> Object | None:
            peer = self.scene.get(PEERS, name)
            return peer if peer["status"].get("reconciledNow") == word else None

        return wait_for(served, "the annotation's echo")


@contextlib.contextmanager
def open_stage(cluster: Cluster, directory: Path) -> Iterator[Stage]:
    """Start the operator and wait for its trust domain "org-a"."""
    with open_scene(cluster, directory) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        scene.wait(DOMAINS, "org-a", "Ready", status="True")
        yield Stage(scene, operator)
