"""A service on loopback that remembers what reached it, byte for byte."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.identities import HeldIdentity
from unit.client.pod import Organisation

SECONDS = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Loopback:
    """What a service saw: TCP connections, completed handshakes, application bytes, callers' leaves."""

    port: int = 0
    connections: int = 0
    handshakes: int = 0
    received: bytes = b""
    callers: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    """Given in turn; then OK."""
    hold: threading.Event | None = None
    """Set: requests wait for it before they are answered."""
    close_unanswered: bool = False
    open: list[ssl.SSLSocket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        return re.findall(rb"(?m)^((?:GET|POST|PUT) [^\r]*)", self.received)

    def header(self, name: str) -> list[str]:
        """The values of a header in all requests, in order."""
        found = re.findall(rb"(?mi)^" + name.encode() + rb": ([^\r]*)", self.received)
        return [value.decode() for value in found]

    def drop(self) -> None:
        """End every connection that is open."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def server_context(held: HeldIdentity, trusted: Sequence[Organisation] = ()) -> ssl.SSLContext:
    """A plain TLS 1.3 server; with ``trusted``, of callers that they certified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.NamedTemporaryFile() as file:
        file.write(held.identity.certificate_pem + held.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    if trusted:
        context.verify_mode = ssl.CERT_REQUIRED
        pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in trusted)
        context.load_verify_locations(cadata=pem.decode())
    return context


class _Server:
    def __init__(self, context: ssl.SSLContext, seen: Loopback, listener: socket.socket) -> None:
        self.context = context
        self.seen = seen
        self.listener = listener
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()

    def accept(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.seen.connections += 1
            thread = threading.Thread(target=self.serve, args=(raw,))
            self.threads.append(thread)
            thread.start()

    def serve(self, raw: socket.socket) -> None:
        raw.settimeout(SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as connection:
            try:
                connection.do_handshake()
            except OSError as error:
                with self.lock:
                    self.seen.failures.append(getattr(error, "reason", None) or type(error).__name__)
                drain(connection)
                return
            with self.lock:
                self.seen.handshakes += 1
                self.seen.callers.append(connection.getpeercert(binary_form=True) or b"")
                self.seen.open.append(connection)
            with contextlib.suppress(OSError):
                self.answer(connection)
            with self.lock:
                self.seen.open.remove(connection)

    def answer(self, connection: ssl.SSLSocket) -> None:
        pending = b""
        while data := connection.recv(65536):
            with self.lock:
                self.seen.received += data
            pending += data
            while (end := _request_end(pending)) is not None:
                pending = pending[end:]
                if self.seen.close_unanswered:
                    return
                if self.seen.hold is not None:
                    assert self.seen.hold.wait(SECONDS)
                with self.lock:
                    reply = self.seen.answers.pop(0) if self.seen.answers else OK
                connection.sendall(reply)


def drain(connection: ssl.SSLSocket) -> None:
    """Wait for the caller to close: closing on unread data resets, and a reset may overtake the alert."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while socket.socket.recv(connection, 65536):
            pass


def _request_end(pending: bytes) -> int | None:
    head, end, rest = pending.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: ([0-9]+)", head)
    size = int(length[1]) if length else 0
    return len(head) + len(end) + size if end and len(rest) >= size else None


@contextlib.contextmanager
def serving(context: ssl.SSLContext, answers: Sequence[bytes] = (), port: int = 0) -> Iterator[Loopback]:
    """Serve on loopback until the block ends; every thread has ended then."""
    seen = Loopback(answers=list(answers))
    listener = socket.create_server(("127.0.0.1", port))
    seen.port = listener.getsockname()[1]
    server = _Server(context, seen, listener)
    acceptor = threading.Thread(target=server.accept)
    acceptor.start()
    try:
        yield seen
    finally:
        if seen.hold is not None:
            seen.hold.set()
        # shutdown wakes accept(); closing alone would not.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(SECONDS)
        seen.drop()
        for thread in server.threads:
            thread.join(SECONDS)


def subject_of(der: bytes) -> tuple[str, str]:
    """Subject and issuer of a leaf that a caller presented, as text."""
    leaf = x509.load_der_x509_certificate(der)
    return leaf.subject.rfc4514_string(), leaf.issuer.rfc4514_string()


@contextlib.contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """Set (or with None unset) environment variables for the block."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


Clock = Callable[[], float]
