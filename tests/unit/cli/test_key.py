"""bilateral key: one key in every spelling, and a private key that never shows."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bilateral.protocol.keys import SigningKey
from unit.cli.fakes import OUR_KEY, Shell, trust_domain

HEX = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
SPELLINGS = {
    "publicKey": f"ed25519:{HEX}",
    "hex": HEX,
    "did": f"did:chio:{HEX}",
    "didKey": "did:key:z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z",
    "multibase": "z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z",
    "openssh": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs",
    "spkiDer": f"302a300506032b6570032100{HEX}",
    "spkiPem": "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEA6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\n-----END PUBLIC KEY-----\n",
}


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name != "spkiDer"])
def test_every_spelling_leads_to_every_spelling(spelling: str) -> None:
    result = Shell().run("key", "show", "-o", "json", "--", SPELLINGS[spelling])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == SPELLINGS


def test_the_text_names_each_spelling() -> None:
    text = Shell().run("key", "show", HEX).stdout
    assert f"key        ed25519:{HEX}\n" in text
    assert "did:key    did:key:z6Mk" in text
    assert text.endswith("-----END PUBLIC KEY-----\n")


@pytest.mark.parametrize("through", ["file", "stdin"])
@pytest.mark.parametrize("spelling", ["publicKey", "spkiPem", "openssh"])
def test_a_key_is_read_from_a_file_or_from_stdin(tmp_path: Path, through: str, spelling: str) -> None:
    file = tmp_path / "key"
    file.write_text(SPELLINGS[spelling].rstrip("\n") + "\n")
    result = (
        Shell().run("key", "show", str(file), "-o", "json")
        if through == "file"
        else Shell().run("key", "show", "-", "-o", "json", stdin=file.read_bytes())
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["hex"] == HEX


def test_of_a_private_key_only_the_public_half_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    file.write_bytes(OUR_KEY.pkcs8_pem())
    result = Shell().run("key", "show", str(file))
    assert OUR_KEY.public_key.canonical in result.stdout
    body = OUR_KEY.pkcs8_pem().splitlines()[1].decode()
    assert body not in result.stdout
    assert body[-20:] not in result.stdout + result.stderr


def test_the_key_of_a_trust_domain() -> None:
    shell = Shell()
    shell.cluster.add("trustdomains", trust_domain())
    result = shell.run("key", "show", "--trust-domain", "org-a", "-o", "json")
    assert json.loads(result.stdout)["publicKey"] == OUR_KEY.public_key.canonical
    shell.cluster.add("trustdomains", trust_domain(status={"publicKey": None}))
    assert shell.run("key", "show", "--trust-domain", "org-a").exit_code == 1
    assert shell.run("key", "show", "--trust-domain", "nobody").exit_code == 1


ENCRYPTED = ed25519.Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
)
OTHER_ALGORITHM = x25519.X25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"junk", "MalformedKey", id="junk"),
        pytest.param(b"\xff\xfe", "MalformedKey", id="not ASCII"),
        pytest.param(b"", "MalformedKey", id="nothing"),
        pytest.param(HEX[:-1].encode(), "MalformedKey", id="63 digits"),
        pytest.param(b"01" + b"00" * 31, "WeakKey", id="small order"),
        pytest.param(ENCRYPTED, "MalformedKey", id="encrypted private key"),
        pytest.param(OTHER_ALGORITHM, "MalformedKey", id="private key of another algorithm"),
        pytest.param(b"a" * 65_537, "too large", id="too large"),
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(data: bytes, reason: str) -> None:
    result = Shell().run("key", "show", "-", stdin=data)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert not data or data.decode("latin-1").strip() not in result.stderr


def test_a_file_that_is_not_there_is_hinted_at() -> None:
    result = Shell().run("key", "show", "nowhere.pem")
    assert result.exit_code == 2
    assert "no file of that name" in result.stderr


@pytest.mark.parametrize("arguments", [(), (HEX, "--trust-domain", "org-a")])
def test_one_source_is_wanted(arguments: tuple[str, ...]) -> None:
    assert Shell().run("key", "show", *arguments).exit_code == 2


def test_a_generated_key_is_the_owners_alone_and_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    result = Shell().run("key", "generate", str(file), "-o", "json")
    assert result.exit_code == 0
    made = SigningKey.from_pkcs8_pem(file.read_bytes())
    assert json.loads(result.stdout)["publicKey"] == made.public_key.canonical
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    again = Shell().run("key", "generate", str(file))
    assert again.exit_code == 2
    assert "left as it is" in again.stderr
    assert file.read_bytes() == before


def test_a_link_is_not_followed_when_a_key_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert Shell().run("key", "generate", str(tmp_path / "link")).exit_code == 2
    assert not (tmp_path / "target").exists()
    assert Shell().run("key", "generate", str(tmp_path / "no" / "folder")).exit_code == 2
