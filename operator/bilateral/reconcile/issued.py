"""The record of what our authorities signed, as data: who has which serial number, and until when.

It lives in Secrets ``<trustDomain>-issued``, ``-issued-1``, …, each a text of JSON lines under
``issued.jsonl``. Rules:

- An entry is written before what was signed leaves, so nothing that is out is unknown here.
- What belongs to nobody any more is withdrawn, whenever that is noticed: the record, not an event,
  tells what the owner had. A withdrawal keeps its first date.
- An entry leaves after its certificate's end; a withdrawn one only when no list names it any more.
- A line that cannot be read stays where it is: it is somebody's work, and hides no other line.

It performs nothing; the shards are written by :mod:`bilateral.engine.issued`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from typing import Final, TypeAlias

from cryptography import x509

from bilateral.pki.names import rfc4514_name
from bilateral.pki.profiles import serial_text
from bilateral.pki.revocations import Revocation
from bilateral.pki.slugs import build_slug
from bilateral.protocol.canonical import JSON
from bilateral.resources.errors import MalformedTime
from bilateral.resources.times import format_time, parse_time

ISSUED_KEY: Final = "issued.jsonl"
MAX_SHARD_BYTES: Final = 32 * 1024
"""Small, for a shard is written anew with each entry that it gets, and others wait for that."""
MAX_SHARDS: Final = 8000

_SERIAL = re.compile(r"[0-9a-f]{1,40}")
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class Owner:
    """The object for which something was signed."""

    kind: str  # as in its manifest: Introduction, WorkloadIdentity, TrustDomain
    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class IssuedEntry:
    """One certificate that an authority of ours signed; times are Unix seconds."""

    serial: int
    subject: str
    not_after: int
    authority: str  # the slug
    owner: Owner
    withdrawn_at: int | None = None

    def to_line(self) -> str:
        """The entry as one line of JSON, without the end of the line."""
        members: dict[str, JSON] = {
            "serial": serial_text(self.serial),
            "subject": self.subject,
            "notAfter": format_time(self.not_after),
            "authority": self.authority,
            "owner": {"kind": self.owner.kind, "uid": self.owner.uid, "name": self.owner.name},
        }
        if self.withdrawn_at is not None:
            members["withdrawnAt"] = format_time(self.withdrawn_at)
        return _COMPACT.encode(members)


def entry_for(certificate: x509.Certificate, authority: x509.Certificate, owner: Owner) -> IssuedEntry:
    """The entry of a certificate that ``authority`` has just signed for ``owner``."""
    return IssuedEntry(
        serial=certificate.serial_number,
        subject=rfc4514_name(certificate.subject),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        authority=build_slug(authority),
        owner=owner,
    )


Line: TypeAlias = IssuedEntry | str
"""An entry, or the text of a line that cannot be read."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The lines of one Secret, in their order."""

    lines: tuple[Line, ...] = ()

    def to_bytes(self) -> bytes:
        """The text of the Secret."""
        return "".join(
            (line if isinstance(line, str) else line.to_line()) + "\n" for line in self.lines
        ).encode()

    @property
    def entries(self) -> tuple[IssuedEntry, ...]:
        """What can be read."""
        return tuple(line for line in self.lines if isinstance(line, IssuedEntry))


def parse_shard(data: bytes) -> Shard:
    """Read a shard; nothing in it is an error."""
    text = data.decode("utf-8", "replace")
    return Shard(tuple(_parse_line(line) for line in text.split("\n") if line))


def append(shards: Sequence[Shard], sizes: Sequence[int], entries: Sequence[IssuedEntry]) -> dict[int, Shard]:
    """Put entries into shards; those that differ, by number.

    The last one is filled first, then those of which half has expired, then new ones. ``sizes`` are the
    bytes of the shards as they are.
    """
    last = len(shards) - 1
    emptied = [at for at in range(last) if sizes[at] <= MAX_SHARD_BYTES // 2]
    places = chain([last] if shards else [], emptied, count(len(shards)))
    added: dict[int, list[IssuedEntry]] = {}
    number, size = next(places), sizes[last] if shards else 0
    for entry in entries:
        length = len(entry.to_line()) + 1
        while size and size + length > MAX_SHARD_BYTES:
            number = next(places)
            size = sizes[number] if number < len(sizes) else 0
        added.setdefault(number, []).append(entry)
        size += length
    before = {at: shards[at].lines if at < len(shards) else () for at in added}
    return {at: Shard((*before[at], *entries)) for at, entries in added.items()}


def withdraw(shard: Shard, is_owned: Callable[[Owner], bool], now: int) -> Shard:
    """Mark as withdrawn at ``now`` every entry in date whose owner is not entitled to it any more."""
    return Shard(
        tuple(
            replace(line, withdrawn_at=now)
            if isinstance(line, IssuedEntry)
            and line.withdrawn_at is None
            and line.not_after >= now
            and not is_owned(line.owner)
            else line
            for line in shard.lines
        )
    )


def expire(shard: Shard, listed: Mapping[str, Collection[int]], now: int) -> Shard:
    """Leave out what is past its end; a withdrawn entry only when its authority's list lacks it.

    ``listed`` are the serial numbers in the current revocation lists, by slug.
    """
    return Shard(tuple(line for line in shard.lines if not _is_over(line, listed, now)))


def is_worth_writing(before: Shard, after: Shard) -> bool:
    """Whether what left a shard is enough for a write: a quarter of it, or all there was."""
    left = len(before.lines) - len(after.lines)
    return left > 0 and (left * 4 >= len(before.lines) or not after.lines)


def revocations_of(entries: Iterable[IssuedEntry]) -> dict[str, list[Revocation]]:
    """What a revocation list must name, by the slug of the authority."""
    found: dict[str, list[Revocation]] = {}
    for entry in entries:
        if entry.withdrawn_at is not None:
            found.setdefault(entry.authority, []).append(
                Revocation(
                    entry.serial,
                    datetime.fromtimestamp(entry.withdrawn_at, UTC),
                    datetime.fromtimestamp(entry.not_after, UTC),
                )
            )
    return found


def authorities_in_use(entries: Iterable[IssuedEntry], now: int) -> frozenset[str]:
    """The slugs of the authorities to which something valid still chains."""
    return frozenset(
        entry.authority for entry in entries if entry.withdrawn_at is None and entry.not_after >= now
    )


def _is_over(line: Line, listed: Mapping[str, Collection[int]], now: int) -> bool:
    if isinstance(line, str) or line.not_after >= now:
        return False
    return line.withdrawn_at is None or line.serial not in listed.get(line.authority, ())


def _parse_line(text: str) -> Line:
    try:
        value = json.loads(text)
        owner = value["owner"]
        serial, withdrawn = value["serial"], value.get("withdrawnAt")
        texts = (value["subject"], value["authority"], owner["kind"], owner["uid"], owner["name"])
        if _SERIAL.fullmatch(serial) is None or not all(isinstance(each, str) for each in texts):
            return text
        return IssuedEntry(
            serial=int(serial, 16),
            subject=texts[0],
            not_after=parse_time(value["notAfter"]),
            authority=texts[1],
            owner=Owner(kind=texts[2], uid=texts[3], name=texts[4]),
            withdrawn_at=None if withdrawn is None else parse_time(withdrawn),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MalformedTime):
        return text
