"""``bilateral trust``: what partners may do, and what we tell them of it.

A group of groups: each is imported when it is called, or when its help is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

_MODULES: Mapping[str, str] = {
    "activation": "trust_activation",
    "federation-policy": "trust_policies",
    "revoke": "trust_revoke",
}
"""The module of :mod:`bilateral.cli` that has a command; there it is called as on the command line."""


class TrustCommands(click.Group):
    """A group whose commands are in modules of their own."""

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


@click.group(cls=TrustCommands, short_help="Say and prove what partners may do.")
def trust() -> None:
    """Say and prove what partners may do: the bilateral side of chio's trust commands."""
