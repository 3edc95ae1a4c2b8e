"""What the operator was told at its start: one frozen value, made by the CLI and read by the operator.

It holds decisions, not objects: no path in it is opened and no name resolved before the operator runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Refusals: TypeAlias = Literal["Documented", "Uniform"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
TLSVersion: TypeAlias = Literal["1.2", "1.3"]
Address: TypeAlias = tuple[str, int]
"""A host to listen on (a name or an address without brackets) and a port; port 0 is any free one."""

DEFAULT_PORT = 8940
DEFAULT_METRICS_PORT = 8941
DEFAULT_CONTROL_PORT = 8942
DEFAULT_LEASE_NAME = "bilateral"
DEFAULT_WORKERS = 32
DEFAULT_MAX_CONNECTIONS = 256
DEFAULT_MAX_CONNECTIONS_PER_SOURCE = 128
DEFAULT_REQUESTS_PER_SECOND = 50


class SettingsError(Exception):
    """A setting that only the operator itself can judge is wrong; ``str()`` names it and says what is expected.

    Raised by ``bilateral.operator.main`` before anything was started; the CLI ends with a usage error.
    """


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Settings of one operator process.

    ``namespaces`` empty means all namespaces; ``lease_namespace`` None means the pod's own or, outside
    a cluster, the kubeconfig's; ``identity`` None means a name made from the host's. ``refusals`` and
    ``tls_minimum`` are those of the federation endpoint; ``allow_destinations`` lists hosts and networks
    that are reached although they are not public addresses. ``max_connections`` bounds the endpoint's
    connections in all, ``max_connections_per_source`` and ``requests_per_second`` those of one address.
    ``ledger`` is the URL of the ledger, None for none: then no decision is made, no feed read or told.
    ``control_listen`` is where the control endpoint listens, None for nowhere; ``control_hosts`` are the
    DNS names in its certificate.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    lease_namespace: str | None = None
    lease_name: str = DEFAULT_LEASE_NAME
    identity: str | None = None
    # The endpoint exists to be reached from outside the pod; a NetworkPolicy narrows who may.
    listen: Address = ("0.0.0.0", DEFAULT_PORT)  # noqa: S104 - as said above
    metrics_listen: Address = ("0.0.0.0", DEFAULT_METRICS_PORT)  # noqa: S104 - as said above
    allow_destinations: tuple[str, ...] = ()
    refusals: Refusals = "Documented"
    log_level: LogLevel = "info"
    tls_minimum: TLSVersion = "1.3"
    workers: int = DEFAULT_WORKERS
    max_connections: int = DEFAULT_MAX_CONNECTIONS
    max_connections_per_source: int = DEFAULT_MAX_CONNECTIONS_PER_SOURCE
    requests_per_second: int = DEFAULT_REQUESTS_PER_SECOND
    ledger: str | None = field(default=None, repr=False)
    control_listen: Address | None = None
    control_hosts: tuple[str, ...] = ()
