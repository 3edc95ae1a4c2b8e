"""The optional members that newer chio kernels put into a handshake challenge.

They are read and covered by the signature, and mean nothing to us yet: our own challenges never
carry them, because older kernels refuse them (chio's conformance tiers and capability negotiation).

Rules kept here: what the sender wrote is what is verified, so a member that upstream would leave
out at its default is kept if it came; members unknown to the schema are refused, at every level.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.identifiers import is_nonce
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.strictjson import JSON

CAPABILITIES_SCHEMA: Final = "chio.capabilities.v1"
CONFORMANCE_TIERS: Final = ("bronze", "silver", "gold")
EXTENSION_MEMBERS: Final = frozenset({"capabilities", "conformanceTier", "ladderManifestRef"})

_FEATURE = re.compile(r"[a-z0-9_.-]{1,96}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LadderManifestRef:
    """A reference to a conformance manifest; times in milliseconds since 1970, expiry after issue."""

    manifest_id: str
    sha256: str
    issued_at_unix_ms: int
    expires_at_unix_ms: int


@dataclass(frozen=True, slots=True)
class Extensions:
    """The optional members of one challenge; ``None`` where the sender left one out.

    ``features`` are (name, whether supported) in the sender's order.
    """

    features: tuple[tuple[str, bool], ...] | None = None
    conformance_tier: str | None = None
    ladder_manifest: LadderManifestRef | None = None

    def to_members(self) -> dict[str, JSON]:
        """Build the members again as they were received."""
        members: dict[str, JSON] = {}
        if self.features is not None:
            members["capabilities"] = {"schema": CAPABILITIES_SCHEMA, "features": dict(self.features)}
        if self.conformance_tier is not None:
            members["conformanceTier"] = self.conformance_tier
        if self.ladder_manifest is not None:
            manifest = self.ladder_manifest
            members["ladderManifestRef"] = {
                "manifestId": manifest.manifest_id,
                "sha256": manifest.sha256,
                "issuedAtUnixMs": manifest.issued_at_unix_ms,
                "expiresAtUnixMs": manifest.expires_at_unix_ms,
            }
        return members


def parse_extensions(members: Mapping[str, JSON]) -> Extensions:
    """Read the members of a challenge that are not of its first generation.

    Raises :class:`MalformedDocument`: ``unknown-member``, or the kebab-case name of the bad member.
    """
    if not members.keys() <= EXTENSION_MEMBERS:
        raise MalformedDocument("unknown-member")
    tier: str | None = None
    if "conformanceTier" in members:
        value = members["conformanceTier"]
        if not isinstance(value, str) or value not in CONFORMANCE_TIERS:
            raise MalformedDocument("conformance-tier")
        tier = value
    return Extensions(
        features=_parse_capabilities(members["capabilities"]) if "capabilities" in members else None,
        conformance_tier=tier,
        ladder_manifest=(
            _parse_manifest(members["ladderManifestRef"]) if "ladderManifestRef" in members else None
        ),
    )


def _parse_capabilities(value: JSON) -> tuple[tuple[str, bool], ...]:
    if not isinstance(value, dict) or value.keys() != {"schema", "features"}:
        raise MalformedDocument("capabilities")
    features = value["features"]
    if value["schema"] != CAPABILITIES_SCHEMA or not isinstance(features, dict):
        raise MalformedDocument("capabilities")
    parsed: list[tuple[str, bool]] = []
    for name, supported in features.items():
        if not isinstance(supported, bool) or _FEATURE.fullmatch(name) is None:
            raise MalformedDocument("capabilities")
        parsed.append((name, supported))
    return tuple(parsed)


def _parse_manifest(value: JSON) -> LadderManifestRef:
    members = {"manifestId", "sha256", "issuedAtUnixMs", "expiresAtUnixMs"}
    if not isinstance(value, dict) or value.keys() != members:
        raise MalformedDocument("ladder-manifest-ref")
    manifest_id, digest = value["manifestId"], value["sha256"]
    if not isinstance(manifest_id, str) or not is_nonce(manifest_id):
        raise MalformedDocument("ladder-manifest-ref")
    if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
        raise MalformedDocument("ladder-manifest-ref")
    issued, expires = _parse_time(value["issuedAtUnixMs"]), _parse_time(value["expiresAtUnixMs"])
    if expires <= issued:
        raise MalformedDocument("ladder-manifest-ref")
    return LadderManifestRef(manifest_id, digest, issued, expires)


def _parse_time(value: JSON) -> int:
    # type(), not isinstance(): True is an int to Python.
    if type(value) is not int or not 0 <= value <= SAFE_INTEGER_MAX:
        raise MalformedDocument("ladder-manifest-ref")
    return value
