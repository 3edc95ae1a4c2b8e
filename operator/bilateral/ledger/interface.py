"""The ledger as its users see it: one small asynchronous interface.

Every method raises :class:`~bilateral.ledger.errors.LedgerError` and then has done nothing, or
:class:`~bilateral.protocol.errors.MalformedDocument` for a value that cannot be stored. What a writing
method returned from is on the disk. A method may be repeated with the same arguments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

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
from bilateral.ledger.verification import Report
from bilateral.protocol.canonical import JSON

MAX_PAGE = 1000
"""Entries of one page at most."""


class Ledger(Protocol):
    """Decisions, receipts, feeds, partners' heads and revocations, evidence."""

    @property
    def place(self) -> str:
        """Where it is, without user and password."""
        ...

    async def record_decision(
        self, body: Mapping[str, JSON], receipt: Mapping[str, JSON] | None = None
    ) -> Link:
        """Add a decision, with the receipt that was given for it, to the chain.

        The body is everything that a later reader is to know: who asked, with which key, under which policy
        (hash), which capabilities, what was decided and why. A receipt has an ``id``, used once.
        """
        ...

    async def read_head(self) -> Link:
        """The last link of the chain; number 0 while there is none."""
        ...

    async def read_decisions(self, after: int = 0, limit: int = MAX_PAGE) -> Sequence[DecisionRecord]:
        """The decisions that follow number ``after``."""
        ...

    async def find_receipt(self, receipt_id: str) -> Mapping[str, JSON] | None:
        """The receipt with that id."""
        ...

    async def append_revocations(
        self, kernel_id: str, expected_size: int, entries: Sequence[FeedEntry], head: FeedHead
    ) -> None:
        """Add to a feed of ours, with the head over ``expected_size + len(entries)`` entries.

        Raises LedgerConflict: ``feed-moved`` (somebody else added first), ``head-regressed`` (an earlier
        time), ``head-forked`` (another root of the same size), ``already-revoked``. Without entries, the head
        alone is renewed.
        """
        ...

    async def feed_head(self, kernel_id: str) -> FeedHead | None:
        """The last head of a feed of ours."""
        ...

    async def feed_page(self, kernel_id: str, start: int, limit: int = MAX_PAGE) -> FeedPage:
        """Entries of a feed of ours from leaf ``start`` on, with the head of the same moment."""
        ...

    async def find_feed_entry(self, kernel_id: str, capability_id: str) -> int | None:
        """The leaf index under which a feed of ours revokes a capability."""
        ...

    async def save_partner_head(self, relation: Relation, head: PartnerHead) -> None:
        """Keep a partner's newest head. Raises LedgerConflict: ``head-regressed``, ``head-forked``."""
        ...

    async def partner_head(self, relation: Relation) -> PartnerHead | None:
        """The newest head that was kept of a partner."""
        ...

    async def merge_revocations(
        self, relation: Relation, revocations: Sequence[Revocation], head: PartnerHead | None = None
    ) -> int:
        """Add what a partner revoked, together with the head; return how many were new or later."""
        ...

    def load_revocations(self, relation: Relation) -> AsyncIterator[Sequence[Revocation]]:
        """Everything that a partner revoked, in parts of a bounded size."""
        ...

    async def keep_evidence(self, relation: Relation, document: Mapping[str, JSON], now: int) -> str:
        """Keep what convicts a partner; return its id. The same document is kept once."""
        ...

    async def load_evidence(self, relation: Relation) -> Sequence[Evidence]:
        """All evidence against a partner, the oldest first."""
        ...

    async def verify(self, expected: Link | None = None) -> Report:
        """Check everything that is stored, and that ``expected`` is a link of the chain."""
        ...

    async def close(self) -> None:
        """Finish what was begun and end."""
        ...
