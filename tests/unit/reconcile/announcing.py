"""A partner that announces its authorities: authorities, lists and statements as it would sign them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import Algorithm, Authority, generate_authority
from bilateral.pki.names import Subject
from bilateral.pki.revocations import Revocation, RevocationList, renew_revocation_list
from bilateral.protocol.authority_statement import AuthorityStatement, sign_statement
from bilateral.protocol.keys import SigningKey

from .conftest import NOW, THEIRS

DAY = 86_400
LIFE = 2 * DAY


def at(seconds: int = 0) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def make(name: str = "Org B CA", *, days: int = 365, begins: int = 0) -> Authority:
    return generate_authority(
        Subject(organization="Org B", common_name=name),
        algorithm=Algorithm.ED25519,
        validity_seconds=days * DAY,
        now=at(begins),
    )


OLD, NEW = make(begins=-30 * DAY), make(begins=-30 * DAY)


def list_of(authority: Authority, *serials: int, life: int = LIFE, signed: int = 0) -> RevocationList:
    revoked = [Revocation(serial, at(signed) - timedelta(minutes=1)) for serial in serials]
    return renew_revocation_list(authority, revoked, None, lifetime_seconds=life, now=at(signed))


def statement(
    *authorities: Authority,
    lists: Sequence[RevocationList] | None = None,
    key: SigningKey = THEIRS,
    signed: int = 0,
    **changes: Any,
) -> bytes:
    """A statement that the partner signed ``signed`` seconds from now."""
    told = authorities or (NEW,)
    ders = [each.der for each in lists or [list_of(each, signed=signed) for each in told]]
    made = AuthorityStatement(
        kernel_id="org-b-kernel",
        sequence=NOW + signed,
        issued_at=NOW + signed,
        expires_at=NOW + signed + LIFE,
        certificates=tuple(each.certificate.public_bytes(Encoding.DER) for each in told),
        revocation_list=ders[0],
        previous_lists=tuple(ders[1:]),
    )
    return sign_statement(replace(made, **changes), key)
