"""Prometheus metrics. Labels come from closed lists only: kinds, reasons, verbs; never a name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from bilateral.protocol.reasons import Reason


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"bilateral_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"bilateral_{name}", text, labels, registry=self.registry)

        self.inbound = counter("handshakes_inbound", "Envelopes received, by how they were judged.", "reason")
        self.outbound = counter("handshakes_outbound", "Handshakes of ours, by how they ended.", "reason")
        self.inbound_seconds = Histogram(
            "bilateral_inbound_seconds", "Time to answer a request at the endpoint.", registry=self.registry
        )
        self.reconciles = counter("reconciles", "Looks at an object, by kind and result.", "kind", "result")
        self.writes = counter("writes", "Writes to the API server, by kind.", "kind")
        self.write_failures = counter(
            "write_failures", "Refused or lost writes, by kind and status.", "kind", "status"
        )
        self.events_dropped = counter("events_dropped", "Kubernetes events that the rate limit left out.")
        self.watch_events = counter("watch_events", "Events from watches, by kind.", "kind")
        self.handler_failures = counter(
            "handler_failures", "Failures inside a watch handler, by kind.", "kind"
        )
        self.objects = gauge("objects", "Objects held in the cache, by kind.", "kind")
        self.queue = gauge("queue_length", "Keys that wait for their time, or are being worked on.", "state")
        self.leading = gauge("leading", "1 while this replica holds the Lease.")
        self.clock_regressed = gauge("clock_regressed", "1 while the clock is behind what was already seen.")
        self.loop_lag = gauge("loop_lag_seconds", "How late the event loop ran its last tick.")
        self.peers = gauge("peers", "FederationPeers, by the reason of their Ready condition.", "reason")
        self.decisions = counter(
            "decisions",
            "Decisions about partners' capabilities, by their reason; Allowed has none.",
            "reason",
        )
        self.feed_reads = counter(
            "feed_reads", "Readings of partners' revocation feeds, by how they ended.", "reason"
        )
        self._reasons: dict[object, str] = {}

    # What bilateral.exchange reports (its Observer).

    def accepted(self) -> None:
        """An envelope was accepted at the endpoint."""
        self.inbound.labels("Accepted").inc()

    def refused(self, reason: Reason) -> None:
        """A request was refused at the endpoint."""
        self.inbound.labels(reason.value).inc()

    def request_seconds(self, seconds: float) -> None:
        """A request at the endpoint was answered."""
        self.inbound_seconds.observe(seconds)

    def decided(self, reason: Reason | None) -> None:
        """A capability was judged; None: allowed."""
        self.decisions.labels("Allowed" if reason is None else reason.value).inc()

    def peer_is(self, peer: object, reason: str | None) -> None:
        """The reason of a peer's Ready condition, or None when it is gone; the leader tells."""
        before = self._reasons.pop(peer, None)
        if before is not None:
            self.peers.labels(before).dec()
        if reason is not None:
            self._reasons[peer] = reason
            self.peers.labels(reason).inc()

    def forget_peers(self) -> None:
        """Another replica tells about peers now."""
        for peer in tuple(self._reasons):
            self.peer_is(peer, None)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
