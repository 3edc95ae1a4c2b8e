"""What becomes of a Secret of ours, and what an authority's lists have to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bilateral.cli.cluster import OwnedSecret

LIST: Final = ".crl"
OWN: Final = "self"
"""The stem of our own authority's files; an earlier one's is its slug."""


@dataclass(frozen=True, slots=True)
class SecretChange:
    """What becomes of a Secret: it is ``deleted``, ``emptied``, or files leave, come or change."""

    name: str
    identity: str | None = None
    deleted: bool = False
    emptied: bool = False
    loses: tuple[str, ...] = ()
    gains: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def is_list_only(self) -> bool:
        """Whether nothing but revocation lists changes in it, which rolls nothing out."""
        return not (self.deleted or self.emptied or self.loses or self.gains) and all(
            file.endswith(LIST) for file in self.changes
        )

    @property
    def is_one(self) -> bool:
        """Whether anything happens to it at all."""
        return bool(self.deleted or self.emptied or self.loses or self.gains or self.changes)


@dataclass(frozen=True, slots=True)
class Lists:
    """A trust domain's revocation lists, by the stems of their files: which are signed anew, and which are over."""

    changed: frozenset[str] = frozenset()
    over: frozenset[str] = frozenset()


def owned(secrets: Mapping[str, OwnedSecret], name: str, uid: str) -> Mapping[str, bytes] | None:
    """What a Secret holds that is there and belongs to the object of that UID."""
    secret = secrets.get(name)
    return secret.data if secret is not None and secret.owner_uid == uid else None
