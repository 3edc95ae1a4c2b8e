"""Requests by alias over real TLS: where they go, who is shown what, and what is never sent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from bilateral.client import (
    AsyncClient,
    Client,
    ClientError,
    InvalidAddress,
    LayoutInvalid,
    NoUsableChain,
    RefusedByServer,
    ServiceNotFound,
)
from bilateral.client.trust import find_trust
from bilateral.pki.identities import HeldIdentity
from bilateral.protocol.reasons import Reason
from unit.client.pod import Organisation, Pod
from unit.client.serving import OK, environment, server_context, serving, subject_of


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def test_an_alias_is_a_service_and_the_right_chain_is_shown(
    introduced: Pod, org_a: Organisation, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b, [org_b])) as api:
        introduced.know("org-b-api", api.url, org_b, auths=[org_b], peer="org-b-kernel")
        with Client("https://org-b-api", config=introduced.root) as http:
            answer = http.get("/invoices", params={"year": "2026"})
        assert (answer.status_code, answer.text) == (200, "ok")
        assert answer.request.url == "https://org-b-api/invoices?year=2026"
        assert api.requests == [b"GET /invoices?year=2026 HTTP/1.1"]
        # The alias stays in the pod.
        assert api.header("host") == [f"localhost:{api.port}"]
        assert b"org-b-api" not in api.received
        assert subject_of(api.callers[0]) == ("CN=client1,O=Org A", "CN=Org B CA,O=Org B")


async def test_the_asynchronous_client_does_the_same(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b, [org_b])) as api:
        introduced.know("org-b-api", api.url, org_b, auths=[org_b])
        async with AsyncClient("https://org-b-api", config=introduced.root) as http:
            answer = await http.post("/invoices", content=b"12345")
        assert answer.text == "ok"
        assert api.requests == [b"POST /invoices HTTP/1.1"]
        assert api.received.endswith(b"\r\n\r\n12345")
        assert subject_of(api.callers[0])[1] == "CN=Org B CA,O=Org B"


def test_a_provided_key_is_read_from_its_own_secret(
    introduced: Pod, org_a: Organisation, org_b: Organisation, api_b: HeldIdentity
) -> None:
    key = introduced.mount_key_apart()
    with serving(server_context(api_b, [org_b])) as api:
        introduced.know("api", api.url, org_b, auths=[org_b])
        with Client("https://api", config=introduced.root) as http:
            assert http.get("/").text == "ok"
            # Replaced, and not certified yet: the last pair serves. Taken away: there is no key.
            key.replace({"tls.key": org_a.identity("client1").key_pem})
            assert http.get("/").text == "ok"
            key.replace({})
            with pytest.raises(LayoutInvalid) as caught:
                http.get("/")
    assert (caught.value.cause, caught.value.file) == ("no-key", "key")


def test_one_client_reaches_several_services_each_with_its_own_chain(
    introduced: Pod, org_a: Organisation, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with (
        serving(server_context(api_b, [org_b])) as theirs,
        serving(server_context(org_a.identity("api", "localhost"), [org_a])) as ours,
        Client(config=introduced.root) as http,
    ):
        introduced.know("theirs", theirs.url, org_b, auths=[org_b])
        introduced.know("ours", ours.url, org_a, auths=["CN=Org A CA,O=Org A"])
        assert http.get("https://theirs/1").text == http.get("https://ours/2").text == "ok"
        assert http.get("https://theirs/3").text == "ok"
        assert theirs.requests == [b"GET /1 HTTP/1.1", b"GET /3 HTTP/1.1"]
        assert theirs.connections == 1
        assert subject_of(ours.callers[0])[1] == "CN=Org A CA,O=Org A"


def test_a_service_that_names_no_authority_is_shown_our_own_id(
    pod: Pod, org_a: Organisation, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b, [org_a])) as api:
        pod.know("api", api.url, org_b)
        with Client("https://api", config=pod.root) as http:
            http.get("/")
        assert subject_of(api.callers[0]) == ("CN=client1,O=Org A", "CN=Org A CA,O=Org A")


def test_a_path_of_the_url_and_a_path_of_the_service_are_joined(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b)) as api:
        introduced.know("api", f"{api.url}/v1/", org_b)
        with Client("https://api/base", config=introduced.root) as http:
            http.get("/x", params={"a": "b"})
        assert api.requests == [b"GET /v1/base/x?a=b HTTP/1.1"]


def test_the_port_is_in_the_url_where_the_service_has_none(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b)) as api:
        introduced.know("portless", "https://localhost", org_b)
        introduced.know("ported", api.url, org_b)
        with Client(config=introduced.root) as http:
            assert http.get(f"https://portless:{api.port}/").text == "ok"
            with pytest.raises(InvalidAddress) as caught:
                http.get("https://ported:8443/")
        assert caught.value.cause == "two-ports"


@pytest.mark.parametrize(
    "url", ["http://api/", "https://user:password@api/", "https:///path", "ftp://api/", "/relative"]
)
def test_a_url_that_cannot_name_a_service_is_refused(url: str, pod: Pod) -> None:
    with (
        Client(config=pod.root) as http,
        pytest.raises((InvalidAddress, httpx.UnsupportedProtocol)) as caught,
    ):
        http.get(url)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("alias", ["unknown", "localhost", "example.com", "127.0.0.1", "[::1]", "self"])
def test_what_is_not_in_the_directory_is_looked_up_nowhere(alias: str, pod: Pod) -> None:
    with Client(config=pod.root) as http, pytest.raises(ServiceNotFound) as caught:
        http.get(f"https://{alias}/")
    assert caught.value.reason is Reason.SERVICE_NOT_FOUND


@pytest.mark.parametrize(
    "alias",
    ["..%2fx", "a%2f..%2fb", "%2e%2e", "a_b", "x" * 64],
    ids=["up", "inside", "dots", "under", "long"],
)
def test_an_alias_is_never_a_path(alias: str, pod: Pod) -> None:
    with Client(config=pod.root) as http, pytest.raises((ServiceNotFound, httpx.InvalidURL)):
        http.get(f"https://{alias}/")


# --- what the server says ----------------------------------------------------------------------------


async def test_a_server_that_refuses_our_certificate_is_named_with_its_reason(
    introduced: Pod, org_b: Organisation, stranger: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b, [stranger])) as api:
        introduced.know("api", api.url, org_b, auths=[org_b])
        with Client("https://api", config=introduced.root) as http, pytest.raises(RefusedByServer) as caught:
            http.get("/")
        async with AsyncClient("https://api", config=introduced.root) as asynchronous:
            with pytest.raises(RefusedByServer) as also:
                await asynchronous.get("/")
    assert caught.value.alert == also.value.alert == "unknown_ca"
    assert caught.value.reason is Reason.REFUSED_BY_PARTNER
    assert api.received == b""


async def test_a_server_that_closes_without_a_word_is_a_network_error_with_a_hint(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b, [org_b])) as api:
        introduced.know("api", api.url, org_b, auths=[org_b])
        api.close_unanswered = True
        with (
            Client("https://api", config=introduced.root) as http,
            pytest.raises(httpx.TransportError) as caught,
        ):
            http.get("/")
        async with AsyncClient("https://api", config=introduced.root) as asynchronous:
            with pytest.raises(httpx.TransportError) as also:
                await asynchronous.get("/")
    for error in (caught.value, also.value):
        assert [note for note in error.__notes__ if "does not accept our certificate" in note]


def test_redirects_are_not_followed(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> None:
    with serving(server_context(api_b), [redirect("/elsewhere")]) as api:
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http:
            assert http.get("/").status_code == 302
        assert len(api.requests) == 1


def test_a_redirect_leads_nowhere_but_to_aliases(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with (
        serving(server_context(api_b)) as evil,
        serving(server_context(api_b), [redirect(f"https://localhost:{evil.port}/")]) as api,
    ):
        introduced.know("api", api.url, org_b, token="secret-token")
        with (
            Client("https://api", config=introduced.root, follow_redirects=True) as http,
            pytest.raises(ServiceNotFound),
        ):
            http.get("/")
        assert evil.connections == 0


@pytest.mark.parametrize("location", ["/again", "https://api/again", "https://other/again"])
async def test_a_token_is_sent_to_its_service_and_never_to_a_redirect(
    location: str, introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    answers = [redirect(location), redirect(location)]
    if "other" not in location:
        answers.insert(1, OK)
    with serving(server_context(api_b), answers) as api, serving(server_context(api_b)) as other:
        introduced.know("api", api.url, org_b, token="secret-token")
        introduced.know("other", other.url, org_b)
        with Client("https://api", config=introduced.root, follow_redirects=True) as http:
            assert http.get("/first").text == "ok"
        async with AsyncClient("https://api", config=introduced.root, follow_redirects=True) as asynchronous:
            assert (await asynchronous.get("/first")).text == "ok"
    assert api.header("authorization") == ["Bearer secret-token", "Bearer secret-token"]
    assert (api.received + other.received).count(b"GET /again") == 2
    assert b"secret-token" not in other.received


def test_a_callers_own_authorization_is_left_alone(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    with serving(server_context(api_b)) as api:
        introduced.know("api", api.url, org_b, token="secret-token")
        with Client("https://api", config=introduced.root) as http:
            http.get("/", headers={"Authorization": "Bearer mine"})
            http.get("/", auth=("user", "password"))
        assert api.header("authorization") == ["Bearer mine", "Basic dXNlcjpwYXNzd29yZA=="]


def test_a_token_and_a_key_are_shown_nowhere(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(server_context(api_b)) as api, caplog.at_level(logging.DEBUG):
        introduced.know("api", api.url, org_b, auths=[org_b], token="secret-token")
        binding = find_trust(introduced.root).bind("api")
        with Client("https://api", config=introduced.root) as http:
            answer = http.get("/")
    assert api.header("authorization") == ["Bearer secret-token"]
    shown = f"{binding!r} {answer.request.headers!r} {answer.request!r} {caplog.text}"
    assert "secret-token" not in shown
    assert "PRIVATE KEY" not in shown


def test_the_environment_is_not_asked(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> None:
    with (
        serving(server_context(api_b)) as api,
        environment(
            HTTPS_PROXY="http://127.0.0.1:9", ALL_PROXY="http://127.0.0.1:9", SSL_CERT_FILE="/nowhere"
        ),
    ):
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http:
            assert http.get("/").text == "ok"


@pytest.mark.parametrize("option", ["verify", "cert", "proxy", "trust_env", "mounts", "transport"])
def test_trust_cannot_be_passed_in(option: str, pod: Pod) -> None:
    options: dict[str, Any] = {option: False}
    with pytest.raises(TypeError, match=option):
        Client(config=pod.root, **options)
    with pytest.raises(TypeError, match=option):
        AsyncClient(config=pod.root, **options)


def test_what_is_about_the_network_stays_an_error_of_httpx(introduced: Pod, org_b: Organisation) -> None:
    with serving(server_context(org_b.identity("api", "localhost"))) as api:
        pass
    introduced.know("api", api.url, org_b)
    with Client("https://api", config=introduced.root) as http, pytest.raises(httpx.ConnectError):
        http.get("/")


def test_nothing_to_show_is_no_connection(pod: Pod, org_b: Organisation, api_b: HeldIdentity) -> None:
    with serving(server_context(api_b)) as api:
        pod.know("api", api.url, org_b, auths=[org_b])
        with Client("https://api", config=pod.root) as http, pytest.raises(NoUsableChain) as caught:
            http.get("/")
        assert caught.value.cause == "none"
        assert api.connections == 0
    assert isinstance(caught.value, ClientError)


def test_the_directory_is_found_by_the_environment(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity, tmp_path: Path
) -> None:
    with serving(server_context(api_b)) as api:
        introduced.know("api", api.url, org_b)
        with environment(BILATERAL_CONFIG=str(introduced.root)), Client("https://api") as http:
            assert http.get("/").text == "ok"
        with (
            environment(BILATERAL_CONFIG=None, CERTIFIED_CONFIG=str(introduced.root)),
            Client("https://api") as http,
        ):
            assert http.get("/").text == "ok"
