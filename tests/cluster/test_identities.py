"""Identities on a real API server: made once, restored, withdrawn with their owner, never in a Secret of others.

Proves R-K6 (no Secret of somebody else is overwritten, or read) for identities.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.authority import load_authority_certificate
from bilateral.pki.identities import load_identity
from bilateral.pki.revocations import parse_revocation_list
from cluster.scene import DEPLOYMENTS, DOMAINS, IDENTITIES, SECRETS, Object, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster

OUTPUTS = ("identity", "id-chains", "known-servers", "known-clients")
LABEL = "bilateral.dev/secret"
ANNOTATION = "bilateral.dev/content-hash"


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    values = {"rollouts": {"enabled": True}}
    with open_scene(cluster, tmp_path_factory.mktemp("identities"), values) as scene:
        scene.operator("--identity=replica-0")
        scene.add_domain()
        scene.wait(DOMAINS, "org-a", "Ready", status="True")
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the authority's own list")
        yield scene


def ready(scene: Scene, name: str) -> Object:
    return scene.wait(IDENTITIES, name, "Ready", status="True")


def files(scene: Scene, name: str, output: str) -> dict[str, bytes]:
    found = scene.secret(f"{name}-{output}")
    assert found is not None
    return found


def issued(scene: Scene) -> dict[str, Object]:
    """The issued record, by serial number."""
    lines = (scene.secret("org-a-issued") or {}).get("issued.jsonl", b"").decode().splitlines()
    return {line["serial"]: line for line in map(json.loads, lines)}


def settle(scene: Scene, name: str, word: str) -> Object:
    """Ask for a look, and wait until it was made."""
    scene.ask(IDENTITIES, name, word)

    def look() -> Object | None:
        found = scene.get(IDENTITIES, name)
        return found if found["status"].get("reconciledNow") == word else None

    return wait_for(look, "a look")


def written(scene: Scene, since: int) -> list[tuple[str, str, str]]:
    """What the operator wrote, without events and Leases; a create names its object in the body only."""
    return sorted(
        (each.verb, each.resource, each.name) for each in scene.writes(since) if each.resource != "events"
    )


def wait_gone(scene: Scene, secret: str) -> None:
    wait_for(lambda: scene.find(SECRETS, secret) is None, "garbage collection", 60)


def test_an_identity_gets_its_four_secrets(scene: Scene) -> None:
    scene.add_identity("first", dnsNames=["first.trust.svc"])
    identity = ready(scene, "first")
    for kind, reason in {"IdentityIssued": "Issued", "OutputsWritten": "OutputsWritten"}.items():
        assert condition_of(identity, kind)["reason"] == reason
    secrets = {output: scene.get(SECRETS, f"first-{output}") for output in OUTPUTS}
    assert [each["type"] for each in secrets.values()] == ["kubernetes.io/tls", *["Opaque"] * 3]
    for each in secrets.values():
        assert each["metadata"]["labels"][LABEL] == "owned"
        assert each["metadata"]["ownerReferences"][0]["uid"] == identity["metadata"]["uid"]

    mounted = files(scene, "first", "identity")
    held = load_identity(mounted["tls.crt"], mounted["tls.key"])
    assert (mounted["id.crt"], mounted["id.key"]) == (mounted["tls.crt"], mounted["tls.key"])
    authority = load_authority_certificate(mounted["ca.crt"])
    held.identity.certificate.verify_directly_issued_by(authority)
    usages = held.identity.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usages
    assert identity["status"]["fingerprint"] == held.identity.fingerprint
    assert identity["status"]["serial"] == held.identity.serial
    assert issued(scene)[held.identity.serial]["owner"]["uid"] == identity["metadata"]["uid"]

    clients = files(scene, "first", "known-clients")
    assert clients["self.crt"] == files(scene, "first", "known-servers")["self.crt"] == mounted["ca.crt"]
    assert parse_revocation_list(clients["self.crl"], authority).entries == {}


def test_a_new_identity_costs_its_record_four_secrets_and_one_status(scene: Scene) -> None:
    since = scene.cluster.audit_position()
    scene.add_identity("counted")
    ready(scene, "counted")
    wait_for(lambda: len(written(scene, since)) >= 6, "the writes")
    assert written(scene, since) == [
        *(("create", SECRETS, f"counted-{output}") for output in sorted(OUTPUTS)),
        ("patch", SECRETS, "org-a-issued"),
        ("patch", IDENTITIES, "counted"),
    ]
    since = scene.cluster.audit_position()
    settle(scene, "counted", "nothing new")
    assert written(scene, since) == [("patch", IDENTITIES, "counted")], "the echo of the word alone"


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_foreign_secret_with_our_outputs_name_is_left_alone(scene: Scene, output: str) -> None:
    name = f"conflict-{output}"
    foreign: Object = {"type": "Opaque", "stringData": {"password": "somebody else's"}}
    before = scene.create(SECRETS, foreign | {"metadata": {"name": f"{name}-{output}"}})
    scene.add_identity(name)
    found = scene.wait(IDENTITIES, name, "SecretConflict", status="False")
    assert condition_of(found, "Stalled")["status"] == "True"
    wait_for(lambda: "SecretConflict" in scene.event_reasons(name), "an event")
    assert scene.get(SECRETS, f"{name}-{output}") == before
    others = {each for each in OUTPUTS if each != output} if output != "identity" else set()
    assert {each for each in OUTPUTS if scene.find(SECRETS, f"{name}-{each}")} == {output, *others}

    scene.delete(SECRETS, f"{name}-{output}")
    scene.ask(IDENTITIES, name, "now")  # foreign Secrets are not watched
    ready(scene, name)
    assert "password" not in files(scene, name, output)


def test_the_secret_of_another_identity_is_left_alone(scene: Scene) -> None:
    """It has our label, but another owner: two identities must not have one key."""
    scene.add_identity("a")
    ready(scene, "a")
    owner = scene.get(IDENTITIES, "a")["metadata"]
    body: Object = {
        "metadata": {
            "name": "thief-identity",
            "labels": {LABEL: "owned"},
            "ownerReferences": [
                {
                    "apiVersion": "bilateral.dev/v1alpha1",
                    "kind": "WorkloadIdentity",
                    "name": "a",
                    "uid": owner["uid"],
                    "controller": True,
                }
            ],
        },
        "type": "kubernetes.io/tls",
        "data": scene.get(SECRETS, "a-identity")["data"],
    }
    before = scene.create(SECRETS, body)
    scene.add_identity("thief")
    scene.wait(IDENTITIES, "thief", "SecretConflict", status="False", kind="IdentityIssued")
    assert scene.get(SECRETS, "thief-identity") == before
    settle(scene, "a", "once more")
    assert scene.get(SECRETS, "thief-identity") == before
    scene.delete(SECRETS, "thief-identity")
    scene.ask(IDENTITIES, "thief", "now")
    ready(scene, "thief")


def test_what_cannot_be_recorded_is_not_issued(scene: Scene) -> None:
    foreign: Object = {"metadata": {"name": "org-f-issued"}, "stringData": {"password": "somebody else's"}}
    before = scene.create(SECRETS, foreign)
    scene.add_domain("org-f")
    scene.wait(DOMAINS, "org-f", "Ready", status="True")
    scene.add_identity("unrecorded", "org-f")
    scene.wait(IDENTITIES, "unrecorded", "RecordPending", status="Unknown")
    assert [each for each in OUTPUTS if scene.find(SECRETS, f"unrecorded-{each}")] == []
    assert scene.get(SECRETS, "org-f-issued") == before
    scene.delete(SECRETS, "org-f-issued")
    scene.ask(IDENTITIES, "unrecorded", "now")
    ready(scene, "unrecorded")


EDITS: dict[str, Any] = {
    "a file replaced": {"self.crt": base64.b64encode(b"evil").decode()},
    "a file removed": {"self.crt": None},
    "a file added": {"evil.crt": base64.b64encode(b"evil").decode()},
    "all of it deleted": None,
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("output", ["known-servers", "known-clients"])
def test_what_was_edited_by_hand_is_restored(scene: Scene, output: str, edit: str) -> None:
    name = f"edited-{output}-{list(EDITS).index(edit)}"
    scene.add_identity(name)
    ready(scene, name)
    before = files(scene, name, output)
    if EDITS[edit] is None:
        scene.delete(SECRETS, f"{name}-{output}")
    else:
        scene.patch(SECRETS, f"{name}-{output}", {"data": EDITS[edit]})
    wait_for(lambda: scene.secret(f"{name}-{output}") == before, "the Secret as it was")
    settle(scene, name, "restored")
    assert condition_of(scene.get(IDENTITIES, name))["status"] == "True"


def test_a_key_spoiled_by_hand_comes_back_without_a_new_certificate(scene: Scene) -> None:
    scene.add_identity("spoiled")
    ready(scene, "spoiled")
    before, known = files(scene, "spoiled", "identity"), issued(scene)
    scene.patch(SECRETS, "spoiled-identity", {"data": {"tls.key": base64.b64encode(b"?").decode()}})
    wait_for(lambda: scene.secret("spoiled-identity") == before, "the key")
    assert issued(scene) == known


def test_a_deleted_identity_secret_is_made_anew(scene: Scene) -> None:
    scene.add_identity("lost")
    first = ready(scene, "lost")["status"]["serial"]
    scene.delete(SECRETS, "lost-identity")
    wait_for(
        lambda: scene.get(IDENTITIES, "lost")["status"].get("serial") not in (None, first), "another one"
    )
    mounted = files(scene, "lost", "identity")
    load_identity(mounted["tls.crt"], mounted["tls.key"])


def test_a_deleted_identity_takes_its_secrets_along_and_is_withdrawn(scene: Scene) -> None:
    scene.add_identity("gone")
    serial = ready(scene, "gone")["status"]["serial"]
    scene.delete(IDENTITIES, "gone")
    for output in OUTPUTS:
        wait_gone(scene, f"gone-{output}")
    wait_for(lambda: issued(scene)[serial].get("withdrawnAt"), "the withdrawal in the record")
    scene.add_identity("witness")
    ready(scene, "witness")

    def listed() -> bool:
        clients = files(scene, "witness", "known-clients")
        revocations = parse_revocation_list(
            clients["self.crl"], load_authority_certificate(clients["self.crt"])
        )
        return int(serial, 16) in revocations.entries

    wait_for(listed, "the withdrawal in everybody's list")


def test_a_provided_request_is_certified_and_its_key_is_nowhere(scene: Scene) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whatever")])
    )
    scene.add_identity("theirs", key={"source": "Provided", "secretName": "theirs-request"})
    scene.wait(IDENTITIES, "theirs", "SecretNotFound", status="False")
    pem = request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    metadata = {"name": "theirs-request", "labels": {LABEL: "referenced"}}
    scene.create(SECRETS, {"metadata": metadata, "stringData": {"tls.csr": pem}})
    ready(scene, "theirs")
    mounted = files(scene, "theirs", "identity")
    assert set(mounted) == {"tls.crt", "id.crt", "ca.crt"}
    assert x509.load_pem_x509_certificate(mounted["tls.crt"]).public_key() == key.public_key()

    other = ec.generate_private_key(ec.SECP256R1())
    pem = request.sign(other, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    scene.patch(SECRETS, "theirs-request", {"stringData": {"tls.csr": pem}})

    def follows() -> bool:
        certificate = x509.load_pem_x509_certificate(files(scene, "theirs", "identity")["tls.crt"])
        return certificate.public_key() == other.public_key()

    wait_for(follows, "a certificate for the other key")


def test_workloads_are_rolled_out_when_content_changes_and_not_otherwise(scene: Scene) -> None:
    scene.create(DEPLOYMENTS, deployment("web"))
    scene.add_identity("rolled", rollouts=[{"kind": "Deployment", "name": "web"}])
    identity = ready(scene, "rolled")

    def annotation() -> str | None:
        found = scene.get(DEPLOYMENTS, "web")["spec"]["template"]["metadata"].get("annotations") or {}
        hashed: str | None = found.get(ANNOTATION)
        return hashed

    assert (
        annotation() == identity["status"]["contentHash"] == identity["status"]["rollouts"][0]["contentHash"]
    )
    since = scene.cluster.audit_position()
    settle(scene, "rolled", "again")
    assert written(scene, since) == [("patch", IDENTITIES, "rolled")]
    scene.patch(IDENTITIES, "rolled", {"spec": {"clients": []}})
    wait_for(lambda: annotation() != identity["status"]["contentHash"], "another rollout")
    wait_for(
        lambda: scene.get(IDENTITIES, "rolled")["status"]["rollouts"][0]["contentHash"] == annotation(),
        "status",
    )


def test_a_workload_that_is_not_there_is_named(scene: Scene) -> None:
    scene.add_identity("unrolled", rollouts=[{"kind": "StatefulSet", "name": "nowhere"}])
    identity = ready(scene, "unrolled")
    assert condition_of(identity, "OutputsWritten")["reason"] == "RolloutTargetNotFound"
    scene.delete(IDENTITIES, "unrolled")


def test_without_the_right_a_rollout_is_refused_and_said(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_scene(cluster, tmp_path_factory.mktemp("no-rollouts")) as scene:
        scene.operator()
        scene.add_domain()
        scene.create(DEPLOYMENTS, deployment("web"))
        scene.add_identity("rolled", rollouts=[{"kind": "Deployment", "name": "web"}])
        identity = ready(scene, "rolled")
        assert condition_of(identity, "OutputsWritten")["reason"] == "RolloutRefused"
        assert "rollouts" not in identity["status"]


def test_a_restart_writes_nothing(scene: Scene) -> None:
    (operator,) = scene.started
    names = [each["metadata"]["name"] for each in scene.objects(IDENTITIES)]

    def looks() -> float:
        return operator.metrics().total("bilateral_reconciles_total", kind=IDENTITIES, result="done")

    settle(scene, "first", "before the restart")
    since = scene.cluster.audit_position()
    operator.stop()
    operator.start()
    wait_for(lambda: looks() >= len(names), "a look at every identity")
    assert written(scene, since) == []


def deployment(name: str) -> Object:
    labels = {"app": name}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "example.invalid/none"}]},
            },
        },
    }
