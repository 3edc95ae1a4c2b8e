"""One of our parties: its key is made once, its certificate is renewed, its Secrets follow what is trusted."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.directory import NOBODY_PEM, TrustedAuthority, build_identity_files
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.identities import HeldIdentity, generate_identity_key, issue_identity, load_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject, rfc4514_name
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.services import Service
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PeerCA, WebPKI
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity import LOOK_AGAIN_SECONDS, ROLL_AGAIN_SECONDS, reconcile_identity
from bilateral.reconcile.identity_outputs import MAX_SECRET_BYTES
from bilateral.reconcile.identity_view import IdentityOutcome, IdentityView, Issue, Offer, OwnTrust
from bilateral.reconcile.outcome import SecretView, WrittenSecret
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import OWN, Presentable, ResolvedService, ServiceRefused
from bilateral.resources.workloadidentity import RolloutTarget, WorkloadIdentity

from .conftest import NOW

DAY = 86_400
MONTH, YEAR = 30 * DAY, 365 * DAY
UID = "identity-uid"
FOUR = ("client1-identity", "client1-id-chains", "client1-known-servers", "client1-known-clients")


def moment(now: int = NOW) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def authority(name: str, *, now: int = NOW, validity: int = YEAR) -> Authority:
    return generate_authority(
        Subject(organization=name.split(maxsplit=1)[0], common_name=name),
        algorithm="ECDSAP256",
        validity_seconds=validity,
        now=moment(now),
    )


OURS, NEXT, THEIRS, THEIR_NEXT = (
    authority("OrgA CA"),
    authority("OrgA CA"),
    authority("OrgB CA"),
    authority("OrgB CA"),
)


def partner(*authorities: Authority, **how: Any) -> Partner:
    values: dict[str, Any] = {
        "name": "org-b",
        "uid": "peer-uid",
        "kernel_id": "org-b-kernel",
        "trust_domain": "org-a",
        "withheld": None,
        "fresh": True,
        "authorities": tuple(each.certificate for each in authorities),
    }
    return Partner(**{**values, **how})


PARTNER = partner(THEIRS)
SERVICE = ResolvedService(
    alias="org2-api",
    url="https://api.org-b.example:9443",
    verifier=PeerCA((THEIRS.certificate,)),
    presents=(Presentable(THEIRS.certificate),),
    peer="org-b",
    deadline_of="org-b-kernel",
)


@dataclass
class World:
    """An identity and its Secrets; `settle` does what looks want, as the engine would."""

    spec: dict[str, Any] = field(
        default_factory=lambda: {"trustDomain": "org-a", "subject": {"commonName": "client1"}}
    )
    view: IdentityView = field(
        default_factory=lambda: IdentityView(
            own=OwnTrust(None, OURS, (TrustedAuthority(OURS.certificate),)), clients=(PARTNER,)
        )
    )
    status: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, SecretView] = field(default_factory=dict)
    now: int = NOW
    written: list[str] = field(default_factory=list)
    issued: list[Issue] = field(default_factory=list)
    rolled: list[RolloutTarget] = field(default_factory=list)
    refuse_rollouts: Reason | None = None

    @property
    def identity(self) -> WorkloadIdentity:
        return WorkloadIdentity.parse(
            {
                "metadata": {"name": "client1", "namespace": "trust", "uid": UID, "generation": 1},
                "spec": self.spec,
                "status": self.status,
            }
        )

    def look(self) -> IdentityOutcome:
        """One look, of which nothing follows."""
        return reconcile_identity(self.identity, replace(self.view, secrets=dict(self.secrets)), self.now)

    def settle(self) -> IdentityOutcome:
        """Looks until there is nothing left to do; then the status is written."""
        self.view = replace(self.view, rolled={})
        for _ in range(6):
            outcome = self.look()
            if outcome.issue is not None:
                self.issued.append(outcome.issue)
                self._issue(outcome.issue)
            elif outcome.outputs:
                for each in outcome.outputs:
                    self.put(each)
            elif outcome.rollouts:
                self.rolled += outcome.rollouts
                self.view = replace(self.view, rolled=dict.fromkeys(outcome.rollouts, self.refuse_rollouts))
            else:
                self.status = outcome.status.to_wire()
                return outcome
        raise AssertionError("a look leads to another without end")

    def _issue(self, issue: Issue) -> None:
        spec = self.identity.spec
        key = issue.private_key
        if key is None and issue.public_key is None:
            key = generate_identity_key(spec.algorithm)
        public = issue.public_key if key is None else key.public_key()
        assert public is not None
        made = issue_identity(
            issue.authority,
            spec.subject.to_subject(),
            public,
            dns_names=spec.dns_names,
            validity_seconds=spec.validity_seconds,
            now=moment(self.now),
        )
        if key is None:
            pem = made.certificate_pem
            data = {"tls.crt": pem, "id.crt": pem, "ca.crt": issue.authority.certificate_pem}
            self.put(WrittenSecret("client1-identity", data))
        else:
            data = build_identity_files(HeldIdentity(made, key), issue.authority.certificate)
            self.put(WrittenSecret("client1-identity", data, "kubernetes.io/tls"))

    def put(self, wanted: WrittenSecret, *, owner: str | None = UID, referenced: bool = False) -> None:
        self.written.append(wanted.name)
        self.secrets[wanted.name] = SecretView(
            name=wanted.name,
            uid=f"{wanted.name}-uid",
            resource_version="1",
            owner_uid=owner,
            referenced=referenced,
            type=wanted.type,
            data=dict(wanted.data),
        )

    def edit(self, name: str, **files: bytes) -> None:
        """Change files of a Secret by hand; an underscore stands for the point."""
        held = self.secrets[name]
        changed = {file.replace("_", "."): content for file, content in files.items()}
        self.secrets[name] = replace(held, data={**held.data, **changed})

    def files(self, secret: str) -> dict[str, bytes]:
        return dict(self.secrets[f"client1-{secret}"].data)

    def yaml(self, secret: str, file: str) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(self.files(secret)[file])
        return document

    @property
    def held(self) -> HeldIdentity:
        files = self.files("identity")
        return load_identity(files["tls.crt"], files["tls.key"])

    def condition(self, kind: str = "Ready") -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]

    def own(self, **changes: Any) -> None:
        assert self.view.own is not None
        self.view = replace(self.view, own=replace(self.view.own, **changes))

    def offer(self, signer: Authority = THEIRS, *, name: str = "from-b", **how: Any) -> Offer:
        """An introduction of the identity's key."""
        services = how.pop("services", ())
        validity = how.pop("validity", MONTH)
        introduction = issue_introduction(
            signer, self.held.identity.certificate_pem, services, validity, moment(self.now)
        )
        values: dict[str, Any] = {
            "pinned": frozenset({certificate_fingerprint(signer.certificate)}),
            "partner": PARTNER,
        }
        return Offer(name=name, document=introduction.to_json(), **{**values, **how})


@pytest.fixture
def settled() -> World:
    world = World()
    world.settle()
    assert world.condition() == ("True", "Ready")
    world.written.clear()
    world.issued.clear()
    return world


# The key and the certificate


def test_at_first_one_certificate_is_made_and_nothing_else_before_it() -> None:
    world = World()
    first = world.look()
    assert first.issue is not None
    assert first.issue.authority is OURS
    assert first.issue.private_key is None, "a key is made"
    assert first.outputs == (), "no Secret before there is an identity"
    world.settle()
    assert tuple(world.written) == FOUR
    assert len(world.issued) == 1
    assert world.condition("IdentityIssued") == ("True", "Issued")
    assert world.condition("OutputsWritten") == ("True", "OutputsWritten")


def test_the_identitys_secret_is_as_tls_and_as_certified_name_it(settled: World) -> None:
    files = settled.files("identity")
    assert settled.secrets["client1-identity"].type == "kubernetes.io/tls"
    assert set(files) == {"tls.crt", "tls.key", "ca.crt", "id.crt", "id.key"}
    assert files["ca.crt"] == OURS.certificate_pem
    assert rfc4514_name(settled.held.identity.certificate.subject) == "CN=client1"


def test_the_status_shows_the_certificate_and_no_secret(settled: World) -> None:
    identity = settled.held.identity
    assert settled.status["fingerprint"] == identity.fingerprint
    assert settled.status["serial"] == identity.serial
    assert settled.status["chains"] == [
        {
            "authority": rfc4514_name(OURS.certificate.subject),
            "slug": build_slug(OURS.certificate),
            "notAfter": identity.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    ]
    assert base64.b64encode(settled.files("identity")["tls.key"]).decode()[:40] not in str(settled.status)


def test_a_second_look_changes_nothing(settled: World) -> None:
    before = settled.status
    outcome = settled.settle()
    assert (settled.written, settled.issued) == ([], [])
    assert outcome.status.to_wire() == before


def test_it_is_renewed_at_two_thirds_and_not_before_and_keeps_its_key(settled: World) -> None:
    key, due = settled.held.key_pem, int(settled.held.identity.renewal_due.timestamp())
    settled.now = due - 1
    outcome = settled.settle()
    assert settled.issued == []
    assert outcome.next_at == due
    settled.now = due
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.written == ["client1-identity"], "nothing else follows from a renewal"
    assert settled.held.key_pem == key
    assert settled.held.identity.not_after == moment(due + MONTH)


def test_it_never_outlives_the_authority_and_is_then_not_renewed_again_and_again() -> None:
    short = authority("OrgA CA", validity=10 * DAY)
    world = World()
    world.own(authority=short, generations=(TrustedAuthority(short.certificate),))
    world.settle()
    assert world.held.identity.not_after == short.not_after
    world.now = int(world.held.identity.renewal_due.timestamp()) + DAY
    world.settle()
    assert len(world.issued) == 1, "a new one would end when this one does"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"dnsNames": ["client1.trust.svc"]}, id="names"),
        pytest.param({"subject": {"commonName": "client2"}}, id="subject"),
    ],
)
def test_it_is_issued_anew_when_the_spec_asks_for_another(settled: World, change: dict[str, Any]) -> None:
    key = settled.held.key_pem
    settled.spec |= change
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.held.key_pem == key


def test_it_is_issued_anew_by_the_next_generation_and_both_are_trusted(settled: World) -> None:
    settled.own(
        authority=NEXT, generations=(TrustedAuthority(NEXT.certificate), TrustedAuthority(OURS.certificate))
    )
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.files("identity")["ca.crt"] == NEXT.certificate_pem
    older = f"{build_slug(OURS.certificate)}.crt"
    for secret in ("known-clients", "known-servers"):
        assert settled.files(secret)["self.crt"] == NEXT.certificate_pem
        assert settled.files(secret)[older] == OURS.certificate_pem
    settled.own(generations=(TrustedAuthority(NEXT.certificate),))
    settled.settle()
    assert older not in settled.files("known-clients")


def test_a_withdrawn_certificate_is_replaced(settled: World) -> None:
    withdrawn = Revocation(settled.held.identity.certificate.serial_number, moment())
    listed = renew_revocation_list(OURS, [withdrawn], None, lifetime_seconds=DAY, now=moment())
    settled.own(generations=(TrustedAuthority(OURS.certificate, listed),))
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.files("known-clients")["self.crl"] == listed.pem


# What stands in the way


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        pytest.param(None, "TrustDomainNotFound", id="no trust domain"),
        pytest.param(OwnTrust(Reason.TRUST_DOMAIN_NOT_READY, None), "TrustDomainNotReady", id="not ready"),
        pytest.param(OwnTrust(Reason.AUTHORITY_EXPIRED, OURS), "AuthorityExpired", id="authority expired"),
        pytest.param(OwnTrust(None, None), "TrustDomainNotReady", id="no authority, no word why"),
    ],
)
def test_nothing_is_made_while_the_trust_domain_cannot_sign(own: OwnTrust | None, reason: str) -> None:
    world = World(view=IdentityView(own=own, clients=(PARTNER,)))
    outcome = world.settle()
    assert (world.written, world.issued) == ([], [])
    assert world.condition() == ("False", reason)
    assert world.condition("OutputsWritten") == ("Unknown", "IdentityPending")
    assert outcome.next_at == NOW + LOOK_AGAIN_SECONDS


def test_a_good_certificate_stays_good_while_the_trust_domain_cannot_sign(settled: World) -> None:
    settled.own(problem=Reason.AUTHORITY_DRIFT, authority=None)
    settled.settle()
    assert settled.condition() == ("True", "Ready")
    settled.now = int(settled.held.identity.renewal_due.timestamp())
    settled.settle()
    assert settled.condition("IdentityIssued") == ("True", "AuthorityDrift"), "the renewal is overdue"
    assert settled.condition() == ("True", "Ready")
    settled.now = int(settled.held.identity.not_after.timestamp()) + 1
    settled.settle()
    assert settled.condition() == ("False", "AuthorityDrift")
    assert settled.written == []


def test_without_a_trust_domain_our_own_parties_are_nobody(settled: World) -> None:
    settled.view = replace(settled.view, own=None, clients=())
    settled.settle()
    assert settled.files("known-clients") == {"nobody.crt": NOBODY_PEM}
    assert settled.files("known-servers") == {}
    assert settled.condition() == ("False", "TrustDomainNotFound")


def test_a_clock_that_went_back_signs_nothing() -> None:
    world = World()
    world.view = replace(world.view, clock_regressed=True, latest_time=NOW + DAY)
    world.settle()
    assert world.issued == []
    assert world.condition() == ("False", "ClockRegressed")


def test_an_expired_certificate_is_not_made_younger_by_the_clock(settled: World) -> None:
    ended = int(settled.held.identity.not_after.timestamp()) + 1
    settled.view = replace(settled.view, clock_regressed=True, latest_time=ended)
    settled.settle()
    assert settled.condition("IdentityIssued") == ("False", "ClockRegressed")


def test_the_authoritys_own_name_is_refused() -> None:
    world = World()
    world.spec["subject"] = {"organization": "ORGA", "commonName": "orga ca"}
    world.settle()
    assert world.condition() == ("False", "SubjectRefused")
    assert world.issued == []


# Foreign, spoiled and oversized Secrets


@pytest.mark.parametrize("name", FOUR)
def test_a_foreign_secret_is_left_and_named(name: str) -> None:
    world = World()
    world.view = replace(world.view, foreign_secrets=frozenset({name}))
    outcome = world.settle()
    assert name not in world.written
    assert world.condition() == ("False", "SecretConflict")
    if name != FOUR[0]:
        assert set(world.written) == {*FOUR} - {name}, "the others are kept up"
    assert outcome.next_at == NOW + LOOK_AGAIN_SECONDS


@pytest.mark.parametrize("owner", ["another-uid", None])
def test_a_secret_of_another_owner_is_not_ours(owner: str | None) -> None:
    world = World()
    world.put(WrittenSecret(FOUR[0], {"tls.crt": b"", "tls.key": b""}, "kubernetes.io/tls"), owner=owner)
    world.written.clear()
    world.settle()
    assert (world.written, world.issued) == ([], [])
    assert world.condition("IdentityIssued") == ("False", "SecretConflict")


@pytest.mark.parametrize("name", FOUR[1:])
def test_a_deleted_or_edited_secret_is_restored(settled: World, name: str) -> None:
    before = settled.secrets[name]
    for change in (lambda: settled.secrets.pop(name), lambda: settled.edit(name, added_crt=b"x")):
        change()
        settled.settle()
        assert settled.secrets[name].data == before.data
    assert settled.written == [name, name]
    assert settled.issued == []


def test_of_a_spoiled_key_or_certificate_the_other_copy_is_taken(settled: World) -> None:
    before = settled.files("identity")
    for file in ("tls_key", "id_key", "tls_crt", "id_crt", "ca_crt"):
        settled.edit("client1-identity", **{file: b"spoiled"})
        settled.settle()
        assert settled.files("identity") == before
    assert settled.issued == []


def test_a_key_put_there_by_hand_is_not_taken_while_ours_is_there(settled: World) -> None:
    before = settled.files("identity")
    other = generate_identity_key("ECDSAP256").private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    settled.edit("client1-identity", tls_key=other)
    settled.settle()
    assert settled.files("identity") == before


def test_a_certificate_by_another_authority_is_replaced(settled: World) -> None:
    key = settled.held.key
    forged = issue_identity(
        THEIRS, Subject(common_name="client1"), key.public_key(), validity_seconds=YEAR, now=moment()
    )
    settled.edit("client1-identity", tls_crt=forged.certificate_pem, id_crt=forged.certificate_pem)
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.held.key_pem == HeldIdentity(forged, key).key_pem


def test_a_deleted_identity_secret_is_made_anew_with_a_new_key(settled: World) -> None:
    key = settled.held.key_pem
    del settled.secrets["client1-identity"]
    settled.settle()
    assert settled.held.key_pem != key
    assert settled.condition() == ("True", "Ready")


def test_past_a_mebibyte_the_old_content_stays_less_what_was_withdrawn(settled: World) -> None:
    settled.view = replace(settled.view, services=(SERVICE,))
    settled.settle()
    before = settled.files("known-servers")
    many = tuple(
        replace(SERVICE, alias=f"api-{number}", bearer_token="t" * 4096, verifier=WebPKI())
        for number in range(300)
    )
    settled.written.clear()
    settled.view = replace(settled.view, services=(*many, SERVICE))
    outcome = settled.settle()
    assert settled.condition("OutputsWritten") == ("False", "OutputTooLarge")
    assert settled.condition() == ("False", "OutputTooLarge")
    assert settled.files("known-servers") == before
    assert settled.written == []
    assert outcome.next_at is not None
    settled.view = replace(settled.view, services=many)
    settled.settle()
    assert "org2-api.yaml" not in settled.files("known-servers")
    assert sum(map(len, settled.files("known-servers").values())) < MAX_SECRET_BYTES


def test_a_trust_secret_that_is_too_large_never_trusts_whom_it_should_not() -> None:
    world = World()
    world.settle()
    withdrawn = world.files("known-clients")
    serials = [Revocation(number + 1, moment()) for number in range(18_000)]
    lists = {}
    huge = [authority(f"Huge {number} CA") for number in range(3)]
    for each in huge:
        lists[build_slug(each.certificate)] = renew_revocation_list(
            each, serials, None, lifetime_seconds=DAY, now=moment()
        )
    world.spec["clients"] = []
    world.view = replace(world.view, clients=(partner(*huge, revocations=lists),))
    world.settle()
    assert world.condition("OutputsWritten") == ("False", "OutputTooLarge")
    assert world.files("known-clients") == {"nobody.crt": NOBODY_PEM} != withdrawn


# Who may connect


def test_known_clients_are_our_own_and_the_fresh_peers_that_are_named(settled: World) -> None:
    slug = build_slug(THEIRS.certificate)
    assert settled.files("known-clients") == {
        "self.crt": OURS.certificate_pem,
        f"{slug}.crt": THEIRS.certificate_pem,
        f"{slug}.yaml": b'peers:\n- "org-b-kernel"\n',
    }


@pytest.mark.parametrize("reason", [Reason.PEER_STALE, Reason.SUSPENDED, Reason.PIN_TAMPERED])
def test_a_peer_that_does_not_count_leaves_known_clients(settled: World, reason: Reason) -> None:
    settled.view = replace(settled.view, clients=(partner(withheld=reason, authorities=()),))
    settled.settle()
    assert set(settled.files("known-clients")) == {"self.crt"}
    assert settled.written == ["client1-known-clients"]


def test_known_clients_are_never_empty_of_certificates(settled: World) -> None:
    settled.spec["clients"] = []
    settled.view = replace(settled.view, clients=())
    settled.settle()
    assert settled.files("known-clients") == {"nobody.crt": NOBODY_PEM}


def test_both_generations_of_a_partner_count_and_a_list_comes_along(settled: World) -> None:
    listed = renew_revocation_list(THEIRS, [], None, lifetime_seconds=DAY, now=moment())
    slug = build_slug(THEIRS.certificate)
    settled.view = replace(settled.view, clients=(partner(THEIR_NEXT, THEIRS, revocations={slug: listed}),))
    settled.settle()
    files = settled.files("known-clients")
    assert files[f"{slug}.crl"] == listed.pem
    assert files[f"{build_slug(THEIR_NEXT.certificate)}.crt"] == THEIR_NEXT.certificate_pem


def test_a_retained_partner_is_bound_to_no_deadline(settled: World) -> None:
    settled.view = replace(settled.view, clients=(partner(THEIRS, fresh=False, retained=True),))
    settled.settle()
    assert f"{build_slug(THEIRS.certificate)}.yaml" not in settled.files("known-clients")


def test_the_next_look_is_when_a_partner_ends(settled: World) -> None:
    settled.view = replace(settled.view, clients=(partner(THEIRS, rotation_due=NOW + 77),))
    assert settled.settle().next_at == NOW + 77


def test_an_authority_past_its_end_admits_nobody(settled: World) -> None:
    short = authority("Short CA", validity=100)
    settled.view = replace(settled.view, clients=(partner(short),))
    settled.settle()
    settled.now = int(short.not_after.timestamp()) + 1
    settled.settle()
    assert set(settled.files("known-clients")) == {"self.crt"}


# Chains and services


def test_an_accepted_introduction_is_a_chain_until_its_last_second(settled: World) -> None:
    settled.view = replace(settled.view, offers=(settled.offer(validity=3600),))
    outcome = settled.settle()
    slug = build_slug(THEIRS.certificate)
    assert set(settled.files("id-chains")) == {f"{slug}.crt"}
    assert settled.status["chains"][1]["introduction"] == "from-b"
    end = NOW + 3600 + 1
    assert outcome.next_at == end
    settled.now = end - 1
    settled.settle()
    assert set(settled.files("id-chains")) == {f"{slug}.crt"}
    settled.now = end
    settled.settle()
    assert settled.files("id-chains") == {}
    assert len(settled.status["chains"]) == 1


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"pinned": frozenset()}, id="authority not pinned"),
        pytest.param({"document": "{}"}, id="no introduction"),
    ],
)
def test_what_is_not_accepted_opens_nothing(settled: World, how: dict[str, Any]) -> None:
    services = (Service("org2-api", "https://api.org-b.example"),)
    offer = replace(settled.offer(services=services), **how)
    settled.view = replace(settled.view, offers=(offer,))
    settled.settle()
    assert settled.written == []
    assert settled.status["boundServices"] == 0


def test_a_withdrawn_introduction_leaves(settled: World) -> None:
    offer = settled.offer()
    settled.view = replace(settled.view, offers=(offer,))
    settled.settle()
    chain = x509.load_pem_x509_certificate(next(iter(settled.files("id-chains").values())))
    listed = renew_revocation_list(
        THEIRS, [Revocation(chain.serial_number, moment())], None, lifetime_seconds=DAY, now=moment()
    )
    lists = {build_slug(THEIRS.certificate): listed}
    settled.view = replace(settled.view, offers=(replace(offer, revocations=lists),))
    settled.settle()
    assert settled.files("id-chains") == {}


def test_of_two_introductions_by_one_authority_the_longer_is_shown(settled: World) -> None:
    longer, shorter = settled.offer(validity=2 * DAY, name="a"), settled.offer(validity=DAY, name="b")
    for offers in ((longer, shorter), (shorter, longer)):
        settled.view = replace(settled.view, offers=offers)
        settled.settle()
        assert settled.status["chains"][1]["introduction"] == "a"
    assert settled.written == ["client1-id-chains"]


def test_an_introduction_outlives_a_renewal(settled: World) -> None:
    settled.view = replace(settled.view, offers=(settled.offer(validity=YEAR),))
    settled.settle()
    before = settled.files("id-chains")
    settled.now = int(settled.held.identity.renewal_due.timestamp())
    settled.settle()
    assert len(settled.issued) == 1
    assert settled.files("id-chains") == before


def test_a_service_is_bound_with_the_one_chain_that_it_accepts(settled: World) -> None:
    settled.view = replace(settled.view, services=(SERVICE,), offers=(settled.offer(),))
    settled.settle()
    slug = build_slug(THEIRS.certificate)
    entry = settled.yaml("known-servers", "org2-api.yaml")
    assert entry["auths"] == [rfc4514_name(THEIRS.certificate.subject), slug]
    assert entry["peer"] == "org-b-kernel"
    assert settled.files("known-servers")[f"{slug}.crt"] == THEIRS.certificate_pem
    assert settled.status["boundServices"] == 1


def test_with_two_generations_the_chain_that_is_there_is_named(settled: World) -> None:
    both = replace(SERVICE, presents=(Presentable(THEIR_NEXT.certificate), Presentable(THEIRS.certificate)))
    settled.view = replace(settled.view, services=(both,))
    settled.settle()
    assert settled.yaml("known-servers", "org2-api.yaml")["auths"][1] == build_slug(THEIR_NEXT.certificate)
    settled.view = replace(settled.view, offers=(settled.offer(),))
    settled.settle()
    assert settled.yaml("known-servers", "org2-api.yaml")["auths"][1] == build_slug(THEIRS.certificate)


def test_a_refused_service_is_in_no_file_and_keeps_its_alias(settled: World) -> None:
    offer = settled.offer(services=(Service("org2-api", "https://elsewhere.org-b.example"),))
    settled.view = replace(
        settled.view, services=(ServiceRefused("org2-api", Reason.PEER_STALE),), offers=(offer,)
    )
    settled.settle()
    assert "org2-api.yaml" not in settled.files("known-servers")
    assert settled.status["boundServices"] == 0


def test_an_introductions_services_are_bound_unless_a_person_gave_the_alias(settled: World) -> None:
    url = "https://api.org-b.example:9443"
    offer = settled.offer(services=(Service("org2-api", url),))
    settled.view = replace(settled.view, offers=(offer,))
    settled.settle()
    entry = settled.yaml("known-servers", "org2-api.yaml")
    assert (entry["url"], entry["verifier"]) == (url, "PeerCA")
    settled.view = replace(settled.view, aliases=frozenset({"org2-api"}))
    settled.settle()
    assert "org2-api.yaml" not in settled.files("known-servers"), "it is somebody's TrustedService"


def test_of_two_introductions_the_older_keeps_an_alias(settled: World) -> None:
    older = settled.offer(name="z", services=(Service("api", "https://one.example"),))
    newer = settled.offer(name="a", services=(Service("api", "https://two.example"),))
    settled.view = replace(settled.view, offers=(older, newer))
    settled.settle()
    assert settled.yaml("known-servers", "api.yaml")["url"] == "https://one.example"


def test_a_service_that_ends_plans_the_next_look(settled: World) -> None:
    settled.view = replace(settled.view, services=(replace(SERVICE, until=NOW + 50),))
    assert settled.settle().next_at == NOW + 50


# One Secret for each service


def test_per_service_secrets_hold_the_right_chain_and_the_pinned_authority(settled: World) -> None:
    settled.spec["perServiceTLS"] = "Enabled"
    offer = settled.offer()
    own = replace(SERVICE, alias="inner", presents=(OWN,), peer=None, deadline_of=None)
    settled.view = replace(settled.view, services=(SERVICE, own), offers=(offer,))
    settled.settle()
    theirs, ours = settled.files("to-org2-api"), settled.files("to-inner")
    assert theirs["tls.crt"] == next(iter(settled.files("id-chains").values()))
    assert theirs["tls.key"] == ours["tls.key"] == settled.held.key_pem
    assert theirs["ca.crt"] == THEIRS.certificate_pem
    assert ours["tls.crt"] == settled.held.identity.certificate_pem
    assert settled.secrets["client1-to-inner"].type == "kubernetes.io/tls"


@pytest.mark.parametrize("how", ["service gone", "chain gone", "switched off"])
def test_a_withdrawn_service_leaves_nobodys_certificate_and_no_key(settled: World, how: str) -> None:
    settled.spec["perServiceTLS"] = "Enabled"
    settled.view = replace(settled.view, services=(SERVICE,), offers=(settled.offer(),))
    settled.settle()
    match how:
        case "service gone":
            settled.view = replace(settled.view, services=())
        case "chain gone":
            settled.view = replace(settled.view, offers=())
        case _:
            settled.spec["perServiceTLS"] = "Disabled"
    settled.settle()
    assert settled.files("to-org2-api") == {"tls.crt": NOBODY_PEM, "tls.key": b"", "ca.crt": NOBODY_PEM}
    settled.written.clear()
    settled.settle()
    assert settled.written == []


def test_a_pinned_server_has_no_secret_of_its_own_since_no_authority_can_say_it(settled: World) -> None:
    from bilateral.pki.fingerprints import parse_fingerprint
    from bilateral.pki.verifiers import PinnedFingerprint

    settled.spec["perServiceTLS"] = "Enabled"
    pinned = PinnedFingerprint((parse_fingerprint(f"SHA256:{'ab' * 32}"),))
    settled.view = replace(settled.view, services=(replace(SERVICE, verifier=pinned, presents=(OWN,)),))
    settled.settle()
    assert "client1-to-org2-api" not in settled.secrets
    assert "org2-api.yaml" in settled.files("known-servers")


# Provided keys


def request_of(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wanted")])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def provided(data: dict[str, bytes], *, referenced: bool = True) -> World:
    world = World()
    world.spec["key"] = {"source": "Provided", "secretName": "theirs"}
    world.put(WrittenSecret("theirs", data), owner=None, referenced=referenced)
    world.written.clear()
    return world


@pytest.mark.parametrize("form", ["request", "certificate"])
def test_a_provided_key_is_certified_and_never_held(form: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    held = issue_identity(
        THEIRS, Subject(common_name="x"), key.public_key(), validity_seconds=DAY, now=moment()
    )
    data = {"tls.csr": request_of(key)} if form == "request" else {"tls.crt": held.certificate_pem}
    world = provided(data)
    world.settle()
    files = world.files("identity")
    assert set(files) == {"tls.crt", "id.crt", "ca.crt"}
    assert world.secrets["client1-identity"].type == "Opaque"
    made = x509.load_pem_x509_certificate(files["tls.crt"])
    assert made.public_key() == key.public_key()
    assert rfc4514_name(made.subject) == "CN=client1", "the subject is the spec's"
    world.settle()
    assert len(world.issued) == 1
    assert world.condition() == ("True", "Ready")


def test_another_provided_key_gets_another_certificate() -> None:
    world = provided({"tls.csr": request_of(ec.generate_private_key(ec.SECP256R1()))})
    world.settle()
    key = ec.generate_private_key(ec.SECP256R1())
    world.edit("theirs", tls_csr=request_of(key))
    world.settle()
    made = x509.load_pem_x509_certificate(world.files("identity")["tls.crt"])
    assert made.public_key() == key.public_key()


@pytest.mark.parametrize(
    ("data", "referenced", "reason"),
    [
        pytest.param({"tls.csr": b"?"}, True, "SubjectRefused", id="no request"),
        pytest.param({}, True, "SecretNotFound", id="nothing in it"),
        pytest.param({"tls.csr": b"?"}, False, "SecretNotFound", id="not labelled"),
        pytest.param(
            {"tls.csr": request_of(rsa.generate_private_key(65537, 1024))},
            True,
            "SubjectRefused",
            id="weak key",
        ),
    ],
)
def test_a_provided_key_that_cannot_be_certified(
    data: dict[str, bytes], referenced: bool, reason: str
) -> None:
    world = provided(data, referenced=referenced)
    world.settle()
    assert world.condition() == ("False", reason)
    assert (world.written, world.issued) == ([], [])


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    good = x509.load_pem_x509_csr(request_of(ec.generate_private_key(ec.SECP256R1())))
    spoiled = bytearray(good.public_bytes(Encoding.DER))
    spoiled[-1] ^= 1
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n"
    pem += base64.encodebytes(bytes(spoiled)) + b"-----END CERTIFICATE REQUEST-----\n"
    world = provided({"tls.csr": pem})
    world.settle()
    assert world.condition() == ("False", "SubjectRefused")


# The content hash and rollouts


def test_the_content_hash_moves_with_content_and_with_nothing_else(settled: World) -> None:
    first = settled.status["contentHash"]
    settled.settle()
    assert settled.status["contentHash"] == first
    settled.view = replace(settled.view, services=(SERVICE,))
    settled.settle()
    second = settled.status["contentHash"]
    settled.view = replace(settled.view, services=(replace(SERVICE, bearer_token="token"),))
    settled.settle()
    third = settled.status["contentHash"]
    settled.view = replace(settled.view, services=())
    settled.settle()
    assert len({first, second, third}) == 3
    assert settled.status["contentHash"] == first


def test_workloads_are_rolled_out_once_for_each_content(settled: World) -> None:
    settled.spec["rollouts"] = [{"kind": "Deployment", "name": "web"}, {"kind": "StatefulSet", "name": "db"}]
    settled.settle()
    assert [each.name for each in settled.rolled] == ["web", "db"]
    assert {each["contentHash"] for each in settled.status["rollouts"]} == {settled.status["contentHash"]}
    settled.settle()
    assert len(settled.rolled) == 2
    settled.view = replace(settled.view, services=(SERVICE,))
    settled.settle()
    assert len(settled.rolled) == 4
    settled.spec["rollouts"] = [{"kind": "Deployment", "name": "web"}]
    settled.settle()
    assert len(settled.status["rollouts"]) == 1


def test_a_refused_rollout_is_said_and_asked_for_again(settled: World) -> None:
    settled.spec["rollouts"] = [{"kind": "Deployment", "name": "web"}]
    settled.refuse_rollouts = Reason.ROLLOUT_REFUSED
    outcome = settled.settle()
    assert settled.condition("OutputsWritten") == ("True", "RolloutRefused")
    assert settled.condition() == ("True", "Ready")
    assert "rollouts" not in settled.status
    assert outcome.next_at == NOW + ROLL_AGAIN_SECONDS
    settled.refuse_rollouts = None
    settled.settle()
    assert settled.condition("OutputsWritten") == ("True", "OutputsWritten")
    assert len(settled.status["rollouts"]) == 1


def test_nothing_is_rolled_out_before_everything_is_written(settled: World) -> None:
    settled.spec["rollouts"] = [{"kind": "Deployment", "name": "web"}]
    settled.view = replace(settled.view, services=(SERVICE,))
    first = settled.look()
    assert first.outputs
    assert not first.rollouts
