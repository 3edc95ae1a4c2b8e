"""bilateral operator: options and environment become one frozen value; nothing is imported before."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from bilateral.settings import OperatorSettings, SettingsError
from unit.cli.fakes import Shell

EVERYTHING = [
    "--namespace=a", "-n", "b,c", "--kubeconfig=/k", "--context=x", "--listen=127.0.0.1:0",
    "--metrics-listen=[::1]:9",
    "--allow-destinations=10.0.0.0/8, *.svc", "--allow-destinations=trust.org-b.example",
    "--refusals=Uniform",
    "--log-level=debug", "--tls-minimum=1.2", "--lease-namespace=ln", "--lease-name=l", "--identity=me",
    "--workers=2", "--max-connections=10", "--max-connections-per-source=5", "--requests-per-second=7",
]  # fmt: skip


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[OperatorSettings]:
    """Put an operator in place that only remembers with what it was started."""
    calls: list[OperatorSettings] = []
    module = types.ModuleType("bilateral.operator")

    def main(settings: OperatorSettings) -> int:
        calls.append(settings)
        if settings.identity == "wrong":
            raise SettingsError("--identity: expected a name")
        return 7 if settings.identity == "seven" else 0

    module.__dict__["main"] = main
    monkeypatch.setitem(sys.modules, "bilateral.operator", module)
    return calls


def test_without_options_the_defaults_hold(started: list[OperatorSettings]) -> None:
    assert Shell().run("operator").exit_code == 0
    assert started == [OperatorSettings()]


def test_every_option_reaches_the_operator(started: list[OperatorSettings]) -> None:
    result = Shell().run("operator", *EVERYTHING)
    assert result.exit_code == 0, result.stderr
    assert started == [
        OperatorSettings(
            kubeconfig="/k",
            context="x",
            namespaces=("a", "b", "c"),
            lease_namespace="ln",
            lease_name="l",
            identity="me",
            listen=("127.0.0.1", 0),
            metrics_listen=("::1", 9),
            allow_destinations=("10.0.0.0/8", "*.svc", "trust.org-b.example"),
            refusals="Uniform",
            log_level="debug",
            tls_minimum="1.2",
            workers=2,
            max_connections=10,
            max_connections_per_source=5,
            requests_per_second=7,
        )
    ]


def test_the_environment_says_the_same_and_an_option_counts_more(
    started: list[OperatorSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "NAMESPACE": "a,b c", "KUBECONFIG": "/k", "CONTEXT": "x", "LISTEN": ":1", "METRICS_LISTEN": "2",
        "ALLOW_DESTINATIONS": "10.0.0.0/8,*.svc", "REFUSALS": "Uniform", "LOG_LEVEL": "error",
        "TLS_MINIMUM": "1.2",
        "LEASE_NAMESPACE": "ln", "LEASE_NAME": "l", "IDENTITY": "me", "WORKERS": "4",
        "MAX_CONNECTIONS": "8", "MAX_CONNECTIONS_PER_SOURCE": "3", "REQUESTS_PER_SECOND": "9",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"BILATERAL_{name}", value)
    assert Shell().run("operator", "--workers=5").exit_code == 0
    (settings,) = started
    assert settings.namespaces == ("a", "b", "c")
    assert settings.allow_destinations == ("10.0.0.0/8", "*.svc")
    assert settings.listen == ("0.0.0.0", 1)
    assert settings.metrics_listen == ("0.0.0.0", 2)
    assert settings.workers == 5
    assert (settings.max_connections, settings.max_connections_per_source) == (8, 3)
    assert settings.requests_per_second == 9
    assert settings.refusals == "Uniform"


def test_the_options_of_the_group_hold_too(started: list[OperatorSettings]) -> None:
    Shell().run("-n", "trust", "--kubeconfig", "/k", "--context", "x", "operator")
    assert (started[0].namespaces, started[0].kubeconfig, started[0].context) == (("trust",), "/k", "x")


def test_its_exit_code_is_ours(started: list[OperatorSettings]) -> None:
    assert Shell().run("operator", "--identity=seven").exit_code == 7
    refused = Shell().run("operator", "--identity=wrong")
    assert refused.exit_code == 2
    assert refused.stderr == "error: --identity: expected a name\n"


@pytest.mark.parametrize(
    "option",
    [
        "--listen=host", "--listen=host:65536", "--listen=ho_st:1", "--listen=[::g]:1", "--listen=::1:1",
        "--listen=:-1",
        "--max-connections=0", "--max-connections-per-source=x", "--requests-per-second=0",
        "--workers=0", "--refusals=Silent", "--tls-minimum=1.1", "--log-level=loud",
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_usage_error(started: list[OperatorSettings], option: str) -> None:
    result = Shell().run("operator", option)
    assert result.exit_code == 2
    assert option.partition("=")[0] in result.stderr
    assert started == []


def test_a_kubeconfig_that_is_not_there_is_one_line() -> None:
    """The library's own warning would stand above it, as JSON."""
    program = "from bilateral.cli.main import main; main()"
    run = [sys.executable, "-c", program, "operator", "--kubeconfig=/nonexistent"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: no cluster: expected --kubeconfig with a readable file, or a pod with a ServiceAccount\n"
    )


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bilateral.operator", None)

    def missing(name: str) -> types.ModuleType:
        raise ModuleNotFoundError("No module named 'kopf'", name="kopf")

    monkeypatch.setattr("bilateral.cli.run.importlib.import_module", missing)
    result = Shell().run("operator")
    assert result.exit_code == 3
    assert "pip install 'bilateral[operator]'" in result.stderr
