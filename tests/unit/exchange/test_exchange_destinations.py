"""R-S1 and R-S2: where a URL that a tenant wrote may lead."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.exchange.addresses import is_public, parse_address
from bilateral.exchange.destinations import (
    MAX_ADDRESSES,
    Destinations,
    Location,
    SystemResolver,
    is_inside,
    parse_url,
)
from bilateral.exchange.errors import InvalidDestination, OutboundError
from bilateral.protocol.reasons import Reason

NOTHING = Destinations.parse([])

# Each row: why it must not be reached, and the URL. None of them may get as far as a resolver.
REFUSED_WITHOUT_A_LIST = {
    "plain http": "http://partner.example.org",
    "no scheme": "partner.example.org",
    "scheme-relative": "//partner.example.org",
    "another scheme": "file:///etc/passwd",
    "gopher": "gopher://partner.example.org",
    "leading space": " https://partner.example.org",
    "trailing newline": "https://partner.example.org\n",
    "CRLF in the host": "https://partner.example.org\r\nX-Evil: 1",
    "CRLF in the path": "https://partner.example.org/a\r\nX-Evil: 1",
    "tab in the host": "https://part\tner.example.org",
    "NUL in the host": "https://partner.example.org\x00.evil.example",
    "empty host": "https://",
    "empty host with a path": "https:///v1",
    "empty host with a port": "https://:8940",
    "one slash": "https:/partner.example.org",
    "userinfo": "https://user@partner.example.org",
    "userinfo with a password": "https://user:pass@partner.example.org",
    "allowed name as userinfo": "https://partner.example.org@127.0.0.1",
    "allowed name and port as userinfo": "https://partner.example.org:443@127.0.0.1",
    "backslash": "https://partner.example.org\\@127.0.0.1",
    "backslashes for slashes": "https:\\\\127.0.0.1",
    "query": "https://partner.example.org?x=1",
    "query after the path": "https://partner.example.org/v1?x=1",
    "fragment": "https://partner.example.org#x",
    "fragment hiding a host": "https://127.0.0.1#@partner.example.org",
    "percent-encoded dot": "https://127%2e0%2e0%2e1",
    "percent-encoded host": "https://%6c%6f%63alhost",
    "percent-encoded path": "https://partner.example.org/%2e%2e/x",
    "dot segment": "https://partner.example.org/../x",
    "single dot segment": "https://partner.example.org/./x",
    "double slash in the path": "https://partner.example.org//x",
    "port of the mail": "https://partner.example.org:25",
    "port of ssh": "https://partner.example.org:22",
    "port zero": "https://partner.example.org:0",
    "port with a leading zero": "https://partner.example.org:0443",
    "port too large": "https://partner.example.org:65536",
    "port with a sign": "https://partner.example.org:+443",
    "port in other digits": "https://partner.example.org:\uff14\uff14\uff13",
    "empty port": "https://partner.example.org:",
    "loopback": "https://127.0.0.1",
    "loopback with a port": "https://127.0.0.1:8940",
    "another loopback": "https://127.8.9.10",
    "loopback, short": "https://127.1",
    "loopback, decimal": "https://2130706433",
    "loopback, octal": "https://0177.0.0.1",
    "loopback, hexadecimal": "https://0x7f000001",
    "loopback, hexadecimal parts": "https://0x7f.0x0.0x0.0x1",
    "loopback, upper-case hexadecimal": "https://0X7F.0.0.1",
    "loopback, zero-padded": "https://127.000.000.001",
    "loopback, trailing dot": "https://127.0.0.1.",
    "loopback, v6": "https://[::1]",
    "loopback, v6 written out": "https://[0:0:0:0:0:0:0:1]",
    "loopback, v4-mapped": "https://[::ffff:127.0.0.1]",
    "loopback, v4-mapped in hexadecimal": "https://[::ffff:7f00:1]",
    "loopback, v4-compatible": "https://[::127.0.0.1]",
    "loopback behind NAT64": "https://[64:ff9b::7f00:1]",
    "loopback behind 6to4": "https://[2002:7f00:1::]",
    "unspecified": "https://0.0.0.0",
    "unspecified, short": "https://0",
    "unspecified, v6": "https://[::]",
    "private": "https://10.0.0.1",
    "private, middle block": "https://172.16.3.4",
    "private, last block": "https://192.168.1.1",
    "cloud metadata": "https://169.254.169.254",
    "cloud metadata, decimal": "https://2852039166",
    "cloud metadata, v6": "https://[fd00:ec2::254]",
    "link-local with a zone": "https://[fe80::1%25eth0]",
    "link-local with a bare zone": "https://[fe80::1%eth0]",
    "carrier-grade NAT": "https://100.64.0.1",
    "broadcast": "https://255.255.255.255",
    "multicast": "https://224.0.0.1",
    "a public literal": "https://8.8.8.8",
    "a public v6 literal": "https://[2606:4700::1111]",
    "literal without brackets": "https://::1",
    "bracket left open": "https://[::1",
    "name in brackets": "https://[partner.example.org]",
    "ends in a number": "https://partner.example.123",
    "ends in a hexadecimal number": "https://partner.example.0x7f",
    "localhost": "https://localhost",
    "LOCALHOST": "https://LOCALHOST",
    "below localhost": "https://a.localhost",
    "one label": "https://kubernetes",
    "service": "https://kubernetes.default.svc",
    "service, upper case": "https://Kubernetes.Default.SVC",
    "service, full name": "https://kubernetes.default.svc.cluster.local",
    "mDNS": "https://printer.local",
    "internal": "https://metadata.google.internal",
    "home network": "https://router.home.arpa",
    "trailing dot": "https://partner.example.org.",
    "service with a trailing dot": "https://kubernetes.default.svc.",
    "two dots": "https://partner..example.org",
    "leading dot": "https://.partner.example.org",
    "label too long": f"https://{'a' * 64}.example.org",
    "name too long": f"https://{'a.' * 130}example.org",
    "leading hyphen": "https://-partner.example.org",
    "trailing hyphen": "https://partner-.example.org",
    "underscore": "https://part_ner.example.org",
    "asterisk": "https://*.example.org",
    "ideographic full stop": "https://127\u30020\u30020\u30021",
    "full-width full stop": "https://kubernetes\uff0edefault\uff0esvc",
    "full-width digits": "https://\uff11\uff12\uff17.0.0.1",
    "circled letters": "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
    "soft hyphen": "https://local\u00adhost",
    "zero-width space": "https://partner\u200b.example.org",
    "right-to-left override": "https://partner\u202e.example.org",
    "broken A-label": "https://xn--a.example.org",
    "over-long URL": "https://partner.example.org/" + "a" * 3000,
    "empty": "",
}


@pytest.mark.parametrize("url", REFUSED_WITHOUT_A_LIST.values(), ids=REFUSED_WITHOUT_A_LIST)
def test_is_refused_before_any_lookup(url: str) -> None:
    with pytest.raises(OutboundError) as caught:
        NOTHING.locate(url)
    assert caught.value.reason is Reason.DESTINATION_REFUSED


def test_the_table_is_as_long_as_required() -> None:
    assert len(REFUSED_WITHOUT_A_LIST) >= 60


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://partner.example.org", Location("partner.example.org", 443, "", None)),
        ("https://partner.example.org/", Location("partner.example.org", 443, "", None)),
        ("HTTPS://Partner.Example.ORG:8940", Location("partner.example.org", 8940, "", None)),
        ("https://partner.example.org:443/trust/", Location("partner.example.org", 443, "/trust", None)),
        ("https://p.example/a/.well-known/b", Location("p.example", 443, "/a/.well-known/b", None)),
        ("https://xn--bcher-kva.example", Location("xn--bcher-kva.example", 443, "", None)),
        ("https://bücher.example", Location("xn--bcher-kva.example", 443, "", None)),
        ("https://BÜCHER.example", Location("xn--bcher-kva.example", 443, "", None)),
        ("https://straße.example", Location("xn--strae-oqa.example", 443, "", None)),
        ("https://evil-svc.example", Location("evil-svc.example", 443, "", None)),
        ("https://1.2.3.4.example", Location("1.2.3.4.example", 443, "", None)),
    ],
)
def test_a_public_name_is_located_in_its_one_form(url: str, location: Location) -> None:
    assert NOTHING.locate(url) == location


@pytest.mark.parametrize(
    ("entries", "url", "allowed"),
    [
        (["127.0.0.0/8"], "https://127.0.0.1:8940", True),
        (["127.0.0.0/8"], "https://[::ffff:127.0.0.1]:8940", True),
        (["127.0.0.1"], "https://127.0.0.1", True),
        (["127.0.0.1"], "https://127.0.0.2", False),
        (["127.0.0.0/8"], "https://128.0.0.1", False),
        (["::1"], "https://[::1]:8940", True),
        (["::1"], "https://[0:0::1]:8940", True),
        (["::1"], "https://127.0.0.1", False),
        (["fd00::/8"], "https://[fd12::1]", True),
        (["127.0.0.0/8"], "https://2130706433", False),
        (["127.0.0.0/8"], "https://0x7f.1", False),
        (["127.0.0.0/8"], "https://0177.0.0.1", False),
        (["127.0.0.0/8"], "https://127.1", False),
        (["127.0.0.0/8"], "https://localhost", False),
        (["8.8.8.8"], "https://8.8.8.8", True),
        (["localhost"], "https://localhost:8940", True),
        (["LocalHost"], "https://LOCALHOST:8940", True),
        (["trust.svc"], "https://trust.svc", True),
        (["trust.svc"], "https://trust.svc:8940", True),
        (["trust.svc"], "https://other.svc", False),
        (["trust.svc"], "https://a.trust.svc", False),
        (["trust.svc"], "https://eviltrust.svc", False),
        (["trust.svc"], "https://trust.svc.cluster.local", False),
        (["*.org-b.svc"], "https://trust.org-b.svc", True),
        (["*.org-b.svc"], "https://a.trust.org-b.svc", True),
        (["*.org-b.svc"], "https://org-b.svc", False),
        (["*.org-b.svc"], "https://evilorg-b.svc", False),
        (["*.org-b.svc"], "https://trust.org-b.svc.cluster.local", False),
        (["*.bücher.local"], "https://trust.xn--bcher-kva.local", True),
    ],
)
def test_an_entry_widens_exactly_what_it_says(entries: list[str], url: str, allowed: bool) -> None:
    destinations = Destinations.parse(entries)
    if allowed:
        destinations.locate(url)
    else:
        with pytest.raises(OutboundError):
            destinations.locate(url)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "**.example.org",
        "a*.example.org",
        "trust.svc.",
        "*.svc.",
        "127.0.0.1/8",
        "10.0.0.0/33",
        "127.1",
        "2130706433",
        "https://trust.svc",
        "trust.svc:8940",
        "tr ust.svc",
        "0.0.0.0/-1",
        "::g",
        "1.2.3.4.5",
    ],
)
def test_an_entry_that_is_nothing_is_named_by_its_place(entry: str) -> None:
    with pytest.raises(InvalidDestination) as caught:
        Destinations.parse(["127.0.0.0/8", entry])
    assert caught.value.position == 2
    assert "entry 2" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("100.63.255.255", True),
        ("100.64.0.0", False),
        ("172.15.255.255", True),
        ("172.32.0.0", True),
        ("192.88.99.1", False),
        ("198.17.255.255", True),
        ("198.19.255.255", False),
        ("203.0.113.9", False),
        ("223.255.255.255", True),
        ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("2606:4700::1111", True),
        ("2001:200::1", True),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("2002:808:808::1", False),
        ("3fff::1", False),
        ("64:ff9b::808:808", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("::8.8.8.8", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("4000::1", False),
        ("::", False),
        ("::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(parse_address(address)) is public


@given(st.ip_addresses())
def test_no_public_address_is_one_that_python_calls_private(address: object) -> None:
    plain = parse_address(str(address))
    if is_public(plain):
        assert not plain.is_private
        assert not plain.is_multicast
        assert not plain.is_reserved or plain.version == 6


class Answers:
    """A resolver that gives one answer after the other, and notes what it was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("entries", "answer", "reason"),
    [
        ([], ["1.1.1.1"], None),
        ([], ["1.1.1.1", "2606:4700::1111"], None),
        ([], ["1.1.1.1", "10.0.0.1"], Reason.DESTINATION_REFUSED),
        ([], ["1.1.1.1", "fd00::1"], Reason.DESTINATION_REFUSED),
        ([], ["2606:4700::1111", "::ffff:127.0.0.1"], Reason.DESTINATION_REFUSED),
        ([], ["127.0.0.1"], Reason.DESTINATION_REFUSED),
        ([], ["169.254.169.254"], Reason.DESTINATION_REFUSED),
        ([], ["64:ff9b::808:808"], Reason.DESTINATION_REFUSED),
        ([], ["fe80::1%eth0"], Reason.NAME_NOT_RESOLVED),
        ([], [], Reason.NAME_NOT_RESOLVED),
        ([], ["not an address"], Reason.NAME_NOT_RESOLVED),
        ([], [f"1.1.{i}.1" for i in range(MAX_ADDRESSES + 1)], Reason.NAME_NOT_RESOLVED),
        (["127.0.0.0/8"], ["127.0.0.1"], None),
        (["127.0.0.0/8"], ["127.0.0.1", "1.1.1.1"], None),
        (["127.0.0.0/8"], ["127.0.0.1", "::1"], Reason.DESTINATION_REFUSED),
        (["*.example.org"], ["127.0.0.1"], Reason.DESTINATION_REFUSED),
    ],
)
async def test_every_resolved_address_must_be_allowed(
    entries: list[str], answer: list[str], reason: Reason | None
) -> None:
    destinations = Destinations.parse(entries)
    location = destinations.locate("https://partner.example.org")
    if reason is None:
        found = await destinations.resolve(location, Answers(answer))
        assert found == tuple(parse_address(text) for text in answer)
    else:
        with pytest.raises(OutboundError) as caught:
            await destinations.resolve(location, Answers(answer))
        assert caught.value.reason is reason


async def test_a_name_is_looked_up_as_absolute_unless_it_is_listed() -> None:
    answers = Answers(["1.1.1.1"], ["1.1.1.1"])
    await NOTHING.resolve(parse_url("https://a.example"), answers)
    await Destinations.parse(["*.example"]).resolve(parse_url("https://a.example"), answers)
    assert answers.asked == ["a.example.", "a.example"]


async def test_a_literal_is_not_looked_up() -> None:
    answers = Answers()
    found = await Destinations.parse(["::1"]).resolve(parse_url("https://[::1]"), answers)
    assert found == (ip_address("::1"),)
    assert answers.asked == []


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), TimeoutError(), UnicodeError()]
)
async def test_a_failed_lookup_is_a_name_not_resolved(error: Exception) -> None:
    async def fail(_: str) -> Sequence[str]:
        raise error

    with pytest.raises(OutboundError) as caught:
        await NOTHING.resolve(parse_url("https://a.example"), fail)
    assert caught.value.reason is Reason.NAME_NOT_RESOLVED


async def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("bilateral.exchange.destinations.RESOLVE_SECONDS", 0.01)
    with pytest.raises(OutboundError) as caught:
        await NOTHING.resolve(parse_url("https://a.example"), hang)
    assert caught.value.reason is Reason.NAME_NOT_RESOLVED


async def test_the_system_resolver_knows_this_machine() -> None:
    resolver = SystemResolver(threads=1)
    try:
        assert "127.0.0.1" in await resolver("localhost")
    finally:
        resolver.close()


@pytest.mark.parametrize("name", ["a", "a.svc", "a.b.cluster.local", "x.internal", "localhost"])
def test_names_of_the_inside(name: str) -> None:
    assert is_inside(name)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://p.example", "p.example"),
        ("https://p.example:8940", "p.example:8940"),
        ("https://[::1]:8940", "[::1]:8940"),
        ("https://[::1]", "[::1]"),
        ("https://127.0.0.1:8940", "127.0.0.1:8940"),
    ],
)
def test_the_host_header_names_what_was_asked(url: str, authority: str) -> None:
    assert parse_url(url).authority == authority


@given(st.text(max_size=60))
def test_no_text_escapes_as_another_error(text: str) -> None:
    for url in (text, "https://" + text):
        try:
            location = NOTHING.locate(url)
        except OutboundError as error:
            assert error.reason is Reason.DESTINATION_REFUSED  # noqa: PT017 - refusing is allowed, not required
        else:
            assert location.host.isascii()
            assert location.address is None
