"""bilateral ledger verify: intact or not, where, and never a password."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bilateral.cli.ledger import WORDS
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Link
from bilateral.ledger.verification import Flaw
from unit.cli.fakes import Shell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def links(path: Path) -> list[Link]:
    async def fill() -> list[Link]:
        opened = await open_ledger(f"sqlite://{path}")
        made = [await opened.record_decision({"number": each}, {"id": f"r-{each}"}) for each in range(3)]
        await opened.close()
        return made

    return asyncio.run(fill())


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER ledger_decisions_no_update")
        connection.execute(statement)


def test_an_intact_ledger_says_so_with_its_head(path: Path, links: list[Link]) -> None:
    result = Shell().run("ledger", "verify", "--url", f"sqlite://{path}")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"ledger      sqlite://{path}",
        "decisions   3",
        "receipts    3",
        "revoked     0 in our feeds",
        f"head        3:{links[-1].hash}",
        "intact",
    ]


def test_the_url_may_stand_in_the_environment(
    path: Path, links: list[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BILATERAL_LEDGER", f"sqlite://{path}")
    result = Shell().run("ledger", "verify", "-o", "json", "--expect", f"2:{links[1].hash}")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {
        "ledger": f"sqlite://{path}",
        "intact": True,
        "decisions": 3,
        "receipts": 3,
        "feedEntries": 0,
        "head": {"seq": 3, "hash": links[-1].hash},
        "defectCount": 0,
        "defects": [],
    }


def test_a_changed_ledger_is_told_with_its_place_and_the_answer_is_no(path: Path, links: list[Link]) -> None:
    change(path, "UPDATE ledger_decisions SET body = replace(body, '1', '7') WHERE seq = 2")
    result = Shell().run("ledger", "verify", "--url", f"sqlite://{path}")
    assert result.exit_code == 1
    assert "defect      decisions 2: was changed: its hash is another" in result.stdout
    assert result.stdout.endswith("NOT intact\n")
    assert result.stderr.startswith("error: the ledger is not as it was written: ")
    again = Shell().run("ledger", "verify", "--url", f"sqlite://{path}", "-o", "json")
    assert {"part": "decisions", "where": "2", "what": "hash-differs"} in json.loads(again.stdout)["defects"]


@pytest.mark.parametrize(
    ("expected", "words"),
    [(f"2:{'0' * 64}", "is not the one that was expected"), (f"9:{'0' * 64}", "the chain ends before it")],
)
def test_a_link_that_was_noted_must_still_be_there(
    path: Path, links: list[Link], expected: str, words: str
) -> None:
    result = Shell().run("ledger", "verify", "--url", f"sqlite://{path}", "--expect", expected)
    assert result.exit_code == 1
    assert words in result.stdout


def test_every_flaw_has_its_words() -> None:
    assert set(WORDS) == set(Flaw)


def test_verifying_makes_nothing(path: Path) -> None:
    result = Shell().run("ledger", "verify", "--url", f"sqlite://{path}")
    assert result.exit_code == 3
    assert (
        result.stderr
        == f"error: LedgerUnavailable: the ledger sqlite://{path} cannot be reached (SQLITE_CANTOPEN)\n"
    )
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--url", "mysql://u:hunter2@h/d"), 2, "LedgerMisconfigured"),
        (("--url", "postgresql://u:hunter2@127.0.0.1:1/d"), 3, "LedgerUnavailable: the ledger postgresql://127.0.0.1:1/d"),
        (("--url", "postgresql://u:hun/ter2@127.0.0.1/d"), 2, "percent-encode"),
        (("--expect", "3"), 2, "SEQ:HASH"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_or_reached_never_shows_a_password(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = Shell().run("ledger", "verify", *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "hunter2" not in result.output
    assert "hun/ter2" not in result.output
