"""``bilateral peer-entries``: alknet's peer file, written from our peers, or one that came judged.

Rules: a record has no deadline, so what is written is right for now: a peer is ``enabled`` while its pin is
fresh by this machine's clock. A file is judged as strictly as alknet's rules allow it to be read, and by those
that alknet leaves to whoever writes it: no fingerprint and no token for two peers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import click

from bilateral.cli.cluster import Cluster
from bilateral.cli.errors import AnswerNoError, InputError
from bilateral.cli.files import read_input
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Data, Format, format_option, render, table
from bilateral.cli.overview import describe_peer
from bilateral.pki.errors import PkiError, VerifierRefused
from bilateral.pki.fingerprints import Fingerprint, parse_fingerprint
from bilateral.pki.tokens import parse_token_hash
from bilateral.pki.verifiers import KnownPeer, Situation, Transport, select_verifier
from bilateral.protocol.canonical import JSON, parse_json
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import DOCUMENT_LIMITS
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.peerentry import ENTRY_MEMBERS, build_peer_entry

_EPILOG = """\b
Examples:
  bilateral peer-entries -n trust > peers.json
  bilateral peer-entries --trust-domain org-a -n trust -o yaml
  bilateral peer-entries --check peers.json
"""


@click.command("peer-entries", epilog=_EPILOG, short_help="Write or judge alknet's peer file.")
@click.option("--trust-domain", metavar="NAME", help="The TrustDomain whose peers are written.")
@click.option("--check", "check", metavar="FILE", help="Judge a file (- for stdin) instead of writing one.")
@format_option(Format.JSON, Format.YAML)
@cluster_options
def peer_entries(invocation: Invocation, trust_domain: str | None, check: str | None, output: str) -> None:
    """Print the FederationPeers of the namespace as alknet's peer file; or judge one with --check.

    A peer that is not fresh is written as enabled: false. Kernels and nodes in the cluster mount the Secret
    <trustDomain>-peers instead, which is kept up.

    With --check: by what each peer's server would be verified, and what is wrong with the file. Exits with 1
    when something is.
    """
    if check is not None:
        _check(check)
        return
    entries = _write(invocation.cluster(), trust_domain, invocation.now())
    click.echo(render({"peers": entries}, output), nl=False)


def _write(cluster: Cluster, trust_domain: str | None, now: int) -> list[Data]:
    found = []
    for obj in cluster.list(FederationPeer.PLURAL):
        try:
            peer = FederationPeer.parse(obj)
        except InvalidResource as error:
            click.echo(f"left out: federationpeer/{obj['metadata']['name']}: {error}", err=True)
            continue
        if trust_domain in (None, peer.spec.trust_domain):
            found.append((peer, describe_peer(obj, now).is_ready))
    domains = sorted({peer.spec.trust_domain for peer, _ in found})
    if len(domains) > 1:
        raise InputError(f"the peers are of {len(domains)} trust domains: choose --trust-domain")
    if trust_domain is not None and not domains:
        raise AnswerNoError(f"trustdomain/{trust_domain} has no peers in namespace {cluster.namespace}")
    found.sort(key=lambda each: each[0].spec.kernel_id)
    return [build_peer_entry(peer, enabled=ready) for peer, ready in found]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a file, and what is wrong with it."""

    position: int
    peer_id: str
    enabled: bool
    fingerprints: tuple[Fingerprint, ...] = ()
    token_hash: str | None = None
    problems: tuple[str, ...] = field(default=())

    def verifier(self, transport: Transport) -> str:
        """By what a server that presents this is verified, as one word, or the reason why by nothing."""
        withheld = None if self.enabled else Reason.SUSPENDED
        try:
            return select_verifier(Situation(KnownPeer(withheld, self.fingerprints), transport)).kind
        except VerifierRefused as error:
            return f"refused ({error.reason})"


def read_entries(data: bytes) -> list[Entry]:
    """Read and judge a peer file. Raises InputError for what is none."""
    try:
        document = parse_json(data, DOCUMENT_LIMITS)
    except MalformedDocument as error:
        raise InputError(f"not a peer file: expected JSON ({error.cause})") from None
    listed = document.get("peers") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise InputError('not a peer file: expected {"peers": […]} or a list')
    entries = [_read_entry(position, each) for position, each in enumerate(listed, 1)]
    return list(_with_shared(entries))


def _read_entry(position: int, value: JSON) -> Entry:
    if not isinstance(value, dict):
        return Entry(position, "?", enabled=False, problems=("is not an object",))
    problems = (
        [f"has a member of another name ({len(set(value) - set(ENTRY_MEMBERS))})"]
        if set(value) - set(ENTRY_MEMBERS)
        else []
    )
    peer_id = value.get("peer_id")
    if not isinstance(peer_id, str) or not peer_id:
        problems.append("peer_id: expected a text that is not empty")
    if not isinstance(value.get("enabled"), bool):
        problems.append("enabled: expected true or false")
    if not _are_texts(value.get("scopes", [])):
        problems.append("scopes: expected a list of texts")
    resources = value.get("resources", {})
    if not isinstance(resources, dict) or not all(map(_are_texts, resources.values())):
        problems.append("resources: expected an object of lists of texts")
    fingerprints: list[Fingerprint] = []
    texts = value.get("fingerprints", [])
    if not isinstance(texts, list):
        problems.append("fingerprints: expected a list")
    for number, text in enumerate(texts if isinstance(texts, list) else (), 1):
        try:
            fingerprints.append(parse_fingerprint(text if isinstance(text, str) else ""))
        except PkiError as error:
            problems.append(f"fingerprints, {number}: {error}")
    token = value.get("auth_token_hash")
    try:
        if token is not None:
            parse_token_hash(token if isinstance(token, str) else "")
    except PkiError as error:
        problems.append(f"auth_token_hash: {error}")
    return Entry(
        position,
        peer_id if isinstance(peer_id, str) and peer_id else "?",
        enabled=value.get("enabled") is True,
        fingerprints=tuple(fingerprints),
        token_hash=token if isinstance(token, str) else None,
        problems=tuple(problems),
    )


def _with_shared(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Add what is wrong between entries: alknet takes the first, and says nothing."""
    for entry in entries:
        others = [other for other in entries if other is not entry]
        problems = list(entry.problems)
        if any(entry.peer_id == other.peer_id for other in others):
            problems.append("another entry has its peer_id")
        if any(set(entry.fingerprints) & set(other.fingerprints) for other in others):
            problems.append("another entry lists one of its fingerprints")
        if entry.token_hash is not None and any(entry.token_hash == other.token_hash for other in others):
            problems.append("another entry has its token")
        yield Entry(
            entry.position,
            entry.peer_id,
            entry.enabled,
            entry.fingerprints,
            entry.token_hash,
            tuple(problems),
        )


def _are_texts(value: JSON) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _check(path: str) -> None:
    entries = read_entries(read_input(path, DOCUMENT_LIMITS.max_bytes))
    rows = [
        (
            entry.peer_id,
            "yes" if entry.enabled else "no",
            entry.verifier(Transport.X509),
            entry.verifier(Transport.RAW_KEY),
        )
        for entry in entries
    ]
    click.echo("\n".join(table(("PEER", "ENABLED", "A CERTIFICATE", "A RAW KEY"), rows)))
    problems = [f"entry {entry.position}: {problem}" for entry in entries for problem in entry.problems]
    if problems:
        click.echo("\n".join(["", *problems]))
        raise AnswerNoError(f"{len(problems)} things are wrong with the file")
