"""Errors say what the contract's errors say, and carry their facts as fields."""

from __future__ import annotations

import pytest

from bilateral.protocol import errors
from bilateral.protocol.errors import ProtocolError
from bilateral.protocol.reasons import Reason


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.InvalidSignature(), "remote handshake signature is invalid"),
        (
            errors.AddressMismatch("b", "c"),
            "remote envelope is addressed to kernel_id b but we are c",
        ),
        (
            errors.KernelIdMismatch("a", "b"),
            "remote envelope declares self as kernel_id a but we expected b",
        ),
        (
            errors.ClockSkewExceeded(1, 2, 3),
            "remote envelope timestamp 1 drifts from local clock 2 beyond 3s",
        ),
        (errors.PeerNotPinned("a"), "peer a is not pinned; run a handshake before resolving"),
        (errors.PeerStale("a"), "peer a is stale and must be re-handshaked before use"),
        (
            errors.MissingTrustAnchor("a"),
            "peer a is not trusted for first contact; configure a trust anchor before accepting handshakes",
        ),
        (
            errors.UnexpectedPeerKey("a", "x", "y"),
            "peer a declared unexpected public key; expected x, got y",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ProtocolError) else "",
)
def test_the_sentence_is_the_contracts(error: ProtocolError, sentence: str) -> None:
    assert str(error) == sentence


def test_every_error_has_a_reason() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, ProtocolError) and kind is not ProtocolError:
            assert kind.reason in Reason


@pytest.mark.parametrize(
    ("reason", "kebab"),
    [
        (Reason.MISSING_TRUST_ANCHOR, "missing-trust-anchor"),
        (Reason.KERNEL_ID_MISMATCH, "kernel-id-mismatch"),
        (Reason.REFUSED, "refused"),
        (Reason.TLS_VERIFICATION_FAILED, "tls-verification-failed"),
    ],
)
def test_a_reason_in_kebab_case(reason: Reason, kebab: str) -> None:
    assert reason.kebab == kebab


def test_reasons_are_camel_case_words_and_unique() -> None:
    values = [reason.value for reason in Reason]
    assert len(set(values)) == len(values)
    assert all(value[0].isupper() and value.isalpha() for value in values)
    assert len({reason.kebab for reason in Reason}) == len(values)
