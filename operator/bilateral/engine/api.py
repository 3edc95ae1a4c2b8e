"""The Kubernetes API as this operator uses it: plain dicts over kubernetes' asyncio client.

It loads configuration and credentials with the official client (kubeconfig, exec plugins, rotating
service-account tokens) and sends through its REST layer, without the generated models: those cost
23 MiB and four times the CPU of a dict (docs/dependencies.md).

Rules: every call has a time limit; every failure is one of the errors below; no answer's text is
kept, for it may quote what was sent.

    APIError                  status, e.g. 500
    ├── Unreachable           no answer: refused, reset, timed out
    ├── NotFound              404
    ├── Conflict              409 on a write that names a resourceVersion
    ├── AlreadyExists         409 on a create
    ├── Forbidden             401, 403
    ├── Invalid               400, 422
    └── Throttled             429, with the seconds that the server asks us to wait
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.config_exception import ConfigException

REQUEST_TIMEOUT_SECONDS = 15
LARGE_BYTES = 64 * 1024
"""From here on what a Secret holds is sent on a connection that ends with it: see ``_is_large``."""
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
REPLACE = "application/json-patch+json"

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON: the one place where a value's shape is the API server's business."""


class APIError(Exception):
    """The API server did not do what was asked; ``status`` is its HTTP status, 0 without an answer."""

    def __init__(self, status: int, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"the API server answered {status}" if status else "the API server did not answer")
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Unreachable(APIError):
    """No answer."""


class NotFound(APIError):
    """The object is not there."""


class Conflict(APIError):
    """The object is not at the resourceVersion that the write was decided from."""


class AlreadyExists(APIError):
    """An object of that name is there."""


class Forbidden(APIError):
    """The operator's ServiceAccount may not do this."""


class Invalid(APIError):
    """The API server refuses the object."""


class Throttled(APIError):
    """The API server asks us to come back later."""


class ClusterUnknown(Exception):
    """Neither a usable kubeconfig nor a pod's ServiceAccount was found."""


async def load_configuration(kubeconfig: str | None, context: str | None) -> Configuration:
    """Find the API server and our credentials: the given kubeconfig, else the pod's, else the default.

    Raises ClusterUnknown.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and context is None:
            try:
                load_incluster_config(configuration)
            except ConfigException:
                await load_kube_config(client_configuration=configuration, persist_config=False)
        else:
            await load_kube_config(
                config_file=kubeconfig,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError) as error:
        raise ClusterUnknown from error
    return configuration


async def authorization(configuration: Configuration) -> str | None:
    """The value of the Authorization header, refreshed when it is due."""
    setting = (await configuration.auth_settings()).get("BearerToken")
    return None if setting is None else str(setting["value"])


class KubernetesAPI:
    """Creates, applies and reads objects; counts what it sends."""

    def __init__(self, configuration: Configuration, connections: int = 32) -> None:
        configuration.connection_pool_maxsize = connections
        # The environment's proxies and .netrc are not for us (kubeconfig may name a proxy), and looking
        # them up costs each request a file and a turn of a thread.
        configuration.client_session_kwargs = {"trust_env": False}
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)
        self.requests: dict[tuple[str, str], int] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def get(self, path: str) -> Object:
        """Read one object or one page of a list."""
        return await self._send("GET", path)

    async def create(self, path: str, body: Object, *, manager: str) -> Object:
        """Create; never touches what is there. Raises AlreadyExists."""
        return await self._send("POST", path, {"fieldManager": manager}, body)

    async def try_create(self, path: str, body: Object, *, manager: str) -> None:
        """Find out what a create would come to, and leave nothing behind. Raises AlreadyExists."""
        await self._send("POST", path, {"fieldManager": manager, "dryRun": "All"}, body)

    async def replace(self, path: str, body: Object, *, manager: str) -> Object:
        """Replace the object at the resourceVersion that ``body`` names."""
        return await self._send("PUT", path, {"fieldManager": manager}, body)

    async def apply(self, path: str, body: Object, *, manager: str) -> Object:
        """Server-side apply; raises Conflict when ``body`` names a resourceVersion that has passed."""
        return await self._send("PATCH", path, {"fieldManager": manager, "force": "true"}, body, APPLY)

    async def merge(self, path: str, body: Object, *, manager: str) -> Object:
        """Merge ``body`` into what is there, whoever owns it, at whatever version."""
        return await self._send("PATCH", path, {"fieldManager": manager}, body, MERGE)

    async def delete(self, path: str, *, uid: str | None) -> None:
        """Delete that incarnation of an object. Raises NotFound, Conflict."""
        preconditions = {} if uid is None else {"preconditions": {"uid": uid}}
        await self._send("DELETE", path, None, {"kind": "DeleteOptions", "apiVersion": "v1", **preconditions})

    async def overwrite(
        self, path: str, members: Mapping[str, object], version: str, *, manager: str
    ) -> Object:
        """Put whole top-level members in place of what is there, whoever owns it.

        Raises Conflict when the object is not at ``version`` any more.
        """
        # A "test" of the version would be answered with 422; naming it has the API server compare.
        operations: list[Object] = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
        operations += [{"op": "add", "path": f"/{name}", "value": value} for name, value in members.items()]
        return await self._send("PATCH", path, {"fieldManager": manager}, operations, REPLACE)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        kind = path.rsplit("/", 1)[-1] if method == "POST" else _kind_of(path)
        self.requests[method, kind] = self.requests.get((method, kind), 0) + 1
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "bilateral"}
        token = await authorization(self._configuration)
        if token is not None:
            headers["Authorization"] = token
        if _is_large(body):
            headers["Connection"] = "close"
        url = f"{self._configuration.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        try:
            answer = await self._rest.request(
                method, url, headers=headers, body=body, _request_timeout=REQUEST_TIMEOUT_SECONDS
            )
            data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(0) from error
        if 200 <= answer.status < 300:
            found: Object = json.loads(data)
            return found
        raise _error_of(answer.status, method, answer.headers.get("Retry-After"))


def _is_large(body: Object | list[Object] | None) -> bool:
    """Whether a write carries a Secret such as a peer list.

    OpenSSL's buffers keep the size of the largest body that went through them, for as long as the connection
    lives: with 700 kB through each of 32, as a part of the peer lists has, that is 21 MiB.
    """
    members = body if isinstance(body, list) else [body or {}]
    for member in members:
        data = member.get("value" if isinstance(body, list) else "data")
        texts = data.values() if isinstance(data, dict) else ()
        if sum(len(text) for text in texts if isinstance(text, str)) > LARGE_BYTES:
            return True
    return False


def _error_of(status: int, method: str, retry_after: str | None) -> APIError:
    if status == 429 or (status >= 500 and retry_after is not None):
        seconds = float(retry_after) if retry_after is not None and retry_after.isdigit() else 1.0
        return Throttled(status, min(seconds, 60.0))
    if status == 409:
        return AlreadyExists(status) if method == "POST" else Conflict(status)
    kinds: dict[int, type[APIError]] = {
        400: Invalid,
        401: Forbidden,
        403: Forbidden,
        404: NotFound,
        422: Invalid,
    }
    return kinds.get(status, APIError)(status)


def _kind_of(path: str) -> str:
    """The plural of the resource that a path names, with its subresource, for counting."""
    parts = path.split("/")
    try:
        at = parts.index("namespaces") + 2
    except ValueError:
        return parts[-1]
    return "/".join([parts[at], *parts[at + 2 :]]) if at < len(parts) else parts[-1]


def path_of(
    plural: str,
    namespace: str | None,
    name: str | None = None,
    *,
    group: str,
    version: str,
    subresource: str = "",
) -> str:
    """The path of a resource; ``group`` is empty for the core group. Every part is quoted."""
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    parts = [root]
    if namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name is not None:
        parts.append(quote(name, safe=""))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)
