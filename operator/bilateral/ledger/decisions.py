"""Recording decisions: many in one transaction, each a link of the chain.

Rules: the head is held until the transaction is over, so that no two replicas write one number; nothing
is added to a chain whose head is not its last entry; a receipt's id is used once. What was recorded with
a receipt may be recorded again, and is found: so a caller that lost the answer can repeat the call.
"""

from __future__ import annotations

from collections.abc import Sequence

from bilateral.ledger.chain import Entry, entry_hash, parse_stored
from bilateral.ledger.database import Row, Session, Value, number, text
from bilateral.ledger.errors import LedgerConflict, LedgerDamaged
from bilateral.ledger.records import DecisionRecord, Link
from bilateral.protocol.canonical import JSON

_HEAD = "SELECT seq, hash FROM ledger_chain WHERE id = 1"
_RECORDED = """SELECT r.id, d.seq, d.hash, d.body FROM ledger_receipts r
               JOIN ledger_decisions d ON d.seq = r.seq WHERE r.id IN ({ids})"""


def record_decisions(session: Session, entries: Sequence[Entry]) -> list[Link | LedgerConflict]:
    """Add the entries in their order; for each its link, or why it alone was not added."""
    head = hold_head(session)
    known = _find_receipts(session, entries)
    answers: list[Link | LedgerConflict] = []
    decisions: list[tuple[Value, ...]] = []
    receipts: list[tuple[Value, ...]] = []
    for entry in entries:
        found = known.get(entry.receipt_id) if entry.receipt_id is not None else None
        if found is not None:
            link, body = found
            answers.append(link if body == entry.body else LedgerConflict(session.place, "receipt-id"))
            continue
        seq = head.seq + 1
        link = Link(seq, entry_hash(seq, head.hash, entry.body))
        decisions.append((seq, head.hash, link.hash, entry.body))
        if entry.receipt_id is not None:
            receipts.append((entry.receipt_id, seq, entry.receipt))
            known[entry.receipt_id] = (link, entry.body)
        answers.append(link)
        head = link
    if decisions:
        session.run_many(
            "INSERT INTO ledger_decisions (seq, previous, hash, body) VALUES (%s, %s, %s, %s)", decisions
        )
        session.run("UPDATE ledger_chain SET seq = %s, hash = %s WHERE id = 1", (head.seq, head.hash))
    if receipts:
        session.run_many("INSERT INTO ledger_receipts (id, seq, document) VALUES (%s, %s, %s)", receipts)
    return answers


def hold_head(session: Session) -> Link:
    """The head of the chain, held; it must be the last entry. Raises :class:`LedgerDamaged`."""
    head = _head(session, session.run_held(_HEAD))
    last = session.run("SELECT seq, hash FROM ledger_decisions ORDER BY seq DESC LIMIT 1")
    if last != ([(head.seq, head.hash)] if head.seq else []):
        raise LedgerDamaged(session.place, "chain-head")
    return head


def read_head(session: Session) -> Link:
    """What the ledger says is the head of the chain; number 0 while there is no decision."""
    return _head(session, session.run(_HEAD))


def _head(session: Session, rows: Sequence[Row]) -> Link:
    if not rows:
        raise LedgerDamaged(session.place, "chain-head")
    return Link(number(session, rows[0][0]), text(session, rows[0][1]))


def read_decisions(session: Session, after: int, limit: int) -> list[DecisionRecord]:
    """The decisions that follow number ``after``, at most ``limit``, as they are stored."""
    rows = session.run(
        "SELECT seq, previous, hash, body FROM ledger_decisions WHERE seq > %s ORDER BY seq LIMIT %s",
        (after, limit),
    )
    records: list[DecisionRecord] = []
    for row in rows:
        body = parse_stored(text(session, row[3]))
        if body is None:
            raise LedgerDamaged(session.place, "body")
        records.append(
            DecisionRecord(number(session, row[0]), text(session, row[1]), text(session, row[2]), body)
        )
    return records


def find_receipt(session: Session, receipt_id: str) -> dict[str, JSON] | None:
    """The receipt with that id."""
    rows = session.run("SELECT document FROM ledger_receipts WHERE id = %s", (receipt_id,))
    if not rows:
        return None
    document = parse_stored(text(session, rows[0][0]))
    if document is None:
        raise LedgerDamaged(session.place, "receipt")
    return document


def _find_receipts(session: Session, entries: Sequence[Entry]) -> dict[str, tuple[Link, str]]:
    wanted = [entry.receipt_id for entry in entries if entry.receipt_id is not None]
    if not wanted:
        return {}
    rows = session.run(_RECORDED.replace("{ids}", ", ".join(["%s"] * len(wanted))), wanted)
    return {
        text(session, row[0]): (Link(number(session, row[1]), text(session, row[2])), text(session, row[3]))
        for row in rows
    }
