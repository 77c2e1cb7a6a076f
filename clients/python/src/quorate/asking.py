"""One signed request to a quorum: whom it is asked of, what comes back, and who lies.

What is asked for is of no matter here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .answers import (
    CANNOT,
    INVALID_ITEM,
    ITEMS_MISMATCH,
    NO_SHARE,
    REASONS,
    Answer,
    AnswerBook,
    Expected,
    Refusal,
    Unverified,
)
from .certificate import Key
from .errors import (
    CiphertextError,
    NoQuorumError,
    PartyError,
    QuorateError,
    RefusedError,
    VerificationError,
)
from .group import Point
from .hashing import Identity
from .request import SignedRequest, partial_context, sign_request
from .roster import Cluster
from .transport import printable
from .v1 import client_pb2, types_pb2

MAX_TTL = 60_000
MAX_ROUNDS = 70
MAX_ALSO = 8
#: Items of one request; partials of `t` nodes must fit into one message of 1 MiB.
MAX_ITEMS = 1024
MAX_PARTIALS = 28 * 1024


def most_items(key: Key) -> int:
    """Items of one request under a key."""
    return min(MAX_ITEMS, MAX_PARTIALS // key.threshold)


class Link(Protocol):
    """A way to one coordinator. Whatever comes from it is hostile until it verifies."""

    party: str

    def call(self, method: str, request, answer, timeout: float): ...  # type: ignore[no-untyped-def]


@dataclass
class Report:
    """What an operation took: who answered, and who lied, by index."""

    nodes: list[int] = field(default_factory=list)
    liars: list[int] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.nodes = sorted({*self.nodes, *other.nodes})
        self.liars = sorted({*self.liars, *other.liars})


class Moved(Exception):
    """Too few nodes serve the epoch that is known here, and some say that the shares have moved."""

    def __init__(self, error: QuorateError):
        super().__init__(str(error))
        self.error = error


class BadItems(Exception):
    """These items are bad; without them the rest may do."""

    def __init__(self, items: Mapping[int, CiphertextError]):
        super().__init__(f"{len(items)} items are bad")
        self.items = dict(items)


class Judge(Protocol):
    """Says what an answer is worth."""

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        """Whether the node's answer is taken. If not, the node lies: it sealed it itself."""

    def length(self, items: int) -> int:
        """How many partials an answer to so many items has."""

    def bad_items(self) -> dict[int, CiphertextError]:
        """The items that deserve to be called invalid. A node that calls one so lies if there are none."""


@dataclass(frozen=True)
class Asker:
    """Who asks: what of a client an attempt needs."""

    cluster: Cluster
    identity: Identity
    answers: AnswerBook
    timeout: float
    clock: Callable[[], float]

    def now(self) -> int:
        return int(self.clock() * 1000)

    def node(self, index: int) -> str:
        node = self.cluster.roster.node(index)
        return str(node) if node else f"node {index}"


class Asking:
    """One attempt: one coordinator, one epoch of a key, and who has lied so far."""

    def __init__(self, asker: Asker, link: Link, key: Key):
        self.asker, self.link, self.key = asker, link, key
        self.left = asker.timeout  # seconds to wait for coordinators; our own work does not count
        self.liars: set[int] = set()
        #: Nodes that are not asked again in this call, and why.
        self.tired: dict[int, str] = {}
        #: What nodes have decided against this call's requests.
        self.decided: dict[int, Refusal] = {}

    @property
    def fingerprint(self) -> bytes:
        return self.asker.cluster.fingerprint

    def candidates(self) -> list[int]:
        """Members that have not lied or failed in this call."""
        return [i for i in self.key.committee.indices if i not in self.liars and i not in self.tired]

    def statement(self, node: int, request: bytes) -> tuple[bytes, Point] | None:
        """What the node's proof binds beside the mathematics, and its `Y_i`."""
        key = self.key
        identity, public = key.committee.identity(node), key.verifying_key(node)
        if identity is None or public.is_identity():
            return None
        context = partial_context(
            self.fingerprint, key.name, key.version, key.purpose, key.public.suite,
            key.epoch.to_bytes(), node, identity, request,
        )  # fmt: skip
        return context, public

    def name_turncoats(self, fast: Mapping[int, Answer], proved: Mapping[int, Answer]) -> None:
        """Who proves other partials than it gave when nobody asked for a proof lied then."""
        self.liars |= {i for i, a in proved.items() if i in fast and fast[i].partials != a.partials}

    def report(self, nodes: Iterable[int]) -> Report:
        return Report(sorted(nodes), sorted(self.liars))


class Collection:
    """The answers to one signed request so far."""

    def __init__(
        self,
        asking: Asking,
        operation: str,
        label: bytes,
        items: Sequence[bytes],
        judge: Judge,
        *,
        prove: bool = False,
    ):
        asker, key = asking.asker, asking.key
        self.asking, self.judge, self.items = asking, judge, list(items)
        # Of many partials verifying takes time too, before others are asked the same.
        heavy = judge.length(len(items)) > 1
        self.signed: SignedRequest = sign_request(
            asker.identity,
            asking.fingerprint,
            now=asker.now(),
            ttl=MAX_TTL if heavy else max(1, int(asker.timeout * 1000)),
            key=key.name,
            version=key.version,
            operation=operation,
            context=label,
            reply_key=asker.answers.reply_key,
            prove=prove,
            items=self.items,
        )
        self.answers: dict[int, Answer] = {}
        self.elsewhere: set[int] = set()  # serve other epochs only
        self.refusals: dict[int, Refusal] = {}
        self.unverified: dict[int, str] = {}
        self.failures: dict[int, str] = {}

    def gather(self, first: set[int] | None = None) -> dict[int, Answer]:
        """Answers of exactly `t` nodes of the epoch known here; at first of some only, if some are given."""
        t, only = self.asking.key.threshold, first
        for _ in range(MAX_ROUNDS):
            left = self._open()
            if len(self.answers) + len(left) < t or self.asking.left <= 0:
                break
            asked = left if only is None else left & only
            try:
                self._ask(asked, t - len(self.answers), self.asking.left)
            except PartyError as error:
                # Of an earlier round it is known who is silent: that says more than the clock.
                if error.late and self.failures:
                    break
                raise
            if len(self.answers) >= t:
                return {i: self.answers[i] for i in sorted(self.answers)[:t]}
            if len(self._open()) == len(left) and only is None:
                break
            only = None
        shortfall = self._shortfall()
        raise Moved(shortfall) if self._moved() else shortfall

    def gather_exactly(self, nodes: set[int]) -> tuple[dict[int, Answer], dict[int, tuple[str, int | None]]]:
        """Asks exactly these nodes, once. Who has not answered, why, and the reason if it refused."""
        # One of them that hangs must leave time for others.
        self._ask(nodes, len(nodes), min(self.asking.left, self.asking.asker.timeout / 3))
        if self._moved():
            raise Moved(self._shortfall())
        answers = {i: self.answers[i] for i in sorted(nodes & set(self.answers))}
        refusals = {i: r.reason for i, r in self.refusals.items()}
        return answers, {i: (self._why(i), refusals.get(i)) for i in sorted(nodes - set(answers))}

    def _ask(self, nodes: set[int], want: int, timeout: float) -> None:
        """One round: of these nodes and no others."""
        committee = self.asking.key.committee.indices
        request = client_pb2.EvaluateRequest(
            head=self.signed.head,
            signature=self.signed.signature,
            items=self.items,
            avoid=[i for i in committee if i not in nodes],
            want=want,
        )
        if timeout <= 0:
            raise PartyError(self.asking.link.party, "timed out", late=True)
        began = time.monotonic()
        try:
            reply = self.asking.link.call("Evaluate", request, client_pb2.EvaluateResponse, timeout)
        finally:
            self.asking.left -= time.monotonic() - began
        for answer in reply.answers[:64]:  # no more than an honest party could bring
            self._absorb(answer)
        for failure in reply.failures[:64]:
            if failure.node in committee:
                self.failures[failure.node] = printable(failure.reason, 80)
        self._judge_refusals()
        # Another set is asked by another request: what was decided about this one still counts.
        self.asking.decided.update({i: r for i, r in self.refusals.items() if r.reason not in CANNOT})

    def _moved(self) -> bool:
        return bool(self.elsewhere) or any(r.reason == NO_SHARE for r in self.refusals.values())

    def _open(self) -> set[int]:
        """Members that have not spoken yet."""
        spoken = {
            *self.asking.liars, *self.asking.tired, *self.refusals, *self.unverified, *self.answers,
            *self.elsewhere,
        }  # fmt: skip
        return {i for i in self.asking.key.committee.indices if i not in spoken}

    def _absorb(self, reply: types_pb2.NodeAnswer) -> None:
        asking, node = self.asking, reply.node
        committee = asking.key.committee
        if committee.identity(node) is None:
            if asking.asker.cluster.roster.node(node) is not None:
                # In no way to be verified here: a hint that a newer record is needed.
                self.elsewhere.add(node)
            return
        if node not in self._open():
            return  # it has spoken: nobody speaks twice
        expected = Expected(asking.fingerprint, committee, self.signed.hash, asking.asker.now())
        book, other = asking.asker.answers, False
        try:
            kind = reply.WhichOneof("outcome")
            if kind is None:
                return
            if kind == "refusal":
                self.refusals[node] = book.read_refusal(node, reply.refusal, expected)
                return
            # The node's answer under the known epoch, wherever it stands.
            for sealed in (reply.sealed, *reply.also[:MAX_ALSO]):
                answer = book.read_sealed(node, sealed, expected)
                if answer.epoch == asking.key.epoch:
                    self._answered(answer)
                    return
                other = True
        except Unverified as what:
            self.unverified[node] = str(what)
            return
        if other:
            self.elsewhere.add(node)

    def _answered(self, answer: Answer) -> None:
        """What the node itself sealed: if it is no answer to the question, the node lies."""
        honest = len(answer.partials) == self.judge.length(len(self.items))
        if honest and self.judge.takes(answer.node, self.signed.hash, answer):
            self.answers[answer.node] = answer
        else:
            self.asking.liars.add(answer.node)

    def _judge_refusals(self) -> None:
        """Nodes that call an item invalid are right or lie: the item's proof can be checked here."""
        reasons = {r.reason for r in self.refusals.values()}
        if ITEMS_MISMATCH in reasons:
            raise VerificationError(
                self.asking.link.party, "changed the request's items on their way to the nodes"
            )
        if INVALID_ITEM in reasons:
            bad = self.judge.bad_items()
            if bad:
                raise BadItems(bad)
            accusers = [i for i, r in self.refusals.items() if r.reason == INVALID_ITEM]
            for node in accusers:
                del self.refusals[node]
                self.asking.liars.add(node)

    def _shortfall(self) -> QuorateError:
        """Why there is no quorum."""
        key, asker, liars = self.asking.key, self.asking.asker, self.asking.liars
        t, n = key.threshold, len(key.committee.indices)
        said = {**self.asking.decided, **self.refusals}
        decided = [r for r in said.values() if r.reason not in CANNOT]
        if decided and n - len(decided) - len(liars) < t:
            counts = [r.reason for r in decided]
            reason = max(set(counts), key=lambda c: (counts.count(c), c))
            nodes = [asker.node(r.node) for r in decided if r.reason == reason]
            return RefusedError(REASONS[reason], nodes, reason)
        if n - len(liars) < t:
            names = " and ".join(asker.node(i) for i in sorted(liars))
            what = f"answered wrongly; fewer than {t} other nodes hold a share"
            return VerificationError(names, what, nodes=sorted(liars))
        if self.unverified and len(self.answers) + len(self.unverified) >= t:
            node, what = min(self.unverified.items())
            return VerificationError(
                self.asking.link.party, f"brought what in the name of {asker.node(node)} {what}"
            )
        missing = [f"{asker.node(i)} {self._why(i)}" for i in key.committee.indices if i not in self.answers]
        return NoQuorumError(len(self.answers), t, missing)

    def _why(self, node: int) -> str:
        if node in self.asking.liars:
            return "answered wrongly"
        if node in self.refusals:
            return f"refused: {REASONS[self.refusals[node].reason]}"
        if node in self.unverified:
            return f"sent what {self.unverified[node]}"
        if node in self.elsewhere:
            return "serves another epoch"
        return self.asking.tired.get(node) or self.failures.get(node, "gave no answer")
