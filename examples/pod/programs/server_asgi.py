"""The same for ASGI: uvicorn does not tell an application about TLS, so a small protocol of its own does."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bilateral.client import ClientError, peer_identity, server_ssl_context


class KnownCallers(H11Protocol):
    """Puts the caller into scope["extensions"]["bilateral.caller"], or answers 403."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TLS is TCP
        """Remember the connection, which the caller is asked of at each request."""
        super().connection_made(transport)
        connection, app = transport.get_extra_info("ssl_object"), self.app

        async def known(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
            try:
                caller = peer_identity(connection)
            except ClientError:
                await send({"type": "http.response.start", "status": 403, "headers": []})
                await send({"type": "http.response.body"})
                return
            scope.setdefault("extensions", {})["bilateral.caller"] = caller
            await app(scope, receive, send)

        self.app = known


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001 - ASGI's
    """Answer with the caller's name, and under which authority it has it."""
    caller = scope["extensions"]["bilateral.caller"]
    body = f"{caller.subject} by {caller.authority}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


config = uvicorn.Config(
    app,
    host="0.0.0.0",  # noqa: S104 - a pod's, behind its Service
    port=8443,
    http=KnownCallers,
    ws="none",
    lifespan="off",
    ssl_context_factory=lambda *_: server_ssl_context(),
)

if __name__ == "__main__":
    uvicorn.Server(config).run()
