"""What is printed: tables line up, PEM stays readable in YAML, nothing steers the terminal."""

from __future__ import annotations

import json

import pytest
import yaml

from bilateral.cli.errors import printable
from bilateral.cli.output import Data, distance, render, table


def test_columns_line_up_and_lines_do_not_end_in_spaces() -> None:
    assert table(["A", "LONGER"], [["xyz", "1"], ["y", ""]]) == ["A     LONGER", "xyz   1", "y"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (42_133, "11 h 42 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (-90, "1 min 30 s"),
    ],
)
def test_a_distance_is_said_in_two_units(seconds: int, text: str) -> None:
    assert distance(seconds) == text


def test_both_formats_say_the_same() -> None:
    data: Data = {"b": ["x", {"pem": "-----BEGIN\nabc\n"}], "a": None, "yes": "yes", "n": 7}
    assert json.loads(render(data, "json")) == data
    text = render(data, "yaml")
    assert yaml.safe_load(text) == data
    assert "pem: |\n" in text
    assert text.index("b:") < text.index("a:")


def test_control_and_direction_marks_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31m\n\u202eb") == "a\ufffd[31m\ufffd\ufffdb"
