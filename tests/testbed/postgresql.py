"""PostgreSQL's server programs, for the tests of the ledger: Debian's, found or installed.

Only programs are wanted: a package that is installed here makes no database of its own and starts nothing.
Installing is for root on Debian (a CI machine); elsewhere what is missing is said, and the tests that need a
server skip.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.errors import BuildError

DEBIAN = Path("/usr/lib/postgresql")
# Read by Debian's scripts when a server package is installed.
NO_DATABASE = Path("/etc/postgresql-common/createcluster.d/bilateral-tests.conf")
MISSING = "no PostgreSQL server on this machine: tests that need one skip (Debian: apt install postgresql)"
_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "postgresql")

Run = Callable[[Sequence[str]], bool]
"""Runs a command; says whether it succeeded."""


def find_postgresql(debian: Path = DEBIAN) -> Path | None:
    """Return the folder of initdb and postgres, Debian's newest or that of PATH; None when there is none."""
    found = [
        each for each in debian.glob("*/bin") if (each / "initdb").exists() and (each / "postgres").exists()
    ]
    if found:
        return max(found, key=lambda each: [int(part) for part in each.parent.name.split(".")])
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb is not None and shutil.which("postgres") else None


def install_postgresql(
    run: Run | None = None, no_database: Path = NO_DATABASE, find: Callable[[], Path | None] = find_postgresql
) -> Path | None:
    """Install the server from Debian's packages if it is missing and we may; return its folder.

    None means that it is missing and that we may not. Raises BuildError when apt-get fails.
    """
    programs = find()
    if programs is not None:
        return programs
    if run is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            return None
        run = _run
    no_database.parent.mkdir(parents=True, exist_ok=True)
    no_database.write_text("create_main_cluster = false\n")
    try:
        if not run(_INSTALL) and not (run(("apt-get", "update")) and run(_INSTALL)):
            raise BuildError("apt-get cannot install postgresql")
    finally:
        no_database.unlink()
    programs = find()
    if programs is None:
        raise BuildError(f"postgresql is installed, but {DEBIAN} has no initdb")
    return programs


def _run(command: Sequence[str]) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment, check=False
    )
    return done.returncode == 0
