"""The simulated partner: one process that answers for any kernel id that is addressed, over real TLS.

    PYTHONPATH=. python bench/partner.py CERTIFICATE_PEM KEY_PEM

It prints its port on 127.0.0.1 and serves until its standard input ends, that is, until whoever
started it is gone. Each kernel id has a key of its own, made from the id, so that whoever writes
the manifests knows it without asking. It is the load's counterpart, not the thing measured, so it
is as cheap as TLS in Python gets: one thread, one selector, OpenSSL on plain sockets, one request a
connection. It reads the envelope's addressee and answers with an envelope of that id's own; it
verifies nothing.
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

_END_OF_HEAD = b"\r\n\r\n"
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
_WANTS_READ = selectors.EVENT_READ
_WANTS_WRITE = selectors.EVENT_WRITE


@lru_cache(maxsize=65536)
def partner_key(kernel_id: str) -> SigningKey:
    """The key of the simulated partner of that kernel id."""
    return SigningKey.from_seed(hashlib.sha256(b"bench partner " + kernel_id.encode()).digest())


def answer(body: bytes) -> bytes:
    """The whole HTTP answer to an envelope: one from its addressee to its sender."""
    challenge = json.loads(body)["challenge"]
    envelope = build_envelope(
        local_kernel_id=challenge["remoteKernelId"],
        remote_kernel_id=challenge["localKernelId"],
        nonce=str(uuid.uuid4()),
        timestamp=int(time.time()),
        key=partner_key(challenge["remoteKernelId"]),
    ).to_json()
    return _HEAD.encode() % len(envelope) + envelope


class _Caller:
    """One connection: TLS handshake, request, answer, end."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.socket = connection
        self._shaken = False
        self._request = b""

    def advance(self) -> int:
        """Go on as far as the socket lets us; what to wait for next, or 0 at the end."""
        try:
            if not self._shaken:
                self.socket.do_handshake()
                self._shaken = True
            while not self._is_complete():
                data = self.socket.recv(65536)
                if not data:
                    return 0
                self._request += data
            self.socket.sendall(answer(self._request.partition(_END_OF_HEAD)[2]))
        except ssl.SSLWantReadError:
            return _WANTS_READ
        except ssl.SSLWantWriteError:
            return _WANTS_WRITE
        except OSError:
            pass
        return 0

    def _is_complete(self) -> bool:
        head, found, body = self._request.partition(_END_OF_HEAD)
        if not found:
            return False
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        return len(body) >= length


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
