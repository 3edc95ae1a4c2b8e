"""Authorities that simulated partners announce, also where they should not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from bilateral.protocol.keys import SigningKey
from cluster.authorities import make_authority, sign
from cluster.scene import DOMAINS, PEERS, SECRETS, Object, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster

DAY = 86_400
_words = itertools.count(1)


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path_factory.mktemp("simulated")) as scene:
        scene.operator("--identity=replica-0")
        scene.add_domain()
        scene.wait(DOMAINS, "org-a", "Ready", status="True")
        yield scene


def shaken(scene: Scene, name: str) -> Object:
    """Shake hands with a partner now."""
    word = f"now-{next(_words)}"
    scene.ask(PEERS, name, word)
    wait_for(lambda: scene.get(PEERS, name)["status"].get("reconciledNow") == word, "a handshake")
    return scene.get(PEERS, name)


def authorities_reason(peer: Object) -> tuple[str, str]:
    found = condition_of(peer, "AuthoritiesKnown")
    return found["status"], found["reason"]


def test_a_partner_that_announces_nothing_costs_nothing_more(scene: Scene) -> None:
    scene.add_peer("stock")
    scene.wait_ready("stock")
    peer = scene.wait(PEERS, "stock", "NotAnnounced", kind="AuthoritiesKnown", status="Unknown")
    assert scene.find(SECRETS, "stock-ca") is None
    assert scene.partner("stock").statements_asked == 1
    assert "certificateAuthorities" not in peer["status"]
    version = scene.get(PEERS, "stock")["metadata"]["resourceVersion"]
    scene.patch(PEERS, "stock", {"spec": {"displayName": "Stock"}})
    wait_for(lambda: scene.partner("stock").statements_asked == 2, "asked with the handshake")
    assert scene.get(PEERS, "stock")["metadata"]["resourceVersion"] != version
    assert scene.find(SECRETS, "stock-ca") is None


def test_an_older_or_foreign_or_ended_statement_does_not_count(scene: Scene) -> None:
    name, ca, other = "liar", make_authority(), make_authority()
    partner = scene.partner(name)
    partner.statement = sign(scene, name, ca, sequence=1000)
    scene.add_peer(name)
    scene.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    held = wait_for(lambda: scene.secret(f"{name}-ca"), "the Secret")
    assert held["ca.crt"] == ca.certificate_pem
    for statement, reason in (
        (sign(scene, name, other, sequence=999), "StatementRegressed"),
        (sign(scene, name, other, sequence=1001, key=SigningKey.generate()), "StatementInvalid"),
        (sign(scene, name, other, sequence=1001, ago=2 * DAY + 60), "StatementExpired"),
        (b"{}", "StatementInvalid"),
    ):
        partner.statement = statement
        assert authorities_reason(shaken(scene, name)) == ("True", reason)
        assert scene.secret(f"{name}-ca") == held
    partner.statement = sign(scene, name, other, sequence=1001)
    assert authorities_reason(shaken(scene, name)) == ("True", "AuthoritiesAnnounced")
    wait_for(lambda: (scene.secret(f"{name}-ca") or {})["ca.crt"] == other.certificate_pem, "the new one")


def test_a_secret_that_somebody_changes_is_put_right(scene: Scene) -> None:
    name, ca, intruder = "mended", make_authority(), make_authority()
    scene.partner(name).statement = sign(scene, name, ca, sequence=1000)
    scene.add_peer(name)
    held = wait_for(lambda: scene.secret(f"{name}-ca"), "the Secret")
    scene.patch(SECRETS, f"{name}-ca", {"stringData": {"ca.crt": intruder.certificate_pem.decode()}})
    wait_for(lambda: scene.secret(f"{name}-ca") == held, "what it was")
    scene.delete(SECRETS, f"{name}-ca")
    wait_for(lambda: scene.secret(f"{name}-ca") == held, "it is there again")


def test_a_secret_of_somebody_else_is_left_alone(scene: Scene) -> None:
    name = "foreign"
    foreign: Object = {"metadata": {"name": f"{name}-ca"}, "type": "Opaque", "stringData": {"mine": "yes"}}
    before = scene.create(SECRETS, foreign)
    scene.partner(name).statement = sign(scene, name, make_authority(), sequence=1000)
    scene.add_peer(name)
    scene.wait(PEERS, name, "SecretConflict", kind="AuthoritiesKnown", status="False")
    assert scene.get(SECRETS, f"{name}-ca") == before
    scene.delete(SECRETS, f"{name}-ca")
    shaken(scene, name)
    scene.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")


def test_pinned_authorities_are_those_of_the_spec(scene: Scene) -> None:
    name, ca, announced = "installed", make_authority(), make_authority()
    scene.partner(name).statement = sign(scene, name, announced, sequence=1000)
    pems = [ca.certificate_pem.decode()]
    scene.add_peer(name, certificateAuthorities={"mode": "Pinned", "pems": pems})
    scene.wait(PEERS, name, "AuthoritiesPinned", kind="AuthoritiesKnown", status="True")
    wait_for(lambda: scene.secret(f"{name}-ca") == {"ca.crt": ca.certificate_pem}, "the Secret")
    assert scene.partner(name).statements_asked == 0
