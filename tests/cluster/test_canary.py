"""No secret and no word of a partner's is anywhere but where it belongs.

An operator at its most talkative is given keys and tokens of known bytes and partners who say a known word wherever
they can say anything; then everything that it wrote is searched. Proves R-K5 and R-S4.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.tokens import hash_token
from bilateral.protocol.handshake import HANDSHAKE_SCHEMA
from bilateral.protocol.keys import SigningKey
from bilateral.protocol.problems import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_PREFIX
from bilateral.resources.labels import ENVELOPE_ANNOTATION, SECRET_LABEL, SECRET_REFERENCED
from cluster import canary_access
from cluster.scene import (
    DOMAINS,
    IDENTITIES,
    INTRODUCTIONS,
    PEERS,
    SECRETS,
    SERVICES,
    Object,
    Scene,
    open_scene,
)
from support.caller import Caller
from support.partner import Behaviour, honest, saying, with_key
from support.waiting import wait_for
from testbed.cluster import Cluster

WORD = "CANARY-4f1e9b-CANARY"
"""What partners and strangers say; it is also in no name of ours."""
SEED = bytes.fromhex("c0ffee" * 10 + "c0de")
SEAL = bytes(range(0x61, 0x81))
SENT_TOKEN = "sent-token-5b1c8e2f9a"
RECEIVED_TOKEN = "received-token-7d3a90c4e1"
OFFERED_TOKEN = "offered-token-1f2e3d4c5b"

PROBLEM = json.dumps(
    {
        "type": PROBLEM_TYPE_PREFIX + "missing-trust-anchor",
        "title": WORD, "detail": WORD, "status": 412, "kernelId": WORD, WORD: WORD,
    }
).encode()  # fmt: skip
LINE = {"X-Said": WORD, "Server": WORD, "Set-Cookie": f"said={WORD}", "WWW-Authenticate": WORD}


def saying_it(body: bytes, status: int, media_type: str = PROBLEM_MEDIA_TYPE) -> Behaviour:
    return saying(
        body, status=status, media_type=media_type, **{k.replace("-", "_"): v for k, v in LINE.items()}
    )


TALKERS: dict[str, tuple[Behaviour, str]] = {
    "412": (saying_it(PROBLEM, 412), "AwaitingPartner"),
    "401": (saying_it(PROBLEM, 401), "AwaitingPartner"),
    "403": (saying_it(WORD.encode(), 403, "text/plain"), "RefusedByPartner"),
    "500": (saying_it(WORD.encode(), 500, f"text/{WORD.lower()}"), "AnswerInvalid"),
    "429": (saying(b"", status=429, Retry_After=WORD), "TooManyRequests"),
    "redirect": (saying(b"", status=302, Location=f"https://{WORD.lower()}.test/"), "AnswerInvalid"),
    "no envelope": (saying_it(json.dumps({WORD: WORD}).encode(), 200, "application/json"), "AnswerInvalid"),
    "a schema": (
        saying(json.dumps({"challenge": {"schema": WORD}, "declaredPublicKey": WORD, "signature": WORD}).encode()),
        "UnsupportedSchema",
    ),
    "another key": (with_key(SigningKey.generate()), "UnexpectedPeerKey"),
    "a token refused": (saying_it(PROBLEM, 401), "AwaitingPartner"),
    "plain text": (saying(b"not json at all " + WORD.encode()), "AnswerInvalid"),
    "honest": (honest, "Fresh"),
}  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """Everything that came out of the operator, by where it was found."""

    texts: dict[str, str]
    authority: Authority
    generated: dict[str, bytes]


def name_of(row: str) -> str:
    return f"talker-{list(TALKERS).index(row)}"


def add_secret(scene: Scene, name: str, data: dict[str, bytes], kind: str = "Opaque") -> None:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name, "labels": {SECRET_LABEL: SECRET_REFERENCED}}
    scene.create(SECRETS, {"metadata": metadata, "type": kind, "data": encoded})


@pytest.fixture(scope="module")
def evidence(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    with open_scene(cluster, tmp_path_factory.mktemp("canary")) as scene:
        operator = scene.operator("--log-level=debug")
        authority = generate_authority(
            Subject(common_name="Canary CA"), algorithm="ECDSAP256", validity_seconds=86_400,
            now=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip
        add_secret(scene, "known-key", {"private.pem": SigningKey.from_seed(SEED).pkcs8_pem()})
        add_secret(scene, "org-a-seal", {"seal.key": SEAL})
        add_secret(scene, "sent", {"token": SENT_TOKEN.encode()})
        # Broken ones: an error is where a value slips out most easily.
        add_secret(scene, "broken-key", {"private.pem": b"-----BEGIN PRIVATE KEY-----\n" + WORD.encode()})
        add_secret(
            scene, "broken-ca", {"tls.crt": WORD.encode(), "tls.key": authority.key_pem}, "kubernetes.io/tls"
        )
        add_secret(
            scene, "known-ca", {"tls.crt": authority.certificate_pem, "tls.key": authority.key_pem},
            "kubernetes.io/tls",
        )  # fmt: skip
        scene.add_domain(
            url=operator.url,
            signingKey={"secretName": "known-key"},
            certificateAuthority={"source": "Provided", "secretName": "known-ca"},
        )
        scene.add_domain("broken", signingKey={"secretName": "broken-key"})
        provided = {"source": "Provided", "secretName": "broken-ca"}
        scene.add_domain("broken-too", certificateAuthority=provided)
        scene.wait(DOMAINS, "org-a", "Ready", status="True")
        scene.wait(DOMAINS, "broken", "KeyInvalid")
        scene.wait(DOMAINS, "broken-too", "AuthorityInvalid")
        reference = {"bearerTokenSecretRef": {"name": "sent"}}
        endpoint = {
            "url": scene.partners.url,
            "verifier": {"certificateAuthority": {"pem": scene.partners.authority.certificate_pem.decode()}},
        }
        for row, (behaviour, _) in TALKERS.items():
            scene.behave(name_of(row), behaviour)
            scene.add_peer(name_of(row), endpoint=endpoint | reference)
        scene.add_peer("known", passive=True, authTokenHash=hash_token(RECEIVED_TOKEN))
        scene.wait(PEERS, "known", "AwaitingEnvelope")
        for row, (_, reason) in TALKERS.items():
            scene.wait(PEERS, name_of(row), reason)
        answers = ask_for_trouble(scene, Caller(operator.port))
        canary_access.furnish(scene, WORD)
        answers |= canary_access.ask_for_introductions(scene, Caller(operator.port), WORD)
        text = json.dumps({WORD: WORD})
        scene.patch(PEERS, "known", {"metadata": {"annotations": {ENVELOPE_ANNOTATION: text}}})
        wait_for(lambda: scene.get(PEERS, "known")["status"].get("offeredEnvelope"), "a verdict")
        wait_for(lambda: scene.listed_peers().keys() >= {scene.kernel("known")}, "the list", 15)
        scene.cluster.restart_apiserver()
        operator.stop()
        operator.start()
        texts = answers | everything_written(scene)
        texts["metrics"] = operator._get("/metrics", 10)[1].decode()
        texts["log"] = "".join(file.read_text() for file in sorted(operator.directory.glob("operator-*.log")))
        generated = {
            f"{secret['metadata']['name']} {key}": base64.b64decode(value)
            for secret in scene.objects(SECRETS)
            for key, value in secret.get("data", {}).items()
            if key in {"private.pem", "seal.key", "tls.key", "id.key"} and value
        }
        yield Evidence(texts, authority, generated)


def ask_for_trouble(scene: Scene, caller: Caller) -> dict[str, str]:
    """Ask the endpoint in every way that is refused, with the word and tokens in it; return what it said."""
    us, partner = scene.kernel("org-a"), scene.partner("known")
    good = partner.sign(us, nonce=WORD).to_json()
    bodies: dict[str, tuple[bytes, dict[str, Any]]] = {
        "no token": (good, {}),
        "another token": (good, {"bearer": OFFERED_TOKEN}),
        "two tokens": (good, {"bearer": f"{OFFERED_TOKEN} {WORD}"}),
        "a scheme": (good, {"Authorization": f"Basic {OFFERED_TOKEN}"}),
        "forged": (good.replace(b'"signature":"', b'"signature":"00')[:-4] + b'"}', {}),
        "no JSON": (WORD.encode(), {}),
        "a member": (json.dumps({WORD: WORD}).encode(), {}),
        "a schema": (good.replace(HANDSHAKE_SCHEMA.encode(), WORD.encode()), {}),
        "a nonce": (partner.sign(us, nonce=WORD, ahead=-900).to_json(), {}),
        "a media type": (good, {"media_type": f"text/{WORD}"}),
        "a path": (good, {"path": f"/{WORD}"}),
        "a query": (good, {"path": f"/v1/federation/handshake?{WORD}"}),
        "a method": (b"", {"method": "CANARY"}),
        "a header": (good, {"X_Said": WORD, "Expect": WORD, "Cookie": WORD}),
        "large": (WORD.encode() * 1000, {}),
    }
    answers = {name: caller.post(body, **options) for name, (body, options) in bodies.items()}
    assert {answer.status // 100 for answer in answers.values()} == {4}
    accepted = caller.post(partner.sign(us, nonce=WORD, ahead=1), bearer=RECEIVED_TOKEN)
    assert accepted.status == 200
    answers["accepted"] = accepted
    with caller.connect() as connection:
        connection.sendall(f"{WORD} {WORD}\r\n\r\n".encode())
        raw = connection.recv(65536).decode()
    return {f"answer: {name}": f"{answer.fields}{answer.body!r}" for name, answer in answers.items()} | {
        "answer: no HTTP": raw
    }


def everything_written(scene: Scene) -> dict[str, str]:
    """Every object of the namespace but what persons wrote: statuses, events, and no Secret's data."""
    found = {}
    for plural in (DOMAINS, PEERS, IDENTITIES, SERVICES, INTRODUCTIONS):
        for obj in scene.objects(plural):
            found[f"status: {plural}/{obj['metadata']['name']}"] = json.dumps(obj["status"])
    found["events"] = json.dumps(scene.objects("events"))
    found["leases"] = json.dumps(scene.objects("leases"))
    for secret in scene.objects(SECRETS):
        metadata: Object = {key: value for key, value in secret["metadata"].items() if key != "managedFields"}
        found[f"metadata: secrets/{metadata['name']}"] = json.dumps(metadata)
        if metadata["name"].endswith("-peers"):
            found[f"data: secrets/{metadata['name']}"] = "".join(
                base64.b64decode(value).decode() for value in secret["data"].values()
            )
    return found


def forms_of(secret: bytes) -> set[str]:
    """The ways in which bytes are commonly written out."""
    body = "".join(line for line in secret.decode("latin-1").splitlines() if not line.startswith("-----"))
    plain = {secret.decode("latin-1"), body, repr(secret)[2:-1], json.dumps(secret.decode("latin-1"))[1:-1]}
    # Three alignments: base64 of a longer text holds it in one of these.
    aligned = {base64.b64encode(bytes(shift) + secret)[4:-4].decode() for shift in range(3)}
    return {
        form
        for form in plain
        | aligned
        | {form.replace("+", "-").replace("/", "_") for form in aligned}
        | {secret.hex(), secret.hex().upper(), secret.hex(":"), secret[::-1].hex(), str(list(secret))}
        if len(form) >= 12
    }


def assert_nowhere(evidence: Evidence, forms: set[str]) -> None:
    assert {
        (place, form) for place, text in evidence.texts.items() for form in forms if form in text
    } == set()


SECRET_BYTES = {
    "the signing key's seed": SEED,
    "half of the seed": SEED[:16],
    "the seal's key": SEAL,
    "the token that we send": SENT_TOKEN.encode(),
    "the token that we are sent": RECEIVED_TOKEN.encode(),
    "a token that was offered": OFFERED_TOKEN.encode(),
    "a key whose owner showed its request": canary_access.OWN_KEY,
    **{f"the token {token[:6]}… of a service": token.encode() for token in canary_access.TOKENS},
}


@pytest.mark.parametrize("what", SECRET_BYTES)
def test_a_secret_is_nowhere_in_whatever_form(evidence: Evidence, what: str) -> None:
    assert_nowhere(evidence, forms_of(SECRET_BYTES[what]))


def test_private_keys_that_the_operator_made_or_read_are_nowhere(evidence: Evidence) -> None:
    assert len(evidence.generated) >= 12
    for secret in evidence.generated.values():
        assert_nowhere(evidence, forms_of(secret))
    number = evidence.authority.key.private_numbers().private_value  # type: ignore[union-attr]  # an EC key
    assert_nowhere(evidence, {f"{number:064x}", str(number)})


def test_a_word_of_a_partner_or_stranger_is_nowhere(evidence: Evidence) -> None:
    # The one exception is the contract's: the problem repeats the sender's own kernel id.
    assert_nowhere(evidence, forms_of(WORD.encode()) | {WORD.lower(), WORD.upper()})


def test_nothing_private_is_written_in_the_log_in_general(evidence: Evidence) -> None:
    for text in ("PRIVATE KEY", "Bearer ", "Authorization", "Traceback"):
        assert text not in evidence.texts["log"]
    assert '"level": "debug"' in evidence.texts["log"] or '"level": "info"' in evidence.texts["log"]


def test_the_search_would_find_what_it_looks_for(evidence: Evidence) -> None:
    planted = Evidence({"log": f"x {base64.b64encode(b'ab' + SEED).decode()} y"}, evidence.authority, {})
    with pytest.raises(AssertionError):
        assert_nowhere(planted, forms_of(SEED))
