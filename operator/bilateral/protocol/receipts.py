"""Receipts: what a kernel decided about one call, signed by that kernel (chio's receipt, era A).

A receipt is one flat object in chio's own form; nothing of ours is added outside ``metadata``::

    {id, timestamp, capability_id, tool_server, tool_name, action: {parameters, parameter_hash},
     decision, content_hash, policy_hash, evidence, metadata, trust_level, tenant_id,
     kernel_key, algorithm, signature}

Rules kept here:

- the signature is ``kernel_key``'s, over the canonical JSON of all but ``signature`` and ``algorithm``;
- what is verified is the typed form, as chio verifies it: an empty ``evidence`` and the trust level
  ``mediated`` are left out, the key is in lower case; unknown members and nulls are refused;
- ``parameter_hash`` is the SHA-256 of the canonical JSON of ``parameters``; a receipt whose hash says
  otherwise is refused, however well it is signed;
- what we sign can be read in one way only: no U+007F to U+009F, no integers beyond ±(2^53-1). Doubles
  are allowed in the parameters of the call alone, which are the caller's.

Whether the kernel is a partner's is for the caller to say, who passes the key that it expects. The
receipts of two kernels (bilateral co-signing) and those of chio's second era are not read here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bilateral.protocol.canonical import (
    canonical_bytes,
    plain_canonical_text,
    require_signable,
    sha256_hex,
)
from bilateral.protocol.capabilities.members import (
    read_boolean,
    read_integer,
    read_key,
    read_list,
    read_object,
    read_signature,
    read_text,
)
from bilateral.protocol.errors import MalformedDocument, ParameterHashMismatch, UnexpectedSigner, WeakKey
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.signatures import SigningKey, verify_canonical
from bilateral.protocol.strictjson import JSON, Limits, parse_json

RECEIPT_LIMITS: Final = Limits(max_bytes=256 * 1024, max_depth=32, max_members=8_192, max_values=32_768)
PARAMETER_LIMITS: Final = Limits(max_bytes=128 * 1024, max_depth=24, max_members=4_096, max_values=16_384)
"""The parameters of a call, so that the receipt around them is still within its own limits."""
MAX_EVIDENCE: Final = 256

_REQUIRED: Final = frozenset(
    {
        "id",
        "timestamp",
        "capability_id",
        "tool_server",
        "tool_name",
        "action",
        "decision",
        "content_hash",
        "policy_hash",
        "kernel_key",
        "signature",
    }
)
_OPTIONAL: Final = frozenset({"evidence", "metadata", "trust_level", "tenant_id", "algorithm"})
_LONG_NUMBER: Final = re.compile(r"[0-9]{16}")
"""No integer with fewer digits is beyond 2^53."""
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class Verdict(StrEnum):
    """What a kernel decided."""

    ALLOW = "allow"
    DENY = "deny"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"


class TrustLevel(StrEnum):
    """How close the kernel was to the call."""

    MEDIATED = "mediated"
    VERIFIED = "verified"
    ADVISORY = "advisory"


_VERDICTS: Final = {each.value: each for each in Verdict}
_EVIDENCE_MEMBERS: Final = frozenset({"guard_name", "verdict"})
_EVIDENCE_OPTIONAL: Final = frozenset({"details"})
_DECISION_MEMBERS: Final = {
    Verdict.ALLOW: frozenset({"verdict"}),
    Verdict.DENY: frozenset({"verdict", "reason", "guard"}),
    Verdict.CANCELLED: frozenset({"verdict", "reason"}),
    Verdict.INCOMPLETE: frozenset({"verdict", "reason"}),
}


@dataclass(frozen=True, slots=True)
class ReceiptDecision:
    """The decision: ``reason`` with every verdict but ``allow``, ``guard`` with ``deny``."""

    verdict: Verdict
    reason: str | None = None
    guard: str | None = None

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        members: dict[str, JSON] = {"verdict": self.verdict.value}
        if self.reason is not None:
            members["reason"] = self.reason
        if self.guard is not None:
            members["guard"] = self.guard
        return members


@dataclass(frozen=True, slots=True)
class GuardEvidence:
    """What one guard found."""

    guard_name: str
    verdict: bool
    details: str | None = None

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed."""
        members: dict[str, JSON] = {"guard_name": self.guard_name, "verdict": self.verdict}
        if self.details is not None:
            members["details"] = self.details
        return members


@dataclass(frozen=True, slots=True)
class ReceiptBody:
    """What is signed. ``timestamp`` is in Unix seconds; hashes are texts, as the kernel writes them."""

    id: str
    timestamp: int
    capability_id: str
    tool_server: str
    tool_name: str
    parameters: JSON
    parameter_hash: str
    decision: ReceiptDecision
    content_hash: str
    policy_hash: str
    kernel_key: PublicKey
    evidence: tuple[GuardEvidence, ...] = ()
    metadata: JSON = None
    trust_level: TrustLevel = TrustLevel.MEDIATED
    tenant_id: str | None = None

    def to_members(self) -> dict[str, JSON]:
        """The members as they are signed: what is empty or the default is left out."""
        members: dict[str, JSON] = {
            "id": self.id,
            "timestamp": self.timestamp,
            "capability_id": self.capability_id,
            "tool_server": self.tool_server,
            "tool_name": self.tool_name,
            "action": {"parameters": self.parameters, "parameter_hash": self.parameter_hash},
            "decision": self.decision.to_members(),
            "content_hash": self.content_hash,
            "policy_hash": self.policy_hash,
            "kernel_key": self.kernel_key.hex,
        }
        if self.evidence:
            members["evidence"] = [each.to_members() for each in self.evidence]
        if self.metadata is not None:
            members["metadata"] = self.metadata
        if self.trust_level is not TrustLevel.MEDIATED:
            members["trust_level"] = self.trust_level.value
        if self.tenant_id is not None:
            members["tenant_id"] = self.tenant_id
        return members


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it was read or made; :func:`verify_receipt` says whether it holds."""

    body: ReceiptBody
    signature: bytes

    def to_members(self) -> dict[str, JSON]:
        """The whole document."""
        return {**self.body.to_members(), "signature": self.signature.hex()}

    def to_json(self) -> bytes:
        """The whole document as compact JSON."""
        return _COMPACT.encode(self.to_members()).encode()


def hash_parameters(parameters: JSON) -> str:
    """SHA-256 of the canonical JSON of a call's parameters, 64 lower-case hex digits."""
    return sha256_hex(canonical_bytes(parameters))


def require_recordable(parameters: JSON) -> None:
    """Refuse parameters of a call that a receipt could not carry unambiguously.

    Whoever takes a call asks this before it decides: a decision that cannot be recorded is none. Raises
    :class:`MalformedDocument` (``control-character``, ``number-not-signable``, and what is beyond
    PARAMETER_LIMITS).
    """
    try:
        if _is_modest(plain_canonical_text(parameters)):
            return
        parse_json(_COMPACT.encode(parameters).encode(), PARAMETER_LIMITS)
        require_signable(_without_doubles(parameters))
    except RecursionError:
        raise MalformedDocument("too-deep") from None
    except ValueError:
        raise MalformedDocument("number") from None  # NaN or an infinity


def sign_receipt(body: ReceiptBody, key: SigningKey) -> Receipt:
    """Sign a receipt of our own kernel.

    Raises :class:`UnexpectedSigner` where the body names another kernel's key,
    :class:`ParameterHashMismatch`, and :class:`MalformedDocument` for what :func:`parse_receipt` would
    refuse or must not be signed.
    """
    if body.kernel_key != key.public_key:
        raise UnexpectedSigner(body.kernel_key.hex, key.public_key.hex)
    require_recordable(body.parameters)
    _require_parameter_hash(body)
    members = body.to_members()
    # Numbers are in the metadata, in the parameters and in the time, which is read below.
    require_signable(body.metadata)
    signed = canonical_bytes(members)
    if not signed.isascii() or b"\x7f" in signed:
        require_signable({**members, "action": body.parameter_hash})
    receipt = Receipt(body, key.sign(signed))
    whole: JSON = {**members, "signature": receipt.signature.hex()}
    if parse_receipt(_COMPACT.encode(whole).encode()) != receipt:
        raise MalformedDocument("receipt")
    return receipt


def open_receipt(document: bytes | JSON, *, kernel_key: PublicKey | None) -> Receipt:
    """Read and verify a receipt that ``kernel_key`` must have signed or, if ``None``, anybody."""
    receipt = parse_receipt(document)
    verify_receipt(receipt, kernel_key=kernel_key)
    return receipt


def verify_receipt(receipt: Receipt, *, kernel_key: PublicKey | None) -> None:
    """Verify signer, signature and parameter hash, in this order.

    Raises :class:`UnexpectedSigner`, :class:`WeakKey` (a kernel nobody admitted, whose key is not a
    prime-order point), :class:`InvalidSignature`, :class:`ParameterHashMismatch`.
    """
    body = receipt.body
    if kernel_key is None:
        if not body.kernel_key.is_prime_order:
            raise WeakKey
    elif body.kernel_key != kernel_key:
        raise UnexpectedSigner(kernel_key.hex, body.kernel_key.hex)
    verify_canonical(body.kernel_key, body.to_members(), receipt.signature)
    _require_parameter_hash(body)


def parse_receipt(document: bytes | JSON) -> Receipt:
    """Read a receipt without verifying it.

    Raises :class:`MalformedDocument` for what is none, :class:`UnsupportedKeyAlgorithm` for chio's other
    kinds of keys.
    """
    value = parse_json(document, RECEIPT_LIMITS) if isinstance(document, bytes) else document
    members = read_object(value, "not-an-object", _REQUIRED, _OPTIONAL)
    action = read_object(members["action"], "action", frozenset({"parameters", "parameter_hash"}))
    if members.get("algorithm", "ed25519") != "ed25519":
        raise MalformedDocument("algorithm")
    if "metadata" in members and members["metadata"] is None:
        raise MalformedDocument("metadata")
    body = ReceiptBody(
        id=read_text(members["id"], "id"),
        timestamp=read_integer(members["timestamp"], "timestamp"),
        capability_id=read_text(members["capability_id"], "capability-id", minimum=0),
        tool_server=read_text(members["tool_server"], "tool-server", minimum=0),
        tool_name=read_text(members["tool_name"], "tool-name", minimum=0),
        parameters=action["parameters"],
        parameter_hash=read_text(action["parameter_hash"], "parameter-hash", minimum=0),
        decision=_parse_decision(members["decision"]),
        content_hash=read_text(members["content_hash"], "content-hash", minimum=0),
        policy_hash=read_text(members["policy_hash"], "policy-hash", minimum=0),
        kernel_key=read_key(members["kernel_key"], "kernel_key"),
        evidence=read_list(members.get("evidence", []), "evidence", MAX_EVIDENCE, _parse_evidence),
        metadata=members.get("metadata"),
        trust_level=_parse_trust_level(members.get("trust_level", TrustLevel.MEDIATED.value)),
        tenant_id=_optional_text(members, "tenant_id"),
    )
    return Receipt(body, read_signature(members["signature"]))


def _parse_decision(value: JSON) -> ReceiptDecision:
    word = value.get("verdict") if isinstance(value, dict) else None
    verdict = _VERDICTS.get(word) if type(word) is str else None
    if verdict is None:
        raise MalformedDocument("decision")
    members = read_object(value, "decision", _DECISION_MEMBERS[verdict])
    return ReceiptDecision(verdict, _optional_text(members, "reason"), _optional_text(members, "guard"))


def _parse_evidence(value: JSON) -> GuardEvidence:
    members = read_object(value, "evidence", _EVIDENCE_MEMBERS, _EVIDENCE_OPTIONAL)
    return GuardEvidence(
        read_text(members["guard_name"], "evidence", minimum=0),
        read_boolean(members["verdict"], "evidence"),
        _optional_text(members, "details"),
    )


def _optional_text(members: dict[str, JSON], name: str) -> str | None:
    return read_text(members[name], name.replace("_", "-"), minimum=0) if name in members else None


def _parse_trust_level(value: JSON) -> TrustLevel:
    if value not in tuple(TrustLevel):
        raise MalformedDocument("trust-level")
    return TrustLevel(str(value))


def _is_modest(text: str) -> bool:
    """Whether a look at the JSON shows that nothing of it can be refused: see what is looked for."""
    opened = text.count("{") + text.count("[")
    return (
        len(text) <= PARAMETER_LIMITS.max_bytes
        and opened <= PARAMETER_LIMITS.max_depth
        and text.count(":") <= PARAMETER_LIMITS.max_members
        and opened + text.count(",") < PARAMETER_LIMITS.max_values
        and text.isascii()
        and "\x7f" not in text
        and _LONG_NUMBER.search(text) is None
    )


def _require_parameter_hash(body: ReceiptBody) -> None:
    if body.parameter_hash != hash_parameters(body.parameters):
        raise ParameterHashMismatch


def _without_doubles(value: JSON) -> JSON:
    if isinstance(value, float):
        return None
    if isinstance(value, dict):
        return {name: _without_doubles(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_doubles(item) for item in value]
    return value
