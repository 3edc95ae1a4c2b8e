"""Every revocation that is known, in memory: asked at each decision, for any number of partners.

Rules kept here:

- a revocation belongs to the partner whose feed it came from: the same capability id of another is another
  capability (R-F4);
- there is no way to take one back; adding what is there already changes nothing (R-F3);
- a question costs the same whatever the number of partners and of revocations.

What is kept of a revocation are 128 bits of a SHA-256 of partner and id, in open-addressed tables of 16 bytes
a slot: a million take about 35 MB, where a ``set`` of the ids would take some 150. Nobody finds two ids with one
hash; where they did, a capability too many would be refused, never one allowed. There are 256 tables, chosen by
the hash, so that no growth of one stops the process for long.

Rejected: a Bloom filter (refuses what is valid), sorted arrays (slow to add to), the text itself (memory).
One writer at a time; readers never wait, and may at worst miss what is being added while they look.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final, TypeAlias

_TABLES: Final = 256
_SMALLEST: Final = 8
_FULLEST: Final = 0.7
_HALVES: Final = Struct("<QQ16x").unpack

_Table: TypeAlias = "tuple[int, array[int]]"
"""A mask, and slots of two numbers, a hash's halves side by side; a slot of two zeroes is free."""


def _make_table(size: int) -> _Table:
    return size - 1, array("Q", bytes(16 * size))


def _put(table: _Table, high: int, low: int) -> bool:
    """Put a hash into a table that has room; False where it was there."""
    mask, slots = table
    slot = high & mask
    while slots[2 * slot] or slots[2 * slot + 1]:
        if slots[2 * slot] == high and slots[2 * slot + 1] == low:
            return False
        slot = (slot + 1) & mask
    # The half that readers compare first is written last.
    slots[2 * slot + 1] = low
    slots[2 * slot] = high
    return True


def _grow(table: _Table) -> _Table:
    mask, slots = table
    larger = _make_table(2 * (mask + 1))
    for place in range(0, len(slots), 2):
        if slots[place] or slots[place + 1]:
            _put(larger, slots[place], slots[place + 1])
    return larger


class RevocationSet:
    """The revocations of all partners; ``partner`` is whatever names one, without U+0000."""

    __slots__ = ("_counts", "_sizes", "_tables")

    def __init__(self) -> None:
        self._tables = [_make_table(_SMALLEST) for _ in range(_TABLES)]
        self._sizes = [0] * _TABLES
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count(self, partner: str) -> int:
        """How many capabilities the partner has revoked."""
        return self._counts.get(partner, 0)

    def merge(self, partner: str, capability_ids: Iterable[str]) -> int:
        """Add revocations of a partner; return how many were new."""
        if not partner or "\0" in partner:
            raise ValueError("not the name of a partner")
        added = 0
        for capability_id in capability_ids:
            high, low = _hash(partner, capability_id)
            number = low & 0xFF
            table = self._tables[number]
            if _put(table, high, low):
                added += 1
                self._sizes[number] += 1
                if self._sizes[number] > _FULLEST * (table[0] + 1):
                    # One assignment: whoever looks meanwhile has the old table or the new one.
                    self._tables[number] = _grow(table)
        if added:
            self._counts[partner] = self._counts.get(partner, 0) + added
        return added

    def is_revoked(self, partner: str, capability_id: str) -> bool:
        """Whether the partner has revoked the capability."""
        high, low = _hash(partner, capability_id)
        mask, slots = self._tables[low & 0xFF]
        slot = high & mask
        while True:
            found = slots[2 * slot]
            if found == high and slots[2 * slot + 1] == low:
                return True
            if not found and not slots[2 * slot + 1]:
                return False
            slot = (slot + 1) & mask


def _hash(partner: str, capability_id: str) -> tuple[int, int]:
    # No partner has the separator in its name, so no two pairs are one text. What cannot be UTF-8 (a lone
    # surrogate) is hashed as it stands: a question never raises.
    text = f"{partner}\0{capability_id}".encode("utf-8", "surrogatepass")
    halves: tuple[int, int] = _HALVES(sha256(text).digest())
    # Both halves zero would be a free slot; nobody ever sees such a hash, but nobody needs to rely on it.
    return halves if halves[0] or halves[1] else (1, 0)


@dataclass(frozen=True, slots=True)
class PartnerRevocations:
    """What one partner has revoked, and how good the news is: what a decision asks.

    ``fresh_until`` is the second at which the news is too old (Unix seconds), None where there is none;
    ``lesser`` says that it was not signed, ``equivocated`` that the partner was caught showing two histories.
    """

    revocations: RevocationSet
    partner: str
    fresh_until: int | None
    lesser: bool = False
    equivocated: bool = False

    def is_revoked(self, capability_id: str) -> bool:
        """Whether the partner has revoked the capability."""
        return self.revocations.is_revoked(self.partner, capability_id)
