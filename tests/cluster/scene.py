"""A namespace with the chart's ServiceAccount, operators that act as it, and partners: what fault tests play in.

Everything waits by asking until a deadline; what was seen last is in the error. Kernel ids carry the
namespace, for they are unique in the cluster, which all tests of a session share.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bilateral.pki.authority import Authority
from bilateral.protocol.handshake import Envelope
from bilateral.resources.kinds import KINDS
from cluster.conftest import make_namespace
from support.caller import Answer, Caller
from support.partner import Behaviour, Partner, PartnerServer, hanging_up, honest
from support.waiting import POLL_SECONDS
from testbed.audit import AuditEvent
from testbed.chart import RELEASE
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess, OperatorSettings

Object = dict[str, Any]

DOMAINS, PEERS, SECRETS, LEASES = "trustdomains", "federationpeers", "secrets", "leases"
IDENTITIES, SERVICES, INTRODUCTIONS = "workloadidentities", "trustedservices", "introductions"
DEPLOYMENTS, POLICIES = "deployments", "federationpolicies"
API = "bilateral.dev/v1alpha1"
_KINDS = {kind.PLURAL: kind.KIND for kind in KINDS}
MERGE = "application/merge-patch+json"
_ROOTS = {
    DOMAINS: f"/apis/{API}",
    PEERS: f"/apis/{API}",
    IDENTITIES: f"/apis/{API}",
    SERVICES: f"/apis/{API}",
    INTRODUCTIONS: f"/apis/{API}",
    POLICIES: f"/apis/{API}",
    DEPLOYMENTS: "/apis/apps/v1",
    SECRETS: "/api/v1",
    LEASES: "/apis/coordination.k8s.io/v1",
    "events": "/apis/events.k8s.io/v1",
}


def condition_of(obj: Object | None, kind: str = "Ready") -> Object:
    """A condition of an object, or an empty one."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def _manifest(plural: str, name: str, spec: Object) -> Object:
    return {"apiVersion": API, "kind": _KINDS[plural], "metadata": {"name": name}, "spec": spec}


class Scene:
    """One namespace of a cluster."""

    def __init__(self, cluster: Cluster, namespace: str, partners: PartnerServer, directory: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.partners = partners
        self.directory = directory
        self.account = f"system:serviceaccount:{namespace}:{RELEASE}"
        self.started: list[OperatorProcess] = []
        self._numbers = itertools.count(1)

    # Operators

    def operator(
        self,
        *extra: str,
        start: bool = True,
        kubeconfig: Path | None = None,
        make: Callable[[OperatorSettings, Path], OperatorProcess] = OperatorProcess,
        namespaces: Sequence[str] | None = None,
    ) -> OperatorProcess:
        """Make an operator as the chart's ServiceAccount, and (with `start`) wait until it is ready."""
        settings = OperatorSettings(
            kubeconfig=kubeconfig or self.cluster.service_account_kubeconfig(self.namespace, RELEASE),
            namespaces=(self.namespace,) if namespaces is None else namespaces,
            lease_namespace=self.namespace,
            extra=extra,
        )
        process = make(settings, self.directory / f"operator-{next(self._numbers)}")
        self.started.append(process)
        if start:
            process.start()
            self.adopt(process)
        return process

    def adopt(self, process: OperatorProcess) -> None:
        """Have a started operator end with the cluster, should the tests be killed."""
        self.cluster.adopt(f"operator-{self.namespace}-{self.started.index(process)}", process.record)

    def close(self) -> None:
        """End the operators and remove the namespace."""
        for process in self.started:
            process.resume() if process.is_running() else None
            process.close()
        self.cluster.request("DELETE", f"/api/v1/namespaces/{self.namespace}")

    # Objects

    def path(self, plural: str, name: str = "") -> str:
        """The path of a kind in the namespace, or of one object."""
        base = f"{_ROOTS[plural]}/namespaces/{self.namespace}/{plural}"
        return f"{base}/{name}" if name else base

    def find(self, plural: str, name: str) -> Object | None:
        """An object, or None."""
        answer = self.cluster.request("GET", self.path(plural, name))
        assert answer.status in (200, 404), answer.message
        return None if answer.status == 404 else answer.json()

    def get(self, plural: str, name: str) -> Object:
        """An object that is there."""
        found = self.find(plural, name)
        assert found is not None, f"{plural}/{name} is not there"
        return found

    def objects(self, plural: str) -> list[Object]:
        """All objects of a kind in the namespace."""
        items: list[Object] = self.cluster.request("GET", self.path(plural)).json()["items"]
        return items

    def create(self, plural: str, body: Object) -> Object:
        """Create an object."""
        answer = self.cluster.request("POST", self.path(plural), body)
        assert answer.status == 201, answer.message
        created: Object = answer.json()
        return created

    def add(self, plural: str, name: str, /, **spec: object) -> None:
        """Create an object of ours."""
        self.create(plural, _manifest(plural, name, spec))

    def delete(self, plural: str, name: str) -> None:
        """Delete an object, in the background."""
        answer = self.cluster.request("DELETE", self.path(plural, name))
        assert answer.status in (200, 202), answer.message

    def patch(self, plural: str, name: str, body: Object, subresource: str = "") -> Object:
        """Merge `body` into an object, as the administrator may."""
        path = self.path(plural, name) + (f"/{subresource}" if subresource else "")
        answer = self.cluster.request("PATCH", path, body, content_type=MERGE)
        assert answer.status == 200, answer.message
        patched: Object = answer.json()
        return patched

    def ask(self, plural: str, name: str, word: str) -> None:
        """Ask for a look now, by the annotation."""
        self.patch(plural, name, {"metadata": {"annotations": {"bilateral.dev/reconcile-now": word}}})

    def kernel(self, name: str) -> str:
        """The kernel id of a trust domain or peer of this scene."""
        return f"{name}.{self.namespace}"

    def add_domain(self, name: str = "org-a", *, url: str | None = None, **spec: object) -> None:
        """Create a TrustDomain."""
        whole: Object = {"kernelId": self.kernel(name), **spec}
        if url is not None:
            whole["endpoint"] = {"url": url}
        self.add(DOMAINS, name, **whole)

    def add_identity(self, name: str, domain: str = "org-a", **spec: object) -> None:
        """Create a WorkloadIdentity."""
        whole: Object = {"trustDomain": domain, "subject": {"commonName": name}, **spec}
        self.add(IDENTITIES, name, **whole)

    def partner(self, name: str) -> Partner:
        """The partner behind a peer of that name."""
        kernel = self.kernel(name)
        return self.partners.find(kernel) or self.partners.play(kernel_id=kernel)

    def behave(self, name: str, behaviour: Behaviour) -> None:
        """Have a partner answer in another way from now on."""
        self.partner(name).behaviour = behaviour

    def silence(self, *names: str) -> None:
        """Have partners hang up on whoever asks."""
        for name in names:
            self.behave(name, hanging_up)

    def wake(self, *names: str) -> None:
        """Have partners answer as the protocol says."""
        for name in names:
            self.behave(name, honest)

    def asked(self, *names: str) -> int:
        """How many envelopes of ours reached these partners."""
        return sum(len(self.partner(name).asked) for name in names)

    def add_peer(self, name: str, domain: str = "org-a", *, passive: bool = False, **spec: object) -> None:
        """Create a FederationPeer for the partner of that name, anchored."""
        self.create(PEERS, self.manifest_of_peer(name, domain, passive=passive, **spec))

    def manifest_of_peer(
        self, name: str, domain: str = "org-a", *, passive: bool = False, **spec: object
    ) -> Object:
        """What `add_peer` creates."""
        whole: Object = {
            "trustDomain": domain,
            "kernelId": self.kernel(name),
            "trustAnchors": [{"publicKey": self.partner(name).anchor}],
        }
        if not passive:
            pem = self.partners.authority.certificate_pem.decode()
            whole["endpoint"] = {"url": self.partners.url, "verifier": {"certificateAuthority": {"pem": pem}}}
        return _manifest(PEERS, name, whole | spec)

    def add_pinned(
        self, name: str, authority: Authority | None = None, domain: str = "org-a", **spec: Any
    ) -> None:
        """Create a FederationPeer whose authority a person installed; if none is given, the endpoint's."""
        pem = (authority or self.partners.authority).certificate_pem.decode()
        self.add_peer(name, domain, certificateAuthorities={"mode": "Pinned", "pems": [pem]}, **spec)

    def add_partner(self, name: str, authority: Authority | None = None, **spec: Any) -> None:
        """The same, and wait until it is fresh."""
        self.add_pinned(name, authority, **spec)
        self.wait_ready(name)

    # Looking

    def wait(
        self,
        plural: str,
        name: str,
        reason: str,
        *,
        status: str | None = None,
        kind: str = "Ready",
        seconds: float = 20,
    ) -> Object:
        """Wait until a condition has a reason (and a status), and return the object."""
        deadline = time.monotonic() + seconds
        while True:
            obj = self.find(plural, name)
            seen = condition_of(obj, kind)
            if seen.get("reason") == reason and status in (None, seen["status"]):
                assert obj is not None
                return obj
            assert time.monotonic() < deadline, (
                f"{plural}/{name}: {kind} is not {reason} within {seconds:.0f} s but {json.dumps(seen)}"
            )
            time.sleep(POLL_SECONDS)

    def wait_ready(self, *names: str, domain: str | None = "org-a", seconds: float = 20) -> list[Object]:
        """Wait until a trust domain and these peers may be relied on; return the peers."""
        if domain is not None:
            self.wait(DOMAINS, domain, "Ready", status="True", seconds=seconds)
        return [self.wait(PEERS, name, "Fresh", status="True", seconds=seconds) for name in names]

    def secret(self, name: str) -> dict[str, bytes] | None:
        """What a Secret holds, or None."""
        found = self.find(SECRETS, name)
        data = (found or {}).get("data") or {}
        return None if found is None else {key: base64.b64decode(value) for key, value in data.items()}

    def listed_peers(self, domain: str = "org-a") -> dict[str, str]:
        """Kernel id → public key (bare hex) of `peers.json`: whom a kernel of ours would trust."""
        content = (self.secret(f"{domain}-peers") or {}).get("peers.json", b"[]")
        return {each["kernelId"]: each["publicKey"] for each in json.loads(content)}

    def event_reasons(self, name: str) -> list[str]:
        """The reasons of the Kubernetes events about an object."""
        return [each["reason"] for each in self.objects("events") if each["regarding"]["name"] == name]

    def writes(self, since: int, *, leases: bool = False) -> list[AuditEvent]:
        """What the operator's account wrote after a position of the audit log; with or without Leases."""
        events = self.cluster.audit_events(user=self.account, since=since)
        return [each for each in events if each.is_write and (leases or each.resource != LEASES)]

    def post(self, operator: OperatorProcess, envelope: Envelope) -> Answer:
        """Send an envelope to an operator's endpoint."""
        return Caller(operator.port).post(envelope)


@contextlib.contextmanager
def open_scene(
    cluster: Cluster,
    directory: Path,
    values: Mapping[str, object] | None = None,
) -> Iterator[Scene]:
    """Make a namespace with the chart's rights and a partner; everything ends with the block."""
    namespace = make_namespace(cluster)
    cluster.install_chart(namespace, values)
    with PartnerServer() as partners:
        scene = Scene(cluster, namespace, partners, directory)
        try:
            yield scene
        finally:
            scene.close()
