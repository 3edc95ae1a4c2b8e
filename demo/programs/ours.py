"""A server with bilateral.client: ``python ours.py MOUNTS PORT`` answers with who called.

The context reads what is mounted again when it changes, and each request asks who is calling, so that
what is withdrawn is refused at once (docs/pods.md, Serving).
"""

from __future__ import annotations

import sys

from aiohttp import web

from bilateral.client import ClientError, peer_identity, server_ssl_context


def main(mounts: str, port: str) -> None:
    """Serve until a signal ends it."""

    async def whoami(request: web.Request) -> web.Response:
        connection = None if request.transport is None else request.transport.get_extra_info("ssl_object")
        try:
            caller = peer_identity(connection)
        except ClientError:
            raise web.HTTPForbidden from None
        return web.json_response({"subject": caller.subject, "authority": caller.authority})

    app = web.Application()
    app.router.add_get("/", whoami)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=server_ssl_context(mounts), print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
