"""What N partners of one trust domain cost: first pass, idling, restart, renewal, and one more meanwhile.

    PYTHONPATH=tests:. python bench/peers.py N [N ...]     (make bench N="1000 10000")

Everything is real but the partners: an API server with etcd, the operator as a process with the
chart's ServiceAccount, TLS 1.3 for each handshake. The partners are one process on loopback
(``partner.py``), a key for each. For every N a fresh cluster is started, and in it, in this order:

- **floor**: a bare script does the same handshakes and status writes on N objects of a namespace
  that nobody watches (``floor.py``);
- **first pass**: the operator is started on N other objects, from the start of its process until
  all are Ready;
- **idle**: processor time while nothing is due;
- **restart**: it ends and starts again, until ``/readyz`` says ok and every peer was looked at;
  every call that the API server got from it meanwhile is counted;
- **renewal**: the window is chosen so that all pins are renewed after that, spread over a tenth of
  the window; writes are counted for each object, and partners are added all the time.

Calls are counted in the API server's audit log. Memory is the operator's resident set, the peak the
kernel's high-water mark of all phases. With several N, the growth from the first to the last is
shown. It does not measure several replicas, several trust domains, or partners that are slow.

``--memory`` leaves out the floor and the restart and shows the resident memory alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.population import (
    NEWCOMER,
    Partner,
    build_domain,
    build_peer,
    create_all,
    list_all,
    path,
    peer_names,
    process_cpu_seconds,
    run_partner,
)
from bench.report import Row, percentile, print_report, progress

from testbed.audit import AuditEvent
from testbed.chart import RELEASE
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess, OperatorSettings

IDLE_SECONDS = 30.0
SETTLE_SECONDS = 12.0  # peer lists are written at most every ten seconds
NEWCOMER_SECONDS = 0.25
FLOOR_SECONDS_A_PEER = 0.006  # where none is run
EARLIEST, SPREAD = 0.65, 0.10  # when in its window a pin is renewed (resources: FederationPeer)


@dataclass(slots=True)
class Result:
    """The figures of one N; seconds unless the name says otherwise."""

    peers: int
    window: int
    floor: dict[str, float]
    figures: dict[str, float] = field(default_factory=dict)
    missed_renewals: list[str] = field(default_factory=list)


class Scene:
    """One cluster with two namespaces: the operator's and the floor's."""

    def __init__(self, cluster: Cluster, partner: Partner, number: int, directory: Path) -> None:
        self.cluster = cluster
        self.partner = partner
        self.number = number
        self.window = 0
        for name in ("operator", "floor"):
            answer = cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            if answer.status != 201:
                raise RuntimeError(answer.message)
        cluster.install_chart("operator")
        self.user = f"system:serviceaccount:operator:{RELEASE}"
        self.operator = OperatorProcess(
            OperatorSettings(
                kubeconfig=cluster.service_account_kubeconfig("operator", RELEASE),
                namespaces=("operator",),
                lease_namespace="operator",
            ),
            directory / "operator",
        )
        self.pids: dict[str, int] = {}

    def populate(self, *namespaces: str) -> None:
        """Create what is measured: N peers in each namespace, the floor's and the operator's."""
        kubeconfig = self.cluster.kubeconfig
        names = peer_names(self.number)
        for namespace in namespaces:
            bodies = (build_peer(name, self.partner) for name in names)
            asyncio.run(create_all(kubeconfig, "federationpeers", namespace, bodies))

    def choose_window(self, floor_seconds: float) -> None:
        """Create the trust domain, with a window in whose first 65 % everything fits that comes before renewal."""
        before = 1.6 * floor_seconds + IDLE_SECONDS + 2 * SETTLE_SECONDS + 60
        self.window = round(before / EARLIEST)
        domain = [build_domain(self.window)]
        asyncio.run(create_all(self.cluster.kubeconfig, "trustdomains", "operator", domain))

    def run_floor(self) -> dict[str, float]:
        """Run the bare script once."""
        program = Path(__file__).with_name("floor.py")
        done = subprocess.run(
            [
                sys.executable,
                program,
                self.cluster.kubeconfig,
                "floor",
                self.partner.url,
                self.partner.authority_file,
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found: dict[str, float] = json.loads(done.stdout)
        return found

    # Looking at the operator from outside

    def ready(self) -> int:
        """How many peers the operator says are Ready."""
        return int(self._sample("bilateral_peers", reason="Fresh"))

    def looks(self) -> int:
        """How many looks at a peer it has had since its process started."""
        return int(self._sample("bilateral_reconciles_total", kind="federationpeers", result="done"))

    def status_writes(self) -> int:
        """How many statuses of peers it has written since its process started."""
        return int(self._sample("bilateral_writes_total", kind="federationpeers"))

    def _sample(self, name: str, **labels: str) -> float:
        try:
            return self.operator.metrics().total(name, **labels)
        except (OSError, http.client.HTTPException):
            return 0.0

    def writes(self, since: int) -> Counter[tuple[str, str]]:
        """The operator's writes since a place in the audit log: (resource, name) → how many."""
        events = self.cluster.audit_events(user=self.user, since=since)
        return Counter((_resource(event), event.name) for event in events if event.is_write)

    def memory(self) -> tuple[float, float]:
        """Resident memory of the operator and its high-water mark, MiB."""
        lines = Path(f"/proc/{self.operator.record.pid}/status").read_text().splitlines()
        fields = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
        return int(fields["VmRSS"][0]) / 1024, int(fields["VmHWM"][0]) / 1024


def _resource(event: AuditEvent) -> str:
    return f"{event.resource}/{event.subresource}" if event.subresource else event.resource


def wait_until(holds: Callable[[], bool], seconds: float, what: str, poll: float = 0.1) -> None:
    """Ask until it is so; end the benchmark when it takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: not within {seconds:.0f} s: {what}")
        time.sleep(poll)


def run(number: int, directory: Path) -> Result:
    """All phases for one N."""
    with run_partner(directory / "partner") as partner, Cluster.start(directory / "cluster") as cluster:
        cluster.install_crds()
        scene = Scene(cluster, partner, number, directory)
        try:
            progress(f"{number} peers: creating 2 x {number} objects")
            scene.populate("floor", "operator")
            progress("floor")
            floor = scene.run_floor()
            scene.choose_window(floor["seconds"])
            result = Result(number, scene.window, floor)
            progress(f"floor took {result.floor['seconds']:.1f} s; first pass")
            started = measure_first_pass(scene, result)
            measure_idle(scene, result)
            measure_restart(scene, result)
            measure_renewal(scene, result, started)
            return result
        finally:
            scene.operator.close()


def run_memory(number: int, directory: Path) -> Result:
    """First pass, idling and renewal for one N: what memory does."""
    with run_partner(directory / "partner") as partner, Cluster.start(directory / "cluster") as cluster:
        cluster.install_crds()
        scene = Scene(cluster, partner, number, directory)
        try:
            progress(f"{number} peers: creating {number} objects")
            scene.populate("operator")
            scene.choose_window(FLOOR_SECONDS_A_PEER * number)
            result = Result(number, scene.window, {})
            progress("first pass")
            started = measure_first_pass(scene, result)
            measure_idle(scene, result)
            measure_renewal(scene, result, started)
            return result
        finally:
            scene.operator.close()


def measure_first_pass(scene: Scene, result: Result) -> float:
    """From the start of the process until all are Ready; returns when it began (Unix seconds)."""
    figures, began = result.figures, time.time()
    position = scene.cluster.audit_position()
    partner_cpu, started = scene.partner.cpu_seconds(), time.monotonic()
    scene.operator.start(wait=False)
    scene.cluster.adopt("operator", scene.operator.record)
    wait_until(lambda: scene.ready() >= scene.number, 60 + scene.number * 0.05, "all peers Ready", 0.2)
    figures["first_pass"] = time.monotonic() - started
    figures["first_pass_cpu"] = process_cpu_seconds(scene.operator.record.pid)
    figures["first_pass_partner_cpu"] = scene.partner.cpu_seconds() - partner_cpu
    figures["first_pass_memory"], figures["first_pass_peak"] = scene.memory()
    progress(f"first pass took {figures['first_pass']:.1f} s; letting the lists settle")
    time.sleep(SETTLE_SECONDS)
    written = scene.writes(position)
    figures["first_pass_status_writes"] = sum(
        count for (resource, _), count in written.items() if resource == "federationpeers/status"
    )
    figures["first_pass_other_writes"] = sum(
        count
        for (resource, _), count in written.items()
        if resource not in ("federationpeers/status", "leases")
    )
    objects = asyncio.run(list_all(scene.cluster.kubeconfig, "federationpeers", "operator"))
    not_ready = [each["metadata"]["name"] for each in objects if not is_ready(each)]
    if not_ready:
        raise SystemExit(f"error: {len(not_ready)} peers are not Ready in the API, among them {not_ready[0]}")
    return began


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether a peer is Ready."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def measure_idle(scene: Scene, result: Result) -> None:
    """Processor time while nothing is due and nobody asks."""
    progress(f"idle for {IDLE_SECONDS:.0f} s")
    pid = scene.operator.record.pid
    cpu, started = process_cpu_seconds(pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    elapsed = time.monotonic() - started
    result.figures["idle_cpu_percent"] = 100 * (process_cpu_seconds(pid) - cpu) / elapsed
    result.figures["idle_memory"], _ = scene.memory()


def measure_restart(scene: Scene, result: Result) -> None:
    """End it, start it, and wait until it is ready and has looked at every peer."""
    figures = result.figures
    figures["stop"] = scene.operator.stop()
    position = scene.cluster.audit_position()
    started = time.monotonic()
    scene.operator.start(wait=False)
    scene.cluster.adopt("operator", scene.operator.record)
    wait_until(lambda: scene.operator.probe("/readyz") == 200, 120, "the operator ready")
    figures["restart_ready"] = time.monotonic() - started
    wait_until(lambda: scene.looks() >= scene.number and scene.ready() >= scene.number, 120, "all in view")
    figures["restart_in_view"] = time.monotonic() - started
    figures["restart_memory"], figures["restart_peak"] = scene.memory()
    progress(f"all in view again after {figures['restart_in_view']:.1f} s; waiting for late writes")
    time.sleep(SETTLE_SECONDS)
    written = scene.writes(position)
    figures["restart_lease_writes"] = sum(
        count for (resource, _), count in written.items() if resource == "leases"
    )
    figures["restart_writes"] = sum(written.values()) - figures["restart_lease_writes"]
    if figures["restart_writes"]:
        progress(f"written after the restart: {[what for what in written if what[0] != 'leases'][:5]}")


def measure_renewal(scene: Scene, result: Result, began: float) -> None:
    """Every pin once, while partners are added."""
    figures, due = result.figures, began + EARLIEST * scene.window
    if time.time() > due:
        raise SystemExit("error: the machine is too slow for the window: renewals have begun already")
    progress(f"renewals begin in {due - time.time():.0f} s")
    time.sleep(max(0.0, due - time.time() - 1.0))
    position, before = scene.cluster.audit_position(), scene.status_writes()
    pid = scene.operator.record.pid
    cpu, started = process_cpu_seconds(pid), time.monotonic()
    with Newcomers(scene) as newcomers:
        wait_until(
            lambda: scene.status_writes() - before >= scene.number + newcomers.ready,
            figures["first_pass"] + SPREAD * scene.window + 60,
            "all renewed",
            0.5,
        )
        figures["renewal"] = time.monotonic() - started
        figures["renewal_cpu_percent"] = 100 * (process_cpu_seconds(pid) - cpu) / figures["renewal"]
    written = scene.writes(position)
    names = peer_names(scene.number)
    counts = Counter(written["federationpeers/status", name] for name in names)
    figures["renewed_once"] = counts[1]
    figures["renewed_otherwise"] = scene.number - counts[1]
    figures["renewal_list_writes"] = sum(
        count for (resource, _), count in written.items() if resource == "secrets"
    )
    figures["newcomers"] = len(newcomers.took)
    figures["newcomer_p50"] = percentile(newcomers.took, 0.5)
    figures["newcomer_p99"] = percentile(newcomers.took, 0.99)
    figures["memory"], figures["restart_peak"] = scene.memory()
    figures["peak"] = max(figures["first_pass_peak"], figures["restart_peak"])


class Newcomers:
    """Adds a partner every so often, and watches how long each takes to be Ready."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._created: dict[str, float] = {}
        self._ready_at: dict[str, float] = {}
        self._ending = threading.Event()
        self._connection: http.client.HTTPSConnection | None = None
        self._threads = [threading.Thread(target=self._watch), threading.Thread(target=self._create)]

    @property
    def ready(self) -> int:
        """How many are Ready."""
        return len(self._ready_at)

    @property
    def took(self) -> list[float]:
        """Seconds from the call that created it to the watch event that told it is Ready."""
        return [at - self._created[name] for name, at in self._ready_at.items()]

    def __enter__(self) -> Newcomers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._threads[1].join()
        if _[0] is None:
            wait_until(lambda: len(self._ready_at) == len(self._created), 30, "the last newcomers Ready")
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._threads[0].join()

    def _create(self) -> None:
        number = 0
        while not self._ending.wait(NEWCOMER_SECONDS):
            number += 1
            name = f"newcomer-{number:05d}"
            body = build_peer(name, self._scene.partner, {NEWCOMER: "true"})
            self._created[name] = time.monotonic()
            self._scene.cluster.request("POST", path("federationpeers", "operator"), body)

    def _watch(self) -> None:
        config = json.loads(self._scene.cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = ssl.create_default_context(cafile=str(self._scene.cluster.directory / "pki" / "ca.crt"))
        self._connection = http.client.HTTPSConnection(
            cluster["server"].removeprefix("https://"), context=authority
        )
        query = f"?watch=true&labelSelector={NEWCOMER}%3Dtrue"
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self._connection.request(
                "GET",
                path("federationpeers", "operator") + query,
                headers={"Authorization": f"Bearer {user['token']}"},
            )
            response = self._connection.getresponse()
            while line := response.readline():
                obj = json.loads(line)["object"]
                if is_ready(obj):
                    self._ready_at.setdefault(obj["metadata"]["name"], time.monotonic())


def report(result: Result) -> bool:
    """Print the table of one N."""
    found, floor, n = result.figures, result.floor, result.peers
    rows = [
        Row("floor_s", "floor: bare script (aiohttp, 32 at once)", floor["seconds"], "s"),
        Row("floor_per_second", "  handshakes with their write", n / floor["seconds"], "/s"),
        Row("floor_cpu_ms", "  processor time each, the script's", 1e3 * floor["cpu_seconds"] / n, "ms"),
        Row("first_pass_s", "first pass: process start to all Ready", found["first_pass"], "s"),
        Row("first_pass_ratio", "  first pass : floor", found["first_pass"] / floor["seconds"], "x", 1.5),
        Row(
            "first_pass_cpu_ms",
            "  processor time each, the operator's",
            1e3 * found["first_pass_cpu"] / n,
            "ms",
        ),
        Row("first_pass_partner_cpu_ms", "  the partner's", 1e3 * found["first_pass_partner_cpu"] / n, "ms"),
        Row(
            "first_pass_status_writes", "  status writes", found["first_pass_status_writes"], "", n, "exactly"
        ),
        Row("first_pass_other_writes", "  Secrets, events and the like", found["first_pass_other_writes"]),
        Row("idle_cpu_percent", "idle: of one core", found["idle_cpu_percent"], "%", 1.0),
        Row("stop_s", "restart: stop", found["stop"], "s", 5.0),
        Row("restart_ready_s", "  ready", found["restart_ready"], "s"),
        Row("restart_in_view_s", "  all in view", found["restart_in_view"], "s", 15.0),
        Row("restart_writes", "  writes, the Lease's left out", found["restart_writes"], "", 0, "exactly"),
        Row("renewal_s", f"renewal of all ({result.window} s window)", found["renewal"], "s"),
        Row("renewed_once", "  peers with exactly one write", found["renewed_once"], "", n, "exactly"),
        Row("renewal_list_writes", "  writes of the peer lists", found["renewal_list_writes"]),
        Row("renewal_cpu_percent", "  of one core", found["renewal_cpu_percent"], "%"),
        Row("newcomers", "  partners added meanwhile", found["newcomers"]),
        Row("newcomer_p50_s", "  newcomer Ready, p50", found["newcomer_p50"], "s"),
        Row("newcomer_p99_s", "  newcomer Ready, p99", found["newcomer_p99"], "s", 5.0),
        *_memory_rows(found),
    ]
    return print_report(
        "peers", f"{n} peers of one trust domain", rows, {"peers": n, "window_s": result.window}
    )


def _memory_rows(found: dict[str, float]) -> list[Row]:
    return [
        Row("memory_first_pass_mib", "resident after the first pass", found["first_pass_memory"], "MiB", 150),
        Row("memory_idle_mib", "  idle", found["idle_memory"], "MiB", 150),
        *(
            [Row("memory_restart_mib", "  after the restart", found["restart_memory"], "MiB", 150)]
            if "restart_memory" in found
            else []
        ),
        Row("memory_renewed_mib", "  after the renewals", found["memory"], "MiB", 150),
        Row("memory_peak_mib", "  highest of all", found["peak"], "MiB", 150),
    ]


def report_memory(result: Result) -> bool:
    """Print the table of one N of which only the memory was measured."""
    found = result.figures
    rows = [
        Row("first_pass_s", "first pass: process start to all Ready", found["first_pass"], "s"),
        Row("renewal_s", f"renewal of all ({result.window} s window)", found["renewal"], "s"),
        *_memory_rows(found),
    ]
    facts: dict[str, object] = {"peers": result.peers, "window_s": result.window}
    return print_report("peers-memory", f"{result.peers} peers of one trust domain, memory", rows, facts)


def report_growth(small: Result, large: Result) -> bool:
    """Print how the figures grow: 1.0 is linear, less is better."""
    factor = large.peers / small.peers

    def growth(key: str) -> float:
        return large.figures[key] / small.figures[key] / factor

    extra = (large.figures["memory"] - small.figures["memory"]) * 1024 / (large.peers - small.peers)
    rows = [
        Row("first_pass_growth", "first pass, a peer", growth("first_pass"), "x", 1.2),
        Row("first_pass_cpu_growth", "  processor time, a peer", growth("first_pass_cpu"), "x", 1.2),
        Row(
            "floor_growth",
            "  the floor's, a peer",
            large.floor["seconds"] / small.floor["seconds"] / factor,
            "x",
        ),
        Row("restart_growth", "restart, a peer", growth("restart_in_view"), "x", 1.2),
        Row("memory_kib_per_peer", "resident memory, each further peer", extra, "KiB"),
    ]
    facts: dict[str, object] = {"from": small.peers, "to": large.peers}
    return print_report(
        "peers-growth", f"from {small.peers} to {large.peers} peers; 1 is linear", rows, facts
    )


def main() -> int:
    """Run every N, report, and fail when a target was missed."""
    parser = argparse.ArgumentParser(description="What N partners of one trust domain cost.")
    parser.add_argument("peers", nargs="*", type=int, default=[1000], metavar="N", help="how many (1000)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and the audit log in a folder")
    parser.add_argument("--memory", action="store_true", help="only what memory does: a shorter run")
    options = parser.parse_args()
    results, met = [], True
    with contextlib.ExitStack() as stack:
        root = options.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="bilateral-bench-"))
        )
        for number in options.peers:
            if options.memory:
                results.append(run_memory(number, root / f"{number}"))
                met = report_memory(results[-1]) and met
            else:
                results.append(run(number, root / f"{number}"))
                met = report(results[-1]) and met
    if len(results) > 1 and not options.memory:
        met = report_growth(results[0], results[-1]) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
