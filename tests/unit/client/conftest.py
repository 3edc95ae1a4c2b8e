"""Two organisations and a pod of the first; made once, since keys take time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bilateral.pki.identities import HeldIdentity
from unit.client.pod import Organisation, Pod, make_organisation


@pytest.fixture(scope="session")
def org_a() -> Organisation:
    return make_organisation("Org A")


@pytest.fixture(scope="session")
def org_b() -> Organisation:
    return make_organisation("Org B")


@pytest.fixture(scope="session")
def stranger() -> Organisation:
    return make_organisation("Stranger")


@pytest.fixture(scope="session")
def api_b(org_b: Organisation) -> HeldIdentity:
    """Org B's service on loopback."""
    return org_b.identity("api", "localhost")


@pytest.fixture
def pod(tmp_path: Path, org_a: Organisation) -> Pod:
    """A pod of Org A, as its kubelet mounts it; nothing but its identity is known yet."""
    return Pod(tmp_path / "mounted", org_a, org_a.identity("client1"))


@pytest.fixture
def introduced(pod: Pod, org_b: Organisation) -> Pod:
    """The same, introduced to Org B."""
    pod.take(org_b.introduce(pod.held))
    return pod


@pytest.fixture
def server(tmp_path: Path, org_b: Organisation) -> Pod:
    """A pod of Org B that serves as localhost; nobody may call yet."""
    return Pod(tmp_path / "server", org_b, org_b.identity("api", "localhost"))


@pytest.fixture
def caller(introduced: Pod, server: Pod, org_b: Organisation) -> Pod:
    """A pod of Org A, introduced to Org B, whose authority the server accepts."""
    server.accept(org_b)
    return introduced
