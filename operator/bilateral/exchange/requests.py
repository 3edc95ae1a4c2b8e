"""Reading a request: the checks that cost nothing first, then the body, bounded in size and time.

Rules: the order is media type, content coding, declared size, body; the body is at most
``max_body_bytes`` however it is sent, and is complete within ``body_seconds``; compressed bodies
are refused, never inflated. Each failure is a Refusal with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from bilateral.exchange.bearer import MalformedAuthorizationError, parse_authorization
from bilateral.exchange.deadlines import limit
from bilateral.exchange.errors import Refusal
from bilateral.protocol.reasons import Reason

_JSON = re.compile(r'application/json(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BodySettings:
    """Bounds of a request's body, in bytes and seconds."""

    max_body_bytes: int = 16 * 1024
    body_seconds: float = 5.0


async def read_json_body(request: web.BaseRequest, settings: BodySettings) -> bytes:
    """Read the body of a request that must be JSON; its syntax is for the parser to judge.

    Raises Refusal: UnsupportedMediaType, DocumentTooLarge or RequestTimeout.
    """
    types = request.headers.getall("Content-Type", [])
    codings = request.headers.getall("Content-Encoding", [])
    if len(types) != 1 or not _JSON.fullmatch(types[0].strip(" \t")) or codings:
        raise Refusal(Reason.UNSUPPORTED_MEDIA_TYPE)
    length = request.content_length
    if length is not None and length > settings.max_body_bytes:
        raise Refusal(Reason.DOCUMENT_TOO_LARGE)
    try:
        async with limit(settings.body_seconds):
            if request.headers.get("Expect", "").lower() == "100-continue" and not request.content.is_eof():
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            return await _read(request, settings.max_body_bytes)
    except TimeoutError:
        raise Refusal(Reason.REQUEST_TIMEOUT) from None


async def _read(request: web.BaseRequest, limit: int) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limit:
            raise Refusal(Reason.DOCUMENT_TOO_LARGE)
    return bytes(body)


def read_bearer(request: web.BaseRequest) -> str | None:
    """Read the bearer token; raises Refusal(UnauthorizedBearer) when there is one that is not a token."""
    try:
        return parse_authorization(request.headers.getall("Authorization", []))
    except MalformedAuthorizationError:
        raise Refusal(Reason.UNAUTHORIZED_BEARER) from None
