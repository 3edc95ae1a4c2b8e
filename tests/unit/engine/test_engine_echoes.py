"""Of a watch only the echoes of our own writes are left out, and whatever else it may hold passes unchanged."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.engine.echoes import REMEMBERED, Echoes, Lines


def line(kind: str = "MODIFIED", version: str = "7", **more: Any) -> bytes:
    metadata = {"name": "one", "resourceVersion": version}
    event = {"type": kind, "object": {"kind": "Secret", "metadata": metadata, **more}}
    return json.dumps(event, separators=(",", ":")).encode()


@pytest.fixture
def echoes() -> Echoes:
    made = Echoes()
    made.expect("7")
    return made


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_echo_is_known_by_its_version(echoes: Echoes, kind: str) -> None:
    assert echoes.is_echo(line(kind))


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(line(version="8"), id="somebody's write"),
        pytest.param(line(version="77"), id="a longer version"),
        pytest.param(line("DELETED"), id="a deletion"),
        pytest.param(line("BOOKMARK"), id="a bookmark"),
        pytest.param(line("ERROR"), id="an error"),
        pytest.param(line(version="8", data={"resourceVersion": "7"}), id="the version in somebody's data"),
        pytest.param(line(version="8", note='"resourceVersion":"7"'), id="the version in a text"),
        pytest.param(b'{"object":{"metadata":{"resourceVersion":"7"}},"type":"ADDED"}', id="another order"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"not JSON", id="no event"),
    ],
)
def test_anything_else_is_none(echoes: Echoes, told: bytes) -> None:
    assert not echoes.is_echo(told)


def test_a_text_before_the_metadata_cannot_pose_as_a_version(echoes: Echoes) -> None:
    event = {
        "type": "MODIFIED",
        "object": {"a": '"resourceVersion":"7"', "metadata": {"resourceVersion": "8"}},
    }
    assert not echoes.is_echo(json.dumps(event, separators=(",", ":")).encode())


def test_without_a_write_there_is_no_echo() -> None:
    assert not Echoes().is_echo(line())


def test_the_latest_writes_are_remembered_and_no_more(echoes: Echoes) -> None:
    for number in range(REMEMBERED):
        echoes.expect(str(1000 + number))
    assert not echoes.is_echo(line())
    assert echoes.is_echo(line(version="1000"))


@given(versions=st.lists(st.integers(0, 9), max_size=12), cuts=st.lists(st.integers(0, 2000), max_size=20))
def test_however_it_is_cut_into_chunks_all_but_the_echoes_comes_out(
    versions: list[int], cuts: list[int]
) -> None:
    echoes = Echoes()
    for version in range(0, 10, 2):
        echoes.expect(str(version))
    body = b"".join(line(version=str(version)) + b"\n" for version in versions)
    lines, places = Lines(echoes), [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    out = b"".join(lines.feed(body[start:end]) for start, end in itertools.pairwise(places))
    assert out == b"".join(line(version=str(version)) + b"\n" for version in versions if version % 2)
    assert lines.rest() == b""


def test_half_a_line_at_the_end_is_handed_over(echoes: Echoes) -> None:
    lines = Lines(echoes)
    assert lines.feed(line() + b"\n" + line()) == b""
    assert lines.rest() == line()
    assert lines.rest() == b""
