"""Which chain a service is shown: a table, and what is passed over on the way."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from bilateral.client.chains import Credentials, Held, choose_credentials
from bilateral.client.errors import LayoutInvalid, NoUsableChain
from bilateral.client.volumes import Reading
from bilateral.pki.authority import Algorithm
from bilateral.pki.errors import SubjectRefused
from bilateral.pki.identities import HeldIdentity, generate_identity_key
from bilateral.pki.pem import PrivateKey, private_key_pem
from bilateral.pki.profiles import Leaf, sign_leaf
from unit.client.pod import DAY, Organisation, make_organisation

NOW = time.time()
NAME_A, NAME_B = "CN=Org A CA,O=Org A", "CN=Org B CA,O=Org B"


def reading(name: str, files: dict[str, bytes]) -> Reading:
    return Reading(Path(name), MappingProxyType(files), "generation")


@pytest.fixture(scope="module")
def held(org_a: Organisation) -> HeldIdentity:
    return org_a.identity("client1")


def material(
    held: HeldIdentity,
    chains: dict[str, bytes] | None = None,
    crossed: dict[str, bytes] | None = None,
    *,
    own: bool = True,
    key: bytes | None = None,
) -> Held:
    identity = {"id.key": held.key_pem if key is None else key}
    if own:
        identity["id.crt"] = held.identity.certificate_pem
    place = reading("identity", identity)
    return Held(place, place, reading("id", chains or {}), reading("CA", crossed or {}))


def chain(by: Organisation, held: HeldIdentity, *, validity: int = DAY, now: datetime | None = None) -> bytes:
    return by.introduce(held, validity=validity, now=now).chain_pem


def chosen(credentials: Credentials | None) -> str | None:
    return None if credentials is None else credentials.file


@pytest.mark.parametrize(
    ("auths", "files", "expected"),
    [
        pytest.param((NAME_B,), {f"{NAME_B}.crt": "b"}, f"id/{NAME_B}.crt", id="by distinguished name"),
        pytest.param((NAME_B, "b-slug"), {"b-slug.crt": "b"}, "id/b-slug.crt", id="by slug"),
        pytest.param(("c", "b"), {"b.crt": "b", "c.crt": "c"}, "id/c.crt", id="in the service's order"),
        pytest.param(("c", "b"), {"b.crt": "b"}, "id/b.crt", id="the second, where the first is not there"),
        pytest.param(("c", "b"), {"c.crt": "expired", "b.crt": "b"}, "id/b.crt", id="expired is passed over"),
        pytest.param(
            ("c", "b"), {"c.crt": "other key", "b.crt": "b"}, "id/b.crt", id="another's is passed over"
        ),
        pytest.param(
            ("c", "b"), {"c.crt": "future", "b.crt": "b"}, "id/b.crt", id="not begun is passed over"
        ),
        pytest.param(("c", "b"), {"c.crt": "broken", "b.crt": "b"}, "id/b.crt", id="broken is passed over"),
        pytest.param(
            ("c", "b"), {"c.crt": "server", "b.crt": "b"}, "id/b.crt", id="for servers is passed over"
        ),
        pytest.param((NAME_A,), {}, "identity/id.crt", id="our own id by its issuer"),
        pytest.param((NAME_A,), {f"{NAME_A}.crt": "b"}, f"id/{NAME_A}.crt", id="a chain before our own id"),
        pytest.param((), {"b.crt": "b"}, "identity/id.crt", id="nobody named: our own id"),
        pytest.param(("b", "b", "b"), {"b.crt": "b"}, "id/b.crt", id="named twice"),
    ],
)
def test_the_chain_that_is_shown(
    auths: tuple[str, ...],
    files: dict[str, str],
    expected: str,
    held: HeldIdentity,
    org_a: Organisation,
    org_b: Organisation,
    stranger: Organisation,
) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    pems = {
        "b": chain(org_b, held),
        "c": chain(stranger, held),
        "expired": chain(stranger, held, now=old),
        "future": chain(stranger, held, now=datetime.now(UTC) + timedelta(days=1)),
        "other key": chain(stranger, org_a.identity("client1")),
        "broken": b"-----BEGIN CERTIFICATE-----\n",
        "server": for_servers(stranger, held),
    }
    found = choose_credentials(
        "api", auths, material(held, {name: pems[what] for name, what in files.items()}), NOW
    )
    assert chosen(found) == expected
    assert found
    assert found.key_pem == held.key_pem
    leaf = x509.load_pem_x509_certificate(found.chain_pem)
    assert leaf.not_valid_before_utc.timestamp() < NOW < found.until


def for_servers(by: Organisation, held: HeldIdentity) -> bytes:
    leaf = Leaf(
        subject=held.identity.certificate.subject,
        public_key=held.key.public_key(),
        alternative_names=[],
        usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
    )
    signed = sign_leaf(by.authority, leaf, validity_seconds=DAY, now=datetime.now(UTC), error=SubjectRefused)
    return signed.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("what", "cause"),
    [("expired", "expired"), ("other", "key-mismatch"), ("server", "not-for-clients"), ("none", "none")],
)
def test_nothing_left_says_what_was_wrong(
    what: str, cause: str, held: HeldIdentity, org_a: Organisation, org_b: Organisation
) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    files = {
        "expired": {"b.crt": chain(org_b, held, now=old)},
        "other": {"b.crt": chain(org_b, org_a.identity("client1"))},
        "server": {"b.crt": for_servers(org_b, held)},
        "none": {"unrelated.crt": chain(org_b, held)},
    }[what]
    with pytest.raises(NoUsableChain) as caught:
        choose_credentials("api", ("b", NAME_B), material(held, files), NOW)
    assert caught.value.cause == cause
    assert caught.value.alias == "api"


def test_different_faults_are_several(held: HeldIdentity, org_a: Organisation, org_b: Organisation) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    files = {"b.crt": chain(org_b, held, now=old), "c.crt": chain(org_b, org_a.identity("client1"))}
    with pytest.raises(NoUsableChain) as caught:
        choose_credentials("api", ("b", "c"), material(held, files), NOW)
    assert caught.value.cause == "several"


def test_who_has_nothing_and_is_asked_for_nothing_shows_nothing(held: HeldIdentity) -> None:
    empty = reading("identity", {})
    nothing = Held(empty, empty, reading("id", {}), reading("CA", {}))
    assert choose_credentials("api", (), nothing, NOW) is None
    with pytest.raises(NoUsableChain):
        choose_credentials("api", ("b",), nothing, NOW)


def test_an_expired_id_is_not_left_out_silently(org_a: Organisation) -> None:
    old = org_a.identity("client1", now=datetime.now(UTC) - timedelta(days=3))
    with pytest.raises(NoUsableChain) as caught:
        choose_credentials("api", (), material(old), NOW)
    assert caught.value.cause == "expired"


def test_a_chain_without_its_key_is_an_error_of_the_mounts(held: HeldIdentity, org_b: Organisation) -> None:
    files = {"b.crt": chain(org_b, held)}
    empty = reading("identity", {})
    without = Held(empty, empty, reading("id", files), reading("CA", {}))
    with pytest.raises(LayoutInvalid) as caught:
        choose_credentials("api", ("b",), without, NOW)
    assert caught.value.cause == "no-key"


def test_a_ca_that_was_signed_across_follows_our_id(held: HeldIdentity, org_b: Organisation) -> None:
    crossed = org_b.certificate.public_bytes(Encoding.PEM)
    found = choose_credentials("api", ("b",), material(held, crossed={"b.crt": crossed}), NOW)
    assert found
    assert found.chain_pem == held.identity.certificate_pem + crossed
    # Without an id there is nothing that it could follow.
    with pytest.raises(NoUsableChain):
        choose_credentials("api", ("b",), material(held, crossed={"b.crt": crossed}, own=False), NOW)


def test_a_chain_ends_when_its_first_certificate_does(held: HeldIdentity, org_b: Organisation) -> None:
    files = {"b.crt": chain(org_b, held, validity=60) + org_b.certificate.public_bytes(Encoding.PEM)}
    found = choose_credentials("api", ("b",), material(held, files), NOW)
    assert found
    assert NOW < found.until <= time.time() + 60


def as_text(key: PrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA", "Ed25519"])
def test_keys_of_every_usual_kind_and_form_are_read(
    kind: str, form: PrivateFormat, org_b: Organisation
) -> None:
    """As cert-manager writes them, for one."""
    key: PrivateKey
    match kind:
        case "P-256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "P-384":
            key = ec.generate_private_key(ec.SECP384R1())
        case "RSA":
            key = rsa.generate_private_key(65537, 2048)
        case _:
            key, form = generate_identity_key(Algorithm.ED25519), PrivateFormat.PKCS8
    identity = HeldIdentity(org_b.certify("client1", key.public_key()), key)
    found = choose_credentials("api", (), material(identity, key=as_text(key, form)), NOW)
    assert found
    assert found.key_pem == as_text(key, form)


def test_an_encrypted_key_says_so(held: HeldIdentity) -> None:
    encrypted = held.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    with pytest.raises(LayoutInvalid) as caught:
        choose_credentials("api", (), material(held, key=encrypted), NOW)
    assert caught.value.cause == "encrypted-key"


def test_two_generations_of_one_authority_are_told_apart_by_slug(held: HeldIdentity) -> None:
    old, new = make_organisation("Org C"), make_organisation("Org C")
    files = {f"{each.slug}.crt": chain(each, held) for each in (old, new)}
    for each in (old, new):
        found = choose_credentials("api", (NAME_B, each.slug), material(held, files), NOW)
        assert chosen(found) == f"id/{each.slug}.crt"


def test_no_key_shows_in_any_text(held: HeldIdentity, org_b: Organisation) -> None:
    found = choose_credentials("api", (), material(held), NOW)
    secret = private_key_pem(held.key).decode().splitlines()[1]
    assert secret not in repr(found)
    assert secret not in repr(material(held))
