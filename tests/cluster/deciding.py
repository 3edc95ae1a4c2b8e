"""Organisations that decide: an operator with a ledger and a control endpoint, and kernels that ask it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bilateral.protocol.capabilities.chains import Chain
from bilateral.protocol.capabilities.delegation import delegate, issue
from bilateral.protocol.capabilities.grants import Operation, Scope, ToolGrant
from bilateral.protocol.keys import PublicKey, SigningKey, parse_public_key
from bilateral.protocol.receipts import Receipt, open_receipt
from cluster.scene import API, DOMAINS, POLICIES, Object, Scene, open_scene
from testbed.cluster import Cluster
from testbed.operator import OperatorProcess
from testbed.ports import lease_port

CONTROL_HOST = "control.bilateral.test"
AUDIENCE = "bilateral"
SERVER, TOOL = "billing.org-b.internal", "billing.read"
EVALUATE = "/v1/federation/policies/evaluate"
VALUES = {"policies": {"enabled": True}, "replicas": 1}
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class Answer:
    """What the control endpoint answered."""

    status: int
    body: Any

    @property
    def reason(self) -> str:
        """The reason of a denial, or the problem's type."""
        if "decision" in self.body:
            return str(self.body["decision"].get("reason", "Allowed"))
        return str(self.body["type"]).rpartition("/")[2]


@dataclass
class Organisation:
    """One side: a namespace, its operator, its trust domain "ours" and its kernel, a ServiceAccount."""

    scene: Scene
    operator: OperatorProcess
    control_port: int
    issuer: SigningKey = field(default_factory=SigningKey.generate)
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def authority(self) -> str:
        """The certificate of the authority of "ours"."""
        pem: str = self.scene.get(DOMAINS, "ours")["status"]["certificateAuthority"]["certificate"]
        return pem

    @property
    def endpoint(self) -> Object:
        return {"url": self.operator.url, "verifier": {"certificateAuthority": {"pem": self.authority}}}

    def add_partner(self, name: str, other: Organisation) -> None:
        """The other side as a peer."""
        self.scene.add_peer(
            name,
            "ours",
            kernelId=other.scene.kernel("ours"),
            endpoint=other.endpoint,
            trustAnchors=[{"publicKey": other.scene.get(DOMAINS, "ours")["status"]["publicKey"]}],
        )

    def add_policy(self, name: str, other: Organisation, **changes: Any) -> None:
        """What the other side may do here; ``...`` leaves a member out."""
        feed = {
            "url": f"{other.operator.url}/v1/revocations/feed",
            "pollSeconds": 5,
            "maxStalenessSeconds": 60,
        }
        self.create_policy(name, other.issuer.public_key, **{"revocationFeed": feed, **changes})

    def create_policy(self, name: str, issuer: PublicKey, **changes: Any) -> None:
        """A policy for the peer of that name, without a feed; ``...`` leaves a member out."""
        spec: Object = {
            "peer": name,
            "partnerId": name,
            "trustedIssuers": [{"publicKey": issuer.canonical}],
            "maxScope": {
                "toolServers": [SERVER],
                "tools": [{"tool": TOOL, "parameterBounds": {"row_limit": 100}}],
            },
            "maxAutonomyTier": "Delegated",
            "maxEvidenceAgeSeconds": 3600,
        }
        spec = {member: value for member, value in (spec | changes).items() if value is not ...}
        body = {"apiVersion": API, "kind": "FederationPolicy", "metadata": {"name": name}, "spec": spec}
        self.scene.create(POLICIES, body)

    def token(self, account: str = "kernel", audience: str = AUDIENCE) -> str:
        """A token of a ServiceAccount."""
        path = f"/api/v1/namespaces/{self.scene.namespace}/serviceaccounts/{account}/token"
        request = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
        answer = self.scene.cluster.request("POST", path, request)
        assert answer.status == 201, answer.message
        return str(answer.json()["status"]["token"])

    def add_account(self, name: str, *rules: tuple[str, Sequence[str]]) -> None:
        """A ServiceAccount that may do things: a resource of ours and verbs, each."""
        scene, namespace = self.scene, self.scene.namespace
        metadata = {"name": name, "namespace": namespace}
        scene.cluster.request(
            "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": metadata}
        )
        listed = [
            {"apiGroups": ["bilateral.dev"], "resources": [plural], "verbs": list(verbs)}
            for plural, verbs in rules
        ]
        base = f"{_RBAC}/namespaces/{namespace}"
        scene.cluster.request("POST", f"{base}/roles", {"metadata": metadata, "rules": listed})
        binding = {
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        answer = scene.cluster.request("POST", f"{base}/rolebindings", binding)
        assert answer.status == 201, answer.message

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        account: str = "kernel",
    ) -> Answer:
        """One request to the control endpoint."""
        context = ssl.create_default_context(cadata=self.authority)
        headers = {"Authorization": f"Bearer {token or self._own_token(account)}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with (
            socket.create_connection(("127.0.0.1", self.control_port), timeout=15) as plain,
            context.wrap_socket(plain, server_hostname=CONTROL_HOST) as secured,
        ):
            connection = http.client.HTTPConnection(CONTROL_HOST)
            connection.sock = secured
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return Answer(answer.status, json.loads(answer.read()))

    def _own_token(self, account: str) -> str:
        """One token of an account for all calls: it lives longer than any test."""
        if account not in self._tokens:
            self._tokens[account] = self.token(account)
        return self._tokens[account]

    def evaluate(self, partner: str, chain: Chain, *, rows: int | None = 10, **more: Any) -> Answer:
        """Ask for a decision about a call with a chain of capabilities."""
        request: Object = {
            "partnerId": partner,
            "capability": [each.to_wire() for each in chain.tokens],
            "call": {
                "toolServer": SERVER,
                "tool": TOOL,
                "operation": "invoke",
                "parameters": {} if rows is None else {"row_limit": rows},
            },
        }
        return self.call("POST", EVALUATE, {k: v for k, v in (request | more).items() if v is not ...})

    def receipt(self, answer: Answer) -> Receipt:
        """The receipt of an answer, verified with our published key."""
        key = parse_public_key(self.scene.get(DOMAINS, "ours")["status"]["publicKey"])
        return open_receipt(answer.body["receipt"], kernel_key=key)

    def capability(self, now: int, *, agent: SigningKey, worker: SigningKey, name: str = "cap") -> Chain:
        """What our authority gave an agent, and the agent handed on to a worker."""
        scope = Scope(grants=(ToolGrant(SERVER, TOOL, (Operation.INVOKE, Operation.DELEGATE)),))
        root = issue(
            self.issuer,
            capability_id=f"{name}-root",
            subject=agent.public_key,
            scope=scope,
            issued_at=now - 60,
            expires_at=now + 3600,
        )
        return delegate(
            root,
            agent,
            capability_id=f"{name}-child",
            subject=worker.public_key,
            scope=scope,
            issued_at=now - 30,
            expires_at=now + 3000,
        )


def open_organisation(
    stack: ExitStack, cluster: Cluster, directory: Path, *, ledger: str | None = None, **make: Any
) -> Organisation:
    """A namespace with the chart's rights for policies, and an operator with a ledger and a control endpoint."""
    scene = stack.enter_context(open_scene(cluster, directory, VALUES))
    port = lease_port()
    stack.callback(port.release)
    operator = scene.operator(
        f"--ledger={ledger or f'sqlite:///{directory}/ledger.db'}",
        f"--control-listen=127.0.0.1:{port.number}",
        f"--control-host={CONTROL_HOST}",
        **make,
    )
    scene.add_domain("ours", url=operator.url)
    scene.wait(DOMAINS, "ours", "Ready", status="True")
    made = Organisation(scene, operator, port.number)
    made.add_account("kernel", (POLICIES, ["evaluate"]))
    made.add_account("officer", (POLICIES, ["list", "create", "delete"]), (DOMAINS, ["revoke"]))
    return made
