"""Asking a partner: one verified connection, a question or two, bounded answers.

Rules (``exchange.md``, R-S1 to R-S4, R-T6): where to is decided by ``destinations`` and resolved
once; how the peer is verified is part of the target; the bearer token leaves after that, to that
host, and nowhere else. No redirect is followed, no proxy of the environment is used, no cookie is
kept and nothing is decompressed: this sits on httpcore, which does none of it, rather than on a
client in which each would have to be switched off. Connections are not kept: partners are distinct
hosts, and each handshake proves its peer anew. Whatever goes wrong is one OutboundError with a
word of ours; what the other side said is dropped.

It signs nothing and judges no envelope.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import httpcore

from bilateral import __version__
from bilateral.exchange.bearer import is_token
from bilateral.exchange.destinations import Destinations, Location, Resolver, SystemResolver
from bilateral.exchange.errors import OutboundError
from bilateral.exchange.network import VettedNetwork
from bilateral.exchange.partner import (
    MAX_PROBLEM_BYTES,
    OF_HANDSHAKE,
    OF_INTRODUCTION,
    OF_STATEMENT,
    Meanings,
    read_refusal,
)
from bilateral.exchange.paths import (
    AUTHORITY_PATH,
    HANDSHAKE_PATH,
    INTRODUCTION_STATUS_PATH,
    INTRODUCTIONS_PATH,
)
from bilateral.exchange.verifiers import CertificateAuthority, Contexts, Fingerprint, Verifier, WebPKI
from bilateral.protocol.authority_statement import MAX_STATEMENT_BYTES
from bilateral.protocol.reasons import Reason

__all__ = ["CertificateAuthority", "Fingerprint", "Outbound", "OutboundSettings", "Target", "WebPKI"]

_USER_AGENT = f"bilateral/{__version__}"
_JSON_TYPE = "application/json"
_PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """Bounds of one request: seconds, and bytes of the answer's body."""

    connect_seconds: float = 5.0
    total_seconds: float = 10.0
    max_answer_bytes: int = 1024 * 1024
    minimum_tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask: the endpoint's URL as its TrustDomain tells it, how to know it, what to show it."""

    url: str
    verifier: Verifier
    bearer_token: str | None = field(default=None, repr=False)


class Closable(Protocol):
    """A resolver that holds something."""

    def close(self) -> None:
        """Let it go."""


class Outbound:
    """The client of one process; safe for any number of concurrent requests."""

    def __init__(
        self,
        destinations: Destinations,
        settings: OutboundSettings | None = None,
        *,
        resolver: Resolver | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._destinations = destinations
        self._settings = settings or OutboundSettings()
        self._own_resolver = SystemResolver() if resolver is None else None
        self._resolver: Resolver = resolver or self._own_resolver or SystemResolver()
        self._now = now
        self._contexts = Contexts(self._settings.minimum_tls)
        # At DEBUG, httpcore logs the headers of answers: the other side's words.
        logging.getLogger("httpcore").setLevel(logging.WARNING)

    async def __aenter__(self) -> Outbound:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the resolver's threads go; requests under way end by themselves."""
        if self._own_resolver is not None:
            self._own_resolver.close()

    async def post_handshake(self, target: Target, body: bytes) -> bytes:
        """Send an envelope to a partner's endpoint and return the body of its 200 answer.

        Raises OutboundError, and nothing else: DestinationRefused, NameNotResolved, InvalidSpec (a
        CA bundle or token that cannot be used), ConnectionFailed, TLSVerificationFailed,
        AnswerTimeout, AnswerTooLarge, AnswerInvalid, and for a partner's refusal AwaitingPartner,
        ClockSkewExceeded, ReplayedEnvelope, TooManyRequests or RefusedByPartner.
        """
        return await self._post(target, HANDSHAKE_PATH, body, OF_HANDSHAKE)

    async def get_statement(self, target: Target, kernel_id: str) -> bytes:
        """Ask a partner's endpoint for the authority statement of a kernel; the body of its 200 answer.

        Raises OutboundError as :meth:`post_handshake` does, and NotAnnounced where there is none. The
        bearer token is not sent: statements are for everybody.
        """
        async with self._connected(target) as line:
            return await line.ask(_statement_of(kernel_id))

    async def post_handshake_and_get_statement(
        self, target: Target, body: bytes, kernel_id: str
    ) -> tuple[bytes, bytes | OutboundError]:
        """Send an envelope and, when it was answered, ask for the statement on the same connection.

        What goes wrong with the second question is returned beside the answer to the first.
        """
        answer: bytes | None = None
        try:
            async with self._connected(target) as line:
                answer = await line.ask(_Question("POST", HANDSHAKE_PATH, OF_HANDSHAKE, body), last=False)
                return answer, await line.ask(_statement_of(kernel_id))
        except OutboundError as error:
            if answer is None:
                raise
            return answer, error

    async def post_introduction_request(self, target: Target, body: bytes) -> bytes:
        """Send a request for an introduction and return the body of its 200 or 202 answer.

        Raises OutboundError as :meth:`post_handshake` does, and for a partner's refusal also
        Denied, SubjectRefused and UnknownRequest; AwaitingPartner means that they hold no
        fresh pin of ours.
        """
        return await self._post(target, INTRODUCTIONS_PATH, body, OF_INTRODUCTION)

    async def post_introduction_status(self, target: Target, body: bytes) -> bytes:
        """Ask how a request went; answers and errors are those of :meth:`post_introduction_request`."""
        return await self._post(target, INTRODUCTION_STATUS_PATH, body, OF_INTRODUCTION)

    async def get_document(
        self,
        target: Target,
        query: str,
        meanings: Meanings,
        *,
        max_answer_bytes: int | None = None,
        with_token: bool = False,
    ) -> bytes:
        """Ask for what is at the target's own URL, with a query (``?…``); the body of its 200 answer.

        Raises OutboundError as :meth:`post_handshake` does. The bearer token is sent where it is asked for.
        """
        question = _Question("GET", query, meanings, None, max_answer_bytes, with_token)
        async with self._connected(target) as line:
            return await line.ask(question)

    async def _post(self, target: Target, path: str, body: bytes, meanings: Meanings) -> bytes:
        async with self._connected(target) as line:
            return await line.ask(_Question("POST", path, meanings, body))

    @asynccontextmanager
    async def _connected(self, target: Target) -> AsyncIterator[_Line]:
        """One verified connection, with the time that all questions on it have together."""
        location = self._destinations.locate(target.url)
        if target.bearer_token is not None and not is_token(target.bearer_token):
            raise OutboundError(Reason.INVALID_SPEC)
        context = self._contexts.build(target.verifier)
        origin = httpcore.Origin(b"https", location.host.encode("ascii"), location.port)
        try:
            async with asyncio.timeout(self._settings.total_seconds):
                addresses = await self._destinations.resolve(location, self._resolver)
                network = VettedNetwork(addresses, target.verifier, self._now, self._settings.connect_seconds)
                async with httpcore.AsyncHTTPConnection(
                    origin, ssl_context=context, network_backend=network
                ) as connection:
                    yield _Line(connection, origin, location, target, self._settings.max_answer_bytes)
        except TimeoutError:
            raise OutboundError(Reason.ANSWER_TIMEOUT) from None
        except (httpcore.NetworkError, httpcore.ConnectionNotAvailable, OSError):
            raise OutboundError(Reason.CONNECTION_FAILED) from None
        except httpcore.ProtocolError:
            raise OutboundError(Reason.ANSWER_INVALID) from None


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked; one with a body, or that says so, carries the bearer token, where there is one."""

    method: str
    path: str
    meanings: Meanings
    body: bytes | None = None
    max_answer_bytes: int | None = None
    with_token: bool = False


def _statement_of(kernel_id: str) -> _Question:
    path = f"{AUTHORITY_PATH}?kernelId={kernel_id}"
    return _Question("GET", path, OF_STATEMENT, max_answer_bytes=MAX_STATEMENT_BYTES)


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection on which one question after another is asked."""

    connection: httpcore.AsyncHTTPConnection
    origin: httpcore.Origin
    location: Location
    target: Target
    max_answer_bytes: int

    async def ask(self, question: _Question, *, last: bool = True) -> bytes:
        """Ask, and read the answer whole. Raises OutboundError, or what httpcore raises."""
        request = httpcore.Request(
            question.method.encode("ascii"),
            httpcore.URL(
                scheme=self.origin.scheme,
                host=self.origin.host,
                port=self.origin.port,
                target=_target(self.location.path + question.path),
            ),
            headers=_headers(self.target, self.location, question, last=last),
            content=question.body or b"",
        )
        response = await self.connection.handle_async_request(request)
        try:
            return await self._read_answer(response, question)
        finally:
            await response.aclose()

    async def _read_answer(self, response: httpcore.Response, question: _Question) -> bytes:
        fields = _Fields(response.headers)
        if fields.is_encoded:
            raise OutboundError(Reason.ANSWER_INVALID)
        if response.status in question.meanings.answers:
            if fields.media_type != _JSON_TYPE:
                raise OutboundError(Reason.ANSWER_INVALID)
            return await _read_body(response, question.max_answer_bytes or self.max_answer_bytes)
        problem: bytes | None = None
        if 400 <= response.status <= 499 and fields.media_type == _PROBLEM_TYPE:
            try:
                problem = await _read_body(response, MAX_PROBLEM_BYTES)
            except OutboundError:
                problem = None
        raise read_refusal(response.status, problem, fields.single("retry-after"), question.meanings)


class _Fields:
    """The header fields of an answer that are looked at."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = [(name.lower(), value.strip()) for name, value in raw]

    def single(self, name: str) -> str | None:
        """Return the value of a field that is there exactly once."""
        values = [value for key, value in self._raw if key == name.encode("ascii")]
        return values[0].decode("latin-1") if len(values) == 1 else None

    @property
    def media_type(self) -> str:
        return (self.single("content-type") or "").partition(";")[0].strip().lower()

    @property
    def is_encoded(self) -> bool:
        return any(key == b"content-encoding" and value.lower() != b"identity" for key, value in self._raw)


def _headers(
    target: Target, location: Location, question: _Question, *, last: bool
) -> list[tuple[bytes, bytes]]:
    headers = {
        "Host": location.authority,
        "User-Agent": _USER_AGENT,
        "Accept": f"{_JSON_TYPE}, {_PROBLEM_TYPE}",
        "Accept-Encoding": "identity",
        "Connection": "close" if last else "keep-alive",
    }
    if question.body is not None:
        headers |= {"Content-Type": _JSON_TYPE, "Content-Length": str(len(question.body))}
    if target.bearer_token is not None and (question.body is not None or question.with_token):
        headers["Authorization"] = f"Bearer {target.bearer_token}"
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _target(path: str) -> bytes:
    # What has no path is asked for as "/" (RFC 9112, section 3.2.1).
    return (path if path.startswith("/") else f"/{path}").encode("ascii")


async def _read_body(response: httpcore.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > limit:
            raise OutboundError(Reason.ANSWER_TOO_LARGE)
    return bytes(body)
