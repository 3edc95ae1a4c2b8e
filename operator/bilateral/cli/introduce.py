"""``bilateral introduce``: our authority shall sign a party of somebody else's, as ``certified introduce`` does.

The authority's key stays where it is: the command writes the manifest by which the operator signs. It reads
the subject as strictly as the operator will, so that a person sees what is wrong before anything is applied.
"""

from __future__ import annotations

import click

from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.durations import Duration
from bilateral.cli.errors import AlreadyThereError, AnswerNoError, InputError, NotPermittedError
from bilateral.cli.files import read_input
from bilateral.cli.introductions import SHORT_DIGITS, await_verdict, object_name
from bilateral.cli.invocation import Invocation, cluster_options, wait_option
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.pki.errors import InvalidService, SubjectRefused
from bilateral.pki.names import shown_name
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.services import Service, parse_service
from bilateral.pki.subjects import MAX_SUBJECT_BYTES, Candidate, parse_subject
from bilateral.protocol.reasons import Reason
from bilateral.resources.errors import InvalidResource
from bilateral.resources.introduction import Approval, Introduction
from bilateral.resources.labels import API_VERSION

_EPILOG = """\b
Examples:
  bilateral introduce client1.pem --trust-domain org-b \\
      --service org-b-api=https://api.org-b.example:9443 | kubectl apply -n trust -f -
  bilateral introduce client1.csr --trust-domain org-b --peer org-a --apply -n trust > client1.json
"""


@click.command(epilog=_EPILOG, short_help="Have our authority sign a partner's party.")
@click.argument("subject", metavar="SUBJECT-FILE")
@click.option("--trust-domain", metavar="NAME", required=True, help="Our TrustDomain, whose authority signs.")
@click.option("--peer", metavar="NAME", help="The FederationPeer whose party it is; it must be fresh.")
@click.option(
    "--service",
    "services",
    metavar="ALIAS=URL",
    multiple=True,
    help="A service that the party is told of; repeatable.",
)
@click.option(
    "--validity",
    type=Duration(),
    default=2_592_000,
    metavar="DURATION",
    help="How long the certificate is valid. Default: 720h.",
)
@click.option(
    "--name", metavar="NAME", help="Name of the Introduction; default: from the subject and its key."
)
@click.option("--pending", is_flag=True, help="Leave the approval to somebody else.")
@click.option("--apply", "apply", is_flag=True, help="Create it, wait, and print the introduction's JSON.")
@wait_option
@format_option(Format.YAML, Format.JSON)
@cluster_options
def introduce(
    invocation: Invocation,
    subject: str,
    trust_domain: str,
    peer: str | None,
    services: tuple[str, ...],
    validity: int,
    name: str | None,
    pending: bool,
    apply: bool,
    wait_seconds: int,
    output: str,
) -> None:
    """Print the manifest by which our authority signs the party in SUBJECT-FILE (- for stdin).

    SUBJECT-FILE is a PEM certificate, a PEM signing request, or a certificate as one line of base64. Only the
    name and the key in it count; the certificate is for clients and has no host names.

    With --apply the Introduction is created and what the operator signed is printed: hand it to the party,
    who installs it with bilateral intro accept or certified add-intro. It is not secret. To withdraw it, delete
    the Introduction.

    Creating an approved Introduction needs the verb approve on introductions.
    """
    text, candidate = _read_subject(subject)
    manifest = build_manifest(
        text,
        candidate,
        name=name,
        trust_domain=trust_domain,
        peer=peer,
        services=[_parse_service(each) for each in services],
        validity=validity,
        approval=Approval.PENDING if pending else Approval.APPROVED,
    )
    _remark(candidate)
    if not apply:
        click.echo(render(manifest, output), nl=False)
        return
    cluster = invocation.cluster()
    created = _create(cluster, manifest, pending=pending)
    final = (Reason.AWAITING_APPROVAL,)
    obj, verdict = await_verdict(invocation, cluster, created, wait_seconds, final=final)
    if verdict.reason == Reason.AWAITING_APPROVAL:
        click.echo(f"introduction/{verdict.name} waits for an approval.", err=True)
        return
    document = Introduction.parse(obj).status.introduction
    if not verdict.is_good or document is None:
        raise AnswerNoError(" ".join(line.strip() for line in verdict.lines()))
    click.echo(document, nl=False)


def build_manifest(
    text: str,
    candidate: Candidate,
    *,
    name: str | None,
    trust_domain: str,
    peer: str | None,
    services: list[Service],
    validity: int,
    approval: Approval,
) -> dict[str, Data]:
    """Build the Introduction that signs a subject. Raises InputError for what no API server admits."""
    digits = key_fingerprint(candidate.public_key).removeprefix("SHA256:")[:SHORT_DIGITS]
    listed: list[Data] = [{"alias": service.alias, "url": service.url} for service in services]
    issue: dict[str, Data] = {"trustDomain": trust_domain, "subject": text}
    if peer is not None:
        issue["peer"] = peer
    if listed:
        issue["services"] = listed
    issue["validitySeconds"] = validity
    issue["approval"] = approval.value
    manifest: dict[str, Data] = {
        "apiVersion": API_VERSION,
        "kind": Introduction.KIND,
        "metadata": {
            "name": name or object_name(candidate.subject.partition(",")[0].partition("=")[2], digits)
        },
        "spec": {"issue": issue},
    }
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: dict[str, Data]) -> None:
    """Raise InputError, naming the field, for an Introduction that breaks a rule of its kind."""
    try:
        Introduction.parse(manifest)
    except InvalidResource as error:
        raise InputError(f"not an Introduction that can be applied: {error}") from None


def _create(cluster: Cluster, manifest: dict[str, Data], *, pending: bool) -> Object:
    try:
        return cluster.create(Introduction.PLURAL, dict(manifest))
    except AlreadyThereError:
        wanted = Introduction.parse(manifest)
        found = cluster.get(Introduction.PLURAL, wanted.metadata.name)
        if Introduction.parse(found).spec == wanted.spec:
            return found
        raise AnswerNoError(
            f"introduction/{wanted.metadata.name} exists and is another: choose a --name, or delete it"
        ) from None
    except NotPermittedError as error:
        if pending:
            raise
        raise NotPermittedError(
            f"{error.message}. Creating an approved Introduction needs the verb approve on introductions: with "
            "--pending the decision is left to somebody who has it"
        ) from None


def _read_subject(path: str) -> tuple[str, Candidate]:
    data = read_input(path, MAX_SUBJECT_BYTES)
    try:
        return data.decode("ascii"), parse_subject(data)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not PEM and not base64: expected a certificate or a request") from None
    except SubjectRefused as error:
        raise InputError(f"{error.reason}: {path}: {error}") from None


def _parse_service(text: str) -> Service:
    alias, sign, url = text.partition("=")
    if not sign:
        raise InputError("--service: expected ALIAS=URL, such as org-b-api=https://api.org-b.example:9443")
    try:
        return parse_service(alias, url)
    except InvalidService as error:
        raise InputError(f"--service: {error}") from None


def _remark(candidate: Candidate) -> None:
    proof = (
        "a signing request: whoever sent it has the key"
        if candidate.is_proven
        else "a certificate, which anybody may have: its holder needs the key to use what is signed"
    )
    click.echo(
        f"Subject {shown_name(candidate.name)}\nKey     {key_fingerprint(candidate.public_key)}\n"
        f"It is {proof}. Compare the key with your partner over another channel.",
        err=True,
    )
