"""When to shake hands next.

Rules (resources.md, FederationPeer; architecture.md, Queue):

- A pin is renewed when 65 to 75 % of its window have passed, at a point fixed by the object's UID:
  the same after a restart, and different for each peer, so that nothing stampedes.
- After a failure the delay doubles, with full jitter drawn from the UID and the count of failures
  (so that a decision stays a function of its inputs), up to a ceiling: a 24th of the window while
  the pin is fresh, five minutes while it is not.
- No delay is longer than a quarter of the time that is left before the deadline.
"""

from __future__ import annotations

import hashlib

FIRST_BACKOFF_SECONDS = 2
MAX_UNPINNED_BACKOFF_SECONDS = 300
MIN_BACKOFF_SECONDS = 1
MAX_PAUSE_SECONDS = 3600
"""As long as a partner may ask us to wait (Retry-After), and longer than any back-off."""
EARLIEST_RENEWAL = 0.65
RENEWAL_SPREAD = 0.10
AFTER_REPLAY_SECONDS = (2, 6)
AFTER_INBOUND_SECONDS = (1, 3)


def fraction_of(*parts: str | int) -> float:
    """A number in [0, 1) that depends on the parts alone and is spread evenly over them."""
    text = "\x00".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def renewal_time(uid: str, established_at: int, rotation_due: int) -> int:
    """When a pin's renewal starts (Unix seconds): at 65 to 75 % of its window."""
    window = rotation_due - established_at
    share = EARLIEST_RENEWAL + RENEWAL_SPREAD * fraction_of("renewal", uid)
    return established_at + int(window * share)


def retry_time(uid: str, failures: int, now: int, window: int, rotation_due: int | None) -> int:
    """When to try again after ``failures`` failures in a row (Unix seconds).

    ``rotation_due`` is the deadline of a pin that is still fresh, or None.
    """
    ceiling = (
        MAX_UNPINNED_BACKOFF_SECONDS if rotation_due is None else max(window // 24, FIRST_BACKOFF_SECONDS)
    )
    longest = min(float(ceiling), FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 20))
    delay = longest * (0.5 + 0.5 * fraction_of("retry", uid, failures))
    if rotation_due is not None:
        delay = min(delay, (rotation_due - now) / 4)
    return now + max(MIN_BACKOFF_SECONDS, int(delay))


def soon(uid: str, now: int, between: tuple[int, int]) -> int:
    """A moment between two numbers of seconds from now, by UID and time."""
    low, high = between
    return now + low + int((high - low + 1) * fraction_of("soon", uid, now))
