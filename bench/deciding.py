"""The control endpoint under load, in a process of its own: how much of it is in it is its mode.

    PYTHONPATH=.:tests python bench/deciding.py MODE PARTNERS CERTIFICATE_PEM KEY_PEM

- ``empty``: the control endpoint as it is (gate, limits, TLS, caller, body), with a handler that decides nothing;
- ``decides``: with the operator's own ``Decisions``: its cache with PARTNERS partners that are pinned, a policy for
  each, news of revocations, receipts, and a ledger in SQLite that has every decision on the disk before it is told;
- ``unrecorded``: the same with a ledger that forgets decisions, to tell what recording takes.

Callers are let in without asking a cluster. It prints its port on 127.0.0.1 and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.chains import SERVER, TOOL, issuer_key, partner_name
from bench.partner import partner_key
from bench.population import OUR_KERNEL_ID
from bench.serving import HOST, NAMESPACE, NO_LIMITS, Replica, build_replica

from bilateral.engine.cache import Kind
from bilateral.engine.clock import SystemClock
from bilateral.engine.decisions import Decisions
from bilateral.engine.memory import Broom
from bilateral.engine.metrics import Metrics
from bilateral.engine.partners import Partners
from bilateral.engine.policies import Counting, Policies
from bilateral.engine.revocations import RevocationNews
from bilateral.exchange.callers import Action, Caller
from bilateral.exchange.control import Call, ControlHandler, build_control_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Link
from bilateral.ledger.sqlite import SQLiteDatabase
from bilateral.ledger.store import SQLLedger
from bilateral.protocol.canonical import JSON
from bilateral.protocol.handshake import build_envelope
from bilateral.protocol.policies.evaluations import parse_evaluation
from bilateral.resources.labels import API_VERSION

CALLER = Caller("system:serviceaccount:tools:kernel")


class EveryCaller:
    """Lets everybody in: what the cluster's answers cost is the cluster's."""

    async def authenticate(self, token: str) -> Caller:  # noqa: ARG002
        return CALLER

    async def authorize(self, caller: Caller, action: Action) -> None:
        """Without a question."""


class Empty:
    """Answers everything with the same document."""

    def namespace(self, asked: str) -> str:
        return asked or NAMESPACE

    async def evaluate(self, call: Call) -> bytes:  # noqa: ARG002
        return b'{"schema":"bilateral.evaluation.v1"}'

    list_policies = create_policy = delete_policy = revoke = evaluate


class Deciding(Empty):
    """Answers questions as the operator does."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def evaluate(self, call: Call) -> bytes:
        return await self._decisions.evaluate(call.namespace, call.caller, parse_evaluation(call.body))


class Forgetful(SQLLedger):
    """A ledger in which decisions are not kept; everything else is."""

    async def record_decision(
        self,
        body: Mapping[str, JSON],  # noqa: ARG002
        receipt: Mapping[str, JSON] | None = None,  # noqa: ARG002
    ) -> Link:
        return Link(1, "0" * 64)


def build_policy_object(number: int) -> dict[str, Any]:
    """The FederationPolicy of one partner, as a person would write it."""
    name = partner_name(number)
    return {
        "apiVersion": API_VERSION,
        "kind": "FederationPolicy",
        "metadata": {"name": name},
        "spec": {
            "peer": name,
            "partnerId": name,
            "trustedIssuers": [{"publicKey": issuer_key(number + 1).public_key.canonical}],
            "maxScope": {
                "toolServers": ["billing.org-b.internal", SERVER],
                "tools": [
                    {"tool": "billing.read"},
                    {
                        "tool": TOOL,
                        "parameterBounds": {"row_limit": 10_000},
                        "parameterValues": {"format": ["csv", "json"]},
                    },
                ],
                "budget": {"units": 5000, "currency": "USD"},
            },
            "maxAutonomyTier": "Delegated",
            "maxEvidenceAgeSeconds": 3600,
            "revocationFeed": {
                "url": "https://trust.org-a.example:8940/v1/revocations",
                "source": "ChioService",
                "bearerTokenSecretRef": {"name": "partners-token"},
            },
        },
    }


async def pin(replica: Replica, number: int) -> None:
    """Have a partner shake hands, as it would at the endpoint."""
    kernel_id = f"{partner_name(number)}-kernel"
    envelope = build_envelope(
        local_kernel_id=kernel_id,
        remote_kernel_id=OUR_KERNEL_ID,
        nonce=str(uuid.uuid4()),
        timestamp=int(time.time()),
        key=partner_key(kernel_id),
    )
    await replica.responder.handle(envelope, None)


async def build_decisions(mode: str, partners: int, authority_pem: str, directory: Path) -> Decisions:
    """The operator's decisions, with everything that they are made from."""
    replica = await build_replica(partners, authority_pem)
    file = directory / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{file}")
    if mode == "unrecorded":
        ledger = Forgetful(*(SQLiteDatabase(file, place="bench", read_only=each) for each in (False, True)))
    policies = Policies(replica.cache, replica.views, Partners(replica.cache, replica.views, replica.guard))
    news = RevocationNews(ledger, SystemClock())
    for number in range(partners):
        obj = replica.api.store(Kind.FEDERATION_POLICY, build_policy_object(number))
        replica.cache.put(Kind.FEDERATION_POLICY, obj)
        await pin(replica, number)
        found = policies.of_partner(NAMESPACE, partner_name(number))
        if not isinstance(found, Counting) or found.relation is None:
            raise RuntimeError(f"the policy of {partner_name(number)} does not count")
        await news.load(found.relation)
        await news.merge_lesser(found.relation, (), int(time.time()))
    return Decisions(policies, news, ledger, replica.guard, replica.metrics)


async def serve(mode: str, partners: int, pems: dict[str, bytes]) -> None:
    """Serve until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="bilateral-bench-ledger-") as folder:
        handler: ControlHandler = Empty()
        if mode != "empty":
            handler = Deciding(await build_decisions(mode, partners, pems["ca.crt"].decode(), Path(folder)))
        certificates = CertificateStore()
        certificates.replace({HOST: (pems["tls.crt"], pems["tls.key"])})
        routes = build_control_routes(handler, EveryCaller())
        endpoint = Endpoint(routes, certificates, EndpointSettings(limits=NO_LIMITS), Metrics())
        Broom().settle()  # as the operator does when it has started
        print(await endpoint.start("127.0.0.1", 0), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    _, _mode, _partners, _certificate, _key = sys.argv
    _pems = {file.name: file.read_bytes() for file in Path(_certificate).parent.iterdir() if file.is_file()}
    asyncio.run(serve(_mode, int(_partners), _pems))
