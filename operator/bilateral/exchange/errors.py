"""The errors of the exchange, each with the one word why.

    ExchangeError
    |-- Refusal              we refuse what a caller sent (server)
    |-- OutboundError        asking a partner did not lead to a usable answer (client)
    |-- InvalidDestination   an entry of the allow list cannot be read
    `-- InvalidCertificate   a certificate and key cannot be served

Rules: an error's text is derived from its fields, and no field holds anything that a remote
party, a Secret or a resolver said. Every one can be logged or put in a condition as it is.
"""

from __future__ import annotations

from bilateral.protocol.reasons import Reason


class ExchangeError(Exception):
    """The root: ``reason`` is the word that condition, event, log and problem share."""

    reason: Reason

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Refusal(ExchangeError):
    """A caller is refused for a reason that no protocol error names.

    ``retry_after`` is whole seconds for ``Retry-After``, ``allow`` the methods for ``Allow``.
    ``verified`` says whether the envelope's signature had been verified before the refusal: under
    uniform refusals the endpoint makes up for the work that was left out.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        retry_after: int | None = None,
        allow: str | None = None,
        verified: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.allow = allow
        self.verified = verified


class OutboundError(ExchangeError):
    """A partner was not asked, did not answer, or refused.

    ``skew_seconds`` (only with ClockSkewExceeded) is the partner's clock minus the timestamp that
    it judged, in seconds. ``retry_after`` (only with TooManyRequests) is whole seconds, capped.
    """

    def __init__(
        self, reason: Reason, *, skew_seconds: int | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(reason)
        self.skew_seconds = skew_seconds
        self.retry_after = retry_after


class InvalidDestination(ExchangeError):
    """An entry of the allow list is neither an address range, nor a name, nor ``*.suffix``.

    ``position`` counts from one: the list is an administrator's, so its text may be repeated by
    whoever read it, but not from here.
    """

    def __init__(self, position: int) -> None:
        super().__init__(Reason.INVALID_SPEC)
        self.position = position

    def __str__(self) -> str:
        return f"entry {self.position} of the allowed destinations is not an address range or a name"


class InvalidCertificate(ExchangeError):
    """A certificate chain and key that TLS cannot serve: unreadable, encrypted, or no pair."""

    def __init__(self) -> None:
        super().__init__(Reason.CERTIFICATE_INVALID)
