"""Peers beside one another: the lists that kernels and nodes mount, two trust domains, claims to one name.

Proves R-T5 (two peers with one credential) and R-K14 (identifiers).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bilateral.protocol.keys import SigningKey
from bilateral.resources.labels import SECRET_LABEL
from bilateral.resources.times import parse_time
from cluster.scene import DOMAINS, PEERS, SECRETS, Object, condition_of
from cluster.stage import Stage, open_stage
from support.caller import Caller
from support.waiting import wait_for
from testbed.cluster import Cluster

OTHER_KEY = SigningKey.generate()


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(cluster, tmp_path_factory.mktemp("together")) as stage:
        yield stage


def test_the_lists_of_peers_say_exactly_what_is_trusted(stage: Stage) -> None:
    scene = stage.scene
    scene.add_domain("listing")
    fingerprint = "SHA256:" + "a" * 64
    scene.add_peer(
        "list-full",
        "listing",
        displayName="Org \u00d8, full",
        fingerprints=[fingerprint, OTHER_KEY.public_key.canonical],
        authTokenHash="sha256:" + "b" * 64,
        scopes=["relay:connect", "audit"],
        resources={"service": ["gitea", "ci"], "disk": ["d1"]},
    )
    scene.add_peer("list-plain", "listing")
    scene.add_peer("list-suspended", "listing", state="Suspended", displayName="Nobody")
    scene.add_peer("list-unproven", "listing", passive=True)
    full = scene.wait(PEERS, "list-full", "Fresh", status="True")
    plain = scene.wait(PEERS, "list-plain", "Fresh", status="True")

    def chio(peer: Object) -> Object:
        pin = peer["status"]["pin"]
        return {
            "kernelId": peer["spec"]["kernelId"],
            "publicKey": pin["publicKey"].removeprefix("ed25519:"),
            "establishedAt": parse_time(pin["establishedAt"]),
            "rotationDue": parse_time(pin["rotationDue"]),
        }

    def alknet(name: str, shown: str, *, enabled: bool, **members: Any) -> Object:
        entry = {
            "peer_id": scene.kernel(name), "fingerprints": [], "scopes": [], "resources": {},
            "display_name": shown, "enabled": enabled,
        }  # fmt: skip
        return entry | members

    wait_for(lambda: len(scene.listed_peers("listing")) == 2, "both in the list", 15)
    data = scene.secret("listing-peers")
    assert data is not None
    assert data.keys() == {"peers.json", "peer-entries.json"}
    assert json.loads(data["peers.json"]) == [chio(full), chio(plain)]
    assert json.loads(data["peer-entries.json"]) == [
        alknet(
            "list-full",
            "Org \u00d8, full",
            enabled=True,
            fingerprints=[fingerprint, OTHER_KEY.public_key.canonical],
            auth_token_hash="sha256:" + "b" * 64,
            scopes=["relay:connect", "audit"],
            resources={"service": ["gitea", "ci"], "disk": ["d1"]},
        ),
        alknet("list-plain", "list-plain", enabled=True),
        alknet("list-suspended", "Nobody", enabled=False),
        alknet("list-unproven", "list-unproven", enabled=False),
    ]
    owned = scene.get(SECRETS, "listing-peers")["metadata"]
    assert [owner["name"] for owner in owned["ownerReferences"]] == ["listing"]
    assert owned["labels"][SECRET_LABEL] == "owned"


# Trust domains beside one another


def test_a_partner_of_one_trust_domain_is_a_stranger_to_another(stage: Stage) -> None:
    scene = stage.scene
    scene.add_domain("org-c")
    scene.wait(DOMAINS, "org-c", "Ready", status="True")
    partner = scene.partner("shared")
    scene.add_peer("shared", passive=True)
    scene.wait(PEERS, "shared", "AwaitingEnvelope")
    caller = Caller(stage.operator.port)
    assert caller.post(partner.sign(scene.kernel("org-c"))).reason == "missing-trust-anchor"
    assert caller.post(partner.sign(stage.us)).status == 200
    scene.add_peer("shared-too", "org-c", passive=True, kernelId=partner.kernel_id, trustAnchors=[])
    scene.wait(PEERS, "shared-too", "MissingTrustAnchor", status="False")
    assert caller.post(partner.sign(scene.kernel("org-c"))).reason == "missing-trust-anchor"
    anchor = {"spec": {"trustAnchors": [{"publicKey": partner.anchor}]}}
    scene.patch(PEERS, "shared-too", anchor)
    scene.wait(PEERS, "shared-too", "AwaitingEnvelope")
    answer = caller.post(partner.sign(scene.kernel("org-c")))
    keys = {name: scene.get(DOMAINS, name)["status"]["publicKey"] for name in ("org-a", "org-c")}
    assert f"ed25519:{answer.document['declaredPublicKey']}" == keys["org-c"] != keys["org-a"]


def test_of_two_peers_with_one_name_the_older_keeps_it(stage: Stage) -> None:
    elder = stage.ready("elder")
    # Ages are told in whole seconds.
    born = parse_time(elder["metadata"]["creationTimestamp"])
    wait_for(lambda: time.time() >= born + 1, "the next second")
    stage.scene.add_peer("younger", kernelId=stage.scene.kernel("elder"))
    stage.scene.wait(PEERS, "younger", "KernelIdConflict", status="False")
    assert condition_of(stage.scene.get(PEERS, "elder"))["status"] == "True"
    stage.scene.delete(PEERS, "elder")
    stage.scene.wait(PEERS, "younger", "UnexpectedPeerKey", status="False")


def test_of_two_peers_with_one_fingerprint_neither_is_used(stage: Stage) -> None:
    shared: dict[str, Any] = {"fingerprints": ["SHA256:" + "c" * 64]}
    stage.ready("twin-1", **shared)
    stage.scene.add_peer("twin-2", **shared)
    for name in ("twin-1", "twin-2"):
        stage.scene.wait(PEERS, name, "CredentialConflict", status="False")
    stage.scene.patch(PEERS, "twin-2", {"spec": {"fingerprints": []}})
    for name in ("twin-1", "twin-2"):
        stage.scene.wait(PEERS, name, "Fresh", status="True")
