"""R-D1: what a stranger may cost, with a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.exchange.limits import (
    MAX_SOURCES,
    Gate,
    LimitSettings,
    TokenBuckets,
    build_limits,
    parse_source,
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_holds_a_burst_and_fills_at_its_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(2.0, 3, clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now += 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 3600
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_keys_do_not_share() -> None:
    buckets = TokenBuckets(1.0, 1, Clock())
    assert buckets.take("a") == 0
    assert buckets.take("b") == 0
    assert buckets.take("a") == 1


def test_a_clock_that_goes_back_gives_nothing() -> None:
    clock = Clock()
    buckets = TokenBuckets(1.0, 1, clock)
    assert buckets.take("a") == 0
    clock.now -= 100
    assert buckets.take("a") == 1


def test_a_rate_of_nothing_never_refills() -> None:
    buckets = TokenBuckets(0.0, 1, Clock())
    assert buckets.take("a") == 0
    assert buckets.take("a") == float("inf")


def test_the_least_recently_seen_is_forgotten() -> None:
    buckets = TokenBuckets(1.0, 1, Clock(), max_keys=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key)
    assert len(buckets) == 2
    assert buckets.take("a") > 0  # still known
    assert buckets.take("b") == 0  # forgotten, so full


@given(st.lists(st.text(max_size=3), max_size=200))
def test_memory_is_bounded(keys: list[str]) -> None:
    buckets = TokenBuckets(1.0, 1, Clock(), max_keys=8)
    for key in keys:
        buckets.take(key)
        assert len(buckets) <= 8


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_a_source_is_an_address_or_a_v6_network(host: str, source: str) -> None:
    assert parse_source(host) == source


def test_connections_are_bounded_for_a_source_and_in_all() -> None:
    gate = Gate(LimitSettings(max_connections=3, max_connections_per_source=2), Clock())
    first = gate.admit("192.0.2.1")
    second = gate.admit("192.0.2.1")
    assert first is not None
    assert second is not None
    assert gate.admit("192.0.2.1") is None
    third = gate.admit("192.0.2.2")
    assert third is not None
    assert gate.admit("192.0.2.3") is None
    first.release()
    first.release()
    assert gate.connections == 2
    assert gate.admit("192.0.2.1") is not None


def test_beginning_connections_is_limited_for_a_source() -> None:
    clock = Clock()
    gate = Gate(LimitSettings(connections_per_second=1.0, connections_burst=2), clock)
    leases = [gate.admit("192.0.2.1") for _ in range(3)]
    assert [lease is None for lease in leases] == [False, False, True]
    assert gate.admit("192.0.2.2") is not None
    clock.now += 1
    assert gate.admit("192.0.2.1") is not None


def test_requests_are_limited_for_a_source_and_in_all() -> None:
    clock = Clock()
    gate = Gate(
        LimitSettings(
            requests_per_second=1.0,
            requests_burst=2,
            total_requests_per_second=1.0,
            total_requests_burst=3,
        ),
        clock,
    )
    assert [gate.retry_after("a") for _ in range(3)] == [0, 0, 1]
    assert [gate.retry_after("b") for _ in range(2)] == [0, 1]


def test_strangers_use_up_no_share_of_known_sources() -> None:
    gate = Gate(LimitSettings(total_requests_per_second=1.0, total_requests_burst=3), Clock())
    gate.welcome("known")
    assert [gate.retry_after(f"stranger-{number}") for number in range(4)] == [0, 0, 0, 1]
    assert [gate.retry_after("known") for _ in range(4)] == [0, 0, 0, 1]


def test_some_places_are_for_known_sources() -> None:
    gate = Gate(LimitSettings(max_connections=2, known_connections=1), Clock())
    gate.welcome("192.0.2.9")
    strangers = [gate.admit(f"192.0.2.{number}") for number in range(3)]
    assert [lease is None for lease in strangers] == [False, False, True]
    assert gate.admit("192.0.2.9") is not None
    assert gate.admit("192.0.2.9") is None
    assert gate.admit("192.0.2.7") is None


def test_known_sources_have_the_limits_of_one_source() -> None:
    gate = Gate(
        LimitSettings(requests_per_second=1.0, requests_burst=1, max_connections_per_source=1), Clock()
    )
    gate.welcome("192.0.2.9")
    assert [gate.retry_after("192.0.2.9") for _ in range(2)] == [0, 1]
    assert [gate.admit("192.0.2.9") is None for _ in range(2)] == [False, True]


def test_of_known_sources_the_least_recently_welcomed_is_forgotten() -> None:
    gate = Gate(LimitSettings(max_connections=0, known_connections=1), Clock())
    gate.welcome("192.0.2.9")
    for number in range(MAX_SOURCES):
        gate.welcome(f"source-{number}")
    assert gate.admit("192.0.2.9") is None


def test_the_limits_that_a_person_sets_are_the_defaults_where_nobody_does() -> None:
    built = build_limits(max_connections=256, max_connections_per_source=128, requests_per_second=50)
    assert built == LimitSettings()


def test_the_other_limits_keep_their_proportion() -> None:
    built = build_limits(max_connections=10, max_connections_per_source=5, requests_per_second=7)
    assert (built.known_connections, built.connections_burst, built.requests_burst) == (3, 28, 28)
    assert (built.total_requests_per_second, built.total_requests_burst) == (280, 560)
