"""An operator whose wall clock a test sets."""

from __future__ import annotations

import sys
from pathlib import Path

from cluster.scene import Scene
from testbed.locations import TESTS
from testbed.operator import OperatorProcess, OperatorSettings


class ClockedOperator(OperatorProcess):
    """An operator that starts with the machine's clock; `set_clock` moves it, also while it runs."""

    def __init__(self, settings: OperatorSettings, directory: Path) -> None:
        super().__init__(settings, directory)
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / "clock"
        self.set_clock(0)
        self.program = (sys.executable, TESTS / "support" / "clocked_operator.py", self._file)

    def set_clock(self, ahead: float) -> None:
        """Have the clock be `ahead` seconds ahead of the machine's; negative: behind."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead))
        new.replace(self._file)  # it is read at any moment: never half of it


def clocked_operator(scene: Scene) -> ClockedOperator:
    """The one operator of a scene."""
    (process,) = scene.started
    assert isinstance(process, ClockedOperator)
    return process
