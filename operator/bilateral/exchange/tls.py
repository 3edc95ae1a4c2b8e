"""TLS for the endpoint: which certificate a caller is shown.

Rules: TLS 1.3 (1.2 only by setting), no session tickets, so every connection proves possession of
the key anew; the certificate is chosen by server name (SNI, RFC 6066) and an unknown name is
answered with the alert ``unrecognized_name``; a caller that names nobody (it asked for an IP
address) is shown the only certificate there is, or the only one whose host is an IP literal, and
is refused otherwise. Certificates are replaced while the endpoint runs; connections keep theirs.

It makes no certificates and reads no Secrets.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from bilateral.exchange.errors import InvalidCertificate
from bilateral.tls.alerts import AlertingSSLObject
from bilateral.tls.chains import load_chain

MAX_PEM_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Served:
    made_from: bytes
    context: ssl.SSLContext


class CertificateStore:
    """The certificates that the endpoint can show, by host."""

    def __init__(self) -> None:
        self._served: dict[str, _Served] = {}

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that there is a certificate for."""
        return frozenset(self._served)

    def replace(self, certificates: Mapping[str, tuple[bytes, bytes]]) -> tuple[str, ...]:
        """Serve exactly these from now on: host (DNS name or IP literal) → (chain PEM, key PEM).

        A pair that cannot be served is left out, so that one broken Secret does not silence the
        other trust domains: its hosts are returned, sorted, and are refused by name until then.
        Unchanged pairs cost nothing.
        """
        served: dict[str, _Served] = {}
        broken: list[str] = []
        for host, (chain, key) in certificates.items():
            pair = hashlib.sha256(len(chain).to_bytes(8, "big") + chain + key).digest()
            name = normalise_host(host)
            known = self._served.get(name)
            if known is not None and known.made_from == pair:
                served[name] = known
                continue
            try:
                served[name] = _Served(pair, build_server_context(chain, key))
            except InvalidCertificate:
                broken.append(host)
        self._served = served
        return tuple(sorted(broken))

    def select(self, server_name: str | None) -> ssl.SSLContext | None:
        """Choose by the name that the caller sent, or None: refuse."""
        served = self._served
        if server_name is not None:
            found = served.get(normalise_host(server_name))
        elif len(served) == 1:
            found = next(iter(served.values()))
        else:
            literal = [entry for host, entry in served.items() if _is_literal(host)]
            found = literal[0] if len(literal) == 1 else None
        return found.context if found else None

    def build_listener(self, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """Build the context to listen with. It has no certificate: each connection is given one."""
        context = _new_context()
        context.minimum_version = minimum
        context.set_alpn_protocols(["http/1.1"])
        context.sslobject_class = AlertingSSLObject

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            chosen = self.select(name)
            if chosen is None:
                return int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
            connection.context = chosen
            return None

        context.sni_callback = choose
        return context


def build_server_context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """Load a PEM chain (leaf first) and its PEM key, unencrypted; raises InvalidCertificate."""
    if not 0 < len(chain) <= MAX_PEM_BYTES or not 0 < len(key) <= MAX_PEM_BYTES:
        raise InvalidCertificate
    context = _new_context()
    try:
        load_chain(context, chain, key)
    except (ssl.SSLError, OSError, ValueError):
        # From None: OpenSSL's text may quote what it read.
        raise InvalidCertificate from None
    return context


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


def normalise_host(host: str) -> str:
    """Bring a host to the form in which names are compared; an IP literal to its plainest."""
    host = host.removeprefix("[").removesuffix("]").lower()
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
