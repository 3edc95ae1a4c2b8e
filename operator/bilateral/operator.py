"""The operator: kopf's handlers, and the life of one replica. The only module that imports kopf.

kopf lists, watches, and owns start, stop and signals. Its handlers here are event handlers only:
they put the object into the cache and its key into the queue. No timers, daemons, indexes,
finalizers, annotations or change handlers; deletion is owner references and a 404.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import kopf

from bilateral.engine.api import ClusterUnknown, load_configuration
from bilateral.engine.cache import Kind
from bilateral.engine.clock import Clock, SystemClock
from bilateral.engine.log import Log, configure_logging
from bilateral.engine.memory import keep_small
from bilateral.engine.runtime import Runtime
from bilateral.engine.session import open_session
from bilateral.exchange.destinations import Destinations
from bilateral.exchange.errors import InvalidDestination
from bilateral.resources.labels import GROUP, SECRET_LABEL, VERSION
from bilateral.settings import OperatorSettings, SettingsError

log = Log("operator")

LIST_CHUNK = 100
"""Objects of a list's page: a parsed FederationPeer takes 28 KiB until it is packed, so 500 of them 14 MiB."""


class _NoProgress(kopf.ProgressStorage):
    """Handlers of events have no progress to keep on the object."""

    def fetch(self, **_: Any) -> None:  # noqa: ANN401 - kopf's own arguments
        return None

    def store(self, **_: Any) -> None:  # noqa: ANN401 - as above
        return None

    def purge(self, **_: Any) -> None:  # noqa: ANN401 - as above
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence

    def touch(self, **_: Any) -> None:  # noqa: ANN401 - as above
        return None


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nor a copy of the object to compare with: making one would be the dearest part of an event."""

    def build(self, **_: Any) -> kopf.BodyEssence:  # noqa: ANN401 - as above
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:  # noqa: ANN401 - as above
        return None

    def store(self, **_: Any) -> None:  # noqa: ANN401 - as above
        return None


class _Patience:
    """How long kopf waits before it asks the API server again (seconds): for ever, never longer than this.

    An API server that is away, or refuses everybody while it starts, is no reason to end: partners are
    still answered, and /healthz tells when the watches have been quiet for too long.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 4)
        yield from itertools.repeat(5.0)


def main(settings: OperatorSettings, clock: Clock | None = None) -> int:
    """Run one replica until a signal ends it; 0, or 1 when it could not go on.

    Raises SettingsError for a setting that is wrong.
    """
    configure_logging(settings.log_level)
    keep_small()
    try:
        destinations = Destinations.parse(list(settings.allow_destinations))
    except InvalidDestination as error:
        raise SettingsError(f"--allow-destinations: {error}") from None
    try:
        return asyncio.run(_run(settings, destinations, clock or SystemClock()))
    except ClusterUnknown:
        raise SettingsError(
            "no cluster: expected --kubeconfig with a readable file, or a pod with a ServiceAccount"
        ) from None


async def _run(settings: OperatorSettings, destinations: Destinations, clock: Clock) -> int:
    configuration = await load_configuration(settings.kubeconfig, settings.context)
    runtime = Runtime(settings, configuration, destinations, clock)
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=configuration.host, aiohttp_session=open_session(configuration, runtime.watches)
        )

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: object) -> None:
        configure_kopf(settings)
        await runtime.start()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: object) -> None:
        await runtime.stop()

    register_handlers(registry, runtime)
    namespaces = list(settings.namespaces)
    log.info("starting", namespaces=len(namespaces))
    await runtime.wait_for_kinds()
    with suppress(asyncio.CancelledError):
        await kopf.operator(
            registry=registry,
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=runtime.ending,
        )
    log.info("stopped")
    return 1 if runtime.failed else 0


def register_handlers(registry: kopf.OperatorRegistry, runtime: Runtime) -> None:
    """One handler a kind: unpack, hand over."""
    for kind in Kind:
        group, version = ("", "v1") if kind is Kind.SECRET else (GROUP, VERSION)

        # kopf tells handlers apart by their id; the kind is bound now, not when an event comes.
        @kopf.on.event(group, version, kind.value, id=kind.value, registry=registry)
        async def take_in(event: kopf.RawEvent, kind: Kind = kind, **_: object) -> None:
            _hand_over(runtime, kind, event)


def _hand_over(runtime: Runtime, kind: Kind, event: kopf.RawEvent) -> None:
    try:
        runtime.event(kind, event["type"], dict(event["object"]))
    except Exception as error:  # noqa: BLE001 - kopf would log its text, which may quote the object
        runtime.metrics.handler_failures.labels(kind.value).inc()
        log.fault("an event was not taken in", error, kind=kind.value)


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Settings that keep kopf out of the objects, and small (reference: kopf's configuration docs)."""
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    # An idle worker keeps its object's body in memory: at 10,000 objects the default costs 160 MiB.
    settings.queueing.idle_timeout = 0.05
    settings.watching.chunk_size = LIST_CHUNK
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.networking.request_timeout = 15
    settings.networking.error_backoffs = _Patience()
    settings.process.ultimate_exiting_timeout = 25
    settings.watching.label_selectors["", "v1", Kind.SECRET.value] = SECRET_LABEL
    logging.getLogger("kopf").setLevel(logging.ERROR)
