"""What an identity's Secrets trust and present, by real TLS, and what of it ends when, with a moved clock."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bilateral.pki.authority import Authority
from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.pem import private_key_pem
from bilateral.pki.services import Service
from bilateral.pki.slugs import build_slug
from bilateral.resources.times import parse_time
from cluster.authorities import make_authority
from cluster.clocked import ClockedOperator
from cluster.scene import DOMAINS, IDENTITIES, INTRODUCTIONS, PEERS, SECRETS, Object, Scene, open_scene
from cluster.test_identities import files, issued, ready, settle, written
from support.waiting import wait_for
from testbed.cluster import Cluster

MONTH = 30 * 86_400
URL = "https://api.org-b.example:9443"


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A trust domain and a fresh partner whose authority a person installed."""
    with open_scene(cluster, tmp_path_factory.mktemp("identities-trust")) as scene:
        scene.operator("--identity=replica-0")
        scene.add_domain()
        scene.add_partner("org-b")
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the authority's own list")
        yield scene


def introduce(
    scene: Scene,
    identity: str,
    name: str,
    *,
    signer: Authority | None = None,
    alias: str | None = None,
    **how: str,
) -> str:
    """Accept an introduction of an identity by the partner's authority; return its serial number."""
    services = () if alias is None else (Service(alias, URL),)
    introduction = issue_introduction(
        signer or scene.partners.authority,
        files(scene, identity, "identity")["tls.crt"],
        services,
        MONTH,
        now(),
    )
    accept = {"identity": identity, "introduction": introduction.to_json(), **(how or {"peer": "org-b"})}
    scene.add(INTRODUCTIONS, name, accept=accept)
    return introduction.serial


def now() -> datetime:
    return datetime.now(UTC)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """TLS in memory, both sides until they are done. Raises ssl.SSLError."""
    upstream, downstream = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(upstream, downstream, server_side=True),
        client.wrap_bio(downstream, upstream, server_hostname=name),
    ]
    waiting = set(sides)
    for _ in range(20):
        for side in sides:
            try:
                side.do_handshake()
                waiting.discard(side)
            except ssl.SSLWantReadError:
                continue
    assert not waiting, "the handshake does not end"
    # A TLS 1.3 client is done before it hears what the server thinks of its certificate.
    sides[0].write(b"hello")
    assert sides[1].read() == b"hello"


def context(
    directory: Path, purpose: ssl.Purpose, files: dict[str, bytes], authorities: bytes
) -> ssl.SSLContext:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    made = ssl.create_default_context(purpose, cadata=authorities.decode())
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return made


def party(signer: Authority, name: str, *dns_names: str) -> dict[str, bytes]:
    """A party of somebody else."""
    key = generate_identity_key("ECDSAP256")
    made = issue_identity(
        signer,
        Subject(common_name=name),
        key.public_key(),
        dns_names=dns_names,
        validity_seconds=MONTH,
        now=now(),
    )
    return {"tls.crt": made.certificate_pem, "tls.key": private_key_pem(key)}


def test_an_introduced_identity_calls_the_partners_service_by_tls(scene: Scene, tmp_path: Path) -> None:
    theirs = scene.partners.authority
    scene.add_identity("caller", perServiceTLS="Enabled")
    ready(scene, "caller")
    introduce(scene, "caller", "caller-at-org-b", alias="org2-api")
    mounted = wait_for(lambda: scene.secret("caller-to-org2-api"), "the Secret for the service")
    assert files(scene, "caller", "id-chains") == {
        f"{build_slug(theirs.certificate)}.crt": mounted["tls.crt"]
    }
    client = context(tmp_path / "client", ssl.Purpose.SERVER_AUTH, mounted, mounted["ca.crt"])
    server_files = party(theirs, "api", "api.org-b.example")
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, server_files, theirs.certificate_pem)
    shake_hands(server, client, "api.org-b.example")

    own = files(scene, "caller", "identity")
    home = context(tmp_path / "home", ssl.Purpose.SERVER_AUTH, own, mounted["ca.crt"])
    with pytest.raises(ssl.SSLError):  # the certificate of our own authority says nothing to them
        shake_hands(server, home, "api.org-b.example")

    scene.delete(INTRODUCTIONS, "caller-at-org-b")
    nobody = {"tls.crt": NOBODY_PEM, "tls.key": b"", "ca.crt": NOBODY_PEM}
    wait_for(lambda: scene.secret("caller-to-org2-api") == nobody, "the withdrawal")
    assert files(scene, "caller", "id-chains") == {}
    assert "org2-api.yaml" not in files(scene, "caller", "known-servers")


def test_a_server_admits_our_own_and_the_named_partners_parties(scene: Scene, tmp_path: Path) -> None:
    scene.add_identity("served", dnsNames=["served.test"], clients=["self", "org-b"])
    scene.add_identity("colleague")
    ready(scene, "colleague")
    slug = build_slug(scene.partners.authority.certificate)
    wait_for(lambda: f"{slug}.crt" in (scene.secret("served-known-clients") or {}), "the partner's authority")
    mounted, trusted = files(scene, "served", "identity"), files(scene, "served", "known-clients")
    pems = b"".join(content for name, content in trusted.items() if name.endswith(".crt"))
    server = context(tmp_path / "server", ssl.Purpose.CLIENT_AUTH, mounted, pems)
    admitted = [files(scene, "colleague", "identity"), party(scene.partners.authority, "guest")]
    for number, client in enumerate(admitted):
        directory = tmp_path / f"client-{number}"
        shake_hands(
            server, context(directory, ssl.Purpose.SERVER_AUTH, client, mounted["ca.crt"]), "served.test"
        )
    stranger = party(make_authority("Stranger CA", days=60), "stranger")
    refused = context(tmp_path / "stranger", ssl.Purpose.SERVER_AUTH, stranger, mounted["ca.crt"])
    with pytest.raises(ssl.SSLError):
        shake_hands(server, refused, "served.test")


@pytest.mark.parametrize("how", ["suspended", "deleted"])
def test_a_partner_that_ends_leaves_chains_services_and_clients(scene: Scene, how: str) -> None:
    signer, peer, name = make_authority(f"{how} CA", days=60), f"peer-{how}", f"of-{how}"
    scene.add_partner(peer, signer)
    scene.add_identity(name, clients=[peer])
    ready(scene, name)
    introduce(scene, name, f"{name}-intro", signer=signer, alias=f"api-{how}", peer=peer)
    wait_for(lambda: f"api-{how}.yaml" in files(scene, name, "known-servers"), "the service")
    slug = f"{build_slug(signer.certificate)}.crt"
    assert slug in files(scene, name, "id-chains")
    assert slug in files(scene, name, "known-clients")
    if how == "deleted":
        scene.delete(PEERS, peer)
    else:
        scene.patch(PEERS, peer, {"spec": {"state": "Suspended"}})
    wait_for(lambda: files(scene, name, "known-clients") == {"nobody.crt": NOBODY_PEM}, "nobody may connect")
    wait_for(lambda: files(scene, name, "id-chains") == {}, "no chain")
    wait_for(lambda: set(files(scene, name, "known-servers")) == {"self.crt"}, "no service")
    if how == "suspended":
        scene.patch(PEERS, peer, {"spec": {"state": "Active"}})
        wait_for(lambda: slug in files(scene, name, "id-chains"), "the chain again")
        wait_for(lambda: f"api-{how}.yaml" in files(scene, name, "known-servers"), "the service again")


def test_an_introduction_by_a_fingerprint_that_a_person_gave(scene: Scene) -> None:
    signer = make_authority("Given CA", days=60)
    scene.add_identity("given")
    ready(scene, "given")
    introduce(
        scene,
        "given",
        "given-intro",
        signer=signer,
        alias="given-api",
        authorityFingerprint=signer.fingerprint,
    )
    wait_for(lambda: "given-api.yaml" in files(scene, "given", "known-servers"), "the service")
    assert b'verifier: "ConfiguredCA"' in files(scene, "given", "known-servers")["given-api.yaml"]


def test_what_nobody_pinned_opens_nothing(scene: Scene) -> None:
    scene.add_identity("fooled")
    ready(scene, "fooled")
    introduce(scene, "fooled", "fooled-intro", signer=make_authority("Evil CA", days=60), alias="evil")
    scene.wait(INTRODUCTIONS, "fooled-intro", "AuthorityNotPinned", status="False")
    settle(scene, "fooled", "after the introduction")
    assert files(scene, "fooled", "id-chains") == {}
    assert set(files(scene, "fooled", "known-servers")) == {"self.crt"}


def test_an_introduced_alias_of_a_service_in_the_cluster_is_not_bound(scene: Scene) -> None:
    body: Object = {"metadata": {"name": "payments"}, "spec": {"ports": [{"port": 443}]}}
    answer = scene.cluster.request("POST", f"/api/v1/namespaces/{scene.namespace}/services", body)
    assert answer.status == 201, answer.message
    scene.add_identity("shadowed")
    ready(scene, "shadowed")
    introduce(scene, "shadowed", "shadowed-intro", alias="payments")
    wait_for(lambda: files(scene, "shadowed", "id-chains"), "the chain")
    assert "payments.yaml" not in files(scene, "shadowed", "known-servers")


def test_another_authority_issues_everybody_anew_and_the_old_one_counts_meanwhile(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_scene(cluster, tmp_path_factory.mktemp("rotation")) as scene:
        scene.operator()
        scene.add_domain()
        scene.add_identity("kept")
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the authority's own list")
        first = ready(scene, "kept")["status"]
        key, before = files(scene, "kept", "identity")["tls.key"], files(scene, "kept", "identity")["ca.crt"]
        scene.patch(DOMAINS, "org-a", {"spec": {"certificateAuthority": {"secretName": "org-a-ca-2"}}})
        wait_for(lambda: files(scene, "kept", "identity")["ca.crt"] != before, "the new authority")
        mounted = files(scene, "kept", "identity")
        assert mounted["tls.key"] == key
        identity = wait_for(lambda: _changed(scene, first["serial"]), "the status")
        assert identity["publicKeyFingerprint"] == first["publicKeyFingerprint"]
        clients = wait_for(
            lambda: found if (found := files(scene, "kept", "known-clients"))["self.crt"] != before else None,
            "the new authority among clients'",
        )
        assert before in clients.values(), "what the old one signed is still about"


def _changed(scene: Scene, serial: str) -> Object | None:
    status: Object = ready(scene, "kept")["status"]
    return status if status["serial"] != serial else None


# With a moved clock


@pytest.fixture
def clocked(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene of one test's own: time that was once seen does not come back."""
    with open_scene(cluster, tmp_path_factory.mktemp("identities-clock")) as scene:
        scene.operator("--identity=replica-0", make=ClockedOperator)
        scene.add_domain()
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the authority's own list")
        yield scene


def set_clock(scene: Scene, moment: float) -> None:
    (process,) = scene.started
    assert isinstance(process, ClockedOperator)
    process.set_clock(moment - time.time())


def test_a_renewal_is_due_at_two_thirds_and_costs_three_writes(clocked: Scene) -> None:
    clocked.add_identity("renewed", validitySeconds=7200)
    before = ready(clocked, "renewed")["status"]
    mounted = files(clocked, "renewed", "identity")
    due = parse_time(before["renewalTime"])
    assert due == parse_time(before["notAfter"]) - (7200 + 300) // 3
    since = clocked.cluster.audit_position()
    set_clock(clocked, due - 20)
    settle(clocked, "renewed", "early")
    assert written(clocked, since) == [("patch", IDENTITIES, "renewed")], "the echo alone"

    since = clocked.cluster.audit_position()
    set_clock(clocked, due)
    wait_for(
        lambda: clocked.get(IDENTITIES, "renewed")["status"]["serial"] != before["serial"], "the renewal"
    )
    assert written(clocked, since) == [
        ("patch", SECRETS, "org-a-issued"),
        ("patch", SECRETS, "renewed-identity"),
        ("patch", IDENTITIES, "renewed"),
    ]
    after = files(clocked, "renewed", "identity")
    assert (after["tls.key"], after["ca.crt"]) == (mounted["tls.key"], mounted["ca.crt"])
    assert after["tls.crt"] != mounted["tls.crt"]
    assert before["serial"] in issued(clocked), "the old one is still in date"


def test_a_chain_ends_at_its_second_after_a_restart_too(clocked: Scene) -> None:
    clocked.add_partner("org-b")
    clocked.add_identity("chained", validitySeconds=31_536_000)
    ready(clocked, "chained")
    text = issue_introduction(
        clocked.partners.authority, files(clocked, "chained", "identity")["tls.crt"], (), 3600, now()
    )
    fingerprint = clocked.partners.authority.fingerprint
    accept = {"identity": "chained", "introduction": text.to_json(), "authorityFingerprint": fingerprint}
    clocked.add(INTRODUCTIONS, "short", accept=accept)
    wait_for(lambda: files(clocked, "chained", "id-chains"), "the chain")
    end = text.not_after.timestamp()
    set_clock(clocked, end - 20)
    settle(clocked, "chained", "still there")
    assert files(clocked, "chained", "id-chains")
    set_clock(clocked, end)
    wait_for(lambda: files(clocked, "chained", "id-chains") == {}, "the end of the chain", 30)


def test_an_authority_past_its_end_is_said_and_nothing_is_made(clocked: Scene) -> None:
    clocked.add_identity("ended", validitySeconds=7200)
    ready(clocked, "ended")
    known = issued(clocked)
    set_clock(clocked, time.time() + 10 * 365 * 86_400)
    clocked.wait(DOMAINS, "org-a", "AuthorityExpired", status="False")
    clocked.wait(IDENTITIES, "ended", "TrustDomainNotReady", status="False")
    assert set(issued(clocked)) <= set(known)
    assert files(clocked, "ended", "known-clients") == {"nobody.crt": NOBODY_PEM}
