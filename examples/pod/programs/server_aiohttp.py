"""Says to each caller who it is: a server with aiohttp that knows its callers by their certificates."""

from aiohttp import web

from bilateral.client import ClientError, PeerIdentity, peer_identity, server_ssl_context


def caller_of(request: web.Request) -> PeerIdentity:
    """Who sent a request; judged anew at each one, so that what is withdrawn ends at the next."""
    try:
        return peer_identity(request.transport and request.transport.get_extra_info("ssl_object"))
    except ClientError:
        raise web.HTTPForbidden from None


async def hello(request: web.Request) -> web.Response:
    """Answer with the caller's name, and under which authority it has it."""
    caller = caller_of(request)
    return web.Response(text=f"{caller.subject} by {caller.authority}")


app = web.Application()
app.router.add_get("/", hello)

if __name__ == "__main__":
    web.run_app(app, port=8443, ssl_context=server_ssl_context())
