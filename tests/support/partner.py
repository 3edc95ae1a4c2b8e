"""A simulated partner: a real TLS server on loopback that speaks the handshake, and misbehaves on demand.

One server plays any number of partners; which one is meant is the ``remoteKernelId`` of what it was sent. What
a partner does is its ``behaviour``, a function from what was asked to the reply, which a test may change at
any time. Everything that was asked is kept.
"""

from __future__ import annotations

import datetime
import http.server
import json
import secrets
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from bilateral.exchange.paths import INTRODUCTIONS_PATH
from bilateral.exchange.tls import build_server_context
from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.protocol.handshake import Envelope, build_envelope, parse_envelope
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.problems import PROBLEM_MEDIA_TYPE, problem_for
from bilateral.protocol.reasons import Reason
from testbed.ports import lease_port

HOST = "127.0.0.1"
_SLOW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that a partner received."""

    at: float
    body: bytes
    envelope: Envelope
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; ``after`` seconds are waited first (cut short when the server ends)."""

    body: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0


Behaviour = Callable[["Partner", Asked], Reply | None]
"""What a partner does when asked; None hangs up without a word."""


def honest(partner: Partner, asked: Asked) -> Reply:
    """Answer as the protocol says."""
    return Reply(partner.sign(asked.envelope.challenge.local_kernel_id).to_json())


def with_key(key: SigningKey) -> Behaviour:
    """Answer with another key than usual."""
    return lambda partner, asked: Reply(
        replace(partner, key=key).sign(asked.envelope.challenge.local_kernel_id).to_json()
    )


def skewed(seconds: int) -> Behaviour:
    """Answer with a clock that is ahead by ``seconds`` (behind, if negative)."""
    return lambda partner, asked: Reply(
        partner.sign(asked.envelope.challenge.local_kernel_id, ahead=seconds).to_json()
    )


def addressed_to(kernel_id: str) -> Behaviour:
    """Answer with an envelope for somebody else."""
    return lambda partner, asked: Reply(partner.sign(kernel_id).to_json())


def sent_by(kernel_id: str) -> Behaviour:
    """Answer as somebody else."""
    return lambda partner, asked: Reply(
        replace(partner, kernel_id=kernel_id).sign(asked.envelope.challenge.local_kernel_id).to_json()
    )


def repeating() -> Behaviour:
    """Answer honestly once, and with that same answer ever after."""
    first: list[Reply] = []

    def answer(partner: Partner, asked: Asked) -> Reply:
        first.append(honest(partner, asked))
        return first[0]

    return answer


def reflecting(_partner: Partner, asked: Asked) -> Reply:
    """Answer with the very envelope that was sent."""
    return Reply(asked.body)


def forged(partner: Partner, asked: Asked) -> Reply:
    """Answer with a signature over something else."""
    envelope = partner.sign(asked.envelope.challenge.local_kernel_id)
    other = partner.sign(asked.envelope.challenge.local_kernel_id)
    return Reply(replace(envelope, signature=other.signature).to_json())


def other_schema(partner: Partner, asked: Asked) -> Reply:
    """Answer in a later version of the protocol."""
    document = json.loads(partner.sign(asked.envelope.challenge.local_kernel_id).to_json())
    document["challenge"]["schema"] = "chio.federation-kernel-handshake.v9"
    return Reply(json.dumps(document).encode())


def saying(
    body: bytes, *, status: int = 200, media_type: str = "application/json", **headers: str
) -> Behaviour:
    """Answer with these bytes; underscores in names of headers stand for hyphens."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda partner, asked: Reply(body, status, media_type, fields)


def refusing(reason: Reason, members: Mapping[str, Any] | None = None, **headers: str) -> Behaviour:
    """Refuse with the problem document of a reason."""
    problem = problem_for(reason)
    body = json.dumps(json.loads(problem.to_json()) | dict(members or {})).encode()
    return saying(body, status=problem.status, media_type=PROBLEM_MEDIA_TYPE, **headers)


def silent(partner: Partner, asked: Asked) -> Reply:
    """Take the request and say nothing for longer than anybody waits."""
    return replace(honest(partner, asked), after=_SLOW_SECONDS)


def hanging_up(_partner: Partner, _asked: Asked) -> None:
    """End the connection instead of answering."""


@dataclass(slots=True)
class Partner:
    """One organisation that the server plays."""

    kernel_id: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    behaviour: Behaviour = honest
    asked: list[Asked] = field(default_factory=list)
    statement: bytes | None = None  # its authority statement; None: it announces none
    statements_asked: int = 0
    introductions: Reply | None = None  # what it answers to whoever asks for an introduction

    def sign(
        self, remote_kernel_id: str, *, ahead: int = 0, timestamp: int | None = None, nonce: str | None = None
    ) -> Envelope:
        """Make an envelope of this partner: now, or ``ahead`` seconds from now, or at ``timestamp``."""
        return build_envelope(
            local_kernel_id=self.kernel_id,
            remote_kernel_id=remote_kernel_id,
            nonce=nonce or str(uuid.uuid4()),
            timestamp=int(time.time()) + ahead if timestamp is None else timestamp,
            key=self.key,
        )

    @property
    def anchor(self) -> str:
        """The key as a person installs it."""
        return self.key.public_key.canonical


class PartnerServer:
    """Serves partners over TLS with a certificate of its own authority; also a context manager."""

    def __init__(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.authority: Authority = generate_authority(
            Subject(common_name="Partner CA"), algorithm="ECDSAP256", validity_seconds=86_400, now=now
        )
        issued = issue_server_certificate(
            self.authority, [HOST, "localhost"], validity_seconds=43_200, now=now
        )
        self.certificate_pem = issued.cert_pem
        self._context = build_server_context(issued.cert_pem, issued.key_pem)
        self._port = lease_port()
        self._partners: dict[str, Partner] = {}
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """What a FederationPeer names as the endpoint."""
        return f"https://{HOST}:{self._port.number}"

    def play(self, behaviour: Behaviour = honest, *, kernel_id: str | None = None) -> Partner:
        """Add a partner."""
        partner = Partner(kernel_id or f"partner-{secrets.token_hex(4)}", behaviour=behaviour)
        self._partners[partner.kernel_id] = partner
        return partner

    def find(self, kernel_id: str) -> Partner | None:
        """The partner of that name, if the server plays it."""
        return self._partners.get(kernel_id)

    def start(self) -> PartnerServer:
        """Listen; again on the same port after :meth:`stop`."""
        self._server = _Server(self._port.number, self._context, self)
        return self

    def stop(self) -> None:
        """Stop listening: whoever connects is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> PartnerServer:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        self._port.release()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, port: int, context: ssl.SSLContext, owner: PartnerServer) -> None:
        super().__init__((HOST, port), _Handler)
        self.context = context
        self.owner = owner
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="partner", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.ending.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that goes away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: _Server

    def setup(self) -> None:
        plain = self.request
        plain.settimeout(self.timeout)
        try:
            self.request = self.server.context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            raise
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.request.close()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith(INTRODUCTIONS_PATH):
            addressee = self.server.owner.find(json.loads(body)["body"]["addressee"])
            told = None if addressee is None else addressee.introductions
            self.close_connection = True
            self._send(told or Reply(problem_for(Reason.NOT_FOUND).to_json(), 404, PROBLEM_MEDIA_TYPE))
            return
        asked = Asked(time.time(), body, parse_envelope(body), dict(self.headers.items()))
        partner = self.server.owner.find(asked.envelope.challenge.remote_kernel_id)
        assert partner is not None
        partner.asked.append(asked)
        reply = partner.behaviour(partner, asked)
        self.close_connection = partner.behaviour is not honest or self.headers["Connection"] != "keep-alive"
        if reply is None or (reply.after and self.server.ending.wait(reply.after)):
            self.close_connection = True
            return
        self._send(reply)

    def do_GET(self) -> None:
        path, _, kernel_id = self.path.partition("?kernelId=")
        partner = self.server.owner.find(kernel_id) if path == "/v1/federation/authority" else None
        self.close_connection = True
        if partner is not None:
            partner.statements_asked += 1
        if partner is None or partner.statement is None:
            self._send(Reply(problem_for(Reason.NOT_FOUND).to_json(), 404, PROBLEM_MEDIA_TYPE))
        else:
            self._send(Reply(partner.statement))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.media_type, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""
