"""A cluster within the test: parties with real keys, a link that answers as a coordinator would.

Written from docs/protocol alone, from the other side: what signs, seals and evaluates is here, what
verifies, opens and combines is the client under test. Each node's answer can be tampered with.
"""

from __future__ import annotations

import hashlib
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from quorate import tdh2, voprf
from quorate.answers import _KEM, _SUITE, _expand, _extract
from quorate.certificate import EpochPublic, KeyRecord
from quorate.edwards import BASE, EdwardsPoint
from quorate.errors import CodecError, PartyError
from quorate.frost import Drawn, NonceCommitments, SigningSet
from quorate.group import B, L, Point, encode_scalar, weighted_sum
from quorate.hashing import H32, PREFIX, H, Hs, Identity, merkle_root
from quorate.orders import Committee
from quorate.request import partial_context
from quorate.roster import Cluster, parse_chain
from quorate.v1 import client_pb2, types_pb2
from quorate.wire import (
    OPERATIONS,
    SUITE_OF,
    Epoch,
    NodeSignature,
    Reader,
    Signed,
    armor,
    ascending,
    listed,
    prefixed,
    purpose_code,
    suite_code,
    u8,
    u16,
    u32,
    u64,
)

NOW = int(time.time() * 1000)


def text(value: str) -> bytes:
    return prefixed(value.encode())


def sign(body: bytes, label: str, fingerprint: bytes, keys: list[Identity]) -> Signed:
    signers = sorted((k.public, k.sign(label, fingerprint, body)) for k in keys)
    return Signed(body, tuple(signers))


@dataclass
class Answering:
    """What a node answers before it is sealed; tests change it."""

    partials: list[bytes]
    proof: bytes | None
    epoch: Epoch
    operation: str


@dataclass
class Node:
    index: int
    identity: Identity
    answer_key: X25519PrivateKey = field(default_factory=lambda: X25519PrivateKey.generate())
    up: bool = True
    counter: int = 0
    boots: int = 1
    lie: Callable[[Answering], None] | None = None
    refuse: tuple[int, int | None] | None = None
    asked: int = 0
    #: Nonce pairs that wait, by handle; each serves once.
    nonces: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    drawn: int = 0
    #: Draws nonces, and is unreachable once it is to sign.
    leaves: bool = False
    #: Draws nonces, and says that they are gone once it is to sign.
    forgets: bool = False

    @property
    def boot(self) -> bytes:
        return u64(self.index) + u64(self.boots)

    def starts_again(self) -> None:
        """Whatever was in memory is gone."""
        self.boots, self.drawn, self.nonces = self.boots + 1, 0, {}


def generator(suite: str) -> Point | EdwardsPoint:
    return BASE if suite == "frost-ed25519" else B


class FakeCluster:
    """`n` nodes, `k` operators of whom `m` must sign, keys with a threshold of `t`."""

    def __init__(self, path: Path, n: int = 5, t: int = 3, k: int = 3, m: int = 2, providers: int = 7):
        self.t, self.m, self.providers = t, m, providers
        self.operators = [Identity(secrets.token_bytes(32)) for _ in range(k)]
        self.nodes = {i: Node(i, Identity(secrets.token_bytes(32))) for i in range(1, n + 1)}
        self.coordinator, self.client = Identity(secrets.token_bytes(32)), Identity(secrets.token_bytes(32))
        genesis = self.roster(1, bytes(32))
        self.fingerprint = hashlib.sha256(genesis).digest()
        self.chain = [sign(genesis, "sig/roster.", self.fingerprint, self.operators)]
        self.committee = Committee(tuple((i, node.identity.public) for i, node in self.nodes.items()), t)
        self.records: dict[str, KeyRecord] = {}
        self.newest: dict[str, KeyRecord] = {}
        self.shares: dict[tuple[str, int], dict[int, int]] = {}
        self.secrets: dict[str, int] = {}
        self.home = path
        self.write_home()

    def destroyed(
        self, node: int, key: str, *, fingerprint: bytes | None = None, identity: Identity | None = None
    ) -> bytes:
        """A node's receipt that it has destroyed a key (`QDST`)."""
        body = u16(node) + text(key) + bytes(32) + u64(NOW)
        by = identity or self.nodes[node].identity
        signature = by.sign("sig/destroyed.", fingerprint or self.fingerprint, body)
        return b"QDST" + u16(1) + body + signature

    def roster(self, version: int, previous: bytes, operators: list[Identity] | None = None) -> bytes:
        countries = ["DE", "CH", "NO", "CA", "SG", "FR", "IS"]
        nodes = [
            u16(i)
            + text(f"node-{i}")
            + text(f"127.0.0.1:{7000 + i}")
            + text(f"Provider {i % self.providers}")
            + text(countries[i - 1])
            + text(countries[i - 1])
            + node.identity.public
            for i, node in self.nodes.items()
        ]
        coordinators = [text("coordinator") + text("127.0.0.1:7000") + self.coordinator.public]
        named = [text(f"op-{i}") + o.public for i, o in enumerate(operators or self.operators)]
        return (
            b"QROS"
            + u16(1)
            + text("fake")
            + u32(version)
            + previous
            + secrets.token_bytes(32)
            + u64(NOW)
            + listed(nodes)
            + listed(coordinators)
            + listed(named)
            + u16(self.m)
        )

    def roster_hash(self, version: int = 1) -> bytes:
        return H32("roster/hash.", self.fingerprint, self.chain[version - 1].body)

    def write_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "quorate.toml").write_text(
            f'fingerprint = "{self.fingerprint.hex()}"\nrole = "client"\n'
        )
        chain = b"QRCH" + u16(1) + listed([s.to_bytes() for s in self.chain])
        (self.home / "roster.json").write_text(armor("QUORATE ROSTER", chain))
        seed = self.client.private.private_bytes_raw()
        path = self.home / "identity.key"
        path.write_text(armor("QUORATE PRIVATE IDENTITY", b"QIDN" + u16(1) + seed))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)

    def cluster(self) -> Cluster:
        return Cluster(self.fingerprint, parse_chain((self.home / "roster.json").read_text()))

    # --- keys ----------------------------------------------------------------------------------

    def ordered(self, action: bytes, signers: list[Identity], **changes: Any) -> tuple[Signed, bytes]:
        """An order of any action, and its hash."""
        c = {"roster_version": 1, "life": 1000, "issued_at": NOW} | changes
        body = (
            b"QORD"
            + u16(1)
            + c.get("fingerprint", self.fingerprint)
            + u32(c["roster_version"])
            + c.get("roster_hash", self.roster_hash(min(c["roster_version"], len(self.chain))))
            + u64(c["issued_at"])
            + u64(c["issued_at"] + c["life"])
            + secrets.token_bytes(32)
            + bytes(32)
            + action
        )
        return sign(body, "sig/order.", self.fingerprint, signers), H32("order/hash.", self.fingerprint, body)

    def state(self, name: str, revision: int, *aliases: str, **changes: Any) -> Signed:
        """An order of how a key is."""
        deletion = changes.pop("deletion", None)
        signers = changes.pop("signers", self.operators[: self.m])
        action = u8(5) + text(name) + u64(revision) + text("") + listed([]) + listed([*map(text, aliases)])
        action += u8(1) + listed([]) + (u8(0) if deletion is None else u8(1) + u64(deletion))
        return self.ordered(action, signers, **changes)[0]

    def order(self, name: str, purpose: str, signers: list[Identity], **changes: Any) -> tuple[Signed, bytes]:
        """A create order, with `public_key` a reshare, with a `dealer` too an import, with `times` a schedule
        of versions from `since` on; others break rules."""
        c = {
            "committee": self.committee,
            "q": (len(self.committee.members) + self.t + 1) // 2,
            "first": 1,
            "version": 1,
            "danger": False,
            "fragile": False,
            "life": 1000,
            "public_key": None,
            "dealer": None,
            "roster_version": 1,
            "suite": SUITE_OF[purpose],
            "rights": None,
            "times": None,
            "since": 2,
            "every": 90 * 86_400,
            "until": NOW + 400 * 86_400_000,
        } | changes
        head = text(name) + u32(c["version"] if c["times"] is None else c["since"])
        kind = suite_code(c["suite"]) + purpose_code(purpose)
        middle = c["committee"].to_bytes() + u16(c["q"]) + u64(c["first"])
        end = u8(c["danger"]) + u8(c["fragile"])
        if c["dealer"] is not None:
            rights = u8(0) if c["rights"] is None else u8(1) + u8(c["rights"])
            action = u8(6) + rights + head + kind + middle + listed([]) + end + c["public_key"] + c["dealer"]
        elif c["times"] is not None:
            rights = u8(0) if c["rights"] is None else u8(1) + u8(c["rights"])
            action = u8(9) + rights + head + kind + middle + listed([]) + end
            action += u64(NOW) + u32(c["every"]) + u16(c["times"]) + u64(c["until"])
        elif c["public_key"] is None:
            action = u8(1) if c["rights"] is None else u8(8) + u8(c["rights"])
            action += head + kind + middle + listed([]) + end
        else:
            newest = u32(c["version"])
            action = u8(4) + head + newest + kind + c["public_key"] + middle + u32(60) + u8(0) + end
        given = {n: c[n] for n in ("fingerprint", "roster_version", "roster_hash", "life") if n in c}
        return self.ordered(action, signers, **given)

    def record(
        self,
        name: str,
        purpose: str,
        *,
        secret: int | None = None,
        number: int = 1,
        order_signers: int | None = None,
        receipts: int | None = None,
        actives: int | None = None,
        public: Callable[[EpochPublic], EpochPublic] = lambda p: p,
        keep: bool = True,
        **changes: Any,
    ) -> KeyRecord:
        """A key that is born (or, with `public_key`, moved), as the operators and nodes prove it."""
        secret = secrets.randbelow(L) if secret is None else secret
        coefficients = [secret] + [secrets.randbelow(L) for _ in range(self.t - 1)]
        signers = self.operators[: self.m if order_signers is None else order_signers]
        order, order_hash = self.order(name, purpose, signers, **changes)
        moved = changes.get("public_key") is not None and changes.get("dealer") is None
        epoch = public(
            EpochPublic(
                self.fingerprint,
                name,
                changes.get("version", 1),
                SUITE_OF[purpose],
                purpose,
                Epoch(number, secrets.token_bytes(32)),
                Epoch(1, bytes(32)) if moved else None,
                bytes(32),
                order_hash,
                changes.get("committee", self.committee),
                tuple((c * generator(SUITE_OF[purpose])).encode() for c in coefficients),
            )
        )
        q = changes.get("q", (len(self.nodes) + self.t + 1) // 2)

        def signatures(label: str, count: int | None) -> tuple[NodeSignature, ...]:
            nodes = list(self.nodes.values())[: q if count is None else count]
            data = b"QEPO" + u16(2) + epoch.body()
            return tuple(
                NodeSignature(x.index, x.identity.sign(label, self.fingerprint, data + u16(x.index)))
                for x in nodes
            )

        record = KeyRecord(
            order, epoch, signatures("sig/receipt.", receipts), signatures("sig/active.", actives)
        )
        if keep:
            self.shares[name, number] = {
                i: sum(c * pow(i, k, L) for k, c in enumerate(coefficients)) % L for i in self.nodes
            }
            (self.newest if moved else self.records)[name] = record
            self.secrets[name] = secret
        return record

    def move(self, name: str, purpose: str, number: int = 2000, **changes: Any) -> KeyRecord:
        """A refresh of all shares."""
        public_key = (self.secrets[name] * generator(SUITE_OF[purpose])).encode()
        secret = self.secrets[name]
        return self.record(
            name, purpose, secret=secret, number=number, public_key=public_key, first=number, **changes
        )


class Link:
    """A coordinator that asks the fake nodes; tests override what they need."""

    def __init__(self, fake: FakeCluster, party: str = "coordinator"):
        self.fake, self.party = fake, party
        self.calls: list[str] = []
        #: The operations of the requests that were carried, and the items of each.
        self.operations: list[str] = []
        self.carried: list[list[bytes]] = []
        self.question: Callable[[str, Any], None] = lambda operation, request: None
        self.tamper: Callable[[types_pb2.NodeAnswer], None] = lambda answer: None
        self.down = False
        #: What is shown of whatever key's state is asked for.
        self.states: list[Signed] = []
        #: Receipts of nodes that have destroyed a key, shown beside.
        self.receipts: dict[int, bytes] | list[tuple[int, bytes]] = {}
        #: Whose states were asked for.
        self.asked: list[str] = []

    def call(self, method: str, request: Any, answer: Any, timeout: float) -> Any:
        self.calls.append(method)
        if self.down:
            raise PartyError(self.party, "unreachable")
        return answer.FromString(getattr(self, method)(request).SerializeToString())

    def GetRoster(self, request: Any) -> Any:
        rosters = [b"QSRO" + u16(1) + s.to_bytes() for s in self.fake.chain]
        version = types_pb2.ProtocolVersion(major=1, minor=0)
        return client_pb2.GetRosterResponse(version=version, rosters=rosters)

    def GetKey(self, request: Any) -> Any:
        record = self.fake.records.get(request.name)
        if record is None or request.version not in (0, record.public.version):
            raise PartyError(self.party, "not found", not_found=True)
        newest = self.fake.newest.get(request.name)
        return client_pb2.GetKeyResponse(
            record=b"QKEY" + u16(2) + record.body(),
            newest=b"" if newest is None else b"QKEY" + u16(2) + newest.body(),
        )

    def KeyState(self, request: Any) -> Any:
        self.asked.append(request.name)
        orders = [b"QSOR" + u16(1) + s.to_bytes() for s in self.states]
        shown = self.receipts.items() if isinstance(self.receipts, dict) else self.receipts
        nodes = [client_pb2.NodeKeyState(node=node, receipt=receipt) for node, receipt in shown]
        return client_pb2.KeyStateResponse(orders=orders, nodes=nodes)

    def Evaluate(self, request: Any) -> Any:
        response = client_pb2.EvaluateResponse()
        operation = read_head(request.head)[2]
        self.operations.append(operation)
        self.carried.append(list(request.items))
        self.question(operation, request)
        for node in self.fake.nodes.values():
            if node.index in request.avoid or len(response.answers) >= request.want:
                continue
            if not node.up or (node.leaves and operation == "sign"):
                response.failures.add(node=node.index, reason="unreachable")
                continue
            node.asked += 1
            answer = self.evaluate(node, request)
            self.tamper(answer)
            response.answers.append(answer)
        return response

    def evaluate(self, node: Node, request: Any) -> types_pb2.NodeAnswer:
        """One node's answer to a request whose head it parses by itself."""
        fake, head = self.fake, bytes(request.head)
        client, name, operation, label, reply_key, prove, count, root = read_head(head)
        request_hash = H32("request/hash.", fake.fingerprint, head)
        answer = types_pb2.NodeAnswer(node=node.index)
        if node.refuse is not None:
            answer.refusal = self.refusal(node, request_hash, *node.refuse)
            return answer
        if count != len(request.items) or merkle_root(list(request.items)) != root:
            answer.refusal = self.refusal(node, request_hash, 10, None)
            return answer
        current = fake.newest.get(name, fake.records[name]).public
        share = fake.shares[name, current.epoch.number][node.index]
        items = list(request.items)
        if operation in ("sign", "sign-commit"):
            words = self.sign(node, current, share, operation, items)
            if isinstance(words, int):
                answer.refusal = self.refusal(node, request_hash, words, None)
            else:
                said = Answering(words, None, current.epoch, operation)
                if node.lie is not None:
                    node.lie(said)
                answer.sealed = self.seal(node, client, reply_key, request_hash, said)
            return answer
        for at, item in enumerate(items if operation == "decrypt" else []):
            if not self.is_valid(name, current, label, item):
                answer.refusal = self.refusal(node, request_hash, 9, at)
                return answer
        if operation == "wrap":
            if current.purpose != "wrap":
                answer.refusal = self.refusal(node, request_hash, 8, None)
                return answer
            for at, item in enumerate(items):
                if len(item) != 16:
                    answer.refusal = self.refusal(node, request_hash, 9, at)
                    return answer
            scope = fake.fingerprint, name.encode(), u32(current.version)
            points = [voprf.hash_to_group(H("wrap/input.", *scope, label, nonce)) for nonce in items]
        else:
            points = [Point.decode(i[-240:-208] if operation == "decrypt" else i) for i in items]
        outputs = [share * p for p in points]
        proof = None
        if prove and operation != "derive":
            context = partial_context(
                fake.fingerprint,
                name,
                current.version,
                current.purpose,
                current.suite,
                current.epoch.to_bytes(),
                node.index,
                node.identity.public,
                request_hash,
            )
            proof = prove_dleq(context, share, points, outputs)
        elif prove:
            proof = prove_voprf(share, points, outputs)
        said = Answering([p.encode() for p in outputs], proof, current.epoch, operation)
        if node.lie is not None:
            node.lie(said)
        answer.sealed = self.seal(node, client, reply_key, request_hash, said)
        return answer

    def sign(
        self, node: Node, public: EpochPublic, share: int, operation: str, items: list[bytes]
    ) -> list[bytes] | int:
        """Either half of a signature, or the reason of a refusal. Nonces serve once."""
        words: list[bytes] = []
        for item in items:
            if operation == "sign-commit":
                epoch, count = read_nonce_order(item)
                if epoch != public.epoch:
                    return 11
                for _ in range(count):
                    d, e = secrets.randbelow(L - 1) + 1, secrets.randbelow(L - 1) + 1
                    node.drawn += 1
                    handle = node.boot + u64(node.drawn)
                    known = (d * BASE).encode(), (e * BASE).encode()
                    node.nonces[handle] = d, e, known[0] + known[1]
                    words += [handle + bytes(8), *known]
                continue
            epoch, signers, message = read_sign_item(item)
            if epoch != public.epoch:
                return 11
            own = node.nonces.pop(signers[node.index].handle, None)
            if own is None or node.forgets:
                return 13
            d, e, known_pair = own
            points = {i: one.commitments for i, one in signers.items()}
            assert points[node.index].raw == known_pair
            signing = SigningSet(public.commitments[0], message, points)
            weight = signing.weights[node.index] * share * signing.challenge
            words.append(encode_scalar(d + signing.factors[node.index] * e + weight))
        return words

    def is_valid(self, name: str, public: EpochPublic, label: bytes, item: bytes) -> bool:
        """What every node checks before it touches its share."""
        binding = tdh2.Binding(self.fake.fingerprint, name, public.version, public.commitments[0])
        try:
            return tdh2.verify(binding, label, item[:-240], tdh2.Encapsulation.parse(item[-240:]))
        except CodecError:
            return False

    def refusal(self, node: Node, request: bytes, reason: int, item: int | None) -> bytes:
        body = u16(node.index) + request + u64(NOW) + u16(reason)
        body += u8(0) if item is None else u8(1) + u16(item)
        signature = node.identity.sign("sig/refusal.", self.fake.fingerprint, body)
        return b"QREF" + u16(1) + body + signature

    def seal(self, node: Node, client: bytes, reply: bytes, request: bytes, said: Answering) -> bytes:
        f = self.fake.fingerprint
        public = node.answer_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        card = u16(node.index) + public + u64(NOW - 1000) + u64(NOW - 1000 + 86_400_000)
        card += node.identity.sign("sig/answer-key.", f, card)
        info = PREFIX + b"answer/info." + f + u16(node.index) + client
        encapsulated, key = setup_auth_s(node.answer_key, reply, info)
        proof = u8(0) if said.proof is None else u8(1) + said.proof
        plain = b"QPAR" + u16(1) + listed(said.partials) + proof
        aad = request + u16(node.index) + said.epoch.to_bytes()
        sealed = ChaCha20Poly1305(key).encrypt(bytes(4) + u64(node.counter), plain, aad)
        counter, node.counter = node.counter, node.counter + 1
        return (
            b"QANS" + u16(1) + card + request + said.epoch.to_bytes() + encapsulated
            + u64(counter) + prefixed(sealed)
        )  # fmt: skip


def read_head(head: bytes) -> tuple[bytes, str, str, bytes, bytes, bool, int, bytes]:
    """Of a `QREQ`: client, key, operation, context, reply key, whether to prove, items and their root."""
    r = Reader(bytes(head))
    r.kind("QREQ")
    r.take(28, "id, issued at, ttl")
    client, name = r.public_key(), r.key_name()
    r.key_version()
    operation = r.word(OPERATIONS, "operation")
    start = r.used
    for _ in range(2 * r.u16("context")):
        r.text(1024, "context")
    label = bytes(head)[start : r.used]
    reply_key, prove = r.take(32, "reply key"), r.flag("prove")
    count, root = r.u16("items"), r.take(32, "root")
    r.finish()
    return client, name, operation, label, reply_key, prove, count, root


def read_nonce_order(data: bytes) -> tuple[Epoch, int]:
    r = Reader(data)
    r.kind("QNON")
    epoch, count = r.epoch(), r.u16("count")
    r.finish()
    assert 1 <= count <= 256
    return epoch, count


def read_sign_item(data: bytes) -> tuple[Epoch, dict[int, Drawn], bytes]:
    """A `QSGN`, as strict as the nodes are."""
    r = Reader(data)
    r.kind("QSGN")
    epoch = r.epoch()

    def signer(r: Reader) -> tuple[int, Drawn]:
        node, handle = r.index(), r.take(24, "nonce handle")
        return node, Drawn(handle, NonceCommitments.parse(r.take(64, "nonce commitments")))

    signers = r.many(64, "signers", signer)
    ascending(signers, "signers", lambda s: s[0])
    assert len(signers) >= 2
    message = r.blob(1024, "message")
    r.finish()
    return epoch, dict(signers), message


def setup_auth_s(sender: X25519PrivateKey, reply: bytes, info: bytes) -> tuple[bytes, bytes]:
    """SetupAuthS of RFC 9180, and the exported key."""
    ephemeral = X25519PrivateKey.generate()
    receiver = X25519PublicKey.from_public_bytes(reply)

    def raw(key: X25519PrivateKey) -> bytes:
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    enc = raw(ephemeral)
    prk = _extract(_KEM, b"", b"eae_prk", ephemeral.exchange(receiver) + sender.exchange(receiver))
    shared = _expand(_KEM, prk, b"shared_secret", enc + reply + raw(sender))
    context = b"\x02" + _extract(_SUITE, b"", b"psk_id_hash", b"")
    context += _extract(_SUITE, b"", b"info_hash", PREFIX + b"answer/info." + info)
    exporter = _expand(_SUITE, _extract(_SUITE, shared, b"secret", b""), b"exp", context)
    return enc, _expand(_SUITE, exporter, b"sec", PREFIX + b"answer/key.")


def prove_dleq(context: bytes, k: int, inputs: list[Point], outputs: list[Point]) -> bytes:
    encode = Point.encode
    joined = b"".join(map(encode, inputs)), b"".join(map(encode, outputs))
    seed = H("dleq/seed.", context, encode(B), encode(k * B), *joined)
    weights = [1] + [
        int.from_bytes(H("dleq/weight.", seed, u32(i))[:16], "little") for i in range(1, len(inputs))
    ]
    m = weighted_sum(weights, inputs)
    r = secrets.randbelow(L)
    c = Hs("dleq/challenge.", seed, *map(encode, (m, k * m, r * B, r * m)))
    return encode_scalar(c) + encode_scalar(r - c * k)


def prove_voprf(k: int, inputs: list[Point], outputs: list[Point]) -> bytes:
    def p(data: bytes) -> bytes:
        return u16(len(data)) + data

    public = (k * B).encode()
    seed = hashlib.sha512(p(public) + p(b"Seed-" + voprf.CONTEXT)).digest()
    weights = [
        voprf._hash_to_scalar(p(seed) + u16(j) + p(b.encode()) + p(d.encode()) + b"Composite")
        for j, (b, d) in enumerate(zip(inputs, outputs, strict=True))
    ]
    m = weighted_sum(weights, inputs)
    r = secrets.randbelow(L)
    points = [public, *(x.encode() for x in (m, k * m, r * B, r * m))]
    c = voprf._hash_to_scalar(b"".join(map(p, points)) + b"Challenge")
    return encode_scalar(c) + encode_scalar(r - c * k)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


__all__ = ["Answering", "FakeCluster", "Link", "Node", "flip", "replace", "sign"]
