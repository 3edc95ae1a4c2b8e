"""What ``<alias>.yaml`` may be, and where the directories are looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bilateral.client.errors import LayoutInvalid
from bilateral.client.places import DEFAULT_ROOT, Places, find_root
from bilateral.client.services import parse_service_file
from bilateral.client.trust import find_trust
from bilateral.pki.encoding import encode_certificate
from bilateral.pki.verifiers import ConfiguredCA, PeerCA, PinnedRawKey
from unit.client.pod import Organisation, Pod
from unit.client.serving import environment


def test_certifieds_own_file_is_read(org_b: Organisation) -> None:
    # As its YAML writer leaves it: long names folded over two lines.
    name = (
        "P=Signing Certificate,OU=A rather long organisational unit,O=And a rather long organisation as well"
    )
    data = yaml.dump(
        {"url": "https://api.example:9443/v1", "cert": encode_certificate(org_b.certificate), "auths": [name]}
    )
    service = parse_service_file("api", data.encode(), "known_servers")
    assert (service.host, service.port, service.path) == ("api.example", 9443, "/v1")
    assert service.auths == (name,)
    assert service.verifier == ConfiguredCA((org_b.certificate,))


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        pytest.param(b"", "members", id="empty, as while certified rewrites it"),
        pytest.param(b"{", "malformed", id="no YAML"),
        pytest.param(b"\x80\x81", "malformed", id="no text"),
        pytest.param(b"- a", "members", id="a list"),
        pytest.param(b"auths: []", "url", id="no url"),
        pytest.param(b"url: http://x", "url", id="not https"),
        pytest.param(b"url: https://user@x", "url", id="a user"),
        pytest.param(b"url: https://x\nauths: null\ncert: 7", "cert", id="cert is a number"),
        pytest.param(b"url: https://x\nauths: x", "auths", id="auths is a text"),
        pytest.param(b"url: https://x\npeer: a b", "peer", id="no kernel id"),
        pytest.param(b"url: https://x\npeer: org-b", "verifier", id="a partner's, and nothing pinned"),
        pytest.param(b"url: https://x\nverifier: Anything", "verifier", id="an unknown verifier"),
        pytest.param(b"url: https://x\ncert: ''", "verifier", id="nothing that stock certified could use"),
        pytest.param(b"url: https://x\nbearerToken: secret token", "bearerToken", id="a token with a space"),
        pytest.param(b"a: &a [x]\nurl: https://x\nauths: *a", "members", id="YAML that refers to itself"),
        pytest.param(b"url: !!python/object:os.system x", "malformed", id="YAML that makes objects"),
        pytest.param(b"url: https://x\n" + b"#" * 300_000, "too-large", id="too large"),
    ],
)
def test_what_is_no_service_is_refused_without_repeating_it(data: bytes, cause: str) -> None:
    with pytest.raises(LayoutInvalid) as caught:
        parse_service_file("api", data, "known-servers")
    assert (caught.value.cause, caught.value.file) == (cause, "known-servers/api.yaml")
    assert "secret" not in str(caught.value)


def test_a_raw_key_is_not_for_this_client(pod: Pod) -> None:
    from bilateral.pki.fingerprints import parse_fingerprint

    pod.know("api", "https://x", PinnedRawKey((parse_fingerprint("ed25519:" + "0" * 64),)))
    with pytest.raises(LayoutInvalid) as caught:
        find_trust(pod.root).bind("api")
    assert caught.value.cause == "raw-key"


def test_an_authority_that_is_none_is_refused(pod: Pod, org_b: Organisation) -> None:
    leaf = org_b.identity("api", "localhost").identity.certificate
    pod.know("api", "https://x", PeerCA((leaf,)))
    with pytest.raises(LayoutInvalid) as caught:
        find_trust(pod.root).bind("api")
    assert caught.value.cause == "no-authority"


def test_certifieds_null_is_every_authority_of_the_directory_and_at_least_one(
    pod: Pod, org_a: Organisation, org_b: Organisation
) -> None:
    pod.servers.update({"api.yaml": b"url: https://x\n", "b.pem": _pem(org_b)})
    expected = find_trust(pod.root).bind("api").expected.verifier
    assert isinstance(expected, ConfiguredCA)
    assert set(expected.authorities) == {org_a.certificate, org_b.certificate}
    pod.servers.remove("b.pem", "self.crt")
    with pytest.raises(LayoutInvalid) as caught:
        find_trust(pod.root).bind("api")
    assert caught.value.cause == "no-authority"
    pod.servers.update({"c.crt": b"broken"})
    with pytest.raises(LayoutInvalid, match=r"known-servers/c\.crt"):
        find_trust(pod.root).bind("api")


def _pem(organisation: Organisation) -> bytes:
    return organisation.authority.certificate_pem


# --- places -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "ours", "theirs", "expected"),
    [
        ("/argument", "/ours", "/theirs", "/argument"),
        (None, "/ours", "/theirs", "/ours"),
        (None, None, "/theirs", "/theirs"),
        (None, None, None, str(DEFAULT_ROOT)),
        (None, "", "", str(DEFAULT_ROOT)),
    ],
)
def test_the_root(argument: str | None, ours: str | None, theirs: str | None, expected: str) -> None:
    with environment(BILATERAL_CONFIG=ours, CERTIFIED_CONFIG=theirs, VIRTUAL_ENV="/venv"):
        assert find_root(argument) == expected


def test_mounted_parts_come_before_certifieds(tmp_path: Path) -> None:
    for name in ("id", "known_servers", "id-chains", "known-servers", "peers", "peers-1", "peers-x"):
        (tmp_path / name).mkdir()
    places = Places.locate(tmp_path)
    assert places.identity == tmp_path
    assert places.chains == tmp_path / "id-chains"
    assert places.known_servers == tmp_path / "known-servers"
    assert places.known_clients == tmp_path / "known_clients"
    assert places.peers == (tmp_path / "peers", tmp_path / "peers-1")


def test_a_root_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", _file(tmp_path / "file")):
        with pytest.raises(LayoutInvalid, match="BILATERAL_CONFIG") as caught:
            Places.locate(path)
        assert caught.value.cause == "no-directory"


def _file(path: Path) -> Path:
    path.touch()
    return path


def test_the_pods_side_needs_nothing_of_the_operators() -> None:
    """The bare installation: no Kubernetes, no operator's server, no schemas."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, bilateral.client, bilateral.client.layout; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    foreign = {"kubernetes", "kopf", "aiohttp", "pydantic", "uvicorn", "certified"}
    assert foreign.isdisjoint(loaded)
    ours = {name.split(".")[1] for name in loaded if name.startswith("bilateral.")}
    assert ours == {"client", "pki", "protocol", "tls"}
