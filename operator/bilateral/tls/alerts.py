"""A server's refusal that reaches the caller.

asyncio (3.11) closes the transport when a handshake fails, with the fatal alert still in the buffer: the
caller would see a reset and never learn that it asked for the wrong name, or showed the wrong certificate.
So the failure is held back for one step, as "more data needed", which makes asyncio send what is in the
buffer. A caller that neither closes nor sends more then runs into the handshake timeout.
"""

from __future__ import annotations

import ssl

AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError)
"""What is no failure of a handshake: it goes on when the other side, or the system, has more."""


class AlertingSSLObject(ssl.SSLObject):
    """An SSLObject whose fatal alert leaves before the connection is dropped."""

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake; a server's failure is raised at the next call."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except AGAIN:
            raise
        except ssl.SSLError as error:
            failure = self.explain(error)
            if not self.server_side:
                raise failure from None
            self._failure = failure
            raise ssl.SSLWantReadError from None

    def explain(self, failure: ssl.SSLError) -> ssl.SSLError:
        """Put a failure into other words; here it keeps its own."""
        return failure
