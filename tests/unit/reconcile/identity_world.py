"""An identity for decisions, with a loop that does what they want."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import yaml

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.directory import TrustedAuthority, build_identity_files
from bilateral.pki.fingerprints import certificate_fingerprint
from bilateral.pki.identities import HeldIdentity, generate_identity_key, issue_identity, load_identity
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.verifiers import PeerCA
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity import (
    Done,
    IdentityOutcome,
    finish_identity,
    judged_time,
    reconcile_identity,
)
from bilateral.reconcile.identity_material import Material, read_material
from bilateral.reconcile.identity_view import IdentityView, Issue, Offer, OwnTrust
from bilateral.reconcile.outcome import SecretView, WrittenSecret
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import Presentable, ResolvedService
from bilateral.resources.workloadidentity import RolloutTarget, WorkloadIdentity

from .conftest import NOW

DAY = 86_400
MONTH, YEAR = 30 * DAY, 365 * DAY
UID = "identity-uid"
FOUR = ("client1-identity", "client1-id-chains", "client1-known-servers", "client1-known-clients")


def moment(now: int = NOW) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def authority(name: str, *, now: int = NOW, validity: int = YEAR) -> Authority:
    return generate_authority(
        Subject(organization=name.split(maxsplit=1)[0], common_name=name),
        algorithm="ECDSAP256",
        validity_seconds=validity,
        now=moment(now),
    )


OURS, NEXT, THEIRS, THEIR_NEXT = (
    authority("OrgA CA"),
    authority("OrgA CA"),
    authority("OrgB CA"),
    authority("OrgB CA"),
)


def partner(*authorities: Authority, **how: Any) -> Partner:
    values: dict[str, Any] = {
        "name": "org-b",
        "uid": "peer-uid",
        "kernel_id": "org-b-kernel",
        "trust_domain": "org-a",
        "withheld": None,
        "fresh": True,
        "authorities": tuple(each.certificate for each in authorities),
    }
    return Partner(**{**values, **how})


PARTNER = partner(THEIRS)
SERVICE = ResolvedService(
    alias="org2-api",
    url="https://api.org-b.example:9443",
    verifier=PeerCA((THEIRS.certificate,)),
    presents=(Presentable(THEIRS.certificate),),
    peer="org-b",
    deadline_of="org-b-kernel",
)


@dataclass
class World:
    """An identity and its Secrets; `settle` does what looks want, as the engine would."""

    spec: dict[str, Any] = field(
        default_factory=lambda: {"trustDomain": "org-a", "subject": {"commonName": "client1"}}
    )
    view: IdentityView = field(
        default_factory=lambda: IdentityView(
            own=OwnTrust(None, OURS, (TrustedAuthority(OURS.certificate),)), clients=(PARTNER,)
        )
    )
    status: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, SecretView] = field(default_factory=dict)
    now: int = NOW
    written: list[str] = field(default_factory=list)
    issued: list[Issue] = field(default_factory=list)
    rolled: list[RolloutTarget] = field(default_factory=list)
    refuse_rollouts: Reason | None = None
    record: bool = True  # whether the issued record can be written

    @property
    def identity(self) -> WorkloadIdentity:
        return WorkloadIdentity.parse(
            {
                "metadata": {"name": "client1", "namespace": "trust", "uid": UID, "generation": 1},
                "spec": self.spec,
                "status": self.status,
            }
        )

    def read(self) -> tuple[IdentityView, Material]:
        view = replace(self.view, secrets=dict(self.secrets))
        return view, read_material(self.identity, view, judged_time(view, self.now))

    def look(self) -> IdentityOutcome:
        """One decision, of which nothing follows."""
        view, material = self.read()
        return reconcile_identity(self.identity, view, material, self.now)

    def settle(self) -> int | None:
        """One look, and all that follows from it; when to look again."""
        _, material = self.read()
        if material.issue is not None:
            self.issued.append(material.issue)
            if self.record:
                self._issue(material.issue)
        outcome = self.look()
        for each in outcome.outputs:
            self.put(each)
        self.rolled += outcome.rollouts
        done = Done(rolled=dict.fromkeys(outcome.rollouts, self.refuse_rollouts))
        status, next_at = finish_identity(self.identity, outcome, done, self.now)
        self.status = status.to_wire()
        allowed = {each.name: each.reasons for each in WorkloadIdentity.CONDITIONS}
        assert all(each.reason in allowed[each.type] for each in status.conditions)
        assert [each.type for each in status.conditions] == list(allowed)
        return next_at

    def _issue(self, issue: Issue) -> None:
        spec = self.identity.spec
        key = issue.private_key
        if key is None and issue.public_key is None:
            key = generate_identity_key(spec.algorithm)
        public = issue.public_key if key is None else key.public_key()
        assert public is not None
        made = issue_identity(
            issue.authority,
            spec.subject.to_subject(),
            public,
            dns_names=spec.dns_names,
            validity_seconds=spec.validity_seconds,
            now=moment(self.now),
        )
        if key is None:
            pem = made.certificate_pem
            data = {"tls.crt": pem, "id.crt": pem, "ca.crt": issue.authority.certificate_pem}
            self.put(WrittenSecret("client1-identity", data))
        else:
            data = build_identity_files(HeldIdentity(made, key), issue.authority.certificate)
            self.put(WrittenSecret("client1-identity", data, "kubernetes.io/tls"))

    def put(self, wanted: WrittenSecret, *, owner: str | None = UID, referenced: bool = False) -> None:
        self.written.append(wanted.name)
        self.secrets[wanted.name] = SecretView(
            name=wanted.name,
            uid=f"{wanted.name}-uid",
            resource_version="1",
            owner_uid=owner,
            referenced=referenced,
            type=wanted.type,
            data=dict(wanted.data),
        )

    def edit(self, name: str, **files: bytes) -> None:
        """Change files of a Secret by hand; an underscore stands for the point."""
        held = self.secrets[name]
        changed = {file.replace("_", "."): content for file, content in files.items()}
        self.secrets[name] = replace(held, data={**held.data, **changed})

    def files(self, secret: str) -> dict[str, bytes]:
        return dict(self.secrets[f"client1-{secret}"].data)

    def yaml(self, secret: str, file: str) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(self.files(secret)[file])
        return document

    @property
    def held(self) -> HeldIdentity:
        files = self.files("identity")
        return load_identity(files["tls.crt"], files["tls.key"])

    def condition(self, kind: str = "Ready") -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]

    def message(self, kind: str = "Ready") -> str:
        return str(next(each["message"] for each in self.status["conditions"] if each["type"] == kind))

    def own(self, **changes: Any) -> None:
        assert self.view.own is not None
        self.view = replace(self.view, own=replace(self.view.own, **changes))

    def offer(self, signer: Authority = THEIRS, *, name: str = "from-b", **how: Any) -> Offer:
        """An introduction of the identity's key."""
        services = how.pop("services", ())
        validity = how.pop("validity", MONTH)
        introduction = issue_introduction(
            signer, self.held.identity.certificate_pem, services, validity, moment(self.now)
        )
        values: dict[str, Any] = {
            "pinned": frozenset({certificate_fingerprint(signer.certificate)}),
            "partner": PARTNER,
        }
        return Offer(name=name, document=introduction.to_json(), **{**values, **how})


def settled_world() -> World:
    """An identity with everything written, and nothing noted yet."""
    world = World()
    world.settle()
    assert world.condition() == ("True", "Ready")
    world.written.clear()
    world.issued.clear()
    return world
