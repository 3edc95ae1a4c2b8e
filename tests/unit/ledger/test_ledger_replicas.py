"""Several processes write one chain, and one that is killed in the middle of it loses nothing it had said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Link

TESTS = Path(__file__).parents[2]


@contextmanager
def writing(url: str, name: str, count: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "support.mortal_ledger", url, name, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(TESTS)},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def begin(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def links(text: str) -> list[Link]:
    words = [line.split() for line in text.splitlines() if line != "done"]
    return [Link(int(seq), digest) for seq, digest in words]


async def test_two_processes_write_a_thousand_each_into_one_chain(url: str) -> None:
    with writing(url, "one", 1000) as one, writing(url, "two", 1000) as two:
        begin(one, two)
        said = [process.communicate(timeout=120)[0] for process in (one, two)]
    assert all(each.endswith("done\n") for each in said)
    recorded = {link.seq: link.hash for each in said for link in links(each)}
    assert sorted(recorded) == list(range(1, 2001))
    ledger = await open_ledger(url, read_only=True)
    report = await ledger.verify()
    assert (report.intact, report.head.seq, report.receipts) == (True, 2000, 2000)
    stored = {each.seq: each.hash for part in (0, 1000) for each in await ledger.read_decisions(part)}
    assert stored == recorded
    await ledger.close()


@pytest.mark.parametrize("after", [1, 4])
async def test_what_was_recorded_before_a_kill_is_there_and_nothing_is_half_done(
    url: str, after: int
) -> None:
    with writing(url, "mortal", 1_000_000) as process:
        assert process.stdout is not None
        begin(process)
        said = "".join(process.stdout.readline() for _ in range(after * 50))
        process.kill()
        said += process.stdout.read()
    said = said[: said.rfind("\n") + 1]
    ledger = await open_ledger(url)
    report = await ledger.verify(links(said)[-1])
    assert report.intact, report.defects
    assert report.receipts == report.head.seq >= len(links(said)) >= after * 50
    assert (await ledger.record_decision({"from": "another"})).seq == report.head.seq + 1
    await ledger.close()
