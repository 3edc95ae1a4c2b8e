"""bilateral did resolve: the DID document of a key, computed."""

from __future__ import annotations

import json

import pytest
import yaml

from unit.cli.fakes import Shell

HEX = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
DID = f"did:chio:{HEX}"


@pytest.mark.parametrize(
    "name", [DID, f"ed25519:{HEX}", HEX, "did:key:z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z"]
)
def test_every_spelling_resolves_to_one_document(name: str) -> None:
    result = Shell().run("did", "resolve", name)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["@context"] == "https://www.w3.org/ns/did/v1"
    assert document["id"] == DID
    assert (
        document["verificationMethod"][0]["publicKeyMultibase"]
        == "z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z"
    )
    assert "service" not in document


def test_services_are_numbered() -> None:
    result = Shell().run(
        "did",
        "resolve",
        DID,
        "--receipt-log-url",
        "https://a.example",
        "--receipt-log-url",
        "https://b.example",
        "--passport-status-url",
        "https://c.example",
        "-o",
        "yaml",
    )
    assert [entry["id"] for entry in yaml.safe_load(result.stdout)["service"]] == [
        f"{DID}#receipt-log",
        f"{DID}#receipt-log-2",
        f"{DID}#passport-status",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("did:chio:zz",), "MalformedKey"),
        (("did:web:example.org",), "MalformedKey"),
        ((f"did:chio:01{'00' * 31}",), "WeakKey"),
        ((DID, "--receipt-log-url", "not a url"), "Malformed"),
        ((), "DID|KEY"),
    ],
)
def test_what_is_no_identifier_is_a_usage_error(arguments: tuple[str, ...], words: str) -> None:
    result = Shell().run("did", "resolve", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
