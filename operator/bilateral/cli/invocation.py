"""What every command is given: the chosen cluster, and the world as functions that a test replaces.

``-n``, ``--kubeconfig`` and ``--context`` may stand before or after the command's name (as a kubectl
plugin, only after: kubectl takes no options before a plugin's name); the later one counts.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import click

from bilateral.cli.cluster import Cluster, ClusterChoice, connect
from bilateral.cli.durations import Duration

namespace_option = click.option(
    "-n", "--namespace", metavar="NAMESPACE", help="Namespace; default: the context's."
)
kubeconfig_option = click.option(
    "--kubeconfig", metavar="FILE", help="Path of the kubeconfig; default: $KUBECONFIG or ~/.kube/config."
)
context_option = click.option(
    "--context", metavar="NAME", help="Context in the kubeconfig; default: the current one."
)
wait_option = click.option(
    "--wait",
    "wait_seconds",
    type=Duration(),
    default=30,
    metavar="DURATION",
    help="How long to wait for the operator's verdict (0: not at all). Default: 30s.",
)


def _new_nonce() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of the command: ``wall_clock`` is Unix seconds, ``sleep`` and ``monotonic`` serve waiting."""

    choice: ClusterChoice = field(default_factory=ClusterChoice)
    connect: Callable[[ClusterChoice], Cluster] = connect
    wall_clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    nonce: Callable[[], str] = _new_nonce

    def choosing(self, namespace: str | None, kubeconfig: str | None, context: str | None) -> Invocation:
        """Return this invocation with what was said later in place of what was said before."""
        choice = ClusterChoice(
            kubeconfig=kubeconfig or self.choice.kubeconfig,
            context=context or self.choice.context,
            namespace=namespace or self.choice.namespace,
        )
        return replace(self, choice=choice)

    def cluster(self) -> Cluster:
        """Connect to the chosen cluster. Raises ClusterError."""
        return self.connect(self.choice)

    def now(self) -> int:
        """Return the wall clock in whole Unix seconds."""
        return int(self.wall_clock())


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``-n``, ``--kubeconfig`` and ``--context``, and its invocation as first argument."""

    @namespace_option
    @kubeconfig_option
    @context_option
    @click.pass_context
    def with_choice(
        context_of_click: click.Context,
        /,
        *arguments: object,
        namespace: str | None,
        kubeconfig: str | None,
        context: str | None,
        **options: object,
    ) -> None:
        invocation = context_of_click.find_object(Invocation) or Invocation()
        command(invocation.choosing(namespace, kubeconfig, context), *arguments, **options)

    functools.update_wrapper(with_choice, command)
    return with_choice
