"""Reading a partner's revocation feed: what was read so far and a page become what is read now, or a refusal.

The reader keeps the compact range of the entries that it has read and the newest head that it was shown. A
page is judged in this order:

1. it is a page, and begins where the reader stopped;
2. its head is of this partner's feed (FeedOfAnother) and signed by a key that may sign it (ForeignSigner,
   InvalidSignature);
3. the head is not from the future beyond the tolerated skew (ClockSkewExceeded): else an old head could be
   shown for ever; and its tree is not beyond what we read of anybody (FeedTooLarge);
4. its tree is not smaller than one that was shown before, nor another of the same size (Equivocation);
5. the entries, behind those read before, are the beginning of the head's tree, and pass through every head
   that was shown on the way (Equivocation);
6. every entry is signed by the key that it names (InvalidEntry).

Only a page that passes all of it changes anything, and whatever passes is a revocation: nothing takes one
back. Since the entries are hashed onto what was read before, no proof from the last head is needed: a feed
that changed anything there no longer leads to its own head. Step 5 comes before step 6 so that a contradiction
of the partner's is kept as such.

Rejected: entries by the feed's signers only. Their keys change, the log does not; the head vouches for what
is in the log, and an entry's own signature only says who revoked.

The news is as old as the newest head of which *every* entry was read. Where pages come from, how old they may
be, and what becomes of a partner that equivocates is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from bilateral.protocol.checkpoints import Checkpoint, UnknownSigner, parse_checkpoint, verify_checkpoint
from bilateral.protocol.errors import ClockSkewExceeded, MalformedDocument, ProtocolError
from bilateral.protocol.merkle import CompactRange, InvalidProof, verify_consistency
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.protocol.revocations import FeedPage, RevocationEntry, parse_page, verify_entry
from bilateral.protocol.strictjson import JSON

EVIDENCE_SCHEMA: Final = "bilateral.feed-evidence.v1"
MAX_FEED_ENTRIES: Final = 5_000_000
MAX_SKEW_SECONDS: Final = 300
"""How far ahead of our clock a head may have been signed; the same as in the handshake."""
_MAX_BETWEEN = 64


class Contradiction(StrEnum):
    """What a page showed."""

    ROLLBACK = "rollback"  # a smaller tree than before
    FORK = "fork"  # another root at a size whose root is known
    PROOF = "proof"  # entries that do not lead to the head
    SIGNER = "signer"  # a head of this feed, signed by somebody else


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a page contradicted, and the page itself; ``held`` is the note of the head that it is against.

    For a ledger, not for logs: it carries what the other side sent.
    """

    kind: Contradiction
    kernel_id: str
    at: int
    read: CompactRange
    held: str | None
    presented: str
    page: bytes

    def to_members(self) -> dict[str, JSON]:
        """Write the evidence as JSON members."""
        return {
            "schema": EVIDENCE_SCHEMA,
            "kind": self.kind.value,
            "kernelId": self.kernel_id,
            "at": self.at,
            "treeSize": self.read.size,
            "frontier": [each.hex() for each in self.read.hashes],
            "held": self.held,
            "presented": self.presented,
            "pageSha256": hashlib.sha256(self.page).hexdigest(),
            "page": base64.b64encode(self.page).decode("ascii"),
        }


class Equivocation(ProtocolError):
    """A head, signed by the partner, that contradicts an earlier one or the entries beside it."""

    reason = Reason.EQUIVOCATION

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(f"the feed contradicts itself: {evidence.kind.value}")
        self.evidence = evidence


class ForeignSigner(UnknownSigner):
    """A head of the partner's feed by a key that may not sign it."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__()
        self.evidence = evidence


class FeedOfAnother(ProtocolError):
    """A feed of another kernel than ``expected``."""

    reason = Reason.FEED_OF_ANOTHER

    def __init__(self, expected: str) -> None:
        super().__init__(f"the feed is not that of kernel_id {expected}")
        self.expected = expected


class FeedTooLarge(ProtocolError):
    """A feed with more than ``limit`` entries."""

    reason = Reason.FEED_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"the feed has more than {limit} entries")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Head:
    """A verified head, the note that it was read from, and when (Unix seconds)."""

    checkpoint: Checkpoint
    note: str
    received_at: int


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far a feed was read.

    ``read`` are the entries so far, ``newest`` the newest head, ``between`` those shown before it whose
    entries are not all read yet. ``published_at`` and ``received_at`` are those of the newest head that was
    reached, 0 before the first.
    """

    read: CompactRange = field(default_factory=CompactRange)
    newest: Head | None = None
    between: tuple[Head, ...] = ()
    published_at: int = 0
    received_at: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every entry of the newest head was read."""
        return self.newest is not None and self.newest.checkpoint.size == self.read.size

    def fresh_until(self, max_staleness: int) -> int | None:
        """The second at which the news is too old: at it, not after it; None before any head was reached.

        A head from a clock that is ahead of ours is as old as we have known it.
        """
        if not self.received_at:
            return None
        return min(self.published_at, self.received_at) + max_staleness


def restore_state(
    size: int, frontier: tuple[bytes, ...], note: str, published_at: int, received_at: int
) -> FeedState:
    """Rebuild a state from what was kept of it: ``read``, the newest head's note and the two times.

    The note is our own copy of one that was verified. Raises MalformedDocument for what is no state.
    """
    try:
        read = CompactRange(size, frontier)
    except ValueError:
        raise MalformedDocument("frontier") from None
    newest = parse_checkpoint(note).checkpoint
    if newest.size < size or (newest.size == size and newest.root != read.root):
        raise MalformedDocument("frontier")
    return FeedState(read, Head(newest, note, received_at), (), published_at, received_at)


@dataclass(frozen=True, slots=True)
class Advance:
    """What a page led to: the new state, and the entries that were new."""

    state: FeedState
    entries: tuple[RevocationEntry, ...]


@dataclass(frozen=True, slots=True)
class FeedReader:
    """The terms on which the feed of one partner is read."""

    kernel_id: str
    signers: tuple[PublicKey, ...]
    max_entries: int = MAX_FEED_ENTRIES
    max_skew: int = MAX_SKEW_SECONDS

    def read(self, state: FeedState, data: bytes, now: int) -> Advance:
        """Judge a page that was asked for from ``state.read.size``; ``now`` is Unix seconds.

        Raises MalformedDocument, UnsupportedSchema, FeedOfAnother, ForeignSigner, InvalidSignature,
        ClockSkewExceeded, FeedTooLarge, Equivocation, InvalidEntry.
        """
        page = parse_page(data)  # 1.
        if page.start != state.read.size:
            raise MalformedDocument("from")
        head = self._verify_head(state, page, data, now)  # 2. and 3.
        self._verify_growth(state, page, data, head)  # 4.
        read = self._verify_entries(state, page, data, head)  # 5.
        for index, entry in enumerate(page.entries, page.start):  # 6.
            verify_entry(entry, self.kernel_id, index)
        return Advance(_advance(state, read, head), page.entries)

    def _verify_head(self, state: FeedState, page: FeedPage, data: bytes, now: int) -> Head:
        signed = parse_checkpoint(page.checkpoint)
        checkpoint = signed.checkpoint
        if checkpoint.kernel_id != self.kernel_id:
            raise FeedOfAnother(self.kernel_id)
        head = Head(checkpoint, page.checkpoint, now)
        try:
            verify_checkpoint(signed, self.signers)
        except UnknownSigner:
            evidence = self._evidence(Contradiction.SIGNER, state, data, head, state.newest)
            raise ForeignSigner(evidence) from None
        if checkpoint.published_at > now + self.max_skew:
            raise ClockSkewExceeded(checkpoint.published_at, now, self.max_skew)
        if checkpoint.size > self.max_entries:
            raise FeedTooLarge(self.max_entries)
        return head

    def _verify_growth(self, state: FeedState, page: FeedPage, data: bytes, head: Head) -> None:
        newest, size = state.newest, head.checkpoint.size
        if newest is not None and size < newest.checkpoint.size:
            raise Equivocation(self._evidence(Contradiction.ROLLBACK, state, data, head, newest))
        if newest is not None and size == newest.checkpoint.size:
            self._verify_root(state, data, head, newest, head.checkpoint.root)
        end = page.start + len(page.entries)
        # A page that brings nothing although there is more would be asked for again and again.
        if end > size or (end < size and not page.entries):
            raise MalformedDocument("entries")
        if end == size and page.consistency:
            raise MalformedDocument("consistency")

    def _verify_entries(self, state: FeedState, page: FeedPage, data: bytes, head: Head) -> CompactRange:
        leaves = [entry.leaf for entry in page.entries]
        known = [*state.between, *([] if state.newest is None else [state.newest])]
        read, taken = state.read, 0
        for each in known:
            wanted = each.checkpoint.size - page.start
            if 0 <= wanted <= len(leaves):
                read, taken = read.extend(leaves[taken:wanted]), wanted
                self._verify_root(state, data, head, each, read.root)
        read = read.extend(leaves[taken:])
        try:
            verify_consistency(
                read.size, read.root, head.checkpoint.size, head.checkpoint.root, page.consistency
            )
        except InvalidProof:
            evidence = self._evidence(Contradiction.PROOF, state, data, head, state.newest)
            raise Equivocation(evidence) from None
        return read

    def _verify_root(self, state: FeedState, data: bytes, head: Head, known: Head, root: bytes) -> None:
        if known.checkpoint.root != root:
            raise Equivocation(self._evidence(Contradiction.FORK, state, data, head, known))

    def _evidence(
        self, kind: Contradiction, state: FeedState, data: bytes, head: Head, held: Head | None
    ) -> Evidence:
        return Evidence(
            kind=kind,
            kernel_id=self.kernel_id,
            at=head.received_at,
            read=state.read,
            held=None if held is None else held.note,
            presented=head.note,
            page=data,
        )


def _advance(state: FeedState, read: CompactRange, head: Head) -> FeedState:
    newest, between = state.newest, state.between
    if newest is None or head.checkpoint.size > newest.checkpoint.size:
        if newest is not None:
            between = (*between[: _MAX_BETWEEN - 1], newest)
        newest = head
    elif head.checkpoint.published_at > newest.checkpoint.published_at:
        newest = head  # the same tree, signed anew
    between = tuple(each for each in between if each.checkpoint.size > read.size)
    advanced = replace(state, read=read, newest=newest, between=between)
    if not advanced.is_complete:
        return advanced
    # A replica of theirs may show an older head of the same tree: that is no news, and no harm.
    if newest.checkpoint.published_at <= state.published_at:
        return advanced
    return replace(advanced, published_at=newest.checkpoint.published_at, received_at=newest.received_at)
