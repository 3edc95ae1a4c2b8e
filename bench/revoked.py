"""A million revocations in a process of its own, for ``policy.py``: one line of JSON on what they take.

    PYTHONPATH=. python bench/revoked.py NUMBER

In memory: how fast one is looked up, known or not, and what the set adds to the process. On disk: what a replica does
at its start with a ledger in SQLite that has so many of one partner, and what 1,000 more take, as one page of a feed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bilateral.engine.clock import SystemClock
from bilateral.engine.revocations import RevocationNews
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Relation, Revocation
from bilateral.protocol.revocation_set import RevocationSet

_PAGE: Final = 1000
_PROBES: Final = 100_000
_RELATION: Final = Relation("org-b-kernel", "org-a-kernel")


def capability_id(number: int) -> str:
    """An id of the length that ids have."""
    return f"cap-0192a4f0-7c1e-7b3a-9d55-{number:012d}"


def resident_bytes() -> int:
    """How much memory the process has now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def size_of(directory: Path) -> int:
    """How many bytes the files have."""
    return sum(each.stat().st_size for each in directory.iterdir())


def look_up_us(revoked: RevocationSet, ids: list[str], rounds: int = 7) -> float:
    """The median of some rounds, for one look-up, the loop around it included."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        for each in ids:
            revoked.is_revoked("org-a", each)
        taken.append((time.process_time() - started) / len(ids))
    return statistics.median(taken) * 1e6


def measure_memory(number: int) -> dict[str, float]:
    """Fill a set, and look up."""
    revoked = RevocationSet()
    gc.collect()
    before = resident_bytes()
    started = time.process_time()
    revoked.merge("org-a", (capability_id(each) for each in range(number)))
    filled = time.process_time() - started
    gc.collect()
    held = resident_bytes() - before
    step = max(1, number // _PROBES)
    known = [capability_id(each) for each in range(0, number, step)]
    unknown = [capability_id(each + number) for each in range(0, number, step)]
    few = RevocationSet()
    few.merge("org-a", known[:10])
    return {
        "memory_mb": held / 1e6,
        "fill_seconds": filled,
        "known_us": look_up_us(revoked, known),
        "unknown_us": look_up_us(revoked, unknown),
        "few_us": look_up_us(few, unknown),
    }


async def measure_disk(number: int, directory: Path) -> dict[str, float]:
    """Keep them, start anew, and add a page."""
    url = f"sqlite:///{directory}/ledger.db"
    ledger = await open_ledger(url)
    started = time.perf_counter()
    for first in range(0, number, _PAGE):
        page = [Revocation(capability_id(each), 1) for each in range(first, min(first + _PAGE, number))]
        await ledger.merge_revocations(_RELATION, page)
    kept = time.perf_counter() - started
    await ledger.close()
    size = size_of(directory)
    gc.collect()
    before = resident_bytes()
    ledger = await open_ledger(url)
    news = RevocationNews(ledger, SystemClock())
    started = time.perf_counter()
    await news.load(_RELATION)
    loaded = time.perf_counter() - started
    gc.collect()
    if news.count(_RELATION) != number:
        raise RuntimeError("not every revocation was loaded")
    held = resident_bytes() - before
    taken = []
    for page_number in range(5):
        first = number + page_number * _PAGE
        ids = tuple(capability_id(each) for each in range(first, first + _PAGE))
        started = time.perf_counter()
        await news.merge_lesser(_RELATION, ids, 2)
        taken.append(time.perf_counter() - started)
    await ledger.close()
    return {
        "store_seconds": kept,
        "disk_mb": size / 1e6,
        "start_seconds": loaded,
        "start_memory_mb": held / 1e6,
        "page_ms": statistics.median(taken) * 1e3,
    }


if __name__ == "__main__":
    _number = int(sys.argv[1])
    _measured = measure_memory(_number)
    with tempfile.TemporaryDirectory(prefix="bilateral-bench-revoked-") as _folder:
        _measured |= asyncio.run(measure_disk(_number, Path(_folder)))
    print(json.dumps(_measured))
