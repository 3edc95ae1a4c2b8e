"""The signed head of a log: C2SP's ``tlog-checkpoint``, a signed note with Ed25519.

::

    org-b-kernel/revocations                            the origin: whose log, and which
    20852                                               how many leaves the tree has
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=        its root (RFC 6962)
    published 1800000000                                when the head was signed, in Unix seconds

    — org-b-kernel/revocations Az3grlgtzPICa5OS8npVmf…  key id and signature, base64

The fourth line is an extension line of ours: a head that is shown again and again is seen to be old.

Rules kept here:

- a head has one text: no leading zeroes, canonical base64, exactly these four lines; another number of
  extension lines is refused, for what they would say is not understood here;
- a signature counts by its key's name, which is the origin, *and* its key id; those of other keys (witnesses,
  a key to come) are ignored, up to MAX_SIGNATURES of them; of a key that is known, one that does not hold
  refuses the head; without one that holds, nobody has said anything;
- the text that is signed begins with a kernel id and so is never that of a signed document, which begins
  with a brace (R-C3).

Whether a head follows from an earlier one, and how old it may be, is for its reader to judge.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bilateral.protocol.errors import InvalidSignature, MalformedDocument, ProtocolError
from bilateral.protocol.identifiers import KERNEL_ID_PATTERN
from bilateral.protocol.merkle import HASH_BYTES
from bilateral.protocol.numbers import SAFE_INTEGER_MAX
from bilateral.protocol.publickey import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.protocol.signatures import SigningKey, verify_signature

MAX_NOTE_BYTES: Final = 16 * 1024
MAX_SIGNATURES: Final = 32
"""The specification demands that at least 16 are read."""

_KEY_ID_BYTES = 4
_ED25519 = b"\x01"
_REVOCATIONS = "/revocations"
_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_ORIGIN = re.compile(rf"({KERNEL_ID_PATTERN}){_REVOCATIONS}")
_TEXT = re.compile(rf"([^\n]+)\n({_NUMBER})\n([A-Za-z0-9+/]{{43}}=)\npublished ({_NUMBER})\n")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")


class UnknownSigner(ProtocolError):
    """A head without a signature by one of the keys that may sign it."""

    reason = Reason.FEED_SIGNER_UNKNOWN

    def __init__(self) -> None:
        super().__init__("the head is not signed by a key that may sign it")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a head says; ``published_at`` is Unix seconds, ``root`` 32 bytes.

    Building one checks that it can be written (``ValueError``).
    """

    kernel_id: str
    size: int
    root: bytes
    published_at: int

    def __post_init__(self) -> None:
        if _ORIGIN.fullmatch(self.origin) is None or len(self.root) != HASH_BYTES:
            raise ValueError("not a kernel id, or not a root")
        if not (0 <= self.size <= SAFE_INTEGER_MAX and 0 <= self.published_at <= SAFE_INTEGER_MAX):
            raise ValueError("a number that is not written")

    @property
    def origin(self) -> str:
        """The log's name, which is also the name of the keys that sign its heads."""
        return f"{self.kernel_id}{_REVOCATIONS}"

    @property
    def text(self) -> str:
        """What is signed, its last line break included."""
        root = base64.b64encode(self.root).decode("ascii")
        return f"{self.origin}\n{self.size}\n{root}\npublished {self.published_at}\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One line below a head: who says that he signed, and the signature."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A head as it was read; nothing of it is believed before :func:`verify_checkpoint`."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


def key_id(name: str, key: PublicKey) -> bytes:
    """The four bytes by which a note refers to an Ed25519 key (signed-note, "Ed25519 signatures")."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.raw).digest()[:_KEY_ID_BYTES]


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """Sign a head and write the note."""
    text = checkpoint.text
    signed = key_id(checkpoint.origin, key.public_key) + key.sign(text.encode())
    line = f"— {checkpoint.origin} {base64.b64encode(signed).decode('ascii')}\n"
    return f"{text}\n{line}"


def parse_checkpoint(note: str) -> SignedCheckpoint:
    """Read a note that should be a head of a revocation feed.

    Raises MalformedDocument: ``checkpoint``, ``origin`` or ``signatures``.
    """
    if len(note) > MAX_NOTE_BYTES or not note.endswith("\n") or _CONTROL.search(note) is not None:
        raise MalformedDocument("checkpoint")
    # The last empty line divides the text from its signatures.
    body, divided, lines = note.rpartition("\n\n")
    match = _TEXT.fullmatch(f"{body}\n") if divided else None
    if match is None:
        raise MalformedDocument("checkpoint")
    origin = _ORIGIN.fullmatch(match[1])
    if origin is None:
        raise MalformedDocument("origin")
    root = _decode(match[3])
    if root is None or len(root) != HASH_BYTES:
        raise MalformedDocument("checkpoint")
    try:
        checkpoint = Checkpoint(origin[1], int(match[2]), root, int(match[4]))
    except ValueError:
        raise MalformedDocument("checkpoint") from None
    return SignedCheckpoint(checkpoint, _parse_signatures(lines))


def _parse_signatures(text: str) -> tuple[NoteSignature, ...]:
    lines = text.removesuffix("\n").split("\n") if text.count("\n") <= MAX_SIGNATURES else []
    signatures: list[NoteSignature] = []
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        data = None if match is None else _decode(match[2])
        if match is None or data is None or len(data) <= _KEY_ID_BYTES:
            raise MalformedDocument("signatures")
        signatures.append(NoteSignature(match[1], data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:]))
    if not signatures:
        raise MalformedDocument("signatures")
    return tuple(signatures)


def verify_checkpoint(signed: SignedCheckpoint, signers: Iterable[PublicKey]) -> PublicKey:
    """Verify that one of ``signers`` signed this head, and return which.

    Raises InvalidSignature where a signature claims to be one of theirs and is not, UnknownSigner where
    there is none of theirs.
    """
    checkpoint = signed.checkpoint
    message = checkpoint.text.encode()
    known: dict[bytes, list[PublicKey]] = {}
    for key in signers:
        known.setdefault(key_id(checkpoint.origin, key), []).append(key)
    found: PublicKey | None = None
    for each in signed.signatures:
        claimed = known.get(each.key_id, ()) if each.name == checkpoint.origin else ()
        if claimed:
            # Every one is looked at: one that does not hold refuses the head, wherever it stands.
            signer = _verify_one(claimed, message, each.signature)
            found = found or signer
    if found is None:
        raise UnknownSigner
    return found


def _verify_one(keys: Iterable[PublicKey], message: bytes, signature: bytes) -> PublicKey:
    """The key, of those that share an id, that made the signature. Raises InvalidSignature."""
    for key in keys:
        try:
            verify_signature(key, message, signature)
        except InvalidSignature:
            continue
        return key
    raise InvalidSignature


def _decode(text: str) -> bytes | None:
    """Read canonical base64; None for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None
