"""The operator ends at any moment: the next one goes on from what was written, and nothing is there twice.

Proves R-K7: killed around any write, it converges; there are never two active keys and never a status that
names a key without its Secret. And a stop that is asked for is graceful, also with partners that do not answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bilateral.protocol.keys import SigningKey
from cluster.mortal import MortalOperator
from cluster.scene import DOMAINS, LEASES, PEERS, SECRETS, Object, Scene, open_scene
from support.partner import silent
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess
from testbed.processes import wait_ended

NAMES = [f"peer-{number}" for number in range(20)]
# After each of the first writes in turn: every run gets one further. Then in the midst of many.
WRITES = [
    *[(1, "after")] * 7,
    (1, "before"),
    (2, "before"),
    (2, "after"),
    (3, "before"),
    (5, "after"),
    (8, "after"),
    (13, "before"),
]
MOMENTS = 8


@pytest.fixture
def scene(cluster: Cluster, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path) as scene:
        yield scene


def mortal(scene: Scene) -> MortalOperator:
    # One name for all, as the replicas of a StatefulSet have: nobody waits for a dead one's Lease.
    made = scene.operator("--identity=replica-0", make=MortalOperator, start=False)
    assert isinstance(made, MortalOperator)
    return made


def add_all(scene: Scene, operator: OperatorProcess) -> None:
    scene.add_domain(url=operator.url)
    for name in NAMES:
        scene.add_peer(name)


def assert_nothing_is_twice_or_half(scene: Scene) -> None:
    """What must hold at every moment, whatever was under way."""
    keys: list[str] = []
    authorities: list[bytes] = []
    for secret in scene.objects(SECRETS):
        data = scene.secret(secret["metadata"]["name"]) or {}
        if "private.pem" in data:
            keys.append(SigningKey.from_pkcs8_pem(data["private.pem"]).public_key.canonical)
        elif secret["metadata"]["name"] == "org-a-ca":
            authorities.append(data["tls.crt"])
    assert len(keys) <= 1
    status: Object = scene.get(DOMAINS, "org-a").get("status") or {}
    assert status.get("publicKey") in (None, *keys), "a status that names a key without its Secret"
    authority = status.get("certificateAuthority")
    assert authority is None or [authority["certificate"].encode()] == authorities
    for name in NAMES:
        for asked in scene.partner(name).asked:
            assert asked.envelope.declared_public_key.canonical == status["publicKey"]


def assert_converges(scene: Scene, operator: OperatorProcess) -> None:
    if not operator.is_running():
        operator.start()
    peers = scene.wait_ready(*NAMES, seconds=40)
    assert_nothing_is_twice_or_half(scene)
    for peer in peers:
        partner = scene.partner(peer["metadata"]["name"])
        assert peer["status"]["pin"]["publicKey"] == partner.anchor
        assert len(partner.asked) <= len(WRITES) + MOMENTS + 2
    expected = {scene.kernel(name) for name in NAMES}
    wait_for(lambda: set(scene.listed_peers()) == expected, "the lists", seconds=15)


def test_killed_around_any_write_it_goes_on_from_there(scene: Scene) -> None:
    operator = mortal(scene)
    add_all(scene, operator)
    for count, when in WRITES:
        operator.die_at(count, when)
        operator.start(wait=False)
        scene.adopt(operator)
        ended = wait_ended(operator.record, 20)
        assert_nothing_is_twice_or_half(scene)
        if not ended:  # there are not so many writes left
            break
    else:
        operator.die_at(10**9, "after")
    assert_converges(scene, operator)


def test_killed_at_any_moment_it_goes_on_from_there(scene: Scene) -> None:
    operator = mortal(scene)
    add_all(scene, operator)
    choose = random.Random(5)  # the same moments in every run
    for _ in range(MOMENTS):
        operator.start()
        scene.adopt(operator)
        moment = choose.uniform(0, 0.4)
        assert not wait_ended(operator.record, moment), operator.log_text()
        operator.kill()
        assert_nothing_is_twice_or_half(scene)
    assert_converges(scene, operator)


def test_a_stop_is_graceful_and_releases_the_lease_though_partners_do_not_answer(scene: Scene) -> None:
    operator = scene.operator()
    for name in NAMES:
        scene.behave(name, silent)
    add_all(scene, operator)
    wait_for(lambda: scene.asked(*NAMES) == len(NAMES), "handshakes under way")
    assert scene.get(LEASES, "bilateral")["spec"]["holderIdentity"]
    took = operator.stop()
    assert took < 5
    assert not scene.get(LEASES, "bilateral")["spec"].get("holderIdentity")
    assert not [entry for entry in operator.log_entries() if entry["level"] == "error"], operator.log_text()
    assert operator.log_entries()[-1]["message"] == "stopped"
    # What was under way was not taken for an answer.
    assert not any((peer.get("status") or {}).get("pin") for peer in scene.objects(PEERS))
