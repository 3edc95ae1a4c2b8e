"""Keys that vanish or are swapped: nothing is signed with another identity, and what is restored is used again.

Proves R-K7 (the key that signs is the one that was published) and the drift of keys and authorities.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from bilateral.protocol.keys import SigningKey
from cluster.scene import DOMAINS, PEERS, SECRETS, Object, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess

DOMAIN_NAMES = ("deleted", "swapped", "broken", "authority-deleted", "authority-swapped")


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An operator, and for each case a trust domain with a proven peer."""
    with open_scene(cluster, tmp_path_factory.mktemp("keys")) as scene:
        operator = scene.operator()
        for name in DOMAIN_NAMES:
            scene.add_domain(name, url=operator.url)
            scene.add_peer(peer_of(name), name)
        for name in DOMAIN_NAMES:
            scene.wait_ready(peer_of(name), domain=name)
        yield scene


def peer_of(domain: str) -> str:
    return f"peer-of-{domain}"


def operator_of(scene: Scene) -> OperatorProcess:
    return scene.started[0]


def back_up(scene: Scene, name: str) -> Object:
    """A Secret as a backup keeps it: without what the API server made up."""
    secret = scene.get(SECRETS, name)
    kept = {key: secret["metadata"][key] for key in ("name", "labels", "ownerReferences")}
    return {"metadata": kept, "type": secret["type"], "data": secret["data"]}


def private_key(key: SigningKey) -> Object:
    return {"data": {"private.pem": base64.b64encode(key.pkcs8_pem()).decode()}}


def damage_by_deletion(scene: Scene, secret: str) -> None:
    scene.delete(SECRETS, secret)


def damage_by_another_key(scene: Scene, secret: str) -> None:
    scene.patch(SECRETS, secret, private_key(SigningKey.generate()))


def damage_by_nonsense(scene: Scene, secret: str) -> None:
    scene.patch(SECRETS, secret, {"data": {"private.pem": base64.b64encode(b"no key").decode()}})


KEY_DAMAGES = {
    "deleted": (damage_by_deletion, "KeyDrift"),
    "swapped": (damage_by_another_key, "KeyDrift"),
    "broken": (damage_by_nonsense, "KeyInvalid"),
}


@pytest.mark.parametrize("name", KEY_DAMAGES)
def test_without_its_published_key_a_trust_domain_signs_nothing(scene: Scene, name: str) -> None:
    damage, reason = KEY_DAMAGES[name]
    secret, peer = f"{name}-signing-key", peer_of(name)
    published = scene.get(DOMAINS, name)["status"]["publicKey"]
    backup = back_up(scene, secret)

    damage(scene, secret)
    domain = scene.wait(DOMAINS, name, reason, status="False", kind="KeyReady")
    assert domain["status"]["publicKey"] == published
    scene.wait(DOMAINS, name, reason, status="False")
    asked = scene.asked(peer)
    pin = scene.get(PEERS, peer)["status"]["pin"]
    scene.ask(PEERS, peer, "now")
    scene.ask(DOMAINS, name, "now")
    wait_for(lambda: scene.get(PEERS, peer)["status"].get("reconciledNow") == "now", "a look at the peer")
    wait_for(lambda: scene.get(DOMAINS, name)["status"].get("reconciledNow") == "now", "a look at the domain")
    answer = scene.post(operator_of(scene), scene.partner(peer).sign(scene.kernel(name)))
    assert (answer.status, answer.reason) == (503, "not-ready")
    assert scene.asked(peer) == asked
    assert scene.get(PEERS, peer)["status"]["pin"] == pin
    if name == "deleted":
        assert scene.find(SECRETS, secret) is None

    restore(scene, secret, backup)
    domain = scene.wait(DOMAINS, name, "Ready", status="True")
    assert domain["status"]["publicKey"] == published
    scene.ask(PEERS, peer, "again")
    wait_for(lambda: scene.asked(peer) > asked, "a handshake")
    assert scene.partner(peer).asked[-1].envelope.declared_public_key.canonical == published
    scene.wait_ready(peer, domain=None)


def restore(scene: Scene, name: str, backup: Object) -> None:
    if scene.find(SECRETS, name) is None:
        scene.create(SECRETS, backup)
    else:
        scene.patch(SECRETS, name, {"data": backup["data"]})


def test_without_pins_a_deleted_key_is_made_again(scene: Scene) -> None:
    """Nobody relies on the old one: a new identity harms nobody."""
    scene.add_domain("alone")
    before = scene.wait(DOMAINS, "alone", "Ready", status="True")["status"]["publicKey"]
    scene.delete(SECRETS, "alone-signing-key")

    def renewed() -> str | None:
        key = scene.get(DOMAINS, "alone")["status"]["publicKey"]
        return None if key == before else str(key)

    after = wait_for(renewed, "a new key")
    held = scene.secret("alone-signing-key")
    assert held is not None
    assert SigningKey.from_pkcs8_pem(held["private.pem"]).public_key.canonical == after
    scene.wait(DOMAINS, "alone", "Ready", status="True")


@pytest.mark.parametrize("how", ["deleted", "swapped"])
def test_an_authority_that_is_not_the_published_one_is_drift(scene: Scene, how: str) -> None:
    name = f"authority-{how}"
    known = scene.get(DOMAINS, name)["status"]["certificateAuthority"]
    backup = back_up(scene, f"{name}-ca")
    if how == "deleted":
        scene.delete(SECRETS, f"{name}-ca")
    else:
        other = scene.get(SECRETS, "deleted-ca")
        scene.patch(SECRETS, f"{name}-ca", {"data": other["data"]})

    domain = scene.wait(DOMAINS, name, "AuthorityDrift", status="False", kind="AuthorityReady")
    assert domain["status"]["certificateAuthority"] == known
    scene.wait(DOMAINS, name, "AuthorityDrift", status="False")
    # The key is not the authority: what partners proved, and what we may prove, stays.
    assert condition_of(domain, "KeyReady")["status"] == "True"
    asked = scene.asked(peer_of(name))
    scene.ask(PEERS, peer_of(name), "now")
    wait_for(lambda: scene.asked(peer_of(name)) > asked, "a handshake")
    scene.wait_ready(peer_of(name), domain=None)
    if how == "deleted":
        assert scene.find(SECRETS, f"{name}-ca") is None

    restore(scene, f"{name}-ca", backup)
    domain = scene.wait(DOMAINS, name, "Ready", status="True")
    assert domain["status"]["certificateAuthority"] == known
