"""``GET /v1/federation/authority?kernelId=``: the authority statement of one of our trust domains.

Rules: public, and the same for everybody: what it says is signed by the key that partners pin, so
nobody's identity and no token is asked for. The query is exactly one kernel id. A kernel id that is
not ours is a 404, under uniform refusals too: whoever asks for a statement has been told our kernel
id, and our partners' are no part of it.
"""

from __future__ import annotations

import re
from typing import Final, Protocol
from urllib.parse import unquote

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.errors import Refusal
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.reasons import Reason

# Nothing in a kernel id needs to be escaped, but whoever builds a query may escape a colon.
_QUERY: Final = re.compile(r"kernelId=((?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2}){1,759})")


class StatementHandler(Protocol):
    """Whoever has the statements."""

    def statement(self, kernel_id: str) -> bytes:
        """The statement of a kernel of ours; raise Refusal (NotFound, NotReady) where there is none."""
        ...


class StatementRoute:
    """Turns requests into calls of the handler."""

    def __init__(self, handler: StatementHandler) -> None:
        self._handler = handler

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request; refusals are raised."""
        match = _QUERY.fullmatch(request.raw_path.partition("?")[2])
        kernel_id = "" if match is None else unquote(match[1], errors="replace")
        if not is_kernel_id(kernel_id):
            raise Refusal(Reason.MALFORMED_DOCUMENT)
        return build_answer(self._handler.statement(kernel_id))
