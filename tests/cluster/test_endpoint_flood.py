"""Strangers cost the API server nothing and partners little, however many they are and however slow.

Proves R-D1 (limits before any cryptography), R-D2 (no write for what is refused), R-D5.
"""

from __future__ import annotations

import itertools
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bilateral.protocol.keys import SigningKey
from cluster.scene import PEERS, open_scene
from cluster.stage import Stage
from support.caller import Caller, post_on, read_answer
from support.partner import Partner
from support.waiting import wait_for
from testbed.audit import WRITE_VERBS
from testbed.cluster import Cluster

ENVELOPES = 10_000
SOURCES = 80
HEAD = b"POST /v1/federation/handshake HTTP/1.1\r\nHost: trust.test\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_scene(cluster, tmp_path_factory.mktemp("flood")) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        names = ("pinned", "anchored", "known")
        for name in names:
            scene.add_peer(name, passive=True)
        for name in names:
            scene.wait(PEERS, name, "AwaitingEnvelope", status="Unknown")
        assert Caller(operator.port).post(scene.partner("pinned").sign(scene.kernel("org-a"))).status == 200
        # The list of peers and the statement are written last: from here on there is nothing to do.
        wait_for(lambda: scene.kernel("pinned") in scene.listed_peers(), "the list of peers")
        wait_for(lambda: scene.secret("org-a-authority"), "the statement of our authority")
        yield Stage(scene, operator)


def causes(stage: Stage) -> dict[str, tuple[int, Callable[[], bytes]]]:
    """Bad envelopes: the status that each is refused with, and how one is made."""
    us, pinned, anchored = stage.us, stage.scene.partner("pinned"), stage.scene.partner("anchored")
    impostor = replace(pinned, key=SigningKey.generate())
    old = pinned.sign(us, ahead=-60).to_json()
    return {
        "a stranger": (412, lambda: Partner(f"s-{random.getrandbits(64):x}").sign(us).to_json()),
        "another key": (403, lambda: impostor.sign(us).to_json()),
        "a forged signature": (401, lambda: replace(anchored.sign(us), signature=bytes(64)).to_json()),
        "somebody else's": (421, lambda: anchored.sign("somebody-else").to_json()),
        "too old": (422, lambda: anchored.sign(us, ahead=-1000).to_json()),
        "a replay": (409, lambda: old),
        "no envelope": (400, lambda: b'{"challenge":{}}'),
        "an unknown schema": (422, lambda: anchored.sign(us).to_json().replace(b"handshake.v1", b"handshake.v7")),
    }  # fmt: skip


def test_ten_thousand_bad_envelopes_write_nothing(stage: Stage) -> None:
    """Whatever is wrong with them, from many sources: no write but the Lease's, little memory, no error."""
    makers = causes(stage)
    expected = Counter(makers[name][0] for name in itertools.islice(itertools.cycle(makers), ENVELOPES))
    peers_before = {name: stage.scene.get(PEERS, name) for name in ("pinned", "anchored")}
    memory = stage.operator.resident_bytes()
    position = stage.scene.cluster.audit_position()

    def flood(number: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        rows = itertools.islice(itertools.cycle(makers.values()), number, ENVELOPES, SOURCES)
        with Caller(stage.operator.port, source=f"127.0.3.{number + 1}").connect() as connection:
            for _, make in rows:
                answer = post_on(connection, make())
                seen[answer.status] += 1
                if answer["Connection"] == "close":
                    break  # what it was answered with is not what was expected: the counts say so
        return seen

    with ThreadPoolExecutor(8) as threads:
        seen = sum(threads.map(flood, range(SOURCES)), Counter[int]())
    assert seen == expected
    events = stage.scene.cluster.audit_events(user=stage.scene.account, verb=WRITE_VERBS, since=position)
    assert [event for event in events if event.resource != "leases"] == []
    assert {name: stage.scene.get(PEERS, name) for name in peers_before} == peers_before
    assert stage.operator.resident_bytes() - memory < 32 * 2**20
    assert [entry for entry in stage.operator.log_entries() if entry["level"] == "error"] == []
    # And the partner is as welcome as before.
    assert Caller(stage.operator.port).post(stage.scene.partner("known").sign(stage.us)).status == 200


def test_a_source_that_asks_too_often_is_told_to_wait_and_no_other(stage: Stage) -> None:
    body = b'{"challenge":{}}'
    with Caller(stage.operator.port, source="127.0.4.1").connect() as connection:
        answers = (post_on(connection, body) for _ in range(2000))
        throttled = next(answer for answer in answers if answer.status != 400)
    assert throttled.status == 429
    assert throttled.reason == "too-many-requests"
    assert int(throttled["Retry-After"] or "0") >= 1
    assert Caller(stage.operator.port, source="127.0.4.2").post(body).status == 400


def test_a_partner_may_renew_a_few_times_in_a_row_and_then_has_to_wait(stage: Stage) -> None:
    position = stage.scene.cluster.audit_position()
    partner = stage.scene.partner("anchored")
    answers = [
        Caller(stage.operator.port).post(partner.sign(stage.us, ahead=number - 20)) for number in range(12)
    ]
    accepted = [answer.status for answer in answers].count(200)
    assert accepted <= 7
    assert {answer.status for answer in answers} == {200, 429}
    assert int(answers[-1]["Retry-After"] or "0") >= 1
    writes = [event for event in stage.scene.writes(position) if event.name == "anchored"]
    assert len(writes) <= accepted + 1  # and the event of the first


def no_tls(stage: Stage) -> str:
    with socket.create_connection(("127.0.0.1", stage.operator.port), timeout=20) as connection:
        return "ended" if connection.recv(1) == b"" else "said something"


def half_a_head(stage: Stage) -> str:
    with Caller(stage.operator.port).connect() as connection:
        connection.sendall(HEAD)
        return _ended(connection.recv)


def a_head_in_drops(stage: Stage) -> str:
    with Caller(stage.operator.port).connect() as connection:
        connection.settimeout(0.5)
        for byte in itertools.cycle(b"X-Slow: 1\r\n"):
            try:
                connection.sendall(bytes([byte]))
                if connection.recv(1) == b"":
                    return "ended"
            except TimeoutError:
                continue
            except OSError:
                return "ended"
    raise AssertionError


def half_a_body(stage: Stage) -> str:
    with Caller(stage.operator.port).connect() as connection:
        connection.sendall(HEAD + b'Content-Length: 500\r\n\r\n{"challenge":')
        answer = read_answer(connection)
        return f"{answer.status} {answer.reason}"


def idle(stage: Stage) -> str:
    with Caller(stage.operator.port).connect() as connection:
        return _ended(connection.recv)


def _ended(receive: Callable[[int], bytes]) -> str:
    try:
        return "ended" if receive(1) == b"" else "said something"
    except ConnectionError:
        return "ended"


SLOW: dict[str, tuple[Callable[[Stage], str], str]] = {
    "no TLS": (no_tls, "ended"),
    "TLS, and nothing more": (idle, "ended"),
    "half a head": (half_a_head, "ended"),
    "a head in drops": (a_head_in_drops, "ended"),
    "half a body": (half_a_body, "408 request-timeout"),
}


def test_slow_senders_are_sent_away_within_seconds_and_hold_nobody_up(stage: Stage) -> None:
    def timed(name: str) -> tuple[str, float]:
        started = time.monotonic()
        return SLOW[name][0](stage), time.monotonic() - started

    with ThreadPoolExecutor(4 * len(SLOW)) as threads:
        slow = {name: [threads.submit(timed, name) for _ in range(4)] for name in SLOW}
        started = time.monotonic()
        assert Caller(stage.operator.port).post(b"{}").status == 400
        assert time.monotonic() - started < 1
        for name, calls in slow.items():
            for call in calls:
                outcome, seconds = call.result()
                assert outcome == SLOW[name][1], name
                assert seconds < 8, name
