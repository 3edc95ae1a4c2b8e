"""What the ledger needs of a database: transactions of short, synchronous work.

The same statements run on SQLite and PostgreSQL. They are written with ``%s`` for a value, use what
both understand (``ON CONFLICT``), and hold the row that serialises writers with
:meth:`Session.run_held`.

Rules for an implementation: a transaction is done whole or not at all; whatever goes wrong is raised
as a :class:`~bilateral.ledger.errors.LedgerError`; a database is used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from bilateral.ledger.errors import LedgerDamaged

T = TypeVar("T")
Value: TypeAlias = str | int | None
Row: TypeAlias = tuple[object, ...]


class Session(Protocol):
    """One transaction, while it lasts."""

    @property
    def place(self) -> str:
        """How the ledger is spoken of."""
        ...

    @property
    def is_postgresql(self) -> bool:
        """Whether migrations are to be written in PostgreSQL's dialect."""
        ...

    def run(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return its rows, if it has any."""
        ...

    def run_held(self, select: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run a SELECT and hold its rows for this transaction alone until it is over."""
        ...

    def run_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each row of values, and return how many rows were touched in all."""
        ...


class Database(Protocol):
    """A connection that is made when it is first needed, and again after it broke."""

    @property
    def place(self) -> str:
        """How the ledger is spoken of."""
        ...

    def write(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` in one durable transaction."""
        ...

    def read(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` on one unchanging state of the database."""
        ...

    def is_sound(self) -> bool:
        """Whether the database finds its own files in order, where it can tell."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def text(session: Session, value: object) -> str:
    """A column that holds text. Raises :class:`LedgerDamaged` when it does not."""
    if not isinstance(value, str):
        raise LedgerDamaged(session.place)
    return value


def number(session: Session, value: object) -> int:
    """A column that holds a whole number. Raises :class:`LedgerDamaged` when it does not."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise LedgerDamaged(session.place)
    return value
