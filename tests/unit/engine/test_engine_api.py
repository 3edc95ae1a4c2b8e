"""The API server's answers, each as the error that a caller reacts to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from bilateral.engine.api import (
    LARGE_BYTES,
    AlreadyExists,
    APIError,
    ClusterUnknown,
    Conflict,
    Forbidden,
    Invalid,
    KubernetesAPI,
    NotFound,
    Throttled,
    Unreachable,
    load_configuration,
    path_of,
)


class Server:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = {"kind": "Thing"}
        self.requests: list[tuple[str, str, str, str]] = []
        self.callers: list[object] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if request.transport is not None:
            self.callers.append(request.transport.get_extra_info("peername"))
        self.requests.append(
            (request.method, request.path_qs, request.content_type, request.headers.get("Authorization", ""))
        )
        return web.json_response(self.body, status=self.status, headers=self.headers)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, KubernetesAPI]]:
    server = Server()
    runner = web.ServerRunner(web.Server(server))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    configuration.api_key["BearerToken"] = "Bearer token-of-a-test"
    api = KubernetesAPI(configuration)
    yield server, api
    await api.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (400, "apply", Invalid),
        (401, "get", Forbidden),
        (403, "apply", Forbidden),
        (404, "get", NotFound),
        (409, "create", AlreadyExists),
        (409, "apply", Conflict),
        (409, "replace", Conflict),
        (422, "create", Invalid),
        (429, "apply", Throttled),
        (500, "get", APIError),
        (504, "apply", APIError),
    ],
)
async def test_a_status_is_an_error_of_its_kind(
    server: tuple[Server, KubernetesAPI], status: int, method: str, expected: type[APIError]
) -> None:
    fake, api = server
    fake.status, fake.body = status, {"message": "a secret that was quoted back"}
    with pytest.raises(APIError) as caught:
        await (api.get("/x") if method == "get" else getattr(api, method)("/x", {}, manager="bilateral"))
    assert type(caught.value) is expected
    assert caught.value.status == status
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("100000", 60.0), ("soon", 1.0)])
async def test_how_long_to_wait_is_read_and_bounded(
    server: tuple[Server, KubernetesAPI], header: str, seconds: float
) -> None:
    fake, api = server
    fake.status, fake.headers = 429, {"Retry-After": header}
    with pytest.raises(Throttled) as caught:
        await api.get("/x")
    assert caught.value.retry_after_seconds == seconds


async def test_requests_name_manager_media_type_and_credentials(server: tuple[Server, KubernetesAPI]) -> None:
    fake, api = server
    await api.apply("/a", {}, manager="bilateral")
    await api.create("/b", {}, manager="bilateral")
    assert fake.requests == [
        (
            "PATCH",
            "/a?fieldManager=bilateral&force=true",
            "application/apply-patch+yaml",
            "Bearer token-of-a-test",
        ),
        ("POST", "/b?fieldManager=bilateral", "application/json", "Bearer token-of-a-test"),
    ]


async def test_no_answer_is_unreachable() -> None:
    configuration = Configuration()
    configuration.host = "http://127.0.0.1:9"
    api = KubernetesAPI(configuration)
    with pytest.raises(Unreachable):
        await api.get("/x")
    await api.close()


async def test_without_a_cluster_it_says_so(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterUnknown):
        await load_configuration(f"{tmp_path}/absent", None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("secrets", "ns", "n", "", "v1", ""), "/api/v1/namespaces/ns/secrets/n"),
        (
            ("federationpeers", "ns", "n", "g", "v", "status"),
            "/apis/g/v/namespaces/ns/federationpeers/n/status",
        ),
        (("secrets", "ns", None, "", "v1", ""), "/api/v1/namespaces/ns/secrets"),
        (("secrets", "../x", "a/b", "", "v1", ""), "/api/v1/namespaces/..%2Fx/secrets/a%2Fb"),
    ],
)
def test_paths_quote_every_part(arguments: tuple[str, str, str | None, str, str, str], expected: str) -> None:
    plural, namespace, name, group, version, subresource = arguments
    assert path_of(plural, namespace, name, group=group, version=version, subresource=subresource) == expected


async def test_a_large_secret_ends_its_connection(server: tuple[Server, KubernetesAPI]) -> None:
    """Its buffers would stay as large for as long as the connection lives."""
    fake, api = server
    path = path_of("secrets", "ns", "org-a-peers", group="", version="v1")
    large = {"peers.json": "a" * LARGE_BYTES, "peer-entries.json": "b"}
    await api.apply(path, {"data": {"peers.json": "a"}}, manager="test")
    await api.overwrite(path, {"status": {"failures": 1, "text": "a"}}, "7", manager="test")
    await api.get(path)
    assert len(set(fake.callers)) == 1, "what is small goes over the connection that is there"
    await api.apply(path, {"data": large}, manager="test")
    await api.overwrite(path, {"data": large}, "7", manager="test")
    await api.get(path)
    assert len(set(fake.callers)) == 3
