"""Service files: what we write is read again by any YAML parser, and what upstream wrote is read as it means it."""

from __future__ import annotations

import base64

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bilateral.pki.encoding import quote_yaml
from bilateral.pki.entries import ServiceEntry, parse_entry
from bilateral.pki.errors import InvalidDirectory, InvalidService
from bilateral.pki.fingerprints import parse_fingerprint
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedFingerprint, PinnedRawKey, Verifier, WebPKI
from bilateral.protocol.reasons import Reason
from unit.pki.material import ED25519_AUTHORITY, P256_AUTHORITY

CA_1, CA_2 = P256_AUTHORITY.certificate, ED25519_AUTHORITY.certificate
CERT = parse_fingerprint("SHA256:" + "a" * 64)
RAW = parse_fingerprint("ed25519:" + "b" * 64)
URL = "https://api.org2.example:9443"


def b64(certificate: x509.Certificate) -> str:
    return base64.urlsafe_b64encode(certificate.public_bytes(Encoding.DER)).decode()


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


VERIFIERS: dict[str, Verifier] = {
    "the peer's authority": PeerCA((CA_1,)),
    "two generations of it": PeerCA((CA_1, CA_2)),
    "a configured authority": ConfiguredCA((CA_2,)),
    "the system's roots": WebPKI(),
    "a bundle": WebPKI((CA_1, CA_2)),
    "a pinned certificate": PinnedFingerprint((CERT,)),
    "a pinned raw key": PinnedRawKey((RAW,)),
}


@pytest.mark.parametrize("verifier", VERIFIERS.values(), ids=VERIFIERS)
def test_what_is_written_is_read_again(verifier: Verifier) -> None:
    entry = ServiceEntry(
        alias="org2-api",
        url=URL,
        verifier=verifier,
        auths=('CN=Org2 "CA"\\, Inc.,O=Örg 😀', "org2-ca-0123456789abcdef0123"),
        peer="org-b-kernel",
        bearer_token="t0ken",
    )
    data = entry.to_yaml()
    assert parse_entry("org2-api", yaml.safe_load(data)) == entry
    assert data == entry.to_yaml()
    assert data.isascii()


def test_the_bytes_are_these() -> None:
    entry = ServiceEntry("a", URL, PeerCA((CA_1,)), ("CN=Org2 CA,O=Org2", "org2-ca-01"), peer="org-b")
    assert entry.to_yaml().decode() == (
        'auths:\n- "CN=Org2 CA,O=Org2"\n- "org2-ca-01"\n'
        f'cert: "{b64(CA_1)}"\npeer: "org-b"\nurl: "{URL}"\nverifier: "PeerCA"\n'
    )


@pytest.mark.parametrize(
    "verifier", [WebPKI(), WebPKI((CA_1,)), PinnedFingerprint((CERT,)), PinnedRawKey((RAW,))]
)
def test_what_upstream_cannot_express_stops_it(verifier: Verifier) -> None:
    """``cert`` null would mean: every authority that is known here. An empty text is no certificate."""
    assert yaml.safe_load(ServiceEntry("a", URL, verifier).to_yaml())["cert"] == ""


def test_a_token_shows_in_no_repr() -> None:
    assert "t0ken" not in repr(ServiceEntry("a", URL, None, bearer_token="t0ken"))


@pytest.mark.parametrize(
    ("members", "verifier"),
    [
        pytest.param({"cert": b64(CA_1)}, ConfiguredCA((CA_1,)), id="one authority"),
        pytest.param(
            {"cert": base64.b64encode(CA_1.public_bytes(Encoding.DER)).decode()},
            ConfiguredCA((CA_1,)),
            id="in the standard alphabet",
        ),
        pytest.param({"cert": None}, None, id="every authority of the directory"),
        pytest.param({}, None, id="no member cert"),
        pytest.param({"cert": None, "loki": {"x": 1}}, None, id="unknown members"),
        pytest.param({"cert": b64(CA_1), "peer": "org-b"}, ConfiguredCA((CA_1,)), id="with a partner"),
    ],
)
def test_a_stock_file_means_what_it_means_to_upstream(
    members: dict[str, object], verifier: Verifier | None
) -> None:
    entry = parse_entry("a", {"url": URL + "/v1", **members})
    assert (entry.verifier, entry.auths, entry.url) == (verifier, (), URL + "/v1")


PEER = {"url": URL, "verifier": "PeerCA"}


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        pytest.param(None, "members", id="an empty file"),
        pytest.param(["url"], "members", id="a list"),
        pytest.param({}, "url", id="no url"),
        pytest.param({"url": 7}, "url", id="a number for url"),
        pytest.param({"url": "http://a.example"}, "url", id="http"),
        pytest.param({"url": "https://u@a.example"}, "url", id="a user in the url"),
        pytest.param({"url": URL, "cert": 7}, "cert", id="a number for cert"),
        pytest.param({"url": URL, "cert": "AAAA"}, "cert", id="no certificate"),
        pytest.param({"url": URL, "cert": ""}, "verifier", id="an empty cert and no verifier"),
        pytest.param({"url": URL, "auths": None}, "auths", id="null for auths"),
        pytest.param({"url": URL, "auths": "CN=a"}, "auths", id="a text for auths"),
        pytest.param({"url": URL, "auths": [7]}, "auths", id="a number in auths"),
        pytest.param({"url": URL, "auths": ["a"] * 65}, "auths", id="65 auths"),
        pytest.param({"url": URL, "peer": "a b"}, "peer", id="no kernel id"),
        pytest.param(
            {"url": URL, "peer": "org-b"}, "verifier", id="a partner's service, and nothing to verify it"
        ),
        pytest.param({"url": URL, "bearerToken": "a b"}, "bearerToken", id="a token with a space"),
        pytest.param({"url": URL, "verifier": "None"}, "verifier", id="an unknown verifier"),
        pytest.param(PEER, "verifier", id="an authority's verifier without one"),
        pytest.param(
            {**PEER, "cert": b64(CA_1), "fingerprints": [str(CERT)]},
            "verifier",
            id="a pin beside an authority",
        ),
        pytest.param(
            {**PEER, "cert": b64(CA_1), "caBundle": pem(CA_2)}, "caBundle", id="a bundle without cert's"
        ),
        pytest.param(
            {**PEER, "cert": b64(CA_1), "caBundle": "é"}, "caBundle", id="a bundle of something else"
        ),
        pytest.param(
            {"url": URL, "verifier": "WebPKI", "cert": b64(CA_1)}, "verifier", id="WebPKI beside an authority"
        ),
        pytest.param({"url": URL, "verifier": "WebPKI", "caBundle": ""}, "caBundle", id="an empty bundle"),
        pytest.param(
            {"url": URL, "verifier": "PinnedFingerprint"}, "verifier", id="pinned, and nothing to pin"
        ),
        pytest.param(
            {"url": URL, "verifier": "PinnedFingerprint", "fingerprints": []},
            "verifier",
            id="pinned, an empty list",
        ),
        pytest.param(
            {"url": URL, "verifier": "PinnedFingerprint", "fingerprints": [str(RAW)]},
            "fingerprints",
            id="a key's pin",
        ),
        pytest.param(
            {"url": URL, "verifier": "PinnedRawKey", "fingerprints": [str(CERT)]},
            "fingerprints",
            id="a leaf's pin",
        ),
        pytest.param(
            {"url": URL, "verifier": "PinnedFingerprint", "fingerprints": ["SHA256:xyz"]},
            "fingerprints",
            id="no pin",
        ),
        pytest.param(
            {"url": URL, "verifier": "PinnedFingerprint", "fingerprints": [str(CERT)], "cert": b64(CA_1)},
            "verifier",
            id="an authority beside a pin",
        ),
    ],
)
def test_what_says_too_much_or_too_little_is_refused(document: object, cause: str) -> None:
    with pytest.raises(InvalidDirectory) as caught:
        parse_entry("a", document)
    assert (caught.value.cause, caught.value.reason) == (cause, Reason.DIRECTORY_INVALID)


def test_an_alias_with_a_path_is_refused() -> None:
    with pytest.raises(InvalidService):
        parse_entry("../a", {"url": URL})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_every_text_comes_back_from_yaml(text: str) -> None:
    quoted = quote_yaml(text)
    assert yaml.safe_load(quoted) == text
    assert quoted.isascii()
    assert "\n" not in quoted
