"""Revocation lists: nothing is un-revoked, numbers grow, and only the authority's own list counts."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.errors import AuthorityExpired, InvalidRevocationList
from bilateral.pki.identities import HeldIdentity, Identity, generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.revocations import (
    Revocation,
    RevocationList,
    is_fresh,
    is_revoked,
    parse_revocation_list,
    renew_revocation_list,
)
from bilateral.protocol.reasons import Reason
from unit.pki.material import (
    ED25519_AUTHORITY,
    NOW,
    P256_AUTHORITY,
    SUBJECT,
    YEAR,
    certificate,
    machine_now,
    request,
    shake_hands,
)

START = NOW.replace(microsecond=0)
DAY = 86_400
WEEK = 7 * DAY
FIRST = Revocation(serial=7, revoked_at=NOW - timedelta(hours=2))
BOTH = pytest.mark.parametrize(
    "authority",
    [pytest.param(P256_AUTHORITY, id="ECDSAP256"), pytest.param(ED25519_AUTHORITY, id="Ed25519")],
)


def renew(
    *revocations: Revocation,
    previous: RevocationList | None = None,
    now: datetime = NOW,
    authority: Authority = P256_AUTHORITY,
) -> RevocationList:
    return renew_revocation_list(authority, revocations, previous, lifetime_seconds=WEEK, now=now)


@BOTH
def test_a_list_says_what_rfc_5280_asks_for(authority: Authority) -> None:
    made = renew(FIRST, authority=authority)
    crl = made.crl
    assert crl.issuer == authority.certificate.subject
    assert crl.last_update_utc == made.this_update == START - timedelta(minutes=5)
    assert crl.next_update_utc == made.next_update == START + timedelta(seconds=WEEK)
    assert [(extension.oid._name, extension.critical) for extension in crl.extensions] == [
        ("authorityKeyIdentifier", False),
        ("cRLNumber", False),
    ]
    assert made.number == int(START.timestamp())
    assert {entry.serial_number: entry.revocation_date_utc for entry in crl} == {
        7: START - timedelta(hours=2)
    }


@BOTH
@pytest.mark.parametrize("form", ["pem", "der"])
def test_what_was_signed_is_read_again(authority: Authority, form: str) -> None:
    made = renew(FIRST, authority=authority)
    assert parse_revocation_list(getattr(made, form), authority.certificate) == made


def test_an_empty_list_is_a_list() -> None:
    made = renew()
    assert parse_revocation_list(made.pem, P256_AUTHORITY.certificate).entries == {}


def test_nothing_is_signed_while_nothing_changed_and_the_list_is_young() -> None:
    made = renew(FIRST)
    assert renew(FIRST, previous=made) is made
    assert renew(previous=made) is made
    assert renew(FIRST, previous=made, now=made.renewal_due - timedelta(seconds=1)) is made


def test_it_is_signed_again_at_half_its_life() -> None:
    made = renew(FIRST)
    again = renew(FIRST, previous=made, now=made.renewal_due)
    assert again is not made
    assert again.entries == made.entries
    assert again.number > made.number
    assert again.this_update > made.this_update


def test_a_new_entry_is_signed_at_once_and_the_old_ones_stay() -> None:
    made = renew(FIRST)
    again = renew(Revocation(8, NOW), previous=made)
    assert set(again.entries) == {7, 8}
    assert again.number == made.number + 1


def test_the_number_grows_when_the_clock_stands_or_goes_back() -> None:
    made = renew(FIRST)
    again = renew(Revocation(8, NOW), previous=made, now=NOW - timedelta(minutes=2))
    assert again.number == made.number + 1


def test_a_list_that_was_lost_does_not_begin_again_at_one() -> None:
    made = renew(FIRST)
    assert renew(FIRST, now=NOW + timedelta(seconds=1)).number > made.number


def test_of_two_dates_the_first_counts() -> None:
    made = renew(FIRST, Revocation(7, NOW))
    assert made.entries[7] == START - timedelta(hours=2)
    assert renew(Revocation(7, NOW), previous=made) is made


def test_an_entry_leaves_after_a_list_from_beyond_its_end() -> None:
    ended = Revocation(7, NOW, not_after=NOW + timedelta(days=1))
    made = renew(ended)
    beyond = renew(ended, Revocation(8, NOW), previous=made, now=NOW + timedelta(days=2))
    assert set(beyond.entries) == {7, 8}
    last = renew(ended, Revocation(8, NOW), previous=beyond, now=NOW + timedelta(days=2, seconds=1))
    assert set(last.entries) == {8}
    assert renew(ended, Revocation(8, NOW), previous=last, now=NOW + timedelta(days=2, seconds=2)) is last


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.integers(1, 9)), max_size=6))
def test_no_order_of_lists_un_revokes(steps: list[set[int]]) -> None:
    previous, seen, number = None, set[int](), 0
    for hour, serials in enumerate(steps):
        previous = renew(
            *(Revocation(serial, NOW) for serial in serials),
            previous=previous,
            now=NOW + timedelta(hours=30 * hour),
        )
        seen |= serials
        assert set(previous.entries) == seen
        assert previous.number >= number
        number = previous.number


def test_an_expired_authority_signs_no_list() -> None:
    with pytest.raises(AuthorityExpired):
        renew(FIRST, now=NOW + timedelta(seconds=YEAR + 1))


def test_a_lifetime_that_is_not_positive_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="positive"):
        renew_revocation_list(P256_AUTHORITY, (), None, lifetime_seconds=0, now=NOW)


def next_generation() -> Authority:
    return generate_authority(SUBJECT, algorithm="ECDSAP256", validity_seconds=YEAR, now=NOW)


def test_another_generations_list_is_not_continued() -> None:
    with pytest.raises(InvalidRevocationList) as caught:
        renew(FIRST, previous=renew(authority=next_generation()))
    assert caught.value.cause == "foreign"


def unusual(*, number: bool = True, critical: x509.ExtensionType | None = None) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(P256_AUTHORITY.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
    )
    if number:
        builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    if critical is not None:
        builder = builder.add_extension(critical, critical=True)
    return builder.sign(P256_AUTHORITY.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        pytest.param(b"", "malformed", id="nothing"),
        pytest.param(b"-----BEGIN X509 CRL-----", "malformed", id="a truncated PEM"),
        pytest.param(certificate()[0], "malformed", id="a certificate"),
        pytest.param(renew().der[:-9], "malformed", id="a truncated list"),
        pytest.param(b"x" * 800_000, "too-large", id="too much"),
        pytest.param(
            renew(authority=ED25519_AUTHORITY).pem, "foreign", id="another authority with this name"
        ),
        pytest.param(renew(authority=next_generation()).pem, "foreign", id="the next generation's"),
        pytest.param(unusual(number=False), "no-number", id="no number"),
        pytest.param(unusual(critical=x509.DeltaCRLIndicator(1)), "unknown-critical-extension", id="a delta"),
    ],
)
def test_what_does_not_count_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(InvalidRevocationList) as caught:
        parse_revocation_list(data, P256_AUTHORITY.certificate)
    assert (caught.value.cause, caught.value.reason) == (cause, Reason.REVOCATION_LIST_INVALID)


def test_one_flipped_bit_is_refused() -> None:
    der = bytearray(renew(FIRST).der)
    der[len(der) // 2] ^= 1
    with pytest.raises(InvalidRevocationList):
        parse_revocation_list(bytes(der), P256_AUTHORITY.certificate)


def test_is_revoked_asks_for_the_issuer_too() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    one = issue_introduction(P256_AUTHORITY, request(key), (), DAY, NOW).certificate
    made = renew(Revocation(one.serial_number, NOW))
    assert is_revoked(made, one)
    assert not is_revoked(renew(), one)
    other = generate_authority(
        Subject(common_name="Other"), algorithm="Ed25519", validity_seconds=DAY, now=NOW
    )
    assert not is_revoked(renew(Revocation(one.serial_number, NOW), authority=other), one)


def test_is_fresh_ends_at_next_update() -> None:
    made = renew()
    assert is_fresh(made, made.this_update)
    assert is_fresh(made, made.next_update - timedelta(seconds=1))
    assert not is_fresh(made, made.next_update)
    assert not is_fresh(made, made.this_update - timedelta(seconds=1))


@pytest.mark.parametrize("algorithm", ["ECDSAP256", "Ed25519"])
def test_openssl_enforces_it(algorithm: str) -> None:
    now = machine_now()
    authority = generate_authority(SUBJECT, algorithm=algorithm, validity_seconds=DAY, now=now)

    def hold(name: str, *names: str) -> HeldIdentity:
        key = generate_identity_key(algorithm)
        issued: Identity = issue_identity(
            authority,
            Subject(common_name=name),
            key.public_key(),
            dns_names=names,
            validity_seconds=DAY,
            now=now,
        )
        return HeldIdentity(issued, key)

    server, good, bad = hold("server", "a.test"), hold("good"), hold("bad")
    made = renew_revocation_list(
        authority,
        [Revocation(bad.identity.certificate.serial_number, now)],
        None,
        lifetime_seconds=DAY,
        now=now,
    )
    trust = authority.certificate_pem
    assert shake_hands(server=(server, trust + made.pem), client=(good, trust), host="a.test") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        shake_hands(server=(server, trust + made.pem), client=(bad, trust), host="a.test")
    assert caught.value.verify_code == 23  # X509_V_ERR_CERT_REVOKED
