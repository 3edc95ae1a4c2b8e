"""Who we are: keys and authorities are made once, kept, and never silently become others (R-K6, R-K7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.servers import issue_server_certificate
from bilateral.protocol.keys import SigningKey
from bilateral.reconcile.outcome import GeneratedSecret, Recipe, SecretView
from bilateral.reconcile.trustdomain import TrustDomainOutcome, TrustDomainView, reconcile_trust_domain
from bilateral.resources.trustdomain import TrustDomain

from .conftest import NOW

YEAR = 365 * 86_400
KEY, NEXT, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


def moment(now: int) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def authority(name: str = "Org A CA") -> Authority:
    return generate_authority(
        Subject(common_name=name), algorithm="ECDSAP256", validity_seconds=YEAR, now=moment(NOW)
    )


AUTHORITY = authority()


@dataclass
class World:
    """A TrustDomain and its Secrets; `make` makes what a look wants, as the engine would."""

    spec: dict[str, Any] = field(
        default_factory=lambda: {
            "kernelId": "org-a-kernel",
            "endpoint": {"url": "https://trust.org-a.example:8940"},
        }
    )
    status: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, SecretView] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    kernel_id_taken: bool = False
    pins_exist: bool = False
    clock_regressed: bool = False
    now: int = NOW
    generation: int = 1

    def look(self) -> TrustDomainOutcome:
        domain = TrustDomain.parse(
            {
                "metadata": {
                    "name": "org-a",
                    "namespace": "trust",
                    "uid": "uid",
                    "generation": self.generation,
                },
                "spec": self.spec,
                "status": self.status,
            }
        )
        view = TrustDomainView(
            secrets=self.secrets,
            foreign_secrets=frozenset(self.foreign),
            kernel_id_taken=self.kernel_id_taken,
            pins_exist=self.pins_exist,
            clock_regressed=self.clock_regressed,
        )
        outcome = reconcile_trust_domain(domain, view, self.now)
        self.status = outcome.status.to_wire()
        return outcome

    def put(
        self, name: str, data: dict[str, bytes], *, owner: str | None = "uid", referenced: bool = False
    ) -> None:
        self.secrets[name] = SecretView(
            name=name,
            uid="s",
            resource_version="1",
            owner_uid=owner,
            referenced=referenced,
            type="",
            data=data,
        )

    def put_key(self, name: str, key: SigningKey, **how: Any) -> None:
        self.put(name, {"private.pem": key.pkcs8_pem()}, **how)

    def put_authority(self, name: str, which: Authority, **how: Any) -> None:
        self.put(name, {"tls.crt": which.certificate_pem, "tls.key": which.key_pem}, **how)

    def condition(self, kind: str = "Ready") -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]


@pytest.fixture
def ready() -> World:
    world = World()
    world.put_key("org-a-signing-key", KEY)
    world.put("org-a-seal", {"seal.key": bytes(32)})
    world.put_authority("org-a-ca", AUTHORITY)
    issued = issue_server_certificate(
        AUTHORITY, ["trust.org-a.example"], validity_seconds=30 * 86_400, now=moment(NOW)
    )
    world.put("org-a-endpoint-tls", {"tls.crt": issued.cert_pem, "tls.key": issued.key_pem})
    world.look()
    assert world.condition() == ("True", "Ready")
    return world


def test_what_is_missing_is_made_once() -> None:
    world = World()
    wanted = world.look().generate
    assert GeneratedSecret("org-a-signing-key", Recipe.SIGNING_KEY) in wanted
    assert GeneratedSecret("org-a-seal", Recipe.SEAL) in wanted
    assert GeneratedSecret("org-a-ca", Recipe.AUTHORITY) in wanted
    assert all(each.replaces is None for each in wanted), "nothing is overwritten"
    assert world.condition() == ("Unknown", "KeyPending")


def test_a_ready_domain_makes_nothing_and_shows_its_public_half(ready: World) -> None:
    outcome = ready.look()
    assert outcome.generate == ()
    assert ready.status["publicKey"] == KEY.public_key.canonical
    assert ready.status["did"] == KEY.public_key.did
    assert ready.status["certificateAuthority"]["fingerprint"] == AUTHORITY.fingerprint
    assert ready.status["certificateAuthority"]["certificate"] == AUTHORITY.certificate_pem.decode()
    assert outcome.endpoint_certificate is not None


OUTPUTS = ("signing-key", "seal", "ca", "endpoint-tls", "peers", "issued", "authority")


@pytest.mark.parametrize("name", [f"org-a-{output}" for output in OUTPUTS])
def test_a_name_that_is_taken_is_a_conflict(ready: World, name: str) -> None:
    ready.secrets.pop(name, None)
    ready.foreign.add(name)
    ready.status = {}
    outcome = ready.look()
    assert ready.condition() == ("False", "SecretConflict")
    (said,) = [each.message for each in outcome.status.conditions if each.type == "Ready"]
    assert said.endswith(f" It concerns {name}.")


def test_a_secret_of_another_owner_is_not_ours(ready: World) -> None:
    ready.put_key("org-a-signing-key", OTHER, owner="another-uid")
    ready.status = {}
    outcome = ready.look()
    assert ready.condition("KeyReady") == ("False", "SecretConflict")
    assert outcome.signing_key is None


def test_a_key_of_ours_that_its_owner_labelled_is_used() -> None:
    world = World()
    world.put_key("org-a-signing-key", OTHER, owner=None, referenced=True)
    world.look()
    assert world.status["publicKey"] == OTHER.public_key.canonical


# The key, while partners are pinned


def test_another_key_is_drift_and_signs_nothing(ready: World) -> None:
    ready.pins_exist = True
    ready.put_key("org-a-signing-key", OTHER)
    outcome = ready.look()
    assert ready.condition("KeyReady") == ("False", "KeyDrift")
    assert outcome.signing_key is None
    assert ready.status["publicKey"] == KEY.public_key.canonical, "the published identity stays"


def test_a_missing_key_is_drift_and_no_new_one_is_made(ready: World) -> None:
    ready.pins_exist = True
    del ready.secrets["org-a-signing-key"]
    outcome = ready.look()
    assert ready.condition("KeyReady") == ("False", "KeyDrift")
    assert outcome.generate == ()
    ready.put_key("org-a-signing-key", KEY)
    assert ready.look().signing_key is not None, "restored, it speaks again"


def test_before_anybody_is_pinned_a_lost_key_is_made_again(ready: World) -> None:
    del ready.secrets["org-a-signing-key"]
    outcome = ready.look()
    assert outcome.generate == (GeneratedSecret("org-a-signing-key", Recipe.SIGNING_KEY),)


def test_the_announced_next_key_takes_over(ready: World) -> None:
    ready.pins_exist = True
    ready.spec["signingKey"] = {"nextSecretName": "org-a-signing-key-2"}
    ready.generation += 1
    outcome = ready.look()
    assert outcome.generate == (GeneratedSecret("org-a-signing-key-2", Recipe.SIGNING_KEY),)
    ready.put_key("org-a-signing-key-2", NEXT)
    ready.look()
    assert ready.status["nextPublicKey"] == NEXT.public_key.canonical
    assert ready.status["publicKey"] == KEY.public_key.canonical
    ready.spec["signingKey"] = {"secretName": "org-a-signing-key-2"}
    ready.generation += 1
    outcome = ready.look()
    assert ready.condition() == ("True", "Ready")
    assert ready.status["publicKey"] == NEXT.public_key.canonical
    assert outcome.signing_key is not None
    assert "nextPublicKey" not in ready.status


def test_a_next_key_that_was_not_announced_is_drift(ready: World) -> None:
    ready.pins_exist = True
    ready.spec["signingKey"] = {"secretName": "org-a-signing-key-9"}
    ready.put_key("org-a-signing-key-9", OTHER)
    ready.generation += 1
    ready.look()
    assert ready.condition("KeyReady") == ("False", "KeyDrift")


@pytest.mark.parametrize(
    "content", [b"", b"not a key", OTHER.public_key.spki_pem.encode()], ids=["none", "text", "public"]
)
def test_a_secret_without_a_usable_key_says_so(ready: World, content: bytes) -> None:
    ready.put("org-a-signing-key", {"private.pem": content})
    ready.look()
    assert ready.condition("KeyReady") == ("False", "KeyInvalid")


# The authority


def test_a_generated_authority_that_is_replaced_or_gone_is_drift(ready: World) -> None:
    ready.put_authority("org-a-ca", authority("Somebody"))
    ready.look()
    assert ready.condition("AuthorityReady") == ("False", "AuthorityDrift")
    del ready.secrets["org-a-ca"]
    outcome = ready.look()
    assert ready.condition("AuthorityReady") == ("False", "AuthorityDrift")
    assert not any(each.recipe is Recipe.AUTHORITY for each in outcome.generate)


def test_another_secret_name_is_a_persons_decision(ready: World) -> None:
    ready.spec["certificateAuthority"] = {"secretName": "org-a-ca-2"}
    ready.generation += 1
    outcome = ready.look()
    assert GeneratedSecret("org-a-ca-2", Recipe.AUTHORITY) in outcome.generate


def test_a_provided_authority_may_change_and_is_never_made(ready: World) -> None:
    ready.spec["certificateAuthority"] = {"source": "Provided", "secretName": "mine"}
    outcome = ready.look()
    assert ready.condition("AuthorityReady") == ("False", "SecretNotFound")
    assert not any(each.recipe is Recipe.AUTHORITY for each in outcome.generate)
    for which in (authority("One"), authority("Two")):
        ready.put_authority("mine", which, owner=None, referenced=True)
        ready.look()
        assert ready.condition("AuthorityReady") == ("True", "Ready")


def test_an_authority_past_its_end_is_said_to_be(ready: World) -> None:
    ready.now = NOW + YEAR + 10
    ready.look()
    assert ready.condition("AuthorityReady") == ("False", "AuthorityExpired")


# The endpoint's certificate


def test_the_endpoints_certificate_is_renewed_at_two_thirds(ready: World) -> None:
    assert ready.look().generate == ()
    ready.now = NOW + 21 * 86_400
    assert ready.look().generate == (
        GeneratedSecret("org-a-endpoint-tls", Recipe.ENDPOINT_CERTIFICATE, replaces="1"),
    )
    assert ready.condition() == ("True", "Ready"), "the one that is there is still good"


def test_a_certificate_for_another_host_is_replaced(ready: World) -> None:
    ready.spec["endpoint"] = {"url": "https://new.org-a.example"}
    outcome = ready.look()
    assert outcome.endpoint_certificate is None
    assert outcome.generate == (
        GeneratedSecret("org-a-endpoint-tls", Recipe.ENDPOINT_CERTIFICATE, replaces="1"),
    )


def test_a_provided_certificate_must_fit(ready: World) -> None:
    ready.spec["endpoint"]["certificate"] = {"source": "Provided", "secretName": "web"}
    ready.look()
    assert ready.condition() == ("False", "SecretNotFound")
    issued = issue_server_certificate(AUTHORITY, ["other.example"], validity_seconds=86_400, now=moment(NOW))
    ready.put("web", {"tls.crt": issued.cert_pem, "tls.key": issued.key_pem}, owner=None, referenced=True)
    ready.look()
    assert ready.condition() == ("False", "CertificateInvalid")


# Others


def test_the_newcomer_with_a_taken_kernel_id_does_not_speak(ready: World) -> None:
    ready.kernel_id_taken = True
    outcome = ready.look()
    assert ready.condition() == ("False", "KernelIdConflict")
    assert ready.condition("Unique") == ("False", "KernelIdConflict")
    assert outcome.signing_key is None


def test_nothing_is_signed_while_the_clock_is_behind(ready: World) -> None:
    ready.clock_regressed = True
    outcome = ready.look()
    assert ready.condition() == ("False", "ClockRegressed")
    assert outcome.signing_key is None


def test_every_reason_is_one_that_the_kind_documents(ready: World) -> None:
    allowed = {each.name: {str(reason) for reason in each.reasons} for each in TrustDomain.CONDITIONS}
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"kernel_id_taken": True},
        {"clock_regressed": True},
        {"secrets": {}},
        {"pins_exist": True},
    )
    for change in changes:
        for name, value in change.items():
            setattr(ready, name, value)
        ready.look()
        for condition in ready.status["conditions"]:
            assert condition["reason"] in allowed[condition["type"]], condition
