"""What a dry run decides from: a policy, its peer and the partner's revocations, as the caller can see them.

Rules: the same questions are put in the same order as the operator's, and whatever cannot be known counts against
the partner. Two things the operator knows better, and remarks say so: a pin is believed as the status has it, since
only the operator can check its seal; and revocations are those of the feed as it is now, since what the operator
has kept of an earlier one is in its ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bilateral.cli.cluster import Cluster, Object
from bilateral.cli.errors import NotThereError
from bilateral.cli.feed_sources import Pages, UnreachableError, open_file, open_url
from bilateral.cli.files import read_input
from bilateral.cli.overview import describe_peer
from bilateral.cli.policy_store import policies_of
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.feed_reader import Equivocation, FeedReader, FeedState
from bilateral.protocol.key_history import KeyHistory, KeyInterval, KeySource
from bilateral.protocol.keys import PublicKey, parse_public_key
from bilateral.protocol.policies.denials import OF_THE_PEER
from bilateral.protocol.policies.policy import FeedSource, Policy
from bilateral.protocol.policies.questions import PeerStanding, Situation
from bilateral.protocol.reasons import Reason
from bilateral.protocol.revocation_set import PartnerRevocations, RevocationSet
from bilateral.protocol.revocations import parse_plain_revocations
from bilateral.protocol.strictjson import DOCUMENT_LIMITS
from bilateral.resources.errors import InvalidResource
from bilateral.resources.federationpeer import FederationPeer, PeerState
from bilateral.resources.federationpolicy import FederationPolicy
from bilateral.resources.verifiers import Verifier

_NOBODY = "nobody"
_NO_NEWS = PartnerRevocations(RevocationSet(), _NOBODY, None)
PIN_REMARK = "the partner's pin is the one in its status: only the operator can check its seal"


@dataclass(frozen=True, slots=True)
class FeedChoice:
    """Where the partner's feed is read from, if not as the policy says."""

    file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The situation, and what a reader of the decision is to know about it."""

    situation: Situation
    remarks: tuple[str, ...] = ()


class _UnknownServerError(Exception):
    """A feed whose server this command has no way to verify."""


def look(cluster: Cluster, partner_id: str, feed: FeedChoice, now: int) -> Seen:
    """Look at everything that a decision about the partner rests on, at ``now`` (Unix seconds)."""
    found = _policy(cluster, partner_id)
    if isinstance(found, Reason):
        return Seen(Situation(None, PeerStanding(known=False), KeyHistory(), _NO_NEWS, found))
    policy, meaning = found
    try:
        obj: Object | None = cluster.get(FederationPeer.PLURAL, policy.spec.peer)
    except NotThereError:
        obj = None
    standing, peer, remarks = _standing(obj, now)
    if peer is not None and peer.operator_id != partner_id:
        reason = Reason.PARTNER_ID_MISMATCH
        return Seen(Situation(None, standing, KeyHistory(), _NO_NEWS, reason), tuple(remarks))
    news = _NO_NEWS
    if peer is not None:
        news, more = _read_news(policy, meaning, peer, feed, now)
        remarks += more
    ready = policy.status.condition("RevocationFresh")
    if ready is not None and ready.reason == Reason.EQUIVOCATION:
        news = replace(news, equivocated=True)
        remarks.append("that the partner showed two histories is what the operator says of the policy")
    keys = policy.status.keys.observe(_present(meaning, peer, standing), now)
    return Seen(Situation(meaning, standing, keys, news), tuple(remarks))


def _policy(cluster: Cluster, partner_id: str) -> tuple[FederationPolicy, Policy] | Reason:
    """The one policy that counts for the partner, or why there is none."""
    found = policies_of(cluster, partner_id)
    if len(found) != 1:
        return Reason.POLICY_CONFLICT if found else Reason.NO_POLICY
    try:
        policy = FederationPolicy.parse(found[0])
        meaning = policy.to_policy()
    except InvalidResource as error:
        return error.reason
    if policy.metadata.deletion_timestamp is not None:
        return Reason.NO_POLICY
    others = [
        obj
        for obj in cluster.list(FederationPolicy.PLURAL)
        if obj["metadata"]["name"] != policy.metadata.name
    ]
    if any((obj.get("spec") or {}).get("peer") == policy.spec.peer for obj in others):
        return Reason.POLICY_CONFLICT
    return policy, meaning


def _standing(obj: Object | None, now: int) -> tuple[PeerStanding, FederationPeer | None, list[str]]:
    """What counts of the peer, itself, and what to know about that."""
    if obj is None:
        return PeerStanding(known=False), None, []
    line = describe_peer(obj, now)
    try:
        peer = FederationPeer.parse(obj)
    except InvalidResource as error:
        return PeerStanding(known=True, withheld=error.reason), None, []
    pin = peer.status.pin
    until = None if pin is None else pin.rotation_due
    remarks = [] if pin is None else [PIN_REMARK]
    if peer.metadata.deletion_timestamp is not None:
        return PeerStanding(known=False), peer, remarks
    if peer.spec.state is PeerState.SUSPENDED:
        return PeerStanding(known=True, suspended=True), peer, remarks
    if line.is_ready or line.verdict.reason == Reason.PEER_STALE:
        stale = until is not None and not line.is_ready and now < until
        return (
            PeerStanding(known=True, fresh_until=until, withheld=Reason.PEER_STALE if stale else None),
            peer,
            remarks,
        )
    remarks.append(f"the operator's word on federationpeer/{peer.metadata.name}: {line.verdict.sentence}")
    known = next((reason for reason in OF_THE_PEER if reason == line.verdict.reason), None)
    return PeerStanding(known=True, withheld=known), peer, remarks


def _present(meaning: Policy, peer: FederationPeer | None, standing: PeerStanding) -> Iterator[KeyInterval]:
    for issuer in meaning.trusted_issuers:
        yield KeyInterval(issuer.public_key, KeySource.ISSUER, until=issuer.not_after)
    if peer is None:
        return
    for key in peer.anchors:
        yield KeyInterval(key, KeySource.ANCHOR)
    pinned = _pinned(peer)
    if pinned is not None and standing.fresh_until is not None:
        yield KeyInterval(pinned, KeySource.PIN, until=standing.fresh_until)


def _pinned(peer: FederationPeer) -> PublicKey | None:
    return None if peer.status.pin is None else parse_public_key(peer.status.pin.public_key)


def _read_news(
    policy: FederationPolicy, meaning: Policy, peer: FederationPeer, choice: FeedChoice, now: int
) -> tuple[PartnerRevocations, list[str]]:
    """What the partner has revoked, by its own feed; what cannot be read is no news."""
    terms, ceiling = meaning.revocation_feed, meaning.max_staleness_seconds
    if terms is None or ceiling is None:
        return _NO_NEWS, []
    kernel_id, revoked = peer.spec.kernel_id, RevocationSet()
    if terms.source is FeedSource.CHIO_SERVICE:
        return _read_plain(kernel_id, revoked, choice, now + ceiling)
    pinned = _pinned(peer)
    signers = terms.signers or (() if pinned is None else (pinned,))
    reader = FeedReader(kernel_id, signers)
    state = FeedState()
    equivocated, remarks = False, list[str]()
    try:
        with ExitStack() as stack:
            pages = _open(policy, peer, choice, stack)
            while not state.is_complete:
                advance = reader.read(state, pages(state.read.size), now)
                state = advance.state
                revoked.merge(kernel_id, (each.capability_id for each in advance.entries))
    except Equivocation as error:
        equivocated = True
        remarks.append(f"the partner's feed: {error.reason}: {error}")
    except ProtocolError as error:
        remarks.append(
            f"the partner's feed is refused after {state.read.size} entries: {error.reason}: {error}"
        )
    except UnreachableError as error:
        remarks.append(f"the partner's feed could not be read: {error.message}")
    except _UnknownServerError as error:
        remarks.append(f"the partner's feed was not read: {error}")
    until = state.fresh_until(ceiling)  # of the newest head all of whose entries were read
    return PartnerRevocations(revoked, kernel_id, until, equivocated=equivocated), remarks


def _read_plain(
    kernel_id: str, revoked: RevocationSet, choice: FeedChoice, until: int
) -> tuple[PartnerRevocations, list[str]]:
    """What a service said that signs nothing; it asks for a token, which stays in the cluster."""
    if choice.file is None:
        remark = "the partner's service asks for a token: save its answer, and name the file with --feed-file"
        return PartnerRevocations(revoked, kernel_id, None, lesser=True), [remark]
    try:
        told = parse_plain_revocations(read_input(choice.file, DOCUMENT_LIMITS.max_bytes))
    except ProtocolError as error:
        remark = f"the file of --feed-file is no answer of a chio service: {error.reason}: {error}"
        return PartnerRevocations(revoked, kernel_id, None, lesser=True), [remark]
    revoked.merge(kernel_id, told.capability_ids)
    if not told.is_complete:
        return PartnerRevocations(revoked, kernel_id, None, lesser=True), [
            "the service did not tell all of it"
        ]
    remark = "the file of --feed-file is taken to be new: nobody signs it, and no time is in it"
    return PartnerRevocations(revoked, kernel_id, until, lesser=True), [remark]


def _open(policy: FederationPolicy, peer: FederationPeer, choice: FeedChoice, stack: ExitStack) -> Pages:
    feed = policy.spec.revocation_feed
    if choice.file is not None or feed is None:
        return open_file(choice.file or "")
    if feed.bearer_token_secret_ref is not None:
        raise _UnknownServerError(
            "it asks for a token, which stays in the cluster: save its pages, and name the file with --feed-file"
        )
    endpoint = peer.spec.endpoint
    verifier = feed.verifier or (None if endpoint is None else endpoint.verifier)
    bundle = None if choice.ca_file is not None else _bundle(verifier)
    client, pages = open_url(feed.url, peer.spec.kernel_id, choice.ca_file, bundle=bundle)
    stack.enter_context(client)
    return pages


def _bundle(verifier: Verifier | None) -> str | None:
    """The authorities by which the feed's server is judged; None: the system's."""
    if verifier is not None and verifier.certificate_authority is not None:
        return verifier.certificate_authority.pem
    if verifier is not None and verifier.fingerprint is not None:
        raise _UnknownServerError(
            "its server is known by a fingerprint: name its authority with --feed-ca-file, or save its pages and "
            "name the file with --feed-file"
        )
    return None if verifier is None or verifier.web_pki is None else verifier.web_pki.ca_bundle
