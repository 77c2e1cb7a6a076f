"""The prime-order group of edwards25519 (RFC 8032), decoded strictly; and strict Ed25519."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from .errors import CodecError
from .group import CurvePoint, D, L, P, sqrt_ratio
from .hashing import SMALL_ORDER


class EdwardsPoint(CurvePoint):
    """A point of prime order, as decoded; unlike in ristretto255 no two points are one element."""

    __slots__ = ()

    @classmethod
    def decode(cls, data: bytes, what: str = "point") -> EdwardsPoint:
        """Of 32 canonical bytes. Points with a component of small order are refused, and the identity.

        With such a component a commitment would hold at nodes whose index is a multiple of 8, and fail at
        others.
        """
        if len(data) != 32:
            raise CodecError(f"{what}: expected 32 bytes, got {len(data)}")
        bits = int.from_bytes(data, "little")
        sign, y = bits >> 255, bits & (1 << 255) - 1
        if y >= P:
            raise CodecError(f"{what}: not a canonical edwards25519 encoding")
        square, x = sqrt_ratio(y * y - 1, D * y * y + 1)
        if not square or (x == 0 and sign):
            raise CodecError(f"{what}: not a canonical edwards25519 encoding")
        if x & 1 != sign:
            x = P - x
        point = cls(x, y, 1, x * y % P)
        if x == 0 and y == 1:
            raise CodecError(f"{what}: the identity is refused")
        if not _is_of_prime_order(y):
            raise CodecError(
                f"{what}: expected a point of prime order, got one with a component of small order"
            )
        return point

    def encode(self) -> bytes:
        inverse = pow(self.z, -1, P)
        x, y = self.x * inverse % P, self.y * inverse % P
        return (y | (x & 1) << 255).to_bytes(32, "little")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EdwardsPoint):
            return NotImplemented
        return (self.x * other.z - other.x * self.z) % P == 0 and (
            self.y * other.z - other.y * self.z
        ) % P == 0

    __hash__ = CurvePoint.__hash__


#: 0 mod 8 and 1 mod ℓ, or its negative: whichever is a scalar of X25519 as it stands.
_PROJECTION = 8 * pow(8, -1, L)
if not 1 << 254 <= _PROJECTION < 1 << 255:
    _PROJECTION = 8 * L - _PROJECTION


def _is_of_prime_order(y: int) -> bool:
    """Whether a point other than the identity has no component of small order.

    Take `k` that is 0 mod 8 and 1 mod ℓ. `k·P` is `P` without that component, so `P` has none exactly if
    `k·P = ±P`, and Montgomery's `u` tells points up to the sign. X25519 multiplies by such a `k` as it is,
    much faster than Python does.
    """
    u = (1 + y) * pow(1 - y, -1, P) % P
    public = X25519PublicKey.from_public_bytes(u.to_bytes(32, "little"))
    try:
        projected = X25519PrivateKey.from_private_bytes(_PROJECTION.to_bytes(32, "little")).exchange(public)
    except ValueError:  # it is zero: the point is of small order
        return False
    return int.from_bytes(projected, "little") == u


#: The generator of RFC 8032: y = 4/5, x even.
BASE = EdwardsPoint.decode(b"\x58" + b"\x66" * 31).generator()


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032, cofactorless: `s` below ℓ, `R` canonical and not of small order, `public` of prime order."""
    if len(signature) != 64 or signature[:32] in SMALL_ORDER:
        return False
    try:
        EdwardsPoint.decode(public)
        # Computes `R` anew and compares its bytes.
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (CodecError, InvalidSignature, ValueError):
        return False
    return True
