"""Numbers as RFC 8785 writes them, and the ranges that we allow.

A double is written as ECMAScript's ``Number::toString`` does (RFC 8785 section 3.2.2.3): the
shortest digits that read back as the same double, an exponent only outside [1e-6, 1e21), always
with a sign. Python's ``repr`` finds the same digits; only the layout differs.
"""

from __future__ import annotations

import math
from typing import Final

INT64_MIN: Final = -(2**63)
UINT64_MAX: Final = 2**64 - 1
"""Integers between these two are written exactly, as chio does (beyond I-JSON's 2^53)."""

SAFE_INTEGER_MAX: Final = 2**53 - 1
"""The largest integer of what we sign: every JSON implementation reads it exactly."""

_FIRST_EXPONENT_UP: Final = 21  # 1e21 and more are written with an exponent
_LAST_EXPONENT_DOWN: Final = -7  # so are numbers below 1e-6


def format_double(number: float) -> str:
    """Write a double as RFC 8785 demands; ``ValueError`` for NaN and the infinities."""
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    if number == 0:
        return "0"  # also for negative zero
    sign = "-" if number < 0 else ""
    mantissa, _, exponent_text = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    # The number is 0.DIGITS times 10 to the power of point.
    digits = whole + fraction
    point = len(whole) + int(exponent_text or "0")
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    exponent = point - 1
    if _LAST_EXPONENT_DOWN < exponent < _FIRST_EXPONENT_UP:
        return sign + _positional(digits, point)
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{exponent:+d}"


def _positional(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"
