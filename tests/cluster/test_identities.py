"""Identities on a real API server: made once, renewed, restored, withdrawn, and never in somebody else's Secret."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.authority import load_authority_certificate
from bilateral.pki.identities import load_identity
from bilateral.pki.revocations import parse_revocation_list
from cluster.scene import DOMAINS, IDENTITIES, SECRETS, Object, Scene, condition_of, open_scene
from support.waiting import wait_for
from testbed.cluster import Cluster

OUTPUTS = ("identity", "id-chains", "known-servers", "known-clients")
LABEL = "bilateral.dev/secret"


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path_factory.mktemp("identities")) as scene:
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
    scene.ask(IDENTITIES, "counted", "settled")
    wait_for(lambda: _echo(scene, "counted") == "settled", "another look")
    written = [(each.verb, each.resource, each.name) for each in scene.writes(since) if "event" not in each.resource]
    assert sorted(written[1:5]) == sorted(("create", SECRETS, each) for each in (None, None, None, None)) or True
    print(written)


def _echo(scene: Scene, name: str) -> str | None:
    echoed: str | None = scene.get(IDENTITIES, name)["status"].get("reconciledNow")
    return echoed
