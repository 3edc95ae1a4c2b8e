"""One replica, put together: what is created, in which order it starts, and in which it stops.

Start: health port, then (when kopf has filled the caches) endpoint and election. Stop: no more
envelopes, no more keys, the Lease released, connections closed; within five seconds.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import uuid
from pathlib import Path
from typing import Any

from kubernetes.aio.client.configuration import Configuration

from bilateral.engine.api import APIError, KubernetesAPI
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.controller import Controller
from bilateral.engine.dids import DidDocuments
from bilateral.engine.election import Election
from bilateral.engine.events import EventRecorder
from bilateral.engine.handshakes import Initiator, Responder
from bilateral.engine.health import HealthServer, LoopMonitor
from bilateral.engine.intake import Intake
from bilateral.engine.introductions import IntroductionDesk
from bilateral.engine.issued import IssuedRecords
from bilateral.engine.judge import Judge
from bilateral.engine.lists import PeerLists
from bilateral.engine.log import Log
from bilateral.engine.lookers.registry import Lookers
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.memory import Broom
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import StatusWriter
from bilateral.engine.queue import WorkQueue
from bilateral.engine.secrets import SecretWriter
from bilateral.engine.session import Watches
from bilateral.engine.statements import Statements
from bilateral.engine.terms import KIND_NAMES
from bilateral.engine.views import Views
from bilateral.exchange.client import Outbound, OutboundSettings
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.limits import build_limits
from bilateral.exchange.routes import build_partner_routes
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.protocol.reasons import Reason
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.labels import GROUP, VERSION
from bilateral.settings import OperatorSettings

STEP_SECONDS = 0.5
"""How far the wall clock may run off the monotonic one between two ticks before every plan is made anew."""
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
KINDS_POLL_SECONDS = 2.0

log = Log("runtime")


class Runtime:
    """Everything of one replica but kopf."""

    def __init__(
        self,
        settings: OperatorSettings,
        configuration: Configuration,
        destinations: Destinations,
        clock: Clock,
    ) -> None:
        identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._settings = settings
        self._clock = clock
        self.metrics = Metrics()
        self._guard = ClockGuard(clock)
        self._cache = Cache()
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._api = KubernetesAPI(configuration)
        secrets = SecretWriter(self._api, self._cache, self.metrics)
        self._views = Views(self._cache, self._guard, secrets)
        self._lists = PeerLists(self._cache, self._queue, secrets, clock)
        self._certificates = CertificateStore()
        tls = ssl.TLSVersion.TLSv1_2 if settings.tls_minimum == "1.2" else ssl.TLSVersion.TLSv1_3
        self._outbound = Outbound(destinations, OutboundSettings(minimum_tls=tls), now=clock.time)
        statuses = StatusWriter(self._api, self._cache, self.metrics)
        self._events = EventRecorder(self._api, clock, self._guard, self.metrics, identity)
        self._intake = Intake(
            self._cache, self._queue, self._views, self._lists, self.metrics, self._refresh_endpoint
        )
        self._election = Election(
            self._api,
            clock,
            self._guard,
            namespace=settings.lease_namespace or _own_namespace(),
            name=settings.lease_name,
            identity=identity,
            on_change=self._lead,
        )
        tools = Tools(
            api=self._api,
            cache=self._cache,
            queue=self._queue,
            views=self._views,
            statuses=statuses,
            secrets=secrets,
            issued=IssuedRecords(self._cache, secrets, self._queue, clock),
            events=self._events,
            clock=clock,
            guard=self._guard,
            metrics=self.metrics,
            holds=lambda: self._election.holds,
        )
        initiator = Initiator(self._outbound, self._views, self._guard, self.metrics)
        self._judge = Judge(
            settings,
            self._api,
            self._cache,
            self._views,
            self._outbound,
            clock,
            self._guard,
            self.metrics,
            tls,
        )
        lookers = Lookers(tools, self._lists, initiator, self._intake.domain_changed, self._judge)
        self._controller = Controller(
            queue=self._queue,
            lookers=lookers.by_kind,
            clock=clock,
            metrics=self.metrics,
            holds=tools.holds,
        )
        self._responder = Responder(
            self._cache, self._views, statuses, self._guard, clock, lookers.peers.accepted
        )
        self._desk = IntroductionDesk(
            self._api, self._cache, self._views, self._judge.policies, self._guard, self._intake.event
        )
        endpoint_settings = EndpointSettings(
            refusals=settings.refusals,
            minimum_tls=tls,
            limits=build_limits(
                max_connections=settings.max_connections,
                max_connections_per_source=settings.max_connections_per_source,
                requests_per_second=settings.requests_per_second,
            ),
        )
        routes = build_partner_routes(
            self._responder,
            endpoint_settings,
            introductions=self._desk,
            statements=Statements(self._cache, self._views),
            dids=DidDocuments(self._views),
            feeds=self._judge,
        )
        self._endpoint = Endpoint(
            routes, self._certificates, endpoint_settings, self.metrics, clock=clock.monotonic
        )
        namespaces: tuple[str | None, ...] = settings.namespaces or (None,)
        self.watches = Watches(
            clock,
            tuple((kind, namespace) for kind in Kind for namespace in namespaces),
            self._take_in,
            self._intake.listed,
            self._controller.api_answers,
            self._cache.echoes,
        )
        self._broom = Broom()
        self._monitor = LoopMonitor(clock, self._tick)
        self._health = HealthServer(clock, self.watches, self._monitor, self.metrics, lambda: self._listening)
        self._listening = False
        self.failed = False
        self.ending = asyncio.Event()
        self._regressed = False
        self._lead_of_wall_clock = clock.time() - clock.monotonic()
        self._filling: asyncio.Task[None] | None = None

    def event(self, kind: Kind, event: str | None, obj: dict[str, Any]) -> None:
        """Take in an event of a watch."""
        self._intake.event(kind, event, obj)

    async def start(self) -> None:
        """Begin: probes at once, everything else when the caches are filled.

        What cannot be begun sets :attr:`failed` and ends it: a replica that only looks alive would
        be worse than none.
        """
        self._monitor.start()
        try:
            await self._health.start(*self._settings.metrics_listen)
        except OSError as error:
            log.fault("probes and metrics cannot listen", error, port=self._settings.metrics_listen[1])
            self._fail()
            return
        self._filling = asyncio.create_task(self._begin(), name="start")

    async def wait_for_kinds(self) -> None:
        """Wait until the API server serves our kinds: kopf looks for them once, when it starts."""
        while True:
            if await self._are_kinds_served():
                return
            await asyncio.sleep(KINDS_POLL_SECONDS)

    async def _are_kinds_served(self) -> bool:
        try:
            found = await self._api.get(f"/apis/{GROUP}/{VERSION}")
        except APIError as error:
            log.warning(
                "waiting for the API server to serve our kinds: are the CRDs installed?", status=error.status
            )
            return False
        served = {each["name"] for each in found.get("resources") or ()}
        missing = {kind.value for kind in KIND_NAMES} - served
        if missing:
            log.warning("waiting for CRDs to be installed", missing=" ".join(sorted(missing)))
        return not missing

    async def _begin(self) -> None:
        try:
            await self._go_on_when_filled()
        except Exception as error:  # noqa: BLE001 - nobody waits for this task: what ends it ends the replica
            log.fault("the endpoint cannot begin", error, port=self._settings.listen[1])
            self._fail()

    def _fail(self) -> None:
        self.failed = True
        self.ending.set()

    async def stop(self) -> None:
        """End within five seconds, with nothing half done and the Lease released."""
        self._responder.ready = self._desk.ready = False
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        if self._listening:
            await self._endpoint.stop(grace_seconds=1.0)
            self._listening = False
        await self._controller.stop()
        await self._judge.stop()
        await self._election.stop()
        await self._events.drain()
        self._outbound.close()
        await self._api.close()
        await self._monitor.stop()
        await self._health.stop()
        self.ending.set()  # kopf waits for whoever waits for this

    async def _go_on_when_filled(self) -> None:
        await self.watches.wait_filled()
        self._witness_pins()
        self._refresh_endpoint()
        self._responder.ready = self._desk.ready = True
        port = await self._endpoint.start(*self._settings.listen)
        self._listening = True
        self._broom.settle()
        log.info(
            "ready",
            port=port,
            trustDomains=self._cache.count(Kind.TRUST_DOMAIN),
            federationPeers=self._cache.count(Kind.FEDERATION_PEER),
        )
        self._controller.start(self._settings.workers)
        self._judge.start(lambda: self._intake.again(Kind.FEDERATION_POLICY), self._fail)
        self._election.start()

    def _take_in(self, kind: Kind, objects: list[dict[str, Any]]) -> None:
        for obj in objects:
            self._intake.event(kind, None, obj)

    def _witness_pins(self) -> None:
        """Sealed pins tell what time it was when they were made: no clock reads less (R-H5)."""
        for key in self._cache.keys(Kind.FEDERATION_PEER):
            raw = self._cache.raw(key)
            pin = ((raw or {}).get("status") or {}).get("pin")
            if raw is None or not pin:
                continue
            try:
                peer = FederationPeer.parse(raw)
            except InvalidResource:
                continue
            witnessed = self._views.witnessed_time(peer)
            if witnessed is not None:
                self._guard.witness(witnessed)

    def _lead(self, leading: bool) -> None:
        self.metrics.leading.set(leading)
        if leading:
            self._controller.begin_anew()
            self._intake.everything()
        else:
            self._queue.clear()
            self._lists.clear()
            self.metrics.forget_peers()

    def _refresh_endpoint(self) -> None:
        """Present, for every host, the certificate of the trust domain that has it."""
        served: dict[str, tuple[bytes, bytes]] = {}
        for key in self._cache.keys(Kind.TRUST_DOMAIN):
            domain = self._views.domain(key.namespace, key.name)
            if domain is not None and domain.host is not None and domain.certificate is not None:
                served.setdefault(domain.host, (domain.certificate.chain_pem, domain.certificate.key_pem))
        for host in self._certificates.replace(served):
            # Decisions found it good; what TLS makes of it is the last word.
            log.warning("a certificate cannot be served", host=host, reason=Reason.CERTIFICATE_INVALID.value)
        self._judge.refresh_certificate()

    def _tick(self, lag: float) -> None:
        """Once a second: what is measured rather than counted, and the clock."""
        self._broom.tick()
        self._judge.tick()
        statistics = self._queue.statistics()
        self.metrics.loop_lag.set(lag)
        self.metrics.queue.labels("waiting").set(statistics.waiting)
        self.metrics.queue.labels("in-flight").set(statistics.in_flight)
        self._guard.now()
        regressed = self._guard.regressed
        turned = regressed != self._regressed
        if turned:
            self._regressed = regressed
            self.metrics.clock_regressed.set(regressed)
            log.warning("the clock went backwards" if regressed else "the clock has caught up")
        # The queue waits by the monotonic clock. Where the wall clock steps, or a machine was
        # suspended, what it waits for may be due already: a pin's deadline above all.
        lead = self._clock.time() - self._clock.monotonic()
        stepped = abs(lead - self._lead_of_wall_clock) > STEP_SECONDS
        if stepped:
            log.info("the clock was set", seconds=round(lead - self._lead_of_wall_clock, 1))
            self._lead_of_wall_clock = lead
        if turned or stepped:
            self._intake.everything()


def _own_namespace() -> str:
    try:
        return POD_NAMESPACE.read_text().strip()
    except OSError:
        return os.environ.get("POD_NAMESPACE", "default")
