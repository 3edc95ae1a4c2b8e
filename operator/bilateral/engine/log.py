"""Structured logs: one JSON object a line, on standard error.

Every line has ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; what it is about
stands in members of its own: ``kind``, ``namespace``, ``name``, ``reason`` and numbers. A value
is one of ours: a word, a name from our own API, a number. Never a secret, never text of a partner.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None


class Log:
    """A logger whose lines carry members instead of formatted text."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"bilateral.{name}")

    def debug(self, message: str, **members: Value) -> None:
        """What only a developer asks for."""
        self._log(logging.DEBUG, message, members)

    def info(self, message: str, **members: Value) -> None:
        """What an operator of the cluster wants to know."""
        self._log(logging.INFO, message, members)

    def warning(self, message: str, **members: Value) -> None:
        """What needs somebody's attention."""
        self._log(logging.WARNING, message, members)

    def fault(self, message: str, failure: BaseException, **members: Value) -> None:
        """What should not happen; ``failure`` is told by its type and place, not by its text."""
        members["failure"] = type(failure).__name__
        trace = failure.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            members["at"] = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
        self._log(logging.ERROR, message, members)

    def _log(self, level: int, message: str, members: dict[str, Value]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, extra={"members": members})


class JSONFormatter(logging.Formatter):
    """Formats a record as one JSON object; tracebacks of libraries are reduced to their type."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, Value] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "members", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["failure"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=True)


def configure_logging(level: str) -> None:
    """Send every log line to standard error as JSON; libraries only speak up when something is wrong.

    ``level`` is debug, info, warning or error, and applies to our own lines. Libraries stay at
    warning even then: at debug they print what they send.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bilateral").setLevel(level.upper())
    # aiohttp's server logs what a client sent when it cannot parse it.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # psycopg warns with the server's text, which repeats values; the ledger raises errors of its own.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    # A kubeconfig that is not there is told by our own error, with what was expected.
    logging.getLogger("kubernetes.aio.config").setLevel(logging.ERROR)
