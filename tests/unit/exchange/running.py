"""Our endpoint on loopback, with a judge that accepts as the protocol says."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.acceptance import Pin, Terms, accept_envelope
from bilateral.protocol.handshake import Envelope, build_envelope
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.protocol.signatures import SigningKey

from .conftest import Credentials
from .wire import Caller, calling

NOW = 1_800_000_000
US = "org-a-kernel"
THEM = "org-b-kernel"


@dataclass
class Judge:
    """A handler for one kernel of ours, with partners by kernel id, and pins in memory."""

    key: SigningKey = field(default_factory=SigningKey.generate)
    anchors: dict[str, PublicKey] = field(default_factory=dict)
    pins: dict[str, Pin] = field(default_factory=dict)
    seen: list[tuple[Envelope, str | None]] = field(default_factory=list)
    error: Exception | None = None

    async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:
        self.seen.append((envelope, bearer))
        if self.error is not None:
            raise self.error
        sender = envelope.challenge.local_kernel_id
        anchor = self.anchors.get(sender)
        terms = Terms(US, self.key.public_key, sender, () if anchor is None else (anchor,), 3600, 300)
        self.pins[sender] = accept_envelope(envelope, terms, self.pins.get(sender), NOW)
        return build_envelope(
            local_kernel_id=US, remote_kernel_id=sender, nonce="answer", timestamp=NOW, key=self.key
        )


@dataclass
class Counts:
    """An observer."""

    reasons: Counter[Reason] = field(default_factory=Counter)
    accepts: int = 0
    seconds: list[float] = field(default_factory=list)

    def refused(self, reason: Reason) -> None:
        self.reasons[reason] += 1

    def accepted(self) -> None:
        self.accepts += 1

    def request_seconds(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class Running:
    endpoint: Endpoint
    port: int
    judge: Judge
    counts: Counts
    store: CertificateStore
    trust: ssl.SSLContext

    def call(
        self, name: str = "trust.example", source: str = "127.0.0.1"
    ) -> contextlib.AbstractAsyncContextManager[Caller]:
        return calling(self.port, self.trust, name, source)


@contextlib.asynccontextmanager
async def running(
    credentials: Credentials,
    settings: EndpointSettings | None = None,
    clock: Callable[[], float] = time.monotonic,
    judge: Judge | None = None,
) -> AsyncIterator[Running]:
    store = CertificateStore()
    store.replace({"trust.example": credentials.pair("trust.example")})
    judge, counts = judge or Judge(), Counts()
    settings = settings or EndpointSettings()
    routes = build_partner_routes(judge, settings)
    endpoint = Endpoint(routes, store, settings, counts, clock=clock)
    port = await endpoint.start("127.0.0.1", 0)
    try:
        yield Running(endpoint, port, judge, counts, store, credentials.trust())
    finally:
        await endpoint.stop()


def envelope_of(
    key: SigningKey,
    *,
    sender: str = THEM,
    addressee: str = US,
    nonce: str = "8f3b9e0c-2a18-4f1a-9bd3-3a31c6e5d3f5",
    timestamp: int = NOW,
) -> bytes:
    return build_envelope(
        local_kernel_id=sender, remote_kernel_id=addressee, nonce=nonce, timestamp=timestamp, key=key
    ).to_json()
