"""One organisation of the story: its cluster, its operator and its platform engineer's two programs.

The cluster is a real API server without a node, so the operator runs as a process, with the chart's
ServiceAccount and no other rights. Everything lies in one folder and listens on loopback.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from demo.manifests import Manifest

from testbed.build import build_kubernetes
from testbed.chart import RELEASE
from testbed.cluster import Cluster
from testbed.errors import CommandError
from testbed.operator import OperatorProcess, OperatorSettings
from testbed.ports import Port, lease_port

NAMESPACE = "trust"
OPERATOR_NAMESPACE = "bilateral"
CONTROL_HOST = "localhost"
VALUES = {"watchNamespaces": [NAMESPACE], "replicas": 1, "policies": {"enabled": True}}
"""The chart's, for the rights that come with them: one replica, for the ledger is a file."""
_ACCOUNT = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{RELEASE}"
_TOKEN_SECONDS = 86400  # an operator that is left running (KEEP=1) may work for a day
_COMMAND_SECONDS = 60


class Organisation:
    """An organisation named `name` (its TrustDomain's too); `title` is what the story calls it."""

    def __init__(self, name: str, title: str, directory: Path, *, tied: bool) -> None:
        self.name = name
        self.title = title
        self.directory = directory
        self._tied = tied
        self._cluster: Cluster | None = None
        self._operator: OperatorProcess | None = None
        self._control: Port | None = None

    # Life

    def start_cluster(self) -> None:
        """Start the API server, and install the CRDs and the chart's ServiceAccount with its rights."""
        self._cluster = Cluster.start(self.directory, tied=self._tied)
        self._cluster.install_crds()
        for name in (OPERATOR_NAMESPACE, NAMESPACE):
            self._cluster.kubectl("create", "namespace", name)
        self._cluster.install_chart(OPERATOR_NAMESPACE, VALUES)

    def start_operator(self) -> None:
        """Start the operator, with a ledger and a control endpoint; return when it says that it is ready."""
        account = self.cluster.service_account_kubeconfig(OPERATOR_NAMESPACE, RELEASE, seconds=_TOKEN_SECONDS)
        self._control = lease_port()
        settings = OperatorSettings(
            kubeconfig=account,
            namespaces=(NAMESPACE,),
            lease_namespace=OPERATOR_NAMESPACE,
            extra=(
                f"--ledger={self.ledger_url}",
                f"--control-listen=127.0.0.1:{self._control.number}",
                f"--control-host={CONTROL_HOST}",
            ),
        )
        self._operator = OperatorProcess(settings, self.directory / "operator")
        self._run_operator(self._operator)

    def restart_operator(self) -> None:
        """Start an operator that was stopped anew, at the same ports and with the same ledger."""
        self._run_operator(self.operator)

    def _run_operator(self, operator: OperatorProcess) -> None:
        operator.start(wait=False)
        self.cluster.adopt("operator", operator.record)  # they end together, whatever happens
        operator.wait_ready()

    def stop(self) -> None:
        """End operator and cluster at once; what was never started is no matter."""
        if self._operator is not None:
            self._operator.close()
        if self._control is not None:
            self._control.release()
            self._control = None
        if self._cluster is not None:
            self._cluster.stop()

    @property
    def cluster(self) -> Cluster:
        """The cluster, once it was started."""
        if self._cluster is None:
            raise RuntimeError(f"{self.title} has no cluster yet")
        return self._cluster

    @property
    def operator(self) -> OperatorProcess:
        """The operator, once it was started."""
        if self._operator is None:
            raise RuntimeError(f"{self.title} has no operator yet")
        return self._operator

    @property
    def control_url(self) -> str:
        """The base URL of the operator's control endpoint, once it was started."""
        if self._control is None:
            raise RuntimeError(f"{self.title} has no control endpoint yet")
        return f"https://{CONTROL_HOST}:{self._control.number}"

    @property
    def ledger_url(self) -> str:
        """Where the operator records decisions."""
        return f"sqlite:///{self.directory / 'ledger.db'}"

    def log_tail(self, lines: int) -> list[str]:
        """Return the last lines of the operator's log."""
        return [] if self._operator is None else self._operator.log_text().splitlines()[-lines:]

    def logged_errors(self) -> list[str]:
        """Return what our own code logged as errors.

        kopf logs as an error, too, each call that it will repeat: one that a starting API server put off, say.
        """
        return [
            entry["message"]
            for entry in self.operator.log_entries()
            if entry["level"] in {"error", "critical"} and entry["logger"].startswith("bilateral")
        ]

    # The platform engineer

    @property
    def kubectl_program(self) -> Path:
        """The kubectl that belongs to the cluster."""
        return build_kubernetes().kubectl

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """Run kubectl in the namespace and return what it printed. Raises CommandError."""
        return self.cluster.kubectl("-n", NAMESPACE, *words, input=given)

    def apply(self, manifest: Manifest) -> None:
        """Apply a manifest, as `kubectl apply -f` does. Raises CommandError."""
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump(manifest, sort_keys=False))

    def bilateral(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI in the namespace; raises CommandError unless it says that all is well."""
        answer = self.run_bilateral(*words)
        if answer.returncode != 0:
            raise CommandError(("bilateral", *words), answer.returncode, answer.stdout, answer.stderr)
        return answer

    def run_bilateral(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI in the namespace, and return everything about how it went."""
        program = Path(sys.executable).parent / "bilateral"
        return subprocess.run(
            [program, *words, "-n", NAMESPACE],
            env=os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig)},
            capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS,
        )  # fmt: skip

    def bilateral_plain(self, *words: str) -> str:
        """Run a command of the CLI that asks no cluster; return what it printed. Raises CommandError."""
        program = Path(sys.executable).parent / "bilateral"
        answer = subprocess.run(
            [program, *words], capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS
        )
        if answer.returncode != 0:
            raise CommandError(("bilateral", *words), answer.returncode, answer.stdout, answer.stderr)
        return answer.stdout

    def bilateral_check(self, file: Path) -> str:
        """Return what `bilateral export --check` prints for a partner's file."""
        return self.bilateral("export", "--check", str(file)).stdout

    def may(self, verb: str, resource: str, namespace: str) -> str:
        """Return what `kubectl auth can-i` says of the operator's ServiceAccount: yes or no."""
        answer = self.cluster.run_kubectl(
            "auth", "can-i", verb, resource, "-n", namespace, f"--as={_ACCOUNT}"
        )
        return answer.stdout.strip()

    # What can be seen

    @property
    def server_version(self) -> str:
        """The API server's own version."""
        version: str = self.cluster.request("GET", "/version").json()["gitVersion"]
        return version

    def domain(self) -> Manifest:
        """Return our TrustDomain's status; empty while there is none."""
        found = self.cluster.get("trustdomains.bilateral.dev", self.name, NAMESPACE) or {}
        status: Manifest = found.get("status", {})
        return status

    def domain_ready(self) -> str | None:
        """Return the status of our TrustDomain's condition Ready."""
        conditions = self.domain().get("conditions", [])
        return next((found["status"] for found in conditions if found["type"] == "Ready"), None)

    def authority(self) -> str:
        """Return our certificate authority's certificate as PEM, as partners get it."""
        certificate: str = self.domain()["certificateAuthority"]["certificate"]
        return certificate

    def listed_peers(self) -> set[str]:
        """Return the kernel ids in the Secret that kernels mount: whom they may rely on now."""
        secret = self.cluster.get("secrets", f"{self.name}-peers", NAMESPACE) or {}
        text = base64.b64decode(secret.get("data", {}).get("peers.json", ""))
        return {peer["kernelId"] for peer in json.loads(text or b"[]")}

    def peer(self, name: str) -> PeerStatus:
        """Return what the operator found out about a partner."""
        found = self.cluster.get("federationpeers.bilateral.dev", name, NAMESPACE)
        return PeerStatus(found or {})

    def find(self, plural: str, name: str) -> Manifest:
        """Return an object of ours; empty while there is none."""
        return self.cluster.get(f"{plural}.bilateral.dev", name, NAMESPACE) or {}

    def status(self, plural: str, name: str) -> Manifest:
        """Return the status of an object of ours; empty while there is none."""
        status: Manifest = self.find(plural, name).get("status") or {}
        return status

    def objects(self, plural: str) -> list[Manifest]:
        """Return all objects of a kind of ours."""
        answer = self.cluster.request("GET", f"/apis/bilateral.dev/v1alpha1/namespaces/{NAMESPACE}/{plural}")
        found: list[Manifest] = answer.json()["items"]
        return found

    def secret_keys(self, name: str) -> set[str]:
        """Return the keys of a Secret's data; none while there is no such Secret."""
        return set((self.cluster.get("secrets", name, NAMESPACE) or {}).get("data") or {})

    def secret_names(self) -> set[str]:
        """Return the names of the Secrets in the namespace."""
        return set(self.kubectl("get", "secrets", "-o", "name").split())

    def is_audited(self) -> bool:
        """Whether the operator's calls are in the audit log: what is counted there means something."""
        return bool(self.cluster.audit_events(user=_ACCOUNT))

    def status_writes(self, since: int, partner: str) -> int:
        """Count the operator's writes to a FederationPeer's status after a position in the audit log."""
        events = self.cluster.audit_events(user=_ACCOUNT, resource="federationpeers", since=since)
        return sum(event.is_write and event.name == partner for event in events)

    def writes(self, since: int) -> int:
        """Count all writes of the operator, except to its Lease, after a position in the audit log."""
        events = self.cluster.audit_events(user=_ACCOUNT, since=since)
        return sum(event.is_write and event.resource != "leases" for event in events)


class PeerStatus:
    """A FederationPeer's status, with what the story asks of it; absent members are None."""

    def __init__(self, obj: Manifest) -> None:
        self._obj = obj
        self._status: dict[str, Any] = obj.get("status", {})

    def __repr__(self) -> str:
        words = [f"{name}={status} ({reason})" for name, (status, reason) in self.conditions.items()]
        return ", ".join(words) or "no status"

    @property
    def conditions(self) -> dict[str, tuple[str, str]]:
        """Status and reason of every condition, by type."""
        return {
            condition["type"]: (condition["status"], condition["reason"])
            for condition in self._status.get("conditions", [])
        }

    @property
    def ready(self) -> tuple[str, str] | None:
        """Status and reason of Ready."""
        return self.conditions.get("Ready")

    @property
    def is_acknowledged(self) -> bool:
        """Whether the partner accepted our envelope."""
        return self.conditions.get("AcknowledgedByPeer", ("", ""))[0] == "True"

    @property
    def is_observed(self) -> bool:
        """Whether the status is about the spec as it stands."""
        return bool(self._status.get("observedGeneration") == self._obj.get("metadata", {}).get("generation"))

    @property
    def pin(self) -> dict[str, str]:
        """The pin; empty when there is none."""
        return self._status.get("pin") or {}

    @property
    def next_handshake(self) -> str | None:
        """When the partner is asked next."""
        return self._status.get("nextHandshakeTime")

    def changed_at(self, condition: str) -> str | None:
        """When a condition's status last flipped."""
        for found in self._status.get("conditions", []):
            if found["type"] == condition:
                return str(found["lastTransitionTime"])
        return None
