"""Two replicas of one organisation, and their ledger on a real PostgreSQL server.

Proves that they keep one chain of decisions and one feed, that each knows what the other read, and that whatever
the server does not let be recorded is a denial, at both, until it does again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from bilateral.ledger.opening import open_ledger
from bilateral.ledger.urls import parse_ledger_url
from bilateral.ledger.verification import Report
from bilateral.protocol.feed_reader import FeedReader, FeedState
from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.receipts import Verdict
from cluster.deciding import CONTROL_HOST, Organisation, open_organisation
from cluster.feeding import PATH, Counterpart, FeedServer, honest, ours
from cluster.scene import DOMAINS, POLICIES
from support.caller import Caller
from support.postgresql import Server, require_programs, run_server
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.ports import lease_port


@dataclass
class Replicas:
    server: Server
    url: str
    both: tuple[Organisation, Organisation]
    partner: Counterpart

    def verify(self) -> Report:
        async def run() -> Report:
            ledger = await open_ledger(self.url, read_only=True)
            try:
                return await ledger.verify()
            finally:
                await ledger.close()

        report = asyncio.run(run())
        assert report.defects == ()
        return report

    def reasons(self, capability_id: str = "cap") -> list[str]:
        chain = self.partner.chain(capability_id)
        return [each.evaluate("org-a", chain).reason for each in self.both]

    def administer(self, *statements: str) -> None:
        """Do something to the server, in the ledger's own schema."""
        schema = self.url.partition("search_path%3D")[2]
        with self.server.connect() as connection:
            for each in (f"SET search_path = {schema}", *statements):
                connection.execute(each.encode())

    def read(self, which: int, state: FeedState) -> tuple[FeedState, list[str]]:
        """Read on in our feed, as a partner does, at one of the replicas."""
        home = self.both[which]
        key = parse_public_key(home.scene.get(DOMAINS, "ours")["status"]["publicKey"])
        path = f"{PATH}?from={state.read.size}&kernelId={ours(home)}"
        answer = Caller(home.operator.port).post(b"", path=path, method="GET", media_type=None)
        assert answer.status == 200, answer.body
        step = FeedReader(ours(home), (key,)).read(state, answer.body, int(time.time()))
        return step.state, [each.capability_id for each in step.entries]


@pytest.fixture(scope="module")
def replicas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with ExitStack() as stack:
        server = stack.enter_context(run_server(require_programs()))
        url = server.make_place()
        first = open_organisation(stack, cluster, tmp_path_factory.mktemp("replicas"), ledger=url)
        port = lease_port()
        stack.callback(port.release)
        operator = first.scene.operator(
            "--identity=second",
            f"--ledger={url}",
            f"--control-listen=127.0.0.1:{port.number}",
            f"--control-host={CONTROL_HOST}",
        )
        second = replace(first, operator=operator, control_port=port.number)
        feeds = stack.enter_context(FeedServer(first.scene.partners.authority))
        partner = Counterpart(first, "org-a")
        feeds.feeds[partner.kernel_id] = honest(partner.feed)
        partner.add_peer()
        partner.wait_fresh()
        partner.add_policy(revocationFeed=partner.feed_terms(feeds, 60))
        first.scene.wait(POLICIES, "org-a", "Ready", status="True")
        made = Replicas(server, url, (first, second), partner)
        wait_for(lambda: answers(made), "both replicas")
        yield made


def answers(replicas: Replicas) -> bool:
    """Whether both listen, and know the partner and its news."""
    try:
        return replicas.reasons() == ["Allowed", "Allowed"]
    except (OSError, KeyError):
        return False


def test_both_decide_and_keep_one_chain(replicas: Replicas) -> None:
    before = replicas.verify().head.seq
    chain = replicas.partner.chain()
    with ThreadPoolExecutor(8) as callers:
        asked = [callers.submit(replicas.both[n % 2].evaluate, "org-a", chain) for n in range(40)]
        found = [each.result() for each in asked]
    assert {each.reason for each in found} == {"Allowed"}
    assert sorted(each.body["ledger"]["seq"] for each in found) == list(range(before + 1, before + 41))
    assert replicas.verify().head.seq == before + 40


def test_what_the_partner_revokes_is_refused_at_both(replicas: Replicas) -> None:
    replicas.partner.feed.revoke("gone", at=int(time.time()))
    wait_for(lambda: replicas.reasons("gone") == ["CapabilityRevoked"] * 2, "the news at both")
    assert replicas.reasons() == ["Allowed", "Allowed"]


def test_what_one_revokes_both_show_and_a_reader_goes_from_one_to_the_other(replicas: Replicas) -> None:
    state, found = FeedState(), []
    for step in range(6):
        answer = replicas.both[step % 2].call(
            "POST",
            "/v1/revocations?trustDomain=ours",
            {"capabilityIds": [f"ours-{step}"]},
            account="officer",
        )
        assert (answer.status, answer.body["treeSize"]) == (200, step + 1)
        for which in (step // 2 % 2, step // 3 % 2):
            state, more = replicas.read(which, state)
            found += more
            assert state.read.root.hex() == answer.body["rootHash"]
    assert found == [f"ours-{step}" for step in range(6)]
    states = [replicas.read(which, FeedState())[0].read for which in (0, 1)]
    assert states[0] == states[1] == state.read


ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bilateral ledger'"
FULL = (
    """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$""",
    "CREATE TRIGGER full_disk BEFORE INSERT ON ledger_decisions EXECUTE FUNCTION full_disk()",
)
TROUBLE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "LedgerFull": (FULL, ("DROP FUNCTION full_disk CASCADE",)),
    "LedgerReadOnly": (
        ("ALTER ROLE ledger SET default_transaction_read_only = on", ENDED),
        ("SET default_transaction_read_only = off", "ALTER ROLE ledger RESET default_transaction_read_only"),
    ),
}


@contextmanager
def troubled(replicas: Replicas, reason: str) -> Iterator[None]:
    begin, end = TROUBLE[reason]
    replicas.administer(*begin)
    try:
        yield
    finally:
        replicas.administer(*end)


@pytest.mark.parametrize("reason", TROUBLE)
def test_what_the_server_does_not_record_is_a_denial_until_it_does(replicas: Replicas, reason: str) -> None:
    before = replicas.verify().head.seq
    chain = replicas.partner.chain()
    with troubled(replicas, reason):
        for each in replicas.both:
            answer = each.evaluate("org-a", chain)
            assert (answer.status, answer.reason, answer.body["ledger"]) == (200, reason, None)
            assert each.receipt(answer).body.decision.verdict is Verdict.DENY
    assert replicas.reasons() == ["Allowed", "Allowed"], "without anybody's help"
    assert replicas.verify().head.seq == before + 2


def test_connections_that_were_ended_are_made_anew(replicas: Replicas) -> None:
    replicas.administer(ENDED)
    assert replicas.reasons() == ["Allowed", "Allowed"]


def test_one_that_was_killed_leaves_a_sound_chain_to_the_other(replicas: Replicas) -> None:
    first, second = replicas.both
    chain = replicas.partner.chain()
    answered: list[int] = []

    def ask_until_it_is_gone(home: Organisation, gone: Callable[[], bool]) -> None:
        while not gone():
            try:
                answer = home.evaluate("org-a", chain)
            except (OSError, ValueError):
                return
            assert answer.reason == "Allowed"
            answered.append(answer.body["ledger"]["seq"])

    with ThreadPoolExecutor(8) as callers:
        asking = [
            callers.submit(ask_until_it_is_gone, each, lambda: not first.operator.is_running())
            for each in (first, second) * 4
        ]
        wait_for(lambda: len(answered) >= 20, "decisions under way")
        first.operator.kill()
        for each in asking:
            each.result(timeout=20)
    assert second.evaluate("org-a", chain).reason == "Allowed"
    report = replicas.verify()
    assert len(set(answered)) == len(answered)
    assert report.head.seq > max(answered)


def test_the_servers_password_is_nowhere(replicas: Replicas) -> None:
    location = parse_ledger_url(replicas.url)
    for each in replicas.both:
        text = "".join(file.read_text() for file in each.operator.directory.glob("operator-*.log"))
        assert location.place in text, "it is told where the ledger is"
        assert "LedgerFull" in text
        for secret in (replicas.server.password, replicas.server.password[:12], "no room", "Traceback"):
            assert secret not in text
