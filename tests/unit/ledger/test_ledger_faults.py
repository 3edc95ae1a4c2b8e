"""Full, locked, read-only, damaged, gone: one clear error each, nothing half done, and it goes on afterwards."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from bilateral.ledger.errors import (
    LedgerConflict,
    LedgerDamaged,
    LedgerError,
    LedgerFull,
    LedgerIncompatible,
    LedgerLocked,
    LedgerReadOnly,
    LedgerUnavailable,
)
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.store import MAX_WAITING, SQLLedger
from bilateral.protocol.reasons import Reason
from support.postgresql import Server
from unit.ledger.records import RELATION, decision, look, partner_head, receipt, revocations

COUNTS = (
    "SELECT count(*), coalesce(max(seq), 0), (SELECT count(*) FROM ledger_receipts) FROM ledger_decisions"
)


NOTES = b"somebody's notes, not a database\n" * 100


def write(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(content)


def read(path: Path) -> bytes:
    return path.read_bytes()


def move(path: Path, target: Path) -> None:
    path.rename(target)


def protect(path: Path) -> None:
    path.chmod(0o400)


async def refuses(ledger: Ledger, kind: type[LedgerError]) -> LedgerError:
    """Both ways of writing raise ``kind``, and the error names no secret."""
    with pytest.raises(kind) as caught:
        await ledger.record_decision(decision(1), receipt("new"))
    with pytest.raises(kind):
        await ledger.merge_revocations(RELATION, revocations("a"), partner_head(1))
    assert "~!" not in f"{caught.value!r} {caught.value} {caught.value.__context__} {caught.value.__cause__}"
    return caught.value


# --- what both have in common


async def test_a_closed_ledger_says_so(url: str) -> None:
    ledger = await open_ledger(url)
    await ledger.close()
    await ledger.close()
    await refuses(ledger, LedgerUnavailable)


async def test_closing_waits_for_what_was_begun(url: str) -> None:
    ledger = await open_ledger(url)
    tasks = [asyncio.create_task(ledger.record_decision(decision(each))) for each in range(600)]
    await asyncio.sleep(0)
    await ledger.close()
    assert {link.seq for link in await asyncio.gather(*tasks)} == set(range(1, 601))


async def test_a_caller_that_goes_away_takes_nobody_with_it(ledger: Ledger) -> None:
    tasks = [asyncio.create_task(ledger.record_decision(decision(each))) for each in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each).__name__ for each in outcomes] == ["Link", "CancelledError", "Link"]
    assert (await ledger.verify()).intact


async def test_more_than_can_wait_is_refused_at_once(ledger: Ledger) -> None:
    outcomes = await asyncio.gather(
        *(ledger.record_decision(decision(each)) for each in range(MAX_WAITING + 5)), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, LedgerLocked)]
    assert len(refused) == 5
    assert refused[0].code == "queue-full"
    assert (await ledger.read_head()).seq == MAX_WAITING


async def test_a_ledger_of_a_newer_program_is_left_alone(url: str) -> None:
    await (await open_ledger(url)).close()
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)) as connection:
            connection.execute("INSERT INTO ledger_migrations VALUES (99)")
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("INSERT INTO ledger_migrations VALUES (99)")
    for read_only in (False, True):
        with pytest.raises(LedgerIncompatible):
            await open_ledger(url, read_only=read_only)


async def test_reading_makes_no_tables(url: str) -> None:
    if url.startswith("sqlite"):
        write(Path(url.removeprefix("sqlite://")), b"")
    with pytest.raises(LedgerIncompatible):
        await open_ledger(url, read_only=True)
    tables = "sqlite_master" if url.startswith("sqlite") else "pg_tables WHERE schemaname = current_schema()"
    assert look(url, f"SELECT count(*) FROM {tables}") == [(0,)]


async def test_a_ledger_that_is_opened_for_reading_is_not_written(url: str) -> None:
    await (await open_ledger(url)).close()
    ledger = await open_ledger(url, read_only=True)
    error = await refuses(ledger, LedgerReadOnly)
    assert error.reason is Reason.LEDGER_READ_ONLY
    assert (await ledger.verify()).intact
    await ledger.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_decisions SET body = '{}'",
        "DELETE FROM ledger_decisions",
        "UPDATE ledger_receipts SET document = '{}'",
        "DELETE FROM ledger_revocations",
        "DELETE FROM ledger_partners",
        "DELETE FROM ledger_chain",
    ],
)
async def test_the_tables_themselves_refuse_to_forget(ledger: Ledger, statement: str) -> None:
    await ledger.record_decision(decision(1), receipt("r"))
    await ledger.merge_revocations(RELATION, revocations("a"))
    assert isinstance(ledger, SQLLedger)
    with pytest.raises(LedgerConflict):
        await ledger._writer.write(lambda session: session.run(statement))
    assert (await ledger.verify()).intact


# --- SQLite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


async def open_file(path: Path) -> SQLLedger:
    ledger = await open_ledger(f"sqlite://{path}", lock_seconds=0.1)
    assert isinstance(ledger, SQLLedger)
    return ledger


async def test_a_full_disk_is_a_refusal_and_afterwards_it_goes_on(path: Path) -> None:
    ledger = await open_file(path)
    await ledger.record_decision(decision(1), receipt("r-1"))
    ((pages,),) = await ledger._writer.read(lambda session: session.run("PRAGMA page_count"))
    await ledger._writer.read(lambda session: session.run(f"PRAGMA max_page_count = {pages}"))
    big = {"text": "x" * 100_000}
    outcomes = await asyncio.gather(
        *(ledger.record_decision({**big, "number": each}, receipt(f"big-{each}")) for each in range(3)),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes] == [LedgerFull] * 3
    assert isinstance(outcomes[0], LedgerFull)
    assert (outcomes[0].reason, outcomes[0].code) == (Reason.LEDGER_FULL, "SQLITE_FULL")
    assert (await ledger.verify()).head.seq == 1
    await ledger._writer.read(lambda session: session.run("PRAGMA max_page_count = 1000000"))
    assert (await ledger.record_decision(big, receipt("big-1"))).seq == 2
    assert (await ledger.verify()).intact
    await ledger.close()


async def test_a_writer_that_holds_the_file_is_waited_for_not_for_ever(path: Path) -> None:
    ledger = await open_file(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await refuses(ledger, LedgerLocked)).code == "SQLITE_BUSY"
        assert (await ledger.read_head()).seq == 0, "readers are not held up"
        other.execute("ROLLBACK")
    assert (await ledger.record_decision(decision(1))).seq == 1
    await ledger.close()


async def test_a_file_that_is_no_ledger_is_left_alone(path: Path) -> None:
    write(path, NOTES)
    with pytest.raises(LedgerIncompatible):
        await open_file(path)
    assert read(path) == NOTES


async def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE notes (text)")
    before = read(path)
    with pytest.raises(LedgerIncompatible):
        await open_file(path)
    assert read(path) == before


async def test_damaged_pages_are_found(path: Path) -> None:
    ledger = await open_file(path)
    await asyncio.gather(*(ledger.record_decision(decision(each)) for each in range(500)))
    await ledger.close()
    content = bytearray(read(path))
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    write(path, content)
    again = await open_file(path)
    assert not (await again.verify()).intact
    await again.close()


async def test_a_folder_that_is_not_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        await open_file(tmp_path / "absent" / "ledger.db")


async def test_the_file_is_its_owners_alone(path: Path) -> None:
    ledger = await open_file(path)
    await ledger.record_decision(decision(1))
    assert [each.stat().st_mode & 0o077 for each in path.parent.iterdir()] == [0, 0, 0], "the log's files too"
    await ledger.close()


async def test_a_file_that_was_moved_away_is_not_written_into_the_void(path: Path) -> None:
    ledger = await open_file(path)
    await ledger.record_decision(decision(1))
    move(path, path.parent / "aside.db")
    assert (await refuses(ledger, LedgerUnavailable)).code == "file-replaced"
    assert [each.name for each in path.parent.iterdir() if each.suffix == ".db"] == ["aside.db"]
    move(path.parent / "aside.db", path)
    assert (await ledger.record_decision(decision(2))).seq == 2
    assert (await ledger.verify()).intact
    await ledger.close()


async def test_what_is_committed_waits_for_the_disk(path: Path) -> None:
    ledger = await open_file(path)
    for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
        found = await ledger._writer.read(lambda session, name=pragma: session.run(f"PRAGMA {name}"))  # type: ignore[misc]
        assert found == [(value,)]
    await ledger.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
async def test_a_file_without_write_permission_is_read_only(path: Path) -> None:
    await (await open_file(path)).close()
    protect(path)
    with pytest.raises(LedgerReadOnly):
        await open_file(path)


# --- PostgreSQL


@pytest.fixture
def place(postgresql: Server) -> str:
    return postgresql.make_place()


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", LedgerFull),
        ("40P01", LedgerLocked),
        ("57014", LedgerLocked),
        ("25006", LedgerReadOnly),
        ("42501", LedgerReadOnly),
        ("XX001", LedgerDamaged),
        ("42703", LedgerIncompatible),
        ("23514", LedgerConflict),
        ("57P03", LedgerUnavailable),
        ("58030", LedgerUnavailable),
    ],
)
async def test_what_the_server_says_becomes_one_word_and_nothing_is_half_done(
    place: str, state: str, kind: type[LedgerError]
) -> None:
    ledger = await open_ledger(place, lock_seconds=0.2)
    await ledger.record_decision(decision(1), receipt("r-1"))
    raising = (
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'a secret ~!' USING ERRCODE = '{state}'; END $$"
    )
    with psycopg.connect(place, autocommit=True) as server:
        server.execute(raising.encode())
        for table in ("ledger_receipts", "ledger_revocations"):
            server.execute(f"CREATE TRIGGER failing AFTER INSERT ON {table} EXECUTE FUNCTION fail()".encode())
    error = await refuses(ledger, kind)
    assert error.code == state
    assert look(place, COUNTS) == [(1, 1, 1)]
    assert await ledger.partner_head(RELATION) is None
    with psycopg.connect(place, autocommit=True) as server:
        server.execute("DROP FUNCTION fail() CASCADE")
    assert (await ledger.record_decision(decision(2), receipt("r-2"))).seq == 2
    assert (await ledger.verify()).intact
    await ledger.close()


async def test_a_replica_that_holds_the_chain_is_waited_for_not_for_ever(place: str) -> None:
    ledger = await open_ledger(place, lock_seconds=0.2)
    with psycopg.connect(place) as other:
        other.execute("SELECT * FROM ledger_chain FOR UPDATE")
        with pytest.raises(LedgerLocked) as caught:
            await ledger.record_decision(decision(1))
        assert caught.value.code == "55P03"
        assert (await ledger.read_head()).seq == 0
    assert (await ledger.record_decision(decision(1))).seq == 1
    await ledger.close()


async def test_a_connection_that_was_cut_is_made_anew(place: str, postgresql: Server) -> None:
    ledger = await open_ledger(place, lock_seconds=0.2)
    for number in range(1, 4):
        await ledger.record_decision(decision(number))
        await ledger.read_head()
        with postgresql.connect() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'bilateral ledger'"
            )
    assert (await ledger.record_decision(decision(9))).seq == 4
    assert (await ledger.verify()).intact
    await ledger.close()


async def test_a_server_that_is_read_only_is_said_to_be(place: str) -> None:
    await (await open_ledger(place)).close()
    ledger = await open_ledger(f"{place}%20-cdefault_transaction_read_only%3Don")
    assert (await refuses(ledger, LedgerReadOnly)).code == "25006"
    await ledger.close()


async def test_a_server_that_may_be_written_again_is_found_so(place: str, postgresql: Server) -> None:
    ledger = await open_ledger(place)
    with postgresql.connect() as other:
        other.execute("ALTER ROLE ledger SET default_transaction_read_only = on")
        try:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'bilateral ledger'"
            )
            for _ in range(2):
                assert (await refuses(ledger, LedgerReadOnly)).code == "25006"
        finally:
            other.execute("ALTER ROLE ledger RESET default_transaction_read_only")
    assert (await ledger.record_decision(decision(1))).seq == 1
    await ledger.close()


async def test_what_is_committed_waits_for_the_servers_disk(place: str) -> None:
    ledger = await open_ledger(f"{place}%20-csynchronous_commit%3Doff")
    assert isinstance(ledger, SQLLedger)
    found = await ledger._writer.read(lambda session: session.run("SHOW synchronous_commit"))
    assert found == [("on",)]
    await ledger.close()


async def test_replicas_that_start_at_once_migrate_once(place: str) -> None:
    ledgers = await asyncio.gather(*(open_ledger(place) for _ in range(4)))
    assert look(place, "SELECT number FROM ledger_migrations") == [(1,)]
    for ledger in ledgers:
        await ledger.close()


async def test_a_wrong_password_is_no_way_in_and_in_no_text(
    place: str, postgresql: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = place.replace(postgresql.password, "hunter2~!")
    with pytest.raises(LedgerUnavailable) as caught:
        await open_ledger(wrong)
    shown = f"{caught.value!r} {caught.value} {caught.value.__context__} {caplog.text} {capfd.readouterr()}"
    assert "hunter2" not in shown
    assert f"the ledger postgresql://127.0.0.1:{postgresql.port}/postgres cannot be reached" in shown
