"""Decisions, receipts, heads and entries for tests, and a way into the database beside the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import psycopg

from bilateral.ledger.records import FeedEntry, FeedHead, PartnerHead, Relation, Revocation
from bilateral.protocol.canonical import JSON, canonical_bytes
from bilateral.protocol.merkle import CompactRange, leaf_hash

RELATION = Relation("org-b-kernel", "org-a-kernel")
OTHER = Relation("org-b-kernel", "org-c-kernel")


def decision(number: int) -> dict[str, JSON]:
    return {
        "schema": "bilateral.decision.v1",
        "kernelId": "org-b-kernel",
        "partnerId": "org-a-kernel",
        "capabilityIds": [f"cap-{number}"],
        "allowed": number % 2 == 0,
        "reason": None if number % 2 == 0 else "TierExceeded",
        "decidedAt": 1_795_271_467 + number,
    }


def receipt(name: str, timestamp: int = 1) -> dict[str, JSON]:
    return {"id": name, "timestamp": timestamp, "decision": {"verdict": "deny"}}


def entry(name: str, revoked_at: int = 5) -> FeedEntry:
    return FeedEntry(name, revoked_at, {"capabilityId": name, "revokedAt": revoked_at, "signature": "00"})


def feed_head(size: int, published_at: int = 10, names: Sequence[str] = ()) -> FeedHead:
    """A head; only one that is given the names of all entries has the root of their tree."""
    leaves = [leaf_hash(canonical_bytes(dict(entry(name).document))) for name in names]
    root = CompactRange().extend(leaves).root.hex()
    return FeedHead(size, root, published_at, f"org-b-kernel/revocations\n{size}\n")


def partner_head(size: int, published_at: int = 10, root: int | None = None) -> PartnerHead:
    return PartnerHead(
        size,
        f"{size if root is None else root:064x}",
        published_at,
        published_at + 1,
        f"head {size}\n",
        ("aa", "bb"),
    )


def revocations(*names: str, at: int = 7) -> list[Revocation]:
    return [Revocation(name, at) for name in names]


def tamper(url: str, *statements: str) -> None:
    """Change the database as somebody with its file or its password could, guards switched off."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in names:
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("SET session_replication_role = replica")
        for statement in statements:
            server.execute(statement.encode())


def look(url: str, query: str) -> Sequence[tuple[object, ...]]:
    """Read the database beside the ledger."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            return connection.execute(query).fetchall()
    with psycopg.connect(url) as server:
        return server.execute(query.encode()).fetchall()
