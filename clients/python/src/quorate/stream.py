"""STREAM over AES-256-GCM: payloads of any size, in chunks of 64 KiB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import CiphertextError, InvalidError

CHUNK = 65_536
TAG = 16
SEALED = CHUNK + TAG
MAX_CHUNKS = 1 << 32


class Source(Protocol):
    """What can be read from."""

    def read(self, size: int = -1, /) -> bytes: ...


def _nonce(number: int, last: bool) -> bytes:
    if number >= MAX_CHUNKS:
        raise InvalidError("a stream has at most 2^32 chunks (256 TiB)")
    return bytes(7) + number.to_bytes(4, "big") + bytes([last])


def _chunks(reader: Source, size: int) -> Iterator[tuple[bytes, bool]]:
    """Blocks of `size` bytes, each with whether it is the last; an empty input is one empty block."""

    def block() -> bytes:
        data = b""
        while len(data) < size and (more := reader.read(size - len(data))):
            data += more
        return data

    current = block()
    while True:
        following = block() if len(current) == size else b""
        yield current, not following
        if not following:
            return
        current = following


def seal(key: bytes, reader: Source, writer: BinaryIO) -> int:
    """Seals a stream; gives the bytes that were read."""
    cipher, total = AESGCM(key), 0
    for number, (chunk, last) in enumerate(_chunks(reader, CHUNK)):
        writer.write(cipher.encrypt(_nonce(number, last), chunk, None))
        total += len(chunk)
    return total


def open_stream(key: bytes, reader: Source, writer: BinaryIO) -> None:
    """Opens a stream. Writes verified chunks only; ends in an error unless the last was among them."""
    for chunk in _opened(key, reader):
        writer.write(chunk)


class Opener:
    """A stream's plaintext, to be read piece by piece: verified chunks only, and an error, again and again,
    where it is not whole. `b""` is its end and nothing else."""

    def __init__(self, key: bytes, reader: Source):
        self._chunks, self._left = _opened(key, reader), b""
        self._error: CiphertextError | None = None

    def read(self, size: int = -1, /) -> bytes:
        if self._error is not None:
            raise self._error
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return b""
            except CiphertextError as error:
                self._error = error
                raise
        size = len(self._left) if size < 0 else size
        data, self._left = self._left[:size], self._left[size:]
        return data


def _opened(key: bytes, reader: Source) -> Iterator[bytes]:
    cipher = AESGCM(key)
    for number, (chunk, last) in enumerate(_chunks(reader, SEALED)):
        if len(chunk) < TAG or (len(chunk) == TAG and number > 0):
            raise CiphertextError("the ciphertext is truncated: its end is missing")
        try:
            plain = cipher.decrypt(_nonce(number, last), chunk, None)
        except InvalidTag:
            raise CiphertextError(_fault(cipher, number, chunk, last)) from None
        yield plain


def _fault(cipher: AESGCM, number: int, chunk: bytes, last: bool) -> str:
    if not last:
        return f"the ciphertext was changed: chunk {number} of its payload does not verify"
    try:
        cipher.decrypt(_nonce(number, False), chunk, None)
    except InvalidTag:
        return f"the ciphertext was truncated or changed: its last chunk ({number}) does not verify"
    return "the ciphertext is truncated: its last chunk is missing"
