"""bilateral approve and deny: what is shown, what is asked, and what is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bilateral.cli.cluster import Object
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.requests import build_request
from unit.cli.fakes import AUTHORITY, NOW, Shell, condition

KEY = ec.generate_private_key(ec.SECP256R1())
CSR = build_request(Subject(common_name="client1", organization="Org B"), KEY)
NAME = "org-b-client1-7c2e91bc"


def introduction(subject: str = CSR, *, online: bool = True, **issue: Any) -> Object:
    return {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "Introduction",
        "metadata": {
            "name": NAME,
            "namespace": "trust",
            "uid": "intro-uid",
            "generation": 1,
            "labels": {"bilateral.dev/origin": "online"} if online else {},
        },
        "spec": {
            "issue": {
                "trustDomain": "org-a",
                "subject": subject,
                "peer": "org-b",
                "services": [{"alias": "org-a-api", "url": "https://api.org-a.example:9443"}],
                "validitySeconds": 2_592_000,
                **issue,
            }
        },
    }


def shell(
    obj: Object | None = None, ready: tuple[str, str, str] | None = ("True", "Ready", "Until then.")
) -> Shell:
    shell = Shell()
    shell.cluster.add("introductions", obj or introduction())

    def look(found: Object) -> None:
        """Act as an operator that looks at what was written."""
        if ready is not None:
            seen = {**condition("Ready", *ready), "observedGeneration": found["metadata"]["generation"]}
            found["status"] = {"observedGeneration": found["metadata"]["generation"], "conditions": [seen]}

    shell.cluster.annotated = look
    return shell


def approval(shell: Shell) -> str:
    return str(
        shell.cluster.objects["introductions", "trust", NAME]["spec"]["issue"].get("approval", "Pending")
    )


def by_policy(**issue: Any) -> Object:
    obj = introduction(approval="Approved", **issue)
    obj["metadata"]["labels"]["bilateral.dev/approved-by"] = "policy"
    return obj


@pytest.mark.parametrize("command", ["approve", "deny"])
def test_what_a_policy_approved_is_a_persons_from_the_decision_on(command: str) -> None:
    run = shell(by_policy())
    result = run.run(command, NAME, "--yes")
    assert result.exit_code == 0, result.stderr
    assert "asked for by their operator, approved by the policy and by nobody yet" in result.stderr
    metadata = run.cluster.objects["introductions", "trust", NAME]["metadata"]
    assert metadata["labels"].get("bilateral.dev/approved-by") is None
    assert metadata["labels"]["bilateral.dev/origin"] == "online"
    assert approval(run) == {"approve": "Approved", "deny": "Denied"}[command]


def test_what_is_approved_is_shown_and_asked_before_it_is_written() -> None:
    run = shell()
    result = run.run("approve", NAME, stdin="y\n")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"introduction/{NAME} is signed. Until then.\n"
    for line in (
        f"introduction  {NAME}, asked for by their operator",
        "subject       CN=client1,O=Org B",
        f"its key       {key_fingerprint(KEY.public_key())}",
        "whoever asks has shown to hold it",
        "for           org-b",
        "signed by     the authority of trustdomain/org-a",
        "valid for     30 d, renewed while approved",
        "services      org-a-api  https://api.org-a.example:9443",
    ):
        assert line in result.stderr
    assert approval(run) == "Approved"


@pytest.mark.parametrize("answer", ["n\n", "", "\n"])
def test_without_a_yes_nothing_is_written(answer: str) -> None:
    run = shell()
    assert run.run("approve", NAME, stdin=answer).exit_code == 1
    assert approval(run) == "Pending"
    assert run.run("deny", NAME, stdin=answer).exit_code == 1
    assert approval(run) == "Pending"


def test_yes_on_the_command_line_asks_nothing() -> None:
    run = shell()
    result = run.run("approve", NAME, "--yes")
    assert result.exit_code == 0
    assert "CN=client1" in result.stderr
    assert approval(run) == "Approved"


def test_a_missing_verb_is_named() -> None:
    run = shell()
    run.cluster.refused = {"approve"}
    result = run.run("approve", NAME, "--yes")
    assert result.exit_code == 3
    assert "needs the verbs patch and approve on introductions.bilateral.dev" in result.stderr
    assert approval(run) == "Pending"
    run.cluster.refused = {"patch"}
    result = run.run("deny", NAME, "--yes")
    assert (result.exit_code, "patch" in result.stderr) == (3, True)


def test_what_was_approved_and_not_signed_is_an_error_with_the_reason() -> None:
    result = shell(ready=("False", "PeerStale", "The pin is past its deadline.")).run(
        "approve", NAME, "--yes"
    )
    assert result.exit_code == 1
    assert "approved, and not signed" in result.stderr
    assert "The pin is past its deadline." in result.stderr


def test_no_operator_is_said() -> None:
    result = shell(ready=None).run("approve", NAME, "--yes")
    assert result.exit_code == 1
    assert "no operator has looked at it within 30 s" in result.stderr


def test_a_denial_is_written_and_says_what_it_withdraws() -> None:
    run = shell(introduction(approval="Approved"))
    result = run.run("deny", NAME, stdin="y\n")
    assert result.exit_code == 0
    assert "Withdraw what was signed?" in result.stderr
    assert result.stdout == f"introduction/{NAME} is denied.\n"
    assert approval(run) == "Denied"


@pytest.mark.parametrize(("command", "held"), [("approve", "Approved"), ("deny", "Denied")])
def test_what_is_so_already_is_not_written_again(command: str, held: str) -> None:
    run = shell(introduction(approval=held))
    run.cluster.refused = {"patch"}
    result = run.run(command, NAME)
    assert result.exit_code == 0
    assert f"is {held.lower()} already" in result.stderr


def test_a_subject_with_invisible_characters_is_shown_with_nothing_invisible() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin\u202e\n\x1b[2Jclient")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())
    result = shell(introduction(csr.public_bytes(Encoding.PEM).decode())).run("approve", NAME, stdin="n\n")
    assert "subject       CN=admin\\e2\\80\\ae\\0a\\1b[2Jclient" in result.stderr


def test_one_that_nobody_was_asked_for_and_one_without_proof_say_so() -> None:
    signed = issue_introduction(AUTHORITY, CSR, (), 3600, datetime.fromtimestamp(NOW, UTC))
    obj = introduction(signed.chain_pem.decode(), online=False, peer=None, services=[])
    del obj["spec"]["issue"]["peer"]
    result = shell(obj).run("approve", NAME, stdin="n\n")
    assert "not shown to be held by whoever asks" in result.stderr
    assert "nobody in particular" in result.stderr
    assert "services      none" in result.stderr
    assert "written here" in result.stderr
    assert "renewed" not in result.stderr


@pytest.mark.parametrize("form", ["accept", "request"])
def test_what_is_not_ours_to_sign_is_refused(form: str) -> None:
    obj = introduction()
    spec: dict[str, Any] = {"identity": "client1", "peer": "org-b"}
    if form == "accept":
        spec["introduction"] = "{}"
    obj["spec"] = {form: spec}
    result = shell(obj).run("approve", NAME, "--yes")
    assert result.exit_code == 1
    assert "not for our authority to sign" in result.stderr


def test_a_name_that_is_not_there_is_said() -> None:
    result = Shell().run("approve", "nothing", "--yes")
    assert result.exit_code == 1
    assert "introductions/nothing does not exist" in result.stderr
