"""A replica and its authorities: withdrawn is what is nobody's, whenever that happened."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from bilateral.pki.revocations import parse_revocation_list
from bilateral.reconcile.authorities import read_generations
from bilateral.reconcile.issued import IssuedEntry, Owner, parse_shard
from bilateral.reconcile.outcome import WrittenSecret
from bilateral.resources.trustdomain import TrustDomain

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

DAY = 86_400


class Scene:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.api = MemoryAPI()
        self.replica = Replica(self.api, clock)
        self.api.add("trustdomains", {"metadata": {"name": "org-a"}, "spec": {"kernelId": "org-a-kernel"}})

    async def settle(self) -> None:
        for _ in range(3):
            self.clock.advance(1)
            await self.replica.settle()

    def restart(self) -> None:
        self.replica = Replica(self.api, self.clock)

    def secret(self, name: str) -> dict[str, bytes]:
        data = self.api.objects["secrets", name]["data"]
        return {key: base64.b64decode(value) for key, value in data.items()}

    def withdrawn(self) -> set[int]:
        found = self.secret("org-a-authority")
        (newest, *_) = read_generations(found)
        return set(parse_revocation_list(found["self.crl"], newest.certificate).entries)

    def recorded(self) -> list[IssuedEntry]:
        return list(parse_shard(self.secret("org-a-issued")["issued.jsonl"]).entries)

    @property
    def domain(self) -> TrustDomain:
        return TrustDomain.parse(self.api.objects["trustdomains", "org-a"])

    async def issue(self, plural: str, kind: str, name: str, spec: dict[str, Any], serial: int) -> None:
        """Make an object, and record something for it as its looker would."""
        made = self.api.add(plural, {"metadata": {"name": name}, "spec": spec})
        self.replica.catch_up()
        (newest, *_) = read_generations(self.secret("org-a-authority"))
        entry = IssuedEntry(
            serial,
            f"CN={name}",
            int(self.clock.time()) + 30 * DAY,
            newest.slug,
            Owner(kind, made["metadata"]["uid"], name),
        )
        assert await self.replica.issued.record(self.domain, [entry])

    async def introduce(self, name: str, serial: int, **issue: Any) -> None:
        spec = {"issue": {"trustDomain": "org-a", "subject": "x", "approval": "Approved", **issue}}
        await self.issue("introductions", "Introduction", name, spec, serial)


@pytest.fixture
async def scene(clock: FakeClock) -> Scene:
    made = Scene(clock)
    await made.settle()
    return made


async def test_a_new_trust_domain_has_a_statement(scene: Scene) -> None:
    assert set(scene.secret("org-a-authority")) == {"statement.json", "self.crl", "generations.json"}
    assert scene.withdrawn() == set()


@pytest.mark.parametrize("suffix", ["issued", "authority", "peers"])
async def test_a_name_that_is_taken_is_said_until_it_is_free(scene: Scene, suffix: str) -> None:
    """Whoever finds out, and whenever: the authorities need not have looked while it was taken."""
    name = f"org-a-{suffix}"
    scene.api.objects.pop(("secrets", name), None)
    scene.replica.catch_up()
    scene.api.add("secrets", {"metadata": {"name": name}})
    secrets, data = scene.replica.secrets, {"any": b"thing"}
    assert not await secrets.write(scene.domain, WrittenSecret(name, data))
    await scene.replica.work()
    assert scene.replica.ready("trustdomains", "org-a") == ("False", "SecretConflict")
    del scene.api.objects["secrets", name]
    assert await secrets.write(scene.domain, WrittenSecret(name, data))
    await scene.replica.work()
    assert scene.replica.ready("trustdomains", "org-a") == ("True", "Ready")


async def test_nothing_is_written_while_nothing_happens(scene: Scene) -> None:
    with counted(scene.api) as writes:
        for _ in range(20):
            scene.clock.advance(3600)
            await scene.replica.settle()
        scene.restart()
        await scene.settle()
    assert writes == []


async def test_all_is_signed_again_once_a_day(scene: Scene) -> None:
    with counted(scene.api) as writes:
        for _ in range(50):
            scene.clock.advance(3600)
            await scene.replica.settle()
    assert writes.count(("secrets", "org-a-authority")) == 2


async def test_an_identity_that_is_deleted_is_withdrawn(scene: Scene) -> None:
    await scene.issue("workloadidentities", "WorkloadIdentity", "client1", {"trustDomain": "org-a"}, 7)
    await scene.settle()
    assert scene.withdrawn() == set()
    del scene.api.objects["workloadidentities", "client1"]
    await scene.settle()
    assert scene.withdrawn() == {7}
    assert scene.recorded()[0].withdrawn_at is not None


async def test_what_was_deleted_while_no_operator_ran_is_withdrawn(scene: Scene) -> None:
    await scene.introduce("client2", 8)
    del scene.api.objects["introductions", "client2"]
    scene.restart()
    await scene.settle()
    assert scene.withdrawn() == {8}


async def test_another_object_of_the_same_name_does_not_inherit(scene: Scene) -> None:
    await scene.introduce("client2", 8)
    again = scene.api.objects["introductions", "client2"]
    again["metadata"]["uid"] = "another"
    scene.api.add("introductions", again)
    scene.restart()
    await scene.settle()
    assert scene.withdrawn() == {8}


async def test_denied_after_issue_is_withdrawn_and_stays_so(scene: Scene) -> None:
    await scene.introduce("client2", 8)
    await scene.settle()
    changed = scene.api.objects["introductions", "client2"]
    changed["spec"]["issue"]["approval"] = "Denied"
    scene.api.add("introductions", changed)
    await scene.settle()
    assert scene.withdrawn() == {8}
    changed["spec"]["issue"]["approval"] = "Approved"
    scene.api.add("introductions", changed)
    await scene.settle()
    assert scene.withdrawn() == {8}


@pytest.mark.parametrize("how", ["suspended", "deleted"])
async def test_a_partner_that_is_nobody_takes_its_introductions_along(scene: Scene, how: str) -> None:
    peer = {"metadata": {"name": "org-b"}, "spec": {"trustDomain": "org-a", "kernelId": "org-b-kernel"}}
    made = scene.api.add("federationpeers", peer)
    await scene.introduce("client2", 8, peer="org-b")
    await scene.introduce("client3", 9)
    await scene.settle()
    assert scene.withdrawn() == set()
    if how == "deleted":
        del scene.api.objects["federationpeers", "org-b"]
    else:
        made["spec"]["state"] = "Suspended"
        scene.api.add("federationpeers", made)
    await scene.settle()
    assert scene.withdrawn() == {8}


async def test_killed_between_the_record_and_the_list_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.introduce("client2", 8)
    del scene.api.objects["introductions", "client2"]
    real = scene.api.apply

    async def killed(path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if path.endswith("/org-a-authority"):
            raise RuntimeError("killed")
        return await real(path, body, manager=manager)

    monkeypatch.setattr(scene.api, "apply", killed)
    with pytest.raises(RuntimeError):
        await scene.settle()
    assert scene.recorded()[0].withdrawn_at is not None
    assert scene.withdrawn() == set()
    monkeypatch.undo()
    scene.restart()
    await scene.settle()
    assert scene.withdrawn() == {8}


async def test_an_owner_that_went_before_its_record_came_is_withdrawn(scene: Scene) -> None:
    await scene.introduce("client2", 8)
    entry = scene.recorded()[0]
    gone = replace(entry, serial=9, owner=Owner("WorkloadIdentity", "gone", "gone"))
    assert await scene.replica.issued.record(scene.domain, [gone])
    scene.clock.advance(1.1)
    await scene.replica.work()
    assert scene.withdrawn() == {9}


async def test_an_entry_leaves_when_all_is_over(scene: Scene) -> None:
    await scene.introduce("client2", 8)
    del scene.api.objects["introductions", "client2"]
    await scene.settle()
    for _ in range(35):
        scene.clock.advance(DAY)
        await scene.settle()
    assert scene.recorded() == []
    assert scene.withdrawn() == set()


async def test_while_the_clock_is_behind_nothing_is_withdrawn_or_signed(scene: Scene) -> None:
    await scene.introduce("client2", 8)
    await scene.settle()
    scene.clock.wall -= 3600
    del scene.api.objects["introductions", "client2"]
    before = scene.secret("org-a-authority")
    await scene.settle()
    assert scene.secret("org-a-authority") == before
    scene.clock.wall += 3600
    scene.replica.intake.everything()
    await scene.settle()
    assert scene.withdrawn() == {8}
