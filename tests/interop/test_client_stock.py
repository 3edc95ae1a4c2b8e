"""The pod's side against the real ``certified``: our client and its server, its clients and our server.

Both kinds of directory: the one that ``certified init`` made, and Secrets as a kubelet mounts them, the
latter for the stock program by way of ``bilateral layout``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certified.cert import Certified

from bilateral.client import (
    AsyncClient,
    Client,
    NoUsableChain,
    RefusedByServer,
    ServiceNotFound,
    server_ssl_context,
    service_url,
    ssl_context,
)
from bilateral.client.layout import write_layout
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.services import Service
from bilateral.pki.verifiers import PeerCA
from interop.calls import CALLS, REFUSED, in_thread
from interop.stock import Stock, caller_of
from unit.client.pod import DAY, Organisation, Pod, make_organisation
from unit.client.serving import environment

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def org2(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """A stock organisation that serves as localhost; the name has all that names may have."""
    return Stock(tmp_path_factory.mktemp("org2") / "certified").init(
        "--org", 'Org2, "Inc."', "--unit", "Unité 2", "--host", "localhost"
    )


@pytest.fixture(scope="module")
def org2_api(org2: Stock) -> Iterator[int]:
    with org2.serving() as port:
        yield port


@pytest.fixture
def client1(tmp_path: Path) -> Stock:
    return Stock(tmp_path / "client1").init("Client One", "--email", "client1@org1.example")


@pytest.fixture
def org_b() -> Organisation:
    return make_organisation("Org B")


@pytest.fixture
def server(tmp_path: Path, org_b: Organisation) -> Pod:
    """A pod of ours that serves as localhost."""
    return Pod(tmp_path / "server", org_b, org_b.identity("api", "localhost"))


def introduce(by: Stock, subject: bytes, **services: str) -> str:
    """``certified introduce``, and the services that a person adds to what it prints."""
    made = json.loads(by.introduce(subject))
    return json.dumps({**made, "services": {name.replace("_", "-"): url for name, url in services.items()}})


# --- our client, stock server -----------------------------------------------------------------------------


async def test_our_client_in_a_stock_directory_calls_a_stock_server(
    org2: Stock, org2_api: int, client1: Stock
) -> None:
    with Client("https://org2-api", config=client1.path) as http, pytest.raises(ServiceNotFound):
        http.get("/")
    intro = introduce(org2, (client1.path / "id.crt").read_bytes(), org2_api=f"https://localhost:{org2_api}")
    client1.add_introduction(intro)
    before = client1.files()
    with Client("https://org2-api/some", config=client1.path) as http:
        seen = caller_of(http.get("/path").raise_for_status().text)
    assert seen["subject"] == "commonName=Client One"
    assert "organizationalUnitName=Unité 2" in seen["issuer"]
    async with AsyncClient("https://org2-api", config=client1.path) as asynchronous:
        assert caller_of((await asynchronous.get("/")).text) == seen
    with environment(CERTIFIED_CONFIG=str(client1.path), BILATERAL_CONFIG=None), Client() as http:
        assert caller_of(http.get("https://org2-api/").text) == seen
    # Read, and left as it was.
    assert client1.files() == before


def test_our_client_with_mounted_secrets_calls_a_stock_server(
    org2: Stock, org2_api: int, tmp_path: Path
) -> None:
    org_a = make_organisation("Org A")
    pod = Pod(tmp_path / "mounted", org_a, org_a.identity("client1"))
    introduction = parse_introduction(introduce(org2, pod.held.identity.certificate_pem))
    pod.know(
        "org2-api",
        f"https://localhost:{org2_api}",
        PeerCA((introduction.authority,)),
        auths=[introduction.authority_name, introduction.slug],
    )
    with Client("https://org2-api", config=pod.root) as http:
        with pytest.raises(NoUsableChain):
            http.get("/")
        pod.take(introduction)
        seen = caller_of(http.get("/").text)
    assert seen["subject"] == "organizationName=Org A,commonName=client1"
    assert "organizationalUnitName=Unité 2" in seen["issuer"]


def test_a_stock_server_that_does_not_know_us_is_named(
    org2: Stock, org2_api: int, client1: Stock, tmp_path: Path
) -> None:
    """The chain of another organisation, where the service says that it would do."""
    org3 = Stock(tmp_path / "org3").init("--org", "Org3", "--unit", "Unit3", "--host", "localhost")
    client1.add_introduction(introduce(org3, (client1.path / "id.crt").read_bytes()))
    client1.add_introduction(
        introduce(org2, (client1.path / "id.crt").read_bytes(), org2_api=f"https://localhost:{org2_api}")
    )
    service = client1.path / "known_servers" / "org2-api.yaml"
    other = parse_introduction(introduce(org3, (client1.path / "id.crt").read_bytes())).authority_name
    service.write_text(f"url: https://localhost:{org2_api}\nauths: [{json.dumps(other)}]\n")
    org2_ca = json.loads(org2.run("get-signer"))["ca_cert"]
    service.write_text(service.read_text() + f"cert: {org2_ca}\n")
    with (
        Client("https://org2-api", config=client1.path) as http,
        pytest.raises((RefusedByServer, *REFUSED)) as caught,
    ):
        http.get("/")
    assert isinstance(caught.value, RefusedByServer) or caught.value.__notes__


def test_our_context_serves_a_stock_directory_to_stock_clients(client1: Stock, org2: Stock) -> None:
    """Org2's own directory, with our server in place of its."""
    with in_thread(server_ssl_context(org2.path)) as port:
        url = f"https://localhost:{port}"
        client1.add_introduction(introduce(org2, (client1.path / "id.crt").read_bytes(), ours=url))
        with Certified(client1.path).Client("https://ours") as http:
            assert http.get("/").text == "self CN=Client One"


# --- stock clients, our server ----------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_stock_clients_are_known_to_our_server_after_an_introduction_only(
    call: Callable[[Path], str], client1: Stock, server: Pod, org_b: Organisation
) -> None:
    """Ours introduces, ``certified add-intro`` installs; before and after the introduction is refused."""
    server.accept(org_b)
    with in_thread(server_ssl_context(server.root)) as port:
        subject = (client1.path / "id.crt").read_bytes()
        service = Service("org-b-api", f"https://localhost:{port}")
        introduction = issue_introduction(org_b.authority, subject, [service], DAY, datetime.now(UTC))
        client1.add_introduction(introduction.to_json())
        chain = next((client1.path / "id").iterdir())
        kept = chain.read_bytes()
        chain.write_bytes((client1.path / "id.crt").read_bytes())
        with pytest.raises(Exception, match=r"(?i)alert|disconnect|reset|closed|^$"):
            call(client1.path)
        chain.write_bytes(kept)
        assert call(client1.path) == f"{org_b.slug} CN=Client One"
        org_b.revoke(introduction.certificate)
        server.accept(org_b)
        with pytest.raises(Exception, match=r"(?i)alert|disconnect|reset|closed|^$"):
            call(client1.path)


@pytest.mark.parametrize("call", CALLS)
def test_stock_clients_work_in_a_layout_of_mounted_secrets(
    call: Callable[[Path], str], tmp_path: Path, server: Pod, org_b: Organisation
) -> None:
    org_a = make_organisation("Org A")
    pod = Pod(tmp_path / "mounted", org_a, org_a.identity("client1"))
    write_layout(pod.root, tmp_path / "certified")
    assert (tmp_path / "certified" / "id.key").stat().st_mode & 0o777 == 0o600
    server.accept(org_b)
    with in_thread(server_ssl_context(server.root)) as port:
        # What comes into the Secrets later shows by itself.
        introduction = org_b.introduce(pod.held)
        pod.take(introduction)
        pod.know(
            "org-b-api",
            f"https://localhost:{port}",
            org_b,
            auths=[introduction.authority_name, org_b],
            peer="org-b-kernel",
        )
        assert call(tmp_path / "certified") == f"{org_b.slug} CN=client1,O=Org A"


def test_a_stock_server_serves_from_a_layout_of_mounted_secrets(
    tmp_path: Path, server: Pod, org_b: Organisation
) -> None:
    org_a = make_organisation("Org A")
    pod = Pod(tmp_path / "mounted", org_a, org_a.identity("client1"))
    pod.take(org_b.introduce(pod.held))
    server.accept(org_b)
    write_layout(server.root, tmp_path / "certified")
    with Stock(tmp_path / "certified").serving() as port:
        pod.know("api", f"https://localhost:{port}", org_b, auths=[org_b])
        with Client("https://api", config=pod.root) as http:
            seen = caller_of(http.get("/").text)
    assert seen["issuer"] == "organizationName=Org B,commonName=Org B CA"


# --- a context of ours in somebody else's client --------------------------------------------------------


async def test_a_context_of_ours_carries_aiohttp(org2: Stock, org2_api: int, client1: Stock) -> None:
    import aiohttp

    client1.add_introduction(
        introduce(org2, (client1.path / "id.crt").read_bytes(), org2_api=f"https://localhost:{org2_api}")
    )
    url = service_url("org2-api", config=client1.path)
    connector = aiohttp.TCPConnector(ssl=ssl_context("org2-api", config=client1.path))
    async with aiohttp.ClientSession(url, connector=connector) as http, http.get("/") as answer:
        assert caller_of(await answer.text())["subject"] == "commonName=Client One"
