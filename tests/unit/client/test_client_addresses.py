"""What was parsed once is what httpx would parse again: in every request the same address as httpx's own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bilateral.client import AsyncClient, Client
from bilateral.client.addresses import MAX_KEPT
from unit.client.pod import Pod

BASE = "https://api/v1/"


@pytest.fixture(params=[Client, AsyncClient])
def client(request: pytest.FixtureRequest, pod: Pod) -> Any:
    return request.param(BASE, config=pod.root)


def build(client: Any, url: httpx.URL | str, **options: Any) -> str:
    return str(client.build_request("GET", url, **options).url)


@pytest.mark.parametrize(
    "url",
    ["", "/", "/a", "a/b", "/a?x=1&y=%20", "/ü?q=ä", "https://other/c", "https://api:1/x#f", "//host/x"],
)
def test_an_address_is_the_same_every_time(url: str, client: Any) -> None:
    plain = httpx.Client(base_url=BASE)
    for _ in range(3):
        assert build(client, url) == str(plain.build_request("GET", url).url)
        assert build(client, httpx.URL(url)) == str(plain.build_request("GET", httpx.URL(url)).url)


def test_parameters_are_added_to_the_address_as_it_is_written(client: Any) -> None:
    plain = httpx.Client(base_url=BASE)
    each: list[Any] = [None, {"x": "2"}, {}, None, [("x", "3"), ("x", "4")], None]
    for params in each:
        made = str(plain.build_request("GET", "/a?x=1", params=params).url)
        assert build(client, "/a?x=1", params=params) == made
    plain.params = client.params = {"token": "t"}
    for _ in range(2):
        assert build(client, "/a?x=1") == str(plain.build_request("GET", "/a?x=1").url)
    plain.params = client.params = {}
    assert build(client, "/a?x=1") == str(plain.build_request("GET", "/a?x=1").url)


def test_another_base_is_another_address(client: Any) -> None:
    assert build(client, "/a") == "https://api/v1/a"
    client.base_url = "https://other"
    assert build(client, "/a") == "https://other/a"
    client.base_url = BASE
    assert build(client, "/a") == "https://api/v1/a"


def test_no_more_are_kept_than_so_many(client: Any) -> None:
    for number in range(3 * MAX_KEPT):
        assert build(client, f"/{number}").endswith(f"/{number}")
        assert len(client._addresses._kept[1]) <= MAX_KEPT


def test_what_is_no_address_is_refused_as_httpx_does(client: Any) -> None:
    for _ in range(2):
        with pytest.raises(httpx.InvalidURL):
            build(client, "https://a:b/")
