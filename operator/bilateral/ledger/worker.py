"""One thread for one database: whatever is asked of it is done in turn, outside the event loop.

A caller that is cancelled does not cancel the work: a transaction that was begun ends on its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bilateral.ledger.database import Database, Session
from bilateral.ledger.errors import LedgerUnavailable

T = TypeVar("T")


class Worker:
    """Runs transactions of ``database`` in its own thread."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"ledger-{name}")
        self._closed = False

    async def write(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` in one durable transaction."""
        return await self.run(lambda database: database.write(work))

    async def read(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` on one unchanging state."""
        return await self.run(lambda database: database.read(work))

    async def run(self, work: Callable[[Database], T]) -> T:
        """Do ``work`` with the database, in its thread."""
        if self._closed:
            raise LedgerUnavailable(self.database.place, "closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, self.database)

    async def close(self) -> None:
        """Finish what was asked for, then end the connection and the thread."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._threads, self.database.close)
        self._threads.shutdown()
