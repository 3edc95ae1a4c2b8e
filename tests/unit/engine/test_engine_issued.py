"""The writer of issued records: true only when it is written, and many at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bilateral.engine.api import APIError
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.issued import LOOK_SECONDS, IssuedRecords
from bilateral.engine.metrics import Metrics
from bilateral.engine.queue import WorkQueue
from bilateral.engine.secrets import SecretWriter
from bilateral.engine.terms import AUTHORITIES
from bilateral.reconcile.issued import IssuedEntry, Owner, Shard, parse_shard
from bilateral.resources.trustdomain import TrustDomain

from .conftest import FakeClock
from .memory import MemoryAPI

NOW = 1_795_000_000
OWNER = Owner("WorkloadIdentity", "uid-1", "client1")
ENTRY = IssuedEntry(1, "CN=client1", NOW + 1000, "org-a-ca-0", OWNER)


class Scene:
    def __init__(self) -> None:
        self.api = MemoryAPI()
        self.api.delay = True
        self.cache = Cache()
        self.clock = FakeClock()
        self.queue: WorkQueue[Key] = WorkQueue(self.clock)
        self.records = self._records(self.cache)
        self.domain = TrustDomain.parse(
            self.api.add(
                "trustdomains", {"metadata": {"name": "org-a"}, "spec": {"kernelId": "org-a-kernel"}}
            )
        )

    def another(self) -> IssuedRecords:
        """As it is after a restart: everything from the cache."""
        cache = Cache()
        for (plural, _), obj in self.api.objects.items():
            if plural == "secrets":
                cache.put(Kind.SECRET, obj)
        return self._records(cache)

    def _records(self, cache: Cache) -> IssuedRecords:
        return IssuedRecords(cache, SecretWriter(self.api, cache, Metrics()), self.queue, self.clock)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def numbered(count: int, start: int = 1) -> list[IssuedEntry]:
    return [replace(ENTRY, serial=number) for number in range(start, start + count)]


async def test_what_was_recorded_is_there_after_a_restart(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, [ENTRY])
    assert scene.records.entries(scene.domain) == (ENTRY,)
    assert scene.another().entries(scene.domain) == (ENTRY,)
    assert scene.queue.statistics().waiting == 1
    scene.clock.advance(LOOK_SECONDS)
    assert await scene.queue.get() == Key(AUTHORITIES, "trust", "org-a")


async def test_nothing_to_record_is_no_write(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, [])
    assert scene.api.writes == []


async def test_a_thousand_issuances_are_few_writes(scene: Scene) -> None:
    done = await asyncio.gather(*(scene.records.record(scene.domain, [each]) for each in numbered(1000)))
    assert all(done)
    assert len(scene.api.writes) <= 10  # its shards, the first of them with the first entry too
    assert {entry.serial for entry in scene.another().entries(scene.domain)} == set(range(1, 1001))


async def test_what_was_written_here_is_not_parsed_and_what_others_write_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def parse(data: bytes) -> Shard:
        parsed.append(data)
        return parse_shard(data)

    monkeypatch.setattr("bilateral.engine.issued.parse_shard", parse)
    for entry in numbered(3):
        assert await scene.records.record(scene.domain, [entry])
    assert scene.records.entries(scene.domain) == tuple(numbered(3))
    assert parsed == []
    assert await scene.another().record(scene.domain, numbered(1, 4))
    parsed.clear()
    scene.cache.put(Kind.SECRET, scene.api.objects["secrets", "org-a-issued"])
    assert scene.records.entries(scene.domain) == tuple(numbered(4))
    assert len(parsed) == 1


async def test_many_entries_are_split_and_all_are_found(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, numbered(3000))
    assert await scene.records.record(scene.domain, numbered(10, 5000))
    assert ("secrets", "org-a-issued-1") in scene.api.objects
    assert len(scene.another().entries(scene.domain)) == 3010


async def test_a_name_that_is_taken_records_nothing(scene: Scene) -> None:
    scene.api.add("secrets", {"metadata": {"name": "org-a-issued"}, "data": {}})
    assert not await scene.records.record(scene.domain, [ENTRY])


async def test_an_earlier_shard_that_is_somebody_elses_is_not_one_that_emptied(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, numbered(300))
    taken = scene.api.objects["secrets", "org-a-issued"]
    taken["metadata"]["ownerReferences"] = []
    scene.api.add("secrets", taken)
    records = scene.another()
    assert await records.record(scene.domain, numbered(300, 1000))
    assert {1000, 1299} <= {entry.serial for entry in scene.another().entries(scene.domain)}
    assert scene.api.objects["secrets", "org-a-issued"]["data"] == taken["data"]


async def test_a_failure_is_told_to_everybody_who_waits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        raise APIError(500)

    monkeypatch.setattr(scene.api, "create", fail)
    done = await asyncio.gather(
        *(scene.records.record(scene.domain, [each]) for each in numbered(3)), return_exceptions=True
    )
    assert not any(each is True for each in done)
    monkeypatch.undo()
    assert await scene.records.record(scene.domain, [ENTRY])


async def test_an_outdated_cache_overwrites_nothing(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, [ENTRY])
    other = scene.another()
    assert await other.record(scene.domain, numbered(1, 2))
    assert not await scene.records.record(scene.domain, numbered(1, 3))
    scene.cache.put(Kind.SECRET, scene.api.objects["secrets", "org-a-issued"])
    assert await scene.records.record(scene.domain, numbered(1, 3))
    assert [entry.serial for entry in scene.another().entries(scene.domain)] == [1, 2, 3]


async def test_tidying_withdraws_what_is_nobodys_and_then_writes_nothing(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, numbered(2))
    assert await scene.records.tidy(scene.domain, lambda owner: False, {}, NOW)
    assert [entry.withdrawn_at for entry in scene.another().entries(scene.domain)] == [NOW, NOW]
    writes = len(scene.api.writes)
    assert await scene.records.tidy(scene.domain, lambda owner: False, {}, NOW + 5)
    assert len(scene.api.writes) == writes


async def test_a_secret_of_somebody_elses_is_no_record(scene: Scene) -> None:
    assert await scene.records.record(scene.domain, [ENTRY])
    stranger = scene.domain.model_copy(
        update={"metadata": scene.domain.metadata.model_copy(update={"uid": "another"})}
    )
    assert scene.another().entries(stranger) == ()
    assert Key(Kind.SECRET, "trust", "org-a-issued") in scene.cache
