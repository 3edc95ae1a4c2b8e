"""``bilateral layout``: a directory for stock ``certified``, made of mounted Secrets.

For an init container, or with ``--watch`` a sidecar. It needs no cluster and no rights.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

from bilateral.cli.errors import InputError

if TYPE_CHECKING:
    from bilateral.client.errors import LayoutInvalid

_EPILOG = """\b
Examples:
  bilateral layout /var/run/bilateral /certified
  bilateral layout /var/run/bilateral /certified --watch
"""


@click.command(epilog=_EPILOG)
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path())
@click.option("--watch", is_flag=True, help="Stay, and copy the key again when it changes, until SIGTERM.")
def layout(source: str, target: str, *, watch: bool) -> None:
    """Make TARGET a directory that stock certified accepts, out of the Secrets mounted under SOURCE.

    The key is copied, readable by its user only; everything else is linked, so TARGET's user must have the
    Secrets mounted at the same paths. TARGET must be empty, or made by this command.
    """
    # Here, because the package brings an HTTP client, for which no other command should wait.
    from bilateral.client.errors import LayoutInvalid  # noqa: PLC0415 - see above
    from bilateral.client.layout import watch_layout, write_layout  # noqa: PLC0415 - see above

    try:
        if not watch:
            write_layout(source, target)
            return
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        watch_layout(source, target, wait=ended.wait, report=_report)
    except LayoutInvalid as error:
        raise InputError(f"{error.reason}: {error}") from None


def _report(error: LayoutInvalid | None) -> None:
    click.echo(
        "the key is up to date again" if error is None else f"warning: {error.reason}: {error}", err=True
    )
