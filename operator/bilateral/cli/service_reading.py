"""What the explanation of a service is made of, read with the caller's rights.

Rules: those of :mod:`bilateral.cli.reading`. A Secret is read for the one file of the service; nothing else of it
is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.errors import NotPermittedError, NotThereError
from bilateral.cli.explanation import Around, Explanation, explain, explain_introduced, may_see
from bilateral.cli.reading import R, Reader
from bilateral.pki.errors import InvalidIntroduction
from bilateral.pki.introductions import parse_introduction
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.introduction import Introduction
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.trustedservice import TrustedService
from bilateral.resources.workloadidentity import WorkloadIdentity

MAX_SUGGESTED = 10


def read_explanation(cluster: Cluster, alias: str, identity: str | None, now: int) -> Explanation:
    """Read what there is about an alias and explain it, for one identity or for all who may see it.

    Raises NotThereError when nobody offers the alias, or the identity does not exist; ClusterError.
    """
    reader = _Reader(cluster)
    claims, aliases = _claims(cluster, alias)
    if claims:
        service = TrustedService.parse(claims[0])
        identities = [
            each for each in reader.identities(identity) if identity is not None or may_see(each, service)
        ]
        around = reader.around(service.alias, service.spec.peer, identities)
        return explain(service, around, now, [str(claim["metadata"]["name"]) for claim in claims[1:]])
    carried = reader.introduced(alias, identity)
    if carried is None:
        known = ", ".join(sorted(aliases)[:MAX_SUGGESTED]) or "none"
        hidden = f"; not seen: {', '.join(reader.unseen)}" if reader.unseen else ""
        raise NotThereError(
            f"nobody offers {alias} in namespace {cluster.namespace}: no TrustedService has the alias and no "
            f"introduction carries it. TrustedServices there: {known}{hidden}"
        )
    url, introduction, names = carried
    identities = [each for each in reader.identities(identity) if each.metadata.name in names]
    form = introduction.spec.ours
    around = reader.around(alias, None if form is None else form.peer, identities)
    return explain_introduced(alias, url, introduction, around, now)


def _claims(cluster: Cluster, alias: str) -> tuple[list[Object], set[str]]:
    """The TrustedServices with an alias, the one that keeps it first; and all aliases."""
    claims: list[Object] = []
    aliases: set[str] = set()
    for obj in cluster.list(TrustedService.PLURAL):
        spec = obj.get("spec")
        found = str((spec if isinstance(spec, dict) else {}).get("alias") or obj["metadata"]["name"])
        aliases.add(found)
        if found == alias:
            claims.append(obj)
    # As the operator decides: the older keeps it; of one age, the one with the smaller UID.
    claims.sort(
        key=lambda obj: (obj["metadata"].get("creationTimestamp", ""), obj["metadata"].get("uid", ""))
    )
    return claims, aliases


class _Reader(Reader):
    def around(self, alias: str, peer: str | None, identities: Sequence[WorkloadIdentity]) -> Around:
        """Read what stands around a service: its peer, and what its callers hold."""
        found = None if peer is None else self.get(FederationPeer, peer)
        files = self._files(alias, identities)
        subjects: dict[str, str] = {}
        for name in sorted({each.spec.trust_domain for each in identities}):
            domain = self.get(TrustDomain, name)
            authority = None if domain is None else domain.status.certificate_authority
            if authority is not None:
                subjects[name] = authority.subject
        return Around(found, identities, files, subjects, tuple(self.unseen))

    def identities(self, name: str | None) -> list[WorkloadIdentity]:
        """One identity, which must be there, or all."""
        if name is not None:
            return [WorkloadIdentity.parse(self.cluster.get(WorkloadIdentity.PLURAL, name))]
        return self.list(WorkloadIdentity)

    def introduced(self, alias: str, identity: str | None) -> tuple[str, Introduction, frozenset[str]] | None:
        """The oldest introduction that carries an alias, its URL, and the identities introduced by such."""
        found: list[tuple[str, Introduction]] = []
        names: set[str] = set()
        for each in sorted(self.list(Introduction), key=_age):
            form = each.spec.ours
            url = None if form is None or identity not in (None, form.identity) else self._url(each, alias)
            if form is not None and url is not None:
                found.append((url, each))
                names.add(form.identity)
        return (*found[0], frozenset(names)) if found else None

    def get(self, kind: type[R], name: str) -> R | None:
        """An object; None where it is missing, breaks a rule, or may not be read."""
        try:
            return kind.parse(self.cluster.get(kind.PLURAL, name))
        except (NotThereError, InvalidResource):
            return None
        except NotPermittedError:
            self.note(f"{kind.PLURAL}/{name}")
            return None

    def list(self, kind: type[R]) -> list[R]:
        """All objects of a kind that can be read, by name."""
        return sorted(self.objects(kind), key=lambda each: each.metadata.name)

    def _files(self, alias: str, identities: Sequence[WorkloadIdentity]) -> dict[str, bytes | None]:
        files: dict[str, bytes | None] = {}
        for identity in identities:
            name = identity.servers_secret_name
            try:
                files[identity.metadata.name] = self.cluster.secret(name).get(f"{alias}.yaml")
            except NotThereError:
                files[identity.metadata.name] = None
            except NotPermittedError:
                self.note(f"secrets/{name}")
        return files

    def _url(self, introduction: Introduction, alias: str) -> str | None:
        """Where an introduction says that an alias is, if it says so."""
        text = self.document(introduction)
        try:
            services = () if text is None else parse_introduction(text).services
        except InvalidIntroduction:
            return None
        return next((service.url for service in services if service.alias == alias), None)


def _age(introduction: Introduction) -> tuple[str, str]:
    return introduction.metadata.creation_timestamp, introduction.metadata.uid
