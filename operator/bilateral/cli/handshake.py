"""``bilateral handshake``: the exchange by files, for partners with no network path between them.

``offer`` signs an envelope with the key that the caller's own rights let them read: no right is lent by
the operator. ``accept`` decides nothing: it hands the file to the operator by an annotation, where it is
judged like an envelope that came over the network, and tells the verdict.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import click

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Object
from bilateral.cli.errors import AnswerNoError, printable
from bilateral.cli.files import STANDARD, read_input, write_output
from bilateral.cli.invocation import Invocation, cluster_options, wait_option
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.signing import read_domain_key
from bilateral.protocol.canonical import HANDSHAKE_LIMITS
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.handshake import build_envelope, parse_envelope
from bilateral.protocol.reasons import Reason
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.labels import ENVELOPE_ANNOTATION
from bilateral.resources.times import format_time
from bilateral.resources.trustdomain import TrustDomain

POLL_SECONDS = 0.25
_OFFER_EPILOG = """\b
Examples:
  bilateral handshake offer org-b -o offer.json
  bilateral handshake offer org-b | ssh gateway 'cat > offer.json'
"""
_ACCEPT_EPILOG = """\b
Examples:
  bilateral handshake accept org-b offer.json
  bilateral handshake accept org-b - --wait 2m < offer.json
"""


@click.group(short_help="Shake hands by files.")
def handshake() -> None:
    """Shake hands by files, with a partner who has no network path to us.

    Each side makes an offer, carries the file over, and accepts the other's. The file is signed, not
    secret, and good for as long as the receiver's maxClockSkewSeconds (300 by default; up to a day for a
    partner who exchanges files: spec.handshake of the FederationPeer).
    """


@handshake.command(epilog=_OFFER_EPILOG)
@click.argument("peer")
@click.option(
    "-o", "--output", "path", metavar="FILE", default=STANDARD, help="Where to write it; default: stdout."
)
@cluster_options
def offer(invocation: Invocation, peer: str, path: str) -> None:
    """Sign an envelope addressed to the FederationPeer PEER.

    Needs the right to get the Secret of the TrustDomain's signing key.
    """
    cluster = invocation.cluster()
    partner = FederationPeer.parse(cluster.get(FederationPeer.PLURAL, peer))
    domain = TrustDomain.parse(cluster.get(TrustDomain.PLURAL, partner.spec.trust_domain))
    key = read_domain_key(cluster, domain)
    now = invocation.now()
    envelope = build_envelope(
        local_kernel_id=domain.spec.kernel_id,
        remote_kernel_id=partner.spec.kernel_id,
        nonce=invocation.nonce(),
        timestamp=now,
        key=key,
    )
    write_output(path, envelope.to_json() + b"\n")
    click.echo(
        f"Signed at {format_time(now)} as {domain.spec.kernel_id} for {partner.spec.kernel_id}.\n"
        "They accept it with: bilateral handshake accept NAME FILE, within their maxClockSkewSeconds.",
        err=True,
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the operator made of the envelope; ``reason`` is EnvelopeAccepted or the refusal's."""

    reason: str
    fresh_until: int | None

    @property
    def is_accepted(self) -> bool:
        """Whether the envelope made or renewed a pin."""
        return self.reason == Reason.ENVELOPE_ACCEPTED


@handshake.command(epilog=_ACCEPT_EPILOG)
@click.argument("peer")
@click.argument("file")
@wait_option
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def accept(invocation: Invocation, peer: str, file: str, wait_seconds: int, output: str) -> None:
    """Hand a partner's envelope in FILE (- for stdin) to the operator, and wait for its verdict.

    The operator judges it like any other: signature, addressee, sender, clock, anchor, and that it is
    newer than the last. Exit code 1 when it is refused, or when nobody answers in time.
    """
    value = _read_envelope(file)
    digest = hashlib.sha256(value.encode()).hexdigest()
    cluster = invocation.cluster()
    obj = cluster.annotate(FederationPeer.PLURAL, peer, ENVELOPE_ANNOTATION, value)
    if not wait_seconds:
        _print(peer, None, output)
        return
    deadline = invocation.monotonic() + wait_seconds
    verdict = _verdict(obj, digest)
    while verdict is None and invocation.monotonic() < deadline:
        invocation.sleep(POLL_SECONDS)
        verdict = _verdict(cluster.get(FederationPeer.PLURAL, peer), digest)
    if verdict is None:
        raise AnswerNoError(
            f"the operator has not judged the envelope within {wait_seconds} s: check that it runs and "
            f"watches namespace {cluster.namespace}; the envelope stays with the FederationPeer"
        )
    _print(peer, verdict, output)
    if not verdict.is_accepted:
        raise click.exceptions.Exit(1)


def _read_envelope(path: str) -> str:
    """Read a file strictly and return the envelope as compact JSON. Raises AnswerNoError."""
    # A partner's file may end in a newline or two; what is handed over is the envelope alone.
    data = read_input(path, 2 * HANDSHAKE_LIMITS.max_bytes).strip(b" \t\r\n")
    try:
        return parse_envelope(data).to_json().decode("ascii")
    except ProtocolError as error:
        raise AnswerNoError(
            f"refused: {error.reason}: {error}. {advise(error.reason).step or ''}".rstrip()
        ) from None


def _verdict(obj: Object, digest: str) -> Verdict | None:
    peer = FederationPeer.parse(obj)
    offered = peer.status.offered_envelope
    if offered is None or offered.digest != digest:
        return None
    pin = peer.status.pin
    return Verdict(reason=offered.reason, fresh_until=None if pin is None else pin.rotation_due)


def _print(peer: str, verdict: Verdict | None, output: str) -> None:
    if output != Format.TEXT:
        data: dict[str, Data] = {
            "peer": peer,
            "accepted": None if verdict is None else verdict.is_accepted,
            "reason": None if verdict is None else verdict.reason,
            "freshUntil": None
            if verdict is None or verdict.fresh_until is None
            else format_time(verdict.fresh_until),
        }
        click.echo(render(data, output), nl=False)
        return
    if verdict is None:
        click.echo(f"federationpeer/{peer}: handed to the operator; see bilateral status {peer}")
        return
    if verdict.is_accepted:
        until = "" if verdict.fresh_until is None else f", fresh until {format_time(verdict.fresh_until)}"
        click.echo(f"federationpeer/{peer}: accepted{until}.")
        return
    advice = advise(verdict.reason)
    click.echo(f"federationpeer/{peer}: refused: {printable(verdict.reason)}: {advice.meaning}.")
    if advice.step is not None:
        click.echo(f"  {advice.step}")
