"""Looks at WorkloadIdentities: signs what is due, writes the Secrets, asks for rollouts, then says so.

Rules:

- What was signed is in the issued record before it is in a Secret. A certificate whose record could not be
  written is thrown away.
- The Secrets that follow from it go out at once, each whatever becomes of the others; where one ends in an error,
  nothing is said, and the next look finds the others written.
- One status write ends a look, whatever the look did.
- Rollouts are asked for last, with the hash of what was written: a workload that starts anew finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from bilateral.engine.api import APIError, Forbidden, NotFound, path_of
from bilateral.engine.cache import Key
from bilateral.engine.lookers.identity_views import IdentityViews
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.partners import Partners
from bilateral.engine.services import Services
from bilateral.pki.identities import Identity, generate_identity_key, issue_identity
from bilateral.pki.pem import PrivateKey, PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity import (
    Done,
    IdentityOutcome,
    finish_identity,
    judged_time,
    reconcile_identity,
)
from bilateral.reconcile.identity_material import Material, read_material
from bilateral.reconcile.identity_outputs import build_identity_secret
from bilateral.reconcile.identity_view import Issue
from bilateral.reconcile.issued import Owner, entry_for
from bilateral.reconcile.outcome import SecretView
from bilateral.resources.labels import FIELD_MANAGER, GROUP
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.workloadidentity import RolloutKind, RolloutTarget, WorkloadIdentity

MAX_ROUNDS = 3
"""A name that is found taken, while it is written, leads to another round."""
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
        for attempt in range(MAX_ROUNDS):
            found = await tools.read(WorkloadIdentity, key)
            if found is None:
                return
            raw, identity = found
            if attempt == 0:
                await self._look_for_freed(identity)
            taken = tools.secrets.taken(key.namespace)
            now = tools.now()
            outcome = await self._decide(identity, now)
            if not tools.holds():
                return
            written = await self._write_all(identity, outcome)
            if tools.secrets.taken(key.namespace) != taken:
                continue  # a name is taken: that is to be said
            rolled = await self._roll_out_all(identity, outcome) if written else {}
            status, next_at = finish_identity(identity, outcome, Done(written, rolled), now)
            await tools.write_status(key, raw, status.to_wire())
            if next_at is not None:
                tools.schedule(key, next_at)
            if outcome.found.material.issue is not None and not self._is_record_taken(identity):
                tools.look_after(key, RECORD_AGAIN_SECONDS)  # what stood in the way passes by itself
            return
        tools.queue.add(key)

    async def _write_all(self, identity: WorkloadIdentity, outcome: IdentityOutcome) -> bool:
        """Write the Secrets, all at once; whether all are there. Raises the first APIError.

        Each is written whatever becomes of the others, and the error is raised when all have been answered.
        """
        writes = (self._tools.secrets.write(identity, each) for each in outcome.outputs)
        answers = await asyncio.gather(*writes, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return all(answers)

    def _is_record_taken(self, identity: WorkloadIdentity) -> bool:
        """Whether a foreign Secret has the name of the issued record: only a person can change that."""
        namespace = identity.metadata.namespace
        domain = self._tools.views.domain(namespace, identity.spec.trust_domain)
        taken = self._tools.secrets.foreign(namespace)
        return domain is not None and domain.view.trust_domain.issued_secret_name in taken

    async def _look_for_freed(self, identity: WorkloadIdentity) -> None:
        """Foreign Secrets are not watched: that one went is found out by asking."""
        for name in sorted(self._tools.secrets.foreign(identity.metadata.namespace)):
            if identity.is_output(name):
                await self._tools.secrets.look_again(identity, name)

    async def _decide(self, identity: WorkloadIdentity, now: int) -> IdentityOutcome:
        """Issue what is due, and decide what follows from what there is then."""
        view = await self._views.build(identity)
        material = read_material(identity, view, judged_time(view, now))
        if material.issue is not None and self._tools.holds():
            issued = await self._issue(identity, material.issue, now)
            if issued is not None:
                material, held = issued
                view = replace(view, secrets={**view.secrets, held.name: held})
        return reconcile_identity(identity, view, material, now)

    async def _issue(
        self, identity: WorkloadIdentity, issue: Issue, now: int
    ) -> tuple[Material, SecretView] | None:
        """Sign, record, write: in this order. None where the record or the Secret could not be written."""
        tools, metadata = self._tools, identity.metadata
        domain = tools.parse(TrustDomain, metadata.namespace, identity.spec.trust_domain)
        if domain is None:
            return None
        key: PrivateKey | None = issue.private_key
        if key is None and issue.public_key is None:
            key = generate_identity_key(identity.spec.algorithm)
        public_key = issue.public_key if key is None else key.public_key()
        if public_key is None:
            raise ValueError("expected a key to certify")
        made, authority = _sign(identity, issue, public_key, now), issue.authority.certificate
        entry = entry_for(
            made.certificate, authority, Owner(WorkloadIdentity.KIND, metadata.uid, metadata.name)
        )
        if not await tools.issued.record(domain, [entry]) or not tools.holds():
            return None
        wanted = build_identity_secret(identity, made, key, authority)
        if not await tools.secrets.write(identity, wanted):
            return None
        held = SecretView(
            name=wanted.name,
            uid="",
            resource_version="",
            owner_uid=metadata.uid,
            referenced=False,
            type=wanted.type,
            data=wanted.data,
        )
        return Material(public_key, key, made, authority), held

    async def _roll_out_all(
        self, identity: WorkloadIdentity, outcome: IdentityOutcome
    ) -> dict[RolloutTarget, Reason | None]:
        content_hash = outcome.found.content_hash or ""
        return {target: await self._roll_out(identity, target, content_hash) for target in outcome.rollouts}

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


def _sign(identity: WorkloadIdentity, issue: Issue, public_key: PublicKey, now: int) -> Identity:
    return issue_identity(
        issue.authority,
        identity.spec.subject.to_subject(),
        public_key,
        dns_names=identity.spec.dns_names,
        validity_seconds=identity.spec.validity_seconds,
        now=datetime.fromtimestamp(now, UTC),
    )
