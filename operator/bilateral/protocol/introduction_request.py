"""Asking a partner for an introduction over the network: the two signed requests, and the answers.

Both requests are signed documents (:mod:`bilateral.protocol.documents`), ``{body, signerKey, signature}``:

- ``bilateral.introduction-request.v1`` asks for one: a signing request (PEM) of the key that is to be
  introduced, the aliases of the services that are wanted, and for how many seconds;
- ``bilateral.introduction-status-request.v1`` asks how it went, by the id that the first was answered with.

Rules kept here:

- strict: members unknown to the schema are refused, every text has an alphabet and a length, integers
  are exact and bounded; a document of one kind is never read as another;
- a request is verified under the key that it names, so that a stranger's and a partner's cost the same;
  whether that key is the partner's is :func:`verify_caller`'s business, in the contract's order;
- an answer is ``{id, state}`` or ``{id, introduction}``. It is not signed: it came over a verified
  connection, and an introduction is judged by its own signature before it is installed.

What a signing request is worth, and whether aliases are names of services, is not decided here. A request
may come twice: it says what is wanted, and whoever answers makes one thing of it (R-H2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from bilateral.protocol.acceptance import Pin, resolve_pin
from bilateral.protocol.documents import SignedDocument, read_document, sign_document
from bilateral.protocol.errors import (
    AddressMismatch,
    ClockSkewExceeded,
    KernelIdMismatch,
    MalformedDocument,
    PeerNotPinned,
    UnexpectedSigner,
)
from bilateral.protocol.identifiers import is_kernel_id, is_nonce
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey
from bilateral.protocol.strictjson import HANDSHAKE_LIMITS, JSON, Limits, parse_json

REQUEST_SCHEMA: Final = "bilateral.introduction-request.v1"
STATUS_SCHEMA: Final = "bilateral.introduction-status-request.v1"

MAX_CSR_CHARACTERS: Final = 8192
"""A request for an RSA key of 4096 bits and a long name has a quarter of it."""
MAX_ALIASES: Final = 64
MIN_VALIDITY_SECONDS: Final = 600
MAX_VALIDITY_SECONDS: Final = 31_536_000
MAX_INTRODUCTION_CHARACTERS: Final = 128 * 1024

REQUEST_LIMITS = HANDSHAKE_LIMITS
"""16 KiB, as for an envelope: a partner may be a stranger until the signature was verified."""
ANSWER_LIMITS = Limits(max_bytes=256 * 1024, max_depth=4, max_members=16, max_values=32)

_ID = re.compile(r"[0-9a-f]{32}")
_ALIAS = re.compile(r"[a-z0-9.-]{1,253}")
_CSR = re.compile(r"[ -~\r\n]+")
_CLAIMS = ("schema", "sender", "addressee", "timestamp", "nonce")


class RequestState(StrEnum):
    """Where a request stands that was not answered with an introduction."""

    PENDING = "Pending"
    """Somebody at the partner has to approve it."""
    APPROVED = "Approved"
    """Approved, and not signed yet."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who asks whom, and when: ``timestamp`` is in Unix seconds of the sender's clock."""

    sender: str
    addressee: str
    timestamp: int
    nonce: str


@dataclass(frozen=True, slots=True)
class IntroductionRequest:
    """What is asked for, with the key that signed it; ``services`` are aliases, in the order of the request."""

    claims: Claims
    signer: PublicKey
    csr: str
    services: tuple[str, ...]
    validity_seconds: int


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """The question how the request ``id`` went."""

    claims: Claims
    signer: PublicKey
    id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer while there is no introduction."""

    id: str
    state: RequestState


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer with the introduction: the JSON document as text."""

    id: str
    introduction: str


Answered: TypeAlias = Waiting | Granted


def is_request_id(text: str) -> bool:
    """Whether ``text`` may name a request: 32 lower-case hex digits."""
    return _ID.fullmatch(text) is not None


def build_introduction_request(
    claims: Claims, *, csr: str, services: Sequence[str], validity_seconds: int, key: SigningKey
) -> bytes:
    """Write and sign a request; raises MalformedDocument for what would be refused at the other side."""
    body: dict[str, JSON] = {
        **_claims_members(REQUEST_SCHEMA, claims),
        "csr": csr,
        "services": list(services),
        "validitySeconds": validity_seconds,
    }
    _read_request(SignedDocument(body, key.public_key))
    return _write(sign_document(body, key), REQUEST_LIMITS)


def build_status_request(claims: Claims, request_id: str, key: SigningKey) -> bytes:
    """Write and sign the question how ``request_id`` went; raises MalformedDocument."""
    body: dict[str, JSON] = {**_claims_members(STATUS_SCHEMA, claims), "id": request_id}
    _read_status_request(SignedDocument(body, key.public_key))
    return _write(sign_document(body, key), REQUEST_LIMITS)


def parse_introduction_request(data: bytes) -> IntroductionRequest:
    """Read a request and verify it under the key that it names; nothing is known about that key yet.

    Raises MalformedDocument, UnsupportedSchema, WeakKey, MalformedKey, InvalidSignature.
    """
    return _read_request(_open(data, REQUEST_SCHEMA))


def parse_status_request(data: bytes) -> StatusRequest:
    """Read a question of the second kind; raises as :func:`parse_introduction_request` does."""
    return _read_status_request(_open(data, STATUS_SCHEMA))


def verify_caller(
    claims: Claims,
    signer: PublicKey,
    *,
    local_kernel_id: str,
    remote_kernel_id: str,
    max_clock_skew_seconds: int,
    pin: Pin | None,
    now: int,
) -> None:
    """Check that a verified document is from the partner ``remote_kernel_id``, for us, and of now.

    ``pin`` is the one held for that partner. Raises, in this order: AddressMismatch, KernelIdMismatch,
    ClockSkewExceeded, PeerNotPinned, UnexpectedSigner, PeerStale.
    """
    if claims.addressee != local_kernel_id:
        raise AddressMismatch(claims.addressee, local_kernel_id)
    if claims.sender != remote_kernel_id or remote_kernel_id == local_kernel_id:
        raise KernelIdMismatch(claims.sender, remote_kernel_id)
    # Exactly the limit still passes, as with an envelope.
    if abs(claims.timestamp - now) > max_clock_skew_seconds:
        raise ClockSkewExceeded(claims.timestamp, now, max_clock_skew_seconds)
    if pin is None:
        raise PeerNotPinned(remote_kernel_id)
    if signer != pin.public_key:
        raise UnexpectedSigner(pin.public_key.hex, signer.hex)
    # Last, so that only who holds the key learns that it is stale.
    resolve_pin(remote_kernel_id, pin, now)


def build_answer_body(answer: Answered) -> bytes:
    """Write an answer: ``{id, state}`` or ``{id, introduction}``."""
    members: dict[str, JSON] = {"id": answer.id}
    if isinstance(answer, Granted):
        members["introduction"] = answer.introduction
    else:
        members["state"] = answer.state.value
    return _write(members, ANSWER_LIMITS)


def parse_answer_body(data: bytes) -> Answered:
    """Read an answer; raises MalformedDocument. The introduction in it is not looked at."""
    document = parse_json(data, ANSWER_LIMITS)
    if not isinstance(document, dict):
        raise MalformedDocument("not-an-object")
    if document.keys() not in ({"id", "state"}, {"id", "introduction"}):
        raise MalformedDocument("members")
    request_id = _read_id(document)
    if "state" in document:
        state = document["state"]
        if not isinstance(state, str) or state not in set(RequestState):
            raise MalformedDocument("state")
        return Waiting(request_id, RequestState(state))
    introduction = document["introduction"]
    if not isinstance(introduction, str) or not 0 < len(introduction) <= MAX_INTRODUCTION_CHARACTERS:
        raise MalformedDocument("introduction")
    return Granted(request_id, introduction)


def _open(data: bytes, schema: str) -> SignedDocument:
    return read_document(data, schema=schema, signer=None, limits=REQUEST_LIMITS)


def _write(document: Mapping[str, JSON], limits: Limits) -> bytes:
    data = json.dumps(document, separators=(",", ":")).encode()
    parse_json(data, limits)  # what is too large is refused here rather than at the other side
    return data


def _claims_members(schema: str, claims: Claims) -> dict[str, JSON]:
    return {
        "schema": schema,
        "sender": claims.sender,
        "addressee": claims.addressee,
        "timestamp": claims.timestamp,
        "nonce": claims.nonce,
    }


def _require_members(body: Mapping[str, JSON], *own: str) -> None:
    expected = {*_CLAIMS, *own}
    if body.keys() != expected:
        raise MalformedDocument("missing-member" if expected - body.keys() else "unknown-member")


def _read_claims(body: Mapping[str, JSON]) -> Claims:
    sender, addressee = body["sender"], body["addressee"]
    timestamp, nonce = body["timestamp"], body["nonce"]
    if not isinstance(sender, str) or not is_kernel_id(sender):
        raise MalformedDocument("sender")
    if not isinstance(addressee, str) or not is_kernel_id(addressee):
        raise MalformedDocument("addressee")
    # type(), not isinstance(): True is an int to Python.
    if type(timestamp) is not int or not 0 <= timestamp <= SAFE_INTEGER_MAX:
        raise MalformedDocument("timestamp")
    if not isinstance(nonce, str) or not is_nonce(nonce):
        raise MalformedDocument("nonce")
    return Claims(sender, addressee, timestamp, nonce)


def _read_request(document: SignedDocument) -> IntroductionRequest:
    body = document.body
    _require_members(body, "csr", "services", "validitySeconds")
    claims = _read_claims(body)
    csr, services, validity = body["csr"], body["services"], body["validitySeconds"]
    if not isinstance(csr, str) or len(csr) > MAX_CSR_CHARACTERS or _CSR.fullmatch(csr) is None:
        raise MalformedDocument("csr")
    if not isinstance(services, list) or len(services) > MAX_ALIASES:
        raise MalformedDocument("services")
    aliases = tuple(alias for alias in services if isinstance(alias, str) and _ALIAS.fullmatch(alias))
    if len(aliases) != len(services) or len(set(aliases)) != len(aliases):
        raise MalformedDocument("services")
    if type(validity) is not int or not MIN_VALIDITY_SECONDS <= validity <= MAX_VALIDITY_SECONDS:
        raise MalformedDocument("validity-seconds")
    return IntroductionRequest(claims, document.signer, csr, aliases, validity)


def _read_status_request(document: SignedDocument) -> StatusRequest:
    body = document.body
    _require_members(body, "id")
    return StatusRequest(_read_claims(body), document.signer, _read_id(body))


def _read_id(body: Mapping[str, JSON]) -> str:
    request_id = body["id"]
    if not isinstance(request_id, str) or not is_request_id(request_id):
        raise MalformedDocument("id")
    return request_id
