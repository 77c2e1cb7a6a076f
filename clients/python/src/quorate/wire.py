"""The canonical codec: a value has one encoding, and a reader refuses every other."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import CodecError, KindError, TruncatedError, VersionError
from .hashing import check_public_key, verify

T = TypeVar("T")

MAX_COMMITTEE = 64
MAX_BODY = 64 * 1024
MAX_SIGNATURES = 64
MAX_TEXT = 4 * 1024 * 1024


class Reader:
    """Reads from the front; never allocates by a claimed length."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    @property
    def used(self) -> int:
        return self._at

    def take(self, n: int, what: str) -> bytes:
        if n > len(self._data) - self._at:
            raise TruncatedError(f"{what}: the input ends too early")
        self._at += n
        return self._data[self._at - n : self._at]

    def uint(self, n: int, what: str) -> int:
        return int.from_bytes(self.take(n, what), "big")

    def u8(self, what: str) -> int:
        return self.uint(1, what)

    def u16(self, what: str) -> int:
        return self.uint(2, what)

    def u32(self, what: str) -> int:
        return self.uint(4, what)

    def u64(self, what: str) -> int:
        return self.uint(8, what)

    def flag(self, what: str) -> bool:
        value = self.u8(what)
        if value > 1:
            raise CodecError(f"{what}: expected 0 or 1, got {value}")
        return value == 1

    def blob(self, most: int, what: str) -> bytes:
        got = self.u32(what)
        if got > most:
            raise CodecError(f"{what}: at most {most} allowed, got {got}")
        return self.take(got, what)

    def text(self, most: int, what: str) -> str:
        try:
            return self.blob(most, what).decode()
        except UnicodeDecodeError:
            raise CodecError(f"{what}: must be UTF-8") from None

    def many(self, most: int, what: str, read: Callable[[Reader], T]) -> list[T]:
        got = self.u16(what)
        if got > most:
            raise CodecError(f"{what}: at most {most} allowed, got {got}")
        return [read(self) for _ in range(got)]

    def option(self, what: str, read: Callable[[Reader], T]) -> T | None:
        return read(self) if self.flag(what) else None

    def kind(self, letters: str, version: int = 1) -> None:
        if self.take(4, "format kind") != letters.encode():
            raise KindError(f"expected format {letters}, got other bytes")
        got = self.u16("format version")
        if got != version:
            raise VersionError(
                f"format {letters} version {got} is not known here (known: {version}); update this client"
            )

    def finish(self) -> None:
        left = len(self._data) - self._at
        if left:
            raise CodecError(f"{left} bytes follow the value; expected its end")

    # Small types.

    def name(self) -> str:
        return check_name(self.text(64, "a name"))

    def key_name(self) -> str:
        return check_key_name(self.text(128, "a key name"))

    def provider(self) -> str:
        text = self.text(64, "a provider")
        if not re.fullmatch(r"[ -~]+", text) or text != text.strip(" ") or '"' in text or "\\" in text:
            raise CodecError("a provider: 1 to 64 printable ASCII characters without quotes")
        return text

    def jurisdiction(self) -> str:
        text = self.text(2, "a jurisdiction")
        if not re.fullmatch(r"[A-Z]{2}", text):
            raise CodecError("a jurisdiction: expected a two-letter country code such as DE")
        return text

    def endpoint(self) -> str:
        return check_endpoint(self.text(262, "an endpoint"))

    def index(self) -> int:
        return _at_least_one(self.u16("node index"), "node index")

    def key_version(self) -> int:
        return _at_least_one(self.u32("key version"), "key version")

    def hash32(self, what: str = "hash") -> bytes:
        return self.take(32, what)

    def public_key(self, what: str = "public key") -> bytes:
        return check_public_key(self.take(32, what), what)

    def epoch(self) -> Epoch:
        return Epoch(_at_least_one(self.u64("epoch number"), "epoch number"), self.hash32("bundle"))

    def word(self, known: dict[int, str], what: str) -> str:
        code = self.u8(what)
        if code not in known:
            raise CodecError(f"{what}: {code} is not known here")
        return known[code]


def _at_least_one(value: int, what: str) -> int:
    if value == 0:
        raise CodecError(f"{what}: must be 1 or more")
    return value


@dataclass(frozen=True, order=True)
class Epoch:
    """Its number only orders; its bundle tells it from every other attempt at that number."""

    number: int
    bundle: bytes

    def to_bytes(self) -> bytes:
        return u64(self.number) + self.bundle

    def __str__(self) -> str:
        return f"{self.number}/{self.bundle.hex()[:8]}"


SUITES = {1: "tdh2-ristretto255", 2: "frost-ed25519", 3: "voprf-ristretto255"}
PURPOSES = {1: "decrypt", 2: "sign", 3: "derive", 4: "wrap"}
#: Each for the purpose of its name; `sign-commit` for `sign`.
OPERATIONS = {1: "decrypt", 2: "sign", 3: "derive", 4: "sign-commit", 5: "wrap"}
#: The suite of a key of each purpose: nothing is allowed across.
SUITE_OF = {
    "decrypt": "tdh2-ristretto255",
    "sign": "frost-ed25519",
    "derive": "voprf-ristretto255",
    "wrap": "voprf-ristretto255",
}
_SUITE_CODE = {text: code for code, text in SUITES.items()}
_PURPOSE_CODE = {text: code for code, text in PURPOSES.items()}
_OPERATION_CODE = {text: code for code, text in OPERATIONS.items()}


def suite_code(suite: str) -> bytes:
    return u8(_SUITE_CODE[suite])


def purpose_code(purpose: str) -> bytes:
    return u8(_PURPOSE_CODE[purpose])


def operation_code(operation: str) -> bytes:
    return u8(_OPERATION_CODE[operation])


def u8(v: int) -> bytes:
    return v.to_bytes(1, "big")


def u16(v: int) -> bytes:
    return v.to_bytes(2, "big")


def u32(v: int) -> bytes:
    return v.to_bytes(4, "big")


def u64(v: int) -> bytes:
    return v.to_bytes(8, "big")


def prefixed(data: bytes) -> bytes:
    """`bytes`: behind the length as a u32."""
    return u32(len(data)) + data


def listed(items: Sequence[bytes]) -> bytes:
    """A list: behind the count as a u16."""
    return u16(len(items)) + b"".join(items)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def check_name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > 64:
        raise CodecError("a name: 1 to 64 letters, digits and . _ -, beginning with a letter or digit")
    return text


def check_key_name(text: str) -> str:
    if not _KEY_NAME.fullmatch(text) or len(text) > 128:
        raise CodecError("a key name: 1 to 128 letters, digits and . _ - /, beginning with a letter or digit")
    return text


def check_endpoint(text: str) -> str:
    host, _, port = text.rpartition(":")
    good = re.fullmatch(r"[1-9][0-9]{0,4}", port) is not None and int(port) < 65536
    if host.startswith("[") and host.endswith("]"):
        try:
            good = good and "%" not in host and bool(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            good = False
    else:
        good = good and _NAME.fullmatch(host) is not None
    if not good or len(text) > 262:
        raise CodecError("an endpoint: expected host:port, for example node-1.example.org:7400")
    return text


def ascending(items: Sequence[T], what: str, key: Callable[[T], Any]) -> None:
    """Refuses a list that is not strictly ascending: one set, one encoding, nobody twice."""
    keys = [key(item) for item in items]
    if any(not a < b for a, b in itertools.pairwise(keys)):
        raise CodecError(f"{what}: must be strictly ascending, without duplicates")


@dataclass(frozen=True)
class Signed:
    """Canonical bytes with signatures, ascending by key. Nothing is verified yet."""

    body: bytes
    signers: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def read(cls, r: Reader) -> Signed:
        body = r.blob(MAX_BODY, "signed body")
        signers = r.many(MAX_SIGNATURES, "signatures", lambda r: (r.public_key(), r.take(64, "signature")))
        ascending(signers, "signatures", lambda s: s[0])
        return cls(body, tuple(signers))

    def to_bytes(self) -> bytes:
        return prefixed(self.body) + listed([key + signature for key, signature in self.signers])

    def count_valid(self, label: str, fingerprint: bytes, allowed: Callable[[bytes], bool]) -> int:
        """How many of the allowed keys have signed the body; each once, by the order of the list."""
        return sum(
            allowed(key) and verify(key, label, fingerprint, self.body, signature)
            for key, signature in self.signers
        )


@dataclass(frozen=True)
class NodeSignature:
    node: int
    signature: bytes

    @classmethod
    def read(cls, r: Reader) -> NodeSignature:
        return cls(r.index(), r.take(64, "signature"))

    def to_bytes(self) -> bytes:
        return u16(self.node) + self.signature


def read_node_signatures(r: Reader, what: str) -> tuple[NodeSignature, ...]:
    signatures = r.many(MAX_COMMITTEE, what, NodeSignature.read)
    ascending(signatures, what, lambda s: s.node)
    return tuple(signatures)


def unarmor(title: str, text: str) -> bytes:
    """The bytes between -----BEGIN title----- and -----END title-----."""
    if len(text) > MAX_TEXT:
        raise CodecError(f"{title}: at most {MAX_TEXT} characters allowed, got {len(text)}")
    begin, end, text = f"-----BEGIN {title}-----", f"-----END {title}-----", text.strip()
    if not text.startswith(begin) or not text.endswith(end) or len(text) < len(begin) + len(end):
        raise CodecError(f"expected a text that begins {begin}")
    body = "".join(text[len(begin) : -len(end)].split())
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise CodecError(f"{title}: the base64 between the lines is damaged") from None
    if base64.b64encode(data).decode() != body:
        raise CodecError(f"{title}: the base64 between the lines is damaged")
    return data


def armor(title: str, data: bytes) -> str:
    body = base64.b64encode(data).decode()
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {title}-----", *lines, f"-----END {title}-----", ""])
