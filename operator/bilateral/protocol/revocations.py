"""Revocations as documents: an entry of a feed, a page of it, and what a plain chio service answers.

An entry is ``{capabilityId, revokedAt, signerKey, signature}``; what is signed is the canonical JSON of::

    {schema: "bilateral.revocation.v1", kernelId, capabilityId, revokedAt, signerKey}

so that an entry of one kernel's feed is none of another's, even under one key. Its leaf in the feed's tree
is the canonical JSON of the whole entry. A page, which ``GET …/v1/revocations/feed?from=SIZE`` answers, is::

    {schema: "bilateral.revocation-feed.v1", checkpoint, from, entries, consistency}

``checkpoint`` is the signed head (see ``checkpoints``); ``entries`` are leaves number ``from`` and those after
it, at most MAX_PAGE_ENTRIES; ``consistency`` is the proof (base64) that the tree which ends with the page's
last entry is the beginning of the head's tree: empty where it is that tree.

Rules kept here: members are exactly these; identifiers are printable ASCII; base64 is canonical. A signature
says who revoked. That an entry belongs to a feed only the head says; see ``feed_reader``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.canonical import canonical_bytes
from bilateral.protocol.checkpoints import MAX_NOTE_BYTES
from bilateral.protocol.errors import InvalidSignature, MalformedDocument, ProtocolError, UnsupportedSchema
from bilateral.protocol.identifiers import is_capability_id
from bilateral.protocol.merkle import HASH_BYTES, MAX_PROOF_HASHES, leaf_hash
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey, parse_wire_key
from bilateral.protocol.reasons import Reason
from bilateral.protocol.signatures import SigningKey, parse_signature, verify_signature
from bilateral.protocol.strictjson import DOCUMENT_LIMITS, JSON, parse_json

REVOCATION_SCHEMA: Final = "bilateral.revocation.v1"
FEED_SCHEMA: Final = "bilateral.revocation-feed.v1"
MAX_PAGE_ENTRIES: Final = 1000
MAX_PLAIN_REVOCATIONS: Final = 200
"""A chio service answers with no more (``GET /v1/revocations?limit=``)."""

_ENTRY = frozenset({"capabilityId", "revokedAt", "signerKey", "signature"})
_PAGE = frozenset({"schema", "checkpoint", "from", "entries", "consistency"})
_PLAIN = frozenset({"configured", "backend", "count", "revocations"})
_PLAIN_OPTIONAL = frozenset({"capabilityId", "revoked"})
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


class InvalidEntry(ProtocolError):
    """An entry that is not signed by the key it names; ``index`` is its leaf's."""

    reason = Reason.FEED_ENTRY_INVALID

    def __init__(self, index: int) -> None:
        super().__init__(f"entry {index} of the feed is not signed by the key that it names")
        self.index = index


@dataclass(frozen=True, slots=True)
class RevocationEntry:
    """One capability that its organisation withdrew; ``revoked_at`` is Unix seconds."""

    capability_id: str
    revoked_at: int
    signer: PublicKey
    signature: bytes

    def to_wire(self) -> dict[str, JSON]:
        """Write the entry's members."""
        return {
            "capabilityId": self.capability_id,
            "revokedAt": self.revoked_at,
            "signerKey": self.signer.hex,
            "signature": self.signature.hex(),
        }

    @property
    def leaf(self) -> bytes:
        """The hash of the entry's leaf."""
        return leaf_hash(canonical_bytes(self.to_wire()))


def sign_entry(kernel_id: str, capability_id: str, revoked_at: int, key: SigningKey) -> RevocationEntry:
    """Revoke a capability in the feed of a kernel. Raises MalformedDocument for what would not be read."""
    if not is_capability_id(capability_id):
        raise MalformedDocument("capability-id")
    _read_number(revoked_at, "revoked-at")
    message = _signed_bytes(kernel_id, capability_id, revoked_at, key.public_key)
    return RevocationEntry(capability_id, revoked_at, key.public_key, key.sign(message))


def verify_entry(entry: RevocationEntry, kernel_id: str, index: int) -> None:
    """Verify that the key which an entry of the kernel's feed names signed it. Raises InvalidEntry."""
    message = _signed_bytes(kernel_id, entry.capability_id, entry.revoked_at, entry.signer)
    if not entry.signer.is_prime_order:
        # Nobody admitted this key: one for which anybody can sign would name nobody.
        raise InvalidEntry(index)
    try:
        verify_signature(entry.signer, message, entry.signature)
    except InvalidSignature:
        raise InvalidEntry(index) from None


def parse_entry(value: JSON) -> RevocationEntry:
    """Read an entry's members; its signature is for :func:`verify_entry`. Raises MalformedDocument."""
    members = _read_members(value, _ENTRY)
    capability_id, signer, signature = members["capabilityId"], members["signerKey"], members["signature"]
    if type(capability_id) is not str or not is_capability_id(capability_id):
        raise MalformedDocument("capability-id")
    if type(signer) is not str:
        raise MalformedDocument("public-key")
    if type(signature) is not str:
        raise MalformedDocument("signature")
    return RevocationEntry(
        capability_id=capability_id,
        revoked_at=_read_number(members["revokedAt"], "revoked-at"),
        signer=parse_wire_key(signer),
        signature=parse_signature(signature),
    )


def _signed_bytes(kernel_id: str, capability_id: str, revoked_at: int, signer: PublicKey) -> bytes:
    return canonical_bytes(
        {
            "schema": REVOCATION_SCHEMA,
            "kernelId": kernel_id,
            "capabilityId": capability_id,
            "revokedAt": revoked_at,
            "signerKey": signer.hex,
        }
    )


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of a feed; ``start`` is the index of its first entry, ``checkpoint`` a note that says the rest."""

    checkpoint: str
    start: int
    entries: tuple[RevocationEntry, ...]
    consistency: tuple[bytes, ...]

    def to_json(self) -> bytes:
        """Write the page on one line."""
        return _COMPACT.encode(
            {
                "schema": FEED_SCHEMA,
                "checkpoint": self.checkpoint,
                "from": self.start,
                "entries": [each.to_wire() for each in self.entries],
                "consistency": [base64.b64encode(each).decode("ascii") for each in self.consistency],
            }
        ).encode()


def parse_page(data: bytes) -> FeedPage:
    """Read a page; nothing in it is believed yet. Raises MalformedDocument, UnsupportedSchema."""
    value = parse_json(data, DOCUMENT_LIMITS)
    if isinstance(value, dict) and value.get("schema") != FEED_SCHEMA:
        raise UnsupportedSchema(FEED_SCHEMA)
    members = _read_members(value, _PAGE)
    checkpoint, entries, proof = members["checkpoint"], members["entries"], members["consistency"]
    if type(checkpoint) is not str or len(checkpoint) > MAX_NOTE_BYTES:
        raise MalformedDocument("checkpoint")
    if type(entries) is not list or len(entries) > MAX_PAGE_ENTRIES:
        raise MalformedDocument("entries")
    if type(proof) is not list or len(proof) > MAX_PROOF_HASHES:
        raise MalformedDocument("consistency")
    return FeedPage(
        checkpoint=checkpoint,
        start=_read_number(members["from"], "from"),
        entries=tuple([parse_entry(each) for each in entries]),
        consistency=tuple([_read_hash(each) for each in proof]),
    )


@dataclass(frozen=True, slots=True)
class PlainRevocations:
    """What a chio service says without signing it: a lesser source.

    ``is_complete`` is False where the service has, or may have, more revocations than it told.
    """

    capability_ids: tuple[str, ...]
    is_complete: bool


def parse_plain_revocations(data: bytes) -> PlainRevocations:
    """Read the answer to ``GET /v1/revocations?limit=200`` of a chio service. Raises MalformedDocument.

    An id that no token of ours could have is passed over: nobody can present it.
    """
    members = _read_members(parse_json(data, DOCUMENT_LIMITS), _PLAIN, _PLAIN_OPTIONAL)
    configured, listed = members["configured"], members["revocations"]
    count = _read_number(members["count"], "count")
    if type(configured) is not bool:
        raise MalformedDocument("configured")
    if type(listed) is not list or len(listed) > MAX_PLAIN_REVOCATIONS:
        raise MalformedDocument("revocations")
    ids: list[str] = []
    for each in listed:
        entry = _read_members(each, frozenset({"capabilityId", "revokedAt"}))
        _read_number(entry["revokedAt"], "revoked-at")
        capability_id = entry["capabilityId"]
        if type(capability_id) is not str:
            raise MalformedDocument("capability-id")
        if is_capability_id(capability_id):
            ids.append(capability_id)
    # There is no way to ask for what comes after the first 200.
    is_complete = configured and count <= len(listed) < MAX_PLAIN_REVOCATIONS
    return PlainRevocations(tuple(ids), is_complete)


def _read_members(
    value: JSON, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> Mapping[str, JSON]:
    if type(value) is not dict:
        raise MalformedDocument("not-an-object")
    if required - value.keys():
        raise MalformedDocument("missing-member")
    if value.keys() - required - optional:
        raise MalformedDocument("unknown-member")
    return value


def _read_number(value: JSON, cause: str) -> int:
    if type(value) is not int or not 0 <= value <= SAFE_INTEGER_MAX:
        raise MalformedDocument(cause)
    return value


def _read_hash(value: JSON) -> bytes:
    if type(value) is not str:
        raise MalformedDocument("consistency")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedDocument("consistency") from None
    if len(data) != HASH_BYTES or base64.b64encode(data).decode("ascii") != value:
        raise MalformedDocument("consistency")
    return data
