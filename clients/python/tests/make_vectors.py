"""Writes docs/protocol/vectors/client.json: a small cluster's public values, and one exchange of each kind.

Run by hand. All randomness comes from a seed, and time stands still, so it writes the same each time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from pathlib import Path
from typing import Any

import fake as fakes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fake import FakeCluster, Link
from vectors import VECTORS

import quorate.client
from quorate import Client
from quorate.answers import _KEM, _expand, _extract
from quorate.group import encode_scalar
from quorate.home import Home
from quorate.voprf import Batch
from quorate.wire import u16

NOW = 1_800_000_000_000
SEED = b"quorate vectors: client"


class Drawn:
    """`secrets`, from a seed."""

    def __init__(self) -> None:
        #: All that was drawn.
        self.bytes: list[bytes] = []

    def token_bytes(self, n: int) -> bytes:
        number = len(self.bytes) + 1
        self.bytes.append(hashlib.shake_256(SEED + number.to_bytes(8, "big")).digest(n))
        return self.bytes[-1]

    def randbelow(self, most: int) -> int:
        return int.from_bytes(self.token_bytes(64), "little") % most


class Recorder(Link):
    """Keeps what goes over the wire."""

    def __init__(self, fake: FakeCluster):
        super().__init__(fake)
        self.requests: list[Any] = []
        self.responses: list[Any] = []

    def Evaluate(self, request: Any) -> Any:
        response = super().Evaluate(request)
        self.requests.append(request)
        self.responses.append(response)
        return response


def exchange(recorder: Recorder) -> dict[str, Any]:
    (request,), (response,) = recorder.requests, recorder.responses
    recorder.requests, recorder.responses = [], []
    return {
        "head": request.head.hex(),
        "signature": request.signature.hex(),
        "items": [i.hex() for i in request.items],
        "answers": [{"node": a.node, "sealed": a.sealed.hex()} for a in response.answers],
    }


def vectors() -> dict[str, Any]:
    drawn = Drawn()
    kept = secrets.token_bytes, secrets.randbelow, X25519PrivateKey.generate, fakes.NOW
    secrets.token_bytes, secrets.randbelow = drawn.token_bytes, drawn.randbelow  # type: ignore[assignment]
    ikms: dict[bytes, bytes] = {}

    def derive_key_pair(cls: type) -> X25519PrivateKey:
        """DeriveKeyPair of RFC 9180, as the nodes and the Rust client make theirs."""
        ikm = drawn.token_bytes(32)
        secret = _expand(_KEM, _extract(_KEM, b"", b"dkp_prk", ikm), b"sk", b"")
        ikms[secret] = ikm
        return X25519PrivateKey.from_private_bytes(secret)

    X25519PrivateKey.generate = classmethod(derive_key_pair)  # type: ignore[method-assign,assignment]
    fakes.NOW = NOW
    try:
        with tempfile.TemporaryDirectory() as directory:
            return _vectors(Path(directory) / "home", ikms, drawn)
    finally:
        secrets.token_bytes, secrets.randbelow, X25519PrivateKey.generate, fakes.NOW = kept  # type: ignore[method-assign]


def _vectors(home: Path, ikms: dict[bytes, bytes], drawn: Drawn) -> dict[str, Any]:
    fake = FakeCluster(home, n=3, t=2, k=3, m=2)
    for name, purpose in (("demo", "decrypt"), ("ids", "derive"), ("release", "sign")):
        fake.record(name, purpose, fragile=True)
    body = fake.roster(2, fake.roster_hash())
    fake.chain.append(fakes.sign(body, "sig/roster.", fake.fingerprint, fake.operators[:2]))
    fake.write_home()
    moved = fake.move("demo", "decrypt", fragile=True)
    recorder = Recorder(fake)
    client = Client(Home(home), links=[recorder], clock=lambda: NOW / 1000)
    context, text, data = {"app": "crm", "row": "17"}, b"hello world", b"alice@example.org"
    ciphertext = client.encrypt("demo", text, context)
    assert client.decrypt(ciphertext, context) == text
    decrypting = exchange(recorder)
    batches: list[Batch] = []

    class Kept(Batch):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            batches.append(self)

    quorate.client.Batch, kept = Kept, quorate.client.Batch  # type: ignore[misc]
    secret = client.derive("ids", data, context)
    quorate.client.Batch = kept  # type: ignore[misc]
    deriving = exchange(recorder)

    messages = [b"v1.2.3 is good", b""]
    client.prepare_signing("release", len(messages))
    committing = exchange(recorder)
    signatures, _ = client.sign_batch("release", messages, context)
    signing = exchange(recorder)
    # Behind the others, whose bytes stay as they are.
    fake.record("vault", "wrap", fragile=True)
    client.key("vault")
    first = len(drawn.bytes)
    volume, other = b"thirty bytes, whatever they are", b"volume 7"
    wrapped = client.wrap("vault", volume, context, other_data=other)
    wrapping = exchange(recorder)
    sealed = client.encrypt("vault", text, context)
    sealing = exchange(recorder)
    assert client.decrypt(sealed, context) == text
    opening = exchange(recorder)

    states = [fake.state("demo", 3, "prod"), fake.state("ids", 2)]
    recorder.states = states
    assert client.key("prod").name == "demo"
    reply = client._answers._reply.private_bytes_raw()
    # After all that was drawn before: what was pinned stays as it is.
    scheduled = fake.record("demo", "decrypt", version=3, times=3, fragile=True, keep=False)

    def record(r: Any) -> str:
        return (b"QKEY" + u16(2) + r.body()).hex()

    return {
        "source": "clients/python/tests/make_vectors.py",
        "seed": SEED.decode(),
        "now": NOW,
        "fingerprint": fake.fingerprint.hex(),
        "rosters": [(b"QSRO" + u16(1) + s.to_bytes()).hex() for s in fake.chain],
        "identity_seed": fake.client.private.private_bytes_raw().hex(),
        "reply_ikm": ikms[reply].hex(),
        "reply_secret": reply.hex(),
        "keys": {
            "demo": {"record": record(fake.records["demo"]), "newest": record(moved)},
            "ids": {"record": record(fake.records["ids"]), "newest": ""},
            "release": {"record": record(fake.records["release"]), "newest": ""},
            "vault": {"record": record(fake.records["vault"]), "newest": ""},
        },
        "context": context,
        "decrypt": {"plaintext": text.hex(), "ciphertext": ciphertext.hex(), **decrypting},
        "derive": {
            "input": data.hex(),
            "blind": encode_scalar(batches[0]._blinds[0]).hex(),
            "secret": secret.hex(),
            **deriving,
        },
        "sign": {
            "messages": [m.hex() for m in messages],
            "commit": committing,
            "share": signing,
            "signatures": [s.hex() for s in signatures],
        },
        "wrap": {
            "plaintext": volume.hex(),
            "other_data": other.hex(),
            "randomness": drawn.bytes[first].hex(),
            "wrapped": wrapped.hex(),
            **wrapping,
        },
        "encrypt": {"plaintext": text.hex(), "ciphertext": sealed.hex(), "seal": sealing, "open": opening},
        "alias": {
            "alias": "prod",
            "key": "demo",
            "revision": 3,
            "orders": [(b"QSOR" + u16(1) + s.to_bytes()).hex() for s in states],
        },
        "scheduled": {"record": record(scheduled), "version": 3},
    }


if __name__ == "__main__":
    (VECTORS / "client.json").write_text(json.dumps(vectors(), indent=2) + "\n")
