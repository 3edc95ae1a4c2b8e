"""A PostgreSQL server of Debian's package, private to one run of the tests.

It listens on a leased port of loopback, keeps its files in a folder of its own, and ends with the program
that started it, however that ends. initdb refuses root: as root it runs as `postgres` or `nobody`. Where
there is no server the tests that need one skip, saying so; with CI=true they fail.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from support.waiting import wait_for
from testbed.ports import lease_port
from testbed.postgresql import MISSING, find_postgresql

USER = "ledger"
_SETTINGS = {
    "fsync": "off",  # the machine does not fail in a test; what is killed is the server or its client
    "shared_buffers": "16MB",
    "max_connections": "40",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; every test has a place of its own in it."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """The URL of the server's one database, password included."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def make_place(self) -> str:
        """Make an empty schema, which costs less than a database, and return the URL that leads into it."""
        name = f"t{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self.url}?options=-csearch_path%3D{name}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection beside the ledger's, that commits each statement."""
        return psycopg.connect(self.url, autocommit=True)


def require_programs() -> Path:
    """The folder of the server's programs; without them the test skips, or fails where CI=true."""
    programs = find_postgresql()
    if programs is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return programs


@contextmanager
def run_server(programs: Path) -> Iterator[Server]:
    """Run a server for as long as the context lasts."""
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="bilateral-postgresql-"))
    port = lease_port()
    try:
        password = secrets.token_hex(12) + "~!"
        (folder / "password").write_text(password)
        if user is not None:
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        data = folder / "data"
        _run(
            user,
            [programs / "initdb", "--pgdata", data, "--username", USER, "--pwfile", folder / "password",
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
        )  # fmt: skip
        settings = {**_SETTINGS, "port": str(port.number)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_as(user), programs / "postgres", "-D", data, *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, pass_fds=(port.lock,),
            )  # fmt: skip
        server = Server(port.number, password)
        try:
            wait_for(lambda: process.poll() is not None or _answers(server), "the server answers")
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)
    finally:
        port.release()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(server: Server) -> bool:
    with suppress(psycopg.OperationalError), server.connect():
        return True
    return False


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("neither postgres nor nobody is a user of this machine")


def _as(user: pwd.struct_passwd | None) -> list[str]:
    """What precedes a command: who it runs as, and that it ends when we do."""
    setpriv = ["setpriv", "--pdeathsig", "QUIT"]
    if user is not None:
        setpriv += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [*setpriv, "--"]


def _run(user: pwd.struct_passwd | None, command: list[str | Path]) -> None:
    done = subprocess.run([*_as(user), *command], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
