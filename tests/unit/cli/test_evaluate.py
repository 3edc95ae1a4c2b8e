"""bilateral trust federation-policy evaluate as a dry run: every check, the clamps, the feed, the exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from bilateral.cli.policy_questions import parse_amount
from bilateral.exchange.tls import build_server_context
from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.policies.questions import CheckName
from bilateral.resources.times import format_time
from support.chains import AUTHORITY, NOW, STRANGER, chain_of_one, chain_of_three, chain_of_two, resign
from support.feeds import FEED_KEY, OTHER_KEY, Feed
from unit.cli import fakes
from unit.cli.fakes import Shell, condition, peer
from unit.exchange.conftest import Credentials, make_credentials
from unit.exchange.wire import http, partner

SERVER, TOOL = "billing.org-b.internal", "reports.read"
CALL = ("--tool-server", SERVER, "--tool", TOOL)
LEFT = 41_000 - (fakes.NOW - NOW)


def policy(**changes: Any) -> dict[str, Any]:
    """A FederationPolicy without a feed; ``changes`` replace members of its spec."""
    spec = {
        "peer": "org-b",
        "partnerId": "org-b",
        "trustedIssuers": [{"publicKey": AUTHORITY.public_key.canonical}],
        "maxScope": {
            "toolServers": [SERVER],
            "tools": [{"tool": TOOL, "parameterBounds": {"row_limit": 1000}}],
            "budget": {"units": 400, "currency": "USD"},
        },
        "maxAutonomyTier": "Delegated",
        "maxEvidenceAgeSeconds": 3600,
    } | changes
    return {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": "FederationPolicy",
        "metadata": {"name": "org-b", "namespace": "trust", "uid": "uid-policy", "generation": 1},
        "spec": spec,
    }


def pinned(**changes: Any) -> dict[str, Any]:
    """The partner, whose pin ends 2,000 seconds from the chains' own now."""
    found = peer(**changes)
    found["status"]["pin"] |= {
        "publicKey": FEED_KEY.public_key.canonical,
        "rotationDue": format_time(NOW + 2000),
    }
    return found


def shell_of(made: dict[str, Any] | None = None, them: dict[str, Any] | None = None) -> Shell:
    shell = Shell(now=NOW)
    shell.cluster.add("federationpolicies", policy() if made is None else made)
    shell.cluster.add("federationpeers", pinned() if them is None else them)
    return shell


def wire(chain: Chain) -> list[Any]:
    return [each.to_wire() for each in chain.tokens]


def written(folder: Path, chain: Chain | object) -> str:
    path = folder / "chain.json"
    value = wire(chain) if isinstance(chain, Chain) else chain
    path.write_text(json.dumps(value))
    return str(path)


def evaluate(shell: Shell, path: str, *arguments: str, stdin: str | None = None) -> Result:
    return shell.run(
        "trust", "federation-policy", "evaluate", "--partner-id", "org-b", "--capability-file", path, *arguments,
        stdin=stdin,
    )  # fmt: skip


def facts(shell: Shell, path: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = evaluate(shell, path, *arguments, "-o", "json")
    assert result.stderr == ""
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def chain(tmp_path: Path) -> str:
    return written(tmp_path, chain_of_three())


def test_what_is_allowed_is_explained_check_by_check(chain: str) -> None:
    result = evaluate(shell_of(), chain, *CALL, "--parameter", "row_limit=5", "--amount", "2.00USD")
    assert result.exit_code == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"allowed until {format_time(NOW + 2000)} (33 min 20 s left)"
    rows = lines[lines.index("") + 2 :][: len(CheckName)]
    assert [row.split()[:2] for row in rows] == [[name.value, "passed"] for name in CheckName]
    text = result.stdout
    assert "Effective grant:" in text
    assert "Clamped by the policy:" in text
    assert "400 USD" in text
    assert "max_rows_returned" in text
    assert "capability  cap-root > cap-child > cap-leaf" in text
    assert "Dry run: decided here, from what the cluster shows you. No receipt is signed" in text
    assert "only the operator can check its seal" in text


def test_programs_get_the_decision_itself(chain: str) -> None:
    code, found = facts(shell_of(), chain, *CALL)
    assert (code, found["dryRun"], found["decision"]["allowed"]) == (0, True, True)
    assert {each["field"] for each in found["decision"]["clamps"]} >= {"grants[0].max_total_cost"}
    assert found["decision"]["validUntil"] == NOW + 2000
    assert "receipt" not in found


@pytest.mark.parametrize(
    ("made", "them", "arguments", "reason"),
    [
        pytest.param(None, None, ("--autonomy-tier", "autonomous"), "AutonomyTierExceeded", id="tier"),
        pytest.param(None, None, ("--autonomy-tier", "TIER_3_AUTONOMOUS"), "AutonomyTierExceeded", id="spelling"),
        pytest.param(None, None, ("--evidence", f"passport={NOW - 3601}"), "EvidenceTooOld", id="evidence"),
        pytest.param(
            None, None, ("--evidence", f"receipts={format_time(NOW + 9)}"), "EvidenceNotYetValid", id="ahead"
        ),
        pytest.param(
            None, None, ("--tool-server", SERVER, "--tool", "billing.write"), "ToolNotAllowed", id="tool"
        ),
        pytest.param(None, None, (*CALL, "--parameter", "row_limit=2000"), "ParameterExceeded", id="parameter"),
        pytest.param(None, None, (*CALL, "--amount", "4.01USD"), "BudgetExceeded", id="budget"),
        pytest.param(None, None, (*CALL, "--amount", "4EUR"), "CurrencyMismatch", id="currency"),
        pytest.param(None, None, (*CALL, "--operation", "subscribe"), "OperationNotGranted", id="operation"),
        pytest.param(
            policy(trustedIssuers=[{"publicKey": STRANGER.public_key.canonical}]), None, (), "IssuerNotTrusted",
            id="issuer",
        ),
        pytest.param(policy(partnerId="org-x"), None, (), "NoPolicy", id="no policy"),
        pytest.param(policy(partnerId="org-b", peer="absent"), None, (), "PeerNotFound", id="no peer"),
        pytest.param(None, pinned(operatorId="org-x"), (), "PartnerIdMismatch", id="another partner"),
        pytest.param(None, pinned(state="Suspended"), (), "Suspended", id="suspended"),
        pytest.param(None, peer(left=LEFT - 41_000), (), "PeerStale", id="stale at its second"),
        pytest.param(None, peer(left=None, ready="Unknown", reason="PeerNotPinned"), (), "PeerNotPinned", id="pin"),
        pytest.param(None, pinned(ready="False", reason="PinTampered"), (), "PinTampered", id="tampered"),
        pytest.param(
            None, pinned(ready="Unknown", reason="AwaitingHandshake"), (), "PeerNotPinned", id="not ready"
        ),
        pytest.param(policy(maxScope={}), None, (), "NothingAllowed", id="nothing"),
        pytest.param(policy(trustedIssuers=[{"publicKey": "zz"}]), None, (), "InvalidSpec", id="a bad spec"),
    ],
)  # fmt: skip
def test_a_denial_is_an_exit_code_of_its_own(
    chain: str,
    made: dict[str, Any] | None,
    them: dict[str, Any] | None,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    code, found = facts(shell_of(made, them), chain, *arguments)
    assert (code, found["decision"].get("reason")) == (3, reason)
    assert len(found["decision"]["checks"]) == len(CheckName)
    result = evaluate(shell_of(made, them), chain, *arguments)
    assert result.exit_code == 3
    assert result.stdout.startswith(f"denied: {reason}: ")
    assert "failed" in result.stdout


def test_of_two_policies_none_counts(chain: str) -> None:
    for change in ({}, {"partnerId": "org-x"}):
        shell = shell_of()
        second = policy(**change)
        second["metadata"]["name"] = "second"
        shell.cluster.add("federationpolicies", second)
        assert facts(shell, chain)[1]["decision"]["reason"] == "PolicyConflict"


def test_a_policy_that_is_going_is_none(chain: str) -> None:
    going = policy()
    going["metadata"]["deletionTimestamp"] = format_time(NOW)
    assert facts(shell_of(going), chain)[1]["decision"]["reason"] == "NoPolicy"


def test_a_peer_whose_operator_is_away_is_stale_all_the_same(chain: str) -> None:
    shell = shell_of()
    shell.now = NOW + 2000  # the status still says Ready
    code, found = facts(shell, chain)
    checks = {each["name"]: each for each in found["decision"]["checks"]}
    assert (code, checks["peer"]["reason"]) == (3, "PeerStale")


def test_what_the_operator_says_of_the_peer_is_a_remark(chain: str) -> None:
    _, found = facts(
        shell_of(None, pinned(ready="False", reason="PinTampered", message="It was changed.")), chain
    )
    assert any("federationpeer/org-b: It was changed." in remark for remark in found["remarks"])


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [],
        "text",
        [{"id": "x"}],
        wire(resign(chain_of_two(), key=STRANGER)),
        [*wire(chain_of_two()), {}],
    ],
    ids=["nothing", "empty", "a text", "no token", "another's signature", "a broken leaf"],
)
def test_a_chain_that_does_not_hold_is_a_denial(tmp_path: Path, broken: object) -> None:
    code, found = facts(shell_of(), written(tmp_path, broken))
    checks = {each["name"]: each["outcome"] for each in found["decision"]["checks"]}
    assert (code, checks["chain"], checks["issuer"]) == (3, "failed", "skipped")


def test_nothing_that_somebody_wrote_is_repeated(tmp_path: Path) -> None:
    path = written(tmp_path, [{"id": "canary\x1b[2J", "issuer": "canary"}])
    result = evaluate(shell_of(), path)
    assert (result.exit_code, "canary" in result.stdout + result.stderr) == (3, False)


def test_a_single_token_and_standard_input_are_chains(tmp_path: Path) -> None:
    (token,) = wire(chain_of_one())
    result = evaluate(shell_of(), "-", stdin=json.dumps(token))
    assert result.exit_code == 0, result.stdout


def test_the_call_may_be_a_file(chain: str, tmp_path: Path) -> None:
    path = tmp_path / "call.yaml"
    path.write_text(
        f"toolServer: {SERVER}\ntool: {TOOL}\noperation: invoke\nparameters: {{row_limit: 1001}}\n"
    )
    code, found = facts(shell_of(), chain, "--call", str(path))
    assert (code, found["decision"]["reason"]) == (3, "ParameterExceeded")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tool", TOOL), "--tool-server"),
        (("--parameter", "a=1"), "--tool-server"),
        ((*CALL, "--parameter", "a"), "NAME=VALUE"),
        ((*CALL, "--parameter", "a=1", "--parameter", "a=2"), "each name once"),
        ((*CALL, "--parameter", "a=[1"), "like JSON"),
        ((*CALL, "--amount", "five"), "50.00USD"),
        ((*CALL, "--amount", "1.5JPY"), "0 digits"),
        (("--call", "absent.json"), "cannot read"),
        (("--call", "absent.json", *CALL), "once"),
        (("--autonomy-tier", "boundless"), "direct, delegated or autonomous"),
        (("--evidence", "passport"), "KIND=TIME"),
        (("--evidence", "rumour=5"), "passport, reputation, receipts"),
        (("--evidence", "passport=yesterday"), "2026-11-21T14:31:07Z"),
        ((*CALL, "--operation", "destroy"), "destroy"),
        (("--kernel-key", "x"), "--control-url"),
        (("--receipt-file", "x"), "--control-url"),
        (("--feed-file", "f", "--control-url", "https://a.example", "--control-token-file", "t"), "dry run"),
        (
            ("--kernel-key", "zz", "--control-url", "https://a.example", "--control-token-file", "t"),
            "MalformedKey",
        ),
    ],
)
def test_what_is_no_question_is_wrong_usage(chain: str, arguments: tuple[str, ...], words: str) -> None:
    result = evaluate(shell_of(), chain, *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b" " * 600_000])
def test_a_file_without_json_is_wrong_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "chain.json"
    path.write_bytes(content)
    assert evaluate(shell_of(), str(path)).exit_code == 2


def test_an_id_that_no_partner_has_is_wrong_input(chain: str) -> None:
    result = shell_of().run(
        "trust", "federation-policy", "evaluate", "--partner-id", "a b", "--capability-file", chain
    )
    assert result.exit_code == 2


@pytest.mark.parametrize("verb", ["get", "list"])
def test_without_the_right_to_look_there_is_no_decision(chain: str, verb: str) -> None:
    shell = shell_of()
    shell.cluster.refused.add(verb)
    result = evaluate(shell, chain)
    assert (result.exit_code, result.stdout) == (1, "")  # 3 would be a denial
    assert result.stderr.startswith("error: there is no decision: you may not ")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("50.00USD", 5000), ("50USD", 5000), ("0.5 USD", 50), ("7JPY", 7), ("1.234BHD", 1234), ("1.2KWD", 1200),
        ("0USD", 0),
    ],
)  # fmt: skip
def test_amounts_are_read_in_the_currencys_own_units(text: str, units: int) -> None:
    assert parse_amount(text) == {"units": units, "currency": text.strip("0123456789. ")}


# The feed


def with_feed(url: str = "https://127.0.0.1:1/v1/revocations/feed", **changes: Any) -> dict[str, Any]:
    return policy(revocationFeed={"url": url} | changes)


def saved(folder: Path, feed: Feed, now: int = NOW) -> str:
    path = folder / "pages.jsonl"
    pages = [feed.page(start, now, 2) for start in range(0, max(1, len(feed.entries)), 2)]
    path.write_bytes(b"".join(page.to_json() + b"\n" for page in pages))
    return str(path)


@pytest.mark.parametrize(
    ("feed", "age", "reason"),
    [
        pytest.param(Feed().revoke("a", "b", "c", at=NOW), 0, None, id="others"),
        pytest.param(Feed(), 0, None, id="nothing"),
        pytest.param(Feed(), 3599, None, id="its last second"),
        pytest.param(Feed(), 3600, "RevocationFeedStale", id="at its second"),
        pytest.param(Feed().revoke("a", "b", "cap-leaf", at=NOW), 0, "CapabilityRevoked", id="itself"),
        pytest.param(Feed().revoke("cap-root", at=NOW), 0, "CapabilityRevoked", id="an ancestor"),
        pytest.param(Feed(key=OTHER_KEY), 0, "RevocationFeedStale", id="another's signature"),
        pytest.param(Feed("org-c-kernel"), 0, "RevocationFeedStale", id="another's feed"),
    ],
)
def test_the_feed_is_read_from_its_start(
    chain: str, tmp_path: Path, feed: Feed, age: int, reason: str | None
) -> None:
    code, found = facts(shell_of(with_feed()), chain, "--feed-file", saved(tmp_path, feed, NOW - age))
    assert (code, found["decision"].get("reason")) == (0 if reason is None else 3, reason)


def test_a_feed_that_contradicts_itself_closes_the_partner(chain: str, tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    one, other = Feed().revoke("a", "b", "c", at=NOW), Feed().revoke("x", "y", "z", at=NOW)
    path.write_bytes(one.page(0, NOW, 2).to_json() + b"\n" + other.page(2, NOW, 2).to_json() + b"\n")
    code, found = facts(shell_of(with_feed()), chain, "--feed-file", str(path))
    assert (code, found["decision"]["reason"]) == (3, "Equivocation")
    assert any("Equivocation" in remark for remark in found["remarks"])


def test_what_the_operator_caught_the_partner_at_counts(chain: str, tmp_path: Path) -> None:
    made = with_feed()
    made["status"] = {"conditions": [condition("RevocationFresh", "False", "Equivocation")]}
    _, found = facts(shell_of(made), chain, "--feed-file", saved(tmp_path, Feed()))
    assert found["decision"]["reason"] == "Equivocation"


def test_signers_of_the_policy_sign_instead_of_the_pin(chain: str, tmp_path: Path) -> None:
    made = with_feed(signers=[OTHER_KEY.public_key.canonical])
    assert facts(shell_of(made), chain, "--feed-file", saved(tmp_path, Feed(key=OTHER_KEY)))[0] == 0
    assert facts(shell_of(made), chain, "--feed-file", saved(tmp_path, Feed()))[0] == 3


def plain(*ids: str) -> str:
    revocations = [{"capabilityId": each, "revokedAt": NOW} for each in ids]
    return json.dumps(
        {"configured": True, "backend": "sqlite", "count": len(ids), "revocations": revocations}
    )


@pytest.mark.parametrize(("ids", "reason"), [((), None), (("cap-child",), "CapabilityRevoked")])
def test_a_plain_service_is_read_from_its_answer(
    chain: str, tmp_path: Path, ids: tuple[str, ...], reason: str | None
) -> None:
    path = tmp_path / "answer.json"
    path.write_text(plain(*ids))
    made = with_feed(source="ChioService")
    _, found = facts(shell_of(made), chain, "--feed-file", str(path))
    assert found["decision"].get("reason") == reason, found
    assert any("nobody signs it" in remark for remark in found["remarks"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verifier": {"fingerprint": {}}}, "fingerprint"),
        ({"bearerTokenSecretRef": {"name": "t"}}, "asks for a token"),
        ({"source": "ChioService"}, "asks for a token"),
        ({}, "cannot be asked"),
    ],
)
def test_a_feed_that_cannot_be_read_is_no_news_and_says_so(
    chain: str, changes: dict[str, Any], words: str
) -> None:
    them = pinned(fingerprints=["SHA256:" + "ab" * 32])
    code, found = facts(shell_of(with_feed(**changes), them), chain)
    assert (code, found["decision"]["reason"]) == (3, "RevocationFeedStale")
    assert any(words in remark for remark in found["remarks"]), found["remarks"]


def test_a_feed_file_that_is_not_there_is_wrong_input(chain: str) -> None:
    assert evaluate(shell_of(with_feed()), chain, "--feed-file", "absent").exit_code == 2


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return make_credentials("Feed CA")


Verified = Callable[[str], dict[str, Any]]


@pytest.mark.parametrize(
    "verified",
    [
        pytest.param(lambda pem: {"verifier": {"certificateAuthority": {"pem": pem}}}, id="authority"),
        pytest.param(lambda pem: {"verifier": {"webPKI": {"caBundle": pem}}}, id="bundle"),
        pytest.param(lambda _: {}, id="as the peer's endpoint"),
    ],
)
async def test_the_feed_is_asked_for_where_the_policy_says(
    credentials: Credentials, chain: str, verified: Verified
) -> None:
    issued, pem = credentials.issue("127.0.0.1"), credentials.pem.decode()
    context = build_server_context(issued.cert_pem, issued.key_pem)
    answer = http(200, Feed().revoke("cap-leaf", at=NOW).page(0, NOW).to_json(), "Connection: close")
    async with partner(answer, context) as other:
        made = with_feed(f"https://127.0.0.1:{other.port}/v1/revocations/feed", **verified(pem))
        endpoint = {"url": "https://b.example", "verifier": {"certificateAuthority": {"pem": pem}}}
        shell = shell_of(made, pinned(endpoint=endpoint))
        code, found = await asyncio.to_thread(facts, shell, chain)
    assert (code, found["decision"]["reason"]) == (3, "CapabilityRevoked"), found["remarks"]
    assert b"GET /v1/revocations/feed?from=0&kernelId=org-b-kernel HTTP/1.1" in other.received
