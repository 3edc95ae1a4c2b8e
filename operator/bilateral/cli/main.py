"""The entry point: the group of commands, and how errors end.

A person's mistake is one line on stderr and an exit code (see :mod:`bilateral.cli.errors`). A fault of ours
is one line too, without the exception's text, which may hold anything; with ``BILATERAL_DEBUG=1`` the
traceback is shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NoReturn

import click

from bilateral import __version__
from bilateral.cli.errors import INTERNAL_EXIT_CODE, AnswerNoError, CLIError
from bilateral.cli.groups import ImportedCommands
from bilateral.cli.invocation import Invocation, context_option, kubeconfig_option, namespace_option
from bilateral.cli.output import Format, format_option, render
from bilateral.pki.errors import PkiError
from bilateral.protocol.errors import ProtocolError
from bilateral.resources.errors import ResourceError

DEBUG_VARIABLE = "BILATERAL_DEBUG"
PLUGIN_NAME = "kubectl-bilateral"
_EPILOG = """\b
Examples:
  bilateral status -n trust
  bilateral export org-a --for org-b > org-a.yaml
  bilateral key show private.pem

\b
Exit codes: 0 done; 1 the answer is no (refused, not ready, not there); 2 wrong usage or input;
3 the API server cannot be reached or does not permit it.
"""


class Commands(ImportedCommands):
    """A group whose commands end in a line and an exit code, never in a traceback that nobody asked for."""

    modules: ClassVar[Mapping[str, str]] = {
        "status": "status",
        "plan": "plan",
        "export": "export",
        "handshake": "handshake",
        "introduce": "introduce",
        "intro": "intro",
        "approve": "approval",
        "deny": "approval",
        "service": "service",
        "identity": "identity",
        "peer-entries": "peerentries",
        "did": "did",
        "key": "key",
        "trust": "trust",
        "feed": "feed",
        "layout": "layout",
        "ledger": "ledger",
        "operator": "run",
    }

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn errors of our packages into CLI errors."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (ProtocolError, PkiError, ResourceError) as error:
            if _debugging():
                raise
            raise AnswerNoError(f"{error.reason}: {error}") from None
        except Exception as error:
            # The last handler: whatever it is, the person gets a line and we get a way to see the rest.
            if _debugging() or isinstance(error, BrokenPipeError):
                raise
            raise InternalFaultError(type(error).__name__) from None


class InternalFaultError(CLIError):
    """A fault of ours; only the exception's type is shown."""

    exit_code = INTERNAL_EXIT_CODE

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a fault of bilateral itself ({name}): run again with {DEBUG_VARIABLE}=1 and report it"
        )


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


@click.group(
    cls=Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@namespace_option
@kubeconfig_option
@context_option
@click.pass_context
def cli(ctx: click.Context, namespace: str | None, kubeconfig: str | None, context: str | None) -> None:
    """Trust between organisations, as Kubernetes resources.

    Two organisations exchange manifests, shake hands, and trust each other until a deadline. Start with
    status.
    """
    invocation = ctx.obj if isinstance(ctx.obj, Invocation) else Invocation()
    ctx.obj = invocation.choosing(namespace, kubeconfig, context)


@cli.command()
@format_option(Format.TEXT, Format.JSON, Format.YAML)
def version(output: str) -> None:
    """Print the version."""
    if output == Format.TEXT:
        click.echo(f"bilateral {__version__}")
    else:
        click.echo(render({"version": __version__}, output), nl=False)


@cli.command(short_help="Print the CustomResourceDefinitions.")
def crds() -> None:
    r"""Print the CustomResourceDefinitions, for clusters where they are installed apart from the chart.

    \b
    Example:
      bilateral crds | kubectl apply --server-side -f -
    """
    from bilateral.resources.crds import build_crds  # noqa: PLC0415 - builds schemas at import

    documents = [text.removeprefix("---\n") for _, text in sorted(build_crds().items())]
    click.echo("---\n".join(documents), nl=False)


def main() -> NoReturn:
    """Run the command line; the program's own name decides how it is called in help texts."""
    called = Path(sys.argv[0]).name
    cli(prog_name="kubectl bilateral" if called.startswith(PLUGIN_NAME) else "bilateral")
    raise AssertionError("click ends the process")
