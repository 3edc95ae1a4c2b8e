"""bilateral trust activation: built from a file, verified check by check, shown in both shapes; it admits nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.protocol.documents import sign_document
from support.exchanges import NOW, documented_envelope, exchange_members
from unit.cli.fakes import OUR_KEY, THEIR_KEY, FakeCluster, Shell, trust_domain

SHELL = Shell(now=NOW)
KEY = OUR_KEY.public_key.canonical


def minimal() -> dict[str, Any]:
    return exchange_members(
        schema=None,
        exchangeId=None,
        issuedAt=None,
        expiresAt=None,
        delegationControl=None,
        importControl=None,
        governingCharterRef=None,
        note=None,
    )


def signed(key: Any = OUR_KEY, **changes: Any) -> str:
    return json.dumps(sign_document(exchange_members(**changes), key))


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "private.pem"
    path.write_bytes(OUR_KEY.pkcs8_pem())
    return str(path)


def build(config: dict[str, Any], *arguments: str, shell: Shell = SHELL) -> Any:
    return shell.run(
        "trust", "activation", "build", "--config", "-", *arguments, stdin=yaml.safe_dump(config)
    )


def verify(document: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = SHELL.run("trust", "activation", "verify", "-", *arguments, "-o", "json", stdin=document)
    return result.exit_code, json.loads(result.stdout)


def test_what_is_left_out_is_filled_in(key_file: str) -> None:
    result = build(minimal(), "--key", key_file, "--valid-for", "720h")
    assert result.exit_code == 0, result.stderr
    body = json.loads(result.stdout)["body"]
    assert body["schema"] == "chio.federation-activation-exchange.v1"
    assert body["exchangeId"].startswith("fxa-org-a-org-b-")
    assert (body["issuedAt"], body["expiresAt"]) == (NOW, NOW + 720 * 3600)
    assert body["delegationControl"] == exchange_members()["delegationControl"]
    assert body["importControl"] == exchange_members()["importControl"]
    assert "admits nothing" in result.stderr
    code, facts = verify(result.stdout, "--signer", KEY, "--source", "org-a", "--target", "org-b")
    assert (code, facts["valid"], facts["admits"]) == (0, True, False)


def test_a_complete_file_is_signed_as_it_is(key_file: str) -> None:
    result = build(exchange_members(), "--key", key_file)
    assert json.loads(result.stdout)["body"] == exchange_members()


def test_a_part_of_a_control_is_completed(key_file: str) -> None:
    config = {**minimal(), "delegationControl": {"maxHops": 3}}
    body = json.loads(build(config, "--key", key_file, "--valid-for", "1h").stdout)["body"]
    assert body["delegationControl"] == {**exchange_members()["delegationControl"], "maxHops": 3}


def test_the_key_of_a_trust_domain_signs(tmp_path: Path) -> None:
    cluster = FakeCluster(secrets={("trust", "org-a-signing-key"): {"private.pem": OUR_KEY.pkcs8_pem()}})
    cluster.add("trustdomains", trust_domain())
    path = tmp_path / "exchange.json"
    shell = Shell(cluster=cluster, now=NOW)
    result = build(minimal(), "--trust-domain", "org-a", "--valid-for", "1h", "-o", str(path), shell=shell)
    assert (result.exit_code, result.stdout) == (0, "")
    assert verify(path.read_text(), "--signer", KEY)[1]["signer"] == KEY


def test_another_key_than_partners_know_does_not_sign() -> None:
    cluster = FakeCluster(secrets={("trust", "org-a-signing-key"): {"private.pem": THEIR_KEY.pkcs8_pem()}})
    cluster.add("trustdomains", trust_domain())
    shell = Shell(cluster=cluster, now=NOW)
    result = build(minimal(), "--trust-domain", "org-a", "--valid-for", "1h", shell=shell)
    assert result.exit_code == 1
    assert "KeyDrift" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"importControl": {"manualReviewRequired": False}},
            "importControl.manualReviewRequired must be true",
        ),
        ({"targetOperatorId": "org-a"}, "targetOperatorId must differ from sourceOperatorId"),
        ({"scope": {"namespaces": []}}, "MalformedDocument"),
        ({"extra": 1}, "unknown-member"),
        ({"expiresAt": 5}, "not both"),
        ({"schema": "another"}, "schema"),
    ],
    ids=["switch off", "to itself", "another form", "unknown member", "two ends", "another schema"],
)
def test_what_breaks_a_rule_is_not_signed(key_file: str, change: dict[str, Any], words: str) -> None:
    result = build({**minimal(), **change}, "--key", key_file, "--valid-for", "1h")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [(), ("--key", "a", "--trust-domain", "b")],
    ids=["no key", "two keys"],
)
def test_one_key_is_named(arguments: tuple[str, ...]) -> None:
    assert build(minimal(), *arguments, "--valid-for", "1h").exit_code == 2


def test_a_file_that_is_no_key_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("canary")
    result = build(minimal(), "--key", str(path), "--valid-for", "1h")
    assert result.exit_code == 2
    assert "MalformedKey" in result.stderr
    assert "canary" not in result.stderr


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00", ""], ids=["list", "syntax", "binary", "empty"])
def test_what_is_no_configuration_is_a_usage_error(text: str) -> None:
    result = SHELL.run("trust", "activation", "build", "--config", "-", "--key", "x", stdin=text)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("document", "arguments", "check", "reason"),
    [
        ("{}", (), "form", "MalformedDocument"),
        ("no json", (), "form", "MalformedDocument"),
        (json.dumps(documented_envelope()), (), "form", "UnsupportedSchema"),
        (signed(schema="chio.federation-quorum-report.v1"), (), "form", "UnsupportedSchema"),
        (signed(), ("--signer", THEIR_KEY.public_key.hex), "signer", "UnexpectedPeerKey"),
        (signed().replace("read only", "read all"), (), "signature", "InvalidSignature"),
        (signed(delegationControl__maxHops=0), (), "rules", "ActivationInvalid"),
        (signed(), ("--source", "org-c"), "operators", "ActivationInvalid"),
        (signed(), ("--target", "org-c"), "operators", "ActivationInvalid"),
        (signed(expiresAt=NOW), (), "time", "ActivationExpired"),
        (signed(issuedAt=NOW + 1, expiresAt=2**53 - 1), (), "time", "ActivationExpired"),
    ],
    ids=[
        "no members", "no JSON", "the documentation's", "another artifact", "another signer", "changed",
        "a rule", "another source", "another target", "over", "not yet",
    ],
)  # fmt: skip
def test_each_check_is_told_with_its_reason(
    document: str, arguments: tuple[str, ...], check: str, reason: str
) -> None:
    code, facts = verify(document, *arguments)
    assert code == 1
    assert not facts["valid"]
    assert facts["reason"] == reason
    outcomes = {each["name"]: each["outcome"] for each in facts["checks"]}
    assert list(outcomes) == ["form", "signer", "signature", "rules", "operators", "time"]
    assert outcomes[check] == "failed"
    text = SHELL.run("trust", "activation", "verify", "-", *arguments, stdin=document)
    assert text.exit_code == 1
    assert f"{check:<10} failed" in text.stdout


def test_without_a_signer_it_is_said_that_nobody_compared_it() -> None:
    result = SHELL.run("trust", "activation", "verify", "-", stdin=signed())
    assert result.exit_code == 0
    assert "not compared" in result.stdout
    assert "admits nothing" in result.stdout


def test_a_key_that_is_none_is_a_usage_error() -> None:
    result = SHELL.run("trust", "activation", "verify", "-", "--signer", "x", stdin=signed())
    assert result.exit_code == 2


def test_the_documentations_shape_is_shown_as_such() -> None:
    document = json.dumps(documented_envelope())
    result = SHELL.run("trust", "activation", "show", "-", stdin=document)
    assert result.exit_code == 0, result.stderr
    assert "that of chio's documentation (only to be shown" in result.stdout
    assert "signature  unreadable" in result.stdout
    assert "delegationControl.maxAutonomyTier: TIER_2_DELEGATED" in result.stdout
    assert "scope.tools[0].tool: billing.read" in result.stdout
    facts = json.loads(SHELL.run("trust", "activation", "show", "-", "-o", "json", stdin=document).stdout)
    assert (facts["shape"], facts["admits"]) == ("documentation", False)
    assert facts["body"] == documented_envelope()["body"]


@pytest.mark.parametrize(
    ("document", "signature"),
    [(signed(), "verified"), (signed().replace("read only", "read all"), "invalid")],
    ids=["verified", "changed"],
)
def test_the_codes_shape_is_shown_with_its_signature(document: str, signature: str) -> None:
    facts = json.loads(SHELL.run("trust", "activation", "show", "-", "-o", "json", stdin=document).stdout)
    assert (facts["shape"], facts["signature"], facts["signer"].removeprefix("ed25519:")) == (
        "code",
        signature,
        OUR_KEY.public_key.hex,
    )
    assert (
        "issuedAt: 2024-04-28T08:00:00Z"
        in SHELL.run("trust", "activation", "show", "-", stdin=document).stdout
    )


def test_nothing_of_a_file_reaches_the_terminal_unescaped() -> None:
    document = signed(note="\x1b[31mred")
    for command in ("show", "verify"):
        assert "\x1b" not in SHELL.run("trust", "activation", command, "-", stdin=document).stdout


@pytest.mark.parametrize("document", ["{}", "[]", "x", json.dumps({"body": {"schema": "a"}})])
def test_what_is_no_exchange_cannot_be_shown(document: str) -> None:
    result = SHELL.run("trust", "activation", "show", "-", stdin=document)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
