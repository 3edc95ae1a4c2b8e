"""What N identities cost, each introduced to one partner and bound to one service of it.

    PYTHONPATH=tests:. python bench/identities.py N [N ...]     (make bench N="1000")

Everything is real: an API server with etcd, the operator as a process with the chart's ServiceAccount, keys,
certificates, the issued record. For every N a fresh cluster is started, and in it, in this order:

- **sample**: the operator serves one identity, whose Secrets and statuses the floor will write;
- **floor**: a bare client writes the same Secrets and the same statuses for N objects of a namespace that
  nobody watches (``identities_floor.py``), with nothing to decide or to sign;
- **issue**: the operator is started on N new identities, from the start of its process until every status
  is written; their four Secrets are then written, the service among them;
- **introduce**: it ends, N introductions by the partner's authority are created, and it is started again, until
  all are installed and every identity's status says so;
- **steady**: nothing happens; then it ends and starts again: in both, whatever it writes is counted.

Calls are counted in the API server's audit log, Leases left out. It does not measure renewals (what one costs
is counted by a test), several replicas, or identities that change while others are made.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.identities_floor import INTRODUCTIONS, OUTPUTS, build_identity, build_introduction
from bench.population import (
    DOMAIN,
    Partner,
    build_domain,
    build_peer,
    create_all,
    list_all,
    process_cpu_seconds,
    run_partner,
)
from bench.report import Row, print_report, progress

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.resources.labels import API_VERSION
from testbed.chart import RELEASE
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess, OperatorSettings

IDENTITIES = "workloadidentities"
PEER, SERVICE, SAMPLE = "org-b", "org-b-api", "sample"
WINDOW = 43_200
STEADY_SECONDS = 20.0
VALIDITY_SECONDS = 30 * 86_400


@dataclass(slots=True)
class Result:
    """The figures of one N; seconds unless the name says otherwise."""

    identities: int
    figures: dict[str, float] = field(default_factory=dict)


class Scene:
    """One cluster with two namespaces: the operator's and the floor's."""

    def __init__(self, cluster: Cluster, partner: Partner, number: int, directory: Path) -> None:
        self.cluster = cluster
        self.partner = partner
        self.number = number
        self.directory = directory
        self.authority: Authority = generate_authority(
            Subject(organization="Org B", common_name="Org B CA"),
            algorithm="ECDSAP256",
            validity_seconds=365 * 86_400,
            now=datetime.now(UTC),
        )
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

    @property
    def names(self) -> list[str]:
        """The names of all identities but the sample."""
        return [f"identity-{each:05d}" for each in range(self.number)]

    def create(self, plural: str, namespace: str, *bodies: dict[str, Any]) -> None:
        """Create objects of our kinds."""
        asyncio.run(create_all(self.cluster.kubeconfig, plural, namespace, bodies))

    def list(self, plural: str) -> list[dict[str, Any]]:
        """All objects of a kind in the operator's namespace."""
        return asyncio.run(list_all(self.cluster.kubeconfig, plural, "operator"))

    def secret(self, name: str) -> dict[str, Any]:
        """A Secret of the operator's namespace."""
        answer = self.cluster.request("GET", f"/api/v1/namespaces/operator/secrets/{name}")
        if answer.status != 200:
            raise SystemExit(f"error: the Secret {name} is not there")
        found: dict[str, Any] = answer.json()
        return found

    def start(self) -> float:
        """Start the operator; returns when (monotonic)."""
        started = time.monotonic()
        self.operator.start(wait=False)
        self.cluster.adopt("operator", self.operator.record)
        return started

    def written(self, plural: str) -> int:
        """How many objects of a kind the operator has written since its process started."""
        try:
            return int(self.operator.metrics().total("bilateral_writes_total", kind=plural))
        except OSError:
            return 0

    def looks(self) -> int:
        """How many looks at an identity it has had since its process started."""
        try:
            labels = {"kind": IDENTITIES, "result": "done"}
            return int(self.operator.metrics().total("bilateral_reconciles_total", **labels))
        except OSError:
            return 0

    def writes(self, since: int) -> Counter[str]:
        """The operator's writes since a place in the audit log, by resource, without Leases."""
        events = self.cluster.audit_events(user=self.user, since=since)
        return Counter(
            "/".join(filter(None, (each.resource, each.subresource)))
            for each in events
            if each.is_write and each.resource != "leases"
        )

    def introduce(self, name: str) -> dict[str, Any]:
        """The partner's introduction of an identity, as its owner would accept it."""
        certificate = base64.b64decode(self.secret(f"{name}-identity")["data"]["tls.crt"])
        introduction = issue_introduction(
            self.authority, certificate, (), VALIDITY_SECONDS, datetime.now(UTC)
        )
        return build_introduction(name, PEER, introduction.to_json())


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask until it is so; end the benchmark when it takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether an object is Ready."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def run(number: int, directory: Path) -> Result:
    """All phases for one N."""
    with run_partner(directory / "partner") as partner, Cluster.start(directory / "cluster") as cluster:
        cluster.install_crds()
        scene, result = Scene(cluster, partner, number, directory), Result(number)
        try:
            samples = make_sample(scene)
            measure_floor(scene, result, samples)
            measure_issue(scene, result)
            measure_introduce(scene, result)
            measure_steady(scene, result)
            return result
        finally:
            scene.operator.close()


def make_sample(scene: Scene) -> dict[str, Any]:
    """Have the operator serve one identity; returns what it wrote, before and after the introduction."""
    progress(f"{scene.number} identities: a sample")
    pinned = {"mode": "Pinned", "pems": [scene.authority.certificate_pem.decode()]}
    peer = build_peer(PEER, scene.partner)
    peer["spec"]["certificateAuthorities"] = pinned
    service = {"url": "https://api.org-b.example:9443", "peer": PEER}
    scene.create("trustdomains", "operator", build_domain(WINDOW))
    scene.create("federationpeers", "operator", peer)
    scene.create(
        "trustedservices",
        "operator",
        {
            "apiVersion": API_VERSION,
            "kind": "TrustedService",
            "metadata": {"name": SERVICE},
            "spec": service,
        },
    )
    scene.start()
    wait_until(lambda: all(map(is_ready, scene.list("federationpeers"))), 60, "the partner Ready")
    wait_until(lambda: _has_list(scene), 60, "the authority's own list")
    scene.create(IDENTITIES, "operator", build_identity(SAMPLE))
    wait_until(lambda: all(map(is_ready, scene.list(IDENTITIES))), 60, "the sample Ready")
    samples: dict[str, Any] = {
        "secrets": {output: scene.secret(f"{SAMPLE}-{output}") for output in OUTPUTS},
        "issued": scene.list(IDENTITIES)[0]["status"],
    }
    if f"{SERVICE}.yaml" not in samples["secrets"]["known-servers"]["data"]:
        raise SystemExit("error: the sample is not bound to the service")
    scene.create(INTRODUCTIONS, "operator", scene.introduce(SAMPLE))
    wait_until(lambda: all(map(is_ready, scene.list(INTRODUCTIONS))), 60, "the sample introduced")
    wait_until(lambda: len(scene.list(IDENTITIES)[0]["status"]["chains"]) == 2, 60, "the sample's chain")
    samples["chains"] = scene.secret(f"{SAMPLE}-id-chains")
    samples["introduced"] = scene.list(IDENTITIES)[0]["status"]
    samples["introduction"] = scene.list(INTRODUCTIONS)[0]["status"]
    samples["document"] = scene.list(INTRODUCTIONS)[0]["spec"]["accept"]["introduction"]
    scene.operator.stop()
    return samples


def _has_list(scene: Scene) -> bool:
    answer = scene.cluster.request("GET", f"/api/v1/namespaces/operator/secrets/{DOMAIN}-authority")
    return answer.status == 200


def measure_floor(scene: Scene, result: Result, samples: dict[str, Any]) -> None:
    """The same writes by a bare client."""
    progress("floor")
    scene.create(IDENTITIES, "floor", *map(build_identity, scene.names))
    introductions = (build_introduction(name, PEER, samples["document"]) for name in scene.names)
    scene.create(INTRODUCTIONS, "floor", *introductions)
    file = scene.directory / "samples.json"
    file.write_text(json.dumps(samples))
    program = Path(__file__).with_name("identities_floor.py")
    done = subprocess.run(
        [sys.executable, program, scene.cluster.kubeconfig, "floor", file],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for name, value in json.loads(done.stdout).items():
        result.figures[f"floor_{name}"] = value


def measure_issue(scene: Scene, result: Result) -> None:
    """From the start of the process until every identity's status is written."""
    figures = result.figures
    scene.create(IDENTITIES, "operator", *map(build_identity, scene.names))
    progress(f"floor took {figures['floor_issue']:.1f} s; issue")
    position, started = scene.cluster.audit_position(), scene.start()
    wait_until(lambda: scene.written(IDENTITIES) >= scene.number, 120 + scene.number, "all issued")
    figures["issue"] = time.monotonic() - started
    figures["issue_cpu"] = process_cpu_seconds(scene.operator.record.pid)
    not_ready = [each["metadata"]["name"] for each in scene.list(IDENTITIES) if not is_ready(each)]
    if not_ready:
        raise SystemExit(f"error: {len(not_ready)} identities are not Ready, among them {not_ready[0]}")
    time.sleep(5)
    _count(scene, figures, "issue", position)
    scene.operator.stop()


def measure_introduce(scene: Scene, result: Result) -> None:
    """From the start of the process until every introduction is installed."""
    figures = result.figures
    progress(f"issue took {figures['issue']:.1f} s; the partner signs {scene.number} introductions")
    scene.create(INTRODUCTIONS, "operator", *map(scene.introduce, scene.names))
    position, started = scene.cluster.audit_position(), scene.start()
    wait_until(
        lambda: min(map(scene.written, (IDENTITIES, INTRODUCTIONS, "secrets"))) >= scene.number,
        120 + scene.number,
        "all introduced",
    )
    figures["introduce"] = time.monotonic() - started
    figures["introduce_cpu"] = process_cpu_seconds(scene.operator.record.pid)
    without = [each for each in scene.list(IDENTITIES) if len(each["status"]["chains"]) != 2]
    if without or not all(map(is_ready, scene.list(INTRODUCTIONS))):
        raise SystemExit(f"error: {len(without)} identities have no chain")
    time.sleep(5)
    _count(scene, figures, "introduce", position)


def _count(scene: Scene, figures: dict[str, float], phase: str, position: int) -> None:
    written = scene.writes(position)
    progress(f"written: {dict(written)}")
    figures[f"{phase}_secret_writes"] = written["secrets"]
    figures[f"{phase}_status_writes"] = sum(
        count for resource, count in written.items() if resource.endswith("/status")
    )


def measure_steady(scene: Scene, result: Result) -> None:
    """Nothing, and a restart: nothing is written."""
    figures = result.figures
    progress(f"introduce took {figures['introduce']:.1f} s; steady for {STEADY_SECONDS:.0f} s")
    position, pid = scene.cluster.audit_position(), scene.operator.record.pid
    cpu, began = process_cpu_seconds(pid), time.monotonic()
    time.sleep(STEADY_SECONDS)
    elapsed = time.monotonic() - began
    figures["steady_cpu_percent"] = 100 * (process_cpu_seconds(pid) - cpu) / elapsed
    figures["steady_writes"] = sum(scene.writes(position).values())
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    figures["memory"] = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
    scene.operator.stop()
    position, started = scene.cluster.audit_position(), scene.start()
    wait_until(lambda: scene.looks() >= scene.number + 1, 120 + scene.number, "a look at every identity")
    figures["restart"] = time.monotonic() - started
    time.sleep(5)
    figures["restart_writes"] = sum(scene.writes(position).values())


def report(result: Result) -> bool:
    """Print one N's figures; whether all targets were met."""
    number, found = result.identities, result.figures
    floor = found["floor_issue"] + found["floor_introduce"]
    took = found["issue"] + found["introduce"]
    rows = [
        Row("floor_issue", "floor: four Secrets and a status each", found["floor_issue"], "s"),
        Row("floor_introduce", "floor: a Secret and two statuses each", found["floor_introduce"], "s"),
        Row("issue", "issue: keys, certificates, record, Secrets, statuses", found["issue"], "s"),
        Row("introduce", "introduce: chains judged and written", found["introduce"], "s"),
        Row("ratio_issue", "issue / floor", found["issue"] / found["floor_issue"], "x"),
        Row("ratio_introduce", "introduce / floor", found["introduce"] / found["floor_introduce"], "x"),
        Row("ratio", "both / floor", took / floor, "x", 2.0),
        Row("floor_cpu", "processor time, floor, both", found["floor_cpu"], "s"),
        Row("issue_cpu", "processor time, issue", found["issue_cpu"], "s"),
        Row("introduce_cpu", "processor time, introduce", found["introduce_cpu"], "s"),
        Row(
            "issue_secret_writes",
            "issue: writes of Secrets, the record's among them",
            found["issue_secret_writes"],
        ),
        Row("issue_status_writes", "issue: writes of statuses", found["issue_status_writes"]),
        Row("introduce_secret_writes", "introduce: writes of Secrets", found["introduce_secret_writes"]),
        Row("introduce_status_writes", "introduce: writes of statuses", found["introduce_status_writes"]),
        Row("steady_writes", "steady state: writes", found["steady_writes"], "", 0, "exactly"),
        Row("steady_cpu_percent", "steady state: processor", found["steady_cpu_percent"], "%"),
        Row("memory", "resident memory", found["memory"], "MiB"),
        Row("restart", "restart: until every identity was looked at", found["restart"], "s"),
        Row("restart_writes", "restart: writes", found["restart_writes"], "", 0, "exactly"),
    ]
    return print_report("identities", f"{number:,} identities, one partner, one service", rows, {"n": number})


def main() -> int:
    """Run every N, report, and fail when a target was missed."""
    parser = argparse.ArgumentParser(description="What N identities cost.")
    parser.add_argument(
        "identities", nargs="*", type=int, default=[1000], metavar="N", help="how many (1000)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and the audit log in a folder")
    options = parser.parse_args()
    met = True
    with contextlib.ExitStack() as stack:
        root = options.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="bilateral-bench-"))
        )
        for number in options.identities:
            met = report(run(number, root / f"{number}")) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
