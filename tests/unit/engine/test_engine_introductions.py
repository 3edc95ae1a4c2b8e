"""A replica and its Introductions: recorded before shown, signed once, withdrawn with the object."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.engine.api import APIError
from bilateral.engine.cache import Key, Kind
from bilateral.engine.objects import Decided
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.revocations import parse_revocation_list
from bilateral.reconcile.authorities import read_generations
from bilateral.reconcile.issued import IssuedEntry, parse_shard
from unit.pki.material import P256_AUTHORITY, request

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

DAY = 86_400
KEY = ec.generate_private_key(ec.SECP256R1())
CSR = request(KEY).decode()


class StumblingAPI(MemoryAPI):
    """Fails the next writes that match, as an API server that goes away does."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: tuple[str, str] | None = None
        self.edit: Any = None

    async def apply(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if self.failing is not None and self.failing[0] in path and self.failing[1] in path:
            raise APIError(503)
        if self.edit is not None and "introductions" in path:
            edit, self.edit = self.edit, None
            edit()
        return await super().apply(path, body, manager=manager)


class Scene:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.api = StumblingAPI()
        self.replica = Replica(self.api, clock)
        self.api.add("trustdomains", {"metadata": {"name": "org-b"}, "spec": {"kernelId": "org-b-kernel"}})

    async def settle(self, rounds: int = 4) -> None:
        for _ in range(rounds):
            self.clock.advance(1)
            self.replica.catch_up()
            for plural, name in self.api.objects:
                if plural == "introductions":  # as the controller does, which comes back to what failed
                    self.replica.queue.add(Key(Kind.INTRODUCTION, "trust", name))
            with suppress(APIError, Decided):
                await self.replica.work()

    def restart(self) -> None:
        self.replica = Replica(self.api, self.clock)

    def issue(self, name: str = "client1", **issue: Any) -> None:
        spec = {"trustDomain": "org-b", "subject": CSR, "approval": "Approved", **issue}
        self.api.add("introductions", {"metadata": {"name": name}, "spec": {"issue": spec}})

    def change(self, approval: str, name: str = "client1") -> None:
        obj = self.api.objects["introductions", name]
        obj["spec"]["issue"]["approval"] = approval
        obj["metadata"]["generation"] += 1
        self.api._store("introductions", obj)

    def document(self, name: str = "client1") -> Document:
        return parse_introduction(self.replica.status("introductions", name)["introduction"])

    def secret(self, name: str) -> dict[str, bytes]:
        data = self.api.objects["secrets", name]["data"]
        return {key: base64.b64decode(value) for key, value in data.items()}

    def recorded(self) -> list[IssuedEntry]:
        if ("secrets", "org-b-issued") not in self.api.objects:
            return []
        entries = parse_shard(self.secret("org-b-issued")["issued.jsonl"]).entries
        return [entry for entry in entries if entry.owner.kind == "Introduction"]

    def withdrawn(self) -> set[int]:
        found = self.secret("org-b-authority")
        (newest, *_) = read_generations(found)
        return set(parse_revocation_list(found["self.crl"], newest.certificate).entries)


@pytest.fixture
async def scene(clock: FakeClock) -> Scene:
    made = Scene(clock)
    await made.settle()
    return made


async def test_an_approved_one_is_recorded_and_then_shown(scene: Scene) -> None:
    scene.issue()
    with counted(scene.api) as writes:
        await scene.settle()
    assert scene.replica.ready("introductions", "client1") == ("True", "Ready")
    (entry,) = scene.recorded()
    assert entry.serial == scene.document().certificate.serial_number
    assert entry.owner.uid == scene.api.objects["introductions", "client1"]["metadata"]["uid"]
    record, shown = ("secrets", "org-b-issued"), ("introductions", "client1")
    assert writes.index(record) < writes.index(shown)
    assert writes.count(shown) == 1
    with counted(scene.api) as writes:
        for _ in range(10):
            scene.clock.advance(3600)
            await scene.settle(1)
        scene.restart()
        await scene.settle()
    assert writes == []


async def test_while_the_record_cannot_be_written_nothing_is_shown(scene: Scene) -> None:
    scene.issue("first")
    await scene.settle()
    scene.issue()
    scene.api.failing = ("secrets", "org-b-issued")
    await scene.settle()
    assert "introduction" not in scene.replica.status("introductions", "client1")
    scene.api.failing = None
    scene.clock.advance(120)
    await scene.settle()
    assert scene.document().certificate.serial_number in {each.serial for each in scene.recorded()}


async def test_a_status_that_cannot_be_written_leads_to_no_second_signature(scene: Scene) -> None:
    scene.issue()
    scene.api.failing = ("introductions", "status")
    for _ in range(5):
        scene.clock.advance(120)
        await scene.settle(2)
    assert len(scene.recorded()) == 1
    scene.api.failing = None
    scene.clock.advance(120)
    await scene.settle()
    (entry,) = scene.recorded()
    assert entry.serial == scene.document().certificate.serial_number


async def test_an_edit_while_it_is_signed_leads_to_no_second_signature(scene: Scene) -> None:
    scene.issue()

    def annotate() -> None:
        obj = scene.api.objects["introductions", "client1"]
        obj["metadata"]["annotations"] = {"somebody": "was here"}
        scene.api._store("introductions", obj)

    scene.api.edit = annotate
    await scene.settle()
    (entry,) = scene.recorded()
    assert entry.serial == scene.document().certificate.serial_number


async def test_a_denial_while_it_is_signed_shows_nothing_and_withdraws(scene: Scene) -> None:
    scene.issue()
    scene.api.edit = lambda: scene.change("Denied")
    await scene.settle(8)
    assert "introduction" not in scene.replica.status("introductions", "client1")
    (entry,) = scene.recorded()
    assert entry.withdrawn_at is not None
    assert scene.withdrawn() == {entry.serial}
    scene.change("Approved")
    await scene.settle(8)
    assert scene.document().certificate.serial_number not in scene.withdrawn()
    assert len(scene.recorded()) == 2


async def test_killed_between_record_and_status_it_is_signed_again_and_the_lost_one_is_known(
    scene: Scene,
) -> None:
    scene.issue()
    scene.api.failing = ("introductions", "status")
    await scene.settle()
    (lost,) = scene.recorded()
    scene.api.failing = None
    scene.restart()
    await scene.settle()
    shown = scene.document().certificate.serial_number
    assert {each.serial for each in scene.recorded()} == {lost.serial, shown}
    del scene.api.objects["introductions", "client1"]
    await scene.settle(8)
    assert scene.withdrawn() == {lost.serial, shown}


@pytest.mark.parametrize("way", ["deleted", "denied", "peer-suspended", "peer-deleted", "peer-of-another"])
async def test_what_was_introduced_is_withdrawn(scene: Scene, way: str) -> None:
    scene.issue()
    await scene.settle()
    serial = scene.document().certificate.serial_number
    if way == "deleted":
        del scene.api.objects["introductions", "client1"]
    elif way == "denied":
        scene.change("Denied")
    else:
        # The object as it would be had it named a peer from the start; who was fresh when it was signed.
        obj = scene.api.objects["introductions", "client1"]
        obj["spec"]["issue"]["peer"] = "org-a"
        scene.api._store("introductions", obj)
        if way == "peer-suspended":
            peer = {"trustDomain": "org-b", "kernelId": "org-a-kernel", "state": "Suspended"}
            scene.api.add("federationpeers", {"metadata": {"name": "org-a"}, "spec": peer})
        elif way == "peer-of-another":
            peer = {"trustDomain": "org-x", "kernelId": "org-a-kernel"}
            scene.api.add("federationpeers", {"metadata": {"name": "org-a"}, "spec": peer})
    await scene.settle(8)
    assert scene.withdrawn() == {serial}
    if way != "deleted":
        assert "introduction" not in scene.replica.status("introductions", "client1")


async def test_a_follower_signs_nothing(scene: Scene) -> None:
    scene.replica.leads = False
    scene.issue()
    await scene.settle()
    assert scene.recorded() == []
    assert scene.replica.status("introductions", "client1") == {}


# Accepting.


class Accepting(Scene):
    """With an identity whose key its owner keeps, so that the test may certify it."""

    def provide(self) -> None:
        secret = {"tls.csr": base64.b64encode(CSR.encode()).decode()}
        labels = {"bilateral.dev/secret": "referenced"}
        self.api.add("secrets", {"metadata": {"name": "client1-key", "labels": labels}, "data": secret})
        spec = {
            "trustDomain": "org-b",
            "subject": {"commonName": "client1"},
            "key": {"source": "Provided", "secretName": "client1-key"},
        }
        self.api.add("workloadidentities", {"metadata": {"name": "client1"}, "spec": spec})

    def accept(self, **accept: Any) -> None:
        spec = {"identity": "client1", "authorityFingerprint": P256_AUTHORITY.fingerprint, **accept}
        self.api.add("introductions", {"metadata": {"name": "from-org-c"}, "spec": {"accept": spec}})

    @property
    def ready(self) -> tuple[str, str]:
        return self.replica.ready("introductions", "from-org-c")


@pytest.fixture
async def accepting(clock: FakeClock) -> Accepting:
    made = Accepting(clock)
    made.clock.wall = 1_795_270_000  # the authority of the tests begins then
    await made.settle()
    return made


def document_now(scene: Scene, key: Any = KEY) -> str:
    now = datetime.fromtimestamp(int(scene.clock.time()) + 3600, UTC)
    return issue_introduction(P256_AUTHORITY, request(key), (), 5 * DAY, now).to_json()


async def test_an_introduction_for_an_identity_that_comes_later_waits_for_it(accepting: Accepting) -> None:
    accepting.clock.advance(2 * DAY)
    await accepting.settle()
    accepting.accept(introduction=document_now(accepting))
    accepting.clock.advance(2 * 3600)
    await accepting.settle()
    assert accepting.ready == ("Unknown", "AwaitingIdentity")
    accepting.provide()
    await accepting.settle()
    assert accepting.ready == ("True", "Ready")


async def test_it_is_read_from_a_labelled_secret_only(accepting: Accepting) -> None:
    accepting.clock.advance(2 * DAY)
    accepting.provide()
    text = document_now(accepting)
    accepting.clock.advance(2 * 3600)
    accepting.accept(introductionSecretRef={"name": "given"})
    await accepting.settle()
    assert accepting.ready == ("False", "SecretNotFound")
    data = {"introduction.json": base64.b64encode(text.encode()).decode()}
    owned = {"bilateral.dev/secret": "owned"}
    accepting.api.add("secrets", {"metadata": {"name": "given", "labels": owned}, "data": data})
    await accepting.settle()
    assert accepting.ready == ("False", "SecretNotFound")
    labels = {"bilateral.dev/secret": "referenced"}
    accepting.api.add("secrets", {"metadata": {"name": "given", "labels": labels}, "data": data})
    await accepting.settle()
    assert accepting.ready == ("True", "Ready")
    broken = {"introduction.json": base64.b64encode(json.dumps({"x": 1}).encode()).decode()}
    accepting.api.add("secrets", {"metadata": {"name": "given", "labels": labels}, "data": broken})
    await accepting.settle()
    assert accepting.ready == ("False", "IntroductionInvalid")
