"""bilateral export: a manifest that a partner can apply, and groups that both sides see alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.resources.federationpeer import FederationPeer
from unit.cli.fakes import (
    AUTHORITY,
    ENDPOINT,
    ENDPOINT_FINGERPRINT,
    NEXT_KEY,
    OUR_KEY,
    Shell,
    peer,
    trust_domain,
)

GROUPS = re.compile(r"[0-9A-F]{4}(-[0-9A-F]{4}){7}")


def shell_with(**changes: Any) -> Shell:
    shell = Shell()
    shell.cluster.add("trustdomains", trust_domain(**changes))
    return shell


def groups(text: str) -> str:
    match = GROUPS.search(text)
    assert match is not None, text
    return match[0]


def test_the_manifest_can_be_applied_as_it_is() -> None:
    result = shell_with().run("export", "org-a", "--for", "org-b")
    assert result.exit_code == 0
    manifest = yaml.safe_load(result.stdout)
    FederationPeer.parse(manifest)
    assert manifest == {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "FederationPeer",
        "metadata": {"name": "org-a"},
        "spec": {
            "trustDomain": "org-b",
            "kernelId": "org-a-kernel",
            "operatorId": "org-a",
            "displayName": "Org A",
            "trustAnchors": [{"publicKey": OUR_KEY.public_key.canonical}],
            "endpoint": {
                "url": ENDPOINT,
                "verifier": {"certificateAuthority": {"pem": AUTHORITY.certificate_pem.decode()}},
            },
        },
    }
    assert result.stderr.startswith("Read these groups to your partner over another channel: ")
    assert "pem: |" in result.stdout


def test_the_next_key_is_told_too() -> None:
    shell = shell_with(status={"nextPublicKey": NEXT_KEY.public_key.canonical})
    manifest = yaml.safe_load(shell.run("export", "org-a", "--for", "org-b").stdout)
    assert [anchor["publicKey"] for anchor in manifest["spec"]["trustAnchors"]] == [
        OUR_KEY.public_key.canonical,
        NEXT_KEY.public_key.canonical,
    ]


@pytest.mark.parametrize(
    ("option", "verifier", "fingerprints"),
    [
        ("ca", {"certificateAuthority": {"pem": AUTHORITY.certificate_pem.decode()}}, None),
        ("webpki", {"webPKI": {}}, None),
        ("fingerprint", {"fingerprint": {}}, [ENDPOINT_FINGERPRINT]),
    ],
)
def test_the_verifier_is_the_one_asked_for(option: str, verifier: Any, fingerprints: Any) -> None:
    result = shell_with().run(
        "export", "org-a", "--for", "org-b", "--endpoint-verifier", option, "-o", "json"
    )
    spec = json.loads(result.stdout)["spec"]
    assert spec["endpoint"]["verifier"] == verifier
    assert spec.get("fingerprints") == fingerprints


def test_a_provided_certificate_is_left_to_public_authorities_with_a_note() -> None:
    shell = shell_with(endpoint={"url": ENDPOINT, "certificate": {"source": "Provided"}})
    result = shell.run("export", "org-a", "--for", "org-b")
    assert yaml.safe_load(result.stdout)["spec"]["endpoint"]["verifier"] == {"webPKI": {}}
    assert "--endpoint-verifier fingerprint" in result.stderr


def test_without_an_endpoint_the_partner_is_told_none() -> None:
    obj = trust_domain()
    del obj["spec"]["endpoint"]
    shell = Shell()
    shell.cluster.add("trustdomains", obj)
    result = shell.run("export", "org-a", "--for", "org-b")
    assert "endpoint" not in yaml.safe_load(result.stdout)["spec"]
    assert "no endpoint" in result.stderr


def test_without_the_partners_name_the_file_says_what_to_change_and_cannot_be_applied_by_mistake() -> None:
    result = shell_with().run("export", "org-a")
    assert "trustDomain: CHANGE-ME  # the name of your own TrustDomain" in result.stdout
    assert "--for" in result.stderr
    with pytest.raises(Exception, match=r"spec\.trustDomain"):
        FederationPeer.parse(yaml.safe_load(result.stdout))


@pytest.mark.parametrize("verifier", ["ca", "webpki", "fingerprint"])
def test_both_sides_see_the_same_groups(tmp_path: Path, verifier: str) -> None:
    shell = shell_with()
    exported = shell.run("export", "org-a", "--for", "org-b", "--endpoint-verifier", verifier)
    file = tmp_path / "org-a.yaml"
    file.write_text(exported.stdout)
    checked = Shell().run("export", "--check", str(file))
    assert checked.exit_code == 0
    assert checked.stdout == f"federationpeer/org-a (org-a-kernel): {groups(exported.stderr)}\n"
    from_stdin = Shell().run("export", "--check", "-", "-o", "json", stdin=exported.stdout)
    assert json.loads(from_stdin.stdout)["items"][0]["groups"] == groups(exported.stderr)


def test_the_groups_do_not_depend_on_what_the_partner_chooses(tmp_path: Path) -> None:
    exported = shell_with().run("export", "org-a")
    manifest = yaml.safe_load(exported.stdout)
    manifest["metadata"] |= {"name": "friends", "namespace": "elsewhere", "labels": {"a": "b"}}
    manifest["spec"] |= {
        "trustDomain": "ours",
        "displayName": "Friends",
        "handshake": {"maxClockSkewSeconds": 86400},
    }
    pem = manifest["spec"]["endpoint"]["verifier"]["certificateAuthority"]["pem"]
    manifest["spec"]["endpoint"]["verifier"]["certificateAuthority"]["pem"] = pem.replace("\n", "\r\n")
    manifest["spec"]["trustAnchors"] = [{"publicKey": OUR_KEY.public_key.did}]
    checked = Shell().run("export", "--check", "-", stdin=yaml.safe_dump(manifest))
    assert checked.exit_code == 0, checked.stderr
    assert groups(checked.stdout) == groups(exported.stderr)


def _other_key(spec: dict[str, Any]) -> None:
    spec["trustAnchors"] = [{"publicKey": NEXT_KEY.public_key.canonical}]


def _one_key_more(spec: dict[str, Any]) -> None:
    spec["trustAnchors"].append({"publicKey": NEXT_KEY.public_key.canonical})


def _other_id(spec: dict[str, Any]) -> None:
    spec["kernelId"] = "org-a-kerne1"


def _other_address(spec: dict[str, Any]) -> None:
    spec["endpoint"]["url"] = "https://trust.org-a.example:8941"


def _other_verifier(spec: dict[str, Any]) -> None:
    spec["endpoint"]["verifier"] = {"webPKI": {}}


def _another_credential(spec: dict[str, Any]) -> None:
    spec["fingerprints"] = ["SHA256:" + "cd" * 32]


def _no_endpoint(spec: dict[str, Any]) -> None:
    del spec["endpoint"]


@pytest.mark.parametrize(
    "change",
    [
        _other_key,
        _one_key_more,
        _other_id,
        _other_address,
        _other_verifier,
        _another_credential,
        _no_endpoint,
    ],
)
def test_the_groups_change_with_everything_that_trust_rests_on(change: Any) -> None:
    exported = shell_with().run("export", "org-a", "--for", "org-b")
    manifest = yaml.safe_load(exported.stdout)
    change(manifest["spec"])
    checked = Shell().run("export", "--check", "-", stdin=yaml.safe_dump(manifest))
    assert checked.exit_code == 0, checked.stderr
    assert groups(checked.stdout) != groups(exported.stderr)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "holds no FederationPeer", id="empty"),
        pytest.param("kind: ConfigMap\n", "holds no FederationPeer", id="another kind"),
        pytest.param("a: [", "not YAML", id="not YAML"),
        pytest.param("a: !!python/object:os.system {}", "not YAML", id="a tag that runs code elsewhere"),
        pytest.param("kind: FederationPeer\n", "metadata", id="no metadata"),
        pytest.param("[" * 5000, "not YAML", id="deep nesting"),
        pytest.param(b"\xff\xfe", "not YAML", id="not UTF-8"),
        pytest.param(b"a" * (1024 * 1024 + 1), "too large", id="more than a mebibyte"),
    ],
)
def test_a_file_that_is_no_export_is_a_usage_error(text: str | bytes, words: str) -> None:
    result = Shell().run("export", "--check", "-", stdin=text)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_several_peers_and_lists_are_checked_one_by_one() -> None:
    manifests = [peer("org-b"), {"kind": "List", "items": [peer("org-c"), {"kind": "ConfigMap"}]}]
    for manifest in manifests:
        manifest.pop("status", None)
    result = Shell().run("export", "--check", "-", stdin=yaml.safe_dump_all(manifests))
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("missing", "option"),
    [("publicKey", "ca"), ("certificateAuthority", "ca"), ("endpointFingerprint", "fingerprint")],
)
def test_what_is_not_published_yet_is_an_answer_not_a_guess(missing: str, option: str) -> None:
    shell = shell_with(status={missing: None})
    result = shell.run("export", "org-a", "--for", "org-b", "--endpoint-verifier", option)
    assert result.exit_code == 1
    assert "wait until it is Ready" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export",), "TRUSTDOMAIN"),
        (("export", "org-a", "--check", "x"), "leave TRUSTDOMAIN out"),
        (("export", "org-a", "--endpoint-verifier", "none"), "'none' is not one of"),
        (("export", "--check", "/nonexistent/file"), "no such file"),
        (("export", "org-a", "--for", "Not_A_Name"), "spec.trustDomain"),
    ],
)
def test_wrong_usage_says_what_is_expected(arguments: tuple[str, ...], words: str) -> None:
    result = shell_with().run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
