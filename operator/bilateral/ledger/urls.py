"""Where a ledger is: its URL, and how it is spoken of.

- ``sqlite:///var/lib/bilateral/ledger.db``: the absolute path of a file.
- ``postgresql://user:password@host:5432/database?sslmode=verify-full``: as PostgreSQL's own programs
  read it, several hosts included. Across a network the certificate is verified unless the URL itself
  says otherwise (``sslmode``); on loopback and on a socket it is not asked for.

Rules: ``place`` is what errors and logs say, and has neither user, password nor parameters. A URL that
could be read in two ways (an ``@`` or ``/`` of a password that is not percent-encoded) is refused, because
its place would show a part of the password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from bilateral.ledger.errors import LedgerMisconfigured

URL_VARIABLE = "BILATERAL_LEDGER"
DEFAULT_URL = "sqlite:///var/lib/bilateral/ledger.db"
_EXPECTED = "expected sqlite:///absolute/path or postgresql://host/database"
_MAX_LENGTH = 4096
_HOSTS = re.compile(r"[A-Za-z0-9._,:%\[\]-]*")
_DATABASE = re.compile(r"/?[A-Za-z0-9._%-]*")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class SQLiteLocation:
    """A file of ours."""

    path: Path

    @property
    def place(self) -> str:
        """How the ledger is spoken of."""
        return f"sqlite://{self.path}"


@dataclass(frozen=True, slots=True)
class PostgreSQLLocation:
    """A server; ``url`` may hold a password and is in no text."""

    url: str = field(repr=False)
    place: str
    is_local: bool


Location: TypeAlias = SQLiteLocation | PostgreSQLLocation


def parse_ledger_url(url: str) -> Location:
    """Read the URL of a ledger. Raises :class:`LedgerMisconfigured`, which repeats nothing of it."""
    if len(url) > _MAX_LENGTH or not url.isprintable() or "#" in url or " " in url:
        raise LedgerMisconfigured("URL", _EXPECTED)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise LedgerMisconfigured("URL", _EXPECTED) from None
    if parts.scheme == "sqlite":
        path = unquote(parts.path)
        if parts.netloc or parts.query or len(path) < 2 or path.endswith("/") or not path.isprintable():
            raise LedgerMisconfigured("URL", _EXPECTED)
        return SQLiteLocation(Path("/" + path.lstrip("/")))
    if parts.scheme not in {"postgresql", "postgres"}:
        raise LedgerMisconfigured("URL", _EXPECTED)
    hosts = parts.netloc.rpartition("@")[2]
    if _HOSTS.fullmatch(hosts) is None or _DATABASE.fullmatch(parts.path) is None:
        raise LedgerMisconfigured("URL", f"{_EXPECTED}; percent-encode what is special in a password")
    named = parse_qs(parts.query, keep_blank_values=True)
    away = {*hosts.split(","), *named.get("host", []), *named.get("hostaddr", [])}
    return PostgreSQLLocation(url, f"postgresql://{hosts}{parts.path}", all(map(_is_local, away)))


def _is_local(host: str) -> bool:
    name = host.partition("]")[0][1:] if host.startswith("[") else host.rpartition(":")[0] or host
    return not name or name in _LOOPBACK or name.startswith(("/", "%2F", "%2f", "@"))
