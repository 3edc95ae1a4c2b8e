"""``bilateral plan``: what would be withdrawn if an object were deleted or a partner suspended, told beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from bilateral.cli.errors import InputError, printable
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.issued import Signed
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.plan_reading import find_kind, read_objects, read_removal, read_suspension
from bilateral.cli.secret_change import SecretChange
from bilateral.cli.withdrawal import Effect, LostIntroduction, Plan
from bilateral.cli.withdrawal import plan as make_plan
from bilateral.cli.world import World
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.times import format_time

MAX_LINES = 40
MAX_NAMES = 5
_DELETE_EPILOG = """\b
Examples:
  bilateral plan delete federationpeer/org-b -n trust
  bilateral plan delete introduction/client1 -o json | jq '.secrets[]'
"""
_SUSPEND_EPILOG = """\b
Example:
  bilateral plan suspend federationpeer/org-b -n trust
"""
_EFFECTS = {
    Effect.WITHDRAWN: "withdrawn: it enters our revocation list",
    Effect.UNINSTALLED: "no longer installed",
    Effect.UNSUPPORTED: "its authority is gone: nobody can withdraw or renew it",
}
_whole_option = click.option("--all", "whole", is_flag=True, help="Cut no list short.")


@click.group(short_help="Show beforehand what ending trust would withdraw.")
def plan() -> None:
    """Show beforehand what ending trust would withdraw. Nothing is changed."""


@plan.command(epilog=_DELETE_EPILOG, short_help="What deleting an object would withdraw.")
@click.argument("reference", metavar="KIND/NAME")
@_whole_option
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def delete(invocation: Invocation, reference: str, whole: bool, output: str) -> None:
    """Show what the operator would withdraw if KIND/NAME were deleted: services, files, introductions, clients.

    KIND is any kind of ours. It reads with your rights and writes nothing. Where Secrets may not be listed, no
    files are shown.
    """
    kind, name = find_kind(reference)
    cluster = invocation.cluster()
    objects = read_objects(cluster)
    removal = read_removal(cluster, kind, name, objects)
    found = make_plan(World(objects), removal, invocation.now())
    _print("delete", f"{kind.SINGULAR}/{name}", found, objects.unseen, output, whole=whole)


@plan.command(epilog=_SUSPEND_EPILOG, short_help="What suspending a partner would withdraw.")
@click.argument("reference", metavar="federationpeer/NAME")
@_whole_option
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def suspend(invocation: Invocation, reference: str, whole: bool, output: str) -> None:
    """Show what the operator would withdraw if the partner's spec.state were Suspended.

    It reads with your rights and writes nothing.
    """
    kind, name = find_kind(reference)
    if kind is not FederationPeer:
        raise InputError(f"{reference} cannot be suspended: expected federationpeer/NAME")
    cluster = invocation.cluster()
    objects = read_objects(cluster)
    removal = read_suspension(name, objects)
    found = make_plan(World(objects), removal, invocation.now())
    _print("suspend", f"{kind.SINGULAR}/{name}", found, objects.unseen, output, whole=whole)


def _print(
    action: str, reference: str, found: Plan, unseen: Sequence[str], output: str, *, whole: bool
) -> None:
    if output == Format.TEXT:
        lines = write_text(action, reference, found, unseen, None if whole else MAX_LINES)
        click.echo("\n".join(map(printable, lines)))
    else:
        click.echo(render(as_data(action, reference, found, unseen), output), nl=False)


def write_text(
    action: str, reference: str, found: Plan, unseen: Sequence[str], limit: int | None
) -> list[str]:
    """Write a plan for people; of each list at most ``limit`` lines."""
    doing = {"delete": "Deleting", "suspend": "Suspending"}[action]
    sections: list[tuple[str, list[str]]] = [
        ("Partners that would count for nothing", [f"{name} ({why})" for name, why in found.partners]),
        (
            "Policies by which nothing would be allowed any more",
            [
                f"federationpolicy/{each.name} ({each.reason}): every call of {each.partner_id} is refused"
                for each in found.policies
            ],
        ),
        ("Identities that would end, or lose the authority that signs them", list(found.identities)),
        (
            "Services that nobody could call any more",
            [
                f"trustedservice/{each.name} ({each.reason}): {each.alias} → {each.url}, for "
                + _several(each.identities)
                for each in found.services
            ],
        ),
        (
            "Services that came with an introduction, and would go with it",
            [f"{each.alias} → {each.url}, for {each.identity}" for each in found.carried],
        ),
        ("Introductions", [_introduction(each) for each in found.introductions]),
        ("Chains that identities would lose", [f"{each.identity}: {each.slug}" for each in found.chains]),
        (
            "Clients that could not connect any more",
            [f"parties of {each.partner}, to {each.identity}" for each in found.clients],
        ),
        ("Certificates that would enter our revocation list", [_signed(each) for each in found.certificates]),
        ("Secrets", _secrets(found.secrets)),
        ("Workloads that would be rolled out anew", [f"{each} ({name})" for name, each in found.rollouts]),
    ]
    text = [f"{doing} {reference} would withdraw" + (" nothing." if found.is_empty else ":")]
    for title, lines in sections:
        if lines:
            text += ["", f"{title}:", *(f"  {line}" for line in lines[:limit])]
            left = 0 if limit is None else len(lines) - limit
            text += [f"  … and {left} more: --all shows them"] if left > 0 else []
    text += ["", *found.notes] if found.notes else []
    if unseen:
        text += ["", f"Not seen, since you may not read it: {', '.join(unseen)}. More may be withdrawn."]
    return text


def _several(names: Sequence[str]) -> str:
    left = len(names) - MAX_NAMES
    return (", ".join(names[:MAX_NAMES]) or "nobody") + (f" and {left} more" if left > 0 else "")


def _introduction(each: LostIntroduction) -> str:
    whom = f", for {each.identity}" if each.identity is not None else ""
    until = f", valid until {format_time(each.not_after)}" if each.not_after is not None else ""
    return f"introduction/{each.name}: {_EFFECTS[each.effect]} ({each.subject or '-'}{whom}{until})"


def _signed(each: Signed) -> str:
    return f"{each.serial} ({each.subject}, {each.owner}, until {format_time(each.not_after)})"


def _secrets(found: Iterable[SecretChange]) -> list[str]:
    """A line for each Secret, and one for all in which only the list of what was withdrawn changes."""
    listed = list(found)
    lines = [_secret(each) for each in listed if each.identity is None or not each.is_list_only]
    lists = sum(each.identity is not None and each.is_list_only for each in listed)
    return lines + ([f"{lists} known-clients: our revocation list in it changes"] if lists else [])


def _secret(each: SecretChange) -> str:
    if each.deleted:
        return f"{each.name}: deleted"
    said = ["emptied"] if each.emptied else []
    for word, files in (("loses", each.loses), ("gains", each.gains), ("changes", each.changes)):
        if files and not each.emptied:
            said.append(f"{word} {_several(files)}")
    return f"{each.name}: {'; '.join(said)}"


def as_data(action: str, reference: str, found: Plan, unseen: Iterable[str]) -> dict[str, Data]:
    """A plan as ``-o json`` prints it; absent facts are null."""
    return {
        "action": action,
        "object": reference,
        "partners": [{"name": name, "reason": reason.value} for name, reason in found.partners],
        "policies": [
            {"name": each.name, "partnerId": each.partner_id, "reason": each.reason.value}
            for each in found.policies
        ],
        "identities": [*found.identities],
        "services": [
            {
                "name": each.name,
                "alias": each.alias,
                "url": each.url,
                "reason": each.reason.value,
                "identities": [*each.identities],
            }
            for each in found.services
        ],
        "introducedServices": [
            {
                "alias": each.alias,
                "url": each.url,
                "identity": each.identity,
                "introduction": each.introduction,
            }
            for each in found.carried
        ],
        "introductions": [
            {
                "name": each.name,
                "effect": each.effect.value,
                "subject": each.subject,
                "identity": each.identity,
                "until": None if each.not_after is None else format_time(each.not_after),
            }
            for each in found.introductions
        ],
        "chains": [
            {"identity": each.identity, "slug": each.slug, "introduction": each.introduction}
            for each in found.chains
        ],
        "clients": [{"identity": each.identity, "partner": each.partner} for each in found.clients],
        "certificates": [
            {
                "serial": each.serial,
                "subject": each.subject,
                "owner": each.owner,
                "until": format_time(each.not_after),
            }
            for each in found.certificates
        ],
        "secrets": [
            {
                "name": each.name,
                "deleted": each.deleted,
                "emptied": each.emptied,
                "loses": [*each.loses],
                "gains": [*each.gains],
                "changes": [*each.changes],
            }
            for each in found.secrets
        ],
        "rollouts": [{"identity": name, "workload": workload} for name, workload in found.rollouts],
        "notes": [*found.notes],
        "notSeen": [*unseen],
    }
