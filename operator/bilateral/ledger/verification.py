"""Is everything in the ledger as it was written? A report, defect by defect.

The chain: every number once, from 1 to the head; every ``previous`` the hash before it; every hash that
of its entry; every receipt named by its decision, unchanged, and no receipt beside. Our feeds: every leaf
once, up to the head's size, every document's id the indexed one, and all of them the tree of the head. And
what the database itself finds wrong.

A chain can be written anew as a whole by whoever may write the database, and its end can be cut off;
``expected``, a link that was noted elsewhere, is what shows that. The work is done in parts, so that
decisions go on meanwhile; what is added after the beginning is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bilateral.ledger.chain import GENESIS, entry_hash, parse_stored, receipt_of
from bilateral.ledger.database import Row, Session, number, text
from bilateral.ledger.records import Link
from bilateral.protocol.canonical import sha256_hex
from bilateral.protocol.merkle import CompactRange, leaf_hash

PART = 1000
MAX_DEFECTS = 100


class Flaw(StrEnum):
    """What can be wrong with one thing that is stored."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    HASH_DIFFERS = "hash-differs"
    PREVIOUS_DIFFERS = "previous-differs"
    HEAD_DIFFERS = "head-differs"
    PAST_THE_HEAD = "past-the-head"
    BEFORE_THE_FIRST = "before-the-first"
    NOT_THE_EXPECTED = "not-the-expected"
    CUT_OFF = "cut-off"
    NOT_NAMED = "not-named"
    DIFFERS = "differs"
    WITHOUT_DECISION = "without-decision"
    UNSOUND = "unsound"


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is not as it was written: ``part`` of the ledger, where in it, and what is wrong."""

    part: str
    where: str
    what: Flaw


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; ``defects`` lists at most :data:`MAX_DEFECTS` of ``defect_count``."""

    head: Link
    receipts: int
    feed_entries: int
    defects: tuple[Defect, ...]
    defect_count: int

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.defect_count == 0


@dataclass(slots=True)
class Findings:
    """What was found so far."""

    receipts: int = 0
    feed_entries: int = 0
    defects: list[Defect] = field(default_factory=list)
    count: int = 0

    def add(self, part: str, where: object, what: Flaw) -> None:
        """Note one defect."""
        self.count += 1
        if len(self.defects) < MAX_DEFECTS:
            self.defects.append(Defect(part, str(where), what))

    def report(self, head: Link) -> Report:
        """The report at the end."""
        return Report(head, self.receipts, self.feed_entries, tuple(self.defects), self.count)


@dataclass(slots=True)
class ChainCheck:
    """Walks the chain up to ``head``; ``expected`` must be one of its links."""

    head: Link
    expected: Link | None
    findings: Findings
    seq: int = 0
    previous: str = GENESIS

    def read_part(self, session: Session) -> list[Row]:
        """The next rows, with their receipts; none at the end."""
        return session.run(
            "SELECT d.seq, d.previous, d.hash, d.body, r.id, r.document FROM ledger_decisions d "
            "LEFT JOIN ledger_receipts r ON r.seq = d.seq WHERE d.seq > %s AND d.seq <= %s "
            "ORDER BY d.seq LIMIT %s",
            (self.seq, self.head.seq, PART),
        )

    def check_part(self, rows: Sequence[Row]) -> None:
        """Check the rows that were read."""
        for row in rows:
            self.check(row)

    def check(self, row: Row) -> None:
        """Check one row against the one before it."""
        seq, previous, digest, body, receipt_id, receipt = row
        if not (isinstance(seq, int) and isinstance(digest, str) and isinstance(body, str)):
            self.findings.add("decisions", self.seq + 1, Flaw.UNREADABLE)
            self.seq = seq if isinstance(seq, int) else self.head.seq
            return
        if seq != self.seq + 1:
            self.findings.add("decisions", self.seq + 1, Flaw.MISSING)
        elif previous != self.previous:
            self.findings.add("decisions", seq, Flaw.PREVIOUS_DIFFERS)
        if entry_hash(seq, str(previous), body) != digest:
            self.findings.add("decisions", seq, Flaw.HASH_DIFFERS)
        if self.expected is not None and seq == self.expected.seq and digest != self.expected.hash:
            self.findings.add("decisions", seq, Flaw.NOT_THE_EXPECTED)
        self._check_receipt(seq, body, receipt_id, receipt)
        self.seq, self.previous = seq, digest

    def finish(self) -> None:
        """Check that the chain ends with its head, and got as far as is expected."""
        if (self.seq, self.previous) != (self.head.seq, self.head.hash):
            self.findings.add("decisions", self.head.seq, Flaw.HEAD_DIFFERS)
        if self.expected is not None and self.expected.seq > self.head.seq:
            self.findings.add("decisions", self.expected.seq, Flaw.CUT_OFF)

    def _check_receipt(self, seq: int, body: str, receipt_id: object, receipt: object) -> None:
        content = parse_stored(body)
        if content is None:
            self.findings.add("decisions", seq, Flaw.UNREADABLE)
            return
        named = receipt_of(content)
        if named is None:
            if receipt_id is not None:
                self.findings.add("receipts", seq, Flaw.NOT_NAMED)
        elif not isinstance(receipt, str):
            self.findings.add("receipts", seq, Flaw.MISSING)
        elif (receipt_id, sha256_hex(receipt.encode())) != named:
            self.findings.add("receipts", seq, Flaw.DIFFERS)
        else:
            self.findings.receipts += 1


def check_edges(session: Session, head: Link, findings: Findings) -> None:
    """Check what no decision leads to: entries past the head, and receipts without a decision."""
    now = session.run("SELECT seq FROM ledger_chain WHERE id = 1")
    for (seq,) in session.run("SELECT d.seq FROM ledger_decisions d WHERE d.seq < 1 LIMIT 100"):
        findings.add("decisions", seq, Flaw.BEFORE_THE_FIRST)
    for (seq,) in session.run(
        "SELECT seq FROM ledger_decisions WHERE seq > %s ORDER BY seq LIMIT 100", (_number(now, head.seq),)
    ):
        findings.add("decisions", seq, Flaw.PAST_THE_HEAD)
    for (seq,) in session.run(
        "SELECT r.seq FROM ledger_receipts r LEFT JOIN ledger_decisions d ON d.seq = r.seq "
        "WHERE d.seq IS NULL ORDER BY r.seq LIMIT 100"
    ):
        findings.add("receipts", seq, Flaw.WITHOUT_DECISION)


@dataclass(slots=True)
class FeedCheck:
    """Walks one feed of ours up to the ``size`` of a head whose tree has the root ``root_hash``."""

    kernel_id: str
    size: int
    root_hash: str
    findings: Findings
    tree: CompactRange = field(default_factory=CompactRange)
    start: int = 0
    at_end: bool = False

    def check_part(self, session: Session) -> None:
        """Check the next entries, and at the end that there are no others."""
        rows = session.run(
            "SELECT leaf, capability_id, document FROM ledger_feed_entries "
            "WHERE kernel_id = %s AND leaf >= %s AND leaf < %s ORDER BY leaf LIMIT %s",
            (self.kernel_id, self.start, self.size, PART),
        )
        leaves: list[bytes] = []
        for leaf, capability_id, stored in rows:
            if leaf != self.start:
                self._add(self.start, Flaw.MISSING)
            document = parse_stored(stored) if isinstance(stored, str) else None
            if document is None or document.get("capabilityId") != capability_id:
                self._add(leaf, Flaw.DIFFERS)
            leaves.append(leaf_hash(str(stored).encode(errors="replace")))
            self.findings.feed_entries += 1
            self.start = leaf + 1 if isinstance(leaf, int) else self.size
        self.tree = self.tree.extend(leaves)
        if len(rows) < PART:
            self._finish(session)

    def _finish(self, session: Session) -> None:
        self.at_end = True
        if self.start != self.size:
            self._add(self.start, Flaw.MISSING)
        if (self.tree.size, self.tree.root.hex()) != (self.size, self.root_hash):
            self._add(self.size, Flaw.HEAD_DIFFERS)
        # That of now: entries may have been added since the beginning.
        if session.run(
            "SELECT 1 FROM ledger_feed_entries e JOIN ledger_feeds f ON f.kernel_id = e.kernel_id "
            "WHERE e.kernel_id = %s AND (e.leaf >= f.size OR e.leaf < 0) LIMIT 1",
            (self.kernel_id,),
        ):
            self._add(self.size, Flaw.PAST_THE_HEAD)

    def _add(self, leaf: object, what: Flaw) -> None:
        self.findings.add("feeds", f"{self.kernel_id} {leaf}", what)


def read_feeds(session: Session, findings: Findings) -> list[FeedCheck]:
    """Our feeds, with the sizes and roots of their heads."""
    rows = session.run("SELECT kernel_id, size, root_hash FROM ledger_feeds ORDER BY kernel_id")
    return [
        FeedCheck(text(session, name), number(session, size), text(session, root), findings)
        for name, size, root in rows
    ]


def _number(rows: list[Row], otherwise: int) -> int:
    return rows[0][0] if rows and isinstance(rows[0][0], int) else otherwise
