"""The field types of certificates, of introductions and of the services that they open.

As in `bilateral.resources.fields`, each has a maximum length and an anchored pattern that the API
server and the operator read alike. A private key fits into none of them.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field, Strict, StringConstraints

from bilateral.resources.fields import (
    CERTIFICATE,
    HTTPS_ONLY,
    IPV4,
    LOWER_CASE,
    NO_PATH,
    NO_QUERY,
    NO_USER,
    PORT,
)
from bilateral.resources.model import Rule

# Labels as DNS has them: 63 characters at most.
_LABEL: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = f"{_LABEL}([.]{_LABEL})*"
# The last label of a host begins with a letter: 2130706433, 0x7f000001 and 127.1 are addresses in disguise.
_HOST: Final = f"({_LABEL}[.])*[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?"
_REQUEST: Final = (
    r"-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s+[A-Za-z0-9+/=\s]+"
    r"-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)
NUMBER_AT_THE_END: Final = "(^|[.])[0-9]+$"
_NOT_A_NUMBER: Final = Rule[str](
    f"!self.matches('{NUMBER_AT_THE_END}')",
    "must not end in a number, which would make it an address",
    lambda text: not text.rpartition(".")[2].isdigit(),
)

ALIAS_PATTERN: Final = f"^{_NAME}$"
ALIAS_MAX_LENGTH: Final = 248
"""With ``.yaml`` behind it, an alias is a key of a Secret, which ends at 253."""

Alias = Annotated[
    str, StringConstraints(min_length=1, max_length=ALIAS_MAX_LENGTH, pattern=ALIAS_PATTERN), _NOT_A_NUMBER
]
"""The name by which pods call a service: lower-case DNS labels."""

DnsName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=f"^{_NAME}$"), _NOT_A_NUMBER]
"""A host's name in a certificate: lower case, no wildcard, no address."""

ServiceUrl = Annotated[
    str,
    StringConstraints(max_length=261, pattern=rf"^https://({_HOST}|{IPV4})(:{PORT})?$"),
    HTTPS_ONLY,
    NO_USER,
    NO_QUERY,
    NO_PATH,
    LOWER_CASE,
]
"""Scheme, host and port of a service; no IPv6 literal, which stock clients cannot call."""

DistinguishedName = Annotated[str, StringConstraints(max_length=16384)]
"""A subject as RFC 4514 text; one that we sign has 4096 bytes at most, of which some are escaped."""

SerialNumber = Annotated[str, StringConstraints(max_length=40, pattern=r"^[0-9a-f]{40}$")]
"""A certificate's serial number as 40 hex digits."""

ContentHash = Annotated[str, StringConstraints(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 over files."""

PinnedFingerprint = Annotated[
    str, StringConstraints(max_length=72, pattern=r"^(ed25519|SHA256):[0-9a-f]{64}$")
]
"""What a verifier accepts: a raw key, or SHA-256 over a certificate's DER."""

Slug = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")]
"""The name of an authority's file, without ``.crt``."""

IntroductionText = Annotated[
    str, StringConstraints(min_length=1, max_length=131_072, pattern=r"^\s*\{[\s\S]*\}\s*$")
]
"""The JSON of an introduction; what it holds is judged where it is used."""

SubjectText = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=32_768, pattern=rf"^\s*({CERTIFICATE}|{_REQUEST}|[A-Za-z0-9+/_-]+=*\s*)$"
    ),
]
"""Who is to be introduced: one certificate or signing request in PEM, or a certificate in base64."""

RequestId = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._-]+$")]
"""The name that an issuer gave to a request."""

LifeSeconds = Annotated[int, Strict(), Field(ge=600, le=31_536_000)]
"""How long a party's certificate is valid: ten minutes to a year. Dates begin five minutes back."""


def is_alias(text: str) -> bool:
    """Whether a text would pass as an `Alias`."""
    fits = len(text) <= ALIAS_MAX_LENGTH and re.fullmatch(_NAME, text) is not None
    return fits and re.search(NUMBER_AT_THE_END, text) is None
