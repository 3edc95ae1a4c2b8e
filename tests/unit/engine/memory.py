"""An API server in memory, and a whole replica on it: no network, a clock that tests move.

It keeps what the engine relies on: resource versions that only grow, 409 for a version that has
passed, 404, statuses apart from specs. It is no judge of objects: the real one is in tests/cluster.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from bilateral.engine.api import AlreadyExists, Conflict, KubernetesAPI, NotFound
from bilateral.engine.cache import Cache, Key, Kind
from bilateral.engine.clock import ClockGuard
from bilateral.engine.controller import Controller
from bilateral.engine.events import EventRecorder
from bilateral.engine.handshakes import Initiator, Responder
from bilateral.engine.intake import Intake
from bilateral.engine.issued import IssuedRecords
from bilateral.engine.lists import PeerLists
from bilateral.engine.lookers.registry import Lookers
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.metrics import Metrics
from bilateral.engine.objects import StatusWriter
from bilateral.engine.partners import Partners
from bilateral.engine.policies import Policies
from bilateral.engine.queue import WorkQueue
from bilateral.engine.readings import Readings
from bilateral.engine.secrets import SecretWriter
from bilateral.engine.views import Views
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.peer import Failed, Received
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.labels import SECRET_LABEL

from .conftest import FakeClock


class MemoryAPI(KubernetesAPI):
    """Objects by plural and name, in one namespace."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 0
        self.writes: list[tuple[str, str]] = []
        self.delay = False

    async def get(self, path: str) -> dict[str, Any]:
        plural, name, _ = _parts(path)
        if (plural, name) not in self.objects:
            raise NotFound(404)
        return copy.deepcopy(self.objects[plural, name])

    async def create(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        plural = path.rsplit("/", 1)[-1]
        if plural == "events":
            return body
        if (plural, body["metadata"]["name"]) in self.objects:
            raise AlreadyExists(409)
        self.writes.append((plural, body["metadata"]["name"]))
        return self.add(plural, body)

    async def apply(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if self.delay:
            await asyncio.sleep(0)
        plural, name, status = _parts(path)
        held = self.objects.get((plural, name))
        if held is None:
            raise NotFound(404)
        wanted = body["metadata"].get("resourceVersion")
        if wanted is not None and wanted != held["metadata"]["resourceVersion"]:
            raise Conflict(409)
        self.writes.append((plural, name))
        changed = {**held, "status": body["status"]} if status else {**held, "data": body["data"]}
        return self._store(plural, changed)

    def add(self, plural: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Put an object there, as somebody else would."""
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        metadata.setdefault("namespace", "trust")
        metadata.setdefault("uid", f"uid-{plural}-{metadata['name']}")
        metadata.setdefault("generation", 1)
        metadata.setdefault("creationTimestamp", "2026-11-21T00:00:00Z")
        return self._store(plural, obj)

    def _store(self, plural: str, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        stored = copy.deepcopy(obj)
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.objects[plural, stored["metadata"]["name"]] = stored
        return copy.deepcopy(stored)


def _parts(path: str) -> tuple[str, str, bool]:
    parts = path.split("/")
    status = parts[-1] == "status"
    if status:
        parts.pop()
    return parts[-2], parts[-1], status


class Partner:
    """Stands for the network: what each handshake of ours leads to is set by the test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Received | Failed | None = None
        self.statements_asked: list[str] = []
        self.statement = Fetched(reason=Reason.NOT_ANNOUNCED)
        self.meanwhile: Callable[[], None] = lambda: None

    async def perform(self, peer: FederationPeer) -> Received | Failed:
        self.asked.append(peer.metadata.name)
        answer = self.answer
        self.meanwhile()
        assert answer is not None
        return answer

    async def ask_statement(self, peer: FederationPeer) -> Fetched:
        self.statements_asked.append(peer.metadata.name)
        return self.statement


@dataclass
class Judging:
    """The ledger's side; a test opens a ledger by setting ``readings``."""

    policies: Policies
    readings: Readings | None = None


class Replica:
    """One replica's engine; `catch_up` is its watch, `work` its workers."""

    def __init__(self, api: MemoryAPI, clock: FakeClock, *, leads: bool = True) -> None:
        self.api, self.clock, self.leads = api, clock, leads
        self.metrics = Metrics()
        self.guard = ClockGuard(clock)
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(clock)
        self.secrets = secrets = SecretWriter(api, self.cache, self.metrics)
        self.views = Views(self.cache, self.guard, secrets)
        self.lists = PeerLists(self.cache, self.queue, secrets, clock)
        statuses = StatusWriter(api, self.cache, self.metrics)
        self.partner = Partner()
        self.intake = Intake(self.cache, self.queue, self.views, self.lists, self.metrics, lambda: None)
        self.issued = IssuedRecords(self.cache, secrets, self.queue, clock)
        tools = Tools(
            api=api,
            cache=self.cache,
            queue=self.queue,
            views=self.views,
            statuses=statuses,
            secrets=secrets,
            issued=self.issued,
            events=EventRecorder(api, clock, self.guard, self.metrics, "test"),
            clock=clock,
            guard=self.guard,
            metrics=self.metrics,
            holds=lambda: self.leads,
        )
        self.judge = Judging(Policies(self.cache, self.views, Partners(self.cache, self.views, self.guard)))
        lookers = Lookers(
            tools,
            self.lists,
            cast(Initiator, self.partner),  # it has the one method that is called
            self.intake.domain_changed,
            self.judge,
        )
        self.controller = Controller(
            queue=self.queue,
            lookers=lookers.by_kind,
            clock=clock,
            metrics=self.metrics,
            holds=tools.holds,
        )
        self.responder = Responder(
            self.cache, self.views, statuses, self.guard, clock, lookers.peers.accepted
        )
        self.responder.ready = True

    def catch_up(self) -> None:
        """See everything as it is, and that what is gone is gone."""
        for kind in Kind:
            there = [
                obj
                for (plural, _), obj in self.api.objects.items()
                if plural == kind
                and (kind is not Kind.SECRET or SECRET_LABEL in obj["metadata"].get("labels", ()))
            ]
            for obj in there:
                self.intake.event(kind, "MODIFIED", copy.deepcopy(obj))
            uids = {obj["metadata"]["uid"] for obj in there}
            self.intake.listed(kind, "trust", uids, str(self.api.version))

    async def work(self) -> None:
        """Work until nothing is due now."""
        for _ in range(1000):
            key = self.queue._take()
            if key is None:
                return
            try:
                await self.controller.look(key)
            finally:
                self.queue.done(key)
        raise AssertionError("it never settles")

    async def settle(self) -> None:
        """Catch up and work until both change nothing."""
        for _ in range(5):
            self.catch_up()
            await self.work()

    def status(self, plural: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.objects[plural, name].get("status") or {}
        return found

    def ready(self, plural: str, name: str) -> tuple[str, str]:
        for condition in self.status(plural, name).get("conditions", ()):
            if condition["type"] == "Ready":
                return condition["status"], condition["reason"]
        return "", ""


@contextmanager
def counted(api: MemoryAPI) -> Iterator[list[tuple[str, str]]]:
    """The writes inside the block, by plural and name."""
    start = len(api.writes)
    found: list[tuple[str, str]] = []
    yield found
    found += api.writes[start:]
