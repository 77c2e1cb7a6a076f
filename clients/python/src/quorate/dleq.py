"""Proofs that one logarithm stands behind many pairs: ours, for partial decryptions."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import CodecError
from .group import B, Point, decode_scalar, weighted_sum
from .hashing import H, Hs
from .wire import u32

MAX_PAIRS = 1024


def verify_dleq(
    context: bytes,
    public: Point,
    inputs: Sequence[Point],
    outputs: Sequence[Point],
    proof: bytes,
) -> bool:
    """Whether one `k` has `public = k·B` and `outputs[i] = k·inputs[i]` for all `i`."""
    if len(inputs) != len(outputs) or not 1 <= len(inputs) <= MAX_PAIRS or len(proof) != 64:
        return False
    try:
        c, s = decode_scalar(proof[:32]), decode_scalar(proof[32:])
    except CodecError:
        return False
    encode = Point.encode
    seed = H(
        "dleq/seed.",
        context,
        encode(B),
        encode(public),
        b"".join(map(encode, inputs)),
        b"".join(map(encode, outputs)),
    )
    weights = [1] + [
        int.from_bytes(H("dleq/weight.", seed, u32(i))[:16], "little") for i in range(1, len(inputs))
    ]
    m, z = weighted_sum(weights, inputs), weighted_sum(weights, outputs)
    a, a_bar = s * B + c * public, s * m + c * z
    return Hs("dleq/challenge.", seed, *map(encode, (m, z, a, a_bar))) == c


def verify_partials(
    context: bytes, public: Point, inputs: Sequence[Point], partials: Sequence[bytes], proof: bytes
) -> bool:
    """Whether a node proved that its partials, in order, are `s_i·P` for the `s_i` of its public `Y_i`."""
    try:
        outputs = [Point.decode(p, "partial") for p in partials]
    except CodecError:
        return False
    return verify_dleq(context, public, inputs, outputs, proof)
