"""``bilateral export``: what a partner needs to know about us, as a manifest to apply."""

from __future__ import annotations

from collections.abc import Mapping

import click
import yaml

from bilateral.cli.errors import InputError
from bilateral.cli.files import read_input
from bilateral.cli.invocation import Invocation, cluster_options
from bilateral.cli.manifest import PLACEHOLDER, EndpointVerifier, build_manifest, default_verifier, groups_of
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain

MAX_MANIFEST_BYTES = 1024 * 1024
_PLACEHOLDER_COMMENT = "# the name of your own TrustDomain (kubectl get tdom)"
_EPILOG = """\b
Examples:
  bilateral export org-a --for org-b > org-a.yaml
  bilateral export org-a --for org-b --endpoint-verifier fingerprint
  bilateral export --check org-b.yaml
"""


@click.command(epilog=_EPILOG, short_help="Print the manifest that tells a partner about us.")
@click.argument("trust_domain", metavar="[TRUSTDOMAIN]", required=False)
@click.option(
    "--for", "partner", metavar="NAME", help="The partner's own TrustDomain, which shall speak with us."
)
@click.option(
    "--endpoint-verifier",
    "verifier",
    type=click.Choice([item.value for item in EndpointVerifier]),
    help="How the partner shall verify our endpoint: by our CA, by public authorities, or by the "
    "certificate's fingerprint. Default: ca, or webpki when the certificate is Provided.",
)
@click.option("--check", "check", metavar="FILE", help="Print the groups of a partner's file (- for stdin).")
@format_option(Format.YAML, Format.JSON)
@cluster_options
def export(
    invocation: Invocation,
    trust_domain: str | None,
    partner: str | None,
    verifier: str | None,
    check: str | None,
    output: str,
) -> None:
    """Print the FederationPeer manifest that tells a partner about TRUSTDOMAIN.

    The manifest goes to stdout: our kernel id, the keys to anchor, the endpoint and how to verify it. It
    holds nothing secret. Groups of characters go to stderr: read them to your partner over another channel
    (telephone, in person); they compare them with what --check prints for the file that reached them.

    Without --for, spec.trustDomain is CHANGE-ME, which the partner's API server refuses until somebody
    there puts in the name of their own TrustDomain. The groups do not depend on it.
    """
    if check is not None:
        if trust_domain is not None:
            raise click.UsageError("--check reads a file: leave TRUSTDOMAIN out")
        _check(check, output)
        return
    if trust_domain is None:
        raise click.UsageError("name the TRUSTDOMAIN to export, or a file with --check")
    domain = TrustDomain.parse(invocation.cluster().get(TrustDomain.PLURAL, trust_domain))
    chosen = EndpointVerifier(verifier) if verifier else default_verifier(domain)
    manifest = build_manifest(domain, partner=partner, verifier=chosen)
    peer = _parse(manifest)
    text = render(manifest, output)
    if partner is None and output == Format.YAML:
        text = text.replace(PLACEHOLDER, f"{PLACEHOLDER}  {_PLACEHOLDER_COMMENT}", 1)
    click.echo(text, nl=False)
    _remark(domain, peer, partner, chosen, given=verifier is not None)


def _remark(
    domain: TrustDomain, peer: FederationPeer, partner: str | None, chosen: EndpointVerifier, *, given: bool
) -> None:
    """Say on stderr what a person should know: the groups first, then what is left to do."""
    click.echo(f"Read these groups to your partner over another channel: {groups_of(peer)}", err=True)
    if partner is None:
        click.echo(
            f"note: spec.trustDomain is {PLACEHOLDER}: name your partner's TrustDomain with --for, or let "
            "them fill it in.",
            err=True,
        )
    if domain.spec.endpoint is None:
        click.echo(
            "note: there is no endpoint: your partner cannot ask you, only answer or take files.", err=True
        )
    elif chosen is EndpointVerifier.WEB_PKI and not given:
        click.echo(
            "note: the endpoint's certificate is Provided, so your partner asks public authorities about it. "
            "For a private one choose --endpoint-verifier fingerprint.",
            err=True,
        )
    elif chosen is EndpointVerifier.FINGERPRINT:
        click.echo(
            "note: export again before this certificate is replaced: its fingerprint is pinned.", err=True
        )


def _check(path: str, output: str) -> None:
    """Print the groups of every FederationPeer in a file."""
    peers = [_parse(document) for document in _documents(read_input(path, MAX_MANIFEST_BYTES))]
    if not peers:
        raise InputError(f"{path} holds no FederationPeer: expected what bilateral export wrote")
    if output == Format.JSON:
        items: list[Data] = [
            {"name": peer.metadata.name, "kernelId": peer.spec.kernel_id, "groups": groups_of(peer)}
            for peer in peers
        ]
        click.echo(render({"items": items}, output), nl=False)
        return
    for peer in peers:
        click.echo(f"federationpeer/{peer.metadata.name} ({peer.spec.kernel_id}): {groups_of(peer)}")


def _documents(data: bytes) -> list[Mapping[str, object]]:
    try:
        loaded = list(yaml.safe_load_all(data.decode("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InputError("the file is not YAML: expected what bilateral export wrote") from None
    found: list[Mapping[str, object]] = []
    for document in loaded:
        if isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items")
            found.extend(item for item in items if isinstance(item, dict)) if isinstance(
                items, list
            ) else None
        elif isinstance(document, dict):
            found.append(document)
    return [document for document in found if document.get("kind") == FederationPeer.KIND]


def _parse(manifest: Mapping[str, object]) -> FederationPeer:
    """Parse a manifest whose trust domain may still be the placeholder. Raises InputError."""
    spec = manifest.get("spec")
    if isinstance(spec, dict) and spec.get("trustDomain") == PLACEHOLDER:
        manifest = {**manifest, "spec": {**spec, "trustDomain": PLACEHOLDER.lower()}}
    try:
        return FederationPeer.parse(manifest)
    except InvalidResource as error:
        raise InputError(f"not a FederationPeer that can be applied: {error}") from None
