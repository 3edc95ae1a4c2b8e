"""``bilateral approve`` and ``deny``: a person decides whether our authority signs somebody's party.

Rules: what is decided about is shown before it is decided, in words in which nothing is invisible; the
decision is the caller's own, with the caller's rights, and for that very object: one that was deleted and
made anew meanwhile is another. What a policy approved may be approved by a person as well; it then no longer
depends on the policy's word.
"""

from __future__ import annotations

import click

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.errors import AlreadyThereError, AnswerNoError, NotPermittedError
from bilateral.cli.introductions import await_verdict
from bilateral.cli.invocation import Invocation, cluster_options, wait_option
from bilateral.cli.output import distance
from bilateral.pki.errors import SubjectRefused
from bilateral.pki.names import shown_name
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.subjects import parse_subject
from bilateral.protocol.reasons import Reason
from bilateral.resources.errors import InvalidResource
from bilateral.resources.introduction import Approval, Introduction, IssueSpec
from bilateral.resources.labels import (
    APPROVED_BY_LABEL,
    APPROVED_BY_POLICY,
    ORIGIN_LABEL,
    ORIGIN_ONLINE,
)

_APPROVE_EPILOG = """\b
Examples:
  kubectl get introductions -n trust
  bilateral approve org-b-client1-7c2e91bc -n trust
  bilateral approve org-b-client1-7c2e91bc -n trust --yes
"""
_DENY_EPILOG = """\b
Example:
  bilateral deny org-b-client1-7c2e91bc -n trust
"""
_yes_option = click.option("--yes", is_flag=True, help="Do not ask: what is shown was compared before.")


@click.command(epilog=_APPROVE_EPILOG, short_help="Have our authority sign what was asked for.")
@click.argument("name", metavar="NAME")
@_yes_option
@wait_option
@cluster_options
def approve(invocation: Invocation, name: str, yes: bool, wait_seconds: int) -> None:
    """Approve the Introduction NAME: our authority signs the party in it.

    Shows who would be introduced, with which key, and for which services, and asks. Compare the key with your
    partner over another channel. Where a partner's operator asked, it fetches what was signed by itself.

    Needs the verbs get, patch and approve on introductions.
    """
    cluster = invocation.cluster()
    obj, issue = _show(cluster, name)
    if issue.approval is Approval.APPROVED and not _is_by_policy(obj):
        click.echo(f"introduction/{name} is approved already.", err=True)
        return
    if not yes:
        click.confirm("Have our authority sign it?", abort=True, err=True)
    _conclude(invocation, cluster, _decide(cluster, obj, Approval.APPROVED), wait_seconds)


@click.command(epilog=_DENY_EPILOG, short_help="Refuse it, or withdraw what was signed.")
@click.argument("name", metavar="NAME")
@_yes_option
@cluster_options
def deny(invocation: Invocation, name: str, yes: bool) -> None:
    """Deny the Introduction NAME: nothing is signed, and what was signed is withdrawn.

    A certificate that is out gets on our authority's revocation list. Whoever does not read that list accepts
    it until its end.

    Needs the verbs get and patch on introductions.
    """
    cluster = invocation.cluster()
    obj, issue = _show(cluster, name)
    if issue.approval is Approval.DENIED:
        click.echo(f"introduction/{name} is denied already.", err=True)
        return
    if not yes:
        signed = issue.approval is Approval.APPROVED
        click.confirm("Withdraw what was signed?" if signed else "Refuse it?", abort=True, err=True)
    _decide(cluster, obj, Approval.DENIED)
    click.echo(f"introduction/{name} is denied.")


def describe(name: str, issue: IssueSpec, *, online: bool, by_policy: bool = False) -> list[str]:
    """What is to be decided about, in lines for people. Raises SubjectRefused."""
    candidate = parse_subject(issue.subject)
    asked = "asked for by their operator" if online else "written here"
    if by_policy:
        asked += ", approved by the policy and by nobody yet"
    services = [f"{each.alias}  {each.url}" for each in issue.services] or ["none"]
    lines = [
        f"introduction  {name}, {asked}",
        f"subject       {shown_name(candidate.name)}",
        f"its key       {key_fingerprint(candidate.public_key)}",
        "              "
        + (
            "whoever asks has shown to hold it"
            if candidate.is_proven
            else "not shown to be held by whoever asks: it came as a certificate"
        ),
        f"for           {issue.peer or 'nobody in particular: no peer is named'}",
        f"signed by     the authority of trustdomain/{issue.trust_domain}",
        f"valid for     {distance(issue.validity_seconds)}" + (", renewed while approved" if online else ""),
    ]
    return lines + [f"{'services' if not index else '':<13} {text}" for index, text in enumerate(services)]


def _show(cluster: Cluster, name: str) -> tuple[Object, IssueSpec]:
    obj = cluster.get(Introduction.PLURAL, name)
    try:
        resource = Introduction.parse(obj)
    except InvalidResource as error:
        raise AnswerNoError(f"introduction/{name} breaks a rule of its kind: {error}") from None
    issue = resource.spec.issue
    if issue is None:
        raise AnswerNoError(
            f"introduction/{name} is not for our authority to sign: only those with spec.issue are approved here"
        )
    online = resource.metadata.labels.get(ORIGIN_LABEL) == ORIGIN_ONLINE
    try:
        lines = describe(name, issue, online=online, by_policy=_is_by_policy(obj))
    except SubjectRefused as error:
        raise AnswerNoError(
            f"introduction/{name} cannot be signed: {error}: {advise(error.reason).step or ''}".rstrip(": ")
        ) from None
    click.echo("\n".join(lines), err=True)
    return obj, issue


def _is_by_policy(obj: Object) -> bool:
    return (obj["metadata"].get("labels") or {}).get(APPROVED_BY_LABEL) == APPROVED_BY_POLICY


def _decide(cluster: Cluster, obj: Object, approval: Approval) -> Object:
    metadata = obj["metadata"]
    marks: Object = {"labels": {APPROVED_BY_LABEL: None}} if _is_by_policy(obj) else {}
    changes = {"metadata": {"uid": metadata["uid"], **marks}, "spec": {"issue": {"approval": approval.value}}}
    try:
        return cluster.patch(Introduction.PLURAL, str(metadata["name"]), changes)
    except AlreadyThereError:
        raise AnswerNoError(
            f"introduction/{metadata['name']} was deleted and made anew meanwhile: look at it again"
        ) from None
    except NotPermittedError:
        verbs = (
            "patch and approve"
            if approval is Approval.APPROVED
            else "patch, and approve to take a denial back,"
        )
        raise NotPermittedError(
            f"you may not decide this in namespace {cluster.namespace}: it needs the verbs {verbs} on "
            "introductions.bilateral.dev. Ask the cluster's administrator, or somebody who has them"
        ) from None


def _conclude(invocation: Invocation, cluster: Cluster, obj: Object, wait_seconds: int) -> None:
    _, verdict = await_verdict(invocation, cluster, obj, wait_seconds, final=(Reason.RECORD_PENDING,))
    if not verdict.is_good:
        raise AnswerNoError("approved, and not signed: " + " ".join(line.strip() for line in verdict.lines()))
    click.echo(f"introduction/{verdict.name} is signed. {verdict.message}")
