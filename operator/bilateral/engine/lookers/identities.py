"""Looks at WorkloadIdentities: signs what is due, writes the Secrets, asks for rollouts, then says so.

Rules:

- What was signed is in the issued record before it is in a Secret. A certificate whose record could not be
  written is thrown away.
- One status write ends a look, whatever the look did.
- Rollouts are asked for last, with the hash of what was written: a workload that starts anew finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bilateral.engine.api import APIError, Forbidden, NotFound, path_of
from bilateral.engine.cache import Key
from bilateral.engine.lookers.identity_views import IdentityViews
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.partners import Partners
from bilateral.engine.services import Services
from bilateral.pki.identities import Identity, generate_identity_key, issue_identity
from bilateral.pki.pem import PrivateKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity import reconcile_identity
from bilateral.reconcile.identity_outputs import build_identity_secret
from bilateral.reconcile.identity_view import IdentityOutcome, Issue
from bilateral.reconcile.issued import Owner, entry_for
from bilateral.resources.labels import FIELD_MANAGER, GROUP
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.workloadidentity import RolloutKind, RolloutTarget, WorkloadIdentity

MAX_ROUNDS = 6
"""A look signs, writes, rolls out; what changed meanwhile may add a round."""
RECORD_AGAIN_SECONDS = 1.0
CONTENT_HASH_ANNOTATION = f"{GROUP}/content-hash"

_WORKLOADS: Mapping[RolloutKind, str] = {
    RolloutKind.DEPLOYMENT: "deployments",
    RolloutKind.STATEFUL_SET: "statefulsets",
    RolloutKind.DAEMON_SET: "daemonsets",
}


class WorkloadIdentityLooker:
    """Looks at WorkloadIdentities."""

    def __init__(self, tools: Tools, partners: Partners, services: Services) -> None:
        self._tools = tools
        self._views = IdentityViews(tools, partners, services)

    async def look(self, key: Key) -> None:
        """Look at a WorkloadIdentity."""
        tools = self._tools
        rolled: dict[RolloutTarget, Reason | None] = {}
        for attempt in range(MAX_ROUNDS):
            found = await tools.read(WorkloadIdentity, key)
            if found is None:
                return
            raw, identity = found
            if attempt == 0:
                await self._look_for_freed(identity)
            view = await self._views.build(identity, rolled)
            now = tools.now()
            outcome = reconcile_identity(identity, view, now)
            if not tools.holds():
                return
            if await self._perform(identity, outcome, rolled, now):
                continue  # what was done is in view now, and more may follow from it
            await tools.write_status(key, raw, outcome.status.to_wire())
            if outcome.issue is not None:
                tools.look_after(key, RECORD_AGAIN_SECONDS)  # what stood in the way passes by itself
            elif outcome.next_at is not None:
                tools.schedule(key, outcome.next_at)
            return
        tools.queue.add(key)

    async def _look_for_freed(self, identity: WorkloadIdentity) -> None:
        """Foreign Secrets are not watched: that one went is found out by asking."""
        for name in sorted(self._tools.secrets.foreign(identity.metadata.namespace)):
            if identity.is_output(name):
                await self._tools.secrets.look_again(identity, name)

    async def _perform(
        self,
        identity: WorkloadIdentity,
        outcome: IdentityOutcome,
        rolled: dict[RolloutTarget, Reason | None],
        now: int,
    ) -> bool:
        """Do the first thing that is left to do; false when nothing was done."""
        if outcome.issue is not None:
            return await self._issue(identity, outcome.issue, now)
        if outcome.outputs:
            secrets = self._tools.secrets
            foreign = secrets.foreign(identity.metadata.namespace)
            written = [await secrets.write(identity, each) for each in outcome.outputs]
            return any(written) or secrets.foreign(identity.metadata.namespace) != foreign
        for target in outcome.rollouts:
            rolled[target] = await self._roll_out(identity, target, outcome.status.content_hash or "")
        return bool(outcome.rollouts)

    async def _issue(self, identity: WorkloadIdentity, issue: Issue, now: int) -> bool:
        """Sign, record, write: in this order. False where the record or the Secret could not be written."""
        tools, metadata = self._tools, identity.metadata
        domain = tools.parse(TrustDomain, metadata.namespace, identity.spec.trust_domain)
        if domain is None:
            return False
        key: PrivateKey | None = issue.private_key
        if key is None and issue.public_key is None:
            key = generate_identity_key(identity.spec.algorithm)
        made = _sign(identity, issue, key, now)
        owner = Owner(WorkloadIdentity.KIND, metadata.uid, metadata.name)
        entry = entry_for(made.certificate, issue.authority.certificate, owner)
        if not await tools.issued.record(domain, [entry]) or not tools.holds():
            return False
        foreign = tools.secrets.foreign(metadata.namespace)
        wanted = build_identity_secret(identity, made, key, issue.authority.certificate)
        written = await tools.secrets.write(identity, wanted)
        return written or tools.secrets.foreign(metadata.namespace) != foreign

    async def _roll_out(
        self, identity: WorkloadIdentity, target: RolloutTarget, content_hash: str
    ) -> Reason | None:
        """Have a workload's pods made anew; why that was refused, or None."""
        path = path_of(
            _WORKLOADS[target.kind], identity.metadata.namespace, target.name, group="apps", version="v1"
        )
        annotations = {CONTENT_HASH_ANNOTATION: content_hash}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        try:
            await self._tools.api.merge(path, body, manager=FIELD_MANAGER)
        except NotFound:
            return Reason.ROLLOUT_TARGET_NOT_FOUND
        except Forbidden:
            return Reason.ROLLOUT_REFUSED
        except APIError as error:
            if error.status and not error.retry_after_seconds and error.status < 500:
                return Reason.ROLLOUT_REFUSED  # what admission refuses it will refuse again
            raise
        return None


def _sign(identity: WorkloadIdentity, issue: Issue, key: PrivateKey | None, now: int) -> Identity:
    public_key = issue.public_key if key is None else key.public_key()
    if public_key is None:
        raise ValueError("expected a key to certify")
    return issue_identity(
        issue.authority,
        identity.spec.subject.to_subject(),
        public_key,
        dns_names=identity.spec.dns_names,
        validity_seconds=identity.spec.validity_seconds,
        now=datetime.fromtimestamp(now, UTC),
    )
