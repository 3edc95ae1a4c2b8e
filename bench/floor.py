"""The floor: the same handshakes with the same partner and the same status writes, and nothing else.

    PYTHONPATH=. python bench/floor.py KUBECONFIG NAMESPACE PARTNER_URL PARTNER_CA_PEM [aiohttp | httpx]

What a careful engineer would write as a one-off script, given what the operator has to do to every
peer. 32 workers take turns. Each asks its partner on a verified TLS connection of its own (the
protocol has every handshake prove its peer anew), signs with ``build_envelope``, judges the answer
with ``parse_envelope`` and ``accept_envelope``, and applies a status of the operator's own shape
server-side over one of 32 kept-alive connections, with the resourceVersion that was read before.
aiohttp is the default, for it is the fastest client at hand; TLS contexts are built once.

It has no cache, queue, watch, seal, events, lists, metrics, retries or limits, never looks at the
answer to a write but for its status, and stops at the first error. Objects are read, and the status
that will be filled in is prepared, before the clock runs. It prints one JSON line.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import secrets
import ssl
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import yaml
from bench.partner import partner_key
from bench.population import DOMAIN, OUR_KERNEL_ID, build_domain, list_all, path
from bench.report import percentile

from bilateral.protocol.handshake import Envelope, Pin, Terms, accept_envelope, build_envelope, parse_envelope
from bilateral.protocol.keys import PublicKey, SigningKey
from bilateral.reconcile.peer import Direction, DomainView, PeerView, Received, reconcile_peer
from bilateral.reconcile.peer_conditions import build_status
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.times import format_time
from bilateral.resources.trustdomain import TrustDomain

CONNECTIONS = 32
_APPLY = {"Content-Type": "application/apply-patch+yaml"}

Ask = Callable[[bytes], Awaitable[bytes]]


def build_template(obj: dict[str, Any], key: SigningKey, window: int) -> dict[str, Any]:
    """The status that the operator would write for a peer after its first handshake."""
    peer = FederationPeer.parse(obj)
    metadata = {"name": DOMAIN, "namespace": peer.metadata.namespace, "uid": "floor", "generation": 1}
    domain = TrustDomain.parse(build_domain(window) | {"metadata": metadata | {"resourceVersion": "1"}})
    now = int(time.time())
    received = Received(sign_answer(peer.spec.kernel_id, now), Direction.ANSWER)
    view = PeerView(DomainView(domain, key.public_key, secrets.token_bytes(32)), happened=received)
    outcome = reconcile_peer(peer, view, now)
    return build_status(peer, outcome.findings, view.domain.seal_key if view.domain else None).to_wire()


def sign_answer(kernel_id: str, now: int) -> Envelope:
    """What the partner would answer."""
    return build_envelope(
        local_kernel_id=kernel_id,
        remote_kernel_id=OUR_KERNEL_ID,
        nonce=str(uuid.uuid4()),
        timestamp=now,
        key=partner_key(kernel_id),
    )


def fill(template: dict[str, Any], kernel_id: str, pin: Pin) -> dict[str, Any]:
    """The status of one peer."""
    status = dict(template)
    status["peerKernelId"] = kernel_id
    status["lastAttemptTime"] = format_time(pin.established_at)
    status["pin"] = {
        "publicKey": pin.public_key.canonical,
        "establishedAt": format_time(pin.established_at),
        "rotationDue": format_time(pin.rotation_due),
        "envelopeTimestamp": format_time(pin.envelope_timestamp),
        "envelopeNonces": list(pin.envelope_nonces),
        "seal": template["pin"]["seal"],
    }
    return status


class Floor:
    """One run over all peers of a namespace."""

    def __init__(self, namespace: str, objects: list[dict[str, Any]], ask: Ask, window: int) -> None:
        self._namespace = namespace
        self._key = SigningKey.generate()
        self._window = window
        self._ask = ask
        self._waiting = iter(objects)
        self._template = build_template(copy.deepcopy(objects[0]), self._key, window)
        self.took: list[float] = []

    async def work(self, session: aiohttp.ClientSession) -> None:
        """Take peers until none is left."""
        for obj in self._waiting:
            started = time.perf_counter()
            metadata, spec = obj["metadata"], obj["spec"]
            pin = await self._shake_hands(spec)
            body = {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "metadata": {
                    "name": metadata["name"],
                    "namespace": self._namespace,
                    "resourceVersion": metadata["resourceVersion"],
                },
                "status": fill(self._template, spec["kernelId"], pin),
            }
            url = f"{path('federationpeers', self._namespace, metadata['name'])}/status"
            query = "?fieldManager=floor&force=true"
            async with session.patch(url + query, data=json.dumps(body).encode(), headers=_APPLY) as response:
                response.raise_for_status()
                await response.read()
            self.took.append(time.perf_counter() - started)

    async def _shake_hands(self, spec: dict[str, Any]) -> Pin:
        kernel_id = spec["kernelId"]
        anchor = PublicKey(bytes.fromhex(spec["trustAnchors"][0]["publicKey"].removeprefix("ed25519:")))
        now = int(time.time())
        envelope = build_envelope(
            local_kernel_id=OUR_KERNEL_ID,
            remote_kernel_id=kernel_id,
            nonce=str(uuid.uuid4()),
            timestamp=now,
            key=self._key,
        )
        terms = Terms(OUR_KERNEL_ID, self._key.public_key, kernel_id, (anchor,), self._window)
        return accept_envelope(
            parse_envelope(await self._ask(envelope.to_json())), terms, None, int(time.time())
        )


def api_session(kubeconfig: Path) -> aiohttp.ClientSession:
    """A session with the API server: 32 connections, kept alive."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return aiohttp.ClientSession(
        base_url=cluster["server"],
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority), limit=CONNECTIONS),
        headers={"Authorization": f"Bearer {user['token']}"},
    )


async def open_ask(stack: AsyncExitStack, client: str, url: str, authority: Path) -> Ask:
    """How an envelope is sent: a new TLS connection each time, verified against the partner's authority."""
    context = ssl.create_default_context(cafile=str(authority))
    endpoint = f"{url}/v1/federation/handshake"
    headers = {"Content-Type": "application/json"}
    if client == "httpx":
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        partner = await stack.enter_async_context(
            httpx.AsyncClient(verify=context, limits=limits, trust_env=False)
        )

        async def ask_httpx(body: bytes) -> bytes:
            response = await partner.post(endpoint, content=body, headers=headers)
            return response.raise_for_status().content

        return ask_httpx
    connector = aiohttp.TCPConnector(ssl=context, force_close=True, limit=CONNECTIONS)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def ask_aiohttp(body: bytes) -> bytes:
        async with session.post(endpoint, data=body, headers=headers) as response:
            response.raise_for_status()
            return await response.read()

    return ask_aiohttp


async def run(kubeconfig: Path, namespace: str, url: str, authority: Path, client: str) -> dict[str, Any]:
    """Do it all once."""
    objects = await list_all(kubeconfig, "federationpeers", namespace)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(api_session(kubeconfig))
        ask = await open_ask(stack, client, url, authority)
        floor = Floor(namespace, objects, ask, 43_200)
        cpu, started = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(floor.work(session))
        seconds = time.perf_counter() - started
        used = time.process_time() - cpu
    return {
        "client": client,
        "peers": len(floor.took),
        "seconds": seconds,
        "cpu_seconds": used,
        "p50_seconds": percentile(floor.took, 0.5),
    }


if __name__ == "__main__":
    _, _kubeconfig, _namespace, _url, _authority, *_client = sys.argv
    print(
        json.dumps(
            asyncio.run(
                run(
                    Path(_kubeconfig),
                    _namespace,
                    _url,
                    Path(_authority),
                    _client[0] if _client else "aiohttp",
                )
            )
        )
    )
