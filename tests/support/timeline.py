"""Everything that happened to the objects of one kind, with the moment at which each version arrived.

A watch runs in the background, so a test reads afterwards what was so in between, and waits without polling.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from testbed.cluster import Cluster

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One version; ``at`` is Unix seconds, with a fraction, when its event arrived here."""

    at: float
    event: str
    obj: Object


class Timeline:
    """Records the versions of every object of one resource in one namespace; also a context manager."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self._path = path
        self._seen: list[Seen] = []
        self._changed = threading.Condition()
        api = cluster.api
        self._connection = http.client.HTTPSConnection("127.0.0.1", api._port, context=api._context)
        self._connection.request(
            "GET", f"{path}?watch=true", headers={"Authorization": f"Bearer {api._token}"}
        )
        self._response = self._connection.getresponse()
        assert self._response.status == http.HTTPStatus.OK
        self._thread = threading.Thread(target=self._record, name=f"timeline {path}", daemon=True)
        self._thread.start()

    def versions(self, name: str) -> list[Seen]:
        """Every version of one object so far, in order."""
        with self._changed:
            return [seen for seen in self._seen if seen.obj["metadata"]["name"] == name]

    def latest(self, name: str) -> Object | None:
        """The object as it was last seen, or None: never there, or deleted."""
        versions = self.versions(name)
        return versions[-1].obj if versions and versions[-1].event != "DELETED" else None

    def wait(
        self, name: str, holds: Callable[[Object], bool], what: str, seconds: float = 20.0, since: float = 0.0
    ) -> Seen:
        """Wait for the first version (that arrived after ``since``) for which ``holds``, and return it."""
        deadline = time.monotonic() + seconds
        looked_at = 0
        with self._changed:
            while True:
                for seen in self._seen[looked_at:]:
                    if seen.obj["metadata"]["name"] == name and seen.at >= since and _is(seen, holds):
                        return seen
                looked_at = len(self._seen)
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    last = next(
                        (s.obj for s in reversed(self._seen) if s.obj["metadata"]["name"] == name), None
                    )
                    raise AssertionError(
                        f"not within {seconds:.0f} s: {name}: {what}; last seen:\n{_brief(last)}"
                    )

    def close(self) -> None:
        """End the watch."""
        with contextlib.suppress(OSError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Timeline:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _record(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while line := self._response.readline():
                event = json.loads(line)
                with self._changed:
                    self._seen.append(Seen(time.time(), event["type"], event["object"]))
                    self._changed.notify_all()


def _is(seen: Seen, holds: Callable[[Object], bool]) -> bool:
    return seen.event != "DELETED" and holds(seen.obj)


def _brief(obj: Object | None) -> str:
    """What a failed wait shows; a Secret is shown without its data."""
    if obj is None:
        return "nothing"
    return json.dumps({name: obj[name] for name in ("spec", "status") if name in obj}, indent=1)[:6000]
