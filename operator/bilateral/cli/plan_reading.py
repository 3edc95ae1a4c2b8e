"""What a plan is made of, read with the caller's rights: nothing is written.

Rules: those of :mod:`bilateral.cli.reading`. Of Secrets only those are read that the operator made, and those
that hold an introduction.
"""

from __future__ import annotations

from collections.abc import Mapping

from bilateral.cli.cluster import Cluster, OwnedSecret
from bilateral.cli.errors import AnswerNoError, InputError, NotPermittedError, NotThereError
from bilateral.cli.reading import R, Reader
from bilateral.cli.world import Objects, Removal
from bilateral.pki.errors import PkiError
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import parse_introduction
from bilateral.protocol.reasons import Reason
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.introduction import Introduction
from bilateral.resources.kinds import KINDS
from bilateral.resources.meta import Resource
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import WorkloadIdentity


def find_kind(reference: str) -> tuple[type[Resource], str]:
    """Read ``KIND/NAME``, the kind as kubectl takes it. Raises InputError."""
    word, slash, name = reference.partition("/")
    for kind in KINDS:
        if word.lower() in (kind.SINGULAR, kind.PLURAL, *kind.SHORT_NAMES) and slash and name:
            return kind, name
    kinds = ", ".join(kind.SINGULAR for kind in KINDS)
    raise InputError(f"{reference} is not KIND/NAME: expected one of {kinds}, a slash and a name")


def read_removal(cluster: Cluster, kind: type[Resource], name: str, objects: Objects) -> Removal:
    """What deleting an object takes away. Raises NotThereError, ClusterError."""
    uid = str(cluster.get(kind.PLURAL, name)["metadata"]["uid"])
    if kind is FederationPeer:
        gone = {name: Reason.PEER_NOT_FOUND} if name in objects.partners else {}
        return Removal(uid, partners=gone)
    if kind is TrustDomain:
        gone = {
            each: Reason.TRUST_DOMAIN_NOT_FOUND
            for each, partner in objects.partners.items()
            if partner.spec.trust_domain == name
        }
        return Removal(uid, partners=gone, domain=name)
    if kind is WorkloadIdentity:
        return Removal(uid, identity=name)
    if kind is TrustedService:
        return Removal(uid, service=name)
    if kind is FederationPolicy:
        return Removal(uid, policy=name)
    return Removal(uid, introduction=name)


def read_suspension(name: str, objects: Objects) -> Removal:
    """What suspending a partner takes away. Raises AnswerNoError, NotThereError."""
    partner = objects.partners.get(name)
    if partner is None:
        raise NotThereError(f"there is no FederationPeer {name}, or it breaks a rule of its kind")
    if partner.is_suspended:
        raise AnswerNoError(f"federationpeer/{name} is suspended already: nothing of it counts")
    return Removal(partner.metadata.uid, partners={name: Reason.SUSPENDED}, deletes=False)


def read_objects(cluster: Cluster) -> Objects:
    """Read everything of ours in the namespace."""
    reader = _Reader(cluster)
    introductions = reader.list(Introduction)
    return Objects(
        domains=reader.list(TrustDomain),
        partners=reader.list(FederationPeer),
        identities=reader.list(WorkloadIdentity),
        services=reader.list(TrustedService),
        introductions=introductions,
        policies=reader.list(FederationPolicy),
        documents=reader.documents(introductions),
        secrets=reader.secrets(),
        unseen=tuple(reader.unseen),
    )


class _Reader(Reader):
    def list(self, kind: type[R]) -> dict[str, R]:
        """All objects of a kind that can be read and are not on their way out, by name."""
        return {
            each.metadata.name: each
            for each in self.objects(kind)
            if each.metadata.deletion_timestamp is None
        }

    def secrets(self) -> Mapping[str, OwnedSecret] | None:
        """The Secrets that the operator made; None where they may not be listed."""
        try:
            return {each.name: each for each in self.cluster.owned_secrets()}
        except NotPermittedError:
            self.note("secrets")
            return None

    def documents(self, introductions: Mapping[str, Introduction]) -> dict[str, Document]:
        """What other authorities signed, as far as it can be read."""
        found: dict[str, Document] = {}
        for name, introduction in introductions.items():
            text = self.document(introduction)
            try:
                if text is not None:
                    found[name] = parse_introduction(text)
            except PkiError:
                continue  # its own status says why
        return found
