"""Partners' revocation feeds that are wrong in every way, before the real API server.

Proves that a failure names its reason and closes the partner at the ceiling, not before, and is over when the feed
is right again; that two histories close the partner for good, with evidence; and that nothing is ever un-revoked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Evidence, Relation
from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.revocations import RevocationEntry
from cluster.clocked import ClockedOperator
from cluster.deciding import Answer, Organisation, open_organisation
from cluster.feeding import Counterpart, FeedServer, Serve, Served, honest, ours, saying
from cluster.scene import POLICIES, Object, condition_of
from support.feeds import Feed, resigned
from support.waiting import wait_for
from testbed.cluster import Cluster

CEILING = 6  # so that a feed is read every two seconds
LONG_CEILING = 60
GONE = "gone"  # what each partner revoked while its feed was right
SLACK = 12  # a stalled reading takes ten seconds to be given up


def signed_by_another(feed: Feed) -> Serve:
    key = SigningKey.generate()

    def page(start: int) -> Served:
        return Served(resigned(feed.page(start, int(time.time())), key).to_json())

    return page


def with_a_forged_entry(feed: Feed) -> Serve:
    other = SigningKey.generate()
    false = feed.copy()
    false.revoke("forged", at=int(time.time()))
    entry = false.entries[-1]
    rest = feed.copy()
    forged = RevocationEntry(entry.capability_id, entry.revoked_at, other.public_key, entry.signature)
    rest.entries.append(forged)
    rest.publisher.extend([forged])
    return honest(rest)


def of_another(feed: Feed) -> Serve:
    """The very feed of somebody else, rightly signed by the key that may."""
    other = Feed("somebody-else", feed.key).revoke("theirs", at=int(time.time()))
    return honest(other)


def ahead(feed: Feed) -> Serve:
    return lambda start: Served(feed.page(start, int(time.time()) + 3600).to_json())


def larger_than_all(feed: Feed) -> Serve:
    def page(start: int) -> Served:
        made = feed.page(start, int(time.time()))
        return Served(resigned(made, feed.key, size=6_000_000).to_json())

    return page


FAILURES: dict[str, tuple[Callable[[Feed], Serve], str]] = {
    "stalls": (lambda feed: saying(b"{" + b" " * 100, stalls=True), "AnswerTimeout"),
    "is-huge": (lambda feed: saying(b"[" + b" " * (1 << 20)), "AnswerTooLarge"),
    "is-too-long": (larger_than_all, "FeedTooLarge"),
    "is-signed-by-another": (signed_by_another, "FeedSignerUnknown"),
    "is-anothers": (of_another, "FeedOfAnother"),
    "is-ahead": (ahead, "ClockSkewExceeded"),
    "has-a-forged-entry": (with_a_forged_entry, "FeedEntryInvalid"),
    "is-no-feed": (lambda feed: saying(b'{"revoked": []}'), "UnsupportedSchema"),
    "is-no-json": (lambda feed: saying(b"{"), "MalformedDocument"),
}


def truncated(feed: Feed) -> Serve:
    """As if the last entry had never been."""
    shorter = Feed(feed.kernel_id, feed.key)
    shorter.entries = feed.entries[:-1]
    shorter.publisher.extend(shorter.entries)
    return lambda start: Served(shorter.page(start, int(time.time())).to_json())


def forked(feed: Feed) -> Serve:
    """As if the last entry had been another."""
    other = Feed(feed.kernel_id, feed.key)
    other.entries = feed.entries[:-1]
    other.publisher.extend(other.entries)
    return honest(other.revoke("in-its-place", at=int(time.time())))


def rewritten(feed: Feed) -> Serve:
    """As if there were more, but not after what was read."""
    other = Feed(feed.kernel_id, feed.key)
    return honest(other.revoke("a", "b", "c", at=int(time.time())))


CONTRADICTIONS: dict[str, tuple[Callable[[Feed], Serve], str]] = {
    "truncates": (truncated, "rollback"),
    "forks": (forked, "fork"),
    "rewrites": (rewritten, "proof"),
}


@dataclass
class Desk:
    home: Organisation
    feeds: FeedServer
    ledger: str

    def serve(self, partner: Counterpart, serve: Serve) -> None:
        self.feeds.feeds[partner.kernel_id] = serve

    def evidence(self, partner: Counterpart) -> list[Evidence]:
        async def read() -> list[Evidence]:
            ledger = await open_ledger(self.ledger, read_only=True)
            try:
                return list(await ledger.load_evidence(Relation(ours(self.home), partner.kernel_id)))
            finally:
                await ledger.close()

        return asyncio.run(read())

    def partners(self, names: list[str], ceiling: int) -> dict[str, Counterpart]:
        """Partners with right feeds, that were read."""
        made = {name: Counterpart(self.home, name) for name in names}
        for each in made.values():
            each.feed.revoke("first", GONE, at=int(time.time()))
            self.serve(each, honest(each.feed))
            each.add_peer()
        for each in made.values():
            each.wait_fresh()
            each.add_policy(revocationFeed=each.feed_terms(self.feeds, ceiling))
        for name in names:
            self.home.scene.wait(POLICIES, name, "Ready", status="True")
        return made


def open_desk(stack: ExitStack, cluster: Cluster, folder: Path, **make: Any) -> Desk:
    home = open_organisation(stack, cluster, folder, **make)
    server = stack.enter_context(FeedServer(home.scene.partners.authority))
    return Desk(home, server, f"sqlite:///{folder}/ledger.db")


@pytest.fixture(scope="module")
def desk(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield open_desk(stack, cluster, tmp_path_factory.mktemp("desk"))


def test_a_feed_that_fails_closes_at_its_ceiling_with_the_reason_and_opens_again(desk: Desk) -> None:
    partners = desk.partners(list(FAILURES), CEILING)
    for name, partner in partners.items():
        desk.serve(partner, FAILURES[name][0](partner.feed))
        assert (partner.reason(), partner.reason(GONE)) == ("Allowed", "CapabilityRevoked")
    for name, partner in partners.items():
        closed = ("False", FAILURES[name][1])
        wait_for(lambda: partner.told() == closed, f"{name}: {closed}", CEILING + SLACK)  # noqa: B023
        assert partner.told("Ready") == ("False", "RevocationFeedStale")
        assert (partner.reason(), partner.reason(GONE)) == ("RevocationFeedStale", "CapabilityRevoked")
    kept = {name: [each.document["kind"] for each in desk.evidence(each)] for name, each in partners.items()}
    assert set(kept.pop("is-signed-by-another")) == {"signer"}
    assert set(map(tuple, kept.values())) == {()}
    for partner in partners.values():
        desk.serve(partner, honest(partner.feed))
    for name, partner in partners.items():
        wait_for(lambda: partner.reason() == "Allowed", f"{name}: right again", CEILING + SLACK)  # noqa: B023
        assert (partner.reason(GONE), partner.reason("forged")) == ("CapabilityRevoked", "Allowed")
        desk.home.scene.wait(POLICIES, name, "Ready", status="True")


def test_two_histories_close_the_partner_until_a_policy_is_made_anew(desk: Desk) -> None:
    partners = desk.partners(list(CONTRADICTIONS), LONG_CEILING)
    for name, partner in partners.items():
        desk.serve(partner, CONTRADICTIONS[name][0](partner.feed))
    for name, partner in partners.items():
        wait_for(lambda: partner.reason() == "Equivocation", name)  # noqa: B023
        desk.home.scene.wait(POLICIES, name, "Equivocation", status="False", kind="RevocationFresh")
        desk.home.scene.wait(POLICIES, name, "Equivocation", status="False")
        (evidence,) = desk.evidence(partner)
        assert evidence.document["kind"] == CONTRADICTIONS[name][1]
        desk.serve(partner, honest(partner.feed))
    desk.home.operator.stop()
    desk.home.operator.start()
    for name, partner in partners.items():
        wait_for(lambda: asked(partner) is not None, "an answer after the restart")  # noqa: B023
        assert (partner.reason(), partner.reason(GONE)) == ("Equivocation", "Equivocation")
        desk.home.scene.delete(POLICIES, name)
        partner.add_policy(revocationFeed=partner.feed_terms(desk.feeds, LONG_CEILING))
    for name, partner in partners.items():
        wait_for(lambda: partner.reason() == "Allowed", f"{name}: a new policy")  # noqa: B023
        assert partner.reason(GONE) == "CapabilityRevoked"
        assert len(desk.evidence(partner)) == 1
        desk.home.scene.wait(POLICIES, name, "Ready", status="True")


def asked(partner: Counterpart) -> Answer | None:
    """An answer; None while nobody listens or can be asked."""
    try:
        answer = partner.host.evaluate(partner.name, partner.chain())
    except OSError:
        return None
    return answer if answer.status == 200 else None


def test_one_capability_id_of_two_partners_is_two_capabilities(desk: Desk) -> None:
    one, other = desk.partners(["one", "other"], LONG_CEILING).values()
    assert (one.reason("shared"), other.reason("shared")) == ("Allowed", "Allowed")
    one.feed.revoke("shared", at=int(time.time()))
    wait_for(lambda: one.reason("shared") == "CapabilityRevoked", "the news")
    assert other.reason("shared") == "Allowed"
    assert desk.home.evaluate("other", one.chain("shared")).reason == "IssuerNotTrusted"


def test_a_frozen_feed_is_refused_from_exactly_the_second_of_the_ceiling_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    ceiling = 120
    with ExitStack() as stack:
        desk = open_desk(stack, cluster, tmp_path, make=ClockedOperator)
        operator = desk.home.operator
        assert isinstance(operator, ClockedOperator)
        (partner,) = desk.partners(["frozen"], ceiling).values()
        page, published = partner.feed.page, int(time.time())
        desk.serve(partner, lambda start: Served(page(start, published).to_json()))
        chain = partner.chain()
        fresh_until = wait_for(lambda: frozen_until(desk.home, chain, published + ceiling), "the last head")
        operator.set_clock(fresh_until - 1.5 - time.time())
        seen: dict[int, set[str]] = {}
        while max(seen, default=0) < fresh_until + 1:
            answer = desk.home.evaluate("frozen", chain)
            seen.setdefault(answer.body["decision"]["decidedAt"], set()).add(answer.reason)
            assert answer.body["decision"].get("validUntil", fresh_until) <= fresh_until
        assert seen.pop(fresh_until - 2, {"Allowed"}) == {"Allowed"}
        assert seen == {
            fresh_until - 1: {"Allowed"},
            fresh_until: {"RevocationFeedStale"},
            fresh_until + 1: {"RevocationFeedStale"},
        }
        stale: Object = desk.home.scene.wait(POLICIES, "frozen", "RevocationFeedStale", status="False")
        assert condition_of(stale, "RevocationFresh")["reason"] == "RevocationFeedStale"


def frozen_until(home: Organisation, chain: Chain, latest: int) -> int | None:
    """Until when the news counts, once the head that does not change any more was read."""
    answer = home.evaluate("frozen", chain)
    until = answer.body["decision"].get("validUntil")
    return latest if until == latest else None
