"""Signing: whoever spoils a signature is named, whoever leaves is replaced; fresh nonces for every attempt.

The attacks of the Rust client's tests, and more. (The fake nodes refuse a nonce that they have used.)
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fake import Answering, FakeCluster, Link, flip, read_sign_item

from quorate import (
    Client,
    InvalidError,
    NoQuorumError,
    PartyError,
    RefusedError,
    Report,
    SignatureError,
    VerificationError,
    WrongPurposeError,
    nonces,
    signing,
)
from quorate.asking import most_items
from quorate.certificate import EpochPublic
from quorate.edwards import BASE, EdwardsPoint
from quorate.group import B, L, P, encode_scalar
from quorate.hashing import SMALL_ORDER
from quorate.home import Home
from quorate.signing import in_requests

MESSAGE = b"v1.2.3 is good"
CONTEXT = {"app": "crm"}


@pytest.fixture
def fake(tmp_path: Path) -> FakeCluster:
    fake = FakeCluster(tmp_path / "home")
    for name, purpose in (("release", "sign"), ("demo", "decrypt"), ("ids", "derive")):
        fake.record(name, purpose)
    return fake


@pytest.fixture
def link(fake: FakeCluster) -> Link:
    return Link(fake)


def client_of(fake: FakeCluster, *links: Link, timeout: float = 5) -> Client:
    return Client(Home(fake.home), links=list(links) or [Link(fake)], timeout=timeout)


def signed(client: Client, *messages: bytes) -> Report:
    """Signs, and verifies with nothing of the client's."""
    made, report = client.sign_batch("release", messages, CONTEXT)
    public = Ed25519PublicKey.from_public_bytes(client.key("release").public_key)
    assert len(made) == len(messages)
    for message, signature in zip(messages, made, strict=True):
        public.verify(signature, message)
        with pytest.raises(InvalidSignature):
            public.verify(signature, message + b"x")
    assert len(report.nodes) == (3 if messages else 0)
    return report


def operations(link: Link, client: Client, *messages: bytes) -> list[str]:
    """What signing these takes."""
    before = len(link.operations)
    signed(client, *messages)
    return link.operations[before:]


def pairs_named(*links: Link) -> list[bytes]:
    """Every nonce pair of every request to sign, as often as it was named; for a set and message each."""
    named = []
    for link in links:
        for operation, items in zip(link.operations, link.carried, strict=True):
            for item in items if operation == "sign" else []:
                _, signers, _ = read_sign_item(item)
                named += [one.handle + one.commitments.raw for one in signers.values()]
    return named


def no_pair_twice(*links: Link) -> None:
    named = pairs_named(*links)
    assert named and len(named) == len(set(named))


# --- what works --------------------------------------------------------------------------------


def test_every_quorum_signs_one_message_or_many(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    for away in ((1, 2), (2, 4), (3, 5)):
        for i in away:
            fake.nodes[i].up = False
        report = signed(client, MESSAGE)
        assert report.liars == [] and not set(away) & set(report.nodes)
        signed(client, b"a", b"", b"a", MESSAGE)
        for i in away:
            fake.nodes[i].up = True
    signed(client, bytes(1024))
    signed(client)
    with pytest.raises(InvalidError, match="at most 1024 bytes, got 1025"):
        client.sign("release", bytes(1025))
    # One bad message, and nobody is asked for any.
    before = len(link.operations)
    with pytest.raises(InvalidError):
        client.sign_batch("release", [MESSAGE, bytes(1025)])
    assert len(link.operations) == before
    no_pair_twice(link)


def test_a_batch_is_one_request_and_one_signature(
    fake: FakeCluster, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(fake, link)
    signed(client, *(bytes([i]) for i in range(20)))
    assert link.operations == ["sign-commit", "sign"] and len(link.carried[1]) == 20
    # More pairs than one request draws, of the same nodes; then more messages than one request takes.
    monkeypatch.setattr(signing, "MAX_NONCES", 8)
    monkeypatch.setattr(nonces, "MOST_AHEAD", 8)
    took = operations(link, client_of(fake, link), *(bytes([i]) for i in range(20)))
    assert took == ["sign-commit"] * 3 + ["sign"]
    monkeypatch.setattr(signing, "most_items", lambda key: 4)
    took = operations(link, client_of(fake, link), *(bytes([i]) for i in range(10)))
    assert took.count("sign") == 3
    no_pair_twice(link)


def test_as_many_messages_go_in_one_request_as_it_may_have(fake: FakeCluster) -> None:
    key = client_of(fake).key("release")
    assert most_items(key) == 1024
    assert [len(some) for some in in_requests(key, [b"x"] * 2050)] == [1024, 1024, 2]
    # The longest messages: 1 MiB is what a request has.
    longest = list(in_requests(key, [bytes(1024)] * 1024))
    assert sum(map(len, longest)) == 1024 and len(longest) == 2
    for some in longest:
        assert sum(64 + 3 * 90 + len(m) for m in some) < 1 << 20
    assert list(in_requests(key, [])) == []


def test_with_nonces_at_hand_a_signature_is_one_question(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    client.prepare_signing("release", 3)
    for _ in range(3):
        assert operations(link, client, MESSAGE) == ["sign"]
    no_pair_twice(link)


def test_a_key_that_signs_on_draws_ahead(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    for _ in range(10):
        signed(client, MESSAGE)
    assert link.operations.count("sign") == 10 and link.operations.count("sign-commit") == 4
    no_pair_twice(link)


def test_nonces_are_forgotten_before_nodes_forget_them(
    fake: FakeCluster, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(fake, link)
    client.prepare_signing("release", 1)
    real = nonces.time.monotonic
    monkeypatch.setattr(nonces.time, "monotonic", lambda: real() + nonces.LIFE + 1)
    assert operations(link, client, MESSAGE) == ["sign-commit", "sign"]


def test_shares_that_moved_are_followed_in_the_same_call(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    signed(client, MESSAGE)
    fake.move("release", "sign")
    signed(client, MESSAGE)
    assert client.key("release").epoch.number == 2000
    # Drawn in one epoch, used in the next: neither nonces nor shares of it serve any more.
    client.prepare_signing("release", 1)
    fake.move("release", "sign", number=4000)
    signed(client, MESSAGE)
    assert client.key("release").epoch.number == 4000


# --- lying nodes -------------------------------------------------------------------------------


def wrong_share(said: Answering) -> None:
    if said.operation == "sign":
        said.partials = [encode_scalar(secrets.randbelow(L)) for _ in said.partials]


def one_wrong_share(said: Answering) -> None:
    if said.operation == "sign":
        said.partials[-1] = encode_scalar(int.from_bytes(said.partials[-1], "little") + 1)


def no_scalar(said: Answering) -> None:
    if said.operation == "sign":
        said.partials = [b"\xff" * 32 for _ in said.partials]


def scalar_above_the_order(said: Answering) -> None:
    """The same number mod ℓ: the sum would verify."""
    if said.operation == "sign":
        said.partials = [(int.from_bytes(z, "little") + L).to_bytes(32, "little") for z in said.partials]


def zero_share(said: Answering) -> None:
    if said.operation == "sign":
        said.partials = [bytes(32) for _ in said.partials]


def shares_swapped(said: Answering) -> None:
    if said.operation == "sign":
        said.partials.reverse()


def junk(said: Answering) -> None:
    said.partials = [b"\xff" * 32 for _ in said.partials]


def short(said: Answering) -> None:
    said.partials.pop()


def one_more(said: Answering) -> None:
    said.partials.append(bytes(32))


def commitment(at: int, encoding: bytes) -> Callable[[Answering], None]:
    """One bad word among those of a node's first pair."""

    def lie(said: Answering) -> None:
        if said.operation == "sign-commit":
            said.partials[at] = encoding

    return lie


def torsion() -> EdwardsPoint:
    """A point of order 2."""
    return EdwardsPoint(0, P - 1, 1, 0)


def with_torsion(said: Answering) -> None:
    """A commitment with a component of small order: the share would verify at some indices only."""
    if said.operation == "sign-commit":
        said.partials[1] = (EdwardsPoint.decode(said.partials[1]) + torsion()).encode()


def one_pair_twice(said: Answering) -> None:
    if said.operation == "sign-commit":
        said.partials[3:6] = said.partials[:3]


def handle_of_32_bytes(said: Answering) -> None:
    if said.operation == "sign-commit":
        said.partials[0] = said.partials[0][:-1] + b"\1"


LIES = {
    "a wrong share": wrong_share,
    "one wrong share": one_wrong_share,
    "no scalar": no_scalar,
    "a scalar above the order": scalar_above_the_order,
    "a share of zero": zero_share,
    "shares in another order": shares_swapped,
    "junk": junk,
    "a word too few": short,
    "a word too many": one_more,
    "the identity": commitment(1, b"\1" + bytes(31)),
    "the identity as binding": commitment(2, b"\1" + bytes(31)),
    "a point of small order": commitment(1, torsion().encode()),
    "a component of small order": with_torsion,
    "no point": commitment(1, b"\2" + bytes(31)),
    "y not below p": commitment(2, (P + 4).to_bytes(32, "little")),
    "a sign on a zero x": commitment(1, b"\1" + bytes(30) + b"\x80"),
    "one pair twice": one_pair_twice,
    "a handle of 32 bytes": handle_of_32_bytes,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_liars_are_named_and_the_signature_is_right_all_the_same(
    fake: FakeCluster, link: Link, lie: Callable[[Answering], None]
) -> None:
    fake.nodes[1].lie = fake.nodes[3].lie = lie
    report = signed(client_of(fake, link), MESSAGE, b"b")
    assert report.liars == [1, 3]
    assert report.nodes == [2, 4, 5]
    no_pair_twice(link)


def test_three_liars_are_named_and_nothing_comes_out(fake: FakeCluster, link: Link) -> None:
    for i in (1, 2, 4):
        fake.nodes[i].lie = wrong_share
    with pytest.raises(VerificationError, match=r"node-1 .*node-2 .*node-4 .*answered wrongly") as caught:
        client_of(fake, link).sign("release", MESSAGE)
    assert caught.value.nodes == (1, 2, 4) and caught.value.exit_code == 5
    assert "node-3" not in str(caught.value) and "node-5" not in str(caught.value)
    no_pair_twice(link)


def test_a_liar_in_one_message_of_a_batch_is_named(fake: FakeCluster, link: Link) -> None:
    """And two liars in different messages, both at once: one attempt names them."""

    def first(said: Answering) -> None:
        if said.operation == "sign":
            said.partials[0] = encode_scalar(7)

    fake.nodes[1].lie, fake.nodes[2].lie = first, one_wrong_share
    report = signed(client_of(fake, link), b"a", b"b", b"c")
    assert (report.liars, report.nodes) == ([1, 2], [3, 4, 5])
    assert link.operations.count("sign") == 2
    no_pair_twice(link)


def test_errors_that_cancel_have_signed_the_message(fake: FakeCluster) -> None:
    """Two nodes between them: nothing is wrong with what they made."""

    def shifted(by: int) -> Callable[[Answering], None]:
        def lie(said: Answering) -> None:
            if said.operation == "sign":
                said.partials[0] = encode_scalar(int.from_bytes(said.partials[0], "little") + by)

        return lie

    fake.nodes[1].lie, fake.nodes[2].lie = shifted(5), shifted(-5)
    assert signed(client_of(fake), MESSAGE).liars == []


def test_who_calls_a_message_invalid_lies(fake: FakeCluster) -> None:
    fake.nodes[1].refuse = (9, 0)
    report = signed(client_of(fake), MESSAGE)
    assert (report.liars, report.nodes) == ([1], [2, 3, 4])


def test_a_node_that_leaves_between_the_rounds_is_replaced_and_not_blamed(
    fake: FakeCluster, link: Link
) -> None:
    client = client_of(fake, link)
    fake.nodes[2].leaves = True
    report = signed(client, MESSAGE)
    assert (report.nodes, report.liars) == ([1, 3, 4], [])
    fake.nodes[1].leaves = fake.nodes[3].leaves = True
    with pytest.raises(NoQuorumError, match=r"node-2 \(CH\) unreachable"):
        client.sign("release", MESSAGE)
    no_pair_twice(link)


def test_a_node_that_forgets_its_nonces_is_asked_once_more_and_then_left_out(
    fake: FakeCluster, link: Link
) -> None:
    """Once a node may have started again; twice in one call it is left out."""
    client = client_of(fake, link)
    fake.nodes[1].forgets = True
    report = signed(client, MESSAGE)
    assert (report.nodes, report.liars) == ([2, 3, 4], [])
    assert len(link.operations) <= 6
    no_pair_twice(link)
    # A real new start: what was drawn ahead is of no use, and the node signs all the same.
    fake.nodes[1].forgets = False
    client = client_of(fake, link)
    client.prepare_signing("release", 3)
    fake.nodes[1].starts_again()
    report = signed(client, MESSAGE)
    assert (report.nodes, report.liars) == ([1, 2, 3], [])


# --- lying coordinators ------------------------------------------------------------------------


def test_a_coordinator_can_neither_change_nor_replay_anything(fake: FakeCluster) -> None:
    """One that shows nodes another message or set cannot: the items are under the client's signature."""
    changes = Link(fake, "changes")

    def change(operation: str, request: Any) -> None:
        if operation == "sign":
            request.items[0] = flip(request.items[0], len(request.items[0]) - 1)

    changes.question = change
    with pytest.raises(VerificationError, match="changes changed the request's items"):
        client_of(fake, changes).sign("release", MESSAGE)

    # One that answers with what was answered before, at any later time.
    replays, kept = Link(fake, "replays"), {}

    def replay(answer: Any) -> None:
        answer.sealed = kept.setdefault(answer.node, answer.sealed)

    replays.tamper = replay
    with pytest.raises((VerificationError, NoQuorumError)) as caught:
        client_of(fake, replays).sign("release", MESSAGE)
    assert not isinstance(caught.value, RefusedError) and "answered wrongly" not in str(caught.value)


@pytest.mark.parametrize("at", [10, 100, 200, 260, -1])
def test_a_changed_answer_is_never_taken_and_another_coordinator_asked(fake: FakeCluster, at: int) -> None:
    bad, good = Link(fake, "bad"), Link(fake, "good")

    def change(answer: Any) -> None:
        if bad.operations[-1] == "sign":
            answer.sealed = flip(answer.sealed, at % len(answer.sealed))

    bad.tamper = change
    report = signed(client_of(fake, bad, good), MESSAGE)
    assert report.liars == []
    no_pair_twice(bad, good)
    with pytest.raises((VerificationError, NoQuorumError)):
        client_of(fake, bad).sign("release", MESSAGE)


def test_a_request_that_is_lost_spends_its_nonces(fake: FakeCluster) -> None:
    """Nobody knows what became of it: nodes may have signed. What it named is never named again."""
    losing, good = Link(fake, "losing"), Link(fake, "good")
    evaluate = losing.Evaluate

    def lose(request: Any) -> Any:
        response = evaluate(request)
        if losing.operations[-1] == "sign":
            raise PartyError("losing", "timed out", late=True)
        return response

    losing.Evaluate = lose  # type: ignore[method-assign]
    client = client_of(fake, losing, good)
    client.prepare_signing("release", 3)
    for _ in range(2):
        signed(client, MESSAGE)
    assert losing.operations.count("sign") >= 1
    no_pair_twice(losing, good)


def test_one_that_hangs_leaves_time_for_another_set(fake: FakeCluster) -> None:
    link, waits = Link(fake), []
    call = link.call

    def timed(method: str, request: Any, answer: Any, timeout: float) -> Any:
        if method == "Evaluate":
            waits.append(timeout)
        return call(method, request, answer, timeout)

    link.call = timed  # type: ignore[method-assign]
    signed(client_of(fake, link, timeout=6), MESSAGE)
    assert waits[0] > 5 and waits[1] <= 2


def test_threads_never_name_the_same_pair(fake: FakeCluster, link: Link) -> None:
    """Several at once through one client; what one has drawn serves another, and each pair once."""
    client, lock = client_of(fake, link), threading.Lock()
    evaluate = link.Evaluate

    def one_at_a_time(request: Any) -> Any:  # the fake is no server
        with lock:
            return evaluate(request)

    link.Evaluate = one_at_a_time  # type: ignore[method-assign]
    client.key("release")
    with ThreadPoolExecutor(6) as pool:
        reports = list(pool.map(lambda i: signed(client, bytes([i])), range(18)))
    assert all(report.liars == [] for report in reports)
    no_pair_twice(link)
    # As in one thread: what is drawn grows, and one draws while the others wait.
    assert link.operations.count("sign") == 18 and link.operations.count("sign-commit") <= 6


# --- keys --------------------------------------------------------------------------------------


def test_a_key_does_what_it_is_for_and_no_other_key_signs(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    for key in ("demo", "ids"):
        for work in (
            lambda key=key: client.sign(key, MESSAGE),
            lambda key=key: client.prepare_signing(key, 1),
        ):
            with pytest.raises(WrongPurposeError) as caught:
                work()
            assert caught.value.exit_code == 3
    with pytest.raises(WrongPurposeError):
        client.encrypt("release", b"m")
    with pytest.raises(WrongPurposeError):
        client.derive("release", b"m")
    assert link.operations == [], "no node was asked"
    for node in fake.nodes.values():
        node.refuse = (2, None)
    with pytest.raises(RefusedError, match="not granted"):
        client.sign("release", MESSAGE)
    # These say that a node cannot, not that it will not.
    for reason, says in ((13, "is not kept here"), (14, "unused nonce pairs")):
        for node in fake.nodes.values():
            node.refuse = (reason, None)
        with pytest.raises(NoQuorumError, match=says):
            client.sign("release", MESSAGE)


def test_a_signature_is_verified_for_its_own_message_and_key(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    signature = client.sign("release", MESSAGE)
    key = client.key("release")
    key.verify_signature(MESSAGE, signature)
    client.verify("release", MESSAGE, signature)
    s = int.from_bytes(signature[32:], "little") + L
    bad = [
        (b"other", signature),
        (MESSAGE, flip(signature, 3)),
        (MESSAGE, flip(signature, 40)),
        (MESSAGE, signature[:32] + s.to_bytes(32, "little")),  # another encoding of the same
        (MESSAGE, signature[:-1]),
        (MESSAGE, signature + b"\0"),
        (MESSAGE, b""),
        *((MESSAGE, small + bytes(32)) for small in SMALL_ORDER),
    ]
    for message, other in bad:
        with pytest.raises(SignatureError, match=r"release version 1|has 64 bytes") as caught:
            key.verify_signature(message, other)
        assert caught.value.exit_code == 5
    with pytest.raises(WrongPurposeError):
        client.key("demo").verify_signature(MESSAGE, signature)
    # Under the pinned key, with nobody there.
    link.down = True
    client_of(fake, link).verify("release", MESSAGE, signature)
    client_of(fake, link).verify("release", MESSAGE, signature, version=1)
    with pytest.raises(SignatureError):
        client_of(fake, link).verify("release", b"other", signature)


def test_a_pinned_public_key_never_changes(fake: FakeCluster) -> None:
    client_of(fake).sign("release", MESSAGE)
    fake.record("release", "sign")
    with pytest.raises(VerificationError, match="another public key"):
        client_of(fake).sign("release", MESSAGE)


BAD_POINTS = {
    "the identity": b"\1" + bytes(31),
    "of small order": torsion().encode(),
    "with a component of small order": (5 * BASE + torsion()).encode(),
    "no point": b"\2" + bytes(31),
    "not canonical": (P + 4).to_bytes(32, "little"),
}


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("point", BAD_POINTS.values(), ids=BAD_POINTS)
def test_a_record_with_a_bad_commitment_is_refused(fake: FakeCluster, point: bytes, at: int) -> None:
    """Also one that operators ordered and all nodes signed."""

    def swapped(p: EpochPublic) -> EpochPublic:
        return replace(p, commitments=(*p.commitments[:at], point, *p.commitments[at + 1 :]))

    fake.record("bad", "sign", public=swapped)
    with pytest.raises(VerificationError, match="commitment:"):
        client_of(fake).sign("bad", MESSAGE)
    assert not (fake.home / "pins/bad@1").exists()


def test_a_record_says_which_group_by_its_suite(fake: FakeCluster) -> None:
    key = client_of(fake).key("release")
    assert [c.encode() for c in key.edwards] == list(key.public.commitments) and key.commitments == []
    other = client_of(fake).key("demo")
    assert [c.encode() for c in other.commitments] == list(other.public.commitments) and other.edwards == []
    # Points of the other group under a suite: neither is what was signed, nor does it decode.
    points = [(k * B).encode() for k in (5, 6, 7)]
    fake.record("mixed", "sign", public=lambda p: replace(p, commitments=tuple(points)))
    with pytest.raises(VerificationError, match="commitment:"):
        client_of(fake).key("mixed")
    for suite, purpose in (("frost-ed25519", "decrypt"), ("tdh2-ristretto255", "sign")):
        fake.record("crossed", purpose, suite=suite, public=lambda p, suite=suite: replace(p, suite=suite))
        with pytest.raises(VerificationError, match=f"cannot {purpose}"):
            client_of(fake).key("crossed")


def test_requests_are_fresh_and_their_sets_ascending(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    fake.nodes[2].lie = wrong_share
    signed(client, MESSAGE)
    items = [
        items for operation, items in zip(link.operations, link.carried, strict=True) if operation == "sign"
    ]
    sets = [list(read_sign_item(item)[1]) for batch in items for item in batch]
    assert len(sets) == 2 and all(a < b for nodes in sets for a, b in pairwise(nodes))
    assert sets == [[1, 2, 3], [1, 3, 4]]


# --- rotation ----------------------------------------------------------------------------------


class Rotated(Link):
    """A coordinator that knows of the older version only, until it is to ask the nodes anew."""

    def __init__(self, fake: FakeCluster):
        super().__init__(fake)
        self.older = fake.records["release"], fake.shares["release", 1]
        fake.record("release", "sign", version=2)
        self.newer = fake.records["release"], fake.shares["release", 1]
        self.hears = True
        self.serve(self.older)

    def serve(self, version: tuple[Any, Any]) -> None:
        self.fake.records["release"], self.fake.shares["release", 1] = version

    def rotate(self) -> None:
        """The nodes know of it: they sign with the older version no more."""
        for node in self.fake.nodes.values():
            node.refuse = 18, None

    def GetKey(self, request: Any) -> Any:
        if request.fresh and self.hears:
            self.serve(self.newer)
            for node in self.fake.nodes.values():
                node.refuse = None
        return super().GetKey(request)


@pytest.mark.parametrize("ahead", [0, 3])
def test_after_a_rotation_the_newest_version_signs(fake: FakeCluster, ahead: int) -> None:
    link = Rotated(fake)
    client = client_of(fake, link)
    assert client.key("release").version == 1
    client.prepare_signing("release", ahead)
    link.rotate()
    # Who asks for the older version is told; so is whoever finds no newer one.
    with pytest.raises(RefusedError, match="a newer version of the key signs since") as caught:
        client.sign("release", MESSAGE, version=1)
    assert caught.value.code == 18 and caught.value.exit_code == 3
    link.hears = False
    with pytest.raises(RefusedError, match="a newer version"):
        client.sign("release", MESSAGE)
    link.hears = True
    signature = client.sign("release", MESSAGE)
    assert client.key("release").version == 2
    client.verify("release", MESSAGE, signature)
    with pytest.raises(SignatureError):
        client.verify("release", MESSAGE, signature, version=1)
