"""Who takes part: two organisations, a partner that this program plays, and the teller."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from demo.organisation import Organisation, PeerStatus
from demo.outsider import Outsider
from demo.telling import Teller

PATIENCE_SECONDS = 30
"""How long something may take that takes a second or two on a machine with nothing else to do."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, and the folder where everything of theirs lies."""

    teller: Teller
    directory: Path
    org_a: Organisation
    org_b: Organisation
    org_c: Outsider = field(default_factory=lambda: Outsider("org-c-kernel"))

    @property
    def both(self) -> tuple[Organisation, Organisation]:
        """The two organisations that have a cluster."""
        return self.org_a, self.org_b

    def start_clusters(self) -> None:
        """Start both clusters at once."""
        self._at_once(Organisation.start_cluster)

    def start_operators(self) -> None:
        """Start both operators at once."""
        self._at_once(Organisation.start_operator)

    def _at_once(self, action: Callable[[Organisation], None]) -> None:
        with ThreadPoolExecutor(max_workers=2) as pool:
            # Both have ended before the first failure is raised: nothing starts behind our back.
            for future in [pool.submit(action, organisation) for organisation in self.both]:
                future.result()

    def wait_for(self, organisation: Organisation, partner: str, ready: tuple[str, str]) -> PeerStatus:
        """Wait until Ready of a FederationPeer has this status and reason. Raises Unexpected."""
        return self.teller.wait(
            f"federationpeer/{partner} of {organisation.title}",
            lambda: organisation.peer(partner),
            lambda peer: peer.is_observed and peer.ready == ready,
            expected=f"Ready={ready[0]} ({ready[1]})",
            seconds=PATIENCE_SECONDS,
        )

    def wait_until_acknowledged(self, organisation: Organisation, partner: str) -> PeerStatus:
        """Wait until the partner has accepted our envelope, under the spec as it stands. Raises Unexpected."""
        return self.teller.wait(
            f"federationpeer/{partner} of {organisation.title}",
            lambda: organisation.peer(partner),
            lambda peer: peer.is_observed and peer.is_acknowledged,
            expected="AcknowledgedByPeer=True",
            seconds=PATIENCE_SECONDS,
        )

    def wait_for_lists(self, organisation: Organisation, kernel_ids: set[str]) -> None:
        """Wait until exactly these partners stand in the Secret that kernels mount. Raises Unexpected."""
        self.teller.wait(
            f"peers.json in Secret {organisation.name}-peers",
            organisation.listed_peers,
            lambda listed: listed == kernel_ids,
            expected=sorted(kernel_ids) or "nobody",
            seconds=PATIENCE_SECONDS,
        )

    def wait_until_listed(self, organisation: Organisation, kernel_id: str, *, listed: bool = True) -> None:
        """Wait until a partner stands in that Secret, or does not any more. Raises Unexpected."""
        self.teller.wait(
            f"peers.json in Secret {organisation.name}-peers",
            organisation.listed_peers,
            lambda found: (kernel_id in found) == listed,
            expected=f"{'with' if listed else 'without'} {kernel_id}",
            seconds=PATIENCE_SECONDS,
        )

    def stop(self) -> None:
        """End everything that runs."""
        for organisation in self.both:
            organisation.stop()
