"""The command as a whole: help, versions, exit codes, and no traceback that nobody asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import yaml

from bilateral import __version__
from bilateral.cli.cluster import ClusterChoice
from bilateral.cli.main import cli
from unit.cli.fakes import Shell, trust_domain


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=" ".join(path)) for path, _ in [((), cli), *commands(cli)]]
)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = Shell().run(*path, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert max(len(line) for line in result.stdout.splitlines()) <= 110


def test_every_command_that_does_something_shows_an_example() -> None:
    for path, command in commands(cli):
        if not isinstance(command, click.Group) and path != ("version",):
            assert "Example" in (command.epilog or "") + (command.help or ""), path


def test_the_version_is_the_packages() -> None:
    assert Shell().run("version").stdout == f"bilateral {__version__}\n"
    assert json.loads(Shell().run("version", "-o", "json").stdout) == {"version": __version__}


def test_the_crds_can_be_piped_into_kubectl() -> None:
    documents = list(yaml.safe_load_all(Shell().run("crds").stdout))
    assert {document["kind"] for document in documents} == {"CustomResourceDefinition"}
    assert {document["spec"]["names"]["kind"] for document in documents} >= {"TrustDomain", "FederationPeer"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "trust", "--kubeconfig", "/k", "--context", "c", "status"),
        ("status", "-n", "trust", "--kubeconfig", "/k", "--context", "c"),
        (
            "-n",
            "other",
            "--kubeconfig",
            "/other",
            "status",
            "-n",
            "trust",
            "--kubeconfig",
            "/k",
            "--context",
            "c",
        ),
    ],
)
def test_the_cluster_is_chosen_before_or_after_the_command_and_the_later_word_counts(
    arguments: tuple[str, ...],
) -> None:
    shell = Shell()
    assert shell.run(*arguments).exit_code == 0
    assert shell.cluster.choices == [ClusterChoice(kubeconfig="/k", context="c", namespace="trust")]


def test_an_object_that_breaks_its_rules_is_an_answer_not_a_traceback() -> None:
    shell = Shell()
    shell.cluster.add("trustdomains", trust_domain(kernelId="not a kernel id"))
    result = shell.run("export", "org-a")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: InvalidSpec: spec.kernelId")


def test_a_fault_of_ours_is_one_line_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(choice: ClusterChoice) -> object:
        raise RuntimeError("secret-token")

    shell = Shell()
    monkeypatch.setattr(shell.cluster, "connect", fail)
    result = shell.run("status")
    assert result.exit_code == 70
    assert (
        result.stderr
        == "error: a fault of bilateral itself (RuntimeError): run again with BILATERAL_DEBUG=1 and report "
        "it\n"
    )
    monkeypatch.setenv("BILATERAL_DEBUG", "1")
    assert isinstance(shell.run("status").exception, RuntimeError)


@pytest.mark.parametrize(
    ("called", "shown"), [("bilateral", "bilateral"), ("kubectl-bilateral", "kubectl bilateral")]
)
def test_the_help_names_the_command_as_it_was_called(called: str, shown: str) -> None:
    program = (
        f"import sys; sys.argv = ['/bin/{called}', '--help']; from bilateral.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: {shown} [OPTIONS]")


def test_keys_need_no_cluster_package_and_no_operator() -> None:
    program = (
        "import sys; sys.modules['kubernetes'] = None; sys.modules['kopf'] = None; "
        "sys.argv = ['bilateral'] + sys.argv[1:]; from bilateral.cli.main import main; main()"
    )
    key = "ed25519:ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
    run = [sys.executable, "-c", program]
    shown = subprocess.run([*run, "key", "show", key], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    status = subprocess.run([*run, "status"], capture_output=True, text=True, check=False)
    assert status.returncode == 3
    assert "pip install 'bilateral[cluster]'" in status.stderr
    assert "Traceback" not in status.stderr


def test_a_command_brings_no_other_command_into_memory() -> None:
    program = (
        "import sys; sys.argv = ['bilateral', 'operator', '--help']\n"
        "from bilateral.cli.main import cli\n"
        "cli(standalone_mode=False)\n"
        "print(sorted(each.rpartition('.')[2] for each in sys.modules if each.startswith('bilateral.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "'run'" in loaded
    assert "'status'" not in loaded
    assert "'export'" not in loaded
    assert "'kube'" not in loaded


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    program = "import sys; sys.argv = ['bilateral', 'exprot']; from bilateral.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "export" in done.stderr
