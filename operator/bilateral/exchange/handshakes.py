"""``POST /v1/federation/handshake``: an envelope in, an envelope out, or a refusal.

Rules: the body is parsed strictly before anything is decided; what it means is the handler's
business. Under uniform refusals the causes that tell a stranger who our partners are give one
answer, of the same bytes after the same work: a refusal that came before the signature was
verified is preceded by a verification all the same (R-H1).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.errors import Refusal
from bilateral.exchange.requests import BodySettings, read_bearer, read_json_body
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.handshake import Envelope, parse_envelope
from bilateral.protocol.reasons import Reason
from bilateral.protocol.signatures import verify_signature

_RETRY_SECONDS = 5

UNIFORM_REASONS = frozenset(
    {
        Reason.MISSING_TRUST_ANCHOR,
        Reason.UNEXPECTED_PEER_KEY,
        Reason.INVALID_SIGNATURE,
        Reason.KERNEL_ID_MISMATCH,
        Reason.ADDRESS_MISMATCH,
        Reason.UNAUTHORIZED_BEARER,
        Reason.PEER_NOT_PINNED,
    }
)
"""The refusals that a stranger must not be able to tell apart."""


class HandshakeHandler(Protocol):
    """Whoever decides about envelopes."""

    async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:
        """Judge an envelope and answer with our own; raise ProtocolError or Refusal to refuse."""
        ...


class HandshakeRoute:
    """Turns requests into calls of the handler."""

    def __init__(
        self, handler: HandshakeHandler, body: BodySettings, *, uniform: bool, handler_seconds: float
    ) -> None:
        self._handler = handler
        self._body = body
        self._uniform = uniform
        self._handler_seconds = handler_seconds

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request; refusals are raised."""
        envelope = parse_envelope(await read_json_body(request, self._body))
        try:
            bearer = read_bearer(request)
            async with asyncio.timeout(self._handler_seconds):
                answer = await self._handler.handle(envelope, bearer)
        except TimeoutError:
            raise Refusal(Reason.NOT_READY, retry_after=_RETRY_SECONDS) from None
        except Refusal as refusal:
            if self._uniform and refusal.reason in UNIFORM_REASONS and not refusal.verified:
                _verify_for_nothing(envelope)
            raise
        return build_answer(answer.to_json())


def _verify_for_nothing(envelope: Envelope) -> None:
    """Spend the time of a verification, whatever its result."""
    try:
        verify_signature(
            envelope.declared_public_key, envelope.challenge.canonical_bytes(), envelope.signature
        )
    except ProtocolError:
        return
