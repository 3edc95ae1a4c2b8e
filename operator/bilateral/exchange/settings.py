"""How an endpoint behaves: limits, times and what it tells strangers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal

from bilateral.exchange.connection import ConnectionSettings
from bilateral.exchange.limits import LimitSettings
from bilateral.exchange.requests import BodySettings


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How the endpoint behaves; the defaults are those of the documentation."""

    refusals: Literal["Documented", "Uniform"] = "Documented"
    minimum_tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    tls_handshake_seconds: float = 5.0
    handler_seconds: float = 8.0
    limits: LimitSettings = field(default_factory=LimitSettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    body: BodySettings = field(default_factory=BodySettings)
