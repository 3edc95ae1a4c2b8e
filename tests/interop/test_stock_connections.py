"""Real mutual TLS on loopback with the real ``certified``: its server, and all its client classes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from certified.cert import Certified

from bilateral.pki.acceptance import accept_introduction
from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.directory import Party, TrustedAuthority, build_directory
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.fingerprints import parse_fingerprint
from bilateral.pki.identities import HeldIdentity, generate_identity_key, issue_identity
from bilateral.pki.introductions import Introduction, issue_introduction, parse_introduction
from bilateral.pki.listing import parse_directory
from bilateral.pki.names import Subject
from bilateral.pki.services import Service
from bilateral.pki.verifiers import PeerCA, PinnedFingerprint, PinnedRawKey, Verifier, WebPKI
from interop.stock import Stock, write_directory

pytestmark = pytest.mark.interop

DAY = 86_400
ORG2 = Subject(organization='Org/2, "Inc."', common_name="Örg2 CA")
REFUSED = (httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectError)


def now() -> datetime:
    return datetime.now(UTC)


def make_authority(subject: Subject, algorithm: str = "ECDSAP256") -> Authority:
    return generate_authority(subject, algorithm=algorithm, validity_seconds=DAY, now=now())


def make_party(authority: Authority, name: str, *dns_names: str, algorithm: str = "ECDSAP256") -> Party:
    key = generate_identity_key(algorithm)
    identity = issue_identity(
        authority,
        Subject(organization="Org", common_name=name),
        key.public_key(),
        dns_names=dns_names,
        validity_seconds=DAY,
        now=now(),
    )
    return Party(HeldIdentity(identity, key), authority.certificate)


def introduce(authority: Authority, party: Party) -> Introduction:
    made = issue_introduction(authority, party.identity.identity.certificate_pem, (), DAY, now())
    return accept_introduction(
        parse_introduction(made.to_json()), party.identity.key.public_key(), {authority.fingerprint}, now()
    )


def service(chain: Introduction, port: int, verifier: Verifier | None = None) -> ServiceEntry:
    return ServiceEntry(
        alias="org2-api",
        url=f"https://localhost:{port}",
        verifier=verifier or PeerCA((chain.authority,)),
        auths=(chain.authority_name, chain.slug),
        peer="org-b-kernel",
    )


def call_httpx(directory: Stock) -> str:
    with Certified(directory.path).Client("https://org2-api") as http:
        return str(http.get("/").raise_for_status().text)


def call_httpx_async(directory: Stock) -> str:
    async def call() -> str:
        async with Certified(directory.path).AsyncClient("https://org2-api") as http:
            return str((await http.get("/")).raise_for_status().text)

    return asyncio.run(call())


def call_aiohttp(directory: Stock) -> str:
    async def call() -> str:
        async with (
            Certified(directory.path).ClientSession("https://org2-api") as http,
            http.get("/") as answer,
        ):
            answer.raise_for_status()
            return str(await answer.text())

    return asyncio.run(call())


CALLS = pytest.mark.parametrize(
    "call",
    [
        pytest.param(call_httpx, id="Client"),
        pytest.param(call_httpx_async, id="AsyncClient"),
        pytest.param(call_aiohttp, id="ClientSession"),
    ],
)


@dataclass(frozen=True)
class World:
    """Org2 serves, from a directory that we built; two authorities of ours exist."""

    org1: Authority
    org2: Authority
    server: Stock
    port: int


@pytest.fixture(scope="module", params=["ECDSAP256", "Ed25519"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    org1, org2 = make_authority(Subject(organization="Org1")), make_authority(ORG2, request.param)
    party = replace(
        make_party(org2, "api", "localhost", algorithm=request.param),
        own_clients=TrustedAuthority(org2.certificate),
    )
    server = write_directory(tmp_path_factory.mktemp("org2") / "certified", build_directory(party))
    with server.serving() as port:
        yield World(org1, org2, server, port)


@CALLS
def test_a_party_that_we_introduced_calls_by_alias(
    world: World, tmp_path: Path, call: Callable[[Stock], str]
) -> None:
    party = make_party(world.org1, "client1")
    chain = introduce(world.org2, party)
    directory = write_directory(
        tmp_path / "certified",
        build_directory(replace(party, chains=(chain,), services=(service(chain, world.port),))),
    )
    seen = json.loads(call(directory))
    assert seen["subject"] == "organizationName=Org,commonName=client1"
    assert "Örg2 CA" in seen["issuer"]


def test_before_the_introduction_the_server_refuses(world: World, tmp_path: Path) -> None:
    """Client2: no introduction, so no chain that the service names; shown nothing, the server hangs up."""
    party = make_party(world.org1, "client2")
    entry = service(introduce(world.org2, make_party(world.org1, "client1")), world.port)
    directory = write_directory(tmp_path / "a", build_directory(replace(party, services=(entry,))))
    with pytest.raises(REFUSED):
        call_httpx(directory)
    shows_its_own = replace(entry, auths=())
    directory = write_directory(tmp_path / "b", build_directory(replace(party, services=(shows_its_own,))))
    with pytest.raises(REFUSED):
        call_httpx(directory)


def test_of_two_generations_under_one_name_the_slug_picks_the_right_chain(
    world: World, tmp_path: Path
) -> None:
    party = make_party(world.org1, "client1")
    chain, other = introduce(world.org2, party), introduce(make_authority(ORG2), party)
    assert chain.authority_name == other.authority_name
    entry = replace(service(chain, world.port), auths=(chain.slug,))
    directory = write_directory(
        tmp_path / "certified", build_directory(replace(party, chains=(other, chain), services=(entry,)))
    )
    assert json.loads(call_httpx(directory))["subject"].endswith("client1")
    wrong = replace(entry, auths=(other.slug,))
    directory = write_directory(
        tmp_path / "wrong", build_directory(replace(party, chains=(other, chain), services=(wrong,)))
    )
    with pytest.raises(REFUSED):
        call_httpx(directory)


def test_another_generation_than_the_pinned_one_is_no_server_for_us(world: World, tmp_path: Path) -> None:
    party = make_party(world.org1, "client1")
    chain = introduce(world.org2, party)
    impostor = make_authority(ORG2)
    entry = service(chain, world.port, PeerCA((impostor.certificate,)))
    directory = write_directory(
        tmp_path / "certified", build_directory(replace(party, chains=(chain,), services=(entry,)))
    )
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        call_httpx(directory)


@pytest.mark.parametrize(
    "verifier",
    [
        pytest.param(
            PinnedFingerprint((parse_fingerprint("SHA256:" + "0" * 64),)), id="a pinned certificate"
        ),
        pytest.param(PinnedRawKey((parse_fingerprint("ed25519:" + "0" * 64),)), id="a pinned raw key"),
        pytest.param(WebPKI(), id="the system's roots"),
    ],
)
def test_what_stock_cannot_verify_it_does_not_connect_to(
    world: World, tmp_path: Path, verifier: Verifier
) -> None:
    """Its directory holds the server's authority: with ``cert`` null it would have connected."""
    party = make_party(world.org1, "client1")
    chain = introduce(world.org2, party)
    known = service(chain, world.port)
    entries = (replace(known, verifier=verifier), replace(known, alias="other"))
    directory = write_directory(
        tmp_path / "certified", build_directory(replace(party, chains=(chain,), services=entries))
    )
    with pytest.raises(ValueError, match="parsing asn1"):
        call_httpx(directory)


@CALLS
def test_a_stock_party_that_we_introduced_calls_by_alias(
    tmp_path: Path, call: Callable[[Stock], str]
) -> None:
    client = Stock(tmp_path / "client1").init("Client One", "--uid", "c1", "--email", "c1@org1.example")
    org2 = make_authority(Subject(organization="Org2, Inc.", common_name="Org2 CA"))
    party = replace(make_party(org2, "api", "localhost"), own_clients=TrustedAuthority(org2.certificate))
    with write_directory(tmp_path / "server", build_directory(party)).serving() as port:
        services = (Service("org2-api", f"https://localhost:{port}"),)
        made = issue_introduction(org2, client.files()["id.crt"], services, DAY, now())
        client.add_introduction(made.to_json())
        seen = json.loads(call(client))
    assert "commonName=Client One" in seen["subject"]
    assert seen["issuer"] == "organizationName=Org2, Inc.,commonName=Org2 CA"


def test_we_are_introduced_by_stock_and_call_its_server(tmp_path: Path) -> None:
    org2 = Stock(tmp_path / "org2").init("--org", "Org2, Inc.", "--unit", "Unit2", "--host", "localhost")
    party = make_party(make_authority(Subject(organization="Org1")), "client1")
    introduction = parse_introduction(org2.introduce(party.identity.identity.certificate_pem))
    chain = accept_introduction(
        introduction, party.identity.key.public_key(), {introduction.authority_fingerprint}, now()
    )
    with org2.serving() as port:
        directory = write_directory(
            tmp_path / "client1",
            build_directory(replace(party, chains=(chain,), services=(service(chain, port),))),
        )
        seen = json.loads(call_httpx(directory))
    assert seen["issuer"].startswith("organizationName=Org2, Inc.")
    listing = parse_directory(directory.files(), yaml.safe_load)
    assert listing.unusable == {}


def test_where_nobody_may_connect_a_stock_server_starts_and_refuses(tmp_path: Path) -> None:
    org2 = make_authority(Subject(organization="Org2"))
    closed = write_directory(tmp_path / "org2", build_directory(make_party(org2, "api", "localhost")))
    party = make_party(org2, "client1")
    chain = introduce(org2, party)
    with closed.serving() as port:
        directory = write_directory(
            tmp_path / "client1",
            build_directory(replace(party, chains=(chain,), services=(service(chain, port),))),
        )
        with pytest.raises(REFUSED):
            call_httpx(directory)


def test_an_introduced_party_cannot_pose_as_the_introducers_server(tmp_path: Path) -> None:
    """Upstream's own introductions can: they carry serverAuth and the subject's host names."""
    org2 = make_authority(Subject(organization="Org2"))
    poser = make_party(make_authority(Subject(organization="Org1")), "poser", "localhost")
    caller = make_party(org2, "client1")
    chain = introduce(org2, caller)
    posing = build_directory(replace(poser, own_clients=TrustedAuthority(org2.certificate)))
    posing["id.crt"] = replace(posing["id.crt"], content=introduce(org2, poser).chain_pem)
    with write_directory(tmp_path / "poser", posing).serving() as port:
        directory = write_directory(
            tmp_path / "client1",
            build_directory(replace(caller, chains=(chain,), services=(service(chain, port),))),
        )
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            call_httpx(directory)
