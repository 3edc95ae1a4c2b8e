"""Processes and ports: only what we started is ended, and two runs never meet."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.errors import TestBedError
from testbed.ports import FIRST, LAST, Port, lease_port
from testbed.processes import (
    ProcessRecord,
    end_process,
    find_start_time,
    is_running,
    send_signal,
    spawn,
    wait_ended,
)
from testbed.state import State, read_state, write_state

WAITS = [sys.executable, "-c", "import sys; print('up', flush=True); import signal; signal.pause()"]


def test_a_process_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    record = spawn(WAITS, log=tmp_path / "log")
    assert is_running(record)
    assert not is_running(ProcessRecord(record.pid, "another time"))
    end_process(record)
    assert not is_running(record)
    assert find_start_time(record.pid) is None


def test_a_recycled_pid_is_never_hit(tmp_path: Path) -> None:
    record = spawn(WAITS, log=tmp_path / "log")
    try:
        recycled = ProcessRecord(record.pid, "an earlier process")
        assert not send_signal(recycled, signal.SIGKILL)
        end_process(recycled)
        assert is_running(record)
    finally:
        end_process(record)


def test_a_process_that_ended_by_itself_is_reaped(tmp_path: Path) -> None:
    record = spawn([sys.executable, "-c", "print('bye')"], log=tmp_path / "log")
    assert wait_ended(record, 20)
    assert (tmp_path / "log").read_text() == "bye\n"
    assert not send_signal(record, signal.SIGTERM)


def test_one_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
    code = ignore + "while True: signal.pause()"
    record = spawn([sys.executable, "-c", code], log=tmp_path / "log")
    assert wait_for_text(tmp_path / "log", "up")
    end_process(record, grace=0.05)
    assert not is_running(record)


def test_a_frozen_process_still_counts_and_can_be_ended(tmp_path: Path) -> None:
    record = spawn(WAITS, log=tmp_path / "log")
    assert send_signal(record, signal.SIGSTOP)
    assert is_running(record)
    end_process(record)
    assert not is_running(record)


def wait_for_text(path: Path, text: str) -> bool:
    with subprocess.Popen(["tail", "-F", "-n", "+1", str(path)], stdout=subprocess.PIPE, text=True) as lines:
        assert lines.stdout is not None
        found = any(text in line for line in lines.stdout)
        lines.kill()
    return found


def test_ports_are_free_different_and_below_the_ephemeral_ones() -> None:
    ports = [lease_port() for _ in range(50)]
    try:
        assert len({port.number for port in ports}) == 50
        assert all(FIRST <= port.number <= LAST for port in ports)
    finally:
        for port in ports:
            port.release()


def test_a_leased_port_is_refused_to_others_while_any_process_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = lease_port()
    record = spawn(WAITS, log=tmp_path / "log", descriptors=[port.lock])
    port.release()
    only_that_one(monkeypatch, port)
    with pytest.raises(TestBedError, match="no free port"):
        lease_port()
    end_process(record)
    again = lease_port()
    assert again.number == port.number
    again.release()


def test_a_port_that_somebody_else_listens_on_is_not_leased(monkeypatch: pytest.MonkeyPatch) -> None:
    port = lease_port()
    port.release()
    only_that_one(monkeypatch, port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))
        with pytest.raises(TestBedError, match="no free port"):
            lease_port()


def only_that_one(monkeypatch: pytest.MonkeyPatch, port: Port) -> None:
    monkeypatch.setattr("testbed.ports.FIRST", port.number)
    monkeypatch.setattr("testbed.ports.LAST", port.number)


def test_the_state_survives_and_is_private(tmp_path: Path) -> None:
    state = State(1, 2, 3, audit=True, admin_token="token-a", controller_token="token-b")
    state.processes["etcd"] = ProcessRecord(os.getpid(), "7")
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert "token-a" not in repr(state)


def test_a_folder_without_state_has_no_cluster(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"processes": {}}', '{"processes": {"etcd": {}}}'])
def test_a_broken_state_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(TestBedError, match=r"state\.json is not"):
        read_state(tmp_path)
