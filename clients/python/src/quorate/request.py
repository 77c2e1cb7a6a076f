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
    SUITE_OF,
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
NONCE_BYTES = 16
COMMITMENT_BYTES = 32


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


def encode_header(fingerprint: bytes, key: str, version: int, purpose: str) -> bytes:
    """The header of a ciphertext under a key that decrypts or wraps."""
    name = prefixed(check_key_name(key).encode())
    return b"QRT1" + u16(1) + suite_code(SUITE_OF[purpose]) + fingerprint[:8] + name + u32(version)


@dataclass(frozen=True)
class Head:
    """What a ciphertext says of itself, and what follows by the suite that it names."""

    header: bytes
    key: str
    version: int

    @property
    def raw(self) -> bytes:
        raise NotImplementedError

    @property
    def purpose(self) -> str:
        """What a key must be for that opens it."""
        raise NotImplementedError

    @staticmethod
    def split(front: bytes, fingerprint: bytes) -> EncryptedHead | WrappedHead:
        """The head at the front of a ciphertext; `MAX_HEAD` bytes at hand suffice."""
        r = Reader(front)
        head: EncryptedHead | WrappedHead
        try:
            r.kind("QRT1")
            suite = r.word(SUITES, "suite")
            if suite not in (SUITE_OF["decrypt"], SUITE_OF["wrap"]):
                raise CodecError(f"suite: nothing is encrypted to {suite}")
            cluster, key, version = r.take(8, "cluster prefix"), r.key_name(), r.key_version()
            header = front[: r.used]
            if suite == SUITE_OF["decrypt"]:
                head = EncryptedHead(header, key, version, r.take(KEM_BYTES, "key encapsulation"))
            else:
                nonce = r.take(NONCE_BYTES, "nonce")
                head = WrappedHead(header, key, version, nonce, r.take(COMMITMENT_BYTES, "key commitment"))
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
        return head


@dataclass(frozen=True)
class EncryptedHead(Head):
    """Of a ciphertext to a public key."""

    kem: bytes

    @property
    def raw(self) -> bytes:
        return self.header + self.kem

    @property
    def purpose(self) -> str:
        return "decrypt"


@dataclass(frozen=True)
class WrappedHead(Head):
    """Of what was sealed under a key that wraps."""

    nonce: bytes
    commitment: bytes

    @property
    def raw(self) -> bytes:
        return self.header + self.nonce + self.commitment

    @property
    def purpose(self) -> str:
        return "wrap"


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
    """What the proof of a node's partials binds beside the mathematics."""
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
