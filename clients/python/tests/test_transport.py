"""The way to a coordinator: who is talked to, and what a hostile one can send."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from quorate import PartyError
from quorate.hashing import Identity
from quorate.transport import Coordinator, certificate_of, key_in
from quorate.v1 import client_pb2

CLIENT = Identity(bytes(range(32)))
SERVER = Identity(secrets.token_bytes(32))
Answer = Callable[[h2.connection.H2Connection, int], None]


class Server:
    """One coordinator on loopback that presents what it is told to, and answers so."""

    def __init__(self, answer: Answer | None = None, *, chain: bool = False, key: Identity | None = SERVER):
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.set_min_proto_version(SSL.TLS1_3_VERSION)
        if key is not None:
            self.context.use_certificate(certificate_of(key))
            self.context.use_privatekey(key.private)
        else:
            self._use_ecdsa()
        if chain:
            self.context.add_extra_chain_cert(certificate_of(CLIENT))
        self.context.set_alpn_select_callback(lambda _, offered: b"h2")
        self.seen: list[bytes | None] = []
        self.requests = 0

        def check(_c: SSL.Connection, certificate: object, _e: int, _d: int, _ok: int) -> bool:
            self.seen.append(key_in(certificate.to_cryptography()))  # type: ignore[attr-defined]
            return True

        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, check)
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _use_ecdsa(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        template = certificate_of(SERVER)
        builder = x509.CertificateBuilder(
            template.issuer, template.subject, key.public_key(), template.serial_number,
            template.not_valid_before_utc, template.not_valid_after_utc,
        )  # fmt: skip
        self.context.use_certificate(builder.sign(key, SHA256()))
        self.context.use_privatekey(key)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self.socket.accept()
            except OSError:
                return
            with contextlib.suppress(SSL.Error, OSError, h2.exceptions.ProtocolError):
                self._one(raw)
            raw.close()

    def _one(self, raw: socket.socket) -> None:
        tls = SSL.Connection(self.context, raw)
        tls.set_accept_state()
        tls.do_handshake()
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http.initiate_connection()
        tls.sendall(http.data_to_send())
        while True:
            for event in http.receive_data(tls.recv(65_536)):
                if isinstance(event, h2.events.RequestReceived):
                    self.requests += 1
                    if self.answer is None:
                        time.sleep(30)
                    else:
                        self.answer(http, event.stream_id)
            tls.sendall(http.data_to_send())


def good(http: h2.connection.H2Connection, stream: int) -> None:
    message = client_pb2.StatusResponse(coordinator="it").SerializeToString()
    framed(b"\0" + len(message).to_bytes(4, "big") + message)(http, stream)


def framed(body: bytes, status: str = "0", text: str = "") -> Answer:
    def answer(http: h2.connection.H2Connection, stream: int) -> None:
        http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        http.send_data(stream, body)
        http.send_headers(stream, [("grpc-status", status), ("grpc-message", text)], end_stream=True)

    return answer


def reset(http: h2.connection.H2Connection, stream: int) -> None:
    http.reset_stream(stream)


def goodbye(http: h2.connection.H2Connection, stream: int) -> None:
    http.close_connection()


def no_utf8(http: h2.connection.H2Connection, stream: int) -> None:
    http.send_headers(stream, [(b":status", b"200"), (b"grpc-status", b"\xff\xfe")], end_stream=True)


def no_grpc(http: h2.connection.H2Connection, stream: int) -> None:
    http.send_headers(stream, [(":status", "404")], end_stream=True)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.socket.close()


def ask(server: Server, expected: bytes = SERVER.public, timeout: float = 5) -> str:
    with contextlib.closing(Coordinator("c", server.address, {expected: "c"}, CLIENT)) as link:
        request = client_pb2.StatusRequest()
        return link.call("Status", request, client_pb2.StatusResponse, timeout).coordinator


def test_the_rosters_key_is_talked_to(servers: list[Server]) -> None:
    servers.append(server := Server(good))
    assert ask(server) == "it"
    assert CLIENT.public in server.seen


def test_another_key_is_not_and_learns_nothing(servers: list[Server]) -> None:
    """Neither a request nor who the client is."""
    servers.append(server := Server(good))
    with pytest.raises(PartyError, match=r"the peer proves .*, expected .*: check the roster"):
        ask(server, Identity(secrets.token_bytes(32)).public)
    assert server.seen == [] and server.requests == 0


def test_a_chain_or_another_kind_of_key_is_refused(servers: list[Server]) -> None:
    servers += [Server(good, chain=True), Server(good, key=None)]
    for server in servers:
        with pytest.raises(PartyError):
            ask(server)
        assert server.requests == 0


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (framed(b""), "no single uncompressed"),
        (framed(b"\1\0\0\0\0"), "no single uncompressed"),
        (framed(b"\0\0\0\0\5abc"), "no single uncompressed"),
        (framed(b"\0\xff\xff\xff\xff"), "no single uncompressed"),
        (framed(b"\0\0\0\0\1\xff"), "its answer is no StatusResponse"),
        (framed(b"", "5", "no such key"), "not found: no such key"),
        (framed(b"", "14", "a%0Ab%1B[31m" + "x" * 900), r"unavailable: ab\[31mx+$"),
        (framed(b"", "x"), "does not speak gRPC"),
        (no_grpc, "does not speak gRPC"),
        (no_utf8, "does not speak gRPC"),
        (reset, "gave the call up"),
        (goodbye, "closes the connection"),
    ],
)
def test_bad_answers_are_told_in_one_line(servers: list[Server], answer: Answer, says: str) -> None:
    servers.append(server := Server(answer))
    with pytest.raises(PartyError, match=says) as caught:
        ask(server)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_what_a_status_means_is_kept(servers: list[Server]) -> None:
    for status, not_found, unimplemented in (("5", True, False), ("12", False, True), ("14", False, False)):
        servers.append(server := Server(framed(b"", status)))
        with pytest.raises(PartyError) as caught:
            ask(server)
        assert (caught.value.not_found, caught.value.unimplemented) == (not_found, unimplemented)


def test_silence_ends_at_the_deadline(servers: list[Server]) -> None:
    servers.append(server := Server(None))
    started = time.monotonic()
    with pytest.raises(PartyError, match="timed out") as caught:
        ask(server, timeout=0.5)
    assert caught.value.late
    assert time.monotonic() - started < 3


def test_an_endless_answer_is_cut_off(servers: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.transport.MAX_MESSAGE", 1000)
    servers.append(server := Server(framed(bytes(1010))))
    with pytest.raises(PartyError, match="at most 1000 bytes"):
        ask(server)


def test_a_connection_that_was_closed_is_made_again(servers: list[Server]) -> None:
    answers = iter([good, goodbye, good])
    servers.append(server := Server(lambda http, stream: next(answers)(http, stream)))
    link = Coordinator("c", server.address, {SERVER.public: "c"}, CLIENT)
    for _ in range(2):
        link.call("Status", client_pb2.StatusRequest(), client_pb2.StatusResponse, 5)
    link.close()
