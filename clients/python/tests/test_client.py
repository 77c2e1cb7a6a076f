"""What a client must notice, each against a cluster whose parties lie on demand."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake import NOW, Answering, FakeCluster, Link, flip, sign

from quorate import (
    CiphertextError,
    Client,
    CodecError,
    HomeError,
    NoQuorumError,
    PartyError,
    QuorateError,
    RefusedError,
    RosterError,
    UnknownKeyError,
    VerificationError,
    WrongPurposeError,
)
from quorate.certificate import EpochPublic
from quorate.group import B, L, Point, random_scalar
from quorate.hashing import H32, SMALL_ORDER, Identity, check_public_key, merkle_root, verify
from quorate.home import Home
from quorate.orders import Committee
from quorate.roster import Cluster
from quorate.wire import Epoch, Signed

CONTEXT = {"app": "crm"}


@pytest.fixture
def fake(tmp_path: Path) -> FakeCluster:
    fake = FakeCluster(tmp_path / "home")
    fake.record("demo", "decrypt")
    fake.record("ids", "derive")
    return fake


def client_of(fake: FakeCluster, *links: Link) -> Client:
    return Client(Home(fake.home), links=list(links) or [Link(fake)], timeout=5)


# --- what works --------------------------------------------------------------------------------


def test_there_and_back_with_nodes_gone(fake: FakeCluster) -> None:
    client = client_of(fake)
    sealed = client.encrypt("demo", b"hello", CONTEXT)
    assert client.decrypt(sealed, CONTEXT) == b"hello"
    derived = client.derive("ids", b"alice", CONTEXT)
    fake.nodes[1].up = fake.nodes[3].up = False
    assert client.decrypt(sealed, CONTEXT) == b"hello"
    assert client.derive("ids", b"alice", CONTEXT) == derived
    assert client.derive("ids", b"alice") != derived != client.derive("ids", b"bob", CONTEXT)
    batch, _ = client.derive_batch("ids", [b"bob", b"alice"], CONTEXT)
    assert batch[1] == derived and len(derived) == 64
    fake.nodes[5].up = False
    with pytest.raises(NoQuorumError, match=r"2 of the 3 .* node-1 \(DE\) unreachable") as caught:
        client.decrypt(sealed, CONTEXT)
    assert caught.value.exit_code == 4


def test_shares_that_move_are_followed(fake: FakeCluster) -> None:
    client = client_of(fake)
    sealed, derived = client.encrypt("demo", b"x"), client.derive("ids", b"x")
    fake.move("demo", "decrypt")
    fake.move("ids", "derive")
    assert client.decrypt(sealed) == b"x"
    assert client.derive("ids", b"x") == derived
    assert client.key("demo").epoch.number == 2000
    # The epoch in force never goes back, whoever says so; also not for another process.
    fake.newest.clear()
    assert client.key("demo").epoch.number == 2000
    assert client_of(fake).key("demo").epoch.number == 2000


def test_a_roster_that_grew_is_taken_and_kept(fake: FakeCluster) -> None:
    body = fake.roster(2, fake.roster_hash())
    fake.chain.append(sign(body, "sig/roster.", fake.fingerprint, fake.operators[:2]))
    client = client_of(fake)
    client.key("demo")
    assert client.cluster.roster.version == 2
    assert Home(fake.home).cluster.roster.version == 2


def test_encryption_needs_nobody_once_the_key_is_pinned(fake: FakeCluster) -> None:
    link = Link(fake)
    client_of(fake, link).key("demo")
    link.down = True
    sealed = client_of(fake, link).encrypt("demo", b"x")
    link.down = False
    assert client_of(fake, link).decrypt(sealed) == b"x"
    link.down = True
    with pytest.raises(PartyError, match="unreachable"):
        client_of(fake, link).encrypt("ids", b"x")


# --- ciphertexts -------------------------------------------------------------------------------


def test_every_changed_byte_of_a_head_is_noticed(fake: FakeCluster) -> None:
    client = client_of(fake)
    sealed = client.encrypt("demo", b"hello", CONTEXT)
    head = len(sealed) - 5 - 16
    for at in [*range(0, 30), *range(30, head, 11), head - 1, head, len(sealed) - 1]:
        with pytest.raises((CiphertextError, CodecError)):
            client.decrypt(flip(sealed, at), CONTEXT)
    assert client.decrypt(sealed, CONTEXT) == b"hello"


@pytest.mark.parametrize("context", [None, {"app": "other"}, {"app": "crm", "row": "1"}, {"APP": "crm"}])
def test_another_context_does_not_open(fake: FakeCluster, context: dict | None) -> None:
    client = client_of(fake)
    sealed = client.encrypt("demo", b"hello", CONTEXT)
    with pytest.raises(CiphertextError, match="another encryption context"):
        client.decrypt(sealed, context)
    with pytest.raises(CiphertextError, match="without an encryption context"):
        client.decrypt(client.encrypt("demo", b"hello"), CONTEXT)


def test_a_stream_without_its_end_is_no_success(fake: FakeCluster) -> None:
    client = client_of(fake)
    text = secrets.token_bytes(200_000)
    sealed = client.encrypt("demo", text)
    assert client.decrypt(sealed) == text
    head = len(sealed) - len(text) - 4 * 16
    for cut in (head, head + 1, head + 65_552, len(sealed) - 1, head - 1, 3):
        out = io.BytesIO()
        with pytest.raises(CiphertextError):
            client.decrypt_stream(io.BytesIO(sealed[:cut]), out)
        assert text.startswith(out.getvalue()) and len(out.getvalue()) < len(text)
    with pytest.raises(CiphertextError, match="no Quorate ciphertext"):
        client.decrypt(b"hello world")


def test_a_ciphertext_of_another_cluster_or_key(fake: FakeCluster, tmp_path: Path) -> None:
    other = FakeCluster(tmp_path / "other")
    other.record("demo", "decrypt")
    client = client_of(fake)
    with pytest.raises(CiphertextError, match="another cluster"):
        client.decrypt(client_of(other).encrypt("demo", b"x"))
    fake.record("gone", "decrypt")
    sealed = client.encrypt("gone", b"x")
    del fake.records["gone"]
    (fake.home / "pins/gone@1").unlink()
    with pytest.raises(CiphertextError, match="does not have"):
        client_of(fake).decrypt(sealed)


def test_a_key_does_one_thing(fake: FakeCluster) -> None:
    client = client_of(fake)
    with pytest.raises(WrongPurposeError) as caught:
        client.encrypt("ids", b"x")
    assert caught.value.exit_code == 3
    with pytest.raises(WrongPurposeError):
        client.derive("demo", b"x")
    with pytest.raises(UnknownKeyError):
        client.derive("nothing", b"x")
    with pytest.raises(QuorateError, match="at most 65536"):
        client.derive("ids", bytes(65_537))


# --- lying nodes -------------------------------------------------------------------------------


def wrong_partial(said: Answering) -> None:
    error = random_scalar() * B  # each its own: errors of several nodes could cancel out
    said.partials[0] = (Point.decode(said.partials[0]) + error).encode()


def flipped_partial(said: Answering) -> None:
    said.partials[0] = flip(said.partials[0], 7)


def identity_partial(said: Answering) -> None:
    said.partials[0] = bytes(32)


def non_canonical_partial(said: Answering) -> None:
    said.partials[0] = b"\xff" * 32


def no_partial(said: Answering) -> None:
    said.partials.clear()


def one_more(said: Answering) -> None:
    said.partials.append(B.encode())


LIES = [wrong_partial, flipped_partial, identity_partial, non_canonical_partial, no_partial, one_more]


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_node_is_named_and_another_asked(fake: FakeCluster, lie: Callable) -> None:
    client = client_of(fake)
    sealed = client.encrypt("demo", b"hello")
    derived = client.derive("ids", b"alice")
    fake.nodes[2].lie = lie
    out = io.BytesIO()
    report = client.decrypt_stream(io.BytesIO(sealed), out)
    assert out.getvalue() == b"hello"
    assert report.liars == [2] and 2 not in report.nodes
    secret, report = client.derive_batch("ids", [b"alice"])
    assert secret == [derived] and report.liars == [2] and 2 not in report.nodes
    for i in (1, 4):
        fake.nodes[i].lie = lie
    for work in (lambda: client.decrypt(sealed), lambda: client.derive("ids", b"alice")):
        with pytest.raises(VerificationError, match=r"node-1 .*node-2 .*node-4 .*answered wrongly") as caught:
            work()
        assert caught.value.nodes == (1, 2, 4) and caught.value.exit_code == 5


def test_a_node_that_lies_only_when_nobody_asks_for_a_proof_is_named(fake: FakeCluster) -> None:
    def lie(said: Answering) -> None:
        if said.proof is None:
            wrong_partial(said)

    client = client_of(fake)
    sealed = client.encrypt("demo", b"hello")
    fake.nodes[3].lie = lie
    out = io.BytesIO()
    assert client.decrypt_stream(io.BytesIO(sealed), out).liars == [3]
    assert out.getvalue() == b"hello"


def test_a_proof_that_does_not_hold_or_is_missing_is_a_lie(fake: FakeCluster) -> None:
    client = client_of(fake)
    sealed, derived = client.encrypt("demo", b"hello"), client.derive("ids", b"alice")

    def bad_proof(said: Answering) -> None:
        if said.proof is not None:
            said.proof = flip(said.proof, 40)

    def none(said: Answering) -> None:
        said.proof = None

    for lie in (bad_proof, none):
        fake.nodes[1].lie, fake.nodes[2].lie = lie, wrong_partial
        out = io.BytesIO()
        report = client.decrypt_stream(io.BytesIO(sealed), out)
        assert report.liars == [1, 2] and out.getvalue() == b"hello"
        secret, report = client.derive_batch("ids", [b"alice"])
        assert report.liars == [1, 2] and secret == [derived]


def test_who_calls_a_good_item_invalid_lies(fake: FakeCluster) -> None:
    client = client_of(fake)
    sealed = client.encrypt("demo", b"hello")
    fake.nodes[1].refuse = (9, 0)
    out = io.BytesIO()
    report = client.decrypt_stream(io.BytesIO(sealed), out)
    assert out.getvalue() == b"hello" and report.liars == [1]
    assert client.derive_batch("ids", [b"x"])[1].liars == [1]


def test_refusals_count_if_signed_and_are_told(fake: FakeCluster) -> None:
    client, link = client_of(fake), Link(fake)
    sealed = client.encrypt("demo", b"hello")
    for node in fake.nodes.values():
        node.refuse = (2, None)
    with pytest.raises(RefusedError, match="not granted") as caught:
        client.decrypt(sealed)
    assert caught.value.exit_code == 3

    def forge(answer: Any) -> None:
        answer.refusal = flip(answer.refusal, len(answer.refusal) - 1)

    link.tamper = forge
    with pytest.raises(VerificationError, match="refusal that the node did not sign"):
        client_of(fake, link).decrypt(sealed)
    for node in fake.nodes.values():
        node.refuse = (10, None)
    with pytest.raises(VerificationError, match="changed the request's items"):
        client.decrypt(sealed)


# --- lying coordinators ------------------------------------------------------------------------


@pytest.mark.parametrize("at", [10, 60, 100, 150, 200, 260, -1])
def test_a_changed_answer_is_never_taken(fake: FakeCluster, at: int) -> None:
    """Whose fault it is nobody can tell, so no node is called a liar; an honest coordinator is asked."""
    bad, good = Link(fake, "bad"), Link(fake, "good")

    def change(answer: Any) -> None:
        answer.sealed = flip(answer.sealed, at % len(answer.sealed))

    sealed = client_of(fake).encrypt("demo", b"hello")
    bad.tamper = change
    out = io.BytesIO()
    report = client_of(fake, bad, good).decrypt_stream(io.BytesIO(sealed), out)
    assert out.getvalue() == b"hello" and report.liars == []
    with pytest.raises((VerificationError, NoQuorumError)):
        client_of(fake, bad).decrypt(sealed)


def test_answers_of_another_node_or_of_an_earlier_request(fake: FakeCluster) -> None:
    sealed = client_of(fake).encrypt("demo", b"hello")
    crossed = Link(fake, "crossing")

    def cross(answer: Any) -> None:
        answer.node = answer.node % 5 + 1

    crossed.tamper = cross
    with pytest.raises(VerificationError, match=r"crossing .*another node's answer"):
        client_of(fake, crossed).decrypt(sealed)
    replaying, kept = Link(fake, "replaying"), {}

    def replay(answer: Any) -> None:
        answer.sealed = kept.setdefault(answer.node, answer.sealed)

    replaying.tamper = replay
    client = client_of(fake, replaying)
    assert client.decrypt(sealed) == b"hello"
    with pytest.raises(VerificationError, match="answers another request"):
        client.decrypt(sealed)


def test_one_node_counts_once(fake: FakeCluster) -> None:
    link = Link(fake)
    evaluate = link.Evaluate

    def twice(request: Any) -> Any:
        response = evaluate(request)
        response.answers.extend(list(response.answers) * 10)
        return response

    link.Evaluate = twice  # type: ignore[method-assign]
    for i in (2, 3, 4, 5):
        fake.nodes[i].up = False
    with pytest.raises(NoQuorumError, match="1 of the 3"):
        client = client_of(fake, link)
        client.decrypt(client.encrypt("demo", b"x"))


def test_a_changed_pin_a_downgrade_and_a_wrong_key(fake: FakeCluster) -> None:
    client = client_of(fake)
    client.key("demo")
    fake.record("demo", "decrypt")  # the same name and version, another key, well certified
    with pytest.raises(VerificationError, match="another public key"):
        client_of(fake).key("demo")
    fake.record("v", "decrypt", version=2)
    client.key("v")
    fake.record("v", "decrypt", version=1)
    with pytest.raises(VerificationError, match="2 is pinned"):
        client.key("v")
    fake.records["other"] = fake.records["ids"]
    with pytest.raises(VerificationError, match="sent the record of ids"):
        client.key("other")
    pin = fake.home / "pins/v@2"
    (fake.home / "pins/ids@1").write_text(pin.read_text())
    with pytest.raises(VerificationError, match="disagrees with itself"):
        client_of(fake).key("ids", 1)


# --- certificates, orders, rosters -------------------------------------------------------------


def change(**fields: Any) -> dict[str, Any]:
    return {"public": lambda p: replace(p, **fields)}


def swapped_key(p: EpochPublic) -> EpochPublic:
    return replace(p, commitments=(p.commitments[0], (5 * B).encode(), *p.commitments[2:]))


BAD_RECORDS: dict[str, tuple[dict[str, Any], str]] = {
    "too few operators": ({"order_signers": 1}, "1 of the 2 operators"),
    "no operator": ({"order_signers": 0}, "0 of the 2 operators"),
    "too few receipts": ({"receipts": 3}, "3 of 4 nodes .* receipts"),
    "too few active": ({"actives": 3}, "3 of 4 nodes .* active"),
    "another order": (change(order=bytes(32)), "the order in the certificate"),
    "another name": (change(key="x"), "key name or version"),
    "another version": (change(version=2), "key name or version"),
    "another purpose": (
        change(purpose="derive", suite="voprf-ristretto255"),
        "suite or purpose",
    ),
    "another number": (change(epoch=Epoch(1025, bytes(32))), "epoch number"),
    "a parent": (change(parent=Epoch(1, bytes(32)), epoch=Epoch(2, bytes(32))), "parent epoch"),
    "an identity point": (
        {"public": lambda p: replace(p, commitments=(bytes(32), *p.commitments[1:]))},
        "identity is refused",
    ),
    "a point that is none": (
        {"public": lambda p: replace(p, commitments=(p.commitments[0], b"\xff" * 32, *p.commitments[2:]))},
        "not a canonical",
    ),
    "one commitment too few": (
        {"public": lambda p: replace(p, commitments=p.commitments[:-1])},
        "expected exactly 3 for threshold 3, got 2",
    ),
    "one commitment too many": (
        {"public": lambda p: replace(p, commitments=(*p.commitments, B.encode()))},
        "expected exactly 3 for threshold 3, got 4",
    ),
    "q below its least": ({"q": 3}, "q must be 4 to 5"),
    "q above n": ({"q": 6}, "q must be 4 to 5"),
    "an order too long-lived": ({"life": 31 * 86_400_000}, "at most 30 days"),
    "a suite of another purpose": (
        {"suite": "voprf-ristretto255", "public": lambda p: replace(p, suite="voprf-ristretto255")},
        "cannot decrypt",
    ),
    "an unknown roster": ({"roster_version": 7}, "roster version 7"),
    "another roster of that version": ({"roster_hash": bytes(32)}, "roster version 1"),
    "another cluster's order": ({"fingerprint": bytes(32)}, "is for cluster"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_bad_record_is_refused(fake: FakeCluster, case: str) -> None:
    changes, says = BAD_RECORDS[case]
    fake.record("bad", "decrypt", **changes)
    with pytest.raises(VerificationError, match=says) as caught:
        client_of(fake).encrypt("bad", b"x")
    assert "coordinator" in str(caught.value) and caught.value.exit_code == 5
    assert not (fake.home / "pins/bad@1").exists()


def test_a_key_may_be_made_with_rights_that_are_stated(fake: FakeCluster) -> None:
    for rights in (1, 2, 3):
        fake.record(f"with-{rights}", "decrypt", rights=rights)
        assert client_of(fake).key(f"with-{rights}").name == f"with-{rights}"
    for rights in (0, 4, 0xFF):
        fake.record("bad", "decrypt", rights=rights)
        with pytest.raises(VerificationError, match="rights"):
            client_of(fake).key("bad")


def test_t_q_and_committee_are_the_orders(fake: FakeCluster) -> None:
    """A certificate with a lower threshold or other members than the operators ordered."""
    lower = Committee(fake.committee.members, 2)
    fake.record("bad", "decrypt", public=lambda p: replace(p, committee=lower, commitments=p.commitments[:2]))
    with pytest.raises(VerificationError, match="committee or threshold"):
        client_of(fake).key("bad")
    stranger = Identity(secrets.token_bytes(32))
    members = ((1, stranger.public), *fake.committee.members[1:])
    fake.record("bad", "decrypt", committee=Committee(members, 3))
    with pytest.raises(VerificationError, match="node 1 is not in its roster"):
        client_of(fake).key("bad")


def test_concentrated_and_fragile_committees_must_be_acknowledged(tmp_path: Path) -> None:
    fake = FakeCluster(tmp_path / "home", n=3, t=2)
    fake.record("fine", "decrypt", fragile=True)
    client_of(fake).key("fine")
    two = FakeCluster(tmp_path / "two", n=2, t=2)
    two.record("frail", "decrypt")
    with pytest.raises(VerificationError, match="out of reach"):
        client_of(two).key("frail")
    # Of five nodes one provider has three.
    dense = FakeCluster(tmp_path / "dense", providers=2)
    dense.record("dense", "decrypt")
    with pytest.raises(VerificationError, match="Provider 1 would hold 3 shares where 3 use the key"):
        client_of(dense).key("dense")
    dense.record("dense", "decrypt", danger=True)
    client_of(dense).key("dense")


def test_a_version_that_was_born_on_a_schedule_is_one_that_was_ordered(fake: FakeCluster) -> None:
    client = client_of(fake)
    client.key("demo")
    for version in (2, 3, 4):
        fake.record("demo", "decrypt", version=version, times=3)
        assert client_of(fake).key("demo").version == version
    fake.record("exportable", "decrypt", version=4, times=3, rights=1)
    assert client_of(fake).key("exportable").version == 4
    # Beside the schedule, of another key, with a number or a date that no order has, under its end.
    for at, (changes, why) in enumerate(
        [
            ({"version": 5}, "key name or version"),
            ({"version": 1}, "key name or version"),
            ({"public": lambda p: replace(p, key="other")}, "key name or version"),
            ({"number": 1025}, "epoch number"),
            ({"number": 5, "public": lambda p: replace(p, parent=Epoch(1, bytes(32)))}, "parent epoch"),
            ({"every": 9}, "every 10 seconds"),
            ({"until": (1 << 64) - 1}, "ten years"),
            ({"version": 1, "since": 1}, "an order of its own"),
            ({"times": 1024}, "at most 1024 versions"),
            ({"times": 0}, "ends a schedule"),
            ({"rights": 4}, "rights"),
            ({"q": 2}, "q must be"),
        ]
    ):
        name = f"bad-{at}"
        fake.record(name, "decrypt", **{"version": 3, "times": 3, **changes})
        with pytest.raises(VerificationError, match=why):
            client_of(fake).key(name)


def test_an_imported_key_is_known_as_imported_and_its_shares_move(fake: FakeCluster) -> None:
    secret, owner = secrets.randbelow(L - 1) + 1, Identity(secrets.token_bytes(32))
    public = (secret * B).encode()
    imported = {"secret": secret, "public_key": public, "dealer": owner.public}
    fake.record("imported", "decrypt", **imported)
    client = client_of(fake)
    key = client.key("imported")
    assert key.imported and key.public_key == public
    assert not client.key("demo").imported
    moved = fake.record("imported", "decrypt", secret=secret, public_key=public, number=2000, first=2000)
    assert moved.public.parent is not None
    assert client_of(fake).key("imported").imported, "for ever"
    fake.record("broken-glass", "decrypt", rights=1, **imported)
    assert client_of(fake).key("broken-glass").imported

    # Not the public key that was ordered, not a birth, rights that nobody knows, a dealer who may not be one.
    other = {**imported, "secret": secrets.randbelow(L - 1) + 1}
    cases: list[tuple[dict[str, Any], str]] = [
        (other, "the public key in the certificate is not what"),
        (
            {**imported, "number": 5, "public": lambda p: replace(p, parent=Epoch(1, bytes(32)))},
            "parent epoch",
        ),
        ({**imported, "rights": 4}, "rights: 4 is not known here"),
        ({**imported, "dealer": fake.nodes[1].identity.public}, "nodes and coordinators deal no key"),
    ]
    for case, rule in cases:
        fake.record("imported-not", "decrypt", **case)
        with pytest.raises(VerificationError, match=rule):
            client_of(fake).key("imported-not")


def test_signatures_count_once_and_only_of_those_who_may(fake: FakeCluster) -> None:
    record = fake.record("demo2", "decrypt", order_signers=1)
    one = record.order.signers[0]
    fake.records["demo2"] = replace(record, order=Signed(record.order.body, (one, one)))
    with pytest.raises(VerificationError, match="strictly ascending"):
        client_of(fake).key("demo2")
    stranger = Identity(secrets.token_bytes(32))
    other = sign(record.order.body, "sig/order.", fake.fingerprint, [stranger]).signers[0]
    fake.records["demo2"] = replace(record, order=Signed(record.order.body, tuple(sorted((one, other)))))
    with pytest.raises(VerificationError, match="1 of the 2 operators"):
        client_of(fake).key("demo2")
    doubled = fake.record("demo3", "decrypt", actives=3)
    fake.records["demo3"] = replace(doubled, actives=(*doubled.actives, doubled.actives[-1]))
    with pytest.raises(VerificationError, match="strictly ascending"):
        client_of(fake).key("demo3")


def test_a_swapped_commitment_breaks_the_nodes_signatures(fake: FakeCluster) -> None:
    good = fake.records["demo"]
    fake.records["demo"] = replace(good, public=swapped_key(good.public))
    with pytest.raises(VerificationError, match="0 of 4 nodes"):
        client_of(fake).key("demo")


def test_a_later_epoch_of_another_public_key_is_refused(fake: FakeCluster) -> None:
    other = fake.record("demo", "decrypt", number=2000, public_key=(7 * B).encode(), secret=7, first=2000)
    assert fake.newest["demo"] is other
    with pytest.raises(VerificationError, match="of another key"):
        client_of(fake).key("demo")
    lying = fake.record("demo", "decrypt", number=2000, public_key=(7 * B).encode(), secret=8, first=2000)
    fake.newest["demo"] = lying
    with pytest.raises(VerificationError, match="the public key in the certificate"):
        client_of(fake).key("demo")
    fake.records["demo"], fake.newest = fake.move("ids", "derive"), {}
    with pytest.raises(VerificationError, match="birth certificate"):
        client_of(fake).key("demo")


def test_a_roster_chain_must_follow_from_the_fingerprint(fake: FakeCluster) -> None:
    f, operators = fake.fingerprint, fake.operators
    with pytest.raises(RosterError, match="another cluster"):
        Cluster(hashlib.sha256(b"x").digest(), fake.chain)

    def second(keys: list[Identity], previous: bytes | None = None, version: int = 2) -> Signed:
        return sign(fake.roster(version, previous or fake.roster_hash()), "sig/roster.", f, keys)

    mallory = Identity(secrets.token_bytes(32))
    assert Cluster(f, [*fake.chain, second(operators[:2])]).roster.version == 2
    for bad in (
        second(operators[:1]),
        second([mallory, operators[0]]),
        second(operators, H32("roster/hash.", b"x")),
        second(operators, version=3),
    ):
        with pytest.raises(RosterError):
            Cluster(f, [*fake.chain, bad])
        link = Link(fake, "forger")
        fake.chain.append(bad)
        with pytest.raises(VerificationError, match="forger sent a roster chain"):
            client_of(fake, link).refresh_roster()
        fake.chain.pop()
    # A roster of the version before may not be replaced once it is known.
    fake.chain.append(second(operators[:2]))
    client = client_of(fake)
    client.refresh_roster()
    fake.chain[1] = second(operators[1:])
    with pytest.raises(VerificationError, match="another roster is known"):
        client.refresh_roster()


# --- small things ------------------------------------------------------------------------------


def test_ed25519_is_strict() -> None:
    key = Identity(bytes(range(32)))
    good = key.sign("sig/order.", bytes(32), b"data")
    assert verify(key.public, "sig/order.", bytes(32), b"data", good)
    assert not verify(key.public, "sig/roster.", bytes(32), b"data", good)
    assert not verify(key.public, "sig/order.", b"\1" + bytes(31), b"data", good)
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(good[32:], "little") + order
    assert not verify(key.public, "sig/order.", bytes(32), b"data", good[:32] + s.to_bytes(32, "little"))
    # A key of small order verifies anything under a lax verifier: R = s·B − c·A.
    for small in sorted(SMALL_ORDER):
        assert not verify(small, "sig/order.", bytes(32), b"data", b"\1" + bytes(63))
        with pytest.raises(CodecError):
            check_public_key(small)
    p = 2**255 - 19
    for bad in (p.to_bytes(32, "little"), (p + 3).to_bytes(32, "little"), b"\2" + bytes(31), bytes(31)):
        with pytest.raises(CodecError):
            check_public_key(bad)
    assert check_public_key(key.public)


def test_merkle_roots() -> None:
    """Of the test suite of certificate-transparency."""
    items = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    assert merkle_root(items[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle_root(items[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert merkle_root(items).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


def test_homes_are_checked(fake: FakeCluster) -> None:
    key = fake.home / "identity.key"
    key.chmod(0o644)
    with pytest.raises(HomeError, match="chmod 600"):
        Home(fake.home)
    key.chmod(0o600)
    with pytest.raises(HomeError, match="not sealed"):
        Home(fake.home, b"passphrase")
    config = fake.home / "quorate.toml"
    good = config.read_text()
    for bad in ("fingerprint = 1\nrole = 'client'", good.replace("client", "king"), good + "x = 1\n", "{"):
        config.write_text(bad)
        with pytest.raises(HomeError):
            Home(fake.home)
    config.write_text(good.replace(fake.fingerprint.hex(), "0" * 64))
    with pytest.raises(RosterError, match="another cluster"):
        Home(fake.home)


def test_no_secret_is_in_a_repr(fake: FakeCluster) -> None:
    client = client_of(fake)
    seed = fake.client.private.private_bytes_raw().hex()
    home = Home(fake.home)
    assert seed not in repr([client, home, home.identity, client._answers, vars(client)])


def test_clocks_matter(fake: FakeCluster) -> None:
    sealed = client_of(fake).encrypt("demo", b"x")
    for days in (2, -2):
        off = Client(Home(fake.home), links=[Link(fake)], clock=lambda d=days: NOW / 1000 + d * 86_400)
        with pytest.raises(VerificationError, match="check the clocks"):
            off.decrypt(sealed)
