"""Chapters one to three: two clusters, two names, and how the two come to trust each other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from demo.cast import PATIENCE_SECONDS, Cast
from demo.manifests import load_example, with_anchor, with_endpoint, with_window
from demo.organisation import NAMESPACE, OPERATOR_NAMESPACE, Organisation
from demo.outsider import post_envelope
from demo.telling import Unexpected, expect, require

ORG_C_WINDOW_SECONDS = 60
_GROUPS = 8  # of four characters, as `bilateral export` prints them


def start(cast: Cast) -> None:
    """Start both sides."""
    tell = cast.teller
    tell.chapter("Two clusters, two operators, nobody above them")
    with tell.check("each has a real API server, our kinds, and the chart's ServiceAccount") as line:
        cast.start_clusters()
        versions = {organisation.server_version for organisation in cast.both}
        expect("how many versions there are", len(versions), 1)
        line.add(f": Kubernetes {versions.pop()}")
    with tell.check("each operator is ready, as a process with that account's rights") as line:
        cast.start_operators()
        line.add(f": ports {', '.join(str(organisation.operator.port) for organisation in cast.both)}")
    with tell.check("least rights: it may list Secrets of namespace trust, and of no other one"):
        for organisation in cast.both:
            for where, expected in ((NAMESPACE, "yes"), (OPERATOR_NAMESPACE, "no"), ("kube-system", "no")):
                expect(
                    f"may it list secrets of {where}", organisation.may("list", "secrets", where), expected
                )
            require("the audit log", organisation.is_audited(), "calls of the operator", "none")


def introduce(cast: Cast) -> bytes:
    """Say who the two are, and let Org C prove itself once; return what Org C sent.

    Org C's deadline runs from here while the story goes on.
    """
    tell = cast.teller
    tell.chapter("Who they are: manifests of examples/, only endpoint.url replaced (no such names here)")
    tell.command("kubectl apply -n trust -f trustdomain.yaml      # on each side")
    for organisation in cast.both:
        _introduce_one(cast, organisation)
    with tell.check(
        f"Org C (this program) proves its key, is pinned for {ORG_C_WINDOW_SECONDS} s, falls silent"
    ):
        example = with_anchor(load_example("peers/passive.yaml"), cast.org_c.key.public_key.canonical)
        cast.org_a.apply(with_window(example, ORG_C_WINDOW_SECONDS))
        cast.wait_for(cast.org_a, "org-c", ("Unknown", "AwaitingEnvelope"))
        sent = cast.org_c.write_envelope("org-a-kernel")
        answer = post_envelope(cast.org_a.operator.url, cast.org_a.authority(), sent)
        expect("the answer to Org C", answer.status, 200)
        expect(
            "whose key answers Org C",
            f"ed25519:{answer.body['declaredPublicKey']}",
            cast.org_a.domain()["publicKey"],
        )
        cast.wait_for(cast.org_a, "org-c", ("True", "Fresh"))
    return sent


def _introduce_one(cast: Cast, organisation: Organisation) -> None:
    with cast.teller.check(f"{organisation.title} is Ready; its keys are in Secrets, its name is ") as line:
        example = load_example(f"two-organisations/{organisation.name}/trustdomain.yaml")
        organisation.apply(with_endpoint(example, organisation.operator.url))
        cast.teller.wait(
            f"trustdomain/{organisation.name}",
            organisation.domain_ready,
            lambda ready: ready == "True",
            expected="Ready=True",
            seconds=PATIENCE_SECONDS,
        )
        wanted = {
            f"secret/{organisation.name}-{end}" for end in ("signing-key", "ca", "endpoint-tls", "seal")
        }
        found = organisation.secret_names()
        require("the Secrets that it needs", wanted <= found, sorted(wanted), sorted(found))
        line.add(f"{organisation.domain()['did'][:26]}…")


def exchange(cast: Cast) -> None:
    """Exchange the exports, compare them, apply them: first one side, then the other."""
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.chapter("Anchors are exchanged by hand, then the operators shake hands")
    tell.command("bilateral export org-a -n trust --for org-b > org-a.yaml      # and org-b likewise")
    with tempfile.TemporaryDirectory(dir=cast.directory) as post:
        of_a, of_b = Path(post, "org-a.yaml"), Path(post, "org-b.yaml")
        for giver, receiver, file in ((org_a, org_b, of_a), (org_b, org_a, of_b)):
            with tell.check(f"{receiver.title} reads what {giver.title} reads out: ") as line:
                answer = giver.bilateral("export", giver.name, "--for", receiver.name)
                file.write_text(answer.stdout, encoding="utf-8")
                groups = find_groups(answer.stderr)
                expect("the groups of the file", find_groups(receiver.bilateral_check(file)), groups)
                line.add(groups)
        with tell.check("a file that somebody changed on the way has other groups: ") as line:
            forged = Path(post, "forged.yaml")
            forged.write_text(of_a.read_text(encoding="utf-8").replace("org-a-kernel", "org-e-kernel"))
            other = find_groups(org_b.bilateral_check(forged))
            require(
                "the groups of the forged file",
                other != find_groups(org_b.bilateral_check(of_a)),
                "others",
                other,
            )
            line.add(other)
        tell.command("kubectl apply -n trust -f org-b.yaml      # Org A first")
        with tell.check("Org A: Unknown, AwaitingPartner: Org B answered 412, the next step is theirs"):
            org_a.kubectl("apply", "-f", str(of_b))
            cast.wait_for(org_a, "org-b", ("Unknown", "AwaitingPartner"))
        with tell.check("Org B applies too: both are Fresh, and each knows that the other accepted it"):
            org_b.kubectl("apply", "-f", str(of_a))
            for organisation, partner in ((org_a, "org-b"), (org_b, "org-a")):
                cast.wait_for(organisation, partner, ("True", "Fresh"))
                cast.wait_until_acknowledged(organisation, partner)
                expect(
                    f"the key that {organisation.title} pinned",
                    organisation.peer(partner).pin.get("publicKey"),
                    (org_a if partner == "org-a" else org_b).domain()["publicKey"],
                )
    for organisation in cast.both:
        tell.command(f"kubectl get trust -n trust      # {organisation.title}")
        tell.quote(organisation.kubectl("get", "trust"), blank_lines=False)


def find_groups(text: str) -> str:
    """Find the groups of characters that people compare, at the end of a line of the CLI's."""
    for line in text.splitlines():
        groups = line.rpartition(": ")[2]
        if len(groups.split("-")) == _GROUPS:
            return groups
    raise Unexpected("what the CLI printed", "groups of characters at the end of a line", text)
