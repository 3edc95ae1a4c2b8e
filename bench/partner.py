"""The simulated partner: one process that answers for any kernel id that is addressed, over real TLS.

    PYTHONPATH=. python bench/partner.py CERTIFICATE_PEM KEY_PEM

It prints its port on 127.0.0.1 and serves until its standard input ends, that is, until whoever
started it is gone. Each kernel id has a key of its own, made from the id, so that whoever writes
the manifests knows it without asking. It is the load's counterpart, not the thing measured, so it
is as cheap as TLS in Python gets: one thread, one selector, OpenSSL on plain sockets. It reads the
envelope's addressee and answers with an envelope of that id's own; it verifies nothing. It announces
no authority: whoever asks for one on the same connection is told 404.
"""

from __future__ import annotations

import hashlib
import json
import selectors
import socket
import ssl
import sys
import time
import uuid
from functools import lru_cache

from bilateral.protocol.handshake import build_envelope
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.problems import problem_for
from bilateral.protocol.reasons import Reason

_END_OF_HEAD = b"\r\n\r\n"
_HEAD = "HTTP/1.1 %s\r\nContent-Type: application/%s\r\nContent-Length: %d\r\n\r\n"
_NOT_FOUND = problem_for(Reason.NOT_FOUND).to_json()
_WANTS_READ = selectors.EVENT_READ
_WANTS_WRITE = selectors.EVENT_WRITE


@lru_cache(maxsize=65536)
def partner_key(kernel_id: str) -> SigningKey:
    """The key of the simulated partner of that kernel id."""
    return SigningKey.from_seed(hashlib.sha256(b"bench partner " + kernel_id.encode()).digest())


def answer(head: bytes, body: bytes) -> bytes:
    """The whole HTTP answer to an envelope: one from its addressee to its sender."""
    if not head.startswith(b"POST "):
        return (_HEAD % ("404 Not Found", "problem+json", len(_NOT_FOUND))).encode() + _NOT_FOUND
    challenge = json.loads(body)["challenge"]
    envelope = build_envelope(
        local_kernel_id=challenge["remoteKernelId"],
        remote_kernel_id=challenge["localKernelId"],
        nonce=str(uuid.uuid4()),
        timestamp=int(time.time()),
        key=partner_key(challenge["remoteKernelId"]),
    ).to_json()
    return (_HEAD % ("200 OK", "json", len(envelope))).encode() + envelope


class _Caller:
    """One connection: TLS handshake, then requests and answers until the other side ends it."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.socket = connection
        self._shaken = False
        self._received = b""

    def advance(self) -> int:
        """Go on as far as the socket lets us; what to wait for next, or 0 at the end."""
        try:
            if not self._shaken:
                self.socket.do_handshake()
                self._shaken = True
            while data := self.socket.recv(65536):
                self._received += data
                while request := self._take():
                    self.socket.sendall(answer(*request))
        except ssl.SSLWantReadError:
            return _WANTS_READ
        except ssl.SSLWantWriteError:
            return _WANTS_WRITE
        except OSError:
            pass
        return 0

    def _take(self) -> tuple[bytes, bytes] | None:
        """Take a whole request off what was received: its head and its body."""
        head, found, rest = self._received.partition(_END_OF_HEAD)
        if not found:
            return None
        fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
        length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return head, rest[:length]


def serve(certificate: str, key: str) -> None:
    """Serve until standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.num_tickets = 0
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.settimeout(0)
    selector = selectors.DefaultSelector()
    selector.register(listener, _WANTS_READ)
    selector.register(sys.stdin, _WANTS_READ)
    print(listener.getsockname()[1], flush=True)
    while True:
        for ready, _ in selector.select():
            if ready.fileobj is sys.stdin:
                return
            if ready.fileobj is listener:
                _accept(listener, context, selector)
            else:
                _advance(ready.data, selector)


def _accept(listener: socket.socket, context: ssl.SSLContext, selector: selectors.BaseSelector) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except BlockingIOError:
            return
        plain.settimeout(0)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        selector.register(connection, _WANTS_READ, _Caller(connection))


def _advance(caller: _Caller, selector: selectors.BaseSelector) -> None:
    wants = caller.advance()
    if wants:
        selector.modify(caller.socket, wants, caller)
        return
    selector.unregister(caller.socket)
    caller.socket.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
