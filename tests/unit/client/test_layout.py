"""``bilateral layout``: what stock certified is given, and what is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bilateral.cli.main import cli
from bilateral.client import LayoutInvalid
from bilateral.client.layout import MARKER, watch_layout, write_layout
from bilateral.pki.directory import build_identity_files
from support.waiting import wait_for
from unit.client.pod import Organisation, Pod, tree

BILATERAL = Path(sys.executable).with_name("bilateral")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "certified"


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def test_the_key_is_copied_for_its_user_alone_and_the_rest_is_linked(introduced: Pod, target: Path) -> None:
    write_layout(introduced.root, target)
    assert mode(target / "id.key") == 0o600
    assert not (target / "id.key").is_symlink()
    assert (target / "id.key").read_bytes() == introduced.held.key_pem
    assert (target / "id.crt").read_bytes() == introduced.held.identity.certificate_pem
    for name, volume in (
        ("id", introduced.chains),
        ("known_servers", introduced.servers),
        ("known_clients", introduced.clients),
    ):
        assert (target / name).readlink() == volume.path
        assert {path.name for path in (target / name).iterdir() if not path.name.startswith("..")} == set(
            volume.files
        )
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [MARKER, "id", "id.crt", "id.key", "known_clients", "known_servers"]
    )


def test_it_can_be_made_again_by_a_container_that_started_again(introduced: Pod, target: Path) -> None:
    write_layout(introduced.root, target)
    key = (target / "id.key").stat().st_ino
    before = tree(target)
    write_layout(introduced.root, target)
    assert tree(target) == before
    assert (target / "id.key").stat().st_ino == key


def test_a_key_that_is_provided_is_copied_from_its_own_secret(
    introduced: Pod, org_a: Organisation, target: Path
) -> None:
    key = introduced.mount_key_apart()
    other = org_a.identity("client1")
    watch_layout(
        introduced.root,
        target,
        wait=steps(
            lambda: (target / "id.key").read_bytes() == introduced.held.key_pem or pytest.fail("another key"),
            lambda: key.replace({"tls.key": other.key_pem}),
        ),
    )
    assert (target / "id.key").read_bytes() == other.key_pem
    assert (target / "id.crt").read_bytes() == introduced.held.identity.certificate_pem
    assert mode(target / "id.key") == 0o600


def test_a_certified_directory_is_a_source_too(introduced: Pod, target: Path, tmp_path: Path) -> None:
    write_layout(introduced.root, target)
    write_layout(target, tmp_path / "again")
    assert (tmp_path / "again" / "id.key").read_bytes() == introduced.held.key_pem


@pytest.mark.parametrize("there", ["id.key", "id.crt", "notes.txt"])
def test_what_was_not_made_here_is_left_as_it_is(there: str, introduced: Pod, target: Path) -> None:
    target.mkdir()
    (target / there).write_bytes(b"mine")
    with pytest.raises(LayoutInvalid) as caught:
        write_layout(introduced.root, target)
    assert caught.value.cause == "foreign"
    assert tree(target) == {there: b"mine"}


def test_a_link_in_the_place_of_the_key_is_replaced_and_not_written_through(
    introduced: Pod, target: Path, tmp_path: Path
) -> None:
    write_layout(introduced.root, target)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for name in ("id.key", ".id.key.new"):
        (target / name).unlink(missing_ok=True)
        (target / name).symlink_to(victim)
    write_layout(introduced.root, target)
    assert victim.read_bytes() == b"mine"
    assert (target / "id.key").read_bytes() == introduced.held.key_pem
    assert mode(target / "id.key") == 0o600


@pytest.mark.parametrize(
    ("broken", "cause"), [({}, "no-key"), ({"id.key": b"broken"}, "malformed-key")], ids=["none", "broken"]
)
def test_without_a_key_there_is_no_layout(
    broken: dict[str, bytes], cause: str, introduced: Pod, target: Path
) -> None:
    introduced.identity.replace(broken)
    with pytest.raises(LayoutInvalid) as caught:
        write_layout(introduced.root, target)
    assert caught.value.cause == cause
    assert not target.exists()


def steps(*actions: Callable[[], object]) -> Callable[[float], bool]:
    """A ``wait`` that does one thing each time it is waited, and then ends."""
    left = list(actions)

    def wait(seconds: float) -> bool:
        assert seconds > 0
        if not left:
            return True
        left.pop(0)()
        return False

    return wait


def test_watching_copies_a_key_that_changed(introduced: Pod, org_a: Organisation, target: Path) -> None:
    other = org_a.identity("client1")
    inodes: list[int] = []
    watch_layout(
        introduced.root,
        target,
        wait=steps(
            lambda: inodes.append((target / "id.key").stat().st_ino),
            lambda: inodes.append((target / "id.key").stat().st_ino),
            lambda: introduced.identity.replace(build_identity_files(other, org_a.certificate)),
        ),
    )
    assert inodes[0] == inodes[1]
    assert (target / "id.key").read_bytes() == other.key_pem
    assert (target / "id.crt").read_bytes() == other.identity.certificate_pem


def test_watching_says_once_what_is_wrong_keeps_what_was_and_recovers(
    introduced: Pod, org_a: Organisation, target: Path
) -> None:
    said: list[str | None] = []
    good = dict(introduced.identity.files)
    kept: list[bytes] = []
    watch_layout(
        introduced.root,
        target,
        wait=steps(
            lambda: introduced.identity.replace({"tls.key": b"broken"}),
            lambda: kept.append((target / "id.key").read_bytes()),
            lambda: None,
            lambda: introduced.identity.replace(good),
            lambda: None,
        ),
        report=lambda error: said.append(None if error is None else error.cause),
    )
    assert said == ["malformed-key", None]
    assert kept == [introduced.held.key_pem]


def test_the_command_makes_it_and_its_errors_are_one_line(introduced: Pod, target: Path) -> None:
    done = CliRunner().invoke(cli, ["layout", str(introduced.root), str(target)])
    assert (done.exit_code, done.output) == (0, "")
    assert (target / "id.key").exists()
    refused = CliRunner().invoke(cli, ["layout", str(target.parent / "nowhere"), str(target)])
    assert refused.exit_code == 2
    assert refused.output.startswith("error: DirectoryInvalid: nowhere: no such directory")
    assert refused.output.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_watches_until_it_is_told_to_end(
    number: signal.Signals, introduced: Pod, org_a: Organisation, target: Path
) -> None:
    other = org_a.identity("client1")
    with subprocess.Popen(
        [BILATERAL, "layout", introduced.root, target, "--watch"],
        stderr=subprocess.PIPE,
    ) as process:
        wait_for((target / "id.key").exists, "the layout is there")
        introduced.identity.replace(build_identity_files(other, org_a.certificate))
        wait_for(lambda: (target / "id.key").read_bytes() == other.key_pem, "the key is the new one")
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, b"")
