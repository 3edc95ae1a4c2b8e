"""An operator that a test has end itself at a write."""

from __future__ import annotations

import sys
from pathlib import Path

from testbed.locations import TESTS
from testbed.operator import OperatorProcess, OperatorSettings


class MortalOperator(OperatorProcess):
    """An operator that ends itself at a chosen write."""

    def __init__(self, settings: OperatorSettings, directory: Path) -> None:
        super().__init__(settings, directory)
        self.die_at(10**9, "after")

    def die_at(self, count: int, when: str) -> None:
        """Choose the write for the next start."""
        self.program = (sys.executable, TESTS / "support" / "mortal_operator.py", str(count), when)
