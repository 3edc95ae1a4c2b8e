"""Two organisations: one hands a capability on to the other's worker, whose kernel asks whether it counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.receipts import Verdict
from cluster.deciding import Organisation, open_organisation
from cluster.scene import PEERS, POLICIES
from support.waiting import wait_for
from testbed.cluster import Cluster


@dataclass
class Pair:
    a: Organisation
    b: Organisation

    def chain(self, name: str = "cap") -> Chain:
        agent, worker = SigningKey.generate(), SigningKey.generate()
        return self.a.capability(int(time.time()), agent=agent, worker=worker, name=name)


@pytest.fixture(scope="module")
def pair(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        made = Pair(
            *(open_organisation(stack, cluster, tmp_path_factory.mktemp(name)) for name in ("a", "b"))
        )
        made.a.add_partner("org-b", made.b)
        made.b.add_partner("org-a", made.a)
        made.b.scene.wait(PEERS, "org-a", "Fresh", status="True", kind="Fresh")
        made.b.add_policy("org-a", made.a)
        made.b.scene.wait(POLICIES, "org-a", "Ready", status="True")
        yield made


def test_what_fits_the_policy_is_allowed_with_a_receipt(pair: Pair) -> None:
    chain = pair.chain()
    answer = pair.b.evaluate("org-a", chain)
    assert (answer.status, answer.reason) == (200, "Allowed"), answer.body
    receipt = pair.b.receipt(answer)
    assert receipt.body.decision.verdict is Verdict.ALLOW
    assert answer.body["ledger"]["seq"] >= 1
    grant = answer.body["decision"]["effective"]["grants"][0]
    assert {"type": "max_rows_returned", "value": 100} in grant["constraints"]


def test_what_does_not_is_denied_with_a_receipt(pair: Pair) -> None:
    answer = pair.b.evaluate("org-a", pair.chain(), rows=101)
    assert (answer.status, answer.body["decision"]["allowed"]) == (200, False)
    assert pair.b.receipt(answer).body.decision.verdict is Verdict.DENY


def test_a_partner_without_a_policy_may_do_nothing(pair: Pair) -> None:
    answer = pair.a.evaluate("org-b", pair.chain())
    assert answer.reason == "NoPolicy"
    assert pair.a.receipt(answer).body.decision.verdict is Verdict.DENY


def test_what_is_revoked_there_is_refused_here(pair: Pair) -> None:
    chain = pair.chain("gone")
    assert pair.b.evaluate("org-a", chain).reason == "Allowed"
    answer = pair.a.call(
        "POST", "/v1/revocations?trustDomain=ours", {"capabilityIds": ["gone-root"]}, account="officer"
    )
    assert (answer.status, answer.body["treeSize"]) == (200, 1)
    wait_for(lambda: pair.b.evaluate("org-a", chain).reason == "CapabilityRevoked", "the news")
    assert pair.b.evaluate("org-a", pair.chain("other")).reason == "Allowed"
