"""Two operators: one asks for introductions, the policy of the other decides, and pods may use what it signed.

The second operator has the verb approve on introductions, the first has not. Both clocks can be set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from cryptography import x509

from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import parse_introduction
from bilateral.protocol.keys import SigningKey
from cluster.clocked import ClockedOperator
from cluster.organisations import Pair, Side
from cluster.scene import (
    DOMAINS,
    IDENTITIES,
    INTRODUCTIONS,
    PEERS,
    POLICIES,
    Object,
    condition_of,
    open_scene,
)
from support.timeline import Timeline
from support.waiting import wait_for
from testbed.cluster import Cluster

DOMAIN = "ours"
PARTNER = "partner"
LIFE = 3600
NAME = "client.partner.example"
BEFORE_THE_SECOND_QUESTION = 20
"""Seconds; who is told to wait asks again after thirty."""
LISTED = [f"CN={name}" for name in ("by-policy", "too-long", "renewing", "turned-down")]


def open_side(
    stack: ExitStack, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, *, automatic: bool
) -> Side:
    directory = tmp_path_factory.mktemp("side")
    values: Mapping[str, object] = {"approvals": {"automatic": automatic}}
    scene = stack.enter_context(open_scene(cluster, directory, values))
    operator = scene.operator(make=ClockedOperator)
    timelines = [stack.enter_context(Timeline(cluster, scene.path(plural))) for plural in (PEERS, "secrets")]
    scene.add_domain("front", url=operator.url)
    scene.wait(DOMAINS, "front", "Ready", status="True")
    return Side(scene, operator, *timelines)


@pytest.fixture(scope="module")
def pair(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        pair = Pair(
            open_side(stack, cluster, tmp_path_factory, automatic=False),
            open_side(stack, cluster, tmp_path_factory, automatic=True),
        )
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
            add_policy(side, dnsNames=[NAME])
        yield pair


def add_policy(side: Side, **terms: Any) -> None:
    issuer = SigningKey.generate().public_key.canonical
    side.scene.add(
        POLICIES,
        PARTNER,
        peer=PARTNER,
        partnerId=PARTNER,
        trustedIssuers=[{"publicKey": issuer}],
        maxScope={},
        maxAutonomyTier="Direct",
        introductions={
            "approval": "Automatic",
            "allowedSubjects": LISTED,
            "maxValiditySeconds": LIFE,
            **terms,
        },
    )
    wait_for(lambda: "status" in side.scene.get(POLICIES, PARTNER), "a look at the policy")


def change_terms(side: Side, **terms: Any) -> None:
    side.scene.patch(POLICIES, PARTNER, {"spec": {"introductions": terms}})

    def is_seen() -> bool:
        found = side.scene.get(POLICIES, PARTNER)
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    wait_for(is_seen, "a look at the policy's change")


def ask(side: Side, name: str, seconds: int = LIFE) -> None:
    """An identity, and the request to the partner's operator to introduce it."""
    side.scene.add_identity(name, DOMAIN)
    side.scene.wait(IDENTITIES, name, "Ready", status="True")
    whole = {"identity": name, "peer": PARTNER, "validitySeconds": seconds}
    side.scene.add(INTRODUCTIONS, name, request=whole)


def requested(side: Side, name: str) -> list[Object]:
    """What a request for that identity became on the other side."""
    found = side.scene.objects(INTRODUCTIONS)
    return [each for each in found if each["metadata"]["name"].startswith(f"{PARTNER}-{name}-")]


def document(obj: Object) -> Document:
    return parse_introduction(obj["status"]["introduction"])


def names(found: Document) -> list[str]:
    extensions = found.certificate.extensions
    return list(
        extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    )


def life(found: Document) -> int:
    return int((found.not_after - found.not_before).total_seconds())


def test_what_the_policy_approves_reaches_the_pod_with_the_first_question(pair: Pair) -> None:
    ask(pair.a, "by-policy")
    installed = pair.a.scene.wait(
        INTRODUCTIONS, "by-policy", "Ready", status="True", seconds=BEFORE_THE_SECOND_QUESTION
    )
    (there,) = requested(pair.b, "by-policy")
    assert there["spec"]["issue"]["approval"] == "Approved"
    assert there["metadata"]["labels"]["bilateral.dev/approved-by"] == "policy"
    found = document(there)
    assert found.serial == installed["status"]["serial"]
    assert names(found) == [NAME]
    assert life(found) == LIFE + 300  # begins five minutes back
    chains = wait_for(lambda: pair.a.scene.secret("by-policy-id-chains"), "the chain in the Secret")
    assert found.chain_pem in chains.values()


def test_a_subject_that_is_not_listed_is_refused_and_nothing_is_kept(pair: Pair) -> None:
    ask(pair.a, "stranger")
    found = pair.a.scene.wait(INTRODUCTIONS, "stranger", "SubjectRefused", status="False")
    assert condition_of(found, "Stalled")["status"] == "True"
    assert requested(pair.b, "stranger") == []


def test_what_asks_for_too_long_waits_for_a_person_and_is_cut(pair: Pair) -> None:
    ask(pair.a, "too-long", LIFE + 1)
    pair.a.scene.wait(INTRODUCTIONS, "too-long", "RequestPending", status="Unknown")
    (there,) = requested(pair.b, "too-long")
    name = there["metadata"]["name"]
    assert there["spec"]["issue"]["approval"] == "Pending"
    pair.b.scene.patch(INTRODUCTIONS, name, {"spec": {"issue": {"approval": "Approved"}}})
    assert life(document(pair.b.scene.wait(INTRODUCTIONS, name, "Ready", status="True"))) == LIFE + 300


def test_by_file_a_person_is_bound_by_the_policy_too(pair: Pair) -> None:
    certificate = (pair.a.scene.secret("by-policy-identity") or {})["tls.crt"].decode()
    issue = {"trustDomain": DOMAIN, "peer": PARTNER, "subject": certificate, "approval": "Approved"}
    pair.b.scene.add(INTRODUCTIONS, "by-file", issue=issue)
    found = document(pair.b.scene.wait(INTRODUCTIONS, "by-file", "Ready", status="True"))
    assert (names(found), life(found)) == ([NAME], LIFE + 300)
    stranger = (pair.a.scene.secret("stranger-identity") or {})["tls.crt"].decode()
    pair.b.scene.add(INTRODUCTIONS, "by-file-too", issue=issue | {"subject": stranger})
    pair.b.scene.wait(INTRODUCTIONS, "by-file-too", "SubjectRefused", status="False")


def test_an_operator_without_the_verb_leaves_it_to_a_person(pair: Pair) -> None:
    ask(pair.b, "by-policy")
    pair.b.scene.wait(INTRODUCTIONS, "by-policy", "RequestPending", status="Unknown")
    (there,) = requested(pair.a, "by-policy")
    assert there["spec"]["issue"]["approval"] == "Pending"
    assert "bilateral.dev/approved-by" not in there["metadata"]["labels"]


def test_of_two_policies_neither_signs(pair: Pair) -> None:
    spec = pair.b.scene.get(POLICIES, PARTNER)["spec"]
    pair.b.scene.add(POLICIES, "twin", **spec)
    pair.b.scene.wait(POLICIES, PARTNER, "PolicyConflict", status="False")
    ask(pair.a, "turned-down")
    pair.a.scene.wait(INTRODUCTIONS, "turned-down", "RequestPending", status="Unknown")
    (there,) = requested(pair.b, "turned-down")
    name = there["metadata"]["name"]
    pair.b.scene.patch(INTRODUCTIONS, name, {"spec": {"issue": {"approval": "Approved"}}})
    found = pair.b.scene.wait(INTRODUCTIONS, name, "PolicyConflict", status="False")
    assert "introduction" not in found["status"]
    pair.b.scene.delete(POLICIES, "twin")
    pair.b.scene.wait(INTRODUCTIONS, name, "Ready", status="True")


def test_a_renewal_is_judged_by_the_terms_of_then(pair: Pair) -> None:
    """Last: the clocks stay ahead. Handshakes go on meanwhile, so the partners stay fresh."""
    ask(pair.a, "renewing")
    installed = pair.a.scene.wait(INTRODUCTIONS, "renewing", "Ready", status="True")
    (there,) = requested(pair.b, "renewing")
    name, first = there["metadata"]["name"], installed["status"]["serial"]
    change_terms(pair.b, dnsNames=["renewed.partner.example"])
    assert pair.b.scene.get(INTRODUCTIONS, name)["status"]["serial"] == first

    move(pair, LIFE * 0.72)
    again = wait_for(partial(signed_after, pair.b, name, first), "a new certificate", 60)
    second = again["status"]["serial"]
    assert names(document(again)) == ["renewed.partner.example"]
    wait_for(partial(signed_after, pair.a, "renewing", first), "the new certificate, fetched", 60)

    change_terms(pair.b, approval="Manual")
    move(pair, LIFE * 1.5)
    waiting = pair.b.scene.wait(INTRODUCTIONS, name, "AwaitingApproval", seconds=60)
    assert waiting["status"]["serial"] == second
    assert waiting["spec"]["issue"]["approval"] == "Approved"
    pair.b.scene.patch(INTRODUCTIONS, name, {"metadata": {"labels": {"bilateral.dev/approved-by": None}}})
    wait_for(partial(signed_after, pair.b, name, second), "the certificate that a person approved", 60)


def move(pair: Pair, ahead: float) -> None:
    for side in (pair.a, pair.b):
        assert isinstance(side.operator, ClockedOperator)
        side.operator.set_clock(ahead)


def signed_after(side: Side, name: str, serial: str) -> Object | None:
    found = side.scene.get(INTRODUCTIONS, name)
    new = found["status"].get("serial") not in (None, serial)
    return found if new and condition_of(found)["status"] == "True" else None
