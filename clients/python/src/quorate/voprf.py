"""The VOPRF of RFC 9497 (ristretto255, SHA-512) under a shared key: docs/protocol/voprf.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from .errors import CodecError, InvalidError
from .group import B, L, Point, decode_scalar, from_uniform, random_scalar, weighted_sum
from .hashing import H
from .sharing import lagrange_at_zero
from .wire import u16

#: Of clients, no part of the format.
MAX_INPUT = 65_536
CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"


def _prefixed(data: bytes) -> bytes:
    return u16(len(data)) + data


def _expand(message: bytes, dst: bytes) -> bytes:
    """expand_message_xmd with SHA-512, 64 bytes."""
    dst += bytes([len(dst)])
    b0 = hashlib.sha512(bytes(128) + message + b"\x00\x40\x00" + dst).digest()
    return hashlib.sha512(b0 + b"\x01" + dst).digest()


def _hash_to_scalar(message: bytes) -> int:
    return int.from_bytes(_expand(message, b"HashToScalar-" + CONTEXT), "little") % L


def hash_to_group(message: bytes) -> Point:
    return from_uniform(_expand(message, b"HashToGroup-" + CONTEXT))


def private_input(context: bytes, data: bytes) -> bytes:
    """What is blinded: 64 bytes that hold context and input."""
    if len(data) > MAX_INPUT:
        raise InvalidError(f"an input has at most {MAX_INPUT} bytes, got {len(data)}")
    return H("voprf/input.", context, data)


def verify_proof(public: bytes, elements: Sequence[Point], partials: Sequence[Point], proof: bytes) -> bool:
    """VerifyProof of the RFC, for a batch."""
    if len(elements) != len(partials) or not elements or len(proof) != 64:
        return False
    try:
        c, s = decode_scalar(proof[:32]), decode_scalar(proof[32:])
        y = Point.decode(public, "verifying key")
    except CodecError:
        return False
    seed = hashlib.sha512(_prefixed(public) + _prefixed(b"Seed-" + CONTEXT)).digest()
    weights = [
        _hash_to_scalar(
            _prefixed(seed) + u16(j) + _prefixed(b.encode()) + _prefixed(d.encode()) + b"Composite"
        )
        for j, (b, d) in enumerate(zip(elements, partials, strict=True))
    ]
    m, z = weighted_sum(weights, elements), weighted_sum(weights, partials)
    t2, t3 = s * B + c * y, s * m + c * z
    points = [public, *(p.encode() for p in (m, z, t2, t3))]
    return _hash_to_scalar(b"".join(map(_prefixed, points)) + b"Challenge") == c


class Batch:
    """Blinded inputs on their way, with the check element if there is more than one."""

    def __init__(self, inputs: Sequence[bytes], blinds: Sequence[int] = (), checks: Sequence[int] = ()):
        """`blinds` and `checks` are for test vectors only; both are secrets, used once."""
        if not 1 <= len(inputs) <= 1023:
            raise InvalidError(f"one request derives from 1 to 1023 inputs, got {len(inputs)}")
        self._inputs = list(inputs)
        self._blinds = list(blinds) or [random_scalar() for _ in inputs]
        self._elements = [r * hash_to_group(x) for r, x in zip(self._blinds, self._inputs, strict=True)]
        self._checks: list[int] = []
        if len(inputs) > 1:
            self._checks = list(checks) or [random_scalar() for _ in inputs]
            self._elements.append(weighted_sum(self._checks, self._elements))
        if any(e.is_identity() for e in self._elements):
            raise InvalidError("the input cannot be blinded; try again")
        self.elements = [e.encode() for e in self._elements]

    def __repr__(self) -> str:
        return f"Batch({len(self._inputs)} inputs)"

    def verify(self, public: Point, partials: Sequence[bytes], proof: bytes | None) -> list[Point] | None:
        """A node's partials, if its proof holds and the check element fits; else `None`: it lies."""
        if len(partials) != len(self._elements) or proof is None:
            return None
        try:
            points = [Point.decode(p, "partial") for p in partials]
        except CodecError:
            return None
        if not verify_proof(public.encode(), self._elements, points, proof):
            return None
        if self._checks:
            *points, check = points
            if weighted_sum(self._checks, points) != check:
                return None
        return points

    def finalize(self, verified: Mapping[int, Sequence[Point]], threshold: int) -> list[bytes]:
        """64 bytes for each input, from the verified partials of exactly `t` nodes of one epoch."""
        if len(verified) != threshold:
            raise ValueError(f"expected the partials of exactly {threshold} nodes, got {len(verified)}")
        indices = sorted(verified)
        weights = lagrange_at_zero(indices)
        outputs = []
        for j, (data, blind) in enumerate(zip(self._inputs, self._blinds, strict=True)):
            combined = weighted_sum(weights, [verified[i][j] for i in indices])
            unblinded = (pow(blind, -1, L) * combined).encode()
            outputs.append(hashlib.sha512(_prefixed(data) + _prefixed(unblinded) + b"Finalize").digest())
        return outputs
