"""R-T1: the verifier table, every combination of it, against a second statement of the rule."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from cryptography import x509

from bilateral.pki.authority import generate_authority
from bilateral.pki.errors import VerifierRefused
from bilateral.pki.fingerprints import Fingerprint, parse_fingerprint
from bilateral.pki.verifiers import (
    ConfiguredCA,
    KnownPeer,
    Override,
    PeerCA,
    Pinned,
    PinnedFingerprint,
    PinnedRawKey,
    Situation,
    Transport,
    Verifier,
    WebPKI,
    pinned_fingerprints,
    select_verifier,
)
from bilateral.protocol.reasons import Reason
from unit.pki.material import ED25519_AUTHORITY, NOW, P256_AUTHORITY, SUBJECT, YEAR

CA_1, CA_2 = P256_AUTHORITY.certificate, ED25519_AUTHORITY.certificate
STRANGER = generate_authority(SUBJECT, algorithm="Ed25519", validity_seconds=YEAR, now=NOW).certificate
RAW_1, RAW_2, RAW_3 = (parse_fingerprint("ed25519:" + digit * 64) for digit in "123")
CERT_1, CERT_2, CERT_3 = (parse_fingerprint("SHA256:" + digit * 64) for digit in "123")

WITHHELD: tuple[Reason | None, ...] = (
    None, Reason.PEER_STALE, Reason.SUSPENDED, Reason.UNEXPECTED_PEER_KEY, Reason.PEER_NOT_PINNED,
    Reason.PIN_TAMPERED, Reason.CREDENTIAL_CONFLICT,
)  # fmt: skip
FINGERPRINTS: tuple[tuple[Fingerprint, ...], ...] = (
    (), (RAW_1,), (CERT_1,), (RAW_1, CERT_1), (CERT_1, RAW_1, CERT_2, RAW_2),
)  # fmt: skip
AUTHORITIES: tuple[tuple[x509.Certificate, ...], ...] = ((), (CA_1,), (CA_1, CA_2))
OVERRIDES: tuple[Override | None, ...] = (
    None,
    WebPKI(), WebPKI(()), WebPKI((STRANGER,)), WebPKI((CA_1,)),
    ConfiguredCA(()), ConfiguredCA((CA_1,)), ConfiguredCA((CA_2,)), ConfiguredCA((CA_2, CA_1)),
    ConfiguredCA((STRANGER,)), ConfiguredCA((CA_1, STRANGER)),
    Pinned(()), Pinned((CERT_1,)), Pinned((CERT_2,)), Pinned((CERT_1, CERT_2)), Pinned((CERT_3,)),
    Pinned((CERT_1, CERT_3)), Pinned((RAW_1,)), Pinned((RAW_2,)), Pinned((RAW_3,)), Pinned((CERT_1, RAW_1)),
)  # fmt: skip
PEERS: tuple[KnownPeer | None, ...] = (
    None,
    *(KnownPeer(*parts) for parts in product(WITHHELD, FINGERPRINTS, AUTHORITIES)),
)
ALL = [Situation(*parts) for parts in product(PEERS, Transport, OVERRIDES)]


def decide(situation: Situation) -> Verifier | Reason:
    try:
        return select_verifier(situation)
    except VerifierRefused as refusal:
        return refusal.reason


def rule(situation: Situation) -> object:
    """The table again, as a list of (condition, answer): the first that holds, no branch shared."""
    peer, transport, override = situation.peer, situation.transport, situation.override
    raw, x = transport is Transport.RAW_KEY, transport is Transport.X509
    listed = peer.fingerprints if peer else ()
    keys = tuple(each for each in listed if str(each).startswith("ed25519:"))
    leaves = tuple(each for each in listed if str(each).startswith("SHA256:"))
    roots = peer.authorities if peer else ()
    withheld = peer.withheld if peer else None
    chosen = override.fingerprints if isinstance(override, Pinned) else ()
    named = override.authorities if isinstance(override, ConfiguredCA) else ()
    contradiction = Reason.VERIFIER_CONTRADICTS_PEER
    table: list[tuple[bool, Callable[[], object]]] = [
        (peer is None and raw, lambda: Reason.UNKNOWN_RAW_KEY_PEER),
        (peer is None and override is None, lambda: WebPKI(None)),
        (peer is None and isinstance(override, Pinned), lambda: contradiction),
        (peer is None and override in (WebPKI(()), ConfiguredCA(())), lambda: Reason.NOTHING_PINNED),
        (peer is None and isinstance(override, WebPKI | ConfiguredCA), lambda: override),
        (withheld is not None, lambda: withheld),
        (raw and not keys, lambda: Reason.NOTHING_PINNED),
        (raw and override is None, lambda: PinnedRawKey(keys)),
        (raw and bool(chosen) and all(each in keys for each in chosen), lambda: PinnedRawKey(chosen)),
        (raw, lambda: contradiction),
        (x and not leaves and not roots, lambda: Reason.NOTHING_PINNED),
        (bool(leaves) and override is None, lambda: PinnedFingerprint(leaves)),
        (
            bool(leaves) and bool(chosen) and all(each in leaves for each in chosen),
            lambda: PinnedFingerprint(chosen),
        ),
        (bool(leaves), lambda: contradiction),
        (override is None, lambda: PeerCA(roots)),
        (bool(named) and all(each in roots for each in named), lambda: PeerCA(named)),
        (True, lambda: contradiction),
    ]
    return next(answer() for holds, answer in table if holds)


def test_every_combination_is_decided_as_the_table_says() -> None:
    assert len(ALL) == 2 * 106 * 21
    assert [situation for situation in ALL if decide(situation) != rule(situation)] == []


def test_no_combination_ends_in_anything_else() -> None:
    """Total: a verifier of the five kinds that pins or asks something, or a reason of the list."""
    for situation in ALL:
        match decide(situation):
            case WebPKI(bundle=None):
                assert situation.peer is None
            case WebPKI(bundle=some) | ConfiguredCA(authorities=some) | PeerCA(authorities=some):
                assert some
            case PinnedFingerprint(fingerprints=pins) | PinnedRawKey(fingerprints=pins):
                assert pins
            case reason:
                assert isinstance(reason, Reason)


def test_a_known_peer_never_gets_public_or_foreign_authorities() -> None:
    for situation in ALL:
        verdict = decide(situation)
        if situation.peer is None:
            continue
        assert not isinstance(verdict, WebPKI | ConfiguredCA)
        if isinstance(verdict, PeerCA):
            assert set(verdict.authorities) <= set(situation.peer.authorities)
        if isinstance(verdict, PinnedFingerprint | PinnedRawKey):
            assert set(verdict.fingerprints) <= set(situation.peer.fingerprints)


def test_what_is_withheld_is_withheld_whatever_is_configured() -> None:
    for situation in ALL:
        if situation.peer is not None and situation.peer.withheld is not None:
            assert decide(situation) is situation.peer.withheld


def test_a_listed_fingerprint_keeps_authorities_out() -> None:
    for situation in ALL:
        peer = situation.peer
        if peer is not None and any(str(each).startswith("SHA256:") for each in peer.fingerprints):
            assert not isinstance(decide(situation), PeerCA)


def test_raw_keys_and_certificates_never_stand_in_for_each_other() -> None:
    for situation in ALL:
        verdict = decide(situation)
        if isinstance(verdict, PinnedRawKey):
            assert situation.transport is Transport.RAW_KEY
            assert all(str(each).startswith("ed25519:") for each in verdict.fingerprints)
        if isinstance(verdict, PinnedFingerprint):
            assert situation.transport is Transport.X509
            assert all(str(each).startswith("SHA256:") for each in verdict.fingerprints)


PEER = KnownPeer(None, (RAW_1, CERT_1), (CA_1,))


@pytest.mark.parametrize(
    ("situation", "kind", "pinned"),
    [
        pytest.param(Situation(), "WebPKI", [], id="unknown X509: the system's roots"),
        pytest.param(
            Situation(override=WebPKI((CA_1,))),
            "WebPKI",
            [P256_AUTHORITY.fingerprint],
            id="unknown X509: a bundle",
        ),
        pytest.param(
            Situation(override=ConfiguredCA((CA_1,))),
            "ConfiguredCA",
            [P256_AUTHORITY.fingerprint],
            id="unknown X509: a private authority",
        ),
        pytest.param(Situation(PEER), "PinnedFingerprint", [str(CERT_1)], id="known X509: its fingerprint"),
        pytest.param(
            Situation(KnownPeer(None, (RAW_1,), (CA_1,))),
            "PeerCA",
            [P256_AUTHORITY.fingerprint],
            id="known X509: its CA",
        ),
        pytest.param(
            Situation(PEER, Transport.RAW_KEY),
            "PinnedRawKey",
            [str(RAW_1)],
            id="known raw key: its fingerprint",
        ),
    ],
)
def test_what_status_shows(situation: Situation, kind: str, pinned: list[str]) -> None:
    """ADR-034, section 3: one entry with mixed fingerprints, each transport takes its own."""
    verifier = select_verifier(situation)
    assert (verifier.kind, pinned_fingerprints(verifier)) == (kind, pinned)


def test_a_refusal_has_a_sentence_and_the_rows_reason() -> None:
    with pytest.raises(VerifierRefused) as caught:
        select_verifier(Situation(transport=Transport.RAW_KEY))
    assert (caught.value.reason, caught.value.cause) == (Reason.UNKNOWN_RAW_KEY_PEER, "unknown-raw-key-peer")
    assert str(caught.value)
