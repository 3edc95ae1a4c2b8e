"""Two organisations on one API server: a namespace and an operator each, and pairs of trust domains in them.

Each side has one trust domain "front" whose certificate the endpoint presents; all others are reached through it,
for who is meant is in the envelope. What happened to every object is kept in timelines.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilateral.resources.times import parse_time
from cluster.scene import DOMAINS, PEERS, SECRETS, Object, Scene, condition_of, open_scene
from support.timeline import Seen, Timeline
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess


def pin_of(peer: Object) -> Object:
    """The pin in a status, or an empty one."""
    pin: Object = peer.get("status", {}).get("pin", {})
    return pin


def echo_of(obj: Object) -> object:
    return obj.get("status", {}).get("reconciledNow")


def established(peer: Object) -> int:
    return parse_time(pin_of(peer)["establishedAt"])


def due(peer: Object) -> int:
    return parse_time(pin_of(peer)["rotationDue"])


@dataclass(frozen=True)
class Side:
    """One organisation's namespace and operator. Its trust domain "front" has the endpoint and the certificate."""

    scene: Scene
    operator: OperatorProcess
    peers: Timeline
    secrets: Timeline

    @property
    def endpoint(self) -> Object:
        """How partners reach every trust domain here."""
        pem = self.scene.get(DOMAINS, "front")["status"]["certificateAuthority"]["certificate"]
        return {"url": self.operator.url, "verifier": {"certificateAuthority": {"pem": pem}}}

    def anchor(self, domain: str) -> str:
        key: str = self.scene.get(DOMAINS, domain)["status"]["publicKey"]
        return key

    def add_domain(self, name: str, **spec: Any) -> None:
        self.scene.add_domain(name, **spec)
        self.scene.wait(DOMAINS, name, "Ready", status="True")

    def add_peer(self, pair: str, other: Side, *, anchored: bool = True, **spec: Any) -> None:
        """The other side of a pair, as a peer of the same name as the trust domain that speaks with it."""
        anchors = [{"publicKey": other.anchor(pair)}] if anchored else []
        self.scene.add_peer(
            pair, pair, kernelId=other.scene.kernel(pair), endpoint=other.endpoint, trustAnchors=anchors, **spec
        )  # fmt: skip

    def ready(self, pair: str, seconds: float = 20, since: float = 0) -> Seen:
        return self.peers.wait(
            pair, lambda peer: condition_of(peer).get("status") == "True", "Ready", seconds, since
        )

    def acknowledged(self, pair: str) -> Seen:
        return self.peers.wait(
            pair,
            lambda peer: condition_of(peer, "AcknowledgedByPeer").get("status") == "True",
            "Acknowledged",
        )

    def trusts(self, domain: str, kernel_id: str) -> bool:
        """Whether the mounted list names the partner."""
        return kernel_id in self.scene.listed_peers(domain)


@dataclass(frozen=True)
class Pair:
    a: Side
    b: Side

    def domains(self, name: str, **spec: Any) -> None:
        """A trust domain of that name on each side."""
        for side in (self.a, self.b):
            side.add_domain(name, **spec)

    def peers(self, name: str, **spec: Any) -> None:
        """Both know each other, and have shown it both ways."""
        self.a.add_peer(name, self.b, **spec)
        self.b.add_peer(name, self.a, **spec)
        for side in (self.a, self.b):
            side.ready(name)
            side.acknowledged(name)


def open_side(stack: ExitStack, cluster: Cluster, directory: Path) -> Side:
    scene = stack.enter_context(open_scene(cluster, directory))
    operator = scene.operator()
    timelines = [stack.enter_context(Timeline(cluster, scene.path(plural))) for plural in (PEERS, SECRETS)]
    scene.add_domain("front", url=operator.url)
    scene.wait(DOMAINS, "front", "Ready", status="True")
    return Side(scene, operator, *timelines)
