import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.resources.errors import MalformedTime
from bilateral.resources.times import format_time, parse_time

LATEST = 253_402_300_799


@given(st.integers(0, LATEST))
def test_every_time_comes_back(seconds: int) -> None:
    assert parse_time(format_time(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T14:31:07Z", 1795271467),
        ("2024-02-29T23:59:59Z", 1709251199),
        ("9999-12-31T23:59:59Z", LATEST),
    ],
)
def test_known_times(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds
    assert format_time(seconds) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T14:31:07",
        "2026-11-21 14:31:07Z",
        "2026-11-21t14:31:07z",
        "2026-11-21T14:31:07Z\n",
        "2026-11-21T14:31:07.5Z",
        "2026-11-21T14:31:07+00:00",
        "2026-11-21T14:31:60Z",
        "2026-11-21T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-W47-6T14:31:07Z",
        "1969-12-31T23:59:59Z",
        "\u0662026-11-21T14:31:07Z",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(MalformedTime):
        parse_time(text)


@pytest.mark.parametrize("seconds", [-1, LATEST + 1, 2**64])
def test_times_outside_the_calendar_are_refused(seconds: int) -> None:
    with pytest.raises(MalformedTime):
        format_time(seconds)
