"""docs/client.md tells the truth: its examples run, its names exist."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bilateral.client
from bilateral.client import Client, ClientError, server_ssl_context
from bilateral.pki.identities import HeldIdentity
from unit.client.applications import serving_aiohttp, serving_uvicorn
from unit.client.pod import Organisation, Pod
from unit.client.serving import Loopback, environment, server_context, serving

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?ms)^```python\n(.*?)^```", DOCS)


def example(holding: str) -> dict[str, Any]:
    """Run the one block that holds a text, as a module would be, and return its names."""
    (source,) = [block for block in BLOCKS if holding in block]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "docs/client.md", "exec"), names)
    return names


@pytest.fixture
def api(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> Iterator[Loopback]:
    with serving(server_context(api_b, [org_b])) as seen, environment(BILATERAL_CONFIG=str(introduced.root)):
        for alias in ("org-a-api", "ledger"):
            introduced.servers.update({f"{alias}.yaml": _service(introduced, alias, seen, org_b)})
        yield seen


def _service(pod: Pod, alias: str, seen: Loopback, org_b: Organisation) -> bytes:
    pod.know(alias, seen.url, org_b, auths=[org_b])
    return pod.servers.files[f"{alias}.yaml"]


def test_the_first_example(api: Loopback) -> None:
    assert example('with Client("https://org-a-api")')["answer"].text == "ok"
    assert api.requests == [b"GET /invoices HTTP/1.1"]


async def test_the_example_of_the_asynchronous_client(api: Loopback) -> None:
    assert await example("AsyncClient()")["balance"]() == "ok"
    assert api.requests == [b"GET /invoices HTTP/1.1", b"POST /entries HTTP/1.1"]


async def test_the_example_of_another_client(api: Loopback) -> None:
    assert await example("TCPConnector")["invoices"]() == "ok"
    assert len(api.callers) == 1


@pytest.fixture
def server(tmp_path: Path, org_b: Organisation) -> Pod:
    pod = Pod(tmp_path / "server", org_b, org_b.identity("api", "localhost"))
    pod.accept(org_b)
    return pod


def ask_and_withdraw(
    introduced: Pod, server: Pod, org_a: Organisation, org_b: Organisation, port: int
) -> None:
    introduced.know("api", f"https://localhost:{port}", org_b, auths=[org_b])
    with Client("https://api", config=introduced.root) as http:
        assert http.get("/").text == f"CN=client1,O=Org A by {org_b.slug}"
        server.accept(org_a)
        assert http.get("/").status_code == 403


async def test_the_aiohttp_server(
    introduced: Pod, server: Pod, org_a: Organisation, org_b: Organisation
) -> None:
    app = example("web.Application")["app"]
    async with serving_aiohttp(app, server_ssl_context(server.root)) as port:
        await asyncio.to_thread(ask_and_withdraw, introduced, server, org_a, org_b, port)


def test_the_uvicorn_server(introduced: Pod, server: Pod, org_a: Organisation, org_b: Organisation) -> None:
    with (
        environment(BILATERAL_CONFIG=str(server.root)),
        serving_uvicorn(example("uvicorn.Config")["config"]) as port,
    ):
        ask_and_withdraw(introduced, server, org_a, org_b, port)


def test_every_example_is_run_here() -> None:
    assert len(BLOCKS) == 5


def test_every_public_name_is_described_and_every_error_with_its_reason() -> None:
    for name in bilateral.client.__all__:
        assert f"`{name}" in DOCS or re.search(rf"\b{name}\b", "".join(BLOCKS)), name
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (\w+) \|", DOCS))
    errors = {
        name: value.reason.value
        for name in bilateral.client.__all__
        if isinstance(value := getattr(bilateral.client, name), type)
        and issubclass(value, ClientError)
        and value is not ClientError
    }
    assert rows == errors
