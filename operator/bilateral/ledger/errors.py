"""What the ledger cannot do, and why: one tree of errors.

::

    LedgerError
    ├── LedgerMisconfigured   the URL is none, or the driver for it is not installed
    ├── LedgerUnavailable     it cannot be opened or reached, or the connection went away
    ├── LedgerLocked          somebody else held it for longer than we wait
    ├── LedgerFull            there is no room left
    ├── LedgerReadOnly        it may be read, not written
    ├── LedgerDamaged         what is stored is not what was written
    ├── LedgerIncompatible    it is no ledger, or one of a newer program
    └── LedgerConflict        what is to be written contradicts what is stored

Rules: whatever is raised, nothing of the call is half done; a decision whose recording raises is a
denial. An error holds the ledger's place without user and password, and the database's own code
(an SQLSTATE, a name such as ``SQLITE_FULL``): never the database's text, which repeats values.
After :class:`LedgerUnavailable` alone it is unknown whether the call was done: a connection may end
between the commit and its answer. Every write of the ledger can be repeated.
"""

from __future__ import annotations

from typing import ClassVar

from bilateral.protocol.reasons import Reason


class LedgerError(Exception):
    """The ledger did not do what was asked; ``place`` says which one, ``code`` is the database's word."""

    reason: ClassVar[Reason]
    what: ClassVar[str]

    def __init__(self, place: str, code: str | None = None) -> None:
        super().__init__(f"the ledger {place} {self.what}" + (f" ({code})" if code else ""))
        self.place = place
        self.code = code


class LedgerMisconfigured(LedgerError):
    """The URL cannot be used; ``code`` is what is expected, in words of ours."""

    reason = Reason.LEDGER_MISCONFIGURED
    what = "cannot be used"


class LedgerUnavailable(LedgerError):
    """It cannot be opened or reached."""

    reason = Reason.LEDGER_UNAVAILABLE
    what = "cannot be reached"


class LedgerLocked(LedgerError):
    """Somebody else held it for too long; trying again is right."""

    reason = Reason.LEDGER_LOCKED
    what = "is held by somebody else"


class LedgerFull(LedgerError):
    """There is no room left."""

    reason = Reason.LEDGER_FULL
    what = "has no room left"


class LedgerReadOnly(LedgerError):
    """It may be read, not written."""

    reason = Reason.LEDGER_READ_ONLY
    what = "may not be written"


class LedgerDamaged(LedgerError):
    """What is stored is not what was written; ``bilateral ledger verify`` says where."""

    reason = Reason.LEDGER_DAMAGED
    what = "is damaged"


class LedgerIncompatible(LedgerError):
    """Not a ledger, or one that a newer program has migrated."""

    reason = Reason.LEDGER_INCOMPATIBLE
    what = "is not one that this program can use"


class LedgerConflict(LedgerError):
    """What is to be written contradicts what is stored; ``code`` is a kebab-case word of ours."""

    reason = Reason.LEDGER_CONFLICT
    what = "holds something that contradicts this"
