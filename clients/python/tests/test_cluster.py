"""Against a real cluster: the binaries in the directory that QUORATE_BIN names."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fake import FakeCluster, Link
from nacl.signing import VerifyKey

from quorate import (
    CiphertextError,
    Client,
    HomeError,
    NoQuorumError,
    PartyError,
    RefusedError,
    SignatureError,
    UnknownKeyError,
    WrongPurposeError,
)
from quorate.answers import Answer, AnswerBook
from quorate.group import B, Point, encode_scalar, random_scalar
from quorate.hashing import Identity
from quorate.home import Home, Pin
from quorate.transport import Coordinator
from quorate.v1 import client_pb2

BIN = os.environ.get("QUORATE_BIN")
pytestmark = pytest.mark.skipif(
    not BIN, reason="set QUORATE_BIN to the directory of quorate, quorate-node and quorate-coordinator"
)
CONTEXT = {"app": "crm", "zeile": "grün"}
ARGUMENTS = ["--context", "app=crm", "--context", "zeile=grün"]


class RealCluster:
    """Three of five, on loopback, with a key to decrypt, one to derive, one to sign and one to wrap."""

    def __init__(self, path: Path):
        self.path, self.running = path, {}
        self.run("cluster", "init", "--local", "5", "--threshold", "3", "--dir", str(path))
        self.start("quorate-coordinator", "coordinator")
        for i in range(1, 6):
            self.start("quorate-node", f"node-{i}")
        for key, *purpose in (
            ("demo",),
            ("ids", "--purpose", "derive"),
            ("release", "--suite", "frost-ed25519"),
            ("vault", "--purpose", "wrap"),
        ):
            self.until(lambda key=key, purpose=purpose: self.operator("key", "create", key, *purpose))
        self.home = path / "client"

    def start(self, program: str, home: str) -> None:
        log = (self.path / f"{home}.log").open("ab")
        command = [f"{BIN}/{program}", "run", "--home", str(self.path / home)]
        self.running[home] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self, *homes: str) -> None:
        for home in homes:
            process = self.running.pop(home)
            process.terminate()
            process.wait(20)

    @staticmethod
    def run(*arguments: str, stdin: bytes = b"") -> bytes:
        out = subprocess.run([f"{BIN}/quorate", *arguments], input=stdin, capture_output=True, timeout=60)
        if out.returncode != 0:
            raise RuntimeError(out.stderr.decode())
        return out.stdout

    def operator(self, *arguments: str) -> bytes:
        return self.run("--home", str(self.path / "operator-1"), *arguments)

    def rust(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return self.run("--home", str(self.home), *arguments, stdin=stdin)

    @staticmethod
    def until(work: Any) -> Any:
        """Until nodes have started, or come back."""
        end = time.monotonic() + 60
        while True:
            try:
                return work()
            except (RuntimeError, NoQuorumError, RefusedError, PartyError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    cluster = None
    path = tmp_path_factory.mktemp("cluster")
    try:
        cluster = RealCluster(path)
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop(*list(cluster.running))


@pytest.fixture
def client(cluster: RealCluster) -> Iterator[Client]:
    with Client.open(cluster.home) as client:
        yield client


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_what_one_client_encrypts_the_other_decrypts(cluster: RealCluster, client: Client, size: int) -> None:
    text = secrets.token_bytes(size)
    sealed = client.encrypt("demo", text, CONTEXT)
    assert cluster.rust("decrypt", *ARGUMENTS, stdin=sealed) == text
    assert client.decrypt(sealed, CONTEXT) == text
    sealed = cluster.rust("encrypt", "--key", "demo", *ARGUMENTS, stdin=text)
    assert client.decrypt(sealed, CONTEXT) == text


@pytest.mark.parametrize("size", [0, 200_000])
def test_what_one_client_wraps_the_other_opens(cluster: RealCluster, client: Client, size: int) -> None:
    text = secrets.token_bytes(size)
    sealed = client.encrypt("vault", text, CONTEXT)
    assert cluster.rust("decrypt", *ARGUMENTS, stdin=sealed) == text
    assert client.decrypt(sealed, CONTEXT) == text
    theirs = cluster.rust("encrypt", "--symmetric", "--key", "vault", *ARGUMENTS, stdin=text)
    assert client.decrypt(theirs, CONTEXT) == text and len(theirs) == len(sealed)
    mixed = [sealed, client.encrypt("demo", b"x", CONTEXT), theirs, theirs[:-1]]
    results, report = client.decrypt_batch(mixed, CONTEXT)
    assert results[:3] == [text, b"x", text] and isinstance(results[3], CiphertextError)
    assert report.liars == []
    wrapped = client.wrap("vault", text[:65_536], CONTEXT, other_data=b"volume 7")
    assert client.unwrap("vault", wrapped, CONTEXT, other_data=b"volume 7") == text[:65_536]
    with pytest.raises(CiphertextError):
        client.unwrap("vault", wrapped, CONTEXT)


def test_data_keys_and_ciphertexts_move_between_clients_and_keys(
    cluster: RealCluster, client: Client
) -> None:
    for key, to in (("vault", "demo"), ("demo", "vault")):
        made, report = client.data_keys(key, 3, CONTEXT)
        assert report.liars == []
        for one in made:
            assert cluster.rust("decrypt", *ARGUMENTS, stdin=one.wrapped) == one.plaintext
        lines = cluster.rust("datakey", "--key", key, "--count", "2", *ARGUMENTS).splitlines()
        for line in map(json.loads, lines):
            plaintext, wrapped = (base64.b64decode(line[name]) for name in ("plaintext", "wrapped"))
            assert client.unwrap_data_key(wrapped, CONTEXT) == plaintext
        moved = client.reencrypt(made[0].wrapped, CONTEXT, to, None)
        assert cluster.rust("decrypt", stdin=moved) == made[0].plaintext
        theirs = cluster.rust("reencrypt", "--key", key, "--to-context", "app=crm", stdin=moved)
        assert client.decrypt(theirs, {"app": "crm"}) == made[0].plaintext


def test_both_derive_the_same(cluster: RealCluster, client: Client) -> None:
    secret = cluster.rust("derive", "--key", "ids", "--encoding", "raw", *ARGUMENTS, stdin=b"alice")
    assert client.derive("ids", b"alice", CONTEXT) == secret
    batch, report = client.derive_batch("ids", [b"bob", b"alice", b""], CONTEXT)
    assert batch[1] == secret and len(report.nodes) == 3 and report.liars == []
    plain = cluster.rust("derive", "--key", "ids", "--encoding", "raw", stdin=b"alice")
    assert client.derive("ids", b"alice", version=1) == plain != secret


def test_what_a_quorum_signs_anybody_verifies(cluster: RealCluster, client: Client, tmp_path: Path) -> None:
    public = client.key("release").public_key
    pem = tmp_path / "release.pem"
    pem.write_bytes(cluster.rust("key", "show", "release", "--pem"))
    for message in (b"v1.2.3 is good", b"", secrets.token_bytes(1024)):
        signature = client.sign("release", message)
        assert len(signature) == 64
        client.verify("release", message, signature)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        VerifyKey(public).verify(message, signature)
        file, signed = tmp_path / "message", tmp_path / "signature"
        file.write_bytes(message)
        signed.write_bytes(signature)
        if message:  # openssl pkeyutl reads no empty file
            openssl = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(pem)]
            subprocess.run(
                [*openssl, "-in", str(file), "-sigfile", str(signed)], check=True, capture_output=True
            )
        cluster.rust("verify", "--key", "release", "--signature", str(signed), str(file))
        theirs = cluster.rust("sign", "--key", "release", stdin=message)
        client.verify("release", message, theirs)
        assert theirs != signature
        with pytest.raises(SignatureError):
            client.verify("release", message + b"x", signature)


def test_a_batch_of_three_hundred_is_signed(client: Client) -> None:
    """More pairs than one request draws, and one request to sign."""
    messages = [f"row {i}".encode() for i in range(300)]
    signatures, report = client.sign_batch("release", messages, CONTEXT)
    assert len(report.nodes) == 3 and report.liars == []
    key = Ed25519PublicKey.from_public_bytes(client.key("release").public_key)
    for message, signature in zip(messages, signatures, strict=True):
        key.verify(signature, message)


def test_a_batch_of_ciphertexts_is_opened(cluster: RealCluster, client: Client) -> None:
    texts = [f"row {i}".encode() for i in range(30)]
    rows = [client.encrypt("demo", text, CONTEXT) for text in texts]
    rows.append(cluster.rust("encrypt", "--key", "demo", *ARGUMENTS, stdin=b"theirs"))
    rows[3] = rows[3][:-1]
    results, report = client.decrypt_batch(rows, CONTEXT)
    assert isinstance(results[3], CiphertextError) and len(report.nodes) == 3
    assert results[:3] + results[4:] == texts[:3] + texts[4:] + [b"theirs"]


def test_a_node_that_starts_again_costs_no_signature(cluster: RealCluster, client: Client) -> None:
    """What it has drawn is gone with its memory; fresh nonces of all are drawn, and nobody is blamed."""
    client.prepare_signing("release", 5)
    before = {node for _ in range(2) for node in client.sign_batch("release", [b"m"])[1].nodes}
    for i in before:
        cluster.stop(f"node-{i}")
        cluster.start("quorate-node", f"node-{i}")
    _, report = cluster.until(lambda: client.sign_batch("release", [b"m"]))
    assert report.liars == []


def test_pins_of_one_client_are_the_others(cluster: RealCluster, client: Client) -> None:
    client.key("demo")
    pin = cluster.home / "pins/demo@1"
    ours = pin.read_text()
    pin.unlink()
    cluster.rust("encrypt", "--key", "demo", stdin=b"x")
    theirs = pin.read_text()
    pin.unlink()
    client.key("demo")
    assert pin.read_text() == ours == theirs


def test_an_alias_is_the_same_key_to_both(cluster: RealCluster, client: Client) -> None:
    with pytest.raises(UnknownKeyError):
        client.key("prod")
    cluster.operator(
        "key", "describe", "demo", "--alias", "prod", "--tag", "team=crm", "--description", "café"
    )
    state, alias = cluster.home / "pins/demo@state", cluster.home / "pins/prod@alias"
    sealed = cluster.until(lambda: client.encrypt("prod", b"hello", CONTEXT))
    assert cluster.rust("decrypt", *ARGUMENTS, stdin=sealed) == b"hello"
    said = client.key_state("demo")
    assert (said.revision, said.aliases, said.tags, said.description) == (
        1, ("prod",), (("team", "crm"),), "café"
    )  # fmt: skip
    # What was seen is kept where the other one keeps it, in the same bytes.
    ours = state.read_text(), alias.read_text()
    state.unlink()
    alias.unlink()
    sealed = cluster.rust("encrypt", "--key", "prod", *ARGUMENTS, stdin=b"hello")
    assert client.decrypt(sealed, CONTEXT) == b"hello"
    assert (state.read_text(), alias.read_text()) == ours
    # Given to another key, it is that one's to both; and whoever keeps the old order cannot use it.
    kept = alias.read_text()
    cluster.operator("key", "describe", "demo", "--unalias", "prod")
    cluster.operator("key", "describe", "vault", "--alias", "prod")
    assert client.key("prod").name == "vault"
    assert client.decrypt(cluster.rust("encrypt", "--symmetric", "--key", "prod", stdin=b"x")) == b"x"
    alias.write_text(kept)
    assert client.key("prod").name == "vault"


def test_the_command_line(cluster: RealCluster, tmp_path: Path) -> None:
    def python(*arguments: str, stdin: bytes) -> bytes:
        command = [sys.executable, "-m", "quorate", "--home", str(cluster.home), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=True).stdout

    sealed = python("encrypt", "--key", "demo", *ARGUMENTS, stdin=b"hello")
    assert cluster.rust("decrypt", *ARGUMENTS, stdin=sealed) == b"hello"
    assert python("decrypt", *ARGUMENTS, stdin=sealed) == b"hello"
    under = python("encrypt", "--key", "vault", *ARGUMENTS, stdin=b"hello")
    assert python("decrypt", *ARGUMENTS, stdin=under) == b"hello"
    moved = python("reencrypt", "--key", "demo", *ARGUMENTS, stdin=under)
    assert cluster.rust("decrypt", *ARGUMENTS, stdin=moved) == b"hello"
    moved = python("reencrypt", "--key", "vault", *ARGUMENTS, "--to-context", "app=crm", stdin=moved)
    assert cluster.rust("decrypt", "--context", "app=crm", stdin=moved) == b"hello"
    secret = cluster.rust("derive", "--key", "ids", "--encoding", "hex", stdin=b"x")
    assert python("derive", "--key", "ids", stdin=b"x") == secret
    signature = python("sign", "--key", "release", stdin=b"hello")
    file = tmp_path / "signature"
    file.write_bytes(signature)
    python("verify", "--key", "release", "--signature", str(file), stdin=b"hello")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python("verify", "--key", "release", "--signature", str(file), stdin=b"hell")
    assert caught.value.returncode == 5 and b"does not verify" in caught.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as caught:
        python("decrypt", stdin=sealed)
    assert caught.value.returncode == 5 and b"another encryption context" in caught.value.stderr
    assert b"Traceback" not in caught.value.stderr and caught.value.stdout == b""


def test_a_lying_node_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node's answer is changed once it is open, as if the node had sealed it so."""
    sealed, derived = client.encrypt("demo", b"hello"), client.derive("ids", b"alice")
    under, wrapped = client.encrypt("vault", b"hello"), client.wrap("vault", b"hello")
    public = Ed25519PublicKey.from_public_bytes(client.key("release").public_key)
    read = AnswerBook.read_sealed
    liar: list[int] = []

    def lie(self: AnswerBook, claimed: int, data: bytes, expected: Any) -> Answer:
        answer = read(self, claimed, data, expected)
        liar[:] = liar or [answer.node]
        if answer.node not in liar:
            return answer
        wrong = [(Point.decode(p) + random_scalar() * B).encode() for p in answer.partials]
        return dataclasses.replace(answer, partials=tuple(wrong))

    monkeypatch.setattr(AnswerBook, "read_sealed", lie)
    out = io.BytesIO()
    report = client.decrypt_stream(io.BytesIO(sealed), out)
    assert out.getvalue() == b"hello" and report.liars == liar
    liar.clear()
    secret, report = client.derive_batch("ids", [b"alice"])
    assert secret == [derived] and report.liars == liar
    liar.clear()
    texts, report = client.decrypt_batch([under])
    assert texts == [b"hello"] and report.liars == liar
    liar.clear()
    texts, report = client.unwrap_batch("vault", [(wrapped, b"")])
    assert texts == [b"hello"] and report.liars == liar
    liar.clear()
    made, report = client.encrypt_batch("vault", [b"hello"])
    assert report.liars == liar

    def spoil(self: AnswerBook, claimed: int, data: bytes, expected: Any) -> Answer:
        answer = read(self, claimed, data, expected)
        liar[:] = liar or [answer.node]
        if (
            answer.node not in liar or len(answer.partials) != 2
        ):  # two shares; of nonces there are three words
            return answer
        wrong = encode_scalar(int.from_bytes(answer.partials[1], "little") + 1)
        return dataclasses.replace(answer, partials=(answer.partials[0], wrong))

    liar.clear()
    monkeypatch.setattr(AnswerBook, "read_sealed", spoil)
    signatures, report = client.sign_batch("release", [b"a", b"b"])
    assert report.liars == liar
    monkeypatch.undo()
    assert client.decrypt(made[0]) == b"hello"
    for message, signature in zip((b"a", b"b"), signatures, strict=True):
        public.verify(signature, message)


def test_a_sealed_identity_opens_with_its_passphrase(cluster: RealCluster, tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse")
    passphrase.chmod(0o600)
    keygen = ["client", "keygen", "--name", "sealed", "--dir", str(tmp_path / "home"), "--passphrase"]
    os.environ["QUORATE_PASSPHRASE_FILE"] = str(passphrase)
    try:
        said = cluster.operator(*keygen, "--roster", str(cluster.home / "roster.json")).decode()
    finally:
        del os.environ["QUORATE_PASSPHRASE_FILE"]
    assert Home(tmp_path / "home", b"correct horse").identity.public.hex() in said
    for wrong, says in ((None, "passphrase is needed"), (b"wrong horse", "wrong passphrase")):
        with pytest.raises(HomeError, match=says):
            Home(tmp_path / "home", wrong)
    # It is known to no node: refused, under their signatures.
    stranger = Client.open(tmp_path / "home", passphrase=b"correct horse")
    with pytest.raises(RefusedError, match="not known or was revoked"), stranger:
        stranger.decrypt(stranger.encrypt("demo", b"x"))


def test_the_rust_client_believes_the_vectors(tmp_path: Path) -> None:
    """Rosters and records of client.json were written from the documents: `quorate` verifies them, too."""
    fake = FakeCluster(tmp_path / "home", n=3, t=2)
    fake.record("demo", "decrypt", fragile=True)
    client = Client(Home(fake.home), links=[Link(fake)])
    client.key("demo")
    fake.move("demo", "decrypt", fragile=True)
    assert client.decrypt(client.encrypt("demo", b"x")) == b"x"
    client._fetch_from(Link(fake), "demo", None, fresh=True)
    # Nobody is at its coordinator's address, so the pin is verified and used.
    sealed = RealCluster.run("--home", str(fake.home), "encrypt", "--key", "demo", stdin=b"hello")
    assert client.decrypt(sealed) == b"hello"
    pin = fake.home / "pins/demo@1"
    bad = fake.record("demo", "decrypt", fragile=True, actives=1, keep=False)
    pin.write_text(Pin(bad.public.commitments[0], bad, None).to_text())
    with pytest.raises(RuntimeError, match="1 of 3 nodes have validly signed the epoch active"):
        RealCluster.run("--home", str(fake.home), "encrypt", "--key", "demo", stdin=b"hello")


def test_a_wrong_purpose_is_refused(client: Client) -> None:
    with pytest.raises(WrongPurposeError):
        client.encrypt("ids", b"x")
    with pytest.raises(WrongPurposeError):
        client.derive("demo", b"x")
    with pytest.raises(WrongPurposeError):
        client.sign("demo", b"x")
    with pytest.raises(WrongPurposeError):
        client.wrap("ids", b"x")
    with pytest.raises(WrongPurposeError):
        client.derive("vault", b"x")


def test_only_the_rosters_key_is_talked_to(cluster: RealCluster) -> None:
    """The address of the coordinator, the key of another party: nothing is sent."""
    home = Home(cluster.home)
    entry = home.cluster.roster.coordinators[0]
    stranger = Identity(secrets.token_bytes(32)).public
    request = client_pb2.StatusRequest()

    def ask(key: bytes) -> Any:
        link = Coordinator("c", entry.endpoint, {key: "c"}, home.identity)
        with contextlib.closing(link):
            return link.call("Status", request, client_pb2.StatusResponse, 5)

    assert len(ask(entry.tls_key).nodes) == 5
    for key in (stranger, home.cluster.roster.nodes[0].identity):
        with pytest.raises(PartyError, match=r"expected .*: check the roster and the address"):
            ask(key)


def test_after_a_refresh(cluster: RealCluster, client: Client) -> None:
    sealed, derived = client.encrypt("demo", b"hello"), client.derive("ids", b"alice")
    under, wrapped = client.encrypt("vault", b"hello"), client.wrap("vault", b"hello")
    before = client.key("demo").epoch
    cluster.operator("share", "refresh", "vault")
    cluster.operator("share", "refresh", "demo")
    cluster.operator("share", "refresh", "ids")
    client.prepare_signing("release", 2)
    public = client.key("release").public_key
    cluster.operator("share", "refresh", "release")
    signature = cluster.until(lambda: client.sign("release", b"m"))
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"m")
    assert cluster.until(lambda: client.decrypt(sealed)) == b"hello"
    assert cluster.until(lambda: client.derive("ids", b"alice")) == derived
    assert client.key("demo").epoch > before
    assert cluster.until(lambda: client.decrypt(under)) == b"hello"
    assert cluster.until(lambda: client.unwrap("vault", wrapped)) == b"hello"


def test_with_nodes_gone(cluster: RealCluster, client: Client) -> None:
    sealed = cluster.rust("encrypt", "--key", "demo", stdin=b"hello")
    secret, under = client.derive("ids", b"alice"), client.encrypt("vault", b"hello")
    client.prepare_signing("release", 1)
    cluster.stop("node-1", "node-4")
    client.verify("release", b"m", client.sign("release", b"m"))
    assert client.decrypt(sealed) == b"hello"
    assert client.derive("ids", b"alice") == secret
    assert client.decrypt(under) == b"hello" == client.decrypt(client.encrypt("vault", b"hello"))
    cluster.stop("node-2")
    with pytest.raises(NoQuorumError, match="2 of the 3") as caught:
        client.decrypt(sealed)
    assert "node-2 (CH)" in str(caught.value)
    with pytest.raises(NoQuorumError):
        client.derive("ids", b"alice")
    with pytest.raises(NoQuorumError):
        client.sign("release", b"m")
    with pytest.raises(NoQuorumError):
        client.encrypt("vault", b"no quorum")
    with pytest.raises(NoQuorumError):
        client.decrypt(under)
    for i in (1, 2, 4):
        cluster.start("quorate-node", f"node-{i}")
    assert cluster.until(lambda: client.decrypt(sealed)) == b"hello"


def test_with_the_coordinator_gone(cluster: RealCluster, client: Client) -> None:
    client.key("demo")
    signature = client.sign("release", b"m")
    cluster.stop("coordinator")
    with Client.open(cluster.home) as fresh:
        sealed = fresh.encrypt("demo", b"hello")  # the key is pinned: nobody is needed
        with pytest.raises(PartyError, match="unreachable"):
            fresh.decrypt(sealed)
        fresh.verify("release", b"m", signature)
    cluster.start("quorate-coordinator", "coordinator")
    assert cluster.until(lambda: client.decrypt(sealed)) == b"hello"
