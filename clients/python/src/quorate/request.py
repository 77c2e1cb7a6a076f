"""What goes to the nodes: contexts, ciphertext heads, signed requests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import (
    CiphertextError,
    CodecError,
    InvalidError,
    KindError,
    TruncatedError,
    VersionError,
)
from .hashing import H32, Identity, merkle_root
from .tdh2 import KEM_BYTES
from .wire import (
    SUITES,
    Reader,
    check_key_name,
    operation_code,
    prefixed,
    purpose_code,
    suite_code,
    u8,
    u16,
    u32,
    u64,
)

MAX_HEAD = 6 + 1 + 8 + 4 + 128 + 4 + KEM_BYTES


def encode_context(context: Mapping[str, str] | None) -> bytes:
    """An encryption context's canonical bytes: names ascending by their UTF-8."""
    pairs = []
    for name, value in (context or {}).items():
        try:
            pairs.append((name.encode(), value.encode()))
        except UnicodeEncodeError:
            raise InvalidError("encryption context: names and values must be valid Unicode") from None
    pairs.sort()
    if len(pairs) > 32:
        raise InvalidError(f"encryption context: at most 32 pairs, got {len(pairs)}")
    for raw, text in pairs:
        if not raw or max(len(raw), len(text)) > 1024:
            raise InvalidError(
                "encryption context: a name has 1 to 1024 bytes, a value at most 1024, in UTF-8"
            )
    data = u16(len(pairs)) + b"".join(prefixed(n) + prefixed(v) for n, v in pairs)
    if len(data) > 8192:
        raise InvalidError(f"encryption context: at most 8192 bytes in all, got {len(data)}")
    return data


def encode_header(fingerprint: bytes, key: str, version: int) -> bytes:
    """A ciphertext's header, for the one suite that encrypts."""
    name = prefixed(check_key_name(key).encode())
    return b"QRT1" + u16(1) + suite_code("tdh2-ristretto255") + fingerprint[:8] + name + u32(version)


@dataclass(frozen=True)
class Head:
    """What a ciphertext says of itself, and its encapsulation."""

    header: bytes
    key: str
    version: int
    kem: bytes

    @property
    def raw(self) -> bytes:
        return self.header + self.kem

    @classmethod
    def split(cls, front: bytes, fingerprint: bytes) -> Head:
        """The head at the front of a ciphertext; `MAX_HEAD` bytes at hand suffice."""
        r = Reader(front)
        try:
            r.kind("QRT1")
            suite = r.word(SUITES, "suite")
            if suite != "tdh2-ristretto255":
                raise CodecError(f"suite: nothing is encrypted to {suite}")
            cluster, key, version = r.take(8, "cluster prefix"), r.key_name(), r.key_version()
            header = front[: r.used]
            kem = r.take(KEM_BYTES, "key encapsulation")
        except KindError:
            raise CiphertextError("this is no Quorate ciphertext: it does not begin with QRT1") from None
        except VersionError as error:
            raise CiphertextError(str(error)) from None
        except TruncatedError:
            if front[:4] != b"QRT1"[: len(front[:4])] or not front:
                raise CiphertextError("this is no Quorate ciphertext: it does not begin with QRT1") from None
            raise CiphertextError("the ciphertext is truncated: its head is not whole") from None
        except CodecError as error:
            raise CiphertextError(f"the ciphertext was changed: {error}") from None
        if cluster != fingerprint[:8]:
            raise CiphertextError(
                f"the ciphertext is of another cluster ({cluster[:4].hex()}, this is {fingerprint[:4].hex()})"
            )
        return cls(header, key, version, kem)


@dataclass(frozen=True)
class SignedRequest:
    head: bytes
    signature: bytes
    hash: bytes


def sign_request(
    identity: Identity,
    fingerprint: bytes,
    *,
    now: int,
    ttl: int,
    key: str,
    version: int,
    operation: str,
    context: bytes,
    reply_key: bytes,
    prove: bool,
    items: Sequence[bytes],
    request_id: bytes | None = None,
) -> SignedRequest:
    """A `QREQ` under the client's signature."""
    head = (
        b"QREQ"
        + u16(1)
        + (request_id or secrets.token_bytes(16))
        + u64(now)
        + u32(ttl)
        + identity.public
        + prefixed(key.encode())
        + u32(version)
        + operation_code(operation)
        + context
        + reply_key
        + u8(prove)
        + u16(len(items))
        + merkle_root(list(items))
    )
    signature = identity.sign("sig/request.", fingerprint, head)
    return SignedRequest(head, signature, H32("request/hash.", fingerprint, head))


def partial_context(
    fingerprint: bytes,
    key: str,
    version: int,
    purpose: str,
    suite: str,
    epoch: bytes,
    node: int,
    identity: bytes,
    request: bytes,
) -> bytes:
    """What the proof of a node's partial decryptions binds beside the mathematics."""
    return H32(
        "partial/context.",
        fingerprint
        + prefixed(key.encode())
        + u32(version)
        + suite_code(suite)
        + purpose_code(purpose)
        + epoch
        + u16(node)
        + identity
        + request,
    )
