"""A request by alias beside the same request by bare httpx, and by stock certified.

    PYTHONPATH=tests:. python bench/client.py [--rounds N] [--requests N]

All call one server, which runs in a process of its own, over TLS 1.3, each showing the same chain and
trusting the same authority. Ours reads Secrets as a kubelet lays them out, with the deadlines and the
authority's revocation list beside them; bare httpx is given PEM files; certified has a directory.

*First request*: a client is made, connects, asks once and is closed; bare httpx keeps its TLS context, ours
what it has read, certified has nothing to keep. *At a program's start*: the same, but bare httpx builds its
context, and ours reads, parses and checks everything that is mounted. *Repeated*: over one kept-alive
connection. The contestants take turns, so that whatever else the machine does strikes all of them alike;
figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import httpx
from bench.report import Row, percentile, print_report, progress
from certified.cert import Certified

from bilateral.client import AsyncClient, Client
from bilateral.pki.authority import Algorithm, generate_authority
from bilateral.pki.directory import (
    Party,
    TrustedAuthority,
    build_chain_files,
    build_client_files,
    build_directory,
    build_identity_files,
    build_server_files,
)
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.identities import HeldIdentity, generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.revocations import renew_revocation_list
from bilateral.pki.servers import issue_server_certificate
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PeerCA
from unit.client.pod import Volume, peers_json

ALIAS = "org2-api"
KERNEL = "org2-kernel"
DAY = 86_400
_BATCH = 10
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class World:
    """One server's port, and the same identity three times: as Secrets, as PEM files, as a directory."""

    port: int
    mounted: Path
    certified: Path
    chain: Path
    key: Path
    authority: Path

    @property
    def url(self) -> str:
        """The service's own address, which only bare httpx is told."""
        return f"https://localhost:{self.port}"


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(_ANSWER)


async def serve(files: Path) -> None:
    """Answer "ok" to callers that the authority certified, until the standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.load_cert_chain(files / "server.crt", files / "server.key")
    context.load_verify_locations(files / "ca.crt")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answering, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def build(folder: Path) -> Callable[[int], World]:
    """Make the certificates; returns what makes the world around a server's port."""
    now = datetime.now(UTC) - timedelta(hours=1)
    own, theirs = (
        generate_authority(
            Subject(organization=name, common_name=f"{name} CA"),
            algorithm=Algorithm.ECDSA_P256,
            validity_seconds=DAY,
            now=now,
        )
        for name in ("Org1", "Org2")
    )
    issued = issue_server_certificate(theirs, ["localhost"], validity_seconds=DAY // 2, now=now)
    key = generate_identity_key(Algorithm.ECDSA_P256)
    held = HeldIdentity(
        issue_identity(
            own, Subject(common_name="client1"), key.public_key(), validity_seconds=DAY // 2, now=now
        ),
        key,
    )
    introduction = issue_introduction(theirs, held.identity.certificate_pem, (), DAY // 2, now)
    listed = renew_revocation_list(theirs, [], None, lifetime_seconds=DAY, now=now)
    files: Mapping[str, bytes] = {
        "server.crt": issued.cert_pem,
        "server.key": issued.key_pem,
        "ca.crt": theirs.certificate_pem,
        "chain.crt": introduction.chain_pem,
        "chain.key": held.key_pem,
    }
    for name, content in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(content)

    def around(port: int) -> World:
        service = ServiceEntry(
            alias=ALIAS,
            url=f"https://localhost:{port}",
            verifier=PeerCA((theirs.certificate,)),
            auths=(introduction.authority_name, build_slug(theirs.certificate)),
            peer=KERNEL,
        )
        clients = (TrustedAuthority(theirs.certificate, listed, (KERNEL,)),)
        mounted = folder / "mounted"
        Volume(mounted / "identity", build_identity_files(held, own.certificate), mode=0o440)
        Volume(mounted / "id-chains", build_chain_files([introduction]))
        Volume(mounted / "known-servers", build_server_files([service], own.certificate))
        Volume(mounted / "known-clients", build_client_files(None, clients))
        Volume(mounted / "peers", {"peers.json": peers_json(org2_kernel=int(time.time()) + DAY)})
        party = Party(held, own.certificate, (introduction,), (service,), None, clients)
        for name, file in build_directory(party).items():
            path = folder / "certified" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=file.mode)
            path.write_bytes(file.content)
        return World(
            port, mounted, folder / "certified", folder / "chain.crt", folder / "chain.key", folder / "ca.crt"
        )

    return around


# The contestants: each makes a client.


def bare_context(world: World) -> ssl.SSLContext:
    """What a program writes that uses httpx and the same certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(world.authority)
    context.load_cert_chain(world.chain, world.key)
    return context


@lru_cache(maxsize=1)
def kept_context(world: World) -> ssl.SSLContext:
    """The context of a program that keeps it."""
    return bare_context(world)


def bare(world: World) -> httpx.Client:
    """Bare httpx."""
    return httpx.Client(base_url=world.url, verify=kept_context(world), trust_env=False)


def ours(world: World) -> httpx.Client:
    """Ours."""
    return Client(f"https://{ALIAS}", config=world.mounted)


def bare_at_start(world: World) -> httpx.Client:
    """Bare httpx in a program that has no context yet."""
    return httpx.Client(base_url=world.url, verify=bare_context(world), trust_env=False)


def ours_at_start(world: World) -> httpx.Client:
    """Ours in a program that has read nothing yet: what is kept belongs to the clock that it was read by."""
    return Client(f"https://{ALIAS}", config=world.mounted, now=lambda: time.time())  # noqa: PLW0108


def bare_asynchronous(world: World) -> httpx.AsyncClient:
    """Bare httpx for asyncio."""
    return httpx.AsyncClient(base_url=world.url, verify=kept_context(world), trust_env=False)


def ours_asynchronous(world: World) -> httpx.AsyncClient:
    """Ours for asyncio."""
    return AsyncClient(f"https://{ALIAS}", config=world.mounted)


# What is measured.


def ask(http: httpx.Client) -> None:
    """One request that must be answered."""
    if http.get("/").text != "ok":
        raise SystemExit("error: another answer")


async def ask_asynchronously(http: httpx.AsyncClient) -> None:
    """One request that must be answered."""
    if (await http.get("/")).text != "ok":
        raise SystemExit("error: another answer")


def measure_first(world: World, rounds: int) -> dict[str, list[float]]:
    """Seconds of a first request, of each contestant."""

    def certified() -> None:
        with Certified(world.certified).Client(f"https://{ALIAS}") as http:
            ask(http)

    def by(make: Callable[[World], httpx.Client]) -> Callable[[], None]:
        def once() -> None:
            with make(world) as http:
                ask(http)

        return once

    contestants = {
        "bare": by(bare),
        "ours": by(ours),
        "certified": certified,
        "bare_at_start": by(bare_at_start),
        "ours_at_start": by(ours_at_start),
    }
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 2):
        for name, once in contestants.items():
            started = time.perf_counter()
            once()
            if number >= 2:  # the first ones load modules
                took[name].append(time.perf_counter() - started)
    return took


async def measure_first_asynchronously(world: World, rounds: int) -> dict[str, list[float]]:
    """The same for asyncio."""
    took: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(rounds + 2):
        for name, make in (("bare", bare_asynchronous), ("ours", ours_asynchronous)):
            started = time.perf_counter()
            async with make(world) as http:
                await ask_asynchronously(http)
            if number >= 2:
                took[name].append(time.perf_counter() - started)
    return took


def measure_repeated(world: World, requests: int) -> dict[str, list[float]]:
    """Seconds of one request over a kept-alive connection, in batches that take turns."""
    took: dict[str, list[float]] = {"bare": [], "ours": [], "certified": []}
    with (
        bare(world) as one,
        ours(world) as two,
        Certified(world.certified).Client(f"https://{ALIAS}") as three,
    ):
        clients = dict(zip(took, (one, two, three), strict=True))
        for number in range(requests // _BATCH + 1):
            for name, http in clients.items():
                for _ in range(_BATCH):
                    started = time.perf_counter()
                    ask(http)
                    if number:
                        took[name].append(time.perf_counter() - started)
    return took


async def measure_repeated_asynchronously(world: World, requests: int) -> dict[str, list[float]]:
    """The same for asyncio."""
    took: dict[str, list[float]] = {"bare": [], "ours": []}
    async with bare_asynchronous(world) as one, ours_asynchronous(world) as two:
        clients = dict(zip(took, (one, two), strict=True))
        for number in range(requests // _BATCH + 1):
            for name, http in clients.items():
                for _ in range(_BATCH):
                    started = time.perf_counter()
                    await ask_asynchronously(http)
                    if number:
                        took[name].append(time.perf_counter() - started)
    return took


def without_collections(measure: Callable[[], dict[str, list[float]]]) -> dict[str, list[float]]:
    """Measure with the garbage collector at rest: its pauses fall on whoever is next."""
    gc.collect()
    gc.disable()
    try:
        return measure()
    finally:
        gc.enable()


def run(measure: Callable[[], Awaitable[dict[str, list[float]]]]) -> dict[str, list[float]]:
    """The same for asyncio."""

    async def measured() -> dict[str, list[float]]:
        return await measure()

    return without_collections(lambda: asyncio.run(measured()))


def rows_of(key: str, what: str, took: Mapping[str, list[float]]) -> list[Row]:
    """The rows of one kind of request; the first contestant is the reference."""
    middle = {name: 1e6 * statistics.median(values) for name, values in took.items()}
    rows = [
        Row(f"{key}_bare_us", f"{what}: bare httpx", middle["bare"], "µs"),
        Row(f"{key}_ours_us", "  ours", middle["ours"], "µs"),
        Row(f"{key}_ours_p99_us", "  ours, p99", 1e6 * percentile(took["ours"], 0.99), "µs"),
        Row(f"{key}_ratio", "  ours : bare", middle["ours"] / middle["bare"], "x", 1.1),
    ]
    if "certified" in middle:
        rows += [
            Row(f"{key}_certified_us", "  certified", middle["certified"], "µs"),
            Row(
                f"{key}_certified_ratio", "  ours : certified", middle["ours"] / middle["certified"], "x", 1.0
            ),
        ]
    if "ours_at_start" in middle:
        start, reference = middle["ours_at_start"], middle["bare_at_start"]
        rows += [
            Row(f"{key}_start_bare_us", "  at a program's start: bare httpx", reference, "µs"),
            Row(f"{key}_start_ours_us", "    ours", start, "µs"),
            Row(f"{key}_start_ratio", "    ours : bare", start / reference, "x"),
            Row(f"{key}_start_certified_ratio", "    ours : certified", start / middle["certified"], "x"),
        ]
    return rows


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="A request by alias beside bare httpx and stock certified.")
    parser.add_argument("--rounds", type=int, default=200, help="first requests of each (200)")
    parser.add_argument("--requests", type=int, default=2000, help="repeated requests of each (2000)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    with tempfile.TemporaryDirectory(prefix="bilateral-bench-") as name:
        folder = Path(name)
        around = build(folder)
        with subprocess.Popen(
            [sys.executable, __file__, "--serve", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            if server.stdin is None or server.stdout is None:
                raise RuntimeError("the server has no pipes")
            try:
                world = around(int(server.stdout.readline()))
                progress("first requests")
                first = without_collections(lambda: measure_first(world, options.rounds))
                first_asynchronous = run(lambda: measure_first_asynchronously(world, options.rounds))
                progress("repeated requests")
                repeated = without_collections(lambda: measure_repeated(world, options.requests))
                repeated_asynchronous = run(lambda: measure_repeated_asynchronously(world, options.requests))
            finally:
                server.stdin.close()
    rows = [
        *rows_of("first", "first request", first),
        *rows_of("first_async", "first request, asyncio", first_asynchronous),
        *rows_of("repeated", "repeated request", repeated),
        *rows_of("repeated_async", "repeated request, asyncio", repeated_asynchronous),
    ]
    what = f"{options.rounds} first and {options.requests} repeated requests of each, TLS 1.3, medians"
    facts: dict[str, object] = {"rounds": options.rounds, "requests": options.requests}
    return 0 if print_report("client", what, rows, facts) else 1


if __name__ == "__main__":
    sys.exit(main())
