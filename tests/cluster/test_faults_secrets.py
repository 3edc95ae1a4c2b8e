"""Secrets that are not ours are left as they are; those that are ours are kept as they should be.

Proves R-K6 (no Secret of somebody else is overwritten, or read).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from cluster.scene import DOMAINS, SECRETS, Object, Scene, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster

OUTPUTS = {
    "the signing key": "signing-key",
    "the seal": "seal",
    "the certificate authority": "ca",
    "the endpoint's certificate": "endpoint-tls",
    "the peer lists": "peers",
}
FOREIGN: Object = {"type": "Opaque", "stringData": {"password": "somebody else's"}}
EDITS: dict[str, Object | None] = {
    "a key swapped": {"data": {"peers.json": base64.b64encode(b'[{"kernelId":"evil"}]').decode()}},
    "a list removed": {"data": {"peer-entries.json": None}},
    "something added": {"data": {"more.json": base64.b64encode(b"[]").decode()}},
    "all of it deleted": None,
}


def domain_of(edit: str) -> str:
    return f"edited-{list(EDITS).index(edit)}"


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator with a trust domain and a proven peer for each case."""
    with open_scene(cluster, tmp_path_factory.mktemp("secrets")) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        scene.add_peer("peer")
        for name in map(domain_of, EDITS):
            scene.add_domain(name)
            scene.add_peer(f"peer-of-{name}", name)
        scene.wait_ready("peer")
        for name in map(domain_of, EDITS):
            scene.wait_ready(f"peer-of-{name}", domain=name)
        yield scene


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_foreign_secret_with_our_outputs_name_is_left_alone(scene: Scene, output: str) -> None:
    suffix = OUTPUTS[output]
    domain, name = f"conflict-{suffix}", f"conflict-{suffix}-{suffix}"
    before = scene.create(SECRETS, FOREIGN | {"metadata": {"name": name}})
    scene.add_domain(domain, url=scene.started[0].url)
    scene.wait(DOMAINS, domain, "SecretConflict", status="False")
    wait_for(lambda: "SecretConflict" in scene.event_reasons(domain), "an event")
    assert scene.get(SECRETS, name) == before

    scene.delete(SECRETS, name)
    # Foreign Secrets are not watched: without this word the operator looks again within a minute.
    scene.ask(DOMAINS, domain, "now")
    scene.wait(DOMAINS, domain, "Ready", status="True")
    wait_for(lambda: scene.find(SECRETS, name), "a Secret of our own")
    assert "password" not in (scene.secret(name) or {})


def test_the_secret_of_another_trust_domain_is_left_alone(scene: Scene) -> None:
    """It has our label, but another owner: one key must not become two identities."""
    before = scene.get(SECRETS, "org-a-signing-key")
    scene.add_domain("thief", signingKey={"secretName": "org-a-signing-key"})
    domain = scene.wait(DOMAINS, "thief", "SecretConflict", status="False", kind="KeyReady")
    assert "publicKey" not in domain["status"]
    assert scene.get(SECRETS, "org-a-signing-key") == before
    scene.wait_ready("peer")


@pytest.mark.parametrize("edit", EDITS)
def test_peer_lists_edited_by_hand_are_put_right(scene: Scene, edit: str) -> None:
    """Within ten seconds of the last time that they were written."""
    name, change = f"{domain_of(edit)}-peers", EDITS[edit]
    wait_for(lambda: scene.listed_peers(domain_of(edit)), "a list with the peer")
    right = scene.secret(name)
    assert right is not None
    if change is None:
        scene.delete(SECRETS, name)
    else:
        scene.patch(SECRETS, name, change)
    wait_for(lambda: scene.secret(name) == right, "the right lists", seconds=15)
