"""bilateral peer-entries: alknet's file from our peers, and a file from anywhere judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bilateral.protocol.keys import SigningKey
from unit.cli.fakes import Shell, peer

CERTIFICATE = "SHA256:" + "a" * 64
RAW_KEY = "ed25519:" + "b" * 64
TOKEN = "sha256:" + "c" * 64


def test_the_file_lists_all_peers_and_enables_the_fresh_ones() -> None:
    shell = Shell()
    key = SigningKey.generate().public_key.canonical
    fingerprints = [key, CERTIFICATE]
    shell.cluster.add(
        "federationpeers", peer("org-b", fingerprints=fingerprints, authTokenHash=TOKEN, scopes=["x"])
    )
    shell.cluster.add("federationpeers", peer("org-c", ready="False", reason="PeerStale", left=-5))
    # The operator is away: the deadline is over by the clock of this machine.
    shell.cluster.add("federationpeers", peer("org-d", left=-1))
    result = shell.run("peer-entries")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert [(each["peer_id"], each["enabled"]) for each in document["peers"]] == [
        ("org-b-kernel", True),
        ("org-c-kernel", False),
        ("org-d-kernel", False),
    ]
    first = document["peers"][0]
    assert first["fingerprints"] == [CERTIFICATE, key]
    assert (first["auth_token_hash"], first["scopes"], first["resources"]) == (TOKEN, ["x"], {})


def test_the_peers_of_two_trust_domains_are_not_mixed() -> None:
    shell = Shell()
    shell.cluster.add("federationpeers", peer("org-b"))
    shell.cluster.add("federationpeers", peer("org-c", trust_domain="org-z"))
    result = shell.run("peer-entries")
    assert (result.exit_code, "choose --trust-domain" in result.stderr) == (2, True)
    chosen = json.loads(shell.run("peer-entries", "--trust-domain", "org-z").stdout)
    assert [each["peer_id"] for each in chosen["peers"]] == ["org-c-kernel"]
    assert shell.run("peer-entries", "--trust-domain", "nobody").exit_code == 1


def test_without_peers_the_file_is_empty() -> None:
    assert json.loads(Shell().run("peer-entries").stdout) == {"peers": []}


def test_a_peer_that_breaks_a_rule_is_left_out_and_named() -> None:
    shell = Shell()
    shell.cluster.add("federationpeers", peer("org-b", kernelId="not an id"))
    result = shell.run("peer-entries")
    assert json.loads(result.stdout) == {"peers": []}
    assert "left out: federationpeer/org-b" in result.stderr


def entry(peer_id: str = "hub", **members: Any) -> dict[str, Any]:
    return {
        "peer_id": peer_id, "fingerprints": [], "auth_token_hash": None, "scopes": [], "resources": {},
        "display_name": peer_id, "enabled": True, **members,
    }  # fmt: skip


def check(tmp_path: Path, document: object) -> Any:
    file = tmp_path / "peers.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return Shell().run("peer-entries", "--check", str(file))


def test_each_row_of_the_table_is_told(tmp_path: Path) -> None:
    entries = [
        entry("mixed", fingerprints=[CERTIFICATE, RAW_KEY]),
        entry("keys", fingerprints=["ed25519:" + "d" * 64]),
        entry("gone", fingerprints=["SHA256:" + "e" * 64], enabled=False),
        entry("nothing"),
    ]
    result = check(tmp_path, {"peers": entries})
    assert result.exit_code == 0, result.stdout + result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1:] == [
        ["mixed", "yes", "PinnedFingerprint", "PinnedRawKey"],
        ["keys", "yes", "refused", "(NothingPinned)", "PinnedRawKey"],
        ["gone", "no", "refused", "(Suspended)", "refused", "(Suspended)"],
        ["nothing", "yes", "refused", "(NothingPinned)", "refused", "(NothingPinned)"],
    ]


def test_what_our_own_command_writes_is_right(tmp_path: Path) -> None:
    shell = Shell()
    shell.cluster.add("federationpeers", peer("org-b", fingerprints=[CERTIFICATE]))
    assert check(tmp_path, shell.run("peer-entries").stdout).exit_code == 0


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([entry(fingerprints=["SHA256:" + "A" * 64])], "entry 1: fingerprints, 1: expected"),
        ([entry(fingerprints=["ed25519:" + "0" * 63])], "entry 1: fingerprints, 1: expected"),
        ([entry(fingerprints=[7])], "entry 1: fingerprints, 1: expected"),
        ([entry(fingerprints="x")], "entry 1: fingerprints: expected a list"),
        ([entry(auth_token_hash="SHA256:" + "0" * 64)], "entry 1: auth_token_hash: expected"),
        ([entry("")], "entry 1: peer_id: expected"),
        ([entry(enabled="yes")], "entry 1: enabled: expected"),
        ([entry(scopes="all")], "entry 1: scopes: expected"),
        ([entry(resources=[])], "entry 1: resources: expected"),
        ([entry(expires=1)], "entry 1: has a member of another name (1)"),
        (["hub"], "entry 1: is not an object"),
        ([entry(), entry()], "entry 2: another entry has its peer_id"),
        (
            [entry(fingerprints=[RAW_KEY]), entry("other", fingerprints=[RAW_KEY])],
            "entry 1: another entry lists one of its fingerprints",
        ),
        (
            [entry(auth_token_hash=TOKEN), entry("other", auth_token_hash=TOKEN)],
            "entry 2: another entry has its token",
        ),
    ],
)
def test_what_is_wrong_is_named(entries: list[object], sentence: str, tmp_path: Path) -> None:
    result = check(tmp_path, entries)
    assert result.exit_code == 1
    assert sentence in result.stdout


@pytest.mark.parametrize("text", ["", "{", "7", '{"peers": {}}', '{"peers": [], "peers": []}'])
def test_what_is_no_peer_file_is_wrong_input(text: str, tmp_path: Path) -> None:
    result = check(tmp_path, text)
    assert result.exit_code == 2
    assert "not a peer file" in result.stderr
