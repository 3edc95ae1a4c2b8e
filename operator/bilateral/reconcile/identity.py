"""What should be true of a WorkloadIdentity: its certificate, and the Secrets that its pods mount.

Rules (resources.md, WorkloadIdentity; security.md R-K3, R-K6, R-T1):

- First the certificate, then what follows from it, then rollouts; one status ends a look. A certificate that
  cannot be recorded holds nothing else up: what is withdrawn leaves the Secrets meanwhile.
- What is trusted comes from the view and is followed at every look: a partner, a service or an introduction
  that no longer counts leaves the Secrets at the second at which it ends (``next_at``).
- A good certificate stays good while the trust domain cannot sign: Ready says so only when its time is over;
  that a renewal is overdue is said by IdentityIssued.
- A Secret of one of our names that is not ours is left byte-identical and named by SecretConflict; the others
  are kept up.

The key and the certificate are :mod:`~bilateral.reconcile.identity_material`, the Secrets
:mod:`~bilateral.reconcile.identity_outputs`. Nothing is signed or drawn at random here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Accepted, Refused, judge
from bilateral.reconcile.identity_material import Material
from bilateral.reconcile.identity_outputs import Chain, Outputs, build_outputs, choose_chains
from bilateral.reconcile.identity_status import Found, build_status
from bilateral.reconcile.identity_view import IdentityView, Offer
from bilateral.reconcile.outcome import SecretView, WrittenSecret, next_after
from bilateral.reconcile.services import Resolution, ResolvedService, merge_services, resolve_introduced
from bilateral.resources.workloadidentity import RolloutTarget, WorkloadIdentity, WorkloadIdentityStatus

LOOK_AGAIN_SECONDS = 60
"""How often a conflict is looked at without an event: foreign Secrets are not watched."""
ROLL_AGAIN_SECONDS = 300
"""How often a rollout that was refused is asked for again: nobody tells when the right is given."""


@dataclass(frozen=True, slots=True)
class IdentityOutcome:
    """What should be true of a WorkloadIdentity, and what to do for it.

    ``found`` is what may be said once all of it is done: ``outputs`` are written first, then ``rollouts`` are
    asked for. ``moments`` (Unix seconds) are when something changes of which nothing else tells.
    """

    found: Found
    outputs: tuple[WrittenSecret, ...] = ()
    rollouts: tuple[RolloutTarget, ...] = ()
    moments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an outcome: whether its outputs were written, and how asking for rollouts ended."""

    written: bool = True
    rolled: Mapping[RolloutTarget, Reason | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The offers that count, and the moments at which that changes."""

    chains: tuple[Chain, ...]
    introduced: tuple[Resolution, ...]
    moments: tuple[int, ...]


def judged_time(view: IdentityView, now: int) -> datetime:
    """The moment by which certificates are judged: a clock that went back makes none younger."""
    return datetime.fromtimestamp(max(now, view.latest_time), UTC)


def reconcile_identity(
    identity: WorkloadIdentity, view: IdentityView, material: Material, now: int
) -> IdentityOutcome:
    """Judge a WorkloadIdentity that holds ``material`` at ``now`` (Unix seconds)."""
    moment = judged_time(view, now)
    judged = _judge(view.offers, material, int(moment.timestamp()))
    services = merge_services(view.services, judged.introduced, view.aliases)
    outputs = build_outputs(identity, view, material, judged.chains, services, moment)
    wrong = [each for each in outputs.secrets if not _is_there(each, view.secrets.get(each.name))]
    conflicts = [each.name for each in wrong if _is_taken(identity, view, each)]
    return IdentityOutcome(
        found=Found(
            material=material,
            chains=judged.chains,
            bound_services=len(services),
            content_hash=outputs.content_hash if material.certificate is not None else None,
            problem=_problem(outputs, conflicts, material),
            secrets=tuple(conflicts) or outputs.too_large or _own_taken(identity, material),
        ),
        outputs=tuple(each for each in wrong if each.name not in conflicts),
        rollouts=() if material.certificate is None else _rollouts(identity, outputs),
        moments=tuple(_moments(view, material, judged, services)),
    )


def finish_identity(
    identity: WorkloadIdentity, outcome: IdentityOutcome, done: Done, now: int
) -> tuple[WorkloadIdentityStatus, int | None]:
    """The status to write, and when to look again (Unix seconds)."""
    found = replace(outcome.found, rolled=done.rolled)
    if found.problem is None and not done.written:
        found = replace(found, problem=Reason.OUTPUTS_PENDING)
    material = found.material
    if material.issue is not None:  # it is still to be done: its record could not be written
        good = material.certificate is not None
        said = replace(
            material,
            problem=None if good else Reason.RECORD_PENDING,
            hindrance=Reason.RECORD_PENDING if good else None,
        )
        found = replace(found, material=said)
    moments = list(outcome.moments)
    if any((material.problem, material.hindrance, material.issue, found.problem)):
        moments.append(now + LOOK_AGAIN_SECONDS)
    if any(reason is not None for reason in done.rolled.values()):
        moments.append(now + ROLL_AGAIN_SECONDS)
    return build_status(identity, found, now), next_after(now, moments)


def _judge(offers: Iterable[Offer], material: Material, now: int) -> _Judged:
    """Accept what counts for the identity's key; what is not accepted opens nothing."""
    if material.public_key is None:
        return _Judged((), (), ())
    chains: list[Chain] = []
    introduced: list[Resolution] = []
    moments: list[int] = []
    for offer in offers:
        match judge(offer.document, material.public_key, offer.pinned, now, offer.revocations):
            case Refused(begins_at=begins_at):
                moments += [] if begins_at is None else [begins_at]
            case Accepted() as accepted:
                chains.append(Chain(accepted, offer.name))
                moments.append(accepted.ends_at)
                if offer.partner is not None and offer.partner.rotation_due is not None:
                    moments.append(offer.partner.rotation_due)
                introduced += [
                    resolve_introduced(
                        service.alias,
                        service.url,
                        accepted.introduction.authority,
                        offer.partner,
                        peer_is_named=offer.peer_is_named,
                        now=now,
                    )
                    for service in accepted.services
                ]
    return _Judged(choose_chains(chains), tuple(introduced), tuple(moments))


def _is_there(wanted: WrittenSecret, held: SecretView | None) -> bool:
    return held is not None and held.data == wanted.data and held.type == wanted.type


def _is_taken(identity: WorkloadIdentity, view: IdentityView, wanted: WrittenSecret) -> bool:
    held = view.secrets.get(wanted.name)
    if held is None:
        return wanted.name in view.foreign_secrets
    return held.owner_uid != identity.metadata.uid or held.referenced or held.type != wanted.type


def _own_taken(identity: WorkloadIdentity, material: Material) -> tuple[str, ...]:
    return (identity.identity_secret_name,) if material.problem is Reason.SECRET_CONFLICT else ()


def _problem(outputs: Outputs, conflicts: list[str], material: Material) -> Reason | None:
    if conflicts:
        return Reason.SECRET_CONFLICT
    if outputs.too_large:
        return Reason.OUTPUT_TOO_LARGE
    return Reason.IDENTITY_PENDING if material.certificate is None else None


def _rollouts(identity: WorkloadIdentity, outputs: Outputs) -> tuple[RolloutTarget, ...]:
    done = {(each.kind, each.name): each.content_hash for each in identity.status.rollouts}
    return tuple(
        target
        for target in identity.spec.rollouts
        if done.get((target.kind, target.name)) != outputs.content_hash
    )


def _moments(
    view: IdentityView, material: Material, judged: _Judged, services: tuple[ResolvedService, ...]
) -> Iterator[int]:
    yield from judged.moments
    yield from (service.until for service in services if service.until is not None)
    yield from (partner.rotation_due for partner in view.clients if partner.rotation_due is not None)
    for generation in () if view.own is None else view.own.generations:
        yield int(generation.certificate.not_valid_after_utc.timestamp()) + 1
    if material.certificate is not None:
        yield int(material.certificate.renewal_due.timestamp())
        yield int(material.certificate.not_after.timestamp()) + 1
