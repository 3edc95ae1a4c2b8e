"""The operator's clock is wrong: what was seen is not unseen, and a jump ahead only ends trust.

Proves R-H5 (clock jumps, also with a restart in between; now == rotationDue is stale) and R-H6.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from bilateral.resources.times import parse_time
from cluster.clocked import ClockedOperator, clocked_operator
from cluster.scene import DOMAINS, LEASES, PEERS, Scene, condition_of, open_scene
from support.partner import skewed
from support.waiting import wait_for
from testbed.cluster import Cluster

HOUR = 3600
WINDOW = 43_200  # the default
YEARS = 10 * 365 * 86_400
NAMES = ("first", "second")


@pytest.fixture
def forward(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene of one test's own: time that was once seen does not come back."""
    yield from proven(cluster, tmp_path_factory)


@pytest.fixture(scope="module")
def backward(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene for tests that set the clock back, and right again."""
    yield from proven(cluster, tmp_path_factory)


def proven(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path_factory.mktemp("clock")) as scene:
        operator = scene.operator("--identity=replica-0", make=ClockedOperator)
        scene.add_domain(url=operator.url)
        for name in NAMES:
            scene.add_peer(name)
        scene.wait_ready(*NAMES)
        yield scene


def assert_regressed(scene: Scene) -> None:
    """Everything says so, nothing is signed, nobody is answered, nothing is trusted."""
    operator = clocked_operator(scene)
    for name in NAMES:
        peer = scene.wait(PEERS, name, "ClockRegressed", status="False")
        assert condition_of(peer, "Fresh")["reason"] == "ClockRegressed"
    scene.wait(DOMAINS, "org-a", "ClockRegressed", status="False")
    wait_for(lambda: not scene.listed_peers(), "withdrawal")
    wait_for(lambda: operator.metrics().total("bilateral_clock_regressed") == 1, "the metric")
    pins = [scene.get(PEERS, name)["status"]["pin"] for name in NAMES]
    asked = scene.asked(*NAMES)
    word = f"at {time.monotonic()}"
    for name in NAMES:
        scene.ask(PEERS, name, word)
    for name in NAMES:
        wait_for(partial(_echoes, scene, name, word), "a look")
        answer = scene.post(operator, scene.partner(name).sign(scene.kernel("org-a")))
        assert (answer.status, answer.reason) == (503, "not-ready")
    assert scene.asked(*NAMES) == asked
    assert [scene.get(PEERS, name)["status"]["pin"] for name in NAMES] == pins, "pins are kept"


def _echoes(scene: Scene, name: str, word: str) -> bool:
    return bool(scene.get(PEERS, name)["status"].get("reconciledNow") == word)


def assert_recovers(scene: Scene) -> None:
    clocked_operator(scene).set_clock(0)
    asked = scene.asked(*NAMES)
    scene.wait_ready(*NAMES)
    scene.ask(PEERS, NAMES[0], "after")
    wait_for(lambda: scene.asked(*NAMES) > asked, "a handshake")
    answer = scene.post(clocked_operator(scene), scene.partner(NAMES[1]).sign(scene.kernel("org-a")))
    assert answer.status == 200


def test_an_hour_back_stops_everything_until_the_clock_has_caught_up(backward: Scene) -> None:
    wait_for(lambda: len(backward.listed_peers()) == len(NAMES), "the lists", seconds=15)
    clocked_operator(backward).set_clock(-HOUR)
    assert_regressed(backward)
    assert "ClockRegressed" in backward.event_reasons(NAMES[0])
    assert_recovers(backward)
    wait_for(lambda: len(backward.listed_peers()) == len(NAMES), "the lists", seconds=15)


def test_an_hour_back_is_noticed_after_a_restart(backward: Scene) -> None:
    operator = clocked_operator(backward)
    operator.stop()
    operator.set_clock(-HOUR)
    asked = backward.asked(*NAMES)
    operator.start()
    assert_regressed(backward)
    assert backward.asked(*NAMES) == asked
    assert_recovers(backward)


def test_pins_alone_bear_witness(backward: Scene) -> None:
    """The Lease was lost with a restart: what was sealed tells the time too."""
    operator = clocked_operator(backward)
    operator.kill()
    backward.delete(LEASES, "bilateral")
    operator.set_clock(-HOUR)
    operator.start()
    assert_regressed(backward)
    assert_recovers(backward)


def test_the_lease_alone_bears_witness(backward: Scene) -> None:
    """No pin tells the time: the partners were added while the operator was away."""
    operator = clocked_operator(backward)
    for name in NAMES:
        backward.delete(PEERS, name)
    wait_for(lambda: not backward.objects(PEERS), "deletion")
    operator.stop()
    operator.set_clock(-HOUR)
    backward.add_peer("late")
    operator.start()
    backward.wait(PEERS, "late", "ClockRegressed", status="False")
    assert backward.asked("late") == 0
    operator.set_clock(0)
    backward.wait_ready("late")
    for name in NAMES:
        backward.add_peer(name)
    backward.wait_ready(*NAMES)


def test_ten_seconds_back_are_tolerated(backward: Scene) -> None:
    operator = clocked_operator(backward)
    operator.set_clock(-10)
    asked = backward.asked(*NAMES)
    for name in NAMES:
        backward.ask(PEERS, name, "ten seconds")
    wait_for(lambda: backward.asked(*NAMES) >= asked + len(NAMES), "handshakes")
    backward.wait_ready(*NAMES)
    assert operator.metrics().total("bilateral_clock_regressed") == 0
    operator.set_clock(0)


def test_at_the_second_of_its_deadline_a_pin_is_stale(forward: Scene) -> None:
    operator = clocked_operator(forward)
    forward.silence(*NAMES)
    due = min(parse_time(forward.get(PEERS, name)["status"]["pin"]["rotationDue"]) for name in NAMES)
    operator.set_clock(due - 2 - time.time())
    for name in NAMES:
        deadline = forward.get(PEERS, name)["status"]["pin"]["rotationDue"]
        peer = forward.wait(PEERS, name, "PeerStale", status="False")
        assert condition_of(peer)["lastTransitionTime"] == deadline
        assert peer["status"]["pin"]["rotationDue"] == deadline
    wait_for(lambda: not forward.listed_peers(), "withdrawal", seconds=2)


def test_half_a_day_ahead_everything_is_stale_and_proven_anew(forward: Scene) -> None:
    forward.silence(*NAMES)
    wait_for(lambda: len(forward.listed_peers()) == len(NAMES), "the lists", seconds=15)
    clocked_operator(forward).set_clock(WINDOW + HOUR)
    for name in NAMES:
        forward.wait(PEERS, name, "PeerStale", status="False")
    wait_for(lambda: not forward.listed_peers(), "withdrawal")
    # A partner whose clock did not jump is not believed either.
    forward.wake(NAMES[0])
    forward.behave(NAMES[1], skewed(WINDOW + HOUR))
    forward.wait_ready(NAMES[1], seconds=30)
    wait_for(
        lambda: condition_of(forward.get(PEERS, NAMES[0]), "ClockInSync").get("status") == "False",
        "the skew",
        seconds=30,
    )
    forward.wait(PEERS, NAMES[0], "PeerStale", status="False")


def test_ten_years_ahead_the_authority_is_past_its_end_too(forward: Scene) -> None:
    forward.silence(*NAMES)
    clocked_operator(forward).set_clock(YEARS)
    forward.wait(DOMAINS, "org-a", "AuthorityExpired", status="False", kind="AuthorityReady")
    for name in NAMES:
        forward.wait(PEERS, name, "PeerStale", status="False")
    # Once seen, that time stays: a clock that is right again is ten years behind.
    clocked_operator(forward).set_clock(0)
    for name in NAMES:
        forward.wait(PEERS, name, "ClockRegressed", status="False")
