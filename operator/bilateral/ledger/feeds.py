"""Our own revocation feeds: entries that are only ever added, and the head that commits to them.

Rules: entries and the head over them are written in one transaction, and only onto the size that the
caller computed the head for (else :class:`LedgerConflict` ``feed-moved``: read again, sign again); a
head's size and time never go back, and one size has one root; a capability is revoked in a feed once.
The ledger neither makes nor checks signatures and tree hashes: ``protocol`` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from bilateral.ledger.chain import parse_stored
from bilateral.ledger.database import Row, Session, number, text
from bilateral.ledger.errors import LedgerConflict, LedgerDamaged
from bilateral.ledger.records import FeedEntry, FeedHead, FeedPage
from bilateral.protocol.canonical import canonical_bytes

_FEED = "SELECT size, root_hash, published_at FROM ledger_feeds WHERE kernel_id = %s"


def append_revocations(
    session: Session, kernel_id: str, expected_size: int, entries: Sequence[FeedEntry], head: FeedHead
) -> None:
    """Add ``entries`` (none, when only the head is signed anew) after the first ``expected_size``."""
    size, root_hash, published_at = _hold_feed(session, kernel_id)
    if number(session, size) != expected_size or head.size != expected_size + len(entries):
        raise LedgerConflict(session.place, "feed-moved")
    if published_at is not None and head.published_at < number(session, published_at):
        raise LedgerConflict(session.place, "head-regressed")
    if not entries and root_hash is not None and head.root_hash != root_hash:
        raise LedgerConflict(session.place, "head-forked")
    names = {entry.capability_id for entry in entries}
    if len(names) != len(entries) or any(
        find_feed_entry(session, kernel_id, name) is not None for name in names
    ):
        raise LedgerConflict(session.place, "already-revoked")
    if entries:
        session.run_many(
            "INSERT INTO ledger_feed_entries (kernel_id, leaf, capability_id, revoked_at, document) "
            "VALUES (%s, %s, %s, %s, %s)",
            [
                (kernel_id, expected_size + offset, each.capability_id, each.revoked_at, _write(each))
                for offset, each in enumerate(entries)
            ],
        )
    session.run(
        "UPDATE ledger_feeds SET size = %s, root_hash = %s, published_at = %s, checkpoint = %s "
        "WHERE kernel_id = %s",
        (head.size, head.root_hash, head.published_at, head.checkpoint, kernel_id),
    )


def _hold_feed(session: Session, kernel_id: str) -> Row:
    rows = session.run_held(_FEED, (kernel_id,))
    if not rows:
        session.run(
            "INSERT INTO ledger_feeds (kernel_id, size) VALUES (%s, 0) ON CONFLICT (kernel_id) DO NOTHING",
            (kernel_id,),
        )
        rows = session.run_held(_FEED, (kernel_id,))
    return rows[0]


def read_feed_page(session: Session, kernel_id: str, start: int, limit: int) -> FeedPage:
    """At most ``limit`` entries from leaf ``start`` on, and the head of the same moment."""
    head = read_feed_head(session, kernel_id)
    rows = session.run(
        "SELECT leaf, document FROM ledger_feed_entries "
        "WHERE kernel_id = %s AND leaf >= %s AND leaf < %s ORDER BY leaf LIMIT %s",
        (kernel_id, start, head.size if head is not None else 0, limit),
    )
    documents = []
    for offset, (leaf, stored) in enumerate(rows):
        document = parse_stored(text(session, stored))
        if document is None or leaf != start + offset:
            raise LedgerDamaged(session.place, "feed")
        documents.append(document)
    return FeedPage(start, tuple(documents), head)


def read_feed_head(session: Session, kernel_id: str) -> FeedHead | None:
    """The last head of a feed of ours; ``None`` while there is no feed."""
    rows = session.run(
        "SELECT size, root_hash, published_at, checkpoint FROM ledger_feeds WHERE kernel_id = %s",
        (kernel_id,),
    )
    if not rows:
        return None
    size, root_hash, published_at, checkpoint = rows[0]
    return FeedHead(
        number(session, size),
        text(session, root_hash),
        number(session, published_at),
        text(session, checkpoint),
    )


def find_feed_entry(session: Session, kernel_id: str, capability_id: str) -> int | None:
    """The leaf index under which a feed of ours revokes a capability."""
    rows = session.run(
        "SELECT leaf FROM ledger_feed_entries WHERE kernel_id = %s AND capability_id = %s",
        (kernel_id, capability_id),
    )
    return number(session, rows[0][0]) if rows else None


def _write(entry: FeedEntry) -> str:
    return canonical_bytes(dict(entry.document)).decode()
