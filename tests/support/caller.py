"""A caller of an operator's endpoint: sends what it is told to, byte for byte if need be, over real TLS.

It does not verify whom it talks to unless it is given an authority: most tests ask what the endpoint does, not
who it is. Its source address can be any of 127.0.0.0/8, for the endpoint limits what one source may do.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bilateral.exchange.paths import HANDSHAKE_PATH
from bilateral.protocol.handshake import Envelope

JSON_TYPE = "application/json"
_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """The value of a header, or None."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    @property
    def undated(self) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """Everything but the Date header: what two answers are compared by."""
        return self.status, tuple(field for field in self.fields if field[0] != "Date"), self.body

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def reason(self) -> str:
        """The reason of a refusal in kebab-case; "" for a 200."""
        return str(self.document.get("type", "")).rpartition("/")[2]


class Caller:
    """Calls one endpoint. Every call has a connection of its own, unless :meth:`connect` is used."""

    def __init__(
        self, port: int, *, source: str = "127.0.0.1", name: str | None = None, authority: str | None = None
    ) -> None:
        self._port = port
        self._source = source
        self._name = name
        if authority is None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        else:
            self._context = ssl.create_default_context(cadata=authority)

    @contextlib.contextmanager
    def connect(self) -> Iterator[ssl.SSLSocket]:
        """Open a TLS connection; the name (SNI) is the caller's, or that of the address."""
        plain = socket.create_connection(
            ("127.0.0.1", self._port), timeout=_TIMEOUT, source_address=(self._source, 0)
        )
        try:
            # http.client sends head and body apart; the second would wait for the first one's ACK.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._context.wrap_socket(plain, server_hostname=self._name or "127.0.0.1") as secure:
                yield secure
        finally:
            plain.close()

    def post(
        self,
        body: bytes | Envelope,
        *,
        path: str = HANDSHAKE_PATH,
        method: str = "POST",
        media_type: str | None = JSON_TYPE,
        bearer: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send a body and return the answer; underscores in names of headers stand for hyphens."""
        with self.connect() as secure:
            return post_on(
                secure, body, path=path, method=method, media_type=media_type, bearer=bearer, **headers
            )

    def post_all(self, bodies: Sequence[bytes | Envelope], path: str = HANDSHAKE_PATH) -> list[Answer]:
        """Send bodies at once, each on a connection that was opened before the first was sent."""
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(bodies)) as threads:
            connections = [stack.enter_context(self.connect()) for _ in bodies]
            return list(threads.map(functools.partial(post_on, path=path), connections, bodies))


def post_on(
    secure: ssl.SSLSocket,
    body: bytes | Envelope,
    *,
    path: str = HANDSHAKE_PATH,
    method: str = "POST",
    media_type: str | None = JSON_TYPE,
    bearer: str | None = None,
    **headers: str,
) -> Answer:
    """Send a body over an open connection, which stays open, and return the answer."""
    connection = http.client.HTTPConnection("trust.test")
    connection.sock = secure
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if media_type is not None:
        fields["Content-Type"] = media_type
    if bearer is not None:
        fields["Authorization"] = f"Bearer {bearer}"
    data = body if isinstance(body, bytes) else body.to_json()
    # The endpoint may refuse before it has read everything: then the answer says why.
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        connection.request(method, path, data, fields)
    return read_answer(secure, method)


def read_answer(secure: ssl.SSLSocket, method: str = "POST") -> Answer:
    """Read one answer; raises http.client.HTTPException or OSError when there is none."""
    response = http.client.HTTPResponse(secure, method=method)
    try:
        response.begin()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        response.close()
