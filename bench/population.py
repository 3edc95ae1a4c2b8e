"""Who is there in a benchmark: one trust domain of ours, N partners with keys of their own, and their server.

The partners are one process (``partner.py``), so they share an endpoint and the authority that
vouches for it; kernel ids, keys, objects and pins are distinct.
"""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.partner import partner_key

from bilateral.engine.api import KubernetesAPI, load_configuration, path_of
from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.resources.labels import API_VERSION, GROUP, VERSION

DOMAIN = "org-a"
OUR_KERNEL_ID = "org-a-kernel"
NEWCOMER = "newcomer"
"""A label on the peers that are added while the others renew."""
_MANAGER = "bench"
_AT_ONCE = 24
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Partner:
    """The partners' server: its process, where it listens, and the authority that it is known by."""

    process: subprocess.Popen[str]
    port: int
    authority_pem: str
    authority_file: Path

    @property
    def url(self) -> str:
        """The endpoint of every partner."""
        return f"https://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Processor time that the partners' server used so far."""
        return process_cpu_seconds(self.process.pid)


@contextmanager
def run_partner(directory: Path) -> Iterator[Partner]:
    """Start the partners' server, with a certificate of an authority of its own, and end it."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    authority = generate_authority(
        Subject(common_name="Partner CA"), algorithm="ECDSAP256", validity_seconds=86_400, now=now
    )
    issued = issue_server_certificate(authority, ["127.0.0.1"], validity_seconds=43_200, now=now)
    files = {"tls.crt": issued.cert_pem, "tls.key": issued.key_pem, "ca.crt": authority.certificate_pem}
    for name, pem in files.items():
        (directory / name).touch(mode=0o600)
        (directory / name).write_bytes(pem)
    program = Path(__file__).with_name("partner.py")
    with subprocess.Popen(
        [sys.executable, program, directory / "tls.crt", directory / "tls.key"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the partner has no pipes")
        try:
            port = int(process.stdout.readline())
            yield Partner(process, port, authority.certificate_pem.decode(), directory / "ca.crt")
        finally:
            process.stdin.close()


def process_cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system (Linux)."""
    fields = Path(f"/proc/{pid}/schedstat").read_text().split()
    tasks = Path(f"/proc/{pid}/task")
    if tasks.is_dir():
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    return int(fields[0]) / 1e9


def peer_names(number: int) -> list[str]:
    """The names of N partners."""
    return [f"partner-{each:05d}" for each in range(number)]


class Endpointed(Protocol):
    """Somebody who can be asked: where, and by which authority it is known."""

    @property
    def url(self) -> str: ...

    @property
    def authority_pem(self) -> str: ...


def build_peer(name: str, partner: Endpointed | None, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """The FederationPeer of one partner, as a person would write it; without ``partner`` it only calls us."""
    kernel_id = f"{name}-kernel"
    endpoint = partner and {
        "url": partner.url,
        "verifier": {"certificateAuthority": {"pem": partner.authority_pem}},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "FederationPeer",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "trustDomain": DOMAIN,
            "kernelId": kernel_id,
            "displayName": f"Partner {name}",
            "trustAnchors": [{"publicKey": partner_key(kernel_id).public_key.canonical}],
            **({"endpoint": endpoint} if endpoint else {}),
        },
    }


def build_domain(window_seconds: int) -> dict[str, Any]:
    """Our TrustDomain, with the window for which its partners' pins are fresh."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TrustDomain",
        "metadata": {"name": DOMAIN},
        "spec": {
            "kernelId": OUR_KERNEL_ID,
            "endpoint": {"url": "https://127.0.0.1:8940"},
            "handshake": {"rotationWindowSeconds": window_seconds},
        },
    }


def path(plural: str, namespace: str, name: str | None = None) -> str:
    """The API path of objects of our kinds."""
    return path_of(plural, namespace, name, group=GROUP, version=VERSION)


async def create_all(kubeconfig: Path, plural: str, namespace: str, bodies: Iterable[dict[str, Any]]) -> None:
    """Create objects, some at a time."""
    api = KubernetesAPI(await load_configuration(str(kubeconfig), None))
    waiting = iter(list(bodies))

    async def create() -> None:
        for body in waiting:
            await api.create(path(plural, namespace), body, manager=_MANAGER)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(create())
    finally:
        await api.close()


async def list_all(kubeconfig: Path, plural: str, namespace: str) -> list[dict[str, Any]]:
    """Read every object of a kind, page by page."""
    api = KubernetesAPI(await load_configuration(str(kubeconfig), None))
    found: list[dict[str, Any]] = []
    query = f"?limit={_PAGE}"
    try:
        while True:
            page = await api.get(path(plural, namespace) + query)
            found += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return found
            query = f"?limit={_PAGE}&continue={following}"
    finally:
        await api.close()
