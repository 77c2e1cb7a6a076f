"""The curve of edwards25519 in plain Python, and ristretto255 (RFC 9496) over it: strict decoding, the map.

Not constant time, nor is anything else in Python. What that means stands in README.md.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Self, TypeVar

from .errors import CodecError

P = 2**255 - 19
#: The order of the group.
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
_SQRT_M1 = pow(2, (P - 1) // 4, P)
_D2 = 2 * D % P


def absolute(x: int) -> int:
    x %= P
    return P - x if x & 1 else x


def sqrt_ratio(u: int, v: int) -> tuple[bool, int]:
    """Whether u/v is a square; its non-negative root, or that of i·u/v."""
    u, v = u % P, v % P
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u, check == -u % P, check == -u * _SQRT_M1 % P
    if flipped or flipped_i:
        r = r * _SQRT_M1 % P
    return correct or flipped, absolute(r)


_INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
_SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
_ONE_MINUS_D_SQ = (1 - D * D) % P
_D_MINUS_ONE_SQ = (D - 1) ** 2 % P


class CurvePoint:
    """A point of the curve, in extended coordinates. Of which group it is, a subclass says."""

    __slots__ = ("t", "windows", "x", "y", "z")

    def __init__(self, x: int, y: int, z: int, t: int):
        self.x, self.y, self.z, self.t = x, y, z, t
        #: Of a generator: all multiples of its powers of 16, once they are needed.
        self.windows: list[list[Self]] | None = None

    @classmethod
    def identity(cls) -> Self:
        return cls(0, 1, 1, 0)

    def encode(self) -> bytes:
        raise NotImplementedError

    def __add__(self, other: Self) -> Self:
        a = (self.y - self.x) * (other.y - other.x) % P
        b = (self.y + self.x) * (other.y + other.x) % P
        c = _D2 * self.t * other.t % P
        d = 2 * self.z * other.z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return type(self)(e * f % P, g * h % P, f * g % P, e * h % P)

    def __neg__(self) -> Self:
        return type(self)(-self.x % P, self.y, self.z, -self.t % P)

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def _double(self) -> Self:
        a, b, c = self.x * self.x % P, self.y * self.y % P, 2 * self.z * self.z % P
        h = a + b
        e = h - (self.x + self.y) ** 2 % P
        g = a - b
        f = c + g
        return type(self)(e * f % P, g * h % P, f * g % P, e * h % P)

    def __rmul__(self, scalar: int) -> Self:
        """`scalar * point`."""
        if self.windows is None:
            return weighted_sum([scalar], [self])
        if not self.windows:
            self.windows = self._windows()
        total = self.identity()
        for digit, table in zip(reversed(f"{scalar % L:064x}"), self.windows, strict=True):
            if digit != "0":
                total = total + table[int(digit, 16)]
        return total

    def generator(self) -> Self:
        """The same, to be multiplied often: some five times as fast from the second time on."""
        self.windows = []
        return self

    def _windows(self) -> list[list[Self]]:
        windows, power = [], self
        for _ in range(64):
            windows.append(power._table())
            power = power._double()._double()._double()._double()
        return windows

    def _table(self) -> list[Self]:
        """0 to 15 times the point."""
        table = [self.identity(), self]
        for _ in range(14):
            table.append(table[-1] + self)
        return table

    def __hash__(self) -> int:
        return hash(self.encode())

    def is_identity(self) -> bool:
        return self == self.identity()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # a partial, or what is to be hashed into a key, is a secret


class Point(CurvePoint):
    """An element of ristretto255."""

    __slots__ = ()

    @classmethod
    def decode(cls, data: bytes, what: str = "point") -> Point:
        """The point of 32 canonical bytes. The identity is refused wherever a point is read."""
        if len(data) != 32:
            raise CodecError(f"{what}: expected 32 bytes, got {len(data)}")
        s = int.from_bytes(data, "little")
        if s >= P or s & 1:
            raise CodecError(f"{what}: not a canonical ristretto255 encoding")
        ss = s * s % P
        u1, u2 = (1 - ss) % P, (1 + ss) % P
        u2s = u2 * u2 % P
        v = (-D * u1 * u1 - u2s) % P
        square, inv = sqrt_ratio(1, v * u2s)
        den_x = inv * u2 % P
        den_y = inv * den_x * v % P
        x = absolute(2 * s * den_x)
        y = u1 * den_y % P
        t = x * y % P
        if not square or t & 1 or y == 0:
            raise CodecError(f"{what}: not a canonical ristretto255 encoding")
        if s == 0:
            raise CodecError(f"{what}: the identity is refused")
        return cls(x, y, 1, t)

    def encode(self) -> bytes:
        x, y, z, t = self.x, self.y, self.z, self.t
        u1, u2 = (z + y) * (z - y) % P, x * y % P
        inv = sqrt_ratio(1, u1 * u2 * u2)[1]
        den1, den2 = inv * u1 % P, inv * u2 % P
        z_inv = den1 * den2 * t % P
        den_inv = den2
        if t * z_inv % P & 1:
            x, y, den_inv = y * _SQRT_M1 % P, x * _SQRT_M1 % P, den1 * _INVSQRT_A_MINUS_D % P
        if x * z_inv % P & 1:
            y = -y
        return absolute(den_inv * (z - y)).to_bytes(32, "little")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Point):
            return NotImplemented
        return (self.x * other.y - self.y * other.x) % P == 0 or (
            self.y * other.y - self.x * other.x
        ) % P == 0

    __hash__ = CurvePoint.__hash__


IDENTITY = Point.identity()
C = TypeVar("C", bound=CurvePoint)


def _elligator(t: int) -> Point:
    r = _SQRT_M1 * t * t % P
    u = (r + 1) * _ONE_MINUS_D_SQ % P
    v = (-1 - r * D) * (r + D) % P
    square, s = sqrt_ratio(u, v)
    c = -1
    if not square:
        s, c = -absolute(s * t) % P, r
    n = (c * (r - 1) * _D_MINUS_ONE_SQ - v) % P
    w0, w1 = 2 * s * v % P, n * _SQRT_AD_MINUS_ONE % P
    w2, w3 = (1 - s * s) % P, (1 + s * s) % P
    return Point(w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P)


def from_uniform(data: bytes) -> Point:
    """The one-way map of RFC 9496 §4.3.4, from 64 bytes."""
    if len(data) != 64:
        raise ValueError("the one-way map takes 64 bytes")

    def half(part: bytes) -> Point:
        return _elligator(int.from_bytes(part, "little") % 2**255 % P)

    return half(data[:32]) + half(data[32:])


def decode_scalar(data: bytes, what: str = "scalar") -> int:
    """A scalar of 32 bytes, little-endian, below the order."""
    value = int.from_bytes(data, "little")
    if len(data) != 32 or value >= L:
        raise CodecError(f"{what}: not a canonical scalar of 32 bytes")
    return value


def encode_scalar(value: int) -> bytes:
    return (value % L).to_bytes(32, "little")


def random_scalar() -> int:
    """Uniform, not 0."""
    return 1 + secrets.randbelow(L - 1)


def weighted_sum(weights: Iterable[int], points: Iterable[C]) -> C:
    """`Σ weight·point`, over one point at least."""
    return window_sum([(w % L, p) for w, p in zip(weights, points, strict=True)])


def window_sum(terms: list[tuple[int, C]]) -> C:
    """The same for weights below 2^256 as they are, by windows of four bits; all share the doublings."""
    tables = [(f"{w:064x}", p._table()) for w, p in terms]
    total = terms[0][1].identity()
    for i in range(64):
        total = total._double()._double()._double()._double()
        for digits, table in tables:
            if digits[i] != "0":
                total = total + table[int(digits[i], 16)]
    return total


B = Point.decode(
    bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")
).generator()
#: The second generator, whose logarithm nobody knows.
B2 = from_uniform(hashlib.sha512(b"quorate/v1/group/second-generator.").digest()).generator()
