"""docs/cli.md tells the truth: every command and every option of ours is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bilateral.cli.main import cli

DOCS = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, found, id=path) for path, found in commands(cli)]
)
def test_every_command_and_option_is_described(path: str, command: click.Command) -> None:
    assert f"`{path}" in DOCS
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            longest = max(parameter.opts, key=len)
            assert longest in DOCS or ("-o json" in DOCS and longest == "--output"), longest
            for variable in [parameter.envvar] if isinstance(parameter.envvar, str) else []:
                assert f"`{variable}`" in DOCS
