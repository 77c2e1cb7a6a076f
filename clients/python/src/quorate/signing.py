"""Signatures by quorum, in two requests: nodes commit to nonces, and then sign for an exact set of signers.

All of that set must answer. A node that does not, or whose share does not verify, costs the nonces of this
attempt; the next one is by others, or by the same, under fresh nonces of all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .answers import NONCE_GONE, Answer
from .asking import Asking, Collection, Report, most_items
from .certificate import Key
from .errors import CiphertextError, CodecError, InvalidError
from .frost import (
    MAX_MESSAGE,
    MAX_NONCES,
    WORDS,
    CheatersError,
    Drawn,
    SigningSet,
    aggregate,
    encode_nonce_order,
    encode_sign_item,
    read_drawn,
)
from .nonces import NoncePool, PoolId
from .request import encode_context

#: Sets of signers that one call tries: each leaves out somebody, or draws anew.
MAX_SETS = 70
#: Requests for nonces before one set is complete: 1,024 messages take four.
MAX_DRAWS = 16
#: Bytes of items in one request, below the 1 MiB that a request may have.
MAX_BYTES = 900 * 1024
#: One signer in an item: index, handle, commitments.
_SIGNER = 2 + 24 + 64


def in_requests(key: Key, messages: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The messages, as many in a request as fit."""
    for message in messages:
        if len(message) > MAX_MESSAGE:
            raise InvalidError(
                f"a message to sign has at most {MAX_MESSAGE} bytes, got {len(message)}: sign its hash"
            )
    some: list[bytes] = []
    size = 0
    for message in messages:
        item = 64 + key.threshold * _SIGNER + len(message)
        if some and (len(some) == most_items(key) or size + item > MAX_BYTES):
            yield some
            some, size = [], 0
        some.append(message)
        size += item
    if some:
        yield some


class _DrawCheck:
    """Takes three words for each pair, whose commitments are points; keeps them decoded."""

    def __init__(self, count: int):
        self.count = count
        self.drawn: dict[int, list[Drawn]] = {}

    def length(self, items: int) -> int:
        return WORDS * self.count

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        try:
            self.drawn[node] = read_drawn(answer.partials)
        except CodecError:
            return False
        return True

    def bad_items(self) -> dict[int, CiphertextError]:
        return {}


class _ShareCheck:
    """Takes any shares: the signature tells, once all are there."""

    def length(self, items: int) -> int:
        return items

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        return True

    def bad_items(self) -> dict[int, CiphertextError]:
        return {}  # items are made here: who calls one invalid lies


def sign(
    asking: Asking, pool: NoncePool, label: bytes, messages: Sequence[bytes]
) -> tuple[list[bytes], Report]:
    """Signatures of all messages of one request."""
    return _Attempt(asking, pool, label).sign(messages)


def draw_ahead(asking: Asking, pool: NoncePool, count: int) -> None:
    """Has `t` nodes draw nonces into the pool."""
    _Attempt(asking, pool, encode_context(None)).draw(count)


@dataclass
class _Attempt:
    """One coordinator, one epoch."""

    asking: Asking
    pool: NoncePool
    label: bytes

    @property
    def _id(self) -> PoolId:
        key = self.asking.key
        return key.name, key.version, key.epoch

    def sign(self, messages: Sequence[bytes]) -> tuple[list[bytes], Report]:
        """Sets of signers, until one of them has signed."""
        # Nodes that have once forgotten their nonces: once is a new start, twice a lie.
        forgetful: set[int] = set()
        asking = self.asking
        for _ in range(MAX_SETS):
            signers = self._signers(len(messages))
            shares, missing = self._ask(messages, signers)
            if not missing:
                try:
                    return self._combine(messages, signers, shares), asking.report(signers)
                except CheatersError as error:
                    asking.liars.update(error.nodes)
                    missing = {node: ("answered wrongly", None) for node in error.nodes}
            for node, (why, refused) in missing.items():
                self.pool.forget(self._id, node)
                if refused == NONCE_GONE and node not in forgetful:
                    forgetful.add(node)
                elif node not in asking.liars:
                    asking.tired[node] = why
        raise InvalidError("no set of nodes signs together: each time another one fails; try again")

    def _signers(self, need: int) -> dict[int, list[Drawn]]:
        """`t` nodes with a nonce pair each for every message: from the pool, or drawn now."""
        taken = self._take(need)
        if taken is not None:
            return taken
        # One call draws, and what it brings may do for others, who wait for it in their own time.
        began = time.monotonic()
        turn = self.pool.drawing.acquire(timeout=max(0.0, self.asking.left))
        self.asking.left -= time.monotonic() - began
        try:
            first: set[int] | None = None
            for _ in range(MAX_DRAWS):
                taken = self._take(need)
                if taken is not None:
                    return taken
                # From the same nodes as before, so that some have enough in the end.
                first = self.draw(min(self.pool.to_draw(self._id, need), MAX_NONCES), first)
        finally:
            if turn:
                self.pool.drawing.release()
        raise InvalidError("the nodes drew nonces, but no t of them enough; try again")

    def _take(self, need: int) -> dict[int, list[Drawn]] | None:
        return self.pool.take(self._id, self.asking.candidates(), self.asking.key.threshold, need)

    def draw(self, count: int, first: set[int] | None = None) -> set[int]:
        """Has `t` nodes draw nonces into the pool; who did."""
        check = _DrawCheck(count)
        items = [encode_nonce_order(self.asking.key.epoch, count)]
        answers = Collection(self.asking, "sign-commit", self.label, items, check).gather(first)
        for node in answers:
            self.pool.put(self._id, node, check.drawn[node])
        return set(answers)

    def _ask(
        self, messages: Sequence[bytes], signers: Mapping[int, Sequence[Drawn]]
    ) -> tuple[dict[int, Answer], dict[int, tuple[str, int | None]]]:
        """Asks the exact set to sign."""
        items = [
            encode_sign_item(
                self.asking.key.epoch, {node: drawn[at] for node, drawn in signers.items()}, message
            )
            for at, message in enumerate(messages)
        ]
        return Collection(self.asking, "sign", self.label, items, _ShareCheck()).gather_exactly(set(signers))

    def _combine(
        self,
        messages: Sequence[bytes],
        signers: Mapping[int, Sequence[Drawn]],
        answers: Mapping[int, Answer],
    ) -> list[bytes]:
        """The signatures, each verified under the pinned public key; or all who spoilt one."""
        key, made, cheaters = self.asking.key, list[bytes](), set[int]()
        for at, message in enumerate(messages):
            commitments = {node: drawn[at].commitments for node, drawn in signers.items()}
            signing = SigningSet(key.public_key, message, commitments)
            shares = {node: answer.partials[at] for node, answer in answers.items()}
            try:
                made.append(aggregate(signing, shares, key.threshold, key.edwards))
            except CheatersError as error:
                cheaters.update(error.nodes)
        if cheaters:
            raise CheatersError(sorted(cheaters))
        return made
