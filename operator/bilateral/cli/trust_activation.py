"""``bilateral trust activation``: activation exchanges, built, verified and shown.

None of these commands admits anything: an exchange is a signed paper about what may be seen, and a
partner's rights are in a FederationPolicy. The documentation's shape is shown as what it is and never
verified as an exchange.
"""

from __future__ import annotations

from collections.abc import Mapping

import click
import yaml

from bilateral.cli.activations import (
    ADMITS_NOTHING,
    Examination,
    examine,
    look_at,
    write_examination,
    write_look,
    write_time,
)
from bilateral.cli.durations import Duration
from bilateral.cli.errors import InputError, unusable_key
from bilateral.cli.files import STANDARD, read_input, write_output
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Format, format_option, render
from bilateral.cli.signing import read_domain_key, read_key_file
from bilateral.protocol.activation import (
    ACTIVATION_LIMITS,
    ACTIVATION_SCHEMA,
    parse_exchange,
    sign_activation,
)
from bilateral.protocol.artifacts import DelegationControl, ImportControl
from bilateral.protocol.errors import ActivationInvalid, MalformedDocument, ProtocolError
from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.strictjson import JSON
from bilateral.resources.trustdomain import TrustDomain

_BUILD_EPILOG = """\b
Examples:
  bilateral trust activation build --config exchange.yaml --trust-domain org-a --valid-for 720h -n trust
  bilateral trust activation build --config exchange.yaml --key private.pem -o exchange.json
"""
_VERIFY_EPILOG = """\b
Examples:
  bilateral trust activation verify exchange.json --signer ed25519:ea4a6c63…
  bilateral trust activation verify exchange.json --source org-a --target org-b -o json
"""
_SHOW_EPILOG = """\b
Example:
  bilateral trust activation show exchange.json
"""


@click.group(short_help="Build, verify and show activation exchanges.")
def activation() -> None:
    """Build, verify and show activation exchanges: what one operator may see of another's listing.

    An exchange never admits a call by itself.
    """


@activation.command(epilog=_BUILD_EPILOG)
@click.option("--config", metavar="FILE", required=True, help="What it says, as YAML or JSON; - for stdin.")
@click.option("--key", "key_file", metavar="FILE", help="Sign with the key in this file (PKCS#8 PEM).")
@click.option("--trust-domain", metavar="NAME", help="Sign with the key of this TrustDomain.")
@click.option(
    "--valid-for",
    type=Duration(),
    metavar="DURATION",
    help="How long it holds, such as 720h; or expiresAt in FILE.",
)
@click.option(
    "-o", "--output", "path", metavar="FILE", default=STANDARD, help="Where to write it; default: stdout."
)
@cluster_options
def build(
    invocation: Invocation,
    config: str,
    key_file: str | None,
    trust_domain: str | None,
    valid_for: int | None,
    path: str,
) -> None:
    """Sign an exchange that says what FILE says, in the members of chio's code.

    May be left out: schema, exchangeId, issuedAt, expiresAt (with --valid-for), delegationControl and
    importControl, or members of these two. What would not verify is not signed.
    """
    if (key_file is None) == (trust_domain is None):
        raise click.UsageError("name the key with --key, or a TrustDomain with --trust-domain")
    members = _complete(_read_config(config), invocation, valid_for)
    try:
        exchange = parse_exchange(members)
    except MalformedDocument as error:
        raise InputError(
            f"{config}: {error.reason}: {error}: expected the members of {ACTIVATION_SCHEMA}"
        ) from None
    if key_file is not None:
        key = read_key_file(key_file)
    else:
        cluster = invocation.cluster()
        key = read_domain_key(cluster, TrustDomain.parse(cluster.get(TrustDomain.PLURAL, str(trust_domain))))
    try:
        document = sign_activation(exchange, key)
    except (ActivationInvalid, MalformedDocument) as error:
        raise InputError(f"{config}: {error.reason}: {error}") from None
    write_output(path, document + b"\n")
    click.echo(
        f"Signed by {key.public_key.canonical}, in force until {write_time(exchange.expires_at)}. {ADMITS_NOTHING}",
        err=True,
    )


@activation.command(epilog=_VERIFY_EPILOG)
@click.argument("file")
@click.option("--signer", metavar="KEY", help="The source operator's key, which must have signed it.")
@click.option("--source", metavar="ID", help="The operator that it must come from.")
@click.option("--target", metavar="ID", help="The operator that it must be for.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@click.pass_obj
def verify(
    invocation: Invocation, file: str, signer: str | None, source: str | None, target: str | None, output: str
) -> None:
    """Verify the exchange in FILE (- for stdin): form, signature, every rule, and that it is in force.

    Without --signer it is only shown that whoever it names signed it. Exit code 1 when it does not hold.
    """
    try:
        key = None if signer is None else parse_public_key(signer)
    except ProtocolError as error:
        raise unusable_key(error) from None
    now = invocation.now()
    found = examine(_read(file), signer=key, source=source, target=target, now=now)
    _print_examination(found, output)
    if not found.holds:
        raise click.exceptions.Exit(1)


@activation.command(epilog=_SHOW_EPILOG)
@click.argument("file")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
def show(file: str, output: str) -> None:
    """Show what is in FILE (- for stdin), in the shape of chio's code or in that of its documentation.

    Shows more than holds: use verify to have it judged.
    """
    try:
        look = look_at(_read(file))
    except ProtocolError as error:
        raise InputError(f"{file}: {error.reason}: {error}: expected an activation exchange") from None
    if output == Format.TEXT:
        click.echo("\n".join(write_look(look)))
    else:
        click.echo(render(look.facts(), output), nl=False)


def _print_examination(found: Examination, output: str) -> None:
    if output == Format.TEXT:
        click.echo("\n".join(write_examination(found)))
    else:
        click.echo(render(found.facts(), output), nl=False)


def _read(path: str) -> bytes:
    return read_input(path, ACTIVATION_LIMITS.max_bytes)


def _read_config(path: str) -> dict[str, JSON]:
    try:
        loaded = yaml.safe_load(_read(path).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{path} is neither YAML nor JSON") from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds no members: expected those of {ACTIVATION_SCHEMA}")
    return dict(loaded)


def _complete(config: Mapping[str, JSON], invocation: Invocation, valid_for: int | None) -> dict[str, JSON]:
    """Add what may be left out; what is there is left as it is, right or wrong."""
    source, target = str(config.get("sourceOperatorId", "")), str(config.get("targetOperatorId", ""))
    if (valid_for is None) == ("expiresAt" not in config):
        raise InputError("say until when it holds: --valid-for DURATION, or expiresAt in the file, not both")
    issued_at = config.get("issuedAt", invocation.now())
    completed: dict[str, JSON] = {
        "schema": ACTIVATION_SCHEMA,
        "exchangeId": f"fxa-{source}-{target}-{invocation.nonce()}",
        "issuedAt": issued_at,
        **config,
    }
    if valid_for is not None and isinstance(issued_at, int):
        completed["expiresAt"] = issued_at + valid_for
    defaults = {
        "delegationControl": DelegationControl(source, target, 1).to_members(),
        "importControl": ImportControl().to_members(),
    }
    for name, default in defaults.items():
        given = config.get(name, {})
        completed[name] = {**default, **given} if isinstance(given, dict) else given
    return completed
