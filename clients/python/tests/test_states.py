"""Aliases: whose key they mean is an order's word, and nobody takes it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake import NOW, FakeCluster, Link, flip, sign
from vectors import snapshot

from quorate import (
    CiphertextError,
    Client,
    CodecError,
    HomeError,
    KeyState,
    OrderError,
    PartyError,
    UnknownKeyError,
    VerificationError,
)
from quorate.home import Home, state_pin_text
from quorate.orders import DAY, Front
from quorate.states import DestroyedReceipt, parse_signed_order, verify_state
from quorate.wire import Reader, Signed, u16


@pytest.fixture
def fake(tmp_path: Path) -> FakeCluster:
    fake = FakeCluster(tmp_path / "home", n=3, t=2)
    fake.record("demo", "decrypt", fragile=True)
    fake.record("other", "decrypt", fragile=True)
    return fake


@pytest.fixture
def link(fake: FakeCluster) -> Link:
    return Link(fake)


def client_of(fake: FakeCluster, *links: Link, now: int = NOW) -> Client:
    return Client(Home(fake.home), links=links, clock=lambda: now / 1000)


def test_a_key_is_found_by_an_alias_that_operators_gave_it(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    with pytest.raises(UnknownKeyError, match="no key prod"):
        client.key("prod")
    link.states = [fake.state("demo", 1, "prod")]
    assert client.key("prod").name == client.key("prod", 1).name == "demo"
    with pytest.raises(UnknownKeyError):
        client.key("prod", 2)
    sealed = client.encrypt("prod", b"hello")
    assert client.decrypt(sealed) == b"hello" and b"demo" in sealed and b"prod" not in sealed
    # A key's own name means that key, whatever somebody shows.
    link.states = [fake.state("other", 1, "demo")]
    assert client.key("demo").name == client.key("demo", 1).name == "demo"


def test_no_ciphertext_names_an_alias(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    link.states = [fake.state("demo", 1, "prod")]
    assert client.key("prod").name == "demo"
    link.asked.clear()
    named = client.encrypt("prod", b"hello").replace(b"demo", b"prod")
    link.asked.clear()
    with pytest.raises(CiphertextError, match="names key prod version 1, which the cluster does not have"):
        client.decrypt(named)
    assert link.asked == []


def test_a_name_of_which_a_version_is_pinned_is_no_alias(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    client.key("demo")
    del fake.records["demo"]
    link.states = [fake.state("other", 1, "demo")]
    with pytest.raises(UnknownKeyError):
        client.key("demo")
    with pytest.raises(UnknownKeyError):
        client.key("demo", 2)
    assert link.asked == []


def test_an_alias_that_no_operators_gave_is_not_believed(fake: FakeCluster, link: Link) -> None:
    good = fake.state("demo", 1, "prod")
    forged = sign(good.body, "sig/order.", fake.fingerprint, [node.identity for node in fake.nodes.values()])
    for bad, why in (
        (forged, "0 of the 2 operators"),
        (fake.state("demo", 1, "prod", signers=fake.operators[:1]), "1 of the 2 operators"),
        (Signed(flip(good.body, len(good.body) - 5), good.signers), "0 of the 2 operators"),
        (sign(good.body, "sig/roster.", fake.fingerprint, fake.operators), "0 of the 2 operators"),
        (fake.state("demo", 1, "prod", fingerprint=b"x" * 32), "the order is for cluster"),
        (fake.state("demo", 1, "prod", roster_hash=b"x" * 32), "roster version 1, which is not known"),
        (fake.state("demo", 1, "prod", roster_version=2), "roster version 2, which is not known"),
        (fake.state("demo", 1, "prod", life=31 * DAY), "at most 30 days"),
        (fake.state("demo", 0, "prod"), "revisions of a key's state begin at 1"),
        (fake.state("demo", 1, "demo", "prod"), "another name than the key's own"),
        (fake.state("demo", 1, "prod", deletion=NOW - 1), "not before its order"),
        (fake.state("demo", 1, "prod", deletion=NOW + 30 * DAY + 1), "30 days at most"),
        (fake.state("demo", 1, "prod", "abc"), "strictly ascending"),
        (fake.state("demo", 1, "prod", "prod"), "strictly ascending"),
        (fake.state("demo", 1, *(f"alias-{i:02}" for i in range(17))), "at most 16 allowed"),
        (fake.order("demo", "decrypt", fake.operators)[0], "expected an order about a key's state"),
    ):
        link.states = [bad]
        with pytest.raises(VerificationError, match=f"state that does not verify: .*({why})") as caught:
            client_of(fake, link).key("prod")
        assert caught.value.exit_code == 5
    assert not (fake.home / "pins").exists()


def test_another_coordinator_is_asked_if_one_lies(fake: FakeCluster, link: Link) -> None:
    link.states = [fake.state("demo", 1, "prod", signers=fake.operators[:1])]
    honest = Link(fake, "another")
    honest.states = [fake.state("demo", 1, "prod")]
    assert client_of(fake, link, honest).key("prod").name == "demo"


def test_an_order_under_a_newer_roster_is_verified_with_it(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    client.key("demo")  # the roster is asked for once; it grows afterwards
    body = fake.roster(2, fake.roster_hash())
    fake.chain.append(sign(body, "sig/roster.", fake.fingerprint, fake.operators[:2]))
    link.states = [fake.state("demo", 1, "prod", roster_version=2)]
    assert client.key("prod").name == "demo"
    assert client.cluster.roster.version == 2


def test_a_coordinator_cannot_take_an_alias_back(fake: FakeCluster, link: Link) -> None:
    """The alias was given to another key, and then back.

    A coordinator that kept the orders of the time between cannot have clients encrypt to that key again.
    """
    client = client_of(fake, link)
    old, new = fake.state("other", 1, "prod"), fake.state("demo", 3, "prod")
    link.states = [new, fake.state("other", 2)]
    assert client.key("prod").name == "demo"
    # The old order alone.
    link.states = [old]
    with pytest.raises(VerificationError, match="shows revision 1 of the state of key other, of which 2"):
        client.key("prod")
    # With an old order of the key that it means.
    link.states = [fake.state("demo", 2), fake.state("other", 3, "prod")]
    with pytest.raises(VerificationError, match="shows revision 2 of the state of key demo, of which 3"):
        client.key("prod")
    # Two keys with one alias are nobody's choice.
    link.states = [fake.state("other", 3, "prod"), new]
    with pytest.raises(VerificationError, match="an alias of two keys, demo and other"):
        client.key("prod")
    # A newer order takes it away indeed.
    link.states = [fake.state("demo", 4), fake.state("other", 3, "prod")]
    assert client.key("prod").name == "other"


def test_what_an_alias_meant_before_is_asked_for(fake: FakeCluster, link: Link) -> None:
    """The other key's orders are news here, so their revisions say nothing: the first key's must come."""
    client = client_of(fake, link)
    link.states = [fake.state("demo", 3, "prod")]
    assert client.key("prod").name == "demo"
    link.asked.clear()
    link.states = [fake.state("other", 1, "prod")]
    with pytest.raises(VerificationError, match="shows no state of key demo, of which revision 3 was seen"):
        client.key("prod")
    assert link.asked == ["prod", "demo"]
    # By a coordinator that withholds it and then shows it as it still is.
    show = link.KeyState

    def in_turn(request: Any) -> Any:
        link.states = [fake.state("demo" if request.name == "demo" else "other", 3, "prod")]
        return show(request)

    link.KeyState = in_turn  # type: ignore[method-assign]
    with pytest.raises(VerificationError, match="an alias of two keys, demo and other"):
        client.key("prod")


def test_a_deleted_key_gives_its_aliases_back(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link, now=NOW + 2000)
    link.states = [fake.state("demo", 1, "prod", deletion=NOW + 3000), fake.state("other", 1, "prod")]
    with pytest.raises(VerificationError, match="an alias of two keys"):
        client.key("prod")
    link.states = [fake.state("demo", 2, "prod", deletion=NOW + 2000), fake.state("other", 1, "prod")]
    assert client.key("prod").name == "other"


def test_an_alias_that_was_used_is_free_when_most_nodes_have_destroyed_its_key(
    fake: FakeCluster, link: Link
) -> None:
    """That the deletion was cancelled can be kept back; what nodes have destroyed they do not take back."""
    client = client_of(fake, link)
    deletion = fake.state("demo", 1, "prod", deletion=NOW + 1000)
    link.states = [deletion]
    assert client.key("prod").name == "demo"
    link.states = [deletion, fake.state("other", 1, "prod")]
    later = client_of(fake, link, now=NOW + 2000)
    good = {i: fake.destroyed(i, "demo") for i in fake.nodes}
    flipped = flip(good[2], len(good[2]) - 1)
    for receipts in (
        {},
        {1: good[1]},  # one of three
        {1: good[1], 2: good[1]},  # another node's
        {1: good[1], 2: flipped},
        {1: good[1], 2: fake.destroyed(2, "other")},
        {1: good[1], 2: fake.destroyed(2, "demo", fingerprint=b"x" * 32)},
        {1: good[1], 2: fake.destroyed(2, "demo", identity=fake.operators[0])},
        {1: good[1], 2: good[2][:-1]},
        {1: good[1], 2: good[2] + b"\0"},
        {1: good[1], 9: fake.destroyed(9, "demo", identity=fake.operators[0])},
    ):
        link.receipts = receipts
        with pytest.raises(VerificationError, match="an alias of two keys, demo and other"):
            later.key("prod")
    link.states = [deletion]
    assert later.key("prod").name == "demo"
    link.states = [deletion, fake.state("other", 1, "prod")]
    link.receipts = {1: good[1], 2: good[2]}
    assert later.key("prod").name == "other"


def test_one_nodes_receipt_counts_once(fake: FakeCluster, link: Link) -> None:
    client = client_of(fake, link)
    deletion = fake.state("demo", 1, "prod", deletion=NOW + 1000)
    link.states = [deletion]
    assert client.key("prod").name == "demo"
    link.states = [deletion, fake.state("other", 1, "prod")]
    link.receipts = [(1, fake.destroyed(1, "demo")), (1, fake.destroyed(1, "demo"))]
    with pytest.raises(VerificationError, match="an alias of two keys, demo and other"):
        client_of(fake, link, now=NOW + 2000).key("prod")


def test_what_was_seen_of_a_keys_state_is_kept_over_processes(fake: FakeCluster, link: Link) -> None:
    link.states = [fake.state("demo", 3, "prod")]
    assert client_of(fake, link).key("prod").name == "demo"
    assert client_of(fake, link).key_state("demo") == KeyState("demo", 3, aliases=("prod",))
    link.states = [fake.state("demo", 2, "prod")]
    with pytest.raises(VerificationError, match="of which 3 was seen"):
        client_of(fake, link).key_state("demo")
    link.states = []
    with pytest.raises(VerificationError, match="of which revision 3 was seen"):
        client_of(fake, link).key_state("demo")
    # Of two orders of one revision the first that was seen stays.
    link.states = [fake.state("demo", 3, "staging")]
    assert client_of(fake, link).key_state("demo").aliases == ("prod",)
    with pytest.raises(UnknownKeyError):
        client_of(fake, link).key("staging")
    # With nobody there, the alias means what it meant.
    link.down = True
    sealed = client_of(fake, link).encrypt("prod", b"hello")
    with pytest.raises(PartyError, match="unreachable"):
        client_of(fake, link).key("prod", 1)
    link.down = False
    assert client_of(fake, link).decrypt(sealed) == b"hello"


def test_pins_of_states_are_verified_again(fake: FakeCluster, link: Link) -> None:
    link.states = [fake.state("demo", 3, "prod")]
    client = client_of(fake, link)
    assert client.key("prod").name == "demo"
    state, alias = fake.home / "pins/demo@state", fake.home / "pins/prod@alias"
    assert state.read_text() == alias.read_text() == state_pin_text(link.states[0])
    forged = state_pin_text(fake.state("other", 9, "prod", signers=fake.operators[:1]))
    for pin in (alias, state):
        kept = pin.read_text()
        pin.write_text(forged)
        with pytest.raises(VerificationError, match=r"the pin file of .* does not verify: 1 of the 2"):
            client.key("prod")
        pin.write_text(kept[:60])
        with pytest.raises(HomeError, match="remove the file and the key is pinned anew"):
            client.key("prod")
        pin.write_text(kept)
    # A pin of another key's state is none.
    state.write_text(state_pin_text(fake.state("other", 9)))
    assert client.key("prod").name == "demo" and state.read_text() == alias.read_text()


def test_a_coordinator_without_states_shows_none(fake: FakeCluster, link: Link) -> None:
    def unimplemented(request: Any) -> Any:
        raise PartyError(link.party, "unimplemented", unimplemented=True)

    link.KeyState = unimplemented  # type: ignore[method-assign]
    with pytest.raises(UnknownKeyError, match="no key prod"):
        client_of(fake, link).key("prod")
    assert client_of(fake, link).key_state("demo") == KeyState("demo")


def read(body: bytes) -> KeyState:
    r = Reader(body)
    front, action = Front.read(r), r.u8("action")
    state = KeyState.read(r)
    r.finish()
    assert action == 5
    state.check(front.issued_at)
    return state


def test_orders_of_the_snapshots() -> None:
    """The same bytes as the Rust types."""
    assert read(snapshot("order-set-key-state")) == KeyState(
        "payroll/2026", 3, "of the monthly runs", (("env", "live"), ("team", "Lohnbüro")),
        ("salaries", "team/pay"), (1,), None,
    )  # fmt: skip
    deleted = read(snapshot("order-delete-key"))
    assert (deleted.revision, deleted.disabled, deleted.aliases) == (9, None, ())
    assert deleted.deletion is not None and deleted.waits(0) and not deleted.waits(deleted.deletion)


def test_the_receipt_of_the_snapshots() -> None:
    """The same bytes as the Rust types."""
    data = b"QDST" + u16(1) + snapshot("destroyed-receipt").removeprefix(b"QDST" + u16(1))
    receipt = DestroyedReceipt.parse(data)
    assert (receipt.node, receipt.key, receipt.order) == (2, "payroll/2026", bytes([0xD1]) * 32)
    assert receipt.body + receipt.signature == data[6:]


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[:-1],
        lambda b: b + b"\0",
        lambda b: b.replace(b"of the", b"of\nthe"),
        lambda b: b.replace(b"of the", b"of \xff\xfee"),
        lambda b: b.replace(b"team\0\0\0\x09", b"dept\0\0\0\x09"),  # tags descend
        lambda b: b.replace(b"\0\0\0\x03env", b"\0\0\0\x03-nv"),
        lambda b: b.replace(b"live", b"li\x7fe"),
        lambda b: b.replace(b"salaries", b"zalaries"),
        lambda b: b.replace(b"salaries", b"-alaries"),
        lambda b: b[:-8] + b"\3" + b[-7:],  # what is disabled
        lambda b: b[:-5] + b"\0\0\0\0\0",  # version 0
        lambda b: b[:-1] + b"\2",
    ],
)
def test_orders_are_strict(change: Callable[[bytes], bytes]) -> None:
    body = snapshot("order-set-key-state")
    assert change(body) != body
    with pytest.raises((CodecError, OrderError)):
        read(change(body))


def test_signed_orders_are_strict(fake: FakeCluster) -> None:
    order = fake.state("demo", 1, "prod")
    data = b"QSOR" + u16(1) + order.to_bytes()
    assert verify_state(fake.cluster(), parse_signed_order(data)).state.aliases == ("prod",)
    for bad in (data[:-1], data + b"\0", b"QSRO" + data[4:], data[:5] + b"\2" + data[6:]):
        with pytest.raises(CodecError):
            parse_signed_order(bad)
