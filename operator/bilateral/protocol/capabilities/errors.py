"""Why a chain of capabilities is refused: one tree of defects.

::

    ProtocolError
    └── ChainDefect
        ├── MalformedCapability          not a token, a link, or a list of tokens
        ├── UnsupportedKeyAlgorithm      a key or signature that is not Ed25519
        ├── UnsupportedCapability        a member that we cannot enforce, hence do not pass over
        ├── DuplicateGrant               the same grant twice in one token
        ├── DelegationTooDeep            more links than are allowed
        ├── AncestorMissing              a link names a capability that was not supplied
        ├── DelegationMissing            a token in the list to which no link leads
        ├── DelegationOutOfOrder         tokens or links in another order, or one of them twice
        ├── DelegationBroken             a link does not join the two capabilities beside it
        ├── ForeignIssuer                a child issued by neither its parent's subject nor its authority
        ├── CapabilitySignatureInvalid   a token's signature does not verify
        ├── LinkSignatureInvalid         a link's signature does not verify
        ├── CapabilityNotYetValid        before ``issued_at``
        ├── CapabilityExpired            at or after ``expires_at``
        ├── DelegationTimeInvalid        a time of a link or child that its ancestor does not allow
        ├── CapabilityWidened            a child allows more than its parent
        ├── DelegationNotPermitted       the parent's grant may not be delegated
        ├── AttenuationNotApplied        a link declares a narrowing that the child does not have
        └── ScopeBindingInvalid          a hash or proof that is not of these two scopes

Each carries where and what as facts: ``index`` is the token's place (0 is the root), ``link`` the
link's, ``field`` a member's path, ``expected`` and ``found`` are short words, numbers or keys. No text
of the document is among them: they may be shown anywhere.
"""

from __future__ import annotations

from typing import ClassVar

from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.reasons import Reason


class ChainDefect(ProtocolError):
    """A chain that is refused; ``sentence`` says in general what its class stands for."""

    sentence: ClassVar[str]

    def __init__(
        self,
        *,
        index: int | None = None,
        link: int | None = None,
        field: str = "",
        expected: str = "",
        found: str = "",
    ) -> None:
        super().__init__()
        self.index = index
        self.link = link
        self.field = field
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        parts = [self.sentence]
        if self.index is not None:
            parts.append(f"capability {self.index}")
        if self.link is not None:
            parts.append(f"link {self.link}")
        if self.field:
            parts.append(self.field)
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        return ": ".join([parts[0], ", ".join(parts[1:])]) if len(parts) > 1 else parts[0]


class MalformedCapability(ChainDefect):
    """Not a token, a link, or a list of tokens; ``found`` is the cause of MalformedDocument."""

    reason = Reason.MALFORMED_CAPABILITY
    sentence = "the capability is malformed"


class UnsupportedKeyAlgorithm(ChainDefect):
    """A key or a signature of an algorithm other than Ed25519; ``found`` is its name."""

    reason = Reason.UNSUPPORTED_KEY_ALGORITHM
    sentence = "only Ed25519 keys are verified here"

    def __init__(
        self, *, index: int | None = None, link: int | None = None, field: str = "", found: str = ""
    ) -> None:
        super().__init__(index=index, link=link, field=field, expected="ed25519", found=found)


class UnsupportedCapability(ChainDefect):
    """A member that limits the capability in a way that is not judged here; ``field`` names it."""

    reason = Reason.UNSUPPORTED_CAPABILITY
    sentence = "the capability has a condition that cannot be enforced here"


class DuplicateGrant(ChainDefect):
    """The same grant twice: its budgets would count twice."""

    reason = Reason.DUPLICATE_GRANT
    sentence = "the capability lists the same grant twice"


class DelegationTooDeep(ChainDefect):
    """More links than are allowed; ``expected`` is the limit."""

    reason = Reason.DELEGATION_TOO_DEEP
    sentence = "the chain is too deep"


class AncestorMissing(ChainDefect):
    """A link names a capability that is not among those supplied."""

    reason = Reason.ANCESTOR_MISSING
    sentence = "an ancestor that a link names was not supplied"


class DelegationMissing(ChainDefect):
    """A capability in the list to which no link leads."""

    reason = Reason.DELEGATION_MISSING
    sentence = "no delegation leads to the capability"


class DelegationOutOfOrder(ChainDefect):
    """Capabilities or links in another order than root to leaf, or one of them twice."""

    reason = Reason.DELEGATION_OUT_OF_ORDER
    sentence = "the chain is not in order from root to leaf"


class DelegationBroken(ChainDefect):
    """A link whose delegator or delegatee is not the one that the capabilities beside it name."""

    reason = Reason.DELEGATION_BROKEN
    sentence = "a delegation does not join the capabilities beside it"


class ForeignIssuer(ChainDefect):
    """A child that neither its parent's subject nor the root's authority issued."""

    reason = Reason.FOREIGN_ISSUER
    sentence = "the capability was issued by somebody who does not hold its parent"


class CapabilitySignatureInvalid(ChainDefect):
    """A token whose signature is not its issuer's over this token."""

    reason = Reason.CAPABILITY_SIGNATURE_INVALID
    sentence = "the capability's signature is invalid"


class LinkSignatureInvalid(ChainDefect):
    """A link whose signature is not its delegator's over this link."""

    reason = Reason.LINK_SIGNATURE_INVALID
    sentence = "a delegation's signature is invalid"


class CapabilityNotYetValid(ChainDefect):
    """A capability, or an ancestor, whose time has not begun."""

    reason = Reason.CAPABILITY_NOT_YET_VALID
    sentence = "the capability is not yet valid"


class CapabilityExpired(ChainDefect):
    """A capability, or an ancestor, whose time is over."""

    reason = Reason.CAPABILITY_EXPIRED
    sentence = "the capability has expired"


class DelegationTimeInvalid(ChainDefect):
    """A link or a child that was made at a time that its ancestor does not allow."""

    reason = Reason.DELEGATION_TIME_INVALID
    sentence = "a delegation was made at a time that its ancestor does not allow"


class CapabilityWidened(ChainDefect):
    """A child that allows more than its parent; ``field`` is the dimension, ``expected`` the ceiling."""

    reason = Reason.CAPABILITY_WIDENED
    sentence = "the capability allows more than its parent"


class DelegationNotPermitted(ChainDefect):
    """A child of a grant that does not include the operation ``delegate``."""

    reason = Reason.DELEGATION_NOT_PERMITTED
    sentence = "the parent's grant may not be delegated"


class AttenuationNotApplied(ChainDefect):
    """A narrowing that a link declares and the child does not have."""

    reason = Reason.ATTENUATION_NOT_APPLIED
    sentence = "a declared attenuation is not in the capability"


class ScopeBindingInvalid(ChainDefect):
    """A scope hash, attenuation proof or child binding that is not of this parent and this child."""

    reason = Reason.SCOPE_BINDING_INVALID
    sentence = "a signed binding is not of these scopes"
