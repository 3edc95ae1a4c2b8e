"""Revocation feeds over the network: ours, told to everybody, and partners', read page by page.

Rules:

- ``GET /v1/revocations/feed?from=&kernelId=`` is public, as what it says is signed. The query is those two at
  most: where to begin (0, when it is left out), and which of our feeds is meant (it may be left out where there
  is only one);
- a partner's feed is read from the URL that the policy has, as everything is asked for outside: one connection
  a page, a bounded answer, and an end to waiting, also in the middle of a body;
- every page is judged before the next is asked for, off the event loop, and handed on at once: what was
  interrupted goes on from the last page;
- a chio service's own list (``GET …/v1/revocations``, with a bearer token) is a lesser source: nobody signed it.

When to ask, what to keep and whom to refuse is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol
from urllib.parse import unquote

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.client import Outbound, Target
from bilateral.exchange.destinations import parse_url
from bilateral.exchange.errors import Refusal
from bilateral.exchange.partner import OF_FEED
from bilateral.exchange.paths import REVOCATIONS_PATH
from bilateral.protocol.feed_reader import Advance, FeedReader, FeedState
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.reasons import Reason
from bilateral.protocol.revocations import (
    MAX_PLAIN_REVOCATIONS,
    PlainRevocations,
    parse_plain_revocations,
)
from bilateral.protocol.strictjson import DOCUMENT_LIMITS

MAX_PAGES: Final = 1024
"""In one go; what is left is read in the next."""

_RETRY_SECONDS = 5
_FROM = re.compile(r"from=(0|[1-9][0-9]{0,15})")
_KERNEL_ID = re.compile(r"kernelId=((?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2}){1,759})")


class FeedSource(Protocol):
    """Whoever has our feeds."""

    async def feed_page(self, kernel_id: str | None, start: int) -> bytes:
        """The page from ``start`` on of a kernel's feed, or of the only feed for None.

        Raises Refusal (NotFound, NotReady) where there is none.
        """
        ...


class FeedRoute:
    """Turns requests into calls of the source."""

    def __init__(self, source: FeedSource, handler_seconds: float) -> None:
        self._source = source
        self._handler_seconds = handler_seconds

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request; refusals are raised."""
        kernel_id, start = _parse_query(request.raw_path.partition("?")[2])
        try:
            async with asyncio.timeout(self._handler_seconds):
                return build_answer(await self._source.feed_page(kernel_id, start))
        except TimeoutError:
            raise Refusal(Reason.NOT_READY, retry_after=_RETRY_SECONDS) from None


def _parse_query(query: str) -> tuple[str | None, int]:
    """Which feed is asked for, and from where. Raises Refusal (MalformedDocument)."""
    kernel_id: str | None = None
    start: int | None = None
    for part in query.split("&") if query else ():
        if start is None and (found := _FROM.fullmatch(part)):
            start = int(found[1])
        elif kernel_id is None and (found := _KERNEL_ID.fullmatch(part)):
            kernel_id = unquote(found[1], errors="replace")
        else:
            raise Refusal(Reason.MALFORMED_DOCUMENT)
    if kernel_id is not None and not is_kernel_id(kernel_id):
        raise Refusal(Reason.MALFORMED_DOCUMENT)
    return kernel_id, start or 0


async def read_feed(
    outbound: Outbound,
    target: Target,
    reader: FeedReader,
    state: FeedState,
    *,
    now: Callable[[], int],
    max_pages: int = MAX_PAGES,
) -> AsyncIterator[Advance]:
    """Read a partner's feed on from ``state``: one Advance a page, until everything was read or told.

    ``target.url`` is the feed's own; ``now`` is Unix seconds. The last state is not complete where there are
    more than ``max_pages``. Raises OutboundError, or what :meth:`FeedReader.read` raises; what was handed on
    before stays true.
    """
    for _ in range(max_pages):
        query = f"?from={state.read.size}&kernelId={reader.kernel_id}"
        data = await outbound.get_document(target, query, OF_FEED, max_answer_bytes=DOCUMENT_LIMITS.max_bytes)
        # A full page has a thousand signatures: the loop has others to serve meanwhile.
        step = await asyncio.to_thread(reader.read, state, data, now())
        state = step.state
        yield step
        if state.is_complete:
            return


def is_plain_service(url: str) -> bool:
    """Whether a URL is that of a chio service's own list rather than of a feed. Raises OutboundError."""
    return parse_url(url).path.endswith(REVOCATIONS_PATH)


async def read_plain_revocations(outbound: Outbound, target: Target) -> PlainRevocations:
    """Read a chio service's own list, with the target's bearer token.

    Raises OutboundError or MalformedDocument.
    """
    data = await outbound.get_document(target, f"?limit={MAX_PLAIN_REVOCATIONS}", OF_FEED, with_token=True)
    return parse_plain_revocations(data)
