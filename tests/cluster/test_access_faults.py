"""Faults of access on a real API server: names that two objects want, too much for a Secret, ends in every order.

What cannot be done is said at the object that wants it, with whose move it is; what is there already stays,
byte for byte, whoever owns it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from cluster.authorities import make_authority, sign
from cluster.scene import (
    DOMAINS,
    IDENTITIES,
    INTRODUCTIONS,
    PEERS,
    SECRETS,
    SERVICES,
    Object,
    Scene,
    condition_of,
    open_scene,
)
from support.waiting import wait_for
from testbed.cluster import Cluster

MONTH = 30 * 86_400
URL = "https://api.org-b.example:9443"
FOREIGN: Object = {"type": "Opaque", "stringData": {"password": "somebody else's"}}


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path_factory.mktemp("access-faults")) as scene:
        operator = scene.operator("--identity=replica-0")
        scene.add_domain(url=operator.url)
        scene.wait_ready()
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the authority's own list")
        yield scene


def add_service(scene: Scene, name: str, **spec: object) -> None:
    scene.add(SERVICES, name, url=URL, **spec)


def ready(scene: Scene, identity: str) -> Object:
    return scene.wait(IDENTITIES, identity, "Ready", status="True")


def files(scene: Scene, secret: str) -> dict[str, bytes]:
    return scene.secret(secret) or {}


def stranger(name: str) -> bytes:
    """The certificate of a party of somebody else."""
    signer, key = make_authority(), generate_identity_key("ECDSAP256")
    made = issue_identity(
        signer,
        Subject(common_name=name),
        key.public_key(),
        dns_names=(),
        validity_seconds=MONTH,
        now=datetime.now(UTC),
    )
    return made.certificate_pem


# Names that are taken


@pytest.mark.parametrize("mode", ["Announced", "Pinned"])
def test_a_peer_with_a_trust_domains_name_does_not_get_its_secret(scene: Scene, mode: str) -> None:
    """Both want ``<name>-ca``: the trust domain's holds its authority's key."""
    name = f"twin-{mode.lower()}"
    scene.add_domain(name)
    scene.wait(DOMAINS, name, "Ready", status="True")
    before = wait_for(lambda: scene.find(SECRETS, f"{name}-ca"), "the authority")
    authority = make_authority()
    if mode == "Pinned":
        scene.add_pinned(name, authority)
    else:
        scene.partner(name).statement = sign(scene, name, authority, sequence=1000)
        scene.add_peer(name)
    # What a person installed is known all the same; what was announced would be kept nowhere.
    known = "True" if mode == "Pinned" else "False"
    peer = scene.wait(PEERS, name, "SecretConflict", kind="AuthoritiesKnown", status=known)
    assert f"{name}-ca." in condition_of(peer, "AuthoritiesKnown")["message"]
    # The handshake is not concerned, and neither is the trust domain.
    scene.wait_ready(name)
    add_service(scene, f"of-{name}", peer=name)
    scene.wait(SERVICES, f"of-{name}", "NothingPinned" if mode == "Announced" else "Ready")
    scene.ask(DOMAINS, name, "now")
    wait_for(lambda: scene.get(DOMAINS, name)["status"].get("reconciledNow") == "now", "a look")
    scene.wait(DOMAINS, name, "Ready", status="True")
    assert scene.get(SECRETS, f"{name}-ca") == before


def test_a_trust_domain_with_a_peers_name_does_not_get_its_secret(scene: Scene) -> None:
    """The other way round: the partner's bundle was there first."""
    scene.add_pinned("late", make_authority())
    scene.wait(PEERS, "late", "AuthoritiesPinned", kind="AuthoritiesKnown", status="True")
    before = wait_for(lambda: scene.find(SECRETS, "late-ca"), "the partner's bundle")
    scene.add_domain("late")
    domain = scene.wait(DOMAINS, "late", "SecretConflict", status="False")
    assert "certificateAuthority" not in domain["status"]
    assert scene.get(SECRETS, "late-ca") == before
    scene.wait_ready("late")


@pytest.mark.parametrize("suffix", ["issued", "authority"])
def test_a_foreign_secret_with_a_name_of_the_authoritys_is_left_alone(scene: Scene, suffix: str) -> None:
    """Nothing is signed that could not be recorded, and nothing is announced that could not be kept."""
    domain = f"taken-{suffix}"
    before = scene.create(SECRETS, FOREIGN | {"metadata": {"name": f"{domain}-{suffix}"}})
    scene.add_domain(domain)
    scene.add_identity(f"of-{domain}", domain)
    found = scene.wait(DOMAINS, domain, "SecretConflict", status="False")
    assert f"{domain}-{suffix}." in condition_of(found)["message"]
    wait_for(lambda: "SecretConflict" in scene.event_reasons(domain), "an event")
    if suffix == "issued":
        scene.wait(IDENTITIES, f"of-{domain}", "RecordPending", kind="IdentityIssued", status="Unknown")
        assert scene.find(SECRETS, f"of-{domain}-identity") is None
    assert scene.get(SECRETS, f"{domain}-{suffix}") == before
    scene.delete(SECRETS, f"{domain}-{suffix}")
    scene.ask(DOMAINS, domain, "now")  # foreign Secrets are not watched
    scene.ask(IDENTITIES, f"of-{domain}", "now")
    ready(scene, f"of-{domain}")
    scene.wait(DOMAINS, domain, "Ready", status="True")
    found = wait_for(lambda: scene.secret(f"{domain}-{suffix}"), "a Secret of our own")
    assert "password" not in found


def test_a_foreign_secret_with_a_services_name_is_left_alone(scene: Scene) -> None:
    before = scene.create(SECRETS, FOREIGN | {"metadata": {"name": "narrow-to-plain"}})
    add_service(scene, "plain", verifier={"webPKI": {}})
    scene.add_identity("narrow", perServiceTLS="Enabled", services={"mode": "Listed", "names": ["plain"]})
    found = scene.wait(IDENTITIES, "narrow", "SecretConflict", status="False")
    assert "narrow-to-plain" in condition_of(found, "OutputsWritten")["message"]
    assert scene.get(SECRETS, "narrow-to-plain") == before
    assert "plain.yaml" in files(scene, "narrow-known-servers"), "the others are written"
    scene.delete(SECRETS, "narrow-to-plain")
    scene.ask(IDENTITIES, "narrow", "now")
    ready(scene, "narrow")


def test_two_identities_whose_names_meet_have_a_secret_each(scene: Scene) -> None:
    """``x`` calls ``y-identity``, and there is an identity ``x-to-y``: both want one name."""
    scene.add_identity("x-to-y", services={"mode": "Listed", "names": ["nothing"]})
    ready(scene, "x-to-y")
    before = scene.get(SECRETS, "x-to-y-identity")
    add_service(scene, "y-identity", verifier={"webPKI": {}})
    scene.add_identity("x", perServiceTLS="Enabled", services={"mode": "Listed", "names": ["y-identity"]})
    found = scene.wait(IDENTITIES, "x", "SecretConflict", status="False")
    assert "x-to-y-identity." in condition_of(found)["message"]
    assert scene.get(SECRETS, "x-to-y-identity") == before
    ready(scene, "x-to-y")


# Too much


def bundle(certificates: int, size: int) -> str:
    """Authorities as PEM, each of ``size`` bytes by an extension that nobody knows."""
    pems: list[str] = []
    for number in range(certificates):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Large CA {number}")])
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * size)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(minutes=5))
            .not_valid_after(datetime.now(UTC) + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(unknown, critical=False)
            .sign(key, hashes.SHA256())
        )
        pems.append(made.public_bytes(Encoding.PEM).decode())
    return "".join(pems)


def test_past_a_mebibyte_it_is_said_and_the_old_content_stays(scene: Scene) -> None:
    names = [f"big-{number}" for number in range(20)]
    scene.add_identity("full", services={"mode": "Listed", "names": ["small", *names]})
    add_service(scene, "small", verifier={"webPKI": {}})
    wait_for(lambda: "small.yaml" in files(scene, "full-known-servers"), "the small one")
    whole = bundle(8, 5_500)
    for name in names:
        add_service(scene, name, verifier={"webPKI": {"caBundle": whole}})
    found = scene.wait(IDENTITIES, "full", "OutputTooLarge", kind="OutputsWritten", status="False")
    assert "full-known-servers" in condition_of(found, "OutputsWritten")["message"]
    assert condition_of(found)["reason"] == "OutputTooLarge"
    wait_for(lambda: "OutputTooLarge" in scene.event_reasons("full"), "an event")
    held = files(scene, "full-known-servers")
    assert "small.yaml" in held
    assert len([name for name in held if name.startswith("big-")]) < len(names)
    since = scene.cluster.audit_position()
    # What is withdrawn leaves all the same; what comes has no room.
    add_service(scene, "late-comer", verifier={"webPKI": {}})
    scene.delete(SERVICES, "small")
    wait_for(lambda: "small.yaml" not in files(scene, "full-known-servers"), "the withdrawal")
    rest = {name: content for name, content in held.items() if name != "small.yaml"}
    assert files(scene, "full-known-servers") == rest
    assert condition_of(scene.get(IDENTITIES, "full"))["reason"] == "OutputTooLarge"
    tried = [each for each in scene.cluster.audit_events(user=scene.account, since=since) if each.is_write]
    # The status of the service that goes may be refused: it is gone, or was written meanwhile.
    assert not {each.code for each in tried} & {400, 413, 422}, "nothing is sent that must be refused"
    for name in names[:7]:
        scene.delete(SERVICES, name)
    ready(scene, "full")
    assert {f"{name}.yaml" for name in names[7:]} <= set(files(scene, "full-known-servers"))


# Ends


KINDS = {"i": IDENTITIES, "s": SERVICES, "n": INTRODUCTIONS, "p": PEERS, "d": DOMAINS}
WITHOUT: dict[tuple[str, str], set[str]] = {
    # What is left says what it lacks, and what is gone opens nothing.
    ("d", "i"): {"TrustDomainNotFound"},
    ("d", "p"): {"TrustDomainNotFound"},
    ("d", "s"): {"TrustDomainNotFound", "PeerNotFound", "NoChain"},
    ("p", "s"): {"PeerNotFound"},
    ("p", "n"): {"PeerNotFound"},
    ("i", "n"): {"AwaitingIdentity", "IdentityNotFound"},
}
ORDERS = [start[turn:] + start[:turn] for start in ("isnpd", "dpnsi") for turn in range(5)]
"""Of any two, each goes first and each goes last."""


def furnish(scene: Scene, name: str) -> None:
    """A trust domain with a partner, and an identity that calls its service; all of one name but the peer."""
    authority = make_authority()
    scene.add_domain(name)
    scene.wait_ready(domain=name)
    wait_for(lambda: scene.find(SECRETS, f"{name}-authority"), "the authority's own list")
    scene.add_pinned(f"{name}-p", authority, name)
    scene.wait_ready(f"{name}-p", domain=name)
    scene.add_identity(
        f"{name}-i", name, perServiceTLS="Enabled", clients=["self", f"{name}-p"],
        services={"mode": "Listed", "names": [f"{name}-s"]},
    )  # fmt: skip
    ready(scene, f"{name}-i")
    add_service(scene, f"{name}-s", peer=f"{name}-p")
    introduced = issue_introduction(
        authority, files(scene, f"{name}-i-identity")["tls.crt"], (), MONTH, datetime.now(UTC)
    )
    accept = {"identity": f"{name}-i", "peer": f"{name}-p", "introduction": introduced.to_json()}
    scene.add(INTRODUCTIONS, f"{name}-n", accept=accept)
    scene.wait(INTRODUCTIONS, f"{name}-n", "Ready", status="True")
    scene.wait(SERVICES, f"{name}-s", "Ready", status="True")
    wait_for(lambda: files(scene, f"{name}-i-to-{name}-s").get("tls.key"), "the Secret for the service")


@pytest.fixture(scope="module")
def ends(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path_factory.mktemp("access-ends")) as scene:
        scene.operator("--identity=replica-0")
        yield scene


@pytest.mark.parametrize("order", ORDERS)
def test_whatever_goes_first_nothing_is_stuck_and_nothing_stays(ends: Scene, order: str) -> None:
    name = f"order-{order}"
    furnish(ends, name)
    names = {part: name if part == "d" else f"{name}-{part}" for part in KINDS}
    gone: list[str] = []
    for part in order:
        ends.delete(KINDS[part], names[part])
        assert ends.find(KINDS[part], names[part]) is None, "nothing holds it"
        gone.append(part)
        for left in order[len(gone) :]:
            if any((ended, left) in WITHOUT for ended in gone):
                wait_for(partial(_has_lost, ends, names, gone, left), f"{left} says what it lacks")
        if "i" not in gone and {"s", "p", "d"} & set(gone):
            wait_for(
                lambda: not files(ends, f"{name}-i-to-{name}-s").get("tls.key"), "no key for the service"
            )
            wait_for(
                lambda: f"{name}-s.yaml" not in files(ends, f"{name}-i-known-servers"), "the service's end"
            )

    def left_over() -> list[str]:
        secrets = [each["metadata"]["name"] for each in ends.objects(SECRETS)]
        return [each for each in secrets if each.startswith(f"{name}-")]

    wait_for(lambda: not left_over(), f"garbage collection: {left_over()}", 60)
    assert not [each for each in ends.started[0].log_entries() if each["level"] in {"error", "critical"}]


def _has_lost(scene: Scene, names: dict[str, str], gone: list[str], left: str) -> bool:
    found = condition_of(scene.get(KINDS[left], names[left]))
    said = set().union(*(WITHOUT.get((part, left), set()) for part in gone))
    return found.get("status") != "True" and found.get("reason") in said


def test_what_our_authority_signed_ends_with_its_object_in_every_order(ends: Scene) -> None:
    """A trust domain that goes first takes the record along; its Introductions stay as a person left them."""
    for order in ("introduction first", "domain first"):
        name = order.split()[0]
        ends.add_domain(f"issuer-{name}")
        ends.wait_ready(domain=f"issuer-{name}")
        wait_for(partial(ends.find, SECRETS, f"issuer-{name}-authority"), "the list")
        issue = {"trustDomain": f"issuer-{name}", "subject": stranger(name).decode(), "approval": "Approved"}
        ends.add(INTRODUCTIONS, f"issued-{name}", issue=issue)
        ends.wait(INTRODUCTIONS, f"issued-{name}", "Ready", status="True")
    ends.delete(INTRODUCTIONS, "issued-introduction")
    assert ends.find(INTRODUCTIONS, "issued-introduction") is None
    ends.delete(DOMAINS, "issuer-introduction")
    ends.delete(DOMAINS, "issuer-domain")
    ends.wait(INTRODUCTIONS, "issued-domain", "TrustDomainNotFound", status="False")
    ends.delete(INTRODUCTIONS, "issued-domain")
    wait_for(
        lambda: not [each for each in ends.objects(SECRETS) if each["metadata"]["name"].startswith("issue")],
        "garbage collection",
        60,
    )


def test_made_again_under_the_same_names_everything_works_again(ends: Scene) -> None:
    """Names say nothing: the new trust domain has a new key, and what the old one signed is nobody's."""
    furnish(ends, "again")
    before = files(ends, "again-i-identity")
    for part, kind in KINDS.items():
        ends.delete(kind, "again" if part == "d" else f"again-{part}")

    def is_empty() -> bool:
        secrets = [each["metadata"]["name"] for each in ends.objects(SECRETS)]
        return not any(each.startswith("again-") for each in secrets)

    wait_for(is_empty, "garbage collection", 60)
    furnish(ends, "again")
    after = files(ends, "again-i-identity")
    assert {before[name] for name in ("tls.key", "tls.crt", "ca.crt")}.isdisjoint(after.values())


def test_made_again_at_once_the_old_secrets_are_no_obstacle(ends: Scene) -> None:
    """Before the old one's Secrets are collected: they are another owner's, and then they are not there."""
    furnish(ends, "quick")
    ends.delete(IDENTITIES, "quick-i")
    services = {"mode": "Listed", "names": ["quick-s"]}
    ends.add_identity("quick-i", "quick", services=services)
    found = ends.wait(IDENTITIES, "quick-i", "Ready", status="True", seconds=90)
    held = wait_for(lambda: ends.find(SECRETS, "quick-i-identity"), "its own Secret")
    assert held["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
