"""What the pod's side refuses, and why: one tree of errors.

::

    ClientError                  reason
    ├── InvalidAddress           InvalidSpec            a URL that is not https://ALIAS[:PORT][/path]
    ├── LayoutInvalid            DirectoryInvalid       what is mounted is not there, or not what it should be
    ├── ServiceNotFound          ServiceNotFound        no service of this name is known to this pod
    ├── NoUsableChain            NoChain                no certificate of ours that the service accepts
    ├── PartnerStale             PeerStale              the partner who runs the service is past its deadline
    ├── PeerNotVerified          TLSVerificationFailed  the other side is not who it should be
    └── RefusedByServer          RefusedByPartner       the server closed the connection over our certificate

Every sentence says what was found, what was expected and whose move it is. ``cause`` is a short stable
word in kebab-case. No error holds a key, a token, a file's content or a word of the other side.

A handshake can only be ended by an error of the ``ssl`` module, so inside one each of these travels as
the ``__cause__`` of :class:`HandshakeRefused`; ``Client`` and ``AsyncClient`` unpack it. What has
nothing to do with trust (no connection, a timeout) stays an error of httpx.
"""

from __future__ import annotations

import ssl
from typing import ClassVar

from bilateral.protocol.reasons import Reason


class ClientError(Exception):
    """Base of the tree; ``cause`` is a stable word, ``str(error)`` the sentence."""

    reason: ClassVar[Reason]

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


class InvalidAddress(ClientError):
    """A URL that cannot name a service."""

    reason = Reason.INVALID_SPEC


class LayoutInvalid(ClientError):
    """The mounted files cannot be used; ``file`` is the one at fault, as ``directory/name``."""

    reason = Reason.DIRECTORY_INVALID

    def __init__(self, cause: str, file: str, sentence: str) -> None:
        super().__init__(cause, f"{file}: {sentence}")
        self.file = file


class ServiceNotFound(ClientError):
    """No service called ``alias`` is known here: it is not looked up anywhere else."""

    reason = Reason.SERVICE_NOT_FOUND

    def __init__(self, alias: str) -> None:
        super().__init__(
            "service-not-found",
            f"no service {alias!r} is known to this pod. Yours: compare the alias with the keys of the "
            "known-servers Secret, and with the services that the WorkloadIdentity may see",
        )
        self.alias = alias


class NoUsableChain(ClientError):
    """The service ``alias`` demands a certificate of an authority, and none of ours may be presented."""

    reason = Reason.NO_CHAIN

    def __init__(self, cause: str, alias: str, sentence: str) -> None:
        super().__init__(cause, f"{alias}: {sentence}")
        self.alias = alias


class PartnerStale(ClientError):
    """The partner ``kernel_id`` is past its deadline, suspended or unknown: it is nobody until it is fresh."""

    reason = Reason.PEER_STALE

    def __init__(self, kernel_id: str, found: str) -> None:
        super().__init__(
            "peer-stale",
            f"partner {kernel_id} must not be relied on: {found}. A new handshake is needed: see the "
            "FederationPeer's status",
        )
        self.kernel_id = kernel_id


class PeerNotVerified(ClientError):
    """The other side of a connection is not who it should be; ``whom`` is the alias, or "caller"."""

    reason = Reason.TLS_VERIFICATION_FAILED

    def __init__(self, cause: str, whom: str, sentence: str) -> None:
        super().__init__(cause, f"{whom}: {sentence}")
        self.whom = whom


class RefusedByServer(ClientError):
    """The server of ``alias`` ended the connection with the TLS alert ``alert`` (RFC 8446's word)."""

    reason = Reason.REFUSED_BY_PARTNER

    def __init__(self, alias: str, alert: str) -> None:
        super().__init__(
            alert.replace("_", "-"),
            f"{alias}: the server refused our certificate ({alert.replace('_', ' ')}). Theirs: their "
            "known-clients must hold the authority that signed it, and not have withdrawn it",
        )
        self.alias = alias
        self.alert = alert


class HandshakeRefused(ssl.SSLCertVerificationError):
    """A ClientError inside a TLS handshake; ``error`` is that one."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, str(error))
        self.error = error
        self.__cause__ = error
        # What OpenSSL's own errors have, and what programs that handle those look at.
        self.library = "SSL"
        self.reason = "CERTIFICATE_VERIFY_FAILED"
        self.verify_code = 1  # X509_V_ERR_UNSPECIFIED
        self.verify_message = error.cause
