"""``bilateral intro``: introductions that others made for us, shown and installed."""

from __future__ import annotations

from pathlib import Path

import click

from bilateral.cli.cluster import Cluster
from bilateral.cli.errors import AlreadyThereError, AnswerNoError, InputError, NotThereError
from bilateral.cli.files import STANDARD
from bilateral.cli.introduce import check_manifest
from bilateral.cli.introductions import (
    SHORT_DIGITS,
    await_verdict,
    document_facts,
    document_lines,
    find_problem,
    object_name,
    read_document,
    read_verdict,
)
from bilateral.cli.invocation import Invocation, cluster_options, wait_option
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.reading import document_text
from bilateral.pki.errors import InvalidIntroduction
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import parse_introduction
from bilateral.protocol.reasons import Reason
from bilateral.resources.introduction import Introduction
from bilateral.resources.labels import API_VERSION

_SHOW_EPILOG = """\b
Examples:
  bilateral intro show client1.json
  bilateral intro show client1-7f3a91bc -n trust -o json
  certified introduce client1.pem | bilateral intro show -
"""
_ACCEPT_EPILOG = """\b
Examples:
  bilateral intro accept client1.json --identity client1 --peer org-b -n trust
  bilateral intro accept client1.json --identity client1 --authority-fingerprint SHA256:5f0c…
  bilateral intro accept client1.json --identity client1 --peer org-b --manifest | kubectl apply -f -
"""


@click.group(short_help="Show and install introductions.")
def intro() -> None:
    """Show and install introductions: certificates by which another authority vouches for a party."""


@intro.command(epilog=_SHOW_EPILOG)
@click.argument("source", metavar="FILE|NAME")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something is wrong with it.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def show(invocation: Invocation, source: str, exit_code: bool, output: str) -> None:
    """Show who is introduced, by whom, until when, to which services, and what is wrong.

    FILE (- for stdin) is the JSON of an introduction; NAME is an Introduction in the cluster. Whether the
    authority may be believed no file can say: compare its fingerprint with your partner.
    """
    now = invocation.now()
    if source == STANDARD or Path(source).is_file():
        _, document = read_document(source)
        good = find_problem(document, now) is None
        facts, lines = document_facts(document, now), document_lines(document, now)
    else:
        facts, lines, good = _describe(invocation.cluster(), source, now)
    if output == Format.TEXT:
        click.echo("\n".join(lines))
    else:
        click.echo(render(facts, output), nl=False)
    if exit_code and not good:
        raise click.exceptions.Exit(1)


def _describe(cluster: Cluster, name: str, now: int) -> tuple[dict[str, Data], list[str], bool]:
    """An Introduction in the cluster: what the operator says, then what is in the document."""
    try:
        obj = cluster.get(Introduction.PLURAL, name)
    except NotThereError as error:
        raise NotThereError(f"{error.message}; there is no file {name} either") from None
    resource = Introduction.parse(obj)
    verdict = read_verdict(obj)
    form = next(form for form in ("issue", "accept", "request") if getattr(resource.spec, form) is not None)
    facts: dict[str, Data] = {
        "name": name,
        "form": form,
        "ready": "Unknown" if verdict is None else verdict.ready,
        "reason": None if verdict is None else verdict.reason,
        "message": None if verdict is None else verdict.message,
    }
    lines = [f"introduction/{name}: no operator has looked at it yet"] if verdict is None else verdict.lines()
    document = _document_of(cluster, resource)
    if document is not None:
        facts |= document_facts(document, now)
        lines += document_lines(document, now)
    elif resource.status.subject is not None:
        facts["subject"] = resource.status.subject
        lines.append(f"subject       {resource.status.subject}")
    return facts, lines, verdict is not None and verdict.is_good


def _document_of(cluster: Cluster, resource: Introduction) -> Document | None:
    """The document that an object holds or refers to; None where there is none that can be read."""
    text = document_text(resource, cluster.secret)
    try:
        return None if text is None else parse_introduction(text)
    except InvalidIntroduction:
        return None


@intro.command(epilog=_ACCEPT_EPILOG)
@click.argument("file")
@click.option("--identity", metavar="NAME", required=True, help="The WorkloadIdentity that was introduced.")
@click.option("--peer", metavar="NAME", help="The FederationPeer whose authority made it.")
@click.option(
    "--authority-fingerprint",
    "fingerprint",
    metavar="SHA256:HEX",
    help="The fingerprint of the authority's certificate, as your partner told you.",
)
@click.option(
    "--name", metavar="NAME", help="Name of the Introduction; default: from identity and authority."
)
@click.option("--manifest", is_flag=True, help="Print the manifest instead of creating it.")
@wait_option
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def accept(
    invocation: Invocation,
    file: str,
    identity: str,
    peer: str | None,
    fingerprint: str | None,
    name: str | None,
    manifest: bool,
    wait_seconds: int,
    output: str,
) -> None:
    """Install the introduction in FILE (- for stdin) for an identity of ours, and wait for the verdict.

    Say whose authority may introduce it: a partner who shook hands (--peer), or one certificate whose
    fingerprint your partner told you over another channel (--authority-fingerprint). What the file itself
    says about its authority proves nothing.

    Exit code 1 when it is refused, or when nobody answers in time.
    """
    if (peer is None) == (fingerprint is None):
        raise click.UsageError("name the --peer, or the --authority-fingerprint that your partner told you")
    text, document = read_document(file)
    if fingerprint is not None and fingerprint != document.authority_fingerprint:
        raise AnswerNoError(
            f"{Reason.AUTHORITY_NOT_PINNED}: the authority in the file is {document.authority_fingerprint}, not "
            "the one that you gave: ask your partner which is right, and accept nothing meanwhile"
        )
    problem = find_problem(document, invocation.now())
    if problem is not None:
        raise AnswerNoError(f"{problem[0]}: {problem[1]}: ask for another")
    wanted = _build(text, document, identity, peer, fingerprint, name)
    if manifest:
        click.echo(render(wanted, Format.JSON if output == Format.JSON else Format.YAML), nl=False)
        return
    cluster = invocation.cluster()
    try:
        obj = cluster.create(Introduction.PLURAL, dict(wanted))
    except AlreadyThereError:
        obj = _same(cluster, Introduction.parse(wanted))
    if not wait_seconds:
        click.echo(f"introduction/{obj['metadata']['name']}: handed to the operator")
        return
    _, verdict = await_verdict(invocation, cluster, obj, wait_seconds)
    if output == Format.TEXT:
        click.echo("\n".join(verdict.lines()))
    else:
        told: dict[str, Data] = {
            "name": verdict.name,
            "ready": verdict.ready,
            "reason": verdict.reason,
            "message": verdict.message,
        }
        click.echo(render(told | document_facts(document, invocation.now()), output), nl=False)
    if not verdict.is_good:
        raise click.exceptions.Exit(1)


def _build(
    text: str,
    document: Document,
    identity: str,
    peer: str | None,
    fingerprint: str | None,
    name: str | None,
) -> dict[str, Data]:
    accept: dict[str, Data] = {"identity": identity, "introduction": text}
    if peer is not None:
        accept["peer"] = peer
    else:
        accept["authorityFingerprint"] = fingerprint
    whose = peer or document.slug.rpartition("-")[0]
    wanted: dict[str, Data] = {
        "apiVersion": API_VERSION,
        "kind": Introduction.KIND,
        "metadata": {"name": name or object_name(identity, whose, document.serial[-SHORT_DIGITS:])},
        "spec": {"accept": accept},
    }
    check_manifest(wanted)
    return wanted


def _same(cluster: Cluster, wanted: Introduction) -> dict[str, object]:
    """The object of that name, when it says the same: the command was run twice."""
    found = cluster.get(Introduction.PLURAL, wanted.metadata.name)
    if Introduction.parse(found).spec != wanted.spec:
        raise InputError(
            f"introduction/{wanted.metadata.name} exists and is another: choose a --name, or delete it"
        )
    return found
