"""``bilateral did``: DID documents of ``did:chio`` identifiers."""

from __future__ import annotations

import click

from bilateral.cli.errors import InputError, unusable_key
from bilateral.cli.output import Format, format_option, render
from bilateral.protocol.did import resolve_did
from bilateral.protocol.errors import MalformedKey, ProtocolError, WeakKey
from bilateral.protocol.keys import parse_public_key

_EPILOG = """\b
Examples:
  bilateral did resolve did:chio:ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c
  bilateral did resolve ed25519:ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c \\
      --receipt-log-url https://log.org-a.example
"""


@click.group()
def did() -> None:
    """Work with did:chio identifiers."""


@did.command(epilog=_EPILOG)
@click.argument("identifier", metavar="DID|KEY")
@click.option(
    "--receipt-log-url", "receipt_log_urls", metavar="URL", multiple=True, help="Receipt log; repeatable."
)
@click.option(
    "--passport-status-url",
    "passport_status_urls",
    metavar="URL",
    multiple=True,
    help="Passport status service; repeatable.",
)
@format_option(Format.JSON, Format.YAML)
def resolve(
    identifier: str, receipt_log_urls: tuple[str, ...], passport_status_urls: tuple[str, ...], output: str
) -> None:
    """Print the DID document of a did:chio identifier, or of a public key in any spelling.

    Resolution is a computation: nothing is looked up, no network is used.
    """
    try:
        name = parse_public_key(identifier).did
        document = resolve_did(
            name, receipt_log_urls=receipt_log_urls, passport_status_urls=passport_status_urls
        )
    except (MalformedKey, WeakKey) as error:
        raise unusable_key(error) from None
    except ProtocolError as error:
        raise InputError(
            f"{error.reason}: {error}: expected service URLs such as https://log.example"
        ) from None
    click.echo(render(document, output), nl=False)
