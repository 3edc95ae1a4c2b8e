"""httpx, by alias: ``with Client("https://org-a-api") as http: http.get("/invoices")``.

Rules: what decides about trust cannot be passed in (no ``verify``, ``cert``, ``proxy``, ``transport``,
``mounts``); the environment is not asked (no proxies, no ``.netrc``); redirects are not followed unless
asked for, and then only to aliases. Everything else is httpx.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from bilateral.client.addresses import Addresses
from bilateral.client.transports import AliasTransport, AsyncAliasTransport
from bilateral.client.trust import find_trust
from bilateral.client.wire import mark_first

_RESERVED: Final = ("verify", "cert", "trust_env", "proxy", "mounts", "transport", "http1", "http2", "app")
_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)


class Client(httpx.Client):
    """An ``httpx.Client`` whose hosts are aliases of services.

    ``base_url`` is ``https://ALIAS[:PORT][/path]``, or empty: then each request's URL names an alias.
    ``config`` is the directory (see :mod:`bilateral.client.places`), ``now`` the clock (POSIX seconds),
    ``options`` those of httpx that have nothing to do with trust. Raises LayoutInvalid; requests raise
    ClientError (see :mod:`bilateral.client.errors`), or what httpx raises about the network.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        config: str | os.PathLike[str] | None = None,
        limits: httpx.Limits = _LIMITS,
        now: Callable[[], float] = time.time,
        **options: Any,  # noqa: ANN401 - httpx's own, checked by it
    ) -> None:
        _verify_options(options)
        transport = AliasTransport(find_trust(config, now), limits)
        self._addresses = Addresses()
        super().__init__(base_url=base_url, transport=transport, trust_env=False, **options)

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        **options: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.Request:
        """Build a request, as httpx does."""
        return self._addresses.build_request(self, super().build_request, method, url, options)

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        """Send a request, as httpx does."""
        mark_first(request)
        return super().send(request, **options)


class AsyncClient(httpx.AsyncClient):
    """The same for asyncio: an ``httpx.AsyncClient`` whose hosts are aliases of services."""

    def __init__(
        self,
        base_url: str = "",
        *,
        config: str | os.PathLike[str] | None = None,
        limits: httpx.Limits = _LIMITS,
        now: Callable[[], float] = time.time,
        **options: Any,  # noqa: ANN401 - httpx's own, checked by it
    ) -> None:
        _verify_options(options)
        transport = AsyncAliasTransport(find_trust(config, now), limits)
        self._addresses = Addresses()
        super().__init__(base_url=base_url, transport=transport, trust_env=False, **options)

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        **options: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.Request:
        """Build a request, as httpx does."""
        return self._addresses.build_request(self, super().build_request, method, url, options)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        """Send a request, as httpx does."""
        mark_first(request)
        return await super().send(request, **options)


def _verify_options(options: dict[str, Any]) -> None:
    for name in _RESERVED:
        if name in options:
            raise TypeError(
                f"{name} cannot be given: how a service is reached and verified is in its directory"
            )
