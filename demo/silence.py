"""Chapter ten: Org A falls silent. What it has revoked since nobody knows, so nothing of it is allowed."""

from __future__ import annotations

from pathlib import Path

from demo.cast import PATIENCE_SECONDS, Cast
from demo.decisions import CEILING_SECONDS, LATE_SECONDS, POLL_SECONDS, Matter, tell_failed
from demo.organisation import Organisation
from demo.telling import expect, require


def fall_silent(cast: Cast, matter: Matter) -> None:
    """Stop Org A's operator until Org B refuses everything, and start it again."""
    tell, org_a = cast.teller, cast.org_a
    kernel, chain = matter.kernel, matter.chain
    tell.chapter("Org A falls silent: no news of its revocations is bad news")
    with tell.check("Org A has suspended Org B; Org B has not: what Org A's worker presents is allowed"):
        expect("the decision", kernel.evaluate(chain).reason, "allowed")
    with tell.check("Org A's operator stops (SIGTERM), and with it the feed; no error is in its log"):
        expect("errors in its log", org_a.logged_errors(), [])
        org_a.operator.stop()
        stopped = tell.now()
    _verify_ledgers(cast, matter)
    with tell.check("everything of Org A is refused ") as line:
        decided = tell.wait(
            "the decision",
            lambda: kernel.evaluate(chain),
            lambda found: found.reason != "allowed",
            expected="denied",
            seconds=CEILING_SECONDS + PATIENCE_SECONDS,
        )
        taken, within = tell.now() - stopped, CEILING_SECONDS + LATE_SECONDS
        expect("the decision", decided.reason, "RevocationFeedStale")
        require("how long that took", taken <= within, f"at most {within} s", f"{taken:.1f} s")
        since = int(decided.failed[1].removeprefix("stale since "))
        late = decided.members["decidedAt"] - since
        require("how late it was refused", 0 <= late <= LATE_SECONDS, f"at most {LATE_SECONDS} s", late)
        line.add(f"after {taken:.0f} s: {decided.reason}")
    tell_failed(cast, decided)
    with tell.check(
        "Org A's operator is back, its feed is read, and all is as before: allowed, after "
    ) as line:
        org_a.restart_operator()
        ready = tell.now()
        tell.wait(
            "the decision",
            lambda: kernel.evaluate(chain),
            lambda found: found.reason == "allowed",
            expected="allowed",
            seconds=POLL_SECONDS + PATIENCE_SECONDS,
        )
        line.add(f"{tell.now() - ready:.1f} s")
    _verify_feed(cast)


def _verify_ledgers(cast: Cast, matter: Matter) -> None:
    tell, org_b = cast.teller, cast.org_b
    tell.command("bilateral ledger verify --expect SEQ:HASH      # Org B; and at Org A")
    with tell.check("intact: ") as line:
        told = _verify_ledger(org_b, f"--expect={matter.noted}")
        decisions, entries = str(matter.kernel.asked), "1 in our feeds"
        expect("how many decisions Org B has recorded", told.get("decisions"), decisions)
        expect("how many receipts it has", told.get("receipts"), decisions)
        expect("what Org A has revoked", _verify_ledger(cast.org_a).get("revoked"), entries)
        line.add(f"every one of {decisions} decisions and receipts of Org B; {entries} of Org A")


def _verify_ledger(organisation: Organisation, *words: str) -> dict[str, str]:
    printed = organisation.bilateral_plain("ledger", "verify", f"--url={organisation.ledger_url}", *words)
    lines = (line.partition(" ") for line in printed.splitlines())
    return {name: value.strip() for name, _, value in lines}


def _verify_feed(cast: Cast) -> None:
    tell, org_a, org_b = cast.teller, cast.org_a, cast.org_b
    tell.command(
        "bilateral feed verify https://…/v1/revocations/feed --signer ed25519:… --kernel-id org-a-kernel"
    )
    with tell.check(
        "Org A's feed is, from its first entry, what its head says; signed by the key Org B pinned"
    ):
        authority = Path(org_b.directory, "org-a.pem")
        authority.write_text(org_a.authority(), encoding="utf-8")
        printed = org_b.bilateral_plain(
            "feed",
            "verify",
            f"{org_a.operator.url}/v1/revocations/feed",
            f"--signer={org_b.peer('org-a').pin['publicKey']}",
            "--kernel-id=org-a-kernel",
            f"--ca-file={authority}",
        )
        require("what it says", "1 entry in 1 page" in printed, "1 entry in 1 page", printed)
    tell.quote(printed)
