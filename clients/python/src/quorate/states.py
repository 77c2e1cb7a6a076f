"""How keys are, as operators ordered it: verified, and never taken back; and which key an alias means.

That an alias means a key is an order of operators, and so is that it does no more. Whoever once used an alias
keeps the order, and believes another key only together with a newer order about the first one, in which the
alias is gone, or with the receipts of most nodes that they have destroyed the first one.
docs/protocol/lifecycle.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from .asking import Link
from .errors import CodecError, OrderError, PartyError, UnknownRosterError, VerificationError
from .hashing import verify
from .home import Home
from .orders import DAY, MAX_VERSIONS, Front
from .roster import Cluster
from .v1 import client_pb2
from .wire import Reader, Signed, ascending

MAX_DESCRIPTION = 1024
MAX_TAGS = 32
MAX_ALIASES = 16
#: How long a key waits for its deletion at most.
MAX_WAIT = 30 * DAY
#: Orders of one answer that are looked at.
MAX_STATES = 64
#: Nodes of a roster.
MAX_NODES = 128
_TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]*")


@dataclass(frozen=True)
class KeyState:
    """All that operators say of how a key is, each time."""

    name: str
    #: Counts up; 0 if they have said nothing.
    revision: int = 0
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    #: Other names of the key.
    aliases: tuple[str, ...] = ()
    #: The versions that refuse every use; `None` for every one.
    disabled: tuple[int, ...] | None = ()
    #: When every node destroys its shares of the key, in milliseconds since 1970, by its own clock.
    deletion: int | None = None

    @classmethod
    def read(cls, r: Reader) -> KeyState:
        name, revision = r.key_name(), r.u64("revision")
        description = _plain(r.text(MAX_DESCRIPTION, "description"), "description")
        tags = r.many(MAX_TAGS, "tags", _read_tag)
        ascending(tags, "tags", lambda t: t[0])
        aliases = r.many(MAX_ALIASES, "aliases", Reader.key_name)
        ascending(aliases, "aliases", str)
        disabled, deletion = _read_disabled(r), r.option("deletion", lambda r: r.u64("deletion"))
        return cls(name, revision, description, tuple(tags), tuple(aliases), disabled, deletion)

    def check(self, issued_at: int) -> None:
        if self.revision == 0:
            raise OrderError("the order breaks a rule: revisions of a key's state begin at 1")
        if self.name in self.aliases:
            raise OrderError("the order breaks a rule: an alias is another name than the key's own")
        if self.deletion is not None and not issued_at <= self.deletion <= issued_at + MAX_WAIT:
            raise OrderError(
                "the order breaks a rule: a deletion is not before its order, and waits for 30 days at most"
            )

    def waits(self, now: int) -> bool:
        """Whether a deletion is still to come, if there is one."""
        return self.deletion is None or now < self.deletion


def _plain(text: str, what: str) -> str:
    if any(unicodedata.category(c) == "Cc" for c in text):
        raise CodecError(f"{what}: has no control characters")
    return text


def _read_tag(r: Reader) -> tuple[str, str]:
    name, value = r.text(64, "a tag's name"), _plain(r.text(256, "a tag's value"), "a tag's value")
    if not _TAG_NAME.fullmatch(name):
        raise CodecError(
            "a tag's name: 1 to 64 letters, digits and . _ - / :, beginning with a letter or digit"
        )
    if not value:
        raise CodecError("a tag's value: 1 to 256 bytes of text")
    return name, value


def _read_disabled(r: Reader) -> tuple[int, ...] | None:
    kind = r.u8("disabled versions")
    if kind == 2:
        return None
    if kind != 1:
        raise CodecError(f"disabled versions: {kind} is not known here")
    versions = r.many(MAX_VERSIONS, "disabled versions", Reader.key_version)
    ascending(versions, "disabled versions", int)
    return tuple(versions)


@dataclass(frozen=True)
class StateOrder:
    """An order of action 5 that `m` operators of its roster signed."""

    signed: Signed
    state: KeyState


def parse_signed_order(data: bytes) -> Signed:
    r = Reader(data)
    r.kind("QSOR")
    signed = Signed.read(r)
    r.finish()
    return signed


def verify_state(cluster: Cluster, signed: Signed) -> StateOrder:
    """Signatures and rules; not the time, since the newest order holds whatever its age."""
    r = Reader(signed.body)
    front, action = Front.read(r), r.u8("action")
    if action != 5:
        raise OrderError(f"expected an order about a key's state (action 5), got action {action}")
    state = KeyState.read(r)
    r.finish()
    front.check(cluster, signed)
    state.check(front.issued_at)
    return StateOrder(signed, state)


@dataclass(frozen=True)
class DestroyedReceipt:
    """A node's word that it has destroyed all that it held of a key (`QDST`); nothing is verified yet."""

    node: int
    key: str
    #: Hash of the order that said so.
    order: bytes
    #: In milliseconds since 1970, by the node's clock.
    at: int
    body: bytes
    signature: bytes

    @classmethod
    def parse(cls, data: bytes) -> DestroyedReceipt:
        r = Reader(data)
        r.kind("QDST")
        node, key, order, at = r.index(), r.key_name(), r.take(32, "order"), r.u64("time")
        receipt = cls(node, key, order, at, data[6:-64], r.take(64, "signature"))
        r.finish()
        return receipt

    def verifies(self, cluster: Cluster) -> bool:
        """Whether that node's identity signed it."""
        nodes = (node for node in cluster.roster.nodes if node.index == self.node)
        return any(
            verify(node.identity, "sig/destroyed.", cluster.fingerprint, self.body, self.signature)
            for node in nodes
        )


@dataclass(frozen=True)
class Shown:
    """What a coordinator shows of a name or alias."""

    #: By the key, verified, and not older than what was seen.
    orders: dict[str, StateOrder]
    #: Verified, one of a node at most.
    destroyed: tuple[DestroyedReceipt, ...] = ()


class States:
    """What is believed of keys' states; the home keeps it."""

    def __init__(self, home: Home, cluster: Callable[[], Cluster], refresh_roster: Callable[[Link], None]):
        self._home, self._cluster, self._refresh_roster = home, cluster, refresh_roster

    def resolve(self, alias: str, shown: Callable[[str], Shown], now: int) -> str | None:
        """The key that an alias means; `None` if it means none. `shown` asks about a name."""
        orders = shown(alias).orders
        before, destroyed = self.pinned_alias(alias), 0
        if before is not None and (before not in orders or not orders[before].state.waits(now)):
            # Of the key that it meant before, what holds now: else an old order could be shown alone.
            more = shown(before)
            orders = orders | more.orders
            destroyed = sum(receipt.key == before for receipt in more.destroyed)
        # With its deletion a key gives its aliases back. The one that it meant before has been deleted only
        # where most nodes say so: that the deletion was cancelled can be kept back.
        over = destroyed >= len(self._cluster().roster.nodes) // 2 + 1

        def means(state: KeyState) -> bool:
            return alias in state.aliases and (state.waits(now) or (state.name == before and not over))

        found = [orders[name] for name in sorted(orders) if means(orders[name].state)]
        if not found:
            return None
        if len(found) > 1:
            first, second = (order.state.name for order in found[:2])
            raise VerificationError(
                "the cluster", f"shows {alias} as an alias of two keys, {first} and {second}"
            )
        self._home.put_alias_pin(alias, found[0].signed)
        return found[0].state.name

    def pinned_alias(self, alias: str) -> str | None:
        """The key that an alias meant when it was last used."""
        order = self._again(self._home.alias_pin(alias), f"{alias} as an alias")
        return None if order is None else order.state.name

    def shown_by(self, link: Link, name: str, timeout: float) -> Shown:
        """The newest order that a coordinator shows of each key of this name or alias, and nodes' receipts.

        Every one verifies, and no order is older than what was seen.
        """
        request = client_pb2.KeyStateRequest(name=name)
        try:
            answer = link.call("KeyState", request, client_pb2.KeyStateResponse, timeout)
        except PartyError as error:
            if not error.unimplemented:
                raise
            answer = client_pb2.KeyStateResponse()  # a release without states, whose keys have none
        shown = list(answer.orders)
        orders: dict[str, StateOrder] = {}
        for data in shown[:MAX_STATES]:
            order = self._believe(link, data)
            known = orders.get(order.state.name)
            if known is None or known.state.revision < order.state.revision:
                orders[order.state.name] = order
        orders = {key: self._never_back(link.party, order) for key, order in orders.items()}
        seen = None if name in orders else self._pinned(name)
        if seen is not None:
            raise VerificationError(
                link.party,
                f"shows no state of key {name}, of which revision {seen.state.revision} was seen",
            )
        return Shown(orders, self._receipts(answer))

    def _receipts(self, answer: client_pb2.KeyStateResponse) -> tuple[DestroyedReceipt, ...]:
        """Those that are their nodes'; whatever else is shown counts for nothing."""
        cluster, receipts = self._cluster(), dict[int, DestroyedReceipt]()
        for said in list(answer.nodes)[:MAX_NODES]:
            try:
                receipt = DestroyedReceipt.parse(said.receipt)
            except CodecError:
                continue
            if receipt.verifies(cluster):
                receipts[receipt.node] = receipt
        return tuple(receipts.values())

    def _believe(self, link: Link, data: bytes) -> StateOrder:
        """`m` operators have signed it, under a roster that follows the pinned one."""
        try:
            signed = parse_signed_order(data)
            try:
                return verify_state(self._cluster(), signed)
            except UnknownRosterError:
                self._refresh_roster(link)
                return verify_state(self._cluster(), signed)
        except (CodecError, OrderError) as error:
            raise VerificationError(link.party, f"sent a key's state that does not verify: {error}") from None

    def _never_back(self, party: str, order: StateOrder) -> StateOrder:
        """The order, unless a higher revision was seen; remembers it.

        Of two of one revision the first that was seen stays, as at the nodes.
        """
        state = order.state
        seen = self._pinned(state.name)
        if seen is not None and state.revision < seen.state.revision:
            raise VerificationError(
                party,
                f"shows revision {state.revision} of the state of key {state.name}, of which "
                f"{seen.state.revision} was seen",
            )
        if seen is not None and state.revision == seen.state.revision:
            return seen
        self._home.put_state_pin(state.name, order.signed)
        return order

    def _pinned(self, name: str) -> StateOrder | None:
        """The newest order about how a key is that was seen."""
        order = self._again(self._home.state_pin(name), f"the state of key {name}")
        return order if order is not None and order.state.name == name else None

    def _again(self, pin: Signed | None, what: str) -> StateOrder | None:
        """Verified again: a file is not believed for lying on our disk."""
        if pin is None:
            return None
        try:
            return verify_state(self._cluster(), pin)
        except (CodecError, OrderError) as error:
            raise VerificationError("the pin file", f"of {what} does not verify: {error}") from None
