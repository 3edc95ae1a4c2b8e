"""The commands that ask a control endpoint: a real listener of ours with a handler of the test's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from bilateral.cli import control as client
from bilateral.exchange.callers import Action, Caller
from bilateral.exchange.control import Call, build_control_routes
from bilateral.exchange.errors import Refusal
from bilateral.exchange.server import Endpoint
from bilateral.exchange.settings import EndpointSettings
from bilateral.exchange.tls import CertificateStore, build_server_context
from bilateral.protocol.decision_receipts import build_decision_receipt
from bilateral.protocol.key_history import KeyHistory
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.policies.decisions import decide
from bilateral.protocol.policies.evaluations import build_evaluation_answer, parse_evaluation
from bilateral.protocol.policies.questions import PeerStanding, Situation
from bilateral.protocol.reasons import Reason
from bilateral.protocol.receipts import open_receipt
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet
from bilateral.protocol.strictjson import JSON
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.labels import POLICY_DOCUMENT
from support.chains import NOW, chain_of_three
from unit.cli.fakes import Shell
from unit.cli.test_evaluate import CALL, policy, written
from unit.exchange.conftest import Credentials, make_credentials
from unit.exchange.running import Counts
from unit.exchange.wire import http, partner
from unit.protocol.published_policies import FULL

TOKEN = "t0ken"
KERNEL = SigningKey.from_seed(b"\x21" * 32)
LINK: dict[str, JSON] = {"seq": 7, "hash": "ab" * 32}
CANARY = "canary-of-the-server"


@dataclass
class Desk:
    """Lets everybody with the token in, who may do what is in ``may``; policies are in memory."""

    may: set[str] = field(default_factory=lambda: {"create", "list", "delete", "evaluate", "revoke"})
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    refusal: Reason | None = None
    key: SigningKey = KERNEL
    change: Callable[[dict[str, Any]], None] = lambda answer: None

    async def authenticate(self, token: str) -> Caller:
        if token != TOKEN:
            raise Refusal(Reason.UNAUTHORIZED_BEARER)
        return Caller("admin")

    async def authorize(self, caller: Caller, action: Action) -> None:
        assert caller == Caller("admin")
        if action.verb not in self.may:
            raise Refusal(Reason.FORBIDDEN)

    def namespace(self, asked: str) -> str:
        if asked not in ("", "trust"):
            raise Refusal(Reason.NOT_FOUND)
        return "trust"

    def _answer(self, call: Call, members: dict[str, Any]) -> bytes:
        self.calls.append(call)
        if self.refusal is not None:
            raise Refusal(self.refusal)
        self.change(members)
        return json.dumps(members).encode()

    async def evaluate(self, call: Call) -> bytes:
        evaluation = parse_evaluation(call.body)
        meaning = FederationPolicy.parse(policy()).to_policy()
        news = PartnerRevocations(RevocationSet(), "org-b", None)
        situation = Situation(meaning, PeerStanding(known=True, fresh_until=NOW + 99), KeyHistory(), news)
        decision = decide(evaluation.question, situation, NOW)
        receipt = build_decision_receipt(
            decision,
            receipt_id=f"rcpt-{uuid.UUID(int=5)}",
            partner_id=evaluation.question.partner_id,
            call=evaluation.question.call,
            presented=evaluation.presented,
            key=self.key,
        )
        return self._answer(call, json.loads(build_evaluation_answer(decision, receipt, LINK)))

    async def list_policies(self, call: Call) -> bytes:
        return self._answer(call, {"schema": "bilateral.policies.v1", "policies": [*self.policies.values()]})

    async def create_policy(self, call: Call) -> bytes:
        given = json.loads(call.body)
        peer, name = given.pop("peer", "org-b"), given["metadata"]["name"]
        if name in self.policies:
            raise Refusal(Reason.POLICY_CONFLICT)
        from bilateral.protocol.policies.documents import read_document

        self.policies[name] = {
            "apiVersion": "bilateral.dev/v1alpha1",
            "kind": "FederationPolicy",
            "metadata": {
                "name": name,
                "namespace": "trust",
                "annotations": {POLICY_DOCUMENT: json.dumps(given)},
            },
            "spec": {"peer": peer, **read_document(given).spec},
            "status": {},
        }
        return self._answer(call, {"name": name, "partnerId": given["spec"]["partner_id"]})

    async def delete_policy(self, call: Call) -> bytes:
        found = [name for name, each in self.policies.items() if each["spec"]["partnerId"] == call.partner_id]
        if not found:
            raise Refusal(Reason.NO_POLICY)
        for name in found:
            del self.policies[name]
        return self._answer(call, {"partnerId": call.partner_id, "deleted": True})

    async def revoke(self, call: Call) -> bytes:
        return self._answer(call, {"treeSize": 9, "rootHash": "cd" * 32, "publishedAt": NOW})


@dataclass
class Stage:
    desk: Desk
    folder: Path
    options: tuple[str, ...]
    shell: Shell = field(default_factory=lambda: Shell(now=NOW))

    async def run(self, *arguments: str, stdin: str | None = None) -> Result:
        result = await asyncio.to_thread(self.shell.run, "trust", *arguments, *self.options, stdin=stdin)
        assert "Traceback" not in result.stderr
        assert TOKEN not in result.output
        assert CANARY not in result.output
        assert self.shell.cluster.choices == []  # no cluster was asked
        return result

    async def policies(self, *arguments: str, stdin: str | None = None) -> Result:
        return await self.run("federation-policy", *arguments, stdin=stdin)

    async def evaluate(self, *arguments: str) -> Result:
        path = written(self.folder, chain_of_three())
        return await self.policies("evaluate", "--partner-id", "org-b", "--capability-file", path, *arguments)


@pytest.fixture(scope="module")
def authority() -> Credentials:
    return make_credentials("Control CA")


def options(folder: Path, authority: Credentials, port: int, token: str = TOKEN) -> tuple[str, ...]:
    (folder / "token").write_text(f"{token}\n")
    (folder / "ca.pem").write_bytes(authority.pem)
    return (
        "--control-url", f"https://localhost:{port}", "--control-token-file", str(folder / "token"),
        "--control-ca-file", str(folder / "ca.pem"),
    )  # fmt: skip


@pytest.fixture
async def stage(authority: Credentials, tmp_path: Path) -> AsyncIterator[Stage]:
    desk, store = Desk(), CertificateStore()
    store.replace({"localhost": authority.pair("localhost")})
    endpoint = Endpoint(build_control_routes(desk, desk), store, EndpointSettings(), Counts())
    port = await endpoint.start("127.0.0.1", 0)
    try:
        yield Stage(desk, tmp_path, options(tmp_path, authority, port))
    finally:
        await endpoint.stop()


# Policies


async def test_a_document_goes_in_and_comes_back(stage: Stage) -> None:
    made = await stage.policies("create", "--config", "-", stdin=json.dumps(FULL))
    assert (made.exit_code, made.stdout) == (0, "federationpolicy/org-b created for partner org-b\n")
    assert json.loads(stage.desk.calls[0].body) == FULL
    back = await stage.policies("list", "-o", "json")
    assert json.loads(back.stdout) == [FULL]
    assert "org-b" in (await stage.policies("list")).stdout


async def test_the_same_again_is_no_error_and_another_is(stage: Stage) -> None:
    await stage.policies("create", "--config", "-", stdin=json.dumps(FULL))
    again = await stage.policies("create", "--config", "-", "--peer", "org-b", stdin=json.dumps(FULL))
    assert (again.exit_code, again.stdout) == (0, "federationpolicy/org-b unchanged for partner org-b\n")
    other = {**FULL, "spec": {**FULL["spec"], "max_evidence_age_secs": 7}}
    refused = await stage.policies("create", "--config", "-", stdin=json.dumps(other))
    assert refused.exit_code == 1
    assert "differs in max_evidence_age_secs: delete it there first" in refused.stderr
    stage.desk.may.discard("list")
    refused = await stage.policies("create", "--config", "-", stdin=json.dumps(FULL))
    assert (refused.exit_code, "PolicyConflict" in refused.stderr) == (1, True)


async def test_the_peer_and_the_namespace_are_passed_on(stage: Stage) -> None:
    await stage.policies("create", "--config", "-", "--peer", "second", "-n", "trust", stdin=json.dumps(FULL))
    assert json.loads(stage.desk.calls[0].body)["peer"] == "second"
    elsewhere = await stage.policies("list", "-n", "elsewhere")
    assert (elsewhere.exit_code, "no such path or namespace" in elsewhere.stderr) == (3, True)


async def test_what_cannot_be_replaced_there_is_said_so(stage: Stage) -> None:
    done = await stage.policies("create", "--config", "-", "--replace", stdin=json.dumps(FULL))
    assert (done.exit_code, "--replace is for the cluster" in done.stderr) == (2, True)
    assert stage.desk.calls == []


async def test_delete_is_told(stage: Stage) -> None:
    await stage.policies("create", "--config", "-", stdin=json.dumps(FULL))
    partner_id = FULL["spec"]["partner_id"]
    done = await stage.policies("delete", "--partner-id", partner_id)
    assert done.exit_code == 0
    assert f"the policy for partner {partner_id} is deleted: its issuers are trusted no more" in done.stdout
    assert stage.desk.policies == {}
    again = await stage.policies("delete", "--partner-id", partner_id)
    assert (again.exit_code, "NoPolicy" in again.stderr) == (1, True)


# Decisions


async def test_the_operators_decision_comes_with_its_receipt(stage: Stage) -> None:
    path = stage.folder / "receipt.json"
    arguments = (*CALL, "--kernel-key", KERNEL.public_key.canonical, "--receipt-file", str(path))
    result = await stage.evaluate(*arguments)
    assert result.exit_code == 0, result.output
    assert f"signed by   {KERNEL.public_key.canonical} (the kernel's key)" in result.stdout
    assert f"recorded    7:{'ab' * 32}" in result.stdout
    assert "Dry run" not in result.stdout
    receipt = open_receipt(path.read_bytes(), kernel_key=KERNEL.public_key)
    assert receipt.body.id == f"rcpt-{uuid.UUID(int=5)}"
    found = json.loads((await stage.evaluate(*arguments, "-o", "json")).stdout)
    assert (found["dryRun"], found["receiptVerified"], found["ledger"]) == (False, True, LINK)
    assert found["receipt"] == json.loads(path.read_bytes())


async def test_without_the_kernels_key_the_receipt_is_only_shown(stage: Stage) -> None:
    result = await stage.evaluate()
    assert "not compared: name the kernel's key with --kernel-key" in result.stdout
    assert json.loads((await stage.evaluate("-o", "json")).stdout)["receiptVerified"] is False


async def test_a_denial_is_three_and_has_a_receipt_too(stage: Stage) -> None:
    path = stage.folder / "receipt.json"
    result = await stage.evaluate("--autonomy-tier", "autonomous", "--receipt-file", str(path))
    assert result.exit_code == 3
    assert result.stdout.startswith("denied: AutonomyTierExceeded: ")
    assert open_receipt(path.read_bytes(), kernel_key=None).body.decision.verdict == "deny"


async def test_a_decision_that_could_not_be_recorded_is_told_as_such(stage: Stage) -> None:
    stage.desk.change = lambda answer: answer.update(ledger=None)
    assert "recorded    not at all" in (await stage.evaluate()).stdout


def put(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(answer: dict[str, Any]) -> None:
        for name in path[:-1]:
            answer = answer[name]
        answer[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("decision", "validUntil", value=NOW + 10_000), "is not that of this decision: metadata differs"),
        (put("decision", "decidedAt", value=NOW - 1), "timestamp differs"),
        (put("decision", "policyHash", value="0" * 64), "policy_hash differs"),
        (put("decision", "capabilityIds", value=["other"]), "capability_id differs"),
        (put("receipt", "timestamp", value=5), "InvalidSignature"),
        (put("receipt", "signature", value="0" * 128), "InvalidSignature"),
    ],
)
async def test_a_receipt_of_something_else_proves_nothing(
    stage: Stage, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    stage.desk.change = change
    path = stage.folder / "receipt.json"
    result = await stage.evaluate("--receipt-file", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert not path.exists()


async def test_a_receipt_of_another_capability_proves_nothing(stage: Stage) -> None:
    kept: list[dict[str, Any]] = []
    stage.desk.change = kept.append
    await stage.evaluate(*CALL)
    stage.desk.change = lambda answer: answer.update(copy_of(kept[0]))
    result = await stage.evaluate()
    assert (result.exit_code, "tool_server differs" in result.stderr) == (1, True)


def copy_of(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(answer))
    return found


async def test_a_receipt_of_another_kernel_is_refused(stage: Stage) -> None:
    stage.desk.key = SigningKey.from_seed(b"\x22" * 32)
    result = await stage.evaluate("--kernel-key", KERNEL.public_key.canonical)
    assert result.exit_code == 1
    assert "UnexpectedPeerKey: expected the key of --kernel-key, found another's" in result.stderr


@pytest.mark.parametrize(
    "change",
    [
        put("schema", value="bilateral.evaluation.v2"),
        put("more", value=CANARY),
        put("decision", "reason", value=CANARY),
        put("decision", "allowed", value="yes"),
        put("decision", "allowed", value=False),
        put("decision", "checks", value=[{"name": CANARY, "outcome": "passed", "expected": "", "found": ""}]),
        put("decision", "checks", value={}),
        put("decision", "effective", value={"grants": [{}]}),
        put("receipt", value={}),
        put("ledger", value={"seq": 1}),
    ],
)
async def test_an_answer_of_another_form_is_no_decision(
    stage: Stage, change: Callable[[dict[str, Any]], None]
) -> None:
    stage.desk.change = change
    result = await stage.evaluate()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no decision" in result.stderr


# Revocations


async def test_capabilities_are_revoked_in_the_feed(stage: Stage) -> None:
    result = await stage.run("revoke", "--trust-domain", "org-a", "cap-1", "cap-2", "cap-1")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "2 capabilities are revoked in the feed of trustdomain/org-a: 9 in it now, published "
    )
    (call,) = stage.desk.calls
    assert (call.trust_domain, json.loads(call.body)) == ("org-a", {"capabilityIds": ["cap-1", "cap-2"]})
    facts = json.loads((await stage.run("revoke", "--trust-domain", "org-a", "c", "-o", "json")).stdout)
    assert (facts["treeSize"], facts["rootHash"]) == (9, "cd" * 32)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--trust-domain", "org-a"), "CAPABILITY_ID"),
        (("cap",), "--trust-domain"),
        (("--trust-domain", "org-a", "cap", "a b"), "CAPABILITY_ID 2"),
        (("--trust-domain", "a/b", "cap"), "the name of a TrustDomain"),
        (("--trust-domain", "org-a", *(f"c{each}" for each in range(1001))), "at most 1000"),
    ],
)
async def test_what_cannot_be_revoked_is_not_asked_for(
    stage: Stage, arguments: tuple[str, ...], words: str
) -> None:
    result = await stage.run("revoke", *arguments)
    assert (result.exit_code, words in result.stderr, stage.desk.calls) == (2, True, [])


def test_revoking_needs_the_endpoint() -> None:
    result = Shell().run("trust", "revoke", "--trust-domain", "org-a", "cap")
    assert (result.exit_code, "--control-url" in result.stderr) == (2, True)


# Refusals, and servers that are none of ours


@pytest.mark.parametrize(
    ("reason", "exit_code", "words"),
    [
        (Reason.NOT_READY, 3, "could not answer (NotReady)"),
        (Reason.INTERNAL_ERROR, 3, "InternalError"),
        (Reason.MALFORMED_DOCUMENT, 2, "MalformedDocument"),
        (Reason.TRUST_DOMAIN_NOT_FOUND, 1, "TrustDomainNotFound"),
    ],
)
async def test_a_refusal_is_told_by_its_reason(
    stage: Stage, reason: Reason, exit_code: int, words: str
) -> None:
    stage.desk.refusal = reason
    result = await stage.run("revoke", "--trust-domain", "org-a", "cap")
    assert (result.exit_code, words in result.stderr) == (exit_code, True), result.stderr
    assert result.stderr.count("\n") == 1


async def test_who_may_not_is_told_which_verb_is_missing(stage: Stage) -> None:
    stage.desk.may.clear()
    revoked = await stage.run("revoke", "--trust-domain", "org-a", "cap")
    assert (revoked.exit_code, "the verb revoke on trustdomains.bilateral.dev" in revoked.stderr) == (3, True)
    listed = await stage.policies("list")
    assert (listed.exit_code, "the verb list on federationpolicies.bilateral.dev" in listed.stderr) == (
        3,
        True,
    )
    judged = await stage.evaluate()
    assert (judged.exit_code, "there is no decision: you may not" in judged.stderr) == (1, True)


async def test_who_is_not_known_is_told_how_to_get_a_token(stage: Stage) -> None:
    (stage.folder / "token").write_text("an0ther")
    result = await stage.policies("list")
    assert (result.exit_code, "--audience bilateral" in result.stderr, "an0ther" in result.output) == (
        3,
        True,
        False,
    )


@pytest.mark.parametrize("content", ["", "two words", "\x00", "ü", "x" * 5000])
async def test_a_file_without_a_token_is_wrong_input(stage: Stage, content: str) -> None:
    (stage.folder / "token").write_text(content)
    assert (await stage.policies("list")).exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "https://",
        "https://u@h",
        "https://h/path",
        "https://h?a=b",
        "https://h#a",
        "https://h:x",
    ],
)
def test_an_address_that_is_none_is_wrong_input(tmp_path: Path, authority: Credentials, url: str) -> None:
    _, _, *rest = options(tmp_path, authority, 1)
    result = Shell().run("trust", "federation-policy", "list", "--control-url", url, *rest)
    assert (result.exit_code, "--control-url: expected https" in result.stderr) == (2, True)


@contextlib.asynccontextmanager
async def strange(authority: Credentials, folder: Path, answer: object) -> AsyncIterator[tuple[Stage, Any]]:
    context = build_server_context(*authority.pair("localhost"))
    async with partner(answer, context) as other:  # type: ignore[arg-type]
        yield Stage(Desk(), folder, options(folder, authority, other.port)), other


EMPTY = b'{"schema":"bilateral.policies.v1","policies":[]}'
PROBLEM = json.dumps(
    {"type": "https://chio.dev/errors/federation/not-ready", "title": CANARY, "status": 503, "detail": CANARY}
).encode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(200, b"{", "Connection: close"), "cannot be read"),
        (http(200, b"[]", "Connection: close"), "cannot be read"),
        (http(200, b"{}", "Connection: close"), "cannot be read"),
        (http(200, CANARY.encode(), media_type="text/html"), "cannot be read"),
        (http(200, EMPTY, media_type="text/plain"), "cannot be read"),
        (http(200, b"{}", "Content-Encoding: gzip"), "compressed"),
        (http(302, b"", "Location: https://elsewhere.example/"), "answered 302"),
        (http(404, CANARY.encode(), media_type="text/plain"), "answered 404"),
        (http(503, PROBLEM, media_type="application/problem+json"), "NotReady"),
        (http(503, b" " * 20_000, media_type="application/problem+json"), "more than"),
        (http(200, b'{"schema":"bilateral.policies.v1","policies":[{}]}'), "cannot be read"),
        (b"nothing of HTTP\r\n\r\n", "cannot be asked"),
    ],
)
async def test_a_server_that_is_no_control_endpoint(
    authority: Credentials, tmp_path: Path, answer: bytes, words: str
) -> None:
    async with strange(authority, tmp_path, answer) as (stage, _):
        result = await stage.policies("list")
    assert (result.exit_code, words in result.stderr) == (3, True), result.stderr


async def test_the_token_goes_to_nobody_whose_certificate_is_not_right(
    authority: Credentials, tmp_path: Path
) -> None:
    async with strange(authority, tmp_path, http(200, b"{}")) as (stage, other):
        (tmp_path / "ca.pem").write_bytes(make_credentials("Other CA").pem)
        result = await stage.policies("list")
        assert (result.exit_code, other.received) == (3, b"")
        (tmp_path / "ca.pem").write_bytes(b"")
        result = await stage.policies("list")
        assert (result.exit_code, other.received) == (2, b"")


async def test_no_proxy_of_the_environment_is_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await stage.policies("list")).exit_code == 0


async def test_a_slow_server_is_not_waited_for(
    authority: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)

    async def answer(transport: asyncio.Transport) -> None:
        whole = http(200, b" " * 200)
        transport.write(whole[:-200])
        for _ in range(100):
            await asyncio.sleep(0.02)
            transport.write(b" ")

    async with strange(authority, tmp_path, answer) as (stage, _):
        result = await stage.policies("list")
    assert (result.exit_code, "more than 0.5 seconds" in result.stderr) == (3, True)
