"""Time that was once seen is never un-seen (R-H5)."""

from __future__ import annotations

import pytest

from bilateral.engine.clock import ClockGuard

from .conftest import FakeClock


@pytest.mark.parametrize(
    ("step", "regressed"),
    [
        (-1, False),
        (-30, False),
        (-31, True),
        (-3600, True),
        (0, False),
        (46_800, False),
        (315_360_000, False),
    ],
)
def test_a_step_back_beyond_the_tolerance_is_a_regression(
    clock: FakeClock, step: int, regressed: bool
) -> None:
    guard = ClockGuard(clock)
    guard.now()
    clock.wall += step
    assert guard.regressed is regressed


def test_it_ends_when_the_clock_has_caught_up(clock: FakeClock) -> None:
    guard = ClockGuard(clock)
    guard.now()
    clock.wall -= 100
    assert guard.regressed
    clock.wall += 71
    assert not guard.regressed


def test_what_a_lease_or_a_pin_bears_witness_of_was(clock: FakeClock) -> None:
    guard = ClockGuard(clock)
    guard.witness(clock.wall + 31)
    assert guard.regressed, "also after a restart, when this process saw nothing itself"


def test_seconds_are_whole_and_rounded_down(clock: FakeClock) -> None:
    clock.wall = 99.999
    assert ClockGuard(clock).now() == 99
