"""Publishing a revocation feed of ours: the tree of its entries, signed heads and pages.

Rules kept here:

- the log only grows, and one tree answers for all sizes that it ever had: two heads that were signed from it
  never contradict each other;
- a page speaks about one head, and never about entries beyond it.

For whoever uses it with several replicas: a head must be of *all* entries that any replica may have signed a
head of, so bring the tree up to date with the ledger before each answer. A replica that lags would show a
smaller tree, which every reader keeps as evidence and answers by trusting nothing more.

Entries are not kept here, but 64 bytes of hashes for each; whoever stores them gives a page its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bilateral.protocol.checkpoints import Checkpoint, parse_checkpoint, sign_checkpoint
from bilateral.protocol.merkle import CompactRange, Tree
from bilateral.protocol.revocations import MAX_PAGE_ENTRIES, FeedPage, RevocationEntry
from bilateral.protocol.signatures import SigningKey


class FeedPublisher:
    """The feed of one kernel."""

    __slots__ = ("_kernel_id", "_tree")

    def __init__(self, kernel_id: str, entries: Iterable[RevocationEntry] = ()) -> None:
        self._kernel_id = kernel_id
        self._tree = Tree()
        self.extend(entries)

    @property
    def size(self) -> int:
        """How many entries the feed has."""
        return self._tree.size

    def root(self, size: int | None = None) -> bytes:
        """The root of the first ``size`` entries, or of all."""
        return self._tree.root(size)

    def extend(self, entries: Iterable[RevocationEntry]) -> None:
        """Append entries, in the order of the log."""
        self._tree.extend(each.leaf for each in entries)

    def grown(self, entries: Iterable[RevocationEntry] = ()) -> CompactRange:
        """The tree with ``entries`` appended; the feed stays as it is, until they are stored."""
        return self._tree.compact_range().extend([each.leaf for each in entries])

    def sign_head(self, key: SigningKey, now: int, tree: CompactRange | None = None) -> str:
        """Sign a head of all entries, or of a :meth:`grown` tree, and write its note; ``now`` is Unix seconds."""
        tree = self.grown() if tree is None else tree
        return sign_checkpoint(Checkpoint(self._kernel_id, tree.size, tree.root, now), key)

    def build_page(self, start: int, entries: Sequence[RevocationEntry], note: str) -> FeedPage:
        """Build the page from ``start`` on below the head ``note``; ``entries`` are those of the log from there.

        What goes beyond the head or MAX_PAGE_ENTRIES is left out. A reader that is ahead of the head is shown
        the head alone. Raises ``ValueError`` for a head of another log or of more than the tree has, and where
        there are entries to tell but none were given.
        """
        checkpoint = parse_checkpoint(note).checkpoint
        if checkpoint.kernel_id != self._kernel_id or checkpoint.root != self._tree.root(checkpoint.size):
            raise ValueError("the head is not of this log")
        told = tuple(entries[: max(0, min(MAX_PAGE_ENTRIES, checkpoint.size - start))])
        end = start + len(told)
        if not told and start < checkpoint.size:
            raise ValueError("the entries of the page are missing")
        proof = self._tree.consistency_proof(end, checkpoint.size) if end < checkpoint.size else []
        return FeedPage(note, start, told, tuple(proof))
