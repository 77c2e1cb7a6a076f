"""The roster: who is in the cluster. It is the public-key infrastructure; its genesis is what is pinned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CodecError, RosterError
from .hashing import H32
from .wire import Reader, Signed, armor, ascending, listed, u16, unarmor

MAX_CHAIN = 1024
ZEROS = bytes(32)


@dataclass(frozen=True)
class Node:
    index: int
    name: str
    endpoint: str
    provider: str
    location: str
    home: str
    identity: bytes

    @classmethod
    def read(cls, r: Reader) -> Node:
        return cls(
            r.index(),
            r.name(),
            r.endpoint(),
            r.provider(),
            r.jurisdiction(),
            r.jurisdiction(),
            r.public_key("identity"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(sorted({self.location, self.home}))})"


@dataclass(frozen=True)
class Coordinator:
    name: str
    endpoint: str
    tls_key: bytes

    @classmethod
    def read(cls, r: Reader) -> Coordinator:
        return cls(r.name(), r.endpoint(), r.public_key("TLS key"))


@dataclass(frozen=True)
class Operator:
    name: str
    key: bytes

    @classmethod
    def read(cls, r: Reader) -> Operator:
        return cls(r.name(), r.public_key("operator's key"))


@dataclass(frozen=True)
class Roster:
    cluster: str
    version: int
    previous: bytes
    nodes: tuple[Node, ...]
    coordinators: tuple[Coordinator, ...]
    operators: tuple[Operator, ...]
    quorum: int

    @classmethod
    def parse(cls, data: bytes) -> Roster:
        r = Reader(data)
        r.kind("QROS")
        cluster, version, previous = r.name(), r.u32("roster version"), r.hash32("previous roster")
        r.take(32, "roster nonce")
        r.u64("written at")
        roster = cls(
            cluster,
            version,
            previous,
            tuple(r.many(128, "nodes", Node.read)),
            tuple(r.many(16, "coordinators", Coordinator.read)),
            tuple(r.many(32, "operators", Operator.read)),
            r.u16("operators' quorum"),
        )
        r.finish()
        roster._check()
        return roster

    def _check(self) -> None:
        ascending(self.nodes, "nodes", lambda n: n.index)
        k, m = len(self.operators), self.quorum
        if self.version == 0 or (self.version == 1) != (self.previous == ZEROS):
            raise CodecError("roster: the genesis roster, and only it, names no roster before it")
        if len(self.nodes) < 2 or not self.coordinators or not k:
            raise CodecError("roster: needs at least 2 nodes, 1 coordinator and 1 operator")
        if not k < 2 * m <= 2 * k:
            raise CodecError(f"roster: of {k} operators more than half must sign, at most all; got {m}")
        names = [n.name for n in self.nodes] + [c.name for c in self.coordinators]
        names += [o.name for o in self.operators]
        keys = [n.identity for n in self.nodes] + [c.tls_key for c in self.coordinators]
        keys += [o.key for o in self.operators]
        endpoints = [n.endpoint for n in self.nodes] + [c.endpoint for c in self.coordinators]
        for what, values in (("name", names), ("key", keys), ("endpoint", endpoints)):
            if len(set(values)) != len(values):
                raise CodecError(f"roster: a {what} stands twice")

    def node(self, index: int) -> Node | None:
        return next((n for n in self.nodes if n.index == index), None)

    def is_operator(self, key: bytes) -> bool:
        return any(o.key == key for o in self.operators)

    def is_party(self, key: bytes) -> bool:
        return (
            self.is_operator(key)
            or any(n.identity == key for n in self.nodes)
            or any(c.tls_key == key for c in self.coordinators)
        )


class Cluster:
    """A chain of rosters, verified from the pinned fingerprint."""

    def __init__(self, fingerprint: bytes, chain: Sequence[Signed]):
        """Verifies all of a chain, genesis first; nothing of one with a bad link is believed."""
        if not chain or len(chain) > MAX_CHAIN:
            raise RosterError(f"a roster chain has 1 to {MAX_CHAIN} rosters, got {len(chain)}")
        got = hashlib.sha256(chain[0].body).digest()
        if got != fingerprint:
            raise RosterError(
                f"the cluster's fingerprint is {got.hex()}, expected {fingerprint.hex()}: "
                "this is another cluster"
            )
        self.fingerprint = fingerprint
        self.chain: list[Signed] = []
        self._rosters: list[tuple[Roster, bytes]] = []
        for signed in chain:
            self._extend(signed)

    def _extend(self, signed: Signed) -> None:
        try:
            roster = Roster.parse(signed.body)
        except CodecError as error:
            raise RosterError(str(error)) from None
        if roster.version != len(self.chain) + 1:
            raise RosterError(f"expected roster version {len(self.chain) + 1}, got {roster.version}")
        if self._rosters:
            before, before_hash = self._rosters[-1]
            if roster.previous != before_hash:
                raise RosterError(f"roster version {roster.version} names another roster before it")
            got = signed.count_valid("sig/roster.", self.fingerprint, before.is_operator)
            if got < before.quorum:
                raise RosterError(
                    f"roster version {roster.version}: {got} of the {before.quorum} operators of version "
                    f"{before.version} that it needs have signed it validly"
                )
        self._rosters.append((roster, H32("roster/hash.", self.fingerprint, signed.body)))
        self.chain.append(signed)

    def extended(self, chain: Sequence[Signed]) -> Cluster | None:
        """A longer chain of the same rosters, verified; `None` if it brings nothing newer."""
        other = Cluster(self.fingerprint, chain)
        for (roster, mine), (_, theirs) in zip(self._rosters, other._rosters, strict=False):
            if mine != theirs:
                raise RosterError(f"another roster is known in version {roster.version}")
        return other if len(other.chain) > len(self.chain) else None

    @property
    def roster(self) -> Roster:
        """The newest."""
        return self._rosters[-1][0]

    def at(self, version: int) -> tuple[Roster, bytes] | None:
        """A version and its hash."""
        return self._rosters[version - 1] if 1 <= version <= len(self._rosters) else None

    def to_text(self) -> str:
        data = b"QRCH" + u16(1) + listed([signed.to_bytes() for signed in self.chain])
        return armor("QUORATE ROSTER", data)


def parse_chain(text: str) -> list[Signed]:
    """What `roster.json` holds; nothing is verified yet."""
    r = Reader(unarmor("QUORATE ROSTER", text))
    r.kind("QRCH")
    chain = r.many(MAX_CHAIN, "roster chain", Signed.read)
    r.finish()
    return chain


def parse_signed_roster(data: bytes) -> Signed:
    r = Reader(data)
    r.kind("QSRO")
    signed = Signed.read(r)
    r.finish()
    return signed
