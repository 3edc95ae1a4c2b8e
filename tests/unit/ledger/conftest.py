"""A ledger of each kind, empty, for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from support.postgresql import Server, require_programs, run_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    with run_server(require_programs()) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/ledger.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.make_place()


@pytest_asyncio.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    opened = await open_ledger(url, lock_seconds=0.3)
    yield opened
    await opened.close()
