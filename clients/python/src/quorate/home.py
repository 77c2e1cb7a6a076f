"""A client's home directory, the same as that of `quorate`: identity, pinned cluster, pins."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import stat
import struct
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .certificate import KeyRecord
from .errors import CodecError, HomeError
from .hashing import H, Identity
from .roster import Cluster, parse_chain
from .wire import Reader, Signed, armor, check_endpoint, u8, u16, unarmor

T = TypeVar("T")

MAX_CONFIG = 64 * 1024
MAX_IDENTITY = 256 * 1024
MAX_ROSTER = 4 * 1024 * 1024
MAX_PIN = 1024 * 1024


@dataclass(frozen=True)
class Pin:
    """A version's public key, for ever, and the records that proved it."""

    public: bytes
    birth: KeyRecord
    newest: KeyRecord | None

    @property
    def number(self) -> int:
        return (self.newest or self.birth).public.epoch.number

    def to_text(self) -> str:
        newest = u8(0) if self.newest is None else u8(1) + self.newest.body()
        return armor("QUORATE PIN", b"QPIN" + u16(2) + self.public + self.birth.body() + newest)

    @classmethod
    def parse(cls, text: str) -> Pin:
        r = Reader(unarmor("QUORATE PIN", text))
        r.kind("QPIN", 2)
        pin = cls(r.take(32, "public key"), KeyRecord.read(r), r.option("newest record", KeyRecord.read))
        r.finish()
        return pin


def state_pin_text(order: Signed) -> str:
    return armor("QUORATE PIN", b"QSPN" + u16(1) + order.to_bytes())


def parse_state_pin(text: str) -> Signed:
    r = Reader(unarmor("QUORATE PIN", text))
    r.kind("QSPN")
    order = Signed.read(r)
    r.finish()
    return order


class Home:
    """`quorate.toml`, `identity.key`, `roster.json` and `pins/`; the roster is verified when it is read."""

    def __init__(self, path: str | os.PathLike[str], passphrase: bytes | None = None):
        self.path = Path(path)
        self.fingerprint, self.coordinators = self._config()
        text = self._read("roster.json", MAX_ROSTER, "ask an operator for the cluster's roster file")
        try:
            chain = parse_chain(text)
        except CodecError as error:
            raise HomeError(f"{self.path / 'roster.json'}: {error}") from None
        self.cluster = Cluster(self.fingerprint, chain)
        self.identity = self._identity(passphrase)

    def __repr__(self) -> str:
        return f"Home({self.path})"

    def _read(self, name: str, most: int, hint: str) -> str:
        path = self.path / name
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            raise HomeError(f"{path} is missing; {hint}") from None
        except OSError as error:
            raise HomeError(f"{path}: {error.strerror}") from None
        if len(data) > most:
            raise HomeError(f"{path} is larger than {most} bytes; is it the right file?")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise HomeError(f"{path}: expected text in UTF-8") from None

    def _config(self) -> tuple[bytes, list[str]]:
        """The pinned fingerprint, and coordinators to use instead of the roster's endpoints."""
        path = self.path / "quorate.toml"
        hint = "name another directory, or make a home with `quorate client keygen`"
        try:
            config = tomllib.loads(self._read("quorate.toml", MAX_CONFIG, hint))
        except tomllib.TOMLDecodeError as error:
            raise HomeError(f"{path}: {error}") from None
        unknown = set(config) - {"fingerprint", "role", "threshold", "coordinators"}
        if unknown:
            raise HomeError(f"{path}: unknown settings: {', '.join(sorted(unknown))}")
        fingerprint = config.get("fingerprint")
        if not isinstance(fingerprint, str) or not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
            raise HomeError(f"{path}: fingerprint: expected 64 lower-case hexadecimal digits")
        if config.get("role") not in ("client", "operator"):
            raise HomeError(f'{path}: role: expected "client" or "operator"')
        coordinators = []
        try:
            for entry in config.get("coordinators", []):
                if set(entry) != {"endpoint"}:
                    raise CodecError("expected an endpoint and nothing else")
                coordinators.append(check_endpoint(entry["endpoint"]))
        except (CodecError, TypeError) as error:
            raise HomeError(f"{path}: coordinators: {error}") from None
        return bytes.fromhex(fingerprint), coordinators

    def _identity(self, passphrase: bytes | None) -> Identity:
        path = self.path / "identity.key"
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise HomeError(f"{path} may be read by others (mode {mode:03o}); run: chmod 600 {path}")
        hint = "it cannot be made again: restore it, or make a new home and have it granted"
        text = self._read("identity.key", MAX_IDENTITY, hint)
        sealed = text.lstrip().startswith("-----BEGIN QUORATE SEALED IDENTITY-----")
        try:
            if sealed and passphrase is None:
                raise CodecError("the identity key is sealed: a passphrase is needed to open it")
            if not sealed and passphrase is not None:
                raise CodecError("the identity key is not sealed, but a passphrase was given")
            if passphrase is not None:
                data = open_envelope(
                    passphrase, b"quorate identity key", unarmor("QUORATE SEALED IDENTITY", text)
                )
            else:
                data = unarmor("QUORATE PRIVATE IDENTITY", text)
            r = Reader(data)
            r.kind("QIDN")
            seed = r.take(32, "identity seed")
            r.finish()
        except CodecError as error:
            raise HomeError(f"{path}: {error}") from None
        return Identity(seed)

    def write_roster(self, cluster: Cluster) -> None:
        self._replace(self.path / "roster.json", cluster.to_text())

    def _pin_path(self, name: str, what: int | str) -> Path:
        return self.path / "pins" / f"{name.replace('/', '%')}@{what}"

    def _pinned(self, name: str, what: int | str, parse: Callable[[str], T]) -> T | None:
        path = self._pin_path(name, what)
        if not path.exists():
            return None
        try:
            return parse(self._read(f"pins/{path.name}", MAX_PIN, ""))
        except CodecError as error:
            raise HomeError(
                f"{path}: {error}; if you know why, remove the file and the key is pinned anew"
            ) from None

    def _put(self, name: str, what: int | str, text: str) -> None:
        (self.path / "pins").mkdir(mode=0o700, exist_ok=True)
        self._replace(self._pin_path(name, what), text)

    def pin(self, name: str, version: int) -> Pin | None:
        return self._pinned(name, version, Pin.parse)

    def put_pin(self, pin: Pin) -> None:
        self._put(pin.birth.public.key, pin.birth.public.version, pin.to_text())

    def state_pin(self, name: str) -> Signed | None:
        """The newest order about how a key is that was seen."""
        return self._pinned(name, "state", parse_state_pin)

    def put_state_pin(self, name: str, order: Signed) -> None:
        self._put(name, "state", state_pin_text(order))

    def alias_pin(self, alias: str) -> Signed | None:
        """The order that made an alias mean a key when it was last used."""
        return self._pinned(alias, "alias", parse_state_pin)

    def put_alias_pin(self, alias: str, order: Signed) -> None:
        self._put(alias, "alias", state_pin_text(order))

    def newest_pin(self, name: str) -> int | None:
        """The highest version of a key that is pinned."""
        prefix = f"{name.replace('/', '%')}@"
        try:
            names = os.listdir(self.path / "pins")
        except FileNotFoundError:
            return None
        rests = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
        return max((int(v) for v in rests if re.fullmatch(r"[1-9][0-9]{0,9}", v)), default=None)

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        """Written beside it, synced, renamed: a crash leaves the old content or the new."""
        beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with beside.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise HomeError(f"{path}: {error.strerror}") from None


def open_envelope(passphrase: bytes, context: bytes, envelope: bytes) -> bytes:
    """A `QENV` under a passphrase; a cost out of bounds is refused before any work is done."""
    if envelope[:7] != b"QENV\x00\x01\x01" or len(envelope) < 7 + 12 + 16 + 24 + 32 + 16:
        raise CodecError("the envelope is damaged, or not under a passphrase")
    memory, passes, lanes = struct.unpack(">III", envelope[7:19])
    floor, ceiling = (64 * 1024, 3, 1), (2 * 1024 * 1024, 16, 4)
    if any(not lo <= v <= hi for lo, v, hi in zip(floor, (memory, passes, lanes), ceiling, strict=True)):
        raise CodecError(
            f"the passphrase is said to be hardened with {memory} KiB, {passes} passes, {lanes} lanes; "
            f"at least {floor} and at most {ceiling} is accepted"
        )
    salt, nonce, commitment = envelope[19:35], envelope[35:59], envelope[59:91]
    derived = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    wide = H("envelope/key.", b"\x01", derived.derive(passphrase), nonce)
    if not hmac.compare_digest(wide[32:], commitment):
        raise CodecError("the envelope does not open: wrong passphrase, or it was changed")
    try:
        # XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key that HChaCha20 derives.
        cipher = ChaCha20Poly1305(_hchacha20(wide[:32], nonce[:16]))
        return cipher.decrypt(bytes(4) + nonce[16:], envelope[91:], envelope[:91] + context)
    except InvalidTag:
        raise CodecError("the envelope does not open: wrong passphrase, or it was changed") from None


def _hchacha20(key: bytes, nonce: bytes) -> bytes:
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = s[x] + s[y] & 0xFFFFFFFF
            v = s[z] ^ s[x]
            s[z] = (v << n | v >> 32 - n) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *s[:4], *s[12:])
