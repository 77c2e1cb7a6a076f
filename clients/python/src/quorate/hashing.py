"""The transcript hash, and Ed25519 as strictly as the nodes verify it."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .errors import CodecError
from .group import D, L, P

PREFIX = b"quorate/v1/"


def H(label: str, *parts: bytes) -> bytes:
    """SHA-512 over label and parts, each behind its length as a u64."""
    state = hashlib.sha512()
    for part in (PREFIX + label.encode(), *parts):
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()


def H32(label: str, *parts: bytes) -> bytes:
    return H(label, *parts)[:32]


def Hs(label: str, *parts: bytes) -> int:
    return int.from_bytes(H(label, *parts), "little") % L


def merkle_root(items: list[bytes]) -> bytes:
    """RFC 6962 §2.1 with SHA-256."""
    if not 1 <= len(items) <= 1024:
        raise CodecError(f"a request has 1 to 1024 items, got {len(items)}")

    def subtree(some: list[bytes]) -> bytes:
        if len(some) == 1:
            return hashlib.sha256(b"\0" + some[0]).digest()
        left = 1 << (len(some) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + subtree(some[:left]) + subtree(some[left:])).digest()

    return subtree(items)


#: y of the points of small order of edwards25519: of order 1, 2, 4, and the two of order 8.
_SMALL_Y = (
    1,
    P - 1,
    0,
    int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
    ),
    int.from_bytes(
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
    ),
)
SMALL_ORDER = frozenset((y | bit << 255).to_bytes(32, "little") for y in _SMALL_Y for bit in (0, 1))


def check_public_key(data: bytes, what: str = "public key") -> bytes:
    """32 canonical bytes of a point of edwards25519 that is not of small order."""
    if len(data) != 32:
        raise CodecError(f"{what}: expected 32 bytes, got {len(data)}")
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    if y >= P or data in SMALL_ORDER:
        raise CodecError(f"{what}: not canonical, or of small order")
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    # x² = u/v has a root exactly if u·v is a square (0 was sorted out above).
    if pow(u * v, (P - 1) // 2, P) != 1:
        raise CodecError(f"{what}: no point of the curve")
    return data


def verify(public: bytes, label: str, fingerprint: bytes, data: bytes, signature: bytes) -> bool:
    """Ed25519 over `label ‖ fingerprint ‖ data`: RFC 8032, cofactorless, no points of small order."""
    if len(signature) != 64 or signature[:32] in SMALL_ORDER:
        return False
    try:
        check_public_key(public)
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, PREFIX + label.encode() + fingerprint + data
        )
    except (CodecError, InvalidSignature, ValueError):
        return False
    return True


class Identity:
    """An Ed25519 identity key. Never printed."""

    def __init__(self, seed: bytes):
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, label: str, fingerprint: bytes, data: bytes) -> bytes:
        return self._key.sign(PREFIX + label.encode() + fingerprint + data)

    @property
    def private(self) -> Ed25519PrivateKey:
        return self._key

    def __repr__(self) -> str:
        return f"Identity({self.public.hex()[:16]}…)"
