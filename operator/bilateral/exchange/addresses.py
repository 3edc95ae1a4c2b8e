"""Which addresses are public: the one question of the outbound address rule.

Rules: an address is public only if it is global unicast *and* embeds no other address; whatever
is unknown is not public. The tables are the IANA special-purpose registries (RFC 6890 and its
updates), written out because the answers of ``ipaddress.is_global`` changed between patch
releases of Python.

It resolves nothing and knows no allow list.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and every cloud's metadata service
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the limited broadcast
    )
)

# Everything outside 2000::/3 is loopback, mapped, NAT64, unique local, link-local, multicast or not
# assigned; within it, these are not public either.
_GLOBAL_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments: Teredo (embeds IPv4), ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 (embeds IPv4)
        "3fff::/20",  # documentation
    )
)


def parse_address(text: str) -> Address:
    """Parse an address and return it in its plainest form: an IPv4-mapped one as IPv4.

    Raises ValueError for anything else, zone identifiers (``%eth0``) included.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("a zone identifier is not part of an address")
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Whether an address is global unicast and stands for itself."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_V4)
    return address in _GLOBAL_V6 and not any(address in block for block in _NOT_PUBLIC_V6)
