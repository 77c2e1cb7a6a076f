"""gRPC over HTTP/2 over TLS 1.3, to a peer that proves exactly a key of the roster.

Not grpcio: its TLS (BoringSSL) offers no Ed25519 signatures in a handshake, and every Quorate server
has an Ed25519 key and no other. Unary calls of gRPC are small enough to speak them here; the messages
are generated from the project's proto files.

Everything a peer sends is hostile: lengths, headers and texts are limited, and every wait has an end.
"""

from __future__ import annotations

import contextlib
import datetime
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from google.protobuf.message import DecodeError
from OpenSSL import SSL, crypto

from .errors import CodecError, PartyError
from .hashing import Identity, check_public_key

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")
T = TypeVar("T")

#: The largest answer that is read.
MAX_MESSAGE = 16 * 1024 * 1024
MAX_HEADERS = 16 * 1024
NOT_FOUND, LATE, UNIMPLEMENTED = 5, 4, 12
STATUS = {
    3: "invalid argument",
    4: "timed out",
    5: "not found",
    7: "permission denied",
    8: "overloaded",
    9: "failed precondition",
    12: "unimplemented",
    14: "unavailable",
    16: "unauthenticated",
}


class PeerError(Exception):
    """The connection failed; one line for people."""


class LateError(PeerError):
    """The time is over."""

    def __init__(self) -> None:
        super().__init__("timed out")


def certificate_of(identity: Identity) -> x509.Certificate:
    """A self-signed certificate: only the envelope in which TLS carries the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"quorate {identity.public.hex()[:16]}")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(identity.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(1975, 1, 1))
        .not_valid_after(datetime.datetime(4096, 1, 1))
        .sign(identity.private, None)
    )


def key_in(certificate: x509.Certificate) -> bytes | None:
    """The Ed25519 key of a certificate; `None` if it has none, or one that nobody should use."""
    try:
        key = certificate.public_key()
        if not isinstance(key, Ed25519PublicKey):
            return None
        return check_public_key(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    except (CodecError, ValueError, TypeError):
        return None


class TlsStream:
    """A TLS connection on which every wait ends at a deadline."""

    def __init__(self, address: str, allowed: Mapping[bytes, str], identity: Identity, deadline: float):
        host, _, port = address.rpartition(":")
        self._mismatch: str | None = None
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate(certificate_of(identity))
        context.use_privatekey(identity.private)
        context.set_alpn_protos([b"h2"])
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, self._check(allowed))
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), _left(deadline))
        except OSError as error:
            raise PeerError(f"unreachable: {error.strerror or 'no answer in time'}") from None
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = SSL.Connection(context, self._socket)
        self._tls.set_connect_state()  # no server name is told: names decide nothing
        try:
            self._wait(self._tls.do_handshake, deadline)
            try:
                chain = self._tls.get_peer_cert_chain(as_cryptography=True) or []
            except ValueError:
                chain = []
            if len(chain) != 1 or key_in(chain[0]) not in allowed:
                raise PeerError(self._mismatch or "the peer does not prove one Ed25519 key of the roster")
            if self._tls.get_alpn_proto_negotiated() != b"h2":
                raise PeerError("the peer does not speak HTTP/2")
        except BaseException:
            self.close()
            raise

    def _check(
        self, allowed: Mapping[bytes, str]
    ) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
        """Runs within the handshake, before this client shows its own certificate.

        What OpenSSL thinks of issuer, names and dates is of no account, as for the nodes. That the peer
        holds the key, the handshake's signature shows, which OpenSSL checks whatever is said here.
        """

        def check(_: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _ok: int) -> bool:
            try:
                key = key_in(certificate.to_cryptography())
            except ValueError:
                key = None
            if depth == 0 and key in allowed:
                return True
            wanted = " or ".join(k.hex() for k in allowed)
            got = key.hex() if key else "no Ed25519 key"
            self._mismatch = f"the peer proves {got}, expected {wanted}: check the roster and the address"
            return False

        return check

    def _wait(self, work: Callable[[], T], deadline: float) -> T:
        while True:
            try:
                return work()
            except SSL.WantReadError:
                ready = self._ready(select.POLLIN, deadline)
            except SSL.WantWriteError:
                ready = self._ready(select.POLLOUT, deadline)
            except (SSL.Error, OSError) as error:
                raise PeerError(self._mismatch or f"the connection failed ({type(error).__name__})") from None
            if not ready:
                raise LateError

    def _ready(self, event: int, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, event)
        return bool(poll.poll(_left(deadline) * 1000))

    def send(self, data: bytes, deadline: float) -> None:
        while data:
            sent = self._wait(partial(self._tls.send, data), deadline)
            data = data[sent:]

    def receive(self, deadline: float) -> bytes:
        data: bytes = self._wait(lambda: self._tls.recv(65_536), deadline)
        return data

    def close(self) -> None:
        with contextlib.suppress(SSL.Error, OSError):
            self._tls.shutdown()
        self._socket.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise LateError
    return left


class _Connection:
    """One HTTP/2 connection; one call at a time."""

    def __init__(self, address: str, allowed: Mapping[bytes, str], identity: Identity, deadline: float):
        self._stream = TlsStream(address, allowed, identity, deadline)
        self._address = address
        config = h2.config.H2Configuration(client_side=True)
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1024 * 1024,
            },
        )
        self._h2.initiate_connection()
        self._flush(deadline)

    def _flush(self, deadline: float) -> None:
        self._stream.send(self._h2.data_to_send(), deadline)

    def close(self) -> None:
        self._stream.close()

    def call(self, path: str, message: bytes, deadline: float) -> tuple[int, str, bytes]:
        """gRPC status, its text, and the bytes of the one answer."""
        try:
            return self._call(path, message, deadline)
        except h2.exceptions.H2Error:
            raise PeerError("the peer breaks the rules of HTTP/2") from None

    def _call(self, path: str, message: bytes, deadline: float) -> tuple[int, str, bytes]:
        stream = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path),
            (":authority", self._address),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{max(1, int(_left(deadline) * 1000))}m"),
            ("user-agent", "quorate-python"),
        ]
        self._h2.send_headers(stream, headers)
        out = b"\0" + len(message).to_bytes(4, "big") + message
        body, answer, ended = bytearray(), {}, False
        while not ended:
            while out and (room := min(self._h2.local_flow_control_window(stream), 1 << 14)) > 0:
                self._h2.send_data(stream, out[:room], end_stream=len(out) <= room)
                out = out[room:]
            self._flush(deadline)
            data = self._stream.receive(deadline)
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    raise PeerError("the peer closes the connection")
                if getattr(event, "stream_id", stream) != stream:
                    continue
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    answer.update({_text(n): _text(v) for n, v in event.headers or []})
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                    if len(body) > MAX_MESSAGE + 5:
                        raise PeerError(f"an answer has at most {MAX_MESSAGE} bytes")
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                elif isinstance(event, h2.events.StreamReset):
                    raise PeerError("the peer gave the call up")
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
        self._flush(deadline)
        return _unframe(answer, bytes(body))


def _text(header: bytes | str) -> str:
    return header if isinstance(header, str) else header.decode("utf-8", "replace")


def _unframe(headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
    status = headers.get("grpc-status", "")
    if headers.get(":status") != "200" or not status.isascii() or not status.isdigit() or len(status) > 3:
        raise PeerError("the peer does not speak gRPC")
    if status != "0":
        return int(status), printable(unquote(headers.get("grpc-message", ""))), b""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise PeerError("the peer's answer is no single uncompressed gRPC message")
    return 0, "", body[5:]


def printable(text: str, most: int = 200) -> str:
    """A peer's word, short and without control characters."""
    return "".join(c for c in text[: 4 * most] if c.isprintable())[:most]


class Coordinator:
    """One coordinator at one address, and the roster's keys that it may prove."""

    def __init__(self, party: str, address: str, allowed: Mapping[bytes, str], identity: Identity):
        self.party, self.address = party, address
        self._allowed, self._identity = dict(allowed), identity
        self._connection: _Connection | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Coordinator({self.party})"

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, request: Message, answer: type[M], timeout: float) -> M:
        """A unary call of the service `quorate.v1.Keys`."""
        deadline = time.monotonic() + timeout
        data, path = request.SerializeToString(), f"/quorate.v1.Keys/{method}"
        with self._lock:
            try:
                status, text, body = self._try(path, data, deadline)
            except PeerError as error:
                raise PartyError(self.party, str(error), late=isinstance(error, LateError)) from None
        if status != 0:
            what = STATUS.get(status, f"failed (gRPC status {status})")
            raise PartyError(
                self.party,
                f"{what}: {text}",
                not_found=status == NOT_FOUND,
                late=status == LATE,
                unimplemented=status == UNIMPLEMENTED,
            )
        try:
            return answer.FromString(body)
        except DecodeError:
            raise PartyError(self.party, f"its answer is no {answer.DESCRIPTOR.name}") from None

    def _try(self, path: str, data: bytes, deadline: float) -> tuple[int, str, bytes]:
        if self._connection is not None:
            try:
                return self._connection.call(path, data, deadline)
            except PeerError:
                self._drop()  # perhaps idle for too long: once more on a new one. Requests are idempotent.
                _left(deadline)
        self._connection = _Connection(self.address, self._allowed, self._identity, deadline)
        try:
            return self._connection.call(path, data, deadline)
        except BaseException:
            self._drop()
            raise
