"""What is said of an activation exchange, for people and for programs. Pure.

``examine`` makes every check that can be made, in order; one that cannot be made after another failed is
skipped. ``look_at`` shows what is in a file, in either shape, with what can be said of its signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bilateral.cli.errors import printable
from bilateral.cli.output import Data
from bilateral.protocol.activation import (
    ACTIVATION_LIMITS,
    ACTIVATION_SCHEMA,
    ActivationExchange,
    find_faults,
    parse_exchange,
    read_activation,
)
from bilateral.protocol.activation_documented import (
    DOCUMENTED_SCHEMA,
    SignatureState,
    is_documented,
    read_documented,
)
from bilateral.protocol.errors import (
    InvalidSignature,
    MalformedDocument,
    ProtocolError,
    UnexpectedSigner,
    UnsupportedSchema,
    WeakKey,
)
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import JSON, parse_json
from bilateral.resources.errors import MalformedTime
from bilateral.resources.times import format_time

ADMITS_NOTHING = "It admits nothing: what a partner may do is in a FederationPolicy."
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_NAMES = ("form", "signer", "signature", "rules", "operators", "time")


@dataclass(frozen=True, slots=True)
class ActivationCheck:
    """One check and how it ended; ``found`` is a sentence of ours, or the member's path and its rule."""

    name: str
    outcome: str
    found: str = ""
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """All checks, in order, and the exchange if its signature verified."""

    checks: tuple[ActivationCheck, ...]
    exchange: ActivationExchange | None = None
    signer: PublicKey | None = None

    @property
    def holds(self) -> bool:
        """Whether every check passed."""
        return all(each.outcome == PASSED for each in self.checks)

    def facts(self) -> dict[str, Data]:
        """The examination for programs."""
        failed = next((each for each in self.checks if each.outcome == FAILED), None)
        return {
            "valid": self.holds,
            "reason": None if failed is None or failed.reason is None else failed.reason.value,
            "checks": [
                {"name": each.name, "outcome": each.outcome, "found": each.found} for each in self.checks
            ],
            "signer": None if self.signer is None else self.signer.canonical,
            "exchange": None if self.exchange is None else self.exchange.to_members(),
            "admits": False,
        }


@dataclass(frozen=True, slots=True)
class Look:
    """What is in a file: which shape, its members, and what can be said of the signature."""

    shape: str
    schema: str
    signature: str
    signer: str
    body: dict[str, JSON] = field(default_factory=dict)

    def facts(self) -> dict[str, Data]:
        """The look for programs."""
        return {
            "shape": self.shape,
            "schema": self.schema,
            "signature": self.signature,
            "signer": self.signer,
            "body": self.body,
            "admits": False,
        }


def examine(
    document: bytes, *, signer: PublicKey | None, source: str | None, target: str | None, now: int
) -> Examination:
    """Make every check of an exchange; nothing is raised for one that does not hold."""
    try:
        value = parse_json(document, ACTIVATION_LIMITS)
        if is_documented(value):
            return Examination(tuple(_stop_at(UnsupportedSchema(ACTIVATION_SCHEMA))))
        found = read_activation(value, signer=signer)
    except ProtocolError as error:
        return Examination(tuple(_stop_at(error)))
    compared = "the one that was asked for" if signer is not None else "not compared: name it with --signer"
    exchange = found.exchange
    faults = list(find_faults(exchange))
    others = [
        f"{name} must be {wanted}"
        for name, wanted, actual in (
            ("sourceOperatorId", source, exchange.source_operator_id),
            ("targetOperatorId", target, exchange.target_operator_id),
        )
        if wanted is not None and wanted != actual
    ]
    in_force = exchange.issued_at <= now < exchange.expires_at
    span = f"from {write_time(exchange.issued_at)} to {write_time(exchange.expires_at)}"
    checks = (
        ActivationCheck("form", PASSED, ACTIVATION_SCHEMA),
        ActivationCheck("signer", PASSED, f"{found.signer.canonical}, {compared}"),
        ActivationCheck("signature", PASSED, "verifies"),
        _check(
            "rules", [f"{member} {rule}" for member, rule in faults], "all kept", Reason.ACTIVATION_INVALID
        ),
        _check("operators", others, "as asked for", Reason.ACTIVATION_INVALID),
        _check("time", [] if in_force else [f"not in force: {span}"], span, Reason.ACTIVATION_EXPIRED),
    )
    return Examination(checks, exchange, found.signer)


def write_examination(found: Examination) -> list[str]:
    """The examination for people."""
    lines = [
        "the exchange holds" if found.holds else "the exchange does not hold",
        *(f"  {each.name:<10} {each.outcome:<8} {each.found}".rstrip() for each in found.checks),
        ADMITS_NOTHING,
    ]
    return [printable(line) for line in lines]


def look_at(document: bytes) -> Look:
    """Read what is in a file in either shape; ProtocolError for what is neither."""
    value = parse_json(document, ACTIVATION_LIMITS)
    if not isinstance(value, dict) or not isinstance(value.get("body"), dict):
        raise MalformedDocument("not-an-exchange")
    body = dict(value["body"]) if isinstance(value["body"], dict) else {}
    if is_documented(value):
        shown = read_documented(value)
        signer = f"{shown.signer_public_key} ({shown.signer_operator_id})"
        return Look("documentation", DOCUMENTED_SCHEMA, shown.judge_signature().value, signer, body)
    try:
        found = read_activation(value, signer=None)
    except (InvalidSignature, WeakKey):
        exchange = parse_exchange(body)
        return Look(
            "code",
            ACTIVATION_SCHEMA,
            SignatureState.INVALID.value,
            str(value["signerKey"]),
            exchange.to_members(),
        )
    return Look(
        "code",
        ACTIVATION_SCHEMA,
        SignatureState.VERIFIED.value,
        found.signer.canonical,
        found.exchange.to_members(),
    )


def write_look(look: Look) -> list[str]:
    """What is in a file, for people."""
    remark = " (only to be shown: no program is known to make it)" if look.shape == "documentation" else ""
    lines = [
        f"shape      that of chio's {look.shape}{remark}",
        f"schema     {look.schema}",
        f"signer     {look.signer}",
        f"signature  {look.signature}",
        *(f"{path}: {text}" for path, text in _flatten("", look.body) if path != "schema"),
        ADMITS_NOTHING,
    ]
    return [printable(line) for line in lines]


def _check(name: str, faults: list[str], good: str, reason: Reason) -> ActivationCheck:
    if faults:
        return ActivationCheck(name, FAILED, "; ".join(faults), reason)
    return ActivationCheck(name, PASSED, good)


def _stop_at(error: ProtocolError) -> Iterator[ActivationCheck]:
    """The checks up to the one that ended it, and the rest as skipped."""
    at = "form"
    if isinstance(error, UnexpectedSigner | WeakKey):
        at = "signer"
    elif isinstance(error, InvalidSignature):
        at = "signature"
    failed = _NAMES.index(at)
    for place, name in enumerate(_NAMES):
        if place == failed:
            text = "does not verify" if at == "signature" else str(error)
            yield ActivationCheck(name, FAILED, text, error.reason)
        else:
            yield ActivationCheck(name, PASSED if place < failed else SKIPPED)


def _flatten(path: str, value: JSON) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _flatten(f"{path}.{name}" if path else name, member)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value):
            yield from _flatten(f"{path}[{number}]", item)
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    elif type(value) is bool:
        yield path, "true" if value else "false"
    elif path.endswith("At") and type(value) is int:
        yield path, write_time(value)
    else:
        yield path, str(value)


def write_time(moment: int) -> str:
    """A time as it is shown; one that no calendar has stays a number."""
    try:
        return format_time(moment)
    except MalformedTime:
        return str(moment)
