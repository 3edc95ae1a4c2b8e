"""TLS handshakes with a last word: what OpenSSL let pass is judged before a byte can be said.

Rules:

* Each context has a judge that sees the other side's leaf, whose key the handshake has proven. It speaks
  before ``do_handshake`` returns; until then nothing can be read or written (R-T3, R-T6).
* Every connection is a full handshake: TLS 1.3 only, no tickets, no resumption. So every one is judged.
* A handshake that must not begin (a stale partner, no chain) is refused before the first byte of it; and
  on a connection of a :class:`LiveContext` nothing more is sent once it would be refused.
* Which context a connection gets is asked when it begins, so a program holds one context for ever and
  every new connection sees what is mounted then.
* Refusals are errors of the ``ssl`` module, since that is what ends a handshake in every library that
  uses one; the reason is inside (:class:`~bilateral.client.errors.HandshakeRefused`).

It knows no service and reads no file.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from bilateral.client.errors import ClientError, HandshakeRefused
from bilateral.tls.alerts import AGAIN, AlertingSSLObject

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

Connection: TypeAlias = ssl.SSLSocket | ssl.SSLObject
Judge: TypeAlias = Callable[[bytes | None], object]
"""Sees the leaf as DER (None: there is none); what it returns stays with the connection."""
Explain: TypeAlias = Callable[[int], ClientError]
"""Says what OpenSSL's verification code (``X509_V_ERR_…``) means here."""
Permit: TypeAlias = Callable[[], object]
"""Asked before anything is sent on a connection that is open; raises ClientError when it must not be."""


_Made = TypeVar("_Made", ssl.SSLSocket, ssl.SSLObject)


class PreparedContext(ssl.SSLContext):
    """A context of one moment: its certificates do not change, its connections are judged."""

    judge: Judge | None = None
    explain: Explain | None = None
    refusal: ClientError | None = None
    """Set: no handshake begins."""

    def __new__(cls, *, server_side: bool) -> PreparedContext:
        """Make a context that requires a certificate of the other side and trusts nobody yet."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        self.minimum_version = ssl.TLSVersion.TLSv1_3
        self.verify_mode = ssl.CERT_REQUIRED
        # Strict: as RFC 5280 has it. Partial: the certificate that was named is the anchor, whoever signed it.
        self.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        self.hostname_checks_common_name = False
        self.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if server_side:
            self.num_tickets = 0
        self.sslsocket_class = _JudgedSocket
        self.sslobject_class = _JudgedObject
        return self

    def settle(self, presented: bytes | None) -> object:
        """Judge what was presented; raises HandshakeRefused."""
        try:
            return None if self.judge is None else self.judge(presented)
        except ClientError as error:
            raise HandshakeRefused(error) from error

    def put(self, failure: ssl.SSLError) -> ssl.SSLError:
        """Put OpenSSL's refusal of a certificate into our words."""
        if self.explain is None or not isinstance(failure, ssl.SSLCertVerificationError):
            return failure
        return HandshakeRefused(self.explain(getattr(failure, "verify_code", 0)))


class _JudgedObject(AlertingSSLObject):
    """A connection in memory, as asyncio and anyio make it."""

    verdict: object = None
    permit: Permit | None = None
    _is_judged = False

    def do_handshake(self) -> None:
        """Go on with the handshake, then judge."""
        context = _prepared(self.context)
        super().do_handshake()
        if not self._is_judged:
            self.verdict = context.settle(self.getpeercert(binary_form=True))
            self._is_judged = True

    def explain(self, failure: ssl.SSLError) -> ssl.SSLError:
        """Put OpenSSL's refusal of a certificate into our words."""
        return _prepared(self.context).put(failure)

    def read(self, len: int = 1024, buffer: WriteableBuffer | None = None) -> bytes:  # noqa: A002 - its name
        """Read, after the verdict."""
        if not self._is_judged:
            self.do_handshake()
        return super().read(len, buffer)

    def write(self, data: ReadableBuffer) -> int:
        """Write, after the verdict: OpenSSL itself would do a handshake on the way, and not ask."""
        if not self._is_judged:
            self.do_handshake()
        _ask(self.permit)
        return super().write(data)


class _JudgedSocket(ssl.SSLSocket):
    """A connection on a socket."""

    verdict: object = None
    permit: Permit | None = None
    _is_judged = False

    def do_handshake(self, block: bool = False) -> None:
        """Go on with the handshake, then judge."""
        context = _prepared(self.context)
        try:
            super().do_handshake(block)
        except AGAIN:
            raise
        except ssl.SSLError as failure:
            raise context.put(failure) from None
        if not self._is_judged:
            self.verdict = context.settle(self.getpeercert(binary_form=True))
            self._is_judged = True

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Send, after the verdict."""
        if not self._is_judged:
            self.do_handshake()
        _ask(self.permit)
        return super().send(data, flags)

    def read(self, len: int = 1024, buffer: WriteableBuffer | None = None) -> bytes:  # noqa: A002 - its name
        """Read, after the verdict; ``recv`` and its like come through here."""
        if not self._is_judged:
            self.do_handshake()
        return super().read(len, buffer)

    def write(self, data: ReadableBuffer) -> int:
        """Write, after the verdict."""
        return self.send(data)


def _ask(permit: Permit | None) -> None:
    if permit is not None:
        try:
            permit()
        except ClientError as error:
            raise HandshakeRefused(error) from error


def _prepared(context: ssl.SSLContext) -> PreparedContext:
    assert isinstance(context, PreparedContext)  # noqa: S101 - only that one makes these connections
    if context.refusal is not None:
        raise HandshakeRefused(context.refusal) from context.refusal
    return context


def build_refusing(error: ClientError, *, server_side: bool) -> PreparedContext:
    """Build a context whose every handshake is refused for ``error`` before it begins."""
    context = PreparedContext(server_side=server_side)
    # There will be no certificate whose name could be checked, and a caller may not have given one.
    context.check_hostname = False
    context.refusal = error
    return context


Choose: TypeAlias = Callable[[], tuple[PreparedContext, str | None]]
"""The context for a connection that begins now, and the host to name and verify (None: as asked for)."""


class LiveContext(ssl.SSLContext):
    """The context that a program holds: each connection is given a prepared one when it begins."""

    _choose: Choose
    _permit: Permit | None
    _protocols: tuple[str, ...] | None = None

    def __new__(cls, choose: Choose, *, server_side: bool, permit: Permit | None = None) -> LiveContext:
        """Make a context that itself trusts nobody, should it ever be used as one."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        self.minimum_version = ssl.TLSVersion.TLSv1_3
        self.verify_mode = ssl.CERT_REQUIRED
        self._choose = choose
        self._permit = permit
        return self

    def __init__(self, choose: Choose, *, server_side: bool, permit: Permit | None = None) -> None:
        """Take the arguments of ``__new__``, where everything is done."""

    def set_alpn_protocols(self, alpn_protocols: Sequence[str]) -> None:  # type: ignore[override]  # any sequence
        """Offer these protocols in connections to come."""
        self._protocols = tuple(alpn_protocols)

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,  # noqa: ARG002 - every connection is a full handshake
    ) -> ssl.SSLSocket:
        """Wrap a connected socket with what is mounted now; a listening one asks again at each accept."""
        if server_side and _is_listening(sock):
            return super().wrap_socket(
                sock,
                server_side=True,
                do_handshake_on_connect=do_handshake_on_connect,
                suppress_ragged_eofs=suppress_ragged_eofs,
            )
        context, host = self._prepare()
        made = context.wrap_socket(
            sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=None if server_side else host or server_hostname,
        )
        return self._permitted(made)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,  # noqa: ARG002 - every connection is a full handshake
    ) -> ssl.SSLObject:
        """Make a connection in memory with what is mounted now."""
        context, host = self._prepare()
        name = None if server_side else host or server_hostname
        return self._permitted(
            context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=name)
        )

    def _permitted(self, made: _Made) -> _Made:
        if isinstance(made, _JudgedSocket | _JudgedObject):
            made.permit = self._permit
        return made

    def _prepare(self) -> tuple[PreparedContext, str | None]:
        context, host = self._choose()
        if self._protocols is not None:
            context.set_alpn_protocols(self._protocols)
        return context, host


def _is_listening(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return True
    return False
