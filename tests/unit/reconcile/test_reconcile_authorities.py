"""Our own authorities: one statement a day, an overlap when one replaces another, nothing un-revoked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.revocations import parse_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.protocol.authority_statement import MAX_AUTHORITIES, AuthorityStatement, open_statement
from bilateral.protocol.keys import SigningKey
from bilateral.reconcile.authorities import (
    LIFETIME_SECONDS,
    AuthoritiesOutcome,
    AuthoritiesView,
    listed_serials,
    read_generations,
    reconcile_authorities,
)
from bilateral.reconcile.issued import IssuedEntry, Owner
from bilateral.reconcile.outcome import SecretView
from bilateral.resources.trustdomain import TrustDomain

NOW = 1_795_000_000
DAY = 86_400
YEAR = 365 * DAY
KEY = SigningKey.from_seed(b"\x07" * 32)
OTHER_KEY = SigningKey.from_seed(b"\x08" * 32)
DOMAIN = TrustDomain.parse(
    {
        "metadata": {"name": "org-a", "namespace": "trust", "uid": "uid-org-a"},
        "spec": {"kernelId": "org-a-kernel"},
    }
)


def make(name: str = "Org A CA", *, years: int = 2, algorithm: Algorithm = Algorithm.ECDSA_P256) -> Authority:
    return generate_authority(
        Subject(organization="Org A", common_name=name),
        algorithm=algorithm,
        validity_seconds=years * YEAR,
        now=datetime.fromtimestamp(NOW, UTC),
    )


OLD, NEW = make(), make(algorithm=Algorithm.ED25519)


def secret(name: str, authority: Authority, **changes: Any) -> SecretView:
    view = SecretView(
        name=name,
        uid=f"uid-{name}",
        resource_version="1",
        owner_uid="uid-org-a",
        referenced=False,
        type="kubernetes.io/tls",
        data={"tls.crt": authority.certificate_pem, "tls.key": authority.key_pem},
    )
    return replace(view, **changes)


def entry(serial: int, authority: Authority = OLD, **changes: Any) -> IssuedEntry:
    owner = Owner("Introduction", f"uid-{serial}", f"intro-{serial}")
    made = IssuedEntry(serial, f"CN={serial}", NOW + 30 * DAY, build_slug(authority.certificate), owner)
    return replace(made, **changes)


def look(
    authority: Authority | None = OLD,
    held: Mapping[str, bytes] | None = None,
    entries: Sequence[IssuedEntry] = (),
    *,
    now: int = NOW,
    key: SigningKey | None = KEY,
    domain: TrustDomain = DOMAIN,
    secrets: Sequence[SecretView] = (),
    clock_regressed: bool = False,
) -> AuthoritiesOutcome:
    return reconcile_authorities(
        AuthoritiesView(
            trust_domain=domain,
            authority=authority,
            signing_key=key,
            clock_regressed=clock_regressed,
            held=held or {},
            secrets={each.name: each for each in secrets},
            entries=entries,
        ),
        now,
    )


def data(outcome: AuthoritiesOutcome) -> dict[str, bytes]:
    assert outcome.output is not None
    return dict(outcome.output.data)


def statement(outcome: AuthoritiesOutcome, key: SigningKey = KEY) -> AuthorityStatement:
    document = data(outcome)["statement.json"]
    return open_statement(document, signer=key.public_key, kernel_id="org-a-kernel")


def der(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.DER)


NEXT_DOMAIN = TrustDomain.parse(
    {
        "metadata": {"name": "org-a", "namespace": "trust", "uid": "uid-org-a"},
        "spec": {"kernelId": "org-a-kernel", "certificateAuthority": {"secretName": "org-a-ca-2"}},
    }
)


def rotated(held: Mapping[str, bytes], entries: Sequence[IssuedEntry] = (), **how: Any) -> AuthoritiesOutcome:
    return look(NEW, held, entries, domain=NEXT_DOMAIN, secrets=[secret("org-a-ca", OLD)], **how)


def test_a_new_authority_is_told_with_an_empty_list() -> None:
    outcome = look()
    assert outcome.output is not None
    assert outcome.output.name == "org-a-authority"
    assert set(data(outcome)) == {"statement.json", "self.crl", "generations.json"}
    told = statement(outcome)
    assert told.certificates == (der(OLD),)
    assert (told.sequence, told.issued_at, told.expires_at) == (NOW, NOW, NOW + LIFETIME_SECONDS)
    assert told.previous_lists == ()
    assert parse_revocation_list(told.revocation_list, OLD.certificate).entries == {}
    assert parse_revocation_list(data(outcome)["self.crl"], OLD.certificate).entries == {}
    (generation,) = json.loads(data(outcome)["generations.json"])
    assert generation == {
        "secretName": "org-a-ca",
        "fingerprint": OLD.fingerprint,
        "certificate": OLD.certificate_pem.decode(),
    }


def test_nothing_is_said_before_there_is_an_authority() -> None:
    assert look(None).output is None
    assert look(None, {"generations.json": b"nonsense"}).output is None


def test_a_look_that_changes_nothing_leaves_every_byte() -> None:
    first = look(entries=[entry(1)])
    for later in (0, 1, 3600, DAY - 300):
        assert data(look(held=data(first), entries=[entry(1)], now=NOW + later)) == data(first)


def test_all_is_signed_again_at_half_its_life() -> None:
    first = look()
    assert first.next_at is not None
    assert NOW + DAY - 300 < first.next_at <= NOW + DAY
    second = look(held=data(first), now=first.next_at)
    assert statement(second).sequence == first.next_at
    assert data(second)["self.crl"] != data(first)["self.crl"]
    assert data(look(held=data(second), now=first.next_at + DAY // 2)) == data(second)


def test_what_was_withdrawn_is_told_at_once_and_the_sequence_grows() -> None:
    first = look(entries=[entry(1), entry(2)])
    withdrawn = [entry(1), entry(2, withdrawn_at=NOW)]
    second = look(held=data(first), entries=withdrawn)
    assert listed_serials(second.generations) == {build_slug(OLD.certificate): {2}}
    assert statement(second).sequence == NOW + 1
    assert parse_revocation_list(statement(second).revocation_list, OLD.certificate).entries.keys() == {2}
    assert data(look(held=data(second), entries=withdrawn, now=NOW + 10)) == data(second)


def test_a_withdrawal_outlives_the_loss_of_the_secret_and_of_the_record() -> None:
    withdrawn = [entry(2, withdrawn_at=NOW)]
    second = look(entries=withdrawn)
    assert listed_serials(look(entries=withdrawn, now=NOW + 5).generations)[build_slug(OLD.certificate)] == {
        2
    }
    assert listed_serials(look(held=data(second), now=NOW + 5).generations)[build_slug(OLD.certificate)] == {
        2
    }


def test_two_generations_are_told_side_by_side_until_nothing_chains_to_the_old_one() -> None:
    entries = [entry(1), entry(2), entry(3, NEW)]
    first = look(entries=entries)
    both = rotated(data(first), entries, now=NOW + 60)
    slug = build_slug(OLD.certificate)
    assert statement(both).certificates == (der(NEW), der(OLD))
    parse_revocation_list(statement(both).revocation_list, NEW.certificate)
    (previous,) = statement(both).previous_lists
    parse_revocation_list(previous, OLD.certificate)
    assert data(both)[f"{slug}.crl"] == data(first)["self.crl"]
    assert set(data(both)) == {"statement.json", "self.crl", f"{slug}.crl", "generations.json"}
    assert data(rotated(data(both), entries, now=NOW + 120)) == data(both)
    # The old one still withdraws, under its own key.
    entries[0] = replace(entries[0], withdrawn_at=NOW + 200)
    after = rotated(data(both), entries, now=NOW + 200)
    assert parse_revocation_list(data(after)[f"{slug}.crl"], OLD.certificate).entries.keys() == {1}
    assert data(after)["self.crl"] == data(both)["self.crl"]
    # Once the last is withdrawn, or over, only the new one is left.
    entries[1] = replace(entries[1], withdrawn_at=NOW + 300)
    alone = rotated(data(after), entries, now=NOW + 300)
    assert statement(alone).certificates == (der(NEW),)
    assert set(data(alone)) == {"statement.json", "self.crl", "generations.json"}


def test_the_old_generation_ends_with_what_it_signed() -> None:
    entries = [entry(1, not_after=NOW + 3600)]
    both = rotated(data(look(entries=entries)), entries)
    assert both.next_at == NOW + 3601
    assert statement(rotated(data(both), entries, now=NOW + 3600)).certificates == (der(NEW), der(OLD))
    assert statement(rotated(data(both), entries, now=NOW + 3601)).certificates == (der(NEW),)


def test_a_rotation_with_nothing_out_leaves_nothing_behind() -> None:
    assert statement(rotated(data(look()))).certificates == (der(NEW),)


def test_an_old_generation_without_its_key_is_told_while_its_last_list_lasts() -> None:
    entries = [entry(1)]
    held = data(look(entries=entries))
    gone: dict[str, Any] = {"domain": NEXT_DOMAIN}
    both = look(NEW, held, entries, now=NOW + 60, **gone)
    assert statement(both).certificates == (der(NEW), der(OLD))
    assert both.listless == ()
    last = NOW + LIFETIME_SECONDS
    alone = look(NEW, data(both), entries, now=last, **gone)
    assert statement(alone).certificates == (der(NEW),)
    assert alone.listless == (build_slug(OLD.certificate),)
    # It is remembered: with its key back it is told again.
    back = rotated(data(alone), entries, now=last + 60)
    assert statement(back).certificates == (der(NEW), der(OLD))


def test_an_old_generation_is_found_again_by_its_secret() -> None:
    entries = [entry(1), entry(2, withdrawn_at=NOW)]
    both = rotated({}, entries)
    assert statement(both).certificates == (der(NEW), der(OLD))
    (previous,) = statement(both).previous_lists
    assert parse_revocation_list(previous, OLD.certificate).entries.keys() == {2}
    assert statement(rotated({}, [entry(2, withdrawn_at=NOW)])).certificates == (der(NEW),)
    strange = [secret("org-a-ca", OLD, owner_uid="another")]
    alone = look(NEW, {}, entries, domain=NEXT_DOMAIN, secrets=strange)
    assert statement(alone).certificates == (der(NEW),)


@pytest.mark.parametrize("changes", [{"owner_uid": None}, {"data": {}}], ids=["not ours", "empty"])
def test_a_secret_that_is_not_the_old_authority_signs_nothing(changes: dict[str, Any]) -> None:
    entries = [entry(1)]
    held = data(look(entries=entries))
    entries[0] = replace(entries[0], withdrawn_at=None)
    strange = [secret("org-a-ca", OLD, **changes)]
    outcome = look(NEW, held, entries, domain=NEXT_DOMAIN, secrets=strange, now=NOW + LIFETIME_SECONDS)
    assert outcome.listless == (build_slug(OLD.certificate),)


def test_another_authority_in_the_old_ones_secret_is_not_taken_for_it() -> None:
    entries = [entry(1)]
    held = data(look(entries=entries))
    strange = [secret("org-a-ca", make("Another CA"))]
    outcome = look(NEW, held, entries, domain=NEXT_DOMAIN, secrets=strange, now=NOW + 60)
    assert data(outcome)[f"{build_slug(OLD.certificate)}.crl"] == held["self.crl"]
    names = {"generations.json": held["generations.json"]}
    listless = look(NEW, names, entries, domain=NEXT_DOMAIN, secrets=strange, now=NOW + 60)
    assert listless.listless == (build_slug(OLD.certificate),)
    assert f"{build_slug(OLD.certificate)}.crl" not in data(listless)


def test_a_certificate_renewed_with_the_same_key_shares_the_list() -> None:
    old = OLD.certificate
    builder = (
        x509.CertificateBuilder(extensions=list(old.extensions))
        .subject_name(old.subject)
        .issuer_name(old.subject)
        .public_key(old.public_key())
        .serial_number(77)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(datetime.fromtimestamp(NOW + 5 * YEAR, UTC))
    )
    renewed = Authority(builder.sign(OLD.key, hashes.SHA256()), OLD.key)
    entries = [entry(1), entry(2, withdrawn_at=NOW)]
    outcome = look(renewed, data(look(entries=entries)), entries, now=NOW + 60)
    told = statement(outcome)
    assert told.certificates == (der(renewed), der(OLD))
    assert told.previous_lists == ()
    assert parse_revocation_list(told.revocation_list, old).entries.keys() == {2}
    assert set(data(outcome)) == {"statement.json", "self.crl", "generations.json"}
    assert data(look(renewed, data(outcome), entries, now=NOW + 120)) == data(outcome)


def test_another_signing_key_signs_anew_and_the_sequence_still_grows() -> None:
    first = look()
    second = look(held=data(first), key=OTHER_KEY, now=NOW + 10)
    assert statement(second, OTHER_KEY).sequence == NOW + 10
    third = look(held=data(second), key=OTHER_KEY, now=NOW - 100)
    assert data(third) == data(second)


def test_the_sequence_grows_though_the_clock_went_back() -> None:
    first = look(now=NOW + 100)
    second = look(held=data(first), entries=[entry(1, withdrawn_at=NOW)], now=NOW)
    assert statement(second).sequence == NOW + 101


def test_a_statement_from_the_future_is_signed_again() -> None:
    first = look(now=NOW + 10 * DAY)
    second = look(held=data(first), now=NOW)
    assert statement(second).issued_at == NOW
    assert statement(second).sequence == NOW + 10 * DAY + 1
    assert data(look(held=data(second), now=NOW + 10)) == data(second)


def test_without_a_key_the_lists_grow_and_the_statement_stays() -> None:
    first = look()
    second = look(held=data(first), entries=[entry(1, withdrawn_at=NOW)], key=None, now=NOW + 5)
    assert data(second)["statement.json"] == data(first)["statement.json"]
    assert listed_serials(second.generations) == {build_slug(OLD.certificate): {1}}
    assert "statement.json" not in data(look(key=None))


def test_while_the_clock_is_behind_nothing_is_signed() -> None:
    first = look()
    later = look(None, data(first), [entry(1, withdrawn_at=NOW)], key=None, clock_regressed=True, now=NOW + 5)
    assert data(later) == data(first)


def test_an_authority_that_may_not_sign_now_stays_what_it_was() -> None:
    first = look()
    later = look(None, data(first), secrets=[secret("org-a-ca", OLD)], now=NOW + 5)
    assert data(later) == data(first)


def test_what_does_not_fit_is_not_told_and_the_own_list_still_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    first = look()
    monkeypatch.setattr("bilateral.protocol.authority_statement.MAX_STATEMENT_BYTES", 1000)
    second = look(held=data(first), entries=[entry(1, withdrawn_at=NOW)], now=NOW + 5)
    assert second.too_large
    assert "statement.json" not in data(second)
    assert listed_serials(second.generations) == {build_slug(OLD.certificate): {1}}


@pytest.mark.parametrize(
    "listed",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"secretName": 1, "certificate": ""}]',
        b'[{"secretName": "a", "certificate": "x"}]',
    ],
)
def test_generations_that_cannot_be_read_are_none(listed: bytes) -> None:
    assert read_generations({"generations.json": listed}) == ()
    assert statement(look(held={"generations.json": listed})).certificates == (der(OLD),)


def test_a_list_of_somebody_else_is_not_taken() -> None:
    first = look()
    strange = {**data(first), "self.crl": data(look(NEW))["self.crl"]}
    (generation,) = read_generations(strange)
    assert generation.revocations is None
    assert parse_revocation_list(data(look(held=strange))["self.crl"], OLD.certificate).number == NOW


def test_no_more_generations_than_a_statement_may_hold() -> None:
    made = [make(f"Org A CA {number}") for number in range(10)]
    entries = [entry(number, authority) for number, authority in enumerate(made, 1)]
    held: dict[str, bytes] = {}
    secrets: list[SecretView] = []
    for number, authority in enumerate(made):
        name = f"ca-{number}"
        domain = TrustDomain.parse(
            {
                "metadata": {"name": "org-a", "namespace": "trust", "uid": "uid-org-a"},
                "spec": {"kernelId": "org-a-kernel", "certificateAuthority": {"secretName": name}},
            }
        )
        secrets.append(secret(name, authority))
        held = data(look(authority, held, entries, domain=domain, secrets=secrets))
    assert len(json.loads(held["generations.json"])) == MAX_AUTHORITIES
