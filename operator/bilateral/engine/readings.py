"""Reading partners' revocation feeds: whom to ask, when, and what becomes of the answer.

Rules:

- Only the holder of the Lease reads, and only for a partner that counts: a feed of somebody whose kernel is not
  fresh proves nothing. When to read first is spread by the policy's UID, so that a restart asks nobody at once,
  unless nothing is known yet; from then on it is every ``pollSeconds``, a tenth earlier or later.
- Each page is stored before it counts and before the next is asked for. What was read before a failure stays.
- A contradiction is kept as evidence and closes the partner, whose feed is then not read any more: all is refused,
  and no more evidence is wanted. A failure is a reason; what is known stays known, and is too old at its second.
"""

from __future__ import annotations

import asyncio
import random

from bilateral.engine.clock import ClockGuard
from bilateral.engine.handshakes import build_verifier
from bilateral.engine.log import Log
from bilateral.engine.metrics import Metrics
from bilateral.engine.policies import Counting
from bilateral.engine.revocations import RevocationNews
from bilateral.engine.views import Views
from bilateral.exchange.client import Outbound, Target
from bilateral.exchange.errors import OutboundError
from bilateral.exchange.feeds import read_feed, read_plain_revocations
from bilateral.ledger.errors import LedgerError
from bilateral.ledger.records import Relation
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.feed_reader import Equivocation, FeedReader, FeedState, ForeignSigner
from bilateral.protocol.policies.questions import Revocations
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.policies import FeedView
from bilateral.reconcile.schedule import fraction_of
from bilateral.resources.federationpolicy import RevocationFeedSpec, RevocationsStatus

MAX_PAGES_AT_ONCE = 64
"""A long feed is read in parts, so that others have their turn."""
READING_SECONDS = 60.0

log = Log("readings")


class Readings:
    """Reads the feeds of all policies."""

    def __init__(
        self, news: RevocationNews, views: Views, outbound: Outbound, guard: ClockGuard, metrics: Metrics
    ) -> None:
        self._news = news
        self._views = views
        self._outbound = outbound
        self._guard = guard
        self._metrics = metrics
        self._due: dict[str, int] = {}
        self._failures: dict[str, Reason] = {}

    def due_at(self, found: Counting) -> int | None:
        """When to read the feed of a policy (Unix seconds); None: not as things are."""
        pause = found.meaning.poll_seconds
        if pause is None or found.relation is None or not self._counts(found):
            return None
        uid = found.policy.metadata.uid
        due = self._due.get(uid)
        if due is None:
            now, known = self._guard.now(), found.policy.status.revocations is not None
            due = self._due[uid] = now + (int(pause * fraction_of("feed", uid)) if known else 0)
        return due

    async def read(self, found: Counting) -> None:
        """Read what is new in the feed of a policy; how that failed is in :meth:`view`. Raises nothing."""
        feed, relation, pause = found.policy.spec.revocation_feed, found.relation, found.meaning.poll_seconds
        if feed is None or relation is None or pause is None:
            return
        uid = found.policy.metadata.uid
        failure: Reason | None = None
        try:
            async with asyncio.timeout(READING_SECONDS):
                complete = await self._read(found, feed, relation)
        except TimeoutError:
            failure, complete = Reason.ANSWER_TIMEOUT, False
        except (OutboundError, ProtocolError, LedgerError) as error:
            failure, complete = error.reason, False
        if failure is None:
            self._failures.pop(uid, None)
        else:
            self._failures[uid] = failure
        self._metrics.feed_reads.labels("Read" if failure is None else failure.value).inc()
        again = int(pause * random.uniform(0.9, 1.1)) if complete or failure is not None else 0  # noqa: S311 - jitter
        self._due[uid] = self._guard.now() + again

    async def view(self, found: Counting) -> FeedView | None:
        """What is known of a policy's feed, for its status."""
        feed, relation = found.policy.spec.revocation_feed, found.relation
        failure = self._failures.get(found.policy.metadata.uid)
        if relation is None:
            return None
        try:
            state = await self._news.load(relation)
        except (LedgerError, ProtocolError) as error:
            failure, state = error.reason, None
        news = self._news.about(
            relation, found.meaning.max_staleness_seconds, found.policy.metadata.created_at
        )
        if feed is None:
            return FeedView(news)
        status = None
        if state is not None and (state.newest is not None or news.lesser):
            status = RevocationsStatus(
                source=feed.source,
                tree_size=state.read.size,
                root_hash=state.read.root.hex() if state.newest is not None else None,
                entries=self._news.count(relation),
                published_at=state.published_at or None,
                received_at=_heard_at(state, news, found.meaning.max_staleness_seconds),
            )
        told = found.policy.status.revocations
        return FeedView(
            news, keep_told(told, status, found.meaning.max_staleness_seconds, self._guard.now()), failure
        )

    def forget(self, uid: str) -> None:
        """A policy is gone."""
        self._due.pop(uid, None)
        self._failures.pop(uid, None)

    def _counts(self, found: Counting) -> bool:
        return found.reason is None and found.partner is not None and found.partner.fresh

    async def _read(self, found: Counting, feed: RevocationFeedSpec, relation: Relation) -> bool:
        """Read; whether everything that there is was read."""
        target = self._target(found, feed)
        state = await self._news.load(relation)
        if self._news.about(relation, None, found.policy.metadata.created_at).equivocated:
            return True
        if found.meaning.takes_unsigned_news:
            told = await read_plain_revocations(self._outbound, target)
            await self._news.merge_lesser(
                relation, told.capability_ids, self._guard.now(), fresh=told.is_complete
            )
            if not told.is_complete:
                raise OutboundError(Reason.FEED_INCOMPLETE)
            return True
        pinned = () if found.partner is None else (found.partner.public_key,)
        signers = found.meaning.revocation_feed.signers if found.meaning.revocation_feed is not None else ()
        reader = FeedReader(relation.partner_id, signers or tuple(key for key in pinned if key is not None))
        try:
            pages = read_feed(
                self._outbound, target, reader, state, now=self._guard.now, max_pages=MAX_PAGES_AT_ONCE
            )
            async for advance in pages:
                await self._news.advance(relation, advance)
                state = advance.state
        except (Equivocation, ForeignSigner) as error:
            log.warning(
                "a feed contradicts itself"
                if isinstance(error, Equivocation)
                else "a feed has another signer",
                namespace=found.policy.metadata.namespace,
                name=found.policy.metadata.name,
                reason=error.reason.value,
            )
            await self._news.convict(relation, error.evidence)
            raise
        return state.is_complete

    def _target(self, found: Counting, feed: RevocationFeedSpec) -> Target:
        """Where the feed is, how its server is known, what it is shown. Raises OutboundError."""
        peer = found.peer
        verifier = feed.verifier
        if verifier is None and peer is not None and peer.spec.endpoint is not None:
            verifier = peer.spec.endpoint.verifier
        if peer is None or verifier is None:
            raise OutboundError(Reason.INVALID_SPEC)
        token = None
        if feed.bearer_token_secret_ref is not None:
            token = self._views.token(found.policy.metadata.namespace, feed.bearer_token_secret_ref)
            if token is None:
                raise OutboundError(Reason.SECRET_NOT_FOUND)
        return Target(feed.url, build_verifier(verifier, peer), token)


def keep_told(
    told: RevocationsStatus | None, found: RevocationsStatus | None, ceiling: int | None, now: int
) -> RevocationsStatus | None:
    """What a status says of the news: what it said, while only the time is another and half of it is left.

    A reading alone is no reason to write; but whoever reads the status must not take the news for too old.
    """
    if told is None or found is None or ceiling is None:
        return found
    times = {"published_at": found.published_at, "received_at": found.received_at}
    end = _end(told, ceiling)
    if end is None or told.model_copy(update=times) != found:
        return found
    return told if end == _end(found, ceiling) or now + ceiling // 2 < end else found


def _heard_at(state: FeedState, news: Revocations, ceiling: int | None) -> int | None:
    """When the newest head came, or the last answer of a source that has no heads."""
    if news.lesser and news.fresh_until is not None and ceiling is not None:
        return news.fresh_until - ceiling
    return state.received_at or None


def _end(status: RevocationsStatus, ceiling: int) -> int | None:
    known = [each for each in (status.published_at, status.received_at) if each is not None]
    return min(known) + ceiling if known else None
