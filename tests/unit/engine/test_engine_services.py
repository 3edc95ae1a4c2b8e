"""A replica and its TrustedServices: resolved from what is there, at once when it changes, written once."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.engine.api import APIError
from bilateral.engine.cache import Key, Kind
from bilateral.engine.dependants import find_dependants
from bilateral.engine.lookers.services import count_audience
from bilateral.engine.partners import Partners
from bilateral.engine.services import Services
from bilateral.pki.authority import generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.slugs import build_slug
from bilateral.protocol.handshake import Envelope, build_envelope
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.service_status import Audience
from bilateral.reconcile.services import ResolvedService, ServiceRefused
from bilateral.resources.workloadidentity import WorkloadIdentity
from unit.pki.material import ED25519_AUTHORITY, P256_AUTHORITY

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

THEIRS = SigningKey.generate()
CA = P256_AUTHORITY.certificate
CA_PEM = CA.public_bytes(Encoding.PEM).decode()
LEAF = "SHA256:" + "1" * 64
WINDOW = 43_200


class Scene:
    """A replica, a partner with a pin, and objects that tests add."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.api = MemoryAPI()
        self.api.add("trustdomains", {"metadata": {"name": "org-a"}, "spec": {"kernelId": "org-a-kernel"}})
        self.peer()
        self.replica = Replica(self.api, clock)
        self.partners = Partners(self.replica.cache, self.replica.views, self.replica.guard)
        self.services = Services(self.api, self.replica.cache, self.partners, self.replica.guard, clock)

    def peer(self, name: str = "org-b", **spec: Any) -> None:
        self.api.add(
            "federationpeers",
            {
                "metadata": {"name": name},
                "spec": {
                    "trustDomain": "org-a",
                    "kernelId": f"{name}-kernel",
                    "trustAnchors": [{"publicKey": THEIRS.public_key.canonical}],
                    "certificateAuthorities": {"mode": "Pinned", "pems": [CA_PEM]},
                    **spec,
                },
            },
        )

    def service(self, name: str = "org2-api", created: str = "2026-11-21T00:00:00Z", **spec: Any) -> None:
        wanted = {"url": "https://api.org2.example:9443", "peer": "org-b", **spec}
        self.api.add(
            "trustedservices",
            {
                "metadata": {"name": name, "creationTimestamp": created},
                "spec": {member: value for member, value in wanted.items() if value is not None},
            },
        )

    def identity(
        self, name: str = "client1", *slugs: str, written: bool = True, **spec: Any
    ) -> dict[str, Any]:
        """An identity as the API server shows one whose Secrets are written."""
        chains = [{"authority": "CN=x", "slug": slug, "notAfter": "2027-01-01T00:00:00Z"} for slug in slugs]
        return self.api.add(
            "workloadidentities",
            {
                "metadata": {"name": name},
                "spec": {"trustDomain": "nobody", "subject": {"commonName": name}, **spec},
                "status": {"contentHash": "sha256:" + "0" * 64 if written else None, "chains": chains},
            },
        )

    def change(self, plural: str, name: str, **spec: Any) -> None:
        obj = self.api.objects[plural, name]
        obj["spec"] |= spec
        obj["metadata"]["generation"] += 1
        self.api._store(plural, obj)

    def delete(self, plural: str, name: str) -> None:
        del self.api.objects[plural, name]

    async def settle(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        await self.replica.settle()

    async def shake_hands(self, name: str = "org-b", nonce: str = "n") -> None:
        envelope: Envelope = build_envelope(
            local_kernel_id=f"{name}-kernel",
            remote_kernel_id="org-a-kernel",
            nonce=nonce,
            timestamp=int(self.clock.wall),
            key=THEIRS,
        )
        await self.replica.responder.handle(envelope, None)
        await self.settle()

    def ready(self, name: str = "org2-api") -> tuple[str, str]:
        return self.replica.ready("trustedservices", name)

    def status(self, name: str = "org2-api") -> dict[str, Any]:
        return self.replica.status("trustedservices", name)

    def writes_to(self, writes: list[tuple[str, str]]) -> list[str]:
        return [name for plural, name in writes if plural == "trustedservices"]


@pytest.fixture
async def scene(clock: FakeClock) -> Scene:
    scene = Scene(clock)
    scene.service()
    await scene.settle()
    await scene.settle(1)
    await scene.shake_hands()
    return scene


async def test_a_service_is_resolved_when_its_partner_proves_its_key(clock: FakeClock) -> None:
    scene = Scene(clock)
    scene.service()
    await scene.settle()
    await scene.settle(1)
    assert scene.ready() == ("Unknown", "PeerNotPinned")
    await scene.shake_hands()
    assert scene.ready() == ("True", "Ready")
    assert scene.status()["verifier"] == "PeerCA"
    with counted(scene.api) as writes:
        await scene.settle()
        await scene.settle(5)
    assert scene.writes_to(writes) == []


async def test_at_the_second_of_the_deadline_it_is_refused(scene: Scene) -> None:
    await scene.settle(WINDOW - 1)
    assert scene.ready() == ("True", "Ready")
    await scene.settle(1.1)
    assert scene.ready() == ("False", "PeerStale")
    assert "verifier" not in scene.status()
    await scene.shake_hands(nonce="later")
    assert scene.ready() == ("True", "Ready")


async def test_its_own_look_keeps_the_deadline_without_the_peers(scene: Scene) -> None:
    """Nobody's status is waited for."""
    key = Key(Kind.TRUSTED_SERVICE, "trust", "org2-api")
    scene.clock.advance(WINDOW + 1)
    await scene.replica.controller.look(key)
    assert scene.ready() == ("False", "PeerStale")
    assert scene.replica.ready("federationpeers", "org-b") == ("True", "Fresh"), "not looked at yet"


async def test_an_authority_that_ends_ends_the_service_without_any_event(scene: Scene) -> None:
    brief = generate_authority(
        Subject(common_name="Brief CA"),
        algorithm="Ed25519",
        validity_seconds=600,
        now=datetime.fromtimestamp(scene.clock.wall, UTC),
    )
    pem = brief.certificate_pem.decode()
    scene.service("brief", peer=None, verifier={"certificateAuthority": {"pem": pem}})
    await scene.settle()
    assert scene.ready("brief") == ("True", "Ready")
    scene.clock.advance(599)
    await scene.replica.work()
    assert scene.ready("brief") == ("True", "Ready")
    key = Key(Kind.TRUSTED_SERVICE, "trust", "brief")
    assert isinstance(await scene.services.resolve(key), ResolvedService)
    scene.clock.advance(3)
    assert await scene.services.resolve(key) == ServiceRefused("brief", Reason.AUTHORITY_EXPIRED)
    await scene.replica.work()
    assert scene.ready("brief") == ("False", "AuthorityExpired")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "Suspended"}, "Suspended"),
        ({"trustAnchors": [{"publicKey": SigningKey.generate().public_key.canonical}]}, "PinNotAnchored"),
        ({"certificateAuthorities": {"mode": "Announced"}}, "NothingPinned"),
    ],
)
async def test_a_change_of_the_peer_is_followed_at_once(
    scene: Scene, change: dict[str, Any], reason: str
) -> None:
    scene.change("federationpeers", "org-b", **change)
    await scene.settle()
    assert scene.ready() == ("False", reason)
    assert scene.status().get("boundSecrets", 0) == 0


async def test_other_fingerprints_and_authorities_are_followed_at_once(scene: Scene) -> None:
    scene.change("federationpeers", "org-b", fingerprints=[LEAF])
    await scene.settle()
    assert (scene.status()["verifier"], scene.status()["pinned"]) == ("PinnedFingerprint", [LEAF])
    other = ED25519_AUTHORITY.certificate.public_bytes(Encoding.PEM).decode()
    scene.change(
        "federationpeers",
        "org-b",
        fingerprints=[],
        certificateAuthorities={"mode": "Pinned", "pems": [other]},
    )
    await scene.settle()
    assert scene.status()["verifier"] == "PeerCA"
    assert scene.status()["pinned"] == [ED25519_AUTHORITY.fingerprint]


async def test_a_peer_that_goes_takes_the_service_along_and_never_leaves_webpki(scene: Scene) -> None:
    scene.delete("federationpeers", "org-b")
    await scene.settle()
    assert scene.ready() == ("False", "PeerNotFound")
    assert "verifier" not in scene.status()


async def test_a_peer_whose_spec_breaks_a_rule_is_there_and_nobody(scene: Scene) -> None:
    scene.change("federationpeers", "org-b", fingerprints=["md5:00"])
    await scene.settle()
    assert scene.ready() == ("False", "InvalidSpec")


async def test_a_peer_restored_with_another_uid_is_nobody(scene: Scene) -> None:
    held = scene.api.objects["federationpeers", "org-b"]
    scene.delete("federationpeers", "org-b")
    held["metadata"]["uid"] = "another-uid"
    scene.api._store("federationpeers", held)
    await scene.settle()
    assert scene.ready()[1] in ("PinTampered", "PeerNotPinned")
    assert "verifier" not in scene.status()


async def test_a_service_whose_spec_breaks_a_rule_is_refused_and_keeps_its_alias(scene: Scene) -> None:
    scene.service("other", created="2026-11-22T00:00:00Z", alias="org2-api")
    scene.change("trustedservices", "org2-api", url="http://insecure.example")
    await scene.settle()
    assert scene.ready() == ("False", "InvalidSpec")
    assert scene.ready("other") == ("False", "AliasConflict")
    resolved = await scene.services.resolve(Key(Kind.TRUSTED_SERVICE, "trust", "org2-api"))
    assert resolved == ServiceRefused("org2-api", Reason.INVALID_SPEC)


async def test_of_two_with_one_alias_the_older_keeps_it_until_it_goes(scene: Scene) -> None:
    scene.service("newcomer", created="2026-11-22T00:00:00Z", alias="org2-api", peer=None)
    await scene.settle()
    assert scene.ready() == ("True", "Ready")
    assert scene.ready("newcomer") == ("False", "AliasConflict")
    scene.change("federationpeers", "org-b", state="Suspended")
    await scene.settle()
    assert scene.ready("newcomer") == ("False", "AliasConflict"), "also while the older is refused"
    scene.delete("trustedservices", "org2-api")
    await scene.settle()
    assert scene.ready("newcomer") == ("True", "Ready")


async def test_an_alias_of_a_service_of_the_cluster_is_refused_until_that_goes(scene: Scene) -> None:
    scene.api.add("services", {"metadata": {"name": "web"}})
    scene.service("web")
    scene.service("dotted", alias="web.example")
    scene.api.add("services", {"metadata": {"name": "web.example"}})  # no Service can be called so
    await scene.settle()
    assert scene.ready("web") == ("False", "AliasShadowsService")
    assert scene.ready("dotted") == ("True", "Ready")
    scene.delete("services", "web")
    await scene.settle(61)
    assert scene.ready("web") == ("True", "Ready")


async def test_while_that_cannot_be_asked_nothing_is_guessed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(path: str) -> dict[str, Any]:
        raise APIError(503)

    scene.service("web")
    scene.replica.catch_up()
    monkeypatch.setattr(scene.api, "get", refuse)
    with pytest.raises(APIError):
        await scene.services.resolve(Key(Kind.TRUSTED_SERVICE, "trust", "web"))
    assert scene.status("web") == {}


def secret(name: str, value: bytes, label: str | None = "referenced") -> dict[str, Any]:
    labels = {} if label is None else {"bilateral.dev/secret": label}
    return {
        "metadata": {"name": name, "labels": labels},
        "type": "Opaque",
        "data": {"token": b64encode(value).decode()},
    }


async def token_of(scene: Scene) -> str | Reason | None:
    resolved = await scene.services.resolve(Key(Kind.TRUSTED_SERVICE, "trust", "org2-api"))
    if isinstance(resolved, ResolvedService):
        return resolved.bearer_token
    return None if resolved is None else resolved.reason


async def test_a_token_comes_changes_and_goes_with_its_secret(scene: Scene) -> None:
    scene.change("trustedservices", "org2-api", bearerTokenSecretRef={"name": "t", "key": "token"})
    await scene.settle()
    assert scene.ready() == ("False", "SecretNotFound")
    for value, label, expected in (
        (b"canary-token-1", None, Reason.SECRET_NOT_FOUND),
        (b"canary-token-1", "referenced", "canary-token-1"),
        (b"canary-token-2\n", "referenced", "canary-token-2"),
        (b"bad token", "referenced", Reason.TOKEN_INVALID),
    ):
        scene.api.add("secrets", secret("t", value, label))
        await scene.settle()
        assert await token_of(scene) == expected
        assert scene.ready()[1] == (expected.value if isinstance(expected, Reason) else "Ready")
    assert "canary" not in str(scene.status())
    scene.delete("secrets", "t")
    await scene.settle()
    assert await token_of(scene) is Reason.SECRET_NOT_FOUND


async def test_without_a_peer_it_is_webpki_and_needs_nobody(scene: Scene) -> None:
    scene.service("public", peer=None)
    await scene.settle()
    assert (scene.ready("public"), scene.status("public")["verifier"]) == (("True", "Ready"), "WebPKI")


async def test_what_an_identity_may_see(scene: Scene) -> None:
    scene.service("other")
    scene.api.add(
        "trustedservices",
        {"metadata": {"name": "elsewhere", "namespace": "elsewhere"}, "spec": {"url": "https://x.example"}},
    )
    await scene.settle()

    async def seen(**services: Any) -> list[str]:
        raw = scene.identity(services=services)
        return [each.alias for each in await scene.services.seen_by(WorkloadIdentity.parse(raw))]

    assert await seen(mode="All") == ["org2-api", "other"]
    assert await seen(mode="Listed", names=["other", "gone"]) == ["other"]
    assert await seen(mode="Listed") == []
    assert scene.services.aliases("trust") == {"org2-api", "other"}
    assert scene.services.aliases("elsewhere") == {"elsewhere"}
    scene.delete("trustedservices", "other")
    await scene.settle()
    assert scene.services.aliases("trust") == {"org2-api"}


async def test_who_counts_as_the_audience(scene: Scene) -> None:
    slug = build_slug(CA)
    assert scene.status().get("boundSecrets", 0) == 0
    for number in range(20):
        scene.identity(f"client{number}", slug)
    scene.replica.catch_up()
    cache, key = scene.replica.cache, Key(Kind.TRUSTED_SERVICE, "trust", "org2-api")
    resolved = await scene.services.resolve(key)
    assert resolved is not None
    assert count_audience(cache, key, resolved) == Audience(20, 0)
    scene.identity("not-written", slug, written=False)
    scene.identity("other", services={"mode": "Listed", "names": ["another"]})
    scene.identity("listed", services={"mode": "Listed", "names": ["org2-api"]})
    scene.replica.catch_up()
    assert count_audience(cache, key, resolved) == Audience(21, 1)


async def test_any_number_of_identities_is_one_write_a_service(scene: Scene) -> None:
    slug = build_slug(CA)
    scene.service("public", peer=None)
    await scene.settle(3)
    start = len(scene.api.writes)

    async def count(seconds: float) -> list[str]:
        scene.replica.queue.add(Key("audiences", "trust", ""))
        await scene.replica.work()
        scene.clock.advance(seconds)
        await scene.replica.work()
        return sorted(scene.writes_to(scene.api.writes[start:]))

    for number in range(20):
        # As the identities' own looks leave them; those are not of this test.
        scene.replica.cache.put(Kind.WORKLOAD_IDENTITY, scene.identity(f"client{number}", slug))
        assert await count(0) == []
    assert await count(2.01) == ["org2-api", "public"]
    assert await count(10) == ["org2-api", "public"], "nothing changed, nothing is written"
    assert (scene.status()["boundSecrets"], scene.status("public")["boundSecrets"]) == (20, 20)
    scene.replica.cache.put(Kind.WORKLOAD_IDENTITY, scene.identity("chainless"))
    await count(2.01)
    assert scene.ready() == ("True", "Ready")
    conditions = {each["type"]: each for each in scene.status()["conditions"]}
    assert (conditions["ChainAvailable"]["status"], conditions["ChainAvailable"]["reason"]) == (
        "False",
        "NoChain",
    )
    assert "1 of 21" in conditions["ChainAvailable"]["message"]


async def test_services_whose_audience_is_as_it_was_are_not_looked_at(scene: Scene) -> None:
    key = Key("audiences", "trust", "")
    await scene.settle(3)
    await scene.replica.controller.look(key)
    scene.clock.advance(3)
    while scene.replica.queue._take() is not None:
        pass
    await scene.replica.controller.look(key)
    assert scene.replica.queue._take() is None


async def test_those_who_list_a_service_hear_of_its_token_and_of_its_rivals(scene: Scene) -> None:
    scene.service("held", alias="one", bearerTokenSecretRef={"name": "t", "key": "token"})
    scene.service("rival", alias="one", created="2026-11-22T00:00:00Z")
    scene.identity("lister", services={"mode": "Listed", "names": ["held"]})
    scene.api.add("secrets", secret("t", b"abc"))
    scene.replica.catch_up()
    cache, lister = scene.replica.cache, Key(Kind.WORKLOAD_IDENTITY, "trust", "lister")
    assert lister in find_dependants(cache, Key(Kind.SECRET, "trust", "t"))
    assert lister in find_dependants(cache, Key(Kind.TRUSTED_SERVICE, "trust", "rival"))


async def test_a_replica_that_lost_the_lease_writes_nothing(scene: Scene) -> None:
    scene.replica.leads = False
    scene.change("federationpeers", "org-b", state="Suspended")
    with counted(scene.api) as writes:
        await scene.settle()
    assert scene.writes_to(writes) == []


async def test_a_restart_writes_nothing(scene: Scene) -> None:
    with counted(scene.api) as writes:
        again = Replica(scene.api, scene.clock)
        await again.settle()
        scene.clock.advance(3)
        await again.settle()
    assert scene.writes_to(writes) == []
