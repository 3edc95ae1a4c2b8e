"""Taking turns: what partners send about one object is dealt with one after another, here at this replica."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bilateral.engine.cache import Key


class Turns:
    """One at a time for each key: of a hundred copies of an envelope, the first is judged first."""

    def __init__(self) -> None:
        self._locks: dict[Key, asyncio.Lock] = {}
        self._users: Counter[Key] = Counter()

    @asynccontextmanager
    async def take(self, key: Key) -> AsyncIterator[None]:
        """Wait for our turn with ``key``."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]
