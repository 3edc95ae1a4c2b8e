"""A Kubernetes API server through the official client, for :mod:`bilateral.cli.cluster`.

Rules: every request has a time limit and is not repeated; the text of an answer is never shown, for it
may quote what was sent; a missing object and a missing CRD are told apart; credentials and contexts are
found as kubectl finds them.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from bilateral.cli.cluster import ClusterChoice, Object, OwnedSecret
from bilateral.cli.errors import AlreadyThereError, CLIError, ClusterError, NotPermittedError, NotThereError
from bilateral.resources.labels import FIELD_MANAGER, GROUP, SECRET_LABEL, SECRET_OWNED, VERSION

CONNECT_SECONDS = 5
ANSWER_SECONDS = 15
PAGE_SIZE = 500
_TIMEOUT = (CONNECT_SECONDS, ANSWER_SECONDS)
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect_kubernetes(choice: ClusterChoice) -> KubernetesCluster:
    """Load kubeconfig (or, in a pod, its ServiceAccount) and connect lazily.

    Raises ClusterError when the package ``kubernetes`` is missing or no configuration is found.
    """
    try:
        import kubernetes  # noqa: PLC0415 - an optional dependency, and slow to import
    except ImportError:
        raise ClusterError(
            "this command talks to a Kubernetes cluster and needs the package kubernetes: "
            "pip install 'bilateral[cluster]'"
        ) from None
    configuration = kubernetes.client.Configuration()
    configuration.retries = False
    config: Any = kubernetes.config  # ships without types
    try:
        config.load_kube_config(
            config_file=choice.kubeconfig,
            context=choice.context,
            client_configuration=configuration,
            persist_config=False,
        )
        namespace = choice.namespace or _context_namespace(config, choice)
    except config.ConfigException:
        if choice.kubeconfig or choice.context:
            raise ClusterError(_unusable(choice)) from None
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            raise ClusterError(
                "no cluster: neither a kubeconfig nor a pod's ServiceAccount was found. "
                "Name a kubeconfig with --kubeconfig or in KUBECONFIG"
            ) from None
        namespace = choice.namespace or _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        # What the library raises depends on where the file stops looking like a kubeconfig.
        raise ClusterError(_unusable(choice)) from None
    return KubernetesCluster(kubernetes.client, configuration, namespace)


def _unusable(choice: ClusterChoice) -> str:
    place = f"kubeconfig {choice.kubeconfig}" if choice.kubeconfig else "the kubeconfig"
    context = f" with context {choice.context}" if choice.context else ""
    return f"{place}{context} cannot be used: check the path, the context's name and the credentials in it"


def _context_namespace(config: Any, choice: ClusterChoice) -> str:  # noqa: ANN401 - a module without types
    contexts, active = config.list_kube_config_contexts(config_file=choice.kubeconfig)
    chosen = next((item for item in contexts if item["name"] == choice.context), active)
    return str(chosen["context"].get("namespace") or "default")


class KubernetesCluster:
    """One namespace of a real cluster; see :class:`bilateral.cli.cluster.Cluster`."""

    def __init__(self, client: Any, configuration: Any, namespace: str) -> None:  # noqa: ANN401 - without types
        self._error: type[Exception] = client.exceptions.ApiException
        api = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._host: str = configuration.host
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The namespace that is meant."""
        return self._namespace

    def get(self, plural: str, name: str) -> Object:
        """Read one object of ours."""
        return self._ask(
            f"get {plural}",
            f"{plural}/{name}",
            lambda: self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self._namespace, plural, name, _request_timeout=_TIMEOUT
            ),
        )

    def list(self, plural: str, *, all_namespaces: bool = False) -> list[Object]:
        """Read all objects of one kind of ours, page by page."""
        found: list[Object] = []
        following: str | None = None
        while True:
            page = self._ask(
                f"list {plural}" + (" in all namespaces" if all_namespaces else ""),
                None,
                functools.partial(
                    self._list_page, plural, all_namespaces=all_namespaces, following=following
                ),
            )
            found.extend(page["items"])
            following = page["metadata"].get("continue")
            if not following:
                return found

    def _list_page(self, plural: str, *, all_namespaces: bool, following: str | None) -> object:
        rest = {"limit": PAGE_SIZE, "_request_timeout": _TIMEOUT}
        if following:
            rest["_continue"] = following
        if all_namespaces:
            return self._objects.list_cluster_custom_object(GROUP, VERSION, plural, **rest)
        return self._objects.list_namespaced_custom_object(GROUP, VERSION, self._namespace, plural, **rest)

    def create(self, plural: str, obj: Object) -> Object:
        """Create an object of ours."""
        return self._ask(
            f"create {plural}",
            f"{plural}/{obj['metadata']['name']}",
            lambda: self._objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                self._namespace,
                plural,
                obj,
                field_manager=f"{FIELD_MANAGER}-cli",
                _request_timeout=_TIMEOUT,
            ),
        )

    def annotate(self, plural: str, name: str, key: str, value: str) -> Object:
        """Set one annotation by a merge patch, which touches nothing else."""
        return self.patch(plural, name, {"metadata": {"annotations": {key: value}}})

    def patch(self, plural: str, name: str, changes: Object) -> Object:
        """Merge members into an object by a merge patch."""
        return self._ask(
            f"patch {plural}",
            f"{plural}/{name}",
            lambda: self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self._namespace,
                plural,
                name,
                changes,
                field_manager=f"{FIELD_MANAGER}-cli",
                _content_type="application/merge-patch+json",
                _request_timeout=_TIMEOUT,
            ),
        )

    def delete(self, plural: str, name: str, uid: str) -> None:
        """Delete an object of ours, in the background; another one of the same name is not there."""
        try:
            self._ask(
                f"delete {plural}",
                f"{plural}/{name}",
                lambda: self._objects.delete_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    self._namespace,
                    plural,
                    name,
                    body={"preconditions": {"uid": uid}},
                    _request_timeout=_TIMEOUT,
                ),
            )
        except AlreadyThereError:
            raise NotThereError(
                f"{plural}/{name} was deleted by somebody else, who made another one"
            ) from None

    def secret(self, name: str) -> Mapping[str, bytes]:
        """Read the data of a Secret."""
        answer = self._ask(
            "get secrets",
            f"secrets/{name}",
            lambda: json.loads(
                self._core.read_namespaced_secret(
                    name, self._namespace, _preload_content=False, _request_timeout=_TIMEOUT
                ).data
            ),
        )
        return self._data_of(answer)

    def owned_secrets(self) -> Sequence[OwnedSecret]:
        """Read every Secret that the operator made, page by page."""
        found: list[OwnedSecret] = []
        following: str | None = None
        while True:
            page = self._ask("list secrets", None, functools.partial(self._list_secrets, following))
            for item in page.get("items") or ():
                metadata = item["metadata"]
                owners = [each for each in metadata.get("ownerReferences") or () if each.get("controller")]
                uid = str(owners[0]["uid"]) if owners else None
                found.append(OwnedSecret(str(metadata["name"]), uid, self._data_of(item)))
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return found

    def _list_secrets(self, following: str | None) -> object:
        answer = self._core.list_namespaced_secret(
            self._namespace,
            label_selector=f"{SECRET_LABEL}={SECRET_OWNED}",
            limit=PAGE_SIZE,
            _preload_content=False,
            _request_timeout=_TIMEOUT,
            **({"_continue": following} if following else {}),
        )
        return json.loads(answer.data)

    def _data_of(self, secret: Object) -> dict[str, bytes]:
        try:
            return {
                key: base64.b64decode(value, validate=True)
                for key, value in (secret.get("data") or {}).items()
            }
        except binascii.Error:
            name = (secret.get("metadata") or {}).get("name", "")
            raise ClusterError(f"the API server's answer for secrets/{name} cannot be read") from None

    def _ask(self, verb: str, name: str | None, call: Callable[[], object]) -> Object:
        import urllib3  # noqa: PLC0415 - comes with kubernetes

        try:
            answer = call()
        except self._error as error:
            raise self._explain(verb, name, error) from None
        except (urllib3.exceptions.HTTPError, OSError):
            raise ClusterError(
                f"the API server {self._host} did not answer: check that the cluster is up and that "
                "kubeconfig and context are the right ones"
            ) from None
        if not isinstance(answer, dict):
            raise ClusterError(f"the API server {self._host} did not answer with an object")
        return cast("Object", answer)

    def _explain(self, verb: str, name: str | None, error: Exception) -> CLIError:
        status: int = getattr(error, "status", 0)
        if status == 404:
            if name is not None and _is_about_object(getattr(error, "body", None)):
                return NotThereError(
                    f"{name} does not exist in namespace {self._namespace}: check the name, or choose the "
                    "namespace with -n"
                )
            return ClusterError(
                "the cluster does not know bilateral's kinds: install the chart, or the CRDs alone with "
                "bilateral crds | kubectl apply --server-side -f -"
            )
        if status == 401:
            return ClusterError(
                "the API server does not know you: the credentials in the kubeconfig are refused"
            )
        if status == 403:
            return NotPermittedError(
                f"you may not {verb} in namespace {self._namespace}: ask the cluster's administrator for it"
            )
        if status == 409 and name is not None:
            return AlreadyThereError(f"{name} exists already in namespace {self._namespace}")
        if status in {400, 422}:
            return ClusterError(f"the API server refuses to {verb} as asked (HTTP {status})")
        return ClusterError(f"the API server answered {status} to {verb}: try again, then look at its log")


def _is_about_object(body: object) -> bool:
    """Tell an absent object from an unknown kind: only the former names what it looked for."""
    try:
        status = json.loads(body) if isinstance(body, str | bytes) else {}
    except ValueError:
        return False
    details = status.get("details") if isinstance(status, dict) else None
    return isinstance(details, dict) and bool(details.get("name"))
