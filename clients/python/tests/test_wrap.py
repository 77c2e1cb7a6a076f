"""One-time keys of a quorum: none is used before every proof holds, and who lies is named."""

from __future__ import annotations

import io
import itertools
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake import Answering, FakeCluster, Link, flip, read_head, replace

from quorate import (
    CertificateError,
    CiphertextError,
    Client,
    InvalidError,
    NoQuorumError,
    RefusedError,
    VerificationError,
    WrongPurposeError,
    asking,
)
from quorate import client as client_module
from quorate.certificate import Key
from quorate.group import B, Point, random_scalar
from quorate.home import Home
from quorate.wire import u32

CONTEXT = {"app": "crm"}
SECRET = b"a secret of this length"


@pytest.fixture
def fake(tmp_path: Path) -> FakeCluster:
    fake = FakeCluster(tmp_path / "home", n=4, t=2)
    for name, purpose in (("vault", "wrap"), ("demo", "decrypt"), ("ids", "derive"), ("release", "sign")):
        fake.record(name, purpose)
    return fake


@pytest.fixture
def link(fake: FakeCluster) -> Link:
    return Link(fake)


@pytest.fixture
def client(fake: FakeCluster, link: Link) -> Client:
    return Client(Home(fake.home), links=[link], timeout=5)


def proofs_asked(link: Link) -> list[bool]:
    """Whether each request that wraps demanded proofs, in their order."""
    seen: list[bool] = []

    def keep(operation: str, request: Any) -> None:
        assert operation == "wrap" and all(len(item) == 16 for item in request.items)
        seen.append(read_head(request.head)[5])

    link.question = keep
    return seen


# --- lies --------------------------------------------------------------------------------------


def wrong_partial(said: Answering) -> None:
    error = random_scalar() * B
    said.partials[-1] = (Point.decode(said.partials[-1]) + error).encode()


def errors_that_cancel(said: Answering) -> None:
    """In a sum over the batch."""
    error = random_scalar() * B
    for at, point in zip((0, -1), (error, -error), strict=True):
        said.partials[at] = (Point.decode(said.partials[at]) + point).encode()


def swapped(said: Answering) -> None:
    """The right partials in the wrong order."""
    said.partials.reverse()


def junk(said: Answering) -> None:
    said.partials[0] = b"\xff" * 32


def identity(said: Answering) -> None:
    said.partials[-1] = bytes(32)


def short(said: Answering) -> None:
    said.partials.pop()


def one_more(said: Answering) -> None:
    said.partials.append(B.encode())


#: Each with how many items it is told about.
LIES = [
    *((lie, 1) for lie in (wrong_partial, junk, short)),
    *((lie, 2) for lie in (wrong_partial, errors_that_cancel, swapped, identity, one_more)),
]


def bad_proof(said: Answering) -> None:
    if said.proof is not None:
        said.proof = flip(said.proof, 40)


def no_proof(said: Answering) -> None:
    said.proof = None


def lies_unasked(said: Answering) -> None:
    if said.proof is None:
        wrong_partial(said)


# --- what works --------------------------------------------------------------------------------


def test_what_was_sealed_opens_by_every_quorum(fake: FakeCluster, client: Client) -> None:
    sealed = client.encrypt("vault", SECRET, CONTEXT)
    wrapped = client.wrap("vault", SECRET, CONTEXT, other_data=b"volume 7")
    for quorum in itertools.combinations(fake.nodes, 2):
        for i, node in fake.nodes.items():
            node.up = i in quorum
        results, report = client.decrypt_batch([sealed], CONTEXT)
        assert results == [SECRET] and report.nodes == list(quorum) and report.liars == []
        assert client.unwrap("vault", wrapped, CONTEXT, other_data=b"volume 7") == SECRET
    # Shorter than to a public key, by what the key encapsulation takes.
    public = client.encrypt("demo", SECRET, CONTEXT)
    assert len(public) + len("vault") - len("demo") == len(sealed) + 192


def test_what_was_sealed_opens_after_a_refresh(fake: FakeCluster, client: Client) -> None:
    sealed, wrapped = client.encrypt("vault", SECRET, CONTEXT), client.wrap("vault", SECRET, CONTEXT)
    made = client.data_key("vault", CONTEXT)
    fake.move("vault", "wrap")
    assert client.decrypt(sealed, CONTEXT) == SECRET
    assert client.unwrap("vault", wrapped, CONTEXT) == SECRET
    assert client.unwrap_data_key(made.wrapped, CONTEXT) == made.plaintext
    assert client.key("vault").epoch.number == 2000
    assert client.decrypt(client.encrypt("vault", b"after"), None) == b"after"


def test_streams_are_sealed_and_sealed_again_under_another_key(client: Client) -> None:
    plain = secrets.token_bytes(300_000)
    first, again, back = io.BytesIO(), io.BytesIO(), io.BytesIO()
    report = client.encrypt_stream("vault", io.BytesIO(plain), first, CONTEXT)
    assert len(report.nodes) == 2
    report = client.reencrypt_stream(io.BytesIO(first.getvalue()), again, CONTEXT, "demo", None)
    assert len(report.nodes) == 2
    client.decrypt_stream(io.BytesIO(again.getvalue()), back)
    assert back.getvalue() == plain
    once_more = client.reencrypt(again.getvalue(), None, "vault", CONTEXT)
    assert client.decrypt(once_more, CONTEXT) == plain
    for text in (b"", bytes(65_536)):
        moved = client.reencrypt(client.encrypt("vault", text), None, "demo", CONTEXT)
        assert client.decrypt(moved, CONTEXT) == text


def test_a_stream_that_is_cut_is_never_sealed_again_as_a_shorter_one(client: Client) -> None:
    """Also at a chunk's end, where what came before is whole chunks."""
    plain = secrets.token_bytes(150_000)
    sealed = client.encrypt("vault", plain, CONTEXT)
    head = len(sealed) - len(plain) - 3 * 16
    bad = [sealed[: head + n * 65_552] for n in (0, 1, 2)]
    bad += [
        sealed[:140_000],
        sealed[:-1],
        sealed + b"\n",
        flip(sealed, 100_000),
        flip(sealed, len(sealed) - 1),
    ]
    for one in bad:
        out = io.BytesIO()
        with pytest.raises(CiphertextError):
            client.reencrypt_stream(io.BytesIO(one), out, CONTEXT, "demo", None)
        with pytest.raises(CiphertextError):
            client.decrypt(out.getvalue())


def test_nothing_is_opened_for_a_key_that_cannot_seal(client: Client, link: Link) -> None:
    sealed = client.encrypt("vault", SECRET)
    before = len(link.carried)
    for to in ("ids", "release"):
        with pytest.raises(WrongPurposeError):
            client.reencrypt(sealed, None, to, None)
    assert len(link.carried) == before


def test_batches_mix_both_forms_and_more_than_one_request(
    client: Client, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asking.most_items(client.key("vault")) == 1024
    monkeypatch.setattr(client_module, "most_items", lambda key: 5)
    texts = [f"secret {i}".encode() for i in range(12)]
    sealed, report = client.encrypt_batch("vault", texts, CONTEXT)
    assert [len(items) for items in link.carried] == [5, 5, 2] and report.nodes == [1, 2]
    nonces = [item for items in link.carried for item in items]
    assert len(set(nonces)) == 12
    others, report = client.encrypt_batch("demo", texts[:2], CONTEXT)
    assert report.nodes == [] and len(link.carried) == 3, "to a public key nobody is asked"
    mixed = [others[0], *sealed, others[1], b"junk"]
    results, _ = client.decrypt_batch(mixed, CONTEXT)
    assert results[:-1] == [texts[0], *texts, texts[1]] and isinstance(results[-1], CiphertextError)
    assert sorted(link.operations[3:]) == ["decrypt", "wrap", "wrap", "wrap"]
    asked = len(link.carried)
    assert client.encrypt_batch("vault", [])[0] == client.wrap_batch("vault", [])[0] == []
    assert client.unwrap_batch("vault", [])[0] == client.data_keys("vault", 0)[0] == []
    assert len(link.carried) == asked


# --- lying nodes -------------------------------------------------------------------------------


@pytest.mark.parametrize(("lie", "n"), [*LIES, (bad_proof, 1), (no_proof, 1)])
def test_no_one_time_key_is_used_before_every_proof_holds(
    fake: FakeCluster, client: Client, lie: Callable, n: int
) -> None:
    fake.nodes[2].lie = lie
    sealed, report = client.encrypt_batch("vault", [SECRET] * n, CONTEXT)
    assert report.liars == [2] and report.nodes == [1, 3]
    wrapped, report = client.wrap_batch("vault", [(SECRET, b"")] * n, CONTEXT)
    assert report.liars == [2] and report.nodes == [1, 3]
    fake.nodes[2].lie = None
    results, report = client.decrypt_batch(sealed, CONTEXT)
    assert results == [SECRET] * n and report.nodes == [1, 2] and report.liars == []
    results, report = client.unwrap_batch("vault", [(one, b"") for one in wrapped], CONTEXT)
    assert results == [SECRET] * n and report.nodes == [1, 2] and report.liars == []


@pytest.mark.parametrize(("lie", "n"), [*LIES, (lies_unasked, 2)])
def test_a_node_that_lies_when_unwrapping_is_named_and_all_opens(
    fake: FakeCluster, client: Client, lie: Callable, n: int
) -> None:
    texts = [f"secret {i}".encode() for i in range(n)]
    sealed, _ = client.encrypt_batch("vault", texts, CONTEXT)
    wrapped, _ = client.wrap_batch("vault", [(text, b"") for text in texts], CONTEXT)
    fake.nodes[1].lie = lie
    results, report = client.decrypt_batch(sealed, CONTEXT)
    assert results == texts and report.liars == [1]
    # Nothing commits to the key here, so a lie is found by its proof, not by what it does.
    results, report = client.unwrap_batch("vault", [(one, b"") for one in wrapped], CONTEXT)
    assert results == texts and report.liars == ([] if lie is lies_unasked else [1])


@pytest.mark.parametrize("lie", [bad_proof, no_proof])
def test_a_proof_that_does_not_hold_or_is_missing_is_a_lie(
    fake: FakeCluster, client: Client, lie: Callable
) -> None:
    sealed, wrapped = client.encrypt("vault", SECRET, CONTEXT), client.wrap("vault", SECRET, CONTEXT)
    fake.nodes[1].lie, fake.nodes[2].lie = lie, wrong_partial
    results, report = client.decrypt_batch([sealed], CONTEXT)
    assert results == [SECRET] and report.liars == [1, 2]
    results, report = client.unwrap_batch("vault", [(wrapped, b"")], CONTEXT)
    assert results == [SECRET] and report.liars == [1, 2]


def test_a_proof_of_another_request_is_a_lie(fake: FakeCluster, client: Client) -> None:
    """Answers that were right for another question, with the proofs that they had then."""
    kept: list[Answering] = []

    def replay(said: Answering) -> None:
        kept.append(Answering([*said.partials], said.proof, said.epoch, said.operation))
        said.partials, said.proof = kept[0].partials, kept[0].proof

    fake.nodes[2].lie = replay
    wrapped, report = client.wrap_batch("vault", [(SECRET, b"")])
    assert report.liars == []
    # The same nonce again, and so the same partials: only the proof is of another request.
    results, report = client.unwrap_batch("vault", [(wrapped[0], b"")])
    assert results == [SECRET] and report.liars == [2]


def test_who_calls_a_nonce_invalid_lies(fake: FakeCluster, client: Client) -> None:
    fake.nodes[1].refuse = (9, 0)
    sealed, report = client.encrypt_batch("vault", [SECRET])
    assert report.liars == [1] and report.nodes == [2, 3]
    results, report = client.decrypt_batch(sealed)
    assert results == [SECRET] and report.liars == [1]


def test_three_liars_or_too_few_nodes_give_nothing(fake: FakeCluster, client: Client) -> None:
    sealed, wrapped = client.encrypt("vault", SECRET, CONTEXT), client.wrap("vault", SECRET, CONTEXT)
    attempts: list[Callable[[], object]] = [
        lambda: client.encrypt("vault", SECRET, CONTEXT),
        lambda: client.decrypt(sealed, CONTEXT),
        lambda: client.unwrap("vault", wrapped, CONTEXT),
    ]
    bad = [fake.nodes[i] for i in (1, 2, 4)]
    for node in bad:
        node.lie = wrong_partial
    for attempt in attempts:
        with pytest.raises(VerificationError, match=r"node-1 .*node-2 .*node-4 .*answered wrongly") as lied:
            attempt()
        assert lied.value.nodes == (1, 2, 4) and lied.value.exit_code == 5
    for node in bad:
        node.lie, node.up = None, False
    for attempt in attempts:
        with pytest.raises(NoQuorumError, match="1 of the 2"):
            attempt()
    for node in bad:
        node.up, node.refuse = True, (2, None)
    for attempt in attempts:
        with pytest.raises(RefusedError, match="not granted"):
            attempt()


@pytest.mark.parametrize("at", [10, 100, 200, -1])
def test_a_coordinator_can_change_nothing(fake: FakeCluster, at: int) -> None:
    """Whose fault it is nobody can tell, so no node is called a liar; an honest coordinator is asked."""
    bad, good = Link(fake, "bad"), Link(fake, "good")

    def change(answer: Any) -> None:
        answer.sealed = flip(answer.sealed, at % len(answer.sealed))

    bad.tamper = change
    client = Client(Home(fake.home), links=[bad, good], timeout=5)
    sealed, report = client.encrypt_batch("vault", [SECRET])
    assert report.liars == [] and client.decrypt(sealed[0]) == SECRET
    alone = Client(Home(fake.home), links=[bad], timeout=5)
    with pytest.raises((VerificationError, NoQuorumError)):
        alone.encrypt("vault", SECRET)

    def exchange(operation: str, request: Any) -> None:
        request.items[0] = bytes(16)

    bad.tamper, bad.question = lambda answer: None, exchange
    with pytest.raises(VerificationError, match="bad changed the request's items"):
        alone.encrypt("vault", SECRET)


# --- proofs and commitments --------------------------------------------------------------------


def test_proofs_are_demanded_to_wrap_and_in_doubt_only_to_unwrap(client: Client, link: Link) -> None:
    seen = proofs_asked(link)
    sealed, _ = client.encrypt_batch("vault", [b"a", b"b", b"c"], CONTEXT)
    assert client.decrypt_batch(sealed, CONTEXT)[0] == [b"a", b"b", b"c"] and seen == [True, False]
    # The payload is beside the point; the commitment says that the key was right.
    sealed[1] = flip(sealed[1], len(sealed[1]) - 1)
    assert isinstance(client.decrypt_batch(sealed, CONTEXT)[0][1], CiphertextError)
    assert seen == [True, False, False]
    sealed[1] = flip(sealed[1], len(sealed[1]) - 1 - 16 - 1)  # the commitment
    assert isinstance(client.decrypt_batch(sealed, CONTEXT)[0][1], CiphertextError)
    assert seen == [True, False, False, False, True]
    del seen[:]
    wrapped = client.wrap("vault", SECRET)
    assert client.unwrap("vault", wrapped) == SECRET
    client.data_key("vault")
    assert seen == [True, True, True], "AES-GCM commits to no key, so nodes do"


def test_what_was_changed_stays_shut_and_the_rest_of_the_batch_opens(client: Client) -> None:
    texts = [f"secret {i}".encode() for i in range(3)]
    good, _ = client.encrypt_batch("vault", texts, CONTEXT)
    nonce = len(good[1]) - len(texts[1]) - 16 - 32 - 16
    for at in (nonce, nonce + 15, nonce + 16, nonce + 47, nonce + 48, len(good[1]) - 1):
        rows = [good[0], flip(good[1], at), good[2]]
        results, report = client.decrypt_batch(rows, CONTEXT)
        assert results[0] == texts[0] and results[2] == texts[2]
        assert isinstance(results[1], CiphertextError) and "was" in str(results[1]), at
        assert report.liars == [], "nobody is blamed for a bad ciphertext"
    for at in [*range(nonce), *range(nonce, len(good[1]), 17)]:
        with pytest.raises(CiphertextError):
            client.decrypt(flip(good[1], at), CONTEXT)
    for cut in (len(good[1]) - 1, nonce + 48, nonce + 20, nonce, 10, 0):
        with pytest.raises(CiphertextError):
            client.decrypt(good[1][:cut], CONTEXT)
    for context in (None, {"app": "other"}, {"app": "crm", "row": "1"}):
        with pytest.raises(CiphertextError, match="another encryption context"):
            client.decrypt(good[0], context)
    swap = good[0][: nonce + 48] + good[2][nonce + 48 :]
    with pytest.raises(CiphertextError, match="does not verify"):
        client.decrypt(swap, CONTEXT)


def test_what_was_sealed_under_one_name_does_not_open_under_another(
    fake: FakeCluster, client: Client
) -> None:
    """Of a twin with the same shares, header and all: the name is in the point and in the key."""
    sealed, wrapped = client.encrypt("vault", SECRET), client.wrap("vault", SECRET)
    fake.record("twins", "wrap", secret=fake.secrets["vault"])
    number = fake.records["twins"].public.epoch.number
    assert fake.records["twins"].public.commitments[0] == fake.records["vault"].public.commitments[0]
    assert number == fake.records["vault"].public.epoch.number
    with pytest.raises(CiphertextError, match="or another key"):
        client.decrypt(sealed.replace(b"vault", b"twins"))
    with pytest.raises(CiphertextError, match="another key"):
        client.unwrap("twins", wrapped)


# --- what is wrapped as it is ------------------------------------------------------------------


def test_what_is_wrapped_is_as_long_as_it_was_with_a_nonce_and_a_tag(
    fake: FakeCluster, client: Client
) -> None:
    texts = [bytes([0x5A]) * n for n in (0, 1, 4300, 65_536)]
    fake.nodes[2].lie = wrong_partial
    wrapped, report = client.wrap_batch("vault", [(text, b"volume 7") for text in texts], CONTEXT)
    assert report.liars == [2]
    assert [len(one) for one in wrapped] == [len(text) + 32 for text in texts]
    assert len({one[:16] for one in wrapped}) == 4
    results, report = client.unwrap_batch("vault", [(one, b"volume 7") for one in wrapped], CONTEXT)
    assert results == texts and report.liars == [2]
    for other, context in ((b"volume 8", CONTEXT), (b"volume 7", None)):
        results, _ = client.unwrap_batch("vault", [(one, other) for one in wrapped], context)
        assert all(isinstance(one, CiphertextError) for one in results)
    for at in (0, 15, 16, 16 + 4300, len(wrapped[2]) - 1):
        with pytest.raises(CiphertextError, match="was changed"):
            client.unwrap("vault", flip(wrapped[2], at), CONTEXT, other_data=b"volume 7")
    with pytest.raises(InvalidError, match="at most 65536 bytes, got 65537"):
        client.wrap("vault", bytes(65_537))


def test_what_is_no_wrapping_is_told_in_its_place(client: Client, link: Link) -> None:
    good = client.wrap("vault", SECRET)
    before = len(link.carried)
    for wrong in (b"", bytes(31), bytes(65_536 + 33)):
        with pytest.raises(CiphertextError, match=f"32 to 65568 bytes, got {len(wrong)}"):
            client.unwrap("vault", wrong)
    assert len(link.carried) == before, "nobody is asked"
    results, _ = client.unwrap_batch("vault", [(bytes(31), b""), (good, b""), (good[:-1], b""), (good, b"x")])
    assert results[1] == SECRET
    assert all(isinstance(results[at], CiphertextError) for at in (0, 2, 3))


def test_a_nonce_does_not_repeat_though_the_generator_does(
    client: Client, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two plaintexts under one key and context; of one and the same it is no harm."""
    from quorate import wrap

    monkeypatch.setattr(wrap.secrets, "token_bytes", bytes)
    nonces = {wrap.draw_nonce(*item) for item in ((b"a", b""), (b"b", b""), (b"a", b"x"), (b"", b"ax"))}
    assert len(nonces) == 4


# --- keys and what they are for ----------------------------------------------------------------


def test_a_key_wraps_or_does_something_else(client: Client) -> None:
    for other in ("demo", "ids", "release"):
        for work in (
            lambda key: client.wrap(key, SECRET),
            lambda key: client.unwrap(key, bytes(40)),
        ):
            with pytest.raises(WrongPurposeError, match="it cannot wrap"):
                work(other)
    for attempt in (
        lambda: client.derive("vault", SECRET),
        lambda: client.sign("vault", SECRET),
        lambda: client.verify("vault", SECRET, bytes(64)),
        lambda: client.encrypt("ids", SECRET),
        lambda: client.data_key("release"),
    ):
        with pytest.raises(WrongPurposeError):
            attempt()
    # Ciphertexts that are made to name a key for something else.
    wrapped, encrypted = client.encrypt("vault", SECRET), client.encrypt("demo", SECRET)
    for ciphertext, old, new in (
        (wrapped, b"vault", b"demo"),
        (wrapped, b"vault", b"ids"),
        (wrapped, b"vault", b"release"),
        (encrypted, b"demo", b"vault"),
    ):
        named = ciphertext.replace(u32(len(old)) + old, u32(len(new)) + new)
        for attempt in (lambda c=named: client.decrypt(c), lambda c=named: client.unwrap_data_key(c)):
            with pytest.raises(CiphertextError, match=f"{new.decode()}, which is to"):
                attempt()
        # Beside the genuine one in a batch, of the same key name where the forms differ.
        results, report = client.decrypt_batch([named, wrapped, encrypted])
        assert isinstance(results[0], CiphertextError) and results[1:] == [SECRET, SECRET]
        assert report.liars == []


def test_a_record_says_what_its_suite_allows(fake: FakeCluster, client: Client) -> None:
    for purpose, suite in (
        ("wrap", "tdh2-ristretto255"),
        ("wrap", "frost-ed25519"),
        ("decrypt", "voprf-ristretto255"),
    ):
        bad = fake.record("bad", purpose, keep=False, suite=suite)
        with pytest.raises(CertificateError, match=f"a {suite} key cannot {purpose}"):
            Key(client.cluster, bad, None)
    # What was ordered to derive is not certified to wrap.
    other = fake.record("other", "derive", keep=False)
    twisted = replace(other, public=replace(other.public, purpose="wrap"))
    with pytest.raises(CertificateError):
        Key(client.cluster, twisted, None)


# --- data keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["vault", "demo"])
def test_data_keys_come_back_and_nothing_else_does(client: Client, key: str) -> None:
    made = client.data_key(key, CONTEXT)
    assert len(made.plaintext) == 32 and client.unwrap_data_key(made.wrapped, CONTEXT) == made.plaintext
    assert made.plaintext.hex() not in repr(made) and repr(made.plaintext) not in repr(made)
    hidden = client.data_key_without_plaintext(key, CONTEXT)
    many, report = client.data_keys(key, 3, CONTEXT)
    assert report.liars == []
    rows = [*(one.wrapped for one in many), hidden, client.encrypt(key, b"no data key", CONTEXT), b"junk"]
    results, _ = client.unwrap_data_keys(rows, CONTEXT)
    assert results[:3] == [one.plaintext for one in many]
    assert isinstance(results[3], bytes) and len(set(results[:4])) == 4
    assert "11 bytes, and a data key has 32" in str(results[4]) and isinstance(results[4], CiphertextError)
    assert isinstance(results[5], CiphertextError)
    for wrong in (rows[4], rows[5]):
        with pytest.raises(CiphertextError):
            client.unwrap_data_key(wrong, CONTEXT)
    with pytest.raises(CiphertextError):
        client.unwrap_data_key(made.wrapped)
    with pytest.raises(InvalidError, match="0 or more, got -1"):
        client.data_keys(key, -1)
