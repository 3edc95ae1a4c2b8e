"""What ``federation-policy evaluate`` asks: the capability's file and the call's options, as one request.

The request is the one that kernels send (``protocol.policies.evaluations``), so that a dry run and the control
endpoint read the same bytes in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bilateral.cli.errors import InputError
from bilateral.cli.files import read_input
from bilateral.cli.policy_documents import load_data
from bilateral.protocol.capabilities.chains import CHAIN_LIMITS
from bilateral.protocol.errors import MalformedDocument
from bilateral.protocol.policies.evaluations import Evaluation, parse_evaluation
from bilateral.protocol.policies.questions import EvidenceKind
from bilateral.protocol.policies.tiers import parse_tier
from bilateral.protocol.strictjson import JSON, parse_json
from bilateral.resources.errors import MalformedTime
from bilateral.resources.times import parse_time

_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,4}))? ?([A-Z]{3})", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_WHOLE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW")
_WHOLE_TOO = ("PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF")
_DIGITS: Final = {
    **dict.fromkeys((*_WHOLE, *_WHOLE_TOO), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Digits after the point, by ISO 4217; of every other currency two."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said on the command line about the call."""

    call_file: str | None = None
    tool_server: str | None = None
    tool: str | None = None
    operation: str | None = None
    parameters: Sequence[str] = ()
    amount: str | None = None
    autonomy_tier: str | None = None
    evidence: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """The request's bytes, and what they mean."""

    body: bytes
    evaluation: Evaluation


def build_request(partner_id: str, capability_file: str, asked: Asked) -> Request:
    """Build the request. Raises InputError."""
    try:
        capability = parse_json(read_input(capability_file, CHAIN_LIMITS.max_bytes), CHAIN_LIMITS)
    except MalformedDocument as error:
        raise InputError(
            f"{capability_file} is no capability: expected JSON, a token or a list of tokens from the root on ({error})"
        ) from None
    members: dict[str, JSON] = {"partnerId": partner_id, "capability": capability}
    call = _call(asked)
    if call is not None:
        members["call"] = call
    if asked.autonomy_tier is not None:
        members["autonomyTier"] = _tier(asked.autonomy_tier)
    if asked.evidence:
        members["evidence"] = [_evidence(each) for each in asked.evidence]
    body = json.dumps(members, separators=(",", ":")).encode()
    try:
        return Request(body, parse_evaluation(body))
    except MalformedDocument as error:
        raise InputError(
            f"the question cannot be asked: {error}: check the call and the partner's id"
        ) from None


def _call(asked: Asked) -> JSON:
    options = (asked.tool_server, asked.tool, asked.operation, asked.amount)
    if asked.call_file is not None:
        if any(each is not None for each in options) or asked.parameters:
            raise InputError("describe the call once: in the file of --call, or by options")
        return load_data(asked.call_file)
    if all(each is None for each in options) and not asked.parameters:
        return None
    if asked.tool_server is None or asked.tool is None:
        raise InputError("a call needs --tool-server and --tool")
    call: dict[str, JSON] = {
        "toolServer": asked.tool_server,
        "tool": asked.tool,
        "operation": asked.operation or "invoke",
        "parameters": _parameters(asked.parameters),
    }
    return call if asked.amount is None else {**call, "amount": parse_amount(asked.amount)}


def _parameters(given: Sequence[str]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not name or not equals or name in found:
            raise InputError("--parameter: expected NAME=VALUE, each name once")
        try:
            found[name] = parse_json(text.encode())
        except MalformedDocument:
            if text.startswith(("{", "[", '"')):
                raise InputError("--parameter: the value begins like JSON and is none") from None
            found[name] = text
    return found


def parse_amount(text: str) -> dict[str, JSON]:
    """Read an amount as people write it (``50.00USD``) into minor units. Raises InputError."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise InputError(
            "expected an amount such as 50.00USD; of other currencies, units in the file of --call"
        )
    whole, fraction, currency = match[1], match[2] or "", match[3]
    digits = _DIGITS.get(currency, 2)
    if len(fraction) > digits:
        raise InputError(f"{currency} has {digits} digits after the point, and {len(fraction)} were given")
    return {"units": int(whole + fraction.ljust(digits, "0")), "currency": currency}


def _tier(text: str) -> str:
    try:
        return parse_tier(text).value
    except MalformedDocument:
        raise InputError("--autonomy-tier: expected direct, delegated or autonomous") from None


def _evidence(text: str) -> JSON:
    kind, equals, moment = text.partition("=")
    if not equals or kind not in tuple(EvidenceKind):
        raise InputError(f"--evidence: expected KIND=TIME with one of {', '.join(EvidenceKind)}")
    try:
        issued_at = int(moment) if _SECONDS.fullmatch(moment) else parse_time(moment)
    except MalformedTime:
        raise InputError(
            "--evidence: expected a time such as 2026-11-21T14:31:07Z, or Unix seconds"
        ) from None
    return {"kind": kind, "issuedAt": issued_at}
