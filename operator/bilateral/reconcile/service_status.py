"""A TrustedService's conditions and status, from how it is resolved and who may see it.

Rules: all condition types are there from the first look; messages are our own sentences and numbers, and
stand still while nothing happens. ``boundSecrets`` and ``ChainAvailable`` are about the identities as
they were at this look: they are brought up to date a little after those changed, once for many.
"""

from __future__ import annotations

from dataclasses import dataclass

from bilateral.pki.slugs import build_slug
from bilateral.pki.verifiers import pinned_fingerprints
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.progress import progress
from bilateral.reconcile.sentences import sentence
from bilateral.reconcile.services import Resolution, ResolvedService, ServiceView, resolve_service
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.trustedservice import ResolvedVerifier, TrustedService, TrustedServiceStatus

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_MAX_SHOWN = 64

WAITING = frozenset({Reason.PEER_NOT_PINNED, Reason.TRUST_DOMAIN_NOT_READY})
"""Reasons for which Ready is Unknown: nobody needs to touch the service for it to come right."""

PASSING = frozenset(
    {
        *WAITING,
        Reason.PEER_STALE,
        Reason.PIN_TAMPERED,
        Reason.PIN_NOT_ANCHORED,
        Reason.CLOCK_REGRESSED,
        Reason.NO_CHAIN,
    }
)
"""Reasons that may go without anybody editing something here; for any other the service is Stalled."""


AFTER_THE_VERIFIER = frozenset(
    {
        Reason.AUTHORITY_UNKNOWN,
        Reason.SECRET_NOT_FOUND,
        Reason.TOKEN_INVALID,
        Reason.TOKEN_NOT_FOR_HOST,
    }
)
"""Refusals of a service whose verifier was resolved."""


@dataclass(frozen=True, slots=True)
class Audience:
    """The identities that may see a service: how many there are, and how many lack a chain that it accepts."""

    seeing: int = 0
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class ServiceOutcome:
    """What should be true of a TrustedService, what pods get of it, and when to look again (Unix seconds)."""

    status: TrustedServiceStatus
    resolved: Resolution
    next_at: int | None


def reconcile_service(
    service: TrustedService, view: ServiceView, audience: Audience, now: int
) -> ServiceOutcome:
    """Decide how a service is reached, and what its status says, at ``now`` (Unix seconds)."""
    resolved = resolve_service(service, view, now)
    return build_outcome(service, resolved, audience, now)


def build_outcome(
    service: TrustedService, resolved: Resolution, audience: Audience, now: int
) -> ServiceOutcome:
    """Build the status that says how a service was resolved."""
    usable = resolved if isinstance(resolved, ResolvedService) else None
    status = TrustedServiceStatus(
        observed_generation=service.metadata.generation,
        reconciled_now=service.metadata.reconcile_now,
        conditions=tuple(
            build_conditions(
                service.status.conditions,
                wanted_conditions(resolved, audience),
                service.metadata.generation,
                now,
            )
        ),
        verifier=None if usable is None else ResolvedVerifier(usable.verifier.kind),
        pinned=() if usable is None else tuple(pinned_fingerprints(usable.verifier)[:_MAX_SHOWN]),
        bound_secrets=0 if usable is None else audience.seeing,
    )
    return ServiceOutcome(status, resolved, None if usable is None else usable.until)


def wanted_conditions(resolved: Resolution, audience: Audience) -> dict[str, Wanted]:
    """Every condition of a TrustedService, in the order in which they are shown."""
    ready = _ready(resolved, audience)
    stalled = ready.status is not _TRUE and ready.reason not in PASSING
    reconciling = ready.status is not _TRUE and not stalled
    return {
        "Ready": ready,
        "VerifierResolved": _verifier(resolved),
        "ChainAvailable": _chain(resolved, audience),
        **progress(reconciling=reconciling, stalled=stalled),
    }


def presentable_slugs(resolved: ResolvedService) -> frozenset[str] | None:
    """The slugs of the authorities one of which must have signed an identity; None: every identity will do."""
    if not resolved.presents or any(each.authority is None for each in resolved.presents):
        return None
    return frozenset(build_slug(each.authority) for each in resolved.presents if each.authority is not None)


def _ready(resolved: Resolution, audience: Audience) -> Wanted:
    if not isinstance(resolved, ResolvedService):
        return _refused(resolved.reason)
    if audience.lacking and audience.lacking == audience.seeing:
        return Wanted(_FALSE, Reason.NO_CHAIN, sentence(Reason.NO_CHAIN))
    text = f"Verified by {resolved.verifier.kind}."
    if audience.lacking:
        text = f"{text} {_lack(audience)}"
    return Wanted(_TRUE, Reason.READY, text)


def _verifier(resolved: Resolution) -> Wanted:
    if isinstance(resolved, ResolvedService):
        return Wanted(_TRUE, Reason.VERIFIER_RESOLVED, f"The server is verified by {resolved.verifier.kind}.")
    if resolved.reason in AFTER_THE_VERIFIER:
        return Wanted(_TRUE, Reason.VERIFIER_RESOLVED, sentence(Reason.VERIFIER_RESOLVED))
    return _refused(resolved.reason)


def _chain(resolved: Resolution, audience: Audience) -> Wanted:
    if not isinstance(resolved, ResolvedService):
        if resolved.reason is Reason.AUTHORITY_UNKNOWN:
            return _refused(resolved.reason)
        return Wanted(_UNKNOWN, Reason.NOT_OBSERVED, "Nothing is shown to a service that may not be called.")
    if not resolved.presents:
        return Wanted(_TRUE, Reason.CHAIN_NOT_NEEDED, sentence(Reason.CHAIN_NOT_NEEDED))
    if not audience.seeing:
        return Wanted(_UNKNOWN, Reason.NOT_BOUND, sentence(Reason.NOT_BOUND))
    if audience.lacking:
        return Wanted(_FALSE, Reason.NO_CHAIN, _lack(audience))
    return Wanted(_TRUE, Reason.CHAIN_AVAILABLE, sentence(Reason.CHAIN_AVAILABLE))


def _lack(audience: Audience) -> str:
    return (
        f"{audience.lacking} of {audience.seeing} identities that may see it have no chain that it accepts: "
        "an introduction of theirs is needed."
    )


def _refused(reason: Reason) -> Wanted:
    return Wanted(_UNKNOWN if reason in WAITING else _FALSE, reason, sentence(reason))
