"""A cluster in memory, objects of ours as the API server returns them, and a way to run the command."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from click.testing import CliRunner, Result

from bilateral.cli.cluster import ClusterChoice, Object, OwnedSecret
from bilateral.cli.errors import AlreadyThereError, NotPermittedError, NotThereError
from bilateral.cli.invocation import Invocation
from bilateral.cli.main import cli
from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.protocol.keys import SigningKey
from bilateral.resources.times import format_time

NOW = 1_795_271_467  # 2026-11-21T14:31:07Z
AUTHORITY: Authority = generate_authority(
    Subject(organization="Org A", common_name="Org A CA"),
    algorithm="ECDSAP256",
    validity_seconds=31_536_000,
    now=datetime.fromtimestamp(NOW, UTC),
)
OUR_KEY = SigningKey.generate()
NEXT_KEY = SigningKey.generate()
THEIR_KEY = SigningKey.generate()
ENDPOINT = "https://trust.org-a.example:8940"
ENDPOINT_FINGERPRINT = "SHA256:" + "ab" * 32
NONCE = "8f3b9e0c-2a18-4f1a-9bd3-3a31c6e5d3f5"


@dataclass
class FakeCluster:
    """Objects in memory; ``refused`` lists verbs that the caller may not use, ``list KINDS`` for one kind only.

    ``owners`` has the owner's UID of each Secret that the operator made.
    """

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    secrets: dict[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    namespace: str = "trust"
    annotated: Callable[[Object], None] = lambda obj: None
    got: Callable[[Object], None] = lambda obj: None
    choices: list[ClusterChoice] = field(default_factory=list)

    def add(self, plural: str, obj: Object) -> Object:
        metadata = obj["metadata"]
        self.objects[plural, metadata["namespace"], metadata["name"]] = obj
        return obj

    def connect(self, choice: ClusterChoice) -> FakeCluster:
        self.choices.append(choice)
        self.namespace = choice.namespace or self.namespace
        return self

    def get(self, plural: str, name: str) -> Object:
        self._permit("get")
        found = self.objects.get((plural, self.namespace, name))
        if found is None:
            raise NotThereError(f"{plural}/{name} does not exist in namespace {self.namespace}")
        self.got(found)
        return copy.deepcopy(found)

    def list(self, plural: str, *, all_namespaces: bool = False) -> list[Object]:
        self._permit("list")
        self._permit(f"list {plural}")
        return [
            copy.deepcopy(obj)
            for (kind, namespace, _), obj in self.objects.items()
            if kind == plural and (all_namespaces or namespace == self.namespace)
        ]

    def create(self, plural: str, obj: Object) -> Object:
        self._permit("create")
        name = obj["metadata"]["name"]
        if (plural, self.namespace, name) in self.objects:
            raise AlreadyThereError(f"{plural}/{name} exists already in namespace {self.namespace}")
        made = copy.deepcopy(obj)
        made["metadata"] |= {"namespace": self.namespace, "uid": f"uid-{name}", "generation": 1}
        self.add(plural, made)
        return copy.deepcopy(made)

    def annotate(self, plural: str, name: str, key: str, value: str) -> Object:
        self._permit("patch")
        self.get(plural, name)
        found = self.objects[plural, self.namespace, name]
        found["metadata"].setdefault("annotations", {})[key] = value
        answer = copy.deepcopy(found)
        self.annotated(found)
        return answer

    def patch(self, plural: str, name: str, changes: Object) -> Object:
        self._permit("patch")
        if changes.get("spec", {}).get("issue", {}).get("approval") == "Approved":
            self._permit("approve")
        self.get(plural, name)
        found = self.objects[plural, self.namespace, name]
        assert changes.get("metadata", {}).get("uid", found["metadata"]["uid"]) == found["metadata"]["uid"]
        merge(found, {key: value for key, value in changes.items() if key != "metadata"})
        for marks in ("annotations", "labels"):
            given = changes.get("metadata", {}).get(marks, {})
            merge(found["metadata"], {marks: given} if given else {})
        found["metadata"]["generation"] += 1
        answer = copy.deepcopy(found)
        self.annotated(found)
        return answer

    def delete(self, plural: str, name: str, uid: str) -> None:
        self._permit("delete")
        assert self.get(plural, name)["metadata"]["uid"] == uid
        del self.objects[plural, self.namespace, name]

    def secret(self, name: str) -> Mapping[str, bytes]:
        self._permit("secret")
        try:
            return self.secrets[self.namespace, name]
        except KeyError:
            raise NotThereError(f"secrets/{name} does not exist in namespace {self.namespace}") from None

    def owned_secrets(self) -> Sequence[OwnedSecret]:
        self._permit("list")
        self._permit("list secrets")
        return [
            OwnedSecret(name, self.owners.get(name), data)
            for (namespace, name), data in self.secrets.items()
            if namespace == self.namespace and name in self.owners
        ]

    def _permit(self, verb: str) -> None:
        if verb in self.refused:
            raise NotPermittedError(f"you may not {verb} in namespace {self.namespace}")


def merge(target: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """RFC 7396: objects are merged, null takes away, everything else is replaced."""
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


@dataclass
class Shell:
    """Runs the command with a cluster in memory and a clock that moves only when somebody sleeps."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    now: float = NOW

    def run(self, *arguments: str, stdin: bytes | str | None = None) -> Result:
        ticks = itertools.count()
        slept = [0.0]

        def sleep(seconds: float) -> None:
            slept[0] += seconds
            assert next(ticks) < 10_000

        invocation = Invocation(
            connect=self.cluster.connect,
            wall_clock=lambda: self.now,
            monotonic=lambda: slept[0],
            sleep=sleep,
            nonce=lambda: NONCE,
        )
        return CliRunner().invoke(cli, list(arguments), obj=invocation, input=stdin)


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": format_time(NOW - 60),
    }


def stored(
    kind: str,
    name: str,
    spec: Mapping[str, Any],
    status: Mapping[str, Any],
    *,
    namespace: str = "trust",
    created: str | None = None,
) -> Object:
    """An object of ours as the API server returns it; members that are None are not there."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1}
    if created is not None:
        metadata["creationTimestamp"] = created
    return {
        "apiVersion": "bilateral.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": {member: value for member, value in spec.items() if value is not None},
        "status": {member: value for member, value in status.items() if value is not None},
    }


def trust_domain(
    name: str = "org-a", *, namespace: str = "trust", ready: str = "True", **changes: Any
) -> Object:
    """A TrustDomain that is Ready; ``changes`` replace members of its spec, ``status`` of its status."""
    status = {
        "observedGeneration": 1,
        "kernelId": f"{name}-kernel",
        "publicKey": OUR_KEY.public_key.canonical,
        "did": OUR_KEY.public_key.did,
        "endpointFingerprint": ENDPOINT_FINGERPRINT,
        "certificateAuthority": {
            "subject": AUTHORITY.subject,
            "fingerprint": AUTHORITY.fingerprint,
            "notAfter": format_time(int(AUTHORITY.not_after.timestamp())),
            "certificate": AUTHORITY.certificate_pem.decode(),
        },
        "conditions": [condition("Ready", ready, "Ready" if ready == "True" else "KeyPending")],
    } | changes.pop("status", {})
    spec = {
        "kernelId": f"{name}-kernel",
        "endpoint": {"url": ENDPOINT},
        "certificateAuthority": {"subject": {"organization": "Org A"}},
    }
    return stored("TrustDomain", name, spec | changes, status, namespace=namespace)


def peer(
    name: str = "org-b",
    *,
    namespace: str = "trust",
    trust_domain: str = "org-a",
    ready: str = "True",
    reason: str = "Fresh",
    message: str = "",
    left: int | None = 41_000,
    conditions: tuple[dict[str, Any], ...] = (),
    status: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Object:
    """A FederationPeer, pinned with ``left`` seconds to go (None: no pin)."""
    found: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": [condition("Ready", ready, reason, message), *conditions],
    }
    if left is not None:
        found["pin"] = {
            "publicKey": THEIR_KEY.public_key.canonical,
            "establishedAt": format_time(NOW + left - 43_200),
            "rotationDue": format_time(NOW + left),
            "envelopeTimestamp": format_time(NOW + left - 43_200),
            "envelopeNonces": ["0" * 32],
            "seal": "0" * 64,
        }
    spec = {
        "trustDomain": trust_domain,
        "kernelId": f"{name}-kernel",
        "trustAnchors": [{"publicKey": THEIR_KEY.public_key.canonical}],
    }
    return stored("FederationPeer", name, spec | changes, found | dict(status or {}), namespace=namespace)
