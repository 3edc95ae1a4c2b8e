"""An identity's Secrets: restored, bounded, never in somebody else's; their content hash, and rollouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bilateral.pki.directory import NOBODY_PEM
from bilateral.pki.identities import HeldIdentity, generate_identity_key, issue_identity
from bilateral.pki.names import Subject
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import WebPKI
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity import (
    LOOK_AGAIN_SECONDS,
    ROLL_AGAIN_SECONDS,
    Done,
    finish_identity,
)
from bilateral.reconcile.identity_outputs import MAX_SECRET_BYTES
from bilateral.reconcile.outcome import WrittenSecret
from bilateral.reconcile.services import OWN

from .conftest import NOW
from .identity_world import (
    DAY,
    FOUR,
    SERVICE,
    THEIRS,
    YEAR,
    World,
    authority,
    moment,
    partner,
    settled_world,
)


@pytest.fixture
def settled() -> World:
    return settled_world()


# Foreign, spoiled and oversized Secrets


@pytest.mark.parametrize("name", FOUR)
def test_a_foreign_secret_is_left_and_named(name: str) -> None:
    world = World()
    world.view = replace(world.view, foreign_secrets=frozenset({name}))
    next_at = world.settle()
    assert name not in world.written
    assert world.condition() == ("False", "SecretConflict")
    assert world.message().endswith(f" It concerns {name}.")
    if name != FOUR[0]:
        assert set(world.written) == {*FOUR} - {name}, "the others are kept up"
    assert next_at == NOW + LOOK_AGAIN_SECONDS


@pytest.mark.parametrize("owner", ["another-uid", None])
def test_a_secret_of_another_owner_is_not_ours(owner: str | None) -> None:
    world = World()
    world.put(WrittenSecret(FOUR[0], {"tls.crt": b"", "tls.key": b""}, "kubernetes.io/tls"), owner=owner)
    world.written.clear()
    world.settle()
    assert (world.written, world.issued) == ([], [])
    assert world.condition("IdentityIssued") == ("False", "SecretConflict")


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize(
    "how", [{"referenced": True}, {"type": "example.org/other"}], ids=["labelled", "type"]
)
def test_a_secret_that_we_would_not_have_made_so_is_not_ours(
    settled: World, name: str, how: dict[str, Any]
) -> None:
    settled.secrets[name] = replace(settled.secrets[name], data={"x": b""}, **how)
    settled.settle()
    assert name not in settled.written
    assert settled.condition() == ("False", "SecretConflict")


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
    next_at = settled.settle()
    assert settled.condition("OutputsWritten") == ("False", "OutputTooLarge")
    assert settled.condition() == ("False", "OutputTooLarge")
    assert settled.files("known-servers") == before
    assert settled.written == []
    assert next_at is not None
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


@pytest.mark.parametrize("bundle", [None, (THEIRS.certificate,)], ids=["the system's roots", "a bundle"])
def test_a_public_service_is_verified_by_its_bundle_or_by_the_systems_roots(
    settled: World, bundle: tuple[x509.Certificate, ...] | None
) -> None:
    settled.spec["perServiceTLS"] = "Enabled"
    public = replace(SERVICE, verifier=WebPKI(bundle), presents=(OWN,), peer=None, deadline_of=None)
    settled.view = replace(settled.view, services=(public,))
    settled.settle()
    assert settled.files("to-org2-api").get("ca.crt") == (THEIRS.certificate_pem if bundle else None)


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
    next_at = settled.settle()
    assert settled.condition("OutputsWritten") == ("True", "RolloutRefused")
    assert settled.condition() == ("True", "Ready")
    assert "rollouts" not in settled.status
    assert next_at == NOW + ROLL_AGAIN_SECONDS
    settled.refuse_rollouts = None
    settled.settle()
    assert settled.condition("OutputsWritten") == ("True", "OutputsWritten")
    assert len(settled.status["rollouts"]) == 1


def test_a_certificate_that_cannot_be_recorded_holds_nothing_else_up(settled: World) -> None:
    settled.record = False
    settled.now = int(settled.held.identity.renewal_due.timestamp())
    settled.view = replace(settled.view, clients=(partner(withheld=Reason.PEER_STALE, authorities=()),))
    next_at = settled.settle()
    assert settled.written == ["client1-known-clients"], "what is withdrawn is withdrawn"
    assert settled.condition("IdentityIssued") == ("True", "RecordPending")
    assert next_at == settled.now + LOOK_AGAIN_SECONDS


def test_a_first_certificate_that_cannot_be_recorded_is_not_there() -> None:
    world = World(record=False)
    world.settle()
    assert world.written == []
    assert world.condition() == ("Unknown", "RecordPending")


def test_outputs_that_could_not_be_written_are_said_to_be_pending(settled: World) -> None:
    settled.view = replace(settled.view, services=(SERVICE,))
    outcome = settled.look()
    status, _ = finish_identity(settled.identity, outcome, Done(written=False), settled.now)
    conditions = {each.type: each.reason for each in status.conditions}
    assert conditions["OutputsWritten"] == conditions["Ready"] == "OutputsPending"
