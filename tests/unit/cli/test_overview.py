"""bilateral status of identities, services and introductions: a tree, a sentence each, and never a flood."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from bilateral.cli.cluster import Object
from bilateral.pki.authority import generate_authority
from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.subjects import parse_subject
from unit.cli.fakes import AUTHORITY, NOW, Shell, condition, peer, trust_domain
from unit.cli.parties import identity, introduction, policy, service

MOMENT = datetime.fromtimestamp(NOW, UTC)
ACCEPT = {"identity": "client1", "peer": "org-b", "introductionSecretRef": {"name": "from-org-b"}}
ISSUE = {"trustDomain": "org-a", "peer": "org-b", "subject": AUTHORITY.certificate_pem.decode()}
REQUEST = {"identity": "client1", "peer": "org-b"}
PLURALS = {
    "WorkloadIdentity": "workloadidentities",
    "TrustedService": "trustedservices",
    "Introduction": "introductions",
    "FederationPeer": "federationpeers",
    "FederationPolicy": "federationpolicies",
    "TrustDomain": "trustdomains",
}


def shell_with(*objects: Object) -> Shell:
    """A trust domain, a fresh partner, and these."""
    shell = Shell()
    for obj in (trust_domain(), peer(), *objects):
        shell.cluster.add(PLURALS[obj["kind"]], obj)
    return shell


def items(shell: Shell, *arguments: str) -> dict[str, dict[str, Any]]:
    result = shell.run("status", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return {f"{each['kind']}/{each['name']}": each for each in json.loads(result.stdout)["items"]}


def text(shell: Shell, *arguments: str) -> str:
    result = shell.run("status", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_each_stands_below_what_it_follows_from() -> None:
    by_fingerprint = {
        "identity": "client1",
        "introductionSecretRef": {"name": "x"},
        "authorityFingerprint": "SHA256:" + "0" * 64,
    }
    shell = shell_with(
        identity(),
        service(),
        service("web", peer=None),
        introduction("accepted", accept=ACCEPT),
        introduction("by-hand", accept=by_fingerprint),
        introduction("issued", issue={**ISSUE, "approval": "Approved"}),
        introduction("requested", request=REQUEST),
        policy(),
    )
    names = [line.split("   ")[0] for line in text(shell).splitlines()[1:11]]
    assert names == [
        "trustdomain/org-a",
        "└ federationpeer/org-b",
        "  └ trustedservice/org2-api",
        "  └ introduction/accepted",
        "  └ introduction/issued",
        "  └ introduction/requested",
        "  └ federationpolicy/org-b-here",
        "└ workloadidentity/client1",
        "  └ introduction/by-hand",
        "trustedservice/web",
    ]
    assert text(shell).endswith("10 objects, all ready.\n")


def test_the_row_says_who_and_until_when() -> None:
    shell = shell_with(identity(left=90_000), service(), introduction("issued", issue=ISSUE, left=-60))
    rows = {line.split()[1]: line for line in text(shell).splitlines()[2:6]}
    assert re.split(" {3,}", rows["workloadidentity/client1"])[-2:] == [
        "CN=client1,O=Org A",
        "2026-11-22T15:31:07Z (1 d left)",
    ]
    assert rows["trustedservice/org2-api"].split()[-2:] == ["org2-api.example:9443", "-"]
    assert rows["introduction/issued"].endswith("(1 min ago)")


def test_json_has_what_only_its_kind_has() -> None:
    chain = {
        "authority": "CN=Org B CA",
        "slug": "org-b-ca-" + "0" * 20,
        "notAfter": "2026-11-22T00:00:00Z",
        "introduction": "accepted",
    }
    shell = shell_with(
        identity(status={"chains": [chain]}), service(), introduction("accepted", accept=ACCEPT)
    )
    found = items(shell)
    assert found["WorkloadIdentity/client1"]["chains"] == [
        {"authority": "CN=Org B CA", "until": "2026-11-22T00:00:00Z", "introduction": "accepted"}
    ]
    assert found["WorkloadIdentity/client1"]["below"] == "trustdomain/org-a"
    assert found["WorkloadIdentity/client1"]["until"] == "2026-11-22T14:31:07Z"
    assert found["TrustedService/org2-api"]["verifier"] == "PeerCA"
    assert found["TrustedService/org2-api"]["alias"] == "org2-api"
    assert found["Introduction/accepted"]["form"] == "accept"
    assert found["Introduction/accepted"]["identity"] == "client1"
    assert found["FederationPeer/org-b"]["until"] == found["FederationPeer/org-b"]["freshUntil"]


def test_a_service_without_a_verifier_says_what_the_peer_lacks() -> None:
    shell = shell_with(service(ready="False", reason="NothingPinned", message="Nothing is known."))
    assert (
        "trustedservice/org2-api: no verifier: federationpeer/org-b has neither fingerprints nor authorities.\n"
        "  Yours: set spec.fingerprints or spec.certificateAuthorities of federationpeer/org-b" in text(shell)
    )


def test_a_raw_key_service_is_told_which_fingerprints_are_missing() -> None:
    shell = shell_with(service(ready="False", reason="NothingPinned", transport="RawKey"))
    assert "has no ed25519: fingerprint.\n  Yours: set spec.fingerprints of federationpeer/org-b" in text(
        shell
    )


def test_a_service_without_its_peer_names_it_and_stands_at_the_top() -> None:
    shell = shell_with(service(peer="org-x", ready="False", reason="PeerNotFound"))
    assert "\ntrustedservice/org2-api   False" in text(shell)
    assert "trustedservice/org2-api: federationpeer/org-x is not in this namespace.\n  Yours: create" in text(
        shell
    )


def test_what_awaits_approval_is_yours_and_names_the_command() -> None:
    shell = shell_with(
        introduction("org-b-client1-7c2e", issue=ISSUE, ready="Unknown", reason="AwaitingApproval", left=None)
    )
    assert (
        "introduction/org-b-client1-7c2e: nobody has approved it yet.\n"
        "  Yours: bilateral approve org-b-client1-7c2e, or bilateral deny org-b-client1-7c2e.\n"
    ) in text(shell)


def test_many_that_await_approval_are_one_paragraph() -> None:
    waiting: dict[str, Any] = {"issue": ISSUE, "ready": "Unknown", "reason": "AwaitingApproval", "left": None}
    shell = shell_with(*(introduction(f"wants-{number}", **waiting) for number in range(5)))
    assert (
        "introduction/wants-0, wants-1, wants-2 and 2 more: nobody has approved it yet.\n"
        "  Yours: bilateral approve NAME, or bilateral deny NAME.\n"
    ) in text(shell)
    assert items(shell)["Introduction/wants-3"]["nextStep"].startswith("Yours: bilateral approve wants-3")


@pytest.mark.parametrize(
    ("obj", "step"),
    [
        (
            introduction("NAMELY", issue=ISSUE, ready="False", reason="Denied"),
            "Yours, when it should be signed after all: bilateral approve NAMELY.",
        ),
        (introduction("i", request=REQUEST, ready="False", reason="Denied"), "Theirs: approve it after all"),
        (introduction("i", issue=ISSUE, ready="False", reason="IntroductionExpired"), "Yours: delete it;"),
        (introduction("i", accept=ACCEPT, ready="False", reason="IntroductionExpired"), "Theirs: introduce"),
        (introduction("i", request=REQUEST, ready="False", reason="SubjectRefused"), "Yours: ask with an"),
        (introduction("i", issue=ISSUE, ready="False", reason="SubjectRefused"), "Theirs: send a party's"),
        (identity("w", ready="False", reason="SubjectRefused"), "Yours: create it with another subject"),
        (introduction("i", issue=ISSUE, left=-1), "Yours: start the operator."),
    ],
)
def test_whose_move_it_is_depends_on_the_form(obj: Object, step: str) -> None:
    found = items(shell_with(obj))[f"{obj['kind']}/{obj['metadata']['name']}"]
    assert found["nextStep"].startswith(step)


def test_a_foreign_key_is_told_with_both_keys() -> None:
    authority = generate_authority(
        Subject(organization="Org B", common_name="CA"),
        algorithm="Ed25519",
        validity_seconds=86_400,
        now=MOMENT,
    )
    key = generate_identity_key("ECDSAP256")
    theirs = issue_identity(
        authority, Subject(common_name="client1"), key.public_key(), validity_seconds=3600, now=MOMENT
    )
    document = issue_introduction(authority, parse_subject(theirs.certificate_pem), (), 3600, MOMENT)
    accept = {"identity": "client1", "peer": "org-b", "introduction": document.to_json()}
    held = "SHA256:" + "7f" * 32
    shell = shell_with(
        identity(status={"publicKeyFingerprint": held}),
        introduction(
            "from-org2",
            accept=accept,
            ready="False",
            reason="IdentityKeyMismatch",
            message="Other.",
            left=None,
        ),
    )
    assert (
        "introduction/from-org2: refused: the introduction is signed for another key "
        f"({key_fingerprint(key.public_key())}) than identity client1 holds ({held}).\n  Yours: send them"
    ) in text(shell)


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        (identity(left=-1), "IdentityPending"),
        (identity(left=None), "IdentityPending"),
        (introduction("i", accept=ACCEPT, left=-1), "IntroductionExpired"),
    ],
)
def test_an_end_that_nobody_kept_is_seen_without_the_operator(obj: Object, reason: str) -> None:
    found = items(shell_with(obj))[f"{obj['kind']}/{obj['metadata']['name']}"]
    assert (found["ready"], found["reason"]) == ("False", reason)
    assert "it is probably not running" in found["message"]


def test_at_its_last_second_a_certificate_counts() -> None:
    assert items(shell_with(identity(left=0)))["WorkloadIdentity/client1"]["ready"] == "True"


def test_what_follows_from_a_stale_partner_is_not_ready_whatever_it_says() -> None:
    shell = shell_with(
        service(),
        introduction("accepted", accept=ACCEPT),
        introduction("issued", issue={**ISSUE, "approval": "Approved"}),
    )
    shell.now = NOW + 41_000
    found = items(shell)
    assert found["TrustedService/org2-api"]["reason"] == "PeerStale"
    assert found["Introduction/accepted"]["reason"] == "PeerStale"
    assert found["Introduction/issued"]["ready"] == "True"  # what is out stays until its end
    # It is told once, with the partner.
    assert text(shell).count("Yours: start the operator") == 1


def test_what_a_person_retains_stays() -> None:
    shell = shell_with(service())
    shell.cluster.add("federationpeers", peer(onStale="Retain", left=-1, ready="False", reason="PeerStale"))
    assert items(shell)["TrustedService/org2-api"]["ready"] == "True"


def test_what_is_not_ready_only_because_its_partner_is_not_is_told_once() -> None:
    shell = shell_with(service(ready="False", reason="Suspended", message="A person suspended it."))
    shell.cluster.add("federationpeers", peer(ready="False", reason="Suspended", message="Suspended."))
    assert "trustedservice/org2-api:" not in text(shell)
    assert "federationpeer/org-b: Suspended.\n" in text(shell)
    # On its own it is told.
    assert "trustedservice/org2-api: A person suspended it." in text(shell, "tsvc/org2-api")


def test_remarks_of_what_is_ready() -> None:
    nobody = condition("ChainAvailable", "False", "NoChain", "No authority has signed the identity.")
    late = condition("IdentityIssued", "True", "AuthorityExpired", "The authority is past its end.")
    shell = shell_with(service(conditions=(nobody,)), identity(conditions=(late,)))
    assert (
        "trustedservice/org2-api: ChainAvailable: No authority has signed the identity.\n  Theirs:"
        in text(shell)
    )
    assert (
        "workloadidentity/client1: IdentityIssued: The authority is past its end.\n  Yours: name a new"
        in text(shell)
    )
    assert text(shell).endswith("4 objects, all ready.\n")


def test_what_a_partner_announces_is_remarked_upon_only_when_it_is_wrong() -> None:
    shell = shell_with()
    nothing = condition("AuthoritiesKnown", "False", "NotAnnounced", "The partner announces none.")
    shell.cluster.add("federationpeers", peer(conditions=(nothing,)))
    assert "AuthoritiesKnown" not in text(shell)
    wrong = condition("AuthoritiesKnown", "False", "StatementInvalid", "No statement of theirs.")
    shell.cluster.add("federationpeers", peer(conditions=(wrong,)))
    assert "federationpeer/org-b: AuthoritiesKnown: No statement of theirs.\n  Theirs:" in text(shell)


def test_a_thousand_identities_are_a_few_rows_and_one_paragraph() -> None:
    good = [identity(f"good-{number:04}") for number in range(1000)]
    bad = [
        identity(f"zbad-{number:04}", ready="Unknown", reason="OutputsPending", message="Being written.")
        for number in range(200)
    ]
    shell = shell_with(*good, *bad)
    shown = text(shell)
    assert len(shown.splitlines()) < 70
    assert shown.index("workloadidentity/zbad-0000") < shown.index("workloadidentity/good-0000")
    assert "└ … 990 more workloadidentities, ready\n" in shown
    assert "└ … 160 more workloadidentities, not ready\n" in shown
    assert "workloadidentity/zbad-0000, zbad-0001, zbad-0002 and 197 more: Being written." in shown
    assert shown.endswith("1202 objects, 200 not ready.\n--all shows every one.\n")
    whole = text(shell, "--all")
    assert len([line for line in whole.splitlines() if line.startswith("└ workloadidentity/")]) == 1200
    assert "--all" not in whole
    assert len(items(shell)) == 1202


def test_findings_without_end_are_cut_short() -> None:
    odd = [identity(f"i{n}", ready="False", reason="SubjectRefused", message=f"Odd {n}.") for n in range(100)]
    shell = shell_with(*odd)
    assert "60 more findings: --all shows them." in text(shell)
    assert text(shell, "--all").count("SubjectRefused") == 100
    assert text(shell, "--all").count("workloadidentity/i99") == 2


def test_a_partner_with_something_wrong_below_it_is_not_summed_up() -> None:
    partners = [peer(f"p{number:02}") for number in range(30)]
    shell = shell_with(*partners, service(peer="p29", ready="False", reason="NothingPinned"))
    assert "└ trustedservice/org2-api " in text(shell)
    assert "└ … 20 more federationpeers, ready" in text(shell)
    assert next(name for name in items(shell) if name.startswith("FederationPeer/")) == "FederationPeer/p29"


def test_a_kind_that_may_not_be_listed_is_named_and_the_rest_shown() -> None:
    shell = shell_with(identity(), service())
    shell.cluster.refused = {"list workloadidentities", "list introductions"}
    shown = text(shell)
    assert "trustedservice/org2-api" in shown
    assert shown.endswith("Not seen, since you may not list them: workloadidentities, introductions.\n")
    data = json.loads(shell.run("status", "-o", "json").stdout)
    assert data["notSeen"] == ["workloadidentities", "introductions"]
    result = shell.run("status", "client1")
    assert result.exit_code == 1
    assert "you may not list workloadidentities" in result.stderr


def test_with_no_right_at_all_it_ends_with_3() -> None:
    shell = shell_with()
    shell.cluster.refused = {"list"}
    assert shell.run("status").exit_code == 3


@pytest.mark.parametrize("name", ["workloadidentity/client1", "wid/client1", "WorkloadIdentities/client1"])
def test_a_name_may_be_a_reference_of_any_spelling(name: str) -> None:
    shell = shell_with(identity(), introduction("client1", accept=ACCEPT))
    assert list(items(shell, name)) == ["WorkloadIdentity/client1"]
    assert len(items(shell, "client1")) == 2


def test_a_spec_that_breaks_a_rule_is_a_line_of_its_own() -> None:
    broken = identity()
    broken["spec"]["validitySeconds"] = "long"
    found = items(shell_with(broken, service(url="http://plain.example")))
    assert found["WorkloadIdentity/client1"]["reason"] == "InvalidSpec"
    assert "spec.url" in found["TrustedService/org2-api"]["message"]


def test_what_others_wrote_does_not_steer_the_terminal() -> None:
    shell = shell_with(introduction("i", issue=ISSUE, subject="CN=\x1b[2J\u202egone"))
    assert not {"\x1b", "\u202e"} & set(text(shell))


def test_a_policy_says_for_whom_up_to_which_tier_and_until_when_the_news_is_fresh() -> None:
    row = next(line for line in text(shell_with(policy())).splitlines() if "└ federationpolicy/" in line)
    assert re.split(" {3,}", row.strip())[1:] == [
        "True",
        "Ready",
        "org-b, up to Delegated",
        "2026-11-21T14:45:07Z (14 min left)",
    ]
    found = items(shell_with(policy()))["FederationPolicy/org-b-here"]
    assert found["below"] == "federationpeer/org-b"
    assert (found["partnerId"], found["peer"], found["maxAutonomyTier"]) == ("org-b", "org-b", "Delegated")
    assert (found["policyHash"], found["trustedIssuers"]) == ("ab" * 32, 1)
    assert found["revocations"] == {
        "url": "https://trust.org-b.example:8940/v1/revocations/feed",
        "source": "SignedFeed",
        "signed": True,
        "entries": 2,
        "freshUntil": "2026-11-21T14:45:07Z",
    }


def test_a_policy_without_a_feed_has_no_news() -> None:
    found = items(shell_with(policy(revocationFeed=None, age=None)))["FederationPolicy/org-b-here"]
    assert (found["ready"], found["until"], found["revocations"]) == ("True", None, None)


def test_news_is_too_old_at_its_second_and_no_later_than_evidence_may_be() -> None:
    assert items(shell_with(policy(age=899)))["FederationPolicy/org-b-here"]["ready"] == "True"
    for late in (policy(age=900), policy(age=60, maxEvidenceAgeSeconds=60)):
        shell = shell_with(late)
        found = items(shell)["FederationPolicy/org-b-here"]
        assert (found["ready"], found["reason"]) == ("False", "RevocationFeedStale")
        assert "  Yours: start the operator. Until then every call of this partner is refused." in text(shell)


def test_why_a_feed_cannot_be_read_is_told_before_and_after_the_news_is_too_old() -> None:
    warning = "The news is fresh. The last reading failed (ConnectionFailed): No connection."
    fresh = policy(conditions=(condition("RevocationFresh", "True", "Fresh", warning),))
    assert f"federationpolicy/org-b-here: RevocationFresh: {warning}\n  Both: " in text(shell_with(fresh))
    stale = policy(
        ready="False",
        reason="RevocationFeedStale",
        message="Too old.",
        age=1000,
        conditions=(condition("RevocationFresh", "False", "ConnectionFailed", "No connection."),),
    )
    shown = text(shell_with(stale))
    assert "federationpolicy/org-b-here: Too old.\n  Yours: see the policy's condition" in shown
    assert "federationpolicy/org-b-here: RevocationFresh: No connection.\n  Both: " in shown


def test_a_policy_of_nobody_stands_at_the_top_and_names_its_peer() -> None:
    shown = text(shell_with(policy(peer="org-x", ready="False", reason="PeerNotFound", age=None)))
    assert "\nfederationpolicy/org-b-here   False" in shown
    assert (
        "federationpolicy/org-b-here: federationpeer/org-x is not in this namespace.\n  Yours: create"
        in shown
    )


def test_a_policy_that_names_the_partner_otherwise_names_both() -> None:
    shown = text(shell_with(policy(ready="False", reason="PartnerIdMismatch", age=None)))
    assert (
        "federationpeer/org-b has another operatorId than org-b, so every call is refused.\n  Yours: "
        in shown
    )


def test_a_policy_counts_only_while_its_partner_does() -> None:
    retained = peer(onStale="Retain", left=-1, ready="False", reason="PeerStale", message="Too late.")
    for partner in (peer(left=-1), retained):
        shell = shell_with(policy(revocationFeed=None, age=None))
        shell.cluster.add("federationpeers", partner)
        assert items(shell)["FederationPolicy/org-b-here"]["reason"] == "PeerStale"
        assert "federationpolicy/org-b-here:" not in text(shell)  # it is told with the partner


def test_a_policy_that_breaks_a_rule_stands_below_its_partner() -> None:
    broken = policy(trustedIssuers=[{"publicKey": "00" * 32}])
    found = items(shell_with(broken))["FederationPolicy/org-b-here"]
    assert (found["below"], found["ready"], found["reason"]) == ("federationpeer/org-b", "False", "WeakKey")
