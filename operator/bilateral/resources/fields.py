"""The field types that kinds share: identifiers, names, URLs, keys, fingerprints, certificates.

- Each has a maximum length and an anchored pattern, in the syntax that Go's and Rust's regular
  expressions have in common, so that the API server and the operator judge alike.
- Identifiers are compared as they are: no case folding, no normalisation.
- A public key is accepted in every spelling and only if it is a prime-order point; the API server
  can tell spellings and the small-order points, the operator does the arithmetic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, Field, Strict, StringConstraints
from pydantic_core import PydanticCustomError

from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.keys import PublicKey, parse_public_key
from bilateral.protocol.reasons import Reason
from bilateral.resources.labels import RECONCILE_NOW_MAX_LENGTH
from bilateral.resources.model import Rule

_REASONS: Final = frozenset(reason.value for reason in Reason)
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_NAME: Final = rf"{_LABEL}(\.{_LABEL})*"
# The last label begins with a letter: 2130706433, 0x7f000001 and 127.1 are addresses in disguise.
_HOST_NAME: Final = rf"({_LABEL}\.)*[a-z]([-a-z0-9]*[a-z0-9])?"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4: Final = rf"{_OCTET}(\.{_OCTET}){{3}}"
_IPV6: Final = r"\[[0-9a-f:]{2,39}(\.[0-9]{1,3}){0,3}\]"
PORT: Final = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
ORIGIN: Final = rf"https://({_HOST_NAME}|{IPV4}|{_IPV6})(:{PORT})?"
_NOT_SHOWN: Final = r"\p{Cc}\p{Cf}\p{Zl}\p{Zp}"
CERTIFICATE: Final = r"-----BEGIN CERTIFICATE-----\s+[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*"
_HEX_KEY: Final = "(ed25519:|0x|did:chio:)?[0-9A-Fa-f]{64}"
_DID_KEY: Final = "did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}"
_SPKI_PEM: Final = (
    r"-----BEGIN PUBLIC KEY-----\r?\nMCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=\r?\n-----END PUBLIC KEY-----(\r?\n)?"
)
# y = 0, 1, -1, the two of order eight, and 0 and 1 spelt as p and p + 1; each with either sign bit.
_SMALL_ORDER_HEX: Final = (
    "(0{62}[08]0|010{60}[08]0|ecf{60}[7f]f|edf{60}[7f]f|eef{60}[7f]f"
    "|26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc[08]5"
    "|c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03[7f]a)"
)
_SMALL_ORDER_MESSAGE: Final = "is a small-order point, for which anybody can make signatures"

KernelId = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:-]+$")]
"""A party's name on the wire."""

OperatorId = KernelId
"""An organisation's name in policies and evidence; written as kernel ids are."""

ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=rf"^{_DNS_NAME}$")]
"""The name of a Kubernetes object."""

SecretKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key inside a Secret's data."""

ShownName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=128, pattern=rf"^[^\s{_NOT_SHOWN}]([^{_NOT_SHOWN}]*[^\s{_NOT_SHOWN}])?$"
    ),
]
"""A name for people: no control or direction marks, by which two names could look the same."""

NamePart = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=64, pattern=rf"^[^\s{_NOT_SHOWN}]([^{_NOT_SHOWN}]*[^\s{_NOT_SHOWN}])?$"
    ),
    Rule[str](
        "bytes(self).size() <= 64",
        "must be at most 64 bytes long",
        lambda text: len(text.encode()) <= 64,
    ),
]
"""A part of a certificate's subject (X.520 ends most of them at 64)."""

CountryCode = Annotated[str, StringConstraints(max_length=2, pattern=r"^[A-Z]{2}$")]
"""Two upper-case letters (ISO 3166-1)."""

# The pattern of a URL alone decides; these say what is wrong with the frequent mistakes.
HTTPS_ONLY: Final = Rule[str]("self.startsWith('https://')", "must be an https URL")
NO_USER: Final = Rule[str]("!self.contains('@')", "must not carry a user name or password")
NO_QUERY: Final = Rule[str]("!self.contains('?') && !self.contains('#')", "must not have a query or fragment")
NO_PATH: Final = Rule[str](
    "!self.matches('^[a-z]+://[^/]*/')",
    "must have no path: scheme, host and port only, without a slash at the end",
)
LOWER_CASE: Final = Rule[str]("self == self.lowerAscii()", "must be written in lower case")

EndpointUrl = Annotated[
    str,
    StringConstraints(max_length=300, pattern=rf"^{ORIGIN}$"),
    HTTPS_ONLY,
    NO_USER,
    NO_QUERY,
    NO_PATH,
    LOWER_CASE,
]
"""Scheme, host and port of a federation endpoint."""

PathUrl = Annotated[
    str,
    StringConstraints(max_length=512, pattern=rf"^{ORIGIN}(/[A-Za-z0-9._~-]+)*$"),
    HTTPS_ONLY,
    NO_USER,
    NO_QUERY,
]
"""Where a document is: https, a host in lower case, an optional port and a path."""

CertificatesPem = Annotated[
    str, StringConstraints(min_length=1, max_length=65536, pattern=rf"^\s*({CERTIFICATE})+$")
]
"""One or more certificates in PEM, and nothing else: a private key among them is refused."""

AuthorityPem = Annotated[
    str, StringConstraints(min_length=1, max_length=16384, pattern=rf"^\s*({CERTIFICATE})+$")
]
"""As `CertificatesPem`, where many of them stand in one object."""


@lru_cache(maxsize=65536)
def admitted_key(text: str) -> PublicKey:
    """Parse a key in any spelling; what was parsed is remembered, since checking a point is slow.

    Raises MalformedKey and WeakKey as `parse_public_key` does.
    """
    return parse_public_key(text)


def _check_key(text: str) -> str:
    try:
        admitted_key(text)
    except ProtocolError as error:
        # The type is the reason, so that the condition can name it; the text is the error's class in words.
        raise PydanticCustomError(error.reason.value, "is not a usable Ed25519 public key") from None
    return text


def _check_key_fingerprint(text: str) -> str:
    return _check_key(text) if text.startswith("ed25519:") else text


PublicKeyText = Annotated[
    str,
    StringConstraints(max_length=256, pattern=rf"^({_HEX_KEY}|{_DID_KEY}|{_SPKI_PEM})$"),
    Rule[str](
        f"!self.lowerAscii().matches('^(ed25519:|0x|did:chio:)?{_SMALL_ORDER_HEX}$')", _SMALL_ORDER_MESSAGE
    ),
    AfterValidator(_check_key),
]
"""An Ed25519 public key in any spelling."""


def cel_key_of(text: str) -> str:
    """Build the CEL expression that is equal for two spellings of one key; ``text`` is a CEL expression.

    The hex spellings end in the 64 digits; the others (did:key, PEM) have another length.
    """
    return (
        f"({text}.size() >= 64 && {text}.size() <= 74 ? "
        f"{text}.substring({text}.size() - 64).lowerAscii() : {text})"
    )


CanonicalKey = Annotated[str, StringConstraints(max_length=72, pattern=r"^ed25519:[0-9a-f]{64}$")]
"""A public key in the one spelling that we show."""

Fingerprint = Annotated[
    str,
    StringConstraints(max_length=72, pattern=r"^(ed25519|SHA256):[0-9a-f]{64}$"),
    Rule[str](
        "!self.matches('^SHA256:[A-Za-z0-9+/]{43}=?$')",
        "is as OpenSSH writes it, in base64 over a key; 64 hex digits over a certificate are needed",
    ),
    Rule[str](f"!self.matches('^ed25519:{_SMALL_ORDER_HEX}$')", _SMALL_ORDER_MESSAGE),
    AfterValidator(_check_key_fingerprint),
]
"""A TLS credential: a raw key, or SHA-256 over a leaf certificate's DER."""

CertificateFingerprint = Annotated[str, StringConstraints(max_length=72, pattern=r"^SHA256:[0-9a-f]{64}$")]
"""SHA-256 over a certificate's DER."""

TokenHash = Annotated[str, StringConstraints(max_length=72, pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 over the UTF-8 bytes of a bearer token."""

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
"""A fingerprint or another short printable text."""

Word = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[!-~]+$")]
"""Printable ASCII without spaces: scopes and names of resources."""

Hex64 = Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]
"""Thirty-two bytes in lower-case hex."""

NonceDigest = Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9a-f]{32}$")]
"""The first sixteen bytes of a nonce's SHA-256."""


def _check_reason(word: str) -> str:
    if word not in _REASONS:
        raise PydanticCustomError("unknown_reason", "must be a reason of the closed list")
    return word


ReasonWord = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z0-9]*$"),
    AfterValidator(_check_reason),
]
"""A word of the closed list of reasons. The API server checks its form only, so that the list may grow."""

Echo = Annotated[str, StringConstraints(max_length=RECONCILE_NOW_MAX_LENGTH)]
"""What an annotation said, cut to this length."""

Count = Annotated[int, Strict(), Field(ge=0, le=2**31 - 1)]
"""How often something happened."""

Generation = Annotated[int, Strict(), Field(ge=0)]
"""A ``metadata.generation``."""

WindowSeconds = Annotated[int, Strict(), Field(ge=60, le=2_592_000)]
"""How long a pin is fresh: a minute to thirty days."""
