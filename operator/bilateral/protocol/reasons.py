"""The one closed list of reasons.

A reason is a CamelCase word that names why something is so. The same word appears in a
condition, its event, the log line, the metric label and, in kebab-case, in the ``type`` of an
HTTP problem (``exchange.md``). Nothing else may be invented at the place of use: a reason that is
not here does not exist.
"""

from __future__ import annotations

import re
from enum import StrEnum

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Reason(StrEnum):
    """Why something is so; the value is the CamelCase word itself."""

    # Refusals of the handshake (chio, trust_establishment.rs lines 160-208; exchange.md).
    MISSING_TRUST_ANCHOR = "MissingTrustAnchor"
    CLOCK_SKEW_EXCEEDED = "ClockSkewExceeded"
    UNSUPPORTED_SCHEMA = "UnsupportedSchema"
    INVALID_SIGNATURE = "InvalidSignature"
    ADDRESS_MISMATCH = "AddressMismatch"
    KERNEL_ID_MISMATCH = "KernelIdMismatch"
    UNEXPECTED_PEER_KEY = "UnexpectedPeerKey"
    REPLAYED_ENVELOPE = "ReplayedEnvelope"
    PEER_STALE = "PeerStale"
    PEER_NOT_PINNED = "PeerNotPinned"

    # Refusals before any cryptography, and of the HTTP layer.
    MALFORMED_DOCUMENT = "MalformedDocument"
    DOCUMENT_TOO_LARGE = "DocumentTooLarge"
    UNSUPPORTED_MEDIA_TYPE = "UnsupportedMediaType"
    TOO_MANY_REQUESTS = "TooManyRequests"
    REQUEST_TIMEOUT = "RequestTimeout"
    UNAUTHORIZED_BEARER = "UnauthorizedBearer"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    REFUSED = "Refused"
    NOT_READY = "NotReady"

    # Keys, anchors and credentials.
    MALFORMED_KEY = "MalformedKey"
    WEAK_KEY = "WeakKey"
    OWN_KEY_AS_ANCHOR = "OwnKeyAsAnchor"
    KEY_DRIFT = "KeyDrift"
    KEY_INVALID = "KeyInvalid"
    KEY_PENDING = "KeyPending"
    AUTHORITY_DRIFT = "AuthorityDrift"
    AUTHORITY_INVALID = "AuthorityInvalid"
    AUTHORITY_EXPIRED = "AuthorityExpired"
    AUTHORITY_PENDING = "AuthorityPending"
    CERTIFICATE_INVALID = "CertificateInvalid"
    CREDENTIAL_CONFLICT = "CredentialConflict"
    KERNEL_ID_CONFLICT = "KernelIdConflict"
    PIN_TAMPERED = "PinTampered"
    PIN_NOT_ANCHORED = "PinNotAnchored"

    # Introductions, chains and revocation lists.
    SUBJECT_REFUSED = "SubjectRefused"
    INTRODUCTION_INVALID = "IntroductionInvalid"
    INTRODUCTION_EXPIRED = "IntroductionExpired"
    UNKNOWN_REQUEST = "UnknownRequest"
    AUTHORITY_NOT_PINNED = "AuthorityNotPinned"
    IDENTITY_KEY_MISMATCH = "IdentityKeyMismatch"
    REVOCATION_LIST_INVALID = "RevocationListInvalid"
    DIRECTORY_INVALID = "DirectoryInvalid"
    NO_CHAIN = "NoChain"

    # The verifier of a service.
    UNKNOWN_RAW_KEY_PEER = "UnknownRawKeyPeer"
    NOTHING_PINNED = "NothingPinned"
    VERIFIER_CONTRADICTS_PEER = "VerifierContradictsPeer"
    VERIFIER_RESOLVED = "VerifierResolved"
    AUTHORITY_UNKNOWN = "AuthorityUnknown"
    CHAIN_AVAILABLE = "ChainAvailable"
    NOT_BOUND = "NotBound"
    CHAIN_NOT_NEEDED = "ChainNotNeeded"
    ALIAS_CONFLICT = "AliasConflict"
    ALIAS_SHADOWS_SERVICE = "AliasShadowsService"
    TOKEN_INVALID = "TokenInvalid"  # noqa: S105 - a word, not a secret
    TOKEN_NOT_FOR_HOST = "TokenNotForHost"  # noqa: S105 - a word, not a secret

    # Objects and their dependencies.
    READY = "Ready"
    INVALID_SPEC = "InvalidSpec"
    TRUST_DOMAIN_NOT_FOUND = "TrustDomainNotFound"
    TRUST_DOMAIN_NOT_READY = "TrustDomainNotReady"
    PEER_NOT_FOUND = "PeerNotFound"
    NO_ENDPOINT = "NoEndpoint"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a word, not a secret
    SECRET_CONFLICT = "SecretConflict"  # noqa: S105 - a word, not a secret
    SERVICE_NOT_FOUND = "ServiceNotFound"
    OUTPUTS_PENDING = "OutputsPending"

    # Identities, their outputs and rollouts.
    ISSUED = "Issued"
    AWAITING_IDENTITY = "AwaitingIdentity"
    IDENTITY_PENDING = "IdentityPending"
    RECORD_PENDING = "RecordPending"
    OUTPUTS_WRITTEN = "OutputsWritten"
    OUTPUT_TOO_LARGE = "OutputTooLarge"
    ROLLOUT_REFUSED = "RolloutRefused"
    ROLLOUT_TARGET_NOT_FOUND = "RolloutTargetNotFound"

    # The approval and installation of introductions.
    APPROVED = "Approved"
    AWAITING_APPROVAL = "AwaitingApproval"
    DENIED = "Denied"
    INSTALLED = "Installed"
    REQUEST_PENDING = "RequestPending"
    NOT_APPLICABLE = "NotApplicable"
    TOO_MANY_PENDING = "TooManyPending"

    # A partner's authorities.
    AUTHORITIES_PINNED = "AuthoritiesPinned"
    AUTHORITIES_ANNOUNCED = "AuthoritiesAnnounced"
    NOT_ANNOUNCED = "NotAnnounced"
    STATEMENT_INVALID = "StatementInvalid"
    STATEMENT_REGRESSED = "StatementRegressed"
    STATEMENT_EXPIRED = "StatementExpired"

    # The life of a peer.
    ANCHORED = "Anchored"
    PINNED = "Pinned"
    FRESH = "Fresh"
    AWAITING_HANDSHAKE = "AwaitingHandshake"
    AWAITING_PARTNER = "AwaitingPartner"
    AWAITING_ENVELOPE = "AwaitingEnvelope"
    ACKNOWLEDGED = "Acknowledged"
    NOT_OBSERVED = "NotObserved"
    SUSPENDED = "Suspended"
    CLOCK_IN_SYNC = "ClockInSync"
    CLOCK_REGRESSED = "ClockRegressed"
    UNIQUE = "Unique"
    PROGRESSING = "Progressing"
    SETTLED = "Settled"
    NEEDS_ATTENTION = "NeedsAttention"
    ENVELOPE_ACCEPTED = "EnvelopeAccepted"

    # Decisions about capabilities: the policy, the issuer, the scope, the evidence, the revocations.
    NO_POLICY = "NoPolicy"
    POLICY_CONFLICT = "PolicyConflict"
    PARTNER_ID_MISMATCH = "PartnerIdMismatch"
    ISSUER_NOT_TRUSTED = "IssuerNotTrusted"
    ISSUER_EXPIRED = "IssuerExpired"
    ISSUER_RETIRED = "IssuerRetired"
    AUTONOMY_TIER_EXCEEDED = "AutonomyTierExceeded"
    NOTHING_ALLOWED = "NothingAllowed"
    TOOL_SERVER_NOT_ALLOWED = "ToolServerNotAllowed"
    TOOL_NOT_ALLOWED = "ToolNotAllowed"
    TOOL_NOT_GRANTED = "ToolNotGranted"
    OPERATION_NOT_GRANTED = "OperationNotGranted"
    SCOPE_TOO_LARGE = "ScopeTooLarge"
    PARAMETER_EXCEEDED = "ParameterExceeded"
    PARAMETER_MISSING = "ParameterMissing"
    PARAMETER_NOT_ALLOWED = "ParameterNotAllowed"
    BUDGET_EXCEEDED = "BudgetExceeded"
    CURRENCY_MISMATCH = "CurrencyMismatch"
    EVIDENCE_TOO_OLD = "EvidenceTooOld"
    EVIDENCE_NOT_YET_VALID = "EvidenceNotYetValid"
    CAPABILITY_REVOKED = "CapabilityRevoked"
    REVOCATION_FEED_STALE = "RevocationFeedStale"
    REVOCATIONS_UNSIGNED = "RevocationsUnsigned"
    AWAITING_FEED = "AwaitingFeed"

    # Receipts and activation exchanges.
    PARAMETER_HASH_MISMATCH = "ParameterHashMismatch"
    ACTIVATION_INVALID = "ActivationInvalid"
    ACTIVATION_EXPIRED = "ActivationExpired"

    # Revocation feeds.
    EQUIVOCATION = "Equivocation"
    FEED_OF_ANOTHER = "FeedOfAnother"
    FEED_SIGNER_UNKNOWN = "FeedSignerUnknown"
    FEED_ENTRY_INVALID = "FeedEntryInvalid"
    FEED_TOO_LARGE = "FeedTooLarge"
    FEED_INCOMPLETE = "FeedIncomplete"
    INVALID_PROOF = "InvalidProof"

    # Capabilities and their chains.
    MALFORMED_CAPABILITY = "MalformedCapability"
    UNSUPPORTED_KEY_ALGORITHM = "UnsupportedKeyAlgorithm"
    UNSUPPORTED_CAPABILITY = "UnsupportedCapability"
    DUPLICATE_GRANT = "DuplicateGrant"
    DELEGATION_TOO_DEEP = "DelegationTooDeep"
    ANCESTOR_MISSING = "AncestorMissing"
    DELEGATION_MISSING = "DelegationMissing"
    DELEGATION_OUT_OF_ORDER = "DelegationOutOfOrder"
    DELEGATION_BROKEN = "DelegationBroken"
    FOREIGN_ISSUER = "ForeignIssuer"
    CAPABILITY_SIGNATURE_INVALID = "CapabilitySignatureInvalid"
    LINK_SIGNATURE_INVALID = "LinkSignatureInvalid"
    CAPABILITY_NOT_YET_VALID = "CapabilityNotYetValid"
    CAPABILITY_EXPIRED = "CapabilityExpired"
    DELEGATION_TIME_INVALID = "DelegationTimeInvalid"
    CAPABILITY_WIDENED = "CapabilityWidened"
    DELEGATION_NOT_PERMITTED = "DelegationNotPermitted"
    ATTENUATION_NOT_APPLIED = "AttenuationNotApplied"
    SCOPE_BINDING_INVALID = "ScopeBindingInvalid"

    # Asking a partner: what we saw on the way, never what the other side said.
    DESTINATION_REFUSED = "DestinationRefused"
    NAME_NOT_RESOLVED = "NameNotResolved"
    CONNECTION_FAILED = "ConnectionFailed"
    TLS_VERIFICATION_FAILED = "TLSVerificationFailed"
    ANSWER_TIMEOUT = "AnswerTimeout"
    ANSWER_INVALID = "AnswerInvalid"
    ANSWER_TOO_LARGE = "AnswerTooLarge"
    REFUSED_BY_PARTNER = "RefusedByPartner"
    INTERNAL_ERROR = "InternalError"

    # The ledger.
    LEDGER_MISCONFIGURED = "LedgerMisconfigured"
    LEDGER_UNAVAILABLE = "LedgerUnavailable"
    LEDGER_LOCKED = "LedgerLocked"
    LEDGER_FULL = "LedgerFull"
    LEDGER_READ_ONLY = "LedgerReadOnly"
    LEDGER_DAMAGED = "LedgerDamaged"
    LEDGER_INCOMPATIBLE = "LedgerIncompatible"
    LEDGER_CONFLICT = "LedgerConflict"

    @property
    def kebab(self) -> str:
        """The reason in kebab-case, as the suffix of a problem's ``type``."""
        return _HUMP.sub("-", self.value).lower()
