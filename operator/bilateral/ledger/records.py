"""What the ledger stores and gives back: frozen values, no behaviour.

Times are Unix seconds, hashes 64 lower-case hex digits, documents JSON values. The ledger does not
look into a checkpoint, an entry or evidence: their modules in ``protocol`` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bilateral.protocol.canonical import JSON


@dataclass(frozen=True, slots=True)
class Link:
    """Where a decision stands in the chain."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision of the log; ``body`` has the member ``receipt`` (``{id, hash}`` or null) added to it."""

    seq: int
    previous: str
    hash: str
    body: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Relation:
    """Two kernels: one of ours, and the partner of whom something is kept."""

    kernel_id: str
    partner_id: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """One capability that is revoked, and since when."""

    capability_id: str
    revoked_at: int


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry of a feed of ours: what is indexed of it, and the whole signed entry."""

    capability_id: str
    revoked_at: int
    document: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The last signed head of a feed of ours; it commits to the first ``size`` entries."""

    size: int
    root_hash: str
    published_at: int
    checkpoint: str


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of a feed of ours and the head of the same moment; ``start`` is the first entry's leaf index."""

    start: int
    entries: tuple[Mapping[str, JSON], ...]
    head: FeedHead | None


@dataclass(frozen=True, slots=True)
class PartnerHead:
    """How far a partner's feed was read, and the newest head that was accepted of it (the high-water mark).

    ``size`` and ``root_hash`` are of the entries that are stored, ``frontier`` the hashes of their compact
    range, as hex; ``checkpoint`` may commit to more. The times are those of the newest head that was reached.
    """

    size: int
    root_hash: str
    published_at: int
    received_at: int
    checkpoint: str
    frontier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What convicts a partner; ``id`` is the SHA-256 of the document, so that it is kept once."""

    id: str
    relation: Relation
    kept_at: int
    document: Mapping[str, JSON]
