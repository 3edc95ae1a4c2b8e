"""What a policy's status says of the news: not written at each reading, and never so old that it misleads."""

from __future__ import annotations

import pytest

from bilateral.engine.readings import keep_told
from bilateral.protocol.policies.policy import FeedSource
from bilateral.resources.federationpolicy import RevocationsStatus

NOW, CEILING = 1_800_000_000, 900


def told(published: int | None, received: int | None, entries: int = 2) -> RevocationsStatus:
    return RevocationsStatus(
        source=FeedSource.SIGNED_FEED, entries=entries, published_at=published, received_at=received
    )


@pytest.mark.parametrize(
    ("before", "found", "kept"),
    [
        (told(NOW - 60, NOW - 60), told(NOW, NOW), True),
        (told(NOW - 449, NOW - 449), told(NOW, NOW), True),
        (told(NOW - 450, NOW - 450), told(NOW, NOW), False),  # half of it is over
        (told(NOW - 460, NOW - 10), told(NOW - 400, NOW), False),  # it was old when it came
        (told(NOW - 460, NOW - 10), told(NOW - 460, NOW), True),  # the same head, read again
        (told(None, NOW - 60), told(None, NOW), True),  # a service without heads
        (told(NOW - 60, NOW - 60), told(NOW, NOW, entries=3), False),
        (told(None, None), told(NOW, NOW), False),
    ],
)
def test_a_status_is_written_anew_when_it_says_something_else_or_half_its_time_is_over(
    before: RevocationsStatus, found: RevocationsStatus, kept: bool
) -> None:
    assert keep_told(before, found, CEILING, NOW) is (before if kept else found)


def test_without_news_or_a_ceiling_nothing_is_kept() -> None:
    news = told(NOW, NOW)
    assert keep_told(news, None, CEILING, NOW) is None
    assert keep_told(None, news, CEILING, NOW) is news
    assert keep_told(news, news, None, NOW) is news
