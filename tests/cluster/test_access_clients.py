"""All clients in both directions, over what the operator wrote: stock ``certified`` on the one side, ours on the other.

Org B's server and Org A's client are identities of one operator, mounted as a kubelet mounts them; the partner
between them is simulated, with Org B's authority. What ends, ends on connections that are open, too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import httpx
import pytest

from bilateral.client import (
    AsyncClient,
    Client,
    ClientError,
    server_ssl_context,
    service_url,
    ssl_context,
)
from bilateral.client.layout import write_layout
from bilateral.resources.times import parse_time
from cluster.clocked import ClockedOperator
from cluster.scene import DOMAINS, IDENTITIES, INTRODUCTIONS, PEERS, SERVICES, Object, Scene, open_scene
from interop.calls import CALLS, REFUSED, in_thread
from interop.stock import Stock
from support.waiting import wait_for
from testbed.cluster import Cluster
from testbed.kubelet import Pod, identity_volumes

pytestmark = pytest.mark.interop

ALIAS = "org-b-api"
PARTNER = "partner"
REFUSAL = r"(?i)alert|disconnect|reset|closed|^$"


@dataclass(frozen=True)
class Two:
    """A pod of Org A that calls, a pod of Org B that serves."""

    scene: Scene
    client: Path
    server: Path
    pods: tuple[Pod, ...]

    def sync(self) -> None:
        """Bring the mounts up to date."""
        for pod in self.pods:
            pod.sync()

    def move(self, port: int) -> None:
        """The service is at another port; return when the client's mounts say so."""
        url = f"https://localhost:{port}"
        self.scene.patch(SERVICES, ALIAS, {"spec": {"url": url}})
        file = self.client / "known-servers" / f"{ALIAS}.yaml"
        wait_for(lambda: file.is_file() and url in file.read_text(), "the service in the pod")


@contextmanager
def furnished(cluster: Cluster, directory: Path) -> Iterator[Two]:
    with open_scene(cluster, directory) as scene, ExitStack() as stack:
        scene.operator("--identity=replica-0", make=ClockedOperator)
        for domain in ("org-a", "org-b"):
            scene.add_domain(domain)
            scene.wait_ready(domain=domain)
            wait_for(partial(scene.secret, f"{domain}-authority"), "the list")
        authority = scene.get(DOMAINS, "org-b")["status"]["certificateAuthority"]["certificate"]
        scene.add_peer(PARTNER, certificateAuthorities={"mode": "Pinned", "pems": [authority]})
        scene.wait_ready(PARTNER)
        scene.add_identity("client1", clients=["self", PARTNER])
        scene.add_identity("api", "org-b", dnsNames=["localhost"], services={"mode": "Listed", "names": []})
        for name in ("client1", "api"):
            scene.wait(IDENTITIES, name, "Ready", status="True")
        subject = (scene.secret("client1-identity") or {})["tls.crt"].decode()
        introduction = issue(scene, "for-client1", subject)
        accept = {"identity": "client1", "peer": PARTNER, "introduction": introduction}
        scene.add(INTRODUCTIONS, "at-org-b", accept=accept)
        scene.wait(INTRODUCTIONS, "at-org-b", "Ready", status="True")
        scene.add(SERVICES, ALIAS, url="https://localhost:1", peer=PARTNER)
        scene.wait(SERVICES, ALIAS, "Ready", status="True")
        pods = tuple(
            stack.enter_context(
                Pod(scene.cluster, scene.namespace, directory / f"pod-{name}", identity_volumes(name, domain))
            )
            for name, domain in (("client1", "org-a"), ("api", "org-b"))
        )
        two = Two(scene, pods[0].root, pods[1].root, pods)
        wait_for(lambda: is_listed(two), "the partner in the list that the pod has mounted")
        yield two


def is_listed(two: Two) -> bool:
    """Whether the client's pod knows the partner as fresh; whoever is new is listed within ten seconds."""
    file = two.client / "peers" / "peers.json"
    return file.is_file() and two.scene.kernel(PARTNER) in file.read_text()


def issue(scene: Scene, name: str, subject: str, **services: str) -> str:
    """Have Org B's authority introduce a party; the JSON."""
    listed = [{"alias": alias.replace("_", "-"), "url": url} for alias, url in services.items()]
    spec: Object = {"trustDomain": "org-b", "subject": subject, "approval": "Approved", "services": listed}
    scene.add(INTRODUCTIONS, name, issue=spec)
    text: str = scene.wait(INTRODUCTIONS, name, "Ready", status="True")["status"]["introduction"]
    return text


@pytest.fixture(scope="module")
def two(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with furnished(cluster, tmp_path_factory.mktemp("access-clients")) as two:
        yield two


# Stock calls, ours serves


@pytest.mark.parametrize("call", CALLS)
def test_stock_in_a_layout_of_our_secrets_calls_our_server(
    two: Two, call: Callable[[Path], str], tmp_path: Path
) -> None:
    with in_thread(server_ssl_context(two.server)) as port:
        two.move(port)
        write_layout(two.client, tmp_path / "certified")
        assert call(tmp_path / "certified") == "self CN=client1"


@pytest.mark.parametrize("call", CALLS)
def test_a_party_of_stock_calls_our_server_while_it_is_introduced(
    two: Two, call: Callable[[Path], str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"stock-{request.node.callspec.id.lower()}"
    party = Stock(tmp_path / "party").init("Stock Party", "--uid", name, "--email", "p@org2.example")
    with in_thread(server_ssl_context(two.server)) as port:
        text = issue(two.scene, name, party.files()["id.crt"].decode(), org_b_api=f"https://localhost:{port}")
        party.add_introduction(text)
        assert "Stock Party" in call(party.path)
        listed = (two.server / "known-clients" / "self.crl").read_bytes()
        two.scene.delete(INTRODUCTIONS, name)
        wait_for(
            lambda: (two.server / "known-clients" / "self.crl").read_bytes() != listed, "the list in the pod"
        )
        with pytest.raises(Exception, match=REFUSAL):
            call(party.path)


# Ours calls, stock serves


def ours(config: Path) -> str:
    with Client(f"https://{ALIAS}", config=config) as http:
        return http.get("/").text


def ours_asynchronously(config: Path) -> str:
    async def call() -> str:
        async with AsyncClient(f"https://{ALIAS}", config=config) as http:
            return (await http.get("/")).text

    return asyncio.run(call())


def aiohttp_with_a_context(config: Path) -> str:
    async def call() -> str:
        connector = aiohttp.TCPConnector(ssl=ssl_context(ALIAS, config=config))
        url = service_url(ALIAS, config=config)
        async with aiohttp.ClientSession(url, connector=connector) as http, http.get("/") as answer:
            return await answer.text()

    return asyncio.run(call())


OURS = [
    pytest.param(ours, id="Client"),
    pytest.param(ours_asynchronously, id="AsyncClient"),
    pytest.param(aiohttp_with_a_context, id="ssl_context"),
]


@pytest.fixture(scope="module")
def stock_api(two: Two, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Stock certified, serving from a layout of the Secrets of Org B's identity."""
    directory = tmp_path_factory.mktemp("stock-api") / "certified"
    write_layout(two.server, directory)
    with Stock(directory).serving() as port:
        yield port


@pytest.mark.parametrize("call", OURS)
def test_our_clients_call_a_stock_server(two: Two, call: Callable[[Path], str], stock_api: int) -> None:
    two.move(stock_api)
    seen = json.loads(call(two.client))
    assert seen["subject"].endswith("commonName=client1")
    assert "org-b CA" in seen["issuer"]


@pytest.mark.parametrize("call", CALLS)
def test_stock_calls_stock_in_layouts_of_our_secrets(
    two: Two, call: Callable[[Path], str], stock_api: int, tmp_path: Path
) -> None:
    two.move(stock_api)
    write_layout(two.client, tmp_path / "certified")
    assert json.loads(call(tmp_path / "certified"))["subject"].endswith("commonName=client1")


# What ends, on connections that are open


def test_suspended_the_partner_is_not_called_on_an_open_connection(two: Two) -> None:
    with in_thread(server_ssl_context(two.server)) as port:
        two.move(port)
        with Client(f"https://{ALIAS}", config=two.client) as http:
            assert http.get("/").text == "self CN=client1"
            two.scene.patch(PEERS, PARTNER, {"spec": {"state": "Suspended"}})
            file = two.client / "known-servers" / f"{ALIAS}.yaml"
            wait_for(lambda: not file.exists(), "the service leaves the pod")
            with pytest.raises(ClientError) as caught:
                http.get("/")
            assert caught.value.reason.value in {"ServiceNotFound", "PeerStale"}
            two.scene.patch(PEERS, PARTNER, {"spec": {"state": "Active"}})
            wait_for(lambda: file.exists() and is_listed(two), "the service in the pod")
            wait_for(lambda: _says(http) == "self CN=client1", "the same client calls again")


def test_an_introduction_that_ends_is_refused_on_an_open_connection(two: Two, tmp_path: Path) -> None:
    party = Stock(tmp_path / "party").init("Open Party", "--uid", "open", "--email", "o@org2.example")
    from certified.cert import Certified

    with in_thread(server_ssl_context(two.server)) as port:
        text = issue(
            two.scene, "open", party.files()["id.crt"].decode(), org_b_api=f"https://localhost:{port}"
        )
        party.add_introduction(text)
        with Certified(party.path).Client(f"https://{ALIAS}") as http:
            assert "Open Party" in http.get("/").text
            listed = (two.server / "known-clients" / "self.crl").read_bytes()
            two.scene.patch(INTRODUCTIONS, "open", {"spec": {"issue": {"approval": "Denied"}}})
            wait_for(
                lambda: (two.server / "known-clients" / "self.crl").read_bytes() != listed,
                "the list in the pod",
            )
            with pytest.raises(REFUSED):
                http.get("/")


def _says(http: Client) -> str | None:
    try:
        return http.get("/").text
    except (ClientError, httpx.TransportError):
        return None


def test_stale_while_a_connection_is_open(cluster: Cluster, tmp_path: Path) -> None:
    with furnished(cluster, tmp_path) as two, in_thread(server_ssl_context(two.server)) as port:
        two.move(port)
        scene = two.scene
        (operator,) = scene.started
        assert isinstance(operator, ClockedOperator)
        with Client(f"https://{ALIAS}", config=two.client) as http:
            assert http.get("/").text == "self CN=client1"
            scene.silence(PARTNER)
            due = parse_time(scene.get(PEERS, PARTNER)["status"]["pin"]["rotationDue"])
            operator.set_clock(due - time.time())
            scene.wait(PEERS, PARTNER, "PeerStale", status="False")
            file = two.client / "known-servers" / f"{ALIAS}.yaml"
            wait_for(lambda: not file.exists(), "the service leaves the pod")
            with pytest.raises(ClientError) as caught:
                http.get("/")
            assert caught.value.reason.value in {"ServiceNotFound", "PeerStale"}
            # Whoever would serve the partner's parties accepts nobody of theirs any more.
            clients = {each.name for each in (two.client / "known-clients").glob("*.crt")}
            wait_for(
                lambda: {each.name for each in (two.client / "known-clients").glob("*.crt")} == {"self.crt"},
                f"the partner's authority leaves: {clients}",
            )
