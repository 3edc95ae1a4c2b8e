"""The status of a WorkloadIdentity: what is shown of its certificate, its chains and its Secrets.

Nothing secret is in it: names, numbers and hashes that nobody can try secrets against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bilateral.pki.names import rfc4514_name
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.slugs import build_slug
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_material import Material
from bilateral.reconcile.identity_outputs import Chain
from bilateral.reconcile.progress import progress
from bilateral.reconcile.sentences import sentence
from bilateral.resources.conditions import ConditionStatus, Wanted, build_conditions
from bilateral.resources.workloadidentity import (
    MAX_CHAINS,
    ChainStatus,
    RolloutStatus,
    RolloutTarget,
    WorkloadIdentity,
    WorkloadIdentityStatus,
)

_WORKING = frozenset(
    {
        Reason.IDENTITY_PENDING,
        Reason.RECORD_PENDING,
        Reason.OUTPUTS_PENDING,
        Reason.AUTHORITY_PENDING,
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found.

    ``problem`` is what stands in the way of the outputs, ``secrets`` which of them; ``rolled`` says how asking
    for rollouts ended.
    """

    material: Material
    chains: tuple[Chain, ...]
    bound_services: int
    content_hash: str | None
    problem: Reason | None
    secrets: tuple[str, ...] = ()
    rolled: Mapping[RolloutTarget, Reason | None] = field(default_factory=dict)


def build_status(identity: WorkloadIdentity, found: Found, now: int) -> WorkloadIdentityStatus:
    """The whole status at ``now``."""
    before, material = identity.status, found.material
    certificate = material.certificate
    return WorkloadIdentityStatus(
        observed_generation=identity.metadata.generation,
        reconciled_now=identity.metadata.reconcile_now,
        conditions=tuple(
            build_conditions(before.conditions, _conditions(found), identity.metadata.generation, now)
        ),
        subject=None if certificate is None else certificate.subject,
        fingerprint=None if certificate is None else certificate.fingerprint,
        serial=None if certificate is None else certificate.serial,
        not_after=None if certificate is None else int(certificate.not_after.timestamp()),
        renewal_time=None if certificate is None else int(certificate.renewal_due.timestamp()),
        public_key_fingerprint=before.public_key_fingerprint
        if material.public_key is None
        else key_fingerprint(material.public_key),
        content_hash=found.content_hash,
        chains=_chains(found)[:MAX_CHAINS],
        bound_services=found.bound_services,
        rollouts=_rollouts(identity, found),
    )


def _conditions(found: Found) -> dict[str, Wanted]:
    material = found.material
    refused = next((reason for reason in found.rolled.values() if reason is not None), None)
    ready = _wanted(material.problem or found.problem, Reason.READY, found.secrets)
    return {
        "Ready": ready,
        "IdentityIssued": _wanted(material.problem, material.hindrance or Reason.ISSUED, found.secrets),
        "OutputsWritten": _wanted(found.problem, refused or Reason.OUTPUTS_WRITTEN, found.secrets),
        **progress(
            reconciling=ready.status is ConditionStatus.UNKNOWN,
            stalled=ready.status is ConditionStatus.FALSE,
        ),
    }


def _wanted(problem: Reason | None, good: Reason, secrets: tuple[str, ...]) -> Wanted:
    if problem is None:
        return Wanted(ConditionStatus.TRUE, good, sentence(good))
    status = ConditionStatus.UNKNOWN if problem in _WORKING else ConditionStatus.FALSE
    return Wanted(status, problem, sentence(problem, secrets))


def _chains(found: Found) -> tuple[ChainStatus, ...]:
    """Our own authority's certificate first, then the introductions by slug."""
    material = found.material
    own: list[ChainStatus] = []
    if material.certificate is not None and material.authority is not None:
        own.append(
            ChainStatus(
                authority=rfc4514_name(material.authority.subject),
                slug=build_slug(material.authority),
                not_after=int(material.certificate.not_after.timestamp()),
            )
        )
    return (
        *own,
        *(
            ChainStatus(
                authority=chain.accepted.introduction.authority_name,
                slug=chain.slug,
                not_after=int(chain.accepted.introduction.not_after.timestamp()),
                introduction=chain.name,
            )
            for chain in found.chains
            if all(chain.slug != each.slug for each in own)
        ),
    )


def _rollouts(identity: WorkloadIdentity, found: Found) -> tuple[RolloutStatus, ...]:
    """What the workloads of the spec were last rolled out with."""
    done = {(each.kind, each.name): each for each in identity.status.rollouts}
    if found.content_hash is not None:
        for target, refused in found.rolled.items():
            if refused is None:
                done[target.kind, target.name] = RolloutStatus(
                    kind=target.kind, name=target.name, content_hash=found.content_hash
                )
    listed = ((target.kind, target.name) for target in identity.spec.rollouts)
    return tuple(done[each] for each in listed if each in done)
