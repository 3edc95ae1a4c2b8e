"""``bilateral status`` and ``bilateral plan`` on the real API server: what is told is what the operator then does.

Each plan is compared with every Secret that the operator made, before and after: the files of each, and that
nothing else changed.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bilateral.pki.authority import Authority
from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.services import Service
from bilateral.pki.subjects import parse_subject
from cluster.authorities import make_authority
from cluster.person import Person
from cluster.scene import (
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

DAY = 86_400
OWNED = "bilateral.dev/secret"
Files = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A trust domain; what hangs on it is made by each test, with a name of its own."""
    with open_scene(cluster, tmp_path_factory.mktemp("overview")) as scene:
        operator = scene.operator("--identity=replica-0")
        scene.add_domain(url=operator.url)
        wait_for(lambda: scene.find(SECRETS, "org-a-authority"), "the authority's own list")
        yield scene


def accept(scene: Scene, name: str, identity: str, authority: Authority, *aliases: str, **whose: str) -> None:
    certificate = (scene.secret(f"{identity}-identity") or {})["tls.crt"]
    services = tuple(Service(alias, f"https://{alias}.example") for alias in aliases)
    document = issue_introduction(authority, parse_subject(certificate), services, DAY, datetime.now(UTC))
    spec = {"identity": identity, "introduction": document.to_json(), **whose}
    scene.add(INTRODUCTIONS, name, accept=spec)
    scene.wait(INTRODUCTIONS, name, "Ready", status="True")


def issue(scene: Scene, name: str, peer: str | None) -> None:
    key = generate_identity_key("ECDSAP256")
    theirs = issue_identity(
        make_authority("Theirs"),
        Subject(common_name=name),
        key.public_key(),
        validity_seconds=DAY,
        now=datetime.now(UTC),
    )
    spec = {"trustDomain": "org-a", "subject": theirs.certificate_pem.decode(), "approval": "Approved"}
    scene.add(INTRODUCTIONS, name, issue=spec | ({} if peer is None else {"peer": peer}))
    scene.wait(INTRODUCTIONS, name, "Ready", status="True")


def furnish(scene: Scene, mark: str) -> None:
    """Two partners, a client that both introduced, a server that both may call, and services of all sorts."""
    b, c, d = (make_authority(f"{letter} {mark}") for letter in "BCD")
    client, server = f"client-{mark}", f"server-{mark}"
    scene.add_identity(client, perServiceTLS="Enabled")
    scene.add_identity(server, services={"mode": "Listed"}, clients=["self", f"b-{mark}", f"c-{mark}"])
    scene.add_partner(f"b-{mark}", b)
    scene.add_partner(f"c-{mark}", c)
    services: dict[str, Object] = {
        f"api-{mark}": {"peer": f"b-{mark}"},
        f"either-{mark}": {"peer": f"c-{mark}", "authorities": [f"b-{mark}", f"c-{mark}"]},
        f"only-{mark}": {"peer": f"c-{mark}", "authorities": [f"b-{mark}"]},
        f"own-{mark}": {"peer": f"c-{mark}", "authorities": [f"b-{mark}", "self"]},
        f"web-{mark}": {},
    }
    for name, spec in services.items():
        scene.add(SERVICES, name, url=f"https://{name}.example", **spec)
    for name in (client, server):
        scene.wait(IDENTITIES, name, "Ready", status="True")
    accept(scene, f"from-b-{mark}", client, b, f"carried-b-{mark}", peer=f"b-{mark}")
    accept(scene, f"from-c-{mark}", client, c, f"carried-c-{mark}", peer=f"c-{mark}")
    accept(scene, f"by-hand-{mark}", client, d, f"hand-{mark}", authorityFingerprint=d.fingerprint)
    issue(scene, f"for-b-{mark}", f"b-{mark}")
    issue(scene, f"for-anybody-{mark}", None)
    wait_for(lambda: len(chains(scene, client)) == 3, "three chains")
    wait_for(lambda: aliases(scene, client) >= {f"{each}-{mark}" for each in EVERY}, "every service")
    wait_for(lambda: scene.secret(f"{client}-to-api-{mark}"), "a Secret for one service")
    partners = {scene.kernel(f"b-{mark}"), scene.kernel(f"c-{mark}")}
    wait_for(lambda: partners <= set(scene.listed_peers()), "the lists that kernels mount")
    for service in ("api", "either", "only", "own", "web"):
        scene.wait(SERVICES, f"{service}-{mark}", "Ready", status="True")
    settle(scene)


ANNOUNCED = {"ca.crt", "ca.crl", "statement.json", "sequence"}
EVERY = ("api", "either", "only", "own", "web", "carried-b", "carried-c", "hand")


def chains(scene: Scene, identity: str) -> dict[str, bytes]:
    return scene.secret(f"{identity}-id-chains") or {}


def aliases(scene: Scene, identity: str) -> set[str]:
    names = scene.secret(f"{identity}-known-servers") or {}
    return {name.removesuffix(".yaml") for name in names if name.endswith(".yaml")}


def owned(scene: Scene) -> Files:
    """Every Secret that the operator made, with its files."""
    found: Files = {}
    for each in scene.objects(SECRETS):
        if each["metadata"].get("labels", {}).get(OWNED) == "owned":
            data = each.get("data") or {}
            found[each["metadata"]["name"]] = {name: base64.b64decode(text) for name, text in data.items()}
    return found


def settle(scene: Scene) -> None:
    """Wait until every identity has what there is to have, own revocation list included."""

    def is_settled() -> bool:
        current = (scene.secret("org-a-authority") or {}).get("self.crl")
        lists = [
            files.get("self.crl", current)
            for name, files in owned(scene).items()
            if name.endswith("-known-clients")
        ]
        return all(each == current for each in lists)

    wait_for(is_settled, "the list in every Secret")
    word = f"settle-{datetime.now(UTC).timestamp()}"
    names = [each["metadata"]["name"] for each in scene.objects(IDENTITIES)]
    for name in names:
        scene.ask(IDENTITIES, name, word)

    def is_looked_at() -> bool:
        echoes = [each["status"].get("reconciledNow") for each in scene.objects(IDENTITIES)]
        return all(echo == word for echo in echoes)

    wait_for(is_looked_at, "a look at every identity")


def run(scene: Scene, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    person = Person(scene.cluster, scene.namespace, kubeconfig or scene.cluster.kubeconfig)
    return person.run(*arguments)


def plan(scene: Scene, *arguments: str) -> Object:
    """The plan; making it writes nothing."""
    since = scene.cluster.audit_position()
    done = run(scene, "plan", *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    events = scene.cluster.audit_events(since=since)
    assert not [
        each
        for each in events
        if each.is_write and "operator" not in each.user and "bilateral" not in each.user
    ]
    data: Object = json.loads(done.stdout)
    assert data["notSeen"] == []
    return data


def names_after(before: Files, data: Object) -> dict[str, set[str]]:
    """The files of every Secret, as the plan has them."""
    found = {name: set(files) for name, files in before.items()}
    for each in data["secrets"]:
        assert each["name"] in before, each
        assert set(each["loses"]) <= found[each["name"]], each
        found[each["name"]] = (found[each["name"]] - set(each["loses"])) | set(each["gains"])
        if each["deleted"]:
            del found[each["name"]]
    return found


def compare(scene: Scene, before: Files, data: Object) -> None:
    """Wait until every Secret has the files that the plan said, and see that nothing else changed."""
    expected = names_after(before, data)

    def difference() -> dict[str, object]:
        there = {name: set(files) for name, files in owned(scene).items()}
        return {
            name: (expected.get(name), there.get(name))
            for name in {*expected, *there}
            if expected.get(name) != there.get(name)
        }

    try:
        wait_for(lambda: not difference(), "what was planned", 60)
    except AssertionError:
        raise AssertionError(f"planned and found: {difference()}") from None
    settle(scene)
    assert not difference()
    after = owned(scene)
    told = {each["name"]: each for each in data["secrets"]}
    for name, files in after.items():
        said: Mapping[str, Any] = told.get(name, {})
        moved = {file for file in files if file in before[name] and files[file] != before[name][file]}
        if said.get("emptied"):
            assert files["tls.key"] == b""
        elif name == "org-a-authority" or name.startswith("org-a-issued"):
            assert moved <= {*said.get("changes", ())}, name
        else:
            assert moved == {*said.get("changes", ())}, (name, moved, said)


def planned(scene: Scene, mark: str, action: str, reference: str) -> tuple[Files, Object]:
    furnish(scene, mark)
    before = owned(scene)
    return before, plan(scene, action, reference)


def changed(data: Object, name: str) -> dict[str, Any]:
    found: Object = next((each for each in data["secrets"] if each["name"] == name), {})
    return {key: value for key, value in found.items() if key != "name" and value}


def test_a_suspended_partner(scene: Scene) -> None:
    before, data = planned(scene, "one", "suspend", "federationpeer/b-one")
    assert {each["name"]: each["reason"] for each in data["services"]} == {
        "api-one": "Suspended",
        "only-one": "AuthorityUnknown",
    }
    assert changed(data, "client-one-to-api-one")["emptied"]
    assert changed(data, "client-one-to-either-one") == {"changes": ["tls.crt"]}
    scene.patch(PEERS, "b-one", {"spec": {"state": "Suspended"}})
    compare(scene, before, data)
    for service in data["services"]:
        scene.wait(SERVICES, service["name"], service["reason"], status="False")


def test_a_deleted_partner(scene: Scene) -> None:
    before, data = planned(scene, "two", "delete", "fpeer/b-two")
    assert changed(data, "b-two-ca") == {"deleted": True}
    scene.delete(PEERS, "b-two")
    compare(scene, before, data)
    for service in data["services"]:
        scene.wait(SERVICES, service["name"], service["reason"], status="False")
    for each in data["introductions"]:
        scene.wait(INTRODUCTIONS, each["name"], "PeerNotFound", status="False")


@pytest.fixture(scope="module")
def three(scene: Scene) -> None:
    furnish(scene, "three")


REMOVED = {
    "by-hand": (INTRODUCTIONS, "introduction/by-hand-three"),
    "for-anybody": (INTRODUCTIONS, "introduction/for-anybody-three"),
    "either": (SERVICES, "trustedservice/either-three"),
    "from-b": (INTRODUCTIONS, "introduction/from-b-three"),
}


@pytest.mark.parametrize("what", REMOVED)
def test_deleted_introductions_and_services(scene: Scene, three: None, what: str) -> None:
    plural, reference = REMOVED[what]
    before = owned(scene)
    data = plan(scene, "delete", reference)
    scene.delete(plural, reference.partition("/")[2])
    compare(scene, before, data)
    client = "client-three"
    match what:
        case "by-hand":
            assert [each["alias"] for each in data["introducedServices"]] == ["hand-three"]
        case "for-anybody":
            (certificate,) = data["certificates"]
            lines = (scene.secret("org-a-issued") or {})["issued.jsonl"].decode().splitlines()
            entry = next(line for line in map(json.loads, lines) if line["serial"] == certificate["serial"])
            assert "withdrawnAt" in entry
        case "either":
            assert changed(data, f"{client}-to-either-three") == {"emptied": True}
        case "from-b":
            assert [each["alias"] for each in data["introducedServices"]] == ["carried-b-three"]
            assert changed(data, f"{client}-to-own-three") == {"changes": ["tls.crt"]}
            scene.wait(SERVICES, "api-three", "NoChain", status="False")


def test_of_two_introductions_by_one_authority_the_other_stays(scene: Scene) -> None:
    furnish(scene, "eight")
    authority = make_authority("E eight")
    for name in ("first-eight", "second-eight"):
        accept(
            scene,
            name,
            "client-eight",
            authority,
            f"twice-{name}",
            authorityFingerprint=authority.fingerprint,
        )
    wait_for(
        lambda: aliases(scene, "client-eight") >= {"twice-first-eight", "twice-second-eight"}, "both services"
    )
    settle(scene)
    before = owned(scene)
    for name, other in (("second-eight", "first-eight"), ("first-eight", "nobody")):
        data = plan(scene, "delete", f"introduction/{name}")
        lost = [each["identity"] for each in data["chains"]]
        assert lost == ([] if other != "nobody" else ["client-eight"])
        scene.delete(INTRODUCTIONS, name)
        compare(scene, before, data)
        before = owned(scene)


def test_a_suspended_partner_who_announces_its_authority(scene: Scene) -> None:
    """Two trust domains of one operator, each the other's partner."""
    scene.add_domain("org-z")
    scene.wait("trustdomains", "org-z", "Ready", status="True")
    domains = {name: scene.get("trustdomains", name) for name in ("org-a", "org-z")}
    pem = domains["org-a"]["status"]["certificateAuthority"]["certificate"]
    endpoint = {
        "url": domains["org-a"]["spec"]["endpoint"]["url"],
        "verifier": {"certificateAuthority": {"pem": pem}},
    }
    for ours, theirs in (("org-a", "org-z"), ("org-z", "org-a")):
        scene.add_peer(
            f"{theirs}-of-{ours}",
            ours,
            kernelId=scene.kernel(theirs),
            endpoint=endpoint,
            trustAnchors=[{"publicKey": domains[theirs]["status"]["publicKey"]}],
        )
    name = "org-z-of-org-a"
    scene.wait(PEERS, name, "AuthoritiesAnnounced", kind="AuthoritiesKnown", seconds=60)
    scene.add_identity("watcher", clients=[name], services={"mode": "Listed"})
    scene.wait(IDENTITIES, "watcher", "Ready", status="True")
    wait_for(lambda: set(scene.secret(f"{name}-ca") or {}) == ANNOUNCED, "what they announce")
    wait_for(lambda: scene.kernel("org-z") in scene.listed_peers(), "the list of org-a")
    wait_for(lambda: scene.kernel("org-a") in scene.listed_peers("org-z"), "the list of org-z")
    settle(scene)
    before = owned(scene)
    data = plan(scene, "suspend", f"fpeer/{name}")
    assert changed(data, f"{name}-ca") == {"loses": ["ca.crl", "statement.json"], "changes": ["ca.crt"]}
    assert changed(data, "watcher-known-clients")["gains"] == ["nobody.crt"]
    scene.patch(PEERS, name, {"spec": {"state": "Suspended"}})
    compare(scene, before, data)


def test_an_alias_that_somebody_else_gets_is_said_to_be_unknown(scene: Scene) -> None:
    scene.add_identity("onlooker")
    scene.wait(IDENTITIES, "onlooker", "Ready", status="True")
    names = ("one-of-two", "two-of-two")
    for name in names:
        scene.add(SERVICES, name, url=f"https://{name}.example", alias="fought-over")

    def refused() -> str | None:  # of one second the UID decides
        found = [
            name for name in names if condition_of(scene.get(SERVICES, name)).get("reason") == "AliasConflict"
        ]
        return found[0] if len(found) == 1 else None

    rival = wait_for(refused, "one that is refused")
    kept = next(name for name in names if name != rival)
    scene.wait(SERVICES, kept, "Ready", status="True")
    wait_for(lambda: "fought-over" in aliases(scene, "onlooker"), "the alias")
    data = plan(scene, "delete", f"tsvc/{kept}")
    assert any(f"trustedservice/{rival} has the alias fought-over too" in note for note in data["notes"])
    scene.delete(SERVICES, kept)
    scene.wait(SERVICES, rival, "Ready", status="True")


def test_a_deleted_identity(scene: Scene) -> None:
    before, data = planned(scene, "seven", "delete", "workloadidentity/client-seven")
    assert len([each for each in data["secrets"] if each["deleted"]]) >= 4 + len(EVERY) - 1
    scene.delete(IDENTITIES, "client-seven")
    compare(scene, before, data)
    for each in data["introductions"]:
        scene.wait(INTRODUCTIONS, each["name"], "AwaitingIdentity")


def test_status_shows_all_five_kinds_as_a_tree(scene: Scene) -> None:
    furnish(scene, "nine")
    data = json.loads(run(scene, "status", "-o", "json").stdout)
    below = {f"{each['kind']}/{each['name']}": each["below"] for each in data["items"]}
    assert below["TrustDomain/org-a"] is None
    assert below["FederationPeer/b-nine"] == below["WorkloadIdentity/client-nine"] == "trustdomain/org-a"
    assert below["TrustedService/api-nine"] == below["Introduction/from-b-nine"] == "federationpeer/b-nine"
    assert below["Introduction/by-hand-nine"] == "workloadidentity/client-nine"
    assert below["Introduction/for-anybody-nine"] == "trustdomain/org-a"
    assert below["TrustedService/web-nine"] is None
    ours = [each for each in data["items"] if each["name"].endswith("-nine")]
    assert all(each["ready"] == "True" for each in ours)
    (identity,) = [each for each in ours if each["name"] == "client-nine"]
    assert identity["until"] == scene.get(IDENTITIES, "client-nine")["status"]["notAfter"]
    scene.patch(PEERS, "b-nine", {"spec": {"state": "Suspended"}})
    scene.wait(SERVICES, "api-nine", "Suspended", status="False")
    scene.wait(INTRODUCTIONS, "from-b-nine", "Suspended", status="False")
    text = run(scene, "status").stdout
    assert text.index("federationpeer/b-nine") < text.index("federationpeer/c-nine")
    assert "trustedservice/api-nine:" not in text
    assert "bilateral status" not in run(scene, "status", "--exit-code", "wid/client-nine").stderr


def test_what_awaits_approval_names_the_command(scene: Scene) -> None:
    subject = (scene.secret("server-nine-identity") or {})["tls.crt"].decode()
    scene.add(INTRODUCTIONS, "asked", issue={"trustDomain": "org-a", "subject": subject})
    scene.wait(INTRODUCTIONS, "asked", "AwaitingApproval")
    text = run(scene, "status", "intro/asked").stdout
    assert "  Yours: bilateral approve asked, or bilateral deny asked.\n" in text
    assert "CN=server-nine" in text


def test_with_the_rights_to_some_kinds_only(scene: Scene) -> None:
    role = {
        "metadata": {"name": "some"},
        "rules": [
            {
                "apiGroups": ["bilateral.dev"],
                "resources": ["trustdomains", "federationpeers", "trustedservices"],
                "verbs": ["get", "list"],
            }
        ],
    }
    binding = {
        "metadata": {"name": "some"},
        "subjects": [{"kind": "ServiceAccount", "name": "some", "namespace": scene.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"},
    }
    base = f"/api/v1/namespaces/{scene.namespace}/serviceaccounts"
    assert scene.cluster.request("POST", base, {"metadata": {"name": "some"}}).status == 201
    kubeconfig = scene.cluster.service_account_kubeconfig(scene.namespace, "some")
    assert run(scene, "status", kubeconfig=kubeconfig).returncode == 3
    for plural, body in (("roles", role), ("rolebindings", binding)):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{scene.namespace}/{plural}"
        assert scene.cluster.request("POST", path, body).status == 201

    def is_seen() -> bool:  # RBAC takes a moment
        return run(scene, "status", kubeconfig=kubeconfig).returncode == 0

    wait_for(is_seen, "the rights")
    text = run(scene, "status", kubeconfig=kubeconfig).stdout
    assert (
        "Not seen, since you may not list them: workloadidentities, introductions, federationpolicies."
        in text
    )
    assert "trustedservice/api-nine" in text
    done = run(scene, "plan", "delete", "fpeer/c-nine", kubeconfig=kubeconfig)
    assert done.returncode == 0
    assert "trustedservice/either-nine (PeerNotFound)" in done.stdout
    assert (
        "you may not read it: introductions, workloadidentities, federationpolicies, secrets." in done.stdout
    )


def test_last_of_all_the_trust_domain_is_deleted(scene: Scene) -> None:
    scene.add_peer("spare")
    before = owned(scene)
    data = plan(scene, "delete", "trustdomain/org-a")
    assert len([each for each in data["secrets"] if each["deleted"]]) >= 5
    scene.delete("trustdomains", "org-a")
    expected = names_after(before, data)
    wait_for(
        lambda: {name: set(files) for name, files in owned(scene).items()} == expected,
        "what was planned",
        60,
    )
