"""One side is our operator, the other stock ``certified``: by the commands that people type, both ways.

What stock signs reaches the Secrets of an identity, and its server lets the pod in; what our operator signs
is installed by stock with exactly the files that it writes for its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.client import Client
from bilateral.pki.introductions import parse_introduction
from bilateral.pki.names import rfc4514_name
from cluster.person import Person
from cluster.scene import DOMAINS, IDENTITIES, INTRODUCTIONS, Scene, open_scene
from interop.stock import Stock
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.kubelet import Pod

pytestmark = pytest.mark.interop

SUBJECT = {"organization": "Org A, Inc. «Ümlaut»", "organizationalUnit": 'a+b="c"', "commonName": "#1 CA"}
SERVICE = "https://api.org-a.example:9443"


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A trust domain whose authority has a name that needs every kind of escape, and an identity."""
    with open_scene(cluster, tmp_path_factory.mktemp("stock")) as scene:
        operator = scene.operator("--identity=replica-0")
        scene.add_domain(url=operator.url, certificateAuthority={"subject": SUBJECT})
        scene.add_identity("client1")
        scene.wait(IDENTITIES, "client1", "Ready", status="True")
        yield scene


@pytest.fixture
def person(scene: Scene) -> Person:
    return Person(scene.cluster, scene.namespace, scene.cluster.kubeconfig)


def volumes(identity: str) -> dict[str, str]:
    return {
        name: f"{identity}-{name}" for name in ("identity", "id-chains", "known-servers", "known-clients")
    }


def test_stock_introduces_our_identity_and_lets_its_pod_in(
    scene: Scene, person: Person, tmp_path: Path
) -> None:
    org2 = Stock(tmp_path / "org2").init("--org", "Org2, Inc.", "--unit", "Unit2", "--host", "localhost")
    # A server of stock with its own authority among its clients: whom it introduces may come.
    certificate = (scene.secret("client1-identity") or {})["tls.crt"]
    introduced = json.loads(org2.introduce(certificate))
    with (
        org2.serving() as port,
        Pod(scene.cluster, scene.namespace, tmp_path / "pod", volumes("client1")) as pod,
    ):
        introduced["services"] = {"org2-api": f"https://localhost:{port}"}  # as their people add them by hand
        text = json.dumps(introduced)
        authority = parse_introduction(text).authority_fingerprint
        file = tmp_path / "client1.json"
        file.write_text(text)
        assert authority in person.ok("intro", "show", file)
        told = person.ok(
            *("intro", "accept", file, "--identity", "client1", "--authority-fingerprint", authority)
        )
        assert "Installed until" in told
        name = f"{parse_introduction(text).slug}.crt"
        wait_for(lambda: name in (scene.secret("client1-id-chains") or {}), "the chain in the Secret")
        wait_for(lambda: "org2-api.yaml" in (scene.secret("client1-known-servers") or {}), "the service")
        pod.sync()
        with Client("https://org2-api", config=tmp_path / "pod") as client:
            seen = client.get("/").json()
    assert seen["subject"].endswith("commonName=client1")
    assert "Org2, Inc." in seen["issuer"]


@pytest.mark.parametrize("form", ["PEM", "base64"])
def test_our_operator_introduces_a_party_of_stock(
    scene: Scene, person: Person, tmp_path: Path, form: str
) -> None:
    client = Stock(tmp_path / "client2").init(
        f"Client Two {form}", "--uid", "c2", "--email", "c2@org2.example"
    )
    before = client.files()
    subject = before["id.crt"].decode() if form == "PEM" else client.run("get-ident")
    file = tmp_path / "subject"
    file.write_text(subject)
    text = person.ok(
        *("introduce", file, "--trust-domain", "org-a", "--service", f"org-a-api={SERVICE}", "--apply")
    )
    document = parse_introduction(text)
    name = json.loads(person.ok("intro", "show", named(scene, document.serial), "-o", "json"))["name"]
    assert scene.get(INTRODUCTIONS, name)["status"]["introduction"] == text
    client.add_introduction(text)
    after = client.files()
    assert {path: content for path, content in after.items() if path in before} == before
    authority = rfc4514_name(document.authority.subject)
    assert authority == scene.get(DOMAINS, "org-a")["status"]["certificateAuthority"]["subject"]
    entry = {"auths": [authority], "cert": json.loads(text)["ca_cert"], "url": SERVICE}
    assert {path: content for path, content in after.items() if path not in before} == {
        f"id/{authority}.crt": document.chain_pem,
        "known_servers/org-a-api.yaml": yaml.dump(entry).encode(),
    }


def named(scene: Scene, serial: str) -> str:
    """The Introduction that signed that serial number."""
    found: list[dict[str, Any]] = [
        each for each in scene.objects(INTRODUCTIONS) if each.get("status", {}).get("serial") == serial
    ]
    (obj,) = found
    return str(obj["metadata"]["name"])


def test_another_introduction_by_stock_does_not_fit_our_identity(
    scene: Scene, person: Person, tmp_path: Path
) -> None:
    org3 = Stock(tmp_path / "org3").init("--org", "Org3", "--unit", "Unit3", "--host", "localhost")
    stranger = Stock(tmp_path / "stranger").init("Stranger", "--uid", "s", "--host", "s")
    text = org3.introduce(stranger.files()["id.crt"])
    fingerprint = parse_introduction(text).authority_fingerprint
    done = person.run(
        *("intro", "accept", "-", "--identity", "client1", "--authority-fingerprint", fingerprint), stdin=text
    )
    assert done.returncode == 1
    assert "is for the key SHA256:" in done.stdout
    assert scene.get(IDENTITIES, "client1")["status"]["publicKeyFingerprint"] in done.stdout
