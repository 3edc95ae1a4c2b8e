"""Judging one call: whether its parameters and its amount keep within the effective grant.

Rules:

- A parameter above its bound is a denial, never a smaller call: a call cannot be changed here.
- A bounded parameter that is not given is a denial, because the tool's default is not known here.
  The exception is ``row_limit``: the kernel keeps its ceiling on the answer (``max_rows_returned``).
- A number below zero is not within a bound: tools read it as "no limit". Truths and texts are no
  numbers.
- Of a list, every value must be allowed; an empty one, which tools read as "all", is not.
- Bounds are on the parameters of a call by name, not on what is inside them.
- The amount of a call is measured against what it may cost at once and in total. What earlier calls
  cost is the kernel's to count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bilateral.protocol.capabilities.grants import ToolGrant
from bilateral.protocol.policies.policy import ROW_LIMIT, Bound, ToolBound
from bilateral.protocol.policies.questions import Call, shown
from bilateral.protocol.policies.scopes import row_limit, spell_bound
from bilateral.protocol.reasons import Reason
from bilateral.protocol.strictjson import JSON


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a grant does not cover a call."""

    reason: Reason
    expected: str
    found: str


def judge_parameters(call: Call, grant: ToolGrant, bounds: Sequence[ToolBound]) -> Refused | None:
    """Compare a call's parameters with the policy's bounds and the grant's row limit; None: within."""
    limits: list[tuple[str, Bound]] = [item for each in bounds for item in each.parameter_bounds.items()]
    rows = row_limit(grant)
    if rows is not None:
        limits.append((ROW_LIMIT, rows))
    for name, bound in limits:
        if name not in call.parameters:
            if name == ROW_LIMIT and isinstance(bound, int):
                continue
            return Refused(Reason.PARAMETER_MISSING, f"{shown(name)} {spell_bound(bound)}", "not given")
        refused = _judge(name, call.parameters, bound)
        if refused is not None:
            return refused
    return None


def judge_amount(call: Call, grant: ToolGrant) -> Refused | None:
    """Compare what a call costs with what the grant lets it cost; None: within."""
    if call.amount is None:
        return None
    for ceiling in (grant.max_cost_per_invocation, grant.max_total_cost):
        if ceiling is None:
            continue
        if ceiling.currency != call.amount.currency:
            return Refused(Reason.CURRENCY_MISMATCH, shown(ceiling.currency), shown(call.amount.currency))
        if call.amount.units > ceiling.units:
            return Refused(
                Reason.BUDGET_EXCEEDED,
                f"at most {ceiling.units} {shown(ceiling.currency)}",
                f"{call.amount.units} {shown(call.amount.currency)}",
            )
    return None


def _judge(name: str, parameters: Mapping[str, JSON], bound: Bound) -> Refused | None:
    wrong = _compare(parameters[name], bound)
    return None if wrong is None else Refused(wrong[0], f"{shown(name)} {spell_bound(bound)}", wrong[1])


def _compare(value: JSON, bound: Bound) -> tuple[Reason, str] | None:
    """Why a value is not within a bound, and what was found; None: it is."""
    if isinstance(bound, int):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Reason.PARAMETER_NOT_ALLOWED, "not a number"
        return None if 0 <= value <= bound else (Reason.PARAMETER_EXCEEDED, str(value))
    if value == []:
        return Reason.PARAMETER_NOT_ALLOWED, "an empty list"
    for each in value if isinstance(value, list) else [value]:
        spelt = _spelt(each)
        if spelt is None or spelt not in bound:
            return Reason.PARAMETER_NOT_ALLOWED, "another kind of value" if spelt is None else shown(spelt)
    return None


def _spelt(value: JSON) -> str | None:
    """A value as policies write it; None for what they cannot name."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None
