"""Names of authorities as people choose them, on real connections: commas, quotes, slashes, other alphabets,
and the longest that a file can bear; and two generations of an authority that share one name.

The authority is stock ``certified``'s, and so is the server; the caller is ours, once with the Secrets as a
kubelet mounts them (files are slugs, so every name will do), once with the directory that ``certified
add-intro`` wrote (files are distinguished names, so not every one will).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.client import Client, PeerNotVerified
from bilateral.client.callers import Callers
from bilateral.pki.introductions import Introduction, issue_introduction, parse_introduction
from bilateral.pki.verifiers import PeerCA
from interop.stock import Stock, caller_of
from unit.client.pod import DAY, Pod, make_organisation

pytestmark = pytest.mark.interop

FILE_NAME_BYTES = 255
_REST = len("P=Signing Certificate,OU=,O=Org.crt")

UNITS = [
    pytest.param('Trust, "Inc."; <1+1=2> #', True, id="punctuation"),
    pytest.param(" #leads, trails ", True, id="blanks at both ends"),
    pytest.param("Überprüfung 信頼 ثقة 🔑", True, id="other alphabets"),
    pytest.param("R&D/Labs", False, id="slash"),
    pytest.param("../../etc/x", False, id="a path"),
    pytest.param("u" * (FILE_NAME_BYTES - _REST), True, id="a file name of 255 bytes"),
    pytest.param("u" * (FILE_NAME_BYTES - _REST + 1), False, id="a file name of 256 bytes"),
    pytest.param("ü" * 400, False, id="800 bytes"),
]


def organisation(folder: Path, unit: str) -> Stock:
    return Stock(folder).init("--org", "Org", "--unit", unit, "--host", "localhost")


def introduce(by: Stock, subject: bytes) -> Introduction:
    return parse_introduction(by.introduce(subject))


def make_pod(folder: Path) -> Pod:
    org_a = make_organisation("Org A")
    return Pod(folder, org_a, org_a.identity("client1"))


@pytest.mark.parametrize(("unit", "installs"), UNITS)
def test_an_authority_by_any_name(unit: str, installs: bool, tmp_path: Path) -> None:
    org2 = organisation(tmp_path / "org2", unit)
    pod = make_pod(tmp_path / "mounted")
    client1 = Stock(tmp_path / "client1").init("Client One", "--email", "client1@org1.example")
    introduction = introduce(org2, pod.held.identity.certificate_pem)
    pod.take(introduction)
    with org2.serving() as port:
        url = f"https://localhost:{port}"
        # Mounted: by the slug, where the name itself is listed first and is in no file.
        pod.know(
            "org2-api",
            url,
            PeerCA((introduction.authority,)),
            auths=[introduction.authority_name, introduction.slug],
        )
        with Client("https://org2-api", config=pod.root) as http:
            assert unit in caller_of(http.get("/").raise_for_status().text)["issuer"]
        # Installed by certified itself, where it can.
        made = json.loads(org2.introduce((client1.path / "id.crt").read_bytes()))
        text = json.dumps({**made, "services": {"org2-api": url}})
        if not installs:
            with pytest.raises(OSError, match=r"No such file|File name too long"):
                client1.add_introduction(text)
            return
        client1.add_introduction(text)
        (file,) = (client1.path / "id").iterdir()
        assert len(file.name.encode()) <= FILE_NAME_BYTES
        with Client("https://org2-api", config=client1.path) as http:
            assert unit in caller_of(http.get("/").raise_for_status().text)["issuer"]


def test_two_generations_of_one_name_are_each_shown_their_own_chain(tmp_path: Path) -> None:
    pod = make_pod(tmp_path / "mounted")
    old, new = (organisation(tmp_path / name, "Unit") for name in ("old", "new"))
    chains = [introduce(each, pod.held.identity.certificate_pem) for each in (old, new)]
    assert chains[0].authority_name == chains[1].authority_name
    assert chains[0].slug != chains[1].slug
    pod.take(*chains)
    with old.serving() as first, new.serving() as second:
        for port, chain in ((first, chains[0]), (second, chains[1])):
            pod.know(
                "org2-api",
                f"https://localhost:{port}",
                PeerCA((chain.authority,)),
                auths=[chain.authority_name, chain.slug],
            )
            with Client("https://org2-api", config=pod.root) as http:
                assert http.get("/").status_code == 200
        # The name alone opens nothing: the server of the one generation is not of the other.
        pod.know(
            "org2-api",
            f"https://localhost:{first}",
            PeerCA((chains[1].authority,)),
            auths=[chains[0].slug],
        )
        with Client("https://org2-api", config=pod.root) as http, pytest.raises(PeerNotVerified) as caught:
            http.get("/")
    assert caught.value.cause == "other-authority"
    # While one replaces the other, either will do.
    with new.serving() as port:
        pod.know(
            "org2-api",
            f"https://localhost:{port}",
            PeerCA((chains[0].authority, chains[1].authority)),
            auths=[chains[1].slug],
        )
        with Client("https://org2-api", config=pod.root) as http:
            assert http.get("/").status_code == 200


def test_callers_of_two_generations_are_two_callers(tmp_path: Path) -> None:
    """A stock party, introduced by the one generation and by the other."""
    old, new = make_organisation("Org B"), make_organisation("Org B")
    server = Pod(tmp_path / "server", old, old.identity("api", "localhost"))
    server.accept(old, new)
    callers = Callers(server.root)
    client1 = Stock(tmp_path / "client1").init('Client, "One"', "--email", "client1@org1.example")
    subject = (client1.path / "id.crt").read_bytes()
    for generation in (old, new):
        made = issue_introduction(generation.authority, subject, (), DAY, datetime.now(UTC))
        seen = callers.identify(made.certificate.public_bytes(Encoding.DER))
        assert (seen.authority, seen.subject) == (generation.slug, r"CN=Client\, \"One\"")
