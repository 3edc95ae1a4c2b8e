"""A clock that tests move, and objects as the API server shows them."""

from __future__ import annotations

from typing import Any

import pytest


class FakeClock:
    """Wall clock and monotonic clock, moved by hand."""

    def __init__(self, now: float = 1_795_000_000.0) -> None:
        self.wall = now
        self.mono = 1000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def build_peer(name: str, version: int = 1, *, uid: str | None = None, **changes: Any) -> dict[str, Any]:
    """A FederationPeer as the API server shows it; ``pin`` and ``created`` are not part of the spec."""
    status = {"pin": changes.pop("pin")} if "pin" in changes else {}
    return {
        "metadata": {
            "name": name,
            "namespace": "trust",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": changes.pop("created", "2026-11-21T00:00:00Z"),
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"trustDomain": "org-a", "kernelId": f"{name}-kernel", **changes},
        "status": status,
    }
