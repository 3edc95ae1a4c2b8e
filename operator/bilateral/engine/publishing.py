"""Our own revocation feeds: entries go into the ledger, heads are signed over all that is there.

Rules:

- A head that was shown is in the ledger before: a replica that lags, or a restart, never shows a smaller tree.
- An entry is appended together with the head that commits to it; of two replicas that append at once one is told
  that the feed moved, and does it again.
- A head is signed anew when it is a few seconds old: a reader sees that nobody holds the feed back, even one whose
  policy allows news of a few seconds only. It replaces the one before, so that the ledger does not grow.
- What was revoked once stays so; revoking it again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bilateral.engine.clock import ClockGuard
from bilateral.engine.views import Views
from bilateral.exchange.errors import Refusal
from bilateral.ledger.errors import LedgerConflict, LedgerError
from bilateral.ledger.interface import MAX_PAGE, Ledger
from bilateral.ledger.records import FeedEntry, FeedHead
from bilateral.protocol.feed_publisher import FeedPublisher
from bilateral.protocol.reasons import Reason
from bilateral.protocol.revocations import RevocationEntry, parse_entry, sign_entry
from bilateral.protocol.signatures import SigningKey

HEAD_SECONDS = 5
MAX_ATTEMPTS = 5
RETRY_AFTER_SECONDS = 5


@dataclass(slots=True)
class _Feed:
    publisher: FeedPublisher
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Feeds:
    """The feeds of our trust domains, for the endpoint of every replica."""

    def __init__(self, ledger: Ledger, views: Views, guard: ClockGuard) -> None:
        self._ledger = ledger
        self._views = views
        self._guard = guard
        self._feeds: dict[str, _Feed] = {}

    async def feed_page(self, kernel_id: str | None, start: int) -> bytes:
        """A page of the feed of a kernel of ours, from leaf ``start`` on; None is the only kernel that we have.

        Raises Refusal: NotFound, NotReady.
        """
        kernel_id = self._only_one() if kernel_id is None else kernel_id
        key = self._key(kernel_id)
        try:
            feed, head = await self._current(kernel_id, key)
            stored = await self._ledger.feed_page(kernel_id, start, MAX_PAGE)
        except LedgerError:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS) from None
        entries = [parse_entry(dict(each)) for each in stored.entries]
        return feed.publisher.build_page(start, entries, head.checkpoint).to_json()

    async def revoke(self, kernel_id: str, capability_ids: Sequence[str]) -> FeedHead:
        """Revoke capabilities; the head that commits to all of them.

        Raises Refusal: NotFound, NotReady; MalformedDocument for an id that no capability has; LedgerError.
        """
        key = self._key(kernel_id)
        now = self._guard.now()
        wanted = [sign_entry(kernel_id, each, now, key) for each in dict.fromkeys(capability_ids)]
        for _ in range(MAX_ATTEMPTS):
            feed, head = await self._current(kernel_id, key)
            missing = [
                each
                for each in wanted
                if await self._ledger.find_feed_entry(kernel_id, each.capability_id) is None
            ]
            if not missing:
                return head
            try:
                return await self._append(kernel_id, feed, missing, key)
            except LedgerConflict:
                continue  # another replica was there first
        raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)

    def _only_one(self) -> str:
        found = self._views.kernel_ids()
        if len(found) != 1:
            raise Refusal(Reason.NOT_FOUND)
        return found[0]

    def _key(self, kernel_id: str) -> SigningKey:
        found = self._views.domain_by_kernel_id(kernel_id)
        if found is None:
            raise Refusal(Reason.NOT_FOUND)
        key = found[1].signing_key
        if key is None or self._guard.regressed:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        return key

    async def _current(self, kernel_id: str, key: SigningKey) -> tuple[_Feed, FeedHead]:
        """The feed with everything that the ledger has, and a head of all of it that is new enough."""
        feed = self._feeds.setdefault(kernel_id, _Feed(FeedPublisher(kernel_id)))
        async with feed.turn:
            for _ in range(MAX_ATTEMPTS):
                head = await self._catch_up(kernel_id, feed)
                now = self._guard.now()
                if head is not None and now < head.published_at + HEAD_SECONDS:
                    return feed, head
                renewed = self._head(feed.publisher, key, max(now, 0 if head is None else head.published_at))
                try:
                    await self._ledger.append_revocations(kernel_id, feed.publisher.size, [], renewed)
                except LedgerConflict:
                    continue
                return feed, renewed
        raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)

    async def _catch_up(self, kernel_id: str, feed: _Feed) -> FeedHead | None:
        """Read what others appended; a head comes with entries of its own moment."""
        head = await self._ledger.feed_head(kernel_id)
        while head is not None and feed.publisher.size < head.size:
            page = await self._ledger.feed_page(kernel_id, feed.publisher.size, MAX_PAGE)
            if not page.entries:
                raise LedgerConflict("feed", "entries-missing")
            feed.publisher.extend(parse_entry(dict(each)) for each in page.entries)
            head = page.head
        return head

    async def _append(
        self, kernel_id: str, feed: _Feed, entries: Sequence[RevocationEntry], key: SigningKey
    ) -> FeedHead:
        async with feed.turn:
            last = await self._catch_up(kernel_id, feed)
            size = feed.publisher.size
            # A replica whose clock is behind another's does not take its head back.
            now = max(self._guard.now(), 0 if last is None else last.published_at)
            head = self._head(feed.publisher, key, now, entries)
            stored = [FeedEntry(each.capability_id, each.revoked_at, each.to_wire()) for each in entries]
            await self._ledger.append_revocations(kernel_id, size, stored, head)
            feed.publisher.extend(entries)
            return head

    def _head(
        self, publisher: FeedPublisher, key: SigningKey, now: int, more: Sequence[RevocationEntry] = ()
    ) -> FeedHead:
        tree = publisher.grown(more)
        return FeedHead(tree.size, tree.root.hex(), now, publisher.sign_head(key, now, tree))
