"""The manifests of `examples/`, with the few members changed that this machine needs otherwise.

Every function returns a new manifest; nothing else in it changes, and the story says what did.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

Manifest = dict[str, Any]


def load_example(name: str) -> Manifest:
    """Read an example that holds one object; `name` is its path below `examples/`."""
    manifest: Manifest = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return manifest


def load_examples(name: str) -> list[Manifest]:
    """Read an example that holds several objects."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def with_name(manifest: Manifest, name: str) -> Manifest:
    """Replace the object's name."""
    return _with_member(manifest, ("metadata", "name"), name)


def with_url(manifest: Manifest, url: str) -> Manifest:
    """Replace `spec.url`, which the examples put at a name that does not exist."""
    return _with_member(manifest, ("spec", "url"), url)


def with_dns_name(manifest: Manifest, name: str) -> Manifest:
    """Add a name to `spec.dnsNames`: that of this machine."""
    return _with_member(manifest, ("spec", "dnsNames"), [*manifest["spec"]["dnsNames"], name])


def with_endpoint(manifest: Manifest, url: str) -> Manifest:
    """Replace `spec.endpoint.url`, which the examples put at a name that does not exist."""
    return _with_member(manifest, ("spec", "endpoint", "url"), url)


def with_anchor(manifest: Manifest, public_key: str) -> Manifest:
    """Replace the anchors, which in the examples belong to nobody, by one key."""
    return _with_member(manifest, ("spec", "trustAnchors"), [{"publicKey": public_key}])


def with_window(manifest: Manifest, seconds: int) -> Manifest:
    """Set how long a pin is fresh."""
    return _with_member(manifest, ("spec", "handshake", "rotationWindowSeconds"), seconds)


def _with_member(manifest: Manifest, path: tuple[str, ...], value: object) -> Manifest:
    changed = copy.deepcopy(manifest)
    place = changed
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = value
    return changed
