"""Decisions while something else happens: policies that change, callers that may not ask, a ledger that cannot write.

Proves that every answer is by one policy, that whatever was answered is in the ledger for good, and that whatever
cannot be recorded is a denial.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import DecisionRecord
from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.receipts import Verdict
from cluster.deciding import EVALUATE, TOOL, Answer, Organisation, open_organisation
from cluster.feeding import Counterpart
from cluster.scene import POLICIES
from support.waiting import wait_for
from testbed.cluster import Cluster

LISTING = "/v1/federation/policies"


@dataclass
class Desk:
    """An organisation whose ledger is a file, and a partner with a policy and no feed."""

    home: Organisation
    partner: Counterpart
    file: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def verify(self) -> int:
        """The chain holds, as the command says; return its length."""
        return verified(self.url)

    def decisions(self) -> dict[int, DecisionRecord]:
        async def read() -> dict[int, DecisionRecord]:
            ledger = await open_ledger(self.url, read_only=True)
            try:
                found: dict[int, DecisionRecord] = {}
                while part := await ledger.read_decisions(len(found)):
                    found |= {each.seq: each for each in part}
                return found
            finally:
                await ledger.close()

        return asyncio.run(read())


def verified(url: str) -> int:
    done = subprocess.run(
        [Path(sys.executable).parent / "bilateral", "ledger", "verify", "--url", url, "-o", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["defects"] == []
    return int(report["head"]["seq"])


@pytest.fixture(scope="module")
def desk(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("desk")
        home = open_organisation(stack, cluster, folder)
        home.add_account("nobody-special", (POLICIES, ["list"]))
        partner = Counterpart(home, "org-a")
        partner.add_peer()
        partner.wait_fresh()
        partner.add_policy()
        home.scene.wait(POLICIES, "org-a", "Ready", status="True")
        yield Desk(home, partner, folder / "ledger.db")


def ceiling_of(answer: Answer) -> int:
    """The row limit of what an allowance granted."""
    (grant,) = answer.body["decision"]["effective"]["grants"]
    return int(next(each["value"] for each in grant["constraints"] if each["type"] == "max_rows_returned"))


def said_of(answer: Answer) -> tuple[str, int]:
    """What an answer shows of its policy: the ceiling of the tier, and that of the rows."""
    (tier,) = (each for each in answer.body["decision"]["checks"] if each["name"] == "autonomyTier")
    return str(tier["expected"]), ceiling_of(answer)


def test_while_a_policy_is_edited_each_answer_is_by_one_of_the_two(desk: Desk) -> None:
    home, chain = desk.home, desk.partner.chain()
    tools = [{"tool": TOOL, "parameterBounds": {"row_limit": 50}}]
    edited = {"spec": {"maxScope": {"tools": tools}, "maxAutonomyTier": "Direct"}}
    answers: list[Answer] = []

    def ask_until_it_counts() -> None:
        while not answers or ceiling_of(answers[-1]) == 100 or len(answers) < 50:
            answers.append(home.evaluate("org-a", chain))

    with ThreadPoolExecutor(10) as callers:
        asking = [callers.submit(ask_until_it_counts) for _ in range(10)]
        wait_for(lambda: len(answers) >= 20, "questions under way")
        home.scene.patch(POLICIES, "org-a", edited)
        for one in asking:
            one.result(timeout=20)
    by_hash = {each.body["decision"]["policyHash"]: said_of(each) for each in answers}
    assert sorted(by_hash.values()) == [("at most delegated", 100), ("at most direct", 50)]
    recorded = desk.decisions()
    for each in answers:
        decision = each.body["decision"]
        assert said_of(each) == by_hash[decision["policyHash"]]
        record = recorded[each.body["ledger"]["seq"]]
        assert (record.hash, record.body["decision"]) == (each.body["ledger"]["hash"], decision)
        assert home.receipt(each).body.decision.verdict is Verdict.ALLOW
    assert len({each.body["ledger"]["seq"] for each in answers}) == len(answers) >= 50
    assert desk.verify() == len(answers)


def test_a_policy_that_is_deleted_or_doubled_between_two_questions_allows_nothing(desk: Desk) -> None:
    home, partner = desk.home, desk.partner
    assert partner.reason() == "Allowed"
    partner.add_policy("second")
    wait_for(lambda: partner.reason() == "PolicyConflict", "two policies")
    home.scene.wait(POLICIES, "second", "PolicyConflict", status="False")
    home.scene.delete(POLICIES, "org-a")
    wait_for(lambda: partner.reason() == "Allowed", "the one that is left")
    home.scene.delete(POLICIES, "second")
    wait_for(lambda: partner.reason() == "NoPolicy", "none at all")
    partner.add_policy()
    wait_for(lambda: partner.reason() == "Allowed", "one again")


def test_who_may_not_ask_is_told_so_and_nothing_is_recorded(desk: Desk) -> None:
    home = desk.home
    question = {"partnerId": "org-a", "capability": [each.to_wire() for each in desk.partner.chain().tokens]}
    before = desk.verify()

    def ask(path: str = EVALUATE, **who: str) -> tuple[int, str]:
        answer = home.call("POST", path, question, **who)
        return answer.status, answer.reason

    unknown = (401, "unauthorized-bearer")
    good = home.token()
    assert ask(token="wrong") == unknown
    assert ask(token=good[:-8] + "AAAAAAAA") == unknown
    assert ask(token=home.token(audience="https://kubernetes.default.svc")) == unknown
    assert ask(token=home.token(audience="somebody-else")) == unknown
    assert ask(account="nobody-special") == (403, "forbidden")
    assert ask(LISTING, account="nobody-special") == (403, "forbidden")
    assert home.call("GET", LISTING, account="nobody-special").status == 200
    assert home.call("GET", LISTING).reason == "forbidden", "who may evaluate may not list"
    assert ask(f"{EVALUATE}?namespace=default")[0] == 404
    assert desk.verify() == before
    assert ask(token=good) == (200, "Allowed")
    assert desk.verify() == before + 1


def test_a_ledger_that_somebody_holds_is_a_denial_until_it_is_let_go(desk: Desk) -> None:
    partner = desk.partner
    holder = sqlite3.connect(desk.file, isolation_level=None, timeout=10)
    before = desk.verify()
    try:
        holder.execute("BEGIN IMMEDIATE")
        answer = desk.home.evaluate("org-a", partner.chain())
        assert (answer.status, answer.reason) == (200, "LedgerLocked")
        assert answer.body["ledger"] is None
        assert desk.home.receipt(answer).body.decision.verdict is Verdict.DENY
        assert "effective" not in answer.body["decision"]
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert partner.reason() == "Allowed"
    assert desk.verify() == before + 1


def test_what_was_answered_before_a_kill_is_found_after_it(desk: Desk) -> None:
    home, chain = desk.home, desk.partner.chain()
    answered: list[Answer] = []

    def ask_until_it_is_gone() -> None:
        while True:
            try:
                answered.append(home.evaluate("org-a", chain))
            except (OSError, ValueError):
                return

    with ThreadPoolExecutor(8) as callers:
        asking = [callers.submit(ask_until_it_is_gone) for _ in range(8)]
        wait_for(lambda: len(answered) >= 40, "decisions under way")
        home.operator.kill()
        for one in asking:
            one.result()
    assert {each.reason for each in answered} == {"Allowed"}
    length = desk.verify()
    recorded = desk.decisions()
    connection = sqlite3.connect(desk.file)
    receipts = {str(each[0]) for each in connection.execute("SELECT id FROM ledger_receipts")}
    connection.close()
    for each in answered:
        assert recorded[each.body["ledger"]["seq"]].hash == each.body["ledger"]["hash"]
        assert home.receipt(each).body.id in receipts
    assert len(receipts) == length
    home.operator.start()
    after = wait_for(lambda: asked_again(home, chain), "decisions after the restart")
    assert after.reason == "Allowed"
    assert after.body["ledger"]["seq"] > length
    assert desk.verify() == after.body["ledger"]["seq"]


def asked_again(home: Organisation, chain: Chain) -> Answer | None:
    """An answer; None while nobody listens, or nobody is known yet."""
    try:
        answer = home.evaluate("org-a", chain)
    except OSError:
        return None
    return answer if answer.status == 200 and answer.reason not in ("NoPolicy", "PeerNotFound") else None


def test_no_token_is_in_any_log(desk: Desk) -> None:
    tokens = {desk.home.token(account) for account in ("kernel", "officer")} | {"wrong-token-of-somebody"}
    for each in tokens:
        desk.home.call("GET", LISTING, token=each)
    text = "".join(each.read_text() for each in desk.home.operator.directory.glob("operator-*.log"))
    parts = {part for each in tokens for part in (each, each.rpartition(".")[2], each[-40:])}
    assert [part for part in parts if part in text] == []
    assert "the ledger is open" in text
    assert "Bearer " not in text
    assert "Traceback" not in text
