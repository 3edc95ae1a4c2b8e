"""Aliases and addresses of services, as an introduction names them and a directory stores them.

Rules:

* An alias is lower-case DNS labels. Upstream joins it to a path as it is, so ``../x`` or ``/x`` from a
  stranger's introduction would be written outside the directory; here it is refused wherever it appears.
  It has no port: a client looks services up by host name alone.
* A URL is ``https://host`` or ``https://host:port`` in the one spelling that every client of ``certified``
  connects to: lower case, no path (aiohttp refuses one), no user, query or fragment, no IPv6 literal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bilateral.pki.errors import InvalidHost, InvalidService
from bilateral.pki.hosts import MAX_DNS_NAME, parse_host

MAX_SERVICES = 64
MAX_URL = 300

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_URL = re.compile(r"https://(?P<host>[^/?#@:\[\]\\]+)(:(?P<port>[1-9][0-9]{0,4}))?")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]*)+")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """A service: the name that clients use for it, and where it is."""

    alias: str
    url: str


def parse_service(alias: str, url: str) -> Service:
    """Check an alias and a URL. Raises InvalidService."""
    return Service(alias=parse_alias(alias), url=parse_service_url(url))


def parse_services(services: Mapping[str, str]) -> tuple[Service, ...]:
    """Check a mapping from alias to URL, keeping its order. Raises InvalidService (also too-many)."""
    if len(services) > MAX_SERVICES:
        raise InvalidService("too-many", f"expected at most {MAX_SERVICES} services, found {len(services)}")
    return tuple(parse_service(alias, url) for alias, url in services.items())


def parse_alias(text: str) -> str:
    """Return ``text`` when it is lower-case DNS labels of 253 characters at most; else InvalidService."""
    labels = text.split(".")
    if len(text) > MAX_DNS_NAME or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        # The text is a stranger's: it is not repeated.
        raise InvalidService(
            "alias", "expected an alias of lower-case DNS labels (letters, digits, hyphens), without a port"
        )
    return text


def parse_service_url(text: str) -> str:
    """Return ``text`` when it is ``https://host[:port]``; else InvalidService (url)."""
    match = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None or int(match["port"] or 1) > _MAX_PORT:
        raise InvalidService("url", "expected https, a host in lower case and an optional port, nothing else")
    try:
        parse_host(match["host"])
    except InvalidHost:
        raise InvalidService(
            "url", "expected https and a DNS name in lower case or an IPv4 address"
        ) from None
    return text


def parse_stored_url(text: str) -> str:
    """Return ``text`` when it is a service URL with or without a path, as stock directories may hold it.

    httpx joins the path in front of the request's; aiohttp refuses it. Raises InvalidService (url).
    """
    start = text.find("/", len("https://"))
    if start >= 0:
        path = text[start:]
        if len(path) > MAX_URL or not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise InvalidService("url", "expected a path of plain segments")
        parse_service_url(text[:start])
        return text
    return parse_service_url(text)
