"""A pin's deadline is that of the partner's services: at that second they leave the pods' Secrets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bilateral.resources.times import parse_time
from cluster.clocked import ClockedOperator, clocked_operator
from cluster.scene import IDENTITIES, PEERS, SERVICES, Scene, condition_of, open_scene
from cluster.services import CLIENT, add_service, entry, wait_bound, wait_gone
from support.partner import skewed
from support.waiting import wait_for
from testbed.cluster import Cluster

HOUR = 3600
WINDOW = 43_200  # the default


@pytest.fixture
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene of one test's own: time that was once seen does not come back."""
    with open_scene(cluster, tmp_path_factory.mktemp("services-clock")) as scene:
        operator = scene.operator("--identity=replica-0", make=ClockedOperator)
        scene.add_domain(url=operator.url)
        scene.add_identity(CLIENT)
        scene.wait(IDENTITIES, CLIENT, "Ready", status="True")
        yield scene


def test_at_the_second_of_the_deadline_the_service_leaves_the_pod(scene: Scene) -> None:
    scene.add_partner("org-b")
    scene.add_partner("kept", onStale="Retain")
    add_service(scene, "api", "org-b")
    add_service(scene, "retained", "kept")
    add_service(scene, "public")
    wait_bound(scene, "api")
    before = wait_bound(scene, "retained")
    assert before.peer is None, "its deadline is not the service's"
    scene.silence("org-b", "kept")
    due = max(
        parse_time(scene.get(PEERS, name)["status"]["pin"]["rotationDue"]) for name in ("org-b", "kept")
    )
    clocked_operator(scene).set_clock(due - 2 - time.time())
    wait_gone(scene, "api")
    service = scene.wait(SERVICES, "api", "PeerStale", status="False")
    deadline = scene.get(PEERS, "org-b")["status"]["pin"]["rotationDue"]
    assert condition_of(service, "VerifierResolved")["lastTransitionTime"] == deadline
    # What a person retains, and what never was the partner's, stays.
    scene.wait(PEERS, "kept", "PeerStale", status="False")
    assert entry(scene, "retained") == before
    assert entry(scene, "public") is not None
    scene.behave("org-b", skewed(WINDOW))  # its clock moved as well
    wait_bound(scene, "api")


def test_after_a_restart_past_the_deadline_the_service_leaves_first_thing(scene: Scene) -> None:
    scene.add_partner("org-b")
    add_service(scene, "api", "org-b")
    wait_bound(scene, "api")
    scene.silence("org-b")
    operator = clocked_operator(scene)
    operator.stop()
    operator.set_clock(13 * HOUR)
    operator.start()
    wait_gone(scene, "api")
    scene.wait(SERVICES, "api", "PeerStale", status="False")


def test_while_the_clock_is_behind_nothing_of_a_partner_counts(scene: Scene) -> None:
    scene.add_partner("org-b")
    add_service(scene, "api", "org-b")
    add_service(scene, "public")
    wait_bound(scene, "api")
    clocked_operator(scene).set_clock(-HOUR)
    scene.wait(SERVICES, "api", "ClockRegressed", status="False")
    wait_gone(scene, "api")
    clocked_operator(scene).set_clock(0)
    wait_bound(scene, "api")
    wait_for(lambda: entry(scene, "public"), "the other service")
