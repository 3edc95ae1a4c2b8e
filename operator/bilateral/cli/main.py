"""The entry point: the group of commands, and how errors end.

A person's mistake is one line on stderr and an exit code (see :mod:`bilateral.cli.errors`). A fault of ours
is one line too, without the exception's text, which may hold anything; with ``BILATERAL_DEBUG=1`` the
traceback is shown.

A command's module is imported when the command is called or its help is shown: the operator is one of them, and
would carry the other fourteen in its memory (7 MiB) for nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from bilateral import __version__
from bilateral.cli.errors import INTERNAL_EXIT_CODE, AnswerNoError, CLIError
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


_MODULES: Mapping[str, str] = {
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
"""The module of :mod:`bilateral.cli` that has a command; there it is called as on the command line."""


class Commands(click.Group):
    """A group whose commands end in a line and an exit code, never in a traceback that nobody asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the help."""
        return sorted({*super().list_commands(ctx), *_MODULES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now if it was not needed before."""
        module = _MODULES.get(cmd_name)
        if module is not None and cmd_name not in self.commands:
            found: click.Command = getattr(
                import_module(f"bilateral.cli.{module}"), cmd_name.replace("-", "_")
            )
            self.add_command(found, cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; where there is none, click suggests one of all that it knows."""
        if args and args[0] not in self.list_commands(ctx):
            for name in _MODULES:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

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
