"""Services, partners and authorities for the tests of how services are resolved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from bilateral.pki.authority import Authority, generate_authority
from bilateral.pki.fingerprints import parse_fingerprint
from bilateral.pki.names import Subject
from bilateral.protocol.reasons import Reason
from bilateral.reconcile.partners import Partner
from bilateral.reconcile.services import ResolvedService, ServiceView, resolve_service
from bilateral.resources.trustedservice import TrustedService

from .conftest import NOW

MOMENT = datetime.fromtimestamp(NOW, UTC)
URL = "https://api.org2.example:9443"
RAW = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
LEAF, OTHER_LEAF, FOREIGN_LEAF = ("SHA256:" + digit * 64 for digit in "123")


def authority(name: str, *, seconds: int = 31_536_000, begins: datetime = MOMENT) -> Authority:
    return generate_authority(
        Subject(organization="Org B", common_name=name),
        algorithm="Ed25519",
        validity_seconds=seconds,
        now=begins,
    )


OLD_AUTHORITY, NEW_AUTHORITY = authority("Org B CA"), authority("Org B CA")
"""Two generations with one name."""
STRANGER = authority("Somebody's CA")
OUR_AUTHORITY = authority("Org A CA")
EXPIRED = authority("Org B CA of last year", seconds=86_400, begins=MOMENT - timedelta(days=30))
OLD, NEW = OLD_AUTHORITY.certificate, NEW_AUTHORITY.certificate


def pem(*authorities: Authority) -> str:
    return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in authorities).decode()


def service(name: str = "org2-api", *, status: dict[str, Any] | None = None, **spec: Any) -> TrustedService:
    """A TrustedService; members of the spec that are None are left out."""
    wanted = {"url": URL, **spec}
    return TrustedService.parse(
        {
            "metadata": {"name": name, "namespace": "trust", "uid": f"uid-{name}", "generation": 1},
            "spec": {member: value for member, value in wanted.items() if value is not None},
            "status": status or {},
        }
    )


def partner(
    *fingerprints: str,
    name: str = "org-b",
    withheld: Reason | None = None,
    authorities: tuple[Authority, ...] = (),
    retained: bool = False,
    rotation_due: int | None = NOW + 43_200,
) -> Partner:
    """A partner as `build_partner` makes one: one that is withheld has nothing."""
    stays = withheld is None
    return Partner(
        name=name,
        uid=f"uid-{name}",
        kernel_id=f"{name}-kernel",
        trust_domain="org-a",
        withheld=withheld,
        fresh=stays and not retained,
        retained=retained and stays,
        rotation_due=rotation_due if stays and not retained else None,
        fingerprints=tuple(parse_fingerprint(each) for each in fingerprints) if stays else (),
        authorities=tuple(each.certificate for each in authorities) if stays else (),
    )


BOTH = (NEW_AUTHORITY, OLD_AUTHORITY)
CA = {"certificateAuthority": {"pem": pem(STRANGER)}}


def pins(*texts: str) -> Any:
    return tuple(parse_fingerprint(text) for text in texts)


def resolved(**view: Any) -> ResolvedService:
    wanted = service(**{"peer": "org-b", **view.pop("spec", {})})
    found = resolve_service(wanted, ServiceView(**{"partner": partner(authorities=BOTH), **view}), NOW)
    assert isinstance(found, ResolvedService)
    return found
