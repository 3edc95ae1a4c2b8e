"""A ledger in one SQLite file: the default, for one replica.

Write-ahead log, ``synchronous=FULL`` (what is committed is on the disk), one writer at a time. The file
is made readable by its owner only. While the file is not under its name any more, nothing is read or
written: it would go into a file that nobody finds again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from bilateral.ledger.database import Row, Session, Value
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

T = TypeVar("T")

APPLICATION_ID = 0x62696C61  # "bila": what file(1) and we recognise the file by
_ERRORS: dict[int, type[LedgerError]] = {
    sqlite3.SQLITE_BUSY: LedgerLocked,
    sqlite3.SQLITE_LOCKED: LedgerLocked,
    sqlite3.SQLITE_FULL: LedgerFull,
    sqlite3.SQLITE_READONLY: LedgerReadOnly,
    sqlite3.SQLITE_CORRUPT: LedgerDamaged,
    sqlite3.SQLITE_NOTADB: LedgerIncompatible,
    sqlite3.SQLITE_CONSTRAINT: LedgerConflict,
    sqlite3.SQLITE_ERROR: LedgerIncompatible,  # no such table
}


class SQLiteSession:
    """One transaction of one connection."""

    is_postgresql = False

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self._connection = connection
        self.place = place

    def run(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        return self._connection.execute(sql.replace("%s", "?"), values).fetchall()

    def run_held(self, select: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run a SELECT; a transaction that writes has the whole file anyway."""
        return self.run(select, values)

    def run_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each row of values."""
        return max(0, self._connection.executemany(sql.replace("%s", "?"), rows).rowcount)


class SQLiteDatabase:
    """One connection to one file; ``lock_seconds`` is how long another writer is waited for."""

    def __init__(self, path: Path, *, place: str, read_only: bool = False, lock_seconds: float = 5.0) -> None:
        self._path = path
        self.place = place
        self._read_only = read_only
        self._lock_seconds = lock_seconds
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def write(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` in one transaction that has the file to itself."""
        return self._transaction("BEGIN IMMEDIATE", work)

    def read(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` on one unchanging state of the file."""
        return self._transaction("BEGIN", work)

    def is_sound(self) -> bool:
        """Whether SQLite finds pages and indexes in order."""
        try:
            answer = self.read(lambda session: session.run("PRAGMA integrity_check(1)"))
        except LedgerDamaged:
            return False
        return answer == [("ok",)]

    def close(self) -> None:
        """End the connection; the last one folds the write-ahead log into the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _transaction(self, begin: str, work: Callable[[Session], T]) -> T:
        try:
            connection = self._connected()
            connection.execute(begin)
            try:
                result = work(SQLiteSession(connection, self.place))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            refusal = self._translate(error)
        else:
            return result
        # Outside the handler, so that SQLite's text does not travel along as the error's context.
        raise refusal

    def _connected(self) -> sqlite3.Connection:
        if self._file is not None and self._identity() != self._file:
            raise LedgerUnavailable(self.place, "file-replaced")
        if self._connection is not None:
            return self._connection
        if self._file is None and not self._read_only:
            self._make_file()
        mode = "ro" if self._read_only else "rw"
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode={mode}",
            uri=True,
            timeout=self._lock_seconds,
            isolation_level=None,
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, self._identity()
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found != APPLICATION_ID and (found or tables):
            raise LedgerIncompatible(self.place)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        if self._read_only:
            return
        if found != APPLICATION_ID:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    def _make_file(self) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except PermissionError:
            raise LedgerReadOnly(self.place) from None
        except OSError as error:
            kind = LedgerReadOnly if error.errno == 30 else LedgerUnavailable  # EROFS
            raise kind(self.place) from None

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _translate(self, error: sqlite3.Error) -> LedgerError:
        code = getattr(error, "sqlite_errorcode", None)
        name = getattr(error, "sqlite_errorname", None)
        kind = _ERRORS.get(code & 0xFF, LedgerUnavailable) if isinstance(code, int) else LedgerUnavailable
        if kind in {LedgerUnavailable, LedgerDamaged}:
            self.close()
        return kind(self.place, name if isinstance(name, str) else None)
