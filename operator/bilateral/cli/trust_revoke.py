"""``bilateral trust revoke``: capabilities of ours withdrawn, in the feed that partners read.

It asks the control endpoint: entries are signed with the trust domain's key and stored in the operator's ledger,
and only the operator has both.
"""

from __future__ import annotations

import json

import click

from bilateral.cli.control import (
    REVOCATIONS_PATH,
    ControlChoice,
    Needed,
    connect_control,
    unreadable_answer,
)
from bilateral.cli.control_options import control_options
from bilateral.cli.errors import InputError
from bilateral.cli.invocation import Invocation
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.policy_verdict import write_time
from bilateral.protocol.capabilities.members import read_hash, read_integer, read_object
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.identifiers import is_capability_id, is_kernel_id

MAX_AT_ONCE = 1000
_ANSWER = frozenset({"treeSize", "rootHash", "publishedAt"})
_EPILOG = """\b
Example:
  bilateral trust revoke --trust-domain org-a cap-7f3b cap-9a4f \\
      --control-url https://ctl.org-a.example:8942 --control-token-file token

\b
Exit codes: 0 revoked, and in the feed; 1 there is no such trust domain; 2 wrong usage or input;
3 the endpoint cannot be reached, is not ready or does not permit it. Doing it again is safe.
"""


@click.command(epilog=_EPILOG, short_help="Revoke capabilities of ours, in our feed.")
@click.argument("capability_ids", metavar="CAPABILITY_ID...", nargs=-1, required=True)
@click.option(
    "--trust-domain", metavar="NAME", required=True, help="The TrustDomain in whose feed they stand."
)
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@control_options(required=True)
def revoke(
    invocation: Invocation,  # noqa: ARG001 - every command of a cluster is given one
    control: ControlChoice,
    capability_ids: tuple[str, ...],
    trust_domain: str,
    output: str,
) -> None:
    """Revoke capabilities: partners refuse them, and whatever was delegated from them, once they read our feed.

    Nothing takes a revocation back. It needs the verb revoke on the TrustDomain.
    """
    ids = tuple(dict.fromkeys(capability_ids))
    bad = next((place for place, each in enumerate(ids, 1) if not is_capability_id(each)), None)
    if bad is not None:
        raise InputError(f"CAPABILITY_ID {bad}: expected 1 to 256 printable ASCII characters without a space")
    if len(ids) > MAX_AT_ONCE:
        raise InputError(f"{len(ids)} capabilities are too many at once: expected at most {MAX_AT_ONCE}")
    if not is_kernel_id(trust_domain):
        raise InputError("--trust-domain: expected the name of a TrustDomain")
    body = json.dumps({"capabilityIds": [*ids]}, separators=(",", ":")).encode()
    needed = Needed("revoke", "trustdomains")
    with connect_control(control) as endpoint:
        members = endpoint.ask(
            "POST", REVOCATIONS_PATH, needed, query={"trustDomain": trust_domain}, body=body
        )
    try:
        found = read_object(members, "answer", _ANSWER)
        size, published = read_integer(found["treeSize"], "size"), read_integer(found["publishedAt"], "time")
        root = read_hash(found["rootHash"], "root")
    except MalformedDocument:
        raise unreadable_answer() from None
    if output == Format.TEXT:
        what = "1 capability is" if len(ids) == 1 else f"{len(ids)} capabilities are"
        click.echo(
            f"{what} revoked in the feed of trustdomain/{trust_domain}: {size} in it now, published "
            f"{write_time(published)}.\nPartners refuse them as soon as they have read it. root {root}"
        )
    else:
        facts: dict[str, Data] = {"treeSize": size, "rootHash": root, "publishedAt": write_time(published)}
        click.echo(render(facts, output), nl=False)
