"""``bilateral feed``: anybody's revocation feed, checked from its first entry to its head.

What a partner's operator would refuse is refused here, with the same word. A feed that shows two people two
histories is found by comparing: ``--head`` takes a head that somebody else was shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import click

from bilateral.cli.durations import Duration
from bilateral.cli.errors import AnswerNoError, InputError, unusable_key
from bilateral.cli.feed_sources import Pages, open_file, open_url
from bilateral.cli.files import read_input
from bilateral.cli.invocation import Invocation
from bilateral.cli.output import Data, Format, distance, format_option, render
from bilateral.protocol.checkpoints import MAX_NOTE_BYTES, parse_checkpoint, verify_checkpoint
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.feed_reader import (
    Equivocation,
    FeedReader,
    FeedState,
    ForeignSigner,
    Head,
)
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.keys import PublicKey, parse_public_key
from bilateral.protocol.reasons import Reason
from bilateral.protocol.revocations import parse_page
from bilateral.resources.times import format_time

_EPILOG = """\b
Examples:
  bilateral feed verify https://trust.org-b.example/v1/revocations/feed --signer ed25519:<64 hex digits>
  bilateral feed verify pages.jsonl --signer ed25519:<64 hex digits> --max-age 1h
  bilateral feed verify URL --signer KEY -o json | jq -j .checkpoint > yesterday.head
  bilateral feed verify URL --signer KEY --head yesterday.head

\b
Exit codes: 0 every entry is what the signed head says; 1 not; 2 wrong usage or input; 3 the server cannot
be reached.
"""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How far a feed was read, and what ended it."""

    state: FeedState
    pages: int
    signers: tuple[PublicKey, ...]
    refusal: ProtocolError | None = None
    stale_after: int | None = None

    @property
    def reason(self) -> Reason | None:
        if self.refusal is not None:
            return self.refusal.reason
        return None if self.stale_after is None else Reason.REVOCATION_FEED_STALE


@click.group()
def feed() -> None:
    """Check revocation feeds."""


@feed.command(epilog=_EPILOG)
@click.argument("source", metavar="URL|FILE|-")
@click.option(
    "--signer",
    "signers",
    metavar="KEY",
    multiple=True,
    required=True,
    help="A key that may sign the feed's head, in any spelling; repeatable.",
)
@click.option("--kernel-id", metavar="ID", help="Whose feed it must be; default: whosever it says.")
@click.option("--ca-file", metavar="FILE", help="Authorities (PEM) instead of the system's, for a URL.")
@click.option(
    "--head", metavar="FILE", help="A signed head that was shown before, or elsewhere: the feed must hold it."
)
@click.option("--max-age", type=Duration(), metavar="DURATION", help="How old the newest head may be.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@click.pass_context
def verify(
    ctx: click.Context,
    source: str,
    signers: tuple[str, ...],
    kernel_id: str | None,
    ca_file: str | None,
    head: str | None,
    max_age: int | None,
    output: str,
) -> None:
    """Check a revocation feed from its start.

    Every entry's signature, the head's, and that the head commits to these entries in this order. FILE (or -
    for stdin) holds the answers of a feed, one page a line.
    """
    invocation = ctx.find_object(Invocation) or Invocation()
    if kernel_id is not None and not is_kernel_id(kernel_id):
        raise InputError("expected a kernel id: 1 to 253 of A-Z a-z 0-9 . _ : -")
    keys = tuple([_parse_signer(each) for each in signers])
    with ExitStack() as stack:
        if "://" in source:
            client, pages = open_url(source, kernel_id, ca_file)
            stack.enter_context(client)
        else:
            pages = open_file(source)
        verdict = _read(pages, keys, kernel_id, head, max_age, invocation)
    now = invocation.now()
    if output == Format.TEXT:
        lines = [] if verdict.refusal is not None else _lines(verdict, now)
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    else:
        click.echo(render(_data(verdict, now), output), nl=False)
    if verdict.refusal is not None:
        where = f"page {verdict.pages + 1}, after {verdict.state.read.size} good entries"
        raise AnswerNoError(f"{verdict.refusal.reason}: {verdict.refusal} ({where})")
    if verdict.stale_after is not None:
        raise AnswerNoError(f"{verdict.reason}: the head is older than {distance(verdict.stale_after)}")


def _parse_signer(text: str) -> PublicKey:
    try:
        return parse_public_key(text)
    except ProtocolError as error:
        raise unusable_key(error) from None


def _read(
    pages: Pages,
    signers: tuple[PublicKey, ...],
    kernel_id: str | None,
    head: str | None,
    max_age: int | None,
    invocation: Invocation,
) -> _Verdict:
    """Read every page; what the protocol refuses is the verdict, not an error."""
    state, count = FeedState(), 0
    try:
        data = pages(0)
        whose = kernel_id or parse_checkpoint(parse_page(data).checkpoint).checkpoint.kernel_id
        reader = FeedReader(whose, signers)
        if head is not None:
            state = FeedState(newest=_read_head(head, reader, signers))
        while True:
            state = reader.read(state, data, invocation.now()).state
            count += 1
            if state.is_complete:
                break
            data = pages(state.read.size)
    except ProtocolError as error:
        return _Verdict(state, count, signers, refusal=error)
    is_stale = max_age is not None and (state.fresh_until(max_age) or 0) <= invocation.now()
    return _Verdict(state, count, signers, stale_after=max_age if is_stale else None)


def _read_head(path: str, reader: FeedReader, signers: Sequence[PublicKey]) -> Head:
    """Read a head that was kept; it must be this feed's, and signed. Raises InputError."""
    try:
        note = read_input(path, MAX_NOTE_BYTES).decode("utf-8")
        signed = parse_checkpoint(note)
        verify_checkpoint(signed, signers)
    except (UnicodeDecodeError, ProtocolError):
        raise InputError(f"{path} is not a head that one of the signers signed") from None
    if signed.checkpoint.kernel_id != reader.kernel_id:
        raise InputError(f"{path} is a head of another feed")
    return Head(signed.checkpoint, note, 0)


def _signer(verdict: _Verdict) -> PublicKey | None:
    newest = verdict.state.newest
    if newest is None:
        return None
    return verify_checkpoint(parse_checkpoint(newest.note), verdict.signers)


def _lines(verdict: _Verdict, now: int) -> list[str]:
    newest, signer = verdict.state.newest, _signer(verdict)
    if newest is None or signer is None:
        return []
    head, pages = newest.checkpoint, "page" if verdict.pages == 1 else "pages"
    entries = "entry" if head.size == 1 else "entries"
    age = now - head.published_at
    when = f"{distance(age)} ago" if age >= 0 else f"in {distance(age)}"
    return [
        f"feed of     {head.kernel_id}",
        f"entries     {head.size} {entries} in {verdict.pages} {pages}, all as the head says",
        f"root        {head.root.hex()}",
        f"published   {format_time(head.published_at)} ({when})",
        f"signed by   {signer.canonical}",
    ]


def _data(verdict: _Verdict, now: int) -> Data:
    newest, signer = verdict.state.newest, _signer(verdict)
    data: dict[str, Data] = {
        "verified": verdict.reason is None,
        "reason": None if verdict.reason is None else verdict.reason.value,
        "kernelId": None if newest is None else newest.checkpoint.kernel_id,
        "entriesRead": verdict.state.read.size,
        "pagesRead": verdict.pages,
        "treeSize": None if newest is None else newest.checkpoint.size,
        "rootHash": None if newest is None else newest.checkpoint.root.hex(),
        "publishedAt": None if newest is None else format_time(newest.checkpoint.published_at),
        "ageSeconds": None if newest is None else now - newest.checkpoint.published_at,
        "signer": None if signer is None else signer.canonical,
        "checkpoint": None if newest is None else newest.note,
    }
    if isinstance(verdict.refusal, Equivocation | ForeignSigner):
        data["evidence"] = verdict.refusal.evidence.to_members()
    return data
