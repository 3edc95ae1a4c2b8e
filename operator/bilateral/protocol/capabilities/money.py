"""Money as chio writes it: an amount in the currency's smallest unit, ``{units, currency}``.

Rules kept here: a currency is 3 to 8 upper-case letters or digits, as ISO 4217 and its relatives have
it, so that it may be shown; two amounts can be compared only in one currency, for there are no rates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bilateral.protocol.capabilities.members import read_integer, read_object, read_text
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import JSON

_MEMBERS = frozenset({"units", "currency"})
_CURRENCY = re.compile(r"[A-Z0-9]{3,8}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: ``units`` in minor units (cents for USD), ``currency`` as ISO 4217 spells it."""

    units: int
    currency: str

    def is_within(self, ceiling: Money) -> bool:
        """Whether this is of the same currency as ``ceiling`` and not more."""
        return self.currency == ceiling.currency and self.units <= ceiling.units

    def to_wire(self) -> dict[str, JSON]:
        """Write it as a chio document has it."""
        return {"units": self.units, "currency": self.currency}

    def __str__(self) -> str:
        return f"{self.units} {self.currency}"


def parse_money(value: JSON, cause: str = "money") -> Money:
    """Read ``{units, currency}``; MalformedDocument (``cause``) for anything else."""
    members = read_object(value, cause, _MEMBERS)
    currency = read_text(members["currency"], cause)
    if _CURRENCY.fullmatch(currency) is None:
        raise MalformedDocument(cause)
    return Money(read_integer(members["units"], cause), currency)
