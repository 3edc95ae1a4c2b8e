"""Where the operator may connect to: which URLs, which names, which addresses.

A FederationPeer's URL is written by a tenant, and the operator sits inside the cluster: without
this module a tenant could aim it at anything in there. Rules (``exchange.md``, R-S1 and R-S2):

- https only; a host, an optional port that is 443 or at least 1024, an optional plain path; no
  userinfo, query, fragment, percent-encoding, backslash, trailing dot or empty label.
- A host is compared in its IDNA 2008 form, in lower case, anchored at both ends.
- An IP literal is refused unless it lies in an allowed range; spellings other than the plain one
  (decimal, octal, hexadecimal, short) are refused always.
- Names of the inside (one label, localhost, ``.svc``, ``.cluster.local``, ``.local``,
  ``.internal``, …) are refused unless an entry names them: exactly, or as ``*.suffix``.
- A name is resolved once, and *every* address must be public or in an allowed range; the caller
  connects to those very addresses.

The allow list only widens: with an empty one, any public name with public addresses is reached.
It opens no connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

import idna

from bilateral.exchange.addresses import Address, is_public, parse_address
from bilateral.exchange.errors import InvalidDestination, OutboundError
from bilateral.protocol.reasons import Reason

RESOLVE_SECONDS = 2.0
MAX_URL_CHARACTERS = 2048
MAX_ADDRESSES = 64
"""A name with more addresses is not resolved: an honest endpoint has a handful."""

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Name → the text of its addresses; raises OSError when there are none."""

_URL = re.compile(
    r"https://(\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\\%\s]+)(?::([1-9][0-9]{0,4}))?(/[^?#\\%\s]*)?", re.IGNORECASE
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INSIDE = (
    "localhost", "svc", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa",
    "localdomain", "invalid", "test", "onion",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed URL: what to ask, and whom. ``address`` is set when the host is an IP literal."""

    host: str
    port: int
    path: str
    address: Address | None

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Destinations:
    """The administrator's allow list, and the rules that hold without one."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Destinations:
        """Read entries: an address, a range in CIDR form, a name, or ``*.`` and a suffix.

        Raises InvalidDestination with the position of the first entry that is none of these.
        """
        networks: list[IPv4Network | IPv6Network] = []
        names: set[str] = set()
        suffixes: list[str] = []
        for position, entry in enumerate(entries, 1):
            try:
                if re.fullmatch(r"[0-9.]+(/[0-9]+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]+)?", entry):
                    networks.append(ip_network(entry))
                elif entry.startswith("*."):
                    suffixes.append("." + normalise_name(entry[2:]))
                else:
                    names.add(normalise_name(entry))
            except ValueError:
                raise InvalidDestination(position) from None
        return cls(tuple(networks), frozenset(names), tuple(suffixes))

    def is_named(self, name: str) -> bool:
        """Whether an entry names this host (already in normal form)."""
        return name in self.names or any(name.endswith(suffix) for suffix in self.suffixes)

    def is_address_allowed(self, address: Address) -> bool:
        """Whether an address may be connected to: public, or in an allowed range."""
        return is_public(address) or self._is_listed(address)

    def _is_listed(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def locate(self, url: str) -> Location:
        """Parse a URL and apply every rule that needs no resolver.

        Raises OutboundError(DestinationRefused).
        """
        location = parse_url(url)
        if location.address is not None:
            if not self._is_listed(location.address):
                raise OutboundError(Reason.DESTINATION_REFUSED)
        elif is_inside(location.host) and not self.is_named(location.host):
            raise OutboundError(Reason.DESTINATION_REFUSED)
        return location

    async def resolve(self, location: Location, resolver: Resolver) -> tuple[Address, ...]:
        """Resolve a located host, once; every address returned may be connected to.

        Raises OutboundError: NameNotResolved (no answer within two seconds, no address, an answer
        that is no address), or DestinationRefused when a single address is not allowed.
        """
        if location.address is not None:
            return (location.address,)
        # With a final dot no search list applies, so that "a.b" cannot become a service "a" in a
        # namespace "b". A name that the administrator listed is looked up as it is written: it may
        # be of the cluster, or of the hosts file.
        name = location.host if self.is_named(location.host) else location.host + "."
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                answers = await resolver(name)
            addresses = tuple(dict.fromkeys(parse_address(answer) for answer in answers))
        except (OSError, ValueError):
            # TimeoutError is an OSError; UnicodeError, from a codec in the resolver, a ValueError.
            raise OutboundError(Reason.NAME_NOT_RESOLVED) from None
        if not 1 <= len(addresses) <= MAX_ADDRESSES:
            raise OutboundError(Reason.NAME_NOT_RESOLVED)
        if not all(self.is_address_allowed(address) for address in addresses):
            raise OutboundError(Reason.DESTINATION_REFUSED)
        return addresses


def parse_url(url: str) -> Location:
    """Split an endpoint's URL strictly; raises OutboundError(DestinationRefused) for any other form."""
    match = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARACTERS else None
    if match is None:
        raise OutboundError(Reason.DESTINATION_REFUSED)
    host, port, path = match[1], int(match[2] or 443), match[3] or ""
    if not (port == 443 or 1024 <= port <= 65535) or not _is_plain_path(path):
        raise OutboundError(Reason.DESTINATION_REFUSED)
    try:
        address = _parse_literal(host)
        name = str(address) if address is not None else normalise_name(host)
    except ValueError:
        raise OutboundError(Reason.DESTINATION_REFUSED) from None
    return Location(name, port, path.rstrip("/"), address)


def _is_plain_path(path: str) -> bool:
    return _PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))


def _parse_literal(host: str) -> Address | None:
    """Parse an IP literal; None for a name; ValueError for an address in a spelling of its own."""
    if host.startswith("["):
        return parse_address(host[1:-1])
    # The rule of the WHATWG URL standard, "ends in a number": such a host is an address to some
    # parser, whatever it is to others.
    if _NUMBER.fullmatch(host.lower().removesuffix(".").rpartition(".")[2]):
        return parse_address(host)
    return None


def normalise_name(name: str) -> str:
    """Bring a host name to its one form: IDNA 2008 A-labels in lower case. Raises ValueError."""
    if not name.isascii():
        # strict: only "." separates labels. Without it U+3002 and its like would, too.
        name = idna.encode(name.lower(), strict=True).decode("ascii")
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("not a host name")
    if any(label.startswith("xn--") for label in labels):
        idna.decode(name, strict=True)
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("a host name does not end in a number")
    return name


def is_inside(name: str) -> bool:
    """Whether a name (in normal form) means something inside: it is only reached when listed."""
    return "." not in name or any(name == suffix or name.endswith("." + suffix) for suffix in _INSIDE)


class SystemResolver:
    """The host's own resolver, in a few threads of its own.

    Threads of its own, because a resolver that hangs keeps its thread beyond our timeout, and the
    loop's default threads serve others.
    """

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, name: str) -> list[str]:
        """Look up every address of a name; raises OSError (gaierror)."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """Take no more names, and do not wait for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)
