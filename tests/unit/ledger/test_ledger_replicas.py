"""Several processes write one chain, and one that is killed in the middle of it loses nothing it had said."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bilateral.ledger.errors import LedgerConflict
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Link
from support.postgresql import Server
from support.waiting import wait_for
from unit.ledger.records import RELATION, decision, feed_head, partner_head

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


@pytest.mark.parametrize("after", [5, 203])
async def test_what_was_recorded_before_a_kill_is_there_and_nothing_is_half_done(
    url: str, after: int
) -> None:
    with writing(url, "mortal", 1_000_000) as process:
        assert process.stdout is not None
        begin(process)
        said = "".join(process.stdout.readline() for _ in range(after))
        process.kill()
        said += process.stdout.read()
    said = said[: said.rfind("\n") + 1]
    ledger = await open_ledger(url)
    report = await ledger.verify(links(said)[-1])
    assert report.intact, report.defects
    assert report.receipts == report.head.seq >= len(links(said)) >= after
    assert (await ledger.record_decision({"from": "another"})).seq == report.head.seq + 1
    await ledger.close()


async def test_replicas_take_turns_at_the_chain(url: str) -> None:
    ledgers = [await open_ledger(url) for _ in range(3)]

    async def record(ledger: Ledger) -> list[int]:
        return [(await ledger.record_decision(decision(each))).seq for each in range(40)]

    numbers = await asyncio.gather(*(record(ledger) for ledger in ledgers))
    assert sorted(number for each in numbers for number in each) == list(range(1, 121))
    assert (await ledgers[0].verify()).intact
    for ledger in ledgers:
        await ledger.close()


AHEAD = {
    "a partner's head": (
        "UPDATE ledger_partners SET size = 10, published_at = 20",
        lambda ledger: ledger.save_partner_head(RELATION, partner_head(7, 15)),
        "head-regressed",
    ),
    "a head of ours": (
        "UPDATE ledger_feeds SET size = 1",
        lambda ledger: ledger.append_revocations("org-b-kernel", 0, [], feed_head(0, 15)),
        "feed-moved",
    ),
}


@pytest.mark.parametrize(("first", "second", "code"), AHEAD.values(), ids=AHEAD.keys())
async def test_a_replica_that_was_overtaken_while_it_waited_writes_nothing(
    postgresql: Server, first: str, second: Callable[[Ledger], Coroutine[None, None, None]], code: str
) -> None:
    place = postgresql.make_place()
    ledger = await open_ledger(place)
    await ledger.save_partner_head(RELATION, partner_head(5))
    await ledger.append_revocations("org-b-kernel", 0, [], feed_head(0))
    with psycopg.connect(place) as other, postgresql.connect() as watching:
        other.execute(first.encode())
        waiting = asyncio.create_task(second(ledger))
        await asyncio.sleep(0)
        wait_for(
            lambda: watching.execute(
                "SELECT 1 FROM pg_stat_activity "
                "WHERE wait_event_type = 'Lock' AND application_name = 'bilateral ledger'"
            ).fetchall(),
            "the second writer waits",
        )
        other.commit()
        with pytest.raises(LedgerConflict) as caught:
            await waiting
    assert caught.value.code == code
    await ledger.close()
