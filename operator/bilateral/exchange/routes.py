"""What partners can ask at the federation endpoint: the table of routes that the listener is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from aiohttp import web

from bilateral.exchange.answers import Answer
from bilateral.exchange.authority import StatementHandler, StatementRoute
from bilateral.exchange.dids import DidHandler, DidRoute
from bilateral.exchange.feeds import FeedRoute, FeedSource
from bilateral.exchange.handshakes import HandshakeHandler, HandshakeRoute
from bilateral.exchange.introductions import IntroductionHandler, build_introduction_routes
from bilateral.exchange.paths import (
    AUTHORITY_PATH,
    DID_PATH,
    EVALUATE_PATH,
    FEED_PATH,
    HANDSHAKE_PATH,
    POLICIES_PATH,
    REVOCATIONS_PATH,
)
from bilateral.exchange.settings import EndpointSettings

Route: TypeAlias = Callable[[web.BaseRequest], Awaitable[Answer]]
Routes: TypeAlias = Mapping[str, Mapping[str, Route]]
"""Routes by path and method."""

WITH_QUERY: Final = frozenset(
    {AUTHORITY_PATH, DID_PATH, FEED_PATH, EVALUATE_PATH, POLICIES_PATH, REVOCATIONS_PATH}
)
"""Everywhere else a query is another path, and there is nothing."""


def build_partner_routes(
    handler: HandshakeHandler,
    settings: EndpointSettings,
    *,
    introductions: IntroductionHandler | None = None,
    statements: StatementHandler | None = None,
    dids: DidHandler | None = None,
    feeds: FeedSource | None = None,
) -> Routes:
    """Build the table; what has no handler does not exist here."""
    handshake = HandshakeRoute(
        handler,
        settings.body,
        uniform=settings.refusals == "Uniform",
        handler_seconds=settings.handler_seconds,
    )
    routes: dict[str, Mapping[str, Route]] = {HANDSHAKE_PATH: {"POST": handshake}}
    if introductions is not None:
        routes |= build_introduction_routes(introductions, settings.body, settings.handler_seconds)
    if statements is not None:
        routes[AUTHORITY_PATH] = {"GET": StatementRoute(statements)}
    if dids is not None:
        routes[DID_PATH] = {"GET": DidRoute(dids)}
    if feeds is not None:
        routes[FEED_PATH] = {"GET": FeedRoute(feeds, settings.handler_seconds)}
    return routes
