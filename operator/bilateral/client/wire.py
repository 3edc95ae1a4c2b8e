"""A request of httpx as it leaves the pod, and errors of httpcore as httpx names them.

Rules (R-T6): the address and the ``Host`` are the service's; the alias stays here. The service's token is
added to what the caller itself sent, never to a redirect, and never over an ``Authorization`` of the
caller's. Of a request's extensions only those about time and tracing pass: others could name another host.
"""

from __future__ import annotations

import ssl
from typing import Final, NoReturn
from weakref import ReferenceType, ref

import httpcore
import httpx

from bilateral.client.errors import ClientError, HandshakeRefused, InvalidAddress, RefusedByServer
from bilateral.client.trust import Binding

_FIRST: Final = "bilateral.first"
"""The request extension that refers to the request which a caller made; a redirect's is another one."""

_HTTPS_PORT: Final = 443
_ALERT: Final = "ALERT_"
_CERTIFICATE_ALERTS: Final = frozenset(
    {
        "bad_certificate",
        "unsupported_certificate",
        "certificate_revoked",
        "certificate_expired",
        "certificate_unknown",
        "unknown_ca",
        "access_denied",
        "certificate_required",
    }
)
_MAX_CAUSES: Final = 12
_ERRORS: Final[dict[type[Exception], type[httpx.TransportError]]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    # From the middle of a body; anyio lets it through as it is.
    ssl.SSLError: httpx.ReadError,
}
FAILURES: Final = tuple(_ERRORS)
"""What httpcore raises about the network and about TLS."""
_PASSING: Final = ("timeout", "trace")
_CLOSED: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


def find_alias(request: httpx.Request) -> str:
    """Read the alias from a request's URL. Raises InvalidAddress."""
    url = request.url
    if url.scheme != "https" or not url.host or url.userinfo:
        raise InvalidAddress("url", "expected a URL of the form https://ALIAS/path")
    return url.raw_host.decode("ascii")


def mark_first(request: httpx.Request) -> None:
    """Remember that a request is what a caller sent: httpx hands extensions on to the redirects of it."""
    # A weak reference: a request that holds itself would stay until the garbage collector comes.
    request.extensions = {**request.extensions, _FIRST: ref(request)}


def _is_first(request: httpx.Request) -> bool:
    first = request.extensions.get(_FIRST)
    return isinstance(first, ReferenceType) and first() is request


def build_request(request: httpx.Request, binding: Binding) -> httpcore.Request:
    """Build the request that leaves. Raises InvalidAddress when the URL names a port and the service, too."""
    service, asked = binding.service, request.url.port
    if asked is not None and service.port is not None:
        raise InvalidAddress(
            "two-ports", f"{service.alias}: the service has a port of its own, so the URL must not name one"
        )
    port = service.port or asked
    host = service.host.encode("ascii")
    headers = [pair for pair in request.headers.raw if pair[0].lower() != b"host"]
    headers.insert(0, (b"Host", host if port in {None, _HTTPS_PORT} else b"%s:%d" % (host, port)))
    if service.bearer_token is not None and _is_first(request) and "Authorization" not in request.headers:
        headers.append((b"Authorization", f"Bearer {service.bearer_token}".encode("ascii")))
    return httpcore.Request(
        request.method.encode("ascii"),
        httpcore.URL(
            scheme=b"https",
            host=host,
            port=port,
            target=service.path.encode("ascii") + request.url.raw_path,
        ),
        headers=headers,
        content=request.stream,
        extensions={name: request.extensions[name] for name in _PASSING if name in request.extensions},
    )


def fail(failure: Exception, binding: Binding) -> NoReturn:
    """Raise what a failure means: an error of trust as itself, another one as httpx names it.

    In TLS 1.3 a server refuses a certificate when the handshake is over for us, and its alert may be lost
    on the way: an error that may mean this gets a note.
    """
    alias = binding.service.alias
    found = _find_trust(failure, alias)
    if found is not None:
        raise found from None
    kind = next((_ERRORS[base] for base in type(failure).__mro__ if base in _ERRORS), httpx.TransportError)
    error = kind(str(failure))
    if binding.expected.credentials is not None and isinstance(error, _CLOSED):
        error.add_note(
            f"{alias}: the server closed the connection without an answer. One that does not accept our "
            f"certificate ({binding.expected.credentials.file}) does this, too"
        )
    raise error from failure


def _find_trust(failure: BaseException, alias: str) -> ClientError | None:
    cause: BaseException | None = failure
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        if isinstance(cause, HandshakeRefused):
            return cause.error
        if isinstance(cause, ssl.SSLError):
            _, found, alert = (getattr(cause, "reason", None) or "").partition(_ALERT)
            if found and alert.lower() in _CERTIFICATE_ALERTS:
                return RefusedByServer(alias, alert.lower())
        cause = cause.__cause__ or cause.__context__
    return None
