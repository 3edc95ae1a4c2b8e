"""The little of a Kubernetes API server that commands need, as an interface over plain dicts.

Commands see :class:`Cluster` only, so a test hands them objects in memory. What really talks to an API
server is :mod:`bilateral.cli.kube`, imported when the first command needs it: ``did resolve`` and
``key show`` work without the package ``kubernetes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

Object: TypeAlias = dict[str, Any]
"""An object of the Kubernetes API as JSON has it: here, and in ``kube.py``, its shape is not yet known."""


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """Which cluster and namespace a command means; None is what kubectl would take."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class OwnedSecret:
    """A Secret that the operator made, and whose it is."""

    name: str
    owner_uid: str | None
    data: Mapping[str, bytes] = field(repr=False)


class Cluster(Protocol):
    """Reads and writes objects in one namespace. Every method raises ClusterError or NotThereError."""

    @property
    def namespace(self) -> str:
        """The namespace that is meant."""
        ...

    def get(self, plural: str, name: str) -> Object:
        """Read one object of ours. Raises NotThereError."""
        ...

    def list(self, plural: str, *, all_namespaces: bool = False) -> list[Object]:
        """Read all objects of one kind of ours, in the namespace or everywhere."""
        ...

    def create(self, plural: str, obj: Object) -> Object:
        """Create an object of ours from its manifest and return it. Raises AlreadyThereError."""
        ...

    def annotate(self, plural: str, name: str, key: str, value: str) -> Object:
        """Set one annotation and return the object. Raises NotThereError."""
        ...

    def patch(self, plural: str, name: str, changes: Object) -> Object:
        """Merge members into an object and return it. Raises NotThereError, AlreadyThereError (another object)."""
        ...

    def delete(self, plural: str, name: str, uid: str) -> None:
        """Delete an object of ours, if it still is the one with that UID. Raises NotThereError."""
        ...

    def secret(self, name: str) -> Mapping[str, bytes]:
        """Read the data of a Secret. Raises NotThereError."""
        ...

    def owned_secrets(self) -> Sequence[OwnedSecret]:
        """Read every Secret of the namespace that the operator made."""
        ...


def connect(choice: ClusterChoice) -> Cluster:
    """Connect to the chosen cluster. Raises ClusterError when there is none, or no way to talk to it."""
    from bilateral.cli.kube import connect_kubernetes  # noqa: PLC0415 - costs a quarter of a second

    return connect_kubernetes(choice)
