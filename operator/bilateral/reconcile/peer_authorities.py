"""What a look at a FederationPeer says of the partner's authorities, and when to ask for them.

Rules:

- They are asked for behind every handshake of ours. A statement that is held is asked for again by
  itself, hourly or at half its life; a question that failed after five minutes, or when the partner
  says while the pin is younger than that; a partner who announces none (404) not before the next handshake.
- Questions of many partners are spread by the peer's UID, so that a restart asks nobody at once.
- A statement that is not accepted changes nothing but the condition's reason: the one that is held
  counts until its own end.
- Authorities that a person pinned need no statement, and none is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partner_authorities import (
    CA_KEY,
    SEQUENCE_KEY,
    STATEMENT_KEY,
    Announced,
    AuthoritiesFound,
    Fetched,
    accept_statement,
    bundle_of,
    content_of,
    not_ended,
    read_sequence,
    withdrawn_content,
)
from bilateral.reconcile.partners import read_pinned_authorities, withheld_reason
from bilateral.reconcile.peer_status import Findings, Standing
from bilateral.reconcile.schedule import fraction_of
from bilateral.resources.condition_types import HANDSHAKE_FAILURES
from bilateral.resources.federationpeer import AuthoritiesMode, FederationPeer

REFRESH_SECONDS = 3600
RETRY_SECONDS = 300

OUR_TROUBLES = frozenset(
    {Reason.CLOCK_REGRESSED, Reason.TRUST_DOMAIN_NOT_READY, Reason.TRUST_DOMAIN_NOT_FOUND}
)
_REFUSED = frozenset({Reason.STATEMENT_INVALID, Reason.STATEMENT_REGRESSED, Reason.STATEMENT_EXPIRED})
FAILED = frozenset({*HANDSHAKE_FAILURES, *_REFUSED, Reason.NOT_ANNOUNCED})


def find_authorities(
    peer: FederationPeer,
    found: Findings,
    *,
    held: Mapping[str, bytes] | None,
    taken: bool,
    told: Reason | None,
    fetched: Fetched | None,
    planned: int | None,
    max_skew_seconds: int,
) -> AuthoritiesFound:
    """Judge a partner's authorities.

    ``found`` is everything else of this look. ``held`` is the content of the Secret, None where there
    is none; ``taken`` whether its name is somebody else's. ``told`` is the reason that the condition had,
    ``fetched`` what was just asked for, ``planned`` when the next question was planned (Unix seconds).
    """
    withheld = withheld_reason(peer, found)
    if withheld is not None or found.pin is None:
        reason = withheld or Reason.PEER_NOT_PINNED
        keep = reason in OUR_TROUBLES
        data = None if held is None else withdrawn_content(held, keep_statement=keep)
        return AuthoritiesFound(reason, data=data)
    if peer.spec.certificate_authorities.mode is AuthoritiesMode.PINNED:
        return _pinned(peer, found.now, held, taken=taken)
    last = read_sequence(held or {})

    def judge(document: bytes, least: int) -> Announced | Reason:
        return accept_statement(
            document,
            signer=pin_key,
            kernel_id=peer.spec.kernel_id,
            last_sequence=least,
            max_skew_seconds=max_skew_seconds,
            now=found.now,
        )

    pin_key = found.pin.public_key
    document = (held or {}).get(STATEMENT_KEY)
    current = None if document is None else judge(document, last)
    failure = told if told in FAILED else None
    if fetched is not None:
        failure = fetched.reason
        if fetched.document is not None:
            came = judge(fetched.document, last)
            failure = came if isinstance(came, Reason) else None
            current = came if isinstance(came, Announced) else current
    counting = current if isinstance(current, Announced) else None
    reason = _reason(counting, current if isinstance(current, Reason) else None, failure)
    if taken:
        return AuthoritiesFound(
            Reason.SECRET_CONFLICT, data=None if counting is None else content_of(counting)
        )
    data = None if held is None else withdrawn_content(held)
    announces = held is not None or told is Reason.AUTHORITIES_ANNOUNCED
    ask_at = None
    if peer.spec.endpoint is not None and not found.bearer_token_missing and found.standing is Standing.FRESH:
        ask_at = _ask_at(
            peer.metadata.uid,
            found.now,
            counting,
            failure,
            fetched,
            planned,
            announces=announces,
            young=found.now < found.pin.established_at + RETRY_SECONDS,
        )
    if counting is None:
        return AuthoritiesFound(reason, data=data, ask_at=ask_at)
    return AuthoritiesFound(
        reason,
        counting.authorities,
        counting.revocations,
        content_of(counting),
        ask_at,
        counting.changes_at,
    )


def _pinned(
    peer: FederationPeer, now: int, held: Mapping[str, bytes] | None, *, taken: bool
) -> AuthoritiesFound:
    installed = read_pinned_authorities(peer)
    counting = not_ended(installed, now)
    reason = Reason.AUTHORITIES_PINNED
    if not counting:
        reason = Reason.AUTHORITY_EXPIRED if installed else Reason.AUTHORITY_INVALID
    data = {CA_KEY: bundle_of(counting)}
    if read_sequence(held or {}):  # for the day when announced ones count again
        data[SEQUENCE_KEY] = str(read_sequence(held or {})).encode()
    ends = [int(each.not_valid_after_utc.timestamp()) + 1 for each in counting]
    return AuthoritiesFound(
        Reason.SECRET_CONFLICT if taken else reason,
        counting,
        data=data,
        changes_at=min(ends, default=None),
    )


def _reason(counting: Announced | None, held: Reason | None, failure: Reason | None) -> Reason:
    if counting is not None:
        return failure if failure is not None and failure in _REFUSED else Reason.AUTHORITIES_ANNOUNCED
    return failure or held or Reason.NOT_OBSERVED


def _ask_at(
    uid: str,
    now: int,
    counting: Announced | None,
    failure: Reason | None,
    fetched: Fetched | None,
    planned: int | None,
    *,
    announces: bool,
    young: bool,
) -> int | None:
    """When to ask by itself; None: not before the next handshake of ours."""
    share = fraction_of("statement", uid)
    if fetched is not None and failure is not None:
        if failure is Reason.NOT_ANNOUNCED:
            return now + REFRESH_SECONDS if announces else None
        if fetched.retry_after_seconds and young:
            return now + fetched.retry_after_seconds  # it may only just have started
        return now + max(RETRY_SECONDS, fetched.retry_after_seconds)
    if counting is not None:
        pause = max(RETRY_SECONDS, min(REFRESH_SECONDS, counting.refreshed_by - now))
        if fetched is not None:
            return min(now + pause - int(pause * share / 10), counting.changes_at)
        return min(now + int(pause * share) if planned is None else planned, counting.changes_at)
    if failure is None:
        return now if announces else None
    if failure is Reason.NOT_ANNOUNCED and not announces:
        return None
    return now + int(RETRY_SECONDS * share) if planned is None else planned
