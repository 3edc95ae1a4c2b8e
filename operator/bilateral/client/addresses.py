"""The addresses that a client asked for last, so that none is parsed again at each request.

httpx parses an address three times for a request, which is a tenth of the time that one takes. Rules: only
what httpx itself made of an address is kept, and given to it again under the very base URL that it was made
under; at most :data:`MAX_KEPT` are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

MAX_KEPT: Final = 128


class Addresses:
    """Parsed addresses of one client; threads may share it, since a lost entry is only parsed again."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: tuple[httpx.URL, dict[str, httpx.URL]] | None = None

    def build_request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        build: Callable[..., httpx.Request],
        method: str,
        url: httpx.URL | str,
        options: Mapping[str, Any],
    ) -> httpx.Request:
        """Have ``build``, which is httpx's own, build a request of ``client``; its address is kept."""
        base = client.base_url
        known = self._find(base, url)
        request = build(method, known, **options)
        if known is url and not client.params and not options.get("params"):
            self._keep(base, url, request.url)
        return request

    def _find(self, base: httpx.URL, url: httpx.URL | str) -> httpx.URL | str:
        """Return ``url`` as httpx made it absolute under ``base``, or as it came."""
        if self._kept is None or self._kept[0] is not base or not isinstance(url, str):
            return url
        return self._kept[1].get(url, url)

    def _keep(self, base: httpx.URL, url: httpx.URL | str, made: httpx.URL) -> None:
        """Remember what httpx made of ``url``, with no parameters added."""
        if not isinstance(url, str):
            return
        if self._kept is None or self._kept[0] is not base or len(self._kept[1]) >= MAX_KEPT:
            self._kept = (base, {})
        self._kept[1][url] = made
