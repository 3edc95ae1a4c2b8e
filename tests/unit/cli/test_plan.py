"""bilateral plan: what would be withdrawn, told from objects and Secrets; nothing is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from bilateral.cli.cluster import Object
from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject, rfc4514_name
from bilateral.pki.services import Service
from bilateral.pki.slugs import build_slug
from bilateral.pki.subjects import parse_subject
from bilateral.pki.verifiers import PeerCA, WebPKI
from bilateral.resources.times import format_time
from unit.cli.fakes import NOW, Shell, peer, trust_domain
from unit.cli.parties import identity, introduction, policy, service

MOMENT = datetime.fromtimestamp(NOW, UTC)
KERNEL = "org-b-kernel"
KEY = generate_identity_key("ECDSAP256")


def make_authority(name: str) -> Authority:
    return generate_authority(
        Subject(common_name=name), algorithm="Ed25519", validity_seconds=86_400 * 365, now=MOMENT
    )


THEIRS, OTHERS = make_authority("Org B CA"), make_authority("Org C CA")
SLUG, OTHER = build_slug(THEIRS.certificate), build_slug(OTHERS.certificate)
SERIAL, SECOND = "0" * 39 + "1", "0" * 39 + "2"


def document(authority: Authority, *aliases: str) -> str:
    held = issue_identity(
        authority, Subject(common_name="client1"), KEY.public_key(), validity_seconds=3600, now=MOMENT
    )
    services = tuple(Service(alias, f"https://{alias}.example") for alias in aliases)
    return issue_introduction(
        authority, parse_subject(held.certificate_pem), services, 3600, MOMENT
    ).to_json()


def accept(name: str, partner: str, authority: Authority, *aliases: str, identity: str = "client1") -> Object:
    spec = {"identity": identity, "peer": partner, "introduction": document(authority, *aliases)}
    return introduction(name, accept=spec)


def entry(alias: str, authority: Authority | None = THEIRS, kernel: str | None = KERNEL) -> bytes:
    verifier = WebPKI() if authority is None else PeerCA((authority.certificate,))
    auths = (
        ()
        if authority is None
        else (rfc4514_name(authority.certificate.subject), build_slug(authority.certificate))
    )
    return ServiceEntry(alias, f"https://{alias}.example", verifier, auths, kernel, "canary-token").to_yaml()


def issued(serial: str, owner: str, kind: str = "Introduction", **more: Any) -> bytes:
    line = {
        "serial": serial,
        "subject": f"CN={owner}",
        "notAfter": format_time(NOW + 3600),
        "authority": "self-slug",
        "owner": {"kind": kind, "uid": f"uid-{owner}", "name": owner},
        **more,
    }
    return json.dumps(line).encode() + b"\n"


AUTHORITIES = {
    "subject": "CN=Org B CA",
    "fingerprint": THEIRS.fingerprint,
    "notAfter": format_time(NOW + 9_000),
}


def partner(name: str, authority: Authority, **changes: Any) -> Object:
    shown = AUTHORITIES | {"fingerprint": authority.fingerprint}
    return peer(name, status={"certificateAuthorities": [shown]}, **changes)


@pytest.fixture
def shell() -> Shell:
    """Org B runs a service that client1 may call; each introduced a party of the other's."""
    shell = Shell()
    put(shell, trust_domain(), partner("org-b", THEIRS), partner("org-c", OTHERS), identity(), service())
    put(shell, identity("api", clients=["self", "org-b", "org-c"], services={"mode": "Listed"}))
    put(shell, accept("from-b", "org-b", THEIRS, "carried"))
    subject = issue_identity(
        THEIRS, Subject(common_name="theirs"), KEY.public_key(), validity_seconds=3600, now=MOMENT
    ).certificate_pem.decode()
    put(
        shell,
        introduction(
            "for-b",
            issue={"trustDomain": "org-a", "peer": "org-b", "subject": subject, "approval": "Approved"},
            status={"introduction": document(THEIRS)},
            subject="CN=theirs",
        ),
    )
    ours = NOBODY_PEM
    secret(shell, "client1-identity", "client1", {"tls.crt": ours, "tls.key": b"canary-key"})
    secret(shell, "client1-id-chains", "client1", {f"{SLUG}.crt": THEIRS.certificate_pem})
    secret(
        shell,
        "client1-known-servers",
        "client1",
        {
            "self.crt": ours,
            f"{SLUG}.crt": THEIRS.certificate_pem,
            "org2-api.yaml": entry("org2-api"),
            "carried.yaml": entry("carried"),
        },
    )
    secret(shell, "client1-known-clients", "client1", {"self.crt": ours, "self.crl": b""})
    secret(shell, "api-known-clients", "api", clients("self", SLUG, OTHER))
    secret(shell, "org-b-ca", "org-b", {"ca.crt": THEIRS.certificate_pem, "ca.crl": b"x", "sequence": b"1"})
    secret(shell, "org-c-ca", "org-c", {"ca.crt": OTHERS.certificate_pem, "sequence": b"1"})
    secret(
        shell,
        "org-a-peers",
        "org-a",
        {
            "peers.json": b'[{"kernelId":"org-b-kernel"}]',
            "peer-entries.json": b'[{"peer_id":"org-b-kernel"}]',
        },
    )
    record = issued(SERIAL, "for-b") + issued(SECOND, "client1", "WorkloadIdentity") + b"not json\n"
    secret(shell, "org-a-issued", "org-a", {"issued.jsonl": record})
    secret(
        shell,
        "org-a-authority",
        "org-a",
        {"self.crl": b"", "statement.json": b"{}", "generations.json": b"[]"},
    )
    return shell


def put(shell: Shell, *objects: Object) -> None:
    plurals = {"WorkloadIdentity": "workloadidentities", "FederationPolicy": "federationpolicies"}
    for obj in objects:
        shell.cluster.add(plurals.get(obj["kind"], f"{obj['kind'].lower()}s"), obj)


def secret(shell: Shell, name: str, owner: str, data: dict[str, bytes]) -> None:
    shell.cluster.secrets["trust", name] = data
    shell.cluster.owners[name] = f"uid-{owner}"


def files(shell: Shell, name: str) -> dict[str, bytes]:
    found = shell.cluster.secrets["trust", name]
    assert isinstance(found, dict)
    return found


def clients(*stems: str) -> dict[str, bytes]:
    found = {f"{stem}{suffix}": b"" for stem in stems for suffix in (".crt", ".crl")}
    for stem, kernel in ((SLUG, KERNEL), (OTHER, "org-c-kernel")):
        if stem in stems:
            found[f"{stem}.yaml"] = f"peers:\n- {kernel}\n".encode()
    return found


def run(shell: Shell, action: str, reference: str) -> dict[str, Any]:
    result = shell.run("plan", action, reference, "-o", "json")
    assert result.exit_code == 0, result.stderr
    assert "canary" not in result.stdout
    data: dict[str, Any] = json.loads(result.stdout)
    return data


SIGNED_ANEW = {"self.crl", "issued.jsonl", "statement.json"}


def changes(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What happens to each Secret, without what does not, and without lists that are signed anew."""
    found: dict[str, dict[str, Any]] = {}
    for each in data["secrets"]:
        kept = {key: value for key, value in each.items() if key != "name" and value}
        kept["changes"] = [file for file in each["changes"] if file not in SIGNED_ANEW]
        left = {key: value for key, value in kept.items() if value}
        if left:
            found[each["name"]] = left
    return found


def signed_anew(data: dict[str, Any]) -> dict[str, list[str]]:
    """The files that say what was withdrawn, by Secret."""
    found = {each["name"]: sorted(SIGNED_ANEW & set(each["changes"])) for each in data["secrets"]}
    return {name: files for name, files in found.items() if files}


def test_deleting_a_partner_takes_everything_that_followed_from_it(shell: Shell) -> None:
    data = run(shell, "delete", "federationpeer/org-b")
    assert data["partners"] == [{"name": "org-b", "reason": "PeerNotFound"}]
    (lost,) = data["services"]
    assert (lost["name"], lost["reason"], lost["identities"]) == ("org2-api", "PeerNotFound", ["client1"])
    assert [(each["alias"], each["identity"]) for each in data["introducedServices"]] == [
        ("carried", "client1")
    ]
    assert {each["name"]: each["effect"] for each in data["introductions"]} == {
        "from-b": "Uninstalled",
        "for-b": "Withdrawn",
    }
    assert data["chains"] == [{"identity": "client1", "slug": SLUG, "introduction": "from-b"}]
    assert data["clients"] == [{"identity": "api", "partner": "org-b"}]
    assert [each["serial"] for each in data["certificates"]] == [SERIAL]
    assert changes(data) == {
        "client1-id-chains": {"loses": [f"{SLUG}.crt"]},
        "client1-known-servers": {"loses": sorted([f"{SLUG}.crt", "carried.yaml", "org2-api.yaml"])},
        "api-known-clients": {"loses": [f"{SLUG}.crl", f"{SLUG}.crt", f"{SLUG}.yaml"]},
        "org-b-ca": {"deleted": True},
        "org-a-peers": {"changes": ["peer-entries.json", "peers.json"]},
    }
    assert any("revocation list at once" in note for note in data["notes"])
    assert any("only they can withdraw it" in note for note in data["notes"])


def test_a_suspended_partner_keeps_its_object_and_an_empty_secret(shell: Shell) -> None:
    files(shell, "org-b-ca")["statement.json"] = b"{}"
    data = run(shell, "suspend", "fpeer/org-b")
    assert data["services"][0]["reason"] == "Suspended"
    assert changes(data)["org-b-ca"] == {"loses": ["ca.crl", "statement.json"], "changes": ["ca.crt"]}
    deleted = changes(run(shell, "delete", "fpeer/org-b"))
    assert {name for name in deleted if deleted[name].get("deleted")} == {"org-b-ca"}
    assert {name: each for name, each in deleted.items() if name != "org-b-ca"} == {
        name: each for name, each in changes(data).items() if name != "org-b-ca"
    }


def test_a_partner_that_nothing_follows_from(shell: Shell) -> None:
    put(shell, peer("org-d"))
    text = shell.run("plan", "suspend", "federationpeer/org-d").stdout
    assert text.startswith("Suspending federationpeer/org-d would withdraw:\n\nPartners that would count")
    put(shell, peer("org-e", ready="False", reason="AwaitingPartner", left=None))
    assert shell.run("plan", "delete", "fpeer/org-e").stdout == (
        "Deleting federationpeer/org-e would withdraw nothing.\n"
    )


def test_what_is_suspended_already_and_what_cannot_be(shell: Shell) -> None:
    put(shell, partner("org-b", THEIRS, state="Suspended"))
    assert shell.run("plan", "suspend", "fpeer/org-b").exit_code == 1
    assert shell.run("plan", "suspend", "tdom/org-a").exit_code == 2
    assert shell.run("plan", "suspend", "fpeer/nobody").exit_code == 1


@pytest.mark.parametrize("reference", ["org-b", "pod/x", "federationpeer/", "/x", ""])
def test_what_is_no_reference_is_an_error_of_usage(shell: Shell, reference: str) -> None:
    result = shell.run("plan", "delete", reference)
    assert result.exit_code == 2
    assert "KIND/NAME" in result.stderr


def test_what_is_not_there_exits_with_1(shell: Shell) -> None:
    assert shell.run("plan", "delete", "tsvc/nobody").exit_code == 1


def test_an_introduction_that_we_issued_enters_the_list(shell: Shell) -> None:
    data = run(shell, "delete", "introduction/for-b")
    assert [each["serial"] for each in data["certificates"]] == [SERIAL]
    assert changes(data) == {}
    assert signed_anew(data) == {
        "org-a-issued": ["issued.jsonl"],
        "org-a-authority": ["self.crl", "statement.json"],
        "client1-known-clients": ["self.crl"],
        "api-known-clients": ["self.crl"],
    }
    assert data["introductions"][0]["effect"] == "Withdrawn"
    text = shell.run("plan", "delete", "introduction/for-b").stdout
    assert "  2 known-clients: our revocation list in it changes\n" in text


def test_what_is_withdrawn_or_over_already_is_not_withdrawn_again(shell: Shell) -> None:
    record = issued(SERIAL, "for-b", withdrawnAt=format_time(NOW)) + issued(
        SECOND, "for-b", notAfter=format_time(NOW - 1)
    )
    files(shell, "org-a-issued")["issued.jsonl"] = record
    data = run(shell, "delete", "introduction/for-b")
    assert data["certificates"] == []
    assert signed_anew(data) == {}


def test_the_record_goes_on_in_other_secrets_and_is_only_the_owners(shell: Shell) -> None:
    third = "0" * 39 + "3"
    secret(shell, "org-a-issued-1", "org-a", {"issued.jsonl": issued(third, "for-b")})
    assert len(run(shell, "delete", "introduction/for-b")["certificates"]) == 2
    shell.cluster.owners["org-a-issued-1"] = "uid-somebody"
    assert len(run(shell, "delete", "introduction/for-b")["certificates"]) == 1


def test_an_installed_introduction_takes_its_chain_and_its_services(shell: Shell) -> None:
    data = run(shell, "delete", "intro/from-b")
    assert changes(data) == {
        "client1-id-chains": {"loses": [f"{SLUG}.crt"]},
        "client1-known-servers": {"loses": ["carried.yaml"]},
    }
    assert data["services"] == []


def test_another_introduction_by_the_same_authority_keeps_the_chain(shell: Shell) -> None:
    put(shell, accept("second", "org-b", THEIRS, "carried"))
    data = run(shell, "delete", "intro/from-b")
    assert changes(data) == {}
    assert (data["chains"], data["introducedServices"]) == ([], [])
    # One that does not count keeps nothing.
    shell.cluster.objects["introductions", "trust", "second"]["status"]["conditions"][0]["status"] = "False"
    assert changes(run(shell, "delete", "intro/from-b")) != {}


def test_an_alias_that_a_person_gave_is_not_the_introductions_to_lose(shell: Shell) -> None:
    put(shell, service("carried"))
    data = run(shell, "delete", "intro/from-b")
    assert changes(data) == {"client1-id-chains": {"loses": [f"{SLUG}.crt"]}}
    assert data["introducedServices"] == []


def test_deleting_a_service_takes_its_file_unless_somebody_else_has_the_alias(shell: Shell) -> None:
    data = run(shell, "delete", "trustedservice/org2-api")
    assert data["services"][0]["reason"] == "ServiceNotFound"
    # The authority stays for the other service.
    assert changes(data) == {"client1-known-servers": {"loses": ["org2-api.yaml"]}}
    put(shell, service("rival", alias="org2-api", ready="False", reason="AliasConflict"))
    data = run(shell, "delete", "trustedservice/org2-api")
    assert changes(data) == {}
    assert data["notes"][0].startswith("trustedservice/rival has the alias org2-api too and would get it")
    # Deleting another one does not make the rival's turn.
    assert run(shell, "delete", "intro/from-b")["notes"][0].startswith("What another authority signed")


def test_an_introduction_takes_over_the_alias_of_a_deleted_service_and_not_of_a_refused_one(
    shell: Shell,
) -> None:
    put(shell, accept("from-c", "org-c", OTHERS, "org2-api"))
    data = run(shell, "delete", "tsvc/org2-api")
    assert changes(data) == {"client1-known-servers": {"changes": ["org2-api.yaml"]}}
    assert data["notes"][0].startswith("introduction/from-c has the alias org2-api too and would get it")
    assert "org2-api.yaml" in changes(run(shell, "delete", "fpeer/org-b"))["client1-known-servers"]["loses"]


def test_only_those_who_may_see_a_service_lose_it(shell: Shell) -> None:
    secret(shell, "api-known-servers", "api", {"org2-api.yaml": entry("org2-api")})
    data = run(shell, "delete", "tsvc/org2-api")
    assert "api-known-servers" not in changes(data)
    assert data["services"][0]["identities"] == ["client1"]


def test_deleting_an_identity_takes_its_secrets_and_its_certificates(shell: Shell) -> None:
    data = run(shell, "delete", "wid/client1")
    assert data["identities"] == ["client1"]
    assert {name for name, each in changes(data).items() if each == {"deleted": True}} == {
        "client1-identity",
        "client1-id-chains",
        "client1-known-servers",
        "client1-known-clients",
    }
    assert [each["serial"] for each in data["certificates"]] == [SECOND]
    assert [each["name"] for each in data["introductions"]] == ["from-b"]
    assert data["services"] == []


def test_deleting_a_trust_domain_takes_its_partners_and_what_it_signed(shell: Shell) -> None:
    data = run(shell, "delete", "trustdomain/org-a")
    assert [each["name"] for each in data["partners"]] == ["org-b", "org-c"]
    assert data["identities"] == ["api", "client1"]
    assert {each["name"]: each["effect"] for each in data["introductions"]} == {
        "from-b": "Uninstalled",
        "for-b": "Unsupported",
    }
    found = changes(data)
    assert found["api-known-clients"]["gains"] == ["nobody.crt"]
    assert found["client1-known-clients"] == {"loses": ["self.crl", "self.crt"], "gains": ["nobody.crt"]}
    assert "self.crt" in found["client1-known-servers"]["loses"]
    assert "client1-identity" not in found
    assert all(
        found[name] == {"deleted": True} for name in ("org-a-peers", "org-a-issued", "org-a-authority")
    )
    assert found["org-b-ca"]["changes"] == ["ca.crt"]
    assert data["certificates"] == []
    assert any("nobody can withdraw it any more" in note for note in data["notes"])


def test_two_partners_with_one_authority_share_its_file(shell: Shell) -> None:
    files(shell, "api-known-clients")[f"{SLUG}.yaml"] = b"peers:\n- org-b-kernel\n- org-c-kernel\n"
    data = run(shell, "delete", "fpeer/org-b")
    assert changes(data)["api-known-clients"] == {"changes": [f"{SLUG}.yaml"]}


def test_a_retained_partner_is_known_by_its_authorities(shell: Shell) -> None:
    del files(shell, "api-known-clients")[f"{SLUG}.yaml"]
    data = run(shell, "delete", "fpeer/org-b")
    assert changes(data)["api-known-clients"] == {"loses": [f"{SLUG}.crl", f"{SLUG}.crt"]}
    files(shell, "org-c-ca")["ca.crt"] = THEIRS.certificate_pem
    assert "api-known-clients" not in changes(run(shell, "delete", "fpeer/org-b"))


def test_the_last_client_leaves_nobody(shell: Shell) -> None:
    secret(shell, "api-known-clients", "api", clients(SLUG))
    assert changes(run(shell, "suspend", "fpeer/org-b"))["api-known-clients"]["gains"] == ["nobody.crt"]


def test_a_secret_for_one_service_is_emptied(shell: Shell) -> None:
    material = {"tls.crt": b"x", "tls.key": b"canary-key", "ca.crt": b"x"}
    for alias in ("org2-api", "carried", "never"):
        secret(shell, f"client1-to-{alias}", "client1", dict(material))
    data = run(shell, "delete", "fpeer/org-b")
    assert changes(data)["client1-to-org2-api"] == changes(data)["client1-to-carried"] == {"emptied": True}
    assert "client1-to-never" not in changes(data)
    # Without the chain there is nothing to show the service that stays.
    found = changes(run(shell, "delete", "intro/from-b"))
    assert found["client1-to-org2-api"] == {"emptied": True}
    # What is emptied already, and somebody else's, is no change.
    secret(shell, "client1-to-org2-api", "client1", material | {"tls.key": b""})
    secret(shell, "client1-to-carried", "somebody", material)
    assert not {"client1-to-org2-api", "client1-to-carried"} & set(
        changes(run(shell, "delete", "fpeer/org-b"))
    )


@pytest.mark.parametrize("authorities", [["org-b", "org-c"], ["org-b", "self"]])
def test_another_chain_that_the_service_accepts_keeps_it_callable(
    shell: Shell, authorities: list[str]
) -> None:
    put(shell, service(authorities=authorities), accept("from-c", "org-c", OTHERS))
    files(shell, "client1-id-chains")[f"{OTHER}.crt"] = OTHERS.certificate_pem
    secret(shell, "client1-to-org2-api", "client1", {"tls.crt": b"x", "tls.key": b"k"})
    found = changes(run(shell, "delete", "intro/from-b"))
    assert found["client1-to-org2-api"] == {"changes": ["tls.crt"]}
    assert found["client1-known-servers"]["changes"] == ["org2-api.yaml"]
    assert changes(run(shell, "suspend", "fpeer/org-c")) == {
        "api-known-clients": {"loses": sorted(f"{OTHER}{suffix}" for suffix in (".crl", ".crt", ".yaml"))},
        "client1-id-chains": {"loses": [f"{OTHER}.crt"]},
        "org-c-ca": {"changes": ["ca.crt"]},
    }
    put(shell, service(authorities=["org-b"]))
    assert changes(run(shell, "delete", "intro/from-b"))["client1-to-org2-api"] == {
        "emptied": True,
        "gains": ["ca.crt"],
    }


def test_a_service_whose_only_authorities_go_is_refused(shell: Shell) -> None:
    put(shell, service("other", peer="org-c", authorities=["org-b"]))
    put(shell, service("either", peer="org-c", authorities=["org-b", "org-c"]))
    put(shell, service("own", peer="org-c", authorities=["org-b", "self"]))
    lost = {each["name"]: each["reason"] for each in run(shell, "delete", "fpeer/org-b")["services"]}
    assert lost == {"org2-api": "PeerNotFound", "other": "AuthorityUnknown"}


def test_an_earlier_authority_leaves_with_the_last_that_chains_to_it(shell: Shell) -> None:
    old = "org-a-ca-" + "0" * 20
    files(shell, "org-a-issued")["issued.jsonl"] = issued(SERIAL, "for-b", authority=old)
    files(shell, "org-a-authority")[f"{old}.crl"] = b""
    files(shell, "client1-known-servers")[f"{old}.crt"] = b""
    files(shell, "client1-known-clients").update({f"{old}.crt": b"", f"{old}.crl": b""})
    found = changes(run(shell, "delete", "intro/for-b"))
    assert found["org-a-authority"]["loses"] == [f"{old}.crl"]
    assert found["client1-known-servers"]["loses"] == [f"{old}.crt"]
    assert found["client1-known-clients"]["loses"] == [f"{old}.crl", f"{old}.crt"]
    files(shell, "org-a-issued")["issued.jsonl"] += issued(SECOND, "client1", authority=old)
    found = changes(run(shell, "delete", "intro/for-b"))
    # Its own key signs the list that names it; the newest authority's list stays as it is.
    assert found["org-a-authority"] == found["client1-known-clients"] == {"changes": [f"{old}.crl"]}
    assert "self.crl" not in str(run(shell, "delete", "intro/for-b"))


def test_workloads_that_are_rolled_out_are_named(shell: Shell) -> None:
    put(shell, identity(rollouts=[{"kind": "Deployment", "name": "web"}]))
    data = run(shell, "delete", "intro/from-b")
    assert data["rollouts"] == [{"identity": "client1", "workload": "Deployment/web"}]
    assert run(shell, "delete", "intro/for-b")["rollouts"] == []


def test_without_the_right_to_list_secrets_the_rest_is_told(shell: Shell) -> None:
    shell.cluster.refused = {"list secrets"}
    data = run(shell, "delete", "fpeer/org-b")
    assert data["notSeen"] == ["secrets"]
    assert (data["secrets"], data["certificates"]) == ([], [])
    assert data["services"]
    assert data["chains"]
    text = shell.run("plan", "delete", "fpeer/org-b").stdout
    assert text.endswith("Not seen, since you may not read it: secrets. More may be withdrawn.\n")


def test_an_introduction_in_a_secret_is_read_where_that_is_permitted(shell: Shell) -> None:
    spec = {"identity": "client1", "peer": "org-b", "introductionSecretRef": {"name": "handed-over"}}
    put(shell, introduction("from-b", accept=spec))
    assert run(shell, "delete", "fpeer/org-b")["chains"] == []  # nobody knows what is in it
    shell.cluster.secrets["trust", "handed-over"] = {
        "introduction.json": document(THEIRS, "carried").encode()
    }
    assert run(shell, "delete", "fpeer/org-b")["chains"][0]["slug"] == SLUG
    shell.cluster.refused = {"secret"}
    assert run(shell, "delete", "fpeer/org-b")["notSeen"] == ["secrets/handed-over"]


def test_the_text_has_every_list_and_is_cut_short_unless_asked(shell: Shell) -> None:
    text = shell.run("plan", "delete", "fpeer/org-b").stdout
    assert "Deleting federationpeer/org-b would withdraw:" in text
    assert (
        "trustedservice/org2-api (PeerNotFound): org2-api → https://org2-api.example:9443, for client1"
        in text
    )
    assert "introduction/for-b: withdrawn: it enters our revocation list (CN=theirs" in text
    assert f"client1-id-chains: loses {SLUG}.crt" in text
    assert "org-b-ca: deleted" in text
    assert "parties of org-b, to api" in text
    for number in range(60):
        put(shell, service(f"more-{number}"))
    text = shell.run("plan", "delete", "fpeer/org-b").stdout
    assert "… and 21 more: --all shows them" in text
    assert "more: --all" not in shell.run("plan", "delete", "fpeer/org-b", "--all").stdout


def test_yaml_is_the_same(shell: Shell) -> None:
    data = run(shell, "delete", "fpeer/org-b")
    assert yaml.safe_load(shell.run("plan", "delete", "fpeer/org-b", "-o", "yaml").stdout) == data


def test_what_breaks_a_rule_and_what_is_going_counts_for_nothing(shell: Shell) -> None:
    shell.cluster.objects["trustedservices", "trust", "org2-api"]["spec"]["url"] = "http://plain"
    shell.cluster.objects["introductions", "trust", "from-b"]["metadata"]["deletionTimestamp"] = "now"
    data = run(shell, "delete", "fpeer/org-b")
    assert (data["services"], data["chains"]) == ([], [])


def test_what_cannot_be_read_in_a_secret_is_left_out_of_account(shell: Shell) -> None:
    files(shell, "client1-known-servers")["carried.yaml"] = b"&a [*a]"
    files(shell, "org-b-ca")["ca.crt"] = b"no certificate"
    files(shell, "api-known-clients")[f"{SLUG}.yaml"] = b"- not: peers"
    data = run(shell, "delete", "tsvc/org2-api")
    # Whatever the unreadable file needs stays.
    assert changes(data) == {"client1-known-servers": {"loses": ["org2-api.yaml"]}}
    assert "api-known-clients" not in changes(run(shell, "delete", "fpeer/org-b"))


def test_a_webpki_service_needs_no_authority(shell: Shell) -> None:
    put(shell, service("web", peer=None))
    files(shell, "client1-known-servers")["web.yaml"] = entry("web", None, None)
    assert changes(run(shell, "delete", "tsvc/web")) == {"client1-known-servers": {"loses": ["web.yaml"]}}
    assert "web.yaml" not in changes(run(shell, "delete", "tdom/org-a"))["client1-known-servers"]["loses"]


def test_deleting_a_policy_takes_only_its_decisions(shell: Shell) -> None:
    put(shell, policy("here"), accept("here", "org-b", THEIRS, "more"))
    data = run(shell, "delete", "fpol/here")
    assert data["policies"] == [{"name": "here", "partnerId": "org-b", "reason": "NoPolicy"}]
    lost = ("partners", "services", "introductions", "chains", "clients", "certificates", "secrets")
    assert not any(data[each] for each in lost)
    assert data["notes"] == [
        "What was introduced under the policy stays valid until its end; what was decided stays in the ledger."
    ]


def test_with_a_rival_gone_the_other_policy_may_count(shell: Shell) -> None:
    put(shell, policy("one", ready="False", reason="PolicyConflict"), policy("two", peer="org-c"))
    data = run(shell, "delete", "federationpolicy/one")
    assert data["policies"] == []
    assert "federationpolicy/two is for the same partner: with this one gone, it may count." in data["notes"]


@pytest.mark.parametrize(
    ("action", "reference", "reason"),
    [
        ("delete", "federationpeer/org-b", "PeerNotFound"),
        ("suspend", "federationpeer/org-b", "Suspended"),
        ("delete", "trustdomain/org-a", "TrustDomainNotFound"),
    ],
)
def test_a_policy_allows_nothing_without_its_partner(
    shell: Shell, action: str, reference: str, reason: str
) -> None:
    put(shell, policy(), policy("elsewhere", peer="org-x", partnerId="org-x"))
    data = run(shell, action, reference)
    assert data["policies"] == [{"name": "org-b-here", "partnerId": "org-b", "reason": reason}]
    shown = shell.run("plan", action, reference).stdout
    assert f"  federationpolicy/org-b-here ({reason}): every call of org-b is refused\n" in shown
