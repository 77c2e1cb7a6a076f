"""FROST(Ed25519, SHA-512) of RFC 9591, the client's part: docs/protocol/frost.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .edwards import BASE, EdwardsPoint, verify_ed25519
from .errors import CodecError, InvalidError
from .group import L, decode_scalar, encode_scalar, weighted_sum
from .sharing import lagrange_at_zero, verifying_key
from .wire import MAX_COMMITTEE, Epoch, listed, prefixed, u16

CONTEXT = b"FROST-ED25519-SHA512-v1"
#: The longest message that is signed as it is.
MAX_MESSAGE = 1024
#: The most pairs that one request draws.
MAX_NONCES = 256
#: 32-byte words of an answer for each pair.
WORDS = 3


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def _to_scalar(digest: bytes) -> int:
    return int.from_bytes(digest, "little") % L


@dataclass(frozen=True)
class NonceCommitments:
    """`D ‖ E` of one nonce pair, decoded."""

    raw: bytes
    hiding: EdwardsPoint
    binding: EdwardsPoint

    @classmethod
    def parse(cls, raw: bytes) -> NonceCommitments:
        if len(raw) != 64:
            raise CodecError(f"nonce commitments: expected 64 bytes, got {len(raw)}")
        hiding, binding = (EdwardsPoint.decode(half, "nonce commitment") for half in (raw[:32], raw[32:]))
        return cls(raw, hiding, binding)


@dataclass(frozen=True)
class Drawn:
    """A nonce pair of a node: its name there, and its commitments. It serves one signature."""

    handle: bytes
    commitments: NonceCommitments

    def signer(self, node: int) -> bytes:
        """As it stands in a `QSGN`."""
        return u16(node) + self.handle + self.commitments.raw


def read_drawn(words: Sequence[bytes]) -> list[Drawn]:
    """What a node answers to a `QNON`: handle and eight zeros, hiding, binding, for each pair."""
    if len(words) % WORDS:
        raise CodecError(f"nonces: three words for each pair are expected, got {len(words)} in all")
    drawn = []
    for i in range(0, len(words), WORDS):
        name, hiding, binding = words[i : i + WORDS]
        if name[24:] != bytes(8):
            raise CodecError("handle: must end in eight zeros")
        drawn.append(Drawn(name[:24], NonceCommitments.parse(hiding + binding)))
    if len({one.handle for one in drawn}) != len(drawn):
        raise CodecError("handle: a nonce pair stands twice")
    return drawn


def encode_nonce_order(epoch: Epoch, count: int) -> bytes:
    """The one item of a request with operation `sign-commit`: a `QNON`."""
    return b"QNON" + u16(1) + epoch.to_bytes() + u16(count)


def encode_sign_item(epoch: Epoch, signers: Mapping[int, Drawn], message: bytes) -> bytes:
    """An item of a request with operation `sign`: a `QSGN`."""
    named = [signers[node].signer(node) for node in sorted(signers)]
    return b"QSGN" + u16(1) + epoch.to_bytes() + listed(named) + prefixed(message)


class CheatersError(Exception):
    """These nodes' signature shares are not what their `Y_i` demand: all of them, and no other."""

    def __init__(self, nodes: Sequence[int]):
        super().__init__(f"the signature shares of nodes {list(nodes)} do not verify")
        self.nodes = tuple(nodes)


class SigningSet:
    """A message with the exact set of its signers: all that a share depends on beside the node's secrets."""

    def __init__(self, public_key: bytes, message: bytes, signers: Mapping[int, NonceCommitments]):
        self.public_key, self.message, self.signers = public_key, message, dict(sorted(signers.items()))
        #: `B`: `i ‖ D_i ‖ E_i`, by ascending `i`.
        self.encoded = b"".join(encode_scalar(i) + c.raw for i, c in self.signers.items())
        prefix = public_key + _hash(CONTEXT, b"msg", message) + _hash(CONTEXT, b"com", self.encoded)
        #: `ρ_i = H1(Y ‖ H4(message) ‖ H5(B) ‖ i)`
        self.factors = {i: _to_scalar(_hash(CONTEXT, b"rho", prefix, encode_scalar(i))) for i in self.signers}
        commitments = list(self.signers.values())
        #: `R = Σ D_i + ρ_i·E_i`
        bound = weighted_sum(self.factors.values(), [c.binding for c in commitments])
        for c in commitments:
            bound = bound + c.hiding
        self.commitment = bound.encode()
        #: `c = H2(R ‖ Y ‖ message)`
        self.challenge = _to_scalar(_hash(self.commitment, public_key, message))
        self.weights = dict(zip(self.signers, lagrange_at_zero(list(self.signers)), strict=True))

    def verify_share(self, node: int, share: bytes, public: EdwardsPoint) -> bool:
        """`z_i·B = D_i + ρ_i·E_i + c·λ_i·Y_i`; what is no scalar fails too."""
        try:
            z = decode_scalar(share, "signature share")
        except CodecError:
            return False
        known = self.signers[node]
        right = weighted_sum(
            [1, self.factors[node], self.challenge * self.weights[node]],
            [known.hiding, known.binding, public],
        )
        return z * BASE == right


def aggregate(
    signing: SigningSet, shares: Mapping[int, bytes], threshold: int, commitments: Sequence[EdwardsPoint]
) -> bytes:
    """`R ‖ Σ z_i` (§5.3), verified strictly under `Y`. If it does not verify, every share is, by itself.

    Two that cheat so that their errors cancel have signed the message between them, and harm nobody.
    """
    if list(signing.signers) != sorted(shares) or not threshold <= len(shares) <= MAX_COMMITTEE:
        raise ValueError(f"expected one share of each of at least {threshold} signers, got {len(shares)}")
    if signing.public_key != commitments[0].encode():
        raise ValueError("the set is of another public key")
    values = [int.from_bytes(share, "little") for share in shares.values()]
    signature = signing.commitment + encode_scalar(sum(values))
    if all(v < L for v in values) and verify_ed25519(signing.public_key, signing.message, signature):
        return signature
    cheaters = [
        node
        for node, share in sorted(shares.items())
        if not signing.verify_share(node, share, verifying_key(commitments, node))
    ]
    if not cheaters:
        raise InvalidError("alarm: verified signature shares make no valid signature (a bug)")
    raise CheatersError(cheaters)
