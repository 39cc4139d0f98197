"""Ed25519, which Python's library has not: signs, and verifies by the rules of ZIP-215.

Slow, and not safe against who measures time: for tests, and never for a key that matters.
"""

import hashlib

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

# x, y, z and x * y / z: the coordinates in which adding needs no division.
_Point = tuple[int, int, int, int]


def _added(a: _Point, b: _Point) -> _Point:
    m = (a[1] - a[0]) * (b[1] - b[0]) % _P
    n = (a[1] + a[0]) * (b[1] + b[0]) % _P
    t = 2 * a[3] * b[3] * _D % _P
    z = 2 * a[2] * b[2] % _P
    e, f, g, h = n - m, z - t, z + t, n + m
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(point: _Point, factor: int) -> _Point:
    sum_ = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            sum_ = _added(sum_, point)
        point = _added(point, point)
        factor >>= 1
    return sum_


def _decoded(text: bytes) -> _Point | None:
    """The point; ZIP-215 takes any encoding of one, also those that are not the shortest."""
    number = int.from_bytes(text, "little")
    sign, y = number >> 255, (number & (1 << 255) - 1) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P:
        return None
    if x & 1 != sign:
        x = -x % _P
    return x, y, 1, x * y % _P


def _encoded(point: _Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _ORDER


def _base() -> _Point:
    point = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert point is not None
    return point


_BASE = _base()


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is one of ``message`` by ``key``."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = _decoded(key), _decoded(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= _ORDER:
        return False
    k = _number(signature[:32], key, message)
    difference = _added(_times(_BASE, s), _negated(_added(r, _times(a, k))))
    x, y, z, _ = _times(difference, 8)
    return x == 0 and (y - z) % _P == 0


def _negated(point: _Point) -> _Point:
    x, y, z, t = point
    return -x % _P, y, z, -t % _P


class SigningKey:
    """A key that signs, made from a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError(f"seed: {len(seed)} bytes, wants 32")
        digest = hashlib.sha512(seed).digest()
        number = int.from_bytes(digest[:32], "little")
        self._secret = number & (1 << 254) - 8 | 1 << 254
        self._prefix = digest[32:]
        self.public = _encoded(_times(_BASE, self._secret))
        """The public key: 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes."""
        r = _number(self._prefix, message)
        point = _encoded(_times(_BASE, r))
        s = (r + _number(point, self.public, message) * self._secret) % _ORDER
        return point + s.to_bytes(32, "little")
