"""bilateral trust federation-policy create, list and delete, with a cluster in memory."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from bilateral.resources.labels import POLICY_DOCUMENT
from unit.cli.fakes import NOW, Shell, condition, peer
from unit.protocol.published_policies import BILATERAL, FULL, KEYS, OVERVIEW, PUBLISHED

NAME = "org-a-to-org-b"
DOCUMENT = BILATERAL.replace("9a4f1c3b2e7d8a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b", KEYS[0])


@pytest.fixture
def shell() -> Shell:
    shell = Shell()
    shell.cluster.add("federationpeers", peer())
    return shell


def run(shell: Shell, *arguments: str, stdin: str | None = None) -> Result:
    return shell.run("trust", "federation-policy", *arguments, stdin=stdin)


def create(shell: Shell, text: str | dict[str, Any] = DOCUMENT, *arguments: str) -> Result:
    given = text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False)
    return run(shell, "create", "--config", "-", *arguments, stdin=given)


def stored(shell: Shell, name: str = NAME) -> dict[str, Any]:
    return shell.cluster.objects["federationpolicies", "trust", name]


def changed(**changes: Any) -> dict[str, Any]:
    document = yaml.safe_load(DOCUMENT)
    document["spec"] |= changes
    return {
        **document,
        "spec": {name: value for name, value in document["spec"].items() if value is not None},
    }


@pytest.mark.parametrize("text", PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_policies_go_in_and_come_back_as_they_are(shell: Shell, text: str) -> None:
    made = create(shell, text)
    assert (made.exit_code, made.stdout) == (0, f"federationpolicy/{NAME} created for partner org-b\n")
    assert "WeakKey" in made.stderr  # the keys that chio prints as examples are keys of nobody
    assert stored(shell)["spec"]["peer"] == "org-b"
    back = run(shell, "list", "-o", "yaml")
    assert back.exit_code == 0
    assert yaml.safe_load(back.stdout) == yaml.safe_load(text)
    (found,) = json.loads(run(shell, "list", "-o", "json").stdout)
    assert json.dumps(found) == json.dumps(yaml.safe_load(text))  # the order of the members as well
    assert create(shell, text).stdout == f"federationpolicy/{NAME} unchanged for partner org-b\n"
    assert create(shell, back.stdout).stdout.split()[1] == "unchanged"


def test_a_policy_with_every_member_comes_back(shell: Shell) -> None:
    assert create(shell, FULL).exit_code == 0
    assert json.loads(run(shell, "list", "-o", "json").stdout) == [FULL]


def test_times_without_quotes_are_texts(shell: Shell) -> None:
    text = DOCUMENT.replace(
        f"    - ed25519:{KEYS[0]}", f"    - {{public_key: {KEYS[0]}, not_after: 2027-01-01T00:00:00Z}}"
    )
    made = create(shell, text)
    assert (made.exit_code, made.stderr) == (0, "")
    assert stored(shell)["spec"]["trustedIssuers"][0]["notAfter"] == "2027-01-01T00:00:00Z"


def test_a_document_may_be_json(shell: Shell) -> None:
    assert create(shell, json.dumps(yaml.safe_load(DOCUMENT))).exit_code == 0


def test_another_policy_of_the_name_is_told_and_replaced_only_when_asked(shell: Shell) -> None:
    create(shell)
    before = copy.deepcopy(stored(shell))
    wider = changed(max_autonomy_tier="TIER_3_AUTONOMOUS", revocation_feed=None)
    refused = create(shell, wider)
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"error: federationpolicy/{NAME} is there and differs in max_autonomy_tier, revocation_feed: use "
        "--replace to have it say what the document says\n"
    )
    assert stored(shell) == before
    done = create(shell, wider, "--replace", "-o", "json")
    assert json.loads(done.stdout) == {"name": NAME, "partnerId": "org-b", "outcome": "replaced"}
    assert stored(shell)["spec"]["maxAutonomyTier"] == "Autonomous"
    assert "revocationFeed" not in stored(shell)["spec"]
    assert json.loads(run(shell, "list", "-o", "json").stdout) == [wider]


def test_another_spelling_of_the_same_is_no_difference_and_is_printed_back(shell: Shell) -> None:
    create(shell)
    spelt = changed(max_autonomy_tier="delegated", sharing_posture="whatever")
    assert create(shell, spelt).stdout.split()[1] == "unchanged"
    assert json.loads(run(shell, "list", "-o", "json").stdout) == [spelt]


def test_nothing_is_written_without_a_difference(shell: Shell) -> None:
    create(shell)
    shell.cluster.refused |= {"patch", "create"}
    assert create(shell, DOCUMENT, "--replace").stdout.split()[1] == "unchanged"


def test_defaults_that_the_api_server_fills_in_are_no_difference(shell: Shell) -> None:
    create(shell)
    spec = stored(shell)["spec"]
    spec["revocationFeed"] |= {"source": "SignedFeed", "pollSeconds": 60, "maxStalenessSeconds": 3600}
    spec["introductions"] = {"approval": "Manual", "maxValiditySeconds": 2_592_000}
    assert create(shell).stdout.split()[1] == "unchanged"
    assert json.loads(run(shell, "list", "-o", "json").stdout) == [yaml.safe_load(DOCUMENT)]


def test_what_a_document_cannot_say_stays_with_the_feed_that_it_is_for(shell: Shell) -> None:
    create(shell)
    beside = {"verifier": {"webPKI": {}}, "bearerTokenSecretRef": {"name": "token"}}
    stored(shell)["spec"]["revocationFeed"] |= beside
    assert create(shell).stdout.split()[1] == "unchanged"
    assert json.loads(run(shell, "list", "-o", "json").stdout) == [yaml.safe_load(DOCUMENT)]
    create(shell, changed(max_evidence_age_secs=60), "--replace")
    assert beside.items() <= stored(shell)["spec"]["revocationFeed"].items()
    create(shell, changed(revocation_feed="https://elsewhere.example/feed"), "--replace")
    assert stored(shell)["spec"]["revocationFeed"] == {"url": "https://elsewhere.example/feed"}


def test_a_policy_that_was_edited_is_printed_as_it_is_now(shell: Shell) -> None:
    create(shell)
    stored(shell)["spec"]["maxEvidenceAgeSeconds"] = 60
    (found,) = json.loads(run(shell, "list", "-o", "json").stdout)
    assert found["spec"]["max_evidence_age_secs"] == 60
    assert found["spec"]["max_autonomy_tier"] == "TIER_2_DELEGATED"


@pytest.mark.parametrize("kept", ["", "[", "{}", '{"a":', "x" * 200_000])
def test_a_kept_document_that_is_none_is_passed_over(shell: Shell, kept: str) -> None:
    create(shell)
    stored(shell)["metadata"]["annotations"][POLICY_DOCUMENT] = kept
    (found,) = json.loads(run(shell, "list", "-o", "json").stdout)
    assert found["spec"]["partner_id"] == "org-b"


def test_a_kept_document_of_another_name_is_passed_over(shell: Shell) -> None:
    create(shell)
    other = yaml.safe_load(DOCUMENT) | {"metadata": {"name": "other"}}
    stored(shell)["metadata"]["annotations"][POLICY_DOCUMENT] = json.dumps(other)
    (found,) = json.loads(run(shell, "list", "-o", "json").stdout)
    assert found["metadata"] == {"name": NAME}


def test_what_no_document_can_say_is_left_out_and_named(shell: Shell) -> None:
    create(shell)
    stored(shell)["spec"]["maxAutonomyTier"] = "Boundless"
    listed = run(shell, "list", "-o", "yaml")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert f"left out: federationpolicy/{NAME}" in listed.stderr


# Which peer


def test_the_peer_is_the_one_with_the_partners_name(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer("partner-2", operatorId="org-c"))
    assert create(shell, changed(partner_id="org-c")).exit_code == 0
    assert stored(shell)["spec"]["peer"] == "partner-2"


@pytest.mark.parametrize(
    ("arguments", "partner_id", "exit_code", "words"),
    [
        ((), "org-x", 1, "no FederationPeer of namespace trust has operatorId org-x"),
        (("--peer", "absent"), "org-b", 1, "does not exist"),
        (("--peer", "org-b"), "org-x", 2, "expected operatorId org-x"),
        ((), "org-d", 2, "choose with --peer d1|d2"),
    ],
    ids=["none", "absent", "another's", "several"],
)
def test_a_peer_that_is_not_clear_is_asked_for(
    shell: Shell, arguments: tuple[str, ...], partner_id: str, exit_code: int, words: str
) -> None:
    for name in ("d1", "d2"):
        shell.cluster.add("federationpeers", peer(name, operatorId="org-d"))
    made = create(shell, changed(partner_id=partner_id), *arguments)
    assert (made.exit_code, words in made.stderr) == (exit_code, True), made.stderr
    assert not [kind for kind, *_ in shell.cluster.objects if kind == "federationpolicies"]


def test_of_several_peers_one_is_named(shell: Shell) -> None:
    shell.cluster.add("federationpeers", peer("second", operatorId="org-b"))
    assert create(shell, DOCUMENT, "--peer", "second").exit_code == 0
    assert stored(shell)["spec"]["peer"] == "second"


def test_a_second_policy_for_a_partner_is_not_made(shell: Shell) -> None:
    create(shell)
    second = yaml.safe_load(DOCUMENT) | {"metadata": {"name": "another"}}
    refused = create(shell, second, "--replace")
    assert refused.exit_code == 1
    assert f"federationpolicy/{NAME} is for this partner already" in refused.stderr


def test_a_policy_stays_with_its_partner(shell: Shell) -> None:
    create(shell)
    shell.cluster.add("federationpeers", peer("org-c"))
    refused = create(shell, changed(partner_id="org-c"), "--replace")
    assert (refused.exit_code, "is for another partner" in refused.stderr) == (1, True)


# What is no document


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "chio.dev/v1"),
        ("a: [", "neither YAML nor JSON"),
        ("\x00", "neither YAML nor JSON"),
        (DOCUMENT + "---\n" + DOCUMENT, "one document"),
        (DOCUMENT + "spec: {}\n", "each member once"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system [id]\n", "tags"),
        (DOCUMENT.replace("chio.dev/v1", "chio.dev/v2"), "api-version"),
        (DOCUMENT.replace("  partner_id: org-b\n", ""), "missing-member"),
        (DOCUMENT + "  max_calls: 5\n", "unknown-member"),
        (DOCUMENT.replace("3600", "0"), "spec.maxEvidenceAgeSeconds: must be 1 or more"),
        (DOCUMENT.replace(f"ed25519:{KEYS[0]}", "canary-key"), "spec.trustedIssuers[0].publicKey"),
        (DOCUMENT.replace(f"name: {NAME}", f"name: {'x' * 300}"), "metadata.name"),
        ("x" * 200_000, "too large"),
    ],
    ids=[
        "nothing", "syntax", "binary", "two", "a member twice", "aliases", "tags", "version", "missing", "unknown",
        "a bound", "a key", "a name", "size",
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_before_anything_is_asked(text: str, words: str) -> None:
    shell = Shell()
    made = create(shell, text)
    assert made.exit_code == 2, made.stderr
    assert words in made.stderr
    assert made.stderr.count("\n") == 1
    assert "canary" not in made.stderr
    assert shell.cluster.choices == []


# The table


def test_the_table_says_whether_a_policy_counts(shell: Shell) -> None:
    assert run(shell, "list").stdout == "No policies.\n"
    create(shell)
    assert run(shell, "list").stdout.splitlines()[1].split("   ")[-2:] == ["Unknown", "?"]
    stored(shell)["status"] = {
        "conditions": [condition("Ready", "False", "PeerStale")],
        "revocations": {"source": "SignedFeed", "entries": 3},
    }
    assert run(shell, "list").stdout.splitlines() == [
        "PARTNER   PEER    ISSUERS   TIER        EVIDENCE AGE   FEED         POSTURE      READY               REVOKED",
        "org-b     org-b   1         Delegated   1 h            SignedFeed   PairScoped   False (PeerStale)   3",
    ]
    stored(shell)["status"]["conditions"][0]["status"] = "True"
    assert run(shell, "list").stdout.splitlines()[1].endswith("True    3")


def test_objects_that_break_rules_are_listed_as_well(shell: Shell) -> None:
    create(shell)
    stored(shell)["spec"] = {"partnerId": "a\x1b[2Jb"}
    listed = run(shell, "list")
    assert (listed.exit_code, "\x1b" in listed.stdout) == (0, False)


def test_one_partner_is_chosen(shell: Shell) -> None:
    create(shell, OVERVIEW)
    assert len(run(shell, "list", "--partner-id", "org-b").stdout.splitlines()) == 2
    assert run(shell, "list", "--partner-id", "org-x", "-o", "json").stdout == "[]\n"


# The end


def test_delete_says_what_ends_and_asks_nothing(shell: Shell) -> None:
    create(shell)
    done = run(shell, "delete", "--partner-id", "org-b")
    assert done.exit_code == 0
    assert done.stdout == (
        f"federationpolicy/{NAME} deleted: 1 issuer is trusted no more, and the partner's revocation feed is read no "
        "more\nFrom the next decision on every call of org-b is refused; its pin stays.\n"
    )
    assert [kind for kind, *_ in shell.cluster.objects] == ["federationpeers"]
    again = run(shell, "delete", "--partner-id", "org-b")
    assert (again.exit_code, "there is no policy for partner org-b" in again.stderr) == (1, True)


def test_delete_leaves_none_of_two_behind(shell: Shell) -> None:
    create(shell)
    second = copy.deepcopy(stored(shell))
    second["metadata"] |= {"name": "second", "uid": "uid-second"}
    shell.cluster.add("federationpolicies", second)
    facts = json.loads(run(shell, "delete", "--partner-id", "org-b", "-o", "json").stdout)
    assert facts == {"partnerId": "org-b", "deleted": True, "names": [NAME, "second"]}


def test_a_bad_id_is_not_looked_for(shell: Shell) -> None:
    done = run(shell, "delete", "--partner-id", "a b")
    assert (done.exit_code, shell.cluster.choices) == (2, [])


@pytest.mark.parametrize("verb", ["list", "create"])
def test_a_missing_right_is_told(shell: Shell, verb: str) -> None:
    shell.cluster.refused.add(verb)
    assert create(shell).exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--control-token-file", "t"), "--control-url"),
        (("list", "--control-url", "https://a.example"), "--control-token-file"),
        (
            ("list", "--control-url", "https://a.example", "--control-token-file", "t", "--kubeconfig", "k"),
            "choose one",
        ),
        (("delete",), "--partner-id"),
        (("create",), "--config"),
    ],
)
def test_wrong_usage_is_told(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    done = run(shell, *arguments)
    assert (done.exit_code, words in done.stderr) == (2, True)


def test_the_clock_is_not_asked(tmp_path: Path) -> None:
    # A policy has no time of its own: the same document is the same object at any moment.
    (tmp_path / "policy.yaml").write_text(DOCUMENT)
    specs = []
    for now in (NOW, NOW + 10_000):
        shell = Shell(now=now)
        shell.cluster.add("federationpeers", peer())
        assert run(shell, "create", "--config", str(tmp_path / "policy.yaml")).exit_code == 0
        specs.append(stored(shell))
    assert specs[0] == specs[1]
