"""A quorum evaluates a clear nonce, and what comes out keys AES-256-GCM once: docs/protocol/wrap.md."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import CiphertextError
from .group import Point
from .hashing import H
from .request import NONCE_BYTES
from .voprf import hash_to_group
from .wire import u32

TAG_BYTES = 16
#: The longest plaintext that is wrapped as it is.
MAX_WRAP = 64 * 1024


def draw_nonce(plaintext: bytes, other_data: bytes) -> bytes:
    """Hashed with the plaintext, so that a broken generator does not seal two of them under one key."""
    return H("wrap/nonce.", secrets.token_bytes(32), plaintext, other_data)[:NONCE_BYTES]


class CommitmentError(Exception):
    """The one-time key is not the one that was committed to: a bad ciphertext, or a liar."""


@dataclass(frozen=True)
class OneTimeKey:
    """The key of one wrapping, and the commitment to it."""

    key: bytes = field(repr=False)
    commitment: bytes

    def committed(self, commitment: bytes) -> bytes:
        """The key, if it is the one that was committed to. Compared in constant time."""
        if not hmac.compare_digest(self.commitment, commitment):
            raise CommitmentError
        return self.key

    def seal(self, plaintext: bytes, other_data: bytes) -> bytes:
        """Ciphertext and tag. The zero nonce is safe: the key serves once."""
        return AESGCM(self.key).encrypt(bytes(12), plaintext, other_data)

    def open(self, sealed: bytes, other_data: bytes) -> bytes:
        """Of a key whose partials were all proved: AES-GCM commits to no key."""
        try:
            return AESGCM(self.key).decrypt(bytes(12), sealed, other_data)
        except InvalidTag:
            raise CiphertextError(
                "the ciphertext was changed, or wrapped under another encryption context, another key or "
                "other data"
            ) from None


@dataclass(frozen=True)
class Scope:
    """What wrappings are bound to. Not the epoch: a ciphertext outlives the rotation of shares."""

    fingerprint: bytes
    key: str
    version: int
    label: bytes

    def _parts(self) -> tuple[bytes, bytes, bytes]:
        return self.fingerprint, self.key.encode(), u32(self.version)

    def point(self, nonce: bytes) -> Point:
        """What every node hashes the nonce to, and multiplies."""
        return hash_to_group(H("wrap/input.", *self._parts(), self.label, nonce))

    def one_time_key(self, header: bytes, nonce: bytes, shared: Point) -> OneTimeKey:
        wide = H("wrap/dem.", *self._parts(), header, self.label, nonce, shared.encode())
        return OneTimeKey(wide[:32], wide[32:])


def split_wrapped(wrapped: bytes) -> tuple[bytes, bytes]:
    """Nonce, and ciphertext with tag."""
    least = NONCE_BYTES + TAG_BYTES
    if not least <= len(wrapped) <= least + MAX_WRAP:
        raise CiphertextError(
            f"something wrapped has {least} to {least + MAX_WRAP} bytes, got {len(wrapped)}: it is "
            "truncated or extended, or no wrapping"
        )
    return wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
