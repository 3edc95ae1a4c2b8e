"""One Kubernetes cluster without a node, in a folder of its own.

- `Cluster.start` returns when the API server says it is ready (about three seconds); nothing is shared with
  another run: folder, ports, keys and tokens are its own.
- A cluster that is `tied` ends with the program that started it, even if that one is killed (`guard`).
- Ending is by pid and start time, at once (SIGKILL): the data are worthless by then. Logs stay in the folder.

It does not run pods, and it does not decide what is tested on it.
"""

import datetime
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.api import Answer, Api
from testbed.audit import POLICY, AuditEvent, read_events, select_events
from testbed.build import build_kubernetes
from testbed.chart import ACCESS_KINDS, render_chart
from testbed.commands import apiserver_command, controllers_command, etcd_command
from testbed.credentials import ADMIN_USER, CONTROLLER_USER, write_credentials
from testbed.errors import CommandError, StartError, TestBedError
from testbed.guard import Guard
from testbed.kubeconfig import write_kubeconfig
from testbed.locations import CRDS
from testbed.metrics import Samples, parse_metrics
from testbed.ports import Port, lease_port
from testbed.processes import ProcessRecord, end_process, is_running, send_signal, spawn
from testbed.state import State, read_state, write_state

FIELD_MANAGER = "testbed"
READY_TIMEOUT = 60.0
_POLL = 0.03
_LOG_TAIL = 3000  # bytes of a log that an error shows


class Cluster:
    """A running cluster; made by `start` or `load`, ended by `stop`. Also a context manager."""

    def __init__(self, directory: Path, state: State) -> None:
        self.directory = directory
        self.api = Api(state.api_port, directory / "pki" / "ca.crt", state.admin_token)
        self._state = state
        self._programs = build_kubernetes()
        self._ports: tuple[Port, ...] = ()
        self._guard: Guard | None = None

    # Life

    @classmethod
    def start(cls, directory: Path, *, audit: bool = True, tied: bool = True) -> "Cluster":
        """Start a cluster in `directory` and return it, ready. Raises TestBedError.

        `audit` writes `DIR/audit.log`; `tied` ends the cluster together with this process.
        """
        build_kubernetes()  # before anything is made: this is what may take ten minutes, or fail
        directory = directory.absolute()
        old = read_state(directory)
        if old is not None:
            if any(is_running(record) for record in old.processes.values()):
                raise TestBedError(f"a cluster is running in {directory} already; end it first (down)")
            _remove_data(directory)
        shutil.rmtree(directory / "logs", ignore_errors=True)
        (directory / "audit.log").unlink(missing_ok=True)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        for name in ("pki", "logs"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)
        keys = write_credentials(directory / "pki", datetime.datetime.now(datetime.UTC))
        ports = (lease_port(), lease_port(), lease_port())
        etcd, peer, api = (port.number for port in ports)
        state = State(etcd, peer, api, audit, keys.admin_token, keys.controller_token)
        write_state(directory, state)
        cluster = cls(directory, state)
        cluster._ports = ports
        cluster._start(tied=tied)
        return cluster

    @classmethod
    def load(cls, directory: Path) -> "Cluster":
        """Return the cluster that another process started in `directory`. Raises TestBedError."""
        directory = directory.absolute()
        state = read_state(directory)
        if state is None:
            raise TestBedError(f"no cluster was started in {directory}")
        return cls(directory, state)

    def stop(self) -> None:
        """End exactly the processes of this cluster, remove its data, keep its logs. Twice is fine."""
        stop_processes(self.directory)
        for port in self._ports:
            port.release()
        self._ports = ()
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def adopt(self, name: str, record: ProcessRecord) -> None:
        """Have a process (an operator, say) end together with the cluster."""
        self._state.processes[name] = record
        write_state(self.directory, self._state)

    # The API server, for tests of what happens without it

    def start_apiserver(self) -> None:
        """Start the API server again on its port and wait until it is ready."""
        self._spawn("kube-apiserver", apiserver_command(self._programs, self.directory, self._state))
        self.wait_ready()

    def stop_apiserver(self, *, grace: float = 0) -> None:
        """End the API server: at once, or by SIGTERM with `grace` seconds to drain."""
        end_process(self._state.processes["kube-apiserver"], grace)

    def restart_apiserver(self, *, grace: float = 0) -> None:
        """Stop and start the API server; etcd, and so every object, stays."""
        self.stop_apiserver(grace=grace)
        self.start_apiserver()

    def pause(self) -> None:
        """Freeze the API server: connections stay open and nothing is answered."""
        send_signal(self._state.processes["kube-apiserver"], signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen API server go on."""
        send_signal(self._state.processes["kube-apiserver"], signal.SIGCONT)

    def restart_controllers(self) -> None:
        """Start the controllers anew: they look for new kinds (whose garbage to collect) only every 30 s."""
        record = self._state.processes.get("kube-controller-manager")
        if record is not None:
            end_process(record)
        self._spawn("kube-controller-manager", controllers_command(self._programs, self.directory))

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait until the API server says it is ready. Raises StartError if it ends or takes too long."""
        deadline = time.monotonic() + timeout
        while not self.api.is_ready():
            for name in ("etcd", "kube-apiserver"):
                if not is_running(self._state.processes[name]):
                    raise StartError(f"{name} has ended; its log says:\n{self._log_tail(name)}")
            if time.monotonic() >= deadline:
                raise StartError(f"not ready after {timeout:.0f} s:\n{self._log_tail('kube-apiserver')}")
            time.sleep(_POLL)

    # Using it

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self._state.api_port}"

    def kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run has for it
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout: float = 60,
    ) -> str:
        """Run kubectl and return its standard output; with `check`, a failure raises CommandError."""
        answer = self.run_kubectl(*arguments, input=input, kubeconfig=kubeconfig, timeout=timeout)
        if check and answer.returncode != 0:
            raise CommandError(
                ("kubectl", *map(str, arguments)), answer.returncode, answer.stdout, answer.stderr
            )
        return answer.stdout

    def run_kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - as above
        kubeconfig: Path | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return everything about how it went."""
        command: list[str | Path] = [self._programs.kubectl, f"--kubeconfig={kubeconfig or self.kubeconfig}"]
        command += [f"--cache-dir={self.directory / 'kubectl-cache'}", *map(str, arguments)]
        environment = os.environ | {"KUBERC": "off"}
        return subprocess.run(
            command,
            input=input or "",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> Answer:
        """Call the API server as the administrator, or `user`; a refusal is an answer too, not an exception."""
        return self.api.request(method, path, body, content_type=content_type, query=query, user=user)

    def get(self, resource: str, name: str, namespace: str) -> dict[str, Any] | None:
        """Return one object, or None; `resource` is e.g. `secrets` or `federationpeers.bilateral.dev`."""
        plural, _, group = resource.partition(".")
        prefix = f"/apis/{group}/v1alpha1" if group == "bilateral.dev" else "/api/v1"
        answer = self.request("GET", f"{prefix}/namespaces/{namespace}/{plural}/{name}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise TestBedError(f"GET {resource}/{name}: {answer.status}: {answer.message}")
        body: dict[str, Any] = answer.json()
        return body

    def apply(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Apply manifests server-side, taking over fields of other managers. Raises CommandError."""
        text = yaml.safe_dump_all([dict(document) for document in documents])
        self.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            f"--field-manager={FIELD_MANAGER}",
            "-f",
            "-",
            input=text,
        )

    def apiserver_metrics(self) -> Samples:
        """Return the API server's own metrics."""
        return parse_metrics(self.request("GET", "/metrics").body.decode())

    # What the product brings along

    def install_crds(self) -> None:
        """Install the checked-in CRDs, wait until they are served, and have their garbage collected."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", CRDS)
        self.restart_controllers()

    def install_chart(
        self, namespace: str, values: Mapping[str, object] | None = None, *, workload: bool = False
    ) -> None:
        """Render the chart for `namespace` and apply its ServiceAccount, rights and admission rules.

        The CRDs come by `install_crds`. With `workload` the rest is applied too, though no node runs it.
        """
        own = {"crds": {"install": False}}
        documents = render_chart(namespace, own | dict(values or {}))
        self.apply(document for document in documents if workload or document["kind"] in ACCESS_KINDS)

    def service_account_kubeconfig(self, namespace: str, name: str, *, seconds: int = 3600) -> Path:
        """Return a kubeconfig of that ServiceAccount, with a token that lasts `seconds` (at least 600)."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }  # fmt: skip
        answer = self.request("POST", path, body)
        if answer.status != 201:
            raise TestBedError(f"no token for ServiceAccount {namespace}/{name}: {answer.message}")
        return self._write_kubeconfig(
            f"{namespace}-{name}.kubeconfig",
            answer.json()["status"]["token"],
            f"{namespace}:{name}",
            namespace,
        )

    # The audit log

    def audit_position(self) -> int:
        """Return where the audit log ends now, to count from with `since`."""
        log = self.directory / "audit.log"
        return log.stat().st_size if log.exists() else 0

    def audit_events(
        self,
        *,
        user: str | None = None,
        verb: str | Collection[str] | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        since: int = 0,
    ) -> list[AuditEvent]:
        """Return the answered calls that match, in order. An account is `system:serviceaccount:NS:NAME`."""
        events = read_events(self.directory / "audit.log", since)
        return select_events(events, user=user, verb=verb, resource=resource, namespace=namespace)

    # Inside

    def _start(self, *, tied: bool) -> None:
        state, token = self._state, self._state.admin_token
        self._write_kubeconfig("kubeconfig", token, ADMIN_USER, "default")
        self._write_kubeconfig("controllers.kubeconfig", state.controller_token, CONTROLLER_USER, "default")
        (self.directory / "audit-policy.yaml").write_text(POLICY)
        self._guard = Guard(self.directory) if tied else None
        try:
            self._spawn("etcd", etcd_command(self._programs, self.directory, state))
            # The API server waits for etcd by itself; starting both at once saves half a second.
            self.start_apiserver()
            self.restart_controllers()
        except BaseException:
            self.stop()
            raise

    def _spawn(self, name: str, command: list[str]) -> None:
        locks = [port.lock for port in self._ports]
        self._state.processes[name] = spawn(
            command, log=self._log(name), descriptors=locks, folder=self.directory
        )
        write_state(self.directory, self._state)

    def _write_kubeconfig(self, file: str, token: str, user: str, namespace: str) -> Path:
        return write_kubeconfig(
            self.directory / file, server=self.server, authority=self.directory / "pki" / "ca.crt",
            token=token, user=user, namespace=namespace,
        )  # fmt: skip

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _log_tail(self, name: str) -> str:
        content = self._log(name).read_bytes() if self._log(name).exists() else b""
        return f"({self._log(name)})\n{content[-_LOG_TAIL:].decode(errors='replace')}"


def stop_processes(directory: Path) -> bool:
    """End what `state.json` in `directory` lists, and remove the data; return False when there is none."""
    state = read_state(directory)
    if state is None:
        return False
    # Last started, first ended: the clients before what they call.
    for record in reversed(state.processes.values()):
        end_process(record)
    _remove_data(directory)
    return True


def _remove_data(directory: Path) -> None:
    for name in ("etcd", "pki", "kubectl-cache"):
        shutil.rmtree(directory / name, ignore_errors=True)
    for path in (*directory.glob("*kubeconfig"), directory / "audit-policy.yaml", directory / "state.json"):
        path.unlink(missing_ok=True)
