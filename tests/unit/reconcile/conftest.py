"""Objects for decisions: a trust domain, a peer, a partner, and a loop that feeds a status back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bilateral.protocol.handshake import Envelope, build_envelope
from bilateral.protocol.keys import SigningKey
from bilateral.reconcile.peer import DomainView, Failed, PeerOutcome, PeerView, Received, reconcile_peer
from bilateral.reconcile.peer_conditions import build_status
from bilateral.resources.federationpeer import FederationPeer
from bilateral.resources.trustdomain import TrustDomain

NOW = 1_795_000_000
WINDOW = 43_200
OURS = SigningKey.generate()
THEIRS = SigningKey.generate()
NEXT = SigningKey.generate()
STRANGER = SigningKey.generate()
SEAL = bytes(range(32))


def trust_domain(**spec: Any) -> TrustDomain:
    return TrustDomain.parse(
        {
            "metadata": {"name": "org-a", "namespace": "trust", "uid": "domain-uid", "generation": 1},
            "spec": {"kernelId": "org-a-kernel", **spec},
        }
    )


@dataclass
class World:
    """A peer whose status is fed back after every look, as the API server would."""

    spec: dict[str, Any] = field(
        default_factory=lambda: {
            "trustDomain": "org-a",
            "kernelId": "org-b-kernel",
            "trustAnchors": [{"publicKey": THEIRS.public_key.canonical}],
            "endpoint": {"url": "https://trust.org-b.example", "verifier": {"webPKI": {}}},
        }
    )
    now: int = NOW
    uid: str = "peer-uid"
    generation: int = 1
    annotations: dict[str, str] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    writes: int = 0
    view: PeerView = field(
        default_factory=lambda: PeerView(domain=DomainView(trust_domain(), OURS.public_key, SEAL))
    )

    @property
    def peer(self) -> FederationPeer:
        return FederationPeer.parse(
            {
                "metadata": {
                    "name": "org-b",
                    "namespace": "trust",
                    "uid": self.uid,
                    "generation": self.generation,
                    "annotations": self.annotations,
                },
                "spec": self.spec,
                "status": self.status,
            }
        )

    def look(self, happened: Received | Failed | None = None) -> PeerOutcome:
        """One look; what it wants is written, as the engine would."""
        peer = self.peer
        outcome = reconcile_peer(peer, replace(self.view, happened=happened), self.now)
        seal_key = None if self.view.domain is None else self.view.domain.seal_key
        wanted = build_status(peer, outcome.findings, seal_key).to_wire()
        if wanted != self.status:
            self.writes += 1
            self.status = wanted
        return outcome

    def edit(self, **changes: Any) -> None:
        """Change the spec, as a person would."""
        self.spec = {name: value for name, value in {**self.spec, **changes}.items() if value is not None}
        self.generation += 1

    def condition(self, kind: str = "Ready") -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]


def envelope(
    key: SigningKey = THEIRS,
    *,
    timestamp: int = NOW,
    nonce: str = "nonce-1",
    sender: str = "org-b-kernel",
    addressee: str = "org-a-kernel",
) -> Envelope:
    return build_envelope(
        local_kernel_id=sender, remote_kernel_id=addressee, nonce=nonce, timestamp=timestamp, key=key
    )


@pytest.fixture
def world() -> World:
    return World()
