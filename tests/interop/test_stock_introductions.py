"""Introductions with the real ``certified``, both ways: who wrote the document does not show."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from bilateral.pki.acceptance import accept_introduction
from bilateral.pki.authority import generate_authority
from bilateral.pki.errors import InvalidIntroduction, InvalidService
from bilateral.pki.identities import generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction, parse_introduction
from bilateral.pki.listing import parse_directory
from bilateral.pki.names import Subject, rfc4514_name
from bilateral.pki.pem import verify_key_strength
from bilateral.pki.services import Service
from bilateral.pki.verifiers import ConfiguredCA
from interop.stock import Stock

pytestmark = pytest.mark.interop

NOW = datetime.now(UTC)
DAY = 86_400
ALGORITHMS = pytest.mark.parametrize("algorithm", ["ECDSAP256", "Ed25519"])


@pytest.fixture
def org2(tmp_path: Path) -> Stock:
    return Stock(tmp_path / "org2").init("--org", "Org2, Inc.", "--unit", "Unit2", "--host", "localhost")


@pytest.fixture
def client1(tmp_path: Path) -> Stock:
    return Stock(tmp_path / "client1").init("Client One", "--uid", "c1", "--email", "c1@org1.example")


def certificate(data: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(data)


@ALGORITHMS
def test_stock_introduces_and_we_accept(org2: Stock, algorithm: str) -> None:
    key = generate_identity_key(algorithm)
    ours = generate_authority(
        Subject(organization="Org1", common_name="Org1 CA"),
        algorithm=algorithm,
        validity_seconds=DAY,
        now=NOW,
    )
    identity = issue_identity(
        ours, Subject(common_name="client1"), key.public_key(), validity_seconds=DAY, now=NOW
    )
    before = org2.files()
    text = org2.introduce(identity.certificate_pem)
    assert org2.files() == before
    introduction = parse_introduction(text)
    accepted = accept_introduction(
        introduction, key.public_key(), {introduction.authority_fingerprint}, datetime.now(UTC)
    )
    assert accepted.authority_name == r"P=Signing Certificate,OU=Unit2,O=Org2\, Inc."
    assert accepted.authority == certificate(before["CA.crt"])
    assert accepted.subject == "CN=client1"
    assert accepted.slug.startswith("org2-inc-")


def test_what_stock_prints_is_what_we_write(org2: Stock, client1: Stock) -> None:
    text = org2.introduce(client1.files()["id.crt"])
    assert parse_introduction(text).to_json() == text


def test_the_installed_script_is_the_same_program(org2: Stock, client1: Stock) -> None:
    given = org2.path.with_name("subject.pem")
    given.write_bytes(client1.files()["id.crt"])
    text = org2.run_installed("introduce", str(given))
    assert parse_introduction(text).to_json() == text


def test_a_service_that_the_issuer_added_by_hand_is_read(org2: Stock, client1: Stock) -> None:
    edited = json.loads(org2.introduce(client1.files()["id.crt"]))
    edited["services"] = {"org2-api": "https://api.org2.example:9443"}
    assert parse_introduction(json.dumps(edited)).services == (
        Service("org2-api", "https://api.org2.example:9443"),
    )


def test_one_that_stock_signed_for_somebody_else_is_refused(org2: Stock, client1: Stock) -> None:
    introduction = parse_introduction(org2.introduce(client1.files()["id.crt"]))
    with pytest.raises(InvalidIntroduction):
        accept_introduction(
            introduction,
            generate_identity_key("Ed25519").public_key(),
            {introduction.authority_fingerprint},
            datetime.now(UTC),
        )


@ALGORITHMS
@pytest.mark.parametrize("form", ["PEM", "base64", "CSR"])
def test_we_introduce_and_stock_writes_exactly_these_files(client1: Stock, algorithm: str, form: str) -> None:
    authority = generate_authority(
        Subject(organization="Org2, Inc.", common_name="Org2 CA"),
        algorithm=algorithm,
        validity_seconds=DAY,
        now=NOW,
    )
    before = client1.files()
    subject = {
        "PEM": lambda: before["id.crt"],
        "base64": lambda: client1.run("get-ident").encode(),
        "CSR": lambda: signing_request(before),
    }[form]()
    introduction = issue_introduction(
        authority, subject, (Service("org2-api", "https://api.org2.example:9443"),), DAY, NOW
    )
    client1.add_introduction(introduction.to_json())
    after = client1.files()
    added = {path: content for path, content in after.items() if path not in before}
    assert {path: content for path, content in after.items() if path in before} == before
    name = r"CN=Org2 CA,O=Org2\, Inc."
    assert added == {
        f"id/{name}.crt": introduction.chain_pem,
        "known_servers/org2-api.yaml": yaml.dump(
            {
                "auths": [name],
                "cert": json.loads(introduction.to_json())["ca_cert"],
                "url": "https://api.org2.example:9443",
            }
        ).encode(),
    }
    listing = parse_directory(after, yaml.safe_load)
    assert listing.unusable == {}
    assert listing.chains == {name: (introduction.certificate,)}
    assert listing.services["org2-api"].verifier == ConfiguredCA((authority.certificate,))
    assert listing.services["org2-api"].auths == (introduction.authority_name,)


def signing_request(files: dict[str, bytes]) -> bytes:
    key = load_pem_private_key(files["id.key"], None)
    builder = x509.CertificateSigningRequestBuilder().subject_name(certificate(files["id.crt"]).subject)
    return builder.sign(key, None).public_bytes(Encoding.PEM)  # type: ignore[arg-type]  # an Ed25519 key


def test_what_stock_would_write_outside_its_directory_we_refuse(client1: Stock, tmp_path: Path) -> None:
    """Upstream joins the alias to a path: the file appears beside the directory. We do not read it so far."""
    authority = generate_authority(
        Subject(common_name="Hostile"), algorithm="Ed25519", validity_seconds=DAY, now=NOW
    )
    good = issue_introduction(authority, client1.files()["id.crt"], (), DAY, NOW)
    text = json.dumps({**json.loads(good.to_json()), "services": {"../../escaped": "https://a.example"}})
    client1.add_introduction(text)
    assert (tmp_path / "escaped.yaml").exists()
    with pytest.raises(InvalidIntroduction) as caught:
        parse_introduction(text)
    assert caught.value.cause == "alias"
    with pytest.raises(InvalidService):
        issue_introduction(
            authority, client1.files()["id.crt"], (Service("../../escaped", "https://a.example"),), DAY, NOW
        )


def test_what_stock_copies_we_do_not(org2: Stock, tmp_path: Path) -> None:
    """A subject's host names and serverAuth: with them, whoever is introduced can pose as a server."""
    client = Stock(tmp_path / "posing").init("Posing", "--host", "localhost")
    subject = client.files()["id.crt"]
    theirs = parse_introduction(org2.introduce(subject)).certificate
    names = theirs.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert (
        x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
        in theirs.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
    authority = generate_authority(
        Subject(common_name="Careful"), algorithm="Ed25519", validity_seconds=DAY, now=NOW
    )
    ours = issue_introduction(authority, subject, (), DAY, NOW).certificate
    assert [extension.oid._name for extension in ours.extensions] == [
        "subjectKeyIdentifier",
        "authorityKeyIdentifier",
        "basicConstraints",
        "keyUsage",
        "extendedKeyUsage",
    ]
    client.add_introduction(issue_introduction(authority, subject, (), DAY, NOW).to_json())


@pytest.mark.parametrize("key_type", ["ed25519", "secp256r1", "secp384r1"])
def test_every_key_type_that_we_admit_is_introduced_both_ways(tmp_path: Path, key_type: str) -> None:
    signer = Stock(tmp_path / "signer").init(
        "--org", "S", "--unit", "U", "--host", "s", "--key-type", key_type
    )
    client = Stock(tmp_path / "client").init("C", "--host", "c", "--key-type", key_type)
    subject = client.files()["id.crt"]
    introduction = parse_introduction(signer.introduce(subject))
    key = verify_key_strength(certificate(subject).public_key(), InvalidIntroduction)
    accept_introduction(introduction, key, {introduction.authority_fingerprint}, datetime.now(UTC))
    authority = generate_authority(
        Subject(common_name="A"), algorithm="ECDSAP256", validity_seconds=DAY, now=NOW
    )
    client.add_introduction(issue_introduction(authority, subject, (), DAY, NOW).to_json())
    assert "id/CN=A.crt" in client.files()


def test_two_generations_under_one_name_collide_at_stock_and_not_here(client1: Stock) -> None:
    subject = client1.files()["id.crt"]
    first, second = (
        issue_introduction(
            generate_authority(
                Subject(common_name="Org2 CA"), algorithm="Ed25519", validity_seconds=DAY, now=NOW
            ),
            subject,
            (),
            DAY,
            NOW,
        )
        for _ in range(2)
    )
    client1.add_introduction(first.to_json())
    given = client1.path.with_name("second.json")
    given.write_text(second.to_json())
    assert isinstance(client1.refuses("add-intro", str(given)), FileExistsError)
    assert first.authority_name == second.authority_name
    assert first.slug != second.slug


def test_a_name_with_a_slash_stops_stock_and_has_a_slug(client1: Stock) -> None:
    authority = generate_authority(
        Subject(organization="R&D/Labs"), algorithm="Ed25519", validity_seconds=DAY, now=NOW
    )
    introduction = issue_introduction(authority, client1.files()["id.crt"], (), DAY, NOW)
    given = client1.path.with_name("slash.json")
    given.write_text(introduction.to_json())
    assert isinstance(client1.refuses("add-intro", str(given)), FileNotFoundError)
    assert introduction.slug.startswith("r-d-labs-")
    key = verify_key_strength(introduction.certificate.public_key(), InvalidIntroduction)
    assert accept_introduction(introduction, key, {introduction.authority_fingerprint}, NOW) is introduction


def test_names_of_stock_authorities_are_read_as_stock_writes_them(org2: Stock) -> None:
    authority = certificate(org2.files()["CA.crt"])
    assert rfc4514_name(authority.subject) == r"P=Signing Certificate,OU=Unit2,O=Org2\, Inc."


def test_an_rsa_subject_is_signed_by_us_and_refused_by_stock(org2: Stock) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "legacy")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    subject = asked.public_bytes(Encoding.PEM)
    given = org2.path.with_name("rsa.pem")
    given.write_bytes(subject)
    assert isinstance(org2.refuses("introduce", str(given)), ValueError)
    authority = generate_authority(
        Subject(common_name="A"), algorithm="ECDSAP256", validity_seconds=DAY, now=NOW
    )
    assert issue_introduction(authority, subject, (), DAY, NOW).subject == "CN=legacy"
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
