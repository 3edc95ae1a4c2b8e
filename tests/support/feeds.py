"""A partner's revocation feed, honest or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bilateral.protocol.checkpoints import Checkpoint, sign_checkpoint
from bilateral.protocol.feed_publisher import FeedPublisher
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.merkle import Tree
from bilateral.protocol.revocations import MAX_PAGE_ENTRIES, FeedPage, RevocationEntry, sign_entry

KERNEL = "org-b-kernel"
FEED_KEY = SigningKey.from_seed(b"\x0f" * 32)
OTHER_KEY = SigningKey.from_seed(b"\x0e" * 32)
NOW = 1_800_000_000


class Feed:
    """A feed that lives in memory; ``page`` answers as the endpoint would."""

    def __init__(self, kernel_id: str = KERNEL, key: SigningKey = FEED_KEY) -> None:
        self.kernel_id = kernel_id
        self.key = key
        self.entries: list[RevocationEntry] = []
        self.publisher = FeedPublisher(kernel_id)

    def revoke(self, *capability_ids: str, at: int = NOW, key: SigningKey | None = None) -> Feed:
        made = [sign_entry(self.kernel_id, each, at, key or self.key) for each in capability_ids]
        self.entries += made
        self.publisher.extend(made)
        return self

    def head(self, now: int = NOW) -> str:
        return self.publisher.sign_head(self.key, now)

    def page(self, start: int, now: int = NOW, limit: int = MAX_PAGE_ENTRIES) -> FeedPage:
        return self.publisher.build_page(start, self.entries[start : start + limit], self.head(now))

    def copy(self) -> Feed:
        """The same log, to be continued otherwise."""
        made = Feed(self.kernel_id, self.key)
        made.entries = list(self.entries)
        made.publisher.extend(made.entries)
        return made


def feed_of(count: int, prefix: str = "cap") -> Feed:
    return Feed().revoke(*(f"{prefix}-{number}" for number in range(count)))


def resigned(page: FeedPage, key: SigningKey, **changes: int | bytes | str) -> FeedPage:
    """The page below a head of its own making, signed with ``key``."""
    from bilateral.protocol.checkpoints import parse_checkpoint

    checkpoint = replace(parse_checkpoint(page.checkpoint).checkpoint, **changes)  # type: ignore[arg-type]
    return replace(page, checkpoint=sign_checkpoint(checkpoint, key))


def page_over(entries: Sequence[RevocationEntry], kernel_id: str = KERNEL, now: int = NOW) -> FeedPage:
    """A page of entries whose own signatures nobody looked at."""
    tree = Tree(each.leaf for each in entries)
    note = sign_checkpoint(Checkpoint(kernel_id, tree.size, tree.root(), now), FEED_KEY)
    return FeedPage(note, 0, tuple(entries), ())
