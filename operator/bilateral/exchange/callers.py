"""Who calls the control endpoint, as its routes know it, and how that is found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """A user of the cluster, as a token review names it."""

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """What a caller wants to do, in the words of the cluster's roles; an empty name is any."""

    verb: str
    resource: str
    namespace: str
    name: str = ""


class Reviewer(Protocol):
    """Whoever knows the callers."""

    async def authenticate(self, token: str) -> Caller:
        """Whose token this is. Raises Refusal: UnauthorizedBearer, NotReady."""
        ...

    async def authorize(self, caller: Caller, action: Action) -> None:
        """Let a caller do something. Raises Refusal: Forbidden, NotReady."""
        ...
