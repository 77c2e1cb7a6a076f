"""Many ciphertexts or inputs in one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake import Answering, FakeCluster, Link, flip

from quorate import CiphertextError, Client, NoQuorumError, PartyError, VerificationError, asking
from quorate import client as client_module
from quorate.group import B, Point, random_scalar
from quorate.home import Home

CONTEXT = {"app": "crm"}


@pytest.fixture
def fake(tmp_path: Path) -> FakeCluster:
    fake = FakeCluster(tmp_path / "home", n=3, t=2)
    for name, purpose in (("demo", "decrypt"), ("other", "decrypt"), ("ids", "derive")):
        fake.record(name, purpose, fragile=True)
    return fake


@pytest.fixture
def link(fake: FakeCluster) -> Link:
    return Link(fake)


def client_of(fake: FakeCluster, *links: Link) -> Client:
    return Client(Home(fake.home), links=list(links), timeout=5)


def wrong_last_partial(said: Answering) -> None:
    wrong = Point.decode(said.partials[-1]) + random_scalar() * B
    said.partials[-1] = wrong.encode()


def test_a_batch_is_one_request_and_keeps_its_order(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    texts = [f"row {i}".encode() for i in range(12)]
    rows = [client.encrypt("demo", text, CONTEXT) for text in texts]
    results, report = client.decrypt_batch(rows, CONTEXT)
    assert results == texts and report.nodes == [1, 2] and report.liars == []
    assert link.operations == ["decrypt"] and len(link.carried[0]) == 12


def test_an_empty_batch_asks_nobody(fake: FakeCluster, link: Link) -> None:
    assert client_of(fake, link).decrypt_batch([])[0] == []
    assert client_of(fake, link).derive_batch("ids", [])[0] == []
    assert link.operations == []


def test_bad_items_stand_in_their_places_and_the_rest_opens(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    rows = [client.encrypt("demo", bytes([i]) * 9, CONTEXT) for i in range(8)]
    rows[1] = flip(rows[1], len(rows[1]) - 9 - 16 - 60)  # the encapsulation
    rows[2] = rows[2][:50]  # the head
    rows[4] = flip(rows[4], len(rows[4]) - 1)  # the payload
    rows[5] = b"junk"
    rows[6] = client.encrypt("demo", b"m", {"app": "other"})
    results, report = client.decrypt_batch(rows, CONTEXT)
    assert [results[i] for i in (0, 3, 7)] == [bytes([i]) * 9 for i in (0, 3, 7)]
    for at, says in (
        (1, "was changed"),
        (2, "truncated"),
        (4, "its last chunk (0) does not verify"),
        (5, "no Quorate ciphertext"),
        (6, "another encryption context"),
    ):
        error = results[at]
        assert isinstance(error, CiphertextError) and says in str(error), (at, error)
    assert report.liars == []


def test_bad_items_that_nodes_let_pass_are_found_here(
    fake: FakeCluster, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No node is called a liar for a ciphertext that was changed."""
    client = client_of(fake, link)
    rows = [client.encrypt("demo", bytes([i]), CONTEXT) for i in range(4)]
    rows[2] = flip(rows[2], len(rows[2]) - 1 - 16 - 60)
    monkeypatch.setattr(Link, "is_valid", lambda *_: True)
    results, report = client.decrypt_batch(rows, CONTEXT)
    assert results[:2] + results[3:] == [bytes([i]) for i in (0, 1, 3)]
    assert isinstance(results[2], CiphertextError) and "was changed" in str(results[2])
    assert report.liars == []


def test_several_keys_and_a_liar_in_one_batch(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    texts = [bytes([i]) for i in range(6)]
    rows = [client.encrypt(("demo", "other")[i % 2], text, CONTEXT) for i, text in enumerate(texts)]
    fake.nodes[2].lie = wrong_last_partial
    results, report = client.decrypt_batch(rows, CONTEXT)
    assert results == texts and report.liars == [2] and report.nodes == [1, 3]
    fake.nodes[1].lie = wrong_last_partial
    with pytest.raises(VerificationError, match=r"node-1 .*node-2 .*answered wrongly"):
        client.decrypt_batch(rows, CONTEXT)


def test_a_key_that_is_gone_concerns_its_ciphertexts_only(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    rows = [client.encrypt(key, b"m") for key in ("demo", "other")]
    del fake.records["other"]
    (fake.home / "pins/other@1").unlink()
    good, gone = client_of(fake, link).decrypt_batch(rows)[0]
    assert good == b"m" and isinstance(gone, CiphertextError) and "does not have" in str(gone)


def test_who_calls_a_good_item_of_a_batch_invalid_lies(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    rows = [client.encrypt("demo", b"m") for _ in range(3)]
    fake.nodes[1].refuse = (9, 1)
    results, report = client.decrypt_batch(rows)
    assert results == [b"m"] * 3 and report.liars == [1]


def test_more_items_than_a_request_may_have_are_several(
    fake: FakeCluster, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asking.most_items(client_of(fake, link).key("demo")) == 1024
    monkeypatch.setattr(client_module, "most_items", lambda key: 5)
    client = client_of(fake, link)
    row = client.encrypt("demo", b"same")
    assert client.decrypt_batch([row] * 12)[0] == [b"same"] * 12
    assert [len(items) for items in link.carried] == [5, 5, 2]
    # One place is the check element's.
    secrets, _ = client.derive_batch("ids", [b"x"] * 9)
    assert len(set(secrets)) == 1 and [len(items) for items in link.carried[3:]] == [5, 5, 1]


def test_a_batch_derives_what_its_inputs_derive_alone(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    alone = [client.derive("ids", x, CONTEXT) for x in (b"a", b"b", b"a")]
    before = len(link.carried)
    assert client.derive_batch("ids", [b"a", b"b", b"a"], CONTEXT)[0] == alone
    assert len(link.carried) == before + 1 and alone[0] == alone[2] != alone[1]
    seen = [item for items in link.carried for item in items]
    assert len(seen) == len(set(seen)), "no blinded element is ever seen twice"


def test_who_is_silent_is_told_also_when_there_is_no_time_left(fake: FakeCluster, link: Link) -> None:
    """Of an earlier round it is known who is silent: that says more than the clock."""
    client = client_of(fake, link)
    row = client.encrypt("demo", b"m")
    fake.nodes[1].up = fake.nodes[2].up = False
    evaluate, rounds = link.Evaluate, 0

    def once(request: Any) -> Any:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise PartyError(link.party, "timed out", late=True)
        return evaluate(request)

    link.Evaluate = once  # type: ignore[method-assign]
    with pytest.raises(NoQuorumError, match=r"1 of the 2 .* node-1 \(DE\) unreachable"):
        client.decrypt(row)
    rounds = 1
    with pytest.raises(PartyError, match="timed out"):
        client.decrypt(row)
