"""bilateral introduce and intro: what our authority is to sign, what others signed for us."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bilateral.cli.cluster import Object
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.services import Service
from bilateral.resources.introduction import Introduction
from unit.cli.fakes import AUTHORITY, NOW, Shell, condition
from unit.pki.material import P256_AUTHORITY, certificate, request

KEY = ec.generate_private_key(ec.SECP256R1())
CSR = request(KEY)
DIGITS = key_fingerprint(KEY.public_key())[7:15]
SERVICE = Service("org-a-api", "https://api.org-a.example:9443")
DAY = 86_400


def document(subject: bytes = CSR) -> Document:
    return issue_introduction(AUTHORITY, subject, (SERVICE,), 30 * DAY, datetime.fromtimestamp(NOW, UTC))


def saved(path: Path, data: str | bytes) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def judging(ready: str, reason: str, message: str, after: int = 2, **status: Any) -> Callable[[Object], None]:
    """Act as an operator that has looked at the object at the ``after``-th time that it is read."""
    looks = 0

    def look(obj: Object) -> None:
        nonlocal looks
        looks += 1
        if looks >= after:
            obj["status"] = {
                "observedGeneration": 1,
                "conditions": [condition("Ready", ready, reason, message)],
                **status,
            }

    return look


# introduce


def test_the_manifest_can_be_applied_as_it_is(tmp_path: Path) -> None:
    file = saved(tmp_path / "client1.csr", CSR)
    result = Shell().run(
        *("introduce", file, "--trust-domain", "org-a", "--peer", "org-b", "--validity", "48h"),
        *("--service", "org-a-api=https://api.org-a.example:9443"),
    )
    assert result.exit_code == 0, result.stderr
    manifest = yaml.safe_load(result.stdout)
    Introduction.parse(manifest)
    assert manifest == {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "Introduction",
        "metadata": {"name": f"client1-{DIGITS}"},
        "spec": {
            "issue": {
                "trustDomain": "org-a",
                "subject": CSR.decode(),
                "peer": "org-b",
                "services": [{"alias": "org-a-api", "url": "https://api.org-a.example:9443"}],
                "validitySeconds": 2 * DAY,
                "approval": "Approved",
            }
        },
    }
    assert "CN=client1" in result.stderr
    assert key_fingerprint(KEY.public_key()) in result.stderr
    assert "whoever sent it has the key" in result.stderr


def test_a_decision_can_be_left_to_somebody_else(tmp_path: Path) -> None:
    pem, _ = certificate(subject="client1", key=KEY, ca=False)
    result = Shell().run(
        "introduce", "-", "--trust-domain", "org-a", "--pending", "--name", "mine", "-o", "json", stdin=pem
    )
    manifest = json.loads(result.stdout)
    assert manifest["spec"]["issue"]["approval"] == "Pending"
    assert manifest["metadata"]["name"] == "mine"
    assert "anybody may have" in result.stderr


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"nothing of the kind", "SubjectRefused", id="text"),
        pytest.param("ü".encode(), "not PEM", id="not-ascii"),
        pytest.param(certificate()[0], "found a certificate authority", id="ca"),
        pytest.param(request(KEY, subject=None), "empty", id="empty-subject"),
        pytest.param(
            request(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "2048", id="rsa-1024"
        ),
        pytest.param(b"x" * 40_000, "too large", id="large"),
    ],
)
def test_what_would_be_refused_is_refused_here(data: bytes, words: str) -> None:
    result = Shell().run("introduce", "-", "--trust-domain", "org-a", stdin=data)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "service", ["../x=https://a.example", "A=https://a.example", "a=http://a.example", "a"]
)
def test_hostile_services_are_refused(service: str) -> None:
    result = Shell().run("introduce", "-", "--trust-domain", "org-a", "--service", service, stdin=CSR)
    assert result.exit_code == 2
    assert "--service" in result.stderr


def test_what_the_api_server_would_refuse_is_said_with_its_field() -> None:
    result = Shell().run("introduce", "-", "--trust-domain", "Org A", stdin=CSR)
    assert result.exit_code == 2
    assert "spec.issue.trustDomain" in result.stderr


def test_apply_prints_exactly_what_was_signed(tmp_path: Path) -> None:
    signed = document().to_json()
    shell = Shell()
    shell.cluster.got = judging("True", "Ready", "Introduced.", introduction=signed)
    result = shell.run("introduce", "-", "--trust-domain", "org-a", "--apply", stdin=CSR)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == signed
    assert ("introductions", "trust", f"client1-{DIGITS}") in shell.cluster.objects
    again = shell.run("introduce", "-", "--trust-domain", "org-a", "--apply", stdin=CSR)
    assert again.stdout == signed
    other = shell.run("introduce", "-", "--trust-domain", "org-a", "--validity", "1h", "--apply", stdin=CSR)
    assert other.exit_code == 1
    assert "exists and is another" in other.stderr


def test_a_refusal_prints_nothing_and_says_what_to_do() -> None:
    shell = Shell()
    shell.cluster.got = judging("False", "PeerStale", "The pin is past its deadline.")
    result = shell.run("introduce", "-", "--trust-domain", "org-a", "--apply", stdin=CSR)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "past its deadline" in result.stderr


def test_without_an_operator_it_says_so() -> None:
    result = Shell().run("introduce", "-", "--trust-domain", "org-a", "--apply", "--wait", "3s", stdin=CSR)
    assert result.exit_code == 1
    assert "no operator has looked at it within 3 s" in result.stderr


def test_pending_does_not_wait_for_the_person() -> None:
    shell = Shell()
    shell.cluster.got = judging("Unknown", "AwaitingApproval", "Nobody has approved it yet.")
    result = shell.run("introduce", "-", "--trust-domain", "org-a", "--apply", "--pending", stdin=CSR)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "waits for an approval" in result.stderr


def test_who_may_not_approve_is_told_of_the_verb() -> None:
    shell = Shell()
    shell.cluster.refused.add("create")
    result = shell.run("introduce", "-", "--trust-domain", "org-a", "--apply", stdin=CSR)
    assert result.exit_code == 3
    assert "approve" in result.stderr
    pending = shell.run("introduce", "-", "--trust-domain", "org-a", "--apply", "--pending", stdin=CSR)
    assert "--pending" not in pending.stderr


# intro show


def test_show_tells_what_is_in_a_file(tmp_path: Path) -> None:
    found = document()
    result = Shell().run("intro", "show", saved(tmp_path / "client1.json", found.to_json()))
    assert result.exit_code == 0
    for text in (
        "CN=client1",
        key_fingerprint(KEY.public_key()),
        found.serial,
        "CN=Org A CA,O=Org A",
        AUTHORITY.fingerprint,
        "2026-12-21T14:31:07Z (30 d left)",
        "org-a-api  https://api.org-a.example:9443",
        "none in the file itself",
    ):
        assert text in result.stdout


def test_show_for_programs(tmp_path: Path) -> None:
    result = Shell().run("intro", "show", "-", "-o", "json", stdin=document().to_json())
    told = json.loads(result.stdout)
    assert told["authorityFingerprint"] == AUTHORITY.fingerprint
    assert told["services"] == {"org-a-api": "https://api.org-a.example:9443"}
    assert told["notAfter"] == "2026-12-21T14:31:07Z"
    assert told["problem"] is None


def test_show_says_what_is_wrong(tmp_path: Path) -> None:
    old = document().to_json()
    later = NOW + 60 * DAY
    result = Shell(now=later).run("intro", "show", "-", stdin=old)
    assert result.exit_code == 0
    assert "over since 30 d" in result.stdout
    assert "IntroductionExpired" in result.stdout
    assert Shell(now=later).run("intro", "show", "-", "--exit-code", stdin=old).exit_code == 1
    forged = json.loads(old) | {"ca_cert": json.loads(foreign())["ca_cert"]}
    told = Shell().run("intro", "show", "-", stdin=json.dumps(forged))
    assert "was not signed by ca_cert" in told.stdout


def foreign() -> str:
    return issue_introduction(P256_AUTHORITY, CSR, (), DAY, datetime.fromtimestamp(NOW, UTC)).to_json()


def test_show_hides_nothing_that_a_stranger_wrote() -> None:
    hostile = document(subject=request(KEY, subject="client\u202e1\x1b[2J\n")).to_json()
    result = Shell().run("intro", "show", "-", stdin=hostile)
    assert r"CN=client\e2\80\ae1\1b[2J\0a" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\xff", '{"signed_cert": "AAAA", "ca_cert": "AAAA"}'])
def test_what_is_no_introduction_is_said_so(text: str) -> None:
    result = Shell().run("intro", "show", "-", stdin=text.encode("latin-1"))
    assert result.exit_code == 2
    assert "is not an introduction" in result.stderr


def test_show_of_an_object_says_what_the_operator_says_and_what_is_in_it() -> None:
    shell = Shell()
    found = document()
    shell.cluster.add(
        "introductions",
        {
            "metadata": {"name": "client1", "namespace": "trust", "uid": "u", "generation": 1},
            "spec": {"issue": {"trustDomain": "org-a", "subject": CSR.decode(), "approval": "Approved"}},
            "status": {
                "conditions": [condition("Ready", "True", "Ready", "Introduced until then.")],
                "introduction": found.to_json(),
            },
        },
    )
    text = shell.run("intro", "show", "client1")
    assert "introduction/client1: Introduced until then." in text.stdout
    assert found.serial in text.stdout
    told = json.loads(shell.run("intro", "show", "client1", "-o", "json").stdout)
    assert (told["form"], told["ready"], told["serial"]) == ("issue", "True", found.serial)


def test_show_of_a_request_that_waits_shows_the_subject() -> None:
    shell = Shell()
    shell.cluster.add(
        "introductions",
        {
            "metadata": {"name": "client1", "namespace": "trust", "uid": "u", "generation": 1},
            "spec": {"issue": {"trustDomain": "org-a", "subject": CSR.decode()}},
            "status": {
                "conditions": [
                    condition("Ready", "Unknown", "AwaitingApproval", "Nobody has approved it yet.")
                ],
                "subject": "CN=client1",
            },
        },
    )
    result = shell.run("intro", "show", "client1", "--exit-code")
    assert "CN=client1" in result.stdout
    assert result.exit_code == 1


def test_show_of_an_accepting_one_reads_its_secret() -> None:
    shell = Shell()
    shell.cluster.secrets["trust", "given"] = {"introduction.json": document().to_json().encode()}
    accept = {"identity": "client1", "introductionSecretRef": {"name": "given"}, "peer": "org-b"}
    metadata = {"name": "client1", "namespace": "trust", "uid": "u", "generation": 1}
    shell.cluster.add("introductions", {"metadata": metadata, "spec": {"accept": accept}})
    result = shell.run("intro", "show", "client1")
    assert "no operator has looked at it yet" in result.stdout
    assert "CN=client1" in result.stdout


def test_show_of_nothing_names_both_places() -> None:
    result = Shell().run("intro", "show", "nobody")
    assert result.exit_code == 1
    assert "no file nobody either" in result.stderr


# intro accept


def test_accept_creates_it_and_tells_the_verdict(tmp_path: Path) -> None:
    shell = Shell()
    shell.cluster.got = judging("True", "Ready", "Installed until 2026-12-21T14:31:07Z.")
    found = document()
    file = saved(tmp_path / "client1.json", found.to_json())
    result = shell.run("intro", "accept", file, "--identity", "client1", "--peer", "org-b")
    assert result.exit_code == 0, result.stderr
    name = f"client1-org-b-{found.serial[-8:]}"
    assert result.stdout == f"introduction/{name}: Installed until 2026-12-21T14:31:07Z.\n"
    made = shell.cluster.objects["introductions", "trust", name]
    assert made["spec"]["accept"] == {
        "identity": "client1",
        "introduction": found.to_json(),
        "peer": "org-b",
    }
    again = shell.run("intro", "accept", file, "--identity", "client1", "--peer", "org-b", "-o", "json")
    assert json.loads(again.stdout)["ready"] == "True"


def test_a_manifest_can_be_had_instead() -> None:
    text = document().to_json()
    result = Shell().run(
        *("intro", "accept", "-", "--identity", "client1", "--manifest", "--name", "from-org-a"),
        *("--authority-fingerprint", AUTHORITY.fingerprint),
        stdin=text,
    )
    manifest = yaml.safe_load(result.stdout)
    Introduction.parse(manifest)
    assert manifest["metadata"]["name"] == "from-org-a"
    assert manifest["spec"]["accept"] == {
        "identity": "client1",
        "introduction": text,
        "authorityFingerprint": AUTHORITY.fingerprint,
    }


def test_an_authority_that_the_partner_did_not_name_is_refused_here() -> None:
    result = Shell().run(
        *("intro", "accept", "-", "--identity", "client1"),
        *("--authority-fingerprint", "SHA256:" + "0" * 64),
        stdin=document().to_json(),
    )
    assert result.exit_code == 1
    assert "AuthorityNotPinned" in result.stderr
    assert AUTHORITY.fingerprint in result.stderr


@pytest.mark.parametrize(
    "options", [(), ("--peer", "org-b", "--authority-fingerprint", AUTHORITY.fingerprint)]
)
def test_who_is_believed_is_said_exactly_once(options: tuple[str, ...]) -> None:
    result = Shell().run("intro", "accept", "-", "--identity", "c", *options, stdin=document().to_json())
    assert result.exit_code == 2
    assert AUTHORITY.fingerprint not in result.stderr  # to be had from the partner, not from the file


def test_an_expired_one_is_refused_here() -> None:
    old = document().to_json()
    result = Shell(now=NOW + 60 * DAY).run(
        "intro", "accept", "-", "--identity", "c", "--peer", "org-b", stdin=old
    )
    assert result.exit_code == 1
    assert "IntroductionExpired" in result.stderr


def test_a_refusal_of_the_operator_is_told_with_the_next_step() -> None:
    shell = Shell()
    shell.cluster.got = judging("False", "IdentityKeyMismatch", "The introduction is for another key.")
    result = shell.run(
        "intro", "accept", "-", "--identity", "c", "--peer", "org-b", stdin=document().to_json()
    )
    assert result.exit_code == 1
    assert "another key" in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_while_something_is_awaited_the_last_word_is_told() -> None:
    shell = Shell()
    shell.cluster.got = judging("Unknown", "AwaitingIdentity", "The WorkloadIdentity is not there.")
    result = shell.run(
        *("intro", "accept", "-", "--identity", "c", "--peer", "org-b", "--wait", "2s"),
        stdin=document().to_json(),
    )
    assert result.exit_code == 1
    assert "is not there" in result.stdout


def test_nobody_need_wait() -> None:
    result = Shell().run(
        *("intro", "accept", "-", "--identity", "c", "--peer", "org-b", "--wait", "0"),
        stdin=document().to_json(),
    )
    assert result.exit_code == 0
    assert "handed to the operator" in result.stdout
