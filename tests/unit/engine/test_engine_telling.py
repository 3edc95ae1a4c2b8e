"""What the operator tells: log lines, events, metrics, probes (R-K5)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bilateral.engine.cache import Key, Kind
from bilateral.engine.clock import ClockGuard
from bilateral.engine.events import BURST, RESERVED_FOR_WARNINGS, EventRecorder
from bilateral.engine.health import MAX_FILL_SECONDS, HealthServer, LoopMonitor
from bilateral.engine.log import JSONFormatter, Log
from bilateral.engine.metrics import Metrics
from bilateral.engine.session import QUIET_SECONDS, Watches
from bilateral.protocol.reasons import Reason

from .conftest import FakeClock, build_peer
from .memory import MemoryAPI


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logger = logging.getLogger("bilateral")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_a_line_is_one_json_object_with_members(lines: io.StringIO) -> None:
    Log("test").warning("it happened", kind="secrets", status=409)
    line = json.loads(lines.getvalue())
    assert line["level"] == "warning"
    assert (line["message"], line["kind"], line["status"]) == ("it happened", "secrets", 409)


def test_a_fault_tells_its_type_and_place_and_not_its_text(lines: io.StringIO) -> None:
    try:
        int("token-of-a-partner")
    except ValueError as error:
        Log("test").fault("a look failed", error)
    assert "token-of-a-partner" not in lines.getvalue()
    line = json.loads(lines.getvalue())
    assert line["failure"] == "ValueError"
    assert line["at"].startswith("test_a_fault_tells")


def test_a_librarys_traceback_is_reduced_to_its_type(lines: io.StringIO) -> None:
    try:
        int("token-of-a-partner")
    except ValueError:
        logging.getLogger("bilateral.library").exception("it broke")
    assert "token-of-a-partner" not in lines.getvalue()
    assert json.loads(lines.getvalue())["failure"] == "ValueError"


# Events


class Posted(MemoryAPI):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    async def create(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        self.events.append(body)
        return body


def ready(status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "m"}]}


def tell(recorder: EventRecorder, before: dict[str, Any], after: dict[str, Any]) -> None:
    obj = build_peer("org-b")
    recorder.ready_changed(Key(Kind.FEDERATION_PEER, "trust", "org-b"), {**obj, "status": before}, after)


async def test_an_event_is_sent_when_the_reason_changes_and_not_otherwise(clock: FakeClock) -> None:
    api = Posted()
    recorder = EventRecorder(api, clock, ClockGuard(clock), Metrics(), "replica")
    tell(recorder, {}, ready("Unknown", "AwaitingHandshake"))
    tell(recorder, ready("True", "Fresh"), ready("True", "Fresh"))
    tell(recorder, ready("True", "Fresh"), ready("False", "PeerStale"))
    await recorder.drain()
    assert [(event["type"], event["reason"]) for event in api.events] == [
        ("Normal", "AwaitingHandshake"),
        ("Warning", "PeerStale"),
    ]
    assert api.events[0]["metadata"]["generateName"] == "org-b-"


async def test_events_are_few_and_warnings_go_first(clock: FakeClock) -> None:
    api = Posted()
    recorder = EventRecorder(api, clock, ClockGuard(clock), Metrics(), "replica")
    for _ in range(1000):
        tell(recorder, {}, ready("True", "Fresh"))
    for _ in range(1000):
        tell(recorder, {}, ready("False", "PeerStale"))
    await recorder.drain()
    kinds = [event["type"] for event in api.events]
    assert kinds.count("Normal") == BURST - RESERVED_FOR_WARNINGS
    assert kinds.count("Warning") == RESERVED_FOR_WARNINGS


# Metrics


def test_peers_are_counted_by_reason() -> None:
    metrics = Metrics()
    metrics.peer_is("b", "Fresh")
    metrics.peer_is("c", "Fresh")
    metrics.peer_is("b", "PeerStale")
    text = metrics.render().decode()
    assert 'bilateral_peers{reason="Fresh"} 1.0' in text
    assert 'bilateral_peers{reason="PeerStale"} 1.0' in text
    metrics.forget_peers()
    assert 'bilateral_peers{reason="Fresh"} 0.0' in metrics.render().decode()


def test_refusals_are_counted_by_the_one_word() -> None:
    metrics = Metrics()
    metrics.refused(Reason.REPLAYED_ENVELOPE)
    metrics.accepted()
    text = metrics.render().decode()
    assert 'bilateral_handshakes_inbound_total{reason="ReplayedEnvelope"} 1.0' in text


# Probes


class Probes:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.listening = False
        self.resource = (Kind.SECRET, "trust")
        self.watches = Watches(clock, (self.resource,), lambda *_: None, lambda *_: None)
        self.health = HealthServer(
            clock, self.watches, LoopMonitor(clock, lambda _: None), Metrics(), lambda: self.listening
        )

    def hear(self) -> None:
        self.health._monitor._ticked = self.clock.monotonic()
        self.watches.page(self.resource, {"items": [], "metadata": {}}, first=True)
        self.watches.heard(self.resource)


def test_ready_means_caches_filled_and_the_endpoint_listening(clock: FakeClock) -> None:
    probes = Probes(clock)
    assert probes.health.unready() == ["caches-not-filled", "endpoint-not-listening"]
    assert probes.health.unhealthy() == [], "it is alive meanwhile"
    probes.hear()
    assert probes.health.unready() == ["endpoint-not-listening"]
    probes.listening = True
    assert probes.health.unready() == []


@pytest.mark.parametrize(
    ("seconds", "unhealthy"), [(QUIET_SECONDS, []), (QUIET_SECONDS + 1, ["watch-quiet"])]
)
def test_a_watch_that_is_silent_is_dead(clock: FakeClock, seconds: float, unhealthy: list[str]) -> None:
    probes = Probes(clock)
    probes.hear()
    clock.advance(seconds)
    probes.health._monitor._ticked = clock.monotonic()
    assert probes.health.unhealthy() == unhealthy


def test_caches_that_never_fill_are_no_life(clock: FakeClock) -> None:
    probes = Probes(clock)
    clock.advance(MAX_FILL_SECONDS + 1)
    probes.health._monitor._ticked = clock.monotonic()
    assert probes.health.unhealthy() == ["caches-not-filled"]


def test_a_loop_that_stands_still_is_no_life(clock: FakeClock) -> None:
    probes = Probes(clock)
    probes.hear()
    clock.advance(12)
    assert probes.health.unhealthy() == ["loop-lag"]
