"""``bilateral service``: how the server behind an alias is verified, what it is shown, and why not."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bilateral.cli.errors import printable
from bilateral.cli.explanation import Caller, Explanation, Verdict
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Data, Format, distance, format_option, render, table
from bilateral.cli.service_reading import read_explanation
from bilateral.resources.times import format_time

_EPILOG = """\b
Examples:
  bilateral service explain org2-api
  bilateral service explain org2-api --identity client1 -n trust
  bilateral service explain org2-api -o json | jq '.callers[] | select(.calls | not)'
"""


@click.group(short_help="Explain how services are reached.")
def service() -> None:
    """Explain how services are reached that pods call by alias."""


@service.command(epilog=_EPILOG, short_help="Which verifier, which chain, and why; or why not.")
@click.argument("alias", metavar="ALIAS")
@click.option("--identity", metavar="NAME", help="Explain it for this WorkloadIdentity only.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def explain(invocation: Invocation, alias: str, identity: str | None, output: str) -> None:
    """Explain by what the server behind ALIAS is verified and which chain it is shown, or why it is refused.

    Exits with 1 when the service is refused; with --identity also when that identity cannot call it. The
    Secrets of identities are read where you may; what could not be seen is named.
    """
    now = invocation.now()
    explanation = read_explanation(invocation.cluster(), alias, identity, now)
    if output == Format.TEXT:
        click.echo("\n".join(write_text(explanation, now)))
    else:
        click.echo(render(as_data(explanation), output), nl=False)
    callers = explanation.callers if identity is not None else ()
    if not explanation.verdict.good or not all(caller.verdict.good for caller in callers):
        raise click.exceptions.Exit(1)


def write_text(explanation: Explanation, now: int) -> list[str]:
    """Write the explanation for people."""
    verdict = explanation.verdict
    lines = [f"{explanation.alias} → {explanation.url} ({explanation.origin})", _peer_line(explanation, now)]
    if explanation.verifier is not None:
        lines.append(f"Verified by {explanation.verifier}: {explanation.why}.")
        lines += [f"  {each}" for each in explanation.pinned]
    if explanation.token_secret is not None:
        lines.append(f"Sends the bearer token in secrets/{explanation.token_secret}.")
    if not verdict.good:
        lines += ["", *_paragraph("Refused" if explanation.verifier is None else "Not ready", verdict)]
    lines += [
        f"trustedservice/{name} claims the alias too; the older keeps it." for name in explanation.rivals
    ]
    lines += _callers(explanation, now)
    if explanation.unseen:
        lines += ["", f"Not seen, since you may not read it: {', '.join(explanation.unseen)}."]
    return [printable(line) for line in lines]


def _peer_line(explanation: Explanation, now: int) -> str:
    name, peer = explanation.peer_name, explanation.peer
    if name is None:
        return "Run by nobody whom we know as a peer."
    if peer is None:
        return f"Run by federationpeer/{name}."
    pin = peer.status.pin
    until = "not pinned"
    if pin is not None:
        left = pin.rotation_due - now
        until = (
            f"pinned until {format_time(pin.rotation_due)} ({distance(left)} {'left' if left > 0 else 'ago'})"
        )
    return f"Run by federationpeer/{name} ({peer.spec.kernel_id}), {until}."


def _callers(explanation: Explanation, now: int) -> list[str]:
    if not explanation.callers:
        return [] if "workloadidentities" in explanation.unseen else ["", "No identity here may see it."]
    head = ["IDENTITY", "CALLS", "SHOWS", "BY", "UNTIL"]
    lines = ["", *table(head, [_row(caller, now) for caller in explanation.callers])]
    for caller in explanation.callers:
        if not caller.verdict.good and caller.verdict != explanation.verdict:
            lines += ["", *_paragraph(caller.name, caller.verdict)]
    return lines


def _row(caller: Caller, now: int) -> Sequence[str]:
    until = "-"
    if caller.until is not None:
        left = caller.until - now
        until = f"{format_time(caller.until)} ({distance(left)} {'left' if left > 0 else 'ago'})"
    calls = "yes" if caller.verdict.good else "no"
    return [
        caller.name,
        calls,
        caller.shows or "-",
        (caller.authority if caller.shows else None) or "-",
        until,
    ]


def _paragraph(about: str, verdict: Verdict) -> list[str]:
    text = verdict.sentence if verdict.sentence.endswith((".", "!", "?")) else f"{verdict.sentence}."
    return [f"{about} ({verdict.reason}): {text}", *([f"  {verdict.step}"] if verdict.step else [])]


def as_data(explanation: Explanation) -> dict[str, Data]:
    """The explanation as ``-o json`` prints it; absent facts are null."""
    peer, verdict = explanation.peer, explanation.verdict
    pin = None if peer is None else peer.status.pin
    return {
        "alias": explanation.alias,
        "url": explanation.url,
        "origin": explanation.origin,
        "transport": explanation.transport,
        "peer": explanation.peer_name,
        "peerKernelId": None if peer is None else peer.spec.kernel_id,
        "freshUntil": None if pin is None else format_time(pin.rotation_due),
        "callable": verdict.good,
        "reason": verdict.reason,
        "message": verdict.sentence,
        "nextStep": verdict.step,
        "verifier": explanation.verifier,
        "why": explanation.why,
        "pinned": list(explanation.pinned),
        "bearerTokenSecret": explanation.token_secret,
        "alsoClaimedBy": list(explanation.rivals),
        "callers": [_caller_data(caller) for caller in explanation.callers],
        "notSeen": list(explanation.unseen),
    }


def _caller_data(caller: Caller) -> dict[str, Data]:
    return {
        "identity": caller.name,
        "calls": caller.verdict.good,
        "reason": caller.verdict.reason,
        "message": caller.verdict.sentence,
        "nextStep": caller.verdict.step,
        "shows": caller.shows,
        "authority": caller.authority,
        "until": None if caller.until is None else format_time(caller.until),
    }
