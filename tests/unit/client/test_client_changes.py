"""What a running program sees when its mounts change: at the next request, and not a request later."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from bilateral.client import (
    AsyncClient,
    Client,
    LayoutInvalid,
    NoUsableChain,
    PartnerStale,
    PeerNotVerified,
    ServiceNotFound,
)
from bilateral.client.trust import find_trust
from bilateral.pki.directory import build_chain_files, build_identity_files
from bilateral.pki.identities import HeldIdentity
from bilateral.protocol.reasons import Reason
from support.waiting import wait_for
from unit.client.pod import DAY, Organisation, Pod, Volume, make_organisation, peers_json, pin
from unit.client.serving import Loopback, server_context, serving

NOW = int(time.time())


@pytest.fixture
def api(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> Iterator[Loopback]:
    """Org B's service, known to the pod as ``api``, with Org B's kernel as its peer."""
    with serving(server_context(api_b, [org_b])) as seen:
        introduced.know("api", seen.url, org_b, auths=[org_b], peer="org-b-kernel")
        yield seen


def test_nothing_changed_is_one_connection(introduced: Pod, api: Loopback) -> None:
    with Client("https://api", config=introduced.root) as http:
        for _ in range(5):
            http.get("/")
    assert api.connections == 1


def test_a_new_partner_appears_in_an_open_client_and_closes_nobodys_connection(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity, api: Loopback
) -> None:
    with Client(config=introduced.root) as http:
        http.get("https://api/")
        with pytest.raises(ServiceNotFound):
            http.get("https://later/")
        with serving(server_context(api_b)) as later:
            introduced.know("later", later.url, org_b)
            assert http.get("https://later/").text == "ok"
        http.get("https://api/")
        introduced.chains.update({"somebody-else.crt": b"whatever"})
        http.get("https://api/")
    assert api.connections == 1


def test_clients_of_one_process_share_what_was_read_and_not_their_connections(
    introduced: Pod, api: Loopback
) -> None:
    for _ in range(3):
        with Client("https://api", config=introduced.root) as http:
            http.get("/")
    assert api.connections == 3
    assert find_trust(introduced.root) is find_trust(introduced.root)
    assert find_trust(introduced.root).bind("api").context is find_trust(introduced.root).bind("api").context


def test_a_withdrawn_service_is_refused_on_an_open_connection_which_is_closed(
    introduced: Pod, api: Loopback
) -> None:
    with Client("https://api", config=introduced.root) as http:
        http.get("/")
        introduced.servers.remove("api.yaml")
        with pytest.raises(ServiceNotFound):
            http.get("/")
        wait_for(lambda: not api.open, "the connection has ended")
    assert len(api.requests) == 1


def test_a_withdrawn_introduction_is_refused_on_an_open_connection(introduced: Pod, api: Loopback) -> None:
    with Client("https://api", config=introduced.root) as http:
        http.get("/")
        introduced.chains.replace({})
        with pytest.raises(NoUsableChain) as caught:
            http.get("/")
    assert caught.value.cause == "none"
    assert len(api.requests) == 1


def test_a_renewed_chain_is_shown_from_the_next_request_on(
    introduced: Pod, org_b: Organisation, api: Loopback
) -> None:
    with Client("https://api", config=introduced.root) as http:
        http.get("/")
        renewed = org_b.introduce(introduced.held)
        introduced.take(renewed)
        http.get("/")
    assert len(set(api.callers)) == api.connections == 2


def test_another_pin_counts_at_once(introduced: Pod, org_b: Organisation, api_b: HeldIdentity) -> None:
    with serving(server_context(api_b)) as api:
        introduced.know("api", api.url, pin(api_b.identity.certificate))
        with Client("https://api", config=introduced.root) as http:
            http.get("/")
            introduced.know("api", api.url, pin(org_b.certificate))
            with pytest.raises(PeerNotVerified):
                http.get("/")
    assert len(api.requests) == 1


def test_a_service_that_moved_is_followed(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity, api: Loopback
) -> None:
    with (
        serving(server_context(api_b)) as moved,
        Client("https://api", config=introduced.root) as http,
    ):
        http.get("/")
        introduced.know("api", moved.url, org_b)
        http.get("/")
        assert (len(api.requests), len(moved.requests)) == (1, 1)


def test_what_cannot_be_read_any_more_is_not_trusted_any_more(introduced: Pod, api: Loopback) -> None:
    with Client("https://api", config=introduced.root) as http:
        http.get("/")
        introduced.servers.update({"api.yaml": b"{broken"})
        with pytest.raises(LayoutInvalid) as caught:
            http.get("/")
    assert (caught.value.cause, caught.value.file) == ("malformed", "known-servers/api.yaml")


async def test_a_request_under_way_ends_well_while_its_trust_changes(
    introduced: Pod, org_b: Organisation, api: Loopback
) -> None:
    api.answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    with (
        Client("https://api", config=introduced.root) as http,
        http.stream("GET", "/slow") as answer,
    ):
        introduced.take(org_b.introduce(introduced.held))
        http.get("/other")
        assert api.connections == 2
        api.open[0].sendall(b"56789")
        assert answer.read() == b"0123456789"
    api.answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    async with (
        AsyncClient("https://api", config=introduced.root) as asynchronous,
        asynchronous.stream("GET", "/slow") as also,
    ):
        serving_it = api.open[-1]
        introduced.servers.remove("api.yaml")
        with pytest.raises(ServiceNotFound):
            await asynchronous.get("/other")
        serving_it.sendall(b"56789")
        assert await also.aread() == b"0123456789"
    wait_for(lambda: not api.open, "every connection has ended")


# --- deadlines ----------------------------------------------------------------------------------------


async def test_a_partner_past_its_deadline_is_refused_with_no_operator_there_to_say_so(
    introduced: Pod, api: Loopback
) -> None:
    introduced.mount_peers(org_b_kernel=NOW + 100)
    now = float(NOW)
    with Client("https://api", config=introduced.root, now=lambda: now) as http:
        http.get("/")
        now = NOW + 99.9
        http.get("/")
        now = NOW + 100
        with pytest.raises(PartnerStale) as caught:
            http.get("/")
        wait_for(lambda: not api.open, "the connection has ended")
        async with AsyncClient("https://api", config=introduced.root, now=lambda: now) as asynchronous:
            with pytest.raises(PartnerStale):
                await asynchronous.get("/")
        assert introduced.peers
        introduced.peers.replace({"peers.json": peers_json(org_b_kernel=NOW + 200)})
        http.get("/")
    assert caught.value.reason is Reason.PEER_STALE
    assert caught.value.kernel_id == "org-b-kernel"
    assert "its deadline was 20" in str(caught.value)
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("mounted", "accepted"),
    [
        pytest.param({"peers.json": peers_json(other=NOW + 100)}, False, id="not listed"),
        pytest.param({"peers.json": b"[]"}, False, id="nobody listed"),
        pytest.param({}, False, id="no list"),
        pytest.param({"peers.json": peers_json(org_b_kernel=NOW + 100, other=1)}, True, id="listed"),
    ],
)
def test_who_is_not_listed_is_not_fresh(
    mounted: dict[str, bytes], accepted: bool, introduced: Pod, api: Loopback
) -> None:
    Volume(introduced.root / "peers", mounted)
    with Client("https://api", config=introduced.root) as http:
        if accepted:
            assert http.get("/").text == "ok"
        else:
            with pytest.raises(PartnerStale):
                http.get("/")
    assert api.connections == accepted


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"kernelId": "org-b-kernel"}]', b"\xff"])
def test_a_list_that_cannot_be_read_refuses(content: bytes, introduced: Pod, api: Loopback) -> None:
    Volume(introduced.root / "peers", {"peers.json": content})
    with Client("https://api", config=introduced.root) as http, pytest.raises(LayoutInvalid):
        http.get("/")
    assert api.connections == 0


def test_a_list_in_parts_is_read_whole(introduced: Pod, api: Loopback) -> None:
    introduced.mount_peers(other=NOW + 100)
    Volume(introduced.root / "peers-1", {"peers.json": peers_json(org_b_kernel=NOW + 100)})
    with Client("https://api", config=introduced.root) as http:
        assert http.get("/").text == "ok"


def test_a_partner_established_in_the_future_is_not_fresh(introduced: Pod, api: Loopback) -> None:
    established = {"kernelId": "org-b-kernel", "establishedAt": NOW + 300, "rotationDue": NOW + 9999}
    Volume(introduced.root / "peers", {"peers.json": json.dumps([established]).encode()})
    now = float(NOW)
    with Client("https://api", config=introduced.root, now=lambda: now) as http:
        # As far as two clocks may differ.
        http.get("/")
        now = NOW - 0.5
        with pytest.raises(PartnerStale, match="future"):
            http.get("/")


def test_a_service_of_nobody_has_no_deadline(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity
) -> None:
    introduced.mount_peers()
    with serving(server_context(api_b)) as api:
        introduced.know("api", api.url, org_b)
        with Client("https://api", config=introduced.root) as http:
            assert http.get("/").text == "ok"


# --- our own certificate ------------------------------------------------------------------------------


def test_an_expired_chain_is_passed_over_and_named(
    introduced: Pod, org_b: Organisation, api: Loopback
) -> None:
    early = datetime.now(UTC) - timedelta(days=2)
    introduced.chains.replace(build_chain_files([org_b.introduce(introduced.held, validity=DAY, now=early)]))
    with Client("https://api", config=introduced.root) as http:
        with pytest.raises(NoUsableChain) as caught:
            http.get("/")
        assert caught.value.cause == "expired"
        assert caught.value.reason is Reason.NO_CHAIN
        introduced.take(org_b.introduce(introduced.held))
        http.get("/")
    assert api.connections == 1


def test_a_chain_that_expires_while_the_program_runs_is_not_shown_again(
    introduced: Pod, api: Loopback
) -> None:
    now = float(NOW)
    with Client("https://api", config=introduced.root, now=lambda: now) as http:
        http.get("/")
        now = NOW + 2 * DAY
        with pytest.raises(NoUsableChain):
            http.get("/")
    assert len(api.requests) == 1


def test_while_key_and_chain_are_of_two_moments_the_last_pair_serves(
    introduced: Pod, org_a: Organisation, org_b: Organisation, api: Loopback
) -> None:
    with Client("https://api", config=introduced.root) as http:
        http.get("/")
        # The key's Secret is updated first; the kubelet comes to the chains a minute later.
        replaced = org_a.identity("client1")
        introduced.identity.replace(build_identity_files(replaced, org_a.certificate))
        http.get("/")
        assert len(set(api.callers)) == 1
        introduced.chains.replace(build_chain_files([org_b.introduce(replaced)]))
        http.get("/")
        assert len(set(api.callers)) == 2
        # A program that starts in between (with a clock, so a trust, of its own) has no pair.
        introduced.identity.replace(build_identity_files(introduced.held, org_a.certificate))
        with (
            Client("https://api", config=introduced.root, now=lambda: time.time()) as other,  # noqa: PLW0108 - another object
            pytest.raises(NoUsableChain) as caught,
        ):
            other.get("/")
        assert caught.value.cause == "key-mismatch"
        # And what was withdrawn meanwhile is not shown, pair or no pair.
        introduced.chains.replace({})
        with pytest.raises(NoUsableChain):
            http.get("/")


def test_no_request_fails_while_everything_is_updated(
    introduced: Pod, org_b: Organisation, api_b: HeldIdentity, api: Loopback
) -> None:
    ended = threading.Event()
    failures: list[BaseException] = []
    served = [0] * 8
    first, second = (build_chain_files([org_b.introduce(introduced.held)]) for _ in range(2))

    def ask(number: int) -> None:
        try:
            while not ended.is_set():
                with Client("https://api", config=introduced.root) as http:
                    for _ in range(3):
                        assert http.get("/").text == "ok"
                        served[number] += 1
        except BaseException as error:  # noqa: BLE001 - the test's verdict, in its own thread
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    # Three Secrets each time: more than five hundred updates.
    for number in range(170):
        introduced.chains.replace((first, second)[number % 2])
        introduced.servers.update({f"other-{number % 3}.yaml": b"url: https://x\n"})
        introduced.identity.replace(introduced.identity.files)
    wait_for(lambda: failures or all(served), "everybody was served")
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []


# --- revocation ---------------------------------------------------------------------------------------


def test_a_server_that_its_authority_withdrew_is_refused(pod: Pod) -> None:
    org_c = make_organisation("Org C")
    held = org_c.identity("api", "localhost")
    with serving(server_context(held)) as api, Client("https://api", config=pod.root) as http:
        pod.know("api", api.url, org_c)
        pod.servers.update({f"{org_c.slug}.crl": org_c.revoke().pem})
        http.get("/")
        pod.servers.update({f"{org_c.slug}.crl": org_c.revoke(held.identity.certificate).pem})
        with pytest.raises(PeerNotVerified) as caught:
            http.get("/")
        assert caught.value.cause == "revoked"
        assert len(api.requests) == 1


@pytest.mark.parametrize("where", ["known-servers", "known-clients"])
def test_a_revocation_list_must_be_current(where: str, pod: Pod) -> None:
    org_c = make_organisation("Org C")
    listed = org_c.revoke(lifetime=3600)
    with serving(server_context(org_c.identity("api", "localhost"))) as api:
        pod.know("api", api.url, org_c)
        (pod.servers if where == "known-servers" else pod.clients).update({f"{org_c.slug}.crl": listed.pem})
        late = listed.next_update.timestamp()
        with Client("https://api", config=pod.root) as http:
            http.get("/")
        with (
            Client("https://api", config=pod.root, now=lambda: late) as http,
            pytest.raises(PeerNotVerified) as caught,
        ):
            http.get("/")
        assert caught.value.cause == "revocation-list-expired"


def test_a_revocation_list_by_somebody_else_does_not_count_for_the_authority(
    pod: Pod, stranger: Organisation
) -> None:
    org_c = make_organisation("Org C")
    theirs = stranger.revoke().pem
    with serving(server_context(org_c.identity("api", "localhost"))) as api:
        pod.know("api", api.url, org_c)
        with Client("https://api", config=pod.root) as http:
            pod.servers.update({f"{stranger.slug}.crl": theirs, "unrelated.crl": b"no list"})
            http.get("/")
            # Under the authority's own name it is a list that should be there, and is not.
            for content in (theirs, b"no list", b""):
                pod.servers.update({f"{org_c.slug}.crl": content})
                with pytest.raises(LayoutInvalid) as caught:
                    http.get("/")
                assert caught.value.file == f"known-servers/{org_c.slug}.crl"
    assert len(api.requests) == 1


def test_a_transport_error_is_not_hidden_by_trust(introduced: Pod, api: Loopback) -> None:
    with Client("https://api", config=introduced.root) as http:
        http.get("/")
        api.drop()
        wait_for(lambda: not api.open, "the server has closed")
        # httpx opens a new connection by itself where it sees the old one closed.
        assert http.get("/").text == "ok"
        api.close_unanswered = True
        with pytest.raises(httpx.TransportError):
            http.get("/")
