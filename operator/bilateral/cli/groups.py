"""Groups whose commands are in modules of their own: each is imported when it is called, or when help is shown.

The operator is a command, too, and would carry all the others in its memory (7 MiB) for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click


class ImportedCommands(click.Group):
    """A group that imports its commands; a class of one's own names them in ``modules``."""

    modules: ClassVar[Mapping[str, str]] = {}
    """The module of :mod:`bilateral.cli` that has a command; there it is called as on the command line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the help."""
        return sorted({*super().list_commands(ctx), *self.modules})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now if it was not needed before."""
        module = self.modules.get(cmd_name)
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
            for name in self.modules:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)
