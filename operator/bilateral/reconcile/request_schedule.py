"""When to ask a partner again for an introduction. Times are Unix seconds.

Rules:

- Who waits for a person asks after 30 seconds, then half as long again each time, up to five minutes;
  after a failure the wait doubles from five seconds, up to five minutes.
- A new introduction is asked for when two thirds of the life are over and up to a twentieth of it more.
- Jitter comes from the object's UID and the moment: a decision stays a function of its inputs, and a
  thousand objects do not ask in one second.
- No wait is longer than a quarter of what is left of the introduction that is held.
"""

from __future__ import annotations

from bilateral.pki.introductions import Introduction
from bilateral.pki.pem import BACKDATE
from bilateral.reconcile.schedule import fraction_of

FIRST_POLL_SECONDS = 30
MAX_POLL_SECONDS = 300
POLL_GROWTH = 1.5
FIRST_BACKOFF_SECONDS = 5
RENEWAL_SPREAD = 0.05
MIN_SECONDS = 1


def after_answer(uid: str, last_wait: int, now: int) -> int:
    """When to ask again after an answer that says to wait; ``last_wait`` is the wait before it, or 0."""
    grown = last_wait * POLL_GROWTH if last_wait <= MAX_POLL_SECONDS else 0
    longest = min(float(MAX_POLL_SECONDS), max(float(FIRST_POLL_SECONDS), grown))
    return now + int(longest * (0.9 + 0.1 * fraction_of("poll", uid, now)))


def after_failure(uid: str, failures: int, now: int) -> int:
    """When to ask again after ``failures`` failures in a row."""
    longest = min(float(MAX_POLL_SECONDS), FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 20))
    return now + max(MIN_SECONDS, int(longest * (0.5 + 0.5 * fraction_of("ask", uid, failures))))


def after_renewal(planned: int, ends_at: int, now: int) -> int:
    """``planned``, or earlier where what is held ends before long."""
    return min(planned, now + max(MIN_SECONDS, (ends_at - now) // 4))


def renewal_time(uid: str, introduction: Introduction) -> int:
    """When to ask for the next introduction: at two thirds of this one's life, and a little later."""
    start = int((introduction.not_before + BACKDATE).timestamp())
    life = max(0, int(introduction.not_after.timestamp()) - start)
    return start + life * 2 // 3 + int(life * RENEWAL_SPREAD * fraction_of("renewal", uid))
