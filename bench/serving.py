"""One server under load, in a process of its own: how much of the endpoint is in it is its mode.

    PYTHONPATH=. python bench/serving.py MODE PEERS CERTIFICATE_PEM KEY_PEM

- ``bare``: aiohttp's low-level server, which the endpoint is built on, with a handler that reads the
  body and answers with constant bytes;
- ``empty``: the endpoint as it is (gate, limits, strict parse, answer), with a handler that decides
  nothing;
- ``decides``: the endpoint with the operator's own handler, its cache with PEERS partners, its views,
  decisions, seals and status writer, on an API server that is a dictionary in this process.

It prints its port on 127.0.0.1 and serves until its standard input ends. Its rate limits are lifted,
for the load comes from one machine.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from bench.partner import partner_key
from bench.population import DOMAIN, OUR_KERNEL_ID, build_domain, build_peer, peer_names

from bilateral.engine.api import KubernetesAPI, Object
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import ClockGuard, SystemClock
from bilateral.engine.handshakes import Responder
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import StatusWriter
from bilateral.engine.secrets import SecretWriter
from bilateral.engine.views import Views
from bilateral.exchange.handshakes import HandshakeHandler
from bilateral.exchange.limits import LimitSettings
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.handshake import Envelope, build_envelope
from bilateral.reconcile.trustdomain import reconcile_trust_domain
from bilateral.resources.trustdomain import TrustDomain

HOST = "bench.example"
NAMESPACE = "bench"
NO_LIMITS = LimitSettings(
    max_connections=10_000,
    max_connections_per_source=10_000,
    connections_per_second=1e6,
    connections_burst=1_000_000,
    requests_per_second=1e6,
    requests_burst=1_000_000,
    total_requests_per_second=1e6,
    total_requests_burst=1_000_000,
)


class DictionaryAPI(KubernetesAPI):
    """An API server that takes every write: what a write costs us, without what it costs a server.

    It holds text, as the network would carry it: a write is one object encoded and one decoded.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], str] = {}
        self._version = 0

    async def create(self, path: str, body: Object, *, manager: str) -> Object:  # noqa: ARG002
        return self.store(path.rsplit("/", 1)[-1], body)

    async def apply(self, path: str, body: Object, *, manager: str) -> Object:  # noqa: ARG002
        plural, name = path.removesuffix("/status").split("/")[-2:]
        held: Object = json.loads(self._texts[plural, name])
        return self.store(plural, held | {"status": body["status"]})

    def store(self, plural: str, obj: dict[str, Any]) -> Object:
        """Hold an object as the API server would give it back."""
        self._version += 1
        metadata = {
            "uid": str(uuid.uuid4()),
            "namespace": NAMESPACE,
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **obj["metadata"],
            "resourceVersion": str(self._version),
        }
        stored = {**obj, "metadata": metadata}
        self._texts[plural, metadata["name"]] = json.dumps(stored)
        return stored


class EmptyHandler:
    """Answers every envelope with one and the same."""

    def __init__(self) -> None:
        self._answer = build_envelope(
            local_kernel_id=OUR_KERNEL_ID,
            remote_kernel_id="partner",
            nonce=str(uuid.uuid4()),
            timestamp=int(time.time()),
            key=partner_key(OUR_KERNEL_ID),
        )

    async def handle(self, envelope: Envelope, bearer: str | None) -> Envelope:  # noqa: ARG002
        return self._answer


class _Url:
    url = "https://127.0.0.1:8940"

    def __init__(self, authority_pem: str) -> None:
        self.authority_pem = authority_pem


@dataclass(frozen=True, slots=True)
class Replica:
    """What of the operator is in this process."""

    api: DictionaryAPI
    cache: Cache
    views: Views
    guard: ClockGuard
    metrics: Metrics
    responder: Responder


async def build_replica(number: int, authority_pem: str) -> Replica:
    """The operator's handler with a trust domain and so many partners in its cache."""
    clock, cache, metrics, api = SystemClock(), Cache(), Metrics(), DictionaryAPI()
    guard = ClockGuard(clock)
    secrets = SecretWriter(api, cache, metrics)
    views = Views(cache, guard, secrets)
    statuses = StatusWriter(api, cache, metrics)
    cache.put(Kind.TRUST_DOMAIN, api.store(Kind.TRUST_DOMAIN, build_domain(43_200)))
    for name in peer_names(number):
        cache.put(
            Kind.FEDERATION_PEER, api.store(Kind.FEDERATION_PEER, build_peer(name, _Url(authority_pem)))
        )
    await make_domain_ready(cache, views, secrets, statuses, guard)
    responder = Responder(cache, views, statuses, guard, clock, lambda *_: None)
    responder.ready = True
    return Replica(api, cache, views, guard, metrics, responder)


async def make_domain_ready(
    cache: Cache, views: Views, secrets: SecretWriter, statuses: StatusWriter, guard: ClockGuard
) -> None:
    """Make the trust domain's Secrets and publish its key, as the operator's first looks do."""
    key = Key(Kind.TRUST_DOMAIN, NAMESPACE, DOMAIN)
    while True:
        raw = cache.raw(key)
        if raw is None:
            raise RuntimeError("there is no trust domain")
        domain = TrustDomain.parse(raw)
        outcome = reconcile_trust_domain(domain, views.trust_domain(domain), guard.now())
        if not [await secrets.generate(domain, each, guard.now()) for each in outcome.generate]:
            await statuses.write(key, raw, outcome.status.to_wire())
            return


async def start_endpoint(handler: HandshakeHandler, chain: bytes, key: bytes) -> int:
    """Start the endpoint with limits that one machine's load does not meet."""
    certificates = CertificateStore()
    certificates.replace({HOST: (chain, key)})
    settings = EndpointSettings(limits=NO_LIMITS)
    endpoint = Endpoint(build_partner_routes(handler, settings), certificates, settings, Metrics())
    _running.append(endpoint)
    return await endpoint.start("127.0.0.1", 0)


async def start_bare(certificate: str, key: str) -> int:
    """Start aiohttp's low-level server with the same TLS."""
    body = EmptyHandler()._answer.to_json()  # noqa: SLF001 - the bytes that the others answer with

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0, ssl=context)
    _running.append(server)
    return int(server.sockets[0].getsockname()[1])


_running: list[object] = []


async def serve(mode: str, peers: int, certificate: Path, key: Path, pems: dict[str, bytes]) -> None:
    """Serve until standard input ends."""
    if mode == "bare":
        port = await start_bare(str(certificate), str(key))
    else:
        handler: HandshakeHandler = EmptyHandler()
        if mode == "decides":
            handler = (await build_replica(peers, pems["ca.crt"].decode())).responder
        port = await start_endpoint(handler, pems["tls.crt"], pems["tls.key"])
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    _, _mode, _peers, _certificate, _key = sys.argv
    _pems = {file.name: file.read_bytes() for file in Path(_certificate).parent.iterdir() if file.is_file()}
    asyncio.run(serve(_mode, int(_peers), Path(_certificate), Path(_key), _pems))
