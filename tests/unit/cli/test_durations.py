"""Durations as people type them."""

from __future__ import annotations

import click
import pytest

from bilateral.cli.durations import Duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("30", 30), ("30s", 30), ("2m", 120), ("1h", 3_600), (7, 7)]
)
def test_a_duration_is_seconds(text: object, seconds: int) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1.5s", "1d", " 1s", "1s\n", "٣s", "9999999"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)
