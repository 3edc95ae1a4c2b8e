"""Whether an introduction may be used for one of our identities: one answer, for all who ask.

Rules:

- The status of an Introduction and the chains of an identity come from the same function, so that no
  object waits for another, and none says what the other does not do.
- Total: whatever the text holds, the answer is `Accepted` or `Refused`. Nothing of the text is repeated in
  a refusal: a stranger wrote it.
- An introduction holds until the last second of the certificate and of its authority, whichever is
  earlier, included; `Accepted.ends_at` is the first second at which it does not.
- One that does not hold yet says when to look again (`Refused.begins_at`); no other refusal passes with time.

It does not decide which authorities count: the caller pins a fresh partner's, or the one that a person gave.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm

from bilateral.pki.acceptance import accept_introduction
from bilateral.pki.errors import ForeignIdentity, InvalidIntroduction, PkiError
from bilateral.pki.introductions import Introduction, parse_introduction
from bilateral.pki.pem import UNREADABLE, PublicKey, verify_key_strength
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.revocations import RevocationList
from bilateral.pki.services import Service
from bilateral.protocol.reasons import Reason

NO_LISTS: Mapping[str, RevocationList] = {}


@dataclass(frozen=True, slots=True)
class Accepted:
    """An introduction that was verified for the identity's key, and until when it holds."""

    introduction: Introduction
    ends_at: int  # Unix seconds: the first second at which it no longer holds

    @property
    def services(self) -> tuple[Service, ...]:
        """The services that it opens."""
        return self.introduction.services


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an introduction is not used; ``cause`` is a short stable word in kebab-case."""

    reason: Reason
    cause: str
    sentence: str
    begins_at: int | None = None  # Unix seconds: when to look again


def judge(
    text: str | bytes,
    public_key: PublicKey,
    pinned: Collection[str],
    now: int,
    revocations: Mapping[str, RevocationList] = NO_LISTS,
) -> Accepted | Refused:
    """Judge the JSON of an introduction for the identity that holds ``public_key``, at ``now`` (Unix seconds).

    ``pinned`` are the ``SHA256:`` fingerprints of the authorities that may introduce it; ``revocations`` are
    verified lists by the slug of the authority that signed them.
    """
    try:
        introduction = parse_introduction(text)
        return _judge(introduction, public_key, pinned, now, revocations)
    except ForeignIdentity as error:
        sentence = _mismatch(parse_introduction(text), public_key)
        return Refused(error.reason, error.cause, sentence)
    except PkiError as error:
        return Refused(error.reason, error.cause, str(error))
    except (*UNREADABLE, UnsupportedAlgorithm):
        return Refused(
            Reason.INTRODUCTION_INVALID,
            "malformed-certificate",
            "a certificate of the introduction cannot be read",
        )


def _judge(
    introduction: Introduction,
    public_key: PublicKey,
    pinned: Collection[str],
    now: int,
    revocations: Mapping[str, RevocationList],
) -> Accepted | Refused:
    authority = introduction.authority
    begins_at = int(max(introduction.not_before, authority.not_valid_before_utc).timestamp())
    ends_at = int(min(introduction.not_after, authority.not_valid_after_utc).timestamp()) + 1
    # One that will hold is judged as of then, so that only what is otherwise good is waited for.
    moment = max(now, begins_at) if begins_at < ends_at else now
    verified = accept_introduction(
        introduction,
        public_key,
        pinned,
        datetime.fromtimestamp(moment, UTC),
        revocations=revocations.get(introduction.slug),
    )
    if now < begins_at:
        return Refused(
            Reason.INTRODUCTION_INVALID, "not-yet-valid", "the introduction is not valid yet", begins_at
        )
    return Accepted(verified, ends_at)


def _mismatch(introduction: Introduction, public_key: PublicKey) -> str:
    """Both keys, so that people see which of their files is the wrong one."""
    certified = verify_key_strength(introduction.certificate.public_key(), InvalidIntroduction)
    return (
        f"the introduction is for the key {key_fingerprint(certified)}, and the identity has "
        f"{key_fingerprint(public_key)}"
    )
