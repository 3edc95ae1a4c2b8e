"""Which key spoke for a partner, and when: half-open intervals, gaps that stay gaps, no write without a change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.key_history import (
    MAX_INTERVALS,
    KeyHistory,
    KeyInterval,
    KeySource,
    parse_key_history,
)
from bilateral.protocol.keys import SigningKey
from support.kernels import KEY_A, KEY_B

A, B = KEY_A.public_key, KEY_B.public_key


def pin(since: int, until: int, key: Any = A) -> KeyInterval:
    return KeyInterval(key, KeySource.PIN, since, until)


def issuer(key: Any = A, until: int | None = None) -> KeyInterval:
    return KeyInterval(key, KeySource.ISSUER, None, until)


def test_the_first_second_counts_and_the_last_does_not() -> None:
    history = KeyHistory((pin(10, 20),))
    assert [history.spoke_at(A, time) for time in (9, 10, 19, 20)] == [False, True, True, False]
    assert history.keys_at(10) == {A}
    assert history.keys_at(20) == frozenset()


def test_sources_can_be_told_apart() -> None:
    history = KeyHistory((pin(10, 20), issuer(B)))
    assert history.keys_at(15) == {A, B}
    assert history.keys_at(15, KeySource.PIN) == {A}
    assert history.keys_at(15, KeySource.ANCHOR) == frozenset()
    assert history.interval_of(B) == issuer(B)
    assert history.interval_of(B, KeySource.PIN) is None


def test_a_pin_that_is_renewed_is_one_interval() -> None:
    history = KeyHistory().observe([pin(10, 20)], 10).observe([pin(15, 25)], 15)
    assert history.intervals == (pin(10, 25),)


def test_a_pin_that_lapsed_leaves_a_gap() -> None:
    history = KeyHistory().observe([pin(10, 20)], 10).observe([], 30).observe([pin(40, 50)], 41)
    assert history.intervals_of(A) == (pin(10, 20), pin(41, 50))
    assert not history.spoke_at(A, 30)
    assert history.interval_of(A) == pin(41, 50)


def test_a_key_that_left_the_list_ends_when_that_is_seen() -> None:
    history = KeyHistory().observe([issuer(A), issuer(B)], 100).observe([issuer(B)], 200)
    assert history.spoke_at(A, 199)
    assert not history.spoke_at(A, 200)
    assert history.keys_at(200) == {B}


def test_a_key_that_comes_back_does_not_fill_its_gap() -> None:
    history = KeyHistory().observe([issuer()], 100).observe([], 200).observe([issuer()], 300)
    assert history.intervals == (issuer(A, 200), KeyInterval(A, KeySource.ISSUER, 300))


def test_an_end_that_is_set_later_is_taken_over() -> None:
    history = KeyHistory().observe([issuer()], 100).observe([issuer(A, 150)], 120)
    assert history.intervals == (issuer(A, 150),)
    assert history.observe([issuer(A, 150)], 150) == history


def test_a_clock_that_went_back_teaches_nothing() -> None:
    history = KeyHistory().observe([pin(100, 200)], 100)
    assert history.observe([issuer(B)], 99) is history


def test_a_beginning_in_the_future_begins_now() -> None:
    assert KeyHistory().observe([pin(500, 600)], 400).intervals == (pin(400, 600),)


def test_a_key_that_comes_and_goes_within_a_second_was_never_there() -> None:
    assert KeyHistory().observe([pin(10, 20)], 10).observe([], 10) == KeyHistory()


def test_a_history_is_bounded_and_forgets_the_oldest() -> None:
    history = KeyHistory()
    for time in range(MAX_INTERVALS + 10):
        key = SigningKey.from_seed(time.to_bytes(32, "big")).public_key
        history = history.observe([pin(time * 10, time * 10 + 5, key), issuer()], time * 10)
    assert len(history.intervals) == MAX_INTERVALS
    assert history.keys_at(0) == {A}
    assert history.spoke_at(A, 10**9)


OBSERVATIONS = st.lists(
    st.tuples(
        st.lists(
            st.builds(
                KeyInterval,
                st.sampled_from([A, B]),
                st.sampled_from(KeySource),
                st.none() | st.integers(0, 60),
                st.none() | st.integers(1, 80),
            ),
            max_size=4,
        ),
        st.integers(0, 10),
    ),
    max_size=12,
)


@given(OBSERVATIONS)
def test_the_past_is_never_rewritten(steps: list[tuple[list[KeyInterval], int]]) -> None:
    now, history = 0, KeyHistory()
    for present, later in steps:
        now += later
        after = history.observe(present, now)
        # Nothing new is learnt of a past second, except by a key's first appearance.
        seen = {(each.key, each.source) for each in history.intervals}
        for time in range(now):
            for key in (A, B):
                for source in KeySource:
                    if (key, source) in seen:
                        assert after.spoke_at(key, time, source) == history.spoke_at(key, time, source)
        wanted = {(each.key, each.source): each for each in present if each.until is None or now < each.until}
        for key in (A, B):
            for source in KeySource:
                assert after.spoke_at(key, now, source) is ((key, source) in wanted)
        assert after.observe(present, now) == after
        assert parse_key_history(json.dumps(after.to_members()).encode()) == after
        history = after


GOOD: dict[str, Any] = KeyHistory((pin(10, 20), issuer(B))).to_members()


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        {},
        {**GOOD, "more": 1},
        {**GOOD, "schema": "bilateral.key-history.v2"},
        {**GOOD, "intervals": {}},
        {**GOOD, "intervals": [1]},
        {**GOOD, "intervals": [{"publicKey": A.canonical}]},
        {**GOOD, "intervals": [{"publicKey": "p256:00", "source": "pin"}]},
        {**GOOD, "intervals": [{"publicKey": A.canonical, "source": "rumour"}]},
        {**GOOD, "intervals": [{"publicKey": A.canonical, "source": "pin", "since": None}]},
        {**GOOD, "intervals": [{"publicKey": A.canonical, "source": "pin", "since": -1}]},
        {**GOOD, "intervals": [{"publicKey": A.canonical, "source": "pin", "since": 5, "until": 5}]},
        {**GOOD, "intervals": [{"publicKey": A.canonical, "source": "pin", "note": ""}]},
        {**GOOD, "intervals": [{"publicKey": A.canonical, "source": "pin"}] * (MAX_INTERVALS + 1)},
    ],
    ids=lambda value: str(value)[-60:],
)
def test_what_is_no_history_is_refused(document: Any) -> None:
    with pytest.raises(MalformedDocument):
        parse_key_history(document)
