"""What the search for secrets is given of identities, services and introductions: known keys, tokens and words.

Whatever a partner or a stranger can write is written here with the word in it, and what is secret is in places
where the operator reads it, beside something that makes it fail: an error is where a value slips out.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from datetime import UTC, datetime
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.exchange.paths import INTRODUCTION_STATUS_PATH, INTRODUCTIONS_PATH
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.pem import private_key_pem
from bilateral.pki.requests import build_request
from bilateral.protocol.documents import sign_document
from bilateral.protocol.introduction_request import Claims, build_introduction_request, build_status_request
from bilateral.protocol.problems import PROBLEM_MEDIA_TYPE
from bilateral.protocol.strictjson import JSON
from bilateral.resources.labels import SECRET_LABEL, SECRET_REFERENCED
from cluster.scene import IDENTITIES, INTRODUCTIONS, PEERS, SECRETS, SERVICES, Object, Scene
from support.caller import Caller
from support.partner import Reply
from support.waiting import wait_for

SERVICE_TOKEN = "service-token-3b9f17d2c8"
BROKEN_TOKEN = "broken-token-6a1d and-more-84f0e2"
HOST_TOKEN = "host-token-90be51c4a7"
OWN_KEY = private_key_pem(ec.derive_private_key(0xC0FFEE5EED0123456789, ec.SECP256R1()))
TOKENS = (SERVICE_TOKEN, *BROKEN_TOKEN.split(), HOST_TOKEN)


def furnish(scene: Scene, word: str) -> None:
    """Identities, services and introductions, good and broken; returns when each was judged."""
    pem = scene.partners.authority.certificate_pem.decode()
    scene.partner("introducer").introductions = Reply(
        json.dumps({word: word, "id": word, "introduction": word, "state": word}).encode()
    )
    scene.partner("refuser").introductions = Reply(
        json.dumps({"type": word, "title": word, "detail": word, "status": 422}).encode(),
        422,
        PROBLEM_MEDIA_TYPE,
    )
    scene.partner("announcer").statement = json.dumps({"body": {word: word}, "signature": word}).encode()
    for name in ("introducer", "refuser"):
        scene.add_peer(name, certificateAuthorities={"mode": "Pinned", "pems": [pem]})
    scene.add_peer("announcer")
    scene.wait_ready("introducer", "refuser", "announcer")

    _referenced(scene, "own-key", {"tls.csr": _request("owner"), "tls.key": OWN_KEY})
    _referenced(scene, "spoiled-key", {"tls.csr": word.encode(), "tls.key": OWN_KEY})
    for name, token in {"good": SERVICE_TOKEN, "broken": BROKEN_TOKEN, "elsewhere": HOST_TOKEN}.items():
        hosts = {"hosts": f"{word.lower()}.example".encode()} if name == "elsewhere" else {}
        _referenced(scene, f"token-{name}", {"token": token.encode(), **hosts})
        reference = {"name": f"token-{name}", "key": "token"}
        spec = {"url": "https://api.org-b.example", "bearerTokenSecretRef": reference}
        scene.add(SERVICES, f"api-{name}", **spec)
    scene.add_identity("caller", perServiceTLS="Enabled", clients=["self", "introducer"])
    scene.add_identity("owner", key={"source": "Provided", "secretName": "own-key"})
    scene.add_identity("spoiled", key={"source": "Provided", "secretName": "spoiled-key"})
    for name in ("caller", "owner"):
        scene.wait(IDENTITIES, name, "Ready", status="True")
    scene.wait(IDENTITIES, "spoiled", "SubjectRefused")
    scene.wait(SERVICES, "api-good", "Ready", status="True")
    scene.wait(SERVICES, "api-broken", "TokenInvalid")
    scene.wait(SERVICES, "api-elsewhere", "TokenNotForHost")
    wait_for(
        lambda: "api-good.yaml" in (scene.secret("caller-known-servers") or {}), "the token in its place"
    )
    _introduce(scene, word)


def _introduce(scene: Scene, word: str) -> None:
    mounted = scene.secret("caller-identity") or {}
    good = issue_introduction(
        scene.partners.authority, mounted["tls.crt"], (), 86_400, datetime.now(UTC)
    ).to_json()
    services = json.dumps({**json.loads(good), "services": {word: word}})
    texts = {"good": good, "word": json.dumps({word: word}), "member": services}
    for name, text in texts.items():
        accept: Object = {"identity": "caller", "peer": "introducer", "introduction": text}
        scene.add(INTRODUCTIONS, f"accept-{name}", accept=accept)
    _referenced(scene, "handed-over", {"introduction.json": word.encode() + mounted["tls.key"]})
    accept = {"identity": "caller", "peer": "introducer", "introductionSecretRef": {"name": "handed-over"}}
    scene.add(INTRODUCTIONS, "accept-secret", accept=accept)
    for peer in ("introducer", "refuser"):
        request = {"identity": "caller", "peer": peer}
        scene.add(INTRODUCTIONS, f"request-{peer}", request=request)
    issue = {"trustDomain": "org-a", "subject": word, "approval": "Approved"}
    scene.add(INTRODUCTIONS, "issue-word", issue=issue)
    scene.wait(INTRODUCTIONS, "accept-good", "Ready", status="True")
    for name in ("accept-word", "accept-member", "accept-secret", "issue-word"):
        wait_for(partial(_is_refused, scene, INTRODUCTIONS, name), f"{name} is refused")
    for name in ("request-introducer", "request-refuser"):
        wait_for(partial(_last_request, scene, name), f"{name} is asked")
    wait_for(lambda: scene.partner("announcer").statements_asked, "the statement is asked for")
    wait_for(lambda: _is_refused(scene, PEERS, "announcer", "AuthoritiesKnown"), "the statement is refused")


def ask_for_introductions(scene: Scene, caller: Caller, word: str) -> dict[str, str]:
    """Ask the endpoint as a partner and as a stranger, with the word wherever one may write; what it said."""
    us, sender = scene.kernel("org-a"), scene.kernel("introducer")
    key = scene.partner("introducer").key

    def claims(**said: str) -> Claims:
        nonce = f"{word}{uuid.uuid4()}"
        return Claims(said.get("sender", sender), said.get("addressee", us), int(time.time()), nonce)

    def request(csr: str, *services: str, said: Claims | None = None) -> bytes:
        return build_introduction_request(
            said or claims(), csr=csr, services=services, validity_seconds=3600, key=key
        )

    good = _request("somebody").decode()
    told: dict[str, JSON] = {
        "schema": "bilateral.introduction-status-request.v1", "sender": sender, "addressee": us,
        "timestamp": int(time.time()), "nonce": str(uuid.uuid4()), "id": word,
    }  # fmt: skip
    bodies: dict[str, tuple[bytes, str]] = {
        "no request": (request(word), INTRODUCTIONS_PATH),
        "an unknown service": (request(good, f"a-{word.lower()}"), INTRODUCTIONS_PATH),
        "a stranger": (request(good, said=claims(sender="stranger")), INTRODUCTIONS_PATH),
        "somebody else": (request(good, said=claims(addressee=f"else-{word}")), INTRODUCTIONS_PATH),
        "an unknown id": (build_status_request(claims(), uuid.uuid4().hex, key), INTRODUCTION_STATUS_PATH),
        "an id": (json.dumps(sign_document(told, key)).encode(), INTRODUCTION_STATUS_PATH),
        "no JSON": (word.encode(), INTRODUCTIONS_PATH),
        "a member": (json.dumps({"body": {word: word}, "signature": word}).encode(), INTRODUCTION_STATUS_PATH),
        "a path": (word.encode(), f"{INTRODUCTIONS_PATH}/{word}"),
    }  # fmt: skip
    answers = {name: caller.post(body, path=path) for name, (body, path) in bodies.items()}
    assert {name for name, answer in answers.items() if answer.status == 202} == {"an unknown service"}
    return {f"introductions: {name}": f"{answer.fields}{answer.body!r}" for name, answer in answers.items()}


def _request(name: str) -> bytes:
    key = ec.derive_private_key(0xC0FFEE5EED0123456789, ec.SECP256R1())
    return build_request(Subject(common_name=name), key).encode()


def _referenced(scene: Scene, name: str, data: dict[str, bytes]) -> None:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name, "labels": {SECRET_LABEL: SECRET_REFERENCED}}
    scene.create(SECRETS, {"metadata": metadata, "data": encoded})


def _last_request(scene: Scene, name: str) -> str | None:
    """When the partner was last asked for an Introduction."""
    status: Object = scene.get(INTRODUCTIONS, name).get("status") or {}
    last: str | None = status.get("lastRequestTime")
    return last


def _is_refused(scene: Scene, plural: str, name: str, kind: str = "Ready") -> bool:
    conditions = scene.get(plural, name).get("status", {}).get("conditions", ())
    return any(each["type"] == kind and each["status"] == "False" for each in conditions)
