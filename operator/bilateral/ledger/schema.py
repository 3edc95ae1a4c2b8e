"""The tables, as numbered migrations; every one is applied once, whole, by whoever comes first.

Rules: a migration that was released is never changed, another follows it. A ledger with a number that
this program does not know was migrated by a newer one and is refused. Decisions, receipts, entries of
feeds and evidence can only be added, revocations moreover only be given a later time; triggers hold
this against a mistake of ours, not against who may change the database: for that there is the chain.
"""

from __future__ import annotations

from bilateral.ledger.database import Session, number
from bilateral.ledger.errors import LedgerIncompatible

_TABLES = (
    """CREATE TABLE ledger_decisions (
         seq BIGINT PRIMARY KEY,
         previous TEXT NOT NULL,
         hash TEXT NOT NULL,
         body TEXT NOT NULL)""",
    """CREATE TABLE ledger_receipts (
         id TEXT PRIMARY KEY,
         seq BIGINT NOT NULL UNIQUE REFERENCES ledger_decisions (seq),
         document TEXT NOT NULL)""",
    """CREATE TABLE ledger_chain (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         seq BIGINT NOT NULL,
         hash TEXT NOT NULL)""",
    # 64 zeros: chain.GENESIS.
    "INSERT INTO ledger_chain VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000')",
    """CREATE TABLE ledger_feeds (
         kernel_id TEXT PRIMARY KEY,
         size BIGINT NOT NULL,
         root_hash TEXT,
         published_at BIGINT,
         checkpoint TEXT)""",
    """CREATE TABLE ledger_feed_entries (
         kernel_id TEXT NOT NULL REFERENCES ledger_feeds (kernel_id),
         leaf BIGINT NOT NULL,
         capability_id TEXT NOT NULL,
         revoked_at BIGINT NOT NULL,
         document TEXT NOT NULL,
         PRIMARY KEY (kernel_id, leaf),
         UNIQUE (kernel_id, capability_id))""",
    """CREATE TABLE ledger_partners (
         id {serial},
         kernel_id TEXT NOT NULL,
         partner_id TEXT NOT NULL,
         size BIGINT,
         root_hash TEXT,
         published_at BIGINT,
         received_at BIGINT,
         checkpoint TEXT,
         frontier TEXT,
         UNIQUE (kernel_id, partner_id))""",
    """CREATE TABLE ledger_revocations (
         partner BIGINT NOT NULL REFERENCES ledger_partners (id),
         capability_id TEXT NOT NULL,
         revoked_at BIGINT NOT NULL,
         PRIMARY KEY (partner, capability_id)){clustered}""",
    """CREATE TABLE ledger_evidence (
         id TEXT NOT NULL,
         kernel_id TEXT NOT NULL,
         partner_id TEXT NOT NULL,
         kept_at BIGINT NOT NULL,
         document TEXT NOT NULL,
         PRIMARY KEY (kernel_id, partner_id, id))""",
)
_APPEND_ONLY = ("ledger_decisions", "ledger_receipts", "ledger_feed_entries", "ledger_evidence")
_NEVER_DELETED = ("ledger_chain", "ledger_feeds", "ledger_partners", "ledger_revocations")
_REFUSE = """CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'append-only' USING ERRCODE = '23000'; END $$"""


def _guard(table: str, verb: str, *, postgresql: bool) -> str:
    name = f"{table}_no_{verb.lower()}"
    if postgresql:
        return f"CREATE TRIGGER {name} BEFORE {verb} ON {table} EXECUTE FUNCTION ledger_refuse()"
    return f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END"


def _first(*, postgresql: bool) -> list[str]:
    serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY" if postgresql else "INTEGER PRIMARY KEY"
    clustered = "" if postgresql else " WITHOUT ROWID"
    statements = [each.replace("{serial}", serial).replace("{clustered}", clustered) for each in _TABLES]
    gone: tuple[str, ...] = ("DELETE",)
    if postgresql:
        statements.append(_REFUSE)
        gone = ("DELETE", "TRUNCATE")
    guards = [(table, verb) for table in _APPEND_ONLY for verb in ("UPDATE", *gone)]
    guards += [(table, verb) for table in _NEVER_DELETED for verb in gone]
    statements += [_guard(table, verb, postgresql=postgresql) for table, verb in guards]
    return statements


MIGRATIONS = (_first,)
"""Migration *n* is the entry *n* - 1."""

VERSION = len(MIGRATIONS)
_ADVISORY_LOCK = 0x62696C6174657261  # "bilatera": one replica migrates, the others wait
_VERSIONS = "CREATE TABLE ledger_migrations (number BIGINT PRIMARY KEY)"


def migrate(session: Session) -> None:
    """Bring the ledger to :data:`VERSION`. Raises :class:`LedgerIncompatible` for one of a newer program."""
    if session.is_postgresql:
        session.run("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
    version = _find_version(session)
    if version is None:
        session.run(_VERSIONS)
    for step in range(version or 0, VERSION):
        for statement in MIGRATIONS[step](postgresql=session.is_postgresql):
            session.run(statement)
        session.run("INSERT INTO ledger_migrations (number) VALUES (%s)", (step + 1,))


def is_current(session: Session) -> bool:
    """Whether nothing is to be migrated. Raises :class:`LedgerIncompatible` for one of a newer program."""
    return _find_version(session) == VERSION


def _find_version(session: Session) -> int | None:
    """The number of the last migration; ``None`` in a database that has none of our tables."""
    if session.is_postgresql:
        # The catalogue itself: to_regclass would answer from a cache, as it was before we waited for the lock.
        there = session.run(
            "SELECT 1 FROM pg_tables "
            "WHERE tablename = 'ledger_migrations' AND schemaname = ANY (current_schemas(false))"
        )
    else:
        there = session.run("SELECT 1 FROM sqlite_master WHERE name = 'ledger_migrations'")
    if not there:
        return None
    ((found,),) = session.run("SELECT coalesce(max(number), 0) FROM ledger_migrations")
    version = number(session, found)
    if version > VERSION:
        raise LedgerIncompatible(session.place)
    return version
