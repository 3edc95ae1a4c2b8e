"""A replica and its identities: recorded before written, Secrets written at once, and what one failure leaves."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from typing import Any

import pytest

from bilateral.engine.api import APIError
from bilateral.engine.cache import Key, Kind

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

OUTPUTS = {"web-identity", "web-id-chains", "web-known-servers", "web-known-clients"}


class WatchedAPI(MemoryAPI):
    """Takes a while for each new Secret, counts how many are under way, and refuses one by name."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = ""
        self.under_way = 0
        self.most = 0

    async def create(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        for _ in range(3):
            await asyncio.sleep(0)
        self.under_way -= 1
        if self.failing and body["metadata"]["name"] == self.failing:
            raise APIError(503)
        return await super().create(path, body, manager=manager)


class Scene:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.api = WatchedAPI()
        self.replica = Replica(self.api, clock)
        self.api.add("trustdomains", {"metadata": {"name": "org-b"}, "spec": {"kernelId": "org-b-kernel"}})

    async def settle(self, rounds: int = 4) -> None:
        for _ in range(rounds):
            self.clock.advance(1)
            self.replica.catch_up()
            if ("workloadidentities", "web") in self.api.objects:  # the controller comes back to what failed
                self.replica.queue.add(Key(Kind.WORKLOAD_IDENTITY, "trust", "web"))
            with suppress(APIError):
                await self.replica.work()

    def identity(self) -> None:
        spec = {"trustDomain": "org-b", "subject": {"commonName": "web"}, "clients": ["self"]}
        self.api.add("workloadidentities", {"metadata": {"name": "web"}, "spec": spec})

    def secrets(self) -> set[str]:
        return {name for plural, name in self.api.objects if plural == "secrets"}


@pytest.fixture
async def scene(clock: FakeClock) -> Scene:
    made = Scene(clock)
    await made.settle()
    return made


async def test_the_record_is_first_the_status_last_and_the_secrets_go_out_together(scene: Scene) -> None:
    scene.api.most = 0
    scene.identity()
    with counted(scene.api) as writes:
        await scene.settle()
    assert scene.replica.ready("workloadidentities", "web")[0] == "True"
    names = [name for plural, name in writes if plural in ("secrets", "workloadidentities")]
    assert names[:2] == ["org-b-issued", "web-identity"]
    assert set(names[2:5]) == OUTPUTS - {"web-identity"}
    assert names[5:] == ["web"]
    assert scene.api.most == 3


@pytest.mark.parametrize("name", ["web-id-chains", "web-known-servers", "web-known-clients"])
async def test_one_secret_that_fails_keeps_no_other_back_and_nothing_is_said_before(
    scene: Scene, name: str
) -> None:
    scene.api.failing = name
    scene.identity()
    await scene.settle()
    assert OUTPUTS - {name} <= scene.secrets()
    assert name not in scene.secrets()
    assert scene.api.under_way == 0
    assert scene.replica.status("workloadidentities", "web") == {}
    scene.api.failing = ""
    with counted(scene.api) as writes:
        await scene.settle()
    assert [each for _, each in writes] == [name, "web"]  # nothing is signed or written a second time
    assert scene.replica.ready("workloadidentities", "web")[0] == "True"


async def test_what_was_signed_makes_no_other_trust_domain_of_it(scene: Scene) -> None:
    before = scene.replica.views.domain("trust", "org-b")
    scene.identity()
    await scene.settle()
    assert scene.replica.views.domain("trust", "org-b") is before
    authority = copy.deepcopy(scene.api.objects["secrets", "org-b-authority"])
    authority["metadata"]["resourceVersion"] = str(scene.api.version + 1)
    scene.replica.cache.put(Kind.SECRET, authority)
    assert scene.replica.views.domain("trust", "org-b") is not before
