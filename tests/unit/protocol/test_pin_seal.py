"""The seal: a pin that was edited or moved is not ours any more (R-K9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilateral.protocol.handshake import Pin
from bilateral.protocol.seal import compute_seal, verify_seal
from support.kernels import NOW, OTHER_KEY, A, pin_of_a

KEY = bytes(range(32))
UID = "0b6a7a2e-0d55-4f2c-9c3e-3f1f4d7b8a10"
PIN = pin_of_a(envelope_nonces=("0" * 32, "1" * 32))
SEAL = compute_seal(KEY, UID, A, PIN)


def test_the_seal_is_stable_and_verifies() -> None:
    # Pinned: a change of the form would make every stored pin of a running operator look tampered.
    assert SEAL == "7320ae77e07ac6b82f6d016e7aa832b942e5ba173db73d046b57558db2f787bb"
    assert verify_seal(KEY, UID, A, PIN, SEAL)


@pytest.mark.parametrize(
    "pin",
    [
        pytest.param(replace(PIN, public_key=OTHER_KEY.public_key), id="another key"),
        pytest.param(replace(PIN, established_at=NOW), id="another establishment"),
        pytest.param(replace(PIN, rotation_due=PIN.rotation_due + 1), id="a later deadline"),
        pytest.param(replace(PIN, envelope_timestamp=0), id="an older envelope"),
        pytest.param(replace(PIN, envelope_nonces=()), id="no nonces"),
        pytest.param(replace(PIN, envelope_nonces=("0" * 32,)), id="a nonce less"),
        pytest.param(replace(PIN, envelope_nonces=("1" * 32, "0" * 32)), id="another order of nonces"),
        pytest.param(replace(PIN, rotation_due=2**64), id="a deadline that cannot be written"),
    ],
)
def test_an_edited_pin_does_not_verify(pin: Pin) -> None:
    assert not verify_seal(KEY, UID, A, pin, SEAL)


@pytest.mark.parametrize(
    ("key", "uid", "kernel_id"),
    [
        pytest.param(bytes(32), UID, A, id="another trust domain's key"),
        pytest.param(KEY, UID[:-1] + "1", A, id="another object"),
        pytest.param(KEY, UID, "org-c-kernel", id="another peer"),
        pytest.param(KEY, "", UID + A, id="the border moved"),
        pytest.param(KEY, UID, "\ud800", id="a name that cannot be written"),
    ],
)
def test_a_moved_pin_does_not_verify(key: bytes, uid: str, kernel_id: str) -> None:
    assert not verify_seal(key, uid, kernel_id, PIN, SEAL)


@pytest.mark.parametrize("seal", ["", SEAL[:-1], f"{SEAL}0", SEAL.upper(), f"{SEAL}\n", "é" * 64, "\ud800"])
def test_only_the_exact_text_is_the_seal(seal: str) -> None:
    assert not verify_seal(KEY, UID, A, PIN, seal)


@pytest.mark.parametrize("size", [0, 16, 31])
def test_a_short_key_is_refused_rather_than_used(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        compute_seal(bytes(size), UID, A, PIN)
    with pytest.raises(ValueError, match="32 bytes"):
        verify_seal(bytes(size), UID, A, PIN, SEAL)


@given(uid=st.text(st.characters(exclude_categories=["Cs"])), due=st.integers(0, 2**53 - 1))
def test_what_was_sealed_verifies(uid: str, due: int) -> None:
    pin = replace(PIN, rotation_due=due)
    assert verify_seal(KEY, uid, A, pin, compute_seal(KEY, uid, A, pin))
