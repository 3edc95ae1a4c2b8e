"""The hash chain of the decision log.

An entry's hash is the SHA-256 of the canonical JSON of ``{seq, previous, body}``: its number, the
hash of the entry before it, and everything that was recorded. The first entry's ``previous`` is 64
zeros. Whoever knows the hash of one entry knows whether any entry up to it was changed, left out
or put in; what lies after the last known hash can be cut off unseen, so a head is worth noting
elsewhere (``bilateral ledger verify --expect``).

This module computes. It stores nothing and knows no database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bilateral.protocol.canonical import JSON, canonical_bytes, require_signable, sha256_hex
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.strictjson import parse_json

GENESIS = "0" * 64
"""What stands in ``previous`` of the first entry."""

RECEIPT = "receipt"
"""The member of a body that the ledger itself sets: the receipt's id and hash, or null."""

MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is to be written: canonical texts, so that what is hashed is what is stored."""

    body: str
    receipt_id: str | None
    receipt: str | None
    receipt_hash: str | None


def build_entry(body: Mapping[str, JSON], receipt: Mapping[str, JSON] | None) -> Entry:
    """Write a decision and its receipt canonically, the receipt's id and hash becoming part of the body.

    Raises :class:`MalformedDocument`: a body that has the member ``receipt`` already, that is too
    large or holds what must not be signed, or a receipt without an id.
    """
    if RECEIPT in body:
        raise MalformedDocument("receipt")
    receipt_id = receipt_text = receipt_hash = None
    whole: dict[str, JSON] = {**body, RECEIPT: None}
    if receipt is not None:
        found = receipt.get("id")
        if not isinstance(found, str) or not found or "\0" in found:
            raise MalformedDocument("receipt")
        written = _write(dict(receipt))
        receipt_id, receipt_text, receipt_hash = found, written.decode(), sha256_hex(written)
        whole[RECEIPT] = {"id": receipt_id, "hash": receipt_hash}
    require_signable(whole)
    return Entry(_write(whole).decode(), receipt_id, receipt_text, receipt_hash)


def entry_hash(seq: int, previous: str, body: str) -> str:
    """Hash one entry; ``body`` is canonical JSON, and so is the whole: its members stand in order."""
    return hashlib.sha256(f'{{"body":{body},"previous":"{previous}","seq":{seq}}}'.encode()).hexdigest()


def parse_stored(text: str) -> dict[str, JSON] | None:
    """Read a stored object; ``None`` unless the text is the canonical JSON of an object."""
    try:
        value = parse_json(text.encode())
        if isinstance(value, dict) and canonical_bytes(value).decode() == text:
            return value
    except (MalformedDocument, UnicodeEncodeError):
        pass
    return None


def receipt_of(body: Mapping[str, JSON]) -> tuple[str, str] | None:
    """The id and hash of the receipt that a stored body names; ``None`` where it names none."""
    found = body.get(RECEIPT)
    if isinstance(found, dict):
        name, digest = found.get("id"), found.get("hash")
        if isinstance(name, str) and isinstance(digest, str):
            return name, digest
    return None


def _write(value: JSON) -> bytes:
    written = canonical_bytes(value)
    if len(written) > MAX_BODY_BYTES:
        raise MalformedDocument("too-large")
    return written
