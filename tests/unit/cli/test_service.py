"""bilateral service explain: which verifier, which chain and why; or why not, and the next step."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bilateral.resources.times import format_time
from unit.cli.explained import DN, SLUG, THEIRS, URL, entry, explain, furnished, identity, service
from unit.cli.fakes import AUTHORITY, NOW, Shell, peer
from unit.pki.material import YEAR


@pytest.fixture
def shell() -> Shell:
    return furnished()


def test_all_well_says_which_verifier_and_which_chain_and_why(shell: Shell) -> None:
    result = shell.run("service", "explain", "org2-api")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"org2-api → {URL} (trustedservice/org2-api)",
        "Run by federationpeer/org-b (org-b-kernel), pinned until 2026-11-22T01:54:27Z (11 h 23 min left).",
        "Verified by PeerCA: the peer lists no SHA256: fingerprint, and its authorities are pinned.",
        f"  {THEIRS.fingerprint}",
        "",
        f"IDENTITY   CALLS   {'SHOWS':<{len(SLUG)}}   {'BY':<{len(DN)}}   UNTIL",
        f"client1    yes     {SLUG}   {DN}   2026-11-22T14:31:07Z (1 d left)",
    ]


def test_json_and_yaml_carry_every_fact(shell: Shell) -> None:
    code, data = explain(shell)
    assert code == 0
    assert yaml.safe_load(shell.run("service", "explain", "org2-api", "-o", "yaml").stdout) == data
    (caller,) = data.pop("callers")
    assert data == {
        "alias": "org2-api",
        "url": URL,
        "origin": "trustedservice/org2-api",
        "transport": "X509",
        "peer": "org-b",
        "peerKernelId": "org-b-kernel",
        "freshUntil": "2026-11-22T01:54:27Z",
        "callable": True,
        "reason": "Ready",
        "message": "",
        "nextStep": None,
        "verifier": "PeerCA",
        "why": "the peer lists no SHA256: fingerprint, and its authorities are pinned",
        "pinned": [THEIRS.fingerprint],
        "bearerTokenSecret": None,
        "alsoClaimedBy": [],
        "notSeen": [],
    }
    assert (caller["identity"], caller["calls"], caller["shows"], caller["authority"]) == (
        "client1",
        True,
        SLUG,
        DN,
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PeerStale", "see why handshakes fail"),
        ("Suspended", "spec.state: Active"),
        ("NothingPinned", "authority statement"),
        ("VerifierContradictsPeer", "leave out spec.verifier"),
        ("AliasConflict", "delete one of the two"),
        ("AliasShadowsService", "another alias"),
        ("SecretNotFound", "bilateral.dev/secret: referenced"),
        ("UnknownRawKeyPeer", "Yours"),
        ("TokenInvalid", "bearerTokenSecretRef"),
    ],
)
def test_a_refusal_is_a_reason_and_a_next_step_and_exits_with_1(
    shell: Shell, reason: str, words: str
) -> None:
    shell.cluster.add(
        "trustedservices", service(ready="False", reason=reason, message="What was found.", verifier=None)
    )
    result = shell.run("service", "explain", "org2-api")
    assert result.exit_code == 1
    assert f"Refused ({reason}): What was found.\n" in result.stdout
    assert words in result.stdout
    assert "Verified by" not in result.stdout
    code, data = explain(shell, "--identity", "client1")
    assert (code, data["callable"], data["reason"]) == (1, False, reason)
    assert data["verifier"] is None
    assert [caller["reason"] for caller in data["callers"]] == [reason]


def test_a_refused_service_shows_no_verifier_of_before(shell: Shell) -> None:
    """A status that somebody edited, or that is half written, is not taken for an answer."""
    shell.cluster.add("trustedservices", service(ready="False", reason="PeerStale", verifier="PeerCA"))
    _, data = explain(shell)
    assert (data["verifier"], data["pinned"]) == (None, [])


@pytest.mark.parametrize(("left", "code"), [(1, 0), (0, 1), (-60, 1), (None, 1)])
def test_a_deadline_that_nobody_kept_is_seen_without_the_operator(
    shell: Shell, left: int | None, code: int
) -> None:
    shell.cluster.add("federationpeers", peer(left=left))
    found, data = explain(shell)
    assert found == code
    assert data["reason"] == ("Ready" if code == 0 else "PeerStale")


def test_what_a_person_retains_stays_callable(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer(left=-60, onStale="Retain"))
    assert explain(shell)[0] == 0


def test_a_peer_that_is_gone_is_a_refusal_whatever_the_status_says(shell: Shell) -> None:
    del shell.cluster.objects["federationpeers", "trust", "org-b"]
    code, data = explain(shell)
    assert (code, data["reason"], data["verifier"]) == (1, "PeerNotFound", None)


@pytest.mark.parametrize(
    ("status", "generation", "words"),
    [
        ({"conditions": []}, 1, "no operator has looked at it yet"),
        ({}, 2, "changed since the operator last looked"),
    ],
)
def test_a_status_that_is_not_about_this_spec_does_not_count(
    shell: Shell, status: dict[str, Any], generation: int, words: str
) -> None:
    obj = service(status=status)
    obj["metadata"]["generation"] = generation
    shell.cluster.add("trustedservices", obj)
    code, data = explain(shell)
    assert (code, data["callable"]) == (1, False)
    assert words in data["message"]


def test_an_identity_without_a_chain_is_told_who_must_introduce_it(shell: Shell) -> None:
    shell.cluster.add("workloadidentities", identity("client2", chains=False))
    shell.cluster.secrets["trust", "client2-known-servers"] = {"org2-api.yaml": entry()}
    code, data = explain(shell)
    assert code == 0, "the service is not refused"
    assert [(each["identity"], each["calls"], each["reason"]) for each in data["callers"]] == [
        ("client1", True, "ChainAvailable"),
        ("client2", False, "NoChain"),
    ]
    assert DN in data["callers"][1]["message"]
    code, data = explain(shell, "--identity", "client2")
    assert code == 1
    assert [each["identity"] for each in data["callers"]] == ["client2"]
    text = shell.run("service", "explain", "org2-api").stdout
    assert f"client2 (NoChain): the service asks for a chain by {DN}, which has not signed client2.\n" in text
    assert "  Theirs: introduce this identity" in text
    assert explain(shell, "--identity", "client1")[0] == 0


def test_a_service_that_nobody_has_a_chain_for_still_says_its_verifier(shell: Shell) -> None:
    shell.cluster.add("trustedservices", service(ready="False", reason="NoChain", message="None has."))
    shell.cluster.add("workloadidentities", identity(chains=False))
    result = shell.run("service", "explain", "org2-api")
    assert result.exit_code == 1
    assert "Verified by PeerCA" in result.stdout
    assert "Not ready (NoChain): None has." in result.stdout


def test_a_chain_past_its_end_does_not_count(shell: Shell) -> None:
    shell.now = NOW + 86_401
    shell.cluster.add("federationpeers", peer(left=200_000))
    code, data = explain(shell, "--identity", "client1")
    assert (code, data["callers"][0]["reason"]) == (1, "NoChain")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "OutputsPending"),
        ({}, "OutputsPending"),
        ({"org2-api.yaml": b"url: [\n"}, "DirectoryInvalid"),
        ({"org2-api.yaml": b"verifier: Everything\nurl: https://a.example\n"}, "DirectoryInvalid"),
    ],
)
def test_the_pods_own_file_is_what_counts(
    shell: Shell, content: dict[str, bytes] | None, reason: str
) -> None:
    if content is None:
        del shell.cluster.secrets["trust", "client1-known-servers"]
    else:
        shell.cluster.secrets["trust", "client1-known-servers"] = content
    code, data = explain(shell, "--identity", "client1")
    assert (code, data["callers"][0]["reason"]) == (1, reason)


@pytest.mark.parametrize("auths", [(), (AUTHORITY.subject, "own-slug")])
def test_where_our_own_authority_will_do_the_identity_shows_itself(
    shell: Shell, auths: tuple[str, ...]
) -> None:
    shell.cluster.secrets["trust", "client1-known-servers"] = {"org2-api.yaml": entry(auths=auths)}
    _, data = explain(shell, "--identity", "client1")
    (caller,) = data["callers"]
    assert (caller["calls"], caller["shows"], caller["authority"]) == (
        True,
        "its own certificate",
        AUTHORITY.subject,
    )
    assert caller["reason"] == ("ChainAvailable" if auths else "ChainNotNeeded")


def test_only_those_who_may_see_it_are_listed(shell: Shell) -> None:
    shell.cluster.add(
        "workloadidentities", identity("choosy", services={"mode": "Listed", "names": ["other"]})
    )
    assert [each["identity"] for each in explain(shell)[1]["callers"]] == ["client1"]
    code, data = explain(shell, "--identity", "choosy")
    assert (code, data["callers"][0]["reason"]) == (1, "ServiceNotFound")
    assert "spec.services.names" in data["callers"][0]["nextStep"]


def test_an_identity_whose_secrets_are_not_written_waits(shell: Shell) -> None:
    shell.cluster.add("workloadidentities", identity(written=False))
    assert explain(shell)[1]["callers"][0]["reason"] == "OutputsPending"


def test_what_may_not_be_read_is_named_and_worked_out_from_statuses(shell: Shell) -> None:
    shell.cluster.refused.add("secret")
    their = {"subject": DN, "fingerprint": THEIRS.fingerprint, "notAfter": format_time(NOW + YEAR)}
    shell.cluster.add("federationpeers", peer(status={"certificateAuthorities": [their]}))
    shell.cluster.add("workloadidentities", identity("client2", chains=False))
    code, data = explain(shell)
    assert code == 0
    assert data["notSeen"] == ["secrets/client1-known-servers", "secrets/client2-known-servers"]
    assert [(each["shows"], each["reason"]) for each in data["callers"]] == [
        (SLUG, "ChainAvailable"),
        (None, "NoChain"),
    ]
    text = shell.run("service", "explain", "org2-api").stdout
    assert "Not seen, since you may not read it: secrets/client1-known-servers" in text


@pytest.mark.parametrize(
    ("authorities", "shows"),
    [(["self"], "its own certificate"), (["org-b"], SLUG), (["org-c"], SLUG), (["self", "org-b"], SLUG)],
)
def test_named_authorities_are_worked_out_too(shell: Shell, authorities: list[str], shows: str) -> None:
    shell.cluster.refused.add("secret")
    their = {"subject": DN, "fingerprint": THEIRS.fingerprint, "notAfter": format_time(NOW + YEAR)}
    shell.cluster.add("federationpeers", peer(status={"certificateAuthorities": [their]}))
    shell.cluster.add("trustedservices", service(authorities=authorities))
    assert explain(shell)[1]["callers"][0]["shows"] == shows


def test_a_named_authority_that_signed_nobody_is_no_chain(shell: Shell) -> None:
    shell.cluster.refused.add("secret")
    shell.cluster.add("trustedservices", service(authorities=["org-c"]))
    shell.cluster.add("workloadidentities", identity(chains=False))
    assert explain(shell)[1]["callers"][0]["reason"] == "NoChain"


@pytest.mark.parametrize(
    ("spec", "verifier", "pinned", "why"),
    [
        ({"peer": None}, "WebPKI", [], "no peer is named, so public authorities are asked"),
        (
            {"peer": None, "verifier": {"webPKI": {"caBundle": AUTHORITY.certificate_pem.decode()}}},
            "WebPKI",
            [AUTHORITY.fingerprint],
            "no peer is named, and a person gave the bundle that is asked",
        ),
        ({}, "PinnedFingerprint", ["SHA256:" + "1" * 64], "the peer lists SHA256: fingerprints"),
        (
            {"verifier": {"fingerprint": {}}},
            "PinnedFingerprint",
            ["SHA256:" + "1" * 64],
            "spec.verifier narrows that",
        ),
        ({"transport": "RawKey"}, "PinnedRawKey", ["ed25519:" + "1" * 64], "a raw key"),
    ],
)
def test_every_row_says_why(
    shell: Shell, spec: dict[str, Any], verifier: str, pinned: list[str], why: str
) -> None:
    obj = service(status={"pinned": pinned, "verifier": verifier})
    obj["spec"] = {name: value for name, value in {**obj["spec"], **spec}.items() if value is not None}
    shell.cluster.add("trustedservices", obj)
    _, data = explain(shell)
    assert data["verifier"] == verifier
    assert why in data["why"]


def test_the_older_of_two_is_explained_and_the_other_named(shell: Shell) -> None:
    shell.cluster.add(
        "trustedservices", service("newcomer", alias="org2-api", created="2026-11-21T00:00:00Z")
    )
    _, data = explain(shell)
    assert (data["origin"], data["alsoClaimedBy"]) == ("trustedservice/org2-api", ["newcomer"])
    text = shell.run("service", "explain", "org2-api").stdout
    assert "trustedservice/newcomer claims the alias too; the older keeps it." in text


def test_a_token_is_named_and_never_shown(shell: Shell) -> None:
    shell.cluster.add("trustedservices", service(bearerTokenSecretRef={"name": "org2-token"}))
    result = shell.run("service", "explain", "org2-api")
    assert "Sends the bearer token in secrets/org2-token." in result.stdout
    assert "canary" not in result.stdout


def test_an_unknown_alias_and_an_unknown_identity_are_errors(shell: Shell) -> None:
    result = shell.run("service", "explain", "nobody")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: nobody offers nobody in namespace trust")
    assert "TrustedServices there: org2-api" in result.stderr
    result = shell.run("service", "explain", "org2-api", "--identity", "nobody")
    assert result.exit_code == 1
    assert "nobody does not exist" in result.stderr


def test_without_the_right_to_list_services_it_ends_with_3(shell: Shell) -> None:
    shell.cluster.refused.add("list")
    assert shell.run("service", "explain", "org2-api").exit_code == 3


def test_what_others_wrote_does_not_steer_the_terminal(shell: Shell) -> None:
    shell.cluster.add(
        "trustedservices", service(ready="False", reason="PeerStale", message="\x1b[2Jgone", verifier=None)
    )
    assert "\x1b" not in shell.run("service", "explain", "org2-api").stdout
