"""Everything that needs the ledger: decisions, the control endpoint, partners' feeds and our own.

Rules:

- Trust does not wait for the ledger: handshakes and all that follows from them go on while it cannot be opened.
  Until then no capability is allowed, no feed is read or told, and whoever asks is told to come back.
- A ledger that cannot be used as it is (another program's, a newer version's, a wrong URL) ends the replica: only a
  person can change that, and a pod that stops is seen.
- The control endpoint's certificate is signed by the authority of the oldest TrustDomain that may sign, lives a day,
  and is in memory only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from bilateral.engine.api import KubernetesAPI
from bilateral.engine.cache import Cache, Kind
from bilateral.engine.callers import Callers
from bilateral.engine.clock import Clock, ClockGuard
from bilateral.engine.control import Control
from bilateral.engine.decisions import Decisions
from bilateral.engine.log import Log
from bilateral.engine.metrics import Metrics
from bilateral.engine.partners import Partners
from bilateral.engine.policies import Policies
from bilateral.engine.publishing import Feeds
from bilateral.engine.readings import Readings
from bilateral.engine.revocations import RevocationNews
from bilateral.engine.views import Views
from bilateral.exchange.client import Outbound
from bilateral.exchange.control import build_control_routes
from bilateral.exchange.errors import Refusal
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore
from bilateral.ledger.errors import LedgerError, LedgerLocked, LedgerUnavailable
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.pki.authority import Authority
from bilateral.pki.servers import issue_server_certificate
from bilateral.protocol.reasons import Reason
from bilateral.settings import OperatorSettings

OPEN_AGAIN_SECONDS = 2.0
RETRY_AFTER_SECONDS = 5
CERTIFICATE_SECONDS = 86_400

log = Log("judge")


class Judge:
    """Decides, reads and tells once the ledger is open."""

    def __init__(
        self,
        settings: OperatorSettings,
        api: KubernetesAPI,
        cache: Cache,
        views: Views,
        outbound: Outbound,
        clock: Clock,
        guard: ClockGuard,
        metrics: Metrics,
        minimum_tls: ssl.TLSVersion,
    ) -> None:
        self._settings = settings
        self._api = api
        self._cache = cache
        self._views = views
        self._outbound = outbound
        self._clock = clock
        self._guard = guard
        self._metrics = metrics
        self._minimum_tls = minimum_tls
        self._ledger: Ledger | None = None
        self._feeds: Feeds | None = None
        self._endpoint: Endpoint | None = None
        self._certificates = CertificateStore()
        self._certified: tuple[str, int] | None = None
        self._opening: asyncio.Task[None] | None = None
        self.policies = Policies(cache, views, Partners(cache, views, guard))
        self.readings: Readings | None = None

    def start(self, on_open: Callable[[], None], on_failure: Callable[[], None]) -> None:
        """Begin to open the ledger, if there is to be one; the caches are filled."""
        if self._settings.ledger is not None:
            self._opening = asyncio.create_task(
                self._begin(self._settings.ledger, on_open, on_failure), name="ledger"
            )

    async def stop(self) -> None:
        """Take no more questions, finish what is under way, close the ledger."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._endpoint is not None:
            await self._endpoint.stop(grace_seconds=1.0)
        self.readings = self._feeds = None
        if self._ledger is not None:
            await self._ledger.close()

    async def feed_page(self, kernel_id: str | None, start: int) -> bytes:
        """A page of a feed of ours. Raises Refusal: NotFound, NotReady."""
        if self._settings.ledger is None:
            raise Refusal(Reason.NOT_FOUND)
        if self._feeds is None:
            raise Refusal(Reason.NOT_READY, retry_after=RETRY_AFTER_SECONDS)
        return await self._feeds.feed_page(kernel_id, start)

    def tick(self) -> None:
        """Once a second: the certificate may be due."""
        if self._certified is not None and self._guard.now() >= self._certified[1]:
            self.refresh_certificate()

    def refresh_certificate(self) -> None:
        """Have the control endpoint show a certificate that the authority of now has signed."""
        if not self._settings.control_hosts:
            return
        authority, now = self._authority(), self._guard.now()
        if authority is None:
            return
        if (
            self._certified is not None
            and self._certified[0] == authority.fingerprint
            and now < self._certified[1]
        ):
            return
        issued = issue_server_certificate(
            authority,
            list(self._settings.control_hosts),
            validity_seconds=CERTIFICATE_SECONDS,
            now=datetime.fromtimestamp(now, UTC),
        )
        served = dict.fromkeys(self._settings.control_hosts, (issued.cert_pem, issued.key_pem))
        for host in self._certificates.replace(served):
            log.warning("a certificate cannot be served", host=host, reason=Reason.CERTIFICATE_INVALID.value)
        self._certified = (authority.fingerprint, now + CERTIFICATE_SECONDS * 2 // 3)

    def _authority(self) -> Authority | None:
        able = {}
        for key in self._cache.keys(Kind.TRUST_DOMAIN):
            domain = self._views.domain(key.namespace, key.name)
            if domain is not None and domain.authority is not None:
                able[key] = domain.authority
        return next((each for key, each in able.items() if self._cache.is_first(key, able)), None)

    async def _begin(self, url: str, on_open: Callable[[], None], on_failure: Callable[[], None]) -> None:
        try:
            ledger = self._ledger = await self._open(url)
            news = RevocationNews(ledger, self._clock)
            self._feeds = Feeds(ledger, self._views, self._guard)
            self.readings = Readings(news, self._views, self._outbound, self._guard, self._metrics)
            decisions = Decisions(self.policies, news, ledger, self._guard, self._metrics)
            await self._listen(decisions, self._feeds)
            log.info("the ledger is open", place=ledger.place)
            on_open()
        except LedgerError as error:
            log.warning("the ledger cannot be used", error=str(error), reason=error.reason.value)
            on_failure()
        except Exception as error:  # noqa: BLE001 - nobody waits for this task: what ends it ends the replica
            log.fault("the control endpoint cannot begin", error)
            on_failure()

    async def _open(self, url: str) -> Ledger:
        told = False
        while True:
            try:
                return await open_ledger(url)
            except (LedgerUnavailable, LedgerLocked) as error:
                if not told:
                    log.warning("waiting for the ledger", error=str(error), reason=error.reason.value)
                told = True
            await asyncio.sleep(OPEN_AGAIN_SECONDS)

    async def _listen(self, decisions: Decisions, feeds: Feeds) -> None:
        listen = self._settings.control_listen
        if listen is None:
            return
        callers = Callers(self._api, self._clock)
        control = Control(self._api, self._cache, decisions, feeds, callers, self._settings.namespaces)
        routes = build_control_routes(control, callers)
        self.refresh_certificate()
        self._endpoint = Endpoint(
            routes,
            self._certificates,
            EndpointSettings(minimum_tls=self._minimum_tls),
            self._metrics,
            clock=self._clock.monotonic,
        )
        port = await self._endpoint.start(*listen)
        control.ready = True
        log.info("control endpoint", port=port)
