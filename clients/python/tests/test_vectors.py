"""Every vector of docs/protocol/vectors that concerns a client, through the code that clients run."""

from __future__ import annotations

import hashlib
import io

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from make_vectors import vectors
from vectors import load, snapshot, unhex

from quorate import stream, tdh2, voprf
from quorate.answers import Answer, AnswerBook, Expected, open_sealed, session_key
from quorate.certificate import Key, KeyRecord
from quorate.dleq import verify_dleq, verify_partials
from quorate.edwards import BASE, EdwardsPoint, verify_ed25519
from quorate.errors import CiphertextError, CodecError
from quorate.frost import (
    CheatersError,
    Drawn,
    NonceCommitments,
    SigningSet,
    aggregate,
    encode_nonce_order,
    encode_sign_item,
    read_drawn,
)
from quorate.group import (
    B2,
    B,
    D,
    L,
    P,
    Point,
    decode_scalar,
    encode_scalar,
    random_scalar,
    sqrt_ratio,
    weighted_sum,
    window_sum,
)
from quorate.hashing import H32, SMALL_ORDER, H, Identity
from quorate.request import (
    EncryptedHead,
    Head,
    WrappedHead,
    encode_context,
    encode_header,
    partial_context,
    sign_request,
)
from quorate.roster import Cluster, Roster, parse_chain, parse_signed_roster
from quorate.sharing import combine, lagrange_at_zero, verifying_key
from quorate.states import parse_signed_order, verify_state
from quorate.wire import SUITE_OF, Epoch, armor, operation_code, purpose_code, suite_code, u32, u64
from quorate.wrap import CommitmentError, OneTimeKey, Scope, split_wrapped


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_sharing() -> None:
    case = load("sharing")
    commitments = [Point.decode(c) for c in unhex(case["commitments"])]
    coefficients = [decode_scalar(c) for c in unhex(case["coefficients"])]
    assert [(c * B).encode() for c in coefficients] == unhex(case["commitments"])
    for share in case["shares"]:
        expected = bytes.fromhex(share["verifying_key"])
        assert verifying_key(commitments, share["index"]).encode() == expected
        assert (decode_scalar(bytes.fromhex(share["value"])) * B).encode() == expected
    weights = case["lagrange_at_zero"]
    assert [encode_scalar(w) for w in lagrange_at_zero(weights["indices"])] == unhex(weights["weights"])
    for bad in ([1, 2, 1], [0, 1], [1, 65536]):
        with pytest.raises(ValueError, match="distinct"):
            lagrange_at_zero(bad)


@pytest.mark.parametrize("case", load("dleq")["proofs"], ids=lambda c: f"{len(c['inputs'])} pairs")
def test_dleq(case: dict) -> None:
    context, proof = bytes.fromhex(case["context"]), bytes.fromhex(case["proof"])
    public = Point.decode(bytes.fromhex(case["public"]))
    inputs = [Point.decode(p) for p in unhex(case["inputs"])]
    outputs = [Point.decode(p) for p in unhex(case["outputs"])]
    assert verify_dleq(context, public, inputs, outputs, proof)
    for at in (0, 32):
        assert not verify_dleq(context, public, inputs, outputs, flipped(proof, at))
    assert not verify_dleq(context + b"x", public, inputs, outputs, proof)
    assert not verify_dleq(context, public + B, inputs, outputs, proof)
    assert not verify_dleq(context, public, inputs, [outputs[0] + B, *outputs[1:]], proof)
    assert not verify_dleq(context, public, inputs, outputs[1:], proof)
    assert not verify_dleq(context, public, [], [], proof)


@pytest.mark.parametrize("case", load("tdh2")["cases"], ids=lambda c: c["key"])
def test_tdh2(case: dict) -> None:
    def get(name: str) -> bytes:
        return bytes.fromhex(case[name])

    assert B2.encode().hex() == load("tdh2")["B2"]
    binding = tdh2.Binding(
        get("fingerprint"), bytes.fromhex(case["key"]).decode(), case["version"], get("public_key")
    )
    label, header = get("label"), get("header")
    made = tdh2._encapsulate(
        binding, label, header, get("payload_key"), decode_scalar(get("r")), decode_scalar(get("s"))
    )
    assert made == get("ciphertext")
    kem = tdh2.Encapsulation.parse(made)
    assert tdh2.verify(binding, label, header, kem)
    partials = {p["index"]: bytes.fromhex(p["partial"]) for p in case["partials"]}
    t = len(partials)
    assert tdh2.open_kem(binding, label, header, kem, partials, t) == get("payload_key")

    proof = case["proof"]
    node = next(p for p in case["partials"] if p["index"] == proof["node"])
    public, partial = Point.decode(bytes.fromhex(node["share_public"])), bytes.fromhex(node["partial"])
    context, bytes_of_proof = bytes.fromhex(proof["context"]), bytes.fromhex(proof["proof"])
    assert tdh2.verify_partials(context, public, [kem], [partial], bytes_of_proof)
    assert not tdh2.verify_partials(context, public, [kem], [B.encode()], bytes_of_proof)

    # Another label, key, version, cluster, public key or header, or one changed bit.
    others = [
        (
            tdh2.Binding(flipped(binding.fingerprint), binding.key, binding.version, binding.public),
            label,
            header,
        ),
        (
            tdh2.Binding(binding.fingerprint, binding.key + "x", binding.version, binding.public),
            label,
            header,
        ),
        (tdh2.Binding(binding.fingerprint, binding.key, binding.version ^ 1, binding.public), label, header),
        (tdh2.Binding(binding.fingerprint, binding.key, binding.version, B.encode()), label, header),
        (binding, label + b"x", header),
        (binding, label, header + b"x"),
    ]
    for other in others:
        assert not tdh2.verify(*other, kem)
    for other in (*others[:3], others[4]):
        with pytest.raises(tdh2.CommitmentError):
            tdh2.open_kem(*other, kem, partials, t)
    with pytest.raises(CiphertextError, match="unwrap"):
        tdh2.open_kem(*others[5], kem, partials, t)
    for at in (128, 160, 192):
        changed = tdh2.Encapsulation.parse(flipped(made, at))
        assert not tdh2.verify(binding, label, header, changed)
    first = min(partials)
    for bad in (B.encode(), bytes(32), b"\xff" * 32):
        with pytest.raises(tdh2.CommitmentError):
            tdh2.open_kem(binding, label, header, kem, {**partials, first: bad}, t)
    with pytest.raises(ValueError, match="exactly"):
        tdh2.open_kem(binding, label, header, kem, {first: partials[first]}, t)


def test_encapsulations_are_strict() -> None:
    good = bytes.fromhex(load("tdh2")["cases"][0]["ciphertext"])
    order = (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little")
    bad = [good[:-1], good + b"\0", good[:128] + order + good[160:]]
    for at in (0, 32, 64, 96):
        for point in (bytes(32), b"\xff" * 32, b"\x01" + bytes(31)):
            bad.append(good[:at] + point + good[at + 32 :])
    for data in bad:
        with pytest.raises(CodecError):
            tdh2.Encapsulation.parse(data)


@pytest.mark.parametrize("which", [0, 1])
def test_both_logarithms_of_an_encapsulation_are_proved(which: int) -> None:
    """Made by somebody who answers the challenge for one generator only."""
    binding = tdh2.Binding(bytes(32), "k", 1, (5 * B).encode())
    r, s, other = random_scalar(), random_scalar(), random_scalar()
    points = [r * B, r * B2, s * B, s * B2]
    points[which] = other * (B, B2)[which]
    raw, rest = b"".join(p.encode() for p in points), bytes(80)
    for response in (r, other):
        e = tdh2._challenge(binding, b"", b"", raw, rest)
        kem = tdh2.Encapsulation.parse(raw + encode_scalar(s + e * response) + rest)
        assert not tdh2.verify(binding, b"", b"", kem)


@pytest.mark.parametrize(
    "encoding",
    [
        bytes(32),  # the identity
        b"\x01" + bytes(31),  # negative
        P.to_bytes(32, "little"),  # 0 again
        (P + 2).to_bytes(32, "little"),
        b"\xff" * 32,
        bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),  # no square
        bytes(31),
        bytes(33),
    ],
)
def test_bad_points_are_refused(encoding: bytes) -> None:
    with pytest.raises(CodecError):
        Point.decode(encoding)


def test_multiples_of_the_generator() -> None:
    """RFC 9496, A.1."""
    multiples = {
        1: "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
        2: "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        5: "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    }
    for k, expected in multiples.items():
        assert (k * B).encode().hex() == expected
    for k in (0, 1, 15, 16, 255, L - 1, L, L + 5, random_scalar()):
        for g in (B, B2, BASE):
            assert k * g == weighted_sum([k], [g]), "a generator's windows give what doublings give"
    assert (0 * B).is_identity() and (B - B).is_identity() and not B.is_identity()


def plaintext(size: int) -> bytes:
    return bytes((7 * i + i // 251) % 256 for i in range(size))


@pytest.mark.parametrize("case", load("stream")["cases"], ids=lambda c: str(c["plaintext_len"]))
def test_stream(case: dict) -> None:
    key, text = bytes.fromhex(load("stream")["key"]), plaintext(case["plaintext_len"])
    out = io.BytesIO()
    assert stream.seal(key, io.BytesIO(text), out) == len(text)
    sealed = out.getvalue()
    assert hashlib.sha256(sealed).hexdigest() == case["sealed_sha256"]
    back = io.BytesIO()
    stream.open_stream(key, io.BytesIO(sealed), back)
    assert back.getvalue() == text
    attacks = [sealed[:-1], flipped(sealed, len(sealed) - 1), sealed + b"\0", b"", sealed + sealed[:16]]
    if len(text) > 65536:  # whole chunks: the last cut off, the first two swapped, one repeated
        n = stream.SEALED
        attacks += [sealed[: (len(sealed) - 1) // n * n], sealed[:n] + sealed, sealed[n:]]
        attacks += [sealed[n : 2 * n] + sealed[:n] + sealed[2 * n :]]
    for attack in attacks:
        with pytest.raises(CiphertextError):
            stream.open_stream(key, io.BytesIO(attack), io.BytesIO())


def test_a_stream_without_its_end_says_so() -> None:
    key, out = bytes(32), io.BytesIO()
    stream.seal(key, io.BytesIO(bytes(100_000)), out)
    back = io.BytesIO()
    with pytest.raises(CiphertextError, match="last chunk is missing"):
        stream.open_stream(key, io.BytesIO(out.getvalue()[: stream.SEALED]), back)
    assert back.getvalue() == b""


def test_answer() -> None:
    case = load("answer")
    reply = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["client_reply_key"]["secret"]))
    node = bytes.fromhex(case["node_answer_key"]["public"])
    encapsulated = bytes.fromhex(case["ephemeral_key"]["public"])
    info, aad = bytes.fromhex(case["caller_info"]), bytes.fromhex(case["aad"])
    key = session_key(reply, node, encapsulated, info)
    assert key.hex() == case["answer_key"]
    for answer in case["answers"]:
        sealed = bytes.fromhex(answer["sealed"])
        assert open_sealed(key, answer["counter"], aad, sealed).hex() == case["plaintext"]
        for attack in ((answer["counter"] + 1, aad, sealed), (answer["counter"], aad + b"x", sealed)):
            with pytest.raises(InvalidTag):
                open_sealed(key, *attack)
    assert session_key(reply, node, encapsulated, info + b"x") != key
    for args in ((bytes(32), encapsulated), (node, bytes(32)), (node, b"\x01" + bytes(31))):
        with pytest.raises(ValueError):
            session_key(reply, *args, info)


@pytest.mark.parametrize(
    "case", load("voprf")["rfc9497"]["cases"], ids=lambda c: f"{len(c['inputs'])} inputs"
)
def test_voprf_of_the_rfc(case: dict) -> None:
    file = load("voprf")["rfc9497"]
    public = bytes.fromhex(file["public_key"])
    inputs, blinds = unhex(case["inputs"]), [decode_scalar(b) for b in unhex(case["blinds"])]
    elements = [r * voprf.hash_to_group(x) for r, x in zip(blinds, inputs, strict=True)]
    assert [e.encode() for e in elements] == unhex(case["elements"])
    evaluated = [Point.decode(p) for p in unhex(case["evaluated"])]
    proof = bytes.fromhex(case["proof"])
    assert voprf.verify_proof(public, elements, evaluated, proof)
    for at in (0, 32):
        assert not voprf.verify_proof(public, elements, evaluated, flipped(proof, at))
    assert not voprf.verify_proof(B.encode(), elements, evaluated, proof)
    assert not voprf.verify_proof(public, elements, [evaluated[0] + B, *evaluated[1:]], proof)
    for x, blind, point, output in zip(inputs, blinds, evaluated, unhex(case["outputs"]), strict=True):
        batch = voprf.Batch([x], [blind])
        # Of two nodes of the constant polynomial, each with the RFC's key as its share.
        assert batch.finalize({1: [point], 2: [point]}, 2) == [output]


def test_derivation() -> None:
    case = load("voprf")["derivation"]
    inputs = [voprf.private_input(bytes.fromhex(case["context"]), x) for x in unhex(case["inputs"])]
    assert inputs == unhex(case["private_inputs"])
    blinds, checks = ([decode_scalar(s) for s in unhex(case[n])] for n in ("blinds", "check_weights"))
    batch = voprf.Batch(inputs, blinds, checks)
    assert batch.elements == unhex(case["elements"])
    verified = {}
    for node in case["nodes"]:
        public = Point.decode(bytes.fromhex(node["share_public"]))
        partials, proof = unhex(node["partials"]), bytes.fromhex(node["proof"])
        points = batch.verify(public, partials, proof)
        assert points is not None
        verified[node["index"]] = points
        swapped = [partials[1], partials[0], *partials[2:]]
        for bad in (swapped, partials[:-1], [bytes(32), *partials[1:]], [B.encode(), *partials[1:]]):
            assert batch.verify(public, bad, proof) is None
        assert batch.verify(public, partials, None) is None
        assert batch.verify(public + B, partials, proof) is None
    assert batch.finalize(verified, len(verified)) == unhex(case["outputs"])


def test_a_forged_proof_of_a_batch_fails_the_check_element(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the RFC's proof ever be forged, as many items allow, the check element still tells."""
    case = load("voprf")["derivation"]
    monkeypatch.setattr(voprf, "verify_proof", lambda *_: True)
    batch = voprf.Batch(unhex(case["private_inputs"]))
    share = decode_scalar(bytes.fromhex(case["nodes"][0]["share"]))
    honest = [(share * Point.decode(e)).encode() for e in batch.elements]
    assert batch.verify(share * B, honest, bytes(64)) is not None
    wrong = [(share * Point.decode(e) + B).encode() for e in batch.elements[:1]] + honest[1:]
    assert batch.verify(share * B, wrong, bytes(64)) is None


@pytest.mark.parametrize("at", range(len(load("wrap")["wrappings"])))
def test_wrap(at: int) -> None:
    """Every value on the way from a nonce to what is sealed, and nothing beside it."""
    file = load("wrap")
    case, plaintext, other = (
        file["wrappings"][at],
        *(bytes.fromhex(file[n]) for n in ("plaintext", "other_data")),
    )

    def get(name: str) -> bytes:
        return bytes.fromhex(case[name])

    fingerprint, label = bytes.fromhex(file["fingerprint"]), bytes.fromhex(file["context"])
    scope = Scope(fingerprint, file["key_name"], file["version"], label)
    header, nonce = get("header"), get("nonce")
    assert H("wrap/input.", fingerprint, scope.key.encode(), u32(scope.version), label, nonce) == get(
        "hashed_input"
    )
    point = scope.point(nonce)
    assert point.encode() == get("point")
    coefficients, shares = (
        [decode_scalar(s) for s in unhex(values)] for values in (file["coefficients"], file["shares"])
    )
    partials = dict(zip(file["nodes"], unhex(case["partials"]), strict=True))
    for node, share in zip(file["nodes"], shares, strict=True):
        assert share == sum(c * pow(node, k, L) for k, c in enumerate(coefficients)) % L
        assert (share * point).encode() == partials[node]
    shared = combine(partials, len(coefficients))
    assert shared.encode() == get("shared") and shared == coefficients[0] * point
    key = scope.one_time_key(header, nonce, shared)
    assert (key.key, key.commitment) == (get("key"), get("commitment"))
    assert key.key.hex() not in repr(key)
    assert key.committed(get("commitment")) == key.key
    sealed = get("ciphertext") + get("tag")
    assert key.seal(plaintext, other) == sealed and key.open(sealed, other) == plaintext

    # Another cluster, key, version, context, nonce or header, or other partials.
    others = [
        Scope(flipped(fingerprint), scope.key, scope.version, label),
        Scope(fingerprint, scope.key + "x", scope.version, label),
        Scope(fingerprint, scope.key, scope.version ^ 1, label),
        Scope(fingerprint, scope.key, scope.version, label + b"x"),
    ]
    wrong = [another.one_time_key(header, nonce, shared) for another in others]
    wrong += [
        scope.one_time_key(header + b"x", nonce, shared),
        scope.one_time_key(header, flipped(nonce), shared),
        scope.one_time_key(header, nonce, shared + B),
    ]
    for one in wrong:
        with pytest.raises(CommitmentError):
            one.committed(key.commitment)
        with pytest.raises(CiphertextError, match="was changed"):
            one.open(sealed, other)
    points = [point, scope.point(flipped(nonce)), *(another.point(nonce) for another in others)]
    assert len({p.encode() for p in points}) == len(points)
    for bad in (bytes(32), b"\xff" * 32):
        with pytest.raises(CodecError):
            combine({**partials, file["nodes"][0]: bad}, len(coefficients))
    with pytest.raises(ValueError, match="exactly"):
        combine(partials, len(coefficients) + 1)
    with pytest.raises(CiphertextError, match="was changed"):
        key.open(sealed, other + b"x")


def test_client() -> None:
    """From the fingerprint to a plaintext and a derived secret, each step through the client's own code."""
    case = load("client")
    assert case == vectors(), "run make_vectors.py, if a format is meant to change"
    fingerprint, now, context = (
        bytes.fromhex(case["fingerprint"]),
        case["now"],
        encode_context(case["context"]),
    )
    cluster = Cluster(fingerprint, [parse_signed_roster(r) for r in unhex(case["rosters"])])
    assert cluster.roster.version == 2
    identity = Identity(bytes.fromhex(case["identity_seed"]))
    book = AnswerBook(identity.public)
    book._reply = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["reply_secret"]))

    def key(name: str) -> Key:
        birth, newest = (bytes.fromhex(case["keys"][name][n]) for n in ("record", "newest"))
        return Key(cluster, KeyRecord.parse(birth), KeyRecord.parse(newest) if newest else None)

    def answers(
        key: Key,
        said: dict,
        operation: str,
        ttl: int = 10_000,
        label: bytes = context,
        prove: bool = False,
    ) -> dict[int, Answer]:
        head = bytes.fromhex(said["head"])
        request = sign_request(
            identity, fingerprint, now=now, ttl=ttl, key=key.name, version=key.version, context=label,
            operation=operation, reply_key=book.reply_key, prove=prove,
            items=unhex(said["items"]), request_id=head[6:22],
        )  # fmt: skip
        assert (request.head, request.signature.hex()) == (head, said["signature"])
        expected = Expected(fingerprint, key.committee, request.hash, now)
        sealed = {a["node"]: bytes.fromhex(a["sealed"]) for a in said["answers"]}
        return {node: book.read_sealed(node, data, expected) for node, data in sealed.items()}

    demo, said = key("demo"), case["decrypt"]
    assert demo.epoch.number == 2000
    ciphertext = bytes.fromhex(said["ciphertext"])
    head = Head.split(ciphertext, fingerprint)
    assert [head.raw.hex()] == said["items"]
    binding = tdh2.Binding(fingerprint, demo.name, demo.version, demo.public_key)
    kem = tdh2.Encapsulation.parse(head.kem)
    assert tdh2.verify(binding, context, head.header, kem)
    partials = {node: a.partials[0] for node, a in answers(demo, said, "decrypt").items()}
    payload_key = tdh2.open_kem(binding, context, head.header, kem, partials, demo.threshold)
    out = io.BytesIO()
    stream.open_stream(payload_key, io.BytesIO(ciphertext[len(head.raw) :]), out)
    assert out.getvalue().hex() == said["plaintext"]

    ids, said = key("ids"), case["derive"]
    private = voprf.private_input(context, bytes.fromhex(said["input"]))
    batch = voprf.Batch([private], [decode_scalar(bytes.fromhex(said["blind"]))])
    assert batch.elements == unhex(said["items"])
    verified = {}
    for node, answer in answers(ids, said, "derive", prove=True).items():
        points = batch.verify(ids.verifying_key(node), answer.partials, answer.proof)
        assert points is not None
        verified[node] = points
    assert batch.finalize(verified, ids.threshold)[0].hex() == said["secret"]

    release, said = key("release"), case["sign"]
    messages, epoch = unhex(said["messages"]), release.epoch
    assert unhex(said["commit"]["items"]) == [encode_nonce_order(epoch, len(messages))]
    none = encode_context(None)
    committed = answers(release, said["commit"], "sign-commit", 60_000, none).items()
    drawn = {node: read_drawn(answer.partials) for node, answer in committed}
    items = [
        encode_sign_item(epoch, {node: pairs[at] for node, pairs in drawn.items()}, message)
        for at, message in enumerate(messages)
    ]
    assert items == unhex(said["share"]["items"])
    shares = answers(release, said["share"], "sign", 60_000)
    for at, message in enumerate(messages):
        points = {node: pairs[at].commitments for node, pairs in drawn.items()}
        signing = SigningSet(release.public_key, message, points)
        of_item = {node: answer.partials[at] for node, answer in shares.items()}
        made = aggregate(signing, of_item, release.threshold, release.edwards)
        assert made.hex() == said["signatures"][at]
        release.verify_signature(message, made)

    vault = key("vault")
    scope = Scope(fingerprint, vault.name, vault.version, context)

    def one_time_key(said: dict, header: bytes, nonce: bytes, prove: bool = False) -> OneTimeKey:
        assert said["items"] == [nonce.hex()]
        given = answers(vault, said, "wrap", prove=prove)
        request = H32("request/hash.", fingerprint, bytes.fromhex(said["head"]))
        for node, answer in given.items():
            assert (answer.proof is not None) == prove
            if answer.proof is not None:
                proved = partial_context(
                    fingerprint, vault.name, vault.version, vault.purpose, SUITE_OF[vault.purpose],
                    vault.epoch.to_bytes(), node, dict(vault.committee.members)[node], request,
                )  # fmt: skip
                public, points = vault.verifying_key(node), [scope.point(nonce)]
                assert verify_partials(proved, public, points, answer.partials, answer.proof)
        partials = {node: a.partials[0] for node, a in given.items()}
        return scope.one_time_key(header, nonce, combine(partials, vault.threshold))

    said = case["wrap"]
    plaintext, other, wrapped = (bytes.fromhex(said[n]) for n in ("plaintext", "other_data", "wrapped"))
    nonce, sealed = split_wrapped(wrapped)
    assert nonce == H("wrap/nonce.", bytes.fromhex(said["randomness"]), plaintext, other)[:16]
    made = one_time_key(said, b"", nonce, prove=True)
    assert made.seal(plaintext, other) == sealed and made.open(sealed, other) == plaintext

    said = case["encrypt"]
    ciphertext = bytes.fromhex(said["ciphertext"])
    wrapped_head = Head.split(ciphertext, fingerprint)
    assert isinstance(wrapped_head, WrappedHead)
    for half, prove in ((said["seal"], True), (said["open"], False)):
        made = one_time_key(half, wrapped_head.header, wrapped_head.nonce, prove)
        out = io.BytesIO()
        payload = io.BytesIO(ciphertext[len(wrapped_head.raw) :])
        stream.open_stream(made.committed(wrapped_head.commitment), payload, out)
        assert out.getvalue().hex() == said["plaintext"]

    said = case["alias"]
    states = [verify_state(cluster, parse_signed_order(data)).state for data in unhex(said["orders"])]
    assert [(s.name, s.revision) for s in states if said["alias"] in s.aliases and s.waits(now)] == [
        (said["key"], said["revision"])
    ]


def points_of(signers: list[dict]) -> dict[int, NonceCommitments]:
    return {s["index"]: NonceCommitments.parse(bytes.fromhex(s["hiding"] + s["binding"])) for s in signers}


def test_frost_of_the_rfc() -> None:
    """Appendix E.1 of RFC 9591."""
    case = load("frost")["rfc9591"]
    public, message = bytes.fromhex(case["public_key"]), bytes.fromhex(case["message"])
    coefficients = [decode_scalar(c) for c in unhex(case["coefficients"])]
    commitments = [c * BASE for c in coefficients]
    assert commitments[0].encode() == public
    signing = SigningSet(public, message, points_of(case["signers"]))
    shares = {}
    for s in case["signers"]:
        assert encode_scalar(signing.factors[s["index"]]).hex() == s["binding_factor"]
        share = shares[s["index"]] = bytes.fromhex(s["signature_share"])
        assert signing.verify_share(s["index"], share, verifying_key(commitments, s["index"]))
    assert aggregate(signing, shares, case["threshold"], commitments).hex() == case["signature"]


@pytest.mark.parametrize("case", load("sign")["signatures"], ids=lambda c: c["what"])
def test_signing(case: dict) -> None:
    """Every value on the way from nonce commitments to a signature, and who spoils one."""
    file = load("sign")
    public, t, message = bytes.fromhex(file["public_key"]), file["threshold"], bytes.fromhex(case["message"])
    commitments = [EdwardsPoint.decode(c) for c in unhex(file["commitments"])]
    for node in file["nodes"]:
        assert verifying_key(commitments, node["index"]).encode().hex() == node["verifying_key"]
    signing = SigningSet(public, message, points_of(case["signers"]))
    assert signing.encoded.hex() == case["encoded_commitments"]
    assert signing.commitment.hex() == case["group_commitment"]
    assert encode_scalar(signing.challenge).hex() == case["challenge"]
    shares = {}
    for s in case["signers"]:
        node = s["index"]
        assert encode_scalar(signing.factors[node]).hex() == s["binding_factor"]
        assert encode_scalar(signing.weights[node]).hex() == s["lagrange"]
        shares[node] = bytes.fromhex(s["signature_share"])
        assert signing.verify_share(node, shares[node], verifying_key(commitments, node))
    assert aggregate(signing, shares, t, commitments).hex() == case["signature"]
    assert verify_ed25519(public, message, bytes.fromhex(case["signature"]))
    for spoilt in case["spoilt"]:
        bad = dict(zip(sorted(shares), unhex(spoilt["signature_shares"]), strict=True))
        if not spoilt["cheaters"]:
            assert aggregate(signing, bad, t, commitments).hex() == case["signature"], spoilt["what"]
            continue
        with pytest.raises(CheatersError) as caught:
            aggregate(signing, bad, t, commitments)
        assert list(caught.value.nodes) == spoilt["cheaters"], spoilt["what"]
    # Not exactly one share of each signer, or fewer than the threshold, or another key's set.
    first = min(shares)
    for wrong in ({i: z for i, z in shares.items() if i != first}, {**shares, 9: bytes(32)}):
        with pytest.raises(ValueError, match="expected one share of each"):
            aggregate(signing, wrong, t, commitments)
    with pytest.raises(ValueError, match="at least 6"):
        aggregate(signing, shares, 6, commitments)
    with pytest.raises(ValueError, match="another public key"):
        aggregate(signing, shares, t, [BASE, *commitments[1:]])


@pytest.mark.parametrize("case", load("sign")["refused_points"], ids=lambda c: c["what"])
def test_points_that_are_refused(case: dict) -> None:
    bad, good = bytes.fromhex(case["point"]), BASE.encode()
    with pytest.raises(CodecError):
        EdwardsPoint.decode(bad)
    for pair in (bad + good, good + bad):
        with pytest.raises(CodecError):
            NonceCommitments.parse(pair)
    assert NonceCommitments.parse(good + good).raw == good + good


@pytest.mark.parametrize("case", load("sign")["refused_signatures"], ids=lambda c: c["what"])
def test_signatures_that_are_refused(case: dict) -> None:
    public, message, signature = (bytes.fromhex(case[n]) for n in ("public_key", "message", "signature"))
    assert not verify_ed25519(public, message, signature)


def test_edwards_decoding_is_what_it_says() -> None:
    """The quick check of the order against ℓ times the point, with every component of small order."""
    small = []
    for encoding in sorted(SMALL_ORDER):
        bits = int.from_bytes(encoding, "little")
        y = bits & (1 << 255) - 1
        square, x = sqrt_ratio(y * y - 1, D * y * y + 1)
        assert square
        x = -x % P if x & 1 != bits >> 255 else x
        small.append(EdwardsPoint(x, y, 1, x * y % P))
    assert len({(p.x, p.y) for p in small}) == 8
    kept = 0
    for torsion in small:
        for k in (1, 2, random_scalar()):
            point = k * BASE + torsion
            prime = window_sum([(L, point)]).is_identity()
            try:
                assert EdwardsPoint.decode(point.encode()) == point
                kept += 1
                assert prime
            except CodecError:
                assert not prime
    assert kept == 6  # the identity stands twice among them, with and without a sign


def test_formats_of_signing() -> None:
    """The same bytes as the Rust types, whose commitments there are no points."""

    def drawn(node: int, number: int) -> Drawn:
        raw = bytes([0xC0 + node]) * 64
        return Drawn(bytes([node]) * 16 + u64(number), NonceCommitments(raw, BASE, BASE))

    epoch = Epoch(0x401, b"\xb0" * 32)
    assert encode_nonce_order(epoch, 16) == snapshot("nonce-order")
    signers = {4: drawn(4, 0x4A), 1: drawn(1, 0x47), 3: drawn(3, 0x49)}
    item = encode_sign_item(epoch, signers, b"v1.2.3 is good")
    assert item == snapshot("sign-item")
    words = snapshot("nonce-words")
    assert words == signers[3].handle + bytes(8) + signers[3].commitments.raw
    pair = signers[3].handle + bytes(8), BASE.encode(), (2 * BASE).encode()
    (read,) = read_drawn(pair)
    assert (read.handle, read.commitments.raw) == (signers[3].handle, pair[1] + pair[2])
    for bad in (
        [words[i : i + 32] for i in range(0, 96, 32)],  # no points
        [*pair, *pair],
        pair[:2],
        [*pair, pair[0]],
        [pair[0][:-1] + b"\1", *pair[1:]],
    ):
        with pytest.raises(CodecError):
            read_drawn(bad)


def test_a_head_is_of_one_form_by_its_suite() -> None:
    """Of docs/protocol/wrap.md; no prefix of one is one."""
    fingerprint, rest = b"\xf1" * 32, bytes(range(48))
    header = b"QRT1\x00\x01\x03" + b"\xf1" * 8 + b"\x00\x00\x00\x05vault" + u32(7)
    assert encode_header(fingerprint, "vault", 7, "wrap") == header
    head = Head.split(header + rest + b"a payload", fingerprint)
    assert isinstance(head, WrappedHead) and head.raw == header + rest
    assert (head.key, head.version, head.purpose) == ("vault", 7, "wrap")
    assert (head.nonce, head.commitment) == (rest[:16], rest[16:])
    for n in range(len(head.raw)):
        with pytest.raises(CiphertextError):
            Head.split(head.raw[:n], fingerprint)
    other = header[:6] + b"\x01" + header[7:]
    assert isinstance(Head.split(other + bytes(240), fingerprint), EncryptedHead)
    for suite in (0, 2, 4, 255):
        with pytest.raises(CiphertextError, match="was changed"):
            Head.split(header[:6] + bytes([suite]) + header[7:] + bytes(240), fingerprint)


def test_codes() -> None:
    """Of docs/protocol/formats.md."""
    assert [purpose_code(p)[0] for p in ("decrypt", "sign", "derive", "wrap")] == [1, 2, 3, 4]
    operations = ("decrypt", "sign", "derive", "sign-commit", "wrap")
    assert [operation_code(o)[0] for o in operations] == [1, 2, 3, 4, 5]
    suites = {"decrypt": 1, "sign": 2, "derive": 3, "wrap": 3}
    assert {purpose: suite_code(suite)[0] for purpose, suite in SUITE_OF.items()} == suites


def test_formats_of_the_snapshots() -> None:
    """The same bytes as the Rust types, parsed and written again."""
    record = KeyRecord.parse(snapshot("key-record"))
    assert b"QKEY\x00\x02" + record.body() == snapshot("key-record")
    assert b"QEPO\x00\x02" + record.public.body() == snapshot("epoch-public")
    roster = Roster.parse(snapshot("roster"))
    assert roster.version >= 1 and parse_signed_roster(snapshot("signed-roster")).body
    assert parse_chain(armor("QUORATE ROSTER", snapshot("roster-chain")))
    assert encode_context({"row": "17", "app": "payroll"}) == snapshot("encryption-context")
    head = snapshot("ciphertext-head")
    split = Head.split(head, head[7:15] + bytes(24))
    assert split.raw == head and split.header == snapshot("ciphertext-header")
    assert isinstance(split, EncryptedHead) and split.purpose == "decrypt"
    assert H("a", b"b") != H("ab", b"")


@pytest.mark.parametrize("name", ["key-record", "roster", "signed-roster"])
def test_formats_are_strict(name: str) -> None:
    """No prefix and no extension of a format is one."""
    parse = {"key-record": KeyRecord.parse, "roster": Roster.parse, "signed-roster": parse_signed_roster}[
        name
    ]
    data = snapshot(name)
    for n in range(0, len(data), 7):
        with pytest.raises(CodecError):
            parse(data[:n])
    for bad in (data + b"\0", b"Q" * 4 + data[4:], data[:4] + b"\0\x09" + data[6:]):
        with pytest.raises(CodecError):
            parse(bad)
