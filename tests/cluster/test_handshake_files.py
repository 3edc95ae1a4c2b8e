"""Envelopes that come as files, and tokens that go with those that do not.

Proves R-T6 (a token leaves only where it should) and R-K2 (a Secret must opt in).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from bilateral.resources.labels import ENVELOPE_ANNOTATION, SECRET_LABEL, SECRET_REFERENCED
from bilateral.resources.times import parse_time
from cluster.scene import PEERS, SECRETS, Object, condition_of
from cluster.stage import Stage, open_stage
from support.waiting import wait_for
from testbed.cluster import Cluster


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(cluster, tmp_path_factory.mktemp("files")) as stage:
        yield stage


@dataclass(frozen=True)
class File:
    """An envelope that is handed over as an annotation, and the verdict."""

    verdict: str
    age: int = 0
    skew: int | None = None
    change: Callable[[str], str] = str


FILES = {
    "fresh": File("EnvelopeAccepted"),
    "five minutes old": File("EnvelopeAccepted", age=295),
    "six minutes old": File("ClockSkewExceeded", age=360),
    "nearly a day old, where a day is allowed": File("EnvelopeAccepted", age=86_390, skew=86_400),
    "more than a day old": File("ClockSkewExceeded", age=86_410, skew=86_400),
    "of tomorrow": File("ClockSkewExceeded", age=-86_410, skew=86_400),
    "tampered with": File("InvalidSignature", change=lambda text: text.replace('"nonce":"', '"nonce":"x')),
    "not an envelope": File("MalformedDocument", change=lambda _: "hello"),
    "of another schema": File("UnsupportedSchema", change=lambda text: text.replace("shake.v1", "shake.v2")),
    "for somebody else": File("InvalidSignature", change=lambda text: text.replace("org-a", "org-z")),
}


@pytest.mark.parametrize("row", FILES)
def test_an_envelope_by_file_is_judged_like_any_other(stage: Stage, row: str) -> None:
    case = FILES[row]
    name = f"file-{list(FILES).index(row)}"
    handshake = {} if case.skew is None else {"maxClockSkewSeconds": case.skew}
    stage.scene.add_peer(name, passive=True, handshake=handshake)
    envelope = stage.scene.partner(name).sign(stage.us, ahead=-case.age)
    text = case.change(envelope.to_json().decode())
    stage.scene.patch(PEERS, name, {"metadata": {"annotations": {ENVELOPE_ANNOTATION: text}}})
    digest = hashlib.sha256(text.encode()).hexdigest()
    offered: Object = wait_for(
        lambda: stage.scene.get(PEERS, name).get("status", {}).get("offeredEnvelope"), "a verdict"
    )
    assert offered == {"digest": digest, "reason": case.verdict}
    accepted = case.verdict == "EnvelopeAccepted"
    assert ("pin" in stage.scene.get(PEERS, name)["status"]) == accepted
    # The window starts when it is accepted, however long it was on its way.
    if accepted:
        pin = stage.scene.get(PEERS, name)["status"]["pin"]
        assert parse_time(pin["establishedAt"]) == pytest.approx(time.time(), abs=5)


# Tokens


def secret(name: str, data: dict[str, str], *, labelled: bool = True) -> Object:
    labels = {SECRET_LABEL: SECRET_REFERENCED} if labelled else {}
    return {"metadata": {"name": name, "labels": labels}, "stringData": data}


def test_a_token_is_sent_once_its_secret_is_there_and_opted_in(stage: Stage) -> None:
    reference = {"name": "token-of-b", "key": "word"}
    stage.scene.add_peer("bearer", endpoint=stage.endpoint() | {"bearerTokenSecretRef": reference})
    missing = stage.scene.wait(PEERS, "bearer", "SecretNotFound", status="False")
    assert condition_of(missing, "Stalled")["status"] == "True"
    stage.scene.create(SECRETS, secret("token-of-b", {"word": "open-sesame"}, labelled=False))
    peer = stage.ask("bearer", "unlabelled")
    assert condition_of(peer)["reason"] == "SecretNotFound"
    assert stage.scene.asked("bearer") == 0
    label = {"metadata": {"labels": {SECRET_LABEL: SECRET_REFERENCED}}}
    stage.scene.patch(SECRETS, "token-of-b", label)
    stage.scene.wait(PEERS, "bearer", "Fresh", status="True")
    assert stage.scene.partner("bearer").asked[0].headers["Authorization"] == "Bearer open-sesame"
    # The label taken away again: what is proven stays, and no token leaves any more.
    stage.scene.patch(SECRETS, "token-of-b", {"metadata": {"labels": {SECRET_LABEL: None}}})
    asked = stage.scene.asked("bearer")
    peer = stage.ask("bearer", "unlabelled again")
    assert stage.scene.asked("bearer") == asked
    assert condition_of(peer)["status"] == "True"


def test_a_token_under_another_key_is_not_found(stage: Stage) -> None:
    stage.scene.create(SECRETS, secret("token-elsewhere", {"other": "open-sesame"}))
    reference = {"name": "token-elsewhere"}
    stage.scene.add_peer("elsewhere", endpoint=stage.endpoint() | {"bearerTokenSecretRef": reference})
    stage.scene.wait(PEERS, "elsewhere", "SecretNotFound", status="False")


def test_a_partner_without_a_token_is_sent_none(stage: Stage) -> None:
    stage.ready("tokenless")
    assert "Authorization" not in stage.scene.partner("tokenless").asked[0].headers
