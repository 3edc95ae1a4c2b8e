"""``bilateral identity``: what one of our parties holds, who vouches for it, and what its pods mount."""

from __future__ import annotations

import click

from bilateral.cli.advice import advise
from bilateral.cli.cluster import Object
from bilateral.cli.errors import AnswerNoError
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.output import Data, Format, distance, format_option, render, table
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.errors import InvalidResource
from bilateral.resources.times import format_time
from bilateral.resources.workloadidentity import PerServiceTLS, WorkloadIdentity

_EPILOG = """\b
Examples:
  bilateral identity show client1 -n trust
  bilateral identity show client1 -o json | jq .publicKeyFingerprint
"""
_NOT_SEEN = "no operator has looked at it yet: check that one runs and watches this namespace"
_OLD = "changed since the operator last looked at it"


@click.group(short_help="Show our own parties.")
def identity() -> None:
    """Show our own parties: WorkloadIdentities, as pods hold them."""


@identity.command(epilog=_EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when it is not ready.")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@cluster_options
def show(invocation: Invocation, name: str, exit_code: bool, output: str) -> None:
    """Show the WorkloadIdentity NAME: its certificate, who has signed it, and the Secrets for its pods.

    The fingerprint of the key is what a partner compares before an introduction; it stays the same when the
    certificate is renewed.
    """
    found = _read(invocation.cluster().get(WorkloadIdentity.PLURAL, name))
    now = invocation.now()
    if output == Format.TEXT:
        click.echo("\n".join(write_lines(found, now)))
    else:
        click.echo(render(build_facts(found, now), output), nl=False)
    if exit_code and _judge(found, now)[0] != ConditionStatus.TRUE:
        raise click.exceptions.Exit(1)


def build_facts(found: WorkloadIdentity, now: int) -> dict[str, Data]:
    """What is known of an identity, for programs."""
    status = found.status
    ready, reason, message, step = _judge(found, now)
    chains: list[Data] = [
        {
            "authority": chain.authority,
            "slug": chain.slug,
            "notAfter": format_time(chain.not_after),
            "introduction": chain.introduction,
        }
        for chain in status.chains
    ]
    return {
        "name": found.metadata.name,
        "trustDomain": found.spec.trust_domain,
        "ready": ready,
        "reason": reason,
        "message": message,
        "nextStep": step,
        "subject": status.subject,
        "publicKeyFingerprint": status.public_key_fingerprint,
        "certificateFingerprint": status.fingerprint,
        "serial": status.serial,
        "notAfter": _time(status.not_after),
        "renewalTime": _time(status.renewal_time),
        "dnsNames": list[Data](found.spec.dns_names),
        "chains": chains,
        "boundServices": status.bound_services,
        "clients": list[Data](found.spec.clients),
        "secrets": list[Data](secret_names(found)),
        "contentHash": status.content_hash,
    }


def write_lines(found: WorkloadIdentity, now: int) -> list[str]:
    """What is known of an identity, for people."""
    status, spec = found.status, found.spec
    ready, reason, message, step = _judge(found, now)
    lines = [f"workloadidentity/{found.metadata.name}: {ready} {reason}: {message}"]
    if step is not None:
        lines.append(f"  {step}")
    lines += [
        f"subject       {status.subject or '-'}",
        f"its key       {status.public_key_fingerprint or '-'}"
        + (" (its owner's: provided)" if found.has_provided_key else ""),
        f"certificate   {status.fingerprint or '-'}, serial {status.serial or '-'}",
        f"valid until   {_until(status.not_after, now)}",
        f"renewed       {_until(status.renewal_time, now)}",
        f"serves as     {', '.join(spec.dns_names) or 'nothing: it is only a client'}",
        f"admits        {', '.join(spec.clients) or 'nobody'}",
        f"services      {status.bound_services}, by alias",
        f"pods mount    {', '.join(secret_names(found))}",
    ]
    rows = [
        (chain.authority, chain.introduction or "our own", _until(chain.not_after, now), f"{chain.slug}.crt")
        for chain in status.chains
    ]
    if rows:
        lines += ["", *table(("SIGNED BY", "INTRODUCTION", "UNTIL", "FILE"), rows)]
    return lines


def secret_names(found: WorkloadIdentity) -> tuple[str, ...]:
    """The Secrets that its pods mount; those for single services are named by a pattern."""
    names = (
        found.identity_secret_name,
        found.chains_secret_name,
        found.servers_secret_name,
        found.clients_secret_name,
    )
    single = found.spec.per_service_tls is PerServiceTLS.ENABLED
    return (*names, f"{found.metadata.name}-to-<alias>") if single else names


def _read(obj: Object) -> WorkloadIdentity:
    try:
        return WorkloadIdentity.parse(obj)
    except InvalidResource as error:
        raise AnswerNoError(f"workloadidentity/{obj['metadata']['name']}: {error.reason}: {error}") from None


def _judge(found: WorkloadIdentity, now: int) -> tuple[str, str, str, str | None]:
    """Ready, reason, sentence and next step, believed only as far as generation and clock allow."""
    ready = found.status.condition("Ready")
    unknown = ConditionStatus.UNKNOWN.value
    if ready is None:
        return unknown, "-", _NOT_SEEN, None
    if found.status.observed_generation < found.metadata.generation:
        return unknown, ready.reason, _OLD, None
    ends = found.status.not_after
    if ready.status is ConditionStatus.TRUE and ends is not None and now > ends:
        return (
            ConditionStatus.FALSE.value,
            Reason.CERTIFICATE_INVALID.value,
            "the certificate is over, and nobody renewed it",
            None,
        )
    step = None if ready.status is ConditionStatus.TRUE else advise(ready.reason).step
    return ready.status.value, ready.reason, ready.message, step


def _time(moment: int | None) -> Data:
    return None if moment is None else format_time(moment)


def _until(moment: int | None, now: int) -> str:
    if moment is None:
        return "-"
    left = f"in {distance(moment - now)}" if moment >= now else f"{distance(now - moment)} ago"
    return f"{format_time(moment)} ({left})"
