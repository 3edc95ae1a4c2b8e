"""``bilateral key``: public keys in every spelling, and new signing keys.

A private key is read only to compute its public half, and printed never.
"""

from __future__ import annotations

from pathlib import Path

import click

from bilateral.cli.errors import AnswerNoError, InputError, unusable_key
from bilateral.cli.files import STANDARD, read_input, write_secret
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.keys import PublicKey, SigningKey, parse_public_key
from bilateral.resources.trustdomain import TrustDomain

MAX_KEY_FILE_BYTES = 64 * 1024
_PRIVATE = b"PRIVATE KEY-----"
_SHOW_EPILOG = """\b
Examples:
  bilateral key show did:key:z6MkvDqGT54cXesYGvABpF1UapVNwjCqRcafi4Px6Thv5T3Z
  bilateral key show private.pem
  openssl pkey -in private.pem -pubout | bilateral key show -
  bilateral key show --trust-domain org-a -o json
"""
_GENERATE_EPILOG = """\b
Examples:
  bilateral key generate private.pem
  kubectl create secret generic org-a-signing-key --from-file=private.pem
  kubectl label secret org-a-signing-key bilateral.dev/secret=referenced
"""


@click.group()
def key() -> None:
    """Show keys in every spelling, and make new ones."""


@key.command(epilog=_SHOW_EPILOG)
@click.argument("source", metavar="[KEY|FILE|-]", required=False)
@click.option("--trust-domain", metavar="NAME", help="Show the key that this TrustDomain publishes.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def show(invocation: Invocation, source: str | None, trust_domain: str | None, output: str) -> None:
    """Show every spelling of an Ed25519 public key.

    KEY is the key in any spelling; FILE (or - for stdin) holds one, or a PEM public or private key. Of a
    private key only the public half is shown. A key that is malformed, or for which anybody could make
    signatures, is refused.
    """
    if (source is None) == (trust_domain is None):
        raise click.UsageError("name a KEY or FILE, or a TrustDomain with --trust-domain")
    if trust_domain is not None:
        domain = TrustDomain.parse(invocation.cluster().get(TrustDomain.PLURAL, trust_domain))
        if domain.status.public_key is None:
            raise AnswerNoError(f"TrustDomain {trust_domain} has no public key yet: wait until it is Ready")
        source = domain.status.public_key
    spellings = spellings_of(_read(source or STANDARD))
    if output == Format.TEXT:
        click.echo(_as_text(spellings), nl=False)
    else:
        click.echo(render(spellings, output), nl=False)


@key.command(epilog=_GENERATE_EPILOG)
@click.argument("file")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
def generate(file: str, output: str) -> None:
    """Write a new Ed25519 signing key to FILE and show its public half.

    FILE is PKCS#8 PEM, readable by its owner only; an existing file is never overwritten.
    """
    made = SigningKey.generate()
    write_secret(file, made.pkcs8_pem())
    spellings = spellings_of(made.public_key)
    if output == Format.TEXT:
        click.echo(_as_text(spellings), nl=False)
    else:
        click.echo(render(spellings, output), nl=False)


def spellings_of(public_key: PublicKey) -> dict[str, Data]:
    """Return every spelling of a key; ``publicKey`` is the one that status and logs use."""
    return {
        "publicKey": public_key.canonical,
        "hex": public_key.hex,
        "did": public_key.did,
        "didKey": public_key.did_key,
        "multibase": public_key.multibase,
        "openssh": public_key.openssh,
        "spkiDer": public_key.spki_der.hex(),
        "spkiPem": _text(public_key.spki_pem),
    }


def _text(pem: str | bytes) -> str:
    return pem.decode("ascii") if isinstance(pem, bytes) else pem


def _read(source: str) -> PublicKey:
    """Read a key from its text, a file or stdin. Raises InputError."""
    is_file = source == STANDARD or Path(source).is_file()
    data = read_input(source, MAX_KEY_FILE_BYTES) if is_file else source.encode()
    try:
        if _PRIVATE in data:
            return SigningKey.from_pkcs8_pem(data).public_key
        text = data.decode("ascii")
        return parse_public_key(text if "-----BEGIN" in text else text.strip() if is_file else text)
    except UnicodeDecodeError:
        raise InputError("MalformedKey: expected a key as ASCII text or PEM, found other bytes") from None
    except ProtocolError as error:
        raise unusable_key(error, hint="" if is_file else "; there is no file of that name either") from None


def _as_text(spellings: dict[str, Data]) -> str:
    labels = {
        "publicKey": "key",
        "hex": "hex",
        "did": "did:chio",
        "didKey": "did:key",
        "multibase": "multibase",
        "openssh": "OpenSSH",
        "spkiDer": "SPKI DER",
    }
    lines = [f"{label:<10} {spellings[name]}" for name, label in labels.items()]
    return "\n".join([*lines, str(spellings["spkiPem"]).rstrip("\n")]) + "\n"
