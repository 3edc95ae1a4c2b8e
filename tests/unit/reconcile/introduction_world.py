"""An Introduction whose status is fed back after every look, and whom it is about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.directory import TrustedAuthority
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.names import Subject
from bilateral.pki.pem import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_view import OwnTrust
from bilateral.reconcile.introduction_accept import AcceptView, reconcile_accept
from bilateral.reconcile.introduction_issue import IssueView, reconcile_issue
from bilateral.reconcile.introduction_status import IntroductionOutcome
from bilateral.reconcile.partners import Partner
from bilateral.resources.introduction import Introduction
from unit.pki.material import request

START = datetime(2026, 11, 21, 14, 31, 7, tzinfo=UTC)
NOW = int(START.timestamp())
HOUR, DAY, YEAR = 3600, 86_400, 31_536_000
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC: PublicKey = KEY.public_key()
CSR = request(KEY).decode()


def authority(name: str, *, seconds: int = YEAR, started: datetime = START) -> Authority:
    return generate_authority(
        Subject(organization="Org B", common_name=name),
        algorithm=Algorithm.ECDSA_P256,
        validity_seconds=seconds,
        now=started,
    )


OURS = authority("Org B CA")
OTHER = authority("Org C CA")


def trust(signer: Authority | None = OURS, *old: Authority, problem: Reason | None = None) -> OwnTrust:
    generations = tuple(TrustedAuthority(each.certificate) for each in (signer, *old) if each is not None)
    return OwnTrust(problem=problem, authority=signer, generations=generations)


def partner(**changes: Any) -> Partner:
    return replace(
        Partner(
            name="org-a",
            uid="peer-uid",
            kernel_id="org-a-kernel",
            trust_domain="org-b",
            withheld=None,
            fresh=True,
            rotation_due=NOW + 12 * HOUR,
            authorities=(OURS.certificate,),
        ),
        **changes,
    )


@dataclass
class World:
    """An Introduction whose status is fed back after every look; signing is done as the engine does it."""

    spec: dict[str, Any]
    now: int = NOW
    generation: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    signed: list[Document] = field(default_factory=list)
    writes: int = 0

    @property
    def resource(self) -> Introduction:
        return Introduction.parse(
            {
                "metadata": {
                    "name": "client1",
                    "namespace": "trust",
                    "uid": "intro-uid",
                    "generation": self.generation,
                    "labels": self.labels,
                },
                "spec": self.spec,
                "status": self.status,
            }
        )

    def issue(self, view: IssueView) -> IntroductionOutcome:
        resource = self.resource
        spec = resource.spec.issue
        assert spec is not None
        outcome = reconcile_issue(resource, spec, view, self.now)
        if outcome.sign is not None:
            document = issue_introduction(
                outcome.sign.authority,
                outcome.sign.candidate,
                outcome.sign.services,
                outcome.sign.validity_seconds,
                datetime.fromtimestamp(self.now, UTC),
                dns_names=outcome.sign.dns_names,
            )
            self.signed.append(document)
            outcome = reconcile_issue(resource, spec, replace(view, signed=document), self.now)
            assert outcome.sign is None
        return self.write(outcome)

    def accept(self, view: AcceptView) -> IntroductionOutcome:
        resource = self.resource
        assert resource.spec.accept is not None
        return self.write(reconcile_accept(resource, resource.spec.accept, view, self.now))

    def write(self, outcome: IntroductionOutcome) -> IntroductionOutcome:
        told = outcome.status.to_wire()
        self.writes += told != self.status
        self.status = json.loads(json.dumps(told))
        return outcome

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]

    def message(self, kind: str = "Ready") -> str:
        return str(next(each for each in self.status["conditions"] if each["type"] == kind)["message"])
