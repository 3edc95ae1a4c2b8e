"""How long a key waits for its next try after failures, and when it need not wait any longer.

Rules: the wait doubles with each failure in a row, up to a minute, with jitter. Where the API server
gave no answer at all, the failure says nothing about the object: such keys are tried again as soon
as the API server is heard of, and a new leader starts without anybody's failures.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_SECONDS = 60.0
FIRST_SECONDS = 0.25


class Backoff(Generic[K]):
    """The failures in a row of each key that has any."""

    def __init__(self) -> None:
        self._failures: dict[K, int] = {}
        self._unanswered: set[K] = set()

    def failed(self, key: K, *, at_least: float = 0.0, answered: bool = True) -> float:
        """Count a failure; return how many seconds to wait."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if answered:
            self._unanswered.discard(key)
        else:
            self._unanswered.add(key)
        # Past the longest wait, more failures change nothing.
        longest = min(MAX_SECONDS, FIRST_SECONDS * 2.0 ** min(failures, 16))
        return max(at_least, random.uniform(longest / 2, longest))  # noqa: S311 - jitter, not a secret

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)
        self._unanswered.discard(key)

    def take_unanswered(self) -> frozenset[K]:
        """The keys whose last failure was that there was no answer; their failures are forgotten."""
        keys, self._unanswered = frozenset(self._unanswered), set()
        for key in keys:
            self._failures.pop(key, None)
        return keys

    def clear(self) -> None:
        """Forget everything."""
        self._failures.clear()
        self._unanswered.clear()
