"""A replica and its partners' authorities: one write where something changed, none where nothing did."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.engine.partners import Partners
from bilateral.engine.statements import Statements
from bilateral.exchange.errors import Refusal
from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.names import Subject
from bilateral.pki.revocations import renew_revocation_list
from bilateral.protocol.authority_statement import AuthorityStatement, open_statement, sign_statement
from bilateral.protocol.handshake import build_envelope
from bilateral.protocol.keys import SigningKey, parse_public_key
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.reconcile.peer import Direction, Received

from .conftest import FakeClock
from .memory import MemoryAPI, Replica, counted

THEIRS = SigningKey.generate()
DAY = 86_400


def make(clock: FakeClock) -> Authority:
    now = datetime.fromtimestamp(clock.wall, UTC)
    subject = Subject(common_name="Org B CA")
    return generate_authority(subject, algorithm="Ed25519", validity_seconds=365 * DAY, now=now)


def statement(clock: FakeClock, authority: Authority) -> Fetched:
    now = int(clock.wall)
    crl = renew_revocation_list(
        authority, [], None, lifetime_seconds=2 * DAY, now=datetime.fromtimestamp(now, UTC)
    )
    made = AuthorityStatement(
        kernel_id="org-b-kernel",
        sequence=now,
        issued_at=now,
        expires_at=now + 2 * DAY,
        certificates=(authority.certificate.public_bytes(Encoding.DER),),
        revocation_list=crl.der,
    )
    return Fetched(sign_statement(made, THEIRS))


class Scene:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.api = MemoryAPI()
        self.api.add("trustdomains", {"metadata": {"name": "org-a"}, "spec": {"kernelId": "org-a-kernel"}})
        self.replica = Replica(self.api, clock)
        self.authority = make(clock)
        self.fetched = statement(clock, self.authority)

    async def settle(self) -> None:
        for _ in range(3):
            self.clock.advance(1)
            await self.replica.settle()

    def restart(self) -> None:
        asked = self.replica.partner
        self.replica = Replica(self.api, self.clock)
        self.replica.partner.statement, self.replica.partner.answer = asked.statement, asked.answer

    def announce(self, fetched: Fetched) -> None:
        """What the next handshake of ours brings."""
        envelope = build_envelope(
            local_kernel_id="org-b-kernel",
            remote_kernel_id="org-a-kernel",
            nonce=str(self.clock.wall),
            timestamp=int(self.clock.wall),
            key=THEIRS,
        )
        self.replica.partner.answer = Received(envelope, Direction.ANSWER, statement=fetched)
        self.replica.partner.statement = fetched

    def add_peer(self, **spec: Any) -> dict[str, Any]:
        endpoint = {"url": "https://trust.org-b.example", "verifier": {"webPKI": {}}}
        anchors = [{"publicKey": THEIRS.public_key.canonical}]
        whole = {"trustDomain": "org-a", "kernelId": "org-b-kernel", "trustAnchors": anchors}
        return self.api.add(
            "federationpeers",
            {"metadata": {"name": "org-b"}, "spec": {**whole, "endpoint": endpoint, **spec}},
        )

    def held(self) -> dict[str, bytes] | None:
        found = self.api.objects.get(("secrets", "org-b-ca"))
        return None if found is None else {k: base64.b64decode(v) for k, v in found["data"].items()}

    def known(self) -> tuple[str, str]:
        conditions = self.replica.status("federationpeers", "org-b")["conditions"]
        return next((c["status"], c["reason"]) for c in conditions if c["type"] == "AuthoritiesKnown")


@pytest.fixture
async def scene(clock: FakeClock) -> Scene:
    made = Scene(clock)
    await made.settle()
    return made


@pytest.fixture
async def met(scene: Scene) -> Scene:
    scene.announce(scene.fetched)
    scene.add_peer()
    await scene.settle()
    assert scene.known() == ("True", "AuthoritiesAnnounced")
    return scene


async def test_a_handshake_with_a_statement_is_one_status_and_one_secret(scene: Scene) -> None:
    scene.announce(scene.fetched)
    scene.add_peer()
    with counted(scene.api) as writes:
        await scene.replica.settle()
    assert writes.count(("federationpeers", "org-b")) == 1
    assert writes.count(("secrets", "org-b-ca")) == 1
    held = scene.held() or {}
    assert held["ca.crt"] == scene.authority.certificate_pem
    owner = scene.api.objects["secrets", "org-b-ca"]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("FederationPeer", "org-b")


async def test_hours_and_restarts_later_nothing_was_written(met: Scene) -> None:
    with counted(met.api) as writes:
        for _ in range(7):
            met.clock.advance(3600)
            await met.replica.settle()
        asked = len(met.replica.partner.statements_asked)
        met.restart()
        await met.settle()
    assert [each for each in writes if each[1] in ("org-b", "org-b-ca")] == []
    assert 6 <= asked <= 8


async def test_who_announces_nothing_is_asked_with_the_handshake_alone(scene: Scene) -> None:
    scene.announce(Fetched(reason=Reason.NOT_ANNOUNCED))
    scene.add_peer()
    await scene.settle()
    for _ in range(5):
        scene.clock.advance(3600)
        await scene.settle()
    assert scene.replica.partner.statements_asked == []
    assert scene.replica.partner.asked == ["org-b"]
    assert scene.held() is None


@pytest.mark.parametrize("between", [0, 2])
async def test_an_envelope_that_comes_in_does_not_put_off_the_question(scene: Scene, between: int) -> None:
    """The partner's endpoint is not ready and says when it will be; then its own handshake comes in."""
    scene.announce(Fetched(reason=Reason.TOO_MANY_REQUESTS, retry_after_seconds=5))
    scene.add_peer()
    await scene.replica.settle()
    assert scene.known() == ("Unknown", "TooManyRequests")
    scene.clock.advance(between)
    envelope = build_envelope(
        local_kernel_id="org-b-kernel",
        remote_kernel_id="org-a-kernel",
        nonce="theirs",
        timestamp=int(scene.clock.wall) + 1,
        key=THEIRS,
    )
    await scene.replica.responder.handle(envelope, None)
    scene.replica.partner.statement = statement(scene.clock, scene.authority)
    scene.clock.advance(6 - between)
    await scene.replica.work()
    assert scene.known() == ("True", "AuthoritiesAnnounced")


async def test_a_suspended_partner_has_nothing_left(met: Scene) -> None:
    changed = met.api.objects["federationpeers", "org-b"]
    changed["spec"]["state"] = "Suspended"
    changed["metadata"]["generation"] = 2
    met.api.add("federationpeers", changed)
    with counted(met.api) as writes:
        await met.replica.settle()
    assert (met.held() or {})["ca.crt"] == NOBODY_PEM
    assert writes.count(("secrets", "org-b-ca")) == 1


async def test_killed_between_status_and_secret_it_is_fetched_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = scene.api.create

    async def killed(path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        if body["metadata"].get("name") == "org-b-ca":
            raise RuntimeError("killed")
        return await real(path, body, manager=manager)

    monkeypatch.setattr(scene.api, "create", killed)
    scene.announce(scene.fetched)
    scene.add_peer()
    with pytest.raises(RuntimeError):
        await scene.settle()
    monkeypatch.undo()
    scene.restart()
    await scene.settle()
    assert (scene.held() or {})["ca.crt"] == scene.authority.certificate_pem
    assert scene.replica.partner.statements_asked == ["org-b"]


async def test_those_who_derive_from_a_partner_get_what_was_verified(met: Scene) -> None:
    partners = Partners(met.replica.cache, met.replica.views, met.replica.guard)
    partner = partners.find("trust", "org-b")
    assert partner is not None
    assert partner.authorities == (met.authority.certificate,)
    assert len(partner.revocations) == 1
    # Whatever somebody puts into the Secret.
    secret = met.api.objects["secrets", "org-b-ca"]
    secret["data"]["ca.crt"] = base64.b64encode(make(met.clock).certificate_pem).decode()
    met.api.add("secrets", secret)
    met.replica.catch_up()
    partner = partners.find("trust", "org-b")
    assert partner is not None
    assert partner.authorities == (met.authority.certificate,)
    secret["data"]["statement.json"] = base64.b64encode(b"{}").decode()
    met.api.add("secrets", secret)
    met.replica.catch_up()
    partner = partners.find("trust", "org-b")
    assert partner is not None
    assert partner.authorities == ()


async def test_what_lies_under_the_name_and_is_somebody_elses_counts_for_nothing(met: Scene) -> None:
    secret = met.api.objects["secrets", "org-b-ca"]
    secret["metadata"]["ownerReferences"][0]["uid"] = "another"
    met.api.add("secrets", secret)
    before = met.held()
    await met.settle()
    assert met.known() == ("False", "SecretConflict")
    partner = Partners(met.replica.cache, met.replica.views, met.replica.guard).find("trust", "org-b")
    assert partner is not None
    assert partner.authorities == ()
    assert met.held() == before


# The other side: what we serve


async def test_our_statement_is_served_once_it_is_written(clock: FakeClock) -> None:
    scene = Scene(clock)
    statements = Statements(scene.replica.cache, scene.replica.views)
    with pytest.raises(Refusal) as caught:
        statements.statement("org-a-kernel")
    assert caught.value.reason is Reason.NOT_FOUND
    scene.replica.catch_up()
    with pytest.raises(Refusal) as caught:
        statements.statement("org-a-kernel")
    assert (caught.value.reason, caught.value.retry_after) == (Reason.NOT_READY, 5)
    await scene.settle()
    document = statements.statement("org-a-kernel")
    key = parse_public_key(scene.replica.status("trustdomains", "org-a")["publicKey"])
    assert open_statement(document, signer=key, kernel_id="org-a-kernel").kernel_id == "org-a-kernel"
    assert statements.statement("org-a-kernel") is document
    with pytest.raises(Refusal) as caught:
        statements.statement("somebody")
    assert caught.value.reason is Reason.NOT_FOUND


async def test_a_secret_of_another_owner_is_not_served(scene: Scene) -> None:
    statements = Statements(scene.replica.cache, scene.replica.views)
    secret = scene.api.objects["secrets", "org-a-authority"]
    secret["metadata"]["ownerReferences"][0]["uid"] = "another"
    scene.api.add("secrets", secret)
    scene.replica.catch_up()
    with pytest.raises(Refusal) as caught:
        statements.statement("org-a-kernel")
    assert caught.value.reason is Reason.NOT_READY
