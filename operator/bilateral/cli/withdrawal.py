"""What would be withdrawn if an object were deleted, or a partner suspended: everything that follows from it.

Pure. Rules: a plan only takes away from what statuses and Secrets say is there now; what counts for nothing
already is not listed. Files are told from the Secrets, where those were read. What a plan cannot know
is said in a note, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from bilateral.cli.explanation import may_see
from bilateral.cli.issued import Signed, signed_by_domain
from bilateral.cli.secret_change import SecretChange
from bilateral.cli.withdrawal_files import change_secrets
from bilateral.cli.world import NOTHING, Removal, World
from bilateral.protocol.reasons import Reason
from bilateral.resources.conditions import ConditionStatus
from bilateral.resources.introduction import Introduction
from bilateral.resources.workloadidentity import WorkloadIdentity


class Effect(StrEnum):
    """What becomes of an Introduction."""

    WITHDRAWN = "Withdrawn"  # our authority signed it
    UNINSTALLED = "Uninstalled"  # another one did
    UNSUPPORTED = "Unsupported"  # our authority signed it, and is gone with its list


@dataclass(frozen=True, slots=True)
class LostService:
    """A TrustedService that nobody could call any more, and the identities that may see it."""

    name: str
    alias: str
    url: str
    reason: Reason
    identities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LostCarried:
    """A service that came with an introduction, and that an identity would lose."""

    alias: str
    url: str
    identity: str
    introduction: str


@dataclass(frozen=True, slots=True)
class LostIntroduction:
    """An Introduction that would not count any more; ``identity`` is ours, of what others signed."""

    name: str
    effect: Effect
    subject: str | None
    identity: str | None
    not_after: int | None


@dataclass(frozen=True, slots=True)
class LostChain:
    """A chain that an identity would lose."""

    identity: str
    slug: str
    introduction: str


@dataclass(frozen=True, slots=True)
class LostClients:
    """A partner's parties, who could not connect to an identity of ours any more."""

    identity: str
    partner: str


@dataclass(frozen=True, slots=True)
class LostPolicy:
    """A policy by which nothing of its partner would be allowed any more."""

    name: str
    partner_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that would be withdrawn; ``identities`` are gone or lose the authority that signs them."""

    partners: tuple[tuple[str, Reason], ...]
    policies: tuple[LostPolicy, ...]
    identities: tuple[str, ...]
    services: tuple[LostService, ...]
    carried: tuple[LostCarried, ...]
    introductions: tuple[LostIntroduction, ...]
    chains: tuple[LostChain, ...]
    clients: tuple[LostClients, ...]
    certificates: tuple[Signed, ...]
    secrets: tuple[SecretChange, ...]
    rollouts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be withdrawn at all."""
        listed = (self.partners, self.policies, self.identities, self.services, self.carried)
        return not any(
            (*listed, self.introductions, self.chains, self.clients, self.certificates, self.secrets)
        )


def plan(world: World, removal: Removal, now: int) -> Plan:
    """Work out what a removal withdraws at ``now`` (Unix seconds)."""
    objects = world.objects
    introductions = tuple(_introductions(world, removal))
    certificates = () if objects.secrets is None else tuple(_certificates(world, removal, now))
    secrets: tuple[SecretChange, ...] = ()
    doubts: tuple[str, ...] = ()
    if objects.secrets is not None:
        secrets, doubts = change_secrets(world, removal, certificates, now)
    touched = {each.identity for each in secrets if not (each.deleted or each.is_list_only)}
    rollouts = tuple(
        (name, f"{target.kind.value}/{target.name}")
        for name, identity in sorted(objects.identities.items())
        for target in identity.spec.rollouts
        if name in touched
    )
    return Plan(
        partners=tuple(_partners(world, removal)),
        policies=tuple(_policies(world, removal)),
        identities=tuple(name for name, each in sorted(objects.identities.items()) if _ends(each, removal)),
        services=tuple(_services(world, removal)),
        carried=tuple(_carried(world, removal)),
        introductions=introductions,
        chains=tuple(_chains(world, removal)),
        clients=tuple(_clients(world, removal)),
        certificates=certificates,
        secrets=secrets,
        rollouts=rollouts,
        notes=(*doubts, *_notes(removal, introductions, certificates), *_notes_of_policy(world, removal)),
    )


def _ends(identity: WorkloadIdentity, removal: Removal) -> bool:
    return identity.metadata.name == removal.identity or identity.spec.trust_domain == removal.domain


def _partners(world: World, removal: Removal) -> Iterator[tuple[str, Reason]]:
    for name, reason in sorted(removal.partners.items()):
        ready = world.objects.partners[name].status.condition("Ready")
        if ready is not None and ready.status is ConditionStatus.TRUE:
            yield name, reason


def _policies(world: World, removal: Removal) -> Iterator[LostPolicy]:
    for name, policy in sorted(world.objects.policies.items()):
        reason = Reason.NO_POLICY if name == removal.policy else removal.partners.get(policy.spec.peer)
        ready = policy.status.condition("Ready")
        if reason is not None and ready is not None and ready.status is ConditionStatus.TRUE:
            yield LostPolicy(name, policy.spec.partner_id, reason)


def _services(world: World, removal: Removal) -> Iterator[LostService]:
    for name, service in sorted(world.objects.services.items()):
        reason = world.loss_of(service, removal)
        if reason is None or service.status.verifier is None:
            continue
        seen = (each for each in world.objects.identities.values() if may_see(each, service))
        names = tuple(sorted(each.metadata.name for each in seen))
        yield LostService(name, service.alias, service.spec.url, reason, names)


def _carried(world: World, removal: Removal) -> Iterator[LostCarried]:
    for name, identity in sorted(world.objects.identities.items()):
        for introduction in world.installed(name, NOTHING):
            reference = f"{Introduction.SINGULAR}/{introduction.metadata.name}"
            for alias, url in sorted(world.carried(introduction).items()):
                before = world.holder(alias, identity, NOTHING)
                ours = before is not None and before.reference == reference
                if ours and (name == removal.identity or world.holder(alias, identity, removal) is None):
                    yield LostCarried(alias, url, name, introduction.metadata.name)


def _introductions(world: World, removal: Removal) -> Iterator[LostIntroduction]:
    for name, introduction in sorted(world.objects.introductions.items()):
        status, issue = introduction.status, introduction.spec.issue
        form = introduction.spec.ours
        effect: Effect | None = None
        if issue is not None and status.introduction is not None:
            if issue.trust_domain == removal.domain:
                effect = Effect.UNSUPPORTED
            elif name == removal.introduction or issue.peer in removal.partners:
                effect = Effect.WITHDRAWN
        elif world.is_installed(introduction, NOTHING) and not world.is_installed(introduction, removal):
            effect = Effect.UNINSTALLED
        if effect is not None:
            identity = None if form is None else form.identity
            yield LostIntroduction(name, effect, status.subject, identity, status.not_after)


def _chains(world: World, removal: Removal) -> Iterator[LostChain]:
    for name in sorted(world.objects.identities):
        left = world.chains(name, removal)
        for slug, introduction in sorted(world.chains(name, NOTHING).items()):
            if slug not in left:
                yield LostChain(name, slug, introduction)


def _clients(world: World, removal: Removal) -> Iterator[LostClients]:
    for name, identity in sorted(world.objects.identities.items()):
        for partner in sorted(set(identity.spec.clients) & set(removal.partners)):
            found = world.objects.partners[partner]
            same = found.spec.trust_domain == identity.spec.trust_domain
            if same and found.status.certificate_authorities:
                yield LostClients(name, partner)


def _certificates(world: World, removal: Removal, now: int) -> Iterator[Signed]:
    """What our authorities signed for the objects that lose it, and would put on their lists."""
    owners = {removal.uid} if removal.deletes else set()
    for introduction in world.objects.introductions.values():
        issue = introduction.spec.issue
        if issue is not None and issue.peer in removal.partners and issue.trust_domain != removal.domain:
            owners.add(introduction.metadata.uid)
    for name, domain in sorted(world.objects.domains.items()):
        if name != removal.domain:
            signed = signed_by_domain(domain, world.objects.secrets or {})
            yield from (each for each in signed if each.counts(now) and each.owner_uid in owners)


def _notes(
    removal: Removal, introductions: Iterable[LostIntroduction], certificates: Iterable[Signed]
) -> Iterator[str]:
    effects = {each.effect for each in introductions}
    if any(True for _ in certificates):
        yield (
            "What our authority withdraws is on its revocation list at once; whoever does not read the list "
            "accepts it until its end."
        )
    if Effect.UNINSTALLED in effects:
        yield "What another authority signed stays valid until its end; only they can withdraw it."
    if Effect.UNSUPPORTED in effects or removal.domain is not None:
        yield (
            "What the trust domain's authority signed stays valid until its end, and nobody can withdraw it any "
            "more: the issued record goes with the trust domain. Keys in Secrets of the operator's are lost."
        )


def _notes_of_policy(world: World, removal: Removal) -> Iterator[str]:
    """What a policy leaves behind; of two for one partner neither counts, and one alone does."""
    policies = world.objects.policies
    gone = policies.get(removal.policy or "")
    if gone is None:
        return
    yield "What was introduced under the policy stays valid until its end; what was decided stays in the ledger."
    others = [
        name
        for name, each in sorted(policies.items())
        if name != removal.policy
        and (each.spec.peer == gone.spec.peer or each.spec.partner_id == gone.spec.partner_id)
    ]
    if len(others) == 1:
        yield f"federationpolicy/{others[0]} is for the same partner: with this one gone, it may count."
