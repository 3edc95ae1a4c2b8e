"""``bilateral status``: all trust of a namespace, what is wrong with it and what to do.

Rules: it reads with the caller's rights; a kind that the caller may not list is named, and the others are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import click

from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.errors import NotPermittedError, NotThereError, printable
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.overview import Line, as_data, describe_peer, describe_trust_domain
from bilateral.cli.overview_parties import describe_identity, describe_introduction, describe_service
from bilateral.cli.overview_policies import describe_policy
from bilateral.cli.overview_text import write_text
from bilateral.cli.overview_tree import arrange, follow
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.introduction import Introduction
from bilateral.resources.kinds import KINDS
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import WorkloadIdentity

_EPILOG = """\b
Examples:
  bilateral status
  bilateral status -n trust org-b
  bilateral status -A -o json | jq '.items[] | select(.ready != "True")'
  bilateral status --exit-code && deploy
"""
_ALIASES: Final = {
    word: kind.SINGULAR for kind in KINDS for word in (kind.SINGULAR, kind.PLURAL, *kind.SHORT_NAMES)
}


@click.command(epilog=_EPILOG, short_help="Show who is trusted, until when, and what is wrong.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-A", "--all-namespaces", is_flag=True, help="Look into every namespace.")
@click.option("--all", "whole", is_flag=True, help="Sum nothing up: a row for each object.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something shown is not ready.")
@format_option(Format.TABLE, Format.JSON, Format.YAML)
@cluster_options
def status(
    invocation: Invocation,
    names: tuple[str, ...],
    all_namespaces: bool,
    whole: bool,
    exit_code: bool,
    output: str,
) -> None:
    """Show who is trusted, until when, what is wrong and whose move it is.

    Without NAME everything in the namespace is shown: trust domains, and below them partners, identities,
    services, introductions and policies. NAME is any of these, also as KIND/NAME. What is not ready stands
    first, and of many that are ready a few are shown. What has passed its deadline is shown as such even when no
    operator is there to say so.
    """
    cluster = invocation.cluster()
    now = invocation.now()
    reader = _Reader(cluster, all_namespaces)
    lines = follow(reader.read(now))
    for name in names:
        if not any(_is_meant(line, name) for line in lines):
            where = "any namespace" if all_namespaces else f"namespace {cluster.namespace}"
            hidden = f"; you may not list {', '.join(reader.unseen)}" if reader.unseen else ""
            raise NotThereError(f"there is nothing of ours called {name} in {where}: check the name{hidden}")
    if names:
        lines = [line for line in lines if any(_is_meant(line, name) for name in names)]
    nodes = arrange(lines)
    ready = all(line.is_ready for line in lines)
    if output == Format.TABLE:
        text = write_text(nodes, now, namespaces=all_namespaces, whole=whole)
        if reader.unseen:
            text.append(f"Not seen, since you may not list them: {', '.join(reader.unseen)}.")
        click.echo("\n".join(map(printable, text)))
    else:
        items: list[Data] = [as_data(line) for node in nodes for line in node.lines()]
        unseen: list[Data] = [*reader.unseen]
        click.echo(render({"items": items, "ready": ready, "notSeen": unseen}, output), nl=False)
    if exit_code and not ready:
        raise click.exceptions.Exit(1)


def _is_meant(line: Line, name: str) -> bool:
    kind, slash, rest = name.partition("/")
    if not slash:
        return line.name == name
    return line.name == rest and line.kind == _ALIASES.get(kind.lower())


@dataclass(slots=True)
class _Reader:
    """Reads every kind, and remembers which it may not list."""

    cluster: Cluster
    all_namespaces: bool
    unseen: list[str] = field(default_factory=list)

    def read(self, now: int) -> list[Line]:
        """Describe every object. Raises NotPermittedError when the caller may list no kind at all."""
        lines = self._read(TrustDomain.PLURAL, describe_trust_domain, now)
        peers = self._read(FederationPeer.PLURAL, describe_peer, now)
        deadlines = {(line.namespace, line.name): line.until for line in peers}
        lines += peers
        identities = self._read(WorkloadIdentity.PLURAL, describe_identity, now)
        keys = {
            (line.namespace, line.name): key
            for line in identities
            if isinstance(key := line.facts.get("publicKeyFingerprint"), str)
        }
        lines += identities
        lines += self._read(TrustedService.PLURAL, describe_service, now)
        lines += self._read(Introduction.PLURAL, partial(describe_introduction, keys=keys), now)
        lines += self._read(FederationPolicy.PLURAL, partial(describe_policy, deadlines=deadlines), now)
        return lines

    def _read(self, plural: str, describe: Callable[[Object, int], Line], now: int) -> list[Line]:
        try:
            found: Sequence[Object] = self.cluster.list(plural, all_namespaces=self.all_namespaces)
        except NotPermittedError:
            self.unseen.append(plural)
            if len(self.unseen) == len(KINDS):
                raise
            return []
        return [describe(obj, now) for obj in found]
