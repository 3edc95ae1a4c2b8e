"""Looks at Introductions: signs what is approved, within the terms of the peer's policy, and says what is installed.

Rules:

- What was signed is in the issued record before it is in the status, where anybody may read it. What could
  not be recorded is thrown away.
- One approval, one signature: a document that is recorded and could not yet be shown is kept and shown at
  the next look. After a crash between the two it is signed again; the record knows the lost one, and it is
  withdrawn with its Introduction.
- Accepting writes nothing but the status: the identity installs by the same judgement.

Requests to a partner's operator are :mod:`bilateral.engine.lookers.introduction_requests`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from bilateral.engine.cache import Key
from bilateral.engine.introduction_terms import find_terms
from bilateral.engine.log import Log
from bilateral.engine.lookers.own_trust import OwnTrusts
from bilateral.engine.lookers.tools import Tools
from bilateral.engine.partners import Partners
from bilateral.engine.policies import Policies
from bilateral.pki.errors import PkiError
from bilateral.pki.introductions import Introduction as Document
from bilateral.pki.introductions import issue_introduction
from bilateral.pki.pem import PublicKey
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.identity_material import read_material
from bilateral.reconcile.identity_view import IdentityView
from bilateral.reconcile.introduction_accept import AcceptView, reconcile_accept
from bilateral.reconcile.introduction_issue import IssueView, reconcile_issue
from bilateral.reconcile.introduction_status import IntroductionOutcome, Signing, explain, find
from bilateral.reconcile.issued import Owner, entry_for
from bilateral.reconcile.outcome import Finding
from bilateral.resources.introduction import AcceptSpec, Introduction, IssueSpec
from bilateral.resources.trustdomain import TrustDomain
from bilateral.resources.workloadidentity import WorkloadIdentity

RECORD_AGAIN_SECONDS = 1.0

log = Log("introductions")


class Requests(Protocol):
    """Looks at Introductions that ask a partner's operator."""

    async def look_at_request(self, key: Key, raw: dict[str, Any], resource: Introduction) -> None:
        """Look at one whose spec has ``request``."""


class IntroductionLooker:
    """Looks at Introductions."""

    def __init__(self, tools: Tools, partners: Partners, policies: Policies, requests: Requests) -> None:
        self._tools = tools
        self._partners = partners
        self._policies = policies
        self._requests = requests
        self._own = OwnTrusts(tools)
        self._signed: dict[Key, tuple[str, Signing, Document]] = {}  # recorded, not yet shown; of which UID

    async def look(self, key: Key) -> None:
        """Look at an Introduction."""
        found = await self._tools.read(Introduction, key)
        if found is None:
            self._signed.pop(key, None)
            return
        raw, resource = found
        if resource.spec.issue is not None:
            await self._look_at_issue(key, raw, resource, resource.spec.issue)
        elif resource.spec.accept is not None:
            await self._look_at_accept(key, raw, resource, resource.spec.accept)
        else:
            await self._requests.look_at_request(key, raw, resource)

    async def _look_at_issue(
        self, key: Key, raw: dict[str, Any], resource: Introduction, issue: IssueSpec
    ) -> None:
        tools, peer, terms = self._tools, issue.peer, None
        if peer is not None:
            terms = find_terms(self._policies, key.namespace, peer)
        view = IssueView(
            own=self._own.find(key.namespace, issue.trust_domain),
            partner=None if peer is None else self._partners.find(key.namespace, peer),
            terms=terms,
        )
        now = tools.now()
        outcome = reconcile_issue(resource, issue, view, now)
        if not tools.holds():
            return
        if outcome.sign is None:
            self._signed.pop(key, None)  # nothing is wanted, or what was signed does not count any more
        else:
            made = await self._sign(key, resource, issue, outcome.sign, now)
            if not tools.holds():
                return
            if isinstance(made, Finding):
                view = replace(view, problem=made)
                if made.reason is Reason.RECORD_PENDING:
                    tools.look_after(key, RECORD_AGAIN_SECONDS)
            else:
                view = replace(view, signed=made)
            outcome = reconcile_issue(resource, issue, view, now)
        await self._write(key, raw, outcome)
        self._signed.pop(key, None)

    async def _sign(
        self, key: Key, resource: Introduction, issue: IssueSpec, wanted: Signing, now: int
    ) -> Document | Finding:
        """Sign and record; or the document that was recorded before and is still to be shown."""
        tools, metadata = self._tools, resource.metadata
        domain = tools.parse(TrustDomain, key.namespace, issue.trust_domain)
        if domain is None:
            return find(Reason.TRUST_DOMAIN_NOT_FOUND)
        kept = self._kept(key, domain, metadata.uid, wanted)
        if kept is not None:
            return kept
        try:
            document = issue_introduction(
                wanted.authority,
                wanted.candidate,
                wanted.services,
                wanted.validity_seconds,
                datetime.fromtimestamp(now, UTC),
                dns_names=wanted.dns_names,
            )
        except PkiError as error:
            return explain(error)
        owner = Owner(Introduction.KIND, metadata.uid, metadata.name)
        entry = entry_for(document.certificate, document.authority, owner)
        if not await tools.issued.record(domain, [entry]):
            return find(Reason.RECORD_PENDING)
        self._signed[key] = (metadata.uid, wanted, document)
        log.info("Introduction signed", namespace=key.namespace, name=key.name, serial=document.serial)
        return document

    def _kept(self, key: Key, domain: TrustDomain, uid: str, wanted: Signing) -> Document | None:
        """What was recorded before for this very object and could not be shown, unless it was withdrawn."""
        found = self._signed.get(key)
        if found is None:
            return None
        of, then, document = found
        if of != uid or document.authority != wanted.authority.certificate:
            return None
        if (then.validity_seconds, then.dns_names) != (wanted.validity_seconds, wanted.dns_names):
            return None  # the terms of the policy are others now
        serial = document.certificate.serial_number
        entries = (each for each in self._tools.issued.entries(domain) if each.serial == serial)
        return document if any(each.withdrawn_at is None for each in entries) else None

    async def _look_at_accept(
        self, key: Key, raw: dict[str, Any], resource: Introduction, accept: AcceptSpec
    ) -> None:
        tools = self._tools
        identity = tools.parse(WorkloadIdentity, key.namespace, accept.identity)
        now = tools.now()
        view = AcceptView(
            document=read_document(tools, key.namespace, accept),
            identity_domain=None if identity is None else identity.spec.trust_domain,
            public_key=None if identity is None else self._public_key(identity, now),
            partner=None if accept.peer is None else self._partners.find(key.namespace, accept.peer),
            clock_regressed=tools.guard.regressed,
            latest_time=int(tools.guard.latest),
        )
        outcome = reconcile_accept(resource, accept, view, now)
        if tools.holds():
            await self._write(key, raw, outcome)

    def _public_key(self, identity: WorkloadIdentity, now: int) -> PublicKey | None:
        views, namespace = self._tools.views, identity.metadata.namespace
        names = (identity.identity_secret_name, identity.spec.key.secret_name)
        found = {name: views.secret(namespace, name) for name in names if name is not None}
        view = IdentityView(
            own=None, secrets={name: secret for name, secret in found.items() if secret is not None}
        )
        return read_material(identity, view, datetime.fromtimestamp(now, UTC)).public_key

    async def _write(self, key: Key, raw: dict[str, Any], outcome: IntroductionOutcome) -> None:
        await self._tools.write_status(key, raw, outcome.status.to_wire())
        if outcome.next_at is not None:
            self._tools.schedule(key, outcome.next_at)


def read_document(tools: Tools, namespace: str, accept: AcceptSpec) -> str | bytes | None:
    """The JSON that is to be accepted; None where its Secret is not there, lacks the label or the key."""
    reference = accept.introduction_secret_ref
    if reference is None:
        return accept.introduction
    secret = tools.views.secret(namespace, reference.name)
    return secret.data.get(reference.key) if secret is not None and secret.referenced else None
