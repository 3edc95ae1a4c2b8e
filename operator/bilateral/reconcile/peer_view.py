"""What a look at a FederationPeer depends on, and what may just have happened with it.

Values only: :mod:`~bilateral.reconcile.peer` judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.handshake import Envelope
from bilateral.protocol.keys import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import Fetched
from bilateral.resources.trustdomain import TrustDomain


class NotReady(ProtocolError):
    """Nothing can be judged now, for a reason of ours: the caller may come back."""

    reason = Reason.NOT_READY


class Direction(StrEnum):
    """How an envelope reached us."""

    INBOUND = "inbound"  # POSTed to our endpoint
    ANSWER = "answer"  # their answer to ours
    FILE = "file"  # handed over as an annotation


@dataclass(frozen=True, slots=True)
class Received:
    """An envelope that is to be judged in this look; ``digest`` names the annotation of a FILE.

    ``statement`` is what an ANSWER was followed by; it counts only if the envelope is accepted.
    """

    envelope: Envelope
    direction: Direction
    digest: str | None = None
    statement: Fetched | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """What ended before there was an envelope to judge.

    A handshake of ours (``digest`` is None), or an annotation that holds no envelope.
    """

    reason: Reason
    skew_seconds: int | None = None
    retry_after_seconds: int = 0
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class DomainView:
    """The TrustDomain that speaks; ``public_key`` is None until it may be used for signing."""

    trust_domain: TrustDomain
    public_key: PublicKey | None
    seal_key: bytes | None


@dataclass(frozen=True, slots=True)
class PeerView:
    """What a look at a FederationPeer depends on.

    ``authorities`` is the content of the Secret of its authorities, None where there is none;
    ``authorities_taken`` whether the name is somebody else's; ``asking_planned`` when the statement
    was to be asked for by itself (Unix seconds).
    """

    domain: DomainView | None
    kernel_id_taken: bool = False
    shared_fingerprint: bool = False
    bearer_token_missing: bool = False
    clock_regressed: bool = False
    authorities: Mapping[str, bytes] | None = None
    authorities_taken: bool = False
    asking_planned: int | None = None
    happened: Received | Failed | Fetched | None = None
