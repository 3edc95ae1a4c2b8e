"""Chapter five: a client of Org A gets access to a service of Org B, and loses it; another one never gets it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from demo.cast import PATIENCE_SECONDS, Cast
from demo.manifests import load_example, load_examples, with_dns_name, with_name, with_url
from demo.organisation import Organisation
from demo.pods import Answer, Workload
from demo.telling import expect, require

OURS, STOCK = "org2-api", "org2-stock"
"""The aliases: a server with bilateral.client, which stock certified calls; and the other way round."""
REQUEST = "client1-at-org-b"


def give_access(cast: Cast) -> None:
    """Tell the chapter."""
    with ExitStack() as stack:
        client1, client2, api = _make_identities(cast, stack)
        _serve(cast, client1, client2, api)
        _refuse_before(cast, client1, client2)
        introduction = _introduce(cast, client1)
        _call(cast, client1, client2)
        _withdraw(cast, client1, client2, api, introduction)


def _make_identities(cast: Cast, stack: ExitStack) -> tuple[Workload, Workload, Workload]:
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.chapter("One of their services, one of our clients (certified's three-step story, with manifests)")
    tell.command("kubectl apply -n trust -f clients.yaml      # Org A; and api.yaml at Org B")
    with tell.check("client1, client2 and api have their key and certificate, each in a Secret of its own"):
        for manifest in load_examples("access/org-a/clients.yaml"):
            org_a.apply(manifest)
        org_b.apply(with_dns_name(load_example("access/org-b/api.yaml"), "localhost"))
        for organisation, name in ((org_a, "client1"), (org_a, "client2"), (org_b, "api")):
            _wait_ready(cast, organisation, "workloadidentities", name)
    client1, client2 = Workload(org_a, "client1", stack), Workload(org_a, "client2", stack)
    return client1, client2, Workload(org_b, "api", stack)


def _serve(cast: Cast, client1: Workload, client2: Workload, api: Workload) -> None:
    tell, org_a = cast.teller, cast.org_a
    with tell.check("Org B serves twice, from the mounted Secrets: bilateral.client, and stock certified"):
        api.lay_out()
        ports = {OURS: api.serve(), STOCK: api.serve_stock()}
    tell.command("kubectl apply -n trust -f org2-api.yaml      # Org A; only url replaced")
    with tell.check("Org A's pods know both by alias; Org B's authority comes from its signed statement"):
        example = load_example("access/org-a/org2-api.yaml")
        for alias, port in ports.items():
            org_a.apply(with_url(with_name(example, alias), f"https://localhost:{port}"))
        for alias in ports:
            expect("how the server is verified", _wait_for_verifier(cast, alias), "PeerCA")
        for client in (client1, client2):
            _wait_for_names(cast, client, "known-servers", {f"{alias}.yaml" for alias in ports})
            client.lay_out()


def _wait_for_verifier(cast: Cast, alias: str) -> object:
    found = cast.teller.wait(
        f"trustedservice/{alias}",
        lambda: cast.org_a.status("trustedservices", alias),
        lambda status: status.get("verifier") is not None,
        expected="a verifier",
        seconds=PATIENCE_SECONDS,
    )
    return found["verifier"]


def _refuse_before(cast: Cast, client1: Workload, client2: Workload) -> None:
    with cast.teller.check("nobody is introduced: Org B refuses both, and our client does not even try"):
        for client in (client1, client2):
            _expect_refused(client)
            expect(f"why {client.identity} does not try", client.call(STOCK).told, "NoChain")


def _introduce(cast: Cast, client1: Workload) -> str:
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.command("kubectl apply -n trust -f introduction.yaml      # Org A asks for client1")
    with tell.check("at Org B the request waits for a person: ") as line:
        org_a.apply(load_example("access/org-a/introduction.yaml"))
        waiting: list[dict[str, Any]] = tell.wait(
            "introductions of Org B",
            lambda: org_b.objects("introductions"),
            lambda found: any(_ready(each) == ("Unknown", "AwaitingApproval") for each in found),
            expected="one that is AwaitingApproval",
            seconds=PATIENCE_SECONDS,
        )
        name = str(waiting[0]["metadata"]["name"])
        line.add(f"{name}, AwaitingApproval")
    tell.command(f"bilateral approve {name} -n trust --yes      # Org B")
    with tell.check("approved, signed, fetched, checked and installed beside client1's own certificate"):
        org_b.bilateral("approve", name, "--yes")
        org_a.kubectl("annotate", "introduction", REQUEST, "bilateral.dev/reconcile-now=approved")
        _wait_ready(cast, org_a, "introductions", REQUEST)
        tell.wait(
            "client1's chains",
            lambda: client1.names("id-chains"),
            lambda names: len(names) == 1,
            expected="one file",
            seconds=PATIENCE_SECONDS,
        )
        client1.lay_out()
    return name


def _call(cast: Cast, client1: Workload, client2: Workload) -> None:
    tell = cast.teller
    with tell.check("client1, with stock certified: GET https://org2-api/ → 200, ") as line:
        line.add(_expect_answered(cast, lambda: client1.call_stock(OURS)))
    with tell.check("client1, with bilateral.client, from stock certified's server: 200, ") as line:
        line.add(_expect_answered(cast, lambda: client1.call(STOCK)))
    with tell.check("client2 is refused by both, as before"):
        _expect_refused(client2)


def _withdraw(cast: Cast, client1: Workload, client2: Workload, api: Workload, introduction: str) -> None:
    tell, org_b = cast.teller, cast.org_b
    tell.command(f"kubectl delete introduction {introduction} -n trust      # Org B withdraws it")
    with tell.check("its serial is in Org B's revocation list; the running server refuses client1"):
        listed = api.read("known-clients", "self.crl")
        org_b.kubectl("delete", "introduction", introduction)
        tell.wait(
            "self.crl in Org B's api-known-clients",
            lambda: api.read("known-clients", "self.crl"),
            lambda crl: crl != listed,
            expected="another list",
            seconds=PATIENCE_SECONDS,
        )
        tell.wait(
            "client1's call",
            lambda: client1.call_stock(OURS),
            lambda answer: answer.is_refused,
            expected="refused",
            seconds=PATIENCE_SECONDS,
        )
    with tell.check("client2 was refused throughout"):
        _expect_refused(client2)


def _expect_refused(client: Workload) -> None:
    for what, answer in (
        (f"{client.identity} with stock certified", client.call_stock(OURS)),
        (f"{client.identity} with bilateral.client", client.call(STOCK)),
    ):
        require(what, answer.is_refused, "refused", answer)


def _expect_answered(cast: Cast, call: Callable[[], Answer]) -> str:
    # The kubelet's part takes a moment.
    answer = cast.teller.wait(
        "the answer", call, lambda found: not found.is_refused, expected="200", seconds=PATIENCE_SECONDS
    )
    require("whom the server saw", "client1" in str(answer.subject), "client1", answer.subject)
    return f"“{answer.subject}”"


def _wait_ready(cast: Cast, organisation: Organisation, plural: str, name: str) -> None:
    cast.teller.wait(
        f"{plural}/{name} of {organisation.title}",
        lambda: organisation.find(plural, name),
        lambda found: _ready(found)[0] == "True",
        expected="Ready=True",
        seconds=PATIENCE_SECONDS,
    )


def _wait_for_names(cast: Cast, client: Workload, folder: str, names: set[str]) -> None:
    cast.teller.wait(
        f"{folder} of {client.identity}",
        lambda: client.names(folder),
        lambda found: names <= found,
        expected=sorted(names),
        seconds=PATIENCE_SECONDS,
    )


def _ready(obj: dict[str, Any]) -> tuple[str, str]:
    for condition in (obj.get("status") or {}).get("conditions", []):
        if condition["type"] == "Ready":
            return condition["status"], condition["reason"]
    return "", ""
