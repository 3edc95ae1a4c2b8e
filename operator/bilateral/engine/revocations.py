"""What partners have revoked, as this replica knows it: from the ledger at first, then from their feeds.

Rules:

- Nothing counts before it is in the ledger: a page is stored with the head that it led to, then it is news. What
  a restart finds is what every decision before it was made from, or more.
- A question is answered from memory. What of a partner was never loaded is unknown, and news of nobody is fresh.
- Evidence of two histories closes the partner until a person has judged it: it counts against every policy that
  was made before it was kept. Whoever has settled the matter deletes the policy and makes it anew.
- A stranger's head can be made by anybody, so of those only the first few are kept.
- With several replicas one reads the feeds; the others find what it stored when they look for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from bilateral.engine.clock import Clock
from bilateral.ledger.interface import Ledger
from bilateral.ledger.records import PartnerHead, Relation, Revocation
from bilateral.protocol.feed_reader import Advance, Contradiction, Evidence, FeedState, restore_state
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet

REFRESH_SECONDS = 5.0
"""How long what was read of the ledger counts where another replica reads the feeds."""
MAX_FOREIGN_KEPT = 16
"""How many heads of strangers are kept of a partner: whoever serves them does not fill the ledger."""
_NO_ROOT = "0" * 64
_CONVICTING = frozenset({Contradiction.ROLLBACK.value, Contradiction.FORK.value, Contradiction.PROOF.value})
"""Not a foreign signer's head: anybody can make one."""


@dataclass(slots=True)
class _News:
    state: FeedState = field(default_factory=FeedState)
    convicted_at: int = 0
    foreign_kept: int = 0
    lesser_at: int = 0
    looked_at: float = 0.0
    told: tuple[int | None, PartnerHead | None] = (None, None)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class RevocationNews:
    """The news of all partners."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._revoked = RevocationSet()
        self._news: dict[Relation, _News] = {}

    async def load(self, relation: Relation) -> FeedState:
        """Know what the ledger knows of a partner; how far its feed was read. Raises LedgerError."""
        news = self._news.setdefault(relation, _News())
        now = self._clock.monotonic()
        if news.looked_at and now < news.looked_at + REFRESH_SECONDS:
            return news.state
        async with news.turn:
            head = await self._ledger.partner_head(relation)
            unsigned = await self._ledger.partner_head(_unsigned(relation))
            if unsigned is not None:
                news.lesser_at = max(news.lesser_at, unsigned.received_at)
            told = (None if head is None else head.size, unsigned)
            if not news.looked_at or told != news.told:
                async for part in self._ledger.load_revocations(relation):
                    self._revoked.merge(_name(relation), (each.capability_id for each in part))
            if head is not None and head.received_at >= news.state.received_at:
                news.state = restore_state(
                    head.size,
                    tuple(bytes.fromhex(each) for each in head.frontier),
                    head.checkpoint,
                    head.published_at,
                    head.received_at,
                )
            kept = await self._ledger.load_evidence(relation)
            convicting = [each.kept_at for each in kept if each.document.get("kind") in _CONVICTING]
            # What counts although it could not be kept, or was kept while we looked, counts on.
            news.convicted_at = max(news.convicted_at, *convicting, 0)
            news.foreign_kept = max(news.foreign_kept, len(kept) - len(convicting))
            news.told, news.looked_at = told, now
        return news.state

    def about(self, relation: Relation, max_staleness: int | None, policy_since: int) -> PartnerRevocations:
        """The news of a partner under a policy that was made at ``policy_since`` (Unix seconds)."""
        news = self._news.get(relation)
        until = None
        lesser = False
        if news is not None and news.looked_at and max_staleness is not None:
            until = news.state.fresh_until(max_staleness)
            if until is None and news.lesser_at:
                lesser, until = True, news.lesser_at + max_staleness
        return PartnerRevocations(
            self._revoked,
            _name(relation),
            until,
            lesser,
            equivocated=news is not None and news.convicted_at >= max(policy_since, 1),
        )

    def count(self, relation: Relation) -> int:
        """How many capabilities the partner has revoked."""
        return self._revoked.count(_name(relation))

    async def advance(self, relation: Relation, advance: Advance) -> None:
        """Store what a page led to, then count it. Raises LedgerError, and then nothing counts."""
        news = self._news[relation]
        state = advance.state
        if state.newest is None:
            raise ValueError("expected a state with a head")
        head = PartnerHead(
            size=state.read.size,
            root_hash=state.read.root.hex(),
            published_at=state.published_at,
            received_at=state.received_at,
            checkpoint=state.newest.note,
            frontier=tuple(each.hex() for each in state.read.hashes),
        )
        revocations = [Revocation(each.capability_id, each.revoked_at) for each in advance.entries]
        await self._ledger.merge_revocations(relation, revocations, head)
        self._revoked.merge(_name(relation), (each.capability_id for each in revocations))
        news.state, news.told = state, (head.size, news.told[1])  # what we stored ourselves is not read back

    async def merge_lesser(
        self, relation: Relation, capability_ids: tuple[str, ...], now: int, *, fresh: bool = True
    ) -> None:
        """Store what a service told without signing it, then count it; ``fresh``: it told all. Raises LedgerError."""
        news = self._news[relation]
        new = [each for each in capability_ids if not self._revoked.is_revoked(_name(relation), each)]
        if new:
            await self._ledger.merge_revocations(relation, [Revocation(each, now) for each in new])
            self._revoked.merge(_name(relation), new)
        elif not fresh:
            return
        # The other replicas see by it that there is something to read, also where it makes nothing fresh.
        heard = PartnerHead(0, _NO_ROOT, now, now if fresh else news.lesser_at, "unsigned")
        await self._ledger.save_partner_head(_unsigned(relation), heard)
        news.lesser_at, news.told = heard.received_at, (news.told[0], heard)

    async def convict(self, relation: Relation, evidence: Evidence) -> None:
        """Keep what a partner contradicted itself with. Raises LedgerError; it counts all the same."""
        news = self._news[relation]
        if evidence.kind.value in _CONVICTING:
            news.convicted_at = max(news.convicted_at, evidence.at)
        elif news.foreign_kept >= MAX_FOREIGN_KEPT:
            return
        else:
            news.foreign_kept += 1
        await self._ledger.keep_evidence(relation, evidence.to_members(), evidence.at)


def _unsigned(relation: Relation) -> Relation:
    """Under which it is kept when an unsigned source was heard: a name that no partner has by accident."""
    return Relation(
        relation.kernel_id, f"unsigned-{hashlib.sha256(relation.partner_id.encode()).hexdigest()}"
    )


def _name(relation: Relation) -> str:
    return f"{relation.kernel_id}\n{relation.partner_id}"
