"""``bilateral trust``: what partners may do, and what we tell them of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from bilateral.cli.groups import ImportedCommands


class TrustCommands(ImportedCommands):
    """The commands below ``bilateral trust``."""

    modules: ClassVar[Mapping[str, str]] = {
        "activation": "trust_activation",
        "federation-policy": "trust_policies",
        "revoke": "trust_revoke",
    }


@click.group(cls=TrustCommands, short_help="Say and prove what partners may do.")
def trust() -> None:
    """Say and prove what partners may do: the bilateral side of chio's trust commands."""
