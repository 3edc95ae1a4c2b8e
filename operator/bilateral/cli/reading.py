"""What commands read with the caller's rights, when one object more or less does not end them.

Rules: what is not there and what may not be read are two things: the second is named. An object that breaks a
rule of its kind counts for nothing, and is passed over: its own status says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bilateral.cli.cluster import Cluster
from bilateral.cli.errors import NotPermittedError, NotThereError
from bilateral.resources.errors import InvalidResource
from bilateral.resources.introduction import Introduction
from bilateral.resources.meta import Resource

R = TypeVar("R", bound=Resource)


@dataclass(slots=True)
class Reader:
    """Reads objects, and remembers what it may not read."""

    cluster: Cluster
    unseen: list[str] = field(default_factory=list)

    def objects(self, kind: type[R]) -> list[R]:
        """All objects of a kind that can be read, in the server's order."""
        try:
            found = self.cluster.list(kind.PLURAL)
        except NotPermittedError:
            self.note(kind.PLURAL)
            return []
        read: list[R] = []
        for obj in found:
            try:
                read.append(kind.parse(obj))
            except InvalidResource:
                continue
        return read

    def document(self, introduction: Introduction) -> str | bytes | None:
        """What another authority signed for an identity of ours; None where there is none that can be read."""
        return None if introduction.spec.ours is None else document_text(introduction, self._secret)

    def note(self, what: str) -> None:
        """Remember that something may not be read."""
        if what not in self.unseen:
            self.unseen.append(what)

    def _secret(self, name: str) -> Mapping[str, bytes]:
        try:
            return self.cluster.secret(name)
        except NotThereError:
            return {}
        except NotPermittedError:
            self.note(f"secrets/{name}")
            return {}


def document_text(
    introduction: Introduction, secret: Callable[[str], Mapping[str, bytes]]
) -> str | bytes | None:
    """The document that an object holds or refers to, if there is one; ``secret`` reads a Secret's data."""
    accept = introduction.spec.accept
    if accept is None:
        return introduction.status.introduction
    reference = accept.introduction_secret_ref
    return accept.introduction if reference is None else secret(reference.name).get(reference.key)
