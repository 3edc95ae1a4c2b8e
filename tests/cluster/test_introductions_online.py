"""Two operators: one asks for an introduction, a person at the other approves, and pods may use it.

Both clocks can be set: a renewal, a denial and an end are waited for by moving them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from cryptography import x509

from bilateral.pki.introductions import parse_introduction
from bilateral.resources.times import parse_time
from cluster.clocked import ClockedOperator
from cluster.organisations import Pair, Side
from cluster.scene import (
    DOMAINS,
    IDENTITIES,
    INTRODUCTIONS,
    PEERS,
    SERVICES,
    Object,
    condition_of,
    open_scene,
)
from support.timeline import Timeline
from support.waiting import wait_for
from testbed.cluster import Cluster

DOMAIN = "ours"
PARTNER = "partner"
ALIAS = "org-b-api"
URL = "https://api.org-b.example:9443"
LIFE = 3600
_words = itertools.count(1)


def open_side(
    stack: ExitStack, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, name: str
) -> Side:
    scene = stack.enter_context(open_scene(cluster, tmp_path_factory.mktemp(name)))
    operator = scene.operator(make=ClockedOperator)
    timelines = [stack.enter_context(Timeline(cluster, scene.path(plural))) for plural in (PEERS, "secrets")]
    scene.add_domain("front", url=operator.url)
    scene.wait(DOMAINS, "front", "Ready", status="True")
    return Side(scene, operator, *timelines)


def authority(side: Side) -> str:
    return str(side.scene.get(DOMAINS, DOMAIN)["status"]["certificateAuthority"]["certificate"])


@pytest.fixture(scope="module")
def pair(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        pair = Pair(*(open_side(stack, cluster, tmp_path_factory, name) for name in "ab"))
        pair.domains(DOMAIN)
        for side in (pair.a, pair.b):
            wait_for(partial(side.scene.secret, f"{DOMAIN}-authority"), "the statement")
        for side, other in ((pair.a, pair.b), (pair.b, pair.a)):
            side.scene.add_peer(
                PARTNER,
                DOMAIN,
                kernelId=other.scene.kernel(DOMAIN),
                endpoint=other.endpoint,
                trustAnchors=[{"publicKey": other.anchor(DOMAIN)}],
            )
        for side in (pair.a, pair.b):
            side.ready(PARTNER)
            side.acknowledged(PARTNER)
            side.scene.wait(PEERS, PARTNER, "AuthoritiesAnnounced", kind="AuthoritiesKnown")
        pair.b.scene.add(SERVICES, ALIAS, alias=ALIAS, url=URL)
        yield pair


def ask(pair: Pair, name: str, **spec: Any) -> None:
    """An identity of a's, and the request to b's operator to introduce it."""
    pair.a.scene.add_identity(name, DOMAIN)
    pair.a.scene.wait(IDENTITIES, name, "Ready", status="True")
    request(pair, name, name, **spec)


def request(pair: Pair, name: str, identity: str, **spec: Any) -> None:
    whole = {"identity": identity, "peer": PARTNER, "services": [ALIAS], "validitySeconds": LIFE, **spec}
    pair.a.scene.add(INTRODUCTIONS, name, request=whole)


def requested(pair: Pair, name: str) -> list[Object]:
    """What lies before the people of b for an identity of a's."""
    found = pair.b.scene.objects(INTRODUCTIONS)
    return [each for each in found if each["metadata"]["name"].startswith(f"{PARTNER}-{name}-")]


def decide(pair: Pair, name: str, approval: str) -> Object:
    found = requested(pair, name)
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    there = found[0]["metadata"]["name"]
    return pair.b.scene.patch(INTRODUCTIONS, there, {"spec": {"issue": {"approval": approval}}})


def ask_again(pair: Pair, name: str) -> Object:
    """Have a's operator ask now rather than in half a minute; the object when it has."""
    word = f"word-{next(_words)}"
    pair.a.scene.ask(INTRODUCTIONS, name, word)

    def served() -> Object | None:
        found = pair.a.scene.get(INTRODUCTIONS, name)
        return found if found["status"].get("reconciledNow") == word else None

    return wait_for(served, "the annotation's echo")


def approved(pair: Pair, name: str) -> Object:
    """Ask, approve, and fetch."""
    ask(pair, name)
    pair.a.scene.wait(INTRODUCTIONS, name, "RequestPending", status="Unknown")
    there = decide(pair, name, "Approved")["metadata"]["name"]
    pair.b.scene.wait(INTRODUCTIONS, there, "Ready", status="True")
    ask_again(pair, name)
    return pair.a.scene.wait(INTRODUCTIONS, name, "Ready", status="True")


def chains(pair: Pair, identity: str) -> list[x509.Certificate]:
    """The certificates that a's identity holds from b's authority."""
    issuer = x509.load_pem_x509_certificate(authority(pair.b).encode())
    held = (pair.a.scene.secret(f"{identity}-id-chains") or {}).values()
    found = [x509.load_pem_x509_certificate(pem) for pem in held]
    return [each for each in found if each.issuer == issuer.subject]


def test_a_request_waits_for_a_person_and_then_reaches_the_pod(pair: Pair) -> None:
    ask(pair, "client1")
    waiting = pair.a.scene.wait(INTRODUCTIONS, "client1", "RequestPending", status="Unknown")
    assert condition_of(waiting, "Stalled")["status"] == "False"
    (there,) = requested(pair, "client1")
    issue = there["spec"]["issue"]
    assert (issue["approval"], issue["peer"], issue["trustDomain"]) == ("Pending", PARTNER, DOMAIN)
    assert issue["services"] == [{"alias": ALIAS, "url": URL}]
    assert issue["subject"].startswith("-----BEGIN CERTIFICATE REQUEST-----\n")
    assert there["metadata"]["labels"]["bilateral.dev/origin"] == "online"
    name = there["metadata"]["name"]
    pair.b.scene.wait(INTRODUCTIONS, name, "AwaitingApproval", status="Unknown")
    assert "introduction" not in pair.b.scene.get(INTRODUCTIONS, name)["status"]
    assert not chains(pair, "client1")

    decide(pair, "client1", "Approved")
    issued = pair.b.scene.wait(INTRODUCTIONS, name, "Ready", status="True")
    ask_again(pair, "client1")
    installed = pair.a.scene.wait(INTRODUCTIONS, "client1", "Ready", status="True")
    assert installed["status"]["serial"] == issued["status"]["serial"]
    assert [condition_of(installed, kind)["status"] for kind in ("Approved", "Issued", "Installed")] == [
        "True"
    ] * 3
    (chain,) = wait_for(lambda: chains(pair, "client1"), "the chain in the Secret")
    document = parse_introduction(issued["status"]["introduction"])
    assert chain == document.certificate
    known = wait_for(
        lambda: (pair.a.scene.secret("client1-known-servers") or {}).get(f"{ALIAS}.yaml"), "the service"
    )
    assert URL.encode() in known


def test_what_was_approved_is_not_asked_or_written_again(pair: Pair) -> None:
    approved(pair, "quiet")
    since = pair.a.scene.cluster.audit_position()
    for each in range(3):
        pair.a.scene.patch(
            INTRODUCTIONS, "quiet", {"metadata": {"annotations": {"note": f"looked at {each}"}}}
        )
    pair.a.scene.add_identity("marker", DOMAIN)
    pair.a.scene.wait(IDENTITIES, "marker", "Ready", status="True")
    written = [each for each in pair.a.scene.writes(since) if each.resource == INTRODUCTIONS]
    assert written == []
    assert len(requested(pair, "quiet")) == 1


def test_a_denial_is_said_and_nothing_is_installed(pair: Pair) -> None:
    ask(pair, "denied")
    pair.a.scene.wait(INTRODUCTIONS, "denied", "RequestPending")
    decide(pair, "denied", "Denied")
    ask_again(pair, "denied")
    found = pair.a.scene.wait(INTRODUCTIONS, "denied", "Denied", status="False")
    assert condition_of(found, "Stalled")["status"] == "True"
    assert not chains(pair, "denied")


def test_a_denial_after_the_approval_takes_the_chain(pair: Pair) -> None:
    approved(pair, "revoked")
    wait_for(lambda: chains(pair, "revoked"), "the chain")
    decide(pair, "revoked", "Denied")
    ask_again(pair, "revoked")
    pair.a.scene.wait(INTRODUCTIONS, "revoked", "Denied", status="False")
    wait_for(lambda: not chains(pair, "revoked"), "the chain's end")


def test_a_request_whose_object_was_deleted_there_is_made_anew(pair: Pair) -> None:
    ask(pair, "again")
    pair.a.scene.wait(INTRODUCTIONS, "again", "RequestPending")
    (there,) = requested(pair, "again")
    pair.b.scene.delete(INTRODUCTIONS, there["metadata"]["name"])
    wait_for(lambda: not requested(pair, "again"), "the deletion")
    ask_again(pair, "again")
    (anew,) = wait_for(lambda: requested(pair, "again"), "the request made anew")
    assert anew["metadata"]["uid"] != there["metadata"]["uid"]
    assert anew["spec"]["issue"]["approval"] == "Pending"


def test_a_second_request_for_other_services_is_another_decision(pair: Pair) -> None:
    approved(pair, "twice")
    request(pair, "twice-more", "twice", services=[])
    pair.a.scene.wait(INTRODUCTIONS, "twice-more", "RequestPending")
    found = requested(pair, "twice")
    assert sorted(each["spec"]["issue"]["approval"] for each in found) == ["Approved", "Pending"]


def test_a_request_is_deleted_and_the_chain_leaves(pair: Pair) -> None:
    approved(pair, "leaving")
    wait_for(lambda: chains(pair, "leaving"), "the chain")
    pair.a.scene.delete(INTRODUCTIONS, "leaving")
    wait_for(lambda: not chains(pair, "leaving"), "the chain's end")


def test_the_other_side_is_down_and_comes_back(pair: Pair) -> None:
    pair.b.operator.pause()
    try:
        ask(pair, "patient")
        pair.a.scene.wait(INTRODUCTIONS, "patient", "ConnectionFailed", status="False", seconds=30)
    finally:
        pair.b.operator.resume()
    found = pair.a.scene.wait(INTRODUCTIONS, "patient", "RequestPending", seconds=60)
    assert found["status"].get("consecutiveFailures", 0) == 0
    assert len(requested(pair, "patient")) == 1


def test_it_is_renewed_before_it_ends(pair: Pair) -> None:
    """Last: the clocks stay ahead. Handshakes go on meanwhile, so the partners stay fresh."""
    installed = approved(pair, "renewing")
    first = installed["status"]["serial"]
    due = parse_time(installed["status"]["renewalTime"])
    end = parse_time(installed["status"]["notAfter"])
    assert due < end
    for side in (pair.a, pair.b):
        assert isinstance(side.operator, ClockedOperator)
        side.operator.set_clock(LIFE * 0.72)
    renewed = wait_for(
        lambda: next(
            (
                each
                for each in [pair.a.scene.get(INTRODUCTIONS, "renewing")]
                if each["status"].get("serial") not in (None, first)
            ),
            None,
        ),
        "a new certificate",
        60,
    )
    assert condition_of(renewed)["status"] == "True"
    assert parse_time(renewed["status"]["notAfter"]) > end

    def is_new() -> bool:
        return {f"{each.serial_number:040x}" for each in chains(pair, "renewing")} == {
            renewed["status"]["serial"]
        }

    wait_for(is_new, "the new chain in the Secret")
