"""One sentence for every reason that a condition can have: what was found, and whose move it is.

The sentences stand still: no times, no counts, nothing of a partner's. A test holds that every
reason that a decision can name has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bilateral.protocol.reasons import Reason

SENTENCES: Mapping[Reason, str] = {
    Reason.READY: "Everything is in place.",
    Reason.FRESH: "The pin is before its deadline.",
    Reason.ANCHORED: "A person installed the partner's key.",
    Reason.PINNED: "The partner proved its key.",
    Reason.UNIQUE: "No other object claims the same kernel id.",
    Reason.ACKNOWLEDGED: "The partner accepted our envelope.",
    Reason.CLOCK_IN_SYNC: "Their clock is close enough to ours.",
    Reason.NOT_OBSERVED: "Nothing is known of it yet.",
    Reason.PROGRESSING: "Working on it; nobody needs to act.",
    Reason.SETTLED: "Nothing is under way.",
    Reason.NEEDS_ATTENTION: "Only a person can help; Ready says how.",
    Reason.SUSPENDED: "A person suspended the partner: it is known, but nobody. Set state: Active to resume.",
    Reason.INVALID_SPEC: "The spec breaks a rule of its kind. Correct it.",
    Reason.MALFORMED_KEY: "A key in the spec is not an Ed25519 public key. Correct it.",
    Reason.WEAK_KEY: "A key in the spec is one for which anybody can sign. Ask the partner for the right key.",
    Reason.TRUST_DOMAIN_NOT_FOUND: "No TrustDomain of that name is in this namespace. Create it.",
    Reason.TRUST_DOMAIN_NOT_READY: "The TrustDomain is not ready to speak; its own conditions say why.",
    Reason.PEER_NOT_FOUND: "No FederationPeer of that name is in this namespace. Create it.",
    Reason.NO_ENDPOINT: "The partner has no endpoint that could be asked. Set spec.endpoint of the FederationPeer, or "
    "exchange the introduction by file.",
    Reason.MISSING_TRUST_ANCHOR: "No key of the partner is installed. Set spec.trustAnchors to that of their export.",
    Reason.OWN_KEY_AS_ANCHOR: "The anchor is this trust domain's own key. Install the key in the partner's export.",
    Reason.KERNEL_ID_MISMATCH: "The partner has this trust domain's own kernel id. One must change.",
    Reason.KERNEL_ID_CONFLICT: "An older object has the same kernel id, and keeps it. Delete one of the two.",
    Reason.CREDENTIAL_CONFLICT: "Another peer lists one of its fingerprints; neither is used. Correct one.",
    Reason.CLOCK_REGRESSED: "This operator's clock is behind what was already seen; nothing is trusted until it has "
    "caught up. Check NTP.",
    Reason.SECRET_NOT_FOUND: "A Secret that the spec refers to is not there, lacks the key, or lacks the label "
    "bilateral.dev/secret: referenced. Create or label it.",
    Reason.SECRET_CONFLICT: "A Secret of the needed name exists and is not ours; it was left alone. Rename or delete "
    "it, or choose another name in the spec.",
    Reason.AWAITING_HANDSHAKE: "The first handshake is about to be made.",
    Reason.AWAITING_PARTNER: "The partner has not installed our anchor, or no longer: send them our export, and wait.",
    Reason.AWAITING_ENVELOPE: "No endpoint of the partner is known: the next step is theirs, or an envelope by file.",
    Reason.PEER_NOT_PINNED: "The partner has not proven its key yet.",
    Reason.PEER_STALE: "The pin is past its deadline; nothing of the partner is trusted until the next handshake.",
    Reason.PIN_TAMPERED: "The pin in the status was not written by this operator for this object; it counts as absent "
    "until the next handshake.",
    Reason.PIN_NOT_ANCHORED: "The pinned key is no longer among the anchors; it counts as absent until the partner "
    "proves a key that is.",
    Reason.UNEXPECTED_PEER_KEY: "A key came under the partner's name that is not anchored. If they changed it, change "
    "spec.trustAnchors; if not, investigate.",
    Reason.CLOCK_SKEW_EXCEEDED: "Their clock and ours are further apart than is allowed. Check NTP on both sides.",
    Reason.UNSUPPORTED_SCHEMA: "The partner speaks another version of the handshake.",
    Reason.INVALID_SIGNATURE: "The signature on the partner's envelope is not right. Investigate.",
    Reason.ADDRESS_MISMATCH: "The partner's answer is addressed to somebody else. Compare kernel ids.",
    Reason.REPLAYED_ENVELOPE: "The partner's envelope is not newer than the last one.",
    Reason.REFUSED_BY_PARTNER: "The partner refused our envelope. Compare kernel ids, anchors and tokens.",
    Reason.DESTINATION_REFUSED: "This operator may not connect to that address. The cluster's administrator allows "
    "destinations (--allow-destinations).",
    Reason.NAME_NOT_RESOLVED: "The endpoint's host name has no address. Check spec.endpoint.url and DNS.",
    Reason.CONNECTION_FAILED: "The partner's endpoint cannot be connected to.",
    Reason.TLS_VERIFICATION_FAILED: "The certificate of the partner's endpoint did not pass spec.endpoint.verifier. "
    "Compare the export that they sent.",
    Reason.ANSWER_TIMEOUT: "The partner's endpoint did not answer in time.",
    Reason.ANSWER_INVALID: "The partner's endpoint did not answer with an envelope.",
    Reason.ANSWER_TOO_LARGE: "The partner's endpoint answered with more than an envelope may have.",
    Reason.TOO_MANY_REQUESTS: "The partner's endpoint asks us to come back later.",
    Reason.INTERNAL_ERROR: "Something unforeseen happened; the operator's log has the place.",
    Reason.LEDGER_MISCONFIGURED: "The ledger's URL cannot be used, or the driver for it is not installed.",
    Reason.LEDGER_UNAVAILABLE: "The ledger cannot be reached; what cannot be recorded is denied.",
    Reason.LEDGER_LOCKED: "Somebody else held the ledger for too long; what cannot be recorded is denied.",
    Reason.LEDGER_FULL: "The ledger has no room left; what cannot be recorded is denied. Give it more.",
    Reason.LEDGER_READ_ONLY: "The ledger may be read but not written; what cannot be recorded is denied.",
    Reason.LEDGER_DAMAGED: "The ledger holds what was not written to it. Verify it (bilateral ledger verify).",
    Reason.LEDGER_INCOMPATIBLE: "The ledger's database is not a ledger, or belongs to a newer version.",
    Reason.LEDGER_CONFLICT: "The ledger holds something that contradicts what was to be recorded.",
    Reason.KEY_PENDING: "The signing key is being made.",
    Reason.KEY_INVALID: "The Secret of the signing key holds no usable Ed25519 key under private.pem. Restore it.",
    Reason.KEY_DRIFT: "The signing key is not the one that was published; nothing is signed with it. Restore the "
    "Secret, or announce a next key before you change to it.",
    Reason.AUTHORITY_PENDING: "The certificate authority is being made.",
    Reason.AUTHORITY_INVALID: "The Secret of the certificate authority holds no usable one. Restore it.",
    Reason.AUTHORITY_EXPIRED: "The certificate authority is past its end. Replace it.",
    Reason.AUTHORITY_DRIFT: "The certificate authority is not the one that was published. Restore the Secret, or set "
    "spec.certificateAuthority.secretName to a new one.",
    Reason.CERTIFICATE_INVALID: "The endpoint's certificate cannot be presented: it must match its key, cover the host "
    "of spec.endpoint.url and be in date.",
    Reason.SUBJECT_REFUSED: "No authority signs such a subject: it must be a party's certificate or signing request "
    "with a name and a strong key. Ask for another.",
    Reason.INTRODUCTION_INVALID: "The introduction does not hold what it should and is not installed. Ask for another.",
    Reason.INTRODUCTION_EXPIRED: "The introduction, or its authority, is past its end. Ask for another.",
    Reason.AUTHORITY_NOT_PINNED: "The introduction is by an authority that is not pinned here. Name the peer whose it "
    "is, or give its fingerprint.",
    Reason.IDENTITY_KEY_MISMATCH: "The introduction is for another key than this identity's.",
    Reason.REVOCATION_LIST_INVALID: "The revocation list cannot be read, or its authority did not sign it; the last "
    "good one counts.",
    Reason.NO_CHAIN: "No authority that the service accepts has signed the identity. An introduction is needed.",
    Reason.UNKNOWN_RAW_KEY_PEER: "The service presents a raw key, and only a known peer's can be verified. Set "
    "spec.peer.",
    Reason.NOTHING_PINNED: "Nothing is known by which the service could be verified: the peer lists no fingerprint for "
    "this transport and has no authority.",
    Reason.VERIFIER_CONTRADICTS_PEER: "The configured verifier contradicts what is known of the peer. Correct it or "
    "leave it out.",
    Reason.VERIFIER_RESOLVED: "How the server is verified is decided.",
    Reason.AUTHORITY_UNKNOWN: "No authority of spec.authorities is known now, so no chain can be shown. "
    "Correct the list, or wait for the peers in it.",
    Reason.CHAIN_AVAILABLE: "Every identity that may see the service has a chain that it accepts.",
    Reason.CHAIN_NOT_NEEDED: "The service asks for no authority's chain; identities show it their own certificate.",
    Reason.ALIAS_CONFLICT: "An older TrustedService of the namespace has the same alias, and keeps it. Delete one of "
    "the two.",
    Reason.ALIAS_SHADOWS_SERVICE: "A Service of this namespace has the alias for its name, and pods would mean that "
    "one. Choose another alias.",
    Reason.TOKEN_NOT_FOR_HOST: "The bearer token's Secret says under hosts for which hosts it is, and this service's "
    "is none of them. Correct spec.url, or the Secret.",
    Reason.TOKEN_INVALID: "The bearer token in the Secret is not 1 to 4096 printable ASCII characters without spaces. "
    "Correct the Secret.",
    Reason.OUTPUTS_PENDING: "The Secrets that follow from this object are being written.",
    Reason.ISSUED: "The certificate is signed and in date.",
    Reason.IDENTITY_PENDING: "The certificate is being made.",
    Reason.RECORD_PENDING: "What is to be signed is being recorded; it leaves when that is done.",
    Reason.OUTPUTS_WRITTEN: "The Secrets that follow from this object are written.",
    Reason.OUTPUT_TOO_LARGE: "A Secret would be larger than one may be (1 MiB); its old content stays. "
    "Bind fewer services, or allow fewer clients.",
    Reason.ROLLOUT_REFUSED: "The files are written, but the operator may not change a workload in "
    "spec.rollouts. The chart's value rollouts.enabled allows it.",
    Reason.ROLLOUT_TARGET_NOT_FOUND: "The files are written, but a workload in spec.rollouts is not in "
    "this namespace. Create it, or take it out.",
    Reason.NOT_BOUND: "No identity of this namespace may see the service.",
    Reason.APPROVED: "A person approved it.",
    Reason.DENIED: "A person denied it: nothing is signed, and what was signed is withdrawn.",
    Reason.INSTALLED: "The chain is in the identity's Secret.",
    Reason.NOT_APPLICABLE: "This form of the object has nothing of the kind.",
    Reason.AWAITING_APPROVAL: "Nobody has approved it yet. Compare the subject, then set spec.issue.approval.",
    Reason.AWAITING_IDENTITY: "The WorkloadIdentity is not there, or has no key yet.",
    Reason.REQUEST_PENDING: "The partner has the request, and somebody there must approve it.",
    Reason.UNKNOWN_REQUEST: "The partner does not know the request any more; it is made anew.",
    Reason.TOO_MANY_PENDING: "Too many requests of this partner wait for a decision. Approve or deny some.",
    Reason.AUTHORITIES_PINNED: "The partner's authorities are those that a person installed.",
    Reason.AUTHORITIES_ANNOUNCED: "The partner's authorities are those of the statement that their pinned "
    "key signed.",
    Reason.NOT_ANNOUNCED: "The partner announces no authority: nobody is accepted by a certificate of theirs.",
    Reason.STATEMENT_INVALID: "What the partner announces is no statement of theirs: it must be signed by "
    "the pinned key, name their kernel id and hold authorities.",
    Reason.STATEMENT_REGRESSED: "The partner announces an older statement than before; it does not count.",
    Reason.STATEMENT_EXPIRED: "The partner's statement is past its end, and no newer one came; their "
    "authorities do not count.",
    Reason.POLICY_CONFLICT: "Another policy is for the same peer or the same partner id, and of two neither counts. "
    "Delete one of the two.",
    Reason.PARTNER_ID_MISMATCH: "The policy's spec.partnerId is not the operatorId of the FederationPeer. "
    "Correct one of the two.",
    Reason.ISSUER_EXPIRED: "Every issuer of the policy is past its notAfter. Ask the partner for its current key.",
    Reason.AWAITING_FEED: "The partner's feed has not been read yet; calls are refused until it is.",
    Reason.REVOCATION_FEED_STALE: "The news of the partner's revocations is too old; every call is refused. "
    "RevocationFresh says why the feed cannot be read.",
    Reason.REVOCATIONS_UNSIGNED: "The news of revocations comes from a source that signs nothing, and the policy asks "
    "for a signed feed.",
    Reason.EQUIVOCATION: "The partner's feed took something back or showed two histories; the evidence is kept and "
    "every call is refused. Talk to the partner.",
    Reason.FEED_OF_ANOTHER: "The feed that was read is not this partner's. Correct spec.revocationFeed.url.",
    Reason.FEED_SIGNER_UNKNOWN: "The feed is signed by a key that is not among spec.revocationFeed.signers, nor the "
    "peer's pinned one.",
    Reason.FEED_ENTRY_INVALID: "An entry of the feed is not one, or is not signed by its signer.",
    Reason.FEED_TOO_LARGE: "The feed has more entries than can be kept.",
    Reason.FEED_INCOMPLETE: "The service lists only its newest revocations and has more. Read a feed instead.",
    Reason.INVALID_PROOF: "The feed's proof does not lead from the last head to this one.",
    Reason.MALFORMED_DOCUMENT: "What was answered is no document of the kind that was asked for.",
}


def sentence(reason: Reason, secrets: Iterable[str] = ()) -> str:
    """The sentence of a reason; of one that is about Secrets, with their names."""
    names = ", ".join(sorted(secrets)) if reason in _ABOUT_SECRETS else ""
    return f"{SENTENCES[reason]} It concerns {names}." if names else SENTENCES[reason]


_ABOUT_SECRETS = frozenset({Reason.SECRET_CONFLICT, Reason.OUTPUT_TOO_LARGE})
