"""How fast the federation endpoint answers over kept-alive TLS connections, and what a flood does to it.

    PYTHONPATH=tests:. python bench/endpoint.py [--seconds S] [--peers N] [--no-cluster]

Throughput: each server runs in a process of its own and is asked over 16 kept-alive TLS 1.3
connections by this process, with envelopes of N partners that are signed as they are sent. In the
same run, one after another: aiohttp's bare server, the endpoint with an empty handler, the endpoint
with the operator's own handler on an API server that is a dictionary (``serving.py``), and the
operator itself on the real API server, where each handshake is a status write as well. Processor time
is that of the server alone, which is what counts where the client shares the machine.

Flood: against that same operator, with its limits as shipped. Known partners renew, 20 a second from
an address of their own, first undisturbed; then while a stranger sends envelopes with valid
signatures as fast as 32 connections allow, from one address, and from 32 (addresses of 127.0.0.0/8).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import itertools
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.partner import partner_key
from bench.population import (
    DOMAIN,
    OUR_KERNEL_ID,
    build_domain,
    build_peer,
    create_all,
    peer_names,
    process_cpu_seconds,
)
from bench.report import Row, percentile, print_report, progress
from bench.serving import HOST

from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.protocol.handshake import build_envelope
from bilateral.protocol.keys import SigningKey
from testbed.chart import RELEASE
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess, OperatorSettings

CONNECTIONS = 16
FLOOD_CONNECTIONS = 32
KNOWN_INTERVAL = 0.05
_HEAD = (
    "POST /v1/federation/handshake HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


def sign(kernel_id: str, key: SigningKey) -> bytes:
    """An envelope of a partner to us, of now."""
    return build_envelope(
        local_kernel_id=kernel_id,
        remote_kernel_id=OUR_KERNEL_ID,
        nonce=str(uuid.uuid4()),
        timestamp=int(time.time()),
        key=key,
    ).to_json()


class Caller:
    """One kept-alive connection from an address of ours; connects again when it was closed."""

    def __init__(
        self, port: int, context: ssl.SSLContext, host: str, source: str = "127.0.0.1", head: str = _HEAD
    ) -> None:
        self._port = port
        self._context = context
        self._host = host
        self._source = source
        self._head = head
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """Send an envelope; the status of the answer."""
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the server ended it, idle as it was
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1",
                self._port,
                ssl=self._context,
                server_hostname=self._host,
                local_addr=(self._source, 0),
            )
        reader, writer = self._streams
        writer.write(self._head.format(host=self._host, length=len(body)).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


@dataclass(slots=True)
class Load:
    """What came of a load: answers by status, seconds of each, the server's processor time."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    server_cpu: float = 0.0

    @property
    def per_second(self) -> float:
        """Handshakes that ended in an envelope, per second."""
        return self.statuses[200] / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of the server for each request, µs."""
        return 1e6 * self.server_cpu / max(1, sum(self.statuses.values()))


async def run_load(callers: list[Caller], bodies: Callable[[], bytes], seconds: float, pid: int) -> Load:
    """Ask over every connection, as fast as each answers, for some seconds."""
    load = Load()
    await asyncio.gather(*(caller.post(bodies()) for caller in callers))  # connected and warm
    end = time.perf_counter() + seconds

    async def ask(caller: Caller) -> None:
        while (started := time.perf_counter()) < end:
            load.statuses[await caller.post(bodies())] += 1
            load.took.append(time.perf_counter() - started)

    cpu, begun = process_cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(ask(caller) for caller in callers))
    load.seconds = time.perf_counter() - begun
    load.server_cpu = process_cpu_seconds(pid) - cpu
    for caller in callers:
        caller.close()
    return load


def partners(peers: int, begin: int = 0) -> Callable[[], bytes]:
    """Envelopes of one known partner after another."""
    numbers = itertools.cycle([f"{name}-kernel" for name in peer_names(peers)[begin:]])
    return lambda: sign((kernel_id := next(numbers)), partner_key(kernel_id))


def strangers() -> Callable[[], bytes]:
    """Envelopes of nobody that we know, their signatures right; signed before, so that they come fast."""
    signed = itertools.cycle([sign(f"stranger-{each}", SigningKey.generate()) for each in range(256)])
    return lambda: next(signed)


# Servers of our own


@contextlib.contextmanager
def run_server(
    mode: str, peers: int, directory: Path, program: str = "serving.py"
) -> Iterator[tuple[int, int]]:
    """Start a server; its port and its pid."""
    with subprocess.Popen(
        [
            sys.executable,
            Path(__file__).with_name(program),
            mode,
            str(peers),
            directory / "tls.crt",
            directory / "tls.key",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server has no pipes")
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()


def write_certificates(directory: Path) -> None:
    """A server certificate, its key and its authority, in files."""
    now = datetime.datetime.now(datetime.UTC)
    authority = generate_authority(
        Subject(common_name="Bench CA"), algorithm="ECDSAP256", validity_seconds=86_400, now=now
    )
    issued = issue_server_certificate(authority, [HOST], validity_seconds=43_200, now=now)
    for name, pem in (
        ("tls.crt", issued.cert_pem),
        ("tls.key", issued.key_pem),
        ("ca.crt", authority.certificate_pem),
    ):
        (directory / name).touch(mode=0o600)
        (directory / name).write_bytes(pem)


def measure_own(mode: str, peers: int, seconds: float, directory: Path) -> Load:
    """Put load on one of our servers."""
    progress(f"{mode} server")
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    with run_server(mode, peers, directory) as (port, pid):
        callers = [Caller(port, context, HOST) for _ in range(CONNECTIONS)]
        load = asyncio.run(run_load(callers, partners(peers), seconds, pid))
    if set(load.statuses) != {200}:
        raise SystemExit(f"error: the {mode} server refused: {dict(load.statuses)}")
    return load


# The operator


@contextlib.contextmanager
def run_operator(peers: int, directory: Path) -> Iterator[tuple[OperatorProcess, ssl.SSLContext]]:
    """The operator on a real API server, with partners that are known and only answer."""
    with Cluster.start(directory / "cluster", audit=False) as cluster:
        cluster.install_crds()
        cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": "operator"}})
        cluster.install_chart("operator")
        operator = OperatorProcess(
            OperatorSettings(
                kubeconfig=cluster.service_account_kubeconfig("operator", RELEASE),
                namespaces=("operator",),
                lease_namespace="operator",
            ),
            directory / "operator",
        )
        domain = build_domain(43_200)
        domain["spec"]["endpoint"]["url"] = f"https://{HOST}:{operator.port}"
        asyncio.run(create_all(cluster.kubeconfig, "trustdomains", "operator", [domain]))
        bodies = [build_peer(name, None) for name in peer_names(peers)]
        asyncio.run(create_all(cluster.kubeconfig, "federationpeers", "operator", bodies))
        try:
            operator.start()
            cluster.adopt("operator", operator.record)
            yield operator, trust(cluster, operator, peers)
        finally:
            operator.close()


def trust(cluster: Cluster, operator: OperatorProcess, peers: int) -> ssl.SSLContext:
    """Wait until every peer was looked at; how its partners verify the operator."""
    deadline = time.monotonic() + 60 + peers * 0.05
    while time.monotonic() < deadline:
        looked = operator.metrics().total("bilateral_writes_total", kind="federationpeers")
        found = cluster.get("trustdomains.bilateral.dev", DOMAIN, "operator")
        authority = ((found or {}).get("status") or {}).get("certificateAuthority")
        if authority is not None and looked >= peers and operator.probe("/readyz") == 200:
            return ssl.create_default_context(cadata=authority["certificate"])
        time.sleep(0.5)
    raise SystemExit("error: the operator did not look at every peer")


async def renew(
    operator: OperatorProcess, context: ssl.SSLContext, bodies: Callable[[], bytes], seconds: float
) -> Load:
    """Known partners renew at an even pace from one address."""
    load = Load(seconds=seconds)
    caller = Caller(operator.port, context, HOST, "127.0.2.1")
    begun = time.perf_counter()
    for number in range(int(seconds / KNOWN_INTERVAL)):
        due = begun + number * KNOWN_INTERVAL
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        load.statuses[await caller.post(bodies())] += 1
        load.took.append(time.perf_counter() - due)  # from when it was due: waiting counts
    caller.close()
    return load


async def flood(
    operator: OperatorProcess,
    context: ssl.SSLContext,
    bodies: Callable[[], bytes],
    seconds: float,
    sources: int,
) -> tuple[Load, Load]:
    """Known partners renew while a stranger sends what it can; both loads."""
    callers = [
        Caller(operator.port, context, HOST, f"127.0.3.{1 + number % sources}")
        for number in range(FLOOD_CONNECTIONS)
    ]
    stranger = asyncio.create_task(run_load(callers, strangers(), seconds + 2.0, operator.record.pid))
    await asyncio.sleep(1.0)
    known = await renew(operator, context, bodies, seconds)
    return known, await stranger


async def measure_operator(
    operator: OperatorProcess, context: ssl.SSLContext, peers: int, seconds: float
) -> tuple[Load, Load, tuple[Load, Load], tuple[Load, Load]]:
    """Throughput, then known partners alone, with a stranger at one address, and at 32."""
    bodies = partners(peers)
    callers = [Caller(operator.port, context, HOST, f"127.0.1.{each + 1}") for each in range(CONNECTIONS)]
    progress("the operator on the real API server")
    throughput = await run_load(callers, bodies, seconds, operator.record.pid)
    progress("known partners alone, and while a stranger floods")
    await asyncio.sleep(2.0)
    alone = await renew(operator, context, bodies, seconds)
    one = await flood(operator, context, bodies, seconds, 1)
    many = await flood(operator, context, bodies, seconds, FLOOD_CONNECTIONS)
    return throughput, alone, one, many


def own_rows(bare: Load, empty: Load, decides: Load) -> list[Row]:
    """The servers of our own."""
    return [
        Row("bare_per_second", "aiohttp's bare server, constant answer", bare.per_second, "/s"),
        Row("bare_cpu_us", "  processor time each", bare.cpu_us, "µs"),
        Row("empty_per_second", "endpoint, empty handler", empty.per_second, "/s"),
        Row("empty_cpu_us", "  processor time each", empty.cpu_us, "µs"),
        Row(
            "decides_per_second",
            "endpoint, handshakes decided, writes to a dictionary",
            decides.per_second,
            "/s",
        ),
        Row("decides_cpu_us", "  processor time each", decides.cpu_us, "µs"),
        Row(
            "decides_ratio", "  handshake : empty handler, processor time", decides.cpu_us / empty.cpu_us, "x"
        ),
        Row("decides_p99_ms", "  p99", 1e3 * percentile(decides.took, 0.99), "ms"),
    ]


def operator_rows(
    empty: Load, throughput: Load, alone: Load, one: tuple[Load, Load], many: tuple[Load, Load]
) -> list[Row]:
    """The operator itself."""
    rows = [
        Row("operator_per_second", "operator, real API server", throughput.per_second, "/s"),
        Row("operator_cpu_us", "  processor time each", throughput.cpu_us, "µs"),
        Row(
            "operator_ratio",
            "  handshake : empty handler, processor time",
            throughput.cpu_us / empty.cpu_us,
            "x",
        ),
        Row("operator_p99_ms", "  p99 of 16 at once", 1e3 * percentile(throughput.took, 0.99), "ms"),
        Row("known_p50_ms", "known partner alone, 20/s: p50", 1e3 * percentile(alone.took, 0.5), "ms"),
        Row("known_p99_ms", "  p99", 1e3 * percentile(alone.took, 0.99), "ms"),
    ]
    for key, what, (known, stranger) in (("one", "one address", one), ("many", "32 addresses", many)):
        sent, limited = sum(stranger.statuses.values()), stranger.statuses[429]
        answered = known.statuses[200] / len(known.took)
        rows += [
            Row(f"{key}_sent", f"stranger at {what}: requests", sent / stranger.seconds, "/s"),
            Row(f"{key}_limited", "  of which refused by rate (429)", limited / stranger.seconds, "/s"),
            Row(f"{key}_known_answered", "  known partners answered", answered, "", 1.0, "at least"),
            Row(f"{key}_known_p50_ms", "  known partner p50", 1e3 * percentile(known.took, 0.5), "ms"),
            Row(f"{key}_known_p99_ms", "  known partner p99", 1e3 * percentile(known.took, 0.99), "ms"),
        ]
    return rows


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="Handshakes per second at the endpoint, and under a flood.")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load (8)")
    parser.add_argument("--peers", type=int, default=2000, help="known partners (2000)")
    parser.add_argument("--no-cluster", action="store_true", help="leave out the real API server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bilateral-bench-") as folder:
        directory = Path(folder)
        write_certificates(directory)
        # A known partner may renew six times in a row: so many partners that the load does not meet it.
        many = 4 * options.peers
        bare, empty, decides = (
            measure_own(mode, many if mode == "decides" else options.peers, options.seconds, directory)
            for mode in ("bare", "empty", "decides")
        )
        rows = own_rows(bare, empty, decides)
        if not options.no_cluster:
            progress(f"a cluster with {options.peers} partners")
            with run_operator(options.peers, directory) as (operator, context):
                found = asyncio.run(measure_operator(operator, context, options.peers, options.seconds))
            rows += operator_rows(empty, *found)
    what = f"{CONNECTIONS} kept-alive TLS connections, {options.seconds:g} s each, {options.peers} known partners"
    facts: dict[str, object] = {"peers": options.peers, "seconds": options.seconds}
    return 0 if print_report("endpoint", what, rows, facts) else 1


if __name__ == "__main__":
    sys.exit(main())
