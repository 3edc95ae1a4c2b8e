"""What a partner, or somebody who says to be one, can do by asking our operator for introductions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bilateral.exchange.paths import INTRODUCTION_STATUS_PATH, INTRODUCTIONS_PATH
from bilateral.pki.names import Subject
from bilateral.pki.pem import PrivateKey
from bilateral.pki.requests import build_request
from bilateral.protocol.documents import sign_document
from bilateral.protocol.introduction_request import (
    Claims,
    Granted,
    RequestState,
    Waiting,
    build_introduction_request,
    build_status_request,
    parse_answer_body,
)
from bilateral.protocol.keys import SigningKey
from bilateral.reconcile.requested_introductions import MAX_PENDING
from cluster.scene import INTRODUCTIONS, PEERS, SERVICES, Object
from cluster.stage import Stage, open_stage
from support.caller import Answer, Caller
from support.waiting import wait_for
from testbed.cluster import Cluster

CANARY = "c4n4ry"
HOUR = 3600


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(cluster, tmp_path_factory.mktemp("asked")) as stage:
        for alias, url, peer in (
            ("org-a-api", "https://api.org-a.example:9443", None),
            ("theirs", "https://api.org-x.example", "first"),
        ):
            spec = {"url": url} if peer is None else {"url": url, "peer": peer}
            stage.scene.add(SERVICES, alias, **spec)
        stage.ready("first")
        yield stage


def claims(stage: Stage, name: str, *, ahead: int = 0, addressee: str | None = None) -> Claims:
    return Claims(
        stage.scene.kernel(name), addressee or stage.us, int(time.time()) + ahead, str(uuid.uuid4())
    )


def signing_request(name: str = "client1", key: PrivateKey | None = None) -> str:
    return build_request(Subject(common_name=name), key or ec.generate_private_key(ec.SECP256R1()))


def document(
    stage: Stage,
    name: str,
    csr: str,
    *services: str,
    key: SigningKey | None = None,
    validity: int = HOUR,
    said: Claims | None = None,
) -> bytes:
    return build_introduction_request(
        said or claims(stage, name),
        csr=csr,
        services=services,
        validity_seconds=validity,
        key=key or stage.scene.partner(name).key,
    )


def post(stage: Stage, body: bytes, path: str = INTRODUCTIONS_PATH, bearer: str | None = None) -> Answer:
    return Caller(stage.operator.port).post(body, path=path, bearer=bearer)


def ask(stage: Stage, name: str, csr: str, *services: str) -> Answer:
    return post(stage, document(stage, name, csr, *services))


def status_of(stage: Stage, name: str, request_id: str) -> Answer:
    body = build_status_request(claims(stage, name), request_id, stage.scene.partner(name).key)
    return post(stage, body, INTRODUCTION_STATUS_PATH)


def pending(answer: Answer) -> str:
    assert answer.status == 202, answer.body
    told = parse_answer_body(answer.body)
    assert isinstance(told, Waiting)
    assert told.state is RequestState.PENDING
    return told.id


def refused(answer: Answer, status: int, suffix: str) -> None:
    problem = json.loads(answer.body)
    assert (answer.status, problem["type"].rsplit("/", 1)[-1]) == (status, suffix), answer.body
    assert CANARY not in answer.body.decode()


def objects(stage: Stage, name: str) -> list[Object]:
    found = stage.scene.objects(INTRODUCTIONS)
    return [each for each in found if each["spec"]["issue"]["peer"] == name]


def assert_nothing_was_made(stage: Stage, name: str) -> None:
    assert objects(stage, name) == []


def test_a_request_is_put_before_a_person_and_its_copies_change_nothing(stage: Stage) -> None:
    """R-H2: a replayed document, at once and later, is the same request."""
    stage.ready("copied")
    key = ec.generate_private_key(ec.SECP256R1())
    body = document(stage, "copied", signing_request("client1", key), "org-a-api", "theirs", "unknown")
    answers = Caller(stage.operator.port).post_all([body] * 20, INTRODUCTIONS_PATH)
    assert len({pending(answer) for answer in answers}) == 1
    (made,) = objects(stage, "copied")
    since = stage.scene.cluster.audit_position()
    request_id = pending(post(stage, body))
    # A new document, a new signing request: the same key, name and wishes are the same request.
    assert (
        pending(ask(stage, "copied", signing_request("client1", key), "theirs", "unknown", "org-a-api"))
        == request_id
    )
    assert pending(status_of(stage, "copied", request_id)) == request_id
    assert [each for each in stage.scene.writes(since) if each.resource == INTRODUCTIONS] == []

    issue = made["spec"]["issue"]
    assert issue["approval"] == "Pending"
    assert issue["validitySeconds"] == HOUR
    # Only services of ours are offered, at the address that we say.
    assert issue["services"] == [{"alias": "org-a-api", "url": "https://api.org-a.example:9443"}]
    assert made["metadata"]["name"] == f"copied-client1-{request_id[:8]}"


def test_after_the_approval_the_document_is_handed_out_to_that_partner_alone(stage: Stage) -> None:
    stage.ready("approved")
    request_id = pending(ask(stage, "approved", signing_request(), "org-a-api"))
    (made,) = objects(stage, "approved")
    name = made["metadata"]["name"]
    stage.scene.patch(INTRODUCTIONS, name, {"spec": {"issue": {"approval": "Approved"}}})
    signed = stage.scene.wait(INTRODUCTIONS, name, "Ready", status="True")
    answer = status_of(stage, "approved", request_id)
    assert answer.status == 200
    assert parse_answer_body(answer.body) == Granted(request_id, signed["status"]["introduction"])
    refused(status_of(stage, "first", request_id), 404, "unknown-request")
    refused(status_of(stage, "approved", "0" * 32), 404, "unknown-request")
    stage.scene.patch(INTRODUCTIONS, name, {"spec": {"issue": {"approval": "Denied"}}})
    wait_for(lambda: status_of(stage, "approved", request_id).status == 403, "the denial")
    refused(status_of(stage, "approved", request_id), 403, "denied")


def test_a_suspended_or_unproven_partner_or_a_stranger_is_refused(stage: Stage) -> None:
    stage.scene.add_peer("unproven", passive=True)
    stage.scene.wait(PEERS, "unproven", "AwaitingEnvelope")
    refused(ask(stage, "unproven", signing_request()), 409, "peer-not-pinned")
    stage.ready("suspended")
    stage.scene.patch(PEERS, "suspended", {"spec": {"state": "Suspended"}})
    stage.scene.wait(PEERS, "suspended", "Suspended")
    refused(ask(stage, "suspended", signing_request()), 409, "peer-not-pinned")
    refused(
        post(stage, document(stage, "nobody", signing_request(), key=SigningKey.generate())),
        412,
        "missing-trust-anchor",
    )
    for name in ("unproven", "suspended", "nobody"):
        assert_nothing_was_made(stage, name)


def test_what_is_not_the_partners_own_fresh_word_is_refused(stage: Stage) -> None:
    stage.ready("strict", authTokenHash="sha256:" + "b" * 64)
    csr = signing_request()
    told = document(stage, "strict", csr)
    other = SigningKey.generate()
    refused(post(stage, document(stage, "strict", csr, key=other)), 403, "unexpected-peer-key")
    refused(
        post(stage, document(stage, "strict", csr, said=claims(stage, "strict", ahead=-400))),
        422,
        "clock-skew-exceeded",
    )
    refused(
        post(stage, document(stage, "strict", csr, said=claims(stage, "strict", ahead=400))),
        422,
        "clock-skew-exceeded",
    )
    elsewhere = claims(stage, "strict", addressee="another-kernel")
    refused(post(stage, document(stage, "strict", csr, said=elsewhere)), 421, "address-mismatch")
    refused(post(stage, told, INTRODUCTION_STATUS_PATH), 422, "unsupported-schema")
    refused(post(stage, told), 401, "unauthorized-bearer")  # they must send a token, too
    refused(post(stage, told, bearer=CANARY), 401, "unauthorized-bearer")
    changed = json.loads(told)
    changed["body"]["validitySeconds"] = 7200
    refused(post(stage, json.dumps(changed).encode()), 401, "invalid-signature")
    envelope = stage.scene.partner("strict").sign(stage.us)
    refused(post(stage, envelope.to_json()), 400, "malformed-document")
    assert_nothing_was_made(stage, "strict")


def named(attributes: list[x509.NameAttribute[str]], key: PrivateKey, *, ca: bool = False) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def common(text: str) -> list[x509.NameAttribute[str]]:
    return [x509.NameAttribute(NameOID.COMMON_NAME, text)]


def hostile(stage: Stage) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    status = stage.scene.get("trustdomains", "org-a")["status"]["certificateAuthority"]
    ours = x509.load_pem_x509_certificate(status["certificate"].encode())
    (name,) = ours.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    good = x509.load_pem_x509_csr(named(common(CANARY), ed25519.Ed25519PrivateKey.generate()).encode())
    der = bytearray(good.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return {
        "RSA-1024": named(common(CANARY), rsa.generate_private_key(65537, 1024)),
        "P-521": named(common(CANARY), ec.generate_private_key(ec.SECP521R1())),
        "no subject": named([], key),
        "a request for an authority": named(common(CANARY), key, ca=True),
        "our authority's own name": named(common(str(name.value)), key),
        "our authority's name in capitals": named(common(str(name.value).upper()), key),
        "a bomb of a name": named(common(CANARY) * 33, key),
        "a wrong signature": x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode(),
        "a certificate": status["certificate"],
        "no request": f"-----BEGIN CERTIFICATE REQUEST-----\n{CANARY}\n-----END CERTIFICATE REQUEST-----\n",
    }  # fmt: skip


def test_hostile_signing_requests_never_reach_a_person(stage: Stage) -> None:
    stage.ready("hostile")
    for name, csr in hostile(stage).items():
        answer = ask(stage, "hostile", csr)
        assert answer.status == 422, (name, answer.body)
        refused(answer, 422, "subject-refused")
    sender = claims(stage, "hostile")
    for services in (["../x"], ["/x"], ["API"], ["a" * 300], ["a", "a"], [f"a{n}" for n in range(65)], [1]):
        body = {
            "schema": "bilateral.introduction-request.v1", "sender": sender.sender, "addressee": sender.addressee,
            "timestamp": sender.timestamp, "nonce": sender.nonce, "csr": signing_request(), "services": services,
            "validitySeconds": HOUR,
        }  # fmt: skip
        signed = sign_document(body, stage.scene.partner("hostile").key)  # type: ignore[arg-type]  # it is JSON
        refused(post(stage, json.dumps(signed).encode()), 400, "malformed-document")
    # Labels that only a service could not have.
    refused(ask(stage, "hostile", signing_request(), "-a"), 400, "malformed-document")
    assert_nothing_was_made(stage, "hostile")
    assert CANARY not in stage.operator.log_text()


def test_a_name_with_anything_in_it_makes_a_plain_objects_name(stage: Stage) -> None:
    stage.ready("named")
    key = ec.generate_private_key(ec.SECP256R1())
    for text in ("\u202e/../Client \u00d8 1.example", "\u4e2d\u6587", "-" * 64):
        pending(ask(stage, "named", named(common(text), key)))
    names = sorted(each["metadata"]["name"].rsplit("-", 1)[0] for each in objects(stage, "named"))
    assert names == ["named-ca", "named-ca", "named-client-1-example"]


def test_at_most_64_requests_of_a_partner_wait(stage: Stage) -> None:
    stage.ready("flooding")
    stage.ready("beside")
    ids = [pending(ask(stage, "flooding", signing_request(f"client{n}"))) for n in range(MAX_PENDING)]
    answer = ask(stage, "flooding", signing_request("one-more"))
    refused(answer, 429, "too-many-pending")
    assert answer["Retry-After"] is not None
    assert len(objects(stage, "flooding")) == MAX_PENDING
    # What waits is still told, another partner is still heard, and a decision makes room.
    assert pending(status_of(stage, "flooding", ids[0])) == ids[0]
    pending(ask(stage, "beside", signing_request()))
    name = objects(stage, "flooding")[0]["metadata"]["name"]
    stage.scene.patch(INTRODUCTIONS, name, {"spec": {"issue": {"approval": "Denied"}}})
    csr = signing_request("one-more")
    wait_for(lambda: ask(stage, "flooding", csr).status == 202, "room for another")
