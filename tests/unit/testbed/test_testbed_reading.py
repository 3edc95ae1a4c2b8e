"""Reading what the API server and the operator say: the audit log, metrics, and the operator's own log."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from testbed.audit import WRITE_VERBS, AuditEvent, read_events, select_events
from testbed.build import Programs
from testbed.commands import CONTROLLERS, apiserver_command, etcd_command
from testbed.credentials import write_credentials
from testbed.kubeconfig import write_kubeconfig
from testbed.metrics import Sample, parse_metrics
from testbed.operator import OperatorSettings
from testbed.state import State

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def audit_line(user: str, verb: str, resource: str = "secrets", stage: str = "ResponseComplete") -> bytes:
    event = {
        "user": {"username": user}, "verb": verb, "stage": stage,
        "requestURI": "/api/v1/namespaces/a/secrets/x",
        "objectRef": {"resource": resource, "namespace": "a", "name": "x"}, "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-11-21T12:00:00.000000Z",
    }  # fmt: skip
    return json.dumps(event).encode() + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    lines = [
        audit_line("one", "create"), audit_line("one", "list"), audit_line("two", "patch", "leases"),
        audit_line("one", "watch", stage="ResponseStarted"), audit_line("one", "watch"),
    ]  # fmt: skip
    path.write_bytes(b"".join(lines) + b'{"half')
    return path


def test_calls_are_counted_once_and_a_half_written_line_is_left_for_later(log: Path) -> None:
    assert [event.verb for event in select_events(read_events(log))] == ["create", "list", "patch", "watch"]


def test_calls_are_selected_by_user_verb_resource_and_position(log: Path) -> None:
    assert [event.verb for event in select_events(read_events(log), user="one", verb=WRITE_VERBS)] == [
        "create"
    ]
    assert len(select_events(read_events(log), verb="list")) == 1
    assert len(select_events(read_events(log), resource="leases")) == 1
    assert select_events(read_events(log), namespace="b") == []
    later = len(audit_line("one", "create"))
    assert [event.verb for event in select_events(read_events(log, later))] == ["list", "patch", "watch"]


def test_a_write_is_told_from_a_read(log: Path) -> None:
    events: list[AuditEvent] = list(read_events(log))
    assert [event.is_write for event in events] == [True, False, True, False, False]


def test_without_an_audit_log_there_are_no_calls(tmp_path: Path) -> None:
    assert list(read_events(tmp_path / "audit.log")) == []


def test_metrics_are_read_by_name_and_labels() -> None:
    samples = parse_metrics(
        "# HELP h_total Handshakes.\n# TYPE h_total counter\n"
        'h_total{reason="Fresh",side="in"} 2.0\nh_total{reason="Fresh",side="out"} 3\n'
        'h_total{reason="Quoted \\"word\\", comma",side="in"} 5\nup 1\nbig 1.5e+09\n'
    )
    assert samples.total("h_total") == 10
    assert samples.total("h_total", reason="Fresh") == 5
    assert samples.total("h_total", side="in", reason='Quoted "word", comma') == 5
    assert samples.total("absent") == 0
    assert list(samples.select("up")) == [Sample("up", {}, 1.0)]
    assert samples.names() == {"h_total", "up", "big"}


def test_a_line_that_is_no_sample_is_named() -> None:
    with pytest.raises(ValueError, match="not a sample: <html>"):
        parse_metrics("<html>\n")


def test_the_operators_flags_are_spelled_as_the_chart_spells_them() -> None:
    settings = OperatorSettings(Path("k"), ("a", "b"), "a", refusals="Uniform", extra=("--workers=2",))
    assert settings.arguments(1, 2) == [
        "--kubeconfig=k", "--namespace=a", "--namespace=b", "--lease-namespace=a", "--listen=127.0.0.1:1",
        "--metrics-listen=127.0.0.1:2", "--allow-destinations=127.0.0.1", "--refusals=Uniform",
        "--log-level=info",
        "--workers=2",
    ]  # fmt: skip


def test_the_api_servers_certificate_is_valid_for_loopback(tmp_path: Path) -> None:
    credentials = write_credentials(tmp_path, NOW)
    authority = x509.load_pem_x509_certificate(credentials.authority.read_bytes())
    certificate = x509.load_pem_x509_certificate(credentials.certificate.read_bytes())
    verifier = (
        PolicyBuilder().store(Store([authority])).time(NOW).build_server_verifier(x509.DNSName("localhost"))
    )
    assert verifier.verify(certificate, [])
    assert credentials.key.stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_is_private_and_whole(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    path = write_kubeconfig(
        tmp_path / "kubeconfig", server="https://127.0.0.1:1", authority=tmp_path / "ca.crt",
        token="secret", user="somebody", namespace="a",
    )  # fmt: skip
    content = yaml.safe_load(path.read_text())
    assert content["contexts"][0]["context"] == {"cluster": "testbed", "user": "somebody", "namespace": "a"}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("audit", [True, False], ids=["with an audit log", "without"])
def test_everything_listens_on_loopback_only(tmp_path: Path, *, audit: bool) -> None:
    programs = Programs(*(Path(name) for name in ("etcd", "apiserver", "controllers", "kubectl")))
    state = State(1, 2, 3, audit, "a", "b")
    commands = etcd_command(programs, tmp_path, state) + apiserver_command(programs, tmp_path, state)
    listening = [word for word in commands if word.startswith(("--listen", "--bind"))]
    assert len(listening) == 3
    assert all("127.0.0.1" in word for word in listening)
    assert any(word.startswith("--audit-log-path") for word in commands) is audit
    assert "garbage-collector-controller" in CONTROLLERS
