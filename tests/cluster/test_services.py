"""A service is in a pod's Secret while its server can be verified, and leaves it when that ends.

On the real API server, by what is in ``<identity>-known-servers``: what a pod would mount. Every way in which a
partner stops counting takes the service away, and none leads to a weaker check (R-T1).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bilateral.pki.names import rfc4514_name
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PeerCA, PinnedFingerprint, WebPKI
from bilateral.resources.times import parse_time
from cluster.clocked import ClockedOperator
from cluster.scene import IDENTITIES, PEERS, SECRETS, SERVICES, Object, Scene, condition_of, open_scene
from cluster.services import (
    CLIENT,
    URL,
    add_service,
    authority_of,
    entry,
    files,
    wait_bound,
    wait_gone,
)
from support.waiting import wait_for
from testbed.cluster import Cluster

LEAF = "SHA256:" + "1" * 64


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A trust domain, an identity that sees every service, and a fresh partner."""
    yield from furnished(cluster, tmp_path_factory)


def furnished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path_factory.mktemp("services")) as scene:
        operator = scene.operator("--identity=replica-0", make=ClockedOperator)
        scene.add_domain(url=operator.url)
        scene.add_identity(CLIENT)
        scene.wait(IDENTITIES, CLIENT, "Ready", status="True")
        yield scene


def ready_pair(scene: Scene, name: str, partner: str, **spec: Any) -> None:
    """A fresh partner and a service of it, bound."""
    scene.add_partner(partner)
    add_service(scene, name, partner, **spec)
    scene.wait(SERVICES, name, "VerifierResolved", status="True", kind="VerifierResolved")
    wait_bound(scene, name)


def test_a_partners_service_reaches_the_pod_with_its_authority_pinned(scene: Scene) -> None:
    ready_pair(scene, "api", "org-b")
    found = entry(scene, "api")
    authority = authority_of(scene)
    assert found is not None
    assert found.verifier == PeerCA((authority,))
    assert found.auths == (rfc4514_name(authority.subject), build_slug(authority))
    assert (found.url, found.peer) == (URL, scene.kernel("org-b"))
    assert f"{build_slug(authority)}.crt" in files(scene)
    service = scene.get(SERVICES, "api")
    assert (service["status"]["verifier"], len(service["status"]["pinned"])) == ("PeerCA", 1)
    # No authority of theirs has signed the identity yet.
    scene.wait(SERVICES, "api", "NoChain", status="False", kind="ChainAvailable")
    scene.wait(SERVICES, "api", "NoChain", status="False")


def test_without_a_peer_it_is_webpki(scene: Scene) -> None:
    add_service(scene, "public")
    assert wait_bound(scene, "public").verifier == WebPKI()
    service = scene.wait(SERVICES, "public", "Ready", status="True")
    assert condition_of(service, "ChainAvailable")["reason"] == "ChainNotNeeded"
    wait_for(lambda: scene.get(SERVICES, "public")["status"].get("boundSecrets") == 1, "the count")


def test_a_suspended_partners_service_leaves_and_comes_back(scene: Scene) -> None:
    ready_pair(scene, "suspended", "paused")
    scene.patch(PEERS, "paused", {"spec": {"state": "Suspended"}})
    wait_gone(scene, "suspended")
    service = scene.wait(SERVICES, "suspended", "Suspended", status="False")
    assert "verifier" not in service["status"]
    assert condition_of(service, "Stalled")["status"] == "True"
    scene.patch(PEERS, "paused", {"spec": {"state": "Active"}})
    wait_bound(scene, "suspended")


def test_a_deleted_partners_service_leaves_and_is_never_webpki(scene: Scene) -> None:
    ready_pair(scene, "left", "leaver")
    scene.delete(PEERS, "leaver")
    wait_gone(scene, "left")
    service = scene.wait(SERVICES, "left", "PeerNotFound", status="False")
    assert "verifier" not in service["status"]
    scene.add_partner("leaver")
    wait_bound(scene, "left")


def test_a_pin_edited_by_hand_takes_the_service_away(scene: Scene) -> None:
    ready_pair(scene, "forged", "victim")
    scene.silence("victim")
    scene.patch(PEERS, "victim", {"status": {"pin": {"rotationDue": "2099-01-01T00:00:00Z"}}}, "status")
    wait_gone(scene, "forged")
    scene.wait(SERVICES, "forged", "PinTampered", status="False")
    scene.wake("victim")
    scene.ask(PEERS, "victim", "now")
    wait_bound(scene, "forged")


def test_changed_anchors_take_the_service_away(scene: Scene) -> None:
    ready_pair(scene, "unanchored", "changer")
    other = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    scene.patch(PEERS, "changer", {"spec": {"trustAnchors": [{"publicKey": other}]}})
    wait_gone(scene, "unanchored")
    scene.wait(SERVICES, "unanchored", "PinNotAnchored", status="False")


def test_two_peers_with_one_credential_lose_both_services(scene: Scene) -> None:
    scene.add_partner("twin-1", fingerprints=[LEAF])
    add_service(scene, "shared", "twin-1")
    assert wait_bound(scene, "shared").verifier is not None
    scene.add_peer("twin-2", fingerprints=[LEAF])
    wait_gone(scene, "shared")
    scene.wait(SERVICES, "shared", "CredentialConflict", status="False")
    scene.delete(PEERS, "twin-2")
    wait_bound(scene, "shared")


def test_changed_fingerprints_are_in_the_pod_at_once(scene: Scene) -> None:
    ready_pair(scene, "renewed", "renewer")
    assert isinstance(wait_bound(scene, "renewed").verifier, PeerCA)
    first, second = "SHA256:" + "a" * 64, "SHA256:" + "b" * 64
    for listed in ([first], [first, second], [second]):
        scene.patch(PEERS, "renewer", {"spec": {"fingerprints": listed}})

        def pinned(listed: list[str] = listed) -> bool:
            found = entry(scene, "renewed")
            return (
                found is not None
                and isinstance(found.verifier, PinnedFingerprint)
                and [str(each) for each in found.verifier.fingerprints] == listed
            )

        wait_for(pinned, f"{listed} pinned")
    wait_for(lambda: scene.get(SERVICES, "renewed")["status"]["pinned"] == [second], "the status")


def test_a_partner_with_nothing_to_verify_by_is_refused(scene: Scene) -> None:
    scene.add_peer("bare")
    scene.wait_ready("bare")
    add_service(scene, "nothing", "bare")
    scene.wait(SERVICES, "nothing", "NothingPinned", status="False")
    assert entry(scene, "nothing") is None
    scene.patch(PEERS, "bare", {"spec": {"fingerprints": ["SHA256:" + "c" * 64]}})
    assert isinstance(wait_bound(scene, "nothing").verifier, PinnedFingerprint)


def test_a_verifier_that_contradicts_the_peer_is_refused(scene: Scene) -> None:
    ready_pair(scene, "contradicted", "org-x")
    overrides: tuple[Object, ...] = ({"webPKI": {}}, {"fingerprint": {"values": [LEAF]}})
    for verifier in overrides:
        scene.patch(
            SERVICES, "contradicted", {"spec": {"verifier": {"webPKI": None, "fingerprint": None} | verifier}}
        )
        wait_gone(scene, "contradicted")
        scene.wait(SERVICES, "contradicted", "VerifierContradictsPeer", status="False")
        scene.patch(SERVICES, "contradicted", {"spec": {"verifier": None}})
        wait_bound(scene, "contradicted")


def test_of_two_services_with_one_alias_the_older_keeps_it(scene: Scene) -> None:
    add_service(scene, "elder", alias="one-alias", url="https://elder.example")
    assert wait_bound(scene, "one-alias").url == "https://elder.example"
    first = scene.get(SERVICES, "elder")["metadata"]["creationTimestamp"]
    wait_for(lambda: time.time() >= parse_time(first) + 1, "another second")
    add_service(scene, "younger", alias="one-alias", url="https://younger.example")
    scene.wait(SERVICES, "younger", "AliasConflict", status="False")
    found = entry(scene, "one-alias")
    assert found is not None
    assert found.url == "https://elder.example"
    scene.delete(SERVICES, "elder")

    def is_the_youngers() -> bool:
        found = entry(scene, "one-alias")
        return found is not None and found.url == "https://younger.example"

    wait_for(is_the_youngers, "the younger's alias")
    scene.wait(SERVICES, "younger", "Ready", status="True")


def test_an_alias_that_is_a_service_of_the_cluster_is_refused(scene: Scene) -> None:
    body = {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 443}]}}
    created = scene.cluster.request("POST", f"/api/v1/namespaces/{scene.namespace}/services", body)
    assert created.status == 201, created.message
    add_service(scene, "database", alias="db")
    scene.wait(SERVICES, "database", "AliasShadowsService", status="False")
    assert entry(scene, "db") is None
    add_service(scene, "db-of-theirs", alias="db.org2")
    wait_bound(scene, "db.org2")


def secret_of(name: str, token: str, labels: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels or {}},
        "stringData": {"token": token},
    }


OPENED = {"bilateral.dev/secret": "referenced"}


def test_a_token_comes_from_a_secret_that_was_opened_and_is_in_the_pods_file_only(scene: Scene) -> None:
    add_service(scene, "with-token", bearerTokenSecretRef={"name": "their-token", "key": "token"})
    scene.wait(SERVICES, "with-token", "SecretNotFound", status="False")
    scene.create(SECRETS, secret_of("their-token", "canary-7f3a-token"))
    scene.ask(SERVICES, "with-token", "unlabelled")
    wait_for(
        lambda: scene.get(SERVICES, "with-token")["status"].get("reconciledNow") == "unlabelled", "a look"
    )
    assert condition_of(scene.get(SERVICES, "with-token"))["reason"] == "SecretNotFound"
    assert entry(scene, "with-token") is None
    scene.patch(SECRETS, "their-token", {"metadata": {"labels": OPENED}})
    assert wait_bound(scene, "with-token").bearer_token == "canary-7f3a-token"
    scene.patch(SECRETS, "their-token", {"stringData": {"token": "canary-rotated-token"}})

    def is_rotated() -> bool:
        found = entry(scene, "with-token")
        return found is not None and found.bearer_token == "canary-rotated-token"

    wait_for(is_rotated, "the new token")
    assert "canary" not in str(scene.get(SERVICES, "with-token")) + str(scene.get(IDENTITIES, CLIENT))
    assert "canary" not in str(scene.objects("events"))
    # The Secret's owner says where it may go; who may only edit the service cannot send it elsewhere.
    scene.patch(SECRETS, "their-token", {"stringData": {"hosts": "api.org2.example:9443"}})
    scene.patch(SERVICES, "with-token", {"spec": {"url": "https://evil.example"}})
    wait_gone(scene, "with-token")
    scene.wait(SERVICES, "with-token", "TokenNotForHost", status="False")
    scene.patch(SERVICES, "with-token", {"spec": {"url": URL}})
    wait_bound(scene, "with-token")
    scene.patch(SECRETS, "their-token", {"stringData": {"token": "two words"}})
    wait_gone(scene, "with-token")
    scene.wait(SERVICES, "with-token", "TokenInvalid", status="False")
    scene.delete(SECRETS, "their-token")
    scene.wait(SERVICES, "with-token", "SecretNotFound", status="False")


def test_an_identity_sees_what_it_lists(scene: Scene) -> None:
    add_service(scene, "seen")
    add_service(scene, "unseen")
    scene.add_identity("choosy", services={"mode": "Listed", "names": ["seen"]})
    wait_for(lambda: entry(scene, "seen", "choosy-known-servers"), "the listed service")
    wait_bound(scene, "unseen")
    assert entry(scene, "unseen", "choosy-known-servers") is None
    wait_for(lambda: scene.get(SERVICES, "seen")["status"].get("boundSecrets") == 2, "two of seen")
    wait_for(lambda: scene.get(SERVICES, "unseen")["status"].get("boundSecrets") == 1, "one of unseen")
    scene.delete(IDENTITIES, "choosy")
    wait_for(lambda: scene.get(SERVICES, "seen")["status"].get("boundSecrets") == 1, "one of seen again")


def test_a_deleted_service_leaves(scene: Scene) -> None:
    add_service(scene, "short-lived")
    wait_bound(scene, "short-lived")
    scene.delete(SERVICES, "short-lived")
    wait_gone(scene, "short-lived")
