"""What a stranger may cost us, decided before any cryptography: connections and rates.

Rules (R-D1): how many connections are open is bounded, in all and for each source; how many are
begun, and how many requests are made, is bounded by token buckets for each source and in all;
memory for sources is bounded too, the least recently seen is forgotten. A source is an IPv4
address or an IPv6 /64, since a host is commonly given the whole of one.

What all sources share, strangers could use up together. A source is known once an envelope from it
was accepted: the known ones share limits of their own, and have some places to themselves.

It knows no HTTP and no TLS, and no clock but the one that it is given.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from bilateral.exchange.addresses import parse_address

MAX_SOURCES = 4096
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How much the endpoint takes on. Rates are per second; a burst is what a full bucket holds.

    An open connection costs about 0.06 MiB in the operator, most of it for TLS.
    """

    max_connections: int = 256
    known_connections: int = 64
    """Further places, for known sources only."""
    max_connections_per_source: int = 128
    connections_per_second: float = 50.0
    connections_burst: int = 200
    requests_per_second: float = 50.0
    requests_burst: int = 200
    total_requests_per_second: float = 2000.0
    total_requests_burst: int = 4000
    """The totals hold for all strangers together, and once more for all known sources together."""


def build_limits(
    *, max_connections: int, max_connections_per_source: int, requests_per_second: int
) -> LimitSettings:
    """Build limits from the few that a person sets; the others keep their proportion to them."""
    burst = 4 * requests_per_second
    return LimitSettings(
        max_connections=max_connections,
        known_connections=math.ceil(max_connections / 4),
        max_connections_per_source=max_connections_per_source,
        connections_per_second=float(requests_per_second),
        connections_burst=burst,
        requests_per_second=float(requests_per_second),
        requests_burst=burst,
        total_requests_per_second=40.0 * requests_per_second,
        total_requests_burst=20 * burst,
    )


def parse_source(host: str) -> str:
    """Name the source that a peer address belongs to; an unreadable one is a source of its own."""
    try:
        address: IPv4Address | IPv6Address = parse_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address)


class TokenBuckets:
    """One token bucket for each key, filled at ``rate`` tokens a second up to ``burst``."""

    def __init__(self, rate: float, burst: int, clock: Clock, max_keys: int = MAX_SOURCES) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._max_keys = max_keys
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: str) -> float:
        """Take a token; return 0.0, or the seconds until there is one (and none is taken)."""
        now = self._clock()
        level, since = self._levels.pop(key, (self._burst, now))
        level = min(self._burst, level + max(0.0, now - since) * self._rate)
        wait = 0.0
        if level >= 1.0:
            level -= 1.0
        else:
            wait = (1.0 - level) / self._rate if self._rate > 0 else math.inf
        self._levels[key] = (level, now)
        while len(self._levels) > self._max_keys:
            self._levels.popitem(last=False)
        return wait


class Lease:
    """One admitted connection; given back once, however often :meth:`release` is called."""

    __slots__ = ("_gate", "source")

    def __init__(self, gate: Gate, source: str) -> None:
        self._gate: Gate | None = gate
        self.source = source

    def release(self) -> None:
        """Give the place back."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(self.source)


class Gate:
    """Admits connections and requests, or not."""

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        self._settings = settings
        self._open: dict[str, int] = {}
        self._total = 0
        self._connections = TokenBuckets(settings.connections_per_second, settings.connections_burst, clock)
        self._requests = TokenBuckets(settings.requests_per_second, settings.requests_burst, clock)
        self._all = TokenBuckets(settings.total_requests_per_second, settings.total_requests_burst, clock, 2)
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def connections(self) -> int:
        """How many admitted connections there are."""
        return self._total

    def admit(self, host: str) -> Lease | None:
        """Admit a connection from ``host``, before a byte is read; None when it is one too many."""
        source = parse_source(host)
        settings = self._settings
        places = settings.max_connections + (settings.known_connections if source in self._known else 0)
        if (
            self._total >= places
            or self._open.get(source, 0) >= settings.max_connections_per_source
            or self._connections.take(source) > 0
        ):
            return None
        self._total += 1
        self._open[source] = self._open.get(source, 0) + 1
        return Lease(self, source)

    def leave(self, source: str) -> None:
        """Count a connection out; :class:`Lease` sees to it that this happens once."""
        self._total -= 1
        left = self._open[source] - 1
        if left:
            self._open[source] = left
        else:
            del self._open[source]

    def welcome(self, source: str) -> None:
        """Know a source from now on: a partner proved itself there."""
        self._known[source] = None
        self._known.move_to_end(source)
        while len(self._known) > MAX_SOURCES:
            self._known.popitem(last=False)

    def retry_after(self, source: str) -> float:
        """Take a request's token; 0.0, or the seconds after which another try may succeed."""
        share = "known" if source in self._known else "strangers"
        return self._requests.take(source) or self._all.take(share)
