"""Authorities of partners, and our own lists, while time passes and operators end. Clocks are moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.revocations import parse_revocation_list
from bilateral.reconcile.issued import parse_shard
from bilateral.resources.times import parse_time
from cluster.authorities import make_authority, sign
from cluster.clocked import ClockedOperator
from cluster.mortal import MortalOperator
from cluster.scene import DOMAINS, IDENTITIES, PEERS, SECRETS, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.processes import wait_ended

HOUR, DAY = 3600, 86_400


@pytest.fixture
def alone(cluster: Cluster, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path) as scene:
        yield scene


def clocked(scene: Scene) -> ClockedOperator:
    operator = scene.operator("--identity=replica-0", make=ClockedOperator)
    assert isinstance(operator, ClockedOperator)
    scene.add_domain()
    scene.wait(DOMAINS, "org-a", "Ready", status="True")
    wait_for(lambda: scene.secret("org-a-authority"), "the statement")
    return operator


def test_lists_and_statements_are_signed_once_a_day(alone: Scene) -> None:
    operator = clocked(alone)

    def version() -> str:
        return str(alone.get(SECRETS, "org-a-authority")["metadata"]["resourceVersion"])

    def look_at(ahead: int) -> str:
        """Move the clock; a look at everything follows the step, and one more that is asked for."""
        operator.set_clock(ahead)
        word = f"at-{ahead}"
        alone.ask(DOMAINS, "org-a", word)
        wait_for(lambda: alone.get(DOMAINS, "org-a")["status"].get("reconciledNow") == word, "a look")
        return version()

    first = version()
    assert {look_at(hours * HOUR) for hours in (1, 6, 12, 18, 23)} == {first}
    operator.set_clock(24 * HOUR)
    wait_for(lambda: version() != first, "the renewal")
    second = version()
    assert {look_at(hours * HOUR) for hours in (25, 36, 47)} == {second}
    operator.set_clock(48 * HOUR)
    wait_for(lambda: version() != second, "the next renewal")


def test_stale_it_is_withdrawn_at_the_second(alone: Scene) -> None:
    name, ca, operator = "ending", make_authority(), clocked(alone)
    alone.partner(name).statement = sign(alone, name, ca, sequence=1000)
    alone.add_peer(name, handshake={"rotationWindowSeconds": 7200})
    peer = alone.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    held = wait_for(lambda: alone.secret(f"{name}-ca"), "the Secret")
    alone.silence(name)
    due = parse_time(peer["status"]["pin"]["rotationDue"])
    operator.set_clock(due - time.time() - 30)
    alone.ask(DOMAINS, "org-a", "before")
    wait_for(lambda: alone.get(DOMAINS, "org-a")["status"].get("reconciledNow") == "before", "a look")
    assert alone.secret(f"{name}-ca") == held
    operator.set_clock(due - time.time())
    nobody = {"ca.crt": NOBODY_PEM, "sequence": b"1000"}
    wait_for(lambda: alone.secret(f"{name}-ca") == nobody, "nobody")
    alone.wait(PEERS, name, "PeerStale", kind="AuthoritiesKnown", status="False")


def test_a_statement_ends_though_the_partner_stays_fresh(alone: Scene) -> None:
    name, ca, operator = "silent", make_authority(), clocked(alone)
    partner = alone.partner(name)
    partner.statement = sign(alone, name, ca, sequence=1000)
    alone.add_peer(name, handshake={"rotationWindowSeconds": 7 * DAY})
    alone.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    wait_for(lambda: alone.secret(f"{name}-ca"), "the Secret")
    partner.statement = None
    asked = partner.statements_asked
    operator.set_clock(HOUR + 60)
    wait_for(lambda: partner.statements_asked > asked, "asked again by itself")
    alone.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    operator.set_clock(2 * DAY + 60)
    wait_for(lambda: (alone.secret(f"{name}-ca") or {}).get("ca.crt") == NOBODY_PEM, "nobody")
    assert condition_of(alone.get(PEERS, name))["reason"] == "Fresh"


@pytest.mark.parametrize("moment", [(1, "before"), (1, "after"), (2, "before"), (2, "after")])
def test_killed_around_a_record_nothing_is_forgotten(alone: Scene, moment: tuple[int, str]) -> None:
    operator = alone.operator("--identity=replica-0", make=MortalOperator)
    assert isinstance(operator, MortalOperator)
    alone.add_domain()
    alone.wait(DOMAINS, "org-a", "Ready", status="True")
    wait_for(lambda: alone.secret("org-a-authority"), "the statement")
    operator.stop()

    # While something is issued: whatever is in a Secret is in the record.
    alone.add_identity("client1")
    run_until_it_ends(operator, alone, moment)
    held = (alone.secret("client1-identity") or {}).get("tls.crt")
    if held is not None:
        assert x509.load_pem_x509_certificate(held).serial_number in recorded(alone)
    operator.die_at(10**9, "after")
    operator.start()
    alone.wait(IDENTITIES, "client1", "Ready", status="True")
    held = (alone.secret("client1-identity") or {})["tls.crt"]
    serial = x509.load_pem_x509_certificate(held).serial_number
    assert serial in recorded(alone)
    operator.stop()

    # While it is withdrawn: the list names it in the end.
    alone.delete(IDENTITIES, "client1")
    run_until_it_ends(operator, alone, moment)
    operator.die_at(10**9, "after")
    operator.start()
    issuer = x509.load_pem_x509_certificate((alone.secret("org-a-ca") or {})["tls.crt"])
    wait_for(
        lambda: (
            serial
            in parse_revocation_list((alone.secret("org-a-authority") or {})["self.crl"], issuer).entries
        ),
        "the list",
    )


def run_until_it_ends(operator: MortalOperator, scene: Scene, moment: tuple[int, str]) -> None:
    operator.die_at(*moment)
    operator.start(wait=False)
    scene.adopt(operator)
    assert wait_ended(operator.record, 30), "there were not so many writes"


def recorded(scene: Scene) -> set[int]:
    shard = parse_shard((scene.secret("org-a-issued") or {}).get("issued.jsonl", b""))
    return {entry.serial for entry in shard.entries}
