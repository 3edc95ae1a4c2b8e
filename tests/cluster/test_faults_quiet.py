"""Nothing is written without a difference: whatever happens that says nothing new costs no write."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.scene import DOMAINS, LEASES, PEERS, SECRETS, Object, Scene, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

NAMES = [f"peer-{number}" for number in range(30)]


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator with thirty proven peers, and everything written."""
    with open_scene(cluster, tmp_path_factory.mktemp("quiet")) as scene:
        operator = scene.operator("--identity=replica-0")
        scene.add_domain(url=operator.url)
        for name in NAMES:
            scene.add_peer(name)
        scene.wait_ready(*NAMES)
        wait_for(lambda: len(scene.listed_peers()) == len(NAMES), "the lists", seconds=15)
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the statement")
        yield scene


def looks(operator: OperatorProcess, kind: str) -> float:
    return operator.metrics().total("bilateral_reconciles_total", kind=kind, result="done")


def versions(scene: Scene) -> dict[str, str]:
    """The version of everything that the operator might write."""
    return {
        f"{plural}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for plural in (DOMAINS, PEERS, SECRETS, "events")
        for each in scene.objects(plural)
    }


def test_a_restart_writes_nothing_but_the_lease(scene: Scene) -> None:
    (operator,) = scene.started
    asked = scene.asked(*NAMES)
    before, since = versions(scene), scene.cluster.audit_position()
    operator.stop()
    operator.start()
    wait_for(lambda: looks(operator, PEERS) >= len(NAMES), "a look at every peer")
    wait_for(lambda: looks(operator, DOMAINS) >= 1, "a look at the trust domain")
    wait_for(lambda: looks(operator, "peer-lists") >= 1, "a look at the lists")
    assert scene.writes(since) == []
    assert {each.resource for each in scene.writes(since, leases=True)} == {LEASES}
    assert versions(scene) == before
    assert scene.asked(*NAMES) == asked, "partners were asked before their time"


def test_a_manifest_applied_again_writes_nothing(scene: Scene) -> None:
    (operator,) = scene.started
    manifests: list[Object] = []
    for plural, names in ((DOMAINS, ["org-a"]), (PEERS, NAMES[:3])):
        for name in names:
            found = scene.get(plural, name)
            kept = {key: found[key] for key in ("apiVersion", "kind", "spec")}
            manifests.append(kept | {"metadata": {"name": name}})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    since, seen = scene.cluster.audit_position(), looks(operator, PEERS)
    # The first time leaves kubectl's annotation behind, the second time nothing at all.
    for _ in range(2):
        scene.cluster.kubectl("apply", "-n", scene.namespace, "-f", "-", input=text)
    wait_for(lambda: looks(operator, PEERS) >= seen + 3, "looks at the peers")
    assert scene.writes(since) == []


@pytest.mark.parametrize(
    ("plural", "name", "looked_at"),
    [
        pytest.param(PEERS, NAMES[0], PEERS, id="a FederationPeer"),
        pytest.param(DOMAINS, "org-a", DOMAINS, id="a TrustDomain"),
        pytest.param(SECRETS, "org-a-signing-key", DOMAINS, id="the Secret of the signing key"),
        pytest.param(SECRETS, "org-a-peers", DOMAINS, id="the Secret of the lists"),
    ],
)
def test_an_annotation_that_is_not_ours_writes_nothing(
    scene: Scene, plural: str, name: str, looked_at: str
) -> None:
    (operator,) = scene.started
    since, seen = scene.cluster.audit_position(), looks(operator, looked_at)
    lists = looks(operator, "peer-lists")
    scene.patch(plural, name, {"metadata": {"annotations": {"example.org/checked": name}}})
    wait_for(lambda: looks(operator, looked_at) > seen, "a look")
    if plural == SECRETS:
        wait_for(lambda: looks(operator, "peer-lists") > lists, "a look at the lists", seconds=15)
    assert scene.writes(since) == []
