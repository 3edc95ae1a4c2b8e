"""A ledger in PostgreSQL: for several replicas at once.

Writers are serialised by the row that they lock, across replicas; a commit is answered when it is on the
server's disk. A connection that broke while nothing was committed is made anew and the work done again,
once; one that broke during the commit is an error, because nobody knows what became of it. One that may
not write counts as broken: after a failover another leads to the server that may.

Imported only where such a ledger is opened: psycopg is an extra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bilateral.ledger.database import Row, Session, Value
from bilateral.ledger.errors import (
    LedgerConflict,
    LedgerDamaged,
    LedgerError,
    LedgerFull,
    LedgerIncompatible,
    LedgerLocked,
    LedgerMisconfigured,
    LedgerReadOnly,
    LedgerUnavailable,
)
from bilateral.ledger.urls import PostgreSQLLocation

T = TypeVar("T")

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30

# The first that is a prefix of the SQLSTATE counts (PostgreSQL, appendix A).
_ERRORS: tuple[tuple[str, type[LedgerError]], ...] = (
    ("53100", LedgerFull),
    ("55P03", LedgerLocked),
    ("40", LedgerLocked),
    ("57014", LedgerLocked),
    ("25006", LedgerReadOnly),
    ("42501", LedgerReadOnly),
    ("23", LedgerConflict),
    ("XX", LedgerDamaged),
    ("42", LedgerIncompatible),
    ("22", LedgerIncompatible),
)


class PostgreSQLSession:
    """One transaction of one connection."""

    is_postgresql = True

    def __init__(self, connection: psycopg.Connection[Row], place: str) -> None:
        self._connection = connection
        self.place = place

    def run(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def run_held(self, select: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run a SELECT and lock its rows."""
        return self.run(select + " FOR UPDATE", values)

    def run_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each row of values, all of them on their way at once."""
        with self._connection.cursor() as cursor:
            cursor.executemany(sql.encode(), rows)
            return max(0, cursor.rowcount)


class PostgreSQLDatabase:
    """One connection to one server; ``lock_seconds`` is how long another writer is waited for."""

    def __init__(
        self, location: PostgreSQLLocation, *, read_only: bool = False, lock_seconds: float = 5.0
    ) -> None:
        self.place = location.place
        self._read_only = read_only
        self._lock_seconds = lock_seconds
        self._connection: psycopg.Connection[Row] | None = None
        try:
            settings = conninfo_to_dict(location.url)
        except psycopg.Error:
            raise LedgerMisconfigured(self.place, "expected a connection URL of PostgreSQL") from None
        if not location.is_local:
            settings.setdefault("sslmode", "verify-full")
        settings.setdefault("connect_timeout", CONNECT_SECONDS)
        settings.setdefault("application_name", "bilateral ledger")
        self._settings = {**settings, "client_encoding": "UTF8"}

    def write(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` in one transaction, durable on the server's disk."""
        return self._transaction("BEGIN ISOLATION LEVEL READ COMMITTED", work)

    def read(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` on one unchanging state of the database."""
        return self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)

    def is_sound(self) -> bool:
        """PostgreSQL reports damage where it meets it; there is nothing to ask."""
        return True

    def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _transaction(self, begin: str, work: Callable[[Session], T]) -> T:
        was_open = self._connection is not None
        committing = False
        try:
            connection = self._connected()
            connection.execute(begin.encode())
            result = work(PostgreSQLSession(connection, self.place))
            committing = True
            self._commit(connection)
        except psycopg.Error as error:
            refusal = self._translate(error)
            again = self._end_transaction() and was_open and not committing
        except BaseException:
            self._end_transaction()
            raise
        else:
            return result
        # Outside the handler, so that the server's text does not travel along as the error's context.
        if again:
            return self._transaction(begin, work)
        raise refusal

    def _commit(self, connection: psycopg.Connection[Row]) -> None:
        # A transaction that cannot be committed any more is "committed" by rolling it back.
        if connection.execute(b"COMMIT").statusmessage != "COMMIT":
            raise LedgerUnavailable(self.place, "rolled-back")

    def _end_transaction(self) -> bool:
        """Roll back what is open; say whether the connection is gone (and then forget it)."""
        connection = self._connection
        if connection is None:
            return True
        with suppress(psycopg.Error):
            if not connection.closed:
                connection.execute(b"ROLLBACK")
        if connection.closed or connection.broken:
            self.close()
            return True
        return False

    def _connected(self) -> psycopg.Connection[Row]:
        if self._connection is not None:
            return self._connection
        connection: psycopg.Connection[Row] = psycopg.connect(
            **self._settings,  # type: ignore[arg-type]
            autocommit=True,
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _set_up(self, connection: psycopg.Connection[Row]) -> None:
        found = connection.execute(
            "SELECT current_setting('server_encoding'), current_setting('synchronous_commit')"
        ).fetchone()
        encoding, durability = found if found is not None else (None, None)
        if encoding != "UTF8":
            raise LedgerIncompatible(self.place, "server_encoding")
        if durability == "off":
            connection.execute("SET synchronous_commit = 'on'")
        for name, seconds in (
            ("lock_timeout", self._lock_seconds),
            ("statement_timeout", STATEMENT_SECONDS + self._lock_seconds),
            # A replica whose machine stopped in mid-transaction does not hold the chain for good.
            ("idle_in_transaction_session_timeout", STATEMENT_SECONDS),
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (name, str(int(seconds * 1000))))
        if self._read_only:
            connection.execute("SET default_transaction_read_only = on")

    def _translate(self, error: psycopg.Error) -> LedgerError:
        state = error.sqlstate
        if state is None:
            return LedgerUnavailable(self.place)
        kind = next((kind for prefix, kind in _ERRORS if state.startswith(prefix)), LedgerUnavailable)
        if kind is LedgerReadOnly:
            # It may lead to a server that no longer is the first, or be of a moment that is over.
            self.close()
        return kind(self.place, state)
