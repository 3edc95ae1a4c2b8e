"""Certificate authorities of partners: announced, taken from a pinned key alone, replaced with an overlap.

Two operators on one API server, each with its own namespace; and simulated partners that announce what
they should not. Clocks are moved, never waited for.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.revocations import parse_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.protocol.authority_statement import open_statement
from bilateral.protocol.keys import SigningKey, parse_public_key
from bilateral.reconcile.issued import parse_shard
from bilateral.resources.times import parse_time
from cluster.authorities import make_authority, sign
from cluster.clocked import ClockedOperator
from cluster.mortal import MortalOperator
from cluster.organisations import Side
from cluster.scene import DOMAINS, IDENTITIES, PEERS, SECRETS, Object, Scene, condition_of, open_scene
from support.caller import Caller
from support.timeline import Timeline
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.processes import wait_ended

HOUR, DAY = 3600, 86_400
PEER = "partner"
_words = itertools.count(1)


def open_side(stack: ExitStack, cluster: Cluster, factory: pytest.TempPathFactory, name: str) -> Side:
    scene = stack.enter_context(open_scene(cluster, factory.mktemp(name)))
    operator = scene.operator("--identity=replica-0")
    timelines = [stack.enter_context(Timeline(cluster, scene.path(plural))) for plural in (PEERS, SECRETS)]
    scene.add_domain("front", url=operator.url)
    scene.wait(DOMAINS, "front", "Ready", status="True")
    return Side(scene, operator, *timelines)


@pytest.fixture(scope="module")
def sides(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    with ExitStack() as stack:
        a, b = (open_side(stack, cluster, tmp_path_factory, name) for name in "ab")
        yield a, b


@pytest.fixture
def pair(sides: tuple[Side, Side]) -> tuple[Side, Side, str]:
    """A trust domain of one name on each side, and each the other's partner."""
    name = f"org-{next(_words)}"
    for side in sides:
        side.add_domain(name)
        wait_for(partial(side.scene.secret, f"{name}-authority"), "the statement")
    for side, other in (sides, sides[::-1]):
        meet(side, other, name)
    for side in sides:
        side.scene.wait(PEERS, f"{name}-{PEER}", "AuthoritiesAnnounced", kind="AuthoritiesKnown")
    return *sides, name


def meet(side: Side, other: Side, name: str) -> None:
    side.scene.add_peer(
        f"{name}-{PEER}",
        name,
        kernelId=other.scene.kernel(name),
        endpoint=other.endpoint,
        trustAnchors=[{"publicKey": other.anchor(name)}],
    )


def authority(side: Side, name: str) -> bytes:
    return (
        side.scene.secret(
            side.scene.get(DOMAINS, name)["spec"]
            .get("certificateAuthority", {})
            .get("secretName", f"{name}-ca")
        )
        or {}
    )["tls.crt"]


def known(side: Side, name: str) -> dict[str, bytes]:
    return side.scene.secret(f"{name}-{PEER}-ca") or {}


def refresh(side: Side, name: str) -> Object:
    """Have the partner be asked now, and wait until it was."""
    word = f"refresh-{next(_words)}"
    side.scene.ask(PEERS, f"{name}-{PEER}", word)

    def served() -> Object | None:
        peer = side.scene.get(PEERS, f"{name}-{PEER}")
        return peer if peer["status"].get("reconciledNow") == word else None

    return wait_for(served, "the annotation's echo")


def identity(side: Side, name: str, identity: str) -> str:
    """Make an identity; its serial number."""
    side.scene.add_identity(identity, name)
    return str(side.scene.wait(IDENTITIES, identity, "Ready", status="True")["status"]["serial"])


def withdrawn(side: Side, name: str, file: str = "self.crl", pem: bytes | None = None) -> set[int]:
    data = side.scene.secret(f"{name}-authority") or {}
    issuer = x509.load_pem_x509_certificate(pem or authority(side, name))
    return set(parse_revocation_list(data[file], issuer).entries)


def test_two_operators_announce_to_each_other(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    for side, other in ((a, b), (b, a)):
        held = wait_for(partial(known, side, name), "the Secret")
        assert set(held) == {"ca.crt", "ca.crl", "statement.json", "sequence"}
        assert held["ca.crt"] == authority(other, name)
        issuer = x509.load_pem_x509_certificate(held["ca.crt"])
        assert parse_revocation_list(held["ca.crl"], issuer).entries == {}
        statement = open_statement(
            held["statement.json"],
            signer=parse_public_key(other.anchor(name)),
            kernel_id=other.scene.kernel(name),
        )
        assert held["sequence"] == str(statement.sequence).encode()
        assert statement.certificates == (issuer.public_bytes(Encoding.DER),)
        assert held["statement.json"] == (other.scene.secret(f"{name}-authority") or {})["statement.json"]
        peer = side.scene.get(PEERS, f"{name}-{PEER}")
        (told,) = peer["status"]["certificateAuthorities"]
        assert (
            told["fingerprint"]
            == other.scene.get(DOMAINS, name)["status"]["certificateAuthority"]["fingerprint"]
        )
        owner = side.scene.get(SECRETS, f"{name}-{PEER}-ca")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"]) == ("FederationPeer", peer["metadata"]["uid"])


def test_everybody_may_read_the_statement(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    path = "/v1/federation/authority?kernelId="
    caller = Caller(a.operator.port)
    answer = caller.post(b"", path=path + a.scene.kernel(name), method="GET", media_type=None)
    assert (answer.status, answer.body) == (
        200,
        (a.scene.secret(f"{name}-authority") or {})["statement.json"],
    )
    assert caller.post(b"", path=f"{path}somebody", method="GET", media_type=None).status == 404


def test_what_was_withdrawn_reaches_the_partner(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    serial = int(identity(a, name, f"{name}-gone"), 16)
    a.scene.delete(IDENTITIES, f"{name}-gone")
    wait_for(lambda: withdrawn(a, name) == {serial}, "the list")
    refresh(b, name)
    held = wait_for(
        lambda: data if (data := known(b, name)).get("ca.crl") != b"" and serial in listed(data) else None,
        "the partner's list",
    )
    assert held["ca.crt"] == authority(a, name)


def listed(held: dict[str, bytes]) -> set[int]:
    """What the lists of a partner's Secret name, each verified by one of its authorities."""
    issuers = x509.load_pem_x509_certificates(held["ca.crt"])
    end = b"-----END X509 CRL-----\n"
    found: set[int] = set()
    for text in held["ca.crl"].split(end)[:-1]:
        crl = x509.load_pem_x509_crl(text + end)
        (issuer,) = (each for each in issuers if crl.is_signature_valid(each.public_key()))  # type: ignore[arg-type]  # an EC key
        found |= set(parse_revocation_list(text + end, issuer).entries)
    return found


def test_an_authority_is_replaced_with_an_overlap(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    old = authority(a, name)
    slug = build_slug(x509.load_pem_x509_certificate(old))
    serial = int(identity(a, name, f"{name}-holder"), 16)
    a.scene.patch(DOMAINS, name, {"spec": {"certificateAuthority": {"secretName": f"{name}-ca-2"}}})
    new = wait_for(lambda: (a.scene.secret(f"{name}-ca-2") or {}).get("tls.crt"), "the new authority")
    wait_for(
        lambda: f"{slug}.crl" in (a.scene.secret(f"{name}-authority") or {}), "two generations side by side"
    )
    refresh(b, name)
    wait_for(lambda: known(b, name).get("ca.crt") == new + old, "both at the partner")
    assert len(b.scene.get(PEERS, f"{name}-{PEER}")["status"]["certificateAuthorities"]) == 2
    # Nothing valid chains to the old one any more: it leaves, here and there.
    a.scene.delete(IDENTITIES, f"{name}-holder")
    wait_for(
        lambda: f"{slug}.crl" not in (a.scene.secret(f"{name}-authority") or {"x": b""}), "the old one's end"
    )
    refresh(b, name)
    wait_for(lambda: known(b, name).get("ca.crt") == new, "the new one alone")
    assert serial not in withdrawn(a, name, pem=new)


def test_the_old_authority_still_withdraws(pair: tuple[Side, Side, str]) -> None:
    a, b, name = pair
    old = authority(a, name)
    slug = build_slug(x509.load_pem_x509_certificate(old))
    first = int(identity(a, name, f"{name}-first"), 16)
    identity(a, name, f"{name}-second")
    a.scene.patch(DOMAINS, name, {"spec": {"certificateAuthority": {"secretName": f"{name}-ca-2"}}})
    wait_for(lambda: f"{slug}.crl" in (a.scene.secret(f"{name}-authority") or {}), "two generations")
    a.scene.delete(IDENTITIES, f"{name}-first")
    wait_for(lambda: withdrawn(a, name, f"{slug}.crl", old) == {first}, "the old one's list")
    refresh(b, name)
    wait_for(lambda: first in listed(known(b, name)), "at the partner")


def test_what_is_deleted_while_the_operator_is_away_is_withdrawn(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    serial = int(identity(a, name, f"{name}-away"), 16)
    a.operator.stop()
    a.scene.delete(IDENTITIES, f"{name}-away")
    assert withdrawn(a, name) == set()
    a.operator.start()
    wait_for(lambda: withdrawn(a, name) == {serial}, "the list", 30)


def test_a_suspended_partners_authorities_are_withdrawn_at_once(pair: tuple[Side, Side, str]) -> None:
    a, _, name = pair
    before = wait_for(lambda: known(a, name), "the Secret")
    a.scene.patch(PEERS, f"{name}-{PEER}", {"spec": {"state": "Suspended"}})
    wait_for(lambda: known(a, name) == {"ca.crt": NOBODY_PEM, "sequence": before["sequence"]}, "nobody", 5)
    a.scene.patch(PEERS, f"{name}-{PEER}", {"spec": {"state": "Active"}})
    wait_for(lambda: known(a, name).get("ca.crt") == before["ca.crt"], "all again")


# A partner that announces what it should not


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


# Time, and the end of a process


@pytest.fixture
def alone(cluster: Cluster, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(cluster, tmp_path) as scene:
        yield scene


def clocked(scene: Scene) -> ClockedOperator:
    operator = scene.operator("--identity=replica-0", make=ClockedOperator)
    assert isinstance(operator, ClockedOperator)
    scene.add_domain()
    scene.wait(DOMAINS, "org-a", "Ready", status="True")
    wait_for(lambda: scene.secret("org-a-authority"), "the statement")
    return operator


def test_lists_and_statements_are_signed_once_a_day(alone: Scene) -> None:
    operator = clocked(alone)

    def version() -> str:
        return str(alone.get(SECRETS, "org-a-authority")["metadata"]["resourceVersion"])

    def look_at(ahead: int) -> str:
        """Move the clock; a look at everything follows the step, and one more that is asked for."""
        operator.set_clock(ahead)
        word = f"at-{ahead}"
        alone.ask(DOMAINS, "org-a", word)
        wait_for(lambda: alone.get(DOMAINS, "org-a")["status"].get("reconciledNow") == word, "a look")
        return version()

    first = version()
    assert {look_at(hours * HOUR) for hours in (1, 6, 12, 18, 23)} == {first}
    operator.set_clock(24 * HOUR)
    wait_for(lambda: version() != first, "the renewal")
    second = version()
    assert {look_at(hours * HOUR) for hours in (25, 36, 47)} == {second}
    operator.set_clock(48 * HOUR)
    wait_for(lambda: version() != second, "the next renewal")


def test_stale_it_is_withdrawn_at_the_second(alone: Scene) -> None:
    name, ca, operator = "ending", make_authority(), clocked(alone)
    alone.partner(name).statement = sign(alone, name, ca, sequence=1000)
    alone.add_peer(name, handshake={"rotationWindowSeconds": 7200})
    peer = alone.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    held = wait_for(lambda: alone.secret(f"{name}-ca"), "the Secret")
    alone.silence(name)
    due = parse_time(peer["status"]["pin"]["rotationDue"])
    operator.set_clock(due - time.time() - 30)
    alone.ask(DOMAINS, "org-a", "before")
    wait_for(lambda: alone.get(DOMAINS, "org-a")["status"].get("reconciledNow") == "before", "a look")
    assert alone.secret(f"{name}-ca") == held
    operator.set_clock(due - time.time())
    nobody = {"ca.crt": NOBODY_PEM, "sequence": b"1000"}
    wait_for(lambda: alone.secret(f"{name}-ca") == nobody, "nobody")
    alone.wait(PEERS, name, "PeerStale", kind="AuthoritiesKnown", status="False")


def test_a_statement_ends_though_the_partner_stays_fresh(alone: Scene) -> None:
    name, ca, operator = "silent", make_authority(), clocked(alone)
    partner = alone.partner(name)
    partner.statement = sign(alone, name, ca, sequence=1000)
    alone.add_peer(name, handshake={"rotationWindowSeconds": 7 * DAY})
    alone.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    wait_for(lambda: alone.secret(f"{name}-ca"), "the Secret")
    partner.statement = None
    asked = partner.statements_asked
    operator.set_clock(HOUR + 60)
    wait_for(lambda: partner.statements_asked > asked, "asked again by itself")
    alone.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", status="True")
    operator.set_clock(2 * DAY + 60)
    wait_for(lambda: (alone.secret(f"{name}-ca") or {}).get("ca.crt") == NOBODY_PEM, "nobody")
    assert condition_of(alone.get(PEERS, name))["reason"] == "Fresh"


@pytest.mark.parametrize("moment", [(1, "before"), (1, "after"), (2, "before"), (2, "after")])
def test_killed_around_a_record_nothing_is_forgotten(alone: Scene, moment: tuple[int, str]) -> None:
    operator = alone.operator("--identity=replica-0", make=MortalOperator)
    assert isinstance(operator, MortalOperator)
    alone.add_domain()
    alone.wait(DOMAINS, "org-a", "Ready", status="True")
    wait_for(lambda: alone.secret("org-a-authority"), "the statement")
    operator.stop()

    # While something is issued: whatever is in a Secret is in the record.
    alone.add_identity("client1")
    run_until_it_ends(operator, alone, moment)
    held = (alone.secret("client1-identity") or {}).get("tls.crt")
    if held is not None:
        assert x509.load_pem_x509_certificate(held).serial_number in recorded(alone)
    operator.die_at(10**9, "after")
    operator.start()
    alone.wait(IDENTITIES, "client1", "Ready", status="True")
    held = (alone.secret("client1-identity") or {})["tls.crt"]
    serial = x509.load_pem_x509_certificate(held).serial_number
    assert serial in recorded(alone)
    operator.stop()

    # While it is withdrawn: the list names it in the end.
    alone.delete(IDENTITIES, "client1")
    run_until_it_ends(operator, alone, moment)
    operator.die_at(10**9, "after")
    operator.start()
    issuer = x509.load_pem_x509_certificate((alone.secret("org-a-ca") or {})["tls.crt"])
    wait_for(
        lambda: (
            serial
            in parse_revocation_list((alone.secret("org-a-authority") or {})["self.crl"], issuer).entries
        ),
        "the list",
    )


def run_until_it_ends(operator: MortalOperator, scene: Scene, moment: tuple[int, str]) -> None:
    operator.die_at(*moment)
    operator.start(wait=False)
    scene.adopt(operator)
    assert wait_ended(operator.record, 30), "there were not so many writes"


def recorded(scene: Scene) -> set[int]:
    shard = parse_shard((scene.secret("org-a-issued") or {}).get("issued.jsonl", b""))
    return {entry.serial for entry in shard.entries}
