"""The handshake envelope: what two kernels send one another to prove their keys.

An envelope is ``{challenge, declaredPublicKey, signature}``; the signature covers the canonical
JSON of the challenge only (chio, ``trust_establishment.rs``; ``exchange.md``).

Rules kept here:

- read strictly: members unknown to the schema are refused, identifiers have a fixed alphabet and
  length, the timestamp is an exact integer from 0 to 2^53-1;
- what is verified later is the value read here, written canonically again: the bytes that came are
  never looked at twice (R-C4);
- keys and signatures are written as bare lower-case hex, which is all that upstream reads.

Reading an envelope trusts nothing in it. Whether it is accepted is decided in ``acceptance``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.canonical import canonical_bytes, canonical_string
from bilateral.protocol.errors import MalformedDocument, UnsupportedSchema
from bilateral.protocol.extensions import Extensions, parse_extensions
from bilateral.protocol.identifiers import is_kernel_id, is_nonce
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey, parse_wire_key
from bilateral.protocol.signatures import SigningKey, parse_signature
from bilateral.protocol.strictjson import HANDSHAKE_LIMITS, JSON, parse_json

HANDSHAKE_SCHEMA: Final = "chio.federation-kernel-handshake.v1"

_CHALLENGE_MEMBERS = ("schema", "localKernelId", "remoteKernelId", "nonce", "timestamp")
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a kernel signs. ``timestamp`` is in Unix seconds of its own clock.

    ``local_kernel_id`` is the sender and ``remote_kernel_id`` the addressee, as the sender sees it.
    """

    schema: str
    local_kernel_id: str
    remote_kernel_id: str
    nonce: str
    timestamp: int
    extensions: Extensions | None = None

    def to_members(self) -> dict[str, JSON]:
        """Build the JSON object of this challenge."""
        members: dict[str, JSON] = {
            "schema": self.schema,
            "localKernelId": self.local_kernel_id,
            "remoteKernelId": self.remote_kernel_id,
            "nonce": self.nonce,
            "timestamp": self.timestamp,
        }
        if self.extensions is not None:
            members.update(self.extensions.to_members())
        return members

    def canonical_bytes(self) -> bytes:
        """Write the bytes that the signature covers: RFC 8785 over :meth:`to_members`."""
        if self.extensions is not None:
            return canonical_bytes(self.to_members())
        # The same bytes (a test holds the two together) at a sixth of the cost: five members whose
        # order is known. Every handshake comes through here, before it is known who sent it.
        quote = canonical_string
        return (
            f'{{"localKernelId":{quote(self.local_kernel_id)},"nonce":{quote(self.nonce)},'
            f'"remoteKernelId":{quote(self.remote_kernel_id)},"schema":{quote(self.schema)},'
            f'"timestamp":{self.timestamp}}}'
        ).encode()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A challenge, the key that its sender declares, and the signature under that key."""

    challenge: Challenge
    declared_public_key: PublicKey
    signature: bytes

    def to_json(self) -> bytes:
        """Write the envelope as compact JSON, keys and signature as bare lower-case hex."""
        return _COMPACT.encode(
            {
                "challenge": self.challenge.to_members(),
                "declaredPublicKey": self.declared_public_key.hex,
                "signature": self.signature.hex(),
            }
        ).encode()


def parse_envelope(data: bytes) -> Envelope:
    """Read an envelope from the wire; nothing is verified yet.

    Raises :class:`MalformedDocument` (its ``cause`` says what is wrong) and, for a challenge that
    names another schema, :class:`UnsupportedSchema`: a later version may have other members.
    """
    document = parse_json(data, HANDSHAKE_LIMITS)
    if type(document) is not dict:
        raise MalformedDocument("not-an-object")
    if len(document) != 3:  # the three members below are each demanded
        raise MalformedDocument("missing-member" if len(document) < 3 else "unknown-member")
    try:
        challenge = document["challenge"]
        declared_key = document["declaredPublicKey"]
        signature = document["signature"]
    except KeyError:
        raise MalformedDocument("missing-member") from None
    if type(challenge) is not dict:
        raise MalformedDocument("challenge")
    parsed = _parse_challenge(challenge)
    if type(declared_key) is not str:
        raise MalformedDocument("public-key")
    if type(signature) is not str:
        raise MalformedDocument("signature")
    return Envelope(parsed, parse_wire_key(declared_key), parse_signature(signature))


def build_envelope(
    *, local_kernel_id: str, remote_kernel_id: str, nonce: str, timestamp: int, key: SigningKey
) -> Envelope:
    """Build and sign an envelope from us to ``remote_kernel_id``.

    ``nonce`` is fresh for each envelope (a random UUID); ``timestamp`` is in Unix seconds. Raises
    :class:`MalformedDocument` for values that :func:`parse_envelope` would refuse.
    """
    challenge = _parse_challenge(
        {
            "schema": HANDSHAKE_SCHEMA,
            "localKernelId": local_kernel_id,
            "remoteKernelId": remote_kernel_id,
            "nonce": nonce,
            "timestamp": timestamp,
        }
    )
    return Envelope(challenge, key.public_key, key.sign(challenge.canonical_bytes()))


def _parse_challenge(members: dict[str, JSON]) -> Challenge:
    try:
        schema = members["schema"]
        local_kernel_id = members["localKernelId"]
        remote_kernel_id = members["remoteKernelId"]
        nonce = members["nonce"]
        timestamp = members["timestamp"]
    except KeyError:
        _refuse_other_schema(members.get("schema", HANDSHAKE_SCHEMA))
        raise MalformedDocument("missing-member") from None
    _refuse_other_schema(schema)
    if type(local_kernel_id) is not str or not is_kernel_id(local_kernel_id):
        raise MalformedDocument("local-kernel-id")
    if type(remote_kernel_id) is not str or not is_kernel_id(remote_kernel_id):
        raise MalformedDocument("remote-kernel-id")
    if type(nonce) is not str or not is_nonce(nonce):
        raise MalformedDocument("nonce")
    # type(), not isinstance(): True is an int to Python.
    if type(timestamp) is not int or not 0 <= timestamp <= SAFE_INTEGER_MAX:
        raise MalformedDocument("timestamp")
    extensions = None
    if len(members) != len(_CHALLENGE_MEMBERS):
        extensions = parse_extensions(
            {name: value for name, value in members.items() if name not in _CHALLENGE_MEMBERS}
        )
    return Challenge(HANDSHAKE_SCHEMA, local_kernel_id, remote_kernel_id, nonce, timestamp, extensions)


def _refuse_other_schema(schema: JSON) -> None:
    if schema == HANDSHAKE_SCHEMA:
        return
    if type(schema) is str:
        raise UnsupportedSchema(HANDSHAKE_SCHEMA)
    raise MalformedDocument("schema")
