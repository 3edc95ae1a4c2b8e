"""One answer to whether an introduction may be used: total, to the second, and nothing of the text in it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.introductions import Introduction, issue_introduction, parse_introduction
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.services import Service
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Accepted, Refused, judge
from unit.pki.material import ED25519_AUTHORITY, P256_AUTHORITY, certificate, request

pytestmark = [
    pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning"),
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive"),
]

KEY = ec.generate_private_key(ec.SECP256R1())
OURS = KEY.public_key()
START = datetime(2026, 11, 21, 14, 31, 7, tzinfo=UTC)
NOW = int(START.timestamp())
HOUR = 3600
PINNED = frozenset({P256_AUTHORITY.fingerprint})
SERVICE = Service("org2-api", "https://api.org2.example:9443")
TEXT = issue_introduction(P256_AUTHORITY, request(KEY), (SERVICE,), HOUR, START).to_json()


def changed(**members: object) -> str:
    return json.dumps({**json.loads(TEXT), **members})


def refusal(text: str | bytes, *, pinned: frozenset[str] = PINNED, now: int = NOW) -> Refused:
    verdict = judge(text, OURS, pinned, now)
    assert isinstance(verdict, Refused)
    return verdict


def test_what_a_pinned_authority_signed_for_our_key_is_accepted_with_its_services() -> None:
    verdict = judge(TEXT, OURS, PINNED, NOW)
    assert isinstance(verdict, Accepted)
    assert verdict.services == (SERVICE,)
    assert verdict.introduction == parse_introduction(TEXT)


def test_it_holds_through_its_last_second_and_no_longer() -> None:
    verdict = judge(TEXT, OURS, PINNED, NOW)
    assert isinstance(verdict, Accepted)
    assert verdict.ends_at == NOW + HOUR + 1
    assert isinstance(judge(TEXT, OURS, PINNED, verdict.ends_at - 1), Accepted)
    after = judge(TEXT, OURS, PINNED, verdict.ends_at)
    assert isinstance(after, Refused)
    assert (after.reason, after.cause, after.begins_at) == (Reason.INTRODUCTION_EXPIRED, "expired", None)


def test_the_end_of_the_authority_ends_it_too() -> None:
    pem, _ = certificate(
        subject="client1",
        key=KEY,
        issuer=P256_AUTHORITY,
        ca=False,
        extended=(ExtendedKeyUsageOID.CLIENT_AUTH,),
        not_before=START,
        not_after=P256_AUTHORITY.not_after + timedelta(days=9),
    )
    text = Introduction(x509.load_pem_x509_certificate(pem), P256_AUTHORITY.certificate).to_json()
    verdict = judge(text, OURS, PINNED, NOW)
    assert isinstance(verdict, Accepted)
    assert verdict.ends_at == int(P256_AUTHORITY.not_after.timestamp()) + 1
    assert refusal(text, now=verdict.ends_at).cause == "authority-expired"


def test_one_that_begins_later_says_when_to_look_again() -> None:
    later = START + timedelta(days=2)
    text = issue_introduction(P256_AUTHORITY, request(KEY), (), HOUR, later).to_json()
    early = refusal(text)
    assert (early.reason, early.cause) == (Reason.INTRODUCTION_INVALID, "not-yet-valid")
    assert early.begins_at == int(later.timestamp()) - 300
    assert isinstance(judge(text, OURS, PINNED, early.begins_at), Accepted)
    assert refusal(text, now=early.begins_at - 1).begins_at == early.begins_at


def test_one_that_begins_later_and_is_bad_is_not_waited_for() -> None:
    later = START + timedelta(days=2)
    text = issue_introduction(ED25519_AUTHORITY, request(KEY), (), HOUR, later).to_json()
    assert refusal(text).begins_at is None
    assert refusal(text).reason is Reason.AUTHORITY_NOT_PINNED


def test_a_list_of_its_authority_withdraws_it_and_anothers_does_not() -> None:
    introduction = parse_introduction(TEXT)
    entry = Revocation(introduction.certificate.serial_number, START)
    own = renew_revocation_list(P256_AUTHORITY, [entry], None, lifetime_seconds=HOUR, now=START)
    other = renew_revocation_list(ED25519_AUTHORITY, [entry], None, lifetime_seconds=HOUR, now=START)
    withdrawn = judge(TEXT, OURS, PINNED, NOW, {introduction.slug: own})
    assert isinstance(withdrawn, Refused)
    assert (withdrawn.reason, withdrawn.cause) == (Reason.INTRODUCTION_INVALID, "revoked")
    assert isinstance(judge(TEXT, OURS, PINNED, NOW, {"another": other}), Accepted)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param("", "syntax", id="empty"),
        pytest.param("[]", "not-an-object", id="list"),
        pytest.param(changed(services={"../x": "https://a.example"}), "alias", id="dots"),
        pytest.param(changed(services={"/x": "https://a.example"}), "alias", id="slash"),
        pytest.param(changed(services={"Org2": "https://a.example"}), "alias", id="upper-case"),
        pytest.param(changed(services={"a" * 300: "https://a.example"}), "alias", id="long"),
        pytest.param(changed(services={"a": "http://a.example"}), "url", id="http"),
        pytest.param(changed(signed_cert="AAAA"), "signed_cert", id="no-certificate"),
        pytest.param(changed(ca_cert=None), "ca_cert", id="no-authority"),
        pytest.param(" " * 200_000, "too-large", id="large"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, cause: str) -> None:
    found = refusal(text)
    assert found.reason is Reason.INTRODUCTION_INVALID
    assert found.cause == cause


def test_another_key_and_another_authority_are_refused() -> None:
    foreign = ec.generate_private_key(ec.SECP256R1())
    other_key = issue_introduction(P256_AUTHORITY, request(foreign), (), HOUR, START).to_json()
    mismatch = refusal(other_key)
    assert mismatch.reason is Reason.IDENTITY_KEY_MISMATCH
    assert key_fingerprint(foreign.public_key()) in mismatch.sentence
    assert key_fingerprint(OURS) in mismatch.sentence
    assert refusal(TEXT, pinned=frozenset()).reason is Reason.AUTHORITY_NOT_PINNED


def test_nothing_of_the_text_is_repeated() -> None:
    hostile = changed(services={"<script>alert(1)</script>": "https://a.example"})
    assert "script" not in refusal(hostile).sentence


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_any_changed_byte_is_answered_and_never_accepted_with_another_certificate(
    place: int, value: int
) -> None:
    data = bytearray(TEXT.encode())
    data[place] = value
    verdict = judge(bytes(data), OURS, PINNED, NOW)
    if isinstance(verdict, Accepted):
        assert verdict.introduction.certificate == parse_introduction(TEXT).certificate


def with_changed_bit(bit: int) -> str:
    der = bytearray(base64.urlsafe_b64decode(json.loads(TEXT)["signed_cert"]))
    der[bit // 8] ^= 1 << bit % 8
    return changed(signed_cert=base64.urlsafe_b64encode(bytes(der)).decode())


@given(st.data())
def test_a_changed_bit_in_the_certificate_is_refused(data: st.DataObject) -> None:
    bits = 8 * len(base64.urlsafe_b64decode(json.loads(TEXT)["signed_cert"]))
    text = with_changed_bit(data.draw(st.integers(0, bits - 1)))
    assert refusal(text).reason in {Reason.INTRODUCTION_INVALID, Reason.IDENTITY_KEY_MISMATCH}


@pytest.mark.parametrize("bit", range(3))
def test_a_signature_of_other_than_whole_octets_is_refused(bit: int) -> None:
    """The one octet that nothing else covers: how many bits of the signature do not count."""
    signature = parse_introduction(TEXT).certificate.signature
    der = base64.urlsafe_b64decode(json.loads(TEXT)["signed_cert"])
    place = len(der) - len(signature) - 1
    assert der[place] == 0
    assert refusal(with_changed_bit(8 * place + bit)).reason is Reason.INTRODUCTION_INVALID
