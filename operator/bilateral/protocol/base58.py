"""Base58 with the Bitcoin alphabet, as multibase ``z`` uses it (``did:key``, ``publicKeyMultibase``).

For keys only: the work grows with the square of the length, so decoding asks for the length wanted.
"""

from __future__ import annotations

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {letter: digit for digit, letter in enumerate(_ALPHABET)}


def encode_base58(data: bytes) -> str:
    """Write ``data`` in base58; each leading zero byte becomes a ``1``."""
    number = int.from_bytes(data)
    letters: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        letters.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(letters))


def decode_base58(text: str, length: int) -> bytes:
    """Read base58 text that stands for exactly ``length`` bytes; ``ValueError`` for anything else."""
    if len(text) > 2 * length:
        raise ValueError("too long")
    number = 0
    for letter in text:
        digit = _DIGITS.get(letter)
        if digit is None:
            raise ValueError("not a base58 letter")
        number = number * 58 + digit
    try:
        data = number.to_bytes(length)
    except OverflowError:
        raise ValueError("too long") from None
    if encode_base58(data) != text:
        raise ValueError("another length")  # the number of leading zeros is part of the text
    return data
