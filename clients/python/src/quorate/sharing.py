"""Verifying keys from commitments, and combination by Lagrange's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .group import C, L, Point, weighted_sum


def verifying_key(commitments: Sequence[C], index: int) -> C:
    """`Y_i = Σ i^k·C_k`, by Horner's rule."""
    *rest, total = commitments
    for commitment in reversed(rest):
        total = index * total + commitment
    return total


def lagrange_at_zero(indices: Sequence[int]) -> list[int]:
    """`λ_i = Π j/(j − i)` over distinct indices."""
    if len(set(indices)) != len(indices) or any(not 1 <= i <= 65535 for i in indices):
        raise ValueError("indices must be distinct and 1 to 65535")
    weights = []
    for i in indices:
        weight = 1
        for j in indices:
            if j != i:
                weight = weight * j * pow(j - i, -1, L) % L
        weights.append(weight)
    return weights


def combine(partials: Mapping[int, bytes], threshold: int) -> Point:
    """`Σ λ_i·D_i` over exactly `t` nodes of one epoch. `CodecError` if one is no point."""
    if len(partials) != threshold:
        raise ValueError(f"expected the partials of exactly {threshold} nodes, got {len(partials)}")
    indices = sorted(partials)
    points = [Point.decode(partials[i], f"partial of node {i}") for i in indices]
    return weighted_sum(lagrange_at_zero(indices), points)
