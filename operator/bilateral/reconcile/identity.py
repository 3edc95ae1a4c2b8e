"""What should be true of a WorkloadIdentity: its certificate, and the Secrets that its pods mount.

Rules (resources.md, WorkloadIdentity; security.md R-K3, R-K6, R-T1):

- First the certificate, then what follows from it, then rollouts; the status when nothing is left to do.
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

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bilateral.protocol.reasons import Reason
from bilateral.reconcile.acceptances import Accepted, Refused, judge
from bilateral.reconcile.identity_material import Material, read_material
from bilateral.reconcile.identity_outputs import Chain, Outputs, build_outputs, choose_chains
from bilateral.reconcile.identity_status import Found, build_status
from bilateral.reconcile.identity_view import IdentityOutcome, IdentityView, Offer
from bilateral.reconcile.outcome import SecretView, WrittenSecret
from bilateral.reconcile.services import Resolution, ResolvedService, merge_services, resolve_introduced
from bilateral.resources.workloadidentity import RolloutTarget, WorkloadIdentity

LOOK_AGAIN_SECONDS = 60
"""How often a conflict is looked at without an event: foreign Secrets are not watched."""
ROLL_AGAIN_SECONDS = 300
"""How often a rollout that was refused is asked for again: nobody tells when the right is given."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """The offers that count, and the moments at which that changes."""

    chains: tuple[Chain, ...]
    introduced: tuple[Resolution, ...]
    moments: tuple[int, ...]


def reconcile_identity(identity: WorkloadIdentity, view: IdentityView, now: int) -> IdentityOutcome:
    """Judge a WorkloadIdentity at ``now`` (Unix seconds)."""
    # Certificates are judged by the latest time that was seen: a clock that went back makes none younger.
    latest = max(now, view.latest_time)
    moment = datetime.fromtimestamp(latest, UTC)
    material = read_material(identity, view, moment)
    judged = _judge(view.offers, material, latest)
    services = merge_services(view.services, judged.introduced, view.aliases)
    outputs = build_outputs(identity, view, material, judged.chains, services, moment)
    wrong = [each for each in outputs.secrets if not _is_there(each, view.secrets.get(each.name))]
    conflicts = [each.name for each in wrong if _is_taken(identity, view, each)]
    pending = tuple(each for each in wrong if each.name not in conflicts)
    rollouts = () if pending or material.certificate is None else _rollouts(identity, view, outputs)
    found = Found(
        material=material,
        chains=judged.chains,
        bound_services=len(services),
        content_hash=outputs.content_hash if material.certificate is not None else None,
        problem=_problem(outputs, conflicts, pending, material),
        rolled=view.rolled,
    )
    return IdentityOutcome(
        status=build_status(identity, found, now),
        issue=material.issue,
        outputs=pending,
        rollouts=rollouts,
        next_at=_next_look(view, material, judged, services, found, now),
    )


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


def _problem(
    outputs: Outputs, conflicts: list[str], pending: tuple[WrittenSecret, ...], material: Material
) -> Reason | None:
    if conflicts:
        return Reason.SECRET_CONFLICT
    if outputs.too_large:
        return Reason.OUTPUT_TOO_LARGE
    if material.certificate is None:
        return Reason.IDENTITY_PENDING
    if pending:
        return Reason.OUTPUTS_PENDING
    return None


def _rollouts(identity: WorkloadIdentity, view: IdentityView, outputs: Outputs) -> tuple[RolloutTarget, ...]:
    done = {(each.kind, each.name): each.content_hash for each in identity.status.rollouts}
    return tuple(
        target
        for target in identity.spec.rollouts
        if target not in view.rolled and done.get((target.kind, target.name)) != outputs.content_hash
    )


def _next_look(
    view: IdentityView,
    material: Material,
    judged: _Judged,
    services: tuple[ResolvedService, ...],
    found: Found,
    now: int,
) -> int | None:
    """The first moment at which something changes that nothing else tells of."""
    moments = [*judged.moments]
    moments += [service.until for service in services if service.until is not None]
    moments += [partner.rotation_due for partner in view.clients if partner.rotation_due is not None]
    if view.own is not None:
        ends = (each.certificate.not_valid_after_utc for each in view.own.generations)
        moments += [int(end.timestamp()) + 1 for end in ends]
    if material.certificate is not None:
        moments.append(int(material.certificate.renewal_due.timestamp()))
        moments.append(int(material.certificate.not_after.timestamp()) + 1)
    if material.problem is not None or material.hindrance is not None or found.problem is not None:
        moments.append(now + LOOK_AGAIN_SECONDS)
    if any(reason is not None for reason in view.rolled.values()):
        moments.append(now + ROLL_AGAIN_SECONDS)
    return min((moment for moment in moments if moment > now), default=None)
