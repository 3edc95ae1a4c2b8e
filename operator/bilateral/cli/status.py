"""``bilateral status``: all trust of a namespace, what is wrong with it and what to do."""

from __future__ import annotations

import click

from bilateral.cli.errors import NotThereError
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.overview import arrange, as_data, describe_peer, describe_trust_domain, write_text
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain

_EPILOG = """\b
Examples:
  bilateral status
  bilateral status -n trust org-b
  bilateral status -A -o json | jq '.items[] | select(.ready != "True")'
  bilateral status --exit-code && deploy
"""


@click.command(epilog=_EPILOG, short_help="Show who is trusted, until when, and what is wrong.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-A", "--all-namespaces", is_flag=True, help="Look into every namespace.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something shown is not ready.")
@format_option(Format.TABLE, Format.JSON, Format.YAML)
@cluster_options
def status(
    invocation: Invocation, names: tuple[str, ...], all_namespaces: bool, exit_code: bool, output: str
) -> None:
    """Show who is trusted, until when, what is wrong and whose move it is.

    Without NAME everything in the namespace is shown; NAME is a TrustDomain or a FederationPeer.
    A partner whose deadline has passed is shown as stale even when no operator is there to say so.
    """
    cluster = invocation.cluster()
    now = invocation.now()
    lines = arrange(
        [
            describe_trust_domain(obj, now)
            for obj in cluster.list(TrustDomain.PLURAL, all_namespaces=all_namespaces)
        ],
        [
            describe_peer(obj, now)
            for obj in cluster.list(FederationPeer.PLURAL, all_namespaces=all_namespaces)
        ],
    )
    for name in names:
        if not any(name in (line.name, line.reference) for line in lines):
            where = "any namespace" if all_namespaces else f"namespace {cluster.namespace}"
            raise NotThereError(
                f"there is no TrustDomain or FederationPeer {name} in {where}: check the name"
            )
    if names:
        lines = [line for line in lines if line.name in names or line.reference in names]
    if output == Format.TABLE:
        click.echo("\n".join(write_text(lines, now, namespaces=all_namespaces)))
    else:
        items: list[Data] = [as_data(line) for line in lines]
        click.echo(render({"items": items, "ready": all(line.is_ready for line in lines)}, output), nl=False)
    if exit_code and not all(line.is_ready for line in lines):
        raise click.exceptions.Exit(1)
