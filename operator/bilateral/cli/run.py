"""``bilateral operator``: parse the operator's options and hand over to it.

What runs in the cluster is imported only here and only then, by name: the CLI does not depend on it.
"""

from __future__ import annotations

import importlib
import ipaddress
from typing import Any, cast

import click

from bilateral.cli.errors import ClusterError, InputError
from bilateral.cli.invocation import Invocation
from bilateral.pki.errors import InvalidHost
from bilateral.pki.hosts import parse_host
from bilateral.settings import (
    DEFAULT_CONTROL_PORT,
    DEFAULT_LEASE_NAME,
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_CONNECTIONS_PER_SOURCE,
    DEFAULT_METRICS_PORT,
    DEFAULT_PORT,
    DEFAULT_REQUESTS_PER_SECOND,
    DEFAULT_WORKERS,
    Address,
    LogLevel,
    OperatorSettings,
    Refusals,
    SettingsError,
    TLSVersion,
)

MAX_PORT = 65535
_EXTRA = {"aiohttp", "kopf", "kubernetes", "prometheus_client", "sniffio"}
_EPILOG = """\b
Examples:
  bilateral operator --namespace trust
  bilateral operator --kubeconfig ./kubeconfig --listen 127.0.0.1:8940 --metrics-listen 127.0.0.1:0 \\
      --allow-destinations 127.0.0.0/8 --log-level debug
"""


class ListenAddress(click.ParamType[Address]):
    """HOST:PORT, :PORT or PORT; an IPv6 address stands in brackets; port 0 is any free one."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Parse the text into host and port."""
        host, colon, port = str(value).rpartition(":")
        if not colon:
            host = ""
        if not (port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
            self.fail("expected HOST:PORT with a port from 0 to 65535", param, ctx)
        if not host:
            host = "0.0.0.0"  # noqa: S104 - what ":8940" means everywhere
        elif host.startswith("["):
            host = self._address(host, param, ctx)
        elif ":" in host:
            self.fail("expected an IPv6 address in brackets, such as [::1]:8940", param, ctx)
        else:
            try:
                host = str(parse_host(host))
            except InvalidHost as error:
                self.fail(str(error), param, ctx)
        return host, int(port)

    def _address(self, host: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]")))
        except ValueError:
            self.fail("expected an IPv6 address between the brackets", param, ctx)


def _words(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split each value at commas, so that one environment variable can hold several."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


@click.command(name="operator", epilog=_EPILOG, short_help="Run the operator.")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    callback=_words,
    envvar="BILATERAL_NAMESPACE",
    show_envvar=True,
    metavar="NAMESPACE",
    help="Namespace to watch; repeatable or with commas. Default: all.",
)
@click.option(
    "--kubeconfig",
    envvar="BILATERAL_KUBECONFIG",
    show_envvar=True,
    metavar="FILE",
    help="Path of the kubeconfig; default: the pod's ServiceAccount, then $KUBECONFIG or ~/.kube/config.",
)
@click.option(
    "--context",
    envvar="BILATERAL_CONTEXT",
    show_envvar=True,
    metavar="NAME",
    help="Context in the kubeconfig.",
)
@click.option(
    "--listen",
    type=ListenAddress(),
    default=f":{DEFAULT_PORT}",
    envvar="BILATERAL_LISTEN",
    show_envvar=True,
    show_default=True,
    metavar="HOST:PORT",
    help="Where the federation endpoint listens (TLS).",
)
@click.option(
    "--metrics-listen",
    type=ListenAddress(),
    default=f":{DEFAULT_METRICS_PORT}",
    envvar="BILATERAL_METRICS_LISTEN",
    show_envvar=True,
    show_default=True,
    metavar="HOST:PORT",
    help="Where /healthz, /readyz and /metrics listen (plain HTTP).",
)
@click.option(
    "--allow-destinations",
    multiple=True,
    callback=_words,
    envvar="BILATERAL_ALLOW_DESTINATIONS",
    show_envvar=True,
    metavar="LIST",
    help="Hosts and networks that partners' endpoints may be at although they are private, local or in the "
    "cluster, such as trust.org-b.svc or 10.0.0.0/8; repeatable or with commas.",
)
@click.option(
    "--refusals",
    type=click.Choice(["Documented", "Uniform"]),
    default="Documented",
    envvar="BILATERAL_REFUSALS",
    show_envvar=True,
    show_default=True,
    help="Documented: each refusal names its cause, as the protocol says. Uniform: strangers get one and the "
    "same answer.",
)
@click.option(
    "--tls-minimum",
    type=click.Choice(["1.3", "1.2"]),
    default="1.3",
    envvar="BILATERAL_TLS_MINIMUM",
    show_envvar=True,
    show_default=True,
    help="Lowest TLS version, both ways.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, 65536),
    default=DEFAULT_MAX_CONNECTIONS,
    envvar="BILATERAL_MAX_CONNECTIONS",
    show_envvar=True,
    show_default=True,
    help="Open connections to the endpoint, in all; a quarter more for addresses where partners proved themselves.",
)
@click.option(
    "--max-connections-per-source",
    type=click.IntRange(1, 65536),
    default=DEFAULT_MAX_CONNECTIONS_PER_SOURCE,
    envvar="BILATERAL_MAX_CONNECTIONS_PER_SOURCE",
    show_envvar=True,
    show_default=True,
    help="Open connections from one address (IPv6: a /64).",
)
@click.option(
    "--requests-per-second",
    type=click.IntRange(1, 10_000),
    default=DEFAULT_REQUESTS_PER_SECOND,
    envvar="BILATERAL_REQUESTS_PER_SECOND",
    show_envvar=True,
    show_default=True,
    help="Requests, and new connections, from one address; four times as many at once, forty times in all.",
)
@click.option(
    "--ledger",
    envvar="BILATERAL_LEDGER",
    show_envvar=True,
    metavar="URL",
    help="Where decisions, receipts and revocations are kept: sqlite:///path for one replica, postgresql://… for "
    "several. Without it no capability is allowed, and no revocation feed is read or told.",
)
@click.option(
    "--control-listen",
    type=ListenAddress(),
    envvar="BILATERAL_CONTROL_LISTEN",
    show_envvar=True,
    metavar="HOST:PORT",
    help="Where kernels and people of this cluster ask for decisions (TLS), with a ServiceAccount token for the "
    f"audience bilateral; usually :{DEFAULT_CONTROL_PORT}. Needs --ledger. Default: nowhere.",
)
@click.option(
    "--control-host",
    "control_hosts",
    multiple=True,
    callback=_words,
    envvar="BILATERAL_CONTROL_HOST",
    show_envvar=True,
    metavar="NAME",
    help="DNS name by which the control endpoint is called, for its certificate; repeatable or with commas.",
)
@click.option(
    "--lease-namespace",
    envvar="BILATERAL_LEASE_NAMESPACE",
    show_envvar=True,
    metavar="NAMESPACE",
    help="Namespace of the Lease by which replicas elect; default: the pod's own.",
)
@click.option(
    "--lease-name",
    default=DEFAULT_LEASE_NAME,
    envvar="BILATERAL_LEASE_NAME",
    show_envvar=True,
    show_default=True,
    metavar="NAME",
    help="Name of that Lease.",
)
@click.option(
    "--identity",
    envvar="BILATERAL_IDENTITY",
    show_envvar=True,
    metavar="NAME",
    help="This replica's name in the Lease; default: made from the host's name.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=DEFAULT_WORKERS,
    envvar="BILATERAL_WORKERS",
    show_envvar=True,
    show_default=True,
    help="How many objects are worked on at once.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    envvar="BILATERAL_LOG_LEVEL",
    show_envvar=True,
    show_default=True,
    help="Lowest level of the JSON log on stderr.",
)
@click.pass_obj
def operator(
    invocation: Invocation,
    namespaces: tuple[str, ...],
    kubeconfig: str | None,
    context: str | None,
    listen: Address,
    metrics_listen: Address,
    allow_destinations: tuple[str, ...],
    refusals: str,
    tls_minimum: str,
    max_connections: int,
    max_connections_per_source: int,
    requests_per_second: int,
    ledger: str | None,
    control_listen: Address | None,
    control_hosts: tuple[str, ...],
    lease_namespace: str | None,
    lease_name: str,
    identity: str | None,
    workers: int,
    log_level: str,
) -> None:
    """Run the operator until it is told to stop (SIGTERM, SIGINT).

    Every option can also be given by the environment variable named beside it; an option on the command
    line counts more.
    """
    if control_listen is not None and ledger is None:
        raise InputError("expected --ledger beside --control-listen: a decision that is not recorded is none")
    if (control_listen is None) != (not control_hosts):
        raise InputError("expected --control-listen and --control-host together")
    chosen = invocation.choosing(None, kubeconfig, context).choice
    settings = OperatorSettings(
        kubeconfig=chosen.kubeconfig,
        context=chosen.context,
        namespaces=namespaces or ((chosen.namespace,) if chosen.namespace else ()),
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        identity=identity,
        listen=listen,
        metrics_listen=metrics_listen,
        allow_destinations=allow_destinations,
        refusals=cast("Refusals", refusals),
        log_level=cast("LogLevel", log_level),
        tls_minimum=cast("TLSVersion", tls_minimum),
        workers=workers,
        max_connections=max_connections,
        max_connections_per_source=max_connections_per_source,
        requests_per_second=requests_per_second,
        ledger=ledger,
        control_listen=control_listen,
        control_hosts=tuple(_host(each) for each in control_hosts),
    )
    raise click.exceptions.Exit(_run(settings))


def _host(text: str) -> str:
    try:
        return str(parse_host(text))
    except InvalidHost as error:
        raise InputError(f"--control-host: {error}") from None


def _run(settings: OperatorSettings) -> int:
    try:
        module: Any = importlib.import_module("bilateral.operator")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise ClusterError(
            f"the operator needs the package {error.name}: pip install 'bilateral[operator]'"
        ) from None
    try:
        code: int = module.main(settings)
    except SettingsError as error:
        raise InputError(str(error)) from None
    return code
