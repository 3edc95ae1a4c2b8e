"""What each reason means for a person, and the next step: one table, complete.

Rules: ``meaning`` says what was found, as a clause that can follow a name and a colon; ``step`` says what to
do and begins with whose move it is, or is None where there is nothing to do. Nothing here depends on an
object; numbers and names stand in the condition's message, which is shown beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bilateral.cli.advice_capabilities import CAPABILITY_ADVICE
from bilateral.cli.advice_entry import Advice
from bilateral.cli.advice_policies import POLICY_ADVICE
from bilateral.protocol.reasons import Reason

_WAIT = "Nothing to do yet: this passes by itself."
_LOOK_AT_LOG = "Yours: look at the operator's log for this object, and report what it says."

ADVICE: Mapping[Reason, Advice] = {
    **CAPABILITY_ADVICE,
    **POLICY_ADVICE,
    # The handshake.
    Reason.MISSING_TRUST_ANCHOR: Advice(
        "no key of theirs is installed, so nothing they send is accepted",
        "Yours: get their manifest (bilateral export), compare its groups over another channel, and put "
        "their key into spec.trustAnchors.",
    ),
    Reason.CLOCK_SKEW_EXCEEDED: Advice(
        "their clock and ours are further apart than is allowed",
        "Both: check NTP on both sides; for envelopes by file, raise spec.handshake.maxClockSkewSeconds.",
    ),
    Reason.UNSUPPORTED_SCHEMA: Advice(
        "they speak another version of the handshake",
        "Both: bring both sides to a version that speaks chio.federation-kernel-handshake.v1.",
    ),
    Reason.INVALID_SIGNATURE: Advice(
        "the signature does not fit what was signed",
        "Theirs: make a new envelope; if this repeats, somebody changes it on the way.",
    ),
    Reason.ADDRESS_MISMATCH: Advice(
        "the envelope is addressed to somebody else",
        "Theirs: correct the kernel id that they have for us, and sign again.",
    ),
    Reason.KERNEL_ID_MISMATCH: Advice(
        "the kernel id is not the one expected here",
        "Yours: compare spec.kernelId with what they call themselves; a partner cannot have our own id.",
    ),
    Reason.UNEXPECTED_PEER_KEY: Advice(
        "they use a key that is not among the anchors; the proven pin stays as it is",
        "Yours: ask them over another channel whether they changed their key; only then put the new key into "
        "spec.trustAnchors.",
    ),
    Reason.REPLAYED_ENVELOPE: Advice(
        "this envelope, or a later one, was already accepted",
        "Theirs: make a new envelope; the pin stays as it is.",
    ),
    Reason.PEER_STALE: Advice(
        "the deadline passed without a new handshake, so nothing of theirs is accepted",
        "Yours: see why handshakes fail (AcknowledgedByPeer); one handshake makes it fresh again.",
    ),
    Reason.PEER_NOT_PINNED: Advice(
        "they have not proven their key yet",
        "Nothing to do yet when both sides are set up; otherwise install anchors on both sides.",
    ),
    # Before any cryptography, and of the HTTP layer.
    Reason.MALFORMED_DOCUMENT: Advice(
        "what came is not a document of the expected form",
        "Theirs: send the envelope unchanged, as bilateral handshake offer wrote it.",
    ),
    Reason.DOCUMENT_TOO_LARGE: Advice(
        "what came is larger than an envelope can be", "Theirs: send the envelope alone (16 KiB at most)."
    ),
    Reason.UNSUPPORTED_MEDIA_TYPE: Advice(
        "what came was not sent as application/json", "Theirs: send Content-Type: application/json."
    ),
    Reason.TOO_MANY_REQUESTS: Advice("too many requests came at once", _WAIT),
    Reason.REQUEST_TIMEOUT: Advice(
        "a request came too slowly", "Theirs: check the network between both sides."
    ),
    Reason.UNAUTHORIZED_BEARER: Advice(
        "the bearer token is missing or not the one expected",
        "Both: compare spec.authTokenHash here with the token that they send.",
    ),
    Reason.FORBIDDEN: Advice(
        "the cluster knows the caller, and does not let it do that here",
        "Yours: give its account the verb on the resource that is meant (kubectl auth can-i shows what it may).",
    ),
    Reason.NOT_FOUND: Advice(
        "there is nothing at that address", "Theirs: use the endpoint's URL as it was exported."
    ),
    Reason.METHOD_NOT_ALLOWED: Advice("the endpoint takes POST only", "Theirs: send POST."),
    Reason.REFUSED: Advice(
        "it was refused, and the cause is not told to strangers",
        "Theirs: look at their own status; ours names the cause.",
    ),
    Reason.NOT_READY: Advice("the operator cannot judge envelopes at the moment", _WAIT),
    # Keys, anchors and credentials.
    Reason.MALFORMED_KEY: Advice(
        "a public key cannot be read",
        "Yours: paste it again; bilateral key show says whether a spelling is right.",
    ),
    Reason.WEAK_KEY: Advice(
        "a public key is one for which anybody can make signatures",
        "Theirs: this was no accident or a broken generator; get a new key from them.",
    ),
    Reason.OWN_KEY_AS_ANCHOR: Advice(
        "our own public key stands among their anchors",
        "Yours: put their key into spec.trustAnchors (this looks like an export applied on the wrong side).",
    ),
    Reason.KEY_DRIFT: Advice(
        "the signing key in the Secret is gone or is not the one that partners know",
        "Yours: restore the Secret; to change the key, announce the next one (spec.signingKey) first.",
    ),
    Reason.KEY_INVALID: Advice(
        "the Secret holds no usable Ed25519 key",
        "Yours: put an Ed25519 PKCS#8 PEM under private.pem (bilateral key generate writes one).",
    ),
    Reason.KEY_PENDING: Advice("the signing key is being made", _WAIT),
    Reason.AUTHORITY_DRIFT: Advice(
        "the certificate authority in the Secret is gone or is not the one that partners know",
        "Yours: restore the Secret; to change the authority, name another Secret.",
    ),
    Reason.AUTHORITY_INVALID: Advice(
        "the Secret holds no certificate authority that may sign",
        "Yours: provide a self-signed CA certificate with its key (tls.crt, tls.key).",
    ),
    Reason.AUTHORITY_EXPIRED: Advice(
        "the certificate authority has expired, so nothing can be signed",
        "Yours: name a new Secret in spec.certificateAuthority.secretName and export again.",
    ),
    Reason.AUTHORITY_PENDING: Advice("the certificate authority is being made", _WAIT),
    Reason.CERTIFICATE_INVALID: Advice(
        "the endpoint's certificate cannot be presented",
        "Yours: provide one that matches its key, names the host of spec.endpoint.url and is in date.",
    ),
    Reason.CREDENTIAL_CONFLICT: Advice(
        "another partner lists the same credential, so neither is used",
        "Yours: remove the shared entry of spec.fingerprints or authTokenHash from one of them.",
    ),
    Reason.KERNEL_ID_CONFLICT: Advice(
        "an older object has the same kernel id and keeps it",
        "Yours: delete one of the two, or create this one with another kernel id.",
    ),
    Reason.PIN_TAMPERED: Advice(
        "the pin was changed by hand or copied from another object, so it does not count",
        "Nothing to do for trust: the next handshake replaces it. Find out who may write to status.",
    ),
    Reason.PIN_NOT_ANCHORED: Advice(
        "the proven key is no longer among the anchors, so it does not count",
        "Theirs: prove the new key (the next handshake does); yours, if this was a mistake: put it back.",
    ),
    # Introductions, chains and revocation lists.
    Reason.SUBJECT_REFUSED: Advice(
        "the certificate or signing request that should be introduced cannot be signed",
        "Theirs: send a party's certificate or signing request with a subject and a key of P-256, P-384, Ed25519 "
        "or RSA from 2048 bits. Yours, where the message speaks of a policy: list the subject in its "
        "introductions.allowedSubjects.",
    ),
    Reason.INTRODUCTION_INVALID: Advice(
        "the introduction does not hold what it should, so it is not installed",
        "Theirs: introduce again, for the certificate of this identity, and hand over the file unchanged.",
    ),
    Reason.INTRODUCTION_EXPIRED: Advice(
        "the introduction, or the authority that made it, is past its end",
        "Theirs: introduce again, for the certificate of this identity.",
    ),
    Reason.AUTHORITY_NOT_PINNED: Advice(
        "the introduction is by an authority that nobody here pinned",
        "Yours: name the peer whose authority it is, or compare its fingerprint with them over another channel and "
        "set authorityFingerprint.",
    ),
    Reason.IDENTITY_KEY_MISMATCH: Advice(
        "the introduction is for another key than this identity's",
        "Yours: send them the current certificate of this identity, or accept it for the identity that it is for.",
    ),
    Reason.REVOCATION_LIST_INVALID: Advice(
        "a revocation list cannot be read, or its authority did not sign it",
        "Theirs: publish the list again; until then the last good one counts.",
    ),
    Reason.DIRECTORY_INVALID: Advice(
        "a file of the certified directory cannot be used",
        "Yours: correct or remove the file that the message names.",
    ),
    Reason.NO_CHAIN: Advice(
        "no authority that the service accepts has signed this identity",
        "Theirs: introduce this identity; or yours, if another authority should do: set spec.authorities.",
    ),
    # The verifier of a service.
    Reason.UNKNOWN_RAW_KEY_PEER: Advice(
        "the service presents a raw key, and no known peer lists it",
        "Yours: name the peer that runs it in spec.peer, with its ed25519: fingerprint in spec.fingerprints.",
    ),
    Reason.NOTHING_PINNED: Advice(
        "nothing is known by which the service could be verified",
        "Yours: wait for the peer's authority statement, or list its fingerprints or authorities.",
    ),
    Reason.VERIFIER_CONTRADICTS_PEER: Advice(
        "the configured verifier is not one that what is known of the peer allows",
        "Yours: leave out spec.verifier, or name some of the peer's own fingerprints or authorities in it.",
    ),
    # Objects and their dependencies.
    Reason.READY: Advice("all is well"),
    Reason.INVALID_SPEC: Advice(
        "the spec breaks a rule",
        "Yours: correct the field that the message names (kubectl explain has the rules).",
    ),
    Reason.TRUST_DOMAIN_NOT_FOUND: Advice(
        "the TrustDomain that it names is not in this namespace",
        "Yours: create it, or create this object again with the right spec.trustDomain.",
    ),
    Reason.TRUST_DOMAIN_NOT_READY: Advice(
        "its TrustDomain is not ready, so nothing can be signed or accepted",
        "Yours: see the TrustDomain's own line.",
    ),
    Reason.SECRET_NOT_FOUND: Advice(
        "a Secret that it names cannot be seen",
        "Yours: create it, with the label bilateral.dev/secret: referenced (no other Secret is looked at).",
    ),
    Reason.SECRET_CONFLICT: Advice(
        "a Secret of that name exists and is not ours; it was left as it is",
        "Yours: rename or delete that Secret, or name another one in the spec.",
    ),
    Reason.SERVICE_NOT_FOUND: Advice(
        "no service of this alias is known to the pod",
        "Yours: compare the alias with the TrustedServices that the WorkloadIdentity may see.",
    ),
    Reason.NO_ENDPOINT: Advice(
        "the partner has no endpoint that could be asked",
        "Yours: set spec.endpoint of the FederationPeer, or exchange the introduction by file.",
    ),
    Reason.PEER_NOT_FOUND: Advice(
        "the FederationPeer that it names is not there",
        "Yours: create the FederationPeer, or correct the name.",
    ),
    Reason.VERIFIER_RESOLVED: Advice("it is decided how the server is verified"),
    Reason.AUTHORITY_UNKNOWN: Advice(
        "no authority of spec.authorities is known now, so no chain can be shown",
        "Yours: correct spec.authorities, or look at the peers in it (bilateral status).",
    ),
    Reason.CHAIN_AVAILABLE: Advice("the identities that may see it have a chain that it accepts"),
    Reason.CHAIN_NOT_NEEDED: Advice("it asks for no authority's chain"),
    Reason.ALIAS_CONFLICT: Advice(
        "an older TrustedService of the namespace has the same alias, and keeps it",
        "Yours: delete one of the two.",
    ),
    Reason.ALIAS_SHADOWS_SERVICE: Advice(
        "a Service of the namespace has the alias for its name, and pods would mean that one",
        "Yours: delete it and create one with another alias.",
    ),
    Reason.TOKEN_NOT_FOR_HOST: Advice(
        "the Secret of the bearer token says under hosts for which hosts it is, and this is none of them",
        "Yours: correct spec.url, or have the Secret's owner add the host.",
    ),
    Reason.TOKEN_INVALID: Advice(
        "the bearer token is not printable ASCII without spaces",
        "Yours: correct the Secret of spec.bearerTokenSecretRef.",
    ),
    Reason.OUTPUTS_PENDING: Advice("not all Secrets are written yet", _WAIT),
    # The life of a peer.
    Reason.ANCHORED: Advice("a key of theirs is installed"),
    Reason.PINNED: Advice("they have proven their key"),
    Reason.FRESH: Advice("they have proven their key and the deadline is ahead"),
    Reason.AWAITING_HANDSHAKE: Advice("the first handshake has not succeeded yet", _WAIT),
    Reason.AWAITING_PARTNER: Advice(
        "they have not installed our key yet",
        "Theirs: apply our manifest (bilateral export); we keep asking.",
    ),
    Reason.AWAITING_ENVELOPE: Advice(
        "they have no endpoint that we could ask, and have not sent an envelope yet",
        "Theirs: send one to our endpoint, or hand over a file for bilateral handshake accept.",
    ),
    Reason.ACKNOWLEDGED: Advice("they accepted our envelope"),
    Reason.NOT_OBSERVED: Advice("nothing is known about this yet"),
    Reason.SUSPENDED: Advice(
        "suspended: known, but nothing of theirs is accepted",
        "Yours, when it should count again: set spec.state: Active.",
    ),
    Reason.CLOCK_IN_SYNC: Advice("their clock agrees with ours"),
    Reason.CLOCK_REGRESSED: Advice(
        "the operator's clock went backwards, so no trust is extended",
        "Yours: correct the clock of the operator's node; it resumes by itself.",
    ),
    Reason.UNIQUE: Advice("no other object has its kernel id"),
    Reason.PROGRESSING: Advice("the operator is working on it", _WAIT),
    Reason.SETTLED: Advice("the operator has nothing left to do"),
    Reason.NEEDS_ATTENTION: Advice(
        "only a person can help", "Yours: do what the line of condition Ready says."
    ),
    Reason.ENVELOPE_ACCEPTED: Advice("the envelope was accepted"),
    # Asking a partner.
    Reason.DESTINATION_REFUSED: Advice(
        "their address is private, local or inside the cluster, and not on the operator's list",
        "Yours: if it is right, have the administrator add it to --allow-destinations.",
    ),
    Reason.NAME_NOT_RESOLVED: Advice(
        "their host name has no address", "Yours: check spec.endpoint.url and the cluster's DNS."
    ),
    Reason.CONNECTION_FAILED: Advice(
        "their endpoint does not answer",
        "Both: check that it is running, and the firewalls and network policies between both sides.",
    ),
    Reason.TLS_VERIFICATION_FAILED: Advice(
        "their server's certificate is not the one that spec.endpoint.verifier asks for; nothing was sent",
        "Yours: get a new manifest from them (bilateral export) and compare its groups before you apply it.",
    ),
    Reason.ANSWER_TIMEOUT: Advice(
        "their endpoint took too long", "Theirs: look at their operator; we keep asking."
    ),
    Reason.ANSWER_INVALID: Advice(
        "their endpoint answered with something that is no envelope",
        "Both: check that spec.endpoint.url is a federation endpoint and not another service.",
    ),
    Reason.ANSWER_TOO_LARGE: Advice(
        "their endpoint answered with more than an envelope can be",
        "Both: check that spec.endpoint.url is a federation endpoint and not another service.",
    ),
    Reason.REFUSED_BY_PARTNER: Advice(
        "their endpoint refused our envelope",
        "Theirs: their status names the cause; compare kernel ids and keys on both sides.",
    ),
    # The ledger.
    Reason.LEDGER_MISCONFIGURED: Advice(
        "the ledger's URL cannot be used, or the driver for it is not installed",
        "Yours: sqlite:///folder/ledger.db or postgresql://…; for the latter install bilateral[postgresql].",
    ),
    Reason.LEDGER_UNAVAILABLE: Advice(
        "the ledger cannot be reached, so nothing can be decided",
        "Yours: see that its volume is mounted, or that the PostgreSQL server runs and lets us in.",
    ),
    Reason.LEDGER_LOCKED: Advice(
        "somebody else held the ledger for longer than we wait",
        "Yours, if it repeats: find who holds it; an SQLite ledger is for one replica.",
    ),
    Reason.LEDGER_FULL: Advice(
        "the ledger has no room left, so nothing can be decided", "Yours: make its volume or disk larger."
    ),
    Reason.LEDGER_READ_ONLY: Advice(
        "the ledger may be read but not written, so nothing can be decided",
        "Yours: give the user the right to write; of a PostgreSQL cluster, name the primary.",
    ),
    Reason.LEDGER_DAMAGED: Advice(
        "the ledger holds what was not written to it",
        "Yours: run bilateral ledger verify, keep the file as it is, and restore a copy that verifies.",
    ),
    Reason.LEDGER_INCOMPATIBLE: Advice(
        "the database at the ledger's URL is no ledger, or one of a newer version",
        "Yours: correct the URL, or run the version that migrated it.",
    ),
    Reason.LEDGER_CONFLICT: Advice(
        "the ledger holds something that contradicts what was to be recorded",
        "Yours: another replica may have been faster; if it repeats, run bilateral ledger verify.",
    ),
    Reason.INTERNAL_ERROR: Advice("the operator failed at this object; it will try again", _LOOK_AT_LOG),
    # Identities, services and introductions.
    Reason.ISSUED: Advice("the certificate is signed and in date"),
    Reason.IDENTITY_PENDING: Advice("its certificate is being made", _WAIT),
    Reason.RECORD_PENDING: Advice("what is to be signed is being recorded first", _WAIT),
    Reason.OUTPUTS_WRITTEN: Advice("its Secrets are written"),
    Reason.OUTPUT_TOO_LARGE: Advice(
        "a Secret would be larger than one may be (1 MiB), so its old content stays",
        "Yours: list fewer services or clients, or split the identity.",
    ),
    Reason.ROLLOUT_REFUSED: Advice(
        "the files are written, but the operator may not change the workloads in spec.rollouts",
        "Yours: have the administrator set the chart's value rollouts.enabled, or take spec.rollouts out.",
    ),
    Reason.ROLLOUT_TARGET_NOT_FOUND: Advice(
        "the files are written, but a workload in spec.rollouts is not in this namespace",
        "Yours: create the workload, or take it out of spec.rollouts.",
    ),
    Reason.NOT_BOUND: Advice(
        "no identity of this namespace may see it",
        "Yours: create a WorkloadIdentity, or add the service to spec.services.names of one.",
    ),
    Reason.APPROVED: Advice("it is approved"),
    Reason.DENIED: Advice(
        "it is denied: nothing is signed, and what was signed is withdrawn",
        "Yours, when it should be signed after all: set spec.issue.approval: Approved.",
    ),
    Reason.INSTALLED: Advice("its chain is in the identity's Secret"),
    Reason.NOT_APPLICABLE: Advice("this form of the object has nothing of the kind"),
    Reason.AWAITING_APPROVAL: Advice(
        "nobody has approved it yet",
        "Yours: compare the subject, then kubectl bilateral approve or deny.",
    ),
    Reason.AWAITING_IDENTITY: Advice(
        "the WorkloadIdentity that it is for is not there, or has no key yet",
        "Yours: create the WorkloadIdentity, or see its own conditions.",
    ),
    Reason.REQUEST_PENDING: Advice(
        "they have the request, and somebody there must approve it", "Theirs: approve it; we keep asking."
    ),
    Reason.UNKNOWN_REQUEST: Advice(
        "they do not know the request any more", "Nothing to do yet: it is made anew."
    ),
    Reason.TOO_MANY_PENDING: Advice(
        "too many requests wait for a decision",
        "Both: the side that is asked approves or denies some of those that wait.",
    ),
    Reason.AUTHORITIES_PINNED: Advice("their authorities are those that a person installed"),
    Reason.AUTHORITIES_ANNOUNCED: Advice(
        "their authorities are those of the statement that their pinned key signed",
    ),
    Reason.NOT_ANNOUNCED: Advice(
        "they announce no authority, so nobody is accepted by a certificate of theirs",
        "Theirs: announce an authority, if they want that; or pin one in spec.certificateAuthorities.",
    ),
    Reason.STATEMENT_INVALID: Advice(
        "what they announce is no statement that their pinned key signed",
        "Theirs: look at their operator; if it repeats, somebody changes the statement on the way.",
    ),
    Reason.STATEMENT_REGRESSED: Advice(
        "they announce an older statement than before, which does not count",
        "Theirs: check that their operator was not set back to an old backup.",
    ),
    Reason.STATEMENT_EXPIRED: Advice(
        "their statement is past its end, and no newer one came",
        "Theirs: look at their operator, which signs it anew; we keep asking.",
    ),
    # Receipts and activation exchanges.
    Reason.PARAMETER_HASH_MISMATCH: Advice(
        "the receipt names another hash than that of the parameters in it",
        "Theirs: look at the kernel that signed it; the receipt proves nothing.",
    ),
    Reason.ACTIVATION_INVALID: Advice(
        "the activation exchange breaks a rule of its kind", "Theirs: build it anew, and sign it again."
    ),
    Reason.ACTIVATION_EXPIRED: Advice(
        "the activation exchange is past its end, or not yet in force",
        "Theirs: build it anew; if it is new, compare the clocks of both sides.",
    ),
}
"""Every reason of the closed list."""


def advise(reason: str) -> Advice:
    """Look up the advice for a reason's word; a word of a newer version has a general answer."""
    try:
        return ADVICE[Reason(reason)]
    except (ValueError, KeyError):
        return Advice("see the message", "Yours: use a bilateral of the operator's version to read this.")
