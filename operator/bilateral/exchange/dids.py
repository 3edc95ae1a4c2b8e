"""``GET /v1/federation/did?kernelId=``: the DID document of one of our trust domains.

Rules: public, and the same for everybody, as the authority statement is (``authority``): the identifier
is the key that partners pin, and everything but the services is computed from it. The services are what
the trust domain's spec lists; they are signed by nobody, and as good as the TLS over which they came.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.queries import read_kernel_id


class DidHandler(Protocol):
    """Whoever has the documents."""

    def did_document(self, kernel_id: str) -> bytes:
        """The document of a kernel of ours; raise Refusal (NotFound, NotReady) where there is none."""
        ...


class DidRoute:
    """Turns requests into calls of the handler."""

    def __init__(self, handler: DidHandler) -> None:
        self._handler = handler

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request; refusals are raised."""
        return build_answer(self._handler.did_document(read_kernel_id(request)))
