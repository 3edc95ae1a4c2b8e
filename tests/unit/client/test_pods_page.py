"""docs/pods.md: a developer who reads nothing else gets a pod to call its service.

What the page shows is what lies in examples/; its pods mount what the client reads; its programs run here,
each with the Secrets mounted where its own manifest mounts them.
"""

from __future__ import annotations

import asyncio
import re
import runpy
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from bilateral.client import server_ssl_context
from bilateral.client.places import CONFIG_VARIABLE, DEFAULT_ROOT
from bilateral.pki.identities import HeldIdentity
from support.waiting import wait_for
from unit.client.applications import serving_aiohttp, serving_uvicorn
from unit.client.pod import Organisation, Pod, make_organisation
from unit.client.serving import environment, server_context, serving

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
PROGRAMS = EXAMPLES / "pod" / "programs"
PAGE = (ROOT / "docs" / "pods.md").read_text(encoding="utf-8")
MANIFESTS = re.findall(r"(?ms)^```yaml\n(.*?)^```", PAGE)
DOCUMENTS: list[dict[str, Any]] = [document for block in MANIFESTS for document in yaml.safe_load_all(block)]
PARTS = ("identity", "id-chains", "known-servers", "known-clients", "peers", "key")


def found(kind: str, name: str) -> dict[str, Any]:
    (document,) = [each for each in DOCUMENTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return document


def program(name: str) -> str:
    """A program as the pages show it: without what only a linter reads."""
    return re.sub(r"  # (type: ignore|noqa).*", "", (PROGRAMS / name).read_text(encoding="utf-8"))


def test_what_the_page_shows_lies_in_the_examples() -> None:
    there = [file.read_text(encoding="utf-8") for file in sorted(EXAMPLES.rglob("*.yaml"))]
    for block in MANIFESTS:
        assert [text for text in there if block in text], block


def test_the_page_has_all_that_is_needed() -> None:
    assert [(each["kind"], each["metadata"]["name"]) for each in DOCUMENTS] == [
        ("WorkloadIdentity", "client1"),
        ("TrustedService", "org2-api"),
        ("Introduction", "client1-at-org-b"),
        ("ConfigMap", "client1"),
        ("Deployment", "client1"),
        ("WorkloadIdentity", "api"),
        ("ConfigMap", "api"),
        ("Deployment", "api"),
        ("Service", "api"),
        ("WorkloadIdentity", "client3"),
        ("Deployment", "client3"),
        ("Deployment", "client2"),
    ]


def test_the_programs_in_the_manifests_and_on_the_pages_are_the_examples() -> None:
    client = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    assert found("ConfigMap", "client1")["data"]["client.py"] == program("client.py")
    assert found("ConfigMap", "api")["data"]["server.py"] == program("server_aiohttp.py")
    for name in ("server_aiohttp.py", "server_asgi.py"):
        assert f"```python\n{program(name)}```" in client


@pytest.mark.parametrize(
    ("name", "domain", "parts"),
    [
        ("client1", "org-a", {*PARTS} - {"key"}),
        ("api", "org-b", {"identity", "known-clients", "peers"}),
        ("client3", "org-a", {*PARTS}),
    ],
)
def test_a_pod_mounts_what_the_client_reads(name: str, domain: str, parts: set[str]) -> None:
    pod = found("Deployment", name)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {"name": CONFIG_VARIABLE, "value": str(DEFAULT_ROOT)} in container["env"]
    assert mounted(pod, container) == {
        part: {"peers": f"{domain}-peers"}.get(part, f"{name}-{part}") for part in parts
    }


def test_the_stock_pod_makes_its_directory_from_the_same_mounts() -> None:
    pod = found("Deployment", "client2")["spec"]["template"]["spec"]
    layout, sidecar = pod["initContainers"]
    command = ["bilateral", "layout", str(DEFAULT_ROOT), "/certified"]
    assert (layout["command"], sidecar["command"]) == (command, [*command, "--watch"])
    assert sidecar["restartPolicy"] == "Always"
    (container,) = pod["containers"]
    assert container["env"] == [{"name": "CERTIFIED_CONFIG", "value": "/certified"}]
    # The links are absolute: whoever follows them has the same mounts.
    parts = {*PARTS} - {"key", "peers"}
    for each in (layout, sidecar, container):
        assert mounted(pod, each) == {part: f"client2-{part}" for part in parts}
        assert {"name": "certified", "mountPath": "/certified"} in each["volumeMounts"]
    (target,) = [volume for volume in pod["volumes"] if volume["name"] == "certified"]
    assert target["emptyDir"] == {"medium": "Memory"}


def mounted(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
    """Which Secret is mounted as which part, whole and to be read only."""
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume
    }
    found: dict[str, str] = {}
    for mount in container["volumeMounts"]:
        path = Path(mount["mountPath"])
        if path.parent == DEFAULT_ROOT:
            assert mount["readOnly"]
            # A kubelet never updates what is mounted by subPath.
            assert "subPath" not in mount
            found[path.name] = secrets[mount["name"]]
    return found


def test_every_pod_is_a_restricted_one() -> None:
    """As the namespace's Pod Security Standard "restricted" asks."""
    for document in DOCUMENTS:
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}


# --- the programs run -----------------------------------------------------------------------------------


@contextmanager
def running_client(pod: Pod, folder: Path) -> Iterator[list[str]]:
    """The client's program of the manifest in a process of its own; its lines as they come."""
    file = folder / "client.py"
    file.write_text(found("ConfigMap", "client1")["data"]["client.py"], encoding="utf-8")
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, file],
        env={CONFIG_VARIABLE: str(pod.root), "PATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        stream = process.stderr
        reader = threading.Thread(target=lambda: lines.extend(line.rstrip("\n") for line in stream))
        reader.start()
        try:
            yield lines
        finally:
            process.terminate()
            reader.join(20)


def test_the_pod_calls_its_service(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity, tmp_path: Path
) -> None:
    introduced.mount_peers(org_b_kernel=4_000_000_000)
    with serving(server_context(api_b, [org_b])) as api:
        introduced.know("org2-api", api.url, org_b, auths=[org_b], peer="org-b-kernel")
        with running_client(introduced, tmp_path) as lines:
            wait_for(lambda: lines, "the program has called")
    assert lines == ["200 ok"]
    assert api.requests == [b"GET / HTTP/1.1"]


def test_the_pod_says_what_is_missing(introduced: Pod, tmp_path: Path) -> None:
    with running_client(introduced, tmp_path) as lines:
        wait_for(lambda: lines, "the program has said what is missing")
    assert lines[0].startswith("refused: ServiceNotFound: no service 'org2-api'")


@pytest.fixture
def partner() -> Organisation:
    """Of its own: it withdraws something."""
    return make_organisation("Org B")


@pytest.fixture
def caller(pod: Pod, partner: Organisation) -> Pod:
    pod.take(partner.introduce(pod.held))
    return pod


@pytest.fixture
def server(tmp_path: Path, partner: Organisation) -> Pod:
    pod = Pod(tmp_path / "server", partner, partner.identity("api", "localhost"))
    pod.accept(partner)
    return pod


def call_and_withdraw(caller: Pod, server: Pod, partner: Organisation, port: int, folder: Path) -> None:
    """The client's program against a server's; then the introduction is withdrawn under the running server."""
    caller.know("org2-api", f"https://localhost:{port}", partner, auths=[partner])
    with running_client(caller, folder) as lines:
        wait_for(lambda: lines, "the program has called")
    assert lines == [f"200 CN=client1,O=Org A by {partner.slug}"]
    held = partner.introduce(caller.held)
    caller.take(held)
    partner.revoke(held.certificate)
    server.accept(partner)
    with running_client(caller, folder) as lines:
        wait_for(lambda: lines, "the program was refused")
    assert re.match("refused: RefusedByPartner|failed:", lines[0])


async def test_the_aiohttp_program_serves(
    caller: Pod, server: Pod, partner: Organisation, tmp_path: Path
) -> None:
    app = runpy.run_path(str(PROGRAMS / "server_aiohttp.py"), run_name="example")["app"]
    async with serving_aiohttp(app, server_ssl_context(server.root)) as port:
        await asyncio.to_thread(call_and_withdraw, caller, server, partner, port, tmp_path)


def test_the_asgi_program_serves(caller: Pod, server: Pod, partner: Organisation, tmp_path: Path) -> None:
    with environment(BILATERAL_CONFIG=str(server.root)):
        config = runpy.run_path(str(PROGRAMS / "server_asgi.py"), run_name="example")["config"]
        with serving_uvicorn(config) as port:
            call_and_withdraw(caller, server, partner, port, tmp_path)


def test_the_page_of_a_pod_explains_the_program_it_shows() -> None:
    (shown,) = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE)
    compile(shown, "docs/pods.md", "exec")
    assert 'Client("https://org2-api")' in shown
    assert textwrap.dedent(shown) == shown
