"""Lengths of time as people type them: ``30``, ``30s``, ``2m``, ``1h``."""

from __future__ import annotations

import re

import click

_DURATION = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smh]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[int]):
    """A whole number of seconds, minutes or hours; the value is in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the text, or pass a default's integer through."""
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail("expected a duration such as 30s, 2m or 1h", param, ctx)
        return int(match["count"]) * _SECONDS[match["unit"]]
