"""How the demo speaks: a tick only after the check, the last look in a failure, no colour in a log."""

from __future__ import annotations

import io
import re

import pytest
from demo.telling import Teller, Unexpected, expect, require


class Moments:
    """A clock that moves on at every look."""

    def __init__(self, step: float = 0.5) -> None:
        self._step = step
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self._step
        return self._now


@pytest.fixture(autouse=True)
def _no_wish_about_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("demo.telling.POLL_SECONDS", 0)


def tell(*, live: bool = False) -> tuple[Teller, io.StringIO]:
    stream = io.StringIO()
    return Teller(stream, live=live, now=Moments()), stream


def test_a_line_has_its_tick_what_was_found_and_its_time() -> None:
    teller, stream = tell()
    with teller.check("they agree: ") as line:
        assert stream.getvalue() == ""
        line.add("yes")
    assert re.fullmatch(r" ✓ they agree: yes +0\.5 s\n", stream.getvalue())
    assert teller.checks == 1


def test_a_failed_line_is_not_counted_and_says_where_it_failed() -> None:
    teller, stream = tell()
    with pytest.raises(Unexpected), teller.check("they agree"):
        expect("the answer", 412, 200)
    assert stream.getvalue() == " ✗ they agree\n"
    assert (teller.checks, teller.doing) == (0, "they agree")


def test_chapters_are_numbered() -> None:
    teller, stream = tell()
    teller.chapter("One")
    teller.chapter("Two")
    assert stream.getvalue() == "\n1  One\n\n2  Two\n"


def test_waiting_ends_with_the_first_look_that_is_enough() -> None:
    teller, _ = tell()
    looks = iter([1, 2, 3, 4])
    assert teller.wait("a number", lambda: next(looks), lambda n: n >= 3, expected="3", seconds=10) == 3
    assert next(looks) == 4


def test_waiting_too_long_says_what_was_seen_last() -> None:
    teller, _ = tell()
    with pytest.raises(Unexpected) as caught:
        teller.wait("Ready", lambda: "Unknown", lambda seen: seen == "True", expected="True", seconds=3)
    assert (caught.value.what, caught.value.found) == ("Ready", "Unknown")
    assert caught.value.expected == "True within 3 s"


@pytest.mark.parametrize("live", [False, True], ids=["in a log", "on a terminal"])
def test_colour_and_redrawing_are_for_terminals(live: bool) -> None:
    teller, stream = tell(live=live)
    teller.chapter("One")
    with teller.check("it holds"):
        pass
    teller.command("kubectl get trust")
    assert ("\x1b" in stream.getvalue()) is live
    assert ("\r" in stream.getvalue()) is live


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    teller, stream = tell(live=True)
    teller.chapter("One")
    assert "\x1b" not in stream.getvalue()


def test_what_is_quoted_is_indented_and_wrapped_and_blank_lines_can_go() -> None:
    teller, stream = tell()
    teller.quote("first\n\n" + "word " * 40 + "\n", blank_lines=False)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "     first"
    assert all(line.startswith("     ") and len(line) <= 120 for line in lines)
    assert len(lines) == 3


def test_require_carries_both_sides() -> None:
    require("a fact", 2 > 1, "this", "that")
    with pytest.raises(Unexpected, match="a fact: expected this, found that"):
        require("a fact", 2 < 1, "this", "that")
