"""The issued records of our TrustDomains: read from the cache, written before what they tell of leaves.

Rules:

- :meth:`IssuedRecords.record` returns true only when the API server holds the entries. Whoever gets
  false lets nothing leave, and signs anew later: the record may then name a certificate that never
  was anywhere, which harms nobody.
- Group commit: what comes while a write is under way goes out together with the next one.
- Shards are written at the version that they were read at: of two writers none overwrites the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import Clock
from bilateral.engine.log import Log
from bilateral.engine.queue import WorkQueue
from bilateral.engine.secrets import SecretWriter, view_of
from bilateral.engine.terms import AUTHORITIES
from bilateral.reconcile.issued import (
    ISSUED_KEY,
    MAX_SHARD_BYTES,
    MAX_SHARDS,
    IssuedEntry,
    Owner,
    Shard,
    append,
    expire,
    is_worth_writing,
    parse_shard,
    withdraw,
)
from bilateral.reconcile.outcome import WrittenSecret
from bilateral.resources.trustdomain import TrustDomain

LOOK_SECONDS = 1.0
"""After a record was written, its owners are compared with what there is."""

log = Log("issued")


@dataclass(slots=True)
class _Batch:
    entries: list[IssuedEntry] = field(default_factory=list)
    written: bool | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    version: str | None
    shard: Shard
    data: bytes
    ours: bool = True


class IssuedRecords:
    """What the authorities of every TrustDomain signed."""

    def __init__(self, cache: Cache, secrets: SecretWriter, queue: WorkQueue[Key], clock: Clock) -> None:
        self._cache = cache
        self._secrets = secrets
        self._queue = queue
        self._clock = clock
        self._open: dict[Key, _Batch] = {}
        self._turns: dict[Key, asyncio.Lock] = {}
        self._held: dict[Key, _Held] = {}

    async def record(self, domain: TrustDomain, entries: Sequence[IssuedEntry]) -> bool:
        """Write entries; true when they are there. Raises APIError as the writer does."""
        if not entries:
            return True
        key = _key_of(domain)
        batch = self._open.setdefault(key, _Batch())
        batch.entries.extend(entries)
        async with self._turn(key):
            if batch.written is None:  # nobody who came with the same batch has written it
                if self._open.get(key) is batch:
                    del self._open[key]
                batch.written = False  # also where the write ends in an error, for those who wait
                shards = self._shards(domain)
                sizes = [
                    len(held.data) if held.ours or held is shards[-1] else MAX_SHARD_BYTES for held in shards
                ]
                changed = append([held.shard for held in shards], sizes, batch.entries)
                batch.written = await self._write(domain, changed)
                # An owner may have gone meanwhile: its deletion was looked at before there was an entry.
                authorities = Key(AUTHORITIES, domain.metadata.namespace, domain.metadata.name)
                self._queue.add(authorities, due=self._clock.monotonic() + LOOK_SECONDS)
            return batch.written

    def entries(self, domain: TrustDomain) -> tuple[IssuedEntry, ...]:
        """Every entry of a TrustDomain, as the cache has it."""
        return tuple(entry for held in self._shards(domain) for entry in held.shard.entries)

    async def tidy(
        self,
        domain: TrustDomain,
        is_owned: Callable[[Owner], bool],
        listed: Mapping[str, Collection[int]],
        now: int,
    ) -> bool:
        """Withdraw what belongs to nobody any more, and leave out what is over; true when all is written."""
        async with self._turn(_key_of(domain)):
            changed: dict[int, Shard] = {}
            for number, held in enumerate(self._shards(domain)):
                marked = withdraw(held.shard, is_owned, now)
                left = expire(marked, listed, now)
                if marked != held.shard or is_worth_writing(marked, left):
                    changed[number] = left
            return await self._write(domain, changed)

    def _turn(self, key: Key) -> asyncio.Lock:
        return self._turns.setdefault(key, asyncio.Lock())

    async def _write(self, domain: TrustDomain, changed: Mapping[int, Shard]) -> bool:
        for number, shard in changed.items():
            if number >= MAX_SHARDS:
                log.warning(
                    "the issued record is full",
                    namespace=domain.metadata.namespace,
                    name=domain.metadata.name,
                )
                return False
            wanted = WrittenSecret(_shard_name(domain, number), {ISSUED_KEY: shard.to_bytes()})
            if not await self._secrets.write(domain, wanted):
                return False
            name = Key(Kind.SECRET, domain.metadata.namespace, wanted.name)
            self._held[name] = _Held(None, shard, wanted.data[ISSUED_KEY])  # not to be parsed when it is read
        return True

    def _shards(self, domain: TrustDomain) -> list[_Held]:
        """The shards in the cache; each version is parsed once, and what was written here not at all."""
        found: list[_Held] = []
        while len(found) < MAX_SHARDS:
            key = Key(Kind.SECRET, domain.metadata.namespace, _shard_name(domain, len(found)))
            version = self._cache.resource_version(key)
            if version is None:
                self._held.pop(key, None)
                break
            held = self._held.get(key)
            if held is None or held.version != version:
                raw = self._cache.raw(key)
                view = None if raw is None else view_of(raw)
                ours = view is not None and view.owner_uid == domain.metadata.uid
                data = view.data.get(ISSUED_KEY, b"") if ours and view is not None else b""
                shard = held.shard if held is not None and held.data == data else parse_shard(data)
                held = self._held[key] = _Held(version, shard, data, ours)
            found.append(held)
        return found


def _key_of(domain: TrustDomain) -> Key:
    return Key(Kind.TRUST_DOMAIN, domain.metadata.namespace, domain.metadata.name)


def _shard_name(domain: TrustDomain, number: int) -> str:
    name = domain.issued_secret_name
    return name if number == 0 else f"{name}-{number}"
