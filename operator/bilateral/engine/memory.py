"""Keeps the process small: settings of what we run on, and a broom.

- asyncio reserves 256 KiB for reading for every TLS connection. Ours carry envelopes and objects of
  a few kilobytes, at the endpoint some hundred connections of strangers: 32 KiB, two TLS records,
  do. 250 idle connections then take 15 MiB instead of 69.
- glibc keeps what large blocks leave behind, such as the pages of a list, for the next ones. It is
  told to hand blocks of 128 KiB and more back at once, and the end of the heap soon.
- glibc has a heap for every thread. Ours only resolve names, and share the first: eight of them then take 1 MiB
  instead of 3.4.

The first two save 14 MiB after a first pass over 1,000 peers, and 18 after their renewals.

The broom: every connection leaves a cycle of 1.6 KiB behind (asyncio's transport holds a method of its own). Python
looks for old cycles only when a quarter as many objects as there are have come, which with ten thousand peers is
late. So what is held after the start is left out of the search, which makes it short, and it is made every ten
seconds in which anything happened; then glibc gives back the pages between what is left.

None of it changes what the program does; where there is no such setting, nothing is set.
"""

from __future__ import annotations

import ctypes
import gc
from asyncio import sslproto
from collections.abc import Callable
from contextlib import suppress

TLS_READ_BYTES = 32 * 1024
SWEEP_TICKS = 10
_ARENA_MAX = (-8, 1)  # M_ARENA_MAX in <malloc.h>
_TRIM_THRESHOLD = (-1, 256 * 1024)  # M_TRIM_THRESHOLD
_MMAP_THRESHOLD = (-3, 128 * 1024)  # M_MMAP_THRESHOLD


def keep_small() -> None:
    """Make the settings."""
    if hasattr(sslproto.SSLProtocol, "max_size"):
        sslproto.SSLProtocol.max_size = TLS_READ_BYTES
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    for parameter, value in (_ARENA_MAX, _TRIM_THRESHOLD, _MMAP_THRESHOLD):
        mallopt(parameter, value)


class Broom:
    """Sweeps once in :data:`SWEEP_TICKS` ticks, where there was work since the last time."""

    def __init__(self) -> None:
        self._ticks = 0
        self._trim: Callable[[int], int] | None = None
        # Another C library has no such function.
        with suppress(AttributeError, OSError, TypeError):
            self._trim = ctypes.CDLL(None).malloc_trim

    def settle(self) -> None:
        """What is held now stays: do not search it for cycles again."""
        gc.collect()
        gc.freeze()

    def tick(self) -> None:
        """A second has passed."""
        self._ticks += 1
        if self._ticks % SWEEP_TICKS == 0:
            self.sweep()

    def sweep(self) -> bool:
        """Collect old cycles and give free pages back; false when nothing has aged since the last time."""
        if gc.get_count()[2] == 0:
            return False
        gc.collect()
        if self._trim is not None:
            self._trim(0)
        return True
