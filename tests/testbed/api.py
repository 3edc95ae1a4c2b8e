"""A minimal HTTPS client of one API server: a method, a path, a JSON body, one answer.

For what tests do often or must see raw (status codes, refusals); kubectl is there for the rest. Each call has
a connection of its own, so it never meets one that a restart has broken.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status code and body of one answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """Return the `message` of a Status object, or the text of anything else."""
        try:
            return str(self.json()["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")


class Api:
    """Calls one API server as one user, by bearer token."""

    def __init__(self, port: int, authority: Path, token: str) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._token = token

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        user: str | None = None,
        timeout: float = 30,
    ) -> Answer:
        """Make one call, as `user` where the token may impersonate one.

        Raises OSError or http.client.HTTPException when there is no answer.
        """
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=timeout, context=self._context
        )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        headers |= {} if user is None else {"Impersonate-User": user}
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Tell whether `/readyz` says ok now."""
        try:
            return self.request("GET", "/readyz", timeout=2).status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
