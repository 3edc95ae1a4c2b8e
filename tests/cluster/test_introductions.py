"""Introductions on the real API server: what is signed, what is installed, and how it ends.

What counts is what leaves: the issued record before the status, the revocation list after a withdrawal, the
identity's Secrets as a pod mounts them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.pem import BACKDATE
from bilateral.pki.slugs import build_slug
from cluster.introductions import (
    CLIENT,
    CSR,
    DAY,
    HOUR,
    KEY,
    ORG_B,
    SERVICE,
    accept,
    aliases,
    approve,
    authority,
    chains,
    document,
    furnish,
    introduce,
    issue,
    own_certificate,
    recorded,
    withdrawn,
)
from cluster.scene import (
    DOMAINS,
    IDENTITIES,
    INTRODUCTIONS,
    PEERS,
    SECRETS,
    Scene,
    condition_of,
    open_scene,
)
from support.waiting import wait_for
from testbed.cluster import Cluster
from unit.pki.material import certificate, request


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A trust domain with an identity, and a fresh partner whose authority a person pinned."""
    with open_scene(cluster, tmp_path_factory.mktemp("introductions")) as scene:
        furnish(scene)
        yield scene


# Issuing


def test_what_is_approved_is_recorded_signed_and_shown(scene: Scene) -> None:
    since = scene.cluster.audit_position()
    issue(scene, "good", services=[{"alias": SERVICE.alias, "url": SERVICE.url}], validitySeconds=HOUR)
    scene.wait(INTRODUCTIONS, "good", "Ready", status="True")
    found = document(scene, "good")
    ours = scene.get(DOMAINS, "org-a")["status"]["certificateAuthority"]
    assert found.authority_fingerprint == ours["fingerprint"]
    found.certificate.verify_directly_issued_by(found.authority)
    assert found.certificate.public_key() == KEY.public_key()
    assert found.services == (SERVICE,)
    assert found.not_after - found.not_before == timedelta(hours=1) + BACKDATE
    kinds = [each.oid._name for each in found.certificate.extensions]
    assert "subjectAltName" not in kinds
    (entry,) = recorded(scene, "good")
    assert entry.serial == found.certificate.serial_number
    told = scene.get(INTRODUCTIONS, "good")["status"]
    assert (told["serial"], told["subject"]) == (found.serial, "CN=client1")

    def writes() -> list[str]:
        return [f"{each.resource}/{each.name}" for each in scene.writes(since)]

    wait_for(lambda: "introductions/good" in writes(), "the write in the audit log")
    order = writes()
    assert order.index("secrets/org-a-issued") < order.index("introductions/good")
    assert order.count("introductions/good") == 1


def test_nothing_is_signed_before_the_approval_and_it_can_be_changed_alone(scene: Scene) -> None:
    issue(scene, "pending", approval="Pending")
    obj = scene.wait(INTRODUCTIONS, "pending", "AwaitingApproval")
    assert "introduction" not in obj["status"]
    assert obj["status"]["subject"] == "CN=client1"
    assert recorded(scene, "pending") == []
    answer = scene.cluster.request(
        "PATCH",
        scene.path(INTRODUCTIONS, "pending"),
        {"spec": {"issue": {"subject": request(ec.generate_private_key(ec.SECP256R1())).decode()}}},
        content_type="application/merge-patch+json",
    )
    assert answer.status == 422
    approve(scene, "pending", "Approved")
    scene.wait(INTRODUCTIONS, "pending", "Ready", status="True")


SUBJECTS = {
    "rsa-1024": request(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "ca": certificate(subject="Some CA")[0],
    "csr-for-a-ca": request(KEY, ca=True),
    "empty-subject": request(KEY, subject=None),
    "tampered": request(KEY, subject="clientA", tampered=True),
    "curve": request(ec.generate_private_key(ec.SECP521R1())),
    "no-certificate": b"QUFBQQ==",
    "garbage-in-pem": b"-----BEGIN CERTIFICATE-----\nQUFBQQ==\n-----END CERTIFICATE-----\n",
}


def test_bad_subjects_are_refused_with_a_reason(scene: Scene) -> None:
    pem = scene.get(DOMAINS, "org-a")["status"]["certificateAuthority"]["certificate"]
    ours = x509.load_pem_x509_certificate(pem.encode())
    subjects = {**SUBJECTS, "own-name": named(ours.subject), "name-bomb": named(bomb())}
    for name, subject in subjects.items():
        issue(scene, f"bad-{name}", subject=subject.decode())
    for name in subjects:
        obj = scene.wait(INTRODUCTIONS, f"bad-{name}", "SubjectRefused", status="False")
        assert condition_of(obj, "Issued")["reason"] == "SubjectRefused"
        assert condition_of(obj, "Stalled")["status"] == "True"
        assert "introduction" not in obj["status"]
        assert recorded(scene, f"bad-{name}") == []
        assert len(json.dumps(obj["status"])) < 8_000


def named(name: x509.Name) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())
    return asked.public_bytes(Encoding.PEM)


def bomb() -> x509.Name:
    kind = x509.oid.NameOID.ORGANIZATIONAL_UNIT_NAME
    return x509.Name([x509.NameAttribute(kind, f"{number:060}") for number in range(300)])


@pytest.mark.parametrize("way", ["deleted", "denied"])
def test_what_is_withdrawn_is_in_the_list(scene: Scene, way: str) -> None:
    name = f"to-be-{way}"
    issue(scene, name)
    scene.wait(INTRODUCTIONS, name, "Ready", status="True")
    serial = document(scene, name).certificate.serial_number
    assert serial not in withdrawn(scene)
    if way == "deleted":
        scene.delete(INTRODUCTIONS, name)
    else:
        approve(scene, name, "Denied")
        obj = scene.wait(INTRODUCTIONS, name, "Denied", status="False")
        assert not {"introduction", "serial", "notAfter"} & obj["status"].keys()
    wait_for(lambda: serial in withdrawn(scene), "the serial number in the list", seconds=20)
    if way == "denied":
        approve(scene, name, "Approved")
        scene.wait(INTRODUCTIONS, name, "Ready", status="True")
        assert document(scene, name).certificate.serial_number not in withdrawn(scene)


def test_a_peers_suspension_and_end_withdraw_what_was_issued_for_it(scene: Scene) -> None:
    scene.add_partner("org-s", ORG_B)
    issue(scene, "for-s", peer="org-s")
    scene.wait(INTRODUCTIONS, "for-s", "Ready", status="True")
    serial = document(scene, "for-s").certificate.serial_number
    scene.patch(PEERS, "org-s", {"spec": {"state": "Suspended"}})
    obj = scene.wait(INTRODUCTIONS, "for-s", "Suspended", status="False")
    assert "introduction" not in obj["status"]
    wait_for(lambda: serial in withdrawn(scene), "the serial number in the list", seconds=20)
    scene.patch(PEERS, "org-s", {"spec": {"state": "Active"}})
    scene.wait(INTRODUCTIONS, "for-s", "Ready", status="True")
    second = document(scene, "for-s").certificate.serial_number
    scene.delete(PEERS, "org-s")
    scene.wait(INTRODUCTIONS, "for-s", "PeerNotFound", status="False")
    wait_for(lambda: {serial, second} <= withdrawn(scene), "both numbers in the list", seconds=20)


def test_a_status_that_somebody_changed_is_put_right(scene: Scene) -> None:
    issue(scene, "edited")
    scene.wait(INTRODUCTIONS, "edited", "Ready", status="True")
    original = document(scene, "edited")
    foreign = issue_introduction(ORG_B, CSR, (), DAY, datetime.now(UTC)).to_json()
    scene.patch(INTRODUCTIONS, "edited", {"status": {"introduction": foreign}}, subresource="status")
    wait_for(lambda: document(scene, "edited").authority == original.authority, "a document of ours")


# Accepting


def test_what_a_partners_authority_signed_is_installed_and_leaves_with_its_object(scene: Scene) -> None:
    text = introduce(scene, services=(SERVICE,))
    accept(scene, "installed", text)
    obj = scene.wait(INTRODUCTIONS, "installed", "Ready", status="True")
    assert condition_of(obj, "Installed")["reason"] == "Installed"
    found = parse_introduction(text)
    assert obj["status"]["serial"] == found.serial
    name = f"{found.slug}.crt"
    wait_for(lambda: chains(scene).get(name) == found.chain_pem, "the chain in the Secret")
    wait_for(lambda: SERVICE.alias in aliases(scene), "the service in the Secret")
    scene.delete(INTRODUCTIONS, "installed")
    wait_for(lambda: name not in chains(scene), "the chain out of the Secret")
    wait_for(lambda: SERVICE.alias not in aliases(scene), "the service out of the Secret")


def test_by_a_fingerprint_and_from_a_labelled_secret(scene: Scene) -> None:
    signer = authority("By hand")
    text = introduce(scene, signer)
    accept(
        scene,
        "by-hand",
        authorityFingerprint=signer.fingerprint,
        introductionSecretRef={"name": "given", "key": "from-org-b.json"},
    )
    scene.wait(INTRODUCTIONS, "by-hand", "SecretNotFound", status="False")
    data = {"from-org-b.json": base64.b64encode(text.encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given"}, "data": data}
    scene.create(SECRETS, secret)
    scene.patch(SECRETS, "given", {"metadata": {"labels": {"bilateral.dev/secret": "referenced"}}})
    scene.wait(INTRODUCTIONS, "by-hand", "Ready", status="True")
    name = f"{build_slug(signer.certificate)}.crt"
    wait_for(lambda: name in chains(scene), "the chain in the Secret")
    scene.patch(SECRETS, "given", {"metadata": {"labels": {"bilateral.dev/secret": None}}})
    scene.wait(INTRODUCTIONS, "by-hand", "SecretNotFound", status="False")
    wait_for(lambda: name not in chains(scene), "the chain out of the Secret")
    scene.delete(INTRODUCTIONS, "by-hand")


def changed(text: str, **members: object) -> str:
    return json.dumps({**json.loads(text), **members})


def flipped(text: str) -> str:
    der = bytearray(base64.urlsafe_b64decode(json.loads(text)["signed_cert"]))
    der[-1] ^= 1
    return changed(text, signed_cert=base64.urlsafe_b64encode(bytes(der)).decode())


def signed(scene: Scene, **changes: Any) -> str:
    """A certificate for our identity's key, with one thing or another wrong."""
    key = x509.load_pem_x509_certificate(own_certificate(scene)).public_key()
    now = datetime.now(UTC)
    named: dict[str, Any] = {
        "ca": False,
        "usage": ExtendedKeyUsageOID.CLIENT_AUTH,
        "until": now + timedelta(days=1),
        **changes,
    }
    from cryptography.hazmat.primitives import hashes

    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, CLIENT)]))
        .issuer_name(ORG_B.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(named["until"])
        .add_extension(x509.BasicConstraints(ca=named["ca"], path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([named["usage"]]), critical=False)
        .sign(ORG_B.key, hashes.SHA256())
    )
    return Document(built, ORG_B.certificate).to_json()


def test_bad_introductions_are_refused_with_a_reason_and_reach_no_pod(scene: Scene) -> None:
    good = introduce(scene)
    stranger = issue_introduction(ORG_B, CSR, (), DAY, datetime.now(UTC)).to_json()
    no_ca, no_ca_key = certificate(subject="Org B CA", ca=False)
    bad = {
        "tampered": (flipped(good), "IntroductionInvalid"),
        "foreign-key": (stranger, "IdentityKeyMismatch"),
        "expired": (
            introduce(scene, seconds=HOUR, now=datetime.now(UTC) - timedelta(days=1)),
            "IntroductionExpired",
        ),
        "later": (introduce(scene, now=datetime.now(UTC) + timedelta(days=1)), "IntroductionInvalid"),
        "other-authority": (introduce(scene, authority("Org C CA")), "AuthorityNotPinned"),
        "same-name": (introduce(scene, authority()), "AuthorityNotPinned"),
        "borrowed-ca": (
            changed(good, ca_cert=json.loads(introduce(scene, authority()))["ca_cert"]),
            "AuthorityNotPinned",
        ),
        "swapped-ca": (
            changed(introduce(scene, authority()), ca_cert=json.loads(good)["ca_cert"]),
            "IntroductionInvalid",
        ),
        "leaf-is-ca": (signed(scene, ca=True), "IntroductionInvalid"),
        "for-servers": (signed(scene, usage=ExtendedKeyUsageOID.SERVER_AUTH), "IntroductionInvalid"),
        "dots": (changed(good, services={"../x": SERVICE.url}), "IntroductionInvalid"),
        "slash": (changed(good, services={"/x": SERVICE.url}), "IntroductionInvalid"),
        "upper-case": (changed(good, services={"Org2": SERVICE.url}), "IntroductionInvalid"),
        "long": (changed(good, services={"a" * 300: SERVICE.url}), "IntroductionInvalid"),
        "http": (changed(good, services={"a": "http://a.example"}), "IntroductionInvalid"),
        "twice": (good.replace("{", '{"ca_cert": "AAAA",', 1), "IntroductionInvalid"),
        "empty": ("{}", "IntroductionInvalid"),
    }
    before = chains(scene)
    for name, (text, _) in bad.items():
        accept(scene, f"bad-accept-{name}", text)
    not_a_ca = changed(good, ca_cert=base64.urlsafe_b64encode(der_of(no_ca)).decode())
    pinned = {"authorityFingerprint": parse_introduction(not_a_ca).authority_fingerprint}
    accept(scene, "bad-accept-not-a-ca", not_a_ca, **pinned)
    assert no_ca_key
    for name, reason in [
        *((name, reason) for name, (_, reason) in bad.items()),
        ("not-a-ca", "IntroductionInvalid"),
    ]:
        obj = scene.wait(INTRODUCTIONS, f"bad-accept-{name}", reason, status="False")
        assert condition_of(obj, "Installed")["reason"] == reason
        assert not {"serial", "subject", "authority", "introduction"} & obj["status"].keys()
    scene.ask(IDENTITIES, CLIENT, "looked-at")
    wait_for(
        lambda: scene.get(IDENTITIES, CLIENT)["status"].get("reconciledNow") == "looked-at", "another look"
    )
    assert chains(scene) == before
    assert aliases(scene) == set()
    for name in (*bad, "not-a-ca"):
        scene.delete(INTRODUCTIONS, f"bad-accept-{name}")


def der_of(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_a_suspended_partners_chain_leaves_the_pod_and_comes_back(scene: Scene) -> None:
    accept(scene, "of-b", introduce(scene, services=(SERVICE,)))
    scene.wait(INTRODUCTIONS, "of-b", "Ready", status="True")
    name = f"{build_slug(ORG_B.certificate)}.crt"
    wait_for(lambda: name in chains(scene) and SERVICE.alias in aliases(scene), "the chain and the service")
    scene.patch(PEERS, "org-b", {"spec": {"state": "Suspended"}})
    scene.wait(INTRODUCTIONS, "of-b", "Suspended", status="False")
    wait_for(lambda: name not in chains(scene), "the chain out of the Secret")
    wait_for(lambda: SERVICE.alias not in aliases(scene), "the service out of the Secret")
    scene.patch(PEERS, "org-b", {"spec": {"state": "Active"}})
    scene.wait(INTRODUCTIONS, "of-b", "Ready", status="True")
    wait_for(lambda: name in chains(scene), "the chain again")
    scene.delete(INTRODUCTIONS, "of-b")


def test_one_for_an_identity_that_is_not_there_waits(scene: Scene) -> None:
    text = introduce(scene)
    accept(scene, "early", text, identity="client2")
    scene.wait(INTRODUCTIONS, "early", "AwaitingIdentity", status="Unknown")
    scene.add_identity("client2")
    scene.wait(INTRODUCTIONS, "early", "IdentityKeyMismatch", status="False")
    scene.delete(INTRODUCTIONS, "early")
