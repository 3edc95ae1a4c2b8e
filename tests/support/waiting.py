"""Waiting for something to become true, with a deadline; a test never waits for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.03


def wait_for(look: Callable[[], T | None], what: str, seconds: float = 20.0) -> T:
    """Look until there is an answer that counts as true, and return it; fail with ``what`` otherwise."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)
    return found
