"""TDH2 as a key encapsulation in commitment form: docs/protocol/tdh2.md."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import dleq
from .errors import CiphertextError, CodecError
from .group import B2, B, Point, decode_scalar, encode_scalar, random_scalar
from .hashing import H, Hs
from .sharing import combine
from .wire import u32

KEM_BYTES = 240


@dataclass(frozen=True)
class Binding:
    """What a ciphertext is bound to, beside label and header."""

    fingerprint: bytes
    key: str
    version: int
    public: bytes

    def parts(self) -> tuple[bytes, bytes, bytes]:
        return self.fingerprint, self.key.encode(), u32(self.version)


@dataclass(frozen=True)
class Encapsulation:
    """`U ‖ Ū ‖ W ‖ W̄ ‖ z ‖ commitment ‖ wrapped`, its points decoded."""

    raw: bytes
    u: Point
    u2: Point
    w: Point
    w2: Point
    z: int

    @classmethod
    def parse(cls, raw: bytes) -> Encapsulation:
        if len(raw) != KEM_BYTES:
            raise CodecError(f"key encapsulation: expected {KEM_BYTES} bytes, got {len(raw)}")
        u, u2, w, w2 = (Point.decode(raw[i : i + 32], "key encapsulation") for i in (0, 32, 64, 96))
        return cls(raw, u, u2, w, w2, decode_scalar(raw[128:160], "key encapsulation"))

    @property
    def commitment(self) -> bytes:
        return self.raw[160:192]

    @property
    def wrapped(self) -> bytes:
        return self.raw[192:]


def _dem(binding: Binding, u: bytes, shared: Point, label: bytes) -> tuple[bytes, bytes]:
    out = H("tdh2/dem.", *binding.parts(), u, shared.encode(), label)
    return out[:32], out[32:]


def _challenge(binding: Binding, label: bytes, header: bytes, points: bytes, rest: bytes) -> int:
    parts = [points[i : i + 32] for i in (0, 32, 64, 96)]
    return Hs("tdh2/proof.", *binding.parts(), binding.public, label, *parts, header, rest[:32], rest[32:])


def encapsulate(binding: Binding, label: bytes, header: bytes) -> tuple[bytes, bytes]:
    """The encapsulation, and the fresh payload key inside."""
    payload_key = secrets.token_bytes(32)
    return _encapsulate(binding, label, header, payload_key, random_scalar(), random_scalar()), payload_key


def _encapsulate(binding: Binding, label: bytes, header: bytes, payload_key: bytes, r: int, s: int) -> bytes:
    """With given randomness: for test vectors only. Never use `r` or `s` again."""
    points = b"".join(p.encode() for p in (r * B, r * B2, s * B, s * B2))
    wrap, commitment = _dem(binding, points[:32], r * Point.decode(binding.public, "public key"), label)
    # The zero nonce is safe: `wrap` serves one ciphertext.
    wrapped = AESGCM(wrap).encrypt(bytes(12), payload_key, header)
    e = _challenge(binding, label, header, points, commitment + wrapped)
    return points + encode_scalar(s + e * r) + commitment + wrapped


def verify(binding: Binding, label: bytes, header: bytes, kem: Encapsulation) -> bool:
    """What every node checks before it touches its share."""
    e = _challenge(binding, label, header, kem.raw[:128], kem.raw[160:])
    return kem.z * B == kem.w + e * kem.u and kem.z * B2 == kem.w2 + e * kem.u2


def verify_partials(
    context: bytes, public: Point, kems: Sequence[Encapsulation], partials: Sequence[bytes], proof: bytes
) -> bool:
    """Whether a node proved that its partials, in order, are `s_i·U` for the `s_i` of its public `Y_i`."""
    return dleq.verify_partials(context, public, [kem.u for kem in kems], partials, proof)


class CommitmentError(Exception):
    """The partials do not combine to what the ciphertext commits to: a bad ciphertext, or a liar."""


def open_kem(
    binding: Binding,
    label: bytes,
    header: bytes,
    kem: Encapsulation,
    partials: Mapping[int, bytes],
    threshold: int,
) -> bytes:
    """The payload key, from the partials of exactly `t` nodes of one epoch.

    The commitment is compared first: AES-GCM does not commit to its key.
    """
    try:
        shared = combine(partials, threshold)
    except CodecError:
        raise CommitmentError from None
    wrap, commitment = _dem(binding, kem.raw[:32], shared, label)
    if not hmac.compare_digest(commitment, kem.commitment):
        raise CommitmentError
    try:
        return AESGCM(wrap).decrypt(bytes(12), kem.wrapped, header)
    except InvalidTag:
        raise CiphertextError(
            "the ciphertext was badly made: its commitment holds, but its payload key does not unwrap"
        ) from None
