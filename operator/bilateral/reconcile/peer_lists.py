"""The peer lists that kernels and nodes mount: Secret ``<trustDomain>-peers``.

Two documents, each a JSON list sorted by kernel id, so that equal trust is equal bytes:

- ``peers.json``: chio's FederationPeer {kernelId, publicKey, establishedAt, rotationDue}, fresh
  peers only (contract, chio-trust-establishment.rs lines 52-65). Keys are bare hex: upstream's parser
  refuses a prefix.
- ``peer-entries.json``: alknet's PeerEntry with its seven fields. An alknet entry has no deadline,
  so a peer that is stale, suspended, mismatching or in conflict is ``enabled: false``. Of two peers
  with one kernel id only the one who keeps it is listed.

A Secret ends at 1 MiB: past :data:`MAX_PART_BYTES` the lists go on in ``-1``, ``-2``, …, each a
pair of whole documents. A part is never deleted, only emptied: a mounted volume keeps its files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bilateral.reconcile.peer_status import Findings, Standing
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.peerentry import build_peer_entry

PEERS = "peers.json"
PEER_ENTRIES = "peer-entries.json"
MAX_PART_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class PeerLine:
    """One peer in both lists: what it says, ready to be joined. ``peer`` is None unless fresh."""

    kernel_id: str
    peer: bytes | None
    entry: bytes

    @property
    def size(self) -> int:
        """The bytes that this line takes in its part, with separators."""
        return len(self.entry) + len(self.peer or b"") + 4

    def withdraws(self, before: PeerLine | None) -> bool:
        """Whether trust that ``before`` gave is gone or another's: such a change does not wait."""
        return before is not None and before.peer is not None and _trusted(before.peer) != _trusted(self.peer)


def _trusted(peer: bytes | None) -> str | None:
    return None if peer is None else str(json.loads(peer)["publicKey"])


def build_line(peer: FederationPeer, found: Findings) -> PeerLine:
    """What a look at a peer puts into the lists."""
    fresh = found.standing is Standing.FRESH and found.blocked is None and found.pin is not None
    chio = None
    if fresh and found.pin is not None:
        chio = _json(
            {
                "kernelId": peer.spec.kernel_id,
                "publicKey": found.pin.public_key.hex,
                "establishedAt": found.pin.established_at,
                "rotationDue": found.pin.rotation_due,
            }
        )
    entry = build_peer_entry(peer, enabled=fresh)
    return PeerLine(kernel_id=peer.spec.kernel_id, peer=chio, entry=_json(entry))


def build_parts(lines: Iterable[PeerLine], at_least: int = 1) -> Iterator[Mapping[str, bytes]]:
    """The data of every part, in order; at least ``at_least`` of them (the last ones may be empty).

    Each is built when it is its turn: those of ten thousand peers are 12 MiB together.
    """
    parts: list[list[PeerLine]] = [[]]
    size = 0
    for line in sorted(lines, key=lambda each: each.kernel_id):
        if size + line.size > MAX_PART_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += line.size
    while len(parts) < at_least:
        parts.append([])
    for part in parts:
        yield _part(part)


def _part(lines: Sequence[PeerLine]) -> Mapping[str, bytes]:
    return {
        PEERS: _list(line.peer for line in lines if line.peer is not None),
        PEER_ENTRIES: _list(line.entry for line in lines),
    }


def _list(items: Iterable[bytes]) -> bytes:
    return b"[" + b",\n ".join(items) + b"]\n"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
