"""The certified directory: which files there are, what is secret, and what of a found one may be used."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import generate_authority
from bilateral.pki.directory import (
    NOBODY_PEM,
    Party,
    TrustedAuthority,
    build_chain_files,
    build_client_files,
    build_directory,
    build_identity_files,
    build_server_files,
)
from bilateral.pki.entries import ServiceEntry
from bilateral.pki.errors import InvalidDirectory
from bilateral.pki.identities import HeldIdentity, generate_identity_key, issue_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.listing import MAX_FILES, Listing, parse_directory
from bilateral.pki.names import Subject
from bilateral.pki.revocations import Revocation, renew_revocation_list
from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import PeerCA, WebPKI
from bilateral.protocol.reasons import Reason
from unit.pki.material import NOW, P256_AUTHORITY, YEAR, request

OWN = P256_AUTHORITY
PARTNER = generate_authority(
    Subject(organization="Org/2, Inc."), algorithm="Ed25519", validity_seconds=YEAR, now=NOW
)
NEXT = generate_authority(
    Subject(organization="Org/2, Inc."), algorithm="Ed25519", validity_seconds=YEAR, now=NOW
)
KEY = generate_identity_key("ECDSAP256")
HELD = HeldIdentity(
    issue_identity(OWN, Subject(common_name="client1"), KEY.public_key(), validity_seconds=YEAR, now=NOW), KEY
)
CHAIN = issue_introduction(PARTNER, request(KEY), (), YEAR, NOW)
LIST = renew_revocation_list(PARTNER, [Revocation(7, NOW)], None, lifetime_seconds=YEAR, now=NOW)
SLUG = build_slug(PARTNER.certificate)
SERVICE = ServiceEntry(
    alias="org2-api",
    url="https://api.org2.example:9443",
    verifier=PeerCA((PARTNER.certificate,)),
    auths=(PARTNER.subject, SLUG),
    peer="org-b-kernel",
)
PARTY = Party(
    identity=HELD,
    authority=OWN.certificate,
    chains=(CHAIN,),
    services=(SERVICE, ServiceEntry("public", "https://api.example", WebPKI())),
    own_clients=TrustedAuthority(OWN.certificate),
    clients=(TrustedAuthority(PARTNER.certificate, LIST),),
)


def read(files: dict[str, bytes]) -> Listing:
    return parse_directory(files, yaml.safe_load)


def test_a_party_has_exactly_these_files() -> None:
    files = build_directory(PARTY)
    assert {path: file.mode for path, file in files.items()} == {
        "id.key": 0o600,
        "id.crt": 0o644,
        f"id/{SLUG}.crt": 0o644,
        "known_servers/org2-api.yaml": 0o644,
        "known_servers/public.yaml": 0o644,
        f"known_servers/{SLUG}.crt": 0o644,
        "known_servers/self.crt": 0o644,
        "known_clients/self.crt": 0o644,
        f"known_clients/{SLUG}.crt": 0o644,
        f"known_clients/{SLUG}.crl": 0o644,
    }


def test_keys_are_in_one_file_and_no_authoritys_key_in_any() -> None:
    files = build_directory(PARTY)
    holding = [path for path, file in files.items() if b"PRIVATE KEY" in file.content]
    assert holding == ["id.key"]
    assert files["id.key"].content == HELD.key_pem
    assert "PRIVATE" not in repr(files)


def test_what_is_written_is_read_again() -> None:
    listing = read({path: file.content for path, file in build_directory(PARTY).items()})
    assert listing.identity == (HELD.identity.certificate,)
    assert listing.key_pem == HELD.key_pem
    assert listing.chains == {SLUG: (CHAIN.certificate,)}
    assert listing.services == {service.alias: service for service in PARTY.services}
    assert listing.known_servers == {SLUG: (PARTNER.certificate,), "self": (OWN.certificate,)}
    assert listing.known_clients == {SLUG: (PARTNER.certificate,), "self": (OWN.certificate,)}
    assert listing.revocation_lists == {SLUG: LIST.pem}
    assert listing.unusable == {}
    assert "PRIVATE" not in repr(listing)


def test_names_of_files_are_keys_of_a_secret() -> None:
    keys = {
        *build_identity_files(HELD, OWN.certificate),
        *build_chain_files(PARTY.chains),
        *build_server_files(PARTY.services, OWN.certificate),
        *build_client_files(PARTY.own_clients, PARTY.clients),
    }
    assert all(key.replace("-", "").replace(".", "").isalnum() and key.isascii() for key in keys)


def test_the_identitys_secret_is_kubernetes_and_certifieds_at_once() -> None:
    files = build_identity_files(HELD, OWN.certificate)
    assert set(files) == {"tls.crt", "tls.key", "ca.crt", "id.crt", "id.key"}
    assert files["tls.key"] == files["id.key"]
    assert files["tls.crt"] == files["id.crt"]
    assert files["ca.crt"] == OWN.certificate_pem


def test_two_generations_under_one_name_lie_side_by_side() -> None:
    both = build_client_files(
        None, [TrustedAuthority(PARTNER.certificate), TrustedAuthority(NEXT.certificate)]
    )
    assert len(both) == 2
    chains = build_chain_files([CHAIN, issue_introduction(NEXT, request(KEY), (), YEAR, NOW)])
    assert len(chains) == 2


def test_one_authority_of_two_partners_is_one_file_and_keeps_its_list() -> None:
    for clients in (
        [TrustedAuthority(PARTNER.certificate, LIST), TrustedAuthority(PARTNER.certificate)],
        [TrustedAuthority(PARTNER.certificate), TrustedAuthority(PARTNER.certificate, LIST)],
    ):
        assert build_client_files(None, clients) == {
            f"{SLUG}.crt": PARTNER.certificate_pem,
            f"{SLUG}.crl": LIST.pem,
        }


def test_an_authority_says_which_partners_it_is_of() -> None:
    files = build_client_files(
        TrustedAuthority(OWN.certificate),
        [
            TrustedAuthority(PARTNER.certificate, peers=("org-b:kernel",)),
            TrustedAuthority(PARTNER.certificate, LIST, peers=("1e3", "org-b:kernel")),
            TrustedAuthority(NEXT.certificate),
        ],
    )
    assert {name for name in files if name.endswith(".yaml")} == {f"{SLUG}.yaml"}
    assert yaml.safe_load(files[f"{SLUG}.yaml"]) == {"peers": ["1e3", "org-b:kernel"]}
    assert files[f"{SLUG}.crl"] == LIST.pem


def test_of_two_lists_the_later_counts() -> None:
    later = renew_revocation_list(PARTNER, [Revocation(8, NOW)], LIST, lifetime_seconds=YEAR, now=NOW)
    for lists in ((LIST, later), (later, LIST)):
        files = build_client_files(None, [TrustedAuthority(PARTNER.certificate, each) for each in lists])
        assert files[f"{SLUG}.crl"] == later.pem


def test_where_nobody_may_connect_there_is_still_a_certificate_that_nobody_has() -> None:
    assert build_client_files(None, ()) == {"nobody.crt": NOBODY_PEM}
    nobody = x509.load_pem_x509_certificate(NOBODY_PEM)
    nobody.verify_directly_issued_by(nobody)
    assert nobody.not_valid_after_utc == datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert nobody.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_two_services_with_one_alias_are_refused() -> None:
    other = ServiceEntry("org2-api", "https://elsewhere.example", WebPKI())
    with pytest.raises(InvalidDirectory) as caught:
        build_server_files([SERVICE, other], OWN.certificate)
    assert (caught.value.cause, caught.value.reason) == ("duplicate", Reason.DIRECTORY_INVALID)
    assert build_server_files([SERVICE, SERVICE], OWN.certificate)


def test_two_chains_by_one_authority_are_refused() -> None:
    again = issue_introduction(PARTNER, request(KEY), (), YEAR, NOW)
    with pytest.raises(InvalidDirectory):
        build_chain_files([CHAIN, again])


def test_a_classic_directory_is_read() -> None:
    name = r"P=Signing Certificate,OU=R&D,O=Org2\, Inc."
    chain = CHAIN.certificate.public_bytes(Encoding.PEM)
    listing = read(
        {
            "CA.key": b"not looked at",
            "CA.crt": OWN.certificate_pem,
            "id.crt": HELD.identity.certificate_pem,
            f"id/{name}.crt": chain + PARTNER.certificate_pem,
            "id/CN=x.crt.crt": chain,
            "id/notes.txt": b"not looked at",
            "id/..data": b"the kubelet's",
            "CA/other.crt": OWN.certificate_pem,
            "known_servers/self.crt": OWN.certificate_pem,
            "known_servers/org.pem": PARTNER.certificate_pem,
            "known_servers/empty.crt": b"",
            "known_servers/org2-api.yaml": b"auths: []\ncert: null\nurl: https://api.org2.example/v1\n",
            "known_clients/self.crt": OWN.certificate_pem,
        }
    )
    assert set(listing.chains) == {name, "CN=x.crt"}
    assert listing.chains[name] == (CHAIN.certificate, PARTNER.certificate)
    assert set(listing.cross_signed) == {"other"}
    assert set(listing.known_servers) == {"self", "org"}
    assert listing.services["org2-api"].verifier is None
    assert listing.key_pem is None
    assert listing.unusable == {}


def test_one_bad_file_spoils_itself_only() -> None:
    listing = read(
        {
            "known_servers/good.crt": OWN.certificate_pem,
            "known_servers/bad.crt": OWN.certificate_pem[:99],
            "known_servers/good.yaml": b"url: https://a.example",
            "known_servers/bad.yaml": b"url: [",
            "known_servers/worse.yaml": b"url: http://a.example",
            "known_servers/UPPER.yaml": b"url: https://a.example",
            "known_servers/huge.yaml": b" " * 1_100_000,
            "id.crt": b"nothing",
        }
    )
    assert set(listing.known_servers) == {"good"}
    assert set(listing.services) == {"good"}
    assert listing.unusable == {
        "id.crt": "malformed-certificate",
        "known_servers/bad.crt": "malformed-certificate",
        "known_servers/bad.yaml": "not-yaml",
        "known_servers/worse.yaml": "url",
        "known_servers/UPPER.yaml": "alias",
        "known_servers/huge.yaml": "too-large",
    }


@pytest.mark.parametrize(
    "path",
    ["/id.crt", "../id.crt", "id/../x.crt", "id/a/b.crt", "id//x.crt", "id/", "", ".", "known_servers/..", "./id.crt",
     "a\\b/x.crt", "id/x\0.crt"],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidDirectory) as caught:
        read({path: b""})
    assert caught.value.cause == "path"


def test_too_many_files_are_refused() -> None:
    with pytest.raises(InvalidDirectory) as caught:
        read({f"id/{n}.crt": b"" for n in range(MAX_FILES + 1)})
    assert caught.value.cause == "too-many-files"
