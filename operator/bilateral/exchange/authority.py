"""``GET /v1/federation/authority?kernelId=``: the authority statement of one of our trust domains.

Rules: public, and the same for everybody: what it says is signed by the key that partners pin, so
nobody's identity and no token is asked for. The query is exactly one kernel id. A kernel id that is
not ours is a 404, under uniform refusals too: whoever asks for a statement has been told our kernel
id, and our partners' are no part of it.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.queries import read_kernel_id


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
        return build_answer(self._handler.statement(read_kernel_id(request)))
