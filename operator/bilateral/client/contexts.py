"""TLS contexts for programs that bring their own client: aiohttp, urllib, gRPC in Python, sockets.

One context for one service: every connection made with it is to that service's host, verified as the
directory says at that moment, and shown the chain that the service wants. Where to connect to is
:func:`service_url`; a context does not know addresses.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable

from bilateral.client.errors import ClientError
from bilateral.client.handshakes import LiveContext, PreparedContext, build_refusing
from bilateral.client.trust import find_trust


def ssl_context(
    alias: str, config: str | os.PathLike[str] | None = None, *, now: Callable[[], float] = time.time
) -> ssl.SSLContext:
    """Return a context for the service ``alias``, good for as long as the program runs.

    Raises ClientError when the service cannot be used now. Later, a handshake that must not begin fails
    with HandshakeRefused, an ``ssl.SSLError`` that says why. TLS is towards the service's own host,
    whatever name the caller asks for; the partner's deadline is asked when a connection begins, and before
    anything more is sent on it.
    """
    trust = find_trust(config, now)
    trust.bind(alias)

    def choose() -> tuple[PreparedContext, str | None]:
        try:
            binding = trust.bind(alias)
        except ClientError as error:
            # Refused in the handshake and not here: some libraries leave the socket open otherwise.
            return build_refusing(error, server_side=False), None
        return binding.context, binding.service.host

    return LiveContext(choose, server_side=False, permit=lambda: trust.bind(alias))


def service_url(alias: str, config: str | os.PathLike[str] | None = None) -> str:
    """Return ``https://host[:port]`` of a service, for clients that must be told. Raises ClientError."""
    service = find_trust(config).bind(alias).service
    return f"https://{service.host}" + (f":{service.port}" if service.port is not None else "")
