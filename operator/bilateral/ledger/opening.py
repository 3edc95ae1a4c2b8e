"""Opening a ledger by its URL."""

from __future__ import annotations

from bilateral.ledger.database import Database
from bilateral.ledger.errors import LedgerMisconfigured
from bilateral.ledger.interface import Ledger
from bilateral.ledger.sqlite import SQLiteDatabase
from bilateral.ledger.store import SQLLedger
from bilateral.ledger.urls import PostgreSQLLocation, SQLiteLocation, parse_ledger_url

LOCK_SECONDS = 5.0


async def open_ledger(url: str, *, read_only: bool = False, lock_seconds: float = LOCK_SECONDS) -> Ledger:
    """Open the ledger at ``url``, made or migrated where it is needed; close it with ``close``.

    ``read_only`` changes nothing, not even an old version's tables: they are refused. ``lock_seconds``
    is how long a writer waits for another. Raises :class:`~bilateral.ledger.errors.LedgerError`.
    """
    location = parse_ledger_url(url)
    writer = _connect(location, read_only=read_only, lock_seconds=lock_seconds)
    reader = _connect(location, read_only=True, lock_seconds=lock_seconds)
    ledger = SQLLedger(writer, reader)
    try:
        if read_only:
            await ledger.require_prepared()
        else:
            await ledger.prepare()
    except BaseException:
        await ledger.close()
        raise
    return ledger


def _connect(
    location: SQLiteLocation | PostgreSQLLocation, *, read_only: bool, lock_seconds: float
) -> Database:
    if isinstance(location, SQLiteLocation):
        return SQLiteDatabase(
            location.path, place=location.place, read_only=read_only, lock_seconds=lock_seconds
        )
    try:
        from bilateral.ledger.postgresql import PostgreSQLDatabase  # noqa: PLC0415 - an extra
    except ImportError:
        raise LedgerMisconfigured(location.place, "install bilateral[postgresql]") from None
    return PostgreSQLDatabase(location, read_only=read_only, lock_seconds=lock_seconds)
