"""What a pod imports: calling partners' services by alias, and knowing who calls.

::

    from bilateral.client import Client

    with Client("https://org-a-api") as http:
        http.get("/invoices")

Sits on ``protocol``, ``pki`` and ``tls`` only; no Kubernetes. Reads mounted Secrets or a certified directory,
writes nothing (but for ``layout``, which makes a directory for stock certified).
"""

from bilateral.client.callers import PeerIdentity, peer_identity, server_ssl_context
from bilateral.client.contexts import service_url, ssl_context
from bilateral.client.errors import (
    ClientError,
    HandshakeRefused,
    InvalidAddress,
    LayoutInvalid,
    NoUsableChain,
    PartnerStale,
    PeerNotVerified,
    RefusedByServer,
    ServiceNotFound,
)
from bilateral.client.http import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "HandshakeRefused",
    "InvalidAddress",
    "LayoutInvalid",
    "NoUsableChain",
    "PartnerStale",
    "PeerIdentity",
    "PeerNotVerified",
    "RefusedByServer",
    "ServiceNotFound",
    "peer_identity",
    "server_ssl_context",
    "service_url",
    "ssl_context",
]
