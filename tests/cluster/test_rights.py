"""How far the operator's rights reach: its own namespace, the listed ones, or, when asked for, all.

Proves R-K1 and R-K3: it acts with the chart's account alone, and neither asks for nor gets anything elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.conftest import make_namespace
from cluster.scene import DOMAINS, PEERS, SECRETS, Object, Scene, open_scene
from support.waiting import wait_for
from testbed.chart import render_chart
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

# What every client asks to find out which kinds there are; it names no object.
DISCOVERY = ("/api", "/apis", "/version")


def calls_elsewhere(scene: Scene, *allowed: str) -> list[tuple[str, str]]:
    """The calls of the operator's account that were not for these namespaces."""
    return [
        (event.verb, event.uri)
        for event in scene.cluster.audit_events(user=scene.account)
        if event.namespace not in (scene.namespace, *allowed)
        and not (event.resource == "" and event.uri.startswith(DISCOVERY))
    ]


def elsewhere(scene: Scene, namespace: str) -> Scene:
    """The same partners, as they are seen from another namespace."""
    return Scene(scene.cluster, namespace, scene.partners, scene.directory)


def assert_works(place: Scene, operator: OperatorProcess) -> None:
    place.add_domain(url=operator.url)
    place.add_peer("peer")
    place.wait_ready("peer")
    wait_for(lambda: place.secret("org-a-signing-key"), "a key")


def assert_untouched(place: Scene, before: list[Object]) -> None:
    assert place.objects(SECRETS) == before
    for plural, name in ((DOMAINS, "org-a"), (PEERS, "peer")):
        assert "status" not in place.get(plural, name)


def add_untouchable(place: Scene) -> list[Object]:
    """Objects that look like work, in a namespace that is none of the operator's business."""
    place.add_domain()
    place.add_peer("peer")
    label = {"bilateral.dev/secret": "owned"}
    place.create(SECRETS, {"metadata": {"name": "org-a-signing-key", "labels": label}})
    return place.objects(SECRETS)


def test_by_default_nothing_is_cluster_wide_and_nothing_is_done_elsewhere(
    cluster: Cluster, tmp_path: Path
) -> None:
    kinds = {document["kind"] for document in render_chart("any", {"rbac": {"aggregate": False}})}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    with open_scene(cluster, tmp_path) as scene:
        other = elsewhere(scene, make_namespace(cluster))
        before = add_untouchable(other)
        operator = scene.operator()
        assert_works(scene, operator)
        operator.stop()
        assert_untouched(other, before)
        assert calls_elsewhere(scene) == []
        assert scene.asked("peer") > 0
        assert not other.partner("peer").asked
        cluster.request("DELETE", f"/api/v1/namespaces/{other.namespace}")


def test_listed_namespaces_are_watched_and_no_others(cluster: Cluster, tmp_path: Path) -> None:
    listed, other = make_namespace(cluster), make_namespace(cluster)
    with open_scene(cluster, tmp_path) as scene:
        cluster.install_chart(scene.namespace, {"watchNamespaces": [scene.namespace, listed]})
        untouched = elsewhere(scene, other)
        before = add_untouchable(untouched)
        operator = scene.operator(namespaces=(scene.namespace, listed))
        for namespace in (scene.namespace, listed):
            assert_works(elsewhere(scene, namespace), operator)
        operator.stop()
        assert_untouched(untouched, before)
        assert calls_elsewhere(scene, listed) == []
    for namespace in (listed, other):
        cluster.request("DELETE", f"/api/v1/namespaces/{namespace}")


def test_with_the_star_every_namespace_is_watched(cluster: Cluster, tmp_path: Path) -> None:
    far = make_namespace(cluster)
    with open_scene(cluster, tmp_path, {"watchNamespaces": ["*"]}) as scene:
        operator = scene.operator(namespaces=())
        for namespace in (far, scene.namespace):
            assert_works(elsewhere(scene, namespace), operator)
        operator.stop()
        # Namespaces of other tests may still be on their way out, and refuse whatever is made in there.
        ours = [each for each in scene.writes(0) if each.namespace in (far, scene.namespace)]
        assert {each.namespace for each in ours} == {far, scene.namespace}
        assert [each for each in ours if each.code in (401, 403)] == []
        for name in ("ClusterRole", "ClusterRoleBinding"):
            path = f"/apis/rbac.authorization.k8s.io/v1/{name.lower()}s/{scene.namespace}:bilateral"
            assert cluster.request("DELETE", path).status == 200
    cluster.request("DELETE", f"/api/v1/namespaces/{far}")


@pytest.mark.parametrize("verb", ["get", "update", "delete", "deletecollection"])
def test_the_account_may_not_do_to_secrets_what_it_does_not_need(
    cluster: Cluster, namespace: str, verb: str
) -> None:
    """It lists those with our label, creates and patches: a Secret by name it cannot even read."""
    account = f"system:serviceaccount:{namespace}:bilateral"
    answer = cluster.run_kubectl("auth", "can-i", verb, "secrets", f"--as={account}", "-n", namespace)
    assert answer.stdout.strip() == "no"
