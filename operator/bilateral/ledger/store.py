"""The ledger over a database: which work is done in which transaction, and in which thread.

Two threads, each with a connection of its own: one writes, one reads, so that loading a million
revocations delays no decision. Decisions that arrive while one transaction is being written go into
the next one together: a disk that syncs a hundred times a second still records thousands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from bilateral.ledger import decisions, feeds, partners
from bilateral.ledger.chain import GENESIS, Entry, build_entry
from bilateral.ledger.database import Database
from bilateral.ledger.errors import LedgerDamaged, LedgerIncompatible, LedgerLocked, LedgerUnavailable
from bilateral.ledger.interface import MAX_PAGE
from bilateral.ledger.records import (
    DecisionRecord,
    Evidence,
    FeedEntry,
    FeedHead,
    FeedPage,
    Link,
    PartnerHead,
    Relation,
    Revocation,
)
from bilateral.ledger.schema import is_current, migrate
from bilateral.ledger.verification import (
    ChainCheck,
    Findings,
    Flaw,
    Report,
    check_edges,
    read_feeds,
)
from bilateral.ledger.worker import Worker
from bilateral.protocol.canonical import JSON
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.numbers import SAFE_INTEGER_MAX

MAX_WAITING = 4096
"""Decisions that may wait to be written; more are refused at once."""

BATCH = 256
REVOCATIONS_PART = 20_000
MAX_CAPABILITY_ID = 512


class SQLLedger:
    """A :class:`~bilateral.ledger.interface.Ledger` in a SQL database, through two connections."""

    def __init__(self, writer: Database, reader: Database) -> None:
        self._writer = Worker(writer, "writer")
        self._reader = Worker(reader, "reader")
        self._waiting: list[tuple[Entry, asyncio.Future[Link]]] = []
        self._recording: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def place(self) -> str:
        """Where it is, without user and password."""
        return self._writer.database.place

    async def prepare(self) -> None:
        """Bring the tables to this program's version. Raises LedgerError."""
        if not await self._writer.read(is_current):
            await self._writer.write(migrate)

    async def require_prepared(self) -> None:
        """Refuse a ledger that is not at this program's version; change nothing."""
        if not await self._reader.read(is_current):
            raise LedgerIncompatible(self.place)

    async def record_decision(
        self, body: Mapping[str, JSON], receipt: Mapping[str, JSON] | None = None
    ) -> Link:
        """Add a decision, with the receipt that was given for it, to the chain."""
        entry = build_entry(body, receipt)
        if self._closing:
            raise LedgerUnavailable(self.place, "closed")
        if len(self._waiting) >= MAX_WAITING:
            raise LedgerLocked(self.place, "queue-full")
        answer: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, answer))
        if self._recording is None:
            self._recording = asyncio.create_task(self._record(), name="ledger-recording")
        return await answer

    async def _record(self) -> None:
        """Write what waits, a batch at a time, until nothing does."""
        try:
            while self._waiting:
                batch = self._waiting[:BATCH]
                del self._waiting[:BATCH]
                entries = [entry for entry, _ in batch]
                outcome: Sequence[Link | Exception]
                try:
                    outcome = await self._writer.write(partial(decisions.record_decisions, entries=entries))
                except Exception as error:  # noqa: BLE001 - whatever it is, every caller gets it
                    outcome = [error] * len(batch)
                for (_, answer), result in zip(batch, outcome, strict=True):
                    if answer.done():
                        continue
                    if isinstance(result, Exception):
                        answer.set_exception(result)
                    else:
                        answer.set_result(result)
        finally:
            self._recording = None

    async def read_head(self) -> Link:
        """The last link of the chain."""
        return await self._reader.read(decisions.read_head)

    async def read_decisions(self, after: int = 0, limit: int = MAX_PAGE) -> Sequence[DecisionRecord]:
        """The decisions that follow number ``after``."""
        return await self._reader.read(
            partial(decisions.read_decisions, after=after, limit=min(limit, MAX_PAGE))
        )

    async def find_receipt(self, receipt_id: str) -> Mapping[str, JSON] | None:
        """The receipt with that id."""
        return await self._reader.read(partial(decisions.find_receipt, receipt_id=receipt_id))

    async def append_revocations(
        self, kernel_id: str, expected_size: int, entries: Sequence[FeedEntry], head: FeedHead
    ) -> None:
        """Add to a feed of ours, with the head over all of it."""
        _require_kernel(kernel_id)
        for entry in entries:
            _require_revocation(entry.capability_id, entry.revoked_at)
        await self._writer.write(
            partial(
                feeds.append_revocations,
                kernel_id=kernel_id,
                expected_size=expected_size,
                entries=entries,
                head=head,
            )
        )

    async def feed_head(self, kernel_id: str) -> FeedHead | None:
        """The last head of a feed of ours."""
        return await self._reader.read(partial(feeds.read_feed_head, kernel_id=kernel_id))

    async def feed_page(self, kernel_id: str, start: int, limit: int = MAX_PAGE) -> FeedPage:
        """Entries of a feed of ours from leaf ``start`` on."""
        return await self._reader.read(
            partial(feeds.read_feed_page, kernel_id=kernel_id, start=start, limit=min(limit, MAX_PAGE))
        )

    async def find_feed_entry(self, kernel_id: str, capability_id: str) -> int | None:
        """The leaf index under which a feed of ours revokes a capability."""
        return await self._reader.read(
            partial(feeds.find_feed_entry, kernel_id=kernel_id, capability_id=capability_id)
        )

    async def save_partner_head(self, relation: Relation, head: PartnerHead) -> None:
        """Keep a partner's newest head."""
        await self.merge_revocations(relation, (), head)

    async def partner_head(self, relation: Relation) -> PartnerHead | None:
        """The newest head that was kept of a partner."""
        return await self._reader.read(partial(partners.read_partner_head, relation=relation))

    async def merge_revocations(
        self, relation: Relation, revocations: Sequence[Revocation], head: PartnerHead | None = None
    ) -> int:
        """Add what a partner revoked, together with the head."""
        _require_relation(relation)
        for each in revocations:
            _require_revocation(each.capability_id, each.revoked_at)
        return await self._writer.write(
            partial(partners.merge_revocations, relation=relation, revocations=revocations, head=head)
        )

    async def load_revocations(self, relation: Relation) -> AsyncIterator[Sequence[Revocation]]:
        """Everything that a partner revoked, in parts of a bounded size."""
        after = ""
        while part := await self._reader.read(
            partial(partners.read_revocations, relation=relation, after=after, limit=REVOCATIONS_PART)
        ):
            yield part
            if len(part) < REVOCATIONS_PART:
                return
            after = part[-1].capability_id

    async def keep_evidence(self, relation: Relation, document: Mapping[str, JSON], now: int) -> str:
        """Keep what convicts a partner; return its id."""
        _require_relation(relation)
        return await self._writer.write(
            partial(partners.keep_evidence, relation=relation, document=document, now=now)
        )

    async def load_evidence(self, relation: Relation) -> Sequence[Evidence]:
        """All evidence against a partner."""
        return await self._reader.read(partial(partners.read_evidence, relation=relation))

    async def verify(self, expected: Link | None = None) -> Report:
        """Check everything that is stored."""
        findings = Findings()
        head = Link(0, GENESIS)
        if not await self._reader.run(lambda database: database.is_sound()):
            findings.add("database", "file", Flaw.UNSOUND)
        try:
            head = await self._reader.read(decisions.read_head)
            await self._verify_chain(ChainCheck(head, expected, findings))
            await self._verify_feeds(findings)
        except LedgerDamaged:
            findings.add("database", "file", Flaw.UNREADABLE)
        return findings.report(head)

    async def _verify_chain(self, chain: ChainCheck) -> None:
        while rows := await self._reader.read(chain.read_part):
            await asyncio.to_thread(chain.check_part, rows)
        chain.finish()
        await self._reader.read(partial(check_edges, head=chain.head, findings=chain.findings))

    async def _verify_feeds(self, findings: Findings) -> None:
        for feed in await self._reader.read(partial(read_feeds, findings=findings)):
            while not feed.at_end:
                await self._reader.read(feed.check_part)

    async def close(self) -> None:
        """Finish what was begun and end."""
        self._closing = True
        if self._recording is not None:
            await asyncio.wait([self._recording])
        await self._reader.close()
        await self._writer.close()


def _require_kernel(name: str) -> None:
    if not is_kernel_id(name):
        raise MalformedDocument("kernel-id")


def _require_relation(relation: Relation) -> None:
    _require_kernel(relation.kernel_id)
    _require_kernel(relation.partner_id)


def _require_revocation(capability_id: str, revoked_at: int) -> None:
    if not 1 <= len(capability_id) <= MAX_CAPABILITY_ID or not capability_id.isprintable():
        raise MalformedDocument("capability-id")
    if not 0 <= revoked_at <= SAFE_INTEGER_MAX:
        raise MalformedDocument("revoked-at")
