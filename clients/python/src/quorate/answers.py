"""Reading what nodes answer: sealed answers are opened, refusals verified.

Whatever does not verify counts for nothing: whose fault it is, nobody can tell.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .errors import CodecError
from .hashing import PREFIX, verify
from .orders import DAY, Committee
from .wire import Epoch, Reader, u16, u64

MAX_ITEMS = 1024
MAX_SEALED = 32 * MAX_ITEMS + 256
CLOCK_SLACK = 5 * 60 * 1000
MAX_SESSIONS = 1024

#: Reasons of refusals.
REASONS = {
    1: "the key or version is not known",
    2: "the key is not granted to this client",
    3: "the grant has expired",
    4: "the client is not known or was revoked",
    5: "the request's time is outside the node's clock window",
    6: "the request has expired",
    7: "the request id was used before",
    8: "the key's purpose does not allow this operation",
    9: "an item is not what the operation takes: a valid ciphertext under this key and encryption context, "
    "a blinded element, a nonce, or a message with an exact set of signers and their commitments",
    10: "the items do not match the signed request",
    11: "the node holds no active share of the key",
    12: "the node remembers too many requests at present",
    13: "a nonce pair in the request is not kept here: it was used, is too old, or of an earlier start or "
    "epoch",
    14: "too many unused nonce pairs wait here; use them, or ask again in ten minutes",
    15: "the key or this version of it is disabled; operators can enable it again",
    16: "the key waits for its deletion; operators can still cancel it",
    17: "the key was deleted: this node has destroyed all that it held of it",
    18: "a newer version of the key signs since; sign with that: this one's signatures go on verifying",
}
INVALID_ITEM, ITEMS_MISMATCH, NO_SHARE, BUSY, NONCE_GONE, TOO_MANY_NONCES = 9, 10, 11, 12, 13, 14
OLDER_VERSION = 18
#: These say that the node cannot; all others are decisions against the request.
CANNOT = frozenset((NO_SHARE, BUSY, NONCE_GONE, TOO_MANY_NONCES))

# HPKE (RFC 9180), mode Auth, with the suite of docs/protocol/answers.md.
_KEM, _SUITE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes) -> bytes:
    """32 bytes."""
    return hmac.digest(prk, b"\x00\x20HPKE-v1" + suite + label + info + b"\x01", "sha256")


def session_key(reply: X25519PrivateKey, answer_public: bytes, encapsulated: bytes, info: bytes) -> bytes:
    """SetupAuthR, then the exported key. `ValueError` for keys of small order."""
    ephemeral = reply.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    static = reply.exchange(X25519PublicKey.from_public_bytes(answer_public))
    mine = reply.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    prk = _extract(_KEM, b"", b"eae_prk", ephemeral + static)
    shared = _expand(_KEM, prk, b"shared_secret", encapsulated + mine + answer_public)
    context = b"\x02" + _extract(_SUITE, b"", b"psk_id_hash", b"")
    context += _extract(_SUITE, b"", b"info_hash", PREFIX + b"answer/info." + info)
    exporter = _expand(_SUITE, _extract(_SUITE, shared, b"secret", b""), b"exp", context)
    return _expand(_SUITE, exporter, b"sec", PREFIX + b"answer/key.")


def open_sealed(key: bytes, counter: int, aad: bytes, sealed: bytes) -> bytes:
    return ChaCha20Poly1305(key).decrypt(bytes(4) + u64(counter), sealed, aad)


@dataclass(frozen=True)
class Answer:
    """Partials of one epoch's share, sealed by the node itself. They are secrets."""

    node: int
    epoch: Epoch
    partials: tuple[bytes, ...] = field(repr=False)
    proof: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Refusal:
    node: int
    reason: int
    item: int | None


class Unverified(Exception):
    """What a coordinator brought in a node's name does not verify."""


@dataclass(frozen=True)
class Expected:
    """What a reply must speak of."""

    fingerprint: bytes
    committee: Committee
    request: bytes
    now: int


def parse_answer(data: bytes) -> tuple[tuple[bytes, ...], bytes | None]:
    """A `QPAR`: partials and proof."""
    r = Reader(data)
    r.kind("QPAR")
    partials = tuple(r.many(MAX_ITEMS, "partials", lambda r: r.take(32, "partial")))
    proof = r.option("proof", lambda r: r.take(64, "proof"))
    r.finish()
    return partials, proof


class AnswerBook:
    """Reads answers with this process's reply key. Sessions are kept: a card is verified once."""

    def __init__(self, client: bytes):
        self._reply, self._client = X25519PrivateKey.generate(), client
        self._sessions: dict[bytes, bytes] = {}

    @property
    def reply_key(self) -> bytes:
        return self._reply.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def __repr__(self) -> str:
        return "AnswerBook(…)"

    def read_sealed(self, claimed: int, data: bytes, expected: Expected) -> Answer:
        """A `QANS`, opened. `claimed` is what the coordinator calls the node."""
        r = Reader(data)
        try:
            r.kind("QANS")
            start = r.used
            node, public = r.index(), r.take(32, "answer key")
            not_before, not_after = r.u64("not before"), r.u64("not after")
            body = data[start : r.used]
            signature = r.take(64, "signature")
            if not_after > not_before + DAY:
                raise CodecError("answer key: lives at most one day")
            card = data[start : r.used]
            request, epoch = r.hash32("request"), r.epoch()
            encapsulated, counter = r.take(32, "encapsulated key"), r.u64("counter")
            sealed = r.blob(MAX_SEALED, "sealed answer")
            r.finish()
        except CodecError:
            raise Unverified("is no answer") from None
        if request != expected.request:
            raise Unverified("answers another request")
        if expected.now + CLOCK_SLACK < not_before or not_after + CLOCK_SLACK < expected.now:
            raise Unverified("is sealed under an answer key that is not valid now; check the clocks")
        identity = expected.committee.identity(node)
        if identity is None:
            raise Unverified("is of a node that holds no share of this key")
        # The identity is part of the name: a session of one committee's node is not another's.
        session = expected.fingerprint + identity + card + encapsulated
        key = self._sessions.get(session)
        if key is None:
            if not verify(identity, "sig/answer-key.", expected.fingerprint, body, signature):
                raise Unverified("is sealed under a key that the node does not vouch for")
            info = PREFIX + b"answer/info." + expected.fingerprint + u16(node) + self._client
            try:
                key = session_key(self._reply, public, encapsulated, info)
            except ValueError:
                raise Unverified("is sealed under a key of small order") from None
            if len(self._sessions) >= MAX_SESSIONS:
                self._sessions.clear()
            self._sessions[session] = key
        aad = request + u16(node) + epoch.to_bytes()
        try:
            plain = open_sealed(key, counter, aad, sealed)
        except InvalidTag:
            raise Unverified("does not open: it was changed, or sealed for somebody else") from None
        try:
            partials, proof = parse_answer(plain)
        except CodecError:
            raise Unverified("holds no partials") from None
        if node != claimed:
            raise Unverified("is another node's answer")
        return Answer(node, epoch, partials, proof)

    def read_refusal(self, claimed: int, data: bytes, expected: Expected) -> Refusal:
        """A `QREF`, verified."""
        r = Reader(data)
        try:
            r.kind("QREF")
            start = r.used
            node, request = r.index(), r.hash32("request")
            r.u64("at")
            reason = r.u16("reason")
            item = r.option("item", lambda r: r.u16("item"))
            body = data[start : r.used]
            signature = r.take(64, "signature")
            r.finish()
            if reason not in REASONS:
                raise CodecError(f"refusal reason: {reason} is not known here")
        except CodecError:
            raise Unverified("is no refusal") from None
        identity = expected.committee.identity(node)
        if identity is None:
            raise Unverified("is of a node that holds no share of this key")
        if not verify(identity, "sig/refusal.", expected.fingerprint, body, signature):
            raise Unverified("is a refusal that the node did not sign")
        if request != expected.request:
            raise Unverified("refuses another request")
        if node != claimed:
            raise Unverified("is another node's answer")
        return Refusal(node, reason, item)
