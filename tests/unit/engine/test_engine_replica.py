"""A whole replica on an API server in memory: no write without a difference, one pin for many copies."""

from __future__ import annotations

import asyncio
import json
import random
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilateral.engine.cache import Key, Kind
from bilateral.exchange.errors import Refusal
from bilateral.pki.tokens import hash_token
from bilateral.protocol.errors import AddressMismatch, InvalidSignature, MissingTrustAnchor, ReplayedEnvelope
from bilateral.protocol.handshake import Envelope, build_envelope
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.peer import Direction, Failed, Received

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

THEIRS = SigningKey.generate()


def envelope(
    clock: FakeClock, *, nonce: str = "n", later: int = 0, key: SigningKey = THEIRS, **names: str
) -> Envelope:
    return build_envelope(
        local_kernel_id=names.get("sender", "org-b-kernel"),
        remote_kernel_id=names.get("addressee", "org-a-kernel"),
        nonce=nonce,
        timestamp=int(clock.wall) + later,
        key=key,
    )


def peer(name: str = "org-b", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "FederationPeer",
        "metadata": {"name": name},
        "spec": {
            "trustDomain": "org-a",
            "kernelId": f"{name}-kernel",
            "trustAnchors": [{"publicKey": THEIRS.public_key.canonical}],
            **spec,
        },
    }


def domain(name: str = "org-a") -> dict[str, Any]:
    return {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "TrustDomain",
        "metadata": {"name": name},
        "spec": {"kernelId": "org-a-kernel", "endpoint": {"url": "https://127.0.0.1:8940"}},
    }


@pytest.fixture
def api() -> MemoryAPI:
    api = MemoryAPI()
    api.add("trustdomains", domain())
    api.add("federationpeers", peer())
    return api


@pytest.fixture
async def replica(api: MemoryAPI, clock: FakeClock) -> Replica:
    replica = Replica(api, clock)
    await replica.settle()
    clock.advance(1)
    await replica.settle()
    assert replica.ready("trustdomains", "org-a") == ("True", "Ready")
    return replica


def peers_list(api: MemoryAPI) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        b64decode(api.objects["secrets", "org-a-peers"]["data"]["peers.json"])
    )
    return found


async def test_a_trust_domain_makes_its_secrets_and_settles(replica: Replica, api: MemoryAPI) -> None:
    names = {name for plural, name in api.objects if plural == "secrets"}
    assert names == {
        "org-a-signing-key",
        "org-a-seal",
        "org-a-ca",
        "org-a-endpoint-tls",
        "org-a-peers",
        "org-a-authority",
    }
    assert replica.ready("federationpeers", "org-b") == ("Unknown", "AwaitingEnvelope")
    with counted(api) as writes:
        await replica.settle()
    assert writes == []


# First looks


async def looked_at_before_its_domain(replica: Replica, name: str) -> None:
    """What workers do that take the peers while one of them makes the trust domain's Secrets."""
    replica.catch_up()
    await replica.controller.look(Key(Kind.FEDERATION_PEER, "trust", name))


async def test_new_peers_of_a_new_trust_domain_are_written_once(clock: FakeClock) -> None:
    api = MemoryAPI()
    api.add("trustdomains", domain())
    names = [f"org-{number}" for number in range(20)]
    for name in names:
        api.add("federationpeers", peer(name))
    replica = Replica(api, clock)
    for name in names:
        await looked_at_before_its_domain(replica, name)
    await replica.settle()
    written = [name for plural, name in api.writes if plural == "federationpeers"]
    assert sorted(written) == sorted(names)
    assert {replica.ready("federationpeers", name)[1] for name in names} == {"AwaitingEnvelope"}


async def test_a_new_peer_waits_two_seconds_for_its_trust_domain_and_no_longer(clock: FakeClock) -> None:
    api = MemoryAPI()
    api.add("trustdomains", domain())
    api.add("federationpeers", peer())
    replica = Replica(api, clock)
    key = Key(Kind.FEDERATION_PEER, "trust", "org-b")
    for _ in range(3):
        await looked_at_before_its_domain(replica, "org-b")
        assert replica.status("federationpeers", "org-b") == {}
        clock.advance(0.6)
    replica.queue.clear()
    clock.advance(0.3)
    await replica.controller.look(key)
    assert replica.ready("federationpeers", "org-b") == ("Unknown", "TrustDomainNotReady")


async def test_a_peer_without_a_trust_domain_is_looked_at_at_once(clock: FakeClock) -> None:
    api = MemoryAPI()
    api.add("federationpeers", peer())
    replica = Replica(api, clock)
    await looked_at_before_its_domain(replica, "org-b")
    assert replica.ready("federationpeers", "org-b")[1] == "TrustDomainNotFound"


async def test_a_peer_with_a_status_waits_for_no_trust_domain(replica: Replica, api: MemoryAPI) -> None:
    """A trust domain that is deleted and created anew has none of the keys that its peers trusted."""
    del api.objects["trustdomains", "org-a"]
    replica.catch_up()
    api.add("trustdomains", {**domain(), "metadata": {"name": "org-a", "uid": "another"}})
    replica.queue.clear()
    with counted(api) as writes:
        await looked_at_before_its_domain(replica, "org-b")
    assert writes == [("federationpeers", "org-b")]


async def test_a_restart_writes_nothing(replica: Replica, api: MemoryAPI, clock: FakeClock) -> None:
    await replica.responder.handle(envelope(clock), None)
    clock.advance(20)
    await replica.settle()
    with counted(api) as writes:
        again = Replica(api, clock)
        await again.settle()
        clock.advance(20)
        await again.settle()
    assert writes == []


async def test_an_accepted_envelope_is_one_write_and_is_answered(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    with counted(api) as writes:
        answer = await replica.responder.handle(envelope(clock), None)
    assert writes == [("federationpeers", "org-b")]
    assert answer.challenge.remote_kernel_id == "org-b-kernel"
    assert answer.declared_public_key.canonical == replica.status("trustdomains", "org-a")["publicKey"]
    assert replica.ready("federationpeers", "org-b") == ("True", "Fresh")


async def test_of_a_hundred_copies_exactly_one_is_accepted(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    """R-H2."""
    api.delay = True
    copies = [replica.responder.handle(envelope(clock), None) for _ in range(100)]
    with counted(api) as writes:
        ends = await asyncio.gather(*copies, return_exceptions=True)
    assert sum(isinstance(end, Envelope) for end in ends) == 1
    assert sum(isinstance(end, ReplayedEnvelope) for end in ends) == 99
    assert writes == [("federationpeers", "org-b")]


async def test_a_replay_at_another_replica_loses_by_the_version(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    """R-H2, R-K8: the other replica's cache is behind; the write conflicts, and it decides again."""
    other = Replica(api, clock, leads=False)
    other.catch_up()
    await replica.responder.handle(envelope(clock), None)
    with counted(api) as writes, pytest.raises(ReplayedEnvelope):
        await other.responder.handle(envelope(clock), None)
    assert writes == []


async def test_a_replica_that_does_not_lead_pins_what_it_accepted_and_nothing_else(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    other = Replica(api, clock, leads=False)
    other.catch_up()
    with counted(api) as writes:
        await other.responder.handle(envelope(clock), None)
    assert writes == [("federationpeers", "org-b")]
    clock.advance(20)
    await replica.settle()
    clock.advance(1)
    await replica.settle()
    assert [each["kernelId"] for each in peers_list(api)] == ["org-b-kernel"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"addressee": "nobody"}, AddressMismatch),
        ({"sender": "stranger"}, MissingTrustAnchor),
        ({"key": SigningKey.generate(), "sender": "stranger"}, MissingTrustAnchor),
    ],
    ids=["not us", "unknown", "unknown with another key"],
)
async def test_strangers_cause_no_write(
    replica: Replica, api: MemoryAPI, clock: FakeClock, changes: dict[str, Any], expected: type[Exception]
) -> None:
    """R-D2."""
    with counted(api) as writes, pytest.raises(expected):
        await replica.responder.handle(envelope(clock, **changes), None)
    assert writes == []


async def test_a_stranger_with_a_bad_signature_hears_of_the_signature_first(
    replica: Replica, clock: FakeClock
) -> None:
    good = envelope(clock, sender="stranger")
    forged = Envelope(good.challenge, good.declared_public_key, bytes(64))
    with pytest.raises(InvalidSignature):
        await replica.responder.handle(forged, None)


async def test_a_partner_may_renew_often_but_not_endlessly(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    """R-D2: and the budget comes back with time."""
    for number in range(6):
        clock.wall += 1
        await replica.responder.handle(envelope(clock, nonce=f"n{number}"), None)
    clock.wall += 1
    with counted(api) as writes, pytest.raises(Refusal) as refused:
        await replica.responder.handle(envelope(clock, nonce="too many"), None)
    assert writes == []
    assert refused.value.reason is Reason.TOO_MANY_REQUESTS
    assert refused.value.retry_after == 10
    clock.advance(10)
    await replica.responder.handle(envelope(clock, nonce="later"), None)


async def test_a_token_is_asked_for_after_the_proof(api: MemoryAPI, clock: FakeClock) -> None:
    api.add("federationpeers", peer("org-b", authTokenHash=hash_token("test-token-0")))
    replica = Replica(api, clock)
    await replica.settle()
    for token in (None, "another"):
        with pytest.raises(Refusal, match="UnauthorizedBearer"):
            await replica.responder.handle(envelope(clock), token)
    await replica.responder.handle(envelope(clock), "test-token-0")


# The lists


async def test_the_lists_are_written_seldom_but_withdrawal_does_not_wait(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    clock.advance(20)
    await replica.responder.handle(envelope(clock), None)
    clock.advance(1)
    await replica.settle()
    assert [each["kernelId"] for each in peers_list(api)] == ["org-b-kernel"]
    api.add("federationpeers", peer("org-c"))
    await replica.settle()
    clock.advance(1)
    await replica.responder.handle(envelope(clock, sender="org-c-kernel"), None)
    with counted(api) as writes:
        clock.advance(1)
        await replica.settle()
    assert ("secrets", "org-a-peers") not in writes, "within ten seconds of the last write"
    clock.advance(10)
    await replica.settle()
    assert len(peers_list(api)) == 2
    suspended = peer("org-b", state="Suspended")
    suspended["metadata"] = {**api.objects["federationpeers", "org-b"]["metadata"], "generation": 2}
    api.add("federationpeers", {**suspended, "status": replica.status("federationpeers", "org-b")})
    clock.advance(1)
    replica.catch_up()
    await replica.work()
    clock.advance(0.1)
    await replica.work()
    assert [each["kernelId"] for each in peers_list(api)] == ["org-c-kernel"]


async def test_a_deleted_peer_is_gone_from_the_lists_at_once(
    replica: Replica, api: MemoryAPI, clock: FakeClock
) -> None:
    clock.advance(20)
    await replica.responder.handle(envelope(clock), None)
    clock.advance(1)
    await replica.settle()
    del api.objects["federationpeers", "org-b"]
    api.version += 1
    replica.catch_up()
    clock.advance(0.1)
    await replica.work()
    assert peers_list(api) == []


async def test_lists_edited_by_hand_are_put_right(replica: Replica, api: MemoryAPI, clock: FakeClock) -> None:
    held = api.objects["secrets", "org-a-peers"]
    api.add("secrets", {**held, "data": {"peers.json": "W10="}})
    clock.advance(20)
    await replica.settle()
    clock.advance(20)
    await replica.settle()
    assert set(api.objects["secrets", "org-a-peers"]["data"]) == {"peers.json", "peer-entries.json"}


# Our own handshakes


ENDPOINT = {"url": "https://trust.org-b.example", "verifier": {"webPKI": {}}}


async def test_a_new_peer_is_asked_once_and_pinned_by_the_answer(api: MemoryAPI, clock: FakeClock) -> None:
    api.add("federationpeers", peer(endpoint=ENDPOINT))
    replica = Replica(api, clock)
    replica.partner.answer = Received(envelope(clock), Direction.ANSWER)
    await replica.settle()
    assert replica.partner.asked == ["org-b"]
    assert replica.ready("federationpeers", "org-b") == ("True", "Fresh")
    with counted(api) as writes:
        await replica.settle()
    assert writes == []


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"annotations": {"bilateral.dev/reconcile-now": "it is us again"}}},
        {"metadata": {"generation": 2}},
    ],
    ids=["asked for", "edited"],
)
async def test_what_a_person_wants_while_the_partner_is_asked_is_looked_at_after_it(
    api: MemoryAPI, clock: FakeClock, change: dict[str, Any]
) -> None:
    """The question that is under way began before: its answer, a failure say, serves nobody."""
    api.add("federationpeers", peer(endpoint=ENDPOINT))
    replica = Replica(api, clock)
    replica.partner.answer = Failed(Reason.UNEXPECTED_PEER_KEY)

    def meanwhile() -> None:
        replica.partner.meanwhile = lambda: None
        replica.partner.answer = Received(envelope(clock), Direction.ANSWER)
        held = api.objects["federationpeers", "org-b"]
        api.add("federationpeers", {**held, "metadata": {**held["metadata"], **change["metadata"]}})
        replica.catch_up()

    replica.partner.meanwhile = meanwhile
    await replica.settle()
    assert len(replica.partner.asked) == 2
    assert replica.ready("federationpeers", "org-b") == ("True", "Fresh")


async def test_failures_are_retried_with_growing_pauses(api: MemoryAPI, clock: FakeClock) -> None:
    api.add("federationpeers", peer(endpoint=ENDPOINT))
    replica = Replica(api, clock)
    replica.partner.answer = Failed(Reason.CONNECTION_FAILED)
    for _ in range(600):
        await replica.settle()
        clock.advance(1)
    assert 5 <= len(replica.partner.asked) <= 12
    assert replica.ready("federationpeers", "org-b") == ("Unknown", "ConnectionFailed")


async def test_somebody_else_writing_meanwhile_means_deciding_again(api: MemoryAPI, clock: FakeClock) -> None:
    api.add("federationpeers", peer(endpoint=ENDPOINT))
    replica = Replica(api, clock)
    other = Replica(api, clock, leads=False)
    replica.partner.answer = Failed(Reason.CONNECTION_FAILED)
    await replica.settle()
    other.catch_up()
    await other.responder.handle(envelope(clock), None)
    clock.advance(300)
    replica.partner.answer = Received(envelope(clock, nonce="m"), Direction.ANSWER)
    await replica.settle()
    assert replica.ready("federationpeers", "org-b") == ("True", "Fresh")


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_order_of_events_ends_in_the_same_state(order: random.Random) -> None:
    """Lost, doubled and shuffled events lead to the same trust, on any order of looks."""

    async def run() -> None:
        clock = FakeClock()
        api = MemoryAPI()
        api.add("trustdomains", domain())
        for name in ("org-b", "org-c", "org-d"):
            api.add("federationpeers", peer(name))
        api.add("federationpeers", {**peer("org-e"), "spec": {**peer("org-b")["spec"]}})
        replica = Replica(api, clock)
        events = [(plural, name) for plural, name in api.objects] * 2
        order.shuffle(events)
        for plural, name in events[: len(events) - 2]:
            replica.intake.event(Kind(plural), "MODIFIED", dict(api.objects[plural, name]))
            if order.random() < 0.5:
                await replica.work()
        await replica.settle()
        assert replica.ready("trustdomains", "org-a") == ("True", "Ready")
        for name in ("org-c", "org-d"):
            assert replica.ready("federationpeers", name) == ("Unknown", "AwaitingEnvelope")
        rivals = sorted(replica.ready("federationpeers", name) for name in ("org-b", "org-e"))
        assert rivals == [("False", "KernelIdConflict"), ("Unknown", "AwaitingEnvelope")]

    asyncio.run(run())
