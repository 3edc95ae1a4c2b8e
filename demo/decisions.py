"""Chapter seven: what Org A may do at Org B. Its agent hires a worker there, whose calls Org B's kernel decides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml
from demo.capabilities import (
    OTHER_TOOL,
    Document,
    Holders,
    load_document,
    with_feed,
    with_issuers,
    write_chain,
)
from demo.cast import PATIENCE_SECONDS, Cast
from demo.kernel import PARTNER, Attempt, ControlUser, Decided
from demo.manifests import EXAMPLES
from demo.organisation import Organisation
from demo.telling import expect, require

from bilateral.protocol.errors import InvalidSignature
from bilateral.protocol.policies.questions import CheckName
from bilateral.protocol.receipts import open_receipt

PUBLISHED = ("overview.yaml", "bilateral-federation.yaml")
POLL_SECONDS, CEILING_SECONDS = 5, 20
LATE_SECONDS = 3
"""How long reading a feed may take on a busy machine, once it is time."""
CLAMPS = {
    "grants[0].tool_name": ("*", "billing.read"),
    "grants[0].max_rows_returned": ("1000", "100"),
    "grants[0].max_total_cost": ("20000 USD", "5000 USD"),
}
REFUSED = (
    ("the tier", Attempt(tier="autonomous"), "AutonomyTierExceeded"),
    ("the tool", Attempt(tool=OTHER_TOOL), "ToolNotAllowed"),
    ("a parameter", Attempt(rows=101), "ParameterExceeded"),
    ("the budget", Attempt(amount="50.01USD"), "BudgetExceeded"),
    ("the evidence's age", Attempt(evidence_age_seconds=2 * 3600), "EvidenceTooOld"),
)


@dataclass(frozen=True, slots=True)
class Matter:
    """What the chapter about silence goes on with: who asks, for what, and a link of the ledger's chain."""

    kernel: ControlUser
    chain: Path
    noted: str


def decide(cast: Cast) -> Matter:
    """Tell the chapter."""
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.chapter("What Org A may do at Org B: its agent hires a worker there, who presents a capability")
    _take_published(cast)
    org_b.kubectl("apply", "-f", str(EXAMPLES / "policies" / "kernel.yaml"))
    kernel = ControlUser(org_b, "kernel")
    holders, folder = Holders(), cast.directory / "capabilities"
    folder.mkdir()
    chain = write_chain(holders.hand_on("cap-bills", holders.authority), folder / "worker.json")
    with tell.check("the agent hands on what Org A's authority gave it; but there is no policy: NoPolicy"):
        expect("the decision", kernel.evaluate(chain).reason, "NoPolicy")
    document = with_feed(load_document("org-a.yaml"), org_a.operator.url)
    _agree(cast, with_issuers(document, (holders.authority, holders.previous)))
    noted = _allow(cast, kernel, chain)
    _refuse(cast, kernel, chain)
    older = write_chain(holders.hand_on("cap-older", holders.previous), folder / "older.json")
    _drop_issuer(cast, kernel, older, with_issuers(document, (holders.authority,)))
    doomed = write_chain(holders.hand_on("cap-doomed", holders.authority), folder / "doomed.json")
    _revoke(cast, kernel, doomed, chain)
    return Matter(kernel, chain, noted)


def _take_published(cast: Cast) -> None:
    tell, org_a = cast.teller, cast.org_a
    words = ("trust", "federation-policy")
    tell.command("bilateral trust federation-policy create --config FILE -n trust      # Org A")
    with tell.check("chio's two published policies go in, and list -o yaml prints them as they were given"):
        for name in PUBLISHED:
            file = Path(__file__).resolve().parent / "documents" / name
            org_a.bilateral(*words, "create", f"--config={file}", "--replace")
            printed = org_a.bilateral(*words, "list", "--partner-id=org-b", "-o", "yaml").stdout
            given = yaml.safe_load(file.read_text(encoding="utf-8"))
            expect(name, json.dumps(yaml.safe_load(printed)), json.dumps(given))
        org_a.bilateral(*words, "delete", "--partner-id=org-b")


def _agree(cast: Cast, document: Document) -> None:
    tell, org_b = cast.teller, cast.org_b
    tell.command("bilateral trust federation-policy create --config org-a.yaml -n trust      # Org B")
    with tell.check("stored; Ready: Org A is fresh, and its revocation feed was read. Policy ") as line:
        _store(org_b, document)
        status = tell.wait(
            "federationpolicy/org-a of Org B",
            lambda: org_b.status("federationpolicies", PARTNER),
            lambda found: _condition(found, "Ready") == "True",
            expected="Ready=True",
            seconds=PATIENCE_SECONDS,
        )
        expect("RevocationFresh", _condition(status, "RevocationFresh"), "True")
        line.add(f"{status['policyHash'][:12]}…")


def _allow(cast: Cast, kernel: ControlUser, chain: Path) -> str:
    tell = cast.teller
    tell.command("bilateral trust federation-policy evaluate --partner-id org-a \\")
    tell.command(
        "  --capability-file worker.json --tool billing.read --parameter row_limit=50 … --control-url …"
    )
    with tell.check("allowed, and clamped to the policy, field by field:"):
        decided = kernel.evaluate(chain)
        expect("the decision", decided.reason, "allowed")
        expect("what the policy narrowed", decided.clamps, CLAMPS)
    for field, (presented, effective) in decided.clamps.items():
        tell.quote(f"{field.removeprefix('grants[0].'):18} presented {presented:10} effective {effective}")
    with tell.check("its receipt is signed with Org B's key; with one letter changed: ") as line:
        key = decided.receipt.body.kernel_key
        expect("whose key", key.canonical, cast.org_b.domain()["publicKey"])
        changed = decided.receipt.to_members() | {"capability_id": "cap-bills-workes"}
        try:
            open_receipt(changed, kernel_key=key)
            found = "none"
        except InvalidSignature as error:
            found = error.reason.value
        expect("the defect of the changed receipt", found, "InvalidSignature")
        line.add(found)
    return decided.link


def _refuse(cast: Cast, kernel: ControlUser, chain: Path) -> None:
    for what, attempt, reason in REFUSED:
        with cast.teller.check(f"denied by {what}: {reason}; the receipt of it is signed as well"):
            decided = kernel.evaluate(chain, attempt)
            expect("the decision", decided.reason, reason)
        tell_failed(cast, decided)
    with cast.teller.check("without -o json, evaluate explains itself to people; every check is there:"):
        text = kernel.explain(chain, Attempt(rows=101))
        missing = [check.value for check in CheckName if check.value not in text]
        expect("the checks that are not shown", missing, [])
    cast.teller.quote(text)


def _drop_issuer(cast: Cast, kernel: ControlUser, chain: Path, document: Document) -> None:
    tell, org_b = cast.teller, cast.org_b
    with tell.check("a capability by the key before, which the policy trusts still, is allowed"):
        expect("the decision", kernel.evaluate(chain).reason, "allowed")
    tell.command(
        "bilateral trust federation-policy create --config org-a.yaml --replace -n trust      # Org B"
    )
    with tell.check("without that key in trusted_issuers: ") as line:
        _store(org_b, document, "--replace")
        line.add(_wait_denied(cast, kernel, chain, "IssuerNotTrusted").reason)


def _revoke(cast: Cast, kernel: ControlUser, chain: Path, other: Path) -> None:
    tell, org_a = cast.teller, cast.org_a
    org_a.kubectl("apply", "-f", str(Path(__file__).resolve().parent / "documents" / "officer.yaml"))
    officer = ControlUser(org_a, "officer")
    expect("the decision before", kernel.evaluate(chain).reason, "allowed")
    tell.command("bilateral trust revoke cap-doomed-agent --trust-domain org-a --control-url …      # Org A")
    with tell.check("the agent's is revoked there; the worker's is refused here after ") as line:
        printed = officer.revoke("cap-doomed-agent")
        require("what revoke says", printed.startswith("1 capability is revoked"), "revoked", printed)
        revoked = tell.now()
        decided = _wait_denied(cast, kernel, chain, "CapabilityRevoked")
        taken = tell.now() - revoked
        within = POLL_SECONDS + LATE_SECONDS
        require("how long that took", taken <= within, f"at most {within} s", f"{taken:.1f} s")
        line.add(f"{taken:.1f} s (one poll: {POLL_SECONDS} s); {decided.reason}")
    with tell.check("nothing else is: the capability from before is allowed still"):
        expect("the decision about the other one", kernel.evaluate(other).reason, "allowed")


def _store(organisation: Organisation, document: Document, *words: str) -> None:
    file = organisation.directory / "policy.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    organisation.bilateral("trust", "federation-policy", "create", f"--config={file}", *words)


def _wait_denied(cast: Cast, kernel: ControlUser, chain: Path, reason: str) -> Decided:
    return cast.teller.wait(
        "the decision",
        lambda: kernel.evaluate(chain),
        lambda decided: decided.reason == reason,
        expected=reason,
        seconds=PATIENCE_SECONDS,
    )


def tell_failed(cast: Cast, decided: Decided) -> None:
    """Say what a denial expected and what it found."""
    expected, found = decided.failed
    cast.teller.quote(f"expected {expected}; found {found}")


def _condition(status: Document, kind: str) -> str:
    found = (each["status"] for each in status.get("conditions", []) if each["type"] == kind)
    return next(found, "")
