"""Autonomy tiers: how far a party may act by itself (chio's GovernedAutonomyTier).

``direct`` < ``delegated`` < ``autonomous`` are the words of tokens. Policies are published with
``TIER_2_DELEGATED``; that the suffix names the tier and the number its place is our reading
(chio.md, 4.3). A word that is none of these is refused: a ceiling that cannot be read is no ceiling.
"""

from __future__ import annotations

from enum import StrEnum

from bilateral.protocol.errors import MalformedDocument


class AutonomyTier(StrEnum):
    """A tier, as tokens write it."""

    DIRECT = "direct"
    DELEGATED = "delegated"
    AUTONOMOUS = "autonomous"

    @property
    def rank(self) -> int:
        """The tier's place, from 1: a higher one is more autonomy."""
        return _RANKS[self]

    @property
    def camel_case(self) -> str:
        """The tier as the Kubernetes API writes it: ``Delegated``."""
        return self.value.capitalize()

    @property
    def published(self) -> str:
        """The tier as the contract's policies write it: ``TIER_2_DELEGATED``."""
        return f"TIER_{self.rank}_{self.value.upper()}"


_RANKS = {tier: place for place, tier in enumerate(AutonomyTier, start=1)}
_SPELLINGS = {
    spelling: tier
    for tier in AutonomyTier
    for spelling in (tier.value, tier.value.capitalize(), f"TIER_{_RANKS[tier]}_{tier.value.upper()}")
}


def parse_tier(text: str) -> AutonomyTier:
    """Read a tier in any of its spellings. Raises MalformedDocument (``autonomy-tier``)."""
    try:
        return _SPELLINGS[text]
    except KeyError:
        raise MalformedDocument("autonomy-tier") from None
