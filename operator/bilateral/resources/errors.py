"""What can be wrong with an object of ours.

    ResourceError
    ├── InvalidResource   the object breaks a rule of its kind
    └── MalformedTime     a text is not a time as this API writes it

Texts name the field and the rule; they never repeat the value, which may be a secret that somebody
put in the wrong place.
"""

from __future__ import annotations

from bilateral.protocol.reasons import Reason


class ResourceError(Exception):
    """The root of this package's errors; ``reason`` is the word shown in conditions and logs."""

    reason: Reason = Reason.INVALID_SPEC


class InvalidResource(ResourceError):
    """An object breaks a rule of its kind.

    ``field`` is the path in the manifest (``spec.endpoint.url``), ``message`` the rule that is
    broken, ``reason`` InvalidSpec, or MalformedKey or WeakKey when a public key is at fault.
    """

    def __init__(self, field: str, message: str, reason: Reason = Reason.INVALID_SPEC) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.reason = reason


class MalformedTime(ResourceError, ValueError):
    """A text is not an RFC 3339 time in whole seconds, or a number is outside the years 1970 to 9999."""

    def __init__(self) -> None:
        super().__init__("must be a time such as 2026-11-21T14:31:07Z")
