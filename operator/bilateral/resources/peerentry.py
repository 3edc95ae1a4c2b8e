"""A FederationPeer as a record of alknet's peer file: ``PeerEntry``, in one place for whoever writes one.

An alknet record has no deadline, so a peer that may not be relied on is ``enabled: false``: whoever writes
the record says which it is.
"""

from __future__ import annotations

from bilateral.protocol.canonical import JSON
from bilateral.resources.federationpeer import FederationPeer

ENTRY_MEMBERS = (
    "peer_id",
    "fingerprints",
    "auth_token_hash",
    "scopes",
    "resources",
    "display_name",
    "enabled",
)
"""The seven members of a record; ``auth_token_hash`` and ``display_name`` may be absent or null."""


def build_peer_entry(peer: FederationPeer, *, enabled: bool) -> dict[str, JSON]:
    """Build the record of a peer; equal peers give equal records."""
    spec = peer.spec
    entry: dict[str, JSON] = {
        "peer_id": spec.kernel_id,
        "fingerprints": list[JSON](sorted(spec.fingerprints)),
        "scopes": list[JSON](spec.scopes),
        "resources": {kind: list[JSON](names) for kind, names in sorted(spec.resources.items())},
        "display_name": spec.display_name or peer.metadata.name,
        "enabled": enabled,
    }
    if spec.auth_token_hash is not None:
        entry["auth_token_hash"] = spec.auth_token_hash
    return entry
