"""The API server goes away, or stands still: nothing is lost, and it goes on by itself when it is back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bilateral.resources.times import parse_time
from cluster.clocked import ClockedOperator, clocked_operator
from cluster.scene import LEASES, PEERS, Scene, condition_of, open_scene
from support.partner import skewed
from support.waiting import wait_for
from testbed.cluster import Cluster

NAMES = [f"peer-{number}" for number in range(10)]
WINDOW = 43_200  # the default
PATIENCE = re.compile(r"Request attempt #(\d+) failed")


@pytest.fixture
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator whose clock can be moved, with proven peers."""
    with open_scene(cluster, tmp_path_factory.mktemp("outage")) as scene:
        scene.operator(make=ClockedOperator)
        scene.add_domain(url=scene.started[0].url)
        for name in NAMES:
            scene.add_peer(name)
        scene.wait_ready(*NAMES)
        yield scene


def pins(scene: Scene) -> dict[str, int]:
    """When each pin was made."""
    return {
        peer["metadata"]["name"]: parse_time(peer["status"]["pin"]["establishedAt"])
        for peer in scene.objects(PEERS)
    }


def test_renewals_that_are_due_while_the_api_server_is_away_are_made_when_it_is_back(
    cluster: Cluster, scene: Scene
) -> None:
    operator = clocked_operator(scene)
    before = pins(scene)
    ahead = int(WINDOW * 0.76)
    for name in NAMES:
        scene.behave(name, skewed(ahead))
    asked = scene.asked(*NAMES)
    cluster.stop_apiserver()
    try:
        operator.set_clock(ahead)
        wait_for(lambda: scene.asked(*NAMES) >= asked + len(NAMES), "every partner asked")
        # What cannot be stored was not accepted.
        answer = scene.post(operator, scene.partner(NAMES[0]).sign(scene.kernel("org-a"), ahead=ahead))
        assert (answer.status, answer.reason) == (503, "not-ready")

        def tries() -> int:
            return max(map(int, PATIENCE.findall(operator.log_text())), default=0)

        wait_for(lambda: tries() >= 5, "an outage longer than kopf's own patience", seconds=30)
        assert operator.is_running()
    finally:
        since = cluster.audit_position()
        cluster.start_apiserver()

    # It says that it is ready before it serves our kinds again.
    wait_for(lambda: cluster.request("GET", scene.path(PEERS)).status == 200, "our kinds")
    wait_for(lambda: all(at >= before[name] + ahead - 1 for name, at in pins(scene).items()), "renewals", 60)
    scene.wait_ready(*NAMES)

    def stored() -> list[str]:
        return [each.name for each in scene.writes(since) if each.resource == PEERS and each.code == 200]

    # An answer may be seen before its line in the audit log.
    wait_for(lambda: len(stored()) >= len(NAMES), "the writes in the audit log")
    assert sorted(stored()) == sorted(NAMES), "each pin is written once"
    assert operator.probe("/healthz") == operator.probe("/readyz") == 200
    # Watches work again too.
    scene.delete(PEERS, NAMES[0])
    wait_for(lambda: scene.kernel(NAMES[0]) not in scene.listed_peers(), "withdrawal")


def test_a_frozen_api_server_is_waited_for(cluster: Cluster, scene: Scene) -> None:
    operator = clocked_operator(scene)
    holder = scene.get(LEASES, "bilateral")["spec"]["holderIdentity"]
    cluster.pause()
    try:
        for name in NAMES:
            scene.behave(name, skewed(int(WINDOW * 0.76)))
        asked = scene.asked(*NAMES)
        operator.set_clock(int(WINDOW * 0.76))
        wait_for(lambda: scene.asked(*NAMES) >= asked + len(NAMES), "every partner asked")
        assert operator.probe("/healthz") == 200
    finally:
        cluster.resume()
    scene.patch(PEERS, NAMES[0], {"spec": {"state": "Suspended"}})
    scene.wait(PEERS, NAMES[0], "Suspended", status="False")
    scene.wait_ready(*NAMES[1:])
    assert scene.get(LEASES, "bilateral")["spec"]["holderIdentity"] == holder
    assert condition_of(scene.get(PEERS, NAMES[1]))["status"] == "True"
