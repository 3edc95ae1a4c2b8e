"""What a decision says: the wanted status, the wanted Secrets, what to ask, when to look again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bilateral.protocol.reasons import Reason


class Recipe(StrEnum):
    """How the content of a generated Secret is made; decisions name it, the engine makes it."""

    SIGNING_KEY = "signing-key"
    SEAL = "seal"
    AUTHORITY = "authority"
    ENDPOINT_CERTIFICATE = "endpoint-certificate"


@dataclass(frozen=True, slots=True)
class GeneratedSecret:
    """A Secret whose content is made once and kept; ``replaces`` names the version to replace."""

    name: str
    recipe: Recipe
    replaces: str | None = None  # resourceVersion; None: create only, never overwrite


@dataclass(frozen=True, slots=True)
class WrittenSecret:
    """A Secret whose whole content follows from what is known: written when it differs."""

    name: str
    data: Mapping[str, bytes]
    type: str = "Opaque"


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret as decisions see it. Its repr shows no content."""

    name: str
    uid: str
    resource_version: str
    owner_uid: str | None
    referenced: bool
    type: str
    data: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found on the way: the reason, and one sentence of ours."""

    reason: Reason
    message: str


def next_after(now: int, moments: Iterable[int | None]) -> int | None:
    """The earliest of these moments that is still ahead (Unix seconds), if one is: when to look again."""
    return min((moment for moment in moments if moment is not None and moment > now), default=None)
