"""Two objects that claim one thing: who keeps it, who does not, and what follows when one goes.

Proves R-T5 (peers that share a credential) and the uniqueness of kernel ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.scene import DOMAINS, PEERS, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster

SHARED = "SHA256:" + "ab" * 32
OWN = "SHA256:" + "cd" * 32


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator with one trust domain."""
    with open_scene(cluster, tmp_path_factory.mktemp("conflicts")) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        scene.wait_ready()
        yield scene


def wait_for_next_second(scene: Scene, plural: str, name: str) -> None:
    """Objects are as old as the second that they were made in: let the next one begin."""
    made = scene.get(plural, name)["metadata"]["creationTimestamp"]

    def later() -> bool:
        probe = scene.cluster.request(
            "POST", f"{scene.path(PEERS)}?dryRun=All", scene.manifest_of_peer("probe")
        )
        return bool(probe.json()["metadata"]["creationTimestamp"] > made)

    wait_for(later, "the next second")


def test_of_two_trust_domains_with_one_kernel_id_the_older_keeps_it(scene: Scene) -> None:
    scene.add_domain("first", url=scene.started[0].url)
    scene.add_peer("peer-of-first", "first")
    scene.wait_ready("peer-of-first", domain="first")
    wait_for_next_second(scene, DOMAINS, "first")
    scene.add_domain("second", kernelId=scene.kernel("first"))
    scene.add_peer("peer-of-second", "second")

    domain = scene.wait(DOMAINS, "second", "KernelIdConflict", status="False")
    assert condition_of(domain, "Unique")["reason"] == "KernelIdConflict"
    wait_for(lambda: "KernelIdConflict" in scene.event_reasons("second"), "an event")
    scene.wait(PEERS, "peer-of-second", "TrustDomainNotReady")
    scene.wait_ready("peer-of-first", domain="first")
    assert scene.asked("peer-of-second") == 0, "the newcomer spoke"

    scene.delete(DOMAINS, "first")
    scene.wait_ready("peer-of-second", domain="second")


def test_of_two_peers_with_one_kernel_id_the_older_keeps_it(scene: Scene) -> None:
    scene.add_peer("older")
    scene.wait_ready("older")
    wait_for_next_second(scene, PEERS, "older")
    anchor = scene.partner("newer").anchor
    scene.add_peer("newer", kernelId=scene.kernel("older"))

    newer = scene.wait(PEERS, "newer", "KernelIdConflict", status="False")
    assert "pin" not in newer["status"]
    scene.wait_ready("older")
    keys = {scene.kernel("older"): scene.partner("older").key.public_key.hex}
    wait_for(lambda: keys.items() <= scene.listed_peers().items(), "the older one's key", seconds=15)
    entries = json.loads((scene.secret("org-a-peers") or {})["peer-entries.json"])
    assert [each["enabled"] for each in entries if each["peer_id"] == scene.kernel("older")] == [True]
    # What comes in that name is judged by the older one's anchor.
    operator = scene.started[0]
    impostor = scene.partner("newer")
    impostor.kernel_id = scene.kernel("older")
    answer = scene.post(operator, impostor.sign(scene.kernel("org-a")))
    assert (answer.status, answer.reason) == (403, "unexpected-peer-key")

    scene.partner("older").key = impostor.key
    scene.delete(PEERS, "older")
    (taken,) = scene.wait_ready("newer")
    assert taken["status"]["pin"]["publicKey"] == anchor


def test_of_two_peers_with_one_credential_neither_is_used(scene: Scene) -> None:
    for name in ("left", "right"):
        scene.add_peer(name, fingerprints=[OWN.replace("cd", f"{ord(name[0]):02x}")])
    scene.wait_ready("left", "right")
    for name in ("left", "right"):
        scene.patch(PEERS, name, {"spec": {"fingerprints": [SHARED]}})
    for name in ("left", "right"):
        peer = scene.wait(PEERS, name, "CredentialConflict", status="False")
        assert peer["status"]["pin"]["publicKey"] == scene.partner(name).anchor, "what was proven is kept"
    wait_for(
        lambda: not {scene.kernel("left"), scene.kernel("right")} & set(scene.listed_peers()), "withdrawal"
    )
    answer = scene.post(scene.started[0], scene.partner("left").sign(scene.kernel("org-a")))
    assert (answer.status, answer.reason) == (412, "missing-trust-anchor")

    scene.delete(PEERS, "right")
    scene.wait_ready("left")
