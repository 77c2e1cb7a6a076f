"""Data keys: drawn here, encrypted under a key of the cluster, stored beside what they encrypt."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import CiphertextError

DATA_KEY_BYTES = 32


@dataclass(frozen=True)
class DataKey:
    """A data key and the same encrypted. Never printed."""

    #: To encrypt with, here and now; not to be stored.
    plaintext: bytes = field(repr=False)
    #: To be stored: `Client.unwrap_data_key` gives the plaintext back.
    wrapped: bytes = field(repr=False)


def data_key(plaintext: bytes) -> bytes:
    """What was encrypted as a data key."""
    if len(plaintext) != DATA_KEY_BYTES:
        raise CiphertextError(
            f"it holds {len(plaintext)} bytes, and a data key has {DATA_KEY_BYTES}: decrypt it instead"
        )
    return plaintext
