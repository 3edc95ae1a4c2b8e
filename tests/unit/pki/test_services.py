"""Aliases and URLs: nothing that leaves the directory, nothing that a client of certified chokes on."""

from __future__ import annotations

import pytest

from bilateral.pki.errors import InvalidService
from bilateral.pki.services import (
    parse_alias,
    parse_service,
    parse_service_url,
    parse_services,
    parse_stored_url,
)
from bilateral.protocol.reasons import Reason


@pytest.mark.parametrize(
    "alias", ["a", "org2-api", "api.org2", "xn--rg-eka", "a" * 63, ".".join(["a" * 60] * 4), "3d"]
)
def test_dns_labels_are_aliases(alias: str) -> None:
    assert parse_alias(alias) == alias


@pytest.mark.parametrize(
    "alias",
    ["", ".", "..", "../x", "/x", "a/b", "a\\b", "Org2", "a_b", "a:443", "a b", "a\n", "é", "-a", "a-", "a..b", "a.",
     "a" * 64, "a" * 300, "10.0.0.1", "a.1", "%2e", "a\0b", "\uff41"],
)  # fmt: skip
def test_anything_else_is_refused(alias: str) -> None:
    with pytest.raises(InvalidService) as caught:
        parse_alias(alias)
    assert (caught.value.cause, caught.value.reason) == ("alias", Reason.INVALID_SPEC)
    assert len(alias) < 3 or alias not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://a", "https://api.org2.example:9443", "https://10.0.0.1:1", "https://a.example:65535"]
)
def test_host_and_port_are_a_url(url: str) -> None:
    assert parse_service_url(url) == parse_stored_url(url) == url


BAD_URLS = [
    "", "https://", "http://a.example", "a.example", "//a.example", "https:/a.example", "HTTPS://a.example",
    "https://A.example", "https://u@a.example", "https://u:p@a.example", "https://a.example?x", "https://a.example#x",
    "https://a.example:", "https://a.example:0", "https://a.example:01", "https://a.example:65536",
    "https://a.example:x", "https://[::1]:443", "https://é.example", "https://a.example\n", " https://a.example",
    "https://a.example\\@b.example", "https://a_b.example", "https://*.example", "https://1.2.3",
    "https://" + "a" * 300, "https://a.example:443:443", "https://a%2eb",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_any_other_url_is_refused(url: str) -> None:
    for parse in (parse_service_url, parse_stored_url):
        with pytest.raises(InvalidService) as caught:
            parse(url)
        assert caught.value.cause == "url"


def test_a_path_is_read_from_a_directory_and_never_written() -> None:
    for url in ("https://a.example/", "https://a.example:1/v1/api~x", "https://a.example/a;b=c"):
        assert parse_stored_url(url) == url
        with pytest.raises(InvalidService):
            parse_service_url(url)
    for url in (
        "https://a.example/../b",
        "https://a.example/./b",
        "https://a.example/b?x",
        "https://a.example/b#x",
        "https://a.example/%2e",
        "https://a.example/b\n",
        "https:///b",
        "https://a.example/" + "b" * 400,
    ):
        with pytest.raises(InvalidService):
            parse_stored_url(url)


def test_services_keep_their_order() -> None:
    listed = parse_services({"b": "https://b.example", "a": "https://a.example"})
    assert [service.alias for service in listed] == ["b", "a"]
    assert listed[0] == parse_service("b", "https://b.example")


def test_too_many_services_are_refused() -> None:
    with pytest.raises(InvalidService) as caught:
        parse_services({f"a{n}": "https://a.example" for n in range(65)})
    assert caught.value.cause == "too-many"
