"""Partners that are simulated, beside an organisation that decides: kernels, issuers, and feeds of any kind.

A partner's kernel is played by the scene's server of partners. Its feed is served here, over TLS, with a
certificate of the same authority; what is answered is what the test says at that moment.
"""

from __future__ import annotations

import datetime
import http.server
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from bilateral.exchange.tls import build_server_context
from bilateral.pki.authority import Authority
from bilateral.pki.servers import issue_server_certificate
from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.delegation import issue
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.keys import SigningKey
from cluster.deciding import SERVER, TOOL, Organisation
from cluster.scene import DOMAINS, PEERS, Object, condition_of
from support.feeds import Feed
from testbed.ports import lease_port

HOST = "127.0.0.1"
PATH = "/v1/revocations/feed"
_QUERY = re.compile(r"from=([0-9]+)&kernelId=([A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True)
class Served:
    """An answer; with ``stalls`` it stops in the middle, until something else is served or the server ends."""

    body: bytes
    stalls: bool = False


Serve = Callable[[int], Served]
"""What a feed answers to whoever asks for the page that begins there."""


def honest(feed: Feed) -> Serve:
    """Answer as the endpoint does, with a head of this moment."""
    return lambda start: Served(feed.page(start, int(time.time())).to_json())


def saying(body: bytes, *, stalls: bool = False) -> Serve:
    """Answer with these bytes, whatever was asked."""
    return lambda _start: Served(body, stalls)


class FeedServer:
    """Serves feeds by kernel id over TLS; a context manager."""

    def __init__(self, authority: Authority) -> None:
        now = datetime.datetime.now(datetime.UTC)
        issued = issue_server_certificate(authority, [HOST], validity_seconds=43_200, now=now)
        self.context = build_server_context(issued.cert_pem, issued.key_pem)
        self.verifier: Object = {"certificateAuthority": {"pem": authority.certificate_pem.decode()}}
        self.feeds: dict[str, Serve] = {}
        self.asked: dict[str, int] = {}
        self._port = lease_port()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """What a FederationPolicy names."""
        return f"https://{HOST}:{self._port.number}{PATH}"

    def __enter__(self) -> FeedServer:
        self._server = _Server(self._port.number, self)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._port.release()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, port: int, owner: FeedServer) -> None:
        super().__init__((HOST, port), _Handler)
        self.owner = owner
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="feeds", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.ending.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that goes away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 20
    server: _Server
    request: ssl.SSLSocket

    def setup(self) -> None:
        plain = self.request
        plain.settimeout(self.timeout)
        self.request = self.server.owner.context.wrap_socket(plain, server_side=True)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.request.close()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        match = _QUERY.fullmatch(query) if path == PATH else None
        assert match is not None, self.path
        owner, kernel_id = self.server.owner, match[2]
        owner.asked[kernel_id] = owner.asked.get(kernel_id, 0) + 1
        serve = owner.feeds[kernel_id]
        served = serve(int(match[1]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(served.body)))
        self.end_headers()
        if served.stalls:
            self.wfile.write(served.body[: len(served.body) // 2])
            while owner.feeds[kernel_id] is serve and not self.server.ending.wait(0.05):
                pass
        else:
            self.wfile.write(served.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@dataclass
class Counterpart:
    """A simulated partner of an organisation: a peer and a policy, with or without a feed."""

    host: Organisation
    name: str
    issuer: SigningKey = field(default_factory=SigningKey.generate)
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        self.feed = Feed(self.kernel_id, SigningKey.generate())

    @property
    def kernel_id(self) -> str:
        return self.host.scene.kernel(self.name)

    def add_peer(self) -> None:
        """The partner as a peer; wait for it with ``wait_fresh``."""
        self.host.scene.add_peer(self.name, "ours")

    def wait_fresh(self) -> None:
        self.host.scene.wait(PEERS, self.name, "Fresh", status="True", kind="Fresh")

    def add_policy(self, name: str | None = None, **changes: Any) -> None:
        """What the partner may do."""
        changes = {"peer": self.name, "partnerId": self.name} | changes
        self.host.create_policy(name or self.name, self.issuer.public_key, **changes)

    def feed_terms(self, server: FeedServer, ceiling: int) -> Object:
        """Where the partner's feed is, whose signature it has, and how old its news may be."""
        return {
            "url": server.url,
            "signers": [self.feed.key.public_key.canonical],
            "pollSeconds": 5,
            "maxStalenessSeconds": ceiling,
            "verifier": server.verifier,
        }

    def chain(self, capability_id: str = "cap") -> Chain:
        """A capability that the partner's authority gave to somebody."""
        now = int(time.time())
        return issue(
            self.issuer,
            capability_id=capability_id,
            subject=SigningKey.generate().public_key,
            scope=Scope(grants=(ToolGrant(SERVER, TOOL, (Operation.INVOKE,)),)),
            issued_at=now - 60,
            expires_at=now + 3600,
        )

    def reason(self, capability_id: str = "cap") -> str:
        """What is decided about such a capability now: "Allowed", or why not."""
        return self.host.evaluate(self.name, self.chain(capability_id)).reason

    def told(self, kind: str = "RevocationFresh") -> tuple[str, str]:
        """A condition of the policy: status and reason."""
        found = condition_of(self.host.scene.find("federationpolicies", self.name), kind)
        return found.get("status", ""), found.get("reason", "")


def ours(host: Organisation) -> str:
    """The kernel id of an organisation."""
    kernel_id: str = host.scene.get(DOMAINS, "ours")["spec"]["kernelId"]
    return kernel_id
