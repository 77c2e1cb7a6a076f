"""Orders: what `m` operators sign, and the rules that those obey which make an epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .errors import CodecError, OrderError, UnknownRosterError
from .hashing import H32
from .roster import Cluster, Roster
from .wire import MAX_COMMITTEE, PURPOSES, SUITE_OF, SUITES, Reader, Signed, ascending, listed, u16

DAY = 24 * 60 * 60 * 1000
MAX_ORDER_LIFE = 30 * DAY
MAX_GRANT_LIFE = 3660 * DAY
MAX_SCHEDULE = 10 * 366 * DAY
NUMBERS_PER_ORDER = 1024
MAX_VERSIONS = 1024
OWNER = 65535
"""The share index that stands for the owner of a key that is imported."""


@dataclass(frozen=True)
class Committee:
    """Who shares a key (index and identity, ascending by index), and `t`."""

    members: tuple[tuple[int, bytes], ...]
    threshold: int

    @classmethod
    def read(cls, r: Reader) -> Committee:
        members = r.many(MAX_COMMITTEE, "committee", lambda r: (r.index(), r.public_key("identity")))
        ascending(members, "committee", lambda m: m[0])
        t = r.u16("threshold")
        if not 2 <= t <= len(members):
            raise CodecError(f"committee: the threshold must be 2 to {len(members)}, got {t}")
        if len({identity for _, identity in members}) != len(members):
            raise CodecError("committee: an identity stands twice")
        return cls(tuple(members), t)

    def to_bytes(self) -> bytes:
        return listed([u16(i) + key for i, key in self.members]) + u16(self.threshold)

    @property
    def indices(self) -> tuple[int, ...]:
        return tuple(i for i, _ in self.members)

    def identity(self, index: int) -> bytes | None:
        return next((key for i, key in self.members if i == index), None)

    @property
    def least_q(self) -> int:
        return (len(self.members) + self.threshold + 1) // 2


@dataclass(frozen=True)
class Terms:
    """What an order that makes an epoch states: of a birth (of a key that is imported with its public key and
    the dealer), or (with a public key and no dealer) of a move of shares. A schedule of versions makes
    `versions` of them, from `version` on, each with these terms."""

    name: str
    version: int
    suite: str
    purpose: str
    committee: Committee
    q: int
    first_number: int
    public_key: bytes | None
    attempts: int
    danger_concentrated: bool
    acknowledge_fragile: bool
    dealer: bytes | None = None
    versions: int = 1

    def allows_version(self, version: int) -> bool:
        return self.version <= version < self.version + self.versions

    @property
    def is_birth(self) -> bool:
        """Whether it makes a key, of its own or out of its owner's."""
        return self.public_key is None or self.dealer is not None

    def allows_number(self, number: int) -> bool:
        return self.first_number <= number < self.first_number + self.attempts

    def check(self, roster: Roster) -> None:
        """The rules of a committee, against the roster under which it was ordered."""
        c = self.committee
        for index, identity in c.members:
            node = roster.node(index)
            if node is None or node.identity != identity:
                raise OrderError(
                    f"the order breaks a rule: node {index} is not in its roster with this identity"
                )
        if SUITE_OF[self.purpose] != self.suite:
            raise OrderError(f"the order breaks a rule: a {self.suite} key cannot {self.purpose}")
        if not c.least_q <= self.q <= len(c.members):
            raise OrderError(
                f"the order breaks a rule: q must be {c.least_q} to {len(c.members)}, got {self.q}"
            )
        if self.first_number == 0 or self.first_number + NUMBERS_PER_ORDER >= 1 << 64:
            raise OrderError("the order breaks a rule: epoch numbers begin at 1")
        self._check_owners(roster)

    def _check_owners(self, roster: Roster) -> None:
        """No provider or jurisdiction holds `t` shares; the loss of none leaves fewer than `t`."""
        providers: dict[str, set[int]] = {}
        jurisdictions: dict[str, set[int]] = {}
        for index, _ in self.committee.members:
            node = roster.node(index)
            if node is None:
                continue
            providers.setdefault(node.provider, set()).add(index)
            for place in (node.location, node.home):
                jurisdictions.setdefault(place, set()).add(index)
        t, n = self.committee.threshold, len(self.committee.members)
        for holder, nodes in (*providers.items(), *jurisdictions.items()):
            if len(nodes) >= t and not self.danger_concentrated:
                raise OrderError(
                    f"the order breaks a rule: {holder} would hold {len(nodes)} shares where {t} use the key "
                    "and the order does not say danger_concentrated"
                )
        for holder, nodes in jurisdictions.items():
            if n - len(nodes) < t and not self.acknowledge_fragile:
                raise OrderError(
                    f"the order breaks a rule: without {holder} the key would be out of reach, and the order "
                    "does not acknowledge it"
                )


@dataclass(frozen=True)
class Front:
    """What every order says before its action."""

    fingerprint: bytes
    roster_version: int
    roster_hash: bytes
    issued_at: int
    expires_at: int

    @classmethod
    def read(cls, r: Reader) -> Front:
        r.kind("QORD")
        fingerprint, version, roster = r.hash32(), r.u32("roster version"), r.hash32("roster hash")
        front = cls(fingerprint, version, roster, r.u64("issued at"), r.u64("expires at"))
        r.take(32, "order nonce")
        r.hash32("predecessor")
        return front

    def check(self, cluster: Cluster, signed: Signed) -> Roster:
        """That `m` operators of its roster have signed it, and its life; gives that roster."""
        if self.fingerprint != cluster.fingerprint:
            raise OrderError(
                f"the order is for cluster {self.fingerprint.hex()}, this is {cluster.fingerprint.hex()}"
            )
        known = cluster.at(self.roster_version)
        if known is None or known[1] != self.roster_hash:
            raise UnknownRosterError(
                f"the order was signed under roster version {self.roster_version}, which is not known here"
            )
        roster = known[0]
        got = signed.count_valid("sig/order.", self.fingerprint, roster.is_operator)
        if got < roster.quorum:
            raise OrderError(
                f"{got} of the {roster.quorum} operators that an order needs have signed it validly"
            )
        if not self.issued_at < self.expires_at <= self.issued_at + MAX_ORDER_LIFE:
            raise OrderError("the order breaks a rule: it lives longer than 0 and at most 30 days")
        return roster


@dataclass(frozen=True)
class VerifiedOrder:
    """An order that `m` operators of its roster signed and that makes an epoch."""

    hash: bytes
    terms: Terms


def verify_order(cluster: Cluster, signed: Signed) -> VerifiedOrder:
    """Signatures and rules; not the time, since an old order still proves what was made under it."""
    r = Reader(signed.body)
    front, action = Front.read(r), r.u8("action")
    issued_at = front.issued_at
    if action == 1:
        terms, latest_grant = _read_create(r)
        rule: bool | str = latest_grant <= issued_at + MAX_GRANT_LIFE or "a grant lasts at most ten years"
    elif action == 8:
        rights = r.u8("rights")
        if not 1 <= rights <= 3:
            raise CodecError(f"rights: {rights} is not known here")
        terms, latest_grant = _read_create(r)
        rule = latest_grant <= issued_at + MAX_GRANT_LIFE or "a grant lasts at most ten years"
    elif action == 4:
        terms, rule = _read_reshare(r, issued_at)
    elif action == 6:
        terms, latest_grant = _read_import(r)
        rule = latest_grant <= issued_at + MAX_GRANT_LIFE or "a grant lasts at most ten years"
    elif action == 9:
        terms, rule = _read_rotation(r, issued_at)
    else:
        raise OrderError(
            f"expected an order that makes an epoch (action 1, 4, 6, 8 or 9), got action {action}"
        )
    r.finish()
    roster = front.check(cluster, signed)
    if rule is not True:
        raise OrderError(f"the order breaks a rule: {rule}")
    terms.check(roster)
    _check_dealer(terms, roster)
    return VerifiedOrder(H32("order/hash.", front.fingerprint, signed.body), terms)


def _read_create(r: Reader) -> tuple[Terms, int]:
    name, version = r.key_name(), r.key_version()
    suite, purpose = r.word(SUITES, "suite"), r.word(PURPOSES, "purpose")
    committee, q, first = Committee.read(r), r.u16("q"), r.u64("first epoch number")
    grants = r.many(256, "grants", lambda r: (r.public_key("client"), r.name(), r.u64("grant's end")))
    ascending(grants, "grants", lambda g: g[0])
    danger, fragile = r.flag("danger_concentrated"), r.flag("acknowledge_fragile")
    terms = Terms(
        name, version, suite, purpose, committee, q, first, None, NUMBERS_PER_ORDER, danger, fragile
    )
    _check_versions(terms)
    return terms, max((end for _, _, end in grants), default=0)


def _read_import(r: Reader) -> tuple[Terms, int]:
    """A key that its owner has already: the one dealing is the owner's, of this public key."""
    rights = r.option("rights", lambda r: r.u8("rights"))
    if rights is not None and not 1 <= rights <= 3:
        raise CodecError(f"rights: {rights} is not known here")
    terms, latest_grant = _read_create(r)
    public_key, dealer = r.take(32, "public key"), r.public_key("dealer")
    return replace(terms, public_key=public_key, dealer=dealer), latest_grant


def _read_rotation(r: Reader, issued_at: int) -> tuple[Terms, bool | str]:
    """A schedule of versions. When each is due, the nodes have seen to."""
    rights = r.option("rights", lambda r: r.u8("rights"))
    if rights is not None and not 1 <= rights <= 3:
        raise CodecError(f"rights: {rights} is not known here")
    terms, latest_grant = _read_create(r)
    begin, every, times, until = r.u64("from"), r.u32("interval"), r.u16("times"), r.u64("until")
    if times == 0:
        raise OrderError("expected an order that makes an epoch, got one that ends a schedule of versions")
    terms = replace(terms, versions=times)
    _check_versions(terms)
    rule: bool | str = True
    if latest_grant > issued_at + MAX_GRANT_LIFE:
        rule = "a grant lasts at most ten years"
    elif terms.version < 2:
        rule = "the first version of a key is made by an order of its own"
    elif not 10 <= every <= 366 * 86_400:
        rule = "a schedule repeats every 10 seconds to a year"
    elif max(begin, until) > issued_at + MAX_SCHEDULE:
        rule = "a schedule goes on for ten years at most"
    return terms, rule


def _check_versions(terms: Terms) -> None:
    if terms.version + terms.versions - 1 > MAX_VERSIONS:
        raise OrderError(f"the order breaks a rule: a key has at most {MAX_VERSIONS} versions")


def _check_dealer(terms: Terms, roster: Roster) -> None:
    if terms.dealer is None:
        return
    parties = {n.identity for n in roster.nodes} | {c.tls_key for c in roster.coordinators}
    if terms.dealer in parties:
        raise OrderError(
            "the order breaks a rule: nodes and coordinators deal no key that is imported; its owner does"
        )
    if OWNER in terms.committee.indices:
        raise OrderError(
            f"the order breaks a rule: node {OWNER} receives no imported key: its index is the owner's"
        )


def _read_reshare(r: Reader, issued_at: int) -> tuple[Terms, bool | str]:
    name, version, newest = r.key_name(), r.key_version(), r.key_version()
    suite, purpose = r.word(SUITES, "suite"), r.word(PURPOSES, "purpose")
    public_key, committee = r.take(32, "public key"), Committee.read(r)
    q, first, grace = r.u16("q"), r.u64("first epoch number"), r.u32("grace")
    schedule = r.option("schedule", lambda r: (r.u32("interval"), r.u16("times"), r.u64("until")))
    danger, fragile = r.flag("danger_concentrated"), r.flag("acknowledge_fragile")
    rule: bool | str = True
    if newest < version:
        rule = "the newest version of a key is not below the one whose shares move"
    elif grace > 86_400:
        rule = "the old epoch is kept for a day (86400 s) at most"
    attempts = NUMBERS_PER_ORDER
    if schedule is not None:
        every, attempts, until = schedule
        if not 10 <= every <= 366 * 86_400 or not 1 <= attempts <= NUMBERS_PER_ORDER:
            rule = "a schedule repeats every 10 seconds to a year, 1 to 1024 times"
        elif until > issued_at + MAX_SCHEDULE:
            rule = "a schedule goes on for ten years at most"
    return (
        Terms(name, version, suite, purpose, committee, q, first, public_key, attempts, danger, fragile),
        rule,
    )
