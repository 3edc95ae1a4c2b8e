"""One entry of the table of advice; the rules for its texts stand in ``advice``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason means, and the next step (None: there is nothing to do)."""

    meaning: str
    step: str | None = None
