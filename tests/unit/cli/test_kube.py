"""The real adapter against a small HTTP server: what a person is told when the API server says no."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from bilateral.cli.cluster import Cluster, ClusterChoice, connect
from bilateral.cli.errors import AlreadyThereError, ClusterError, NotPermittedError, NotThereError

OBJECT_MISSING = {"kind": "Status", "code": 404, "details": {"name": "org-b", "kind": "federationpeers"}}
ROOT = "/apis/bilateral.dev/v1alpha1/namespaces/trust/federationpeers"


@dataclass
class Api:
    """Answers by path; remembers what was asked."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.asked.append((self.command, self.path, self.headers.get("Content-Type", ""), body))
            code, answer = found.answers.get(self.path.partition("?")[0], (404, "404 page not found"))
            if isinstance(answer, list):
                answer = answer.pop(0)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_DELETE = do_PATCH = do_POST = answer  # noqa: N815 - the names that the base class calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def kubeconfig(path: Path, url: str, namespace: str | None = "trust") -> str:
    context = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "one",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [
                    {"name": "one", "context": context},
                    {"name": "two", "context": context | {"namespace": "second"}},
                ],
            }
        )
    )
    return str(path)


@pytest.fixture
def cluster(api: Api, tmp_path: Path) -> Cluster:
    return connect(ClusterChoice(kubeconfig=kubeconfig(tmp_path / "kubeconfig", api.url)))


def test_the_namespace_is_the_one_said_else_the_contexts_else_default(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "k", "http://127.0.0.1:1")
    assert connect(ClusterChoice(kubeconfig=file)).namespace == "trust"
    assert connect(ClusterChoice(kubeconfig=file, context="two")).namespace == "second"
    assert connect(ClusterChoice(kubeconfig=file, namespace="said")).namespace == "said"
    bare = kubeconfig(tmp_path / "bare", "http://127.0.0.1:1", namespace=None)
    assert connect(ClusterChoice(kubeconfig=bare)).namespace == "default"


def test_one_object_is_read_as_it_is(api: Api, cluster: Cluster) -> None:
    api.answers[f"{ROOT}/org-b"] = (200, {"metadata": {"name": "org-b"}})
    assert cluster.get("federationpeers", "org-b") == {"metadata": {"name": "org-b"}}


def test_a_long_list_is_read_page_by_page(api: Api, cluster: Cluster) -> None:
    pages = [
        {"items": [{"n": 1}, {"n": 2}], "metadata": {"continue": "mark"}},
        {"items": [{"n": 3}], "metadata": {}},
    ]
    api.answers[ROOT] = (200, pages)
    assert cluster.list("federationpeers") == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [path.partition("?")[2] for _, path, _, _ in api.asked] == ["limit=500", "continue=mark&limit=500"]


def test_all_namespaces_are_listed_at_once(api: Api, cluster: Cluster) -> None:
    api.answers["/apis/bilateral.dev/v1alpha1/federationpeers"] = (200, {"items": [], "metadata": {}})
    assert cluster.list("federationpeers", all_namespaces=True) == []


def test_an_annotation_is_a_merge_patch_of_nothing_else(api: Api, cluster: Cluster) -> None:
    api.answers[f"{ROOT}/org-b"] = (200, {"metadata": {}})
    cluster.annotate("federationpeers", "org-b", "bilateral.dev/x", "value")
    ((method, path, content_type, body),) = api.asked
    assert (method, content_type) == ("PATCH", "application/merge-patch+json")
    assert path == f"{ROOT}/org-b?fieldManager=bilateral-cli"
    assert json.loads(body) == {"metadata": {"annotations": {"bilateral.dev/x": "value"}}}


def test_an_object_is_created(api: Api, cluster: Cluster) -> None:
    obj = {"kind": "FederationPeer", "metadata": {"name": "org-b"}, "spec": {}}
    api.answers[ROOT] = (201, obj)
    assert cluster.create("federationpeers", obj) == obj
    ((verb, path, _, body),) = api.asked
    assert (verb, path) == ("POST", f"{ROOT}?fieldManager=bilateral-cli")
    assert json.loads(body) == obj
    api.answers[ROOT] = (409, {"message": "canary"})
    with pytest.raises(AlreadyThereError, match="exists already in namespace trust") as caught:
        cluster.create("federationpeers", obj)
    assert "canary" not in str(caught.value)


def test_only_the_object_that_was_seen_is_deleted(api: Api, cluster: Cluster) -> None:
    api.answers[f"{ROOT}/org-b"] = (200, {"kind": "Status", "status": "Success"})
    cluster.delete("federationpeers", "org-b", "uid-1")
    ((verb, path, _, body),) = api.asked
    assert (verb, path, json.loads(body)) == ("DELETE", f"{ROOT}/org-b", {"preconditions": {"uid": "uid-1"}})
    api.answers[f"{ROOT}/org-b"] = (409, {"message": "canary"})
    with pytest.raises(NotThereError, match="deleted by somebody else"):
        cluster.delete("federationpeers", "org-b", "uid-1")


def test_a_secret_is_decoded(api: Api, cluster: Cluster) -> None:
    path = "/api/v1/namespaces/trust/secrets/key"
    api.answers[path] = (
        200,
        {"kind": "Secret", "data": {"private.pem": base64.b64encode(b"\x00pem").decode()}},
    )
    assert cluster.secret("key") == {"private.pem": b"\x00pem"}
    api.answers[path] = (200, {"kind": "Secret"})
    assert cluster.secret("key") == {}
    api.answers[path] = (200, {"kind": "Secret", "data": {"a": "*"}})
    with pytest.raises(ClusterError, match="cannot be read"):
        cluster.secret("key")


@pytest.mark.parametrize(
    ("code", "answer", "error", "words"),
    [
        pytest.param(404, OBJECT_MISSING, NotThereError, "does not exist in namespace trust", id="no object"),
        pytest.param(404, "404 page not found", ClusterError, "bilateral crds", id="no CRDs"),
        pytest.param(404, {"kind": "Status"}, ClusterError, "bilateral crds", id="no CRDs, as JSON"),
        pytest.param(401, {"message": "canary"}, ClusterError, "does not know you", id="unknown caller"),
        pytest.param(
            403, {"message": "canary"}, NotPermittedError, "you may not get federationpeers", id="forbidden"
        ),
        pytest.param(422, {"message": "canary"}, ClusterError, "refuses", id="invalid"),
        pytest.param(500, {"message": "canary"}, ClusterError, "answered 500", id="server error"),
        pytest.param(200, "[]", ClusterError, "did not answer with an object", id="not an object"),
    ],
)
def test_each_refusal_is_a_sentence_without_the_answers_text(
    api: Api, cluster: Cluster, code: int, answer: Any, error: type[Exception], words: str
) -> None:
    api.answers[f"{ROOT}/org-b"] = (code, answer)
    with pytest.raises(error, match=words) as caught:
        cluster.get("federationpeers", "org-b")
    assert type(caught.value) is error
    assert "canary" not in str(caught.value)
    assert len(api.asked) == 1


def test_secrets_of_the_operators_are_listed_with_their_owner_page_by_page(
    api: Api, cluster: Cluster
) -> None:
    def secret(name: str, *owners: dict[str, object]) -> dict[str, object]:
        metadata = {"name": name, "ownerReferences": list(owners)}
        return {"metadata": metadata, "data": {"tls.crt": base64.b64encode(b"x").decode()}}

    pages = [
        {"items": [secret("one", {"uid": "u", "controller": True})], "metadata": {"continue": "mark"}},
        {"items": [secret("two", {"uid": "v"}), {"metadata": {"name": "three"}}], "metadata": {}},
    ]
    api.answers["/api/v1/namespaces/trust/secrets"] = (200, pages)
    found = cluster.owned_secrets()
    assert [(each.name, each.owner_uid, dict(each.data)) for each in found] == [
        ("one", "u", {"tls.crt": b"x"}),
        ("two", None, {"tls.crt": b"x"}),
        ("three", None, {}),
    ]
    asked = [parse_qs(urlsplit(path).query) for _, path, _, _ in api.asked]
    assert [each["labelSelector"] for each in asked] == [["bilateral.dev/secret=owned"]] * 2
    assert "tls.crt" not in repr(found[0])
    api.answers["/api/v1/namespaces/trust/secrets"] = (403, {"kind": "Status", "code": 403})
    with pytest.raises(NotPermittedError):
        cluster.owned_secrets()


def test_a_missing_kind_is_told_from_an_empty_list(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="bilateral crds"):
        cluster.list("federationpeers")


def test_nobody_answering_is_said_once_and_at_once(tmp_path: Path) -> None:
    cluster = connect(ClusterChoice(kubeconfig=kubeconfig(tmp_path / "k", "http://127.0.0.1:1")))
    with pytest.raises(ClusterError, match=r"the API server http://127\.0\.0\.1:1 did not answer"):
        cluster.get("federationpeers", "org-b")


@pytest.mark.parametrize(
    ("content", "context", "words"),
    [
        pytest.param(None, None, "cannot be used", id="no such file"),
        pytest.param("", None, "cannot be used", id="an empty file"),
        pytest.param("a: [", None, "cannot be used", id="not YAML"),
        pytest.param("[]", None, "cannot be used", id="not a kubeconfig"),
        pytest.param("GOOD", "three", "with context three cannot be used", id="no such context"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, context: str | None, words: str
) -> None:
    file = tmp_path / "k"
    if content == "GOOD":
        kubeconfig(file, "http://127.0.0.1:1")
    elif content is not None:
        file.write_text(content)
    with pytest.raises(ClusterError, match=words) as caught:
        connect(ClusterChoice(kubeconfig=str(file), context=context))
    assert str(file) in str(caught.value)


def test_without_any_configuration_it_is_said_where_one_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match="neither a kubeconfig nor a pod's ServiceAccount"):
        connect(ClusterChoice())
