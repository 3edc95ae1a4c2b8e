"""The API server fails in every way that it can: what is to be true becomes true when it is back, once.

A proxy in front of the real one lets calls fail. Proves R-K7 (a write whose answer is lost is not made twice)
and R-K8 (a status is written only at the version that it was decided from).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bilateral.protocol.keys import SigningKey
from cluster.scene import DOMAINS, PEERS, SECRETS, Scene, open_scene
from support.faultproxy import LOST_ANSWER, RESET, WRITES, Call, Fault, FaultProxy, no_fault
from support.waiting import wait_for
from testbed.cluster import Cluster

PEERS_OF_EACH = 3
FAILURES = 5  # back-off doubles with each: were all of one object, it would wait for some 15 seconds
RETRY_AFTER = {"Retry-After": "1"}
FAULTS = {
    "409, somebody else wrote": Fault(409),
    "429, come back in a second": Fault(429, RETRY_AFTER),
    "404, our kinds are not served yet": Fault(404),
    "403, rights are not known yet": Fault(403),
    "500": Fault(500),
    "503, come back in a second": Fault(503, RETRY_AFTER),
    "504, after it was done": Fault(504, forward=True),
    "connections are reset": RESET,
    "connections are reset after it was done": LOST_ANSWER,
}


@pytest.fixture(scope="module")
def proxy(cluster: Cluster) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.server, cluster.directory / "pki" / "ca.crt") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def scene(cluster: Cluster, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator that reaches the API server through the proxy only."""
    directory = tmp_path_factory.mktemp("api")
    with open_scene(cluster, directory) as scene:
        direct = cluster.service_account_kubeconfig(scene.namespace, "bilateral")
        scene.operator(kubeconfig=proxy.rewrite(direct, directory / "proxy.kubeconfig"))
        scene.add_domain()
        scene.wait_ready()
        yield scene


@pytest.fixture(autouse=True)
def healed(proxy: FaultProxy) -> Iterator[None]:
    yield
    proxy.fault = no_fault


def first(count: int, fault: Fault) -> Callable[[Call], Fault | None]:
    """Let the first writes fail, but for those of the Lease."""
    numbers = itertools.count()

    def decide(call: Call) -> Fault | None:
        is_ours = call.method in WRITES and "/leases" not in call.path
        if fault.status == 409 and call.method == "POST":
            return None  # it would say that the name is taken
        return fault if is_ours and next(numbers) < count else None

    return decide


@pytest.mark.parametrize("case", FAULTS)
def test_writes_that_fail_are_made_later_and_once(scene: Scene, proxy: FaultProxy, case: str) -> None:
    number = list(FAULTS).index(case)
    name = f"domain-{number}"
    peers = [f"peer-{number}-{each}" for each in range(PEERS_OF_EACH)]
    proxy.fault = first(FAILURES, FAULTS[case])
    scene.add_domain(name, url=scene.started[0].url)
    for peer in peers:
        scene.add_peer(peer, name)

    scene.wait_ready(*peers, domain=name, seconds=40)
    held = scene.secret(f"{name}-signing-key")
    assert held is not None
    published = scene.get(DOMAINS, name)["status"]["publicKey"]
    assert SigningKey.from_pkcs8_pem(held["private.pem"]).public_key.canonical == published
    spoken = {
        asked.envelope.declared_public_key.canonical for peer in peers for asked in scene.partner(peer).asked
    }
    assert spoken == {published}, "envelopes were signed with a key that was not published"
    assert scene.asked(*peers) <= len(peers) + FAILURES, "partners were asked more often than writes failed"


def test_lists_whose_writes_failed_are_written_too(scene: Scene) -> None:
    for number in range(len(FAULTS)):
        wait_for(lambda: len(scene.listed_peers(f"domain-{number}")) == PEERS_OF_EACH, "the lists")  # noqa: B023 - at once
        assert scene.get(DOMAINS, f"domain-{number}")["status"]["conditions"][0]["reason"] == "Ready"


def test_who_is_told_to_wait_waits(scene: Scene, proxy: FaultProxy) -> None:
    """While every write is answered with 429, an object is tried about once in the time that was asked for."""
    proxy.fault = first(10**6, Fault(429, RETRY_AFTER))
    before = len(proxy.failed)
    scene.add_peer("throttled")
    started = time.monotonic()
    wait_for(lambda: len(proxy.failed) - before >= 3, "a few tries", seconds=30)
    passed = time.monotonic() - started
    assert passed > 1.5, f"three tries within {passed:.1f} s"
    proxy.fault = no_fault
    scene.wait_ready("throttled", seconds=30)


def test_other_writers_of_a_status_do_not_get_in_the_way(scene: Scene) -> None:
    """Somebody writes the same statuses all the time: decisions are made anew, and none is lost."""
    since = scene.cluster.audit_position()
    names = [f"contested-{number}" for number in range(4)]
    ending = threading.Event()

    def write() -> None:
        for number in itertools.count():
            for name in names:
                scene.cluster.request(
                    "PATCH",
                    f"{scene.path(PEERS, name)}/status",
                    {"status": {"observedSkewSeconds": number}},
                    content_type="application/merge-patch+json",
                )
            if ending.is_set():
                return

    writers = [threading.Thread(target=write) for _ in range(2)]
    for name in names:
        scene.add_peer(name)
    for writer in writers:
        writer.start()

    def conflicts() -> int:
        answers = scene.cluster.audit_events(user=scene.account, resource=PEERS, since=since)
        return sum(answer.code == 409 for answer in answers)

    try:
        wait_for(lambda: conflicts() >= 3, "writes that met", seconds=30)
    finally:
        ending.set()
        for writer in writers:
            writer.join()
    scene.wait_ready(*names, seconds=30)
    for name in names:
        assert scene.get(PEERS, name)["status"]["pin"]["publicKey"] == scene.partner(name).anchor


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_watches_that_are_refused_are_opened_again(scene: Scene, proxy: FaultProxy, status: int) -> None:
    """As an API server does that starts: it knows neither rights nor kinds yet."""
    name = f"seen-after-{status}"
    operator = scene.started[0]
    proxy.fault = lambda call: Fault(status) if call.is_read_of_many else None
    seen = len(proxy.failed)
    proxy.cut_watches()
    wait_for(lambda: len(proxy.failed) >= seen + 6, "two refusals of each")
    scene.add_peer(name)
    proxy.fault = no_fault
    scene.wait_ready(name, seconds=30)
    assert operator.is_running()


def test_what_vanished_while_the_watches_were_down_is_noticed(scene: Scene, proxy: FaultProxy) -> None:
    names = ("stays", "goes")
    for name in names:
        scene.add_peer(name)
    scene.wait_ready(*names)
    wait_for(lambda: {*map(scene.kernel, names)} <= set(scene.listed_peers()), "the lists", seconds=20)
    proxy.fault = lambda call: RESET if call.is_read_of_many else None
    seen = len(proxy.failed)
    proxy.cut_watches()
    wait_for(lambda: len(proxy.failed) > seen, "a watch that is refused")
    scene.delete(PEERS, "goes")
    scene.delete(SECRETS, "org-a-peers")
    scene.add_peer("comes")
    assert scene.asked("comes") == 0
    proxy.fault = no_fault

    scene.wait_ready("comes", "stays", seconds=30)
    expected = {scene.kernel("stays"), scene.kernel("comes")}
    wait_for(lambda: expected <= set(scene.listed_peers()), "the lists", seconds=20)
    assert scene.kernel("goes") not in scene.listed_peers()
