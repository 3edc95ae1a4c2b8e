"""bilateral handshake: offers signed by the caller, files judged by the operator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bilateral.cli.cluster import Object
from bilateral.protocol.acceptance import Terms, accept_envelope
from bilateral.protocol.handshake import Envelope, build_envelope, parse_envelope
from bilateral.resources.labels import ENVELOPE_ANNOTATION
from unit.cli.fakes import NONCE, NOW, OUR_KEY, THEIR_KEY, Shell, peer, trust_domain


@pytest.fixture
def shell() -> Shell:
    shell = Shell()
    shell.cluster.add("trustdomains", trust_domain())
    shell.cluster.add("federationpeers", peer())
    shell.cluster.secrets["trust", "org-a-signing-key"] = {"private.pem": OUR_KEY.pkcs8_pem()}
    return shell


def envelope() -> Envelope:
    return build_envelope(
        local_kernel_id="org-b-kernel",
        remote_kernel_id="org-a-kernel",
        nonce="n-1",
        timestamp=NOW,
        key=THEIR_KEY,
    )


def judging(reason: str, after: int = 2) -> Callable[[Object], None]:
    """Act as an operator that judges the envelope at the ``after``-th look at the object."""
    looks = 0

    def look(obj: Object) -> None:
        nonlocal looks
        value = obj["metadata"].get("annotations", {}).get(ENVELOPE_ANNOTATION)
        if value is None:
            return
        looks += 1
        if looks >= after:
            digest = hashlib.sha256(value.encode()).hexdigest()
            obj["status"]["offeredEnvelope"] = {"digest": digest, "reason": reason}

    return look


def test_an_offer_is_accepted_by_the_partner(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "offer.json"
    result = shell.run("handshake", "offer", "org-b", "-o", str(file))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    offer = parse_envelope(file.read_bytes().strip())
    assert offer.challenge.nonce == NONCE
    assert offer.challenge.timestamp == NOW
    terms = Terms(
        local_kernel_id="org-b-kernel",
        local_public_key=THEIR_KEY.public_key,
        remote_kernel_id="org-a-kernel",
        anchors=(OUR_KEY.public_key,),
        rotation_window_seconds=43_200,
        max_clock_skew_seconds=300,
    )
    assert accept_envelope(offer, terms, None, NOW + 300).public_key == OUR_KEY.public_key


def test_an_offer_goes_to_stdout_and_its_explanation_to_stderr(shell: Shell) -> None:
    result = shell.run("handshake", "offer", "org-b")
    assert parse_envelope(result.stdout_bytes.strip()).challenge.remote_kernel_id == "org-b-kernel"
    assert "2026-11-21T14:31:07Z as org-a-kernel for org-b-kernel" in result.stderr
    assert "PRIVATE" not in result.stderr


def test_the_key_is_read_from_the_secret_that_the_trust_domain_names(shell: Shell) -> None:
    shell.cluster.add("trustdomains", trust_domain(signingKey={"secretName": "mine"}))
    assert shell.run("handshake", "offer", "org-b").exit_code == 1
    shell.cluster.secrets["trust", "mine"] = {"private.pem": OUR_KEY.pkcs8_pem()}
    assert shell.run("handshake", "offer", "org-b").exit_code == 0


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        pytest.param({}, "no member private.pem", id="another member"),
        pytest.param({"private.pem": b"junk"}, "no usable key", id="no key"),
        pytest.param(
            {"private.pem": THEIR_KEY.pkcs8_pem()}, "KeyDrift", id="a key that partners do not know"
        ),
    ],
)
def test_nothing_is_signed_with_a_key_that_partners_do_not_know(
    shell: Shell, secret: dict[str, bytes], words: str
) -> None:
    shell.cluster.secrets["trust", "org-a-signing-key"] = secret
    result = shell.run("handshake", "offer", "org-b")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""
    assert "PRIVATE" not in result.stderr


def test_who_may_not_read_the_key_cannot_sign(shell: Shell) -> None:
    shell.cluster.refused = {"secret"}
    result = shell.run("handshake", "offer", "org-b")
    assert result.exit_code == 3
    assert result.stderr == "error: you may not secret in namespace trust\n"


def test_an_accepted_file_is_handed_over_by_an_annotation_and_the_verdict_told(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "offer.json"
    file.write_bytes(b"  " + envelope().to_json() + b"\r\n\n")
    shell.cluster.got = judging("EnvelopeAccepted", after=5)
    result = shell.run("handshake", "accept", "org-b", str(file))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "federationpeer/org-b: accepted, fresh until 2026-11-22T01:54:27Z.\n"
    annotations = shell.cluster.objects["federationpeers", "trust", "org-b"]["metadata"]["annotations"]
    assert annotations == {ENVELOPE_ANNOTATION: envelope().to_json().decode()}


def test_a_refusal_is_said_with_the_next_step_and_exit_code_1(shell: Shell) -> None:
    shell.cluster.got = judging("ReplayedEnvelope")
    result = shell.run("handshake", "accept", "org-b", "-", stdin=envelope().to_json())
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "federationpeer/org-b: refused: ReplayedEnvelope: this envelope, or a later one, was already "
        "accepted.\n  Theirs: make a new envelope"
    )
    as_json = shell.run("handshake", "accept", "org-b", "-", "-o", "json", stdin=envelope().to_json())
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["accepted"] is False


def test_a_verdict_about_another_file_is_not_taken_for_ours(shell: Shell) -> None:
    shell.cluster.add(
        "federationpeers",
        peer(status={"offeredEnvelope": {"digest": "0" * 64, "reason": "EnvelopeAccepted"}}),
    )
    result = shell.run("handshake", "accept", "org-b", "-", "--wait", "2s", stdin=envelope().to_json())
    assert result.exit_code == 1
    assert "has not judged the envelope within 2 s" in result.stderr


def test_waiting_can_be_left_out(shell: Shell) -> None:
    result = shell.run("handshake", "accept", "org-b", "-", "--wait", "0", stdin=envelope().to_json())
    assert result.exit_code == 0
    assert "handed to the operator" in result.stdout
    data = shell.run(
        "handshake", "accept", "org-b", "-", "--wait", "0", "-o", "json", stdin=envelope().to_json()
    )
    assert json.loads(data.stdout) == {
        "peer": "org-b",
        "accepted": None,
        "reason": None,
        "freshUntil": None,
    }


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="no members"),
        pytest.param(b"junk", id="not JSON"),
        pytest.param(envelope().to_json()[:-1] + b',"more":1}', id="an unknown member"),
        pytest.param(envelope().to_json() * 2, id="two envelopes"),
        pytest.param(b"[" * 10_000, id="deep nesting"),
        pytest.param(b'{"challenge":"' + b"a" * 17_000 + b'"}', id="past 16 KiB"),
    ],
)
def test_a_file_that_is_no_envelope_is_refused_before_anything_is_written(shell: Shell, data: bytes) -> None:
    result = shell.run("handshake", "accept", "org-b", "-", stdin=data)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: refused: ")
    assert "annotations" not in shell.cluster.objects["federationpeers", "trust", "org-b"]["metadata"]


def test_a_file_far_too_large_is_not_read_to_its_end(shell: Shell) -> None:
    result = shell.run("handshake", "accept", "org-b", "-", stdin=b" " * 1_000_000)
    assert result.exit_code == 2
    assert "too large" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("accept", "nobody", "-"), 1, "does not exist"),
        (("accept", "org-b", "/nonexistent"), 2, "cannot read /nonexistent"),
        (("accept", "org-b", "-", "--wait", "soon"), 2, "30s, 2m or 1h"),
        (("offer", "nobody"), 1, "does not exist"),
        (("offer", "org-b", "-o", "/nonexistent/offer.json"), 2, "cannot write"),
    ],
)
def test_mistakes_end_in_one_line(shell: Shell, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = shell.run("handshake", *arguments, stdin=envelope().to_json())
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
