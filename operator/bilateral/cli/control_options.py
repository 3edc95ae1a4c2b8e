"""``--control-url`` and its companions: a command is meant for an operator's control endpoint, or for a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click

from bilateral.cli.control import ControlChoice
from bilateral.cli.invocation import Invocation, cluster_options

_url = click.option(
    "--control-url",
    metavar="URL",
    help="Ask the operator's control endpoint, such as https://ctl.org-a.example:8942, instead of the cluster.",
)
_token = click.option(
    "--control-token-file", metavar="FILE", help="The bearer token for it: one that the cluster knows."
)
_ca = click.option(
    "--control-ca-file", metavar="FILE", help="Authorities (PEM) for its certificate instead of the system's."
)


def control_options(*, required: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the cluster and of the control endpoint.

    It is called with its invocation and with the ControlChoice, None where the cluster is meant; with ``required``
    the cluster never is.
    """

    def give(command: Callable[..., None]) -> Callable[..., None]:
        @_url
        @_token
        @_ca
        @cluster_options
        def with_control(
            invocation: Invocation,
            /,
            *arguments: object,
            control_url: str | None,
            control_token_file: str | None,
            control_ca_file: str | None,
            **options: object,
        ) -> None:
            choice = _choose(invocation, control_url, control_token_file, control_ca_file)
            if required and choice is None:
                raise click.UsageError("this needs the control endpoint: name it with --control-url")
            command(invocation, choice, *arguments, **options)

        functools.update_wrapper(with_control, command, assigned=("__name__", "__doc__", "__module__"))
        return with_control

    return give


def _choose(
    invocation: Invocation, url: str | None, token_file: str | None, ca_file: str | None
) -> ControlChoice | None:
    if url is None:
        if token_file is not None or ca_file is not None:
            raise click.UsageError(
                "--control-token-file and --control-ca-file are for --control-url, which is missing"
            )
        return None
    if token_file is None:
        raise click.UsageError("--control-url needs a token: name its file with --control-token-file")
    if invocation.choice.kubeconfig is not None or invocation.choice.context is not None:
        raise click.UsageError("choose one: --control-url, or a cluster by --kubeconfig or --context")
    return ControlChoice(url, token_file, ca_file, invocation.choice.namespace)
