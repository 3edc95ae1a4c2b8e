"""Hosts as certificates name them: DNS names and IP addresses, in one spelling each.

Rules: a DNS name is lower-case ASCII, letters, digits and hyphens, at most 253 characters; its last
label is not a number, so that nothing is both a name and an address. An international name is given in
its ASCII form (``xn--``). Matching follows RFC 9525: subjectAltName only, the whole left-most label may
be ``*``, addresses match addresses only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from cryptography import x509

from bilateral.pki.errors import InvalidHost

MAX_DNS_NAME = 253
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Host: TypeAlias = str | IPv4Address | IPv6Address


def parse_host(text: str) -> Host:
    """Parse a DNS name (returned as it is) or an IP address without brackets, port or zone.

    Raises InvalidHost with ``cause``: empty, too-long, zone, upper-case, not-a-name.
    """
    if not text:
        raise InvalidHost("empty", "expected a DNS name or an IP address, found nothing")
    if len(text) > MAX_DNS_NAME:
        raise InvalidHost("too-long", f"expected at most {MAX_DNS_NAME} characters, found {len(text)}")
    if "%" in text:
        raise InvalidHost("zone", "an address with a zone means something on one machine only")
    try:
        return ip_address(text)
    except ValueError:
        return _parse_dns_name(text)


def _parse_dns_name(text: str) -> str:
    if text.isascii() and text != text.lower():
        raise InvalidHost("upper-case", "expected a lower-case DNS name")
    labels = text.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise InvalidHost("not-a-name", "expected a DNS name (letters, digits, hyphens) or an IP address")
    return text


def build_alternative_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Build subjectAltName entries for ``hosts``, in order, each once. Raises InvalidHost."""
    names: list[x509.GeneralName] = []
    for text in hosts:
        host = parse_host(text)
        name: x509.GeneralName = x509.DNSName(host) if isinstance(host, str) else x509.IPAddress(host)
        if name not in names:
            names.append(name)
    if not names:
        raise InvalidHost("empty", "expected at least one DNS name or IP address, found none")
    return names


def is_covered(host: Host, names: x509.SubjectAlternativeName) -> bool:
    """Say whether ``names`` cover ``host`` (RFC 9525 section 6.3); the common name is never asked."""
    if not isinstance(host, str):
        return host in names.get_values_for_type(x509.IPAddress)
    return any(_is_dns_match(host, pattern.lower()) for pattern in names.get_values_for_type(x509.DNSName))


def _is_dns_match(host: str, pattern: str) -> bool:
    if pattern == host:
        return True
    _, _, parent = host.partition(".")
    # "*" stands for one whole label, and never for all names of a top-level domain.
    return pattern == f"*.{parent}" and "." in parent
