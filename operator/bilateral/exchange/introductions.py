"""``POST /v1/federation/introductions`` and ``…/introductions/status``: requests for introductions.

Rules: the body is a signed document, parsed strictly and verified under the key that it names before
anything is decided, so that a stranger and a partner cost the same and are answered after the same
work (R-H1). Who may ask, and what becomes of it, is the handler's business.

| the answer | when |
| --- | --- |
| 200 ``{id, introduction}`` | it was approved and signed |
| 202 ``{id, state}`` | it waits for a person (``Pending``) or for the signature (``Approved``) |
| 403 ``denied`` | a person said no |
| 404 ``unknown-request`` | there is no request of that id by that partner |
| 409 ``peer-not-pinned``, ``peer-stale`` | the caller is no fresh partner: a handshake comes first |
| 422 ``subject-refused`` | the signing request is one that nobody signs here |
| 429 ``too-many-pending`` | too many requests of that partner still wait |

The others are those of the handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, Protocol, TypeVar

from aiohttp import web

from bilateral.exchange.answers import Answer, build_answer
from bilateral.exchange.errors import Refusal
from bilateral.exchange.paths import INTRODUCTION_STATUS_PATH, INTRODUCTIONS_PATH
from bilateral.exchange.requests import BodySettings, read_bearer, read_json_body
from bilateral.protocol.introduction_request import (
    Answered,
    Granted,
    IntroductionRequest,
    StatusRequest,
    build_answer_body,
    parse_introduction_request,
    parse_status_request,
)
from bilateral.protocol.reasons import Reason

_RETRY_SECONDS = 5
_Asked = TypeVar("_Asked")


class IntroductionHandler(Protocol):
    """Whoever decides about requests; each refuses by raising ProtocolError or Refusal."""

    async def request(self, request: IntroductionRequest, bearer: str | None) -> Answered:
        """Take up a request, or find the one that it repeats, and say where it stands."""
        ...

    async def status(self, question: StatusRequest, bearer: str | None) -> Answered:
        """Say where a request stands."""
        ...


class SignedRoute(Generic[_Asked]):
    """Turns requests of one kind into calls of the handler."""

    def __init__(
        self,
        parse: Callable[[bytes], _Asked],
        handle: Callable[[_Asked, str | None], Awaitable[Answered]],
        body: BodySettings,
        handler_seconds: float,
    ) -> None:
        self._parse = parse
        self._handle = handle
        self._body = body
        self._handler_seconds = handler_seconds

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request; refusals are raised."""
        asked = self._parse(await read_json_body(request, self._body))
        bearer = read_bearer(request)
        try:
            async with asyncio.timeout(self._handler_seconds):
                answer = await self._handle(asked, bearer)
        except TimeoutError:
            raise Refusal(Reason.NOT_READY, retry_after=_RETRY_SECONDS) from None
        return build_answer(build_answer_body(answer), status=200 if isinstance(answer, Granted) else 202)


def build_introduction_routes(
    handler: IntroductionHandler, body: BodySettings, handler_seconds: float
) -> Mapping[str, Mapping[str, Callable[[web.BaseRequest], Awaitable[Answer]]]]:
    """Build the routes of both paths, for the endpoint's table."""
    return {
        INTRODUCTIONS_PATH: {
            "POST": SignedRoute[IntroductionRequest](
                parse_introduction_request, handler.request, body, handler_seconds
            )
        },
        INTRODUCTION_STATUS_PATH: {
            "POST": SignedRoute[StatusRequest](parse_status_request, handler.status, body, handler_seconds)
        },
    }
