"""edwards25519 in plain integers (RFC 8032 section 5.1): slow, to make keys and signatures that
no honest library makes."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]

NEUTRAL: Point = (0, 1)


def decode(data: bytes) -> Point | None:
    """Decode leniently: a y that is not reduced is accepted; None where no point has that y."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    u, v = (y * y - 1) % P, (_D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * _ROOT_OF_MINUS_ONE % P
    if v * x * x % P != u:
        return None
    return (P - x if x % 2 != sign and x else x, y % P)


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    k = _D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P)


def multiply(n: int, point: Point) -> Point:
    result = NEUTRAL
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


def _require(point: Point | None) -> Point:
    assert point is not None
    return point


BASE = _require(decode((4 * pow(5, -1, P) % P).to_bytes(32, "little")))
TORSION = _require(decode(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")))
"""A point of order 8."""

SMALL_ORDER = [multiply(n, TORSION) for n in range(8)]


def secret_scalar(seed: bytes) -> int:
    a = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return a & ((1 << 254) - 8) | (1 << 254)


def challenge_scalar(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def sign_with(a: int, key: bytes, message: bytes, *, nonce: int, shift: Point = NEUTRAL) -> bytes:
    """Sign as the holder of ``a`` whose key is written ``key``, with R moved by ``shift``."""
    r = encode(add(multiply(nonce, BASE), shift))
    s = (nonce + challenge_scalar(r, key, message) * a) % ORDER
    return r + s.to_bytes(32, "little")
