"""Reads the API server's audit log: who called what, and how it ended.

The log is at level Metadata: user, verb, object, status code; never a body. The controllers' and the API
server's own calls are left out. A call is written once it has been answered; a watch also when it starts.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.credentials import CONTROLLER_USER

_CREDENTIAL = "authentication.kubernetes.io/credential-id"
WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})

POLICY = f"""\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "{CONTROLLER_USER}"]
- level: None
  nonResourceURLs: ["/readyz*", "/livez*", "/healthz*"]
- level: Metadata
"""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One call. `resource` is "" for a call that names none; `code` is 0 while a watch goes on."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    stage: str
    uri: str
    user_agent: str
    time: str
    credential: str
    """Which of an account's tokens was shown: tells two programs apart that act as one account."""

    @property
    def is_write(self) -> bool:
        """Tell whether the call wanted to change something."""
        return self.verb in WRITE_VERBS


def read_events(log: Path, offset: int = 0) -> Iterator[AuditEvent]:
    """Yield the calls that were logged after byte `offset`; a half-written last line is left for later."""
    if not log.exists():
        return
    with log.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if line.endswith(b"\n"):
                yield parse_event(line)


def parse_event(line: bytes) -> AuditEvent:
    """Read one line of the log."""
    event = json.loads(line)
    target = event.get("objectRef", {})
    return AuditEvent(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        stage=event["stage"],
        uri=event["requestURI"],
        user_agent=event.get("userAgent", ""),
        time=event["requestReceivedTimestamp"],
        credential=next(iter(event["user"].get("extra", {}).get(_CREDENTIAL, ())), ""),
    )


def select_events(
    events: Iterator[AuditEvent],
    *,
    user: str | None = None,
    verb: str | Collection[str] | None = None,
    resource: str | None = None,
    namespace: str | None = None,
) -> list[AuditEvent]:
    """Return the answered calls that match every given criterion."""
    verbs = {verb} if isinstance(verb, str) else verb
    return [
        event
        for event in events
        if event.stage in ("ResponseComplete", "Panic")
        and user in (None, event.user)
        and (verbs is None or event.verb in verbs)
        and resource in (None, event.resource)
        and namespace in (None, event.namespace)
    ]
