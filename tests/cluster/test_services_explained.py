"""``bilateral service explain`` on the real API server: with a chain, without one, and with few rights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import rfc4514_name
from bilateral.pki.services import Service
from bilateral.pki.slugs import build_slug
from bilateral.pki.subjects import parse_subject
from cluster.person import Person
from cluster.scene import IDENTITIES, INTRODUCTIONS, PEERS, SECRETS, SERVICES, Scene, open_scene
from cluster.services import add_service, authority_of, entry, wait_bound, wait_gone
from support.waiting import wait_for
from testbed.cluster import Cluster

CARRIED = "carried"


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two identities see a partner's service; the first was introduced, and can call another service by that."""
    with open_scene(cluster, tmp_path_factory.mktemp("explain")) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        for name in ("client1", "client2"):
            scene.add_identity(name)
            scene.wait(IDENTITIES, name, "Ready", status="True")
        scene.add_partner("org-b")
        add_service(scene, "api", "org-b")
        wait_bound(scene, "api")
        introduce(scene, "client1")
        yield scene


def introduce(scene: Scene, identity: str) -> None:
    """The partner's authority signs an identity, and tells it of a service."""
    certificate = (scene.secret(f"{identity}-identity") or {})["tls.crt"]
    document = issue_introduction(
        scene.partners.authority,
        parse_subject(certificate),
        (Service(CARRIED, "https://carried.org2.example"),),
        86_400,
        datetime.now(UTC),
    )
    accept = {"identity": identity, "peer": "org-b", "introduction": document.to_json()}
    scene.add(INTRODUCTIONS, identity, accept=accept)
    scene.wait(INTRODUCTIONS, identity, "Ready", status="True")
    wait_for(lambda: scene.secret(f"{identity}-id-chains"), "the chain")


def run(scene: Scene, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    person = Person(scene.cluster, scene.namespace, kubeconfig or scene.cluster.kubeconfig)
    return person.run("service", "explain", *arguments)


def explain(scene: Scene, *arguments: str, kubeconfig: Path | None = None) -> tuple[int, dict[str, Any]]:
    done = run(scene, *arguments, "-o", "json", kubeconfig=kubeconfig)
    assert done.stdout, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, data


def callers(data: dict[str, Any]) -> dict[str, tuple[bool, str | None, str]]:
    return {each["identity"]: (each["calls"], each["shows"], each["reason"]) for each in data["callers"]}


def test_who_has_a_chain_and_who_has_none(scene: Scene) -> None:
    scene.wait(SERVICES, "api", "Ready", status="True")
    condition = scene.wait(SERVICES, "api", "NoChain", status="False", kind="ChainAvailable")
    assert condition["status"]["boundSecrets"] == 2
    slug = build_slug(authority_of(scene))
    code, data = explain(scene, "api")
    assert (code, data["verifier"], data["origin"]) == (0, "PeerCA", "trustedservice/api")
    assert data["peerKernelId"] == scene.kernel("org-b")
    assert callers(data) == {
        "client1": (True, slug, "ChainAvailable"),
        "client2": (False, None, "NoChain"),
    }
    assert explain(scene, "api", "--identity", "client1")[0] == 0
    assert explain(scene, "api", "--identity", "client2")[0] == 1
    text = run(scene, "api").stdout
    assert rfc4514_name(authority_of(scene).subject) in text
    assert "Verified by PeerCA" in text


def test_a_service_that_came_with_the_introduction(scene: Scene) -> None:
    wait_bound(scene, CARRIED)
    assert entry(scene, CARRIED, "client2-known-servers") is None
    code, data = explain(scene, CARRIED)
    assert (code, data["origin"], data["verifier"]) == (0, "introduction/client1", "PeerCA")
    assert list(callers(data)) == ["client1"]
    # A person's alias goes first.
    add_service(scene, CARRIED, url="https://ours.example")
    found = wait_for(
        lambda: (each := entry(scene, CARRIED)) and each.url == "https://ours.example" and each, "ours"
    )
    assert found
    assert explain(scene, CARRIED)[1]["origin"] == f"trustedservice/{CARRIED}"


def test_with_the_rights_to_look_and_not_at_secrets(scene: Scene) -> None:
    account = {"metadata": {"name": "viewer"}}
    base = f"/api/v1/namespaces/{scene.namespace}/serviceaccounts"
    assert scene.cluster.request("POST", base, account).status == 201
    role = {
        "metadata": {"name": "viewer"},
        "rules": [{"apiGroups": ["bilateral.dev"], "resources": ["*"], "verbs": ["get", "list"]}],
    }
    binding = {
        "metadata": {"name": "viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": scene.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
    }
    for plural, body in (("roles", role), ("rolebindings", binding)):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{scene.namespace}/{plural}"
        assert scene.cluster.request("POST", path, body).status == 201
    kubeconfig = scene.cluster.service_account_kubeconfig(scene.namespace, "viewer")

    def is_allowed() -> bool:  # RBAC takes a moment
        return run(scene, "api", kubeconfig=kubeconfig).returncode != 3

    wait_for(is_allowed, "the rights")
    code, data = explain(scene, "api", kubeconfig=kubeconfig)
    assert code == 0
    assert data["notSeen"] == ["secrets/client1-known-servers", "secrets/client2-known-servers"]
    assert data["verifier"] == "PeerCA"


def test_refused_with_the_reason_and_the_next_step(scene: Scene) -> None:
    scene.add_partner("paused")
    add_service(scene, "later-refused", "paused")
    wait_bound(scene, "later-refused")
    scene.patch(PEERS, "paused", {"spec": {"state": "Suspended"}})
    wait_gone(scene, "later-refused")
    scene.wait(SERVICES, "later-refused", "Suspended", status="False")
    done = run(scene, "later-refused")
    assert done.returncode == 1
    assert "Refused (Suspended)" in done.stdout
    assert "Yours, when it should count again: set spec.state: Active." in done.stdout
    assert run(scene, "nobody").returncode == 1


def test_a_token_is_not_shown(scene: Scene) -> None:
    secret = {
        "metadata": {"name": "their-token", "labels": {"bilateral.dev/secret": "referenced"}},
        "stringData": {"token": "canary-9d2e-token"},
    }
    scene.create(SECRETS, secret)
    add_service(scene, "with-token", bearerTokenSecretRef={"name": "their-token", "key": "token"})
    assert wait_bound(scene, "with-token").bearer_token == "canary-9d2e-token"
    for done in (run(scene, "with-token"), run(scene, "with-token", "-o", "yaml")):
        assert done.returncode == 0
        assert "their-token" in done.stdout
        assert "canary" not in done.stdout + done.stderr
