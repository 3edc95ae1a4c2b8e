"""An ASGI application for ``certified serve``: says whose certificate the caller presented.

The demo's stock server runs it too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    # certified adds the transport to the scope.
    presented = scope["transport"].get_extra_info("peercert")
    seen = {
        side: ",".join(f"{name}={value}" for group in presented[side] for name, value in group)
        for side in ("subject", "issuer")
    }
    body = json.dumps(seen).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
