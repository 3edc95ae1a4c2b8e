"""``bilateral ledger``: whether what was recorded is still what was written.

It reads and changes nothing, not even an old version's tables. Where the ledger is comes from ``--url`` or
``BILATERAL_LEDGER``; what is printed of it has neither user nor password.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import click

from bilateral.cli.errors import AnswerNoError, CLIError, ClusterError, InputError
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.ledger.errors import LedgerDamaged, LedgerError, LedgerIncompatible, LedgerMisconfigured
from bilateral.ledger.opening import open_ledger
from bilateral.ledger.records import Link
from bilateral.ledger.urls import DEFAULT_URL, URL_VARIABLE
from bilateral.ledger.verification import Flaw, Report

_LINK = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")
WORDS: Mapping[Flaw, str] = {
    Flaw.MISSING: "is not there",
    Flaw.UNREADABLE: "cannot be read",
    Flaw.HASH_DIFFERS: "was changed: its hash is another",
    Flaw.PREVIOUS_DIFFERS: "does not follow the entry before it",
    Flaw.HEAD_DIFFERS: "the chain does not end with its head",
    Flaw.PAST_THE_HEAD: "lies past the head",
    Flaw.BEFORE_THE_FIRST: "lies before the first",
    Flaw.NOT_THE_EXPECTED: "is not the one that was expected",
    Flaw.CUT_OFF: "was expected, but the chain ends before it",
    Flaw.NOT_NAMED: "is named by no decision",
    Flaw.DIFFERS: "was changed",
    Flaw.WITHOUT_DECISION: "belongs to no decision",
    Flaw.UNSOUND: "is damaged, as the database itself says",
}
_EPILOG = """\b
Examples:
  bilateral ledger verify
  bilateral ledger verify --url sqlite:///var/lib/bilateral/ledger.db -o json
  bilateral ledger verify --expect 1200:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

\b
Exit codes: 0 intact; 1 not; 2 a wrong URL; 3 the ledger cannot be reached.
"""


@click.group()
def ledger() -> None:
    """Check the record of decisions, receipts and revocations."""


@ledger.command(epilog=_EPILOG)
@click.option(
    "--url",
    metavar="URL",
    envvar=URL_VARIABLE,
    default=DEFAULT_URL,
    help=f"Where the ledger is; with a password better in {URL_VARIABLE}. Default: {DEFAULT_URL}.",
)
@click.option(
    "--expect",
    metavar="SEQ:HASH",
    help="A link that was noted before, as this command prints the head: it must still be there.",
)
@format_option(Format.TEXT, Format.JSON, Format.YAML)
def verify(url: str, expect: str | None, output: str) -> None:
    """Check every hash, receipt and feed entry of the ledger.

    What was changed, left out or put in is told with its place. That the whole chain was not written anew, or
    its end cut off, is only seen by comparing with a head that was noted elsewhere: --expect.
    """
    expected = None if expect is None else _parse_link(expect)
    try:
        place, report = asyncio.run(_verify(url, expected))
    except LedgerError as error:
        raise _as_cli_error(error) from None
    if output == Format.TEXT:
        click.echo("\n".join(_lines(place, report)))
    else:
        click.echo(render(_data(place, report), output), nl=False)
    if not report.intact:
        raise AnswerNoError(f"the ledger is not as it was written: {_count(report.defect_count, 'defect')}")


async def _verify(url: str, expected: Link | None) -> tuple[str, Report]:
    opened = await open_ledger(url, read_only=True)
    try:
        return opened.place, await opened.verify(expected)
    finally:
        await opened.close()


def _parse_link(text: str) -> Link:
    found = _LINK.fullmatch(text)
    if found is None:
        raise InputError("--expect: expected SEQ:HASH, a number and 64 lower-case hex digits")
    return Link(int(found[1]), found[2])


def _as_cli_error(error: LedgerError) -> CLIError:
    kind: type[CLIError] = ClusterError
    if isinstance(error, LedgerMisconfigured | LedgerIncompatible):
        kind = InputError
    elif isinstance(error, LedgerDamaged):
        kind = AnswerNoError
    return kind(f"{error.reason}: {error}")


def _lines(place: str, report: Report) -> list[str]:
    lines = [
        f"ledger      {place}",
        f"decisions   {report.head.seq}",
        f"receipts    {report.receipts}",
        f"revoked     {report.feed_entries} in our feeds",
        f"head        {report.head.seq}:{report.head.hash}",
    ]
    lines += [f"defect      {each.part} {each.where}: {WORDS[each.what]}" for each in report.defects]
    if report.defect_count > len(report.defects):
        lines.append(f"            and {report.defect_count - len(report.defects)} more")
    return [*lines, "intact" if report.intact else "NOT intact"]


def _data(place: str, report: Report) -> Data:
    return {
        "ledger": place,
        "intact": report.intact,
        "decisions": report.head.seq,
        "receipts": report.receipts,
        "feedEntries": report.feed_entries,
        "head": {"seq": report.head.seq, "hash": report.head.hash},
        "defectCount": report.defect_count,
        "defects": [
            {"part": each.part, "where": each.where, "what": each.what.value} for each in report.defects
        ],
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
