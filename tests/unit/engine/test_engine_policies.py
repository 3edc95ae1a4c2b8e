"""Policies and decisions in one replica: what counts at the moment of the question, and what is recorded of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bilateral.engine.decisions import Decisions
from bilateral.engine.revocations import RevocationNews
from bilateral.exchange.callers import Caller
from bilateral.exchange.errors import Refusal
from bilateral.ledger.errors import LedgerFull, LedgerUnavailable
from bilateral.ledger.interface import Ledger
from bilateral.ledger.opening import open_ledger
from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.delegation import issue
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.handshake import build_envelope
from bilateral.protocol.keys import SigningKey, parse_public_key
from bilateral.protocol.policies.evaluations import parse_evaluation
from bilateral.protocol.reasons import Reason
from bilateral.protocol.receipts import open_receipt
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.peer import Direction, Received

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

THEIRS, ISSUER, NEXT, AGENT = (SigningKey.generate() for _ in range(4))
CALLER = Caller("system:serviceaccount:tools:kernel")
SERVER, TOOL = "billing.org-b.internal", "billing.read"
SCOPE = Scope(grants=(ToolGrant(SERVER, TOOL, (Operation.INVOKE,)),))
SPEC: dict[str, Any] = {
    "peer": "org-a",
    "partnerId": "org-a",
    "trustedIssuers": [{"publicKey": ISSUER.public_key.canonical}],
    "maxScope": {"toolServers": [SERVER], "tools": [{"tool": TOOL}]},
    "maxAutonomyTier": "Delegated",
}


@dataclass
class Scene:
    clock: FakeClock
    ledger: Ledger
    api: MemoryAPI
    replica: Replica
    decisions: Decisions

    async def settle(self) -> None:
        for _ in range(3):
            self.clock.advance(1)
            await self.replica.settle()

    def add_policy(self, name: str = "org-a", **changes: Any) -> None:
        self.api.add("federationpolicies", {"metadata": {"name": name}, "spec": {**SPEC, **changes}})

    def change(self, plural: str, name: str, **spec: Any) -> None:
        held = self.api.objects[plural, name]
        self.api.add(plural, {**held, "spec": {**held["spec"], **spec}})
        self.replica.catch_up()

    def remove(self, plural: str, name: str) -> None:
        del self.api.objects[plural, name]
        self.replica.catch_up()

    def chain(self, key: SigningKey = ISSUER) -> Chain:
        now = int(self.clock.wall)
        return issue(
            key,
            capability_id="cap-1",
            subject=AGENT.public_key,
            scope=SCOPE,
            issued_at=now - 10,
            expires_at=now + 86_400,
        )

    async def ask(self, chain: Chain | None = None, partner: str = "org-a") -> dict[str, Any]:
        asked = {
            "partnerId": partner,
            "capability": [each.to_wire() for each in (chain or self.chain()).tokens],
            "call": {"toolServer": SERVER, "tool": TOOL, "operation": "invoke"},
        }
        answer = await self.decisions.evaluate("trust", CALLER, parse_evaluation(json.dumps(asked).encode()))
        found: dict[str, Any] = json.loads(answer)
        open_receipt(found["receipt"], kernel_key=self.key)
        return found

    async def reason(self, chain: Chain | None = None, partner: str = "org-a") -> str:
        return str((await self.ask(chain, partner))["decision"].get("reason", "Allowed"))

    @property
    def key(self) -> Any:
        return parse_public_key(self.replica.status("trustdomains", "org-b")["publicKey"])

    def conditions(self, name: str = "org-a") -> dict[str, tuple[str, str]]:
        found = self.replica.status("federationpolicies", name)["conditions"]
        return {each["type"]: (each["status"], each["reason"]) for each in found}


@pytest.fixture
async def scene(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Scene]:
    ledger = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    api = MemoryAPI()
    replica = Replica(api, clock)
    news = RevocationNews(ledger, clock)
    decisions = Decisions(replica.judge.policies, news, ledger, replica.guard, replica.metrics)
    made = Scene(clock, ledger, api, replica, decisions)
    api.add("trustdomains", {"metadata": {"name": "org-b"}, "spec": {"kernelId": "org-b-kernel"}})
    await made.settle()
    envelope = build_envelope(
        local_kernel_id="org-a-kernel",
        remote_kernel_id="org-b-kernel",
        nonce="n",
        timestamp=int(clock.wall),
        key=THEIRS,
    )
    replica.partner.answer = Received(
        envelope, Direction.ANSWER, statement=Fetched(reason=Reason.NOT_ANNOUNCED)
    )
    api.add(
        "federationpeers",
        {
            "metadata": {"name": "org-a"},
            "spec": {
                "trustDomain": "org-b",
                "kernelId": "org-a-kernel",
                "trustAnchors": [{"publicKey": THEIRS.public_key.canonical}],
                "endpoint": {"url": "https://trust.org-a.example", "verifier": {"webPKI": {}}},
            },
        },
    )
    made.add_policy()
    await made.settle()
    yield made
    await ledger.close()


async def test_what_fits_is_allowed_and_recorded(scene: Scene) -> None:
    answer = await scene.ask()
    assert answer["decision"]["allowed"] is True
    (record,) = await scene.ledger.read_decisions()
    assert (record.seq, record.hash) == (answer["ledger"]["seq"], answer["ledger"]["hash"])
    assert record.body["caller"] == CALLER.username
    assert record.body["partnerId"] == "org-a"
    assert record.body["decision"] == answer["decision"]
    assert await scene.ledger.find_receipt(answer["receipt"]["id"]) == answer["receipt"]
    assert (await scene.ledger.verify()).intact


@pytest.mark.parametrize(
    ("spec", "partner", "expected"),
    [
        ({}, "org-a", "PairScoped"),
        ({"sharingPosture": "ReexportAllowed"}, "org-a", "ReexportAllowed"),
        ({"sharingPosture": "ReexportAllowed"}, "nobody-here", "PairScoped"),
    ],
    ids=["by default", "as the policy says", "without a policy"],
)
async def test_the_log_says_to_whom_a_decision_may_be_shown(
    scene: Scene, spec: dict[str, Any], partner: str, expected: str
) -> None:
    scene.change("federationpolicies", "org-a", **spec)
    await scene.ask(partner=partner)
    (record,) = await scene.ledger.read_decisions()
    assert record.body["sharingPosture"] == expected


async def test_the_status_says_what_is_decided_by(scene: Scene) -> None:
    assert scene.conditions()["Ready"] == ("True", "Ready")
    status = scene.replica.status("federationpolicies", "org-a")
    assert status["policyHash"] == (await scene.ask())["decision"]["policyHash"]
    assert {each["source"] for each in status["keyHistory"]} == {"anchor", "pin", "issuer"}


async def test_nothing_is_written_while_nothing_happens(scene: Scene) -> None:
    with counted(scene.api) as writes:
        for _ in range(10):
            scene.clock.advance(600)
            await scene.replica.settle()
    assert [write for write in writes if write[0] == "federationpolicies"] == []


async def test_a_key_that_leaves_the_list_stops_working_at_the_next_decision(scene: Scene) -> None:
    scene.change("federationpolicies", "org-a", trustedIssuers=[{"publicKey": NEXT.public_key.canonical}])
    assert await scene.reason() == "IssuerNotTrusted"
    assert await scene.reason(scene.chain(NEXT)) == "Allowed"
    await scene.settle()
    history = scene.replica.status("federationpolicies", "org-a")["keyHistory"]
    left = [each for each in history if each["publicKey"] == ISSUER.public_key.canonical]
    assert [each.get("until") is not None for each in left] == [True]


async def test_a_policy_that_goes_allows_nothing(scene: Scene) -> None:
    scene.remove("federationpolicies", "org-a")
    assert await scene.reason() == "NoPolicy"


@pytest.mark.parametrize("second", [{}, {"partnerId": "somebody"}, {"peer": "another"}])
async def test_of_two_policies_neither_counts(scene: Scene, second: dict[str, Any]) -> None:
    scene.add_policy("second", **second)
    await scene.settle()
    assert await scene.reason() == "PolicyConflict"
    assert scene.conditions("org-a")["Ready"] == ("False", "PolicyConflict")
    assert scene.conditions("second")["Ready"] == ("False", "PolicyConflict")
    scene.remove("federationpolicies", "second")
    await scene.settle()
    assert await scene.reason() == "Allowed"
    assert scene.conditions("org-a")["Ready"] == ("True", "Ready")


async def test_a_suspended_partner_may_nothing_at_once(scene: Scene) -> None:
    scene.change("federationpeers", "org-a", state="Suspended")
    assert await scene.reason() == "Suspended"
    await scene.settle()
    assert scene.conditions()["PeerFresh"] == ("False", "Suspended")


async def test_a_pin_that_ends_between_admission_and_use_is_looked_at_again(scene: Scene) -> None:
    chain = scene.chain()
    assert await scene.reason(chain) == "Allowed"
    scene.clock.advance(43_200)
    assert await scene.reason(chain) == "PeerStale"


async def test_the_peer_has_the_name_that_the_policy_says(scene: Scene) -> None:
    scene.change("federationpeers", "org-a", operatorId="somebody-else")
    assert await scene.reason() == "PartnerIdMismatch"


async def test_a_feed_that_was_never_read_closes(scene: Scene) -> None:
    scene.change(
        "federationpolicies",
        "org-a",
        revocationFeed={"url": "https://trust.org-a.example/v1/revocations/feed"},
    )
    assert await scene.reason() == "RevocationFeedStale"
    await scene.settle()
    assert scene.conditions()["RevocationFresh"] == ("False", "LedgerMisconfigured")


@pytest.mark.parametrize("error", [LedgerFull, LedgerUnavailable])
async def test_a_decision_that_cannot_be_recorded_is_a_denial(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: type[LedgerFull | LedgerUnavailable]
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise error("sqlite")

    monkeypatch.setattr(scene.ledger, "record_decision", fail)
    answer = await scene.ask()
    assert (answer["decision"]["allowed"], answer["decision"]["reason"]) == (False, error.reason.value)
    assert answer["receipt"]["decision"]["verdict"] == "deny"
    assert answer["ledger"] is None
    assert "effective" not in answer["decision"]


async def test_a_ledger_that_cannot_be_read_allows_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise LedgerUnavailable("sqlite")

    monkeypatch.setattr(scene.ledger, "partner_head", fail)
    assert await scene.reason() == "LedgerUnavailable"


async def test_nobody_is_answered_while_the_clock_is_behind(scene: Scene) -> None:
    scene.clock.wall -= 3600
    with pytest.raises(Refusal) as refused:
        await scene.ask()
    assert refused.value.reason is Reason.NOT_READY


async def test_a_stranger_gets_a_signed_denial(scene: Scene) -> None:
    answer = await scene.ask(partner="nobody-here")
    assert answer["decision"]["reason"] == "NoPolicy"
    assert answer["receipt"]["decision"]["verdict"] == "deny"
    assert len(await scene.ledger.read_decisions()) == 1
