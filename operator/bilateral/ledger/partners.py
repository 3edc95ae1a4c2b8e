"""What is kept of a partner: the newest head, what is revoked, and evidence against them.

Rules: a head never goes back (``head-regressed``) and two heads of one size have one root
(``head-forked``); a revocation is never removed, and of two times the later one stays; all of it is
keyed by the two kernels' ids, so that nothing of one partner touches another and a deleted object
forgets nothing. A merge that brings nothing new writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bilateral.ledger.chain import parse_stored
from bilateral.ledger.database import Session, number, text
from bilateral.ledger.errors import LedgerConflict, LedgerDamaged
from bilateral.ledger.records import Evidence, PartnerHead, Relation, Revocation
from bilateral.protocol.canonical import JSON, canonical_bytes, sha256_hex

_PARTNER = """SELECT id, size, root_hash, published_at, received_at, checkpoint, frontier
              FROM ledger_partners WHERE kernel_id = %s AND partner_id = %s"""


def merge_revocations(
    session: Session, relation: Relation, revocations: Sequence[Revocation], head: PartnerHead | None
) -> int:
    """Add revocations and, with them, the head that commits to them; say how many were new or later."""
    if not revocations and head is None:
        return 0
    partner, held = _hold_partner(session, relation)
    if head is not None:
        _save_head(session, partner, held, head)
    if not revocations:
        return 0
    return session.run_many(
        "INSERT INTO ledger_revocations (partner, capability_id, revoked_at) VALUES (%s, %s, %s) "
        "ON CONFLICT (partner, capability_id) DO UPDATE SET revoked_at = excluded.revoked_at "
        "WHERE excluded.revoked_at > ledger_revocations.revoked_at",
        [(partner, each.capability_id, each.revoked_at) for each in revocations],
    )


def read_partner_head(session: Session, relation: Relation) -> PartnerHead | None:
    """The newest head that was saved."""
    rows = session.run(_PARTNER, (relation.kernel_id, relation.partner_id))
    return _head(session, rows[0][1:]) if rows else None


def read_revocations(session: Session, relation: Relation, after: str, limit: int) -> list[Revocation]:
    """At most ``limit`` revocations whose ids follow ``after``, in the database's order of ids."""
    rows = session.run(
        "SELECT r.capability_id, r.revoked_at FROM ledger_revocations r "
        "JOIN ledger_partners p ON p.id = r.partner "
        "WHERE p.kernel_id = %s AND p.partner_id = %s AND r.capability_id > %s "
        "ORDER BY r.capability_id LIMIT %s",
        (relation.kernel_id, relation.partner_id, after, limit),
    )
    return [Revocation(text(session, row[0]), number(session, row[1])) for row in rows]


def keep_evidence(session: Session, relation: Relation, document: Mapping[str, JSON], now: int) -> str:
    """Keep evidence against a partner, once; return its id."""
    written = canonical_bytes(dict(document))
    name = sha256_hex(written)
    session.run(
        "INSERT INTO ledger_evidence (id, kernel_id, partner_id, kept_at, document) "
        "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (kernel_id, partner_id, id) DO NOTHING",
        (name, relation.kernel_id, relation.partner_id, now, written.decode()),
    )
    return name


def read_evidence(session: Session, relation: Relation) -> list[Evidence]:
    """All evidence against a partner, the oldest first."""
    rows = session.run(
        "SELECT id, kept_at, document FROM ledger_evidence WHERE kernel_id = %s AND partner_id = %s "
        "ORDER BY kept_at, id",
        (relation.kernel_id, relation.partner_id),
    )
    found: list[Evidence] = []
    for name, kept_at, stored in rows:
        document = parse_stored(text(session, stored))
        if document is None or sha256_hex(text(session, stored).encode()) != name:
            raise LedgerDamaged(session.place, "evidence")
        found.append(Evidence(text(session, name), relation, number(session, kept_at), document))
    return found


def _hold_partner(session: Session, relation: Relation) -> tuple[int, PartnerHead | None]:
    which = (relation.kernel_id, relation.partner_id)
    rows = session.run_held(_PARTNER, which)
    if not rows:
        session.run(
            "INSERT INTO ledger_partners (kernel_id, partner_id) VALUES (%s, %s) "
            "ON CONFLICT (kernel_id, partner_id) DO NOTHING",
            which,
        )
        rows = session.run_held(_PARTNER, which)
    return number(session, rows[0][0]), _head(session, rows[0][1:])


def _save_head(session: Session, partner: int, held: PartnerHead | None, head: PartnerHead) -> None:
    if held is not None:
        if head.size < held.size or head.published_at < held.published_at:
            raise LedgerConflict(session.place, "head-regressed")
        if head.size == held.size and head.root_hash != held.root_hash:
            raise LedgerConflict(session.place, "head-forked")
    if head == held:
        return
    session.run(
        "UPDATE ledger_partners SET size = %s, root_hash = %s, published_at = %s, received_at = %s, "
        "checkpoint = %s, frontier = %s WHERE id = %s",
        (
            head.size, head.root_hash, head.published_at, head.received_at,
            head.checkpoint, ",".join(head.frontier), partner,
        ),
    )  # fmt: skip


def _head(session: Session, row: Sequence[object]) -> PartnerHead | None:
    size, root_hash, published_at, received_at, checkpoint, frontier = row
    if size is None:
        return None
    hashes = text(session, frontier)
    return PartnerHead(
        number(session, size),
        text(session, root_hash),
        number(session, published_at),
        number(session, received_at),
        text(session, checkpoint),
        tuple(hashes.split(",")) if hashes else (),
    )
