"""``bilateral trust federation-policy``: what partners may do, stored from the contract's documents and told again.

Each command is meant for the cluster, with the caller's own rights, or for the control endpoint of an operator.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from bilateral.cli.cluster import Object
from bilateral.cli.control import (
    POLICIES_PATH,
    Control,
    ControlChoice,
    Needed,
    connect_control,
    unreadable_answer,
)
from bilateral.cli.control_options import control_options
from bilateral.cli.errors import AlreadyThereError, InputError, NotPermittedError, printable
from bilateral.cli.invocation import Invocation
from bilateral.cli.output import Data, Format, distance, format_option, render, table, to_yaml
from bilateral.cli.policy_documents import (
    build_object,
    differing_members,
    judge_object,
    load_document,
    shown_document,
)
from bilateral.cli.policy_store import Stored, different, find_peer, retire_policies, store_policy
from bilateral.cli.trust_evaluate import evaluate
from bilateral.protocol.identifiers import is_kernel_id
from bilateral.protocol.policies.documents import PolicyDocument
from bilateral.protocol.policies.policy import FeedSource, SharingPosture
from bilateral.protocol.strictjson import JSON
from bilateral.resources.federationpolicy import FederationPolicy

POLICIES_SCHEMA = "bilateral.policies.v1"
_CREATE_EPILOG = """\b
Examples:
  bilateral trust federation-policy create --config org-a-to-org-b.yaml -n trust
  bilateral trust federation-policy create --config org-a-to-org-b.yaml --peer org-b --replace
  bilateral trust federation-policy create --config org-a-to-org-b.yaml \\
      --control-url https://ctl.org-a.example:8942 --control-token-file token

\b
Exit codes: 0 it is stored; 1 it is there and differs, or there is no such peer; 2 wrong usage or document;
3 the cluster or the endpoint cannot be reached or does not permit it.
"""
_LIST_EPILOG = """\b
Examples:
  bilateral trust federation-policy list -n trust
  bilateral trust federation-policy list --partner-id org-b -o yaml > org-a-to-org-b.yaml
"""
_DELETE_EPILOG = """\b
Examples:
  bilateral trust federation-policy delete --partner-id org-b -n trust
  bilateral trust federation-policy delete --partner-id org-b \\
      --control-url https://ctl.org-a.example:8942 --control-token-file token
"""


@click.group("federation-policy", short_help="Say what partners may do here; judge their capabilities.")
def federation_policy() -> None:
    """Say what partners may do here, and judge their capabilities by it.

    Without a policy a partner may do nothing, however fresh its pin is.
    """


federation_policy.add_command(evaluate)


@federation_policy.command(epilog=_CREATE_EPILOG)
@click.option("--config", metavar="FILE", required=True, help="The policy's document; - for stdin.")
@click.option(
    "--peer", metavar="NAME", help="The FederationPeer; default: the one whose operatorId is partner_id."
)
@click.option("--replace", is_flag=True, help="Replace a policy that says something else.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@control_options()
def create(
    invocation: Invocation,
    control: ControlChoice | None,
    config: str,
    peer: str | None,
    replace: bool,
    output: str,
) -> None:
    """Store a policy from a document as it is published (apiVersion chio.dev/v1, kind FederationPolicy).

    The document is kept as it is given, and list prints it back. What is there already and says the same is left
    alone.
    """
    document, given = load_document(config)
    partner_id = str(document.spec["partnerId"])
    warning = judge_object(build_object(document, given, peer or "unknown"), config)
    if control is not None:
        if replace:
            raise click.UsageError(
                "--replace is for the cluster: the control endpoint changes no policy; delete it there and create it"
            )
        with connect_control(control) as endpoint:
            stored = _create_at(endpoint, document, given, peer)
    else:
        cluster = invocation.cluster()
        found = find_peer(cluster, partner_id, peer)
        stored = store_policy(cluster, build_object(document, given, found), replace=replace)
    if warning is not None:
        click.echo(f"warning: {warning}", err=True)
    if output == Format.TEXT:
        click.echo(f"federationpolicy/{document.name} {stored} for partner {partner_id}")
    else:
        facts: dict[str, Data] = {"name": document.name, "partnerId": partner_id, "outcome": stored.value}
        click.echo(render(facts, output), nl=False)


@federation_policy.command("list", epilog=_LIST_EPILOG)
@click.option("--partner-id", metavar="ID", help="Only the policy for this partner.")
@format_option(Format.TABLE, Format.YAML, Format.JSON)
@control_options()
def list_policies(
    invocation: Invocation, control: ControlChoice | None, partner_id: str | None, output: str
) -> None:
    """List the policies of the namespace: partner, issuers, ceilings, and whether the policy counts now.

    -o yaml prints their documents one after the other, as they were given while they still say what counts; -o json
    the same as a list.
    """
    if control is None:
        found = invocation.cluster().list(FederationPolicy.PLURAL)
    else:
        with connect_control(control) as endpoint:
            found = _list_at(endpoint)
    found = [obj for obj in found if partner_id in (None, (obj.get("spec") or {}).get("partnerId"))]
    found.sort(key=lambda obj: str(obj["metadata"]["name"]))
    if output == Format.TABLE:
        head = ("PARTNER", "PEER", "ISSUERS", "TIER", "EVIDENCE AGE", "FEED", "POSTURE", "READY", "REVOKED")
        click.echo("\n".join(table(head, [_row(obj) for obj in found])) if found else "No policies.")
        return
    documents: list[Data] = []
    for obj in found:
        document = shown_document(obj)
        if document is None:
            name = printable(str(obj["metadata"]["name"]))
            click.echo(f"left out: federationpolicy/{name}: no document can say what it says", err=True)
        else:
            documents.append(document)
    text = render(documents, output) if output == Format.JSON else "---\n".join(map(to_yaml, documents))
    click.echo(text, nl=False)


@federation_policy.command(epilog=_DELETE_EPILOG)
@click.option("--partner-id", metavar="ID", required=True, help="The partner whose policy ends.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@control_options()
def delete(invocation: Invocation, control: ControlChoice | None, partner_id: str, output: str) -> None:
    """Retire what was agreed with a partner: its policy is deleted, and its issuers are trusted no more.

    Nothing is asked: from the next decision on every call of the partner is refused. Its peer, its pin and what
    it was introduced with stay as they are (bilateral plan tells how those end).
    """
    if not is_kernel_id(partner_id):
        raise InputError("--partner-id: expected 1 to 253 of A-Z a-z 0-9 . _ : -")
    lines, names = [], []
    if control is None:
        for each in retire_policies(invocation.cluster(), partner_id):
            issuers = "1 issuer is" if each.issuers == 1 else f"{each.issuers} issuers are"
            names.append(each.name)
            lines.append(
                f"federationpolicy/{each.name} deleted: {issuers} trusted no more"
                + (", and the partner's revocation feed is read no more" if each.has_feed else "")
            )
    else:
        with connect_control(control) as endpoint:
            members = endpoint.ask("DELETE", POLICIES_PATH, Needed("delete"), query={"partnerId": partner_id})
        if members != {"partnerId": partner_id, "deleted": True}:
            raise unreadable_answer()
        lines.append(f"the policy for partner {partner_id} is deleted: its issuers are trusted no more")
    if output == Format.TEXT:
        lines.append(f"From the next decision on every call of {partner_id} is refused; its pin stays.")
        click.echo("\n".join(map(printable, lines)))
    else:
        facts: dict[str, Data] = {"partnerId": partner_id, "deleted": True}
        click.echo(render({**facts, "names": [*names]} if control is None else facts, output), nl=False)


def _create_at(
    endpoint: Control, document: PolicyDocument, given: Mapping[str, JSON], peer: str | None
) -> Stored:
    """Have the endpoint make a policy; one that is there and says the same is left alone."""
    body = render({**given, **({} if peer is None else {"peer": peer})}, Format.JSON).encode()
    partner_id = document.spec["partnerId"]
    try:
        members = endpoint.ask("POST", POLICIES_PATH, Needed("create"), body=body)
    except AlreadyThereError as refusal:
        try:
            there = [obj for obj in _list_at(endpoint) if obj["metadata"]["name"] == document.name]
        except NotPermittedError:
            raise refusal from None
        if not there:
            raise
        spec = there[0].get("spec") or {}
        wanted = {"peer": peer or spec.get("peer"), **document.spec}
        differing = differing_members(spec, wanted)
        if differing:
            todo = "delete it there first, or use --replace with the cluster"
            raise AlreadyThereError(different(document.name, differing, todo)) from None
        return Stored.UNCHANGED
    if members != {"name": document.name, "partnerId": partner_id}:
        raise unreadable_answer()
    return Stored.CREATED


def _list_at(endpoint: Control) -> list[Object]:
    members = endpoint.ask("GET", POLICIES_PATH, Needed("list"))
    policies = members.get("policies")
    if members.get("schema") != POLICIES_SCHEMA or not isinstance(policies, list):
        raise unreadable_answer()
    found: list[Object] = []
    for each in policies:
        metadata = each.get("metadata") if isinstance(each, dict) else None
        if not isinstance(each, dict) or not isinstance(metadata, dict) or "name" not in metadata:
            raise unreadable_answer()
        found.append(dict(each))
    return found


def _row(obj: Object) -> list[str]:
    """A row, of an object that may break rules: such a one is shown as well, and is not ready."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    issuers, age, feed = (
        spec.get(name) for name in ("trustedIssuers", "maxEvidenceAgeSeconds", "revocationFeed")
    )
    revoked = (status.get("revocations") or {}).get("entries")
    unknown = "-" if feed is None else "?"
    return [
        str(spec.get("partnerId", "?")),
        str(spec.get("peer", "?")),
        str(len(issuers)) if isinstance(issuers, list) else "?",
        str(spec.get("maxAutonomyTier", "?")),
        distance(age) if isinstance(age, int) else "?",
        "-" if not isinstance(feed, dict) else str(feed.get("source", FeedSource.SIGNED_FEED.value)),
        str(spec.get("sharingPosture", SharingPosture.PAIR_SCOPED.value)),
        _ready(status.get("conditions")),
        unknown if revoked is None else str(revoked),
    ]


def _ready(conditions: object) -> str:
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == "Ready":
            said = str(each.get("status"))
            return said if said == "True" else f"{said} ({each.get('reason')})"
    return "Unknown"
