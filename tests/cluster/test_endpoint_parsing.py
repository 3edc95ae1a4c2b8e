"""Every way of not being an acceptable envelope, sent to the running operator by a partner whom it trusts.

Each row differs from a good envelope by one thing. Proves R-J1 (strict JSON), R-K14 (identifiers as they stand),
R-C2 and R-C6 (spellings of keys, no other algorithm), R-D4 (parser bombs).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from cluster.scene import PEERS, open_scene
from cluster.stage import Stage
from support.caller import Caller
from testbed.cluster import Cluster


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_scene(cluster, tmp_path_factory.mktemp("parsing")) as scene:
        operator = scene.operator()
        scene.add_domain(url=operator.url)
        for name in ("anchored", "speller"):
            scene.add_peer(name, passive=True)
        for name in ("anchored", "speller"):
            scene.wait(PEERS, name, "AwaitingEnvelope", status="Unknown")
        yield Stage(scene, operator)


Change = Callable[[bytes], bytes]


def member(path: str, text: str | None) -> Change:
    """Set a member to a JSON text, or leave it out."""

    def change(good: bytes) -> bytes:
        document = json.loads(good)
        target, _, name = path.rpartition(".")
        place = document[target] if target else document
        if text is None:
            del place[name]
            return json.dumps(document).encode()
        place[name] = "@@"
        return json.dumps(document).replace('"@@"', text).encode()

    return change


def inserted(place: str, text: str) -> Change:
    """Insert text as the first member of the envelope or of its challenge."""
    mark = {"envelope": b"{", "challenge": b'"challenge":{'}[place]
    return lambda good: good.replace(mark, mark + text.encode() + b",", 1)


def text_of(value: object) -> str:
    return json.dumps(value)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def stamp(text: str) -> Change:
    return member("challenge.timestamp", text)


def nonce(text: str) -> Change:
    return member("challenge.nonce", text)


def sender(text: str) -> Change:
    return member("challenge.localKernelId", text)


NOW = str(int(time.time()))

MALFORMED: dict[str, Change] = {
    # bytes
    "nothing": lambda _: b"",
    "not JSON": lambda _: b"hello",
    "half an envelope": lambda good: good[: len(good) // 2],
    "a byte order mark": lambda good: b"\xef\xbb\xbf" + good,
    "UTF-16": lambda good: good.decode().encode("utf-16"),
    "a byte that is not UTF-8": lambda good: good.replace(b'"nonce":"', b'"nonce":"\xff'),
    "an overlong encoding": lambda good: good.replace(b'"nonce":"', b'"nonce":"\xc0\xaf'),
    "something behind it": lambda good: good + b"{}",
    "two envelopes": lambda good: good + good,
    "a comma too many": lambda good: good[:-1] + b",}",
    "a comment": lambda good: good + b"//",
    "single quotes": lambda good: good.replace(b'"', b"'"),
    "a line break in a string": lambda good: good.replace(b'"nonce":"', b'"nonce":"\n'),
    "a NUL byte": lambda good: good.replace(b'"nonce":"', b'"nonce":"\x00'),
    # shapes
    "a list": lambda good: b"[" + good + b"]",
    "a string": lambda good: text_of(good.decode()).encode(),
    "null": lambda _: b"null",
    "a number": lambda _: b"1",
    "an empty object": lambda _: b"{}",
    "a challenge that is a list": member("challenge", "[]"),
    "a challenge that is null": member("challenge", "null"),
    # members
    "an unknown member": inserted("envelope", '"extra":1'),
    "an unknown member of the challenge": inserted("challenge", '"extra":1'),
    "a member twice": lambda good: good[:-1] + good[good.index(b',"signature"') :],
    "a member of the challenge twice": inserted("challenge", '"nonce":"first"'),
    "a member twice, once escaped": inserted("challenge", r'"\u006eonce":"first"'),
    "a member in other letters": lambda good: good.replace(b'"nonce"', b'"Nonce"'),
    **{
        f"without {path}": member(path, None)
        for path in (
            "challenge",
            "declaredPublicKey",
            "signature",
            "challenge.schema",
            "challenge.localKernelId",
            "challenge.remoteKernelId",
            "challenge.nonce",
            "challenge.timestamp",
        )
    },
    "a schema that is no text": member("challenge.schema", "1"),
    # numbers
    "NaN": stamp("NaN"),
    "Infinity": stamp("Infinity"),
    "a number too large for a double": stamp("1e400"),
    "a fraction": stamp(NOW + ".5"),
    "a fraction of nothing": stamp(NOW + ".0"),
    "an exponent": stamp("1e9"),
    "a leading zero": stamp("0" + NOW),
    "a plus sign": stamp("+" + NOW),
    "a hexadecimal number": stamp("0x" + NOW),
    "a negative number": stamp("-" + NOW),
    "a number as text": stamp(f'"{NOW}"'),
    "true": stamp("true"),
    "no number": stamp("null"),
    "17 digits": stamp("1" + "0" * 16),
    "2^53": stamp(str(2**53)),
    "2^63": stamp(str(2**63)),
    "2^64": stamp(str(2**64)),
    "5000 digits": stamp("1" * 5000),
    # text
    "a lone high surrogate": nonce(r'"\ud800"'),
    "a lone low surrogate": nonce(r'"\udc00"'),
    "surrogates the wrong way round": nonce(r'"\udc00\ud800"'),
    "an unknown escape": nonce(r'"\x41"'),
    "an empty nonce": nonce('""'),
    "a nonce of 129 characters": nonce(text_of("n" * 129)),
    "a nonce with a control": nonce(r'"\u007f"'),
    "a nonce beyond ASCII": nonce('"é"'),
    "a nonce that is a number": nonce("1"),
    # names
    "an empty sender": sender('""'),
    "a sender of 254 characters": sender(text_of("k" * 254)),
    "a sender that climbs": sender('"../org-b"'),
    "an encoded slash": sender('"org%2fb"'),
    "a homoglyph": sender('"\u043erg-b"'),
    "a name in wide letters": sender('"\uff4f\uff52\uff47-b"'),
    "a name with a space": sender('"org b"'),
    "a name with a line break": sender(r'"org-b\n"'),
    "an addressee that is null": member("challenge.remoteKernelId", "null"),
    # keys and signatures
    "a key that is too short": member("declaredPublicKey", text_of("ab" * 31)),
    "a key that is too long": member("declaredPublicKey", text_of("ab" * 33)),
    "a key as did:key": lambda good: good.replace(b'"declaredPublicKey":"', b'"declaredPublicKey":"did:key:'),
    "a key with a space": lambda good: good.replace(b'"declaredPublicKey":"', b'"declaredPublicKey":" '),
    "a key of P-256": lambda good: good.replace(b'"declaredPublicKey":"', b'"declaredPublicKey":"p256:'),
    "a key that is null": member("declaredPublicKey", "null"),
    "a signature that is too short": lambda good: good[:-4] + b'"}',
    "a signature by P-256": lambda good: good.replace(b'"signature":"', b'"signature":"p256:'),
    "a signature in base64": member("signature", text_of("A" * 86 + "==")),
    "a signature that is a list": member("signature", "[]"),
    # too much
    "17 levels": inserted("envelope", f'"extra":{nested(16)}'),
    "7000 levels": inserted("envelope", f'"extra":{nested(7000)}'),
    "16000 levels that are never closed": lambda _: b"[" * 16000,
    "3000 levels of objects": lambda _: b'{"a":' * 3000,
    "257 members": inserted("envelope", ",".join(f'"m{number}":1' for number in range(257))),
    "a list of 5000 values": inserted("envelope", f'"extra":[{",".join("1" * 5000)}]'),
}


@pytest.mark.parametrize("row", MALFORMED)
def test_what_is_not_exactly_an_envelope_is_malformed(stage: Stage, row: str) -> None:
    good = stage.scene.partner("anchored").sign(stage.us).to_json()
    bad = MALFORMED[row](good)
    assert bad != good
    answer = Caller(stage.operator.port).post(bad)
    assert (answer.status, answer.reason) == (400, "malformed-document")
    assert answer.document.keys() == {"type", "title", "status", "detail"}


LARGE: dict[str, Change] = {
    "one byte too many": lambda good: good + b" " * (16 * 1024 + 1 - len(good)),
    "1 MiB of white space": lambda good: good + b" " * 2**20,
    "1 MiB of zeros": lambda _: bytes(2**20),
}


@pytest.mark.parametrize("row", LARGE)
def test_what_is_too_large_is_refused_unread(stage: Stage, row: str) -> None:
    answer = Caller(stage.operator.port).post(
        LARGE[row](stage.scene.partner("anchored").sign(stage.us).to_json())
    )
    assert (answer.status, answer.reason) == (413, "document-too-large")


def test_nothing_of_that_left_a_trace(stage: Stage) -> None:
    assert "pin" not in stage.scene.get(PEERS, "anchored")["status"]
    entries = [entry for entry in stage.operator.log_entries() if entry["level"] in ("warning", "error")]
    assert entries == []
    metrics = stage.operator.metrics()
    assert metrics.total("bilateral_handshakes_inbound_total", reason="InternalError") == 0


SPELLINGS: dict[str, Change] = {
    "as it is": lambda good: good,
    "white space": lambda good: json.dumps(json.loads(good), indent=4).encode(),
    "members in another order, names escaped": lambda good: (
        json.dumps(dict(reversed(json.loads(good).items()))).replace("nonce", r"\u006eonce").encode()
    ),
    "16 KiB": lambda good: good + b" " * (16 * 1024 - len(good)),
    "our prefix, upper case": lambda good: good.replace(
        b'"declaredPublicKey":"', b'"declaredPublicKey":"ed25519:'
    ).replace(b'"signature":"', b'"signature":"0x'),
}
"""As many as a partner may renew in a row."""


@pytest.mark.parametrize("row", SPELLINGS)
def test_another_spelling_of_the_same_is_accepted(stage: Stage, row: str) -> None:
    good = stage.scene.partner("speller").sign(stage.us).to_json()
    assert Caller(stage.operator.port).post(SPELLINGS[row](good)).status == 200
