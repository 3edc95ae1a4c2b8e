"""Services of partners in a scene, and what a pod that may see them finds."""

from __future__ import annotations

from typing import Any

import yaml
from cryptography import x509

from bilateral.pki.entries import ServiceEntry, parse_entry
from cluster.scene import SERVICES, Object, Scene
from support.waiting import wait_for

CLIENT = "client1"
SERVERS = f"{CLIENT}-known-servers"
URL = "https://api.org2.example:9443"


def authority_of(scene: Scene) -> x509.Certificate:
    return scene.partners.authority.certificate


def add_service(scene: Scene, name: str, peer: str | None = None, **spec: Any) -> None:
    whole: Object = {"url": URL, **({} if peer is None else {"peer": peer}), **spec}
    scene.add(SERVICES, name, **whole)


def files(scene: Scene, secret: str = SERVERS) -> dict[str, bytes]:
    return scene.secret(secret) or {}


def entry(scene: Scene, alias: str, secret: str = SERVERS) -> ServiceEntry | None:
    """The service as a pod reads it, or None."""
    data = files(scene, secret).get(f"{alias}.yaml")
    return None if data is None else parse_entry(alias, yaml.safe_load(data))


def wait_bound(scene: Scene, alias: str) -> ServiceEntry:
    return wait_for(lambda: entry(scene, alias), f"{alias} in {SERVERS}")


def wait_gone(scene: Scene, alias: str) -> None:
    wait_for(lambda: entry(scene, alias) is None, f"{alias} out of {SERVERS}")
