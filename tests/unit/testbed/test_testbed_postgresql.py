"""PostgreSQL's programs: the newest is taken, and installed only where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from testbed.errors import BuildError
from testbed.postgresql import find_postgresql, install_postgresql

INSTALL = "apt-get install --yes --no-install-recommends postgresql"


class Machine:
    """A machine whose package manager answers as it is told, and then has the programs."""

    def __init__(self, folder: Path, answers: Sequence[bool] = ()) -> None:
        self.no_database = folder / "createcluster.d" / "tests.conf"
        self.answers = list(answers)
        self.commands: list[str] = []
        self.programs: Path | None = None

    def run(self, command: Sequence[str]) -> bool:
        assert self.no_database.read_text() == "create_main_cluster = false\n"
        self.commands.append(" ".join(command))
        done = self.answers.pop(0)
        if done and "install" in command:
            self.programs = Path("/usr/lib/postgresql/15/bin")
        return done

    def install(self) -> Path | None:
        return install_postgresql(self.run, self.no_database, lambda: self.programs)


def test_the_newest_of_several_is_taken(tmp_path: Path) -> None:
    for version, names in (("9.6", ["initdb", "postgres"]), ("15", ["initdb", "postgres"]), ("16", ["psql"])):
        programs = tmp_path / version / "bin"
        programs.mkdir(parents=True)
        for name in names:
            (programs / name).touch()
    assert find_postgresql(tmp_path) == tmp_path / "15" / "bin"


def test_what_is_there_is_not_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.programs = tmp_path
    assert machine.install() == tmp_path
    assert machine.commands == []


def test_what_is_missing_is_installed_without_a_database(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [True])
    assert machine.install() == Path("/usr/lib/postgresql/15/bin")
    assert machine.commands == [INSTALL]
    assert not machine.no_database.exists(), "later installations are as Debian has them"


def test_an_old_list_of_packages_is_renewed_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [False, True, True])
    assert machine.install() is not None
    assert machine.commands == [INSTALL, "apt-get update", INSTALL]


@pytest.mark.parametrize("answers", [(False, False), (False, True, False)])
def test_what_cannot_be_installed_is_an_error(tmp_path: Path, answers: tuple[bool, ...]) -> None:
    machine = Machine(tmp_path, answers)
    with pytest.raises(BuildError):
        machine.install()
    assert not machine.no_database.exists()
