"""``bilateral trust federation-policy evaluate``: what would be decided about a capability, and every check of it.

Against the cluster it is a dry run, made here from what the caller may read; it signs and records nothing. Against
the control endpoint it is the operator's decision, with its signed receipt.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from bilateral.cli.control import (
    EVALUATE_PATH,
    ControlChoice,
    Needed,
    connect_control,
    unreadable_answer,
)
from bilateral.cli.control_options import control_options
from bilateral.cli.errors import AnswerNoError, ClusterError, printable, unusable_key
from bilateral.cli.files import write_output
from bilateral.cli.invocation import Invocation
from bilateral.cli.output import Data, Format, format_option, render
from bilateral.cli.policy_questions import Asked, Request, build_request
from bilateral.cli.policy_situation import FeedChoice, look
from bilateral.cli.policy_verdict import (
    Answer,
    ReceiptMismatch,
    ShownDecision,
    read_answer,
    read_decision,
    verify_answer,
    write_decision,
)
from bilateral.protocol.capabilities.grants import Operation
from bilateral.protocol.errors import (
    InvalidSignature,
    ParameterHashMismatch,
    ProtocolError,
    UnexpectedSigner,
    WeakKey,
)
from bilateral.protocol.keys import PublicKey, parse_public_key
from bilateral.protocol.policies.decisions import decide

DENIED_EXIT_CODE = 3
DRY_RUN = (
    "Dry run: decided here, from what the cluster shows you. No receipt is signed, and nothing is recorded."
)
_EPILOG = """\b
Examples:
  bilateral trust federation-policy evaluate --partner-id org-a --capability-file chain.json -n trust
  bilateral trust federation-policy evaluate --partner-id org-a --capability-file chain.json \\
      --tool-server billing.org-b.internal --tool billing.read --parameter row_limit=100 \\
      --amount 5.00USD
  bilateral trust federation-policy evaluate --partner-id org-a --capability-file chain.json \\
      --control-url https://ctl.org-b.example:8942 --control-token-file token \\
      --kernel-key ed25519:<64 hex digits> --receipt-file receipt.json

\b
Exit codes: 0 allowed; 3 denied; 1 there is no decision, or its receipt does not hold; 2 wrong usage or
input.
"""
_RECEIPT_DEFECTS = (InvalidSignature, UnexpectedSigner, WeakKey, ParameterHashMismatch)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is printed: the decision, the remarks, and the endpoint's answer where one was asked."""

    decision: ShownDecision
    remarks: tuple[str, ...] = ()
    answer: Answer | None = None
    is_verified: bool = False


@click.command(epilog=_EPILOG)
@click.option("--partner-id", metavar="ID", required=True, help="The partner whose capability it is.")
@click.option(
    "--capability-file",
    metavar="FILE",
    required=True,
    help="The capability, as JSON (- for stdin): a token, or a list of tokens from the root on.",
)
@click.option(
    "--call", "call_file", metavar="FILE", help="The call: toolServer, tool, operation, parameters, amount."
)
@click.option("--tool-server", metavar="NAME", help="The call's server, instead of --call.")
@click.option("--tool", metavar="NAME", help="The call's tool.")
@click.option("--operation", type=click.Choice([each.value for each in Operation]), help="Default: invoke.")
@click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter of the call; VALUE is read as JSON where it is some (100, true), else as text. Repeatable.",
)
@click.option("--amount", metavar="AMOUNT", help="What the call costs, such as 50.00USD.")
@click.option(
    "--autonomy-tier", metavar="TIER", help="The tier that is presented: direct, delegated, autonomous."
)
@click.option(
    "--evidence",
    metavar="KIND=TIME",
    multiple=True,
    help="Evidence that is brought: passport, reputation or receipts, and when it was issued. Repeatable.",
)
@click.option("--kernel-key", metavar="KEY", help="The key that must have signed the receipt (endpoint).")
@click.option("--receipt-file", metavar="FILE", help="Where to write the receipt (endpoint).")
@click.option(
    "--feed-file", metavar="FILE", help="The partner's feed, one page a line, instead of its URL (dry run)."
)
@click.option("--feed-ca-file", metavar="FILE", help="Authorities (PEM) for the feed's server (dry run).")
@format_option(Format.TEXT, Format.JSON, Format.YAML)
@control_options()
def evaluate(
    invocation: Invocation,
    control: ControlChoice | None,
    *,
    partner_id: str,
    capability_file: str,
    call_file: str | None,
    tool_server: str | None,
    tool: str | None,
    operation: str | None,
    parameters: tuple[str, ...],
    amount: str | None,
    autonomy_tier: str | None,
    evidence: tuple[str, ...],
    kernel_key: str | None,
    receipt_file: str | None,
    feed_file: str | None,
    feed_ca_file: str | None,
    output: str,
) -> None:
    """Judge a partner's capability by its policy, with or without a call, and explain every check.

    By kubeconfig it is a dry run: it needs the rights to list federationpolicies and get federationpeers, and reads
    the partner's revocation feed itself. By --control-url it is the operator's own decision, which is recorded, with
    its signed receipt.
    """
    if control is None and (kernel_key is not None or receipt_file is not None):
        raise click.UsageError(
            "a dry run has no receipt: --kernel-key and --receipt-file are for --control-url"
        )
    if control is not None and (feed_file is not None or feed_ca_file is not None):
        raise click.UsageError(
            "--feed-file and --feed-ca-file are for a dry run: the operator reads feeds itself"
        )
    key = None if kernel_key is None else _parse_key(kernel_key)
    asked = Asked(call_file, tool_server, tool, operation, parameters, amount, autonomy_tier, evidence)
    request = build_request(partner_id, capability_file, asked)
    try:
        told = (
            _decide_here(invocation, request, FeedChoice(feed_file, feed_ca_file))
            if control is None
            else _ask(control, request, key)
        )
    except ClusterError as error:
        # 3 says that a decision was made, and which.
        raise AnswerNoError(f"there is no decision: {error.message}") from None
    if told.answer is not None and receipt_file is not None:
        write_output(receipt_file, told.answer.receipt.to_json() + b"\n")
    if output == Format.TEXT:
        click.echo("\n".join(map(printable, _lines(told, invocation.now()))))
    else:
        click.echo(render(_facts(told), output), nl=False)
    if not told.decision.allowed:
        raise click.exceptions.Exit(DENIED_EXIT_CODE)


def _parse_key(text: str) -> PublicKey:
    try:
        return parse_public_key(text)
    except ProtocolError as error:
        raise unusable_key(error) from None


def _decide_here(invocation: Invocation, request: Request, feed: FeedChoice) -> _Told:
    question = request.evaluation.question
    now = invocation.now()
    seen = look(invocation.cluster(), question.partner_id, feed, now)
    decision = decide(question, seen.situation, now)
    return _Told(read_decision(decision.to_wire()), seen.remarks)


def _ask(choice: ControlChoice, request: Request, key: PublicKey | None) -> _Told:
    with connect_control(choice) as endpoint:
        members = endpoint.ask("POST", EVALUATE_PATH, Needed("evaluate"), body=request.body)
    try:
        answer = read_answer(members)
        verify_answer(answer, request.evaluation, key)
    except _RECEIPT_DEFECTS as error:
        raise AnswerNoError(f"the answer's receipt does not hold: {error.reason}: {_defect(error)}") from None
    except ReceiptMismatch as error:
        raise AnswerNoError(
            f"the answer's receipt is not that of this decision: {error} differs, so it proves nothing"
        ) from None
    except ProtocolError:
        raise unreadable_answer() from None
    return _Told(answer.decision, (), answer, key is not None)


def _defect(error: ProtocolError) -> str:
    if isinstance(error, UnexpectedSigner):
        return "expected the key of --kernel-key, found another's"
    return str(error)


def _lines(told: _Told, now: int) -> list[str]:
    lines = write_decision(told.decision, now)
    answer = told.answer
    if answer is None:
        remarks = [f"{remark[:1].upper()}{remark[1:]}." for remark in told.remarks]
        return [*lines, "", DRY_RUN, *remarks]
    compared = (
        "the kernel's key" if told.is_verified else "not compared: name the kernel's key with --kernel-key"
    )
    lines.append(f"receipt     {answer.receipt.body.id}")
    lines.append(f"signed by   {answer.receipt.body.kernel_key.canonical} ({compared})")
    lines.append(
        "recorded    not at all, so nobody may rely on it"
        if answer.ledger is None
        else f"recorded    {answer.ledger[0]}:{answer.ledger[1]}"
    )
    return lines


def _facts(told: _Told) -> dict[str, Data]:
    answer = told.answer
    facts: dict[str, Data] = {"dryRun": answer is None, "decision": dict(told.decision.members)}
    if answer is None:
        return facts | {"remarks": [*told.remarks]}
    ledger: Data = None if answer.ledger is None else {"seq": answer.ledger[0], "hash": answer.ledger[1]}
    return facts | {
        "receipt": answer.receipt.to_members(),
        "receiptVerified": told.is_verified,
        "ledger": ledger,
    }
